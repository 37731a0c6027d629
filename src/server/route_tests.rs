use std::sync::atomic::Ordering;

use http::{
    StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use super::*;
use crate::server::{
    limits::{Limits, Rate},
    stub::{Bench, Stub},
};

fn request(method: &str, uri: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header(HOST, "127.0.0.1:8443")
        .body(Full::default())
        .unwrap()
}

fn form(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/oauth2/token")
        .header(HOST, "a")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

async fn get(bench: &Bench, method: &str, uri: &str) -> (http::response::Parts, String) {
    parts(answer(&bench.conn, request(method, uri)).await).await
}

async fn parts(reply: Reply) -> (http::response::Parts, String) {
    let (head, body) = reply.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn key_sets_and_metadata_are_read_and_may_be_cached() {
    let bench = Bench::new(Kind::Public);
    for (path, body) in [
        ("/targets/prod/jwks.json", r#"{"keys":[1]}"#),
        ("/.well-known/jwks.json", r#"{"keys":[2]}"#),
        (
            "/.well-known/oauth-authorization-server",
            r#"{"issuer":"x"}"#,
        ),
        ("/.well-known/openid-configuration", r#"{"issuer":"x"}"#),
    ] {
        let (head, got) = get(&bench, "GET", path).await;
        assert_eq!(
            (head.status, got.as_str()),
            (StatusCode::OK, body),
            "{path}"
        );
        assert_eq!(head.headers[CACHE_CONTROL], "public, max-age=5");
        assert_eq!(head.headers[CONTENT_TYPE], "application/json");
        let (head, got) = get(&bench, "HEAD", path).await;
        assert_eq!((head.status, got.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(head.headers["content-length"], body.len().to_string());
        for method in ["POST", "PUT", "OPTIONS", "DELETE"] {
            let (head, _) = get(&bench, method, path).await;
            assert_eq!(head.status, 405, "{method} {path}");
            assert_eq!(head.headers[ALLOW], "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn no_failure_under_targets_is_json() {
    let bench = Bench::new(Kind::Public);
    for (method, path) in [
        ("GET", "/targets/staging/jwks.json"),
        ("GET", "/targets/PROD/jwks.json"),
        ("GET", "/targets/prod/jwks.json/"),
        ("GET", "/targets/prod/x/jwks.json"),
        ("GET", "/targets//jwks.json"),
        ("GET", "/targets/jwks.json"),
        ("GET", "/targets/%70rod/jwks.json"),
        ("GET", "/targets/../targets/prod/jwks.json"),
        ("GET", "/targets"),
        ("GET", "/targets/"),
        ("GET", "/targetsx"),
        ("POST", "/targets/prod/jwks.json"),
        ("OPTIONS", "/targets/prod/jwks.json"),
    ] {
        let (head, body) = get(&bench, method, path).await;
        assert!(head.status == 404 || head.status == 405, "{method} {path}");
        assert_eq!(head.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
        assert_eq!(head.headers[CACHE_CONTROL], "no-store");
    }
}

#[tokio::test]
async fn unknown_paths_are_404_in_json_and_there_is_one_spelling_of_each() {
    let bench = Bench::new(Kind::Public);
    for path in [
        "/",
        "/oauth2/token/",
        "/OAuth2/token",
        "//oauth2/token",
        "/oauth2/%74oken",
        "/oauth2/introspect",
        "/metrics",
        "/livez",
        "/v1/reload",
    ] {
        let (head, body) = get(&bench, "POST", path).await;
        assert_eq!(head.status, 404, "{path}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["reason"], "NOT_FOUND", "{path}");
    }
    assert_eq!(bench.app.take().len(), 9, "each is counted");
}

#[tokio::test]
async fn o_01_other_methods_on_the_token_endpoint() {
    let bench = Bench::new(Kind::Public);
    for method in [
        "GET", "PUT", "HEAD", "OPTIONS", "TRACE", "PATCH", "POSTS", "post",
    ] {
        let mut asked = request(method, "/oauth2/token");
        let headers = asked.headers_mut();
        headers.insert(ORIGIN, http::HeaderValue::from_static("https://evil.test"));
        let (head, body) = parts(answer(&bench.conn, asked).await).await;
        assert_eq!(head.status, 405, "{method}");
        assert_eq!(head.headers[ALLOW], "POST");
        assert_eq!(body.is_empty(), method == "HEAD");
        let cors = |name: &http::HeaderName| name.as_str().starts_with("access-control");
        assert!(!head.headers.keys().any(cors));
    }
    let (head, _) = parts(answer(&bench.conn, form("scope=x")).await).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn o_25_forwarded_headers_change_nothing() {
    let rate = Rate {
        per_second: 1,
        burst: 1,
    };
    let limits = Limits {
        request_rate: Some(rate),
        ..Limits::default()
    };
    let bench = Bench::with(Kind::Public, limits, Stub::default());
    let forwarded = |n: u8| {
        let mut asked = form("scope=x");
        for name in [
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x_forwarded_for",
        ] {
            let value = http::HeaderValue::try_from(format!("203.0.113.{n}")).unwrap();
            asked.headers_mut().insert(name, value);
        }
        asked
    };
    let (head, _) = parts(answer(&bench.conn, forwarded(1)).await).await;
    assert_eq!(head.status, 200);
    let (head, body) = parts(answer(&bench.conn, forwarded(2)).await).await;
    assert_eq!(head.status, 429);
    assert_eq!(head.headers[RETRY_AFTER], "1");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["reason"], "RATE_LIMITED");
    assert_eq!(
        bench.app.take(),
        [r#"token ["scope"] 192.0.2.1"#, "refused RATE_LIMITED -"]
    );
    // Keys are for everyone at any time; the rest of /targets stays text.
    let (head, _) = get(&bench, "GET", "/targets/prod/jwks.json").await;
    assert_eq!(head.status, 200);
    let (head, _) = get(&bench, "GET", "/targets/none/jwks.json").await;
    assert_eq!(head.status, 429);
    assert_eq!(head.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
    bench.clock.advance(std::time::Duration::from_secs(1));
    let (head, _) = parts(answer(&bench.conn, forwarded(3)).await).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn http_11_names_its_host_once() {
    let bench = Bench::new(Kind::Public);
    let mut two = form("scope=x");
    two.headers_mut()
        .append(HOST, http::HeaderValue::from_static("b"));
    let mut none = form("scope=x");
    none.headers_mut().remove(HOST);
    let mut old = form("scope=x");
    old.headers_mut().remove(HOST);
    *old.version_mut() = Version::HTTP_10;
    for (asked, status) in [(two, 400), (none, 400), (old, 200), (form("a=1"), 200)] {
        let (head, _) = parts(answer(&bench.conn, asked).await).await;
        assert_eq!(head.status, status);
    }
}

#[tokio::test]
async fn a_panic_is_500_and_the_next_request_is_served() {
    let bench = Bench::new(Kind::Public);
    let (head, body) = parts(answer(&bench.conn, form("scope=panic")).await).await;
    assert_eq!(head.status, 500);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&body["error"], &body["reason"]),
        (&"server_error".into(), &"INTERNAL".into())
    );
    assert!(!bench.conn.activity.is_busy());
    let (head, _) = parts(answer(&bench.conn, form("scope=x")).await).await;
    assert_eq!(head.status, 200);
    assert_eq!(bench.conn.shared.counters.panics.get(), 1);
}

#[tokio::test]
async fn while_draining_each_answer_is_the_last_of_its_connection() {
    let bench = Bench::new(Kind::Public);
    let (head, _) = parts(answer(&bench.conn, form("scope=x")).await).await;
    assert!(!head.headers.contains_key(CONNECTION));
    bench.conn.shared.is_draining.store(true, Ordering::Relaxed);
    let (head, _) = parts(answer(&bench.conn, form("scope=x")).await).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers[CONNECTION]),
        (200, &"close".parse().unwrap())
    );
}

#[tokio::test]
async fn administrators_ask_for_few_things() {
    let bench = Bench::new(Kind::Admin);
    for (method, path, status, what) in [
        ("GET", "/v1/issuers", 200, r#"{"did":"Issuers"}"#),
        ("POST", "/v1/reload", 200, r#"{"did":"Reload"}"#),
        ("POST", "/v1/issuers", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/reload", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v1/reload", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/oauth2/token", 404, "NOT_FOUND"),
        ("GET", "/targets/prod/jwks.json", 404, "NOT_FOUND"),
    ] {
        let (head, body) = get(&bench, method, path).await;
        assert_eq!(head.status, status, "{method} {path}");
        assert!(body.contains(what), "{method} {path}: {body}");
    }
}

#[tokio::test]
async fn a_web_page_cannot_send_its_visitor_to_the_loopback() {
    let bench = Bench::new(Kind::Admin);
    for (host, origin, status) in [
        ("localhost:8445", None, 200),
        ("127.0.0.1:8445", None, 200),
        ("[::1]:8445", None, 200),
        ("[::1]", None, 200),
        ("LOCALHOST", None, 200),
        ("evil.test:8445", None, 400),
        ("localhost.evil.test", None, 400),
        ("127.0.0.1.evil.test:80", None, 400),
        ("localhost:8445", Some("https://evil.test"), 400),
        ("localhost:8445", Some("null"), 400),
        ("", None, 400),
    ] {
        let mut asked = request("POST", "/v1/reload");
        asked.headers_mut().insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            asked.headers_mut().insert(ORIGIN, origin.parse().unwrap());
        }
        let (head, _) = parts(answer(&bench.conn, asked).await).await;
        assert_eq!(head.status, status, "{host} {origin:?}");
    }
}

#[tokio::test]
async fn health_and_metrics() {
    let bench = Bench::new(Kind::Telemetry);
    for (path, status, text) in [
        ("/livez", 200, "ok\n"),
        ("/readyz", 200, "ok\n"),
        ("/readyz?verbose", 200, "[+]ledger: seen\n"),
        ("/readyz/ledger", 200, "ok\n"),
        ("/readyz/ledger?verbose", 200, "[+]ledger: seen\nok\n"),
        ("/readyz/nothing", 404, "NOT_FOUND"),
        ("/readyz/", 404, "NOT_FOUND"),
        ("/oauth2/token", 404, "NOT_FOUND"),
        ("/metrics", 200, "app_total 1\n# HELP assay_server_"),
    ] {
        let (head, body) = get(&bench, "GET", path).await;
        assert_eq!(head.status, status, "{path}");
        assert!(body.starts_with(text), "{path}: {body}");
    }
    let (head, _) = get(&bench, "GET", "/metrics").await;
    let kind = head.headers[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"));
    assert_eq!(get(&bench, "POST", "/livez").await.0.status, 405);

    bench.conn.shared.is_draining.store(true, Ordering::Relaxed);
    let (head, body) = get(&bench, "GET", "/readyz").await;
    assert_eq!(head.status, 503);
    assert!(body.contains("[-]accepting"));
    assert_eq!(get(&bench, "GET", "/livez").await.0.status, 200);

    let sick = Stub {
        is_sick: true,
        ..Stub::default()
    };
    let bench = Bench::with(Kind::Telemetry, Limits::default(), sick);
    assert_eq!(get(&bench, "GET", "/readyz").await.0.status, 503);
    assert_eq!(get(&bench, "GET", "/readyz/ledger").await.0.status, 503);
    assert_eq!(get(&bench, "GET", "/readyz/accepting").await.0.status, 200);
    assert_eq!(get(&bench, "GET", "/livez").await.0.status, 200);
}
