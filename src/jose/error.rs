//! Why a token or a key set is not acceptable.

use std::fmt;

use crate::model::{Reason, json::JsonError};

use super::Algorithm;

/// One of the three parts of a compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The first part.
    Header,
    /// The second part.
    Payload,
    /// The third part.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// Why a token or a key set is not acceptable. `reason()` is what the caller
/// is told; the text is for logs and audit records, and holds nothing that a
/// stranger sent except an algorithm's name, made safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// Over the size cap; nothing else was looked at.
    #[error("the token has {found} bytes, and at most {max} are read")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The cap.
        max: usize,
    },
    /// Not three parts.
    #[error(
        "the token is not three parts joined by two dots: only compact JWS is read, no JWE and no JSON serialisation"
    )]
    NotCompact,
    /// A part that must not be empty is.
    #[error("the token's {0} is empty")]
    Empty(Part),
    /// A part is longer than anything valid.
    #[error("the token's {0} is longer than any valid one")]
    TooLong(Part),
    /// A part is not strict base64url.
    #[error("the token's {0} is not base64url without padding and with zero bits at its end")]
    Base64(Part),
    /// A part is not strict JSON.
    #[error("the token's {0}: {1}")]
    Json(Part, JsonError),
    /// A part is JSON, but no object.
    #[error("the token's {0} is not a JSON object")]
    NotAnObject(Part),
    /// No `alg`, or one that is not text.
    #[error("the token's header has no alg that is text")]
    AlgorithmMissing,
    /// `none`, a symmetric algorithm, or one that nobody knows.
    #[error("the token's alg is {0}, which is never accepted")]
    AlgorithmRefused(String),
    /// An algorithm that the key is not bound to.
    #[error("the token's alg is {0}, which its key is not for")]
    AlgorithmNotOfKey(Algorithm),
    /// A header parameter that would change how the token is read.
    #[error("the token's header has {0}, which is never accepted")]
    HeaderRefused(&'static str),
    /// `kid` of the wrong type or form.
    #[error("the token's kid is not text of 1 to 512 bytes without control characters")]
    KeyId,
    /// `typ` of the wrong type or form.
    #[error("the token's typ is not a media type of at most 255 characters")]
    Type,
    /// The signature does not verify.
    #[error("the signature does not verify under the key")]
    Signature,
    /// A key set that cannot be used at all.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// Why a whole key set is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Too many bytes.
    #[error("the key set is larger than 1 MiB")]
    TooLarge,
    /// Not strict JSON.
    #[error("the key set: {0}")]
    Json(JsonError),
    /// No `keys` array.
    #[error("the key set is not a JSON object with an array `keys`")]
    NoKeys,
    /// Too many keys.
    #[error("the key set has more than 100 keys")]
    TooMany,
    /// A private or symmetric key is in public.
    #[error(
        "key {0} of the set (counted from 0) has private or symmetric members: its owner has published a secret, so none of the set is trusted"
    )]
    Private(usize),
}

impl JoseError {
    /// What the caller is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::TokenTooLarge,
            Self::NotCompact
            | Self::Empty(_)
            | Self::TooLong(_)
            | Self::Base64(_)
            | Self::NotAnObject(_)
            | Self::Json(_, JsonError::Syntax | JsonError::TooComplex) => Reason::TokenMalformed,
            Self::Json(_, JsonError::DuplicateMember) => Reason::MemberDuplicated,
            Self::AlgorithmMissing | Self::AlgorithmRefused(_) | Self::AlgorithmNotOfKey(_) => {
                Reason::AlgorithmNotAllowed
            }
            Self::HeaderRefused(_) => Reason::HeaderNotAllowed,
            Self::KeyId => Reason::KeyIdMissing,
            Self::Type => Reason::TypeNotAllowed,
            Self::Signature => Reason::SignatureInvalid,
            Self::Set(_) => Reason::IssuerUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_what_was_found_and_what_is_wanted() {
        let error = JoseError::TooLarge { found: 9, max: 8 };
        assert_eq!(
            error.to_string(),
            "the token has 9 bytes, and at most 8 are read"
        );
        let error = JoseError::Json(Part::Payload, JsonError::DuplicateMember);
        assert_eq!(
            error.to_string(),
            "the token's payload: a member name stands twice in one object"
        );
        assert_eq!(error.reason(), Reason::MemberDuplicated);
        assert_eq!(
            JoseError::from(SetError::NoKeys).reason(),
            Reason::IssuerUnavailable
        );
    }
}
