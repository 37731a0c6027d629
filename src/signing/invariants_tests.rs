//! The two promises, over random schedules of several processes on one store.
//!
//! Three processes are ticked, rotated, restarted, cut off from the store and
//! left alone for any time. Whenever one signs, the token is remembered; and
//! whenever a server could fetch a key set from any of them, that is too. At
//! every moment, every live token verifies against every set that a server can
//! hold at that moment: those fetched within the refresh interval.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    memory::{Memory, shared, target},
    *,
};
use crate::{
    base::{
        clock::{Clock as _, ManualClock},
        secret::Secret,
    },
    model::{Target, TargetName, Ttl},
};

const PROCESSES: usize = 3;

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Tick(usize),
    Rotate(usize),
    Restart(usize),
    Lifetime(usize, u32),
    Away(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let process = 0..PROCESSES;
    prop_oneof![
        6 => (1u64..40).prop_map(Event::Pass),
        2 => (40u64..2000).prop_map(Event::Pass),
        1 => (2000u64..400_000).prop_map(Event::Pass),
        9 => process.clone().prop_map(Event::Tick),
        2 => process.clone().prop_map(Event::Rotate),
        1 => process.clone().prop_map(Event::Restart),
        1 => (process, 30u32..1200).prop_map(|(p, ttl)| Event::Lifetime(p, ttl)),
        1 => any::<bool>().prop_map(Event::Away),
    ]
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<Memory>,
    processes: Vec<(Arc<Signing>, Ttl)>,
    /// Until when the last token by a key lives.
    tokens: BTreeMap<String, Moment>,
    signed: usize,
    /// When it was fetched, and what it said.
    fetched: Vec<(Moment, String)>,
}

fn plan(max_ttl: Ttl) -> Vec<Arc<Target>> {
    shared(Target {
        max_ttl,
        key_lifetime: Ttl::secs(600),
        ..target()
    })
}

impl World {
    fn open(store: &Arc<Memory>, clock: &Arc<ManualClock>) -> Arc<Signing> {
        let kek = Secret::new(vec![7; 32]);
        Signing::open(Arc::clone(store) as _, &kek, Arc::clone(clock) as _).unwrap()
    }

    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Moment::from_secs(1_790_000_000)));
        let store = Arc::new(Memory::default());
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            let signing = Self::open(&store, &clock);
            signing.apply(&plan(Ttl::secs(300))).await.unwrap();
            processes.push((signing, Ttl::secs(300)));
        }
        Self {
            clock,
            store,
            processes,
            tokens: BTreeMap::new(),
            signed: 0,
            fetched: Vec::new(),
        }
    }

    async fn happen(&mut self, event: &Event) {
        match event {
            Event::Pass(secs) => self.clock.advance(Duration::from_secs(*secs)),
            // Failing is allowed: the store may be away.
            Event::Tick(p) => drop(self.processes[*p].0.tick().await),
            Event::Rotate(p) => {
                let prod = target().name;
                drop(self.processes[*p].0.rotate(&prod, Rotate::Schedule).await);
            }
            Event::Restart(p) => {
                let ttl = self.processes[*p].1;
                let fresh = Self::open(&self.store, &self.clock);
                drop(fresh.apply(&plan(ttl)).await);
                self.processes[*p].0 = fresh;
            }
            Event::Lifetime(p, secs) => {
                let ttl = Ttl::secs(*secs);
                if self.processes[*p].0.apply(&plan(ttl)).await.is_ok() {
                    self.processes[*p].1 = ttl;
                }
            }
            Event::Away(away) => self.store.away.store(*away, Ordering::SeqCst),
        }
    }

    /// Every process signs if it can, and every server fetches if it can.
    fn act(&mut self, prod: &TargetName) {
        let now = self.clock.now();
        for (signing, ttl) in &self.processes {
            if let Some(key) = signing.active(prod) {
                let until = now.plus(ttl.duration());
                let last = self.tokens.entry(key.kid().to_owned()).or_default();
                *last = until.max(*last);
                self.signed += 1;
            }
            if let Some(set) = signing.jwks("prod") {
                self.fetched
                    .push((now, String::from_utf8(set.to_vec()).unwrap()));
            }
        }
        let held = now.minus(target().jwks_refresh.duration() + Duration::from_secs(10));
        self.fetched.retain(|(at, _)| *at >= held);
        self.tokens.retain(|_, until| *until > now);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (kid, until) in &self.tokens {
            for (at, set) in &self.fetched {
                let now = self.clock.now();
                prop_assert!(
                    set.contains(kid.as_str()),
                    "at {now} a token by {kid} until {until} fails against the set of {at}: {set}"
                );
            }
        }
        Ok(())
    }
}

fn run(events: &[Event]) -> Result<(usize, usize), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let prod = target().name;
        let mut world = World::new().await;
        for event in events {
            world.happen(event).await;
            world.act(&prod);
            world.check()?;
        }
        Ok((world.signed, world.store.kids(Phase::Retired).len()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_live_token_verifies_against_every_set_that_a_server_can_hold(
        events in prop::collection::vec(event(), 1..120),
    ) {
        run(&events)?;
    }
}

/// The property says something: in a long calm schedule keys are made, used
/// and withdrawn, and tokens are signed all the time.
#[test]
fn a_calm_schedule_rotates_and_never_stops_signing() {
    let calm: Vec<_> = (0..1500)
        .flat_map(|i| [Event::Pass(5), Event::Tick(i % PROCESSES)])
        .collect();
    let (signed, retired) = run(&calm).unwrap();
    assert!(signed >= 3000 && retired >= 8, "{signed} {retired}");
}
