//! Compact serialisation: strict parse, then verify the very bytes parsed.

use crate::model::{Json, Reason};

use super::{Algorithm, VerifyKey};

/// The protected header, as far as it is ever used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
    pub typ: Option<String>,
    /// Names of header parameters other than alg, kid, typ that are harmless but were there (x5t, cty ...);
    /// a SPIFFE source refuses any.
    pub extra: Vec<String>,
}

/// Why a token is no acceptable JWS. `reason()` is what the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    #[error("{0}")]
    Todo(String),
}

impl JoseError {
    pub fn reason(&self) -> Reason {
        todo!()
    }
}

/// A token that is well formed and NOT verified.
pub struct Compact<'t> {
    _token: &'t str,
}

impl<'t> Compact<'t> {
    /// Exactly three non-empty strict-base64url parts, at most `max_bytes`, header and payload strict JSON objects.
    pub fn parse(_token: &'t str, _max_bytes: usize) -> Result<Self, JoseError> {
        todo!()
    }
    pub fn header(&self) -> &Header {
        todo!()
    }
    /// For one purpose: to pick configured trust domains.
    pub fn unverified_claims(&self) -> &Json {
        todo!()
    }
    /// SHA-256 of header.payload: the single-use key. Does not depend on the signature.
    pub fn digest(&self) -> [u8; 32] {
        todo!()
    }
    /// Verifies under a key whose algorithm is bound; the token's `alg` must be one the key is bound to.
    pub fn verify(self, _key: &VerifyKey) -> Result<Verified, (Self, JoseError)> {
        todo!()
    }
}

/// A token whose signature verified. Only this room makes one.
pub struct Verified {
    _private: (),
}

impl Verified {
    pub fn header(&self) -> &Header {
        todo!()
    }
    pub fn claims(&self) -> &Json {
        todo!()
    }
    pub fn digest(&self) -> [u8; 32] {
        todo!()
    }
}
