//! O: what answers say, and what they do not.

use std::collections::BTreeSet;

use assay::model::Reason as R;
use http::Method;
use serde_json::json;

use crate::{
    oauth::FORM,
    rig::{Rig, bad},
    support::{
        broker::{Files, RULES, Reply, claims_of, form},
        fake_issuer::FakeIssuer,
        tokens::TestKey,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_25_what_a_proxy_would_say_is_not_believed() {
    let rig = Rig::start().await;
    let headers = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9;host=evil.test;proto=http"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-client-cert", "URI=spiffe://td1.test/admin"),
        ("x-assay-identity", "admin"),
    ];
    let mut all = headers.to_vec();
    all.push(("content-type", FORM));
    let body = form(&rig.broker.token("wl:ok"));
    let reply = rig.raw(Method::POST, "/oauth2/token", &all, body).await;
    let claims = claims_of(&reply.minted());
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!("https://assay.test"), &json!("issuer-a:wl:ok"))
    );
    let record = rig.records().await.remove(0);
    assert_eq!(record["caller"]["address"], "127.0.0.1");
    let metadata = rig
        .raw(
            Method::GET,
            "/.well-known/oauth-authorization-server",
            &headers,
            String::new(),
        )
        .await;
    assert!(
        !metadata.text().contains("evil.test"),
        "{}",
        metadata.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_27_strangers_learn_nothing_of_the_policy() {
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    let rules = RULES.replace("explain: full", "explain: none");
    files.oidc("issuer-a", &issuer, "", &rules);
    let rig = Rig::on(files, issuer).await;
    let stranger = TestKey::es256("key-1");
    let members = |reply: &Reply| {
        let json = reply.json();
        let names = json.as_object().expect("an object").keys().cloned();
        names.collect::<BTreeSet<_>>()
    };
    let wanted = ["error", "error_description", "reason", "request_id"]
        .map(str::to_owned)
        .into();
    // Nobody's, forged, and genuine without a rule: one status, one error, no detail.
    for (id, token, reason) in [
        (
            "unknown issuer",
            rig.good().claim("iss", "https://evil.test").sign(&stranger),
            R::IssuerUnknown,
        ),
        ("forged", rig.good().sign(&stranger), R::SignatureInvalid),
        ("no rule", rig.broker.token("wl:nobody"), R::RuleNoMatch),
        (
            "wrong audience",
            rig.good().claim("aud", "x").sign(&rig.broker.issuer.key()),
            R::AudienceMismatch,
        ),
    ] {
        let reply = rig.broker.exchange(&token).await;
        rig.is_recorded_refusal(id, &reply, reason).await;
        assert_eq!(members(&reply), wanted, "{id}");
        // Not even whether the target exists, unless the evidence is genuine.
        if reason != R::RuleNoMatch {
            let other = rig
                .broker
                .ask(&token, &[("audience", "nosuch"), ("scope", "nosuch")])
                .await;
            rig.is_recorded_refusal(id, &other, reason).await;
        }
    }
    // One with no rule on a target cannot tell it from one that does not exist.
    for target in ["other", "nosuch"] {
        let reply = rig
            .broker
            .ask(&rig.broker.token("wl:ok"), &[("audience", target)])
            .await;
        rig.is_recorded_refusal(target, &reply, R::TargetUnknown)
            .await;
    }
    rig.refuses_all(vec![bad(
        "control",
        rig.broker.token("wl:nobody"),
        R::RuleNoMatch,
    )])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_31_what_is_said_of_a_credential_is_true_of_it() {
    let rig = Rig::start().await;
    let reply = rig.broker.exchange(&rig.broker.token("wl:ok")).await;
    let claims = claims_of(&reply.minted());
    let (json, now) = (reply.json(), rig.broker.now().secs());
    let left = claims["exp"].as_i64().expect("a number") - now;
    let said = json["expires_in"].as_i64().expect("a number");
    assert!(
        (0..=5).contains(&(said - left)) && said <= 600,
        "{said} {left}"
    );
    for member in [
        "access_token",
        "issued_token_type",
        "token_type",
        "scope",
        "request_id",
    ] {
        assert!(json[member].is_string(), "{member}");
    }
}
