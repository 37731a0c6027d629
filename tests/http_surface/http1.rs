//! HTTP/1.1: methods, framing, smuggling, odd clients.

use assay::{
    model::Reason,
    server::{Kind, Rate},
};
use tokio::io::AsyncWriteExt as _;

use super::rig::{PATIENCE, Rig, ask, last_post, limits, post, read_answer, read_to_end};

const HEAD: &str = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\n";

/// A second request that must not be executed.
const SMUGGLED: &str = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\n\
                        Content-Type: application/x-www-form-urlencoded\r\n\
                        Content-Length: 5\r\n\r\nq=bad";

#[tokio::test]
async fn an_honest_request_is_answered_and_the_connection_kept() {
    let rig = Rig::plain(limits()).await;
    let mut stream = rig.connect(Kind::Public).await;
    for n in 1..=3 {
        let answer = ask(&mut stream, "scope=x").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for header in [
            "cache-control: no-store\r\n",
            "content-type: application/json\r\n",
            "x-content-type-options: nosniff\r\n",
        ] {
            assert!(answer.contains(header), "{answer}");
        }
        assert_eq!(rig.tokens(), n);
        let id = answer.split("x-request-id: ").nth(1).unwrap();
        let id = id.split("\r\n").next().unwrap();
        assert!(
            answer.contains(&format!(r#""request_id":"{id}""#)),
            "{answer}"
        );
    }
    let pipelined = post("a=1") + &last_post("a=2");
    let answers = rig.send(pipelined).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn o_01_other_methods_over_the_wire() {
    let rig = Rig::plain(limits()).await;
    for method in ["GET", "PUT", "HEAD", "OPTIONS", "TRACE"] {
        let answer = rig
            .send(format!(
                "{method} /oauth2/token HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.test\r\n\
                 Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
        assert!(!answer.contains("access-control"), "{answer}");
        assert_eq!(answer.ends_with("\r\n\r\n"), method == "HEAD", "{answer}");
    }
    assert!(
        rig.send(last_post("a=1"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn o_03_no_log_line_holds_what_was_sent() {
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: what other tests log is of no matter here.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let rig = Rig::plain(limits()).await;
    for request in [
        "POST /oauth2/token?subject_token=SECRET HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            .to_owned(),
        "GET /SECRET HTTP/1.1\r\nHost: SECRET\r\nCookie: SECRET\r\nConnection: close\r\n\r\n"
            .into(),
        format!("{HEAD}Authorization: Bearer SECRET\r\nConnection: close\r\n\r\n"),
        last_post("subject_token=SECRET&subject_token=SECRET"),
        last_post("subject_token=SECRET&scope=panic"),
        "SECRET\0\r\n\r\n".into(),
    ] {
        let answer = rig.send(&request).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{request} {answer}");
        assert!(!answer.contains("SECRET"), "{answer}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the handler of a request panicked"), "{log}");
    assert!(!log.contains("SECRET"), "{log}");
}

#[tokio::test]
async fn o_07_a_repeated_parameter_is_refused_unless_it_may_repeat() {
    let rig = Rig::plain(limits()).await;
    for form in [
        "scope=x&scope=x",
        "subject_token=x&subject_token=y",
        "a=&a=",
    ] {
        let answer = rig.send(last_post(form)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{form}: {answer}");
        assert!(answer.contains("PARAMETER_DUPLICATED"), "{answer}");
    }
    let answer = rig
        .send(last_post("audience=a&audience=b&resource=c&resource=d"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn o_09_client_authentication_is_refused() {
    let rig = Rig::plain(limits()).await;
    for form in [
        "client_assertion=e30.e30.x",
        "client_id=c&client_secret=s",
        "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    ] {
        let answer = rig.send(last_post(form)).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains(r#""error":"invalid_client""#), "{answer}");
        assert!(!answer.contains("www-authenticate"), "{answer}");
    }
    let basic = last_post("a=1").replacen("\r\n", "\r\nAuthorization: Basic Yzo=\r\n", 1);
    let answer = rig.send(basic).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(
        answer.contains("\r\nwww-authenticate: Basic realm=\"assay\"\r\n"),
        "{answer}"
    );
    assert_eq!(rig.tokens(), 0);
    assert!(
        rig.send(last_post("client_id=c"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn o_25_forwarded_headers_change_no_budget() {
    let mut limits = limits();
    limits.request_rate = Some(Rate {
        per_second: 1,
        burst: 1,
    });
    let rig = Rig::plain(limits).await;
    let mut stream = rig.connect(Kind::Public).await;
    let mut last = String::new();
    for n in 0..50 {
        let header =
            format!("\r\nX-Forwarded-For: 203.0.113.{n}\r\nForwarded: for=203.0.113.{n}\r\n");
        let request = post("a=1").replacen("\r\n", &header, 1);
        stream.write_all(request.as_bytes()).await.unwrap();
        last = read_answer(&mut stream).await.unwrap();
        if last.starts_with("HTTP/1.1 429 ") {
            break;
        }
    }
    assert!(last.starts_with("HTTP/1.1 429 "), "{last}");
}

#[tokio::test]
async fn r_13_compressed_bodies_are_not_opened() {
    let rig = Rig::plain(limits()).await;
    for encoding in ["gzip", "deflate", "br"] {
        let header = format!("\r\nContent-Encoding: {encoding}\r\n");
        let answer = rig
            .send(last_post("a=1").replacen("\r\n", &header, 1))
            .await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    }
    let identity = last_post("a=1").replacen("\r\n", "\r\nContent-Encoding: identity\r\n", 1);
    assert!(rig.send(identity).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn administration_is_on_its_own_listener() {
    let rig = Rig::plain(limits()).await;
    let reload = "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut admin = rig.connect(Kind::Admin).await;
    admin.write_all(reload.as_bytes()).await.unwrap();
    let answer = read_answer(&mut admin).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Reload\""),
        "{answer}"
    );
    let mut public = rig.connect(Kind::Public).await;
    public.write_all(reload.as_bytes()).await.unwrap();
    let answer = read_answer(&mut public).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn o_21_unknown_parameters_are_ignored() {
    let rig = Rig::plain(limits()).await;
    let answer = rig
        .send(last_post("scope=x&unheard_of=1&client_id=c"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn o_23_ambiguous_framing_is_400_and_the_end() {
    let rig = Rig::plain(limits()).await;
    for rest in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\na=1",
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\na=1",
        "Content-Length: 3, 3\r\n\r\na=1",
        "Content-Length: +3\r\n\r\na=1",
        "Content-Length: -3\r\n\r\na=1",
        "Content-Length: 3\n\r\na=1",
        "Content-Length : 3\r\n\r\na=1",
        "Content-Length: 18446744073709551617\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: identity, chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\r\n Content-Length: 3\r\n\r\na=1",
        "X: y\nContent-Length: 3\r\n\r\na=1",
        "X: y\rContent-Length: 3\r\n\r\na=1",
        "X: y\0\r\nContent-Length: 3\r\n\r\na=1",
        "Transfer-Encoding: chunked\r\n\r\n100000000000000000\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x3\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\nAuthorization: x\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\nX: y\n\r\n",
    ] {
        let answer = rig.send(format!("{HEAD}{rest}{SMUGGLED}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{rest:?}: {answer}");
        assert_eq!(rig.tokens(), 0, "{rest:?}");
    }
    for rest in [
        "Content-Length: 3\r\n\r\na=1",
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n2;x=y\r\n=1\r\n0\r\n\r\n",
    ] {
        let before = rig.tokens();
        let answer = rig.send(format!("{HEAD}Connection: close\r\n{rest}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{rest:?}: {answer}");
        assert_eq!(rig.tokens(), before + 1);
    }
}

#[tokio::test]
async fn o_23_bytes_beyond_the_length_are_not_executed() {
    let rig = Rig::plain(limits()).await;
    let answer = rig
        .send(format!(
            "{HEAD}Content-Length: 3\r\n\r\na=1GARBAGE\r\n\r\n{SMUGGLED}"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn o_23_a_refused_body_is_not_taken_for_the_next_request() {
    let rig = Rig::plain(limits()).await;
    let body = SMUGGLED;
    let answer = rig
        .send(format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}{body}",
            body.len()
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(rig.tokens(), 0);
    assert_eq!(
        *rig.app.refusals.lock().unwrap(),
        [Reason::ContentTypeUnsupported]
    );
}

#[tokio::test]
async fn o_29_expect_without_a_body_ends_in_408() {
    let mut limits = limits();
    limits.body_timeout = std::time::Duration::from_millis(50);
    let rig = Rig::plain(limits).await;
    let answer = rig
        .send(format!(
            "{HEAD}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        ))
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 "),
        "{answer}"
    );
    // Refused by its head: the body is not even asked for.
    let answer = rig
        .send("POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    assert_eq!(rig.tokens(), 0);

    let mut stream = rig.connect(Kind::Public).await;
    let head = format!("{HEAD}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let go_on = read_answer(&mut stream).await.unwrap();
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    stream.write_all(b"a=1").await.unwrap();
    let answer = read_answer(&mut stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn o_29_http_10_is_answered_and_closed() {
    let rig = Rig::plain(limits()).await;
    let answer = rig.send(post("a=1").replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n");
    let answer = rig.send(chunked.replace("HTTP/1.1", "HTTP/1.0")).await;
    assert!(answer.contains(" 400 "), "{answer}");
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn o_29_the_protocol_is_never_switched() {
    let rig = Rig::plain(limits()).await;
    let upgrade = last_post("a=1").replacen(
        "Connection: close\r\n",
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        1,
    );
    let answer = rig.send(upgrade).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    // HTTP/2 by prior knowledge on a plain listener.
    let answer = rig
        .send(format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}"))
        .await;
    assert!(!answer.contains(" 200 "), "{answer}");
    let answer = rig
        .send(format!(
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n{SMUGGLED}"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert_eq!(rig.tokens(), 1);
}

#[tokio::test]
async fn what_is_not_http_is_400_or_closed() {
    let rig = Rig::plain(limits()).await;
    for junk in [
        &b"\x16\x03\x01\x00\x05hello\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
        b"G\xff / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let answer = rig.send(junk).await;
        assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
    }
    assert!(
        rig.send(last_post("a=1"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_panic_ends_neither_the_connection_nor_the_process() {
    let rig = Rig::plain(limits()).await;
    let mut stream = rig.connect(Kind::Public).await;
    let answer = ask(&mut stream, "scope=panic").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains(r#""error":"server_error""#) && answer.contains("INTERNAL"));
    let answer = ask(&mut stream, "scope=x").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let metrics = rig.health("/metrics").await;
    assert!(
        metrics.contains("assay_server_panics_total 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn key_sets_over_the_wire() {
    let rig = Rig::plain(limits()).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = rig.send(get("/targets/prod/jwks.json")).await;
    assert!(
        answer.contains("cache-control: public, max-age=5\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with(r#"{"keys":[{"kty":"EC"}]}"#), "{answer}");
    let answer = rig.send(get("/targets/none/jwks.json")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("content-type: text/plain"), "{answer}");
    let head = get("/targets/prod/jwks.json").replacen("GET", "HEAD", 1);
    let answer = rig.send(head).await;
    assert!(
        answer.contains("content-length: 23\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_not_an_error_of_the_server() {
    let rig = Rig::plain(limits()).await;
    let mut stream = rig.connect(Kind::Public).await;
    stream
        .write_all(post("scope=wait").as_bytes())
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, rig.app.entered.waiting.acquire())
        .await
        .unwrap()
        .unwrap()
        .forget();
    drop(stream);
    rig.app.entered.go.add_permits(1);
    let mut stream = rig.connect(Kind::Public).await;
    assert!(ask(&mut stream, "a=1").await.is_some());
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}
