//! K: what changes while an exchange is under way.
//!
//! The issuer is told to hold back its keys, so that an exchange stands still
//! between its first look at the switches and its decision; then the world is
//! changed under it.

use std::sync::Arc;

use assay::{ledger::Switch, model::Reason as R};
use http::Request;
use serde_json::Value;

use crate::{
    rig::Rig,
    support::{
        broker::{RULES, Reply},
        fake_issuer::{Gate, JWKS},
        tokens::TestKey,
    },
};

impl Rig {
    /// A token that no key in memory verifies: its exchange waits for the gate.
    fn new_key(&self) -> (String, Gate) {
        let issuer = &self.broker.issuer;
        let key = Arc::new(TestKey::es256("key-2"));
        issuer.publish(&[issuer.key(), Arc::clone(&key)]);
        (key.token(&self.broker.claims("wl:ok")), issuer.hold(JWKS))
    }

    /// Exchanges the token, and does `change` while the exchange stands still.
    async fn meanwhile(&self, change: impl AsyncFnOnce(&Self)) -> (String, Reply) {
        let (token, mut gate) = self.new_key();
        let interrupt = async {
            gate.arrived(1).await;
            change(self).await;
            gate.open();
        };
        let (reply, ()) = tokio::join!(self.broker.exchange(&token), interrupt);
        (token, reply)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_04_nothing_changes_and_the_exchange_goes_on() {
    let rig = Rig::start().await;
    let (_, reply) = rig.meanwhile(async |_| {}).await;
    reply.minted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_05_a_rule_removed_meanwhile_grants_nothing() {
    let rig = Rig::start().await;
    let (token, reply) = rig
        .meanwhile(async |rig| {
            let rules = RULES.replace("wl:ok", "wl:someone-else");
            rig.broker.files.oidc(
                "issuer-a",
                &rig.broker.issuer,
                "    singleUse: true\n",
                &rules,
            );
            rig.broker
                .broker
                .reload()
                .await
                .expect("the files are in order");
        })
        .await;
    let record = rig
        .is_recorded_refusal("removed", &reply, R::RuleNoMatch)
        .await;
    assert_eq!(rig.credentials().await, 0);
    // Recorded under the plan that refused, and nothing was burnt.
    rig.broker.files.oidc(
        "issuer-a",
        &rig.broker.issuer,
        "    singleUse: true\n",
        RULES,
    );
    rig.broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    let granted = rig.grants("back again", &token).await;
    assert_ne!(record["policy"], granted["policy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_06_a_role_narrowed_meanwhile_is_granted_narrow() {
    let rig = Rig::start().await;
    let (_, reply) = rig
        .meanwhile(async |rig| {
            let rules = RULES.replace(
                "\"wl:ok\" }, grant: { role: worker }",
                "\"wl:ok\" }, grant: { role: reader }",
            );
            assert_ne!(rules, RULES);
            rig.broker.files.oidc(
                "issuer-a",
                &rig.broker.issuer,
                "    singleUse: true\n",
                &rules,
            );
            rig.broker
                .broker
                .reload()
                .await
                .expect("the files are in order");
        })
        .await;
    let claims = crate::support::broker::claims_of(&reply.minted());
    assert_eq!(claims["permissions"], serde_json::json!(["payments:read"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_07_a_switch_thrown_meanwhile_stops_the_exchange() {
    for switch in [
        Switch::TrustDomain("issuer-a".into()),
        Switch::Rule {
            trust_domain: "issuer-a".into(),
            rule: "worker".into(),
        },
        Switch::Subject("issuer-a:wl:ok".into()),
        Switch::Target("prod".into()),
    ] {
        let rig = Rig::start().await;
        let (token, reply) = rig
            .meanwhile(async |rig| rig.switch(switch.clone(), true).await)
            .await;
        crate::rig::is_refusal(&switch.to_string(), &reply, R::Disabled);
        assert_eq!(rig.credentials().await, 0, "{switch}");
        let refused: Vec<_> = rig
            .records()
            .await
            .into_iter()
            .filter(|r| r["kind"] == "exchange")
            .collect();
        assert_eq!(refused.len(), 1, "{switch}: {refused:?}");
        rig.switch(switch.clone(), false).await;
        rig.settled(&token).await;
    }
}

impl Rig {
    /// Waits until a switch that was turned off is off here, too.
    async fn settled(&self, token: &str) {
        let until_granted = async {
            while self.broker.exchange(token).await.reason() == "DISABLED" {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), until_granted)
            .await
            .expect("a switch is seen within 5 s");
        let last = self.records().await.pop().expect("it is recorded");
        assert_eq!(last["outcome"], "issued", "{last}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k_09_callers_that_hang_up_leave_no_credential_without_a_record() {
    let rig = Rig::start().await;
    let mut tokens = Vec::new();
    for n in 0..60 {
        let token = rig.broker.token("wl:ok");
        let body = crate::support::broker::form(&token);
        let request = Request::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(http_body_util::Full::new(body.into()))
            .expect("a request");
        // Dropped in the handshake, while it is written, verified, committed, or answered.
        let patience = std::time::Duration::from_micros(n * 700);
        let _ = tokio::time::timeout(patience, rig.broker.send(request)).await;
        tokens.push(token);
    }
    // Whatever became of each: shown again, it has been used once in the end.
    for token in &tokens {
        let reply = rig.broker.exchange(token).await;
        assert!(
            reply.status == 200 || reply.reason() == "TOKEN_REPLAYED",
            "{reply:?}"
        );
    }
    let issued: Vec<Value> = rig
        .records()
        .await
        .into_iter()
        .filter(|r| r["outcome"] == "issued")
        .collect();
    assert_eq!(issued.len(), tokens.len());
    assert_eq!(rig.credentials().await, tokens.len());
}
