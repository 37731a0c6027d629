//! What must be remembered.
//!
//! SKELETON CONTRACT (owner: ledger)

use std::{path::Path, sync::Arc};

use crate::{
    base::{
        BoxFuture,
        clock::{Clock, Moment},
    },
    model::{Reason, RequestId},
    signing::KeyStore,
};

/// What one exchange asks the ledger to make durable, in one transaction.
pub struct Entry {
    pub single_use: Option<SingleUse>,
    pub lease: Option<Lease>,
    pub audit: Record,
}

/// A use that may happen once until `until`.
pub struct SingleUse {
    pub trust_domain: String,
    pub digest: [u8; 32],
    pub until: Moment,
}

/// One credential: to whom, by which rule, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub id: String,
    pub target: String,
    pub subject: String,
    pub trust_domain: String,
    pub rule: String,
    pub expires_at: Moment,
}

/// One audit record before it is chained: its JSON object text without chain members, encoded once.
pub struct Record {
    pub json: String,
}

/// Why nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("the token was used before")]
    Replayed,
    #[error("disabled by a kill switch: {0}")]
    Disabled(String),
    #[error("the ledger cannot be written: {0}")]
    Unavailable(String),
}

/// What a kill switch stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Switch {
    Issuer(String),
    TrustDomain(String),
    Rule { trust_domain: String, rule: String },
    Subject(String),
    Target(String),
}

/// All kill switches that are on, as of an epoch.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    pub epoch: u64,
    pub on: std::collections::BTreeSet<Switch>,
}

/// Which audit records to read.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    pub outcome: Option<String>,
    pub reason: Option<Reason>,
    pub request_id: Option<String>,
    pub identity: Option<String>,
    pub rule: Option<String>,
    pub target: Option<String>,
    pub after_sequence: Option<u64>,
    pub limit: u32,
}

/// A chained record as stored.
#[derive(Clone, Debug)]
pub struct Chained {
    pub sequence: u64,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
    pub json: String,
}

/// The outcome of verifying the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainState {
    Intact { records: u64, head: [u8; 32] },
    Broken { sequence: u64, what: String },
}

/// The ledger. What it promises is one test suite that every backend passes.
pub trait Ledger: KeyStore {
    /// Durable when it returns. Concurrent commits share a transaction and its fsync.
    fn commit(&self, entry: Entry) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// The kill switches, at most 5 s old: one atomic load.
    fn switches(&self) -> Arc<Switches>;
    fn set_switch(
        &self,
        switch: Switch,
        on: bool,
        audit: Record,
    ) -> BoxFuture<'_, Result<(), LedgerError>>;
    fn audit(&self, query: Query) -> BoxFuture<'_, Result<Vec<Chained>, LedgerError>>;
    fn verify_chain(&self) -> BoxFuture<'_, Result<ChainState, LedgerError>>;
    fn leases(&self, live_at: Moment, limit: u32)
    -> BoxFuture<'_, Result<Vec<Lease>, LedgerError>>;
    /// Whether the last write succeeded (for `/readyz/ledger`).
    fn healthy(&self) -> bool;
    /// Deletes what no promise needs any more (expired single-use rows, leases past retention).
    fn prune(&self, now: Moment) -> BoxFuture<'_, Result<u64, LedgerError>>;
}

/// SQLite: WAL, synchronous FULL, one writer thread.
pub struct Sqlite {
    _private: (),
}

impl Sqlite {
    pub fn open(_path: &Path, _clock: Arc<dyn Clock>) -> Result<Arc<Self>, LedgerError> {
        todo!()
    }
    /// For offline reading: `audit` commands on a ledger that a server may have open.
    pub fn open_read_only(_path: &Path) -> Result<Arc<Self>, LedgerError> {
        todo!()
    }
}
#[allow(dead_code)]
fn _unused(_: RequestId) {}
