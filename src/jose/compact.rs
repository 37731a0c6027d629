//! Compact serialisation: strict parse, then verify the very bytes parsed.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::{Json, Reason, json::JsonError};

use super::{Algorithm, Header, VerifyKey};

/// Why a token is no acceptable JWS, or a key set no acceptable key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Over the size limit.
    #[error("larger than the limit")]
    TooLarge,
    /// Not three parts of strict base64url holding JSON objects.
    #[error(
        "not a compact JWS: three parts of unpadded base64url, of which the first two hold JSON objects"
    )]
    Form,
    /// A JSON member stands twice.
    #[error("a JSON member stands twice")]
    Duplicate,
    /// `alg` is missing, unknown, symmetric, or not what the key is bound to.
    #[error("the algorithm is not one that the key may be used with")]
    Algorithm,
    /// A header parameter that is never accepted.
    #[error("the header parameter {0} is not accepted")]
    Header(&'static str),
    /// `kid` is not short plain text.
    #[error("kid is not 1 to 512 bytes of text without control characters")]
    KeyId,
    /// `typ` is not short plain text.
    #[error("typ is not 1 to 512 bytes of text without control characters")]
    Type,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The key set as a whole is unacceptable.
    #[error("the key set is not acceptable: {0}")]
    KeySet(&'static str),
}

impl JoseError {
    /// What the caller is told.
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::TokenTooLarge,
            Self::Form | Self::KeySet(_) => Reason::TokenMalformed,
            Self::Duplicate => Reason::MemberDuplicated,
            Self::Algorithm => Reason::AlgorithmNotAllowed,
            Self::Header(_) => Reason::HeaderNotAllowed,
            Self::KeyId => Reason::KeyIdMissing,
            Self::Type => Reason::TypeNotAllowed,
            Self::Signature => Reason::SignatureInvalid,
        }
    }
}

impl From<JsonError> for JoseError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::DuplicateMember => Self::Duplicate,
            JsonError::Syntax | JsonError::TooComplex => Self::Form,
        }
    }
}

/// A token that is well formed and **not** verified.
pub struct Compact<'t> {
    signing_input: &'t str,
    signature: Vec<u8>,
    header: Header,
    unverified_claims: Json,
}

impl<'t> Compact<'t> {
    /// Parses exactly three parts of strict base64url (no padding, no unused
    /// bits, no other characters), of at most `max_bytes` together. JSON
    /// serialisation and encrypted tokens are refused by the same rule.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, JoseError> {
        if token.len() > max_bytes {
            return Err(JoseError::TooLarge);
        }
        // Found one by one: a token of nothing but dots costs no allocation.
        let first = token.find('.').ok_or(JoseError::Form)?;
        let (head, rest) = (&token[..first], &token[first + 1..]);
        let second = rest.find('.').ok_or(JoseError::Form)?;
        let (payload, signature) = (&rest[..second], &rest[second + 1..]);
        if signature.contains('.') {
            return Err(JoseError::Form);
        }
        let header = Header::read(&Json::parse(&decode(head)?)?)?;
        let unverified_claims = Json::parse(&decode(payload)?)?;
        if unverified_claims.as_object().is_none() {
            return Err(JoseError::Form);
        }
        Ok(Self {
            signing_input: &token[..first + 1 + second],
            signature: decode(signature)?,
            header,
            unverified_claims,
        })
    }

    /// The header: untrusted until verified, like all of it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// For one purpose: to pick configured trust domains.
    pub fn unverified_claims(&self) -> &Json {
        &self.unverified_claims
    }

    /// SHA-256 of `header.payload`: the single-use key. It does not depend on
    /// the signature, which a third party can alter without breaking it (ECDSA).
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.signing_input.as_bytes())
    }

    /// Verifies under a key. The token's algorithm must be one that the key was
    /// bound to when it was loaded.
    pub fn verify(self, key: &VerifyKey) -> Result<Verified, (Self, JoseError)> {
        let Some(verifier) = key.verifier(self.header.algorithm) else {
            return Err((self, JoseError::Algorithm));
        };
        match verifier.verify_sig(self.signing_input.as_bytes(), &self.signature) {
            Ok(()) => Ok(Verified {
                digest: self.digest(),
                header: self.header,
                claims: self.unverified_claims,
            }),
            Err(_) => Err((self, JoseError::Signature)),
        }
    }
}

/// A token whose signature verified. Only this room makes one.
///
/// ```compile_fail
/// fn forge(claims: assay::model::Json) -> assay::jose::Verified {
///     assay::jose::Verified { claims }
/// }
/// ```
#[derive(Debug)]
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

    /// The algorithm that verified.
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The claims, from the bytes that were verified.
    pub fn claims(&self) -> &Json {
        &self.claims
    }

    /// See [`Compact::digest`].
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

pub(super) fn decode(part: &str) -> Result<Vec<u8>, JoseError> {
    if part.is_empty() {
        return Err(JoseError::Form);
    }
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Form)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
