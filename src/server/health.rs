//! Health and metrics, for probes and scrapers.
//!
//! `/livez` says that the process can answer at all, and nothing more: a broken
//! dependency is no reason to be killed. `/readyz` says whether exchanges can
//! succeed, and turns red first thing on shutdown. `/readyz/<check>` is one of
//! its checks, `?verbose` lists all, as Kubernetes' own components do.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use http_body_util::Full;

use super::{
    answer::{self, Reply, Tongue},
    app::Check,
    shared::Conn,
};
use crate::{
    base::text::display,
    model::{Reason, RequestId},
};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Most characters of a check's detail that are shown.
const MAX_DETAIL: usize = 256;

/// Answers on the telemetry listener.
pub(super) fn answer<B>(conn: &Conn, request: &Request<B>, id: RequestId) -> Reply {
    let shared = &conn.shared;
    let path = request.uri().path();
    let check = path
        .strip_prefix("/readyz/")
        .filter(|name| !name.is_empty());
    if check.is_none() && !matches!(path, "/livez" | "/readyz" | "/metrics") {
        return answer::refusal(Tongue::Text, Reason::NotFound, id);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let reply = answer::refusal(Tongue::Text, Reason::MethodNotAllowed, id);
        return answer::allow(reply, "GET, HEAD");
    }
    let query = request.uri().query().unwrap_or_default();
    let is_verbose = query
        .split('&')
        .any(|p| p == "verbose" || p.starts_with("verbose="));
    match path {
        "/livez" => answer::text(200, "ok\n".into(), id),
        "/metrics" => {
            let text = shared.counters.merge_into(&shared.app.metrics());
            let mut reply = answer::text(200, String::new(), id);
            reply.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            *reply.body_mut() = Full::new(Bytes::from(text));
            reply
        }
        _ => {
            let mut checks = shared.app.readiness();
            checks.push(Check {
                name: "accepting".into(),
                ok: !shared.is_draining(),
                detail: match shared.is_draining() {
                    true => "shutting down".into(),
                    false => "new requests are taken".into(),
                },
            });
            if let Some(name) = check {
                checks.retain(|c| c.name == name);
                if checks.is_empty() {
                    return answer::refusal(Tongue::Text, Reason::NotFound, id);
                }
            }
            let (code, text) = report(&checks, is_verbose);
            answer::text(code, text, id)
        }
    }
}

/// The state of the checks as a status and a text.
fn report(checks: &[Check], is_verbose: bool) -> (u16, String) {
    let is_ready = checks.iter().all(|c| c.ok);
    let mut text = String::new();
    for check in checks {
        if is_verbose || !check.ok {
            let mark = if check.ok { '+' } else { '-' };
            let detail = display(&check.detail, MAX_DETAIL);
            text.push_str(&format!("[{mark}]{}: {detail}\n", check.name));
        }
    }
    text.push_str(if is_ready { "ok\n" } else { "not ready\n" });
    (if is_ready { 200 } else { 503 }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, ok: bool) -> Check {
        Check {
            name: name.into(),
            ok,
            detail: format!("{name} seen\n2nd line"),
        }
    }

    #[test]
    fn one_red_check_makes_all_red_and_is_named() {
        let checks = [check("ledger", true), check("keys", false)];
        assert_eq!(
            report(&checks, false),
            (503, "[-]keys: keys seen\\u{a}2nd line\nnot ready\n".into())
        );
        assert_eq!(report(&checks[..1], false), (200, "ok\n".into()));
    }

    #[test]
    fn verbose_lists_the_green_ones_too() {
        let (code, text) = report(&[check("ledger", true)], true);
        assert_eq!(code, 200);
        assert_eq!(text, "[+]ledger: ledger seen\\u{a}2nd line\nok\n");
    }
}
