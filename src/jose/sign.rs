//! Signing with held keys.

use crate::base::secret::Secret;

use super::Algorithm;

/// Signing did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key could not be used")]
pub struct SignError;

/// A private key that signs, wherever it is held.
pub trait Signer: Send + Sync {
    fn algorithm(&self) -> Algorithm;
    /// RFC 7638 thumbprint.
    fn kid(&self) -> &str;
    /// The public key as a JWK object's text: kty, kid, alg, use and the key's members.
    fn public_jwk(&self) -> &str;
    /// Appends the raw JOSE signature (ECDSA: r and s, fixed length).
    fn sign(&self, input: &[u8], signature: &mut Vec<u8>) -> Result<(), SignError>;
}

/// A key in this process's memory (ES256 or RS256, 2048 bits).
pub struct LocalKey {
    _private: (),
}

impl LocalKey {
    pub fn generate(_algorithm: Algorithm) -> Result<Self, SignError> {
        todo!()
    }
    pub fn from_pkcs8(_algorithm: Algorithm, _der: &Secret) -> Result<Self, SignError> {
        todo!()
    }
    pub fn to_pkcs8(&self) -> Result<Secret, SignError> {
        todo!()
    }
}

impl Signer for LocalKey {
    fn algorithm(&self) -> Algorithm {
        todo!()
    }
    fn kid(&self) -> &str {
        todo!()
    }
    fn public_jwk(&self) -> &str {
        todo!()
    }
    fn sign(&self, _input: &[u8], _signature: &mut Vec<u8>) -> Result<(), SignError> {
        todo!()
    }
}

/// `base64url(header).base64url(claims).base64url(signature)`; `claims` is the JSON text.
pub fn encode(_signer: &dyn Signer, _typ: &str, _claims: &[u8]) -> Result<String, SignError> {
    todo!()
}
