//! Commits: single, durable, apart from each other.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use assay::ledger::{Entry, Fence, LedgerError, SingleUse, Switch};

use super::{LONG, NOW, all, entry, is_disabled, plain, record, records, single_use};
use crate::Store;

pub(crate) async fn k_01_of_64_concurrent_uses_exactly_one_succeeds(store: Store) {
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

pub(crate) async fn k_01_a_use_is_single_across_replicas(store: Store) {
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

pub(crate) async fn a_used_token_disturbs_nobody_in_its_transaction(store: Store) {
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

pub(crate) async fn p_03_the_same_digest_in_another_trust_domain_is_another_use(store: Store) {
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

pub(crate) async fn p_05_a_use_counts_whatever_else_the_entry_says(store: Store) {
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

pub(crate) async fn a_refused_entry_burns_nothing(store: Store) {
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

pub(crate) async fn what_was_acknowledged_is_there_after_reopening(store: Store) {
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

pub(crate) async fn concurrent_commits_make_one_chain(store: Store) {
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

pub(crate) async fn k_05_a_plan_that_was_replaced_commits_nothing(store: Store) {
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

pub(crate) async fn dropping_a_commit_leaves_a_whole_ledger(store: Store) {
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
