//! Why keys could not be had.

use std::path::PathBuf;

use crate::{
    base::outbound::FetchError,
    jose::JoseError,
    model::{issuer::UrlError, json::JsonError},
};

/// Why an attempt gave no usable keys. The last good set stays.
///
/// These texts are for the administrator: health, logs, `assay issuers`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The attempt ended without a result.
    #[error("the attempt was broken off inside the broker (its log says why)")]
    Abandoned,
    /// The discovery document could not be fetched.
    #[error("the discovery document could not be fetched: {0}")]
    DiscoveryFetch(#[source] FetchError),
    /// The discovery document is not a JSON object.
    #[error("the discovery document cannot be read: {0}")]
    DiscoveryFormat(#[source] JsonError),
    /// The discovery document has no `issuer` or no `jwks_uri`.
    #[error("the discovery document has no text member `{0}`")]
    DiscoveryMember(&'static str),
    /// The set has no key that may be used, which from an OIDC issuer is a fault.
    #[error("the key set has no usable key ({skipped} for signatures were skipped{first})")]
    Empty {
        /// How many keys of the right use were there.
        skipped: usize,
        /// Why the first was skipped.
        first: String,
    },
    /// The key set could not be fetched.
    #[error("the key set could not be fetched: {0}")]
    Fetch(#[source] FetchError),
    /// The file could not be read.
    #[error("the file {} cannot be read: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        why: String,
    },
    /// The key set is not strict JSON.
    #[error("the key set cannot be read: {0}")]
    Format(#[source] JsonError),
    /// The document belongs to another issuer.
    #[error(
        "the discovery document is for issuer `{found}`, not byte for byte `{wanted}` (write the issuer exactly as its own document does)"
    )]
    IssuerDiffers {
        /// The configured issuer.
        wanted: String,
        /// The document's, made safe to show.
        found: String,
    },
    /// The document's `jwks_uri` is on another scheme, host or port.
    #[error(
        "discovery.jwks_uri is on `{found}`, not on the issuer's own origin (set keys.url if that is meant)"
    )]
    JwksElsewhere {
        /// Its origin, made safe to show.
        found: String,
    },
    /// The document's `jwks_uri` may not be fetched.
    #[error("discovery.jwks_uri cannot be used: {0}")]
    JwksUri(#[source] UrlError),
    /// The set as a whole was refused.
    #[error("the key set cannot be used: {0}")]
    KeySet(#[source] JoseError),
    /// An older bundle than the one held.
    #[error(
        "the bundle has spiffe_sequence {found}, lower than {held} which is held; it is not taken while that one is good"
    )]
    SequenceLower {
        /// The sequence held.
        held: u64,
        /// The sequence in the document.
        found: u64,
    },
    /// The bundle's sequence is not a number that can be compared.
    #[error("spiffe_sequence is not a whole number from 0 to 2^63-1")]
    SequenceMalformed,
}

impl KeyFault {
    /// How long the server asked to be left alone, in seconds.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::DiscoveryFetch(FetchError::Status { retry_after, .. })
            | Self::Fetch(FetchError::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}
