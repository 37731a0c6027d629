//! The scheduler, the keyring and its handles over a way out in memory.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;
use crate::{
    base::{clock::ManualClock, outbound::FetchError, random::SystemRandom},
    jose::{Algorithm, KeyUse, Lookup, Signer as _},
    keys::{
        Handle, Keyring, Snapshot, Source,
        fakes::{self, FakeOutbound},
    },
    model::{TrustDomainName, Ttl},
};

struct Rig {
    clock: Arc<ManualClock>,
    outbound: Arc<FakeOutbound>,
    scheduler: Arc<Scheduler>,
    keyring: Arc<Keyring>,
}

impl Rig {
    fn new(outbound: Arc<FakeOutbound>) -> Self {
        let clock = Arc::new(ManualClock::at(fakes::NOW));
        clock.advance(secs(1000));
        let keyring = Keyring::new(clock.clone(), Arc::new(SystemRandom), outbound.clone());
        Self {
            clock,
            outbound,
            scheduler: keyring.scheduler(),
            keyring,
        }
    }

    fn apply(&self, specs: &[(&str, Spec)]) -> Vec<Handle> {
        let specs: BTreeMap<TrustDomainName, Spec> = specs
            .iter()
            .map(|(name, spec)| (fakes::name(name), spec.clone()))
            .collect();
        self.keyring.apply(&specs).into_values().collect()
    }

    fn apply_one(&self, spec: &Spec) -> Handle {
        self.apply(&[("a", spec.clone())]).remove(0)
    }

    /// One trust domain at `a.example`, fetched.
    async fn warm(&self, answer: &str) -> Handle {
        self.outbound.answer("a.example", Ok(answer.to_owned()));
        let handle = self.apply_one(&spec());
        self.keyring.refresh_due().await;
        assert!(handle.usable(self.clock.now()));
        handle
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn spec() -> Spec {
    fakes::spec("a.example", KeyUse::Signature)
}

fn has(snapshot: &Snapshot, kid: &str) -> bool {
    matches!(snapshot.keys.lookup(Some(kid)), Lookup::Found(_))
}

/// Lets the other tasks of this thread run until it is so.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(secs(30), wait)
        .await
        .expect("it comes to pass");
}

fn set() -> String {
    fakes::set_of(&[&fakes::key()])
}

#[tokio::test]
async fn what_is_cold_or_due_is_fetched_once() {
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.warm(&set()).await;
    assert_eq!(rig.outbound.hits("a.example"), 1);
    rig.keyring.refresh_due().await;
    assert_eq!(rig.outbound.hits("a.example"), 1, "nothing is due");
    rig.clock.advance(secs(331));
    rig.keyring.refresh_due().await;
    assert_eq!(rig.outbound.hits("a.example"), 2);
    assert_eq!(handle.health().fetches, 2);
}

#[tokio::test]
async fn the_next_fetch_is_due_within_a_tenth_of_the_interval() {
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.warm(&set()).await;
    let next = handle.health().next_refresh_in.unwrap();
    assert!((secs(270)..=secs(330)).contains(&next), "{next:?}");
}

#[tokio::test]
async fn u_31_an_unknown_kid_is_found_by_one_refresh() {
    let rig = Rig::new(FakeOutbound::new());
    let (old, new) = (fakes::key(), fakes::key());
    let handle = rig.warm(&fakes::set_of(&[&old])).await;
    rig.outbound
        .answer("a.example", Ok(fakes::set_of(&[&old, &new])));
    let seen = handle.snapshot();
    assert!(!has(&seen, new.kid()));
    assert!(handle.refresh_for_token(&seen).await);
    assert!(has(&handle.snapshot(), new.kid()));
    assert_eq!(rig.outbound.hits("a.example"), 2);
}

#[tokio::test]
async fn u_29_a_flood_of_unknown_kids_causes_one_fetch_per_cool_down() {
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.warm(&set()).await;
    rig.outbound.answer("a.example", Err(FetchError::Connect));
    for _ in 0..100 {
        assert!(!handle.refresh_for_token(&handle.snapshot()).await);
    }
    assert_eq!(rig.outbound.hits("a.example"), 2);
    rig.clock.advance(secs(29));
    assert!(!handle.refresh_for_token(&handle.snapshot()).await);
    assert_eq!(rig.outbound.hits("a.example"), 2);
    rig.clock.advance(secs(1));
    rig.outbound.answer("a.example", Ok(set()));
    assert!(handle.refresh_for_token(&handle.snapshot()).await);
    assert_eq!(rig.outbound.hits("a.example"), 3);
}

#[tokio::test]
async fn a_snapshot_that_is_newer_already_costs_no_fetch() {
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.warm(&set()).await;
    let seen = handle.snapshot();
    rig.clock.advance(secs(400));
    rig.keyring.refresh_due().await;
    let hits = rig.outbound.all_hits();
    assert!(handle.refresh_for_token(&seen).await);
    assert_eq!(rig.outbound.all_hits(), hits);
}

#[tokio::test]
async fn many_waiters_share_one_fetch_and_its_result() {
    let rig = Rig::new(FakeOutbound::held());
    let key = fakes::key();
    rig.outbound.answer("a.example", Ok(fakes::set_of(&[&key])));
    let handle = rig.apply_one(&spec());
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let handle = handle.clone();
        waiters.spawn(async move {
            let seen = handle.snapshot();
            handle.refresh_for_token(&seen).await
        });
    }
    rig.outbound.arrived(1).await;
    rig.outbound.gate.add_permits(50);
    assert!(waiters.join_all().await.into_iter().all(|newer| newer));
    assert_eq!(rig.outbound.all_hits(), 1);
    assert!(has(&handle.snapshot(), key.kid()));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_fetch_with_it() {
    let rig = Rig::new(FakeOutbound::held());
    rig.outbound.answer("a.example", Ok(set()));
    let handle = rig.apply_one(&spec());
    let first = tokio::spawn({
        let handle = handle.clone();
        async move {
            let seen = handle.snapshot();
            handle.refresh_for_token(&seen).await
        }
    });
    rig.outbound.arrived(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    rig.outbound.gate.add_permits(1);
    until(|| !handle.snapshot().keys.is_empty()).await;
    assert_eq!(rig.outbound.all_hits(), 1);
}

#[tokio::test]
async fn a_token_joins_a_scheduled_fetch() {
    let rig = Rig::new(FakeOutbound::held());
    rig.outbound.answer("a.example", Ok(set()));
    let handle = rig.apply_one(&spec());
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    rig.outbound.arrived(1).await;
    let seen = handle.snapshot();
    let refresh = handle.refresh_for_token(&seen);
    rig.outbound.gate.add_permits(1);
    assert!(refresh.await);
    assert_eq!(rig.outbound.all_hits(), 1);
    running.abort();
}

#[tokio::test]
async fn a_thousand_cold_trust_domains_are_fetched_eight_at_a_time() {
    let rig = Rig::new(FakeOutbound::held());
    let answer = set();
    let hosts: Vec<String> = (0..1000).map(|n| format!("h{n}.example")).collect();
    let specs: BTreeMap<TrustDomainName, Spec> = hosts
        .iter()
        .enumerate()
        .map(|(n, host)| {
            rig.outbound.answer(host, Ok(answer.clone()));
            (
                fakes::name(&format!("d{n}")),
                fakes::spec(host, KeyUse::Signature),
            )
        })
        .collect();
    let handles = rig.keyring.apply(&specs);
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    rig.outbound.arrived(8).await;
    rig.outbound.gate.add_permits(1000);
    rig.outbound.arrived(1000).await;
    until(|| handles.values().all(|h| h.usable(fakes::NOW))).await;
    assert_eq!(rig.outbound.all_hits(), 1000);
    assert_eq!(rig.outbound.most_at_once(), 8);
    running.abort();
}

#[tokio::test]
async fn u_01_servers_that_hang_do_not_delay_a_token_of_another_issuer() {
    let rig = Rig::new(FakeOutbound::held());
    let mut specs: Vec<(String, Spec)> = (0..20)
        .map(|n| {
            let host = format!("h{n}.example");
            (format!("h{n}"), fakes::spec(&host, KeyUse::Signature))
        })
        .collect();
    specs.push(("z".to_owned(), spec()));
    let specs: BTreeMap<_, _> = specs
        .into_iter()
        .map(|(name, spec)| (fakes::name(&name), spec))
        .collect();
    rig.outbound.answer("a.example", Ok(set()));
    let handles = rig.keyring.apply(&specs);
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    rig.outbound.arrived(8).await;
    assert_eq!(rig.outbound.hits("a.example"), 0, "it waits for its turn");

    let handle = handles.get(&fakes::name("z")).unwrap();
    let seen = handle.snapshot();
    let token = tokio::spawn({
        let handle = handle.clone();
        async move { handle.refresh_for_token(&seen).await }
    });
    rig.outbound.arrived(9).await;
    assert_eq!(rig.outbound.hits("a.example"), 1);
    rig.outbound.gate.add_permits(9);
    assert!(token.await.unwrap());
    running.abort();
}

#[tokio::test]
async fn u_35_a_server_that_is_back_is_asked_once_per_step() {
    let rig = Rig::new(FakeOutbound::new());
    let key = fakes::key();
    let handle = rig.warm(&fakes::set_of(&[&key])).await;
    rig.outbound.answer("a.example", Err(FetchError::Connect));
    let hits = rig.outbound.all_hits();
    let hour = rig.scheduler.uptime() + secs(3600);
    let mut steps = 0;
    while rig.scheduler.uptime() < hour {
        rig.clock.advance(rig.scheduler.until_next());
        rig.keyring.refresh_due().await;
        steps += 1;
        assert!(has(&handle.snapshot(), key.kid()));
        assert!(handle.usable(rig.clock.now()));
    }
    assert_eq!(rig.outbound.all_hits(), hits + steps);
    assert!((12..=26).contains(&steps), "{steps}");
    assert!(rig.scheduler.until_next() <= secs(330));
    rig.outbound.answer("a.example", Ok(fakes::set_of(&[&key])));
    rig.clock.advance(rig.scheduler.until_next());
    rig.keyring.refresh_due().await;
    assert_eq!(handle.health().last_error, None);
}

#[tokio::test]
async fn the_running_scheduler_takes_on_new_plans_and_what_becomes_due() {
    let rig = Rig::new(FakeOutbound::new());
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    rig.outbound.answer("a.example", Ok(set()));
    let handle = rig.apply_one(&spec());
    until(|| handle.health().fetches == 1).await;
    rig.clock.advance(secs(331));
    // Real time stands still in this test, so the sleeper is woken by hand.
    rig.scheduler.wake.notify_one();
    until(|| handle.health().fetches == 2).await;
    rig.apply(&[]);
    rig.clock.advance(secs(331));
    rig.scheduler.wake.notify_one();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.outbound.all_hits(), 2, "it is on no agenda any more");
    assert!(
        !handle.snapshot().keys.is_empty(),
        "its last handle still answers"
    );
    running.abort();
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change() {
    let rig = Rig::new(FakeOutbound::new());
    let before = rig.warm(&set()).await;
    let due = before.health().next_refresh_in;
    let after = rig.apply_one(&spec());
    assert!(Arc::ptr_eq(&before.snapshot(), &after.snapshot()));
    assert_eq!(after.health().next_refresh_in, due);

    let slower = Spec {
        refresh: Ttl::secs(900),
        ..spec()
    };
    let after = rig.apply_one(&slower);
    assert!(after.usable(rig.clock.now()), "another pace, the same keys");

    let stricter = Spec {
        allowed: vec![Algorithm::Rs256],
        ..spec()
    };
    let after = rig.apply_one(&stricter);
    assert!(!after.usable(rig.clock.now()), "other keys: cold");
}

#[tokio::test]
async fn trust_domains_of_one_issuer_share_its_keys_and_its_cool_down() {
    let rig = Rig::new(FakeOutbound::new());
    rig.outbound.answer("a.example", Ok(set()));
    let handles = rig.apply(&[("a", spec()), ("b", spec())]);
    rig.keyring.refresh_due().await;
    assert_eq!(rig.outbound.all_hits(), 1);
    let [a, b] = &handles[..] else {
        panic!("two handles")
    };
    assert!(a.refresh_for_token(&a.snapshot()).await);
    assert!(!b.refresh_for_token(&b.snapshot()).await);
    assert_eq!(rig.outbound.all_hits(), 2);
}

#[tokio::test]
async fn keys_of_different_issuers_are_never_pooled() {
    let rig = Rig::new(FakeOutbound::new());
    let (a, b) = (fakes::key(), fakes::key());
    rig.outbound.answer("a.example", Ok(fakes::set_of(&[&a])));
    rig.outbound.answer("b.example", Ok(fakes::set_of(&[&b])));
    let other = fakes::spec("b.example", KeyUse::Signature);
    let handles = rig.apply(&[("a", spec()), ("b", other)]);
    rig.keyring.refresh_due().await;
    assert!(has(&handles[0].snapshot(), a.kid()) && !has(&handles[0].snapshot(), b.kid()));
    assert!(has(&handles[1].snapshot(), b.kid()) && !has(&handles[1].snapshot(), a.kid()));
}

fn file_spec(path: PathBuf) -> Spec {
    Spec {
        source: Source::File(path),
        ..spec()
    }
}

#[tokio::test]
async fn a_file_is_read_at_once_and_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (one, two) = (fakes::key(), fakes::key());
    fs::write(&path, fakes::set_of(&[&one])).unwrap();
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.apply_one(&file_spec(path.clone()));
    assert!(
        has(&handle.snapshot(), one.kid()),
        "before any scheduler runs"
    );

    rig.keyring.refresh_due().await;
    assert_eq!(handle.health().fetches, 1, "it did not change");
    crate::base::file::write_atomic(&path, fakes::set_of(&[&two]).as_bytes(), 0o600).unwrap();
    rig.keyring.refresh_due().await;
    assert!(has(&handle.snapshot(), two.kid()) && !has(&handle.snapshot(), one.kid()));
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_set_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = fakes::key();
    fs::write(&path, fakes::set_of(&[&key])).unwrap();
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.apply_one(&file_spec(path.clone()));

    fs::write(&path, "{").unwrap();
    rig.keyring.refresh_due().await;
    assert!(has(&handle.snapshot(), key.kid()));
    assert!(
        handle
            .health()
            .last_error
            .unwrap()
            .contains("cannot be read")
    );
    fs::remove_file(&path).unwrap();
    rig.keyring.refresh_due().await;
    assert!(handle.health().last_error.unwrap().contains("keys.json"));
    assert!(has(&handle.snapshot(), key.kid()));
    fs::write(&path, fakes::set_of(&[&key])).unwrap();
    rig.keyring.refresh_due().await;
    assert_eq!(handle.health().last_error, None);
}

#[tokio::test]
async fn the_running_scheduler_sees_a_file_appear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let rig = Rig::new(FakeOutbound::new());
    let handle = rig.apply_one(&file_spec(path.clone()));
    assert!(!handle.usable(fakes::NOW));
    fs::write(&path, set()).unwrap();
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    until(|| handle.usable(fakes::NOW)).await;
    running.abort();
}

#[tokio::test]
async fn a_keyring_that_is_dropped_leaves_nothing_running() {
    let rig = Rig::new(FakeOutbound::held());
    let handle = rig.apply_one(&spec());
    let running = tokio::spawn(Arc::clone(&rig.keyring).run());
    rig.outbound.arrived(1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let entry = rig.scheduler.cold_or_due().remove(0);
    until(|| matches!(entry.begin(), Flight::Ours(_))).await;
    drop(handle);
}

#[tokio::test]
async fn fixed_keys_never_change() {
    let key = fakes::key();
    let (keys, _) = crate::jose::KeySet::parse(
        fakes::set_of(&[&key]).as_bytes(),
        KeyUse::Signature,
        &[Algorithm::Es256],
    )
    .unwrap();
    let handle = Handle::fixed(keys, fakes::NOW);
    assert!(handle.usable(fakes::NOW.plus(secs(1_000_000_000))));
    assert!(!handle.refresh_for_token(&handle.snapshot()).await);
    assert!(has(&handle.snapshot(), key.kid()));
    assert_eq!(handle.health().keys, 1);
}
