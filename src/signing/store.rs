//! Key records, and where they are kept.

use crate::{
    base::{BoxFuture, clock::Moment},
    model::{TargetName, TargetSigning},
};

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Published, not yet used.
    Next,
    /// Signs.
    Active,
    /// Published for verification of what it signed; signs no more.
    Retiring,
    /// Withdrawn.
    Retired,
}

impl Phase {
    /// The word in storage and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// A stored key.
#[derive(Clone)]
pub struct KeyRecord {
    /// Whose key it is.
    pub target: TargetName,
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// Its algorithm.
    pub signing: TargetSigning,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was made.
    pub created_at: Moment,
    /// When the current phase began.
    pub since: Moment,
    /// The public JWK's text, for people who look at the store. What is
    /// published is derived from the private key.
    pub public_jwk: String,
    /// The sealed private key; empty once the key is retired.
    pub sealed: Vec<u8>,
}

/// The store could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("signing-key storage: {0}")]
pub struct KeyStoreError(pub String);

/// Where key records are kept. Implemented by the ledger.
pub trait KeyStore: Send + Sync {
    /// Every record.
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>>;

    /// Inserts or replaces these records, by target and kid, in one
    /// transaction, and only if each is still in the phase that the change
    /// says it was in (or absent, for a new one). `false`: another process was
    /// first, and nothing was changed.
    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>>;
}

/// One change to the store.
#[derive(Clone)]
pub struct KeyChange {
    /// The phase that the stored record is in; `None`: a new key.
    pub was: Option<Phase>,
    /// What to store.
    pub record: KeyRecord,
}
