//! How the keyring takes what issuers do, over real sockets: the catalogue's
//! cases about discovery and key sets, by their ids.

mod documents;
mod refresh;
#[path = "../support/mod.rs"]
mod support;
mod transport;

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use assay::{
    base::{
        clock::{Clock as _, ManualClock, Moment},
        outbound::{FetchError, HttpsClient, Outbound as _, Request},
        random::SystemRandom,
    },
    jose::{Compact, KeyUse, Lookup},
    keys::{Handle, Keyring, Limits, Source, Spec},
    model::IssuerUrl,
};
use serde_json::json;
use support::{
    fake_issuer::{Accept, Answer, BUNDLE, DISCOVERY, FakeIssuer, JWKS},
    tls::{Ca, Leaf},
    tokens::{self, TestKey, Token},
};

const NOW: Moment = Moment::from_secs(1_790_000_000);
/// Only a machine that stands still takes this long; cases that wait for the
/// deadline set their own.
const DEADLINE: Duration = Duration::from_secs(30);

/// An issuer, and a keyring that knows it under one trust domain.
struct Rig {
    issuer: FakeIssuer,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
}

impl Rig {
    async fn start() -> Self {
        Self::with_deadline(DEADLINE).await
    }

    async fn with_deadline(deadline: Duration) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let limits = Limits {
            deadline,
            ..Limits::default()
        };
        let keyring = Keyring::with_limits(
            clock.clone(),
            Arc::new(SystemRandom),
            Arc::new(HttpsClient::new()),
            limits,
        );
        Self {
            issuer: FakeIssuer::start().await,
            clock,
            keyring,
        }
    }

    fn apply(&self, spec: &Spec) -> Handle {
        let name = "corp".parse().expect("a name");
        let specs = BTreeMap::from([(name, spec.clone())]);
        let mut handles = self.keyring.apply(&specs).into_values();
        handles.next().expect("one handle for one spec")
    }

    /// The issuer's keys, fetched well once.
    async fn warm(&self) -> Handle {
        let handle = self.apply(&self.issuer.spec());
        self.keyring.refresh_due().await;
        assert_eq!(handle.health().last_error, None);
        assert!(handle.usable(self.clock.now()));
        handle
    }

    /// Fetches again, as if the interval had passed.
    async fn again(&self) {
        self.clock.advance(Duration::from_secs(3601));
        self.keyring.refresh_due().await;
    }

    fn token(&self, key: &TestKey) -> String {
        key.token(&self.issuer.claims(NOW, "https://broker.example", "wl:ok"))
    }

    /// The misbehaviour is refused cold and warm; the last good set stays; and
    /// when the issuer behaves again, so do we.
    async fn refuses(&self, misbehave: impl Fn(&FakeIssuer), because: &str) {
        let good = self.issuer.key();
        misbehave(&self.issuer);
        let cold = self.apply(&self.issuer.spec());
        self.keyring.refresh_due().await;
        assert_error(&cold, because);
        assert!(!cold.usable(self.clock.now()), "cold: {because}");
        assert!(cold.snapshot().keys.is_empty());

        self.behave(&good);
        let warm = self.warm().await;
        misbehave(&self.issuer);
        self.again().await;
        assert_error(&warm, because);
        assert!(accepts(&warm, &self.token(&good)), "warm: {because}");
        assert!(warm.usable(self.clock.now()));

        self.behave(&good);
        self.again().await;
        assert_eq!(warm.health().last_error, None, "after {because}");
        self.keyring.apply(&BTreeMap::new());
    }

    fn behave(&self, key: &Arc<TestKey>) {
        let issuer = &self.issuer;
        issuer.accept(Accept::Tls);
        issuer.present(&issuer.ca().server(&["127.0.0.1", "localhost"]));
        issuer.answer(DISCOVERY, Answer::json(issuer.discovery_document()));
        issuer.publish(&[Arc::clone(key)]);
    }
}

fn assert_error(handle: &Handle, because: &str) {
    let error = handle.health().last_error.unwrap_or_default();
    assert!(
        error.contains(because),
        "`{error}` does not say `{because}`"
    );
}

/// Whether the token verifies under the handle's keys as they are.
fn accepts(handle: &Handle, token: &str) -> bool {
    let compact = Compact::parse(token, 16 * 1024).expect("well formed");
    let snapshot = handle.snapshot();
    match snapshot.keys.lookup(compact.header().kid.as_deref()) {
        Lookup::Found(key) => compact.verify(key).is_ok(),
        Lookup::Unknown | Lookup::Ambiguous => false,
    }
}

/// The same, with the refresh that a request makes.
async fn accepts_after_refresh(handle: &Handle, token: &str) -> bool {
    let seen = handle.snapshot();
    accepts(handle, token) || (handle.refresh_for_token(&seen).await && accepts(handle, token))
}

fn key(kid: &str) -> Arc<TestKey> {
    Arc::new(TestKey::es256(kid))
}
