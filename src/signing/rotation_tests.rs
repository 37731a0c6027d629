//! Rotation in one process, step by step.

use std::{sync::Arc, time::Duration};

use super::{
    lifecycle::{publication, retirement},
    memory::{Memory, shared, target},
    rig::{Rig, SECOND, open, prod, published, rig, signer},
    *,
};
use crate::{
    base::clock::{Clock as _, ManualClock},
    jose::{Algorithm, Compact, KeySet, KeyUse, Lookup, encode},
    model::{Target, TargetSigning, Ttl},
};

#[tokio::test]
async fn a_new_target_signs_at_once_and_its_tokens_verify() {
    let rig = rig(target()).await;
    let key = rig.signing.active(&prod()).unwrap();
    let token = encode(&*key, "at+jwt", br#"{"sub":"s"}"#).unwrap();
    let set = rig.signing.jwks("prod").unwrap();
    let (set, _) = KeySet::parse(&set, KeyUse::Signature, &[Algorithm::Es256]).unwrap();
    let Lookup::Found(found) = set.lookup(Some(key.kid())) else {
        panic!("not published");
    };
    let token = Compact::parse(&token, 4096).unwrap();
    assert!(token.verify(found).is_ok());
    assert_eq!(rig.store.all().len(), 1);
}

#[tokio::test]
async fn targets_share_no_key_and_unknown_ones_have_none() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(Memory::default());
    let signing = open(&store, &clock);
    assert!(signing.jwks("prod").is_none(), "before apply");
    let other = Target {
        name: "test".parse().unwrap(),
        signing: TargetSigning::Rs256,
        ..target()
    };
    let both = [Arc::new(target()), Arc::new(other)];
    signing.apply(&both).await.unwrap();
    let (one, two) = (signing.jwks("prod").unwrap(), signing.jwks("test").unwrap());
    assert_ne!(one, two);
    let rsa = signing.active(&"test".parse().unwrap()).unwrap();
    assert_eq!(rsa.algorithm(), Algorithm::Rs256);
    assert!(!String::from_utf8_lossy(&one).contains(rsa.kid()));
    for unknown in ["", "PROD", "prod/", "nosuch"] {
        assert!(signing.jwks(unknown).is_none(), "{unknown}");
    }
    assert!(signing.active(&"nosuch".parse().unwrap()).is_none());
    let nosuch = "nosuch".parse().unwrap();
    let nowhere = signing.rotate(&nosuch, Rotate::Schedule);
    assert!(matches!(nowhere.await, Err(SigningError::NoSuchTarget(_))));
}

#[tokio::test]
async fn a_key_set_holds_public_keys_of_two_types_only() {
    let rig = rig(target()).await;
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    let text = String::from_utf8(rig.signing.jwks("prod").unwrap().to_vec()).unwrap();
    let set: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!((&key["kty"], &key["crv"]), (&"EC".into(), &"P-256".into()));
        assert!(key.get("d").is_none());
    }
    let own = KeySet::parse(BROKER_JWKS.as_bytes(), KeyUse::Signature, Algorithm::ALL);
    assert!(own.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_rotation_publishes_waits_takes_over_waits_and_withdraws() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    assert_eq!(signer(&rig.signing), first);
    let second = rig.store.kids(Phase::Next).pop().unwrap();
    assert_eq!(published(&rig.signing).len(), 2);

    rig.pass(publication(&target()) - SECOND).await;
    assert_eq!(signer(&rig.signing), first, "one second too early");
    rig.pass(SECOND).await;
    assert_eq!(signer(&rig.signing), second);
    assert_eq!(published(&rig.signing).len(), 2);

    rig.pass(retirement(&target(), target().max_ttl) - SECOND)
        .await;
    assert!(published(&rig.signing).contains(&first));
    rig.pass(SECOND).await;
    assert_eq!(published(&rig.signing), [second]);
    let rows = rig.store.all();
    let retired = rows.iter().find(|k| k.kid == first).unwrap();
    assert_eq!(retired.phase, Phase::Retired);
    assert!(retired.sealed.is_empty(), "its private key is destroyed");
}

#[tokio::test]
async fn a_key_is_rotated_by_itself_at_the_end_of_its_life() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    let life = target().key_lifetime.duration();
    rig.pass(life - publication(&target()) - SECOND).await;
    assert_eq!(published(&rig.signing).len(), 1);
    rig.pass(SECOND).await;
    assert_eq!(published(&rig.signing).len(), 2);
    rig.pass(publication(&target()) - SECOND).await;
    assert_eq!(signer(&rig.signing), first);
    rig.pass(SECOND).await;
    assert_ne!(signer(&rig.signing), first);
    rig.pass(4 * life).await;
    assert!(rig.store.kids(Phase::Retired).len() >= 3);
    assert!(published(&rig.signing).len() <= 3);
}

#[tokio::test]
async fn a_scheduled_rotation_is_begun_once() {
    let rig = rig(target()).await;
    for _ in 0..3 {
        rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    }
    assert_eq!(rig.store.kids(Phase::Next).len(), 1);
}

#[tokio::test]
async fn a_compromised_key_is_gone_at_once() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.signing
        .rotate(&prod(), Rotate::Compromised)
        .await
        .unwrap();
    let second = signer(&rig.signing);
    assert_ne!(second, first);
    assert_eq!(published(&rig.signing), std::slice::from_ref(&second));
    // With a published next key, that one takes over: servers know it already.
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    let next = rig.store.kids(Phase::Next).pop().unwrap();
    rig.signing
        .rotate(&prod(), Rotate::Compromised)
        .await
        .unwrap();
    assert_eq!(signer(&rig.signing), next);
    assert_eq!(published(&rig.signing), [next]);
    assert_eq!(rig.store.kids(Phase::Retired).len(), 2);
    for kid in [first, second] {
        let rows = rig.store.all();
        assert!(
            rows.iter()
                .find(|k| k.kid == kid)
                .unwrap()
                .sealed
                .is_empty()
        );
    }
}

#[tokio::test]
async fn retire_refuses_the_key_that_signs() {
    let rig = rig(target()).await;
    let active = signer(&rig.signing);
    let refused = rig.signing.retire(&prod(), &active).await;
    assert!(matches!(refused, Err(SigningError::Refused(_))));
    assert_eq!(signer(&rig.signing), active);
    let unknown = rig
        .signing
        .retire(&prod(), "no\u{1b}such")
        .await
        .unwrap_err();
    assert_eq!(unknown.to_string(), "target prod has no key no\\u{1b}such");
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    let next = rig.store.kids(Phase::Next).pop().unwrap();
    for _ in 0..2 {
        rig.signing.retire(&prod(), &next).await.unwrap();
        assert_eq!(published(&rig.signing), std::slice::from_ref(&active));
    }
}

#[tokio::test]
async fn a_change_of_algorithm_is_a_rotation() {
    let rig = rig(target()).await;
    let rs256 = Target {
        signing: TargetSigning::Rs256,
        ..target()
    };
    rig.signing.apply(&shared(rs256)).await.unwrap();
    let algorithm = |rig: &Rig| rig.signing.active(&prod()).unwrap().algorithm();
    assert_eq!(algorithm(&rig), Algorithm::Es256);
    assert_eq!(published(&rig.signing).len(), 2);
    rig.pass(publication(&target())).await;
    assert_eq!(algorithm(&rig), Algorithm::Rs256);
}

#[tokio::test]
async fn a_restart_keeps_keys_and_periods() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    rig.pass(publication(&target()) - SECOND).await;
    let restarted = rig.another().await;
    assert_eq!(signer(&restarted), first);
    assert_eq!(restarted.jwks("prod"), rig.signing.jwks("prod"));
    rig.clock.advance(SECOND);
    restarted.tick().await.unwrap();
    assert_ne!(signer(&restarted), first);
}

#[tokio::test]
async fn a_longer_lifetime_is_remembered_across_a_restart_and_a_shorter_plan() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    let of = |secs| {
        shared(Target {
            max_ttl: Ttl::secs(secs),
            ..target()
        })
    };
    rig.signing.apply(&of(43_200)).await.unwrap();
    // Tokens of twelve hours are out; now the plan says 15 minutes.
    let restarted = open(&rig.store, &rig.clock);
    restarted.apply(&of(900)).await.unwrap();
    restarted.rotate(&prod(), Rotate::Schedule).await.unwrap();
    let rig = Rig {
        signing: restarted,
        ..rig
    };
    rig.pass(publication(&target())).await;
    assert_ne!(signer(&rig.signing), first);
    rig.pass(Duration::from_secs(43_200)).await;
    assert!(published(&rig.signing).contains(&first));
    rig.pass(retirement(&target(), Ttl::secs(60))).await;
    assert!(!published(&rig.signing).contains(&first));
}

#[tokio::test]
async fn a_machine_that_slept_does_not_go_on_with_what_it_remembers() {
    let rig = rig(target()).await;
    let later = rig.clock.now().plus(Duration::from_secs(86_400));
    rig.clock.jump_to(later);
    assert!(rig.signing.active(&prod()).is_none());
    rig.signing.tick().await.unwrap();
    assert!(rig.signing.active(&prod()).is_some());
}

#[tokio::test]
async fn ticks_missed_for_days_shorten_no_period() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.clock.advance(Duration::from_secs(5 * 86_400));
    rig.signing.tick().await.unwrap();
    // The next key was published just now: it waits like any other.
    assert_eq!(signer(&rig.signing), first);
    assert_eq!(published(&rig.signing).len(), 2);
    rig.pass(publication(&target()) - SECOND).await;
    assert_eq!(signer(&rig.signing), first);
    rig.pass(SECOND).await;
    assert_ne!(signer(&rig.signing), first);
    // And the old one stays, although the whole rotation is overdue.
    rig.clock.advance(Duration::from_secs(60));
    rig.signing.tick().await.unwrap();
    assert!(published(&rig.signing).contains(&first));
}

#[tokio::test]
async fn a_clock_that_jumps_forward_brings_nothing_forward() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    let now = rig.clock.now();
    rig.clock.jump_to(now.plus(Duration::from_secs(86_400)));
    rig.signing.tick().await.unwrap();
    assert_eq!(
        signer(&rig.signing),
        first,
        "no server has seen the next key yet"
    );
    rig.pass(publication(&target())).await;
    assert_ne!(signer(&rig.signing), first);
    let now = rig.clock.now();
    rig.clock.jump_to(now.plus(Duration::from_secs(86_400)));
    rig.signing.tick().await.unwrap();
    assert!(published(&rig.signing).contains(&first), "its tokens live");
}

#[tokio::test]
async fn a_clock_that_jumps_back_unpublishes_no_key_of_a_live_token() {
    let rig = rig(target()).await;
    let first = signer(&rig.signing);
    rig.pass(Duration::from_secs(1500)).await;
    assert_eq!(signer(&rig.signing), first);
    // A token of 15 minutes, signed by this clock ...
    let expires = rig.clock.now().plus(Duration::from_secs(900));
    // ... which then goes back an hour, while a rotation is under way.
    let back = rig.clock.now().minus(Duration::from_secs(3600));
    rig.clock.jump_to(back);
    rig.signing.tick().await.unwrap();
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    rig.pass(publication(&target())).await;
    assert_ne!(signer(&rig.signing), first, "a rotation is not held up");
    while rig.clock.now() < expires {
        rig.pass(Duration::from_secs(60)).await;
        let live = rig.clock.now() < expires;
        assert!(!live || published(&rig.signing).contains(&first));
    }
    rig.pass(retirement(&target(), target().max_ttl)).await;
    assert!(!published(&rig.signing).contains(&first));
}

#[tokio::test]
async fn keys_are_listed_with_what_is_due() {
    let rig = rig(target()).await;
    let start = rig.clock.now();
    rig.signing.rotate(&prod(), Rotate::Schedule).await.unwrap();
    rig.pass(publication(&target())).await;
    let list = rig.signing.list();
    let phases: Vec<_> = list.iter().map(|k| k.phase).collect();
    assert!(phases.contains(&Phase::Retiring) && phases.contains(&Phase::Active));
    let find = |phase| list.iter().find(|k| k.phase == phase).unwrap();
    let taken = start.plus(publication(&target()));
    let life = target().key_lifetime.duration();
    assert_eq!(find(Phase::Active).due, Some(taken.plus(life)));
    let rest = retirement(&target(), target().max_ttl);
    assert_eq!(find(Phase::Retiring).due, Some(taken.plus(rest)));
    assert_eq!(find(Phase::Retiring).created_at, start);
    rig.pass(rest).await;
    let list = rig.signing.list();
    let retired = list.iter().find(|k| k.phase == Phase::Retired).unwrap();
    assert_eq!(retired.due, None);
}

#[tokio::test]
async fn a_target_that_left_the_plan_neither_signs_nor_publishes() {
    let rig = rig(target()).await;
    rig.signing.apply(&[]).await.unwrap();
    assert!(rig.signing.active(&prod()).is_none() && rig.signing.jwks("prod").is_none());
    let kids = rig.store.kids(Phase::Active);
    rig.signing.apply(&shared(target())).await.unwrap();
    assert_eq!([signer(&rig.signing)], kids[..]);
}
