//! Documents that are not what they should be.

use super::*;

#[tokio::test]
async fn discovery_leads_to_keys_that_verify() {
    let rig = Rig::start().await;
    rig.issuer
        .publish(&[key("ec"), Arc::new(TestKey::rs256("rsa"))]);
    let handle = rig.warm().await;
    assert_eq!(handle.health().keys, 2);
    assert!(accepts(&handle, &rig.token(&rig.issuer.key())));
    assert!(!accepts(&handle, &rig.token(&TestKey::es256("ec"))));
    assert_eq!((rig.issuer.hits(DISCOVERY), rig.issuer.hits(JWKS)), (1, 1));
}

#[tokio::test]
async fn u_05_garbage_keeps_the_last_good_set() {
    let rig = Rig::start().await;
    let good = tokens::jwks(&[rig.issuer.key().jwk()]);
    let deep = format!("{{\"keys\":{}", "[".repeat(60_000));
    for (answer, because) in [
        (Answer::json([0xff, 0xfe, 0x00]), "not well-formed JSON"),
        (
            Answer::ok("text/html", "<html>200</html>"),
            "not well-formed JSON",
        ),
        (
            Answer::json(&good[..good.len() - 2]),
            "not well-formed JSON",
        ),
        (Answer::json(deep), "nested deeper"),
        (Answer::json(""), "not well-formed JSON"),
        (Answer::truncated(&good), "not well-formed HTTP"),
        (Answer::gzip("\x1f\u{8b}"), "compressed"),
        (
            Answer::Raw(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
            "not well-formed HTTP",
        ),
    ] {
        rig.refuses(|i| i.answer(JWKS, answer.clone()), because)
            .await;
        rig.refuses(|i| i.answer(DISCOVERY, answer.clone()), because)
            .await;
    }
}

#[tokio::test]
async fn u_09_a_jwks_uri_that_leads_elsewhere_is_not_followed() {
    let rig = Rig::start().await;
    let evil = FakeIssuer::start().await;
    let document = |uri: serde_json::Value| {
        let mut document = json!({ "issuer": rig.issuer.issuer() });
        if !uri.is_null() {
            document["jwks_uri"] = uri;
        }
        Answer::json(document.to_string())
    };
    let local_http = format!("http://{}/jwks", rig.issuer.address());
    for (uri, because) in [
        (json!(null), "no text member `jwks_uri`"),
        (json!(["x"]), "no text member `jwks_uri`"),
        (json!("/jwks"), "discovery.jwks_uri cannot be used"),
        (json!("file:///etc/passwd"), "the scheme must be https"),
        (json!(local_http), "the scheme must be https"),
        (json!(evil.url(JWKS)), "not on the issuer's own origin"),
        (
            json!(rig.issuer.named_url(JWKS)),
            "not on the issuer's own origin",
        ),
    ] {
        let answer = document(uri);
        rig.refuses(|i| i.answer(DISCOVERY, answer.clone()), because)
            .await;
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn u_09_a_document_of_another_issuer_is_refused() {
    let rig = Rig::start().await;
    for issuer in [
        format!("{}/", rig.issuer.issuer()),
        rig.issuer.named_url(""),
        "https://accounts.example".to_owned(),
    ] {
        let document = json!({ "issuer": issuer, "jwks_uri": rig.issuer.url(JWKS) }).to_string();
        rig.refuses(
            |i| i.answer(DISCOVERY, Answer::json(document.clone())),
            "not byte for byte",
        )
        .await;
    }
}

#[tokio::test]
async fn u_11_the_algorithms_that_discovery_lists_change_nothing() {
    let rig = Rig::start().await;
    let mut document: serde_json::Value =
        serde_json::from_str(&rig.issuer.discovery_document()).unwrap();
    document["id_token_signing_alg_values_supported"] = json!(["none", "HS256"]);
    rig.issuer
        .answer(DISCOVERY, Answer::json(document.to_string()));
    let handle = rig.warm().await;
    assert!(accepts(&handle, &rig.token(&rig.issuer.key())));
    let none = Token::new(json!({}))
        .header("alg", "none")
        .sign(&rig.issuer.key());
    assert!(Compact::parse(&none, 16 * 1024).is_err());
}

#[tokio::test]
async fn u_21_two_keys_of_one_kid_are_both_refused_and_others_go_on() {
    let rig = Rig::start().await;
    let (victim, other) = (key("twice"), key("other"));
    let attacker = TestKey::rs256("twice");
    for pair in [
        [victim.jwk(), attacker.jwk()],
        [attacker.jwk(), victim.jwk()],
    ] {
        let [first, second] = pair;
        let set = tokens::jwks(&[first, other.jwk(), second]);
        rig.issuer.answer(JWKS, Answer::json(set));
        let handle = rig.warm().await;
        assert!(!accepts(&handle, &rig.token(&attacker)));
        assert!(!accepts(&handle, &rig.token(&victim)));
        assert!(accepts(&handle, &rig.token(&other)));
        assert_eq!(handle.health().skipped.len(), 2);
        rig.keyring.apply(&BTreeMap::new());
    }
}

#[tokio::test]
async fn u_23_weak_keys_are_skipped_at_load() {
    let rig = Rig::start().await;
    let good = rig.issuer.key();
    let strong = TestKey::rs256("rsa");
    let mut exponent_one = strong.jwk();
    exponent_one["e"] = json!("AQ");
    let mut even = strong.jwk();
    even["e"] = json!("AQAA");
    let mut short = strong.jwk();
    short["n"] = json!("A".repeat(171));
    let mut off_curve = good.jwk();
    off_curve["y"] = off_curve["x"].clone();
    let mut short_x = good.jwk();
    short_x["x"] = json!("AAAA");
    let mut small_curve = good.jwk();
    small_curve["crv"] = json!("P-192");
    for (n, mut weak) in [exponent_one, even, short, off_curve, short_x, small_curve]
        .into_iter()
        .enumerate()
    {
        weak["kid"] = json!(format!("weak-{n}"));
        let set = tokens::jwks(&[weak, good.jwk()]);
        rig.issuer.answer(JWKS, Answer::json(set));
        let handle = rig.warm().await;
        assert_eq!(handle.snapshot().keys.kids(), [good.kid()], "weak-{n}");
        assert_eq!(handle.health().skipped.len(), 1);
        rig.keyring.apply(&BTreeMap::new());
    }
}

#[tokio::test]
async fn u_25_odd_kids_are_skipped() {
    let rig = Rig::start().await;
    let good = rig.issuer.key();
    for kid in [
        json!(null),
        json!(7),
        json!(""),
        json!(["a"]),
        json!("k".repeat(100_000)),
    ] {
        let mut odd = TestKey::es256("x").jwk();
        odd["kid"] = kid;
        let set = tokens::jwks(&[odd, good.jwk()]);
        rig.issuer.answer(JWKS, Answer::json(set));
        let handle = rig.warm().await;
        assert_eq!(handle.snapshot().keys.kids(), [good.kid()]);
        assert!(accepts(&handle, &rig.token(&good)));
        rig.keyring.apply(&BTreeMap::new());
    }
}

#[tokio::test]
async fn u_27_keys_missing_or_misplaced_are_refused() {
    let rig = Rig::start().await;
    for set in [
        "{}",
        "[]",
        r#"{"keys":{}}"#,
        r#"{"keys":{"keys":[]}}"#,
        r#"{"Keys":[]}"#,
    ] {
        rig.refuses(|i| i.answer(JWKS, Answer::json(set)), "array `keys`")
            .await;
    }
}

#[tokio::test]
async fn an_empty_or_secret_or_oversized_set_keeps_the_last_good_one() {
    let rig = Rig::start().await;
    let mut secret = rig.issuer.key().jwk();
    secret["d"] = json!("AAAA");
    let symmetric = json!({"kty": "oct", "kid": "s", "k": "AAAA"});
    let many: Vec<_> = (0..101)
        .map(|n| json!({"kty": "EC", "kid": n.to_string()}))
        .collect();
    for (keys, because) in [
        (vec![], "no usable key"),
        (vec![json!({"kty": "AKP", "kid": "pq"})], "no usable key"),
        (vec![secret], "private or symmetric"),
        (
            vec![rig.issuer.key().jwk(), symmetric],
            "private or symmetric",
        ),
        (many, "more than 100 keys"),
    ] {
        let set = tokens::jwks(&keys);
        rig.refuses(|i| i.answer(JWKS, Answer::json(set.clone())), because)
            .await;
    }
}

#[tokio::test]
async fn a_spiffe_bundle_without_keys_revokes_all_of_them() {
    let rig = Rig::start().await;
    let good = rig.issuer.key();
    let x509 = tokens::x509_svid_jwk(rig.issuer.ca(), &TestKey::es256("x"));
    let full = tokens::bundle(&[x509.clone(), good.jwt_svid_jwk()], Some(1), Some(60));
    rig.issuer.answer(BUNDLE, Answer::json(full));
    let handle = rig.apply(&rig.issuer.bundle_spec());
    rig.keyring.refresh_due().await;
    assert!(accepts(&handle, &rig.token(&good)));
    assert_eq!(handle.snapshot().keys.kids(), [good.kid()]);
    assert!(handle.health().next_refresh_in.unwrap() <= Duration::from_secs(66));

    // An outage is not a revocation ...
    rig.issuer.answer(BUNDLE, Answer::status(503));
    rig.again().await;
    assert!(accepts(&handle, &rig.token(&good)));
    // ... and an old copy neither brings keys back nor takes them away ...
    rig.issuer
        .answer(BUNDLE, Answer::json(tokens::bundle(&[], Some(0), None)));
    rig.again().await;
    assert_error(&handle, "spiffe_sequence 0, lower than 1");
    assert!(accepts(&handle, &rig.token(&good)));
    // ... but an empty bundle is one.
    rig.issuer
        .answer(BUNDLE, Answer::json(tokens::bundle(&[x509], Some(2), None)));
    rig.again().await;
    assert!(!accepts(&handle, &rig.token(&good)));
    assert!(handle.usable(rig.clock.now()));
}

#[tokio::test]
async fn an_oidc_key_does_not_count_in_a_bundle_and_the_reverse() {
    let rig = Rig::start().await;
    let svid = tokens::bundle(&[key("a").jwt_svid_jwk()], None, None);
    let good = rig.issuer.key();
    rig.refuses(
        |i| i.answer(JWKS, Answer::json(svid.clone())),
        "no usable key",
    )
    .await;
    rig.issuer
        .answer(BUNDLE, Answer::json(tokens::jwks(&[good.jwk()])));
    let handle = rig.apply(&rig.issuer.bundle_spec());
    rig.keyring.refresh_due().await;
    assert!(!accepts(&handle, &rig.token(&good)));
}
