//! A public key, parsed once, bound to the algorithms that it may be used with.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
        ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
    },
};

use crate::model::Json;

use super::{Algorithm, JoseError, compact::sha256, decode, rsa};

/// A public key, ready to verify, bound to the algorithms that it may be used with.
#[derive(Debug)]
pub struct VerifyKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    /// One per algorithm: the library binds padding and digest into the key.
    parsed: Vec<ParsedPublicKey>,
    /// The one length that a signature by this key has.
    signature_bytes: usize,
}

impl VerifyKey {
    /// The key's id, if the set gave it one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithms that the key may be used with: never empty.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Verifies a signature over any message: for signed things that are not
    /// tokens. A token is verified by [`Compact::verify`](super::Compact::verify).
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), JoseError> {
        self.verify_and_digest(algorithm, message, signature)
            .map(|_| ())
    }

    /// Verifies, and returns the SHA-256 of the message.
    pub(super) fn verify_and_digest(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<[u8; 32], JoseError> {
        let key = self
            .algorithms
            .iter()
            .zip(&self.parsed)
            .find(|(a, _)| **a == algorithm)
            .map(|(_, key)| key)
            .ok_or(JoseError::AlgorithmNotOfKey(algorithm))?;
        if signature.len() != self.signature_bytes {
            return Err(JoseError::Signature);
        }
        if algorithm.signs_sha256() {
            let hash = digest(&SHA256, message);
            key.verify_digest_sig(&hash, signature)
                .map_err(|_| JoseError::Signature)?;
            let mut out = [0; 32];
            out.copy_from_slice(hash.as_ref());
            Ok(out)
        } else {
            key.verify_sig(message, signature)
                .map_err(|_| JoseError::Signature)?;
            Ok(sha256(message))
        }
    }

    /// From a JWK's members. Algorithms: those of the key's type, cut down to
    /// its `alg` if it has one, cut down to `allowed`.
    pub(super) fn from_jwk(
        jwk: &Json,
        kid: Option<&str>,
        allowed: &[Algorithm],
    ) -> Result<Self, &'static str> {
        let declared = match jwk.get("alg") {
            None => None,
            Some(Json::Text(name)) => {
                Some(Algorithm::from_name(name).ok_or("its alg is not one that is verified here")?)
            }
            Some(_) => return Err("its alg is not text"),
        };
        let material = Material::read(jwk)?;
        let algorithms: Vec<Algorithm> = material
            .algorithms()
            .iter()
            .copied()
            .filter(|a| declared.is_none_or(|d| d == *a))
            .collect();
        if algorithms.is_empty() {
            return Err("its alg is not one for its type of key");
        }
        let algorithms: Vec<Algorithm> = algorithms
            .into_iter()
            .filter(|a| allowed.contains(a))
            .collect();
        if algorithms.is_empty() {
            return Err("its algorithms are not allowed for this issuer");
        }
        let parsed = algorithms
            .iter()
            .map(|a| material.parse(*a))
            .collect::<Option<Vec<_>>>()
            .ok_or("its values are not a valid public key")?;
        Ok(Self {
            kid: kid.map(str::to_owned),
            signature_bytes: material.signature_bytes(),
            algorithms,
            parsed,
        })
    }
}

/// The public values of a JWK, checked for form.
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl Material {
    fn read(jwk: &Json) -> Result<Self, &'static str> {
        match text(jwk, "kty") {
            Some("RSA") => {
                let n = bytes(jwk, "n").ok_or("its n is not base64url text")?;
                let e = bytes(jwk, "e").ok_or("its e is not base64url text")?;
                rsa::check(&n, &e)?;
                Ok(Self::Rsa { n, e })
            }
            Some("EC") => {
                let curve = match text(jwk, "crv") {
                    Some("P-256") => Curve::P256,
                    Some("P-384") => Curve::P384,
                    Some("P-521") => Curve::P521,
                    _ => return Err("its crv is not P-256, P-384 or P-521"),
                };
                let mut point = vec![4];
                for name in ["x", "y"] {
                    let coordinate = bytes(jwk, name).ok_or("its x or y is not base64url text")?;
                    if coordinate.len() != curve.field_bytes() {
                        return Err("its x or y has not the length of its curve");
                    }
                    point.extend(coordinate);
                }
                Ok(Self::Ec(curve, point))
            }
            Some("OKP") => {
                if text(jwk, "crv") != Some("Ed25519") {
                    return Err("its crv is not Ed25519");
                }
                let x = bytes(jwk, "x").ok_or("its x is not base64url text")?;
                if x.len() != 32 {
                    return Err("its x has not 32 bytes");
                }
                Ok(Self::Ed25519(x))
            }
            Some(_) => Err("its kty is not RSA, EC or OKP"),
            None => Err("it has no kty that is text"),
        }
    }

    const fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa { .. } => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Self::Ec(Curve::P256, _) => &[Es256],
            Self::Ec(Curve::P384, _) => &[Es384],
            Self::Ec(Curve::P521, _) => &[Es512],
            Self::Ed25519(_) => &[EdDsa],
        }
    }

    fn signature_bytes(&self) -> usize {
        match self {
            Self::Rsa { n, .. } => n.len(),
            Self::Ec(curve, _) => 2 * curve.field_bytes(),
            Self::Ed25519(_) => 64,
        }
    }

    /// `None` if the library refuses the values: a point that is not on the curve.
    fn parse(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match self {
            Self::Rsa { n, e } => PublicKeyComponents { n, e }
                .to_parsed_public_key(rsa_parameters(algorithm)?)
                .ok(),
            Self::Ec(curve, point) => {
                let algorithm: &'static dyn VerificationAlgorithm = match curve {
                    Curve::P256 => &ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &ECDSA_P384_SHA384_FIXED,
                    Curve::P521 => &ECDSA_P521_SHA512_FIXED,
                };
                ParsedPublicKey::new(algorithm, point).ok()
            }
            Self::Ed25519(x) => ParsedPublicKey::new(&ED25519, x).ok(),
        }
    }
}

const fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return None,
    })
}

fn text<'j>(jwk: &'j Json, name: &str) -> Option<&'j str> {
    jwk.get(name).and_then(Json::as_text)
}

fn bytes(jwk: &Json, name: &str) -> Option<Vec<u8>> {
    text(jwk, name).and_then(decode)
}
