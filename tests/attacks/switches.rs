//! A: how fast "no" is in force.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use assay::{ledger::Switch, model::Reason as R};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    policy::one_rule,
    rig::Rig,
    support::{
        broker::{Files, RULES},
        fake_issuer::FakeIssuer,
    },
};

/// The longest that a switch may take to be in force.
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_15_every_switch_stops_what_it_names_within_five_seconds() {
    let (one, two) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let files = Files::new();
    files.oidc("issuer-a", &one, "", RULES);
    files.oidc("issuer-b", &two, "", &one_rule("other-worker"));
    let url = one.issuer();
    let rig = Rig::on(files, one).await;
    let unaffected = async || {
        let mut claims = rig.broker.claims("wl:ok");
        claims["iss"] = two.issuer().into();
        rig.broker
            .ask(&two.token(&claims), &[("audience", "other")])
            .await
            .minted();
    };
    for switch in [
        Switch::Issuer(url),
        Switch::TrustDomain("issuer-a".into()),
        Switch::Rule {
            trust_domain: "issuer-a".into(),
            rule: "worker".into(),
        },
        Switch::Subject("issuer-a:wl:ok".into()),
        Switch::Target("prod".into()),
    ] {
        let id = switch.to_string();
        let token = rig.broker.token("wl:ok");
        rig.switch(switch.clone(), true).await;
        // The very next exchange: the commit looks at the ledger itself.
        for _ in 0..3 {
            crate::rig::is_refusal(&id, &rig.broker.exchange(&token).await, R::Disabled);
            unaffected().await;
        }
        rig.switch(switch, false).await;
        let granted = async {
            while rig.broker.exchange(&token).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, granted)
            .await
            .unwrap_or_else(|_| panic!("{id} is still on"));
    }
    // Each throw is in the same chain as the exchanges.
    let thrown = rig
        .records()
        .await
        .into_iter()
        .filter(|r| r["kind"] == "switch")
        .count();
    assert_eq!(thrown, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_16_a_switch_thrown_under_load_lets_nothing_through_after() {
    let rig = Arc::new(Rig::start().await);
    let (thrown, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (rig, thrown, stop) = (Arc::clone(&rig), Arc::clone(&thrown), Arc::clone(&stop));
        load.spawn(async move {
            let (mut granted, mut refused) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                let begun_after = thrown.load(Ordering::SeqCst);
                let reply = rig.broker.exchange(&rig.broker.token("wl:ok")).await;
                match reply.status {
                    200 => {
                        assert!(!begun_after, "granted after the switch was thrown");
                        granted += 1;
                    }
                    _ => {
                        crate::rig::is_refusal("under load", &reply, R::Disabled);
                        refused += 1;
                    }
                }
            }
            (granted, refused)
        });
    }
    let enough = async |outcome: &str| {
        while rig
            .records()
            .await
            .iter()
            .filter(|r| r["outcome"] == outcome)
            .count()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, enough("issued"))
        .await
        .expect("exchanges run");
    rig.switch(Switch::TrustDomain("issuer-a".into()), true)
        .await;
    thrown.store(true, Ordering::SeqCst);
    timeout(LIMIT, enough("refused"))
        .await
        .expect("the switch is in force");
    stop.store(true, Ordering::SeqCst);
    let counts = load.join_all().await;
    assert!(counts.iter().map(|c| c.0).sum::<usize>() > 0);
    assert!(counts.iter().map(|c| c.1).sum::<usize>() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_18_a_removed_rule_is_removed_for_tokens_already_out() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    let rules = RULES.replace("\"wl:ok\"", "\"wl:gone\"");
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
    rig.refuses("its rule is gone", &token, R::RuleNoMatch)
        .await;
    rig.grants("another rule", &rig.broker.token("wl:reader"))
        .await;
}
