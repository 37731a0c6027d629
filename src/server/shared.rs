//! What all connections share, and what each one knows of itself.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, header::USER_AGENT};

use super::{
    admission::{AddressKey, AddressRate},
    app::{App, Peer},
    counters::Counters,
    limits::Limits,
};
use crate::{
    base::{
        clock::Clock,
        random::{self, Random},
        text,
    },
    model::RequestId,
};

/// Most characters of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 128;

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Token endpoint, key sets, metadata.
    Public,
    /// For administrators.
    Admin,
    /// Health and metrics.
    Telemetry,
}

impl Kind {
    /// Its name in the configuration and in the ready file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Admin => "admin",
            Self::Telemetry => "telemetry",
        }
    }
}

/// Shared by all connections of all listeners. Nothing in it is locked.
pub(super) struct Shared {
    pub(super) app: Arc<dyn App>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    pub(super) request_rate: AddressRate,
    /// `Cache-Control` of key sets and metadata.
    pub(super) cache_keys: HeaderValue,
    /// Shutting down: not ready, and every HTTP/1.1 answer is the last one of
    /// its connection.
    pub(super) is_draining: AtomicBool,
    pub(super) in_flight: Tally,
    pub(super) partial_bodies: Tally,
}

impl Shared {
    pub(super) fn new(
        app: Arc<dyn App>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        limits: Limits,
    ) -> Self {
        Self {
            app,
            clock,
            random,
            counters: Counters::default(),
            request_rate: AddressRate::new(limits.request_rate, limits.addresses),
            cache_keys: HeaderValue::try_from(format!("public, max-age={}", limits.jwks_max_age))
                .unwrap_or(HeaderValue::from_static("no-cache")),
            is_draining: AtomicBool::new(false),
            in_flight: Tally::default(),
            partial_bodies: Tally::default(),
            limits,
        }
    }

    pub(super) fn request_id(&self) -> RequestId {
        RequestId::new(self.clock.now().millis(), random::bytes(&*self.random))
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}

/// A sum with a ceiling.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicUsize);

impl Tally {
    /// Adds `amount` for as long as the share is kept, unless that would pass
    /// `ceiling`.
    pub(super) fn add(&self, amount: usize, ceiling: usize) -> Option<Share<'_>> {
        let before = self.0.fetch_add(amount, Ordering::Relaxed);
        let share = Share {
            tally: self,
            amount,
        };
        (before.saturating_add(amount) <= ceiling).then_some(share)
    }
}

/// A part of a [`Tally`]; given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'t> {
    tally: &'t Tally,
    amount: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.tally.0.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// One connection.
pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) kind: Kind,
    pub(super) address: IpAddr,
    pub(super) key: AddressKey,
    pub(super) is_http1: bool,
    pub(super) activity: Activity,
}

impl Conn {
    /// The other end, as the application hears of it.
    pub(super) fn peer(&self, headers: &HeaderMap) -> Peer {
        Peer {
            address: self.address,
            user_agent: headers.get(USER_AGENT).map(|value| {
                let lossy = String::from_utf8_lossy(value.as_bytes());
                text::display(&lossy, MAX_USER_AGENT)
            }),
        }
    }
}

/// What happens on a connection, for those who must decide whether to close it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    busy: AtomicU32,
    unread: AtomicBool,
}

impl Activity {
    /// A request is in work for as long as the guard is kept.
    pub(super) fn begin(&self) -> impl Drop + use<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// Requests begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether a request is in work.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// An answer was given without reading the body.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the caller may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

struct Busy<'a>(&'a Activity);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_stops_at_its_ceiling_and_gets_back_what_was_taken() {
        let tally = Tally::default();
        let first = tally.add(6, 10);
        assert!(first.is_some());
        assert!(tally.add(5, 10).is_none());
        assert!(tally.add(4, 10).is_some());
        drop(first);
        assert!(tally.add(10, 10).is_some());
        assert!(tally.add(usize::MAX, 10).is_none());
        assert!(tally.add(10, 10).is_some());
    }

    #[test]
    fn a_connection_is_busy_while_a_guard_is_kept() {
        let activity = Activity::default();
        assert!(!activity.is_busy());
        let one = activity.begin();
        let two = activity.begin();
        drop(one);
        assert!(activity.is_busy());
        drop(two);
        assert!(!activity.is_busy());
        assert_eq!(activity.begun(), 2);
    }
}
