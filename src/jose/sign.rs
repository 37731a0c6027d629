//! Signing with held keys: parsed once, never again for a signature.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::base::secret::Secret;

use super::{Algorithm, compact::sha256};

/// Signing did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key could not be used")]
pub struct SignError;

/// A private key that signs, wherever it is held: here, in a PKCS#11 module, in
/// a cloud's key service.
pub trait Signer: Send + Sync {
    /// The one algorithm of this key.
    fn algorithm(&self) -> Algorithm;
    /// The RFC 7638 thumbprint of the public key.
    fn kid(&self) -> &str;
    /// The public key as the text of a JWK object: `kty`, `kid`, `alg`, `use`
    /// and the key's own members.
    fn public_jwk(&self) -> &str;
    /// Appends the signature in its JOSE form (ECDSA: r and s, fixed length).
    fn sign(&self, input: &[u8], signature: &mut Vec<u8>) -> Result<(), SignError>;
}

/// A key in this process's memory: ES256, or RS256 with 2048 bits.
pub struct LocalKey {
    pair: Pair,
    kid: String,
    jwk: String,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl LocalKey {
    /// Makes a new key.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SignError> {
        Self::new(match algorithm {
            Algorithm::Es256 => Pair::Es256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SignError)?,
            ),
            Algorithm::Rs256 => {
                Pair::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| SignError)?)
            }
            _ => return Err(SignError),
        })
    }

    /// Reads a PKCS #8 document.
    pub fn from_pkcs8(algorithm: Algorithm, der: &Secret) -> Result<Self, SignError> {
        Self::new(match algorithm {
            Algorithm::Es256 => Pair::Es256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
                    .map_err(|_| SignError)?,
            ),
            Algorithm::Rs256 => {
                Pair::Rs256(RsaKeyPair::from_pkcs8(der.expose()).map_err(|_| SignError)?)
            }
            _ => return Err(SignError),
        })
    }

    /// The key as a PKCS #8 document.
    pub fn to_pkcs8(&self) -> Result<Secret, SignError> {
        let der = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map_err(|_| SignError)?.as_ref().to_vec(),
            Pair::Rs256(pair) => pair.as_der().map_err(|_| SignError)?.as_ref().to_vec(),
        };
        Ok(Secret::new(der))
    }

    fn new(pair: Pair) -> Result<Self, SignError> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7638 section 3.2: the required members, in lexicographic order.
        let (members, algorithm) = match &pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (point.get(1..33), point.get(33..65));
                let (x, y) = (x.ok_or(SignError)?, y.ok_or(SignError)?);
                let (x, y) = (encode(x), encode(y));
                (
                    format!(r#""crv":"P-256","kty":"EC","x":"{x}","y":"{y}""#),
                    "ES256",
                )
            }
            Pair::Rs256(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref()).ok_or(SignError)?;
                let (n, e) = (encode(n), encode(e));
                (format!(r#""e":"{e}","kty":"RSA","n":"{n}""#), "RS256")
            }
        };
        let kid = encode(&sha256(format!("{{{members}}}").as_bytes()));
        let jwk = format!(r#"{{{members},"kid":"{kid}","alg":"{algorithm}","use":"sig"}}"#);
        Ok(Self { pair, kid, jwk })
    }
}

impl Signer for LocalKey {
    fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    fn kid(&self) -> &str {
        &self.kid
    }

    fn public_jwk(&self) -> &str {
        &self.jwk
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
                let place = signature.get_mut(start..).ok_or(SignError)?;
                pair.sign(&RSA_PKCS1_SHA256, &random, input, place)
                    .map_err(|_| SignError)?;
            }
        }
        Ok(())
    }
}

/// `base64url(header).base64url(claims).base64url(signature)`, where `claims`
/// is the text of a JSON object. `typ` is a media type of this program, not
/// input.
pub fn encode(signer: &dyn Signer, typ: &str, claims: &[u8]) -> Result<String, SignError> {
    let header = format!(
        r#"{{"alg":"{}","kid":"{}","typ":"{typ}"}}"#,
        signer.algorithm().as_str(),
        signer.kid()
    );
    let mut token = String::with_capacity((header.len() + claims.len() + 300) * 4 / 3);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let mut signature = Vec::with_capacity(256);
    signer.sign(token.as_bytes(), &mut signature)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// The modulus and the exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1):
/// a DER sequence of two integers, which aws-lc wrote.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (sequence, _) = der_value(der, SEQUENCE)?;
    let (n, rest) = der_value(sequence, INTEGER)?;
    let (e, _) = der_value(rest, INTEGER)?;
    // A leading zero keeps a DER integer positive; a JWK has none.
    let positive = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((n.get(positive(n)..)?, e.get(positive(e)..)?))
}

/// The content of the first value, if it has that tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        _ => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Compact, KeySet, KeyUse, Lookup};

    #[test]
    fn what_is_signed_verifies_under_the_published_key_only() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let key = LocalKey::generate(algorithm).unwrap();
            let other = LocalKey::generate(algorithm).unwrap();
            let set = |key: &LocalKey| {
                let text = format!(r#"{{"keys":[{}]}}"#, key.public_jwk());
                KeySet::parse(text.as_bytes(), KeyUse::Signature, &[algorithm])
                    .unwrap()
                    .0
            };
            let token = encode(&key, "JWT", br#"{"a":1}"#).unwrap();
            let parse = || Compact::parse(&token, 4096).unwrap();
            let keys = set(&key);
            let Lookup::Found(public) = keys.lookup(Some(key.kid())) else {
                panic!("no key")
            };
            assert_eq!(
                parse().verify(public).ok().unwrap().claims(),
                parse().unverified_claims()
            );
            let others = set(&other);
            let Lookup::Found(foreign) = others.lookup(None) else {
                panic!("no key")
            };
            assert!(parse().verify(foreign).is_err());
        }
    }

    #[test]
    fn keys_survive_storage() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let key = LocalKey::generate(algorithm).unwrap();
            let again = LocalKey::from_pkcs8(algorithm, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(
                (again.kid(), again.public_jwk()),
                (key.kid(), key.public_jwk())
            );
        }
        assert!(LocalKey::generate(Algorithm::Es384).is_err());
        assert!(LocalKey::from_pkcs8(Algorithm::Es256, &Secret::new(vec![1, 2, 3])).is_err());
    }
}
