//! C: what a genuine token says, and whether that makes it evidence.

use assay::model::Reason as R;
use serde_json::{Value, json};

use crate::{
    rig::{Rig, bad},
    support::{
        broker::{AUDIENCE, Files, RULES},
        fake_issuer::FakeIssuer,
        tokens::{TestKey, Token},
    },
};

/// One hour, the longest life of a token here.
const HOUR: i64 = 3600;

impl Rig {
    pub(crate) fn sign(&self, token: Token) -> String {
        token.sign(&self.broker.issuer.key())
    }

    pub(crate) fn with(&self, claim: &str, value: impl Into<Value>) -> String {
        self.sign(self.good().claim(claim, value))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_01_and_c_02_times_are_numbers_and_an_end_is_required() {
    let rig = Rig::start().await;
    let mut rows = vec![
        bad(
            "no exp",
            rig.sign(rig.good().without_claim("exp")),
            R::ClaimMissing,
        ),
        bad(
            "no iat",
            rig.sign(rig.good().without_claim("iat")),
            R::ClaimMissing,
        ),
    ];
    for claim in ["exp", "nbf", "iat"] {
        let soon = rig.broker.now().secs() + 60;
        for value in [
            json!(soon.to_string()),
            json!("never"),
            json!(true),
            json!({ "at": soon }),
            json!([soon]),
            json!(null),
        ] {
            rows.push(bad(
                format!("{claim} {value}"),
                rig.with(claim, value),
                R::ClaimInvalid,
            ));
        }
    }
    for (id, value) in [
        ("exp 0", json!(0)),
        ("exp -1", json!(-1)),
        ("exp a fraction", json!(0.5)),
        ("exp far below", json!(-1e300)),
    ] {
        rows.push(bad(id, rig.with("exp", value), R::TokenExpired));
    }
    for value in [
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(9_007_199_254_740_993_i64),
    ] {
        rows.push(bad(
            format!("exp {value}"),
            rig.with("exp", value),
            R::TokenLifetimeTooLong,
        ));
    }
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_03_and_c_04_a_time_is_judged_after_the_signature() {
    let rig = Rig::start().await;
    let now = rig.broker.now().secs();
    let stranger = TestKey::es256("key-1");
    let expired = || {
        rig.good()
            .claim("exp", now - 60)
            .claim("iat", now - 120)
            .claim("nbf", now - 120)
    };
    let rows = vec![
        bad(
            "expired and forged",
            expired().sign(&stranger),
            R::SignatureInvalid,
        ),
        bad("expired", rig.sign(expired()), R::TokenExpired),
        bad(
            "not yet valid",
            rig.with("nbf", now + 60),
            R::TokenNotYetValid,
        ),
        bad(
            "issued in the future",
            rig.with("iat", now + 60),
            R::TokenNotYetValid,
        ),
    ];
    rig.refuses_all(rows).await;
    // Within the leeway of 5 s both ends are believed.
    rig.grants("a clock that is ahead", &rig.with("nbf", now + 2))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_05_and_c_06_the_audience_is_us_and_nobody_else() {
    let rig = Rig::start().await;
    let mut rows = vec![bad(
        "none",
        rig.sign(rig.good().without_claim("aud")),
        R::ClaimMissing,
    )];
    for value in [
        json!(""),
        json!([]),
        json!([AUDIENCE, "https://other.test"]),
        json!(["https://other.test", AUDIENCE]),
        json!([AUDIENCE, AUDIENCE]),
        json!([AUDIENCE, ""]),
        json!(format!("{AUDIENCE} https://other.test")),
        json!(format!("{AUDIENCE},https://other.test")),
        json!("*"),
        json!("prod"),
        json!("temporal.test"),
    ] {
        rows.push(bad(
            value.to_string(),
            rig.with("aud", value),
            R::AudienceMismatch,
        ));
    }
    for value in [
        json!(5),
        json!({}),
        json!(null),
        json!(true),
        json!([5]),
        json!([[AUDIENCE]]),
        json!({ AUDIENCE: 1 }),
    ] {
        rows.push(bad(
            format!("type of {value}"),
            rig.with("aud", value),
            R::ClaimInvalid,
        ));
    }
    rig.refuses_all(rows).await;
    rig.grants("a list of us", &rig.with("aud", json!([AUDIENCE])))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_07_and_c_08_near_is_not_equal() {
    let rig = Rig::start().await;
    let mut rows = Vec::new();
    for near in [
        "https://assay.test/",
        "https://ASSAY.test",
        "HTTPS://assay.test",
        "https://assay.test:443",
        "https://assay.tes",
        "https://assay.test.evil",
        "https://assay.test\0",
        " https://assay.test",
        "https://assay.test ",
        "https%3A%2F%2Fassay.test",
        "https://аssay.test",
        "https://assay\u{200b}.test",
        "https://assay.test#",
        "assay.test",
    ] {
        rows.push(bad(
            format!("{near:?}"),
            rig.with("aud", near),
            R::AudienceMismatch,
        ));
    }
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_09_to_c_12_the_issuer_is_one_text_that_is_configured() {
    let rig = Rig::start().await;
    let issuer = rig.broker.issuer.issuer();
    let mut rows = vec![bad(
        "none",
        rig.sign(rig.good().without_claim("iss")),
        R::ClaimMissing,
    )];
    for value in [
        json!([issuer]),
        json!(["https://evil.test", issuer]),
        json!(5),
        json!({}),
        json!(null),
        json!(true),
    ] {
        rows.push(bad(
            value.to_string(),
            rig.with("iss", value),
            R::ClaimInvalid,
        ));
    }
    for value in [
        format!("{issuer}/"),
        format!("{issuer} "),
        issuer.replace("https", "http"),
        issuer.replace("https", "HTTPS"),
        issuer.replace("127.0.0.1", "127.1"),
        issuer.replace("127.0.0.1", "localhost"),
        format!("{issuer}?x"),
        format!("{issuer}.evil.test"),
        format!("https://evil.test/?{issuer}"),
        format!("{issuer}\r\nx: y"),
        String::new(),
        format!("https://{}", "x".repeat(8000)),
    ] {
        let id: String = format!("{value:?}").chars().take(60).collect();
        rows.push(bad(id, rig.with("iss", value), R::IssuerUnknown));
    }
    rows.push(bad(
        "ourselves",
        rig.with("iss", AUDIENCE),
        R::TokenSelfIssued,
    ));
    let visits = rig.broker.issuer.connections();
    rig.refuses_all(rows).await;
    assert_eq!(
        rig.broker.issuer.connections(),
        visits,
        "an unknown issuer caused a fetch"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_11_what_is_recorded_of_an_issuer_is_one_short_line() {
    let rig = Rig::start().await;
    let odd = format!("https://x\r\n\u{1b}[31m\"}}{{\u{2028}{}", "y".repeat(8000));
    let record = rig
        .refuses("odd", &rig.with("iss", odd), R::IssuerUnknown)
        .await;
    let line = record.to_string();
    assert!(
        line.len() < 2000 && !line.contains(|c: char| c.is_control() || c == '\u{2028}'),
        "{line}"
    );
    assert!(line.contains("u{1b}"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_13_and_c_14_lifetime_and_age_are_bounded() {
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "    maxTokenAge: 5m\n", RULES);
    let rig = Rig::on(files, issuer).await;
    let now = rig.broker.now().secs();
    let rows = vec![
        bad(
            "ten years",
            rig.with("exp", now + 10 * 365 * 24 * HOUR),
            R::TokenLifetimeTooLong,
        ),
        bad(
            "an hour and a bit",
            rig.with("exp", now + HOUR + 60),
            R::TokenLifetimeTooLong,
        ),
        bad(
            "issued in the year 1970",
            rig.with("iat", 0),
            R::TokenLifetimeTooLong,
        ),
        bad(
            "older than five minutes",
            rig.sign(rig.good().claim("iat", now - 400).claim("nbf", now - 400)),
            R::TokenTooOld,
        ),
    ];
    rig.refuses_all(rows).await;
    rig.grants("under an hour", &rig.with("exp", now + HOUR - 60))
        .await;
}
