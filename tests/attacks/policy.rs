//! A: who may have what.

use std::{collections::BTreeMap, sync::Arc};

use assay::model::Reason as R;
use serde_json::json;

use crate::{
    rig::{Rig, bad},
    support::{
        broker::{Files, claims_of},
        fake_issuer::FakeIssuer,
        tokens::{TestKey, Token},
    },
};

pub(crate) fn one_rule(role: &str) -> String {
    format!(
        "  rules:\n    - {{ name: one, match: {{ subject: \"wl:ok\" }}, grant: {{ role: {role} }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_01_a_rule_for_everybody_does_not_load() {
    let rig = Rig::start().await;
    let token = || rig.broker.token("wl:ok");
    for (id, rules) in [
        (
            "no matcher",
            "  rules:\n    - { name: one, match: {}, grant: { role: admin } }\n".to_owned(),
        ),
        ("a star", one_rule("admin").replace("wl:ok", "*")),
        ("an empty text", one_rule("admin").replace("wl:ok", "")),
        ("an expression", one_rule("admin").replace("wl:ok", ".*")),
        ("an unknown role", one_rule("root")),
        (
            "an unknown key",
            one_rule("admin").replace("match", "matches"),
        ),
        (
            "a rule twice",
            format!(
                "{}{}",
                one_rule("worker"),
                one_rule("admin").replace("  rules:\n", "")
            ),
        ),
        ("no YAML", "  rules: [".to_owned()),
        (
            "a test that fails",
            format!(
                "{}  tests:\n    - allow: {{ subject: \"wl:nobody\" }}\n      role: admin\n",
                one_rule("admin")
            ),
        ),
    ] {
        rig.broker
            .files
            .oidc("issuer-a", &rig.broker.issuer, "", &rules);
        let found = rig.broker.broker.reload().await.expect_err(id);
        assert!(!found.is_empty(), "{id}");
        // The good plan stays, and grants what it granted.
        let record = rig.grants(id, &token()).await;
        assert_eq!(record["role"], "worker", "{id}");
        rig.refuses(id, &rig.broker.token("wl:nobody"), R::RuleNoMatch)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_02_rules_are_never_united() {
    let rig = Rig::start().await;
    // `wl:two` has the roles worker and reader by two rules.
    let ask = async |scope: &str| {
        rig.broker
            .ask(
                &rig.broker.token("wl:two"),
                &[("audience", "prod"), ("scope", scope)],
            )
            .await
    };
    for (scope, granted) in [("worker", "payments:write"), ("reader", "payments:read")] {
        assert_eq!(
            claims_of(&ask(scope).await.minted())["permissions"],
            json!([granted])
        );
    }
    for scope in [
        "reader payments:write",
        "reader orders:read",
        "worker payments:admin",
    ] {
        ask(scope)
            .await
            .is_refused(400, "invalid_scope", "SCOPE_BEYOND_ROLE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_05_and_a_11_a_rule_opens_its_own_target_only() {
    let (one, two) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let files = Files::new();
    files.oidc("issuer-a", &one, "", &one_rule("worker"));
    files.oidc("issuer-b", &two, "", &one_rule("other-worker"));
    let rig = Rig::on(files, one).await;
    let token_of_b = || {
        let mut claims = rig.broker.claims("wl:ok");
        claims["iss"] = two.issuer().into();
        two.token(&claims)
    };
    let ask = async |token: String, more: &[(&str, &str)]| rig.broker.ask(&token, more).await;
    let a = |reply: &crate::support::broker::Reply| claims_of(&reply.minted())["aud"].clone();
    assert_eq!(
        a(&ask(rig.broker.token("wl:ok"), &[("audience", "prod")]).await),
        "temporal.test"
    );
    assert_eq!(
        a(&ask(token_of_b(), &[("audience", "other")]).await),
        "other.test"
    );
    for (token, target) in [(rig.broker.token("wl:ok"), "other"), (token_of_b(), "prod")] {
        ask(token, &[("audience", target)]).await.is_refused(
            400,
            "invalid_target",
            "TARGET_UNKNOWN",
        );
    }
    // Naming a role of the other target does not help either.
    let crossed = [("audience", "prod"), ("scope", "other-worker")];
    ask(rig.broker.token("wl:ok"), &crossed).await.is_refused(
        400,
        "invalid_scope",
        "SCOPE_UNKNOWN",
    );
    // And a credential of one is signed by a key that the other does not list.
    let minted = ask(rig.broker.token("wl:ok"), &[("audience", "prod")])
        .await
        .minted();
    let header = minted.split('.').next().expect("a header").to_owned();
    let kid = claims_of(&format!(".{header}."))["kid"].clone();
    let kids = async |target: &str| {
        rig.broker
            .get(&format!("/targets/{target}/jwks.json"))
            .await
            .json()
            .to_string()
    };
    let kid = kid.as_str().expect("a kid");
    assert!(kids("prod").await.contains(kid));
    assert!(!kids("other").await.contains(kid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_14_no_issuer_speaks_for_another() {
    let issuers = [
        FakeIssuer::start().await,
        FakeIssuer::start().await,
        FakeIssuer::start().await,
    ];
    let names = ["issuer-a", "issuer-b", "issuer-c"];
    // All use the kid `key-1`; the first two even hold the same key.
    issuers[1].publish(&[issuers[0].key()]);
    let files = Files::new();
    for ((name, issuer), role) in names.iter().zip(&issuers).zip(["worker", "reader", "both"]) {
        files.oidc(name, issuer, "", &one_rule(role));
    }
    let keys: Vec<Arc<TestKey>> = issuers.iter().map(FakeIssuer::key).collect();
    let urls: Vec<String> = issuers.iter().map(FakeIssuer::issuer).collect();
    let roles = BTreeMap::from([
        ("issuer-a", "worker"),
        ("issuer-b", "reader"),
        ("issuer-c", "both"),
    ]);
    let [first, rest @ ..] = issuers;
    let rig = Rig::on(files, first).await;
    for signer in 0..3 {
        for claimed in 0..3 {
            let token = rig
                .good()
                .claim("iss", urls[claimed].as_str())
                .sign(&keys[signer]);
            let id = format!("{} signs as {}", names[signer], names[claimed]);
            let holds_the_key = Arc::ptr_eq(&keys[signer], &keys[claimed]);
            if holds_the_key {
                let record = rig.grants(&id, &token).await;
                assert_eq!(
                    record["identity"],
                    format!("{}:wl:ok", names[claimed]),
                    "{id}"
                );
                assert_eq!(record["trust_domain"], names[claimed], "{id}");
                assert_eq!(record["role"], roles[names[claimed]], "{id}");
            } else {
                rig.refuses(&id, &token, R::SignatureInvalid).await;
            }
        }
    }
    // A subject that spells another's canonical name is still one's own.
    let token = rig
        .good()
        .claim("sub", "issuer-a:wl:ok")
        .claim("iss", urls[2].as_str())
        .sign(&keys[2]);
    let record = rig.refuses("a borrowed name", &token, R::RuleNoMatch).await;
    assert_eq!(record["identity"], "issuer-c:issuer-a:wl:ok");
    drop(rest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_17_the_least_of_all_lifetimes_counts() {
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    let rules = one_rule("worker").replace("role: worker", "role: worker, ttl: 2m");
    files.oidc("issuer-a", &issuer, "", &rules);
    let rig = Rig::on(files, issuer).await;
    for (asked, granted) in [("30", 30), ("120", 120), ("600", 120), ("86400", 120)] {
        let more = [("audience", "prod"), ("requested_expires_in", asked)];
        let reply = rig.broker.ask(&rig.broker.token("wl:ok"), &more).await;
        assert_eq!(reply.json()["expires_in"], granted, "{asked}");
        let claims = claims_of(&reply.minted());
        let life = claims["exp"].as_i64().expect("exp") - rig.broker.now().secs();
        assert!(life <= granted, "{asked}: {life}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_24_what_callers_choose_alone_grants_nothing() {
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    let rules = "  rules:\n    - { name: one, match: { subject: \"wl:ok\", claims: { branch: main } }, grant: { role: reader } }\n";
    files.oidc("issuer-a", &issuer, "    callerClaims: [branch]\n", rules);
    let rig = Rig::on(files, issuer).await;
    let sign = |token: Token| token.sign(&rig.broker.issuer.key());
    let good = || sign(rig.good().claim("branch", "main"));
    rig.table(
        |_| good(),
        vec![bad(
            "another subject",
            sign(rig.good().claim("branch", "main").claim("sub", "wl:x")),
            R::RuleNoMatch,
        )],
    )
    .await;
    // A rule that rests on it alone is not even loaded.
    let alone = rules.replace("subject: \"wl:ok\", ", "");
    rig.broker.files.oidc(
        "issuer-a",
        &rig.broker.issuer,
        "    callerClaims: [branch]\n",
        &alone,
    );
    rig.broker
        .broker
        .reload()
        .await
        .expect_err("a rule on what callers choose");
    rig.grants("the good plan stays", &good()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_one_issuer_has_one_trust_domain() {
    let rig = Rig::start().await;
    // With two, a switch on one, or a use under one, would leave the other.
    rig.broker
        .files
        .oidc("issuer-b", &rig.broker.issuer, "", &one_rule("admin"));
    rig.broker
        .broker
        .reload()
        .await
        .expect_err("the same source twice");
    rig.refuses("unchanged", &rig.broker.token("wl:nobody"), R::RuleNoMatch)
        .await;
    let record = rig.grants("unchanged", &rig.broker.token("wl:ok")).await;
    assert_eq!(
        (&record["trust_domain"], &record["role"]),
        (&json!("issuer-a"), &json!("worker"))
    );
}
