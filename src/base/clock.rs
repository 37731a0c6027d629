//! Wall-clock time as a value, and where it comes from.
//!
//! Tokens are judged by wall-clock time, time-outs and cool-downs by monotonic
//! time: a wall clock that jumps must not open or close a window.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point of wall-clock time: milliseconds since 1970-01-01T00:00:00Z.
///
/// Arithmetic saturates, so no input can make it overflow or panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// From whole seconds since the epoch (a JWT's `NumericDate`).
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Reads an RFC 3339 timestamp, or whole seconds since the epoch.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(secs) = text.parse::<i64>() {
            return Some(Self::from_secs(secs));
        }
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000)
            .ok()
            .map(Self)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This moment moved forward.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This moment moved backward.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds, or the bare number where the year does
/// not fit that format.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        match OffsetDateTime::from_unix_timestamp_nanos(nanos) {
            Ok(t) if (0..=9999).contains(&t.year()) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                t.millisecond()
            ),
            _ => write!(f, "{}ms", self.0),
        }
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Wall-clock time now.
    fn now(&self) -> Moment;
    /// Monotonic time since some fixed start.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Moment {
        // A clock before 1970 is a fault that the caller sees as "everything is
        // not yet valid", never a panic.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Moment(millis(since))
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that only moves when told to: for tests, and for `explain --at`.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicI64,
    uptime: AtomicI64,
}

impl ManualClock {
    /// A clock standing at `now`, with zero uptime.
    pub fn at(now: Moment) -> Self {
        Self {
            wall: AtomicI64::new(now.0),
            uptime: AtomicI64::new(0),
        }
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(millis(by), Ordering::SeqCst);
        self.uptime.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or a broken NTP server would.
    pub fn jump_to(&self, now: Moment) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment(self.wall.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.uptime.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_rfc3339_and_read_back() {
        let moment = Moment::from_millis(1_790_000_000_123);
        assert_eq!(moment.to_string(), "2026-09-21T14:13:20.123Z");
        assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        assert_eq!(
            Moment::parse("1790000000"),
            Some(Moment::from_secs(1_790_000_000))
        );
        assert_eq!(Moment::parse("yesterday"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Moment::from_secs(i64::MAX);
        assert_eq!(end.plus(Duration::from_secs(u64::MAX)), Moment(i64::MAX));
        assert_eq!(
            Moment(i64::MIN).minus(Duration::from_secs(1)),
            Moment(i64::MIN)
        );
        assert_eq!(Moment(0).since(end), Duration::ZERO);
        assert_eq!(Moment::from_millis(-1).secs(), -1);
    }

    #[test]
    fn far_moments_print_without_panicking() {
        assert_eq!(Moment(i64::MAX).to_string(), format!("{}ms", i64::MAX));
        assert_eq!(Moment(i64::MIN).to_string(), format!("{}ms", i64::MIN));
    }

    #[test]
    fn a_manual_clock_jumps_without_moving_uptime() {
        let clock = ManualClock::at(Moment::from_secs(100));
        clock.advance(Duration::from_secs(5));
        clock.jump_to(Moment::from_secs(1));
        assert_eq!(clock.now(), Moment::from_secs(1));
        assert_eq!(clock.uptime(), Duration::from_secs(5));
    }
}
