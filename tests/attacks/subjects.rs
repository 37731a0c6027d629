//! C: who a token says that it is about, and claims that rules match.

use assay::model::Reason as R;
use serde_json::{Value, json};

use crate::{
    rig::{Rig, bad},
    support::{broker::Files, fake_issuer::FakeIssuer},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_17_subjects_are_compared_byte_for_byte() {
    let rig = Rig::start().await;
    let mut rows = Vec::new();
    for near in [
        "WL:OK",
        "wl:ok ",
        " wl:ok",
        "wl:ok/",
        "wl:ok%00",
        "wl:оk",
        "wl:o\u{200b}k",
        "wl:okk",
        "wl:o",
        "issuer-a:wl:ok",
        "*",
        "wl:*",
    ] {
        rows.push(bad(
            format!("{near:?}"),
            rig.with("sub", near),
            R::RuleNoMatch,
        ));
    }
    for wrong in ["", "wl:ok\0", "wl:ok\n", "\u{85}", &"x".repeat(2000)] {
        let id: String = format!("{wrong:?}").chars().take(20).collect();
        rows.push(bad(id, rig.with("sub", wrong), R::SubjectInvalid));
    }
    for wrong in [
        json!(5),
        json!(["wl:ok"]),
        json!({}),
        json!(null),
        json!(true),
    ] {
        rows.push(bad(
            wrong.to_string(),
            rig.with("sub", wrong),
            R::ClaimInvalid,
        ));
    }
    rows.push(bad(
        "none",
        rig.sign(rig.good().without_claim("sub")),
        R::ClaimMissing,
    ));
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_18_what_we_minted_buys_nothing_more() {
    let rig = Rig::start().await;
    let minted = rig
        .broker
        .exchange(&rig.broker.token("wl:ok"))
        .await
        .minted();
    rig.refuses_all(vec![bad("our own", minted, R::TokenSelfIssued)])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_19_a_token_id_is_a_bounded_text() {
    let rig = Rig::start().await;
    let mut rows = Vec::new();
    for wrong in [
        json!(5),
        json!(""),
        json!({}),
        json!(null),
        json!(["x"]),
        json!("a\nb"),
        json!("x".repeat(5000)),
    ] {
        let id: String = wrong.to_string().chars().take(20).collect();
        rows.push(bad(id, rig.with("jti", wrong), R::ClaimInvalid));
    }
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_20_to_c_23_claims_match_in_their_own_type() {
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    let rules = "  rules:\n    - name: typed\n      match:\n        subject: \"wl:ok\"\n        claims: { verified: true, build: 74, groups: admin }\n      grant: { role: worker }\n";
    files.oidc("issuer-a", &issuer, "    callerClaims: [branch]\n", rules);
    let rig = Rig::on(files, issuer).await;
    let good = |rig: &Rig| {
        let token = rig
            .good()
            .claim("verified", true)
            .claim("build", 74)
            .claim("groups", json!(["dev", "admin"]));
        (token.clone(), rig.sign(token))
    };
    let with = |claim: &str, value: Value| rig.sign(good(&rig).0.claim(claim, value));
    let mut rows = Vec::new();
    for (claim, values) in [
        (
            "verified",
            vec![
                json!("true"),
                json!(1),
                json!("1"),
                json!(false),
                json!([true]),
                json!(null),
                json!({}),
            ],
        ),
        (
            "build",
            vec![
                json!("74"),
                json!(74.0),
                json!(74.5),
                json!(true),
                json!([74]),
                json!(null),
            ],
        ),
        (
            "groups",
            vec![
                json!(["admin-readonly"]),
                json!(["ADMIN"]),
                json!(["admin "]),
                json!("administrator"),
                json!([["admin"]]),
                json!({ "admin": 1 }),
                json!([]),
                json!("dev,admin"),
            ],
        ),
    ] {
        for value in values {
            rows.push(bad(
                format!("{claim} {value}"),
                with(claim, value),
                R::RuleNoMatch,
            ));
        }
        let without = rig.sign(good(&rig).0.without_claim(claim));
        rows.push(bad(format!("no {claim}"), without, R::RuleNoMatch));
    }
    // A claim inside another, or under a dotted name, is another claim.
    let inside = good(&rig)
        .0
        .without_claim("build")
        .claim("x", json!({ "build": 74 }))
        .claim("claims.build", 74);
    rows.push(bad("inside another", rig.sign(inside), R::RuleNoMatch));
    rig.table(|rig| good(rig).1, rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_24_bound_tokens_and_messages_are_no_evidence() {
    let rig = Rig::start().await;
    let rows = vec![
        bad(
            "cnf",
            rig.with("cnf", json!({ "jkt": "x" })),
            R::TokenKindRefused,
        ),
        bad(
            "events",
            rig.with(
                "events",
                json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
            ),
            R::TokenKindRefused,
        ),
    ];
    rig.refuses_all(rows).await;
}
