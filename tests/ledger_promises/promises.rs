//! One function for each promise.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use assay::{
    base::clock::{Clock as _, Moment},
    ledger::{
        ChainState, Chained, Entry, Fence, Lease, Ledger, LedgerError, MAX_RECORD, Query, Record,
        SingleUse, Switch, chain,
    },
    model::{Reason, TargetSigning},
    signing::{KeyChange, KeyRecord, Phase},
};

use crate::Store;

/// When every store begins.
pub const NOW: Moment = Moment::from_secs(1_790_000_000);

/// Far more than any promise allows, so that only a broken one ends a wait.
const LONG: Duration = Duration::from_secs(30);

/// Makes a test of every promise for one backend.
macro_rules! promises {
    ($backend:ident) => {
        $crate::promises::promises! { $backend:
            k_01_of_64_concurrent_uses_exactly_one_succeeds
            k_01_a_use_is_single_across_replicas
            a_used_token_disturbs_nobody_in_its_transaction
            p_03_the_same_digest_in_another_trust_domain_is_another_use
            p_05_a_use_counts_whatever_else_the_entry_says
            a_refused_entry_burns_nothing
            what_was_acknowledged_is_there_after_reopening
            concurrent_commits_make_one_chain
            records_are_chained_by_the_documented_formula
            the_chain_of_an_empty_ledger_is_intact
            k_05_a_plan_that_was_replaced_commits_nothing
            k_07_each_switch_stops_what_it_names_and_nothing_else
            k_07_a_switch_stops_every_later_commit_of_every_replica
            a_switch_is_seen_by_every_replica_within_five_seconds
            switches_survive_reopening
            denials_are_recorded_whatever_is_switched
            a_record_of_any_size_up_to_the_cap_is_kept_whole
            records_are_found_by_what_they_say
            the_chain_can_be_followed
            leases_are_listed_until_they_expire
            keys_are_saved_and_loaded_again
            keys_are_compared_before_they_are_set
            of_two_rotations_one_wins
            p_09_pruning_forgets_no_use_before_its_time
            f_13_a_jump_of_the_clock_forgets_no_use
            pruning_keeps_the_chain
            the_time_of_creation_stays
            dropping_a_commit_leaves_a_whole_ledger
        }
    };
    ($backend:ident: $($promise:ident)*) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::promises::$promise($crate::$backend()).await;
                }
            )*
        }
    };
}
pub(crate) use promises;

fn record(json: &str) -> Record {
    Record { json: json.into() }
}

fn single_use(token: u8) -> SingleUse {
    SingleUse {
        trust_domain: "github".into(),
        digest: [token; 32],
        until: NOW.plus(Duration::from_secs(600)),
    }
}

fn lease(id: &str) -> Lease {
    Lease {
        id: id.into(),
        target: "prod".into(),
        subject: "repo:acme/app".into(),
        issuer: Some("https://issuer.test".into()),
        trust_domain: "github".into(),
        rule: "deploy".into(),
        expires_at: NOW.plus(Duration::from_secs(900)),
    }
}

fn entry(token: u8) -> Entry {
    Entry {
        single_use: Some(single_use(token)),
        lease: Some(lease(&format!("lease-{token}"))),
        audit: record(&format!("{{\"request_id\":\"{token}\"}}")),
        fence: None,
    }
}

fn plain(json: &str) -> Entry {
    Entry {
        single_use: None,
        lease: None,
        audit: record(json),
        fence: None,
    }
}

async fn records(ledger: &dyn Ledger) -> u64 {
    match ledger.verify_chain().await.unwrap() {
        ChainState::Intact { records, .. } => records,
        broken => panic!("{broken:?}"),
    }
}

async fn all(ledger: &dyn Ledger) -> Vec<Chained> {
    ledger.audit(Query::default()).await.unwrap()
}

fn is_disabled(result: &Result<(), LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Disabled(_)))
}

pub async fn k_01_of_64_concurrent_uses_exactly_one_succeeds(store: Store) {
    let ledger = (store.open)();
    for round in 0..10 {
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let ledger = Arc::clone(&ledger);
                tokio::spawn(async move { ledger.commit(entry(round)).await })
            })
            .collect();
        let mut succeeded = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => succeeded += 1,
                refused => assert_eq!(refused, Err(LedgerError::Replayed)),
            }
        }
        assert_eq!(succeeded, 1);
    }
    assert_eq!(records(&*ledger).await, 10);
    assert_eq!(ledger.leases(NOW, 0).await.unwrap().len(), 10);
}

pub async fn k_01_a_use_is_single_across_replicas(store: Store) {
    let replicas = [(store.open)(), (store.open)(), (store.open)()];
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let ledger = Arc::clone(&replicas[n % 3]);
            tokio::spawn(async move { ledger.commit(entry(1)).await })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        succeeded += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(succeeded, 1);
    for replica in &replicas {
        assert_eq!(replica.commit(entry(1)).await, Err(LedgerError::Replayed));
        assert_eq!(records(&**replica).await, 1);
    }
}

pub async fn a_used_token_disturbs_nobody_in_its_transaction(store: Store) {
    let ledger = (store.open)();
    ledger.commit(entry(0)).await.unwrap();
    // All are sent before any is answered, so they share transactions.
    let tasks: Vec<_> = (0..100u8)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            let token = if n % 2 == 0 { 0 } else { n };
            tokio::spawn(async move { (token, ledger.commit(entry(token)).await) })
        })
        .collect();
    for task in tasks {
        let (token, result) = task.await.unwrap();
        let expected = match token {
            0 => Err(LedgerError::Replayed),
            _ => Ok(()),
        };
        assert_eq!(result, expected, "{token}");
    }
    assert_eq!(records(&*ledger).await, 51);
}

pub async fn p_03_the_same_digest_in_another_trust_domain_is_another_use(store: Store) {
    let ledger = (store.open)();
    ledger.commit(entry(1)).await.unwrap();
    for trust_domain in ["gitlab", "", "github2", "githu"] {
        let mut other = entry(1);
        other.single_use = Some(SingleUse {
            trust_domain: trust_domain.into(),
            ..single_use(1)
        });
        ledger.commit(other.clone()).await.unwrap();
        assert_eq!(ledger.commit(other).await, Err(LedgerError::Replayed));
    }
}

pub async fn p_05_a_use_counts_whatever_else_the_entry_says(store: Store) {
    let ledger = (store.open)();
    ledger.commit(entry(1)).await.unwrap();
    let mut other = plain("{}");
    other.single_use = Some(SingleUse {
        until: NOW.plus(LONG),
        ..single_use(1)
    });
    assert_eq!(ledger.commit(other).await, Err(LedgerError::Replayed));
    // Without single use the same exchange may come again and again.
    let mut free = entry(1);
    free.single_use = None;
    ledger.commit(free.clone()).await.unwrap();
    ledger.commit(free).await.unwrap();
    assert_eq!(records(&*ledger).await, 3);
}

pub async fn a_refused_entry_burns_nothing(store: Store) {
    let ledger = (store.open)();
    let target = Switch::Target("prod".into());
    ledger
        .set_switch(target.clone(), true, record("{}"))
        .await
        .unwrap();
    assert!(is_disabled(&ledger.commit(entry(1)).await));

    let counter = Arc::new(AtomicU64::new(0));
    let mut late = entry(1);
    late.fence = Some(Fence::take(&counter));
    Fence::advance(&counter);
    assert_eq!(ledger.commit(late).await, Err(LedgerError::Changed));
    assert_eq!(records(&*ledger).await, 1);
    assert!(ledger.leases(NOW, 0).await.unwrap().is_empty());

    ledger
        .set_switch(target, false, record("{}"))
        .await
        .unwrap();
    ledger.commit(entry(1)).await.unwrap();
}

pub async fn what_was_acknowledged_is_there_after_reopening(store: Store) {
    let ledger = (store.open)();
    for token in 0..50 {
        ledger.commit(entry(token)).await.unwrap();
    }
    let before = all(&*ledger).await;
    let leases = ledger.leases(NOW, 0).await.unwrap();
    drop(ledger);

    let ledger = (store.open)();
    assert_eq!(all(&*ledger).await, before);
    assert_eq!(ledger.leases(NOW, 0).await.unwrap(), leases);
    assert_eq!(leases.len(), 50);
    for token in 0..50 {
        assert_eq!(
            ledger.commit(entry(token)).await,
            Err(LedgerError::Replayed)
        );
    }
    ledger.commit(entry(50)).await.unwrap();
    assert_eq!(records(&*ledger).await, 51);
}

pub async fn concurrent_commits_make_one_chain(store: Store) {
    let ledger = (store.open)();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { ledger.commit(plain(&format!("{{\"n\":{n}}}"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(records(&*ledger).await, 500);
    let texts: BTreeSet<_> = all(&*ledger).await.into_iter().map(|r| r.json).collect();
    assert_eq!(texts.len(), 500);
}

pub async fn records_are_chained_by_the_documented_formula(store: Store) {
    let ledger = (store.open)();
    for json in ["{\"a\":1}", "{ \"b\" : \"\u{e4}\\n\" }", "{}"] {
        ledger.commit(plain(json)).await.unwrap();
    }
    let mut previous = chain::GENESIS;
    for (sequence, found) in (1..).zip(all(&*ledger).await) {
        assert_eq!((found.sequence, found.previous), (sequence, previous));
        assert_eq!(
            found.hash,
            chain::link(&previous, sequence, found.json.as_bytes())
        );
        previous = found.hash;
    }
    let state = ledger.verify_chain().await.unwrap();
    let expected = ChainState::Intact {
        records: 3,
        head: previous,
    };
    assert_eq!(state, expected);
}

pub async fn the_chain_of_an_empty_ledger_is_intact(store: Store) {
    let ledger = (store.open)();
    let expected = ChainState::Intact {
        records: 0,
        head: chain::GENESIS,
    };
    assert_eq!(ledger.verify_chain().await.unwrap(), expected);
    assert!(all(&*ledger).await.is_empty());
    assert!(ledger.healthy());
}

pub async fn k_05_a_plan_that_was_replaced_commits_nothing(store: Store) {
    let ledger = (store.open)();
    let counter = Arc::new(AtomicU64::new(0));
    let decided = |token| Entry {
        fence: Some(Fence::take(&counter)),
        ..entry(token)
    };
    ledger.commit(decided(1)).await.unwrap();
    let late = decided(2);
    Fence::advance(&counter);
    assert_eq!(ledger.commit(late).await, Err(LedgerError::Changed));
    assert_eq!(records(&*ledger).await, 1);
    ledger.commit(decided(2)).await.unwrap();
}

pub async fn k_07_each_switch_stops_what_it_names_and_nothing_else(store: Store) {
    let ledger = (store.open)();
    let rule = |trust_domain: &str| Switch::Rule {
        trust_domain: trust_domain.into(),
        rule: "deploy".into(),
    };
    let switches = [
        (Switch::Issuer("https://issuer.test".into()), true),
        (Switch::Issuer("https://issuer.test/".into()), false),
        (Switch::TrustDomain("github".into()), true),
        (Switch::TrustDomain("gitlab".into()), false),
        (rule("github"), true),
        (rule("gitlab"), false),
        (Switch::Subject("repo:acme/app".into()), true),
        (Switch::Subject("repo:acme/*".into()), false),
        (Switch::Target("prod".into()), true),
        (Switch::Target("github".into()), false),
    ];
    for (token, (switch, stops)) in (0..).zip(switches) {
        ledger
            .set_switch(switch.clone(), true, record("{}"))
            .await
            .unwrap();
        assert!(ledger.switches().on.contains(&switch));
        let result = ledger.commit(entry(token)).await;
        assert_eq!(is_disabled(&result), stops, "{switch:?}: {result:?}");
        ledger
            .set_switch(switch, false, record("{}"))
            .await
            .unwrap();
        let expected = if stops {
            Ok(())
        } else {
            Err(LedgerError::Replayed)
        };
        assert_eq!(ledger.commit(entry(token)).await, expected);
    }
    assert!(ledger.switches().on.is_empty());
}

pub async fn k_07_a_switch_stops_every_later_commit_of_every_replica(store: Store) {
    let one = (store.open)();
    let other = (store.open)();
    let switch = Switch::Issuer("https://issuer.test".into());
    for token in 0..20 {
        // The other replica's view is old; its commits must not be.
        one.set_switch(switch.clone(), true, record("{}"))
            .await
            .unwrap();
        assert!(is_disabled(&other.commit(entry(token)).await));
        one.set_switch(switch.clone(), false, record("{}"))
            .await
            .unwrap();
        other.commit(entry(token)).await.unwrap();
    }
}

pub async fn a_switch_is_seen_by_every_replica_within_five_seconds(store: Store) {
    let one = (store.open)();
    let other = (store.open)();
    let epoch = other.switches().epoch;
    let switch = Switch::TrustDomain("github".into());
    one.set_switch(switch.clone(), true, record("{}"))
        .await
        .unwrap();
    assert!(one.switches().on.contains(&switch));
    assert!(one.switches().epoch > epoch);
    let seen = async {
        while !other.switches().on.contains(&switch) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), seen)
        .await
        .unwrap();
    assert_eq!(other.switches().epoch, one.switches().epoch);
}

pub async fn switches_survive_reopening(store: Store) {
    let ledger = (store.open)();
    let switch = Switch::Subject("repo:acme/app".into());
    ledger
        .set_switch(switch.clone(), true, record("{\"by\":\"admin\"}"))
        .await
        .unwrap();
    let before = ledger.switches();
    drop(ledger);
    let ledger = (store.open)();
    assert_eq!(ledger.switches(), before);
    assert!(is_disabled(&ledger.commit(entry(1)).await));
    assert_eq!(all(&*ledger).await[0].json, "{\"by\":\"admin\"}");
}

pub async fn denials_are_recorded_whatever_is_switched(store: Store) {
    let ledger = (store.open)();
    for switch in [
        Switch::TrustDomain("github".into()),
        Switch::Target("prod".into()),
    ] {
        ledger.set_switch(switch, true, record("{}")).await.unwrap();
    }
    ledger
        .commit(plain("{\"outcome\":\"denied\"}"))
        .await
        .unwrap();
    assert_eq!(records(&*ledger).await, 3);
}

pub async fn a_record_of_any_size_up_to_the_cap_is_kept_whole(store: Store) {
    let ledger = (store.open)();
    for size in [2, 4_000, 5_000, 100_000, MAX_RECORD] {
        let json = format!("{{{}}}", " ".repeat(size - 2));
        ledger.commit(plain(&json)).await.unwrap();
        let last = all(&*ledger).await.pop().unwrap();
        assert_eq!(last.json, json);
    }
    let long = " ".repeat(MAX_RECORD + 1);
    let refused = ledger.commit(plain(&long)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))));
    assert!(ledger.healthy());
    assert_eq!(records(&*ledger).await, 5);
}

pub async fn records_are_found_by_what_they_say(store: Store) {
    let ledger = (store.open)();
    let texts = [
        r#"{"request_id":"R1","outcome":"granted","identity":"a","rule":"deploy","target":"prod"}"#,
        r#"{"request_id":"R2","outcome":"denied","reason":"RULE_NO_MATCH","identity":"b","target":"prod"}"#,
        r#"{"request_id":"R3","outcome":"denied","reason":"TOKEN_EXPIRED","target":"test"}"#,
    ];
    for text in texts {
        ledger.commit(plain(text)).await.unwrap();
        store.clock.advance(Duration::from_secs(10));
    }
    let find = async |query: Query| -> Vec<u64> {
        let found = ledger.audit(query).await.unwrap();
        found.iter().map(|record| record.sequence).collect()
    };
    let text = |value: &str| Some(value.to_owned());
    let at = |seconds| Some(NOW.plus(Duration::from_secs(seconds)));
    let any = Query::default;
    let cases = [
        (any(), vec![1, 2, 3]),
        (
            Query {
                request_id: text("R2"),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                outcome: text("denied"),
                ..any()
            },
            vec![2, 3],
        ),
        (
            Query {
                reason: Some(Reason::TokenExpired),
                ..any()
            },
            vec![3],
        ),
        (
            Query {
                identity: text("a"),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                rule: text("deploy"),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                target: text("prod"),
                outcome: text("denied"),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                since: at(10),
                ..any()
            },
            vec![2, 3],
        ),
        (
            Query {
                until: at(10),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                since: at(5),
                until: at(20),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                outcome: text("denied"),
                limit: 1,
                ..any()
            },
            vec![3],
        ),
        (
            Query {
                request_id: text("R9"),
                ..any()
            },
            vec![],
        ),
    ];
    for (query, expected) in cases {
        let shown = format!("{query:?}");
        assert_eq!(find(query).await, expected, "{shown}");
    }
}

pub async fn the_chain_can_be_followed(store: Store) {
    let ledger = (store.open)();
    let mut place = 0;
    for round in 0..5u64 {
        for _ in 0..3 {
            ledger.commit(plain("{}")).await.unwrap();
        }
        let mut seen = Vec::new();
        loop {
            let query = Query {
                after_sequence: Some(place),
                limit: 2,
                ..Query::default()
            };
            let Some(last) = ledger.audit(query).await.unwrap().pop() else {
                break;
            };
            place = last.sequence;
            seen.push(place);
        }
        assert_eq!(seen, [round * 3 + 2, round * 3 + 3]);
    }
}

pub async fn leases_are_listed_until_they_expire(store: Store) {
    let ledger = (store.open)();
    let after = |seconds| NOW.plus(Duration::from_secs(seconds));
    for (id, seconds) in [("a", 60), ("b", 900), ("c", 30)] {
        let mut entry = plain("{}");
        entry.lease = Some(Lease {
            expires_at: after(seconds),
            ..lease(id)
        });
        ledger.commit(entry).await.unwrap();
    }
    let live = async |at, limit| -> Vec<String> {
        let leases = ledger.leases(at, limit).await.unwrap();
        leases.into_iter().map(|lease| lease.id).collect()
    };
    assert_eq!(live(NOW, 0).await, ["c", "b", "a"]);
    assert_eq!(live(NOW, 2).await, ["c", "b"]);
    assert_eq!(live(after(30), 0).await, ["b", "a"]);
    assert_eq!(live(after(60), 0).await, ["b"]);
    assert_eq!(live(after(900), 0).await, [""; 0]);
    let whole = ledger.leases(after(60), 0).await.unwrap();
    assert_eq!(
        whole,
        [Lease {
            expires_at: after(900),
            ..lease("b")
        }]
    );
}

fn key(kid: &str, was: Option<Phase>, phase: Phase) -> KeyChange {
    KeyChange {
        was,
        record: KeyRecord {
            target: "prod".parse().unwrap(),
            kid: kid.into(),
            signing: TargetSigning::Es256,
            phase,
            created_at: NOW,
            since: NOW.plus(LONG),
            public_jwk: "{\"kty\":\"EC\"}".into(),
            sealed: (0..=255).collect(),
        },
    }
}

async fn phases(ledger: &dyn Ledger) -> Vec<(String, Phase)> {
    let keys = ledger.load_keys().await.unwrap();
    let mut phases: Vec<_> = keys.into_iter().map(|key| (key.kid, key.phase)).collect();
    phases.sort();
    phases
}

pub async fn keys_are_saved_and_loaded_again(store: Store) {
    let ledger = (store.open)();
    assert!(ledger.load_keys().await.unwrap().is_empty());
    assert!(ledger.save_keys(vec![]).await.unwrap());
    assert!(
        ledger
            .save_keys(vec![key("k1", None, Phase::Active)])
            .await
            .unwrap()
    );
    drop(ledger);
    let found = (store.open)().load_keys().await.unwrap().pop().unwrap();
    let expected = key("k1", None, Phase::Active).record;
    assert_eq!(found.target, expected.target);
    assert_eq!(found.kid, expected.kid);
    assert_eq!(found.signing, expected.signing);
    assert_eq!(found.phase, expected.phase);
    assert_eq!(found.created_at, expected.created_at);
    assert_eq!(found.since, expected.since);
    assert_eq!(found.public_jwk, expected.public_jwk);
    assert_eq!(found.sealed, expected.sealed);
}

pub async fn keys_are_compared_before_they_are_set(store: Store) {
    let ledger = (store.open)();
    let save = async |changes| ledger.save_keys(changes).await.unwrap();
    assert!(save(vec![key("k1", None, Phase::Next)]).await);
    // Each comes with a change that would be fine alone.
    for stale in [
        key("k1", None, Phase::Active),
        key("k1", Some(Phase::Active), Phase::Retiring),
        key("k9", Some(Phase::Next), Phase::Active),
    ] {
        assert!(!save(vec![key("k2", None, Phase::Next), stale]).await);
        assert_eq!(phases(&*ledger).await, [("k1".into(), Phase::Next)]);
    }
    let fits = vec![
        key("k2", None, Phase::Next),
        key("k1", Some(Phase::Next), Phase::Active),
    ];
    assert!(save(fits).await);
    let expected = [("k1".into(), Phase::Active), ("k2".into(), Phase::Next)];
    assert_eq!(phases(&*ledger).await, expected);
}

pub async fn of_two_rotations_one_wins(store: Store) {
    let replicas = [(store.open)(), (store.open)()];
    for n in 0..10 {
        let kid = format!("k{n}");
        let tasks: Vec<_> = replicas
            .iter()
            .map(|replica| {
                let (replica, change) = (Arc::clone(replica), key(&kid, None, Phase::Next));
                tokio::spawn(async move { replica.save_keys(vec![change]).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap());
        }
        assert_eq!(won, 1);
    }
}

pub async fn p_09_pruning_forgets_no_use_before_its_time(store: Store) {
    let ledger = (store.open)();
    for token in 0..50 {
        ledger.commit(entry(token)).await.unwrap();
    }
    store.clock.advance(Duration::from_secs(600));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(0));
    for token in 0..50 {
        assert_eq!(
            ledger.commit(entry(token)).await,
            Err(LedgerError::Replayed)
        );
    }
    // Long after, there is nothing to protect any more.
    store.clock.advance(Duration::from_secs(86_400));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(50));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(0));
}

pub async fn f_13_a_jump_of_the_clock_forgets_no_use(store: Store) {
    let ledger = (store.open)();
    ledger.commit(entry(1)).await.unwrap();
    let years = NOW.plus(Duration::from_secs(10 * 365 * 86_400));
    for jump in [years, Moment::from_secs(0)] {
        store.clock.jump_to(jump);
        assert_eq!(ledger.prune(jump).await, Ok(0));
        store.clock.jump_to(NOW);
        assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
    }
}

pub async fn pruning_keeps_the_chain(store: Store) {
    let ledger = (store.open)();
    for token in 0..5 {
        ledger.commit(entry(token)).await.unwrap();
    }
    let before = all(&*ledger).await;
    store.clock.advance(Duration::from_secs(86_400));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(5));
    assert_eq!(all(&*ledger).await, before);
    assert_eq!(records(&*ledger).await, 5);
}

pub async fn the_time_of_creation_stays(store: Store) {
    let ledger = (store.open)();
    assert_eq!(ledger.created_at(), NOW);
    drop(ledger);
    store.clock.advance(LONG);
    assert_eq!((store.open)().created_at(), NOW);
}

pub async fn dropping_a_commit_leaves_a_whole_ledger(store: Store) {
    let ledger = (store.open)();
    for token in 0..200 {
        let commit = ledger.commit(entry(token));
        // Polled once, so it is sent, and dropped while it is under way.
        let _ = tokio::time::timeout(Duration::ZERO, commit).await;
    }
    ledger.commit(plain("{}")).await.unwrap();
    let records = records(&*ledger).await;
    let leases = ledger.leases(NOW, 0).await.unwrap().len() as u64;
    assert_eq!(records, leases + 1, "a lease and its record stand together");
    let mut free = 0;
    for token in 0..200 {
        free += u64::from(ledger.commit(entry(token)).await.is_ok());
    }
    assert_eq!(free, 200 - leases, "a use and its lease stand together");
}
