//! The JWT of a self-hosted Temporal server, as its default claim mapper reads
//! it (`common/authorization/default_jwt_claim_mapper.go`).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::{
    base::{clock::Moment, secret::Secret},
    jose::{self, Signer},
    model::{Permission, Target, Ttl},
    policy::Grant,
    signing::ActiveKey,
};

use super::{Credential, MintError};

/// `iat` and `nbf` lie this far back: the server has no leeway, and refuses a
/// token from a broker whose clock is a moment ahead of its own.
const BACK_DATE: Duration = Duration::from_secs(30);

/// Longest `sub`, in bytes. It goes into the server's logs and into the
/// principal of each call.
const MAX_SUBJECT: usize = 255;

/// Mints the token. `id` is the lease's id and becomes the `jti`.
pub fn self_hosted(
    grant: Grant,
    id: &str,
    issuer: &str,
    key: &ActiveKey,
    now: Moment,
) -> Result<Credential, MintError> {
    let claims = Claims {
        issuer,
        subject: &bounded(grant.identity().subject()),
        id,
        target: grant.target(),
        permissions: grant.permissions(),
        ttl: grant.ttl(),
        now,
    };
    sign(&claims, key.as_ref())
}

fn sign(claims: &Claims<'_>, key: &dyn Signer) -> Result<Credential, MintError> {
    let text = serde_json::to_vec(claims).map_err(|_| MintError)?;
    let token = jose::encode(key, "at+jwt", &text).map_err(|_| MintError)?;
    Ok(Credential {
        token: Secret::new(token.into_bytes()),
        expires_at: claims.expires_at(),
    })
}

/// What the token says.
struct Claims<'a> {
    issuer: &'a str,
    subject: &'a str,
    id: &'a str,
    target: &'a Target,
    permissions: &'a [Permission],
    ttl: Ttl,
    now: Moment,
}

impl Claims<'_> {
    fn expires_at(&self) -> Moment {
        // Whole seconds, as the claim has them: what is told is what is true.
        Moment::from_secs(self.now.plus(self.ttl.duration()).secs())
    }
}

impl Serialize for Claims<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let begin = self.now.minus(BACK_DATE).secs();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("iss", self.issuer)?;
        map.serialize_entry("sub", self.subject)?;
        map.serialize_entry("aud", &self.target.audience)?;
        map.serialize_entry("iat", &begin)?;
        map.serialize_entry("nbf", &begin)?;
        map.serialize_entry("exp", &self.expires_at().secs())?;
        map.serialize_entry("jti", self.id)?;
        map.serialize_entry(&self.target.permissions_claim, &Items(self.permissions))?;
        map.end()
    }
}

/// Permissions as the strings that Temporal splits at the colon.
struct Items<'a>(&'a [Permission]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

/// The subject as it is, or, if it is too long, its beginning and the SHA-256 of
/// all of it: still one name for one identity.
fn bounded(subject: &str) -> String {
    if subject.len() <= MAX_SUBJECT {
        return subject.to_owned();
    }
    let hash = digest(&SHA256, subject.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let keep = MAX_SUBJECT - 1 - hex.len();
    let cut = (0..=keep).rev().find(|at| subject.is_char_boundary(*at)).unwrap_or(0);
    format!("{}~{hex}", &subject[..cut])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{
        jose::{Algorithm, LocalKey},
        model::{Access, TargetSigning},
    };

    fn target() -> Target {
        Target {
            name: "prod".parse().unwrap(),
            resource: None,
            address: "127.0.0.1:7233".into(),
            audience: "temporal.test".into(),
            namespaces: vec!["payments".parse().unwrap()],
            max_ttl: Ttl::secs(3600),
            signing: TargetSigning::Es256,
            jwks_refresh: Ttl::secs(60),
            key_lifetime: Ttl::secs(86_400),
            permissions_claim: "permissions".into(),
        }
    }

    fn minted(key: &LocalKey, target: &Target, subject: &str, now: Moment) -> Credential {
        let permissions = [
            Permission { namespace: Some("payments".parse().unwrap()), access: Access::Write },
            Permission { namespace: None, access: Access::Read },
        ];
        let claims = Claims {
            issuer: "https://assay.test",
            subject: &bounded(subject),
            id: "01J",
            target,
            permissions: &permissions,
            ttl: Ttl::secs(600),
            now,
        };
        sign(&claims, key).unwrap()
    }

    /// Read by a library that is not ours.
    fn read(key: &LocalKey, credential: &Credential) -> (jsonwebtoken::Header, Value) {
        let jwk: Jwk = serde_json::from_str(key.public_jwk()).unwrap();
        let mut rules = Validation::new(match key.algorithm() {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            _ => jsonwebtoken::Algorithm::ES256,
        });
        rules.validate_exp = false;
        rules.set_audience(&["temporal.test"]);
        let token = credential.secret().expose();
        let data = jsonwebtoken::decode(token, &DecodingKey::from_jwk(&jwk).unwrap(), &rules).unwrap();
        (data.header, data.claims)
    }

    #[test]
    fn temporal_finds_every_claim_in_its_place() {
        let now = Moment::from_millis(1_790_000_000_999);
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let key = LocalKey::generate(algorithm).unwrap();
            let credential = minted(&key, &target(), "spiffe://td.test/a", now);
            let (header, claims) = read(&key, &credential);
            assert_eq!(header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(header.kid.as_deref(), Some(key.kid()));
            let expected = serde_json::json!({
                "iss": "https://assay.test", "sub": "spiffe://td.test/a", "aud": "temporal.test",
                "iat": 1_789_999_970, "nbf": 1_789_999_970, "exp": 1_790_000_600, "jti": "01J",
                "permissions": ["payments:write", "temporal-system:read"],
            });
            assert_eq!(claims, expected);
            assert_eq!(credential.expires_at(), Moment::from_secs(1_790_000_600));
        }
    }

    #[test]
    fn the_permissions_claim_has_the_name_that_the_target_states() {
        let key = LocalKey::generate(Algorithm::Es256).unwrap();
        let target = Target { permissions_claim: "perms".into(), ..target() };
        let (_, claims) = read(&key, &minted(&key, &target, "a", Moment::from_secs(0)));
        let names: BTreeSet<_> = claims.as_object().unwrap().keys().cloned().collect();
        assert!(names.contains("perms") && !names.contains("permissions"), "{names:?}");
    }

    proptest! {
        #[test]
        fn any_subject_arrives_bounded_and_distinct(a in "\\PC{1,400}", b in "\\PC{1,400}") {
            let key = LocalKey::generate(Algorithm::Es256).unwrap();
            let (_, claims) = read(&key, &minted(&key, &target(), &a, Moment::from_secs(0)));
            let subject = claims["sub"].as_str().unwrap();
            prop_assert!(!subject.is_empty() && subject.len() <= MAX_SUBJECT);
            prop_assert!(a.len() > MAX_SUBJECT || subject == a);
            prop_assert_eq!(a == b, bounded(&a) == bounded(&b));
        }
    }
}
