//! How long a key has been in its phase, whatever the wall clock does.
//!
//! A record says by wall-clock time when its phase began. That is believed
//! once, when a process reads its first records; from then on time is counted
//! by the monotonic clock. A wall clock that jumps forward therefore makes no
//! key old that is young, and one that jumps back or was wrong when a record
//! was written keeps no key from ageing.

use std::{collections::HashMap, time::Duration};

use crate::{base::clock::Moment, model::TargetName};

use super::{KeyRecord, Phase};

/// The ages of the keys that this process has seen.
#[derive(Default)]
pub(super) struct Ages {
    /// Age and uptime at first sight, by key and phase.
    seen: HashMap<(TargetName, String, Phase), (Duration, Duration)>,
    /// Uptime of the last reading.
    read_at: Option<Duration>,
}

impl Ages {
    /// Takes in what was read. Records that are gone are forgotten.
    pub(super) fn observe(&mut self, records: &[KeyRecord], now: Moment, uptime: Duration) {
        // What was not there at the last reading is not older than that, even
        // if the clock of the process that wrote it says so.
        let most = self
            .read_at
            .map_or(Duration::MAX, |at| uptime.saturating_sub(at));
        let mut seen = HashMap::with_capacity(records.len());
        for record in records {
            let id = (record.target.clone(), record.kid.clone(), record.phase);
            let first = self
                .seen
                .remove(&id)
                .unwrap_or_else(|| (now.since(record.since).min(most), uptime));
            seen.insert(id, first);
        }
        self.seen = seen;
        self.read_at = Some(uptime);
    }

    /// How long a key has been in its phase; zero for one that was never observed.
    pub(super) fn of(&self, record: &KeyRecord, uptime: Duration) -> Duration {
        let id = (record.target.clone(), record.kid.clone(), record.phase);
        self.seen.get(&id).map_or(Duration::ZERO, |(age, at)| {
            age.saturating_add(uptime.saturating_sub(*at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TargetSigning;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn record(phase: Phase, since: i64) -> KeyRecord {
        KeyRecord {
            target: "prod".parse().unwrap(),
            kid: "k".into(),
            signing: TargetSigning::Es256,
            phase,
            created_at: Moment::from_secs(since),
            since: Moment::from_secs(since),
            public_jwk: String::new(),
            sealed: Vec::new(),
        }
    }

    #[test]
    fn the_first_reading_believes_the_record() {
        let (mut ages, key) = (Ages::default(), record(Phase::Next, 100));
        ages.observe(std::slice::from_ref(&key), Moment::from_secs(160), secs(5));
        assert_eq!(ages.of(&key, secs(5)), secs(60));
        assert_eq!(ages.of(&key, secs(7)), secs(62));
    }

    #[test]
    fn later_the_wall_clock_does_not_matter() {
        let (mut ages, key) = (Ages::default(), record(Phase::Next, 100));
        ages.observe(std::slice::from_ref(&key), Moment::from_secs(100), secs(0));
        for wall in [1_000_000, -1_000_000] {
            ages.observe(std::slice::from_ref(&key), Moment::from_secs(wall), secs(3));
            assert_eq!(ages.of(&key, secs(3)), secs(3), "{wall}");
        }
    }

    #[test]
    fn a_new_record_is_not_older_than_the_last_reading() {
        let mut ages = Ages::default();
        ages.observe(&[], Moment::from_secs(100), secs(0));
        // Written by a process whose clock is a day behind.
        let key = record(Phase::Next, 100 - 86_400);
        ages.observe(std::slice::from_ref(&key), Moment::from_secs(105), secs(5));
        assert_eq!(ages.of(&key, secs(5)), secs(5));
    }

    #[test]
    fn a_record_from_the_future_ages_from_first_sight() {
        let (mut ages, key) = (Ages::default(), record(Phase::Active, 1_000_000));
        ages.observe(std::slice::from_ref(&key), Moment::from_secs(100), secs(0));
        assert_eq!(ages.of(&key, secs(9)), secs(9));
    }

    #[test]
    fn another_phase_is_another_age() {
        let mut ages = Ages::default();
        let (next, active) = (record(Phase::Next, 100), record(Phase::Active, 150));
        ages.observe(std::slice::from_ref(&next), Moment::from_secs(140), secs(0));
        ages.observe(
            std::slice::from_ref(&active),
            Moment::from_secs(150),
            secs(10),
        );
        assert_eq!(ages.of(&active, secs(11)), secs(1));
        assert_eq!(ages.of(&next, secs(11)), Duration::ZERO, "forgotten");
    }
}
