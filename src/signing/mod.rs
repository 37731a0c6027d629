//! Our own keys: one set for each target.
//!
//! Temporal does not check who issued a token, so what keeps a token of one
//! cluster from another is that each has a key of its own. Keys go from next
//! (published, unused) to active (signs) to retiring (published, unused) to
//! retired (withdrawn); `lifecycle` says when. They are stored sealed, and read
//! without a lock: a signature or a key set costs one atomic load.

mod lifecycle;
mod rotation;
mod seal;
mod store;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    base::clock::Moment,
    jose::Signer,
    model::{TargetName, TargetSigning},
};

pub use rotation::{Rotate, Signing};
pub use store::{KeyChange, KeyRecord, KeyStore, KeyStoreError, Phase};

/// The key that signs for a target now.
pub type ActiveKey = Arc<dyn Signer>;

/// The broker's own key set. It signs nothing under its own name, and a set
/// with a target's key in it would be a place where two targets meet.
pub const BROKER_JWKS: &str = r#"{"keys":[]}"#;

/// One key as shown to an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Whose key it is.
    pub target: TargetName,
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub signing: TargetSigning,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was made.
    pub created_at: Moment,
    /// When its phase began.
    pub since: Moment,
    /// When the next phase is due, if that is known.
    pub due: Option<Moment>,
}

/// Why keys are not available.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The key-encryption key has the wrong form.
    #[error("the key-encryption key is not 32 bytes: raw, as 64 hexadecimal digits, or in base64")]
    KeyEncryptionKey,
    /// A stored key cannot be unsealed.
    #[error(
        "a stored signing key cannot be unsealed: the key-encryption key is not the one that it was sealed under"
    )]
    Sealed,
    /// A key could not be made or read.
    #[error("a signing key could not be made or read")]
    Key,
    /// No such target.
    #[error("there is no target {0}")]
    NoSuchTarget(String),
    /// No such key.
    #[error("target {0} has no key {1}")]
    NoSuchKey(String, String),
    /// What was asked would break something.
    #[error("{0}")]
    Refused(&'static str),
    /// Other processes changed the keys again and again.
    #[error("the keys are being changed by another process: try again")]
    Contended,
}

/// What the readers see: swapped whole.
#[derive(Default)]
struct State {
    targets: HashMap<TargetName, TargetKeys>,
}

struct TargetKeys {
    active: Option<ActiveKey>,
    jwks: Bytes,
    views: Vec<KeyView>,
}
