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
    /// Published for what it signed; signs no more.
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
    /// When the phase began.
    pub since: Moment,
    /// The public JWK's text.
    pub public_jwk: String,
    /// The private key, sealed; empty once it is retired.
    pub sealed: Vec<u8>,
}

/// The store could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("signing-key storage: {0}")]
pub struct KeyStoreError(pub String);

/// Where key records are kept. The ledger implements it.
pub trait KeyStore: Send + Sync {
    /// Every record.
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>>;

    /// Inserts or replaces records, by target and kid, in one transaction, and
    /// only if each is still in the phase that the change says it was in;
    /// `false` if another process was first, and nothing is changed.
    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>>;
}

/// One change to the store.
#[derive(Clone)]
pub struct KeyChange {
    /// The phase that it is in now; `None`: a new key.
    pub was: Option<Phase>,
    /// What to store.
    pub record: KeyRecord,
}
