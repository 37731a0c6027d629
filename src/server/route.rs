//! Which path is what, and what holds for every request.
//!
//! Paths are compared as bytes: no decoding, no merging of slashes, no dots, so
//! that there is one spelling of each.

use bytes::Bytes;
use http::{
    Method, Request, Version,
    header::{HOST, ORIGIN},
};
use hyper::body::Body;

use super::{
    answer::{self, Reply, Tongue},
    app::AdminRequest,
    health,
    shared::{Conn, Kind},
    token, unwind,
};
use crate::model::{Reason, RequestId};

/// Methods of what can only be read.
const READ: &str = "GET, HEAD";

/// Answers a request. Whatever happens inside, there is an answer.
pub(super) async fn answer<B>(conn: &Conn, mut request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let busy = conn.activity.begin();
    let shared = &conn.shared;
    let id = shared.request_id();
    let tongue = tongue_of(request.uri().path());
    let is_head = request.method() == Method::HEAD;
    // What follows a CONNECT may be meant for the tunnel that there is not.
    let is_connect = request.method() == Method::CONNECT;
    let mut reply = match unwind::contained(dispatch(conn, &mut request, tongue, id)).await {
        Ok(reply) => reply,
        Err(_) => {
            shared.counters.panics.add();
            tracing::error!(request_id = %id, "the handler of a request panicked; answered 500");
            answer::refusal(tongue, Reason::Internal, id)
        }
    };
    shared.counters.answered(reply.status());
    if conn.is_http1 {
        // What is left unread of a body would be taken for the next request.
        let leaves_body = !reply.status().is_success() && !request.body().is_end_stream();
        if leaves_body {
            conn.activity.leave_unread();
        }
        if leaves_body || is_connect || shared.is_draining() {
            answer::closing(reply.headers_mut());
        }
    }
    drop(busy);
    if is_head {
        answer::without_body(reply)
    } else {
        reply
    }
}

/// Refuses, and tells the application.
pub(super) fn refuse<B>(
    conn: &Conn,
    request: &Request<B>,
    tongue: Tongue,
    reason: Reason,
    id: RequestId,
) -> Reply {
    let shared = &conn.shared;
    shared
        .app
        .refused(reason, &conn.peer(request.headers()), id);
    answer::refusal(tongue, reason, id)
}

async fn dispatch<B>(conn: &Conn, request: &mut Request<B>, tongue: Tongue, id: RequestId) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    if conn.kind == Kind::Telemetry {
        return health::answer(conn, request, id);
    }
    if let Some(reply) = public_read(conn, request, id) {
        return reply;
    }
    // Before anything else is looked at.
    let shared = &conn.shared;
    if let Err(wait) = shared.request_rate.take(conn.key, shared.clock.uptime()) {
        let peer = conn.peer(request.headers());
        shared.app.refused(Reason::RateLimited, &peer, id);
        return answer::refusal_after(tongue, Reason::RateLimited, Some(wait), id);
    }
    if !has_one_host(conn, request) {
        return refuse(conn, request, tongue, Reason::RequestMalformed, id);
    }
    let is_post = request.method() == Method::POST;
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match (conn.kind, request.uri().path()) {
        (Kind::Public, "/oauth2/token") if is_post => token::answer(conn, request, id).await,
        (Kind::Public, "/oauth2/token") => not_allowed(conn, request, tongue, "POST", id),
        (Kind::Public, path) if !is_read && read_only(path).is_some() => {
            not_allowed(conn, request, tongue, READ, id)
        }
        (Kind::Admin, _) => admin(conn, request, id).await,
        _ => refuse(conn, request, tongue, Reason::NotFound, id),
    }
}

/// What can be read on the public listener without any right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadOnly<'p> {
    TargetKeys(&'p str),
    BrokerKeys,
    Metadata,
}

fn read_only(path: &str) -> Option<ReadOnly<'_>> {
    match path {
        "/.well-known/jwks.json" => Some(ReadOnly::BrokerKeys),
        "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
            Some(ReadOnly::Metadata)
        }
        _ => path
            .strip_prefix("/targets/")
            .and_then(|rest| rest.strip_suffix("/jwks.json"))
            .filter(|target| !target.is_empty() && !target.contains('/'))
            .map(ReadOnly::TargetKeys),
    }
}

/// Key sets and metadata, from memory. They stand before the per-address rate:
/// a Temporal server that shares an address with a flood of workers must still
/// get its keys, and an answer costs no more than a refusal.
fn public_read<B>(conn: &Conn, request: &Request<B>, id: RequestId) -> Option<Reply> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if conn.kind != Kind::Public || !is_read {
        return None;
    }
    let shared = &conn.shared;
    let body = match read_only(request.uri().path())? {
        ReadOnly::TargetKeys(target) => shared.app.target_jwks(target)?,
        ReadOnly::BrokerKeys => shared.app.broker_jwks(),
        ReadOnly::Metadata => shared.app.metadata(),
    };
    Some(answer::cached_json(body, shared.cache_keys.clone(), id))
}

/// Refusals under `/targets` are text, whatever else is wrong with the path.
fn tongue_of(path: &str) -> Tongue {
    if path.starts_with("/targets") {
        Tongue::Text
    } else {
        Tongue::Json
    }
}

fn not_allowed<B>(
    conn: &Conn,
    request: &Request<B>,
    tongue: Tongue,
    methods: &'static str,
    id: RequestId,
) -> Reply {
    let reply = refuse(conn, request, tongue, Reason::MethodNotAllowed, id);
    answer::allow(reply, methods)
}

/// HTTP/1.1 must name its host, once (RFC 9112 section 3.2).
fn has_one_host<B>(conn: &Conn, request: &Request<B>) -> bool {
    !conn.is_http1
        || request.version() != Version::HTTP_11
        || request.headers().get_all(HOST).iter().count() == 1
}

async fn admin<B>(conn: &Conn, request: &Request<B>, id: RequestId) -> Reply {
    if is_from_a_web_page(request) {
        return refuse(conn, request, Tongue::Json, Reason::RequestMalformed, id);
    }
    let (wanted, methods, read) = match request.uri().path() {
        "/v1/issuers" => (AdminRequest::Issuers, READ, true),
        "/v1/reload" => (AdminRequest::Reload, "POST", false),
        _ => return refuse(conn, request, Tongue::Json, Reason::NotFound, id),
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read != read || (!is_read && *request.method() != Method::POST) {
        return not_allowed(conn, request, Tongue::Json, methods, id);
    }
    answer::of(conn.shared.app.admin(wanted).await, id)
}

/// Whether a browser on this machine was sent here by some web page: it names
/// the page's origin, or a host name that was made to point to the loopback.
fn is_from_a_web_page<B>(request: &Request<B>) -> bool {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|h| h.to_str().ok())
        .or_else(|| request.uri().authority().map(|a| a.as_str()))
        .unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) {
            name
        } else {
            host
        }
    });
    let name = name
        .strip_prefix('[')
        .and_then(|n| n.strip_suffix(']'))
        .unwrap_or(name);
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    request.headers().contains_key(ORIGIN)
        || !(is_address || name.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
