//! Answers as they go out.
//!
//! Every answer passes here, so that what must hold for all of them (nobody
//! stores it, it carries the request's id, a browser does not guess its type)
//! holds by being in one place.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;

use super::app::Answer;
use crate::model::{Reason, RequestId};

/// What goes out.
pub(super) type Reply = Response<Full<Bytes>>;

/// The header that carries the request's id.
pub(super) const X_REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The language that a path's refusals are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    /// For OAuth clients.
    Json,
    /// For Temporal servers, which ignore the status, and forget every key when
    /// they read a JSON object that has none.
    Text,
}

/// The application's answer.
pub(super) fn of(answer: Answer, id: RequestId) -> Reply {
    let mut reply = reply(status(answer.status), answer.body, JSON, NO_STORE, id);
    let headers = reply.headers_mut();
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    if let Some(secs) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    reply
}

/// A refusal that the server makes itself.
pub(super) fn refusal(tongue: Tongue, reason: Reason, id: RequestId) -> Reply {
    refusal_after(tongue, reason, None, id)
}

/// A refusal that says how long to wait.
pub(super) fn refusal_after(
    tongue: Tongue,
    reason: Reason,
    wait: Option<Duration>,
    id: RequestId,
) -> Reply {
    let mut answer = Answer::refusal(reason, id);
    if let Some(wait) = wait {
        answer = answer.retry_after(wait);
    }
    match tongue {
        Tongue::Json => of(answer, id),
        Tongue::Text => {
            let mut body = String::with_capacity(128);
            // Writing to a String cannot fail.
            let _ = writeln!(body, "{}: {}", reason.code(), reason.description());
            let mut reply = text(reason.class().status(), body, id);
            if let Some(secs) = answer.retry_after {
                let headers = reply.headers_mut();
                headers.insert(RETRY_AFTER, HeaderValue::from(secs));
            }
            reply
        }
    }
}

/// JSON that may be cached as `cache` says.
pub(super) fn cached_json(body: Bytes, cache: HeaderValue, id: RequestId) -> Reply {
    reply(StatusCode::OK, body, JSON, cache, id)
}

/// Plain text.
pub(super) fn text(code: u16, body: String, id: RequestId) -> Reply {
    reply(status(code), body.into(), TEXT, NO_STORE, id)
}

/// Says which methods the path takes.
pub(super) fn allow(mut reply: Reply, methods: &'static str) -> Reply {
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// Tells an HTTP/1.1 client that this connection ends here.
pub(super) fn closing(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, CLOSE);
}

/// What a HEAD request gets: the same head, no body.
pub(super) fn without_body(mut reply: Reply) -> Reply {
    let length = hyper::body::Body::size_hint(reply.body())
        .exact()
        .unwrap_or(0);
    reply
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    *reply.body_mut() = Full::default();
    reply
}

fn reply(
    status: StatusCode,
    body: Bytes,
    content_type: HeaderValue,
    cache: HeaderValue,
    id: RequestId,
) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    // An id is 26 letters and digits: always a header value.
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert(X_REQUEST_ID, value);
    }
    reply
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> RequestId {
        RequestId::new(0, [0; 10])
    }

    #[test]
    fn refusals_in_text_are_never_json() {
        for reason in Reason::ALL {
            let reply = refusal(Tongue::Text, *reason, id());
            assert_eq!(reply.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(reply.status().as_u16(), reason.class().status());
            let waits = matches!(reply.status().as_u16(), 429 | 503);
            assert_eq!(reply.headers().contains_key(RETRY_AFTER), waits);
        }
    }

    #[test]
    fn an_answer_carries_what_all_carry() {
        let mut answer = Answer::json(200, "{}");
        answer
            .headers
            .push((http::header::WARNING, HeaderValue::from_static("x")));
        let reply = of(answer, id());
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(reply.headers()[X_REQUEST_ID], id().to_string());
        assert_eq!(reply.headers()[http::header::WARNING], "x");
        assert_eq!(of(Answer::json(7, ""), id()).status(), 500);
    }

    #[test]
    fn a_head_answer_keeps_the_length_of_the_body_it_leaves_out() {
        let reply = without_body(text(200, "four".into(), id()));
        assert_eq!(reply.headers()[CONTENT_LENGTH], "4");
        assert_eq!(hyper::body::Body::size_hint(reply.body()).exact(), Some(0));
    }
}
