//! The exchange in this process: without sockets, with and without durability.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use assay::{
    base::{
        BoxFuture,
        clock::{Clock, Moment, SystemClock},
        outbound::HttpsClient,
        random::SystemRandom,
    },
    config::Plan,
    exchange::{BudgetLimits, Caller, Exchange, Form, Meters, Parts, Rate, World},
    keys::Keyring,
    ledger::{
        ChainState, Chained, Entry, Lease, Ledger, LedgerError, Query, Record, Sqlite, Switch,
        Switches,
    },
    signing::{KeyChange, KeyRecord, KeyStore, KeyStoreError, Signing},
};

use super::load::Figures;

/// Runs exchanges for a while, 32 at once on one thread.
pub(crate) fn run(config: &Path, forms: &[Vec<u8>], durable: bool, length: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let exchange = Arc::new(exchange(config, durable).await);
        let forms: Arc<Vec<Vec<u8>>> = Arc::new(forms.to_vec());
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let clock = Arc::new(SystemClock::new());
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (exchange, forms) = (Arc::clone(&exchange), Arc::clone(&forms));
                let (next, clock) = (Arc::clone(&next), Arc::clone(&clock));
                tokio::spawn(async move {
                    let caller = Caller {
                        address: IpAddr::from([127, 0, 0, 1]),
                        user_agent: None,
                    };
                    let mut times = Vec::new();
                    let mut refused = 0;
                    while clock.uptime() < length {
                        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let begin = clock.uptime();
                        let form = Form::parse(&forms[at % forms.len()]).expect("a form");
                        let answer = exchange.run(&form, &caller, exchange.request_id()).await;
                        refused += usize::from(answer.status != 200);
                        let took = clock.uptime() - begin;
                        times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                        tokio::task::yield_now().await;
                    }
                    (times, refused)
                })
            })
            .collect();
        let mut times = Vec::new();
        let mut refused = 0;
        for task in tasks {
            let (mine, bad) = task.await.expect("a task");
            times.extend(mine);
            refused += bad;
        }
        super::load::figures(times, refused, clock.uptime())
    })
}

async fn exchange(config: &Path, durable: bool) -> Exchange {
    let plan = match Plan::load(config) {
        Ok(plan) => plan,
        Err(found) => panic!(
            "{}",
            found.iter().map(ToString::to_string).collect::<String>()
        ),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let folder = config.parent().expect("a folder");
    let ledger = folder.join(if durable { "inside.db" } else { "keys.db" });
    let sqlite = Sqlite::open(&ledger, Arc::clone(&clock)).expect("a ledger");
    let key = plan.broker().key_encryption.resolve().expect("a key");
    let store = Arc::clone(&sqlite) as Arc<dyn KeyStore>;
    let signing = Signing::open(store, &key, Arc::clone(&clock)).expect("signing keys");
    signing.apply(plan.targets()).await.expect("signing keys");
    let random = Arc::new(SystemRandom);
    let keyring = Keyring::new(Arc::clone(&clock), random, Arc::new(HttpsClient::new()));
    let handles = keyring.apply(&plan.key_specs());
    let rate = Rate {
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    Exchange::new(Parts {
        world: World {
            issuer: plan.broker().issuer.clone(),
            registry: plan.registry(&handles),
            policy: Arc::clone(plan.policy()),
            max_token: 16 * 1024,
        },
        ledger: match durable {
            true => sqlite,
            false => Arc::new(Forgetful(sqlite)),
        },
        signing,
        clock,
        random: Arc::new(SystemRandom),
        budgets: BudgetLimits {
            identity: rate,
            trust_domain: rate,
            target: rate,
        },
        deadline: Duration::from_secs(5),
        meters: Arc::new(Meters::default()),
    })
}

/// A ledger that remembers keys and nothing else.
struct Forgetful(Arc<Sqlite>);

impl KeyStore for Forgetful {
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        self.0.load_keys()
    }

    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>> {
        self.0.save_keys(changes)
    }
}

impl Ledger for Forgetful {
    fn commit(&self, _: Entry) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async { Ok(()) })
    }

    fn switches(&self) -> Arc<Switches> {
        self.0.switches()
    }

    fn set_switch(
        &self,
        switch: Switch,
        on: bool,
        audit: Record,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.set_switch(switch, on, audit)
    }

    fn audit(&self, query: Query) -> BoxFuture<'_, Result<Vec<Chained>, LedgerError>> {
        self.0.audit(query)
    }

    fn verify_chain(&self) -> BoxFuture<'_, Result<ChainState, LedgerError>> {
        self.0.verify_chain()
    }

    fn leases(
        &self,
        live_at: Moment,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Lease>, LedgerError>> {
        self.0.leases(live_at, limit)
    }

    fn healthy(&self) -> bool {
        true
    }

    fn prune(&self, now: Moment) -> BoxFuture<'_, Result<u64, LedgerError>> {
        self.0.prune(now)
    }
}
