//! What is due when: a set of entries ordered by time.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Identifies an entry for as long as the keyring lives.
pub(super) type Id = u64;

/// Entries by the uptime at which each is due. Every operation is logarithmic,
/// so thousands of trust domains cost no more than their own fetches.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Duration, Id)>,
    by_id: HashMap<Id, Duration>,
}

impl Agenda {
    /// Puts an entry on, in place of where it was.
    pub(super) fn set(&mut self, id: Id, due: Duration) {
        self.remove(id);
        self.by_id.insert(id, due);
        self.by_time.insert((due, id));
    }

    /// Moves an entry that is on the agenda; one that was removed stays off.
    pub(super) fn move_to(&mut self, id: Id, due: Duration) {
        if self.by_id.contains_key(&id) {
            self.set(id, due);
        }
    }

    /// Takes an entry off.
    pub(super) fn remove(&mut self, id: Id) {
        if let Some(due) = self.by_id.remove(&id) {
            self.by_time.remove(&(due, id));
        }
    }

    /// When the entry is due.
    pub(super) fn due(&self, id: Id) -> Option<Duration> {
        self.by_id.get(&id).copied()
    }

    /// When the next entry is due, and which.
    pub(super) fn first(&self) -> Option<(Duration, Id)> {
        self.by_time.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_earliest_comes_first_and_moves() {
        let mut agenda = Agenda::default();
        agenda.set(1, ms(10));
        agenda.set(2, ms(5));
        assert_eq!(agenda.first(), Some((ms(5), 2)));
        agenda.move_to(2, ms(20));
        assert_eq!(agenda.first(), Some((ms(10), 1)));
        assert_eq!(agenda.due(2), Some(ms(20)));
    }

    #[test]
    fn what_was_removed_does_not_come_back() {
        let mut agenda = Agenda::default();
        agenda.set(1, ms(10));
        agenda.remove(1);
        agenda.move_to(1, ms(1));
        assert_eq!(agenda.first(), None);
        assert_eq!(agenda.due(1), None);
    }

    proptest! {
        #[test]
        fn both_views_agree(steps in prop::collection::vec((0_u8..3, 0_u64..8, 0_u64..50), 0..60)) {
            let mut agenda = Agenda::default();
            for (step, id, due) in steps {
                match step {
                    0 => agenda.set(id, ms(due)),
                    1 => agenda.move_to(id, ms(due)),
                    _ => agenda.remove(id),
                }
                prop_assert_eq!(agenda.by_time.len(), agenda.by_id.len());
                for (due, id) in &agenda.by_time {
                    prop_assert_eq!(agenda.due(*id), Some(*due));
                }
                let least = agenda.by_id.values().min().copied();
                prop_assert_eq!(agenda.first().map(|(due, _)| due), least);
            }
        }
    }
}
