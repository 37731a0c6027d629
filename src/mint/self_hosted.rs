//! The JWT for a self-hosted cluster, as Temporal's default claim mapper reads it.
//!
//! The server checks `exp`, `nbf` and `iat` without any leeway, so the latter
//! two lie half a minute back. It accepts a token without `exp` for ever and
//! checks no issuer, so `exp` is always there and the signing key is the
//! target's own. `permissions` is a list of texts; anything else counts as no
//! permissions at all, silently.

use crate::{
    base::{clock::Moment, secret::Secret},
    jose::encode,
    model::{Permission, Ttl},
    policy::Grant,
    signing::ActiveKey,
};

use super::{Credential, MintError, subject::bounded};

/// How far `iat` and `nbf` lie back: a server's clock may be behind.
const BACK_DATED: i64 = 30;

/// The claims that a permissions claim cannot be named like.
const REGISTERED: &[&str] = &["iss", "sub", "aud", "iat", "nbf", "exp", "jti"];

/// Mints the JWT of a self-hosted target. Takes the grant by value: one grant,
/// one credential. `id` is the lease's id and the token's `jti`.
pub fn self_hosted(
    grant: Grant,
    id: &str,
    issuer: &str,
    key: &ActiveKey,
    now: Moment,
) -> Result<Credential, MintError> {
    let target = grant.target();
    let content = Content {
        issuer,
        subject: grant.identity().subject(),
        audience: &target.audience,
        permissions_claim: &target.permissions_claim,
        permissions: grant.permissions(),
        id,
        now,
        ttl: grant.ttl(),
    };
    content.sign(key)
}

/// What goes into a token.
struct Content<'a> {
    issuer: &'a str,
    subject: &'a str,
    audience: &'a str,
    permissions_claim: &'a str,
    permissions: &'a [Permission],
    id: &'a str,
    now: Moment,
    ttl: Ttl,
}

impl Content<'_> {
    fn sign(&self, key: &ActiveKey) -> Result<Credential, MintError> {
        let claims = self.claims()?;
        let token = encode(&**key, "at+jwt", claims.as_bytes()).map_err(|_| MintError::Sign)?;
        Ok(Credential {
            secret: Secret::new(token.into_bytes()),
            expires_at: Moment::from_secs(self.expires()),
        })
    }

    /// Counted from the whole second that has begun, so never longer than granted.
    fn expires(&self) -> i64 {
        self.now
            .secs()
            .saturating_add(i64::from(self.ttl.as_secs()))
    }

    fn claims(&self) -> Result<String, MintError> {
        for (value, problem) in [
            (self.issuer, "the issuer is empty"),
            (self.subject, "the subject is empty"),
            (self.audience, "the audience is empty"),
            (self.id, "the id is empty"),
            (self.permissions_claim, "the permissions claim has no name"),
        ] {
            if value.is_empty() {
                return Err(MintError::Form(problem));
            }
        }
        if REGISTERED.contains(&self.permissions_claim) {
            return Err(MintError::Form(
                "the permissions claim has the name of another claim",
            ));
        }
        if self.permissions.is_empty() {
            return Err(MintError::Form("there are no permissions"));
        }
        let begins = self.now.secs().saturating_sub(BACK_DATED);
        let mut json = Members::new();
        json.text("iss", self.issuer);
        json.text("sub", &bounded(self.subject));
        json.text("aud", self.audience);
        json.number("iat", begins);
        json.number("nbf", begins);
        json.number("exp", self.expires());
        json.text("jti", self.id);
        json.texts(self.permissions_claim, self.permissions);
        Ok(json.end())
    }
}

/// A JSON object that is written member by member.
struct Members(String);

impl Members {
    fn new() -> Self {
        Self(String::with_capacity(512))
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.0.push_str(&value.to_string());
    }

    fn texts(&mut self, name: &str, values: &[Permission]) {
        self.name(name);
        for (i, value) in values.iter().enumerate() {
            self.0.push(if i == 0 { '[' } else { ',' });
            self.quoted(&value.to_string());
        }
        self.0.push(']');
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.quoted(name);
        self.0.push(':');
    }

    /// With the escapes that JSON demands, and no others.
    fn quoted(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\u{0}'..='\u{1f}' => self.0.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonwebtoken as oracle;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        jose::{Algorithm, LocalKey, Signer as _},
        model::Access,
    };

    const NOW: Moment = Moment::from_millis(1_790_000_000_900);

    fn permissions() -> Vec<Permission> {
        ["payments", "orders"]
            .iter()
            .zip([Access::Write, Access::Read])
            .map(|(namespace, access)| Permission {
                namespace: Some(namespace.parse().unwrap()),
                access,
            })
            .collect()
    }

    fn content(permissions: &[Permission]) -> Content<'_> {
        Content {
            issuer: "https://assay.test",
            subject: "spiffe://td.test/worker",
            audience: "temporal.test",
            permissions_claim: "permissions",
            permissions,
            id: "01J",
            now: NOW,
            ttl: Ttl::secs(900),
        }
    }

    fn read(content: &Content<'_>) -> Value {
        serde_json::from_str(&content.claims().unwrap()).unwrap()
    }

    #[test]
    fn temporal_finds_what_it_reads_and_nothing_else() {
        let permissions = permissions();
        assert_eq!(
            read(&content(&permissions)),
            json!({
                "iss": "https://assay.test",
                "sub": "spiffe://td.test/worker",
                "aud": "temporal.test",
                "iat": 1_789_999_970,
                "nbf": 1_789_999_970,
                "exp": 1_790_000_900,
                "jti": "01J",
                "permissions": ["payments:write", "orders:read"],
            })
        );
    }

    #[test]
    fn another_implementation_verifies_the_token_and_its_header() {
        let permissions = permissions();
        for (algorithm, theirs) in [
            (Algorithm::Es256, oracle::Algorithm::ES256),
            (Algorithm::Rs256, oracle::Algorithm::RS256),
        ] {
            let key = Arc::new(LocalKey::generate(algorithm).unwrap());
            let jwk: oracle::jwk::Jwk = serde_json::from_str(key.public_jwk()).unwrap();
            let signer: ActiveKey = Arc::clone(&key) as _;
            // The oracle reads the machine's clock.
            let content = Content {
                now: Moment::from_secs(4_000_000_000),
                ..content(&permissions)
            };
            let credential = content.sign(&signer).unwrap();
            let mut validation = oracle::Validation::new(theirs);
            validation.set_audience(&["temporal.test"]);
            validation.set_issuer(&["https://assay.test"]);
            let token = std::str::from_utf8(credential.secret().expose()).unwrap();
            let decoded = oracle::decode::<Value>(
                token,
                &oracle::DecodingKey::from_jwk(&jwk).unwrap(),
                &validation,
            )
            .unwrap();
            assert_eq!(decoded.header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(decoded.header.kid.as_deref(), Some(key.kid()));
            assert_eq!(decoded.header.alg, theirs);
            assert_eq!(decoded.claims["exp"], credential.expires_at().secs());
        }
    }

    #[test]
    fn a_credential_lives_as_long_as_granted_and_no_longer() {
        let permissions = permissions();
        let key: ActiveKey = Arc::new(LocalKey::generate(Algorithm::Es256).unwrap());
        let credential = content(&permissions).sign(&key).unwrap();
        assert_eq!(credential.expires_at().secs(), NOW.secs() + 900);
        let second = Moment::from_secs(NOW.secs());
        assert_eq!(credential.expires_in(second), 900);
        // 900 ms into the second, 899 whole seconds are left.
        assert_eq!(credential.expires_in(NOW), 899);
        let after = Moment::from_secs(NOW.secs() + 901);
        assert_eq!(credential.expires_in(after), 0);
    }

    #[test]
    fn the_permissions_claim_is_named_by_the_target() {
        let permissions = permissions();
        let named = Content {
            permissions_claim: "https://acme.test/permissions",
            ..content(&permissions)
        };
        let claims = read(&named);
        assert_eq!(
            claims["https://acme.test/permissions"],
            json!(["payments:write", "orders:read"])
        );
        assert!(claims.get("permissions").is_none());
    }

    #[test]
    fn the_whole_cluster_is_spelled_as_temporal_does() {
        let all = [Permission {
            namespace: None,
            access: Access::Read,
        }];
        assert_eq!(
            read(&content(&all))["permissions"],
            json!(["temporal-system:read"])
        );
    }

    #[test]
    fn a_permissions_claim_cannot_replace_another_claim() {
        let permissions = permissions();
        for name in REGISTERED {
            let content = Content {
                permissions_claim: name,
                ..content(&permissions)
            };
            assert!(
                matches!(content.claims(), Err(MintError::Form(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_is_left_empty() {
        let permissions = permissions();
        let good = || content(&permissions);
        assert!(good().claims().is_ok());
        for empty in [
            Content {
                issuer: "",
                ..good()
            },
            Content {
                subject: "",
                ..good()
            },
            Content {
                audience: "",
                ..good()
            },
            Content { id: "", ..good() },
            Content {
                permissions_claim: "",
                ..good()
            },
            Content {
                permissions: &[],
                ..good()
            },
        ] {
            assert!(matches!(empty.claims(), Err(MintError::Form(_))));
        }
    }

    #[test]
    fn a_long_subject_is_bounded() {
        let permissions = permissions();
        let long = "x".repeat(3000);
        let content = Content {
            subject: &long,
            ..content(&permissions)
        };
        assert_eq!(read(&content)["sub"].as_str().unwrap().len(), 255);
    }

    #[test]
    fn far_moments_do_not_overflow() {
        let permissions = permissions();
        for now in [i64::MIN, i64::MAX] {
            let content = Content {
                now: Moment::from_millis(now),
                ..content(&permissions)
            };
            assert!(read(&content)["exp"].is_i64());
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_and_adds_no_claim(subject in ".{1,80}", issuer in "\\PC{1,40}|[\"\\\\{}:,]{1,9}") {
            let permissions = permissions();
            let content = Content { subject: &subject, issuer: &issuer, ..content(&permissions) };
            let claims = read(&content);
            prop_assert_eq!(claims["sub"].as_str(), Some(&*bounded(&subject)));
            prop_assert_eq!(claims["iss"].as_str(), Some(issuer.as_str()));
            prop_assert_eq!(claims.as_object().unwrap().len(), 8);
            // And our own reader, which refuses a name that stands twice.
            let strict = crate::model::Json::parse(content.claims().unwrap().as_bytes());
            prop_assert!(strict.is_ok());
        }

        #[test]
        fn every_character_is_escaped_as_json_demands(c: char) {
            let permissions = permissions();
            let subject = format!("a{c}b");
            let content = Content { subject: &subject, ..content(&permissions) };
            let claims = read(&content);
            prop_assert_eq!(claims["sub"].as_str(), Some(subject.as_str()));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let permissions = permissions();
        let subject: String = (1u8..=0x1f).map(char::from).collect();
        let content = Content {
            subject: &subject,
            ..content(&permissions)
        };
        assert_eq!(read(&content)["sub"].as_str(), Some(subject.as_str()));
    }
}
