//! Compact serialisation: strict parse, then verify the very bytes parsed.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::Json;

use super::{
    Algorithm, Header, VerifyKey, decode,
    error::{JoseError, Part},
};

/// Longest first part. With keys and certificates refused there, nobody needs more.
const MAX_HEADER: usize = 4096;
/// Longest third part: an RSA signature of 8192 bits in base64url.
const MAX_SIGNATURE: usize = 1366;

/// A compact JWS that is well formed and NOT verified, whatever its payload is.
/// Tokens are read as [`Compact`], which is this with claims.
pub struct Jws<'t> {
    /// `header.payload`, the very bytes that are signed.
    signed: &'t str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Exactly three non-empty strict-base64url parts, at most `max_bytes`
    /// together, the header a strict JSON object.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseError> {
        if token.len() > max_bytes {
            return Err(JoseError::TooLarge {
                found: token.len(),
                max: max_bytes,
            });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JoseError::NotCompact)?;
        if payload.contains('.') {
            return Err(JoseError::NotCompact);
        }
        // The header before the emptiness of the rest: an unsigned token is
        // refused for its algorithm.
        let header = Header::parse(&part(Part::Header, header, MAX_HEADER)?)?;
        let signature = part(Part::Signature, signature, MAX_SIGNATURE)?;
        Ok(Self {
            signed,
            header,
            payload: part(Part::Payload, payload, max_bytes)?,
            signature,
        })
    }

    /// The protected header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload's bytes.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// SHA-256 of header.payload.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.signed.as_bytes())
    }

    /// Verifies under a key whose algorithm is bound, and returns the digest.
    pub fn check(&self, key: &VerifyKey) -> Result<[u8; 32], JoseError> {
        let message = self.signed.as_bytes();
        key.verify_and_digest(self.header.algorithm, message, &self.signature)
    }
}

/// A token that is well formed and NOT verified.
pub struct Compact<'t> {
    jws: Jws<'t>,
    claims: Json,
}

impl<'t> Compact<'t> {
    /// A [`Jws`] whose payload is a strict JSON object.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseError> {
        let jws = Jws::parse(token, max_bytes)?;
        let claims = Json::parse(&jws.payload).map_err(|e| JoseError::Json(Part::Payload, e))?;
        if claims.as_object().is_none() {
            return Err(JoseError::NotAnObject(Part::Payload));
        }
        Ok(Self { jws, claims })
    }

    /// The protected header.
    pub fn header(&self) -> &Header {
        &self.jws.header
    }

    /// For one purpose: to pick configured trust domains.
    pub fn unverified_claims(&self) -> &Json {
        &self.claims
    }

    /// SHA-256 of header.payload: the single-use key. Does not depend on the
    /// signature, which a stranger can change into another valid one.
    pub fn digest(&self) -> [u8; 32] {
        self.jws.digest()
    }

    /// Verifies under a key whose algorithm is bound; the token's `alg` must be
    /// one the key is bound to. A token that does not verify is given back, for
    /// the next key or the next trust domain of the same issuer.
    #[expect(
        clippy::result_large_err,
        reason = "the token is moved back to its only caller, not carried up a call chain"
    )]
    pub fn verify(self, key: &VerifyKey) -> Result<Verified, (Self, JoseError)> {
        match self.jws.check(key) {
            Ok(digest) => Ok(Verified {
                header: self.jws.header,
                claims: self.claims,
                digest,
            }),
            Err(error) => Err((self, error)),
        }
    }
}

/// A token whose signature verified. Only this room makes one.
pub struct Verified {
    header: Header,
    claims: Json,
    digest: [u8; 32],
}

impl Verified {
    /// The protected header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The algorithm that verified it.
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The claims, as parsed from the verified bytes.
    pub fn claims(&self) -> &Json {
        &self.claims
    }

    /// SHA-256 of header.payload.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

fn part(part: Part, text: &str, max: usize) -> Result<Vec<u8>, JoseError> {
    if text.is_empty() {
        return Err(JoseError::Empty(part));
    }
    if text.len() > max {
        return Err(JoseError::TooLong(part));
    }
    decode(text).ok_or(JoseError::Base64(part))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
