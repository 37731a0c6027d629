//! The audit record of one exchange: one JSON object, encoded once.
//!
//! An allow list: only what is named here is ever written. No token, no
//! signature, no secret; evidence is known by the digest of what was signed.

use serde::Serialize;

use crate::{
    base::{clock::Moment, text},
    evidence::Identity,
    ledger::Record,
    model::{Attributes, RequestId, TrustDomainName},
    policy::{Ask, Grant},
};

use super::{
    refusal::{Hint, Refusal},
    request::{Caller, ExchangeRequest, GrantType},
    world::World,
};

/// Version of the record's shape.
const VERSION: u8 = 1;

/// Longest text from a stranger in a record, in characters.
const MAX_TEXT: usize = 256;

/// Longest identity in a record: longer than any, so that none is cut and two
/// are never taken for one.
const MAX_IDENTITY: usize = 4096;

#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    time: String,
    kind: &'static str,
    request_id: &'a str,
    outcome: &'static str,
    reason: Option<&'static str>,
    trust_domain: Option<&'a str>,
    identity: Option<&'a str>,
    attributes: Option<Facts<'a>>,
    evidence: Option<Evidence<'a>>,
    rule: Option<&'a str>,
    observed: Vec<&'a str>,
    role: Option<&'a str>,
    target: Option<&'a str>,
    scope: Option<&'a str>,
    credential: Option<Minted<'a>>,
    compared: Option<Compared<'a>>,
    policy: &'a str,
    grant_type: Option<&'static str>,
    caller: From<'a>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    sha256: String,
    alg: &'static str,
    kid: Option<String>,
    jti: Option<String>,
    issuer: Option<&'a str>,
    expires_at: String,
}

#[derive(Serialize)]
struct Minted<'a> {
    id: &'a str,
    r#type: &'static str,
    expires_at: String,
}

#[derive(Serialize)]
struct Compared<'a> {
    rule: Option<&'a str>,
    field: Option<&'a str>,
    found: Option<&'a str>,
    wanted: Option<&'a str>,
}

#[derive(Serialize)]
struct From<'a> {
    address: String,
    user_agent: Option<String>,
    client_id: Option<&'a str>,
}

/// Attributes as a JSON object of displayed values.
struct Facts<'a>(&'a Attributes);

impl Serialize for Facts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|attribute| {
            let show = |text: &str| text::display(text, MAX_TEXT);
            (show(&attribute.name), show(&attribute.value.to_string()))
        }))
    }
}

/// What is known about a request, filled in as the exchange goes on.
pub(super) struct Story<'a> {
    pub(super) id: RequestId,
    pub(super) now: Moment,
    caller: &'a Caller,
    client_id: Option<String>,
    grant_type: Option<GrantType>,
    policy: String,
    known: Option<Known>,
    target: Option<String>,
    role: Option<String>,
}

/// What is said of an identity, kept after the identity itself is consumed.
pub(super) struct Known {
    trust_domain: TrustDomainName,
    subject: String,
    attributes: Attributes,
    digest: [u8; 32],
    algorithm: &'static str,
    kid: Option<String>,
    jti: Option<String>,
    issuer: Option<String>,
    expires_at: Moment,
}

impl Known {
    pub(super) fn of(identity: &Identity) -> Self {
        let show = |value: &str| text::display(value, MAX_TEXT);
        Self {
            trust_domain: identity.trust_domain().name.clone(),
            subject: text::display(identity.subject(), MAX_IDENTITY),
            attributes: identity.attributes().clone(),
            digest: *identity.digest(),
            algorithm: identity.algorithm().as_str(),
            kid: identity.kid().map(show),
            jti: identity.jti().map(show),
            issuer: identity.trust_domain().issuer().map(str::to_owned),
            expires_at: identity.expires_at(),
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            sha256: hex(&self.digest),
            alg: self.algorithm,
            kid: self.kid.clone(),
            jti: self.jti.clone(),
            issuer: self.issuer.as_deref(),
            expires_at: self.expires_at.to_string(),
        }
    }
}

impl<'a> Story<'a> {
    pub(super) fn begin(id: RequestId, now: Moment, caller: &'a Caller) -> Self {
        Self {
            id,
            now,
            caller,
            client_id: None,
            grant_type: None,
            policy: String::new(),
            known: None,
            target: None,
            role: None,
        }
    }

    /// The request was well formed.
    pub(super) fn asked(&mut self, request: &ExchangeRequest) {
        self.grant_type = Some(request.grant);
        self.client_id = (request.client_id.as_deref()).map(|id| text::display(id, MAX_TEXT));
    }

    /// The plan it is judged under.
    pub(super) fn under(&mut self, world: &World) {
        self.policy = world.policy.digest().to_owned();
        self.known = None;
    }

    /// The evidence verified.
    pub(super) fn known(&mut self, known: Known) {
        self.known = Some(known);
    }

    /// The target was resolved.
    pub(super) fn asked_for(&mut self, ask: &Ask) {
        self.target = Some(ask.target.to_string());
        self.role = ask.role.as_ref().map(ToString::to_string);
    }

    pub(super) fn trust_domain(&self) -> Option<&TrustDomainName> {
        self.known.as_ref().map(|known| &known.trust_domain)
    }

    pub(super) fn grant_type(&self) -> Option<GrantType> {
        self.grant_type
    }

    /// The record of a credential that is about to leave.
    pub(super) fn issued(&self, grant: &Grant, id: &str, scope: &str, until: Moment) -> Record {
        self.record(Outcome {
            outcome: "issued",
            rule: Some(grant.rule().as_str()),
            observed: grant.observed().iter().map(|rule| rule.as_str()).collect(),
            role: Some(grant.role().as_str()),
            scope: Some(scope),
            credential: Some(Minted {
                id,
                r#type: "self-hosted-jwt",
                expires_at: until.to_string(),
            }),
            ..Outcome::default()
        })
    }

    /// The record of a refusal, or of a fault.
    pub(super) fn refused(&self, refusal: &Refusal) -> Record {
        let temporary = refusal.reason.class().is_temporary();
        self.record(Outcome {
            outcome: if temporary { "failed" } else { "refused" },
            reason: Some(refusal.reason.code()),
            rule: refusal.inside.rule.as_deref(),
            role: self.role.as_deref(),
            compared: compared(&refusal.inside),
            ..Outcome::default()
        })
    }

    fn record(&self, outcome: Outcome<'_>) -> Record {
        let known = self.known.as_ref();
        let line = Line {
            v: VERSION,
            time: self.now.to_string(),
            kind: "exchange",
            request_id: &self.id.to_string(),
            outcome: outcome.outcome,
            reason: outcome.reason,
            trust_domain: known.map(|known| known.trust_domain.as_str()),
            identity: known.map(|known| known.subject.as_str()),
            attributes: known.map(|known| Facts(&known.attributes)),
            evidence: known.map(Known::evidence),
            rule: outcome.rule,
            observed: outcome.observed,
            role: outcome.role,
            target: self.target.as_deref(),
            scope: outcome.scope,
            credential: outcome.credential,
            compared: outcome.compared,
            policy: &self.policy,
            grant_type: self.grant_type.map(GrantType::as_str),
            caller: From {
                address: self.caller.address.to_string(),
                user_agent: (self.caller.user_agent.as_deref())
                    .map(|agent| text::display(agent, MAX_TEXT)),
                client_id: self.client_id.as_deref(),
            },
        };
        // Structs of strings and numbers always serialise.
        Record {
            json: serde_json::to_string(&line).unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Outcome<'a> {
    outcome: &'static str,
    reason: Option<&'static str>,
    rule: Option<&'a str>,
    observed: Vec<&'a str>,
    role: Option<&'a str>,
    scope: Option<&'a str>,
    credential: Option<Minted<'a>>,
    compared: Option<Compared<'a>>,
}

fn compared(hint: &Hint) -> Option<Compared<'_>> {
    hint.field.as_ref()?;
    Some(Compared {
        rule: hint.rule.as_deref(),
        field: hint.field.as_deref(),
        found: hint.found.as_deref(),
        wanted: hint.wanted.as_deref(),
    })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}
