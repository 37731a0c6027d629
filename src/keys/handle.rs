//! What a trust domain holds of the keyring.

use std::sync::Arc;

use crate::{
    base::{BoxFuture, clock::Moment},
    jose::KeySet,
};

use super::{
    Health, Snapshot,
    entry::{Entry, Flight},
    scheduler::Scheduler,
};

/// One trust domain's keys. Trust domains whose specs are equal share them.
#[derive(Clone)]
pub struct Handle(Kind);

#[derive(Clone)]
enum Kind {
    Kept {
        entry: Arc<Entry>,
        scheduler: Arc<Scheduler>,
    },
    Fixed(Arc<Snapshot>),
}

impl Handle {
    pub(super) fn kept(entry: Arc<Entry>, scheduler: Arc<Scheduler>) -> Self {
        Self(Kind::Kept { entry, scheduler })
    }

    /// Keys that nobody refreshes and that do not grow stale: for offline
    /// commands that are handed a key set, and for tests.
    pub fn fixed(keys: KeySet, good_at: Moment) -> Self {
        Self(Kind::Fixed(Arc::new(Snapshot {
            keys,
            good_at: Some(good_at),
        })))
    }

    /// The keys as they are: one atomic load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        match &self.0 {
            Kind::Kept { entry, .. } => entry.snapshot(),
            Kind::Fixed(snapshot) => Arc::clone(snapshot),
        }
    }

    /// Whether the current snapshot may be relied on: confirmed within
    /// `max_stale`, by the wall clock at `now` and by uptime.
    pub fn usable(&self, now: Moment) -> bool {
        match &self.0 {
            Kind::Kept { entry, scheduler } => entry.usable(now, scheduler.uptime()),
            Kind::Fixed(_) => true,
        }
    }

    /// A token named an unknown `kid`, or failed under a known one: fetches, at
    /// most once per cool-down for all callers together. Whoever comes while a
    /// fetch is under way waits for that one. Returns whether there is another
    /// snapshot than `seen` now.
    pub fn refresh_for_token<'a>(&'a self, seen: &'a Arc<Snapshot>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let newer = || !Arc::ptr_eq(&self.snapshot(), seen);
            let Kind::Kept { entry, scheduler } = &self.0 else {
                return newer();
            };
            if newer() {
                return true;
            }
            let mut ended = match entry.begin_for_token(scheduler.uptime()) {
                None => return newer(),
                Some(Flight::Theirs(ended)) => ended,
                Some(Flight::Ours(guard)) => {
                    let ended = guard.ended();
                    scheduler.fly_for_token(guard);
                    ended
                }
            };
            // An error is the closed channel: the attempt has ended.
            while ended.changed().await.is_ok() {}
            newer()
        })
    }

    /// How the keys are doing now.
    pub fn health(&self) -> Health {
        match &self.0 {
            Kind::Kept { entry, scheduler } => scheduler.health(entry),
            Kind::Fixed(snapshot) => Health {
                keys: snapshot.keys.len(),
                skipped: Vec::new(),
                good_at: snapshot.good_at,
                sequence: None,
                next_refresh_in: None,
                last_error: None,
                fetches: 0,
                failures: 0,
                usable: true,
            },
        }
    }
}
