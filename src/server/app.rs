//! What the sockets need from the application, and what they hand to it.
//!
//! The server knows HTTP and nothing about tokens; the application knows tokens
//! and nothing about HTTP. Between them stands this one trait, so that every
//! behaviour of the sockets is tested with an application of twenty lines.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::exchange::Form;
use crate::{
    base::BoxFuture,
    model::{OAuthError, Reason, RequestId},
};

/// What the sockets need from the application.
///
/// A future that is returned here may be dropped at any of its waits, when the
/// caller hangs up: work that must be finished once begun belongs in a task of
/// its own.
pub trait App: Send + Sync + 'static {
    /// `POST /oauth2/token`: a well-formed form without client authentication.
    fn token(&self, form: Form, peer: Peer, request_id: RequestId) -> BoxFuture<'_, Answer>;

    /// Hears of a refusal that was made before [`Self::token`], to count it.
    fn refused(&self, reason: Reason, peer: &Peer, request_id: RequestId);

    /// The whole key set of a target as JSON; none if there is no such target
    /// or no whole set.
    fn target_jwks(&self, target: &str) -> Option<Bytes>;

    /// The broker's own key set as JSON.
    fn broker_jwks(&self) -> Bytes;

    /// RFC 8414 metadata as JSON.
    fn metadata(&self) -> Bytes;

    /// Whether each thing that exchanges depend on works.
    fn readiness(&self) -> Vec<Check>;

    /// All metrics as OpenMetrics text. The server adds its own.
    fn metrics(&self) -> String;

    /// A request on the admin listener.
    fn admin(&self, request: AdminRequest) -> BoxFuture<'_, Answer>;
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the TCP connection; no header can change it. An IPv4
    /// address is never written as IPv6.
    pub address: IpAddr,
    /// The `User-Agent`, made safe to show.
    pub user_agent: Option<String>,
}

/// What administrators can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// `GET /v1/issuers`: the issuers and the state of their keys.
    Issuers,
    /// `POST /v1/reload`: read the configuration again.
    Reload,
}

/// One thing that readiness depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in `/readyz/<name>`: lower-case letters, digits and `-`.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found, in one line. Holds no secret.
    pub detail: String,
}

/// An answer of the application, to be sent as JSON that nobody stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Bytes,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
    /// Headers beyond those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// An answer with a body and nothing else.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            body: body.into(),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// A refusal: the OAuth error, its fixed description, the reason, the id.
    /// What may pass by waiting says to wait a second.
    pub fn refusal(reason: Reason, request_id: RequestId) -> Self {
        Self::refusal_with(reason, request_id, &[])
    }

    /// A refusal with further members, such as `mismatch`.
    pub fn refusal_with(
        reason: Reason,
        request_id: RequestId,
        members: &[(&'static str, Value)],
    ) -> Self {
        let class = reason.class();
        // The model's tests hold codes and descriptions to characters that need
        // no escape in JSON.
        let mut body = format!(
            r#"{{"error":"{}","error_description":"{}","reason":"{}","request_id":"{request_id}""#,
            class.as_str(),
            reason.description(),
            reason.code(),
        );
        for (name, value) in members {
            body.push_str(&format!(r#","{name}":{value}"#));
        }
        body.push('}');
        let waits = matches!(class, OAuthError::TooManyRequests | OAuthError::Unavailable);
        Self {
            retry_after: waits.then_some(1),
            ..Self::json(class.status(), body)
        }
    }

    /// The same answer with `Retry-After`, rounded up to whole seconds.
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        let part = u64::from(wait.subsec_nanos() > 0);
        let secs = wait.as_secs().saturating_add(part);
        self.retry_after = Some(u32::try_from(secs.max(1)).unwrap_or(u32::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn id() -> RequestId {
        RequestId::new(1_790_000_000_000, [7; 10])
    }

    #[test]
    fn every_refusal_is_one_json_object_with_the_same_members() {
        for reason in Reason::ALL {
            let answer = Answer::refusal(*reason, id());
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(
                body,
                json!({
                    "error": reason.class().as_str(),
                    "error_description": reason.description(),
                    "reason": reason.code(),
                    "request_id": id().to_string(),
                })
            );
            assert_eq!(answer.status, reason.class().status());
            assert_eq!(
                answer.retry_after.is_some(),
                matches!(answer.status, 429 | 503),
                "{reason}"
            );
        }
    }

    #[test]
    fn further_members_are_escaped() {
        let answer = Answer::refusal_with(
            Reason::ScopeAmbiguous,
            id(),
            &[("roles", json!(["a\"b", "c\\"])), ("field", json!(null))],
        );
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["roles"], json!(["a\"b", "c\\"]));
        assert_eq!(body["field"], Value::Null);
    }

    #[test]
    fn waits_are_rounded_up() {
        let wait = |d| Answer::json(429, "{}").retry_after(d).retry_after;
        assert_eq!(wait(Duration::ZERO), Some(1));
        assert_eq!(wait(Duration::from_millis(1001)), Some(2));
        assert_eq!(wait(Duration::MAX), Some(u32::MAX));
    }
}
