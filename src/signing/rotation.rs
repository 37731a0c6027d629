//! The keys as they are now, and how they change.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::{
    base::{
        clock::{Clock, Moment},
        secret::Secret,
    },
    jose::{Algorithm, LocalKey, Signer},
    model::{Target, TargetName, TargetSigning, Ttl},
};

use super::{
    ActiveKey, KeyChange, KeyRecord, KeyStore, KeyView, Phase, SigningError, State, TargetKeys,
    lifecycle::{self, Due},
    seal::{Of, Sealer},
};

/// What rotation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Publish a next key; it takes over when it has been published long enough.
    Schedule,
    /// The active key is in wrong hands: another takes over at once, and the
    /// old one is withdrawn at once, though live tokens by it are then refused.
    Compromised,
}

/// A wall clock that moves by more than this against the monotonic one has
/// jumped; keys then keep their phases for a publication period.
const JUMP: Duration = Duration::from_secs(5);

/// How often a change is tried again when another process was first.
const TRIES: usize = 5;

/// Our keys.
pub struct Signing {
    store: Arc<dyn KeyStore>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    state: ArcSwap<State>,
    /// One change at a time, and what changes need to know.
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    targets: Vec<Arc<Target>>,
    /// The longest lifetime of any token of a target that this process has known:
    /// a plan that lowers it does not shorten tokens that are out already.
    longest: HashMap<TargetName, Ttl>,
    /// Keys that are in use, so that a tick does not unseal them again.
    held: HashMap<String, Arc<LocalKey>>,
    last: Option<(Moment, Duration)>,
    rest_until: Duration,
}

impl Signing {
    /// Opens the store. Keys are there after [`apply`](Self::apply).
    pub fn open(
        store: Arc<dyn KeyStore>,
        key_encryption_key: &Secret,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, SigningError> {
        Ok(Arc::new(Self {
            store,
            sealer: Sealer::new(key_encryption_key)?,
            clock,
            state: ArcSwap::default(),
            plan: Mutex::default(),
        }))
    }

    /// Takes on a plan's targets, and makes the keys that are missing.
    pub async fn apply(&self, targets: &[Arc<Target>]) -> Result<(), SigningError> {
        let mut plan = self.plan.lock().await;
        for target in targets {
            let longest = plan.longest.entry(target.name.clone()).or_insert(target.max_ttl);
            *longest = (*longest).max(target.max_ttl);
        }
        plan.targets = targets.to_vec();
        self.advance(&mut plan, None).await
    }

    /// Re-reads the store, since another process may have rotated, and does
    /// what is due. To be called every second or two.
    pub async fn tick(&self) -> Result<(), SigningError> {
        let mut plan = self.plan.lock().await;
        self.advance(&mut plan, None).await
    }

    /// The key that signs for a target now.
    pub fn active(&self, target: &TargetName) -> Option<ActiveKey> {
        self.state.load().targets.get(target)?.active.clone()
    }

    /// The key set that the target's servers read: next, active and retiring
    /// keys. Never without a key.
    pub fn jwks(&self, target: &str) -> Option<Bytes> {
        Some(self.state.load().targets.get(target)?.jwks.clone())
    }

    /// Starts a rotation.
    pub async fn rotate(&self, target: &TargetName, how: Rotate) -> Result<(), SigningError> {
        let mut plan = self.plan.lock().await;
        self.advance(&mut plan, Some(&Order::Rotate(target, how))).await
    }

    /// Withdraws a key that does not sign.
    pub async fn retire(&self, target: &TargetName, kid: &str) -> Result<(), SigningError> {
        let mut plan = self.plan.lock().await;
        self.advance(&mut plan, Some(&Order::Retire(target, kid))).await
    }

    /// Every key of every target, oldest first.
    pub fn list(&self) -> Vec<KeyView> {
        let state = self.state.load();
        let mut all: Vec<_> = state.targets.values().flat_map(|keys| keys.views.clone()).collect();
        all.sort_by(|a, b| (&a.target, a.created_at, &a.kid).cmp(&(&b.target, b.created_at, &b.kid)));
        all
    }

    async fn advance(&self, plan: &mut Plan, order: Option<&Order<'_>>) -> Result<(), SigningError> {
        let now = self.clock.now();
        let resting = self.resting(plan, now);
        let mut order = order;
        for _ in 0..TRIES {
            let records = self.store.load_keys().await?;
            let changes = self.changes(plan, &records, order, resting, now)?;
            if changes.is_empty() {
                return self.publish(plan, &records);
            }
            if self.store.save_keys(changes).await? {
                // Read again: what is published is what is stored.
                order = None;
            }
        }
        Err(SigningError::Contended)
    }

    /// Whether the wall clock jumped so recently that periods measured by it
    /// mean nothing.
    fn resting(&self, plan: &mut Plan, now: Moment) -> bool {
        let uptime = self.clock.uptime();
        if let Some((wall, mono)) = plan.last {
            let expected = wall.plus(uptime.saturating_sub(mono));
            if now.since(expected).max(expected.since(now)) > JUMP {
                let longest = plan.targets.iter().map(|t| lifecycle::publication(t)).max();
                plan.rest_until = uptime.saturating_add(longest.unwrap_or_default());
                tracing::warn!(
                    expected = %expected, found = %now,
                    "the clock jumped; signing keys keep their phases for a while"
                );
            }
        }
        plan.last = Some((now, uptime));
        uptime < plan.rest_until
    }

    fn changes(
        &self,
        plan: &mut Plan,
        records: &[KeyRecord],
        order: Option<&Order<'_>>,
        resting: bool,
        now: Moment,
    ) -> Result<Vec<KeyChange>, SigningError> {
        let mut changes = Vec::new();
        for target in plan.targets.clone() {
            let keys: Vec<_> = records.iter().filter(|key| key.target == target.name).collect();
            let mut due = match order {
                Some(order) if *order.target() == target.name => order.due(&keys)?,
                _ => Vec::new(),
            };
            if due.is_empty() {
                let longest = longest(plan, &target);
                due = lifecycle::due(&keys, &target, longest, now);
                // After a jump only what is missing is made; nothing is moved.
                due.retain(|due| !resting || *due == Due::Make(Phase::Active));
            }
            for due in due {
                changes.push(match due {
                    Due::Make(phase) => self.make(plan, &target, phase, now)?,
                    Due::Move(kid, phase) => moved(&keys, &kid, phase, now)?,
                });
            }
        }
        if let Some(order) = order
            && !plan.targets.iter().any(|target| target.name == *order.target())
        {
            return Err(SigningError::NoSuchTarget(order.target().to_string()));
        }
        Ok(changes)
    }

    fn make(
        &self,
        plan: &mut Plan,
        target: &Target,
        phase: Phase,
        now: Moment,
    ) -> Result<KeyChange, SigningError> {
        let key = LocalKey::generate(algorithm(target.signing)).map_err(|_| SigningError::Key)?;
        let private = key.to_pkcs8().map_err(|_| SigningError::Key)?;
        let of = Of {
            target: &target.name,
            kid: key.kid(),
            signing: target.signing,
        };
        let record = KeyRecord {
            target: target.name.clone(),
            kid: key.kid().to_owned(),
            signing: target.signing,
            phase,
            created_at: now,
            since: now,
            public_jwk: key.public_jwk().to_owned(),
            sealed: self.sealer.seal(&of, &private)?,
        };
        plan.held.insert(key.kid().to_owned(), Arc::new(key));
        Ok(KeyChange { was: None, record })
    }

    /// Builds what readers see and swaps it in, whole.
    fn publish(&self, plan: &mut Plan, records: &[KeyRecord]) -> Result<(), SigningError> {
        let mut state = State::default();
        let mut in_use = HashMap::new();
        for target in plan.targets.clone() {
            let mut keys: Vec<_> =
                records.iter().filter(|key| key.target == target.name).collect();
            keys.sort_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)));
            let signs = keys
                .iter()
                .filter(|key| key.phase == Phase::Active)
                .max_by_key(|key| key.since);
            let active = match signs {
                None => None,
                Some(record) => {
                    let key = self.held(plan, record)?;
                    in_use.insert(record.kid.clone(), Arc::clone(&key));
                    Some(key as ActiveKey)
                }
            };
            let published: Vec<&str> = keys
                .iter()
                .filter(|key| key.phase != Phase::Retired)
                .map(|key| key.public_jwk.as_str())
                .collect();
            let jwks = format!(r#"{{"keys":[{}]}}"#, published.join(","));
            let longest = longest(plan, &target);
            let views = keys.iter().map(|key| view(key, &target, longest)).collect();
            let keys = TargetKeys {
                active,
                jwks: jwks.into(),
                views,
            };
            state.targets.insert(target.name.clone(), keys);
        }
        plan.held = in_use;
        self.state.store(Arc::new(state));
        Ok(())
    }

    fn held(&self, plan: &Plan, record: &KeyRecord) -> Result<Arc<LocalKey>, SigningError> {
        if let Some(key) = plan.held.get(&record.kid) {
            return Ok(Arc::clone(key));
        }
        let of = Of {
            target: &record.target,
            kid: &record.kid,
            signing: record.signing,
        };
        let private = self.sealer.unseal(&of, &record.sealed)?;
        let key = LocalKey::from_pkcs8(algorithm(record.signing), &private)
            .map_err(|_| SigningError::Key)?;
        // The row says which public key servers were shown: a private key that
        // does not belong to it would sign tokens that nobody accepts.
        if key.kid() != record.kid || key.public_jwk() != record.public_jwk {
            return Err(SigningError::Key);
        }
        Ok(Arc::new(key))
    }
}

/// A change that a person asked for.
enum Order<'a> {
    Rotate(&'a TargetName, Rotate),
    Retire(&'a TargetName, &'a str),
}

impl Order<'_> {
    fn target(&self) -> &TargetName {
        match self {
            Self::Rotate(target, _) | Self::Retire(target, _) => target,
        }
    }

    fn due(&self, keys: &[&KeyRecord]) -> Result<Vec<Due>, SigningError> {
        let of = |phase: Phase| keys.iter().filter(move |key| key.phase == phase);
        let withdraw = |key: &&KeyRecord| Due::Move(key.kid.clone(), Phase::Retired);
        match self {
            Self::Rotate(_, Rotate::Schedule) if of(Phase::Next).next().is_some() => {
                Err(SigningError::Refused("a rotation is under way: the next key is published already"))
            }
            Self::Rotate(_, Rotate::Schedule) => Ok(vec![Due::Make(Phase::Next)]),
            Self::Rotate(_, Rotate::Compromised) => {
                let mut due: Vec<_> = of(Phase::Active).map(|key| withdraw(key)).collect();
                due.push(match of(Phase::Next).next() {
                    Some(next) => Due::Move(next.kid.clone(), Phase::Active),
                    None => Due::Make(Phase::Active),
                });
                Ok(due)
            }
            Self::Retire(target, kid) => {
                let key = keys.iter().find(|key| key.kid == *kid);
                let key = key.ok_or_else(|| {
                    SigningError::NoSuchKey(target.to_string(), crate::base::text::display(kid, 64))
                })?;
                match key.phase {
                    Phase::Active => Err(SigningError::Refused(
                        "this key signs: rotate first, or rotate with --compromised",
                    )),
                    Phase::Retired => Err(SigningError::Refused("this key is retired already")),
                    Phase::Next | Phase::Retiring => Ok(vec![withdraw(key)]),
                }
            }
        }
    }
}

fn longest(plan: &Plan, target: &Target) -> Ttl {
    plan.longest.get(&target.name).copied().unwrap_or(target.max_ttl)
}

fn moved(
    keys: &[&KeyRecord],
    kid: &str,
    phase: Phase,
    now: Moment,
) -> Result<KeyChange, SigningError> {
    let key = keys.iter().find(|key| key.kid == kid).ok_or(SigningError::Key)?;
    let mut record = (*key).clone();
    record.phase = phase;
    record.since = now;
    if phase == Phase::Retired {
        // What cannot be used cannot be stolen.
        record.sealed.clear();
    }
    Ok(KeyChange {
        was: Some(key.phase),
        record,
    })
}

fn view(key: &KeyRecord, target: &Target, longest: Ttl) -> KeyView {
    KeyView {
        target: key.target.clone(),
        kid: key.kid.clone(),
        signing: key.signing,
        phase: key.phase,
        created_at: key.created_at,
        since: key.since,
        due: lifecycle::next_change(key, target, longest),
    }
}

fn algorithm(signing: TargetSigning) -> Algorithm {
    match signing {
        TargetSigning::Es256 => Algorithm::Es256,
        TargetSigning::Rs256 => Algorithm::Rs256,
    }
}
