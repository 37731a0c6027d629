//! A store that several processes share, that goes away, and that others write to.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    lifecycle::{publication, view_limit},
    memory::{Memory, shared, target},
    rig::{SECOND, open, prod, published, rig, signer},
    seal::{Owner, Sealer},
    *,
};
use crate::{
    base::{
        clock::{Clock as _, ManualClock},
        secret::Secret,
    },
    jose::Algorithm,
    model::{Target, TargetSigning, Ttl},
};

#[tokio::test]
async fn a_plan_whose_lifetimes_cannot_be_noted_is_not_taken_on() {
    let rig = rig(target()).await;
    let longer = Target {
        max_ttl: Ttl::secs(43_200),
        ..target()
    };
    rig.store.away.store(true, Ordering::SeqCst);
    let failed = rig.signing.apply(&shared(longer)).await;
    assert!(matches!(failed, Err(SigningError::Store(_))));
    assert!(
        rig.signing.active(&prod()).is_some(),
        "the old plan goes on"
    );
}

#[tokio::test]
async fn a_store_that_is_away_stops_nothing_for_a_while_and_then_everything() {
    let rig = rig(target()).await;
    let set = rig.signing.jwks("prod").unwrap();
    rig.store.away.store(true, Ordering::SeqCst);
    rig.clock.advance(view_limit(&target()));
    assert!(rig.signing.tick().await.is_err());
    assert_eq!(rig.signing.jwks("prod"), Some(set));
    assert!(rig.signing.active(&prod()).is_some());
    rig.clock.advance(SECOND);
    assert!(rig.signing.active(&prod()).is_none());
    assert!(rig.signing.jwks("prod").is_none());
    rig.store.away.store(false, Ordering::SeqCst);
    rig.signing.tick().await.unwrap();
    assert!(rig.signing.active(&prod()).is_some() && rig.signing.jwks("prod").is_some());
}

#[tokio::test]
async fn two_processes_that_begin_at_once_agree_on_one_first_key() {
    let clock = Arc::new(ManualClock::at(Moment::from_secs(1_790_000_000)));
    // The other process does everything between our reading and our writing:
    // first of our new key, then of the choice that it signs.
    for turn in 0..2 {
        let store = Arc::new(Memory::default());
        let (one, two) = (open(&store, &clock), open(&store, &clock));
        let racer = Arc::clone(&two);
        let act = move |_: &Memory| apply_elsewhere(racer);
        if turn == 0 {
            *store.first.lock().unwrap() = Some(Box::new(act));
        } else {
            *store.first.lock().unwrap() = Some(Box::new(move |store: &Memory| {
                *store.first.lock().unwrap() = Some(Box::new(act));
            }));
        }
        one.apply(&shared(target())).await.unwrap();
        two.tick().await.unwrap();
        assert_eq!(store.kids(Phase::Active).len(), 1, "turn {turn}");
        assert_eq!(signer(&one), signer(&two));
        assert_eq!(published(&one), published(&two));
    }
}

/// What another process does while this one waits for its store.
fn apply_elsewhere(signing: Arc<Signing>) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(signing.apply(&shared(target()))).unwrap();
    };
    std::thread::spawn(run).join().unwrap();
}

#[tokio::test]
async fn a_process_that_loses_a_race_takes_over_what_the_winner_did() {
    let rig = rig(target()).await;
    let other = rig.another().await;
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    rig.pass(publication(&target()) - SECOND).await;
    rig.clock.advance(SECOND);
    // `other` moves the keys while `signing` is about to.
    let racer = Arc::clone(&other);
    *rig.store.first.lock().unwrap() = Some(Box::new(move |_| apply_elsewhere(racer)));
    rig.signing.tick().await.unwrap();
    assert_eq!(signer(&rig.signing), signer(&other));
    assert_eq!(rig.store.kids(Phase::Active).len(), 1);
    assert_eq!(rig.store.kids(Phase::Retiring).len(), 1);
    assert!(rig.store.kids(Phase::Next).is_empty());
}

#[tokio::test]
async fn a_key_outlives_the_tokens_of_a_process_that_is_behind() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    let other = rig.another().await;
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    rig.pass(publication(&target()) - SECOND).await;
    other.tick().await.unwrap();
    rig.pass(SECOND).await;
    assert_ne!(signer(&rig.signing), first);
    // The other one does not know yet, and may not: its view is recent.
    rig.pass(view_limit(&target()) - SECOND).await;
    assert_eq!(signer(&other), first);
    let expires = rig.clock.now().plus(target().max_ttl.duration());
    rig.pass(SECOND).await;
    assert!(other.active(&prod()).is_none());
    while rig.clock.now() < expires {
        assert!(published(&rig.signing).contains(&first));
        rig.pass(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_tick_sees_what_another_process_did() {
    let rig = rig(target()).await;
    let other = rig.another().await;
    assert_eq!(signer(&other), signer(&rig.signing));
    other.rotate(&prod(), Rotate::Compromised).await.unwrap();
    assert_ne!(signer(&other), signer(&rig.signing));
    rig.signing.tick().await.unwrap();
    assert_eq!(signer(&other), signer(&rig.signing));
    assert_eq!(published(&other), published(&rig.signing));
}

#[tokio::test]
async fn who_can_write_to_the_store_cannot_add_a_key() {
    let rig = rig(target()).await;
    let kid = signer(&rig.signing);
    let before = rig.signing.jwks("prod").unwrap();
    // The public text is for people only.
    let foreign = crate::jose::LocalKey::generate(Algorithm::Es256).unwrap();
    let jwk = foreign.public_jwk().to_owned();
    rig.store.tamper(&kid, move |row| row.public_jwk = jwk);
    rig.signing.tick().await.unwrap();
    assert_eq!(rig.another().await.jwks("prod"), Some(before));
    // A row with another's id, without the key-encryption key.
    let mut forged = rig.store.all().pop().unwrap();
    forged.kid = foreign.kid().to_owned();
    forged.phase = Phase::Next;
    let change = KeyChange {
        was: None,
        record: forged,
    };
    assert!(rig.store.save_keys(vec![change]).await.unwrap());
    assert!(matches!(
        rig.signing.tick().await,
        Err(SigningError::Sealed)
    ));
    assert_eq!(published(&rig.signing), [kid], "the last good view stays");
}

#[tokio::test]
async fn a_row_moved_to_another_target_or_algorithm_does_not_open() {
    for tamper in [
        (|row| row.target = "test".parse().unwrap()) as fn(&mut KeyRecord),
        |row| row.signing = TargetSigning::Rs256,
        |row| row.sealed[3] ^= 1,
        |row| row.sealed.clear(),
    ] {
        let rig = rig(target()).await;
        rig.store.tamper(&signer(&rig.signing), tamper);
        let fresh = open(&rig.store, &rig.clock);
        let other = Target {
            name: "test".parse().unwrap(),
            ..target()
        };
        let both = [Arc::new(target()), Arc::new(other)];
        assert!(matches!(
            fresh.apply(&both).await,
            Err(SigningError::Sealed)
        ));
    }
}

#[tokio::test]
async fn a_row_that_names_another_key_than_it_holds_is_refused() {
    let rig = rig(target()).await;
    let key = crate::jose::LocalKey::generate(Algorithm::Es256).unwrap();
    let name = prod();
    let owner = Owner {
        target: &name,
        kid: "another",
        signing: TargetSigning::Es256,
    };
    let sealer = Sealer::new(&Secret::new(vec![7; 32])).unwrap();
    let sealed = sealer
        .seal(&owner, Ttl::secs(900), &key.to_pkcs8().unwrap())
        .unwrap();
    let mut record = rig.store.all().pop().unwrap();
    (record.kid, record.sealed, record.phase) = ("another".into(), sealed, Phase::Next);
    let change = KeyChange { was: None, record };
    assert!(rig.store.save_keys(vec![change]).await.unwrap());
    assert!(matches!(
        rig.signing.tick().await,
        Err(SigningError::Sealed)
    ));
}

#[tokio::test]
async fn another_key_encryption_key_opens_nothing() {
    let rig = rig(target()).await;
    let kek = Secret::new(vec![8; 32]);
    let other = Signing::open(rig.store.clone() as _, &kek, rig.clock.clone() as _).unwrap();
    let failed = other.apply(&shared(target())).await;
    assert!(matches!(failed, Err(SigningError::Sealed)));
    assert!(other.active(&prod()).is_none());
    assert_eq!(rig.store.all().len(), 1, "and changes nothing");
    let short = Signing::open(rig.store, &Secret::new(vec![8; 16]), rig.clock);
    assert!(matches!(short.err(), Some(SigningError::KeyEncryptionKey)));
}
