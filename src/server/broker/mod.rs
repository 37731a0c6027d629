//! The broker: a plan, brought to life.
//!
//! Everything that lives as long as the process is put together here, in the
//! order in which one thing needs another, and kept fresh here: keys of others,
//! our own keys, the plan itself. The commands and the tests start the same
//! broker; they differ in the clock and the files that they hand in.

mod app;
mod gauges;
mod metadata;
mod upkeep;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;

use crate::{
    base::{clock::Clock, outbound::Outbound, random::Random},
    config::{self, Change, Diagnostic, Plan, Reload},
    exchange::{BudgetLimits, Exchange, Meters, Parts, Rate, World},
    keys::Keyring,
    ledger::{Chained, Ledger, LedgerError, Query, Sqlite},
    signing::{KeyStore, Signing, SigningError},
};

use super::{Kind, Limits, Listener, Server, ServerError, Settings, Stop, TlsFiles, Transport};

use app::Application;

/// What a broker takes from the outside world.
pub struct Outside {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The way to issuers.
    pub outbound: Arc<dyn Outbound>,
    /// Where to write the bound URLs when the listeners are ready.
    pub ready_file: Option<PathBuf>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The files are not in order.
    #[error("the configuration is not in order")]
    Config(Vec<Diagnostic>),
    /// The key-encryption key could not be read.
    #[error("keyEncryption.key: {0}")]
    KeyEncryption(std::io::Error),
    /// The ledger could not be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The signing keys could not be loaded or made.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A listener could not be opened.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// A running broker.
pub struct Broker {
    server: Server,
    life: Arc<Life>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What lives as long as the process.
struct Life {
    clock: Arc<dyn Clock>,
    exchange: Arc<Exchange>,
    keyring: Arc<Keyring>,
    signing: Arc<Signing>,
    ledger: Arc<dyn Ledger>,
    plan: ArcSwap<Plan>,
    reload: Mutex<Reload>,
    /// What was last wrong with the files, if they are not in order now.
    faults: ArcSwap<Vec<String>>,
    clock_jump: ArcSwap<Option<String>>,
    signing_fault: ArcSwap<Option<String>>,
}

impl Broker {
    /// Loads the plan, opens the ledger, makes or loads the signing keys, and
    /// begins to serve. Issuers that cannot be reached do not keep it from
    /// starting: their keys are fetched in the background.
    pub async fn start(path: &Path, outside: Outside) -> Result<Self, StartError> {
        let plan = Plan::load(path).map_err(StartError::Config)?;
        Self::on(plan, path, outside).await
    }

    /// The same on a plan that was loaded from `path` just now.
    pub async fn on(plan: Plan, path: &Path, outside: Outside) -> Result<Self, StartError> {
        let settings = settings(plan.broker(), outside.ready_file.clone());
        let key = (plan.broker().key_encryption.resolve()).map_err(StartError::KeyEncryption)?;
        let ledger = Sqlite::open(&plan.broker().ledger, Arc::clone(&outside.clock))?;
        let store = Arc::clone(&ledger) as Arc<dyn KeyStore>;
        let signing = Signing::open(store, &key, Arc::clone(&outside.clock))?;
        signing.apply(plan.targets()).await?;
        let keyring = Keyring::new(
            Arc::clone(&outside.clock),
            Arc::clone(&outside.random),
            Arc::clone(&outside.outbound),
        );
        let meters = Arc::new(Meters::default());
        let exchange = Arc::new(Exchange::new(Parts {
            world: world(&plan, &keyring),
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            signing: Arc::clone(&signing),
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            budgets: budgets(&plan.broker().budgets),
            deadline: plan.broker().limits.exchange.duration(),
            meters: Arc::clone(&meters),
        }));
        let life = Arc::new(Life {
            clock: Arc::clone(&outside.clock),
            exchange,
            keyring,
            signing,
            ledger,
            reload: Mutex::new(Reload::new(path.to_owned(), &plan)),
            plan: ArcSwap::from_pointee(plan),
            faults: ArcSwap::default(),
            clock_jump: ArcSwap::default(),
            signing_fault: ArcSwap::default(),
        });
        let app = Arc::new(Application::new(Arc::clone(&life), &meters));
        let server = Server::start(settings, app, outside.clock, outside.random).await?;
        let tasks = upkeep::spawn(&life);
        Ok(Self {
            server,
            life,
            tasks,
        })
    }

    /// The address of a listener.
    pub fn address(&self, kind: Kind) -> Option<SocketAddr> {
        self.server.address(kind)
    }

    /// The URL of each listener by its name.
    pub fn urls(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.server.urls()
    }

    /// Loads the files again (SIGHUP). Says what is wrong with them, if
    /// anything is; then the old plan stays.
    pub async fn reload(&self) -> Result<(), Vec<Diagnostic>> {
        // A certificate that cannot be taken is logged by its own watcher.
        let _ = self.server.reload_certificates();
        self.life.reload(Reload::force).await
    }

    /// Fetches all keys of others that are due, and waits for them.
    pub async fn refresh_keys(&self) {
        self.life.keyring.refresh_due().await;
    }

    /// The audit records that match, in the order of the chain.
    pub async fn audit(&self, query: Query) -> Result<Vec<Chained>, LedgerError> {
        self.life.ledger.audit(query).await
    }

    /// Looks after our own keys now, instead of at the next turn.
    pub async fn tick_signing(&self) -> Result<(), SigningError> {
        self.life.signing.tick().await
    }

    /// Shuts down politely; says whether every request could be answered.
    pub async fn drain(self, stop: Stop) -> bool {
        let clean = self.server.drain(stop).await;
        for task in self.tasks {
            task.abort();
        }
        clean
    }
}

impl Life {
    /// Polls or forces a reload, off the serving threads, and takes on what
    /// comes of it.
    async fn reload(
        self: &Arc<Self>,
        how: fn(&mut Reload) -> Change,
    ) -> Result<(), Vec<Diagnostic>> {
        let life = Arc::clone(self);
        let change = tokio::task::spawn_blocking(move || {
            let mut reload = life
                .reload
                .lock()
                .unwrap_or_else(|broken| broken.into_inner());
            how(&mut reload)
        })
        .await
        .unwrap_or(Change::None);
        match change {
            Change::None => Ok(()),
            Change::Restored => {
                self.faults.store(Arc::default());
                tracing::info!("the configuration is in order again");
                Ok(())
            }
            Change::Plan(plan) => {
                self.take_on(*plan).await;
                Ok(())
            }
            Change::Faulty(found) => {
                let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
                if **self.faults.load() != lines {
                    for line in &lines {
                        tracing::error!(problem = %line, "the configuration changed and is not in order; the old plan stays");
                    }
                    self.faults.store(Arc::new(lines));
                }
                Err(found)
            }
        }
    }

    async fn take_on(self: &Arc<Self>, plan: Plan) {
        self.faults.store(Arc::default());
        let old = self.plan.load_full();
        if fixed(old.broker()) != fixed(plan.broker()) {
            tracing::warn!(
                "listen, tls, ledger, keyEncryption, limits, budgets, drain or telemetry changed: that part needs a restart"
            );
        }
        // Keys first: a new target must be able to sign before it can be asked for.
        if let Err(fault) = self.signing.apply(plan.targets()).await {
            tracing::error!(%fault, "the new plan needs signing keys that could not be made; the old plan stays");
            self.faults.store(Arc::new(vec![fault.to_string()]));
            return;
        }
        self.exchange.replace(world(&plan, &self.keyring));
        tracing::info!(digest = plan.digest(), "took on the new configuration");
        self.plan.store(Arc::new(plan));
    }
}

/// The parts of the file that are read at start only.
fn fixed(broker: &config::Broker) -> impl PartialEq {
    (
        broker.listen,
        broker.transport.clone(),
        broker.ledger.clone(),
        broker.key_encryption.clone(),
        broker.limits,
        (broker.budgets, broker.telemetry, broker.drain),
    )
}

fn world(plan: &Plan, keyring: &Keyring) -> World {
    let handles = keyring.apply(&plan.key_specs());
    World {
        issuer: plan.broker().issuer.clone(),
        registry: plan.registry(&handles),
        policy: Arc::clone(plan.policy()),
        max_token: plan.broker().limits.token_bytes,
    }
}

fn settings(broker: &config::Broker, ready_file: Option<PathBuf>) -> Settings {
    let transport = match &broker.transport {
        config::broker::Transport::Tls {
            certificate,
            private_key,
        } => Transport::Tls(TlsFiles {
            certificate: certificate.clone(),
            key: private_key.clone(),
        }),
        config::broker::Transport::PlaintextOnLoopback => Transport::PlainLoopback,
    };
    let listener = |address, transport: &Transport| {
        Some(Listener {
            address,
            transport: transport.clone(),
        })
    };
    Settings {
        public: listener(broker.listen.public, &transport),
        admin: listener(broker.listen.admin, &Transport::PlainLoopback),
        telemetry: Some(broker.listen.telemetry),
        limits: limits(broker),
        ready_file,
    }
}

fn limits(broker: &config::Broker) -> Limits {
    let configured = &broker.limits;
    let rate = super::Rate {
        per_second: broker.budgets.per_address.rate,
        burst: broker.budgets.per_address.burst,
    };
    Limits {
        connections: configured.connections,
        connections_per_address: configured.connections_per_address,
        connection_rate: Some(rate),
        request_rate: Some(rate),
        body: configured.body_bytes,
        head: configured.header_bytes,
        handshake: configured.tls_handshake.duration(),
        head_timeout: configured.header_read.duration(),
        body_timeout: configured.body_read.duration(),
        idle: configured.idle.duration(),
        drain_notice: broker.drain.delay.duration(),
        drain: broker.drain.deadline.duration(),
        ..Limits::default()
    }
}

fn budgets(budgets: &config::broker::Budgets) -> BudgetLimits {
    let rate = |budget: config::broker::Budget| Rate {
        per_second: budget.rate,
        burst: budget.burst,
    };
    BudgetLimits {
        identity: rate(budgets.per_identity),
        trust_domain: rate(budgets.per_trust_domain),
        target: rate(budgets.per_target),
    }
}
