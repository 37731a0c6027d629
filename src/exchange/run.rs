//! One exchange, step by step.
//!
//! The order is the security argument. Nothing is fetched for an issuer that is
//! not configured; nothing is decided about evidence that did not verify; a
//! refusal burns nothing, so a token refused by policy can be used again once
//! the policy is mended; and no credential exists before the ledger holds the
//! record of it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    base::{
        clock::{Clock, Moment},
        random::{self, Random},
    },
    evidence::{self, Identity, Rejection, TrustDomain},
    jose::Compact,
    ledger::{Entry, Guard, Lease, Ledger, LedgerError, SingleUse, Switch, Switches},
    mint,
    model::{Reason, RequestId},
    policy::{Ask, Grant},
    signing::Signing,
};

use super::{
    answer::{Answer, Issued},
    audit::{Known, Story},
    budgets::{BudgetLimits, Budgets},
    form::Form,
    meters::Meters,
    refusal::Refusal,
    request::{Caller, ExchangeRequest},
    world::World,
};

/// How long a used token is remembered after it has expired, beyond any leeway:
/// a clock that steps back a little must not make it usable again.
const SINGLE_USE_MARGIN: Duration = Duration::from_secs(120);

/// What an exchange is made of.
pub struct Parts {
    /// The first world.
    pub world: World,
    /// Where outcomes are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Our signing keys.
    pub signing: Arc<Signing>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for request ids.
    pub random: Arc<dyn Random>,
    /// How many credentials one identity, trust domain and target may have.
    pub budgets: BudgetLimits,
    /// Counters.
    pub meters: Arc<Meters>,
}

/// The use case, ready to run.
pub struct Exchange {
    world: ArcSwap<World>,
    ledger: Arc<dyn Ledger>,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    budgets: Budgets,
    meters: Arc<Meters>,
}

/// Why the steps stopped.
enum Stop {
    Refused(Box<Refusal>),
    /// The plan was replaced meanwhile: begin again under the new one.
    Replaced,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Exchange {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self {
            world: ArcSwap::from_pointee(parts.world),
            ledger: parts.ledger,
            signing: parts.signing,
            clock: parts.clock,
            random: parts.random,
            budgets: Budgets::new(parts.budgets),
            meters: parts.meters,
        }
    }

    /// The current world.
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Swaps in a new world, whole.
    pub fn replace(&self, world: World) {
        self.world.store(Arc::new(world));
    }

    /// A fresh request id.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(
            self.clock.now().millis(),
            random::bytes(self.random.as_ref()),
        )
    }

    /// Runs one exchange: the answer, after its record is durable.
    pub async fn run(&self, form: &Form, caller: &Caller, id: RequestId) -> Answer {
        let mut story = Story::begin(id, self.clock.now(), caller);
        let request = match ExchangeRequest::from_form(form) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(story, refusal).await,
        };
        story.asked(&request);
        // A plan that changes under an exchange is rare; one that changes under
        // it again and again is a fault that the caller may retry.
        for _ in 0..3 {
            let world = self.world();
            story.under(&world);
            match self.steps(&world, &request, &mut story).await {
                Ok(answer) => return answer,
                Err(Stop::Refused(refusal)) => return self.refuse(story, *refusal).await,
                Err(Stop::Replaced) => {}
            }
        }
        self.refuse(story, Refusal::of(Reason::Overloaded)).await
    }

    /// The steps of `ARCHITECTURE.md`, from the second on. (1: the server has
    /// read the request within its limits.)
    async fn steps(
        &self,
        world: &Arc<World>,
        request: &ExchangeRequest,
        story: &mut Story<'_>,
    ) -> Result<Answer, Stop> {
        let now = story.now;
        let switches = self.ledger.switches();

        // 2. The unverified issuer picks configured trust domains, and nothing else.
        let unverified = Compact::parse(&request.evidence, world.max_token)
            .map_err(|fault| Refusal::of(fault.reason()))?;
        let candidates = world.registry.candidates(&unverified);
        if candidates.is_empty() {
            return Err(Refusal::of(Reason::IssuerUnknown).into());
        }

        // 3. and 4. Keys from memory, at most one shared refresh; evidence becomes
        // an identity.
        let identity = self.verify(world, request, candidates, &switches, now).await?;
        story.known(Known::of(&identity));

        // 5. The identity and the ask become a grant.
        let ask = Ask {
            target: world.target(request)?,
            role: request.scope.role.clone(),
            narrow: request.scope.narrow.clone(),
            ttl: request.ttl,
        };
        story.asked_for(&ask);
        let explain = world.explain(identity.trust_domain().name.as_str());
        let grant = (world.policy)
            .decide(identity, &ask, now)
            .map_err(|denial| Refusal::denial(denial, explain))?;
        stopped_by(&switches, &grant)?;

        // 6. Budgets.
        self.budgets.spend(&grant, self.clock.uptime())?;

        // The signing key is taken before the commit: a record of a credential
        // that could not be signed would be a false alarm in the audit.
        let key = (self.signing.active(&grant.target().name))
            .ok_or_else(|| Refusal::of(Reason::SigningUnavailable))?;

        // 7. Single use, lease and audit record: one transaction, durable before
        // anything leaves. The guard makes it fail if a kill switch was thrown.
        if !Arc::ptr_eq(world, &self.world.load()) {
            return Err(Stop::Replaced);
        }
        let id = story.id.to_string();
        let until = now.plus(grant.ttl().duration());
        let scope = scope_of(&grant);
        let entry = Entry {
            guard: Some(Guard { epoch: switches.epoch }),
            single_use: single_use(&grant),
            lease: Some(lease(&grant, &id, until)),
            audit: story.issued(&grant, &id, &scope, until),
        };
        if let Err(fault) = self.ledger.commit(entry).await {
            return Err(match fault {
                LedgerError::Changed => Stop::Replaced,
                fault => unrecorded(&fault).into(),
            });
        }

        // 8. The grant, by value, becomes the credential.
        let target = Arc::clone(grant.target());
        let namespace = only_namespace(&grant);
        let rule = grant.rule().clone();
        let trust_domain = grant.identity().trust_domain().name.clone();
        let credential = mint::self_hosted(grant, &id, world.issuer.as_str(), &key, now)
            .map_err(|_| Refusal::of(Reason::Internal))?;
        self.meters.issued(&trust_domain, &rule, &target.name);

        // 9. The answer.
        let token = std::str::from_utf8(credential.secret().expose())
            .map_err(|_| Refusal::of(Reason::Internal))?;
        let issued = Issued {
            token,
            issued_type: request.issued_type,
            expires_in: credential.expires_at().secs() - now.secs(),
            scope: &scope,
            target: &target,
            namespace: namespace.as_deref(),
        };
        Ok(Answer::granted(&issued, story.id))
    }

    /// Tries the candidates in turn: several trust domains may share an issuer
    /// string, and only the keys tell them apart.
    async fn verify(
        &self,
        world: &World,
        request: &ExchangeRequest,
        candidates: &[Arc<TrustDomain>],
        switches: &Switches,
        now: Moment,
    ) -> Result<Identity, Refusal> {
        let mut nearest: Option<Refusal> = None;
        for domain in candidates {
            if is_stopped(switches, domain) {
                nearest.get_or_insert_with(|| Refusal::of(Reason::Disabled));
                continue;
            }
            let refusal = match self.verify_under(request, domain, world.max_token, now).await {
                Ok(identity) => return Ok(identity),
                Err(refusal) => refusal,
            };
            // Told is the refusal that got furthest: a signature that verified
            // says more than another domain's unknown key.
            let further = |old: &Refusal| refusal.outside.is_some() && old.outside.is_none();
            if nearest.as_ref().is_none_or(further) {
                nearest = Some(refusal);
            }
        }
        Err(nearest.unwrap_or_else(|| Refusal::of(Reason::IssuerUnknown)))
    }

    async fn verify_under(
        &self,
        request: &ExchangeRequest,
        domain: &Arc<TrustDomain>,
        max_token: usize,
        now: Moment,
    ) -> Result<Identity, Refusal> {
        let attempt = || {
            let keys = domain.keys.snapshot();
            let verdict = Compact::parse(&request.evidence, max_token)
                .map_err(|fault| Rejection::early(fault.reason()))
                .and_then(|token| {
                    evidence::verify(token, request.evidence_type, domain, &keys, now)
                });
            (keys, verdict)
        };
        let explain = self.world.load().explain(domain.name.as_str());
        let (keys, mut verdict) = attempt();
        let usable = domain.keys.usable(now);
        // A new key, or new key material under an old kid: worth one look, which
        // all requests share and which the cool-down bounds.
        let worth_a_look = !usable
            || matches!(&verdict, Err(rejection) if matches!(
                rejection.reason,
                Reason::KeyUnknown | Reason::SignatureInvalid
            ));
        if worth_a_look && domain.keys.refresh_for_token(&keys).await {
            verdict = attempt().1;
        }
        if !domain.keys.usable(now) {
            return Err(Refusal::later(Reason::IssuerUnavailable, 5));
        }
        verdict.map_err(|rejection| Refusal::evidence(rejection, explain))
    }

    /// Records a refusal and answers it. What cannot be recorded is answered as
    /// such: silence in the audit is never an option.
    async fn refuse(&self, story: Story<'_>, refusal: Refusal) -> Answer {
        self.meters.refused(refusal.reason, story.trust_domain());
        let entry = Entry {
            guard: None,
            single_use: None,
            lease: None,
            audit: story.refused(&refusal),
        };
        let grant = story.grant_type();
        match self.ledger.commit(entry).await {
            Ok(()) => Answer::refused(&refusal, grant, story.id),
            Err(fault) => Answer::refused(&unrecorded(&fault), grant, story.id),
        }
    }
}

fn unrecorded(fault: &LedgerError) -> Refusal {
    match fault {
        LedgerError::Replayed => Refusal::of(Reason::TokenReplayed),
        LedgerError::Changed => Refusal::of(Reason::Overloaded),
        LedgerError::Unavailable(_) => Refusal::later(Reason::LedgerUnavailable, 2),
    }
}

/// Whether evidence of this trust domain is not even looked at.
fn is_stopped(switches: &Switches, domain: &TrustDomain) -> bool {
    if switches.on.is_empty() {
        return false;
    }
    switches.on.contains(&Switch::TrustDomain(domain.name.to_string()))
        || (domain.issuer_name())
            .is_some_and(|issuer| switches.on.contains(&Switch::Issuer(issuer.to_owned())))
}

fn stopped_by(switches: &Switches, grant: &Grant) -> Result<(), Refusal> {
    if switches.on.is_empty() {
        return Ok(());
    }
    let identity = grant.identity();
    let stops = [
        Switch::Subject(identity.subject().to_owned()),
        Switch::Target(grant.target().name.to_string()),
        Switch::Rule {
            trust_domain: identity.trust_domain().name.to_string(),
            rule: grant.rule().to_string(),
        },
    ];
    if stops.iter().any(|stop| switches.on.contains(stop)) {
        return Err(Refusal::of(Reason::Disabled));
    }
    Ok(())
}

fn single_use(grant: &Grant) -> Option<SingleUse> {
    let identity = grant.identity();
    let domain = identity.trust_domain();
    domain.single_use.then(|| SingleUse {
        trust_domain: domain.name.to_string(),
        digest: *identity.digest(),
        until: identity.expires_at().plus(domain.leeway).plus(SINGLE_USE_MARGIN),
    })
}

fn lease(grant: &Grant, id: &str, expires_at: Moment) -> Lease {
    let identity = grant.identity();
    Lease {
        id: id.to_owned(),
        target: grant.target().name.to_string(),
        subject: identity.subject().to_owned(),
        trust_domain: identity.trust_domain().name.to_string(),
        rule: grant.rule().to_string(),
        expires_at,
    }
}

/// What was granted: the role, and the permissions it came down to.
fn scope_of(grant: &Grant) -> String {
    let mut scope = grant.role().to_string();
    for permission in grant.permissions() {
        scope.push(' ');
        scope.push_str(&permission.to_string());
    }
    scope
}

fn only_namespace(grant: &Grant) -> Option<String> {
    match grant.permissions() {
        [only] => only.namespace.as_ref().map(ToString::to_string),
        _ => None,
    }
}
