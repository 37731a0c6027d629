//! When to fetch next: intervals, back-off and jitter, as pure functions.

use std::time::Duration;

use crate::base::random::{self, Random};

use super::Spec;

/// First wait after a failure; doubled with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(2);
/// Within these, a SPIFFE refresh hint is followed.
const HINT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3600);
/// Longest that a `Retry-After` is honoured.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// How long after a success the next fetch is due, before jitter.
///
/// Never more than half of `max_stale`, so that one failure in between does
/// not take the trust domain down.
pub(super) fn after_success(spec: &Spec, hint: Option<Duration>) -> Duration {
    let wanted = match hint {
        Some(hint) => hint.clamp(*HINT.start(), *HINT.end()),
        None => spec.refresh.duration(),
    };
    wanted.min(half_stale(spec))
}

/// How long after the n-th failure in a row the next fetch is due, before
/// jitter: doubling up to the refresh interval.
pub(super) fn after_failure(spec: &Spec, in_a_row: u32, retry_after: Option<u64>) -> Duration {
    let doubled = FIRST_BACK_OFF
        .saturating_mul(2_u32.saturating_pow(in_a_row.saturating_sub(1)))
        .min(spec.refresh.duration());
    doubled.max(rest(spec, retry_after))
}

/// How long the server is left alone altogether, even when a token asks.
pub(super) fn rest(spec: &Spec, retry_after: Option<u64>) -> Duration {
    Duration::from_secs(retry_after.unwrap_or(0))
        .min(LONGEST_REST)
        .min(half_stale(spec))
}

/// `wait`, shifted by up to a tenth either way, so that what started together
/// does not stay together. In whole milliseconds.
pub(super) fn jittered(wait: Duration, random: &dyn Random) -> Duration {
    let draw = u32::from_be_bytes(random::bytes(random));
    let share = 900 + u128::from(draw) * 200 / u128::from(u32::MAX);
    let millis = wait.as_millis().saturating_mul(share) / 1000;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn half_stale(spec: &Spec) -> Duration {
    (spec.max_stale.duration() / 2).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{base::random::SystemRandom, jose::KeyUse, keys::Source, model::Ttl};

    fn spec() -> Spec {
        let source = Source::File("/keys.json".into());
        Spec::new(source, KeyUse::Signature, Vec::new())
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_hint_is_followed_within_bounds() {
        let spec = spec();
        assert_eq!(after_success(&spec, None), secs(300));
        assert_eq!(after_success(&spec, Some(secs(60))), secs(60));
        assert_eq!(after_success(&spec, Some(secs(1))), secs(10));
        assert_eq!(after_success(&spec, Some(secs(900))), secs(900));
        assert_eq!(after_success(&spec, Some(secs(u64::MAX))), secs(3600));
    }

    #[test]
    fn a_short_max_stale_shortens_the_interval() {
        let spec = Spec {
            max_stale: Ttl::secs(60),
            ..spec()
        };
        assert_eq!(after_success(&spec, None), secs(30));
        assert_eq!(after_success(&spec, Some(secs(3600))), secs(30));
        assert_eq!(rest(&spec, Some(3600)), secs(30));
        let shortest = Spec {
            max_stale: Ttl::secs(1),
            ..spec
        };
        assert_eq!(after_success(&shortest, None), secs(1));
    }

    #[test]
    fn failures_double_the_wait_up_to_the_interval() {
        let waits: Vec<u64> = (1..=10)
            .map(|n| after_failure(&spec(), n, None).as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(after_failure(&spec(), u32::MAX, None), secs(300));
    }

    #[test]
    fn u_07_retry_after_is_honoured_within_bounds() {
        assert_eq!(after_failure(&spec(), 1, Some(120)), secs(120));
        assert_eq!(after_failure(&spec(), 1, Some(0)), secs(2));
        assert_eq!(after_failure(&spec(), 1, Some(u64::MAX)), secs(3600));
        assert_eq!(after_failure(&spec(), 9, Some(1)), secs(300));
        assert_eq!(rest(&spec(), None), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_tenth(wait in 0_u64..100_000) {
            let wait = secs(wait);
            let shifted = jittered(wait, &SystemRandom);
            prop_assert!(shifted >= wait * 9 / 10);
            prop_assert!(shifted <= wait * 11 / 10);
        }
    }

    #[test]
    fn jitter_uses_its_whole_range() {
        struct Fixed(u8);
        impl Random for Fixed {
            fn fill(&self, dest: &mut [u8]) {
                dest.fill(self.0);
            }
        }
        assert_eq!(jittered(secs(100), &Fixed(0)), secs(90));
        assert_eq!(jittered(secs(100), &Fixed(0xff)), secs(110));
    }
}
