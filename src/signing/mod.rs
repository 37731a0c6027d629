//! Our own keys: one set per target.
//!
//! SKELETON CONTRACT (owner: signing+mint)

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    base::{BoxFuture, clock::Moment, secret::Secret},
    jose::Signer,
    model::{Target, TargetName, TargetSigning},
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

/// A stored key. The private part is sealed under the key-encryption key.
#[derive(Clone)]
pub struct KeyRecord {
    pub target: TargetName,
    pub kid: String,
    pub signing: TargetSigning,
    pub phase: Phase,
    pub created_at: Moment,
    /// When the current phase began.
    pub since: Moment,
    /// The public JWK text.
    pub public_jwk: String,
    /// AES-256-GCM: nonce, ciphertext, tag; bound to target and kid as associated data.
    pub sealed: Vec<u8>,
}

/// The store could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("signing-key storage: {0}")]
pub struct KeyStoreError(pub String);

/// Where key records are kept. Implemented by the ledger.
pub trait KeyStore: Send + Sync {
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>>;
    /// Inserts or replaces these records in one transaction (by target and kid), only if every record
    /// that exists still has the given previous phase (compare and set); false if another process was first.
    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>>;
}

/// One change to the store.
#[derive(Clone)]
pub struct KeyChange {
    /// `None`: a new key.
    pub was: Option<Phase>,
    pub record: KeyRecord,
}

/// What rotation was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Publish a next key now (if there is none) and let it take over when it has been published long enough.
    Schedule,
    /// The active key is compromised: next takes over at once, the old one is withdrawn at once.
    Compromised,
}

/// Our keys, read without a lock.
pub struct Signing {
    _private: (),
}

/// The key that signs for a target now.
pub type ActiveKey = Arc<dyn Signer>;

impl Signing {
    /// Loads, unseals, makes the missing first keys, and advances what is due.
    pub fn open(
        _store: Arc<dyn KeyStore>,
        _kek: Secret,
        _clock: Arc<dyn crate::base::clock::Clock>,
    ) -> BoxFuture<'static, Result<Arc<Self>, SigningError>> {
        todo!()
    }
    /// Takes on a plan's targets (their refresh interval, lifetimes, longest TTL) and makes missing keys.
    pub fn apply<'a>(
        &'a self,
        _targets: &'a [Arc<Target>],
    ) -> BoxFuture<'a, Result<(), SigningError>> {
        todo!()
    }
    /// Re-reads the store (another process may have rotated) and advances every phase that is due.
    pub fn tick(&self) -> BoxFuture<'_, Result<(), SigningError>> {
        todo!()
    }
    pub fn active(&self, _target: &TargetName) -> Option<ActiveKey> {
        todo!()
    }
    /// The key set that the target's server reads, from memory: next, active and retiring keys.
    pub fn jwks(&self, _target: &TargetName) -> Option<Bytes> {
        todo!()
    }
    pub fn rotate<'a>(
        &'a self,
        _target: &'a TargetName,
        _how: Rotate,
    ) -> BoxFuture<'a, Result<(), SigningError>> {
        todo!()
    }
    pub fn retire<'a>(
        &'a self,
        _target: &'a TargetName,
        _kid: &'a str,
    ) -> BoxFuture<'a, Result<(), SigningError>> {
        todo!()
    }
    /// For `assay keys list`: records without secrets, with when the next phase is due.
    pub fn list(&self) -> Vec<KeyView> {
        todo!()
    }
}

/// One key as shown to an administrator.
#[derive(Clone, Debug)]
pub struct KeyView {
    pub target: TargetName,
    pub kid: String,
    pub signing: TargetSigning,
    pub phase: Phase,
    pub created_at: Moment,
    pub since: Moment,
    /// When it moves to the next phase, if that is known.
    pub due: Option<Moment>,
}

/// Why keys are not available.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    #[error(
        "a stored signing key cannot be unsealed: the key-encryption key is not the one it was sealed under"
    )]
    Sealed,
    #[error("target {0} has no key {1}")]
    NoSuchKey(String, String),
    #[error("{0}")]
    Refused(String),
}
