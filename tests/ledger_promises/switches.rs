//! Kill switches: at once, everywhere, and no more than they say.

use std::time::Duration;

use assay::ledger::{LedgerError, Switch};

use super::{all, entry, is_disabled, plain, record, records};
use crate::Store;

pub(crate) async fn k_07_each_switch_stops_what_it_names_and_nothing_else(store: Store) {
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

pub(crate) async fn k_07_a_switch_stops_every_later_commit_of_every_replica(store: Store) {
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

pub(crate) async fn a_switch_is_seen_by_every_replica_within_five_seconds(store: Store) {
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

pub(crate) async fn switches_survive_reopening(store: Store) {
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

pub(crate) async fn denials_are_recorded_whatever_is_switched(store: Store) {
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
