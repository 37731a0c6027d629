//! What a caller asks for, read from the form of `POST /oauth2/token`.
//!
//! Parameters that no RFC here knows are ignored (RFC 6749 section 3.2). The
//! evidence stays text: it is untrusted until `evidence` has verified it.

use std::net::IpAddr;

use crate::{
    evidence::TokenType,
    model::{Reason, Ttl},
};

use super::{form::Form, refusal::Refusal, scope::Scope};

/// How the evidence arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// RFC 8693: evidence in `subject_token`.
    TokenExchange,
    /// RFC 7523 section 2.1: evidence in `assertion`.
    JwtBearer,
}

impl GrantType {
    /// The value of `grant_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// The grant types of this server, for its metadata.
pub const fn grant_types() -> [GrantType; 2] {
    [GrantType::TokenExchange, GrantType::JwtBearer]
}

const TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Where a request came from. Nothing in it is trusted for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The peer of the connection.
    pub address: IpAddr,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

/// A request that is well formed.
pub struct ExchangeRequest {
    /// How the evidence arrived.
    pub grant: GrantType,
    /// The evidence, unverified.
    pub(super) evidence: String,
    /// What the caller says it is.
    pub(super) evidence_type: TokenType,
    /// Logical names of targets.
    pub(super) audience: Vec<String>,
    /// URIs of targets.
    pub(super) resource: Vec<String>,
    pub(super) scope: Scope,
    /// The type to answer with: what was requested, or an access token.
    pub(super) issued_type: &'static str,
    /// A shorter lifetime than the rule gives.
    pub(super) ttl: Option<Ttl>,
    /// Noted in the audit record, trusted for nothing.
    pub(super) client_id: Option<String>,
}

impl ExchangeRequest {
    /// Reads the form.
    pub fn from_form(form: &Form) -> Result<Self, Refusal> {
        let grant = grant_type(form)?;
        let (evidence, evidence_type) = match grant {
            GrantType::TokenExchange => (
                required(form, "subject_token")?,
                evidence_type(required(form, "subject_token_type")?)?,
            ),
            GrantType::JwtBearer => (required(form, "assertion")?, TokenType::Jwt),
        };
        // Refused rather than ignored: a caller that sends an actor expects
        // the answer to be about it (RFC 8693 section 2.1).
        for actor in ["actor_token", "actor_token_type"] {
            if form.get(actor).is_some() {
                return Err(Refusal::parameter(Reason::ActorTokenUnsupported, actor));
            }
        }
        let scope = match form.get("scope") {
            None => Scope::default(),
            Some(text) => Scope::parse(text)
                .ok_or_else(|| Refusal::parameter(Reason::ScopeMalformed, "scope"))?,
        };
        Ok(Self {
            grant,
            evidence: evidence.to_owned(),
            evidence_type,
            audience: form.all("audience").map(str::to_owned).collect(),
            resource: form.all("resource").map(str::to_owned).collect(),
            scope,
            issued_type: issued_type(form.get("requested_token_type"))?,
            ttl: lifetime(form.get("requested_expires_in"))?,
            client_id: form.get("client_id").map(str::to_owned),
        })
    }
}

fn grant_type(form: &Form) -> Result<GrantType, Refusal> {
    let named = required(form, "grant_type")?;
    grant_types()
        .into_iter()
        .find(|grant| grant.as_str() == named)
        .ok_or_else(|| Refusal::parameter(Reason::GrantTypeUnsupported, "grant_type"))
}

fn required<'f>(form: &'f Form, name: &'static str) -> Result<&'f str, Refusal> {
    form.get(name)
        .ok_or_else(|| Refusal::parameter(Reason::ParameterMissing, name))
}

/// The declared type is believed, never sniffed: each has its own rules.
fn evidence_type(named: &str) -> Result<TokenType, Refusal> {
    match named {
        TYPE_JWT => Ok(TokenType::Jwt),
        TYPE_ID_TOKEN => Ok(TokenType::IdToken),
        _ => Err(Refusal::parameter(
            Reason::TokenTypeUnsupported,
            "subject_token_type",
        )),
    }
}

/// A self-hosted target's credential is a JWT that is used as an access token;
/// a caller may call it either.
fn issued_type(requested: Option<&str>) -> Result<&'static str, Refusal> {
    match requested {
        None | Some(TYPE_ACCESS_TOKEN) => Ok(TYPE_ACCESS_TOKEN),
        Some(TYPE_JWT) => Ok(TYPE_JWT),
        Some(_) => Err(Refusal::parameter(
            Reason::TokenTypeUnsupported,
            "requested_token_type",
        )),
    }
}

/// `requested_expires_in`: whole seconds. More than the rule gives is not an
/// error, it is cut by policy; a value that is no number of seconds is.
fn lifetime(requested: Option<&str>) -> Result<Option<Ttl>, Refusal> {
    let Some(text) = requested else {
        return Ok(None);
    };
    let refused = || Refusal::parameter(Reason::ParameterInvalid, "requested_expires_in");
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    match text.trim_start_matches('0').parse::<u64>() {
        Ok(seconds) => {
            let seconds = seconds.min(u64::from(crate::model::ttl::MAX_TTL));
            Ttl::from_secs(seconds).map(Some).map_err(|_| refused())
        }
        // Nothing but zeros, or more than 64 bits.
        Err(_) if text.bytes().all(|b| b == b'0') => Err(refused()),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
    const JWT: &str = "subject_token=a.b.c&subject_token_type=urn:ietf:params:oauth:token-type:jwt";

    fn read(body: &str) -> Result<ExchangeRequest, (Reason, Option<String>)> {
        let form = Form::parse(body.as_bytes()).unwrap();
        ExchangeRequest::from_form(&form).map_err(|r| (r.reason, r.inside.field))
    }

    fn refused(body: &str) -> (Reason, String) {
        let Err((reason, Some(field))) = read(body) else {
            panic!("{body} is not refused with a field");
        };
        (reason, field)
    }

    #[test]
    fn a_whole_exchange_is_read() {
        let request = read(&format!(
            "{EXCHANGE}&{JWT}&audience=prod&audience=prod&resource=https://t.example&scope=worker+payments:read\
             &requested_expires_in=300&client_id=google&unknown=1"
        ))
        .unwrap();
        assert_eq!(request.grant, GrantType::TokenExchange);
        assert_eq!(request.audience, ["prod", "prod"]);
        assert_eq!(request.resource, ["https://t.example"]);
        assert_eq!(request.scope.role.unwrap().as_str(), "worker");
        assert_eq!(request.ttl, Some(Ttl::secs(300)));
        assert_eq!(request.client_id.as_deref(), Some("google"));
        assert_eq!(request.issued_type, TYPE_ACCESS_TOKEN);
    }

    #[test]
    fn an_assertion_is_read() {
        let request = read(
            "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c&resource=https://t.example",
        )
        .unwrap();
        assert_eq!(
            (request.grant, request.evidence.as_str()),
            (GrantType::JwtBearer, "a.b.c")
        );
    }

    #[test]
    fn o_05_missing_parameters_are_named() {
        assert_eq!(
            refused("x=1"),
            (Reason::ParameterMissing, "grant_type".into())
        );
        assert_eq!(
            refused(EXCHANGE),
            (Reason::ParameterMissing, "subject_token".into())
        );
        let untyped = format!("{EXCHANGE}&subject_token=a.b.c");
        assert_eq!(
            refused(&untyped),
            (Reason::ParameterMissing, "subject_token_type".into())
        );
        let empty = format!("{EXCHANGE}&subject_token=&subject_token_type=x");
        assert_eq!(
            refused(&empty),
            (Reason::ParameterMissing, "subject_token".into())
        );
    }

    #[test]
    fn unknown_kinds_are_refused() {
        assert_eq!(
            refused("grant_type=password"),
            (Reason::GrantTypeUnsupported, "grant_type".into())
        );
        let saml = format!(
            "{EXCHANGE}&subject_token=x&subject_token_type=urn:ietf:params:oauth:token-type:saml2"
        );
        assert_eq!(
            refused(&saml),
            (Reason::TokenTypeUnsupported, "subject_token_type".into())
        );
        let refresh = format!(
            "{EXCHANGE}&{JWT}&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token"
        );
        assert_eq!(
            refused(&refresh),
            (Reason::TokenTypeUnsupported, "requested_token_type".into())
        );
    }

    #[test]
    fn o_19_actors_are_refused_not_ignored() {
        for actor in ["actor_token=x", "actor_token_type=x"] {
            let body = format!("{EXCHANGE}&{JWT}&{actor}");
            assert_eq!(refused(&body).0, Reason::ActorTokenUnsupported, "{actor}");
        }
    }

    #[test]
    fn o_17_lifetimes_are_seconds() {
        let ttl = |text: &str| {
            read(&format!("{EXCHANGE}&{JWT}&requested_expires_in={text}")).map(|r| r.ttl)
        };
        assert_eq!(ttl("060").unwrap(), Some(Ttl::secs(60)));
        assert_eq!(
            ttl("1000000000000").unwrap(),
            Some(Ttl::secs(crate::model::ttl::MAX_TTL))
        );
        for bad in ["0", "00", "-1", "1h", "1.5", "%2B1"] {
            assert_eq!(
                ttl(bad),
                Err((
                    Reason::ParameterInvalid,
                    Some("requested_expires_in".into())
                )),
                "{bad}"
            );
        }
    }
}
