//! How the keyring takes what issuers do, over real sockets: the catalogue's
//! cases about discovery and key sets, by their ids.

mod support;

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use assay::{
    base::{
        clock::{Clock as _, ManualClock, Moment},
        outbound::{FetchError, HttpsClient, Outbound as _, Request},
        random::SystemRandom,
    },
    jose::{Compact, KeyUse, Lookup},
    keys::{Handle, Keyring, Limits, Source, Spec},
    model::IssuerUrl,
};
use serde_json::json;
use support::{
    fake_issuer::{Accept, Answer, BUNDLE, DISCOVERY, FakeIssuer, JWKS},
    tls::{Ca, Leaf},
    tokens::{self, TestKey, Token},
};

const NOW: Moment = Moment::from_secs(1_790_000_000);
/// Long enough for a loaded machine, short enough for the cases that wait for it.
const DEADLINE: Duration = Duration::from_secs(2);

/// An issuer, and a keyring that knows it under one trust domain.
struct Rig {
    issuer: FakeIssuer,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
}

impl Rig {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let limits = Limits {
            deadline: DEADLINE,
            ..Limits::default()
        };
        let keyring = Keyring::with_limits(
            clock.clone(),
            Arc::new(SystemRandom),
            Arc::new(HttpsClient::new()),
            limits,
        );
        Self {
            issuer: FakeIssuer::start().await,
            clock,
            keyring,
        }
    }

    fn apply(&self, spec: &Spec) -> Handle {
        let name = "corp".parse().unwrap();
        let specs = BTreeMap::from([(name, spec.clone())]);
        self.keyring.apply(&specs).into_values().next().unwrap()
    }

    /// The issuer's keys, fetched well once.
    async fn warm(&self) -> Handle {
        let handle = self.apply(&self.issuer.spec());
        self.keyring.refresh_due().await;
        assert_eq!(handle.health().last_error, None);
        assert!(handle.usable(self.clock.now()));
        handle
    }

    /// Fetches again, as if the interval had passed.
    async fn again(&self) {
        self.clock.advance(Duration::from_secs(3601));
        self.keyring.refresh_due().await;
    }

    fn token(&self, key: &TestKey) -> String {
        key.token(&self.issuer.claims(NOW, "https://broker.example", "wl:ok"))
    }

    /// The misbehaviour is refused cold and warm; the last good set stays; and
    /// when the issuer behaves again, so do we.
    async fn refuses(&self, misbehave: impl Fn(&FakeIssuer), because: &str) {
        let good = self.issuer.key();
        misbehave(&self.issuer);
        let cold = self.apply(&self.issuer.spec());
        self.keyring.refresh_due().await;
        assert_error(&cold, because);
        assert!(!cold.usable(self.clock.now()), "cold: {because}");
        assert!(cold.snapshot().keys.is_empty());

        self.behave(&good);
        let warm = self.warm().await;
        misbehave(&self.issuer);
        self.again().await;
        assert_error(&warm, because);
        assert!(accepts(&warm, &self.token(&good)), "warm: {because}");
        assert!(warm.usable(self.clock.now()));

        self.behave(&good);
        self.again().await;
        assert_eq!(warm.health().last_error, None, "after {because}");
        self.keyring.apply(&BTreeMap::new());
    }

    fn behave(&self, key: &Arc<TestKey>) {
        let issuer = &self.issuer;
        issuer.accept(Accept::Tls);
        issuer.present(&issuer.ca().server(&["127.0.0.1", "localhost"]));
        issuer.answer(DISCOVERY, Answer::json(issuer.discovery_document()));
        issuer.publish(&[Arc::clone(key)]);
    }
}

fn assert_error(handle: &Handle, because: &str) {
    let error = handle.health().last_error.unwrap_or_default();
    assert!(
        error.contains(because),
        "`{error}` does not say `{because}`"
    );
}

/// Whether the token verifies under the handle's keys as they are.
fn accepts(handle: &Handle, token: &str) -> bool {
    let compact = Compact::parse(token, 16 * 1024).expect("well formed");
    let snapshot = handle.snapshot();
    match snapshot.keys.lookup(compact.header().kid.as_deref()) {
        Lookup::Found(key) => compact.verify(key).is_ok(),
        Lookup::Unknown | Lookup::Ambiguous => false,
    }
}

/// The same, with the refresh that a request makes.
async fn accepts_after_refresh(handle: &Handle, token: &str) -> bool {
    let seen = handle.snapshot();
    accepts(handle, token) || (handle.refresh_for_token(&seen).await && accepts(handle, token))
}

fn key(kid: &str) -> Arc<TestKey> {
    Arc::new(TestKey::es256(kid))
}

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
async fn u_01_silence_after_accept_ends_at_the_deadline() {
    let rig = Rig::start().await;
    let other = FakeIssuer::start().await;
    rig.issuer.accept(Accept::Silent);
    let (silent, answering) = (rig.issuer.spec(), other.spec());
    let specs = BTreeMap::from([
        ("a".parse().unwrap(), silent),
        ("b".parse().unwrap(), answering),
    ]);
    let handles: Vec<Handle> = rig.keyring.apply(&specs).into_values().collect();
    let refresh = tokio::spawn({
        let keyring = Arc::clone(&rig.keyring);
        async move { keyring.refresh_due().await }
    });
    // The other issuer's keys are there while the silent one is waited for.
    let seen = handles[1].snapshot();
    if seen.good_at.is_none() {
        assert!(handles[1].refresh_for_token(&seen).await);
    }
    assert!(handles[1].usable(NOW));
    assert_eq!(handles[0].health().fetches, 0, "still waiting");
    refresh.await.unwrap();
    assert_error(&handles[0], "no whole answer within");
    assert!(!handles[0].usable(NOW));
}

#[tokio::test]
async fn u_01_silence_later_on_ends_at_the_deadline_too() {
    let rig = Rig::start().await;
    for (path, answer) in [
        (DISCOVERY, Answer::Hang),
        (JWKS, Answer::Hang),
        (JWKS, Answer::Stall),
    ] {
        let handle = rig.apply(&rig.issuer.spec());
        rig.issuer.answer(path, answer);
        rig.keyring.refresh_due().await;
        assert_error(&handle, "no whole answer within");
        rig.behave(&rig.issuer.key());
        rig.keyring.apply(&BTreeMap::new());
    }
}

#[tokio::test]
async fn u_03_bodies_are_cut_at_the_cap() {
    let rig = Rig::start().await;
    let discovery = "larger than 65536 bytes";
    let keys = "larger than 262144 bytes";
    for (path, answer, because) in [
        (DISCOVERY, Answer::huge(64 * 1024 + 1), discovery),
        (DISCOVERY, Answer::Endless, discovery),
        (JWKS, Answer::huge(256 * 1024 + 1), keys),
        (JWKS, Answer::Endless, keys),
    ] {
        rig.refuses(|i| i.answer(path, answer.clone()), because)
            .await;
    }
}

#[tokio::test]
async fn u_03_a_body_of_just_the_cap_passes() {
    let rig = Rig::start().await;
    let set = tokens::jwks(&[rig.issuer.key().jwk()]);
    let padded = format!("{set}{}", " ".repeat(256 * 1024 - set.len()));
    rig.issuer.answer(JWKS, Answer::json(padded));
    rig.warm().await;
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
async fn u_07_failing_statuses_keep_the_last_good_set() {
    let rig = Rig::start().await;
    for status in [204, 206, 404, 429, 500, 502, 503] {
        let because = format!("status {status}");
        rig.refuses(|i| i.answer(JWKS, Answer::status(status)), &because)
            .await;
    }
}

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
async fn u_13_redirects_are_not_followed() {
    let rig = Rig::start().await;
    let evil = FakeIssuer::start().await;
    for status in [301, 302, 303, 307, 308] {
        for to in [evil.url(JWKS), rig.issuer.url("/other")] {
            let answer = Answer::reply(status, &[("location", &to)], "");
            for path in [DISCOVERY, JWKS] {
                rig.refuses(
                    |i| i.answer(path, answer.clone()),
                    "redirects, which is not followed",
                )
                .await;
            }
        }
    }
    assert_eq!(evil.connections(), 0);
    assert_eq!(rig.issuer.hits("/other"), 0);
}

#[tokio::test]
async fn u_15_loopback_is_not_dialled_unless_allowed() {
    let rig = Rig::start().await;
    for source in [
        Source::Discovery(rig.issuer.issuer().parse().unwrap()),
        Source::Url(rig.issuer.named_url(JWKS).parse().unwrap()),
    ] {
        let mut spec = rig.issuer.spec_of(source, KeyUse::Signature);
        spec.peer.allow_private = false;
        let refused = rig.apply(&spec);
        rig.keyring.refresh_due().await;
        assert_error(&refused, "not a public address");
        assert_eq!(rig.issuer.connections(), 0, "no connection was made");
    }
    let spec = rig.issuer.spec_of(
        Source::Url(rig.issuer.named_url(JWKS).parse().unwrap()),
        KeyUse::Signature,
    );
    let allowed = rig.apply(&spec);
    rig.keyring.refresh_due().await;
    assert!(allowed.usable(NOW), "the passing twin");
}

#[test]
fn u_17_odd_spellings_of_a_host_are_refused_before_anything_is_fetched() {
    for issuer in [
        "https://127.1",
        "https://0x7f000001",
        "https://2130706433",
        "https://localhost.",
        "https://[::ffff:127.0.0.1]:443",
        "https://[0::1]",
        "https://LOCALHOST",
    ] {
        assert!(issuer.parse::<IssuerUrl>().is_err(), "{issuer}");
    }
    assert!("https://localhost".parse::<IssuerUrl>().is_ok());
}

#[tokio::test]
async fn u_19_a_certificate_that_is_not_right_is_refused() {
    let rig = Rig::start().await;
    let past = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let future = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    };
    let ca = rig.issuer.ca();
    for (leaf, because) in [
        (ca.leaf(&["127.0.0.1"], past), "has expired"),
        (ca.leaf(&["127.0.0.1"], future), "not valid yet"),
        (
            ca.server(&["127.0.0.2", "other.example"]),
            "for another name",
        ),
        (Leaf::self_signed(&["127.0.0.1"]), "not trusted"),
        (
            Ca::new("fake issuer root").server(&["127.0.0.1"]),
            "TLS failed",
        ),
        (ca.client(&["127.0.0.1"]), "not for servers"),
    ] {
        rig.refuses(|i| i.present(&leaf), because).await;
    }
}

#[tokio::test]
async fn u_19_there_is_no_way_around_tls() {
    let rig = Rig::start().await;
    // A TLS 1.0 server's first words: a record of type handshake with a
    // ServerHello of version 3.1, a random, no session, an old cipher suite.
    let mut hello = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let alert = vec![0x15, 3, 1, 0, 2, 2, 70];
    let plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec();
    for (bytes, because) in [
        (hello, "no TLS version or cipher suite"),
        (alert, "refused the handshake"),
        (plain, "the handshake broke off"),
    ] {
        rig.refuses(|i| i.accept(Accept::Bytes(bytes.clone())), because)
            .await;
    }
    rig.refuses(|i| i.accept(Accept::Close), "no connection")
        .await;
}

#[tokio::test]
async fn u_19_a_private_authority_is_trusted_only_where_it_is_named() {
    let rig = Rig::start().await;
    let mut spec = rig.issuer.spec();
    spec.peer.ca = None;
    let handle = rig.apply(&spec);
    rig.keyring.refresh_due().await;
    assert_error(&handle, "TLS failed");
    assert!(!handle.usable(NOW));
    rig.warm().await;
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
        rig.refuses(
            |i| i.answer(JWKS, Answer::json(set)),
            "there is no array `keys`",
        )
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

#[tokio::test]
async fn u_39_header_floods_and_split_answers_are_refused() {
    let rig = Rig::start().await;
    let body = tokens::jwks(&[key("evil").jwk()]);
    let split = format!(
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let two_lengths = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let many: String = (0..65).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\n{{}}");
    for (answer, because) in [
        (Answer::header_flood(17 * 1024), "headers are too large"),
        (Answer::header_flood(1024 * 1024), "headers are too large"),
        (Answer::EndlessHeaders, "headers are too large"),
        (Answer::Raw(many.into_bytes()), "headers are too large"),
        (Answer::Raw(split.into_bytes()), "status 204"),
        (
            Answer::Raw(two_lengths.into_bytes()),
            "not well-formed HTTP",
        ),
    ] {
        rig.refuses(|i| i.answer(JWKS, answer.clone()), because)
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

#[tokio::test]
async fn the_ca_file_is_read_again_when_it_changes() {
    let rig = Rig::start().await;
    let handle = rig.warm().await;
    let path = rig.issuer.ca_file();
    let right = rig.issuer.ca().pem();
    fs::write(&path, Ca::new("another root").pem()).unwrap();
    rig.again().await;
    assert_error(&handle, "not trusted");
    fs::remove_file(&path).unwrap();
    rig.again().await;
    assert_error(&handle, "the CA file");
    fs::write(&path, format!("{right}{}", Ca::new("second root").pem())).unwrap();
    rig.again().await;
    assert_eq!(handle.health().last_error, None);
}

#[tokio::test]
async fn a_request_carries_nothing_that_it_need_not() {
    let rig = Rig::start().await;
    rig.issuer.answer(
        DISCOVERY,
        Answer::reply(
            200,
            &[("set-cookie", "a=b; Path=/")],
            rig.issuer.discovery_document(),
        ),
    );
    rig.warm().await;
    let request = rig.issuer.last_request(JWKS).unwrap();
    assert!(request.starts_with("get /jwks http/1.1\r\n"), "{request}");
    for header in [
        "cookie",
        "referer",
        "authorization",
        "accept-encoding",
        "proxy",
    ] {
        assert!(!request.contains(header), "{request}");
    }
}

#[tokio::test]
async fn the_ways_to_fail_are_told_apart() {
    let issuer = FakeIssuer::start().await;
    let client = HttpsClient::new();
    let peer = issuer.peer();
    let get = async |url: String| {
        let request = Request {
            url: url.parse().unwrap(),
            max_bytes: 1024,
            deadline: DEADLINE,
        };
        client.get(&peer, request).await
    };
    let ok = get(issuer.url(DISCOVERY)).await.unwrap();
    assert_eq!(ok.body, issuer.discovery_document());
    assert_eq!(
        get(issuer.url("/nothing")).await,
        Err(FetchError::Status {
            status: 404,
            retry_after: None
        })
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    assert_eq!(
        get(format!("https://127.0.0.1:{port}/")).await,
        Err(FetchError::Connect)
    );
    // A label of 64 bytes fits no DNS question, so none is asked.
    let name = "a".repeat(64);
    assert_eq!(
        get(format!("https://{name}.example/")).await,
        Err(FetchError::Dns)
    );
}
