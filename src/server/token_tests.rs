use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde_json::Value;

use super::*;
use crate::server::{
    limits::Limits,
    shared::Kind,
    stub::{Bench, Stub},
};

/// A body that comes in given pieces; each `None` is a wait.
struct Pieces {
    pieces: VecDeque<Option<Frame<Bytes>>>,
    ends: bool,
}

impl Pieces {
    fn of(pieces: &[Option<&'static str>]) -> Self {
        let frame =
            |p: &Option<&'static str>| p.map(|p| Frame::data(Bytes::from_static(p.as_bytes())));
        Self {
            pieces: pieces.iter().map(frame).collect(),
            ends: true,
        }
    }

    fn whole(text: &str) -> Self {
        let frame = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
        Self {
            pieces: [Some(frame)].into(),
            ends: true,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn request(body: Pieces) -> Request<Pieces> {
    Request::post("/oauth2/token")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .unwrap()
}

async fn ask(bench: &Bench, mut request: Request<Pieces>) -> (http::response::Parts, Value) {
    let id = bench.conn.shared.request_id();
    let (head, body) = answer(&bench.conn, &mut request, id).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["cache-control"], "no-store");
    assert_eq!(head.headers["content-type"], "application/json");
    (head, serde_json::from_slice(&bytes).unwrap())
}

async fn reason(bench: &Bench, request: Request<Pieces>) -> (u16, String) {
    let (head, body) = ask(bench, request).await;
    let reason = body["reason"].as_str().unwrap_or("-").to_owned();
    (head.status.as_u16(), reason)
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn a_form_reaches_the_application_however_it_arrives() {
    let bench = Bench::new(Kind::Public);
    for pieces in [
        &[Some("scope=x&a=b")][..],
        &[Some("scope"), Some("=x&"), Some("a=b")],
        &[None, Some("scope=x"), None, None, Some("&a=b"), None],
    ] {
        let (head, _) = ask(&bench, request(Pieces::of(pieces))).await;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(bench.app.take(), [r#"token ["scope", "a"] 192.0.2.1"#]);
    }
    let held = bench.conn.shared.partial_bodies.add(1, 1);
    assert!(held.is_some(), "what was on account was given back");
}

#[tokio::test]
async fn o_03_parameters_in_the_query_are_refused_and_never_seen() {
    let bench = Bench::new(Kind::Public);
    for uri in ["/oauth2/token?subject_token=secret", "/oauth2/token?x"] {
        let mut asked = request(Pieces::whole("a=1"));
        *asked.uri_mut() = uri.parse().unwrap();
        assert_eq!(
            reason(&bench, asked).await,
            refused(400, "REQUEST_MALFORMED")
        );
    }
    let seen = bench.app.take();
    assert!(
        seen.iter()
            .all(|s| s.starts_with("refused") && !s.contains("secret"))
    );
    let mut asked = request(Pieces::whole("a=1"));
    *asked.uri_mut() = "/oauth2/token?".parse().unwrap();
    assert_eq!(reason(&bench, asked).await.0, 200);
}

#[tokio::test]
async fn client_authentication_is_refused_and_a_bare_client_id_is_not() {
    let bench = Bench::new(Kind::Public);
    for (header, challenge) in [
        ("Basic Y2xpZW50OnNlY3JldA==", r#"Basic realm="assay""#),
        ("Basic Y2xpZW50Og==", r#"Basic realm="assay""#),
        ("bearer abc", r#"Bearer realm="assay""#),
        ("DPoP abc", r#"DPoP realm="assay""#),
        ("", r#"Basic realm="assay""#),
    ] {
        let mut asked = request(Pieces::whole("a=1"));
        let value = HeaderValue::from_static(header);
        asked.headers_mut().insert(AUTHORIZATION, value);
        let (head, body) = ask(&bench, asked).await;
        assert_eq!(
            (head.status.as_u16(), &body["error"]),
            (401, &"invalid_client".into())
        );
        assert_eq!(body["reason"], "CLIENT_AUTHENTICATION_FAILED");
        assert_eq!(head.headers[WWW_AUTHENTICATE], challenge, "{header}");
    }
    for form in [
        "client_secret=x",
        "client_assertion=x",
        "client_assertion_type=x",
    ] {
        let (head, body) = ask(&bench, request(Pieces::whole(form))).await;
        assert_eq!(
            (head.status.as_u16(), &body["error"]),
            (401, &"invalid_client".into())
        );
        assert!(!head.headers.contains_key(WWW_AUTHENTICATE));
    }
    for form in ["client_id=x", "client_id=x&client_secret="] {
        assert_eq!(reason(&bench, request(Pieces::whole(form))).await.0, 200);
    }
}

#[tokio::test]
async fn only_a_plain_form_is_read() {
    let bench = Bench::new(Kind::Public);
    let with = |types: &[&'static str]| {
        let mut asked = request(Pieces::whole("a=1"));
        asked.headers_mut().remove(CONTENT_TYPE);
        for kind in types {
            let value = HeaderValue::from_static(kind);
            asked.headers_mut().append(CONTENT_TYPE, value);
        }
        asked
    };
    for good in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded; charset=\"utf-8\"",
        "application/x-www-form-urlencoded ; charset=utf-8;",
    ] {
        assert_eq!(reason(&bench, with(&[good])).await.0, 200, "{good}");
    }
    for bad in [
        &[][..],
        &[""],
        &["application/json"],
        &["multipart/form-data; boundary=x"],
        &["application/x-www-form-urlencodedx"],
        &["application/x-www-form-urlencoded; charset=utf-16"],
        &["application/x-www-form-urlencoded; boundary=x"],
        &["application/x-www-form-urlencoded, application/json"],
        &[
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded",
        ],
    ] {
        let expected = refused(415, "CONTENT_TYPE_UNSUPPORTED");
        assert_eq!(reason(&bench, with(bad)).await, expected, "{bad:?}");
    }
}

#[tokio::test]
async fn r_13_a_body_is_never_decompressed() {
    let bench = Bench::new(Kind::Public);
    for encoding in ["gzip", "deflate", "br", "identity, gzip", "x", ""] {
        let mut asked = request(Pieces::whole("a=1"));
        let value = HeaderValue::from_static(encoding);
        asked.headers_mut().insert(CONTENT_ENCODING, value);
        let expected = refused(415, "CONTENT_TYPE_UNSUPPORTED");
        assert_eq!(reason(&bench, asked).await, expected, "{encoding}");
    }
    let mut asked = request(Pieces::whole("a=1"));
    let value = HeaderValue::from_static("identity");
    asked.headers_mut().insert(CONTENT_ENCODING, value);
    assert_eq!(reason(&bench, asked).await.0, 200);
}

#[tokio::test]
async fn r_01_the_cap_is_exact_in_one_piece_and_in_many() {
    let limits = Limits {
        body: 100,
        ..Limits::default()
    };
    let bench = Bench::with(Kind::Public, limits, Stub::default());
    let text = |n: usize| format!("a={}", "x".repeat(n - 2));
    let pieces = |n: usize| Pieces {
        pieces: text(n)
            .as_bytes()
            .chunks(7)
            .map(|c| Some(Frame::data(Bytes::copy_from_slice(c))))
            .collect(),
        ends: true,
    };
    assert_eq!(
        reason(&bench, request(Pieces::whole(&text(100)))).await.0,
        200
    );
    assert_eq!(reason(&bench, request(pieces(100))).await.0, 200);
    let expected = refused(413, "BODY_TOO_LARGE");
    assert_eq!(
        reason(&bench, request(Pieces::whole(&text(101)))).await,
        expected
    );
    assert_eq!(reason(&bench, request(pieces(101))).await, expected);
}

#[tokio::test]
async fn a_body_that_does_not_end_times_out() {
    let limits = Limits {
        body_timeout: Duration::from_millis(5),
        ..Limits::default()
    };
    let bench = Bench::with(Kind::Public, limits, Stub::default());
    let mut body = Pieces::of(&[Some("a=1"), None]);
    body.ends = false;
    assert_eq!(
        reason(&bench, request(body)).await,
        refused(408, "REQUEST_TIMEOUT")
    );
}

#[tokio::test]
async fn partial_bodies_share_one_account() {
    let limits = Limits {
        partial_bodies: 4,
        ..Limits::default()
    };
    let bench = Bench::with(Kind::Public, limits, Stub::default());
    let held = bench.conn.shared.partial_bodies.add(3, 4);
    assert!(held.is_some());
    let slow = || Pieces::of(&[Some("a="), None, None, Some("1")]);
    assert_eq!(
        reason(&bench, request(slow())).await,
        refused(503, "OVERLOADED")
    );
    // What comes at once, or has not begun, asks nothing of the account.
    let late = Pieces::of(&[None, Some("a=1")]);
    assert_eq!(reason(&bench, request(late)).await.0, 200);
    drop(held);
    assert_eq!(reason(&bench, request(slow())).await.0, 200);
}

#[tokio::test]
async fn requests_in_work_are_bounded() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let bench = Bench::with(Kind::Public, limits, Stub::default());
    let held = bench.conn.shared.in_flight.add(1, 1);
    let (head, body) = ask(&bench, request(Pieces::whole("a=1"))).await;
    assert_eq!(
        (head.status.as_u16(), &body["reason"]),
        (503, &"OVERLOADED".into())
    );
    assert_eq!(head.headers["retry-after"], "1");
    drop(held);
    assert_eq!(reason(&bench, request(Pieces::whole("a=1"))).await.0, 200);
}

#[tokio::test]
async fn o_07_forms_that_are_refused_say_why() {
    let bench = Bench::new(Kind::Public);
    for (form, why) in [
        ("scope=a&scope=a", "PARAMETER_DUPLICATED"),
        ("scope=%", "REQUEST_MALFORMED"),
        ("scope=%ff", "REQUEST_MALFORMED"),
    ] {
        assert_eq!(
            reason(&bench, request(Pieces::whole(form))).await,
            refused(400, why)
        );
    }
    let many = "a&".repeat(100_000 / 2);
    let bench = Bench::with(
        Kind::Public,
        Limits {
            body: 1 << 20,
            ..Limits::default()
        },
        Stub::default(),
    );
    assert_eq!(
        reason(&bench, request(Pieces::whole(&many))).await,
        refused(400, "PARAMETER_DUPLICATED")
    );
    let trailers = Pieces {
        pieces: [Some(Frame::trailers(HeaderMap::new()))].into(),
        ends: true,
    };
    assert_eq!(
        reason(&bench, request(trailers)).await,
        refused(400, "REQUEST_MALFORMED")
    );
}
