//! The keys of others: fetched in the background, read without a lock.
//!
//! SKELETON CONTRACT (owner: keys)

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    base::{
        BoxFuture,
        clock::{Clock, Moment},
        outbound::{Outbound, Peer},
        random::Random,
    },
    jose::{Algorithm, KeySet, KeyUse},
    model::{HttpsUrl, IssuerUrl, TrustDomainName, Ttl},
};

/// Where a trust domain's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// OpenID Connect Discovery from the issuer, then its `jwks_uri`.
    Discovery(IssuerUrl),
    /// A JWKS at this URL (or a SPIFFE bundle document over https_web, when `uses` is JwtSvid).
    Url(HttpsUrl),
    /// A JWKS or SPIFFE bundle document in a file, watched.
    File(PathBuf),
}

/// How to obtain and judge one trust domain's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub source: Source,
    pub uses: KeyUse,
    pub allowed: Vec<Algorithm>,
    pub peer: Peer,
    /// Regular refresh interval (a SPIFFE refresh hint may shorten it). Default 5 min.
    pub refresh: Ttl,
    /// The last good set is refused when older than this. Default 24 h.
    pub max_stale: Ttl,
    /// Least time between refreshes that a token causes. Default 30 s.
    pub cool_down: Ttl,
}

/// An immutable set of keys and when it was good.
pub struct Snapshot {
    pub keys: KeySet,
    /// When this set was last confirmed by a successful fetch; `None`: never.
    pub good_at: Option<Moment>,
}

impl Snapshot {
    /// Whether the set may be relied on at `now`.
    pub fn usable(&self, _now: Moment, _max_stale: Duration) -> bool {
        todo!()
    }
}

/// One trust domain's keys.
#[derive(Clone)]
pub struct Handle {
    _private: Arc<()>,
}

impl Handle {
    /// The keys as they are: one atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }
    /// Whether the current snapshot may be relied on.
    pub fn usable(&self, _now: Moment) -> bool {
        todo!()
    }
    /// A token named an unknown kid, or failed under a known one: at most one shared refresh per cool-down,
    /// recorded before the fetch. Returns whether a newer snapshot than `seen` is there now.
    pub fn refresh_for_token<'a>(&'a self, _seen: &'a Arc<Snapshot>) -> BoxFuture<'a, bool> {
        todo!()
    }
    pub fn health(&self) -> Health {
        todo!()
    }
}

/// How one trust domain's keys are doing.
#[derive(Clone, Debug)]
pub struct Health {
    pub keys: usize,
    pub good_at: Option<Moment>,
    pub next_refresh_in: Option<Duration>,
    pub last_error: Option<String>,
    pub fetches: u64,
    pub failures: u64,
    pub usable: bool,
}

/// All trust domains' keys, and the one scheduler that refreshes them.
pub struct Keyring {
    _private: (),
}

impl Keyring {
    pub fn new(
        _clock: Arc<dyn Clock>,
        _random: Arc<dyn Random>,
        _outbound: Arc<dyn Outbound>,
    ) -> Arc<Self> {
        todo!()
    }
    /// Takes on a new plan's specs. An unchanged spec keeps its snapshot and schedule; others start cold
    /// (files are read at once). Returns the handle of each.
    pub fn apply(
        &self,
        _specs: &BTreeMap<TrustDomainName, Spec>,
    ) -> BTreeMap<TrustDomainName, Handle> {
        todo!()
    }
    /// Runs the scheduler until dropped. Bounded concurrent fetches, jitter, back-off.
    pub fn run(self: Arc<Self>) -> BoxFuture<'static, ()> {
        todo!()
    }
    /// Fetches everything that is cold or due once, and waits. For offline commands and tests.
    pub fn refresh_due(&self) -> BoxFuture<'_, ()> {
        todo!()
    }
}
