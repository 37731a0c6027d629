//! The keys as they are now, and how they change.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::{
    base::{
        clock::{Clock, Moment},
        secret::Secret,
        text,
    },
    jose::{Algorithm, LocalKey, Signer as _},
    model::{Target, TargetName, TargetSigning, Ttl},
};

use super::{
    ActiveKey, KeyChange, KeyRecord, KeyStore, KeyView, Phase, SigningError,
    age::Ages,
    lifecycle::{self, Aged, Step},
    seal::{Owner, Sealer},
    view::{TargetKeys, View},
};

/// How often a change is tried again when another process was first.
const TRIES: usize = 5;
/// Most transactions of one call: each step of a rotation is one.
const ROUNDS: usize = 20;

/// What rotation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// Publish a next key now, if there is none; it takes over when it has
    /// been published long enough.
    Schedule,
    /// The active key is in wrong hands. The next key, or a new one, takes over
    /// at once and the old one is withdrawn at once: live tokens by it are
    /// refused, and a server accepts new ones from its next refresh.
    Compromised,
}

/// Our keys, read without a lock.
pub struct Signing {
    store: Arc<dyn KeyStore>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    view: ArcSwap<View>,
    /// The latest wall-clock time that a token may have been signed at, in
    /// milliseconds: the clock may have gone back since.
    latest: AtomicI64,
    /// One change at a time, and what changes need to know.
    keeper: Mutex<Keeper>,
}

#[derive(Default)]
struct Keeper {
    targets: Vec<Arc<Target>>,
    ages: Ages,
    /// Keys that were unsealed before, by target and kid.
    held: HashMap<(TargetName, String), Held>,
}

/// An unsealed key, and the envelope that it came out of.
#[derive(Clone)]
struct Held {
    sealed: Vec<u8>,
    signing: TargetSigning,
    key: Arc<LocalKey>,
    longest: Ttl,
}

/// A change that a person asked for.
#[derive(Clone, Copy)]
enum Order<'a> {
    Rotate(&'a TargetName, Rotate),
    Retire(&'a TargetName, &'a str),
}

impl Signing {
    /// Takes the store and the key-encryption key. There are keys after
    /// [`apply`](Self::apply).
    pub fn open(
        store: Arc<dyn KeyStore>,
        key_encryption_key: &Secret,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, SigningError> {
        Ok(Arc::new(Self {
            store,
            sealer: Sealer::new(key_encryption_key)?,
            clock,
            view: ArcSwap::default(),
            latest: AtomicI64::new(i64::MIN),
            keeper: Mutex::default(),
        }))
    }

    /// Takes on a plan's targets, makes the keys that are missing, and does
    /// what is due. On failure the targets from before stay: a plan whose
    /// lifetimes could not be noted must not be used.
    pub async fn apply(&self, targets: &[Arc<Target>]) -> Result<(), SigningError> {
        let mut keeper = self.keeper.lock().await;
        self.advance(&mut keeper, targets, None).await?;
        keeper.targets = targets.to_vec();
        Ok(())
    }

    /// Reads the store again, since another process may have rotated, and does
    /// what is due. To be called every few seconds: a process that has not
    /// read the store for too long neither signs nor publishes.
    pub async fn tick(&self) -> Result<(), SigningError> {
        let mut keeper = self.keeper.lock().await;
        let targets = keeper.targets.clone();
        self.advance(&mut keeper, &targets, None).await
    }

    /// The key that signs for a target now.
    pub fn active(&self, target: &TargetName) -> Option<ActiveKey> {
        let now = self.now();
        let view = self.view.load();
        let keys = view.get(target.as_str(), now, self.clock.uptime())?;
        Some(Arc::clone(&keys.active))
    }

    /// The key set that the target's servers read, from memory: next, active
    /// and retiring keys. Never without a key, and never one that another
    /// process may have moved on from: an answer that is no key set leaves
    /// servers with the keys that they have, an old set would take some away.
    pub fn jwks(&self, target: &str) -> Option<Bytes> {
        let view = self.view.load();
        let keys = view.get(target, self.clock.now(), self.clock.uptime())?;
        Some(keys.jwks.clone())
    }

    /// Begins a rotation.
    pub async fn rotate(&self, target: &TargetName, how: Rotate) -> Result<(), SigningError> {
        self.order(Order::Rotate(target, how)).await
    }

    /// Withdraws a key that does not sign, before its time.
    pub async fn retire(&self, target: &TargetName, kid: &str) -> Result<(), SigningError> {
        self.order(Order::Retire(target, kid)).await
    }

    /// Every key of every target, by target and then oldest first, as of the
    /// last reading of the store.
    pub fn list(&self) -> Vec<KeyView> {
        let view = self.view.load();
        let keys = view.targets.values();
        let mut all: Vec<_> = keys.flat_map(|keys| keys.listed.iter().cloned()).collect();
        all.sort_by(|a, b| {
            (&a.target, a.created_at, &a.kid).cmp(&(&b.target, b.created_at, &b.kid))
        });
        all
    }

    async fn order(&self, order: Order<'_>) -> Result<(), SigningError> {
        let mut keeper = self.keeper.lock().await;
        let targets = keeper.targets.clone();
        if !targets.iter().any(|t| t.name == *order.target()) {
            return Err(SigningError::NoSuchTarget(order.target().to_string()));
        }
        self.advance(&mut keeper, &targets, Some(order)).await
    }

    /// Wall-clock time, remembered if it is the latest so far.
    fn now(&self) -> Moment {
        let now = self.clock.now();
        if now.millis() > self.latest.load(Ordering::Relaxed) {
            self.latest.fetch_max(now.millis(), Ordering::Relaxed);
        }
        now
    }

    /// Reads, does what is due, reads again; what is published is what is stored.
    async fn advance(
        &self,
        keeper: &mut Keeper,
        targets: &[Arc<Target>],
        mut order: Option<Order<'_>>,
    ) -> Result<(), SigningError> {
        let mut lost = 0;
        for _ in 0..ROUNDS {
            let (now, uptime) = (self.now(), self.clock.uptime());
            let records = self.store.load_keys().await?;
            keeper.ages.observe(&records, now, uptime);
            self.unseal_new(keeper, targets, &records)?;
            let mut view = View {
                uptime,
                wall: now,
                ..View::default()
            };
            let mut changes = Vec::new();
            for target in targets {
                let keys: Vec<_> = records.iter().filter(|k| k.target == target.name).collect();
                let aged = keeper.aged(&keys, uptime);
                let steps = match order.filter(|o| *o.target() == target.name) {
                    Some(order) => order.steps(&keys)?,
                    None => lifecycle::due(&aged, target, now),
                };
                for step in steps {
                    changes.push(self.change(keeper, target, &keys, step, now).await?);
                }
                if let Some(keys) = keeper.publish(target, &keys) {
                    view.targets.insert(target.name.clone(), keys);
                }
            }
            // An order that leaves nothing to do is done.
            if changes.is_empty() && order.take().is_none() {
                self.view.store(Arc::new(view));
                return Ok(());
            }
            if !changes.is_empty() {
                let said = changes.clone();
                if self.store.save_keys(changes).await? {
                    order = None;
                    said.iter().for_each(tell);
                } else {
                    lost += 1;
                }
            }
            if lost == TRIES {
                break;
            }
        }
        Err(SigningError::Contended)
    }

    /// Unseals what was not held yet, for these targets, and forgets the rest.
    fn unseal_new(
        &self,
        keeper: &mut Keeper,
        targets: &[Arc<Target>],
        records: &[KeyRecord],
    ) -> Result<(), SigningError> {
        let mut held = HashMap::new();
        for record in records {
            let wanted = targets.iter().any(|t| t.name == record.target);
            if !wanted || record.phase == Phase::Retired {
                continue;
            }
            let id = (record.target.clone(), record.kid.clone());
            let known = keeper
                .held
                .get(&id)
                .filter(|h| h.sealed == record.sealed && h.signing == record.signing);
            let key = match known {
                Some(known) => known.clone(),
                None => self.unseal(record)?,
            };
            held.insert(id, key);
        }
        keeper.held = held;
        Ok(())
    }

    fn unseal(&self, record: &KeyRecord) -> Result<Held, SigningError> {
        let (private, longest) = self.sealer.unseal(&owner(record), &record.sealed)?;
        let key = LocalKey::from_pkcs8(algorithm(record.signing), &private)
            .map_err(|_| SigningError::Key)?;
        if key.kid() != record.kid {
            return Err(SigningError::Sealed);
        }
        Ok(Held {
            sealed: record.sealed.clone(),
            signing: record.signing,
            key: Arc::new(key),
            longest,
        })
    }

    async fn change(
        &self,
        keeper: &Keeper,
        target: &Target,
        keys: &[&KeyRecord],
        step: Step,
        now: Moment,
    ) -> Result<KeyChange, SigningError> {
        let find = |kid: &str| {
            let found = keys.iter().find(|k| k.kid == kid);
            found.map(|k| (*k).clone()).ok_or(SigningError::Key)
        };
        match step {
            Step::Make(phase) => {
                let record = self.make(target, phase, now).await?;
                Ok(KeyChange { was: None, record })
            }
            Step::Lengthen(kid) => {
                let mut record = find(&kid)?;
                let held = keeper.held.get(&(record.target.clone(), kid));
                let key = &held.ok_or(SigningError::Key)?.key;
                let private = key.to_pkcs8().map_err(|_| SigningError::Key)?;
                record.sealed = self
                    .sealer
                    .seal(&owner(&record), target.max_ttl, &private)?;
                Ok(KeyChange {
                    was: Some(record.phase),
                    record,
                })
            }
            Step::Move(kid, phase) => {
                let mut record = find(&kid)?;
                let was = Some(record.phase);
                record.since = match phase {
                    // Tokens may have been signed by a clock that has gone back since.
                    Phase::Retiring => now
                        .max(record.since)
                        .max(Moment::from_millis(self.latest.load(Ordering::Relaxed))),
                    _ => now,
                };
                record.phase = phase;
                if phase == Phase::Retired {
                    // What is not there cannot be stolen.
                    record.sealed.clear();
                }
                Ok(KeyChange { was, record })
            }
        }
    }

    async fn make(
        &self,
        target: &Target,
        phase: Phase,
        now: Moment,
    ) -> Result<KeyRecord, SigningError> {
        let wanted = algorithm(target.signing);
        // Finding the primes of an RSA key takes long enough to be felt by requests.
        let key = tokio::task::spawn_blocking(move || LocalKey::generate(wanted))
            .await
            .map_err(|_| SigningError::Key)?
            .map_err(|_| SigningError::Key)?;
        let private = key.to_pkcs8().map_err(|_| SigningError::Key)?;
        let mut record = KeyRecord {
            target: target.name.clone(),
            kid: key.kid().to_owned(),
            signing: target.signing,
            phase,
            created_at: now,
            since: now,
            public_jwk: key.public_jwk().to_owned(),
            sealed: Vec::new(),
        };
        record.sealed = self
            .sealer
            .seal(&owner(&record), target.max_ttl, &private)?;
        Ok(record)
    }
}

impl Keeper {
    fn held(&self, record: &KeyRecord) -> Option<&Held> {
        self.held.get(&(record.target.clone(), record.kid.clone()))
    }

    fn aged<'r>(&self, keys: &[&'r KeyRecord], uptime: std::time::Duration) -> Vec<Aged<'r>> {
        keys.iter()
            .filter_map(|record| {
                Some(Aged {
                    record,
                    age: self.ages.of(record, uptime),
                    longest: self.held(record)?.longest,
                })
            })
            .collect()
    }

    /// What readers see of a target; nothing while it has no key that signs.
    fn publish(&self, target: &Target, keys: &[&KeyRecord]) -> Option<TargetKeys> {
        let mut keys = keys.to_vec();
        keys.sort_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)));
        let active = keys.iter().find(|k| k.phase == Phase::Active)?;
        let published: Vec<&str> = keys
            .iter()
            .filter_map(|k| Some(self.held(k)?.key.public_jwk()))
            .collect();
        let active = Arc::clone(&self.held(active)?.key);
        Some(TargetKeys {
            active,
            jwks: format!(r#"{{"keys":[{}]}}"#, published.join(",")).into(),
            limit: lifecycle::view_limit(target),
            listed: keys.iter().map(|key| self.show(key, target)).collect(),
        })
    }

    fn show(&self, key: &KeyRecord, target: &Target) -> KeyView {
        KeyView {
            target: key.target.clone(),
            kid: key.kid.clone(),
            signing: key.signing,
            phase: key.phase,
            created_at: key.created_at,
            since: key.since,
            due: lifecycle::change_at(key, target, self.held(key).map(|h| h.longest)),
        }
    }
}

impl Order<'_> {
    const fn target(&self) -> &TargetName {
        match self {
            Self::Rotate(target, _) | Self::Retire(target, _) => target,
        }
    }

    fn steps(&self, keys: &[&KeyRecord]) -> Result<Vec<Step>, SigningError> {
        let of = |phase: Phase| keys.iter().filter(move |key| key.phase == phase);
        let next = of(Phase::Next).min_by_key(|key| (key.created_at, &key.kid));
        match self {
            Self::Rotate(_, Rotate::Schedule) => Ok(match next {
                Some(_) => Vec::new(),
                None => vec![Step::Make(Phase::Next)],
            }),
            Self::Rotate(_, Rotate::Compromised) => {
                let mut steps: Vec<_> = of(Phase::Active)
                    .map(|key| Step::Move(key.kid.clone(), Phase::Retired))
                    .collect();
                steps.push(match next {
                    Some(next) => Step::Move(next.kid.clone(), Phase::Active),
                    None => Step::Make(Phase::Active),
                });
                Ok(steps)
            }
            Self::Retire(target, kid) => {
                let key = keys.iter().find(|key| key.kid == *kid).ok_or_else(|| {
                    SigningError::NoSuchKey(target.to_string(), text::display(kid, 64))
                })?;
                match key.phase {
                    Phase::Active => Err(SigningError::Refused(
                        "this key signs: rotate first, or rotate because it is compromised",
                    )),
                    Phase::Retired => Ok(Vec::new()),
                    Phase::Next | Phase::Retiring => {
                        Ok(vec![Step::Move(key.kid.clone(), Phase::Retired)])
                    }
                }
            }
        }
    }
}

const fn owner(record: &KeyRecord) -> Owner<'_> {
    Owner {
        target: &record.target,
        kid: record.kid.as_str(),
        signing: record.signing,
    }
}

const fn algorithm(signing: TargetSigning) -> Algorithm {
    match signing {
        TargetSigning::Es256 => Algorithm::Es256,
        TargetSigning::Rs256 => Algorithm::Rs256,
    }
}

fn tell(change: &KeyChange) {
    let KeyChange { was, record } = change;
    tracing::info!(
        target_name = %record.target,
        kid = record.kid,
        from = was.map_or("none", Phase::as_str),
        to = record.phase.as_str(),
        "signing key changed"
    );
}
