//! Signing keys: compared, then set.

use std::sync::Arc;

use assay::{
    ledger::Ledger,
    model::TargetSigning,
    signing::{KeyChange, KeyRecord, Phase},
};

use super::{LONG, NOW};
use crate::Store;

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

pub(crate) async fn keys_are_saved_and_loaded_again(store: Store) {
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

pub(crate) async fn keys_are_compared_before_they_are_set(store: Store) {
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

pub(crate) async fn of_two_rotations_one_wins(store: Store) {
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
