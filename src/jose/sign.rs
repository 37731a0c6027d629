//! Signing with held keys.
//!
//! A key is parsed when it is loaded and then held: parsing a private key
//! costs more than a signature with it. Where the key is held is behind one
//! trait, so that a hardware module or a cloud's key service can stand where
//! [`LocalKey`] stands.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{base::secret::Secret, model::Json};

use super::{Algorithm, thumbprint};

/// Signing did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key could not be used")]
pub struct SignError;

/// A private key that signs, wherever it is held.
pub trait Signer: Send + Sync {
    /// The one algorithm that it signs with.
    fn algorithm(&self) -> Algorithm;
    /// RFC 7638 thumbprint.
    fn kid(&self) -> &str;
    /// The public key as a JWK object's text: kty, kid, alg, use and the key's members.
    fn public_jwk(&self) -> &str;
    /// Appends the raw JOSE signature (ECDSA: r and s, fixed length).
    fn sign(&self, input: &[u8], signature: &mut Vec<u8>) -> Result<(), SignError>;
}

/// A key in this process's memory (ES256, or RS256 of 2048 to 4096 bits).
pub struct LocalKey {
    pair: Pair,
    kid: String,
    public_jwk: String,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl LocalKey {
    /// A new key: ES256, or RS256 of 2048 bits. Other algorithms are an error.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SignError> {
        let pair = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Pair::Es256)
                .map_err(|_| SignError)?,
            Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048)
                .map(Pair::Rs256)
                .map_err(|_| SignError)?,
            _ => return Err(SignError),
        };
        Self::new(pair)
    }

    /// A key from its PKCS #8 document.
    pub fn from_pkcs8(algorithm: Algorithm, der: &Secret) -> Result<Self, SignError> {
        let pair = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
                    .map(Pair::Es256)
                    .map_err(|_| SignError)?
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(der.expose()).map_err(|_| SignError)?;
                if !(256..=512).contains(&pair.public_modulus_len()) {
                    return Err(SignError);
                }
                Pair::Rs256(pair)
            }
            _ => return Err(SignError),
        };
        Self::new(pair)
    }

    /// The key as a PKCS #8 document, for sealing.
    pub fn to_pkcs8(&self) -> Result<Secret, SignError> {
        let der = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map_err(|_| SignError)?.as_ref().to_vec(),
            Pair::Rs256(pair) => pair.as_der().map_err(|_| SignError)?.as_ref().to_vec(),
        };
        Ok(Secret::new(der))
    }

    fn new(pair: Pair) -> Result<Self, SignError> {
        let members = match &pair {
            Pair::Es256(pair) => ec_members(pair.public_key().as_ref()),
            Pair::Rs256(pair) => rsa_members(pair.public_key().as_ref()),
        }
        .ok_or(SignError)?;
        let bare = Json::parse(format!("{{{members}}}").as_bytes()).map_err(|_| SignError)?;
        let kid = thumbprint(&bare).ok_or(SignError)?;
        let alg = pair.algorithm();
        let public_jwk = format!(r#"{{{members},"kid":"{kid}","alg":"{alg}","use":"sig"}}"#);
        Ok(Self {
            pair,
            kid,
            public_jwk,
        })
    }
}

impl Pair {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }
}

impl Signer for LocalKey {
    fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    fn kid(&self) -> &str {
        &self.kid
    }

    fn public_jwk(&self) -> &str {
        &self.public_jwk
    }

    fn sign(&self, input: &[u8], signature: &mut Vec<u8>) -> Result<(), SignError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => {
                let made = pair.sign(&random, input).map_err(|_| SignError)?;
                signature.extend_from_slice(made.as_ref());
            }
            Pair::Rs256(pair) => {
                let start = signature.len();
                signature.resize(start + pair.public_modulus_len(), 0);
                let made = signature.get_mut(start..).ok_or(SignError)?;
                if pair.sign(&RSA_PKCS1_SHA256, &random, input, made).is_err() {
                    signature.truncate(start);
                    return Err(SignError);
                }
            }
        }
        Ok(())
    }
}

/// `base64url(header).base64url(claims).base64url(signature)`; `claims` is the
/// JSON text. `typ` and the signer's kid are of characters that JSON leaves as
/// they are; others are an error.
pub fn encode(signer: &dyn Signer, typ: &str, claims: &[u8]) -> Result<String, SignError> {
    let (alg, kid) = (signer.algorithm(), signer.kid());
    if !is_plain(typ) || !is_plain(kid) {
        return Err(SignError);
    }
    let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#);
    // An ES256 signature has 64 bytes, an RS256 one 256.
    let mut signature = Vec::with_capacity(256);
    let mut token = String::with_capacity((header.len() + claims.len() + 260) * 4 / 3);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    signer.sign(token.as_bytes(), &mut signature)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| (0x20..=0x7e).contains(&b) && b != b'"' && b != b'\\')
}

/// From an uncompressed point on P-256.
fn ec_members(point: &[u8]) -> Option<String> {
    let (4, xy) = point.split_first().map(|(form, xy)| (*form, xy))? else {
        return None;
    };
    let (x, y) = xy.split_at_checked(32)?;
    Some(format!(
        r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#,
        URL_SAFE_NO_PAD.encode(x),
        URL_SAFE_NO_PAD.encode(y)
    ))
}

/// From a PKCS #1 `RSAPublicKey`, as the library writes it.
fn rsa_members(der: &[u8]) -> Option<String> {
    let (sequence, _) = der_value(0x30, der)?;
    let (n, rest) = der_value(0x02, sequence)?;
    let (e, _) = der_value(0x02, rest)?;
    Some(format!(
        r#""kty":"RSA","n":"{}","e":"{}""#,
        URL_SAFE_NO_PAD.encode(unsigned(n)),
        URL_SAFE_NO_PAD.encode(unsigned(e))
    ))
}

/// The content of the first DER value, which has this tag, and what follows it.
fn der_value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else {
        return None;
    };
    if *found != tag {
        return None;
    }
    let (length, rest) = match usize::from(*length) {
        short @ ..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long - 0x80)?;
            let length = digits.iter().try_fold(0usize, |sum, digit| {
                sum.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

/// A DER integer without the zero byte that marks it as positive.
fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] => rest,
        _ => integer,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken as oracle;
    use serde_json::{Value, json};

    use super::*;
    use crate::jose::{Compact, KeySet, KeyUse, Lookup, testing::load};

    const BOTH: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Rs256];

    fn jwk_of(key: &LocalKey) -> Value {
        serde_json::from_str(key.public_jwk()).unwrap()
    }

    /// Verifies as a consumer of the published key set does.
    fn verify(key: &LocalKey, token: &str) -> bool {
        let set = format!(r#"{{"keys":[{}]}}"#, key.public_jwk());
        let set = load(&set);
        let token = Compact::parse(token, 16 * 1024).unwrap();
        match set.lookup(token.header().kid.as_deref()) {
            Lookup::Found(key) => token.verify(key).is_ok(),
            _ => false,
        }
    }

    #[test]
    fn a_token_verifies_under_the_published_key_and_no_other() {
        for algorithm in BOTH {
            let key = LocalKey::generate(algorithm).unwrap();
            let token = encode(&key, "at+jwt", br#"{"sub":"s"}"#).unwrap();
            assert!(verify(&key, &token), "{algorithm}");
            let other = LocalKey::generate(algorithm).unwrap();
            assert_ne!(key.kid(), other.kid());
            assert!(!verify(&other, &token), "{algorithm}");
            let parsed = Compact::parse(&token, 4096).unwrap();
            assert!(parsed.header().typ_is("at+jwt"));
            assert_eq!(parsed.header().kid.as_deref(), Some(key.kid()));
            assert_eq!(parsed.header().extra, Vec::<String>::new());
        }
    }

    #[test]
    fn a_public_jwk_has_the_members_that_servers_read_and_no_others() {
        for (algorithm, members) in [
            (
                Algorithm::Es256,
                vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
            ),
            (Algorithm::Rs256, vec!["alg", "e", "kid", "kty", "n", "use"]),
        ] {
            let key = LocalKey::generate(algorithm).unwrap();
            let jwk = jwk_of(&key);
            let mut names: Vec<_> = jwk.as_object().unwrap().keys().collect();
            names.sort();
            assert_eq!(names, members);
            assert_eq!(jwk["alg"], algorithm.as_str());
            assert_eq!(jwk["use"], "sig");
            assert_eq!(jwk["kid"], key.kid());
            let parsed = Json::parse(key.public_jwk().as_bytes()).unwrap();
            assert_eq!(thumbprint(&parsed).as_deref(), Some(key.kid()));
        }
    }

    #[test]
    fn a_key_survives_pkcs8() {
        for algorithm in BOTH {
            let key = LocalKey::generate(algorithm).unwrap();
            let der = key.to_pkcs8().unwrap();
            let back = LocalKey::from_pkcs8(algorithm, &der).unwrap();
            assert_eq!(
                (back.kid(), back.public_jwk()),
                (key.kid(), key.public_jwk())
            );
            assert_eq!(back.algorithm(), algorithm);
            assert!(verify(&key, &encode(&back, "JWT", b"{}").unwrap()));
            let wrong = if algorithm == Algorithm::Es256 {
                Algorithm::Rs256
            } else {
                Algorithm::Es256
            };
            assert!(LocalKey::from_pkcs8(wrong, &der).is_err());
            let cut = Secret::new(der.expose()[..der.expose().len() - 1].to_vec());
            assert!(LocalKey::from_pkcs8(algorithm, &cut).is_err());
        }
        assert!(LocalKey::from_pkcs8(Algorithm::Es256, &Secret::new(Vec::new())).is_err());
    }

    #[test]
    fn only_two_algorithms_sign() {
        for algorithm in Algorithm::ALL.iter().filter(|a| !BOTH.contains(a)) {
            assert!(LocalKey::generate(*algorithm).is_err(), "{algorithm}");
        }
    }

    #[test]
    fn ecdsa_signatures_are_fixed_length_and_appended() {
        let key = LocalKey::generate(Algorithm::Es256).unwrap();
        for _ in 0..200 {
            let mut out = b"before".to_vec();
            key.sign(b"message", &mut out).unwrap();
            assert_eq!(out.len(), 6 + 64);
            assert!(out.starts_with(b"before"));
        }
    }

    #[test]
    fn text_that_json_would_escape_is_refused_in_a_header() {
        let key = LocalKey::generate(Algorithm::Es256).unwrap();
        for bad in ["a\"b", "a\\b", "a\nb", "ä"] {
            assert_eq!(encode(&key, bad, b"{}"), Err(SignError), "{bad:?}");
        }
    }

    #[test]
    fn another_implementation_accepts_our_tokens() {
        for (algorithm, name) in [
            (Algorithm::Es256, oracle::Algorithm::ES256),
            (Algorithm::Rs256, oracle::Algorithm::RS256),
        ] {
            let key = LocalKey::generate(algorithm).unwrap();
            let claims = json!({"sub": "s", "exp": 4_000_000_000u64, "x": "äöü\n"});
            let token = encode(&key, "JWT", claims.to_string().as_bytes()).unwrap();
            let jwk: oracle::jwk::Jwk = serde_json::from_str(key.public_jwk()).unwrap();
            let decoded = oracle::decode::<Value>(
                &token,
                &oracle::DecodingKey::from_jwk(&jwk).unwrap(),
                &oracle::Validation::new(name),
            )
            .unwrap();
            assert_eq!(decoded.claims, claims);
            assert_eq!(decoded.header.kid.as_deref(), Some(key.kid()));
        }
    }

    #[test]
    fn another_implementation_agrees_about_every_tampered_token() {
        let key = LocalKey::generate(Algorithm::Es256).unwrap();
        let token = encode(&key, "JWT", br#"{"exp":4000000000,"sub":"s"}"#).unwrap();
        let jwk: oracle::jwk::Jwk = serde_json::from_str(key.public_jwk()).unwrap();
        let oracle_key = oracle::DecodingKey::from_jwk(&jwk).unwrap();
        let validation = oracle::Validation::new(oracle::Algorithm::ES256);
        let set = load(&format!(r#"{{"keys":[{}]}}"#, key.public_jwk()));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let theirs = oracle::decode::<Value>(&changed, &oracle_key, &validation).is_ok();
            let ours = Compact::parse(&changed, 4096).is_ok_and(|token| {
                let kid = token.header().kid.clone();
                matches!(set.lookup(kid.as_deref()), Lookup::Found(key) if token.verify(key).is_ok())
            });
            assert!(!theirs && !ours, "byte {at}: theirs {theirs}, ours {ours}");
        }
    }

    #[test]
    fn we_accept_the_tokens_of_another_implementation() {
        use oracle::{Algorithm as Theirs, EncodingKey, Header};
        let es256 = LocalKey::generate(Algorithm::Es256).unwrap();
        let rsa = LocalKey::generate(Algorithm::Rs256).unwrap();
        let ec_key = EncodingKey::from_ec_der(es256.to_pkcs8().unwrap().expose());
        // Their RSA key is PKCS #1, which PKCS #8 wraps.
        let der = rsa.to_pkcs8().unwrap();
        let rsa_key = EncodingKey::from_rsa_der(pkcs1(der.expose()));
        let cases = [
            (Theirs::ES256, Algorithm::Es256, &es256, &ec_key),
            (Theirs::RS256, Algorithm::Rs256, &rsa, &rsa_key),
            (Theirs::RS384, Algorithm::Rs384, &rsa, &rsa_key),
            (Theirs::RS512, Algorithm::Rs512, &rsa, &rsa_key),
            (Theirs::PS256, Algorithm::Ps256, &rsa, &rsa_key),
            (Theirs::PS384, Algorithm::Ps384, &rsa, &rsa_key),
            (Theirs::PS512, Algorithm::Ps512, &rsa, &rsa_key),
        ];
        for (theirs, ours, key, encoding) in cases {
            let mut header = Header::new(theirs);
            header.kid = Some("k1".into());
            let token = oracle::encode(&header, &json!({"sub": "s"}), encoding).unwrap();
            let members = &jwk_of(key);
            let mut jwk = members.clone();
            jwk.as_object_mut().unwrap().remove("alg");
            jwk["kid"] = json!("k1");
            let set = json!({"keys": [jwk]}).to_string();
            let (set, _) = KeySet::parse(set.as_bytes(), KeyUse::Signature, &[ours]).unwrap();
            let Lookup::Found(key) = set.lookup(Some("k1")) else {
                panic!("{ours}");
            };
            let token = Compact::parse(&token, 4096).unwrap();
            assert!(token.verify(key).is_ok(), "{ours}");
        }
    }

    /// The `RSAPrivateKey` inside a PKCS #8 document.
    fn pkcs1(der: &[u8]) -> &[u8] {
        let (outer, _) = der_value(0x30, der).unwrap();
        let (_, rest) = der_value(0x02, outer).unwrap();
        let (_, rest) = der_value(0x30, rest).unwrap();
        der_value(0x04, rest).unwrap().0
    }
}
