//! All trust domains' keys.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    base::{BoxFuture, clock::Clock, outbound::Outbound, random::Random},
    model::TrustDomainName,
};

use super::{Handle, Spec, scheduler::Scheduler};

/// How much the keyring does at a time, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time for one attempt, discovery and key set together.
    pub deadline: Duration,
    /// Most scheduled attempts at a time.
    pub routine: usize,
    /// Most attempts at a time that tokens caused.
    pub urgent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            routine: 8,
            urgent: 64,
        }
    }
}

/// All trust domains' keys, and the one scheduler that refreshes them.
pub struct Keyring {
    scheduler: Arc<Scheduler>,
}

impl Keyring {
    /// A keyring without entries, with the usual limits.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        outbound: Arc<dyn Outbound>,
    ) -> Arc<Self> {
        Self::with_limits(clock, random, outbound, Limits::default())
    }

    /// A keyring without entries.
    pub fn with_limits(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        outbound: Arc<dyn Outbound>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            scheduler: Arc::new(Scheduler::new(clock, random, outbound, limits)),
        })
    }

    /// Takes on a new plan's specs. An unchanged spec keeps its snapshot and
    /// its place in the schedule, one that changed in its times alone keeps its
    /// snapshot; others start cold (files are read at once). Equal specs share
    /// one entry. Returns the handle of each; handles of an earlier plan go on
    /// to answer with what they had.
    pub fn apply(
        &self,
        specs: &BTreeMap<TrustDomainName, Spec>,
    ) -> BTreeMap<TrustDomainName, Handle> {
        let entries = self.scheduler.adopt(specs.values());
        let handle = |entry| Handle::kept(entry, Arc::clone(&self.scheduler));
        specs
            .keys()
            .cloned()
            .zip(entries.into_iter().map(handle))
            .collect()
    }

    /// Runs the scheduler until dropped. Bounded concurrent fetches, jitter, back-off.
    pub fn run(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(Arc::clone(&self.scheduler).run())
    }

    /// Fetches everything that is cold or due once, and waits. For offline
    /// commands and tests.
    pub fn refresh_due(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.scheduler.refresh_due())
    }

    #[cfg(test)]
    pub(super) fn scheduler(&self) -> Arc<Scheduler> {
        Arc::clone(&self.scheduler)
    }
}
