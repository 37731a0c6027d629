//! R: what a stranger, or one identity, can make the broker do.

use std::{sync::Arc, time::Duration};

use assay::{
    base::clock::{Clock, ManualClock, SystemClock},
    model::Reason as R,
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::{
    rig::{Rig, bad, is_refusal},
    support::{
        broker::{Files, RULES, TestBroker},
        fake_issuer::{FakeIssuer, JWKS},
        tokens::{TestKey, encode, raw_signed},
    },
};

/// Far more than anything here takes, and far less than a bomb would.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_05_bombs_are_refused_by_their_size_before_their_content() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let header = encode(br#"{"alg":"ES256","kid":"key-1"}"#);
    let dots = |n: usize| ".".repeat(n);
    let mut rows = vec![
        bad("16 KB of dots", dots(16_000), R::TokenMalformed),
        bad("60 KB of dots", dots(60_000), R::TokenTooLarge),
        bad(
            "one byte too many",
            format!("{header}.{}.{}", "A".repeat(16_384), "A".repeat(86)),
            R::TokenTooLarge,
        ),
        bad(
            "a huge header",
            format!("{}.e30.AAAA", "A".repeat(15_000)),
            R::TokenMalformed,
        ),
        bad(
            "a huge signature",
            format!("{header}.e30.{}", "A".repeat(15_000)),
            R::TokenMalformed,
        ),
    ];
    let signed =
        |text: &str| raw_signed(br#"{"alg":"ES256","kid":"key-1"}"#, text.as_bytes(), &key);
    for (id, text) in [
        (
            "deep lists",
            format!("{{\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000)),
        ),
        (
            "deep objects",
            format!("{}1{}", "{\"x\":".repeat(1800), "}".repeat(1800)),
        ),
        ("never closed", format!("{{\"x\":{}", "[".repeat(9000))),
        ("many values", format!("{{\"x\":[{}1]}}", "1,".repeat(5500))),
        (
            "many members",
            format!(
                "{{{}\"z\":1}}",
                (0..1000)
                    .map(|n| format!("\"m{n}\":1,"))
                    .collect::<String>()
            ),
        ),
    ] {
        rows.push(bad(id, signed(&text), R::TokenMalformed));
    }
    let claims = rig.broker.claims("wl:ok").to_string();
    let number = claims.replacen("\"exp\":", &format!("\"exp\":{}", "9".repeat(9000)), 1);
    rows.push(bad(
        "a number of 9000 digits",
        signed(&number),
        R::TokenMalformed,
    ));
    timeout(PATIENCE, rig.refuses_all(rows))
        .await
        .expect("quickly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_06_the_largest_good_token_is_still_recorded() {
    let rig = Rig::start().await;
    // Characters that grow most when they are made safe to show.
    let mut token = rig.good();
    for n in 0..40 {
        token = token.claim(&format!("c{n}"), "\u{10ffff}\u{202e}".repeat(36));
    }
    let token = token.sign(&rig.broker.issuer.key());
    assert!((12_000..16_384).contains(&token.len()), "{}", token.len());
    let record = rig.grants("large", &token).await;
    assert!(record.to_string().len() < 64 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r_17_a_flood_of_forgeries_does_not_starve_the_honest() {
    let rig = Arc::new(Rig::start().await);
    let before = rig.broker.issuer.hits(JWKS);
    let stranger = Arc::new(TestKey::es256("key-1"));
    let unknown = Arc::new(TestKey::es256("nobody"));
    let slots = Arc::new(Semaphore::new(64));
    let mut flood = JoinSet::new();
    for n in 0..500 {
        let (rig, slots) = (Arc::clone(&rig), Arc::clone(&slots));
        let (key, reason) = match n % 2 {
            0 => (Arc::clone(&stranger), R::SignatureInvalid),
            _ => (Arc::clone(&unknown), R::KeyUnknown),
        };
        flood.spawn(async move {
            let _slot = slots.acquire().await.expect("open");
            let reply = rig.broker.exchange(&rig.good().sign(&key)).await;
            is_refusal("flood", &reply, reason);
        });
    }
    // Meanwhile, one after another: every one of them is served.
    for _ in 0..25 {
        rig.broker
            .exchange(&rig.broker.token("wl:ok"))
            .await
            .minted();
    }
    flood.join_all().await;
    let records = rig.records().await;
    let of = |outcome: &str| records.iter().filter(|r| r["outcome"] == outcome).count();
    assert_eq!((of("issued"), of("refused")), (25, 500));
    // R-18, U-28: all of it together made the broker ask the issuer once or twice.
    let looks = rig.broker.issuer.hits(JWKS) - before;
    assert!((1..=2).contains(&looks), "{looks}");
}

/// A broker whose clock stands still, with narrow budgets.
async fn narrow(budgets: &str) -> (Rig, Arc<ManualClock>, FakeIssuer) {
    let (issuer, second) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let mut files = Files::new();
    files
        .more
        .push_str("  budgets:\n    perAddress: { rate: 100000, burst: 100000 }\n");
    files.more.push_str(budgets);
    files.oidc("issuer-a", &issuer, "", RULES);
    files.oidc("issuer-b", &second, "", RULES);
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let broker = TestBroker::on(files, issuer, Arc::clone(&clock) as Arc<dyn Clock>).await;
    (Rig::over(broker), clock, second)
}

async fn over_budget(rig: &Rig, subject: &str) {
    let reply = rig.broker.exchange(&rig.broker.token(subject)).await;
    let record = rig
        .is_recorded_refusal(subject, &reply, R::BudgetExceeded)
        .await;
    assert_eq!(record["identity"], format!("issuer-a:{subject}"));
    let wait = reply.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse::<u64>();
    assert!((1..=60).contains(&wait.expect("seconds")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_20_one_identity_cannot_spend_anothers_budget() {
    let (rig, clock, _second) = narrow("    perIdentity: { rate: 1, burst: 5 }\n").await;
    for _ in 0..5 {
        rig.grants("within", &rig.broker.token("wl:ok")).await;
    }
    for _ in 0..3 {
        over_budget(&rig, "wl:ok").await;
        rig.grants("another", &rig.broker.token("wl:reader")).await;
    }
    clock.advance(Duration::from_secs(2));
    rig.grants("it comes back", &rig.broker.token("wl:ok"))
        .await;
    rig.grants("twice", &rig.broker.token("wl:ok")).await;
    over_budget(&rig, "wl:ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_21_one_trust_domain_cannot_spend_anothers_budget() {
    let (rig, _clock, second) = narrow("    perTrustDomain: { rate: 1, burst: 6 }\n").await;
    for subject in ["wl:ok", "wl:reader", "wl:both"].repeat(2) {
        rig.grants("within", &rig.broker.token(subject)).await;
    }
    over_budget(&rig, "wl:ok").await;
    over_budget(&rig, "wl:both").await;
    let mut claims = rig.broker.claims("wl:ok");
    claims["iss"] = second.issuer().into();
    rig.grants("the other", &second.token(&claims)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_22_forgeries_and_refusals_spend_nobodys_budget() {
    let (rig, _clock, _second) = narrow("    perIdentity: { rate: 1, burst: 3 }\n").await;
    let stranger = TestKey::es256("key-1");
    for _ in 0..10 {
        rig.refuses("forged", &rig.good().sign(&stranger), R::SignatureInvalid)
            .await;
        let reply = rig
            .broker
            .ask(
                &rig.broker.token("wl:ok"),
                &[("audience", "prod"), ("scope", "admin")],
            )
            .await;
        rig.is_recorded_refusal("no rule", &reply, R::RuleNoMatch)
            .await;
    }
    let used = rig.broker.token("wl:ok");
    rig.grants("the first", &used).await;
    rig.grants("the second", &rig.broker.token("wl:ok")).await;
    rig.grants("the third", &rig.broker.token("wl:ok")).await;
    over_budget(&rig, "wl:ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_23_a_replayed_token_spends_nobodys_budget() {
    let (rig, _clock, _second) = narrow("    perIdentity: { rate: 1, burst: 3 }\n").await;
    let used = rig.broker.token("wl:ok");
    rig.grants("the first", &used).await;
    // Whoever found a used token must not lock its owner out with it.
    for _ in 0..10 {
        rig.refuses("replayed", &used, R::TokenReplayed).await;
    }
    rig.grants("the second", &rig.broker.token("wl:ok")).await;
    rig.grants("the third", &rig.broker.token("wl:ok")).await;
    over_budget(&rig, "wl:ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_02_an_address_has_a_rate_and_health_and_keys_do_not_count() {
    let issuer = FakeIssuer::start().await;
    let mut files = Files::new();
    files
        .more
        .push_str("  budgets:\n    perAddress: { rate: 1, burst: 40 }\n");
    files.oidc("issuer-a", &issuer, "", RULES);
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let rig = Rig::over(TestBroker::on(files, issuer, Arc::clone(&clock) as Arc<dyn Clock>).await);
    let mut sender = rig.broker.keep_alive().await;
    let mut last: (u16, Value) = (0, json!(null));
    let mut asked = 0;
    while last.0 != 429 && asked < 100 {
        last = sender.ask(&rig.broker.token("wl:nobody")).await;
        asked += 1;
    }
    assert_eq!((last.0, &last.1["reason"]), (429, &json!("RATE_LIMITED")));
    assert!((35..=41).contains(&asked), "{asked}");
    // What Temporal servers behind the same address need is still there.
    assert_eq!(rig.broker.get("/targets/prod/jwks.json").await.status, 200);
    assert_eq!(rig.broker.telemetry("/readyz").await.status, 200);
    clock.advance(Duration::from_secs(5));
    // A refusal that left the body unread ends its connection.
    let mut sender = rig.broker.keep_alive().await;
    let (status, json) = sender.ask(&rig.broker.token("wl:ok")).await;
    assert_eq!(status, 200, "{json}");
}
