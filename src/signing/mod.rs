//! Our own keys: one set for each target.
//!
//! Temporal does not check who issued a token, so what keeps a token of one
//! cluster from another is that each has a key of its own. A key goes from
//! next (published, unused) to active (signs) to retiring (published, unused)
//! to retired (withdrawn, its private part destroyed).
//!
//! Servers read a key set on a plain ticker and never because of an unknown
//! key, so two promises carry the whole room. A key has been in every key set
//! that a server can hold before the first token is signed with it; and it
//! stays in every key set until the last token that it can have signed has
//! expired. `lifecycle` turns them into periods. They hold although several
//! processes share one store, each with its own view of it: a view that was
//! not refreshed for too long is not used, neither to sign nor to publish.
//! They hold although wall clocks jump: see `age`.
//!
//! The very first key of a target signs at once. No server can hold an older
//! set of that target, so nothing that worked can stop working; a server that
//! was started before the key existed accepts its tokens from its next refresh.
//!
//! Private keys are stored sealed, and what is published comes out of the
//! sealed part: who can write to the store cannot add a key of his own.

mod age;
mod lifecycle;
mod rotation;
mod seal;
mod store;
mod view;

#[cfg(test)]
mod invariants_tests;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod shared_store_tests;

use std::sync::Arc;

use crate::{
    base::clock::Moment,
    jose::Signer,
    model::{TargetName, TargetSigning},
};

pub use rotation::{Rotate, Signing};
pub use store::{KeyChange, KeyRecord, KeyStore, KeyStoreError, Phase};

/// The key that signs for a target now.
pub type ActiveKey = Arc<dyn Signer>;

/// The broker's own key set. The broker signs nothing under its own name, and
/// a target's key in this set would be a place where two targets meet.
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
    /// When it goes to the next phase, if that is known.
    pub due: Option<Moment>,
}

/// Why keys are not available, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The key-encryption key has the wrong form.
    #[error(
        "the key-encryption key is not 32 random bytes: give them in base64 (43 or 44 characters), as 64 hexadecimal digits, or raw"
    )]
    KeyEncryptionKey,
    /// A stored key cannot be unsealed.
    #[error(
        "a stored signing key cannot be unsealed: the key-encryption key is not the one that it was sealed under, or the row was changed"
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
