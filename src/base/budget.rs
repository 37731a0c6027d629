//! Token buckets in fixed memory.
//!
//! A table that grew with the number of callers would be the flood's second
//! victim, and a lock would make every caller wait for the noisiest one. So the
//! table has a fixed size and each bucket is one atomic word: the time at which
//! it will be full again, and a tag of its key. A key looks at the four words of
//! its set. A word whose bucket is full again carries no debt and can be taken
//! over; when all four are in debt to others, the key shares the least indebted
//! one. Sharing can refuse too early, never admit too much for a key alone.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Words that one key looks at.
const WAYS: usize = 4;
/// Low bits of a word that hold the tag; the rest is microseconds.
const TAG_BITS: u32 = 16;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
/// Largest time that fits a word: close to nine years of uptime.
const MAX_MICROS: u64 = u64::MAX >> TAG_BITS;

/// A fixed number of buckets; keys share one by hash. Lock-free.
pub struct Buckets {
    sets: Box<[[AtomicU64; WAYS]]>,
    // Keyed, so that nobody can choose an address that shares a victim's bucket.
    hasher: RandomState,
    /// Microseconds that one token takes to come back.
    interval: u64,
    /// Microseconds that an empty bucket takes to fill.
    capacity: u64,
}

impl Buckets {
    /// At least `slots` buckets of `burst` tokens, refilled at `per_second`.
    pub fn new(slots: usize, per_second: u32, burst: u32) -> Self {
        let interval = 1_000_000_u64.div_ceil(u64::from(per_second.max(1)));
        Self::every(slots, Duration::from_micros(interval), burst)
    }

    /// At least `slots` buckets of `burst` tokens, one of which comes back each
    /// `interval`: for budgets of less than one a second.
    pub fn every(slots: usize, interval: Duration, burst: u32) -> Self {
        let interval = micros(interval).max(1);
        let sets = slots.div_ceil(WAYS).max(1);
        Self {
            sets: std::iter::repeat_with(Default::default)
                .take(sets)
                .collect(),
            hasher: RandomState::new(),
            interval,
            capacity: interval.saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// Takes a token for `key`, or says how long until there is one.
    pub fn take(&self, key: &[u8], uptime: Duration) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(key);
        let tag = hash & TAG_MASK;
        let now = micros(uptime);
        let index = (hash >> TAG_BITS) % self.sets.len() as u64;
        let Some(set) = self.sets.get(index as usize) else {
            return Ok(());
        };
        loop {
            let (slot, word) = choose(set, tag, now);
            let full_at = (word >> TAG_BITS).max(now);
            let next = full_at.saturating_add(self.interval).min(MAX_MICROS);
            let over = (next - now).saturating_sub(self.capacity);
            if over > 0 {
                return Err(Duration::from_micros(over));
            }
            // A bucket that is shared stays its owner's.
            let owner = if word >> TAG_BITS <= now {
                tag
            } else {
                word & TAG_MASK
            };
            let new = next << TAG_BITS | owner;
            if slot
                .compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// Puts back a token that was taken and not used. Only into the key's own
    /// bucket: where it shared one, nobody knows any more whose debt it is, and
    /// refusing too early is the safe side.
    pub fn give_back(&self, key: &[u8], uptime: Duration) {
        let hash = self.hasher.hash_one(key);
        let tag = hash & TAG_MASK;
        let now = micros(uptime);
        let index = (hash >> TAG_BITS) % self.sets.len() as u64;
        let Some(set) = self.sets.get(index as usize) else {
            return;
        };
        loop {
            let (slot, word) = choose(set, tag, now);
            if word & TAG_MASK != tag || word >> TAG_BITS <= now {
                return;
            }
            let full_at = (word >> TAG_BITS).saturating_sub(self.interval);
            let new = full_at << TAG_BITS | tag;
            if slot
                .compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets")
            .field("slots", &(self.sets.len() * WAYS))
            .field("interval", &Duration::from_micros(self.interval))
            .field("capacity", &Duration::from_micros(self.capacity))
            .finish()
    }
}

/// The key's own word; else one that nobody needs; else the least indebted.
fn choose(set: &[AtomicU64; WAYS], tag: u64, now: u64) -> (&AtomicU64, u64) {
    let [first, rest @ ..] = set;
    let mut best = (first, first.load(Ordering::Relaxed));
    let is_own = |word: u64| word & TAG_MASK == tag && word >> TAG_BITS > now;
    for slot in rest {
        if is_own(best.1) {
            break;
        }
        let word = slot.load(Ordering::Relaxed);
        let is_freer = best.1 >> TAG_BITS > now && word >> TAG_BITS < best.1 >> TAG_BITS;
        if is_own(word) || is_freer {
            best = (slot, word);
        }
    }
    best
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).map_or(MAX_MICROS, |m| m.min(MAX_MICROS))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_then_the_rate() {
        let buckets = Buckets::new(64, 2, 3);
        for _ in 0..3 {
            assert_eq!(buckets.take(b"a", Duration::ZERO), Ok(()));
        }
        assert_eq!(
            buckets.take(b"a", Duration::ZERO),
            Err(Duration::from_millis(500))
        );
        assert!(buckets.take(b"a", Duration::from_millis(499)).is_err());
        assert_eq!(buckets.take(b"a", Duration::from_millis(500)), Ok(()));
        assert!(buckets.take(b"a", Duration::from_millis(500)).is_err());
    }

    #[test]
    fn an_idle_bucket_holds_no_more_than_its_burst() {
        let buckets = Buckets::new(64, 1000, 5);
        let later = Duration::from_secs(3600);
        let granted = (0..100)
            .filter(|_| buckets.take(b"a", later).is_ok())
            .count();
        assert_eq!(granted, 5);
    }

    #[test]
    fn less_than_one_a_second() {
        let buckets = Buckets::every(64, Duration::from_secs(60), 1);
        assert_eq!(buckets.take(b"a", SECOND), Ok(()));
        assert_eq!(buckets.take(b"a", SECOND * 31), Err(SECOND * 30));
        assert_eq!(buckets.take(b"a", SECOND * 61), Ok(()));
    }

    #[test]
    fn r_21_an_exhausted_key_leaves_the_others_theirs() {
        let buckets = Buckets::new(64, 1, 2);
        while buckets.take(b"noisy", SECOND).is_ok() {}
        // One set has four words: three neighbours at most can meet there.
        for quiet in [&b"one"[..], b"two", b"three"] {
            assert_eq!(buckets.take(quiet, SECOND), Ok(()));
            assert_eq!(buckets.take(quiet, SECOND), Ok(()));
        }
        assert!(buckets.take(b"noisy", SECOND).is_err());
    }

    #[test]
    fn a_full_table_shares_and_never_forgets_a_debt() {
        let buckets = Buckets::new(WAYS, 1, 1);
        let keys: Vec<[u8; 2]> = (0..1000_u16).map(u16::to_be_bytes).collect();
        let granted = keys
            .iter()
            .filter(|k| buckets.take(*k, SECOND).is_ok())
            .count();
        assert_eq!(granted, WAYS);
        assert!(buckets.take(&[0, 0], SECOND).is_err());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let buckets = Buckets::new(64, 1, 3);
        // Nothing was taken: nothing is owed, and the burst stays the burst.
        buckets.give_back(b"a", SECOND);
        for _ in 0..10 {
            assert_eq!(buckets.take(b"a", SECOND), Ok(()));
            buckets.give_back(b"a", SECOND);
        }
        for _ in 0..3 {
            assert_eq!(buckets.take(b"a", SECOND), Ok(()));
        }
        assert!(buckets.take(b"a", SECOND).is_err());
        buckets.give_back(b"a", SECOND);
        assert_eq!(buckets.take(b"a", SECOND), Ok(()));
        assert!(buckets.take(b"a", SECOND).is_err());
    }

    #[test]
    fn giving_back_pays_nobody_elses_debt() {
        let buckets = Buckets::new(WAYS, 1, 1);
        while (0..100_u16).any(|n| buckets.take(&n.to_be_bytes(), SECOND).is_ok()) {}
        let tag = |n: u16| buckets.hasher.hash_one(n.to_be_bytes().as_slice()) & TAG_MASK;
        let is_owner = |n: u16| {
            let words = buckets.sets[0]
                .iter()
                .map(|word| word.load(Ordering::Relaxed));
            words.into_iter().any(|word| word & TAG_MASK == tag(n))
        };
        for n in (0..100_u16).filter(|n| !is_owner(*n)) {
            buckets.give_back(&n.to_be_bytes(), SECOND);
        }
        let granted = (0..100_u16).filter(|n| buckets.take(&n.to_be_bytes(), SECOND).is_ok());
        assert_eq!(granted.count(), 0);
    }

    #[test]
    fn threads_together_get_exactly_the_burst() {
        let buckets = Buckets::new(1024, 1, 1000);
        let granted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if buckets.take(b"a", SECOND).is_ok() {
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 1000);
    }

    #[test]
    fn absurd_settings_and_times_do_not_overflow() {
        for buckets in [
            Buckets::new(0, 0, 0),
            Buckets::new(1, u32::MAX, u32::MAX),
            Buckets::every(1, Duration::MAX, u32::MAX),
        ] {
            let _ = buckets.take(b"", Duration::ZERO);
            let _ = buckets.take(b"", Duration::MAX);
            let _ = buckets.take(b"", Duration::MAX);
        }
    }

    proptest! {
        /// Against a reference that keeps its tokens as a fraction.
        #[test]
        fn a_lone_key_gets_what_a_plain_bucket_gives(
            per_second in 1_u32..1000,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..200_000, 1..200),
        ) {
            let buckets = Buckets::new(16, per_second, burst);
            let interval = 1_000_000_u64.div_ceil(u64::from(per_second));
            let full = interval * u64::from(burst);
            let (mut level, mut now) = (full, 0);
            for step in steps {
                now += step;
                level = (level + step).min(full);
                let expected = level >= interval;
                if expected {
                    level -= interval;
                }
                let got = buckets.take(b"key", Duration::from_micros(now));
                prop_assert_eq!(got.is_ok(), expected);
                if let Err(wait) = got {
                    prop_assert_eq!(wait, Duration::from_micros(interval - level));
                }
            }
        }
    }
}
