//! The JSON that goes back to the caller (RFC 6749 section 5, RFC 8693
//! section 2.2).

use serde::Serialize;

use crate::model::{OAuthError, Reason, RequestId, Target};

use super::{
    refusal::{Hint, Refusal},
    request::GrantType,
};

/// An answer of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: String,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    issued_token_type: &'a str,
    token_type: &'a str,
    expires_in: i64,
    scope: &'a str,
    target: Place<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Place<'a> {
    name: &'a str,
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
    error_description: &'a str,
    reason: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mismatch: Option<Mismatch<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'a str>,
}

#[derive(Serialize)]
struct Mismatch<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> From<&'a Hint> for Mismatch<'a> {
    fn from(hint: &'a Hint) -> Self {
        Self {
            rule: hint.rule.as_deref(),
            field: hint.field.as_deref(),
            found: hint.found.as_deref(),
            wanted: hint.wanted.as_deref(),
            hint: hint.hint.as_deref(),
        }
    }
}

/// What a granted answer says besides the token.
pub(super) struct Issued<'a> {
    pub(super) token: &'a str,
    pub(super) issued_type: &'static str,
    pub(super) expires_in: i64,
    pub(super) scope: &'a str,
    pub(super) target: &'a Target,
    /// The one namespace, where there is one: what `TEMPORAL_NAMESPACE` wants.
    pub(super) namespace: Option<&'a str>,
}

impl Answer {
    pub(super) fn granted(issued: &Issued<'_>, id: RequestId) -> Self {
        let body = Granted {
            access_token: issued.token,
            issued_token_type: issued.issued_type,
            token_type: "Bearer",
            expires_in: issued.expires_in,
            scope: issued.scope,
            target: Place {
                name: issued.target.name.as_str(),
                address: &issued.target.address,
                namespace: issued.namespace,
            },
            request_id: &id.to_string(),
        };
        Self {
            status: 200,
            body: json(&body),
            retry_after: None,
        }
    }

    /// A refusal, in the words of the grant type's own RFC.
    pub fn refused(refusal: &Refusal, grant: Option<GrantType>, id: RequestId) -> Self {
        let class = refusal.reason.class();
        let error = match (class, grant) {
            (OAuthError::InvalidEvidence, Some(GrantType::JwtBearer)) => "invalid_grant",
            _ => class.as_str(),
        };
        let body = Refused {
            error,
            error_description: refusal.reason.description(),
            reason: refusal.reason.code(),
            request_id: &id.to_string(),
            mismatch: refusal.outside.as_deref().map(Mismatch::from),
            roles: refusal.roles.iter().map(|role| role.as_str()).collect(),
        };
        Self {
            status: class.status(),
            body: json(&body),
            retry_after: refusal.retry_after.or(default_retry(refusal.reason)),
        }
    }
}

/// RFC 9110 section 10.2.3 wants a number wherever trying again makes sense.
fn default_retry(reason: Reason) -> Option<u64> {
    reason.class().is_temporary().then_some(1)
}

fn json<T: Serialize>(body: &T) -> String {
    // Structs of strings and numbers always serialise.
    serde_json::to_string(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Json;

    fn id() -> RequestId {
        RequestId::new(0, [7; 10])
    }

    fn body(answer: &Answer) -> Json {
        Json::parse(answer.body.as_bytes()).unwrap()
    }

    #[test]
    fn every_reason_gives_a_whole_error() {
        for reason in Reason::ALL {
            let answer = Answer::refused(&Refusal::of(*reason), None, id());
            let body = body(&answer);
            for member in ["error", "error_description", "reason", "request_id"] {
                assert!(
                    body.get(member).and_then(Json::as_text).is_some(),
                    "{reason} {member}"
                );
            }
            assert_eq!(answer.status, reason.class().status());
            assert_eq!(
                answer.retry_after.is_some(),
                reason.class().is_temporary(),
                "{reason}"
            );
        }
    }

    #[test]
    fn the_grant_types_have_their_own_word_for_bad_evidence() {
        let error = |reason, grant| {
            let answer = Answer::refused(&Refusal::of(reason), Some(grant), id());
            body(&answer)
                .get("error")
                .and_then(Json::as_text)
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            error(Reason::TokenExpired, GrantType::TokenExchange),
            "invalid_request"
        );
        assert_eq!(
            error(Reason::TokenExpired, GrantType::JwtBearer),
            "invalid_grant"
        );
        assert_eq!(
            error(Reason::TargetUnknown, GrantType::JwtBearer),
            "invalid_target"
        );
        assert_eq!(
            error(Reason::ParameterMissing, GrantType::JwtBearer),
            "invalid_request"
        );
    }

    #[test]
    fn what_a_caller_sent_is_never_in_the_description() {
        let hint = Hint {
            found: Some("\"><script>".into()),
            ..Hint::default()
        };
        let refusal = Refusal {
            outside: Some(Box::new(hint.clone())),
            inside: Box::new(hint),
            ..Refusal::of(Reason::RuleNoMatch)
        };
        let body = body(&Answer::refused(&refusal, None, id()));
        assert_eq!(
            body.get("error_description").and_then(Json::as_text),
            Some(Reason::RuleNoMatch.description())
        );
        assert_eq!(
            body.at(&["mismatch", "found"]).and_then(Json::as_text),
            Some("\"><script>")
        );
    }
}
