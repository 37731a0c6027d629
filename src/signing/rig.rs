//! What the tests of this room stand on: a process under a clock that only
//! moves when told to.

use std::{sync::Arc, time::Duration};

use super::{
    memory::{Memory, shared, target},
    *,
};
use crate::{
    base::{clock::ManualClock, secret::Secret},
    jose::{Algorithm, KeySet, KeyUse},
    model::Target,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// One process, its clock and its store.
pub(super) struct Rig {
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<Memory>,
    pub(super) signing: Arc<Signing>,
}

pub(super) fn open(store: &Arc<Memory>, clock: &Arc<ManualClock>) -> Arc<Signing> {
    let kek = Secret::new(vec![7; 32]);
    Signing::open(Arc::clone(store) as _, &kek, Arc::clone(clock) as _).unwrap()
}

pub(super) async fn rig(target: Target) -> Rig {
    let clock = Arc::new(ManualClock::at(Moment::from_secs(1_790_000_000)));
    let store = Arc::new(Memory::default());
    let signing = open(&store, &clock);
    signing.apply(&shared(target)).await.unwrap();
    Rig {
        clock,
        store,
        signing,
    }
}

impl Rig {
    /// Lets time pass in steps that a living process ticks in.
    pub(super) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(5));
            self.clock.advance(step);
            self.signing.tick().await.unwrap();
            left -= step;
        }
    }

    /// Another process on the same store.
    pub(super) async fn another(&self) -> Arc<Signing> {
        let another = open(&self.store, &self.clock);
        another.apply(&shared(target())).await.unwrap();
        another
    }
}

pub(super) fn prod() -> crate::model::TargetName {
    target().name
}

pub(super) fn signer(signing: &Signing) -> String {
    signing.active(&prod()).unwrap().kid().to_owned()
}

pub(super) fn published(signing: &Signing) -> Vec<String> {
    let set = signing.jwks("prod").unwrap();
    let (set, skipped) = KeySet::parse(&set, KeyUse::Signature, Algorithm::ALL).unwrap();
    assert_eq!(skipped, []);
    set.kids().into_iter().map(str::to_owned).collect()
}
