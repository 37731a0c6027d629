//! Connections, TLS and HTTP that go wrong.

use super::*;

#[tokio::test]
async fn u_01_silence_after_accept_ends_at_the_deadline() {
    let rig = Rig::with_deadline(Duration::from_secs(3)).await;
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
    let rig = Rig::with_deadline(Duration::from_millis(500)).await;
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
async fn u_07_failing_statuses_keep_the_last_good_set() {
    let rig = Rig::start().await;
    for status in [204, 206, 404, 429, 500, 502, 503] {
        let because = format!("status {status}");
        rig.refuses(|i| i.answer(JWKS, Answer::status(status)), &because)
            .await;
    }
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
}
