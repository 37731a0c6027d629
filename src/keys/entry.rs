//! One source's keys: the snapshot that requests read, and what is known
//! about the attempts to renew it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    base::{clock::Moment, file::Stamp},
    jose::{KeySet, Skipped},
};

use super::{KeyFault, Source, Spec, agenda::Id, document::Document, pace};

/// An immutable set of keys and when it was good.
#[derive(Default)]
pub struct Snapshot {
    /// The keys.
    pub keys: KeySet,
    /// When this set was last confirmed by a successful fetch; `None`: never.
    pub good_at: Option<Moment>,
}

impl Snapshot {
    /// Whether the set may be relied on at `now`, by the wall clock alone.
    /// [`super::Handle::usable`] also counts by the clock that nobody can set back.
    pub fn usable(&self, now: Moment, max_stale: Duration) -> bool {
        self.good_at
            .is_some_and(|good_at| now.since(good_at) <= max_stale)
    }
}

/// How one trust domain's keys are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Usable keys in the snapshot.
    pub keys: usize,
    /// Keys of the last good document that are not used, and why.
    pub skipped: Vec<Skipped>,
    /// When the snapshot was last confirmed.
    pub good_at: Option<Moment>,
    /// The last `spiffe_sequence` taken.
    pub sequence: Option<u64>,
    /// When the next scheduled fetch is due.
    pub next_refresh_in: Option<Duration>,
    /// Why the last attempt failed; `None` if it did not.
    pub last_error: Option<String>,
    /// Attempts so far.
    pub fetches: u64,
    /// Failed attempts so far.
    pub failures: u64,
    /// Whether the snapshot may be relied on now.
    pub usable: bool,
}

/// No set was ever good.
const NEVER: u64 = u64::MAX;

pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) spec: Spec,
    snapshot: ArcSwap<Snapshot>,
    /// Uptime in milliseconds when the snapshot was last confirmed.
    good_uptime: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// There while an attempt is under way; closes when it ends.
    flight: Option<watch::Receiver<()>>,
    /// Until then no token causes a fetch.
    cool_until: Duration,
    /// Until then the server asked to be left alone.
    rest_until: Duration,
    failures_in_a_row: u32,
    fetches: u64,
    failures: u64,
    last_error: Option<KeyFault>,
    sequence: Option<u64>,
    skipped: Vec<Skipped>,
    stamp: Option<Stamp>,
}

/// Who makes an attempt.
pub(super) enum Flight {
    /// The caller does, and holds the right to.
    Ours(FlightGuard),
    /// Somebody else does; the channel closes when it ends.
    Theirs(watch::Receiver<()>),
}

/// The right to make the one attempt at a time. However it ends, by a result,
/// a panic or being dropped, dropping this lets the next one begin.
pub(super) struct FlightGuard {
    pub(super) entry: Arc<Entry>,
    ended: watch::Sender<()>,
}

impl FlightGuard {
    /// A channel that closes when the attempt ends.
    pub(super) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        self.entry.state().flight = None;
    }
}

impl Entry {
    /// An entry that has no keys yet.
    pub(super) fn cold(id: Id, spec: Spec) -> Self {
        Self {
            id,
            spec,
            snapshot: ArcSwap::default(),
            good_uptime: AtomicU64::new(NEVER),
            state: Mutex::default(),
        }
    }

    /// An entry for the same keys as `old` at another pace: it goes on with them.
    pub(super) fn continuing(id: Id, spec: Spec, old: &Self) -> Self {
        let was = old.state();
        let state = State {
            cool_until: was.cool_until,
            rest_until: was.rest_until,
            sequence: was.sequence,
            skipped: was.skipped.clone(),
            ..State::default()
        };
        Self {
            id,
            spec,
            snapshot: ArcSwap::new(old.snapshot()),
            good_uptime: AtomicU64::new(old.good_uptime.load(Ordering::Acquire)),
            state: Mutex::new(state),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether there never was a good set.
    pub(super) fn is_cold(&self) -> bool {
        self.good_uptime.load(Ordering::Acquire) == NEVER
    }

    /// Good by both clocks. The wall clock alone could be set back, which would
    /// keep withdrawn keys alive; uptime alone stands still while a machine sleeps.
    pub(super) fn usable(&self, now: Moment, uptime: Duration) -> bool {
        let max_stale = self.spec.max_stale.duration();
        let good = self.good_uptime.load(Ordering::Acquire);
        good != NEVER
            && uptime.saturating_sub(Duration::from_millis(good)) <= max_stale
            && self.snapshot.load().usable(now, max_stale)
    }

    /// Begins an attempt, or joins the one that is under way.
    pub(super) fn begin(self: &Arc<Self>) -> Flight {
        self.begin_locked(&mut self.state())
    }

    /// Begins or joins an attempt because of a token, unless it is too early.
    /// The cool-down counts from here, whatever becomes of the attempt.
    pub(super) fn begin_for_token(self: &Arc<Self>, uptime: Duration) -> Option<Flight> {
        let mut state = self.state();
        if state.flight.is_none() {
            if uptime < state.cool_until.max(state.rest_until) {
                return None;
            }
            state.cool_until = uptime.saturating_add(self.spec.cool_down.duration());
        }
        Some(self.begin_locked(&mut state))
    }

    fn begin_locked(self: &Arc<Self>, state: &mut State) -> Flight {
        match &state.flight {
            Some(ended) => Flight::Theirs(ended.clone()),
            None => {
                let (ended, receiver) = watch::channel(());
                state.flight = Some(receiver);
                Flight::Ours(FlightGuard {
                    entry: Arc::clone(self),
                    ended,
                })
            }
        }
    }

    /// The file that the keys come from, and its stamp at the last attempt.
    pub(super) fn file(&self) -> Option<(&Path, Option<Stamp>)> {
        match &self.spec.source {
            Source::File(path) => Some((path, self.state().stamp)),
            Source::Discovery(_) | Source::Url(_) => None,
        }
    }

    /// Records that the file is about to be read as it is now.
    pub(super) fn stamp_file(&self) {
        if let Source::File(path) = &self.spec.source {
            let stamp = Stamp::of(path);
            self.state().stamp = stamp;
        }
    }

    /// Takes the result of an attempt: swaps the set, or keeps the last good
    /// one. Returns how long to wait before the next.
    pub(super) fn settle(
        &self,
        result: Result<Document, KeyFault>,
        now: Moment,
        uptime: Duration,
    ) -> Duration {
        let result = result.and_then(|document| self.not_older(document, now, uptime));
        let mut state = self.state();
        state.fetches += 1;
        match result {
            Ok(document) => {
                if state.failures_in_a_row > 0 || self.is_cold() {
                    tracing::info!(source = %self.spec.source, keys = document.keys.len(), "keys are fresh");
                }
                state.failures_in_a_row = 0;
                state.last_error = None;
                state.rest_until = Duration::ZERO;
                state.sequence = document.sequence.or(state.sequence);
                state.skipped = document.skipped;
                self.snapshot.store(Arc::new(Snapshot {
                    keys: document.keys,
                    good_at: Some(now),
                }));
                let millis = u64::try_from(uptime.as_millis()).unwrap_or(NEVER - 1);
                self.good_uptime.store(millis, Ordering::Release);
                pace::after_success(&self.spec, document.hint)
            }
            Err(fault) => {
                if state.last_error.as_ref() != Some(&fault) {
                    tracing::warn!(source = %self.spec.source, error = %fault, "keys could not be refreshed");
                }
                state.failures += 1;
                state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
                let retry_after = fault.retry_after();
                state.rest_until = uptime.saturating_add(pace::rest(&self.spec, retry_after));
                state.last_error = Some(fault);
                pace::after_failure(&self.spec, state.failures_in_a_row, retry_after)
            }
        }
    }

    /// A bundle with a lower sequence than the one held is an old copy, and
    /// taking it could bring back a withdrawn key. Once the held one is too old
    /// to be used there is nothing left to protect, and a publisher that began
    /// to count anew is believed. A document without a sequence is taken as it
    /// is: the member is optional, and the newest answer counts.
    fn not_older(
        &self,
        document: Document,
        now: Moment,
        uptime: Duration,
    ) -> Result<Document, KeyFault> {
        let held = self.state().sequence;
        match (held, document.sequence) {
            (Some(held), Some(found)) if found < held && self.usable(now, uptime) => {
                Err(KeyFault::SequenceLower { held, found })
            }
            _ => Ok(document),
        }
    }

    pub(super) fn health(
        &self,
        now: Moment,
        uptime: Duration,
        next_refresh_in: Option<Duration>,
    ) -> Health {
        let snapshot = self.snapshot();
        let usable = self.usable(now, uptime);
        let state = self.state();
        Health {
            keys: snapshot.keys.len(),
            skipped: state.skipped.clone(),
            good_at: snapshot.good_at,
            sequence: state.sequence,
            next_refresh_in,
            last_error: state.last_error.as_ref().map(ToString::to_string),
            fetches: state.fetches,
            failures: state.failures,
            usable,
        }
    }

    /// Nothing that panics runs while this is held, and each field is valid by
    /// itself: a poisoned lock holds no broken state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
