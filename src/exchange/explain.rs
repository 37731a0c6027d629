//! What would happen to a token: the same steps, nothing issued, nothing
//! recorded.
//!
//! It runs on the same functions as an exchange. What it leaves out are the
//! steps that change something: budgets, the ledger, minting.

use crate::{
    base::{clock::Moment, text},
    evidence::{self, Entry as Candidate, Identity, Rejection, TokenType},
    jose::Compact,
    keys::Snapshot,
    model::{Attributes, Permission, Reason, RoleName, TargetName, TrustDomainName, Ttl},
    policy::{Ask, Explain, Mismatch, Trace},
};

use super::{refusal::Refusal, scope::Scope, world::World};

/// What is asked about a token.
pub struct Question<'a> {
    /// The token.
    pub token: &'a str,
    /// What it is presented as.
    pub token_type: TokenType,
    /// The target.
    pub target: TargetName,
    /// The `scope` that would be sent.
    pub scope: Option<&'a str>,
    /// When it would be sent.
    pub at: Moment,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Whether it passed; `None`: never reached.
    pub passed: Option<bool>,
}

/// What would come of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The rule that would grant it.
    pub rule: String,
    /// The role.
    pub role: RoleName,
    /// The permissions.
    pub permissions: Vec<Permission>,
    /// The lifetime.
    pub ttl: Ttl,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The trust domain that was tried last, or that accepted it.
    pub trust_domain: Option<TrustDomainName>,
    /// Every step in order.
    pub steps: Vec<Step>,
    /// The identity's canonical subject.
    pub identity: Option<String>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Every rule and field that was compared.
    pub trace: Trace,
    /// Whether it would be granted, and if not, why.
    pub outcome: Result<Verdict, Refusal>,
    /// What a caller would be told of a refusal.
    pub told: Explain,
}

/// Explains. Keys are taken as they are: refresh them before.
pub fn explain(world: &World, question: &Question<'_>) -> Explanation {
    let mut answer = Explanation {
        trust_domain: None,
        steps: Vec::new(),
        identity: None,
        attributes: Attributes::default(),
        trace: Trace::default(),
        outcome: Err(Refusal::of(Reason::IssuerUnknown)),
        told: Explain::None,
    };
    match identify(world, question, &mut answer) {
        Err(refusal) => answer.outcome = Err(refusal),
        Ok(identity) => decide(world, question, identity, &mut answer),
    }
    answer
}

/// The steps before any trust domain is known, by name.
const PARSE: &str = "token";
const ISSUER: &str = "issuer";
/// The step after the evidence has verified.
const POLICY: &str = "policy";

fn identify(
    world: &World,
    question: &Question<'_>,
    answer: &mut Explanation,
) -> Result<Identity, Refusal> {
    let parsed = Compact::parse(question.token, world.max_token);
    answer.step(PARSE, parsed.is_ok());
    let unverified = parsed.map_err(|fault| Refusal {
        inside: Box::new(super::refusal::Hint {
            hint: Some(fault.to_string()),
            ..Default::default()
        }),
        ..Refusal::of(fault.reason())
    })?;
    let candidates = world.registry.candidates(&unverified);
    answer.step(ISSUER, !candidates.is_empty());
    if candidates.is_empty() {
        let rejection = world.registry.refusal(&unverified);
        let nearest = nearest_issuer(world, rejection.found.as_deref());
        let mut refusal = Refusal::evidence(rejection, Explain::Full);
        refusal.inside.hint =
            nearest.map(|issuer| format!("the nearest configured issuer is {issuer}"));
        return Err(refusal);
    }
    let mut last = Refusal::of(Reason::IssuerUnknown);
    let begun = answer.steps.len();
    for candidate in candidates {
        answer.steps.truncate(begun);
        answer.trust_domain = Some(candidate.domain.name.clone());
        answer.told = world.explain(candidate.domain.name.as_str());
        match verify(world, question, candidate) {
            Ok(identity) => {
                evidence::steps().for_each(|name| answer.step(name, true));
                return Ok(identity);
            }
            Err(rejection) => {
                answer.stopped(&rejection);
                last = Refusal::evidence(rejection, Explain::Full);
            }
        }
    }
    Err(last)
}

fn verify(
    world: &World,
    question: &Question<'_>,
    candidate: &Candidate,
) -> Result<Identity, Rejection> {
    let keys: &Snapshot = &candidate.keys.snapshot();
    let token = Compact::parse(question.token, world.max_token)
        .map_err(|fault| Rejection::early(fault.reason()))?;
    if !candidate.keys.usable(question.at) {
        return Err(Rejection::early(Reason::IssuerUnavailable));
    }
    evidence::verify(
        token,
        question.token_type,
        &candidate.domain,
        keys,
        question.at,
    )
}

fn decide(world: &World, question: &Question<'_>, identity: Identity, answer: &mut Explanation) {
    answer.identity = Some(identity.subject().to_owned());
    answer.attributes = identity.attributes().clone();
    let scope = match question.scope.map(Scope::parse) {
        None => Scope::default(),
        Some(Some(scope)) => scope,
        Some(None) => {
            answer.outcome = Err(Refusal::parameter(Reason::ScopeMalformed, "scope"));
            return;
        }
    };
    let ask = Ask {
        target: question.target.clone(),
        role: scope.role,
        narrow: scope.narrow,
        ttl: None,
    };
    let domain = identity.trust_domain().name.clone();
    let (subject, attributes) = (identity.subject(), identity.attributes());
    answer.trace = world
        .policy
        .trace(domain.as_str(), subject, attributes, &ask);
    let decided = world.policy.decide(identity, &ask, question.at);
    answer.step(POLICY, decided.is_ok());
    answer.outcome = match decided {
        Ok(grant) => Ok(Verdict {
            rule: grant.rule().to_string(),
            role: grant.role().clone(),
            permissions: grant.permissions().to_vec(),
            ttl: grant.ttl(),
        }),
        Err(refused) => Err(Refusal::denial(refused.denial, Explain::Full)),
    };
}

/// The configured issuer that looks most like the one that was found: a slash,
/// a scheme or an id is usually all that differs.
fn nearest_issuer(world: &World, found: Option<&str>) -> Option<String> {
    let found = found?;
    world
        .registry
        .iter()
        .filter_map(|entry| entry.domain.issuer())
        .map(|issuer| (strsim::jaro_winkler(issuer, found), issuer))
        .filter(|(near, _)| *near > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, issuer)| text::display(issuer, 256))
}

impl Explanation {
    fn step(&mut self, name: &'static str, passed: bool) {
        self.steps.push(Step {
            name,
            passed: Some(passed),
        });
    }

    /// The steps up to the one that stopped it, and those never reached.
    fn stopped(&mut self, rejection: &Rejection) {
        let mut failed = false;
        for name in evidence::steps() {
            let passed = rejection.passed.contains(&name);
            let state = match (passed, failed) {
                (true, _) => Some(true),
                (false, false) => Some(false),
                (false, true) => None,
            };
            failed |= state == Some(false);
            self.steps.push(Step {
                name,
                passed: state,
            });
        }
    }

    /// The one difference that a refusal is about.
    pub fn mismatch(&self) -> Option<Mismatch> {
        self.trace.nearest(None)?.mismatch()
    }
}
