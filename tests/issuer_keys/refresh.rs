//! When keys are fetched again, and for how long they are good.

use super::*;

#[tokio::test]
async fn u_07_retry_after_is_honoured_and_known_keys_go_on() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    rig.issuer.answer(JWKS, Answer::retry_after(429, 3600));
    rig.clock.advance(Duration::from_secs(331));
    rig.keyring.refresh_due().await;
    let hits = rig.issuer.hits(JWKS);
    let wait = handle.health().next_refresh_in.unwrap();
    assert!(wait >= Duration::from_secs(3240), "{wait:?}");

    let known = rig.token(&rig.issuer.key());
    let unknown = rig.token(&TestKey::es256("unknown"));
    rig.clock.advance(Duration::from_secs(3000));
    rig.keyring.refresh_due().await;
    assert!(accepts_after_refresh(&handle, &known).await);
    assert!(!accepts_after_refresh(&handle, &unknown).await);
    assert_eq!(rig.issuer.hits(JWKS), hits);

    rig.issuer.publish(&[rig.issuer.key()]);
    rig.clock.advance(Duration::from_secs(961));
    rig.keyring.refresh_due().await;
    assert_eq!(handle.health().last_error, None);
}

#[tokio::test]
async fn u_29_unknown_kids_cause_one_fetch_per_cool_down_even_while_it_fails() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let flood = |n: usize| rig.token(&TestKey::es256(&format!("unknown-{n}")));
    for (answer, total) in [
        (Answer::status(500), 2),
        (Answer::json(tokens::jwks(&[])), 3),
        (Answer::json(tokens::jwks(&[rig.issuer.key().jwk()])), 4),
    ] {
        rig.issuer.answer(JWKS, answer);
        for n in 0..20 {
            assert!(!accepts_after_refresh(&handle, &flood(n)).await);
        }
        assert_eq!(rig.issuer.hits(JWKS), total);
        assert!(accepts(&handle, &rig.token(&rig.issuer.key())));
        rig.clock.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn u_29_concurrent_tokens_share_one_fetch() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let fresh = key("fresh");
    let token = rig.token(&fresh);
    rig.issuer.publish(&[Arc::clone(&fresh)]);
    let mut gate = rig.issuer.hold(JWKS);
    let waiters: Vec<_> = (0..32)
        .map(|_| {
            let (handle, token) = (handle.clone(), token.clone());
            tokio::spawn(async move { accepts_after_refresh(&handle, &token).await })
        })
        .collect();
    gate.arrived(1).await;
    gate.open();
    for waiter in waiters {
        assert!(waiter.await.unwrap());
    }
    assert_eq!(rig.issuer.hits(JWKS), 2);
}

#[tokio::test]
async fn u_31_a_rotation_is_followed_by_the_first_token() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let old = rig.issuer.key();
    let new = key("key-2");
    let token = rig.token(&new);
    assert!(
        !accepts_after_refresh(&handle, &token).await,
        "not published yet"
    );
    rig.issuer.publish(&[Arc::clone(&new), Arc::clone(&old)]);
    assert!(
        !accepts_after_refresh(&handle, &token).await,
        "within the cool-down"
    );
    rig.clock.advance(Duration::from_secs(30));
    assert!(accepts_after_refresh(&handle, &token).await);
    assert!(accepts(&handle, &rig.token(&old)));
    rig.issuer.publish(&[new]);
    rig.again().await;
    assert!(
        !accepts(&handle, &rig.token(&old)),
        "a withdrawn key is gone"
    );
}

#[tokio::test]
async fn u_33_new_material_under_a_known_kid_is_followed() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let old = rig.issuer.key();
    let new = key("key-1");
    rig.issuer.publish(&[Arc::clone(&new)]);
    assert!(accepts_after_refresh(&handle, &rig.token(&new)).await);
    assert!(!accepts(&handle, &rig.token(&old)));
}

#[tokio::test]
async fn u_35_an_hour_without_the_issuer_changes_nothing_for_known_keys() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let token = rig.token(&rig.issuer.key());
    rig.issuer.accept(Accept::Close);
    for _ in 0..12 {
        rig.clock.advance(Duration::from_secs(300));
        rig.keyring.refresh_due().await;
        assert!(accepts(&handle, &token));
        assert!(handle.usable(rig.clock.now()));
    }
    assert!(handle.health().failures > 0);
    let step = handle.health().next_refresh_in.unwrap();
    assert!(step <= Duration::from_secs(330));
    rig.issuer.accept(Accept::Tls);
    rig.clock.advance(step);
    rig.keyring.refresh_due().await;
    assert_eq!(handle.health().last_error, None);
}

#[tokio::test]
async fn u_35_after_max_stale_the_keys_are_refused() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    rig.issuer.accept(Accept::Close);
    rig.clock.advance(Duration::from_secs(24 * 3600));
    rig.keyring.refresh_due().await;
    assert!(handle.usable(rig.clock.now()));
    rig.clock.advance(Duration::from_secs(1));
    assert!(!handle.usable(rig.clock.now()));
    rig.clock.jump_to(NOW);
    assert!(
        !handle.usable(rig.clock.now()),
        "a clock set back changes nothing"
    );
    rig.issuer.accept(Accept::Tls);
    rig.again().await;
    assert!(handle.usable(rig.clock.now()));
}

#[tokio::test]
async fn u_37_a_cold_start_without_one_issuer_serves_the_others() {
    let rig = Rig::start().await;
    let other = FakeIssuer::start().await;
    rig.issuer.accept(Accept::Close);
    let specs = BTreeMap::from([
        ("a".parse().unwrap(), rig.issuer.spec()),
        ("b".parse().unwrap(), other.spec()),
    ]);
    let handles: Vec<Handle> = rig.keyring.apply(&specs).into_values().collect();
    rig.keyring.refresh_due().await;
    assert!(!handles[0].usable(NOW));
    assert!(handles[1].usable(NOW));
    rig.issuer.accept(Accept::Tls);
    rig.keyring.refresh_due().await;
    assert!(handles[0].usable(NOW), "it recovers without a restart");
}
