//! One exchange, step by step.
//!
//! The order is the security argument. Nothing is fetched for an issuer that is
//! not configured; nothing is decided about evidence that did not verify; a
//! refusal burns nothing, so a token refused by policy can be used again once
//! the policy is mended; and no credential exists before the ledger holds the
//! record of it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::timeout;

use crate::{
    base::{
        clock::{Clock, Moment},
        random::{self, Random},
    },
    evidence::{self, Entry as Candidate, Identity, TrustDomain},
    jose::Compact,
    keys::Snapshot,
    ledger::{Entry, Fence, Lease, Ledger, LedgerError, SingleUse, Switch, Switches},
    mint,
    model::{Reason, RequestId},
    policy::{Ask, Explain, Grant},
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

/// Seconds after which a caller may ask again when an issuer's keys are missing.
const RETRY_ISSUER: u64 = 5;
/// Seconds after which a caller may ask again when the ledger is in trouble.
const RETRY_LEDGER: u64 = 2;

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
    /// Longest wait for a record to be durable.
    pub deadline: Duration,
    /// Counters.
    pub meters: Arc<Meters>,
}

/// The use case, ready to run.
pub struct Exchange {
    world: ArcSwap<World>,
    /// How often the world was replaced.
    replaced: Arc<AtomicU64>,
    ledger: Arc<dyn Ledger>,
    signing: Arc<Signing>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    budgets: Budgets,
    deadline: Duration,
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
            replaced: Arc::default(),
            ledger: parts.ledger,
            signing: parts.signing,
            clock: parts.clock,
            random: parts.random,
            budgets: Budgets::new(parts.budgets),
            deadline: parts.deadline,
            meters: parts.meters,
        }
    }

    /// The current world.
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// Swaps in a new world, whole. Exchanges that were decided under the old
    /// one and are not recorded yet begin again.
    pub fn replace(&self, world: World) {
        self.world.store(Arc::new(world));
        Fence::advance(&self.replaced);
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
            match self.steps(&request, &mut story).await {
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
        request: &ExchangeRequest,
        story: &mut Story<'_>,
    ) -> Result<Answer, Stop> {
        let now = story.now;
        // The fence is taken before the world is read: a commit that finds it
        // unmoved was decided by the plan in force.
        let fence = Fence::take(&self.replaced);
        let world = self.world();
        story.under(&world);

        // 2. The unverified issuer picks configured trust domains, and nothing else.
        let unverified = Compact::parse(&request.evidence, world.max_token)
            .map_err(|fault| Refusal::of(fault.reason()))?;
        let candidates = world.registry.candidates(&unverified);
        if candidates.is_empty() {
            let rejection = world.registry.refusal(&unverified);
            return Err(Refusal::evidence(rejection, Explain::None).into());
        }

        // 3. and 4. Keys from memory, at most one shared refresh; evidence becomes
        // an identity.
        let identity = self.verify(&world, request, candidates, now).await?;
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
            .map_err(|refused| Refusal::denial(refused.denial, explain))?;

        // 6. Budgets.
        self.budgets.spend(&grant, self.clock.uptime())?;

        // The signing key is taken before the commit: a record of a credential
        // that could not be signed would be a false alarm in the audit.
        let key = (self.signing.active(&grant.target().name))
            .ok_or_else(|| Refusal::of(Reason::SigningUnavailable))?;

        // 7. Single use, lease and audit record: one transaction, durable before
        // anything leaves. It fails if a kill switch stops the lease, or if the
        // plan was replaced since the fence was taken.
        let id = story.id.to_string();
        let until = now.plus(grant.ttl().duration());
        let scope = scope_of(&grant);
        let entry = Entry {
            single_use: single_use(&grant),
            lease: Some(lease(&grant, &id, until)),
            audit: story.issued(&grant, &id, &scope, until),
            fence: Some(fence),
        };
        self.commit(entry).await.map_err(|fault| {
            self.budgets.give_back(&grant, self.clock.uptime());
            match fault {
                LedgerError::Changed => Stop::Replaced,
                fault => unrecorded(&fault).into(),
            }
        })?;

        // 8. The grant, by value, becomes the credential.
        let target = Arc::clone(grant.target());
        let namespace = only_namespace(&grant);
        self.meters.issued(&grant);
        let credential = mint::self_hosted(grant, &id, world.issuer.as_str(), &key, now)
            .map_err(|_| Refusal::of(Reason::Internal))?;

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
    /// string, and only their keys and tenants tell them apart.
    async fn verify(
        &self,
        world: &World,
        request: &ExchangeRequest,
        candidates: &[Candidate],
        now: Moment,
    ) -> Result<Identity, Refusal> {
        let switches = self.ledger.switches();
        let mut nearest: Option<Refusal> = None;
        for candidate in candidates {
            let attempt = match is_stopped(&switches, &candidate.domain) {
                true => Err(Refusal::of(Reason::Disabled)),
                false => self.verify_under(world, request, candidate, now).await,
            };
            let refusal = match attempt {
                Ok(identity) => return Ok(identity),
                Err(refusal) => refusal,
            };
            // Told is the refusal that got furthest: a signature that verified
            // says more than another trust domain's unknown key.
            let further = |old: &Refusal| refusal.outside.is_some() && old.outside.is_none();
            if nearest.as_ref().is_none_or(further) {
                nearest = Some(refusal);
            }
        }
        Err(nearest.unwrap_or_else(|| Refusal::of(Reason::IssuerUnknown)))
    }

    async fn verify_under(
        &self,
        world: &World,
        request: &ExchangeRequest,
        candidate: &Candidate,
        now: Moment,
    ) -> Result<Identity, Refusal> {
        let Candidate { domain, keys } = candidate;
        let explain = world.explain(domain.name.as_str());
        let attempt = |snapshot: &Snapshot| {
            let token = Compact::parse(&request.evidence, world.max_token)
                .map_err(|fault| Refusal::of(fault.reason()))?;
            evidence::authenticate(token, domain, snapshot)
                .map_err(|refused| Refusal::evidence(refused.rejection, explain))
        };
        let seen = keys.snapshot();
        let mut authentic = attempt(&seen);
        // A new key, or new key material under an old kid: worth one look, which
        // all requests share and which the cool-down bounds.
        let worth_a_look = !keys.usable(now)
            || matches!(&authentic, Err(refusal) if matches!(
                refusal.reason,
                Reason::KeyUnknown | Reason::SignatureInvalid
            ));
        if worth_a_look && keys.refresh_for_token(&seen).await {
            authentic = attempt(&keys.snapshot());
        }
        if !keys.usable(now) {
            return Err(Refusal::later(Reason::IssuerUnavailable, RETRY_ISSUER));
        }
        authentic?
            .judge(request.evidence_type, now)
            .map_err(|rejection| Refusal::evidence(rejection, explain))
    }

    /// Commits within the deadline. A commit that takes longer may still become
    /// durable, so nothing is minted for it: a record without a credential is
    /// harmless, the other way round is not.
    async fn commit(&self, entry: Entry) -> Result<(), LedgerError> {
        match timeout(self.deadline, self.ledger.commit(entry)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LedgerError::Unavailable(format!(
                "no answer within {} s",
                self.deadline.as_secs()
            ))),
        }
    }

    /// Records a refusal and answers it. What cannot be recorded is answered as
    /// such: silence in the audit is never an option.
    async fn refuse(&self, story: Story<'_>, refusal: Refusal) -> Answer {
        self.meters.refused(refusal.reason, story.trust_domain());
        let entry = Entry {
            single_use: None,
            lease: None,
            audit: story.refused(&refusal),
            fence: None,
        };
        let grant = story.grant_type();
        match self.commit(entry).await {
            Ok(()) => Answer::refused(&refusal, grant, story.id),
            Err(fault) => Answer::refused(&unrecorded(&fault), grant, story.id),
        }
    }
}

fn unrecorded(fault: &LedgerError) -> Refusal {
    match fault {
        LedgerError::Replayed => Refusal::of(Reason::TokenReplayed),
        LedgerError::Disabled(_) => Refusal::of(Reason::Disabled),
        LedgerError::Changed => Refusal::of(Reason::Overloaded),
        LedgerError::Unavailable(_) => Refusal::later(Reason::LedgerUnavailable, RETRY_LEDGER),
    }
}

/// Whether evidence of this trust domain is not even looked at, nor its issuer
/// contacted. (The commit compares everything else.)
fn is_stopped(switches: &Switches, domain: &TrustDomain) -> bool {
    if switches.on.is_empty() {
        return false;
    }
    let issuer = domain
        .issuer()
        .map(|issuer| Switch::Issuer(issuer.to_owned()));
    let domain = Switch::TrustDomain(domain.name.to_string());
    switches.on.contains(&domain) || issuer.is_some_and(|issuer| switches.on.contains(&issuer))
}

fn single_use(grant: &Grant) -> Option<SingleUse> {
    let identity = grant.identity();
    let domain = identity.trust_domain();
    domain.single_use.then(|| SingleUse {
        trust_domain: domain.name.to_string(),
        digest: *identity.digest(),
        until: identity
            .expires_at()
            .plus(domain.leeway)
            .plus(SINGLE_USE_MARGIN),
    })
}

fn lease(grant: &Grant, id: &str, expires_at: Moment) -> Lease {
    let identity = grant.identity();
    Lease {
        id: id.to_owned(),
        target: grant.target().name.to_string(),
        subject: identity.subject().to_owned(),
        issuer: identity.trust_domain().issuer().map(str::to_owned),
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
