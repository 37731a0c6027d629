//! P and K: one token, one credential. However often it is shown, by whichever
//! grant, however its signature is respelt, and whatever happens in between.

use std::{collections::HashMap, sync::Arc};

use assay::{
    base::clock::{Clock, ManualClock, Moment, SystemClock},
    ledger::ChainState,
    model::Reason as R,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    rig::{Rig, WIDE},
    support::{
        broker::{Files, JWT_BEARER, RULES, Reply, TestBroker},
        fake_issuer::FakeIssuer,
        tokens::encode,
    },
};

/// The order of P-256, big-endian.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other valid signature over the same bytes: (r, n - s).
fn twin(token: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrow = 0;
    for (n, s) in N.iter().zip(&mut bytes[32..]).rev() {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    format!("{signed}.{}", encode(&bytes))
}

async fn assertion(broker: &TestBroker, token: &str) -> Reply {
    broker
        .post(&[
            ("grant_type", JWT_BEARER),
            ("assertion", token),
            ("audience", "prod"),
        ])
        .await
}

fn outcomes(records: &[Value]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for record in records {
        let text = |name: &str| record[name].as_str().unwrap_or_default();
        *counts
            .entry(format!("{} {}", text("outcome"), text("reason")))
            .or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_01_and_p_02_a_used_token_is_used_for_every_grant_and_every_ask() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    rig.grants("first", &token).await;
    for _ in 0..3 {
        rig.refuses("again", &token, R::TokenReplayed).await;
    }
    let by_assertion = assertion(&rig.broker, &token).await;
    assert_eq!(by_assertion.json()["error"], "invalid_grant");
    assert_eq!(by_assertion.reason(), "TOKEN_REPLAYED");
    let more = [
        ("audience", "prod"),
        ("scope", "worker"),
        ("requested_expires_in", "60"),
    ];
    rig.broker
        .ask(&token, &more)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
    rig.grants("another token", &rig.broker.token("wl:ok"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_29_another_signature_does_not_make_another_token() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    let twin = twin(&token);
    assert_ne!(token, twin);
    rig.grants("first", &token).await;
    rig.refuses("its twin", &twin, R::TokenReplayed).await;
    // The twin is a valid token: that is why the first use must count.
    let fresh = rig.broker.token("wl:ok");
    rig.grants("a twin first", &super::replay::twin(&fresh))
        .await;
    rig.refuses("then the token", &fresh, R::TokenReplayed)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_03_the_same_id_of_two_issuers_is_two_tokens() {
    let (one, two) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let files = Files::new();
    files.oidc("issuer-a", &one, "", RULES);
    files.oidc("issuer-b", &two, "", RULES);
    let rig = Rig::on(files, one).await;
    let mut claims = rig.broker.claims("wl:ok");
    let first = rig.broker.issuer.token(&claims);
    claims["iss"] = two.issuer().into();
    let second = two.token(&claims);
    for (domain, token) in [("issuer-a", &first), ("issuer-b", &second)] {
        assert_eq!(rig.grants(domain, token).await["trust_domain"], domain);
        rig.refuses(domain, token, R::TokenReplayed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_04_a_used_token_stays_used_over_a_restart_and_a_clock_that_steps_back() {
    let issuer = FakeIssuer::start().await;
    let mut files = Files::new();
    files.more.push_str(WIDE);
    files.oidc("issuer-a", &issuer, "", RULES);
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let broker = TestBroker::on(files, issuer, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let rig = Rig::over(broker);
    let (used, fresh) = (rig.broker.token("wl:ok"), rig.broker.token("wl:ok"));
    rig.grants("first", &used).await;
    let start = clock.now();
    // Beyond its end, and back again.
    clock.jump_to(Moment::from_secs(start.secs() + 330));
    rig.refuses("expired", &used, R::TokenExpired).await;
    clock.jump_to(start);
    rig.refuses("stepped back", &used, R::TokenReplayed).await;
    let rig = Rig::over(rig.broker.restart().await);
    rig.refuses("restarted", &used, R::TokenReplayed).await;
    rig.grants("one that was not used", &fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p_07_a_refusal_burns_nothing() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:late");
    rig.refuses("no rule yet", &token, R::RuleNoMatch).await;
    rig.refuses("still none", &token, R::RuleNoMatch).await;
    let rules = format!(
        "{RULES}    - {{ name: late, match: {{ subject: \"wl:late\" }}, grant: {{ role: reader }} }}\n"
    );
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
    rig.grants("the rule is there", &token).await;
    rig.refuses("and now it is used", &token, R::TokenReplayed)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k_01_sixty_four_at_once_get_one_credential() {
    let rig = Arc::new(Rig::start().await);
    let token = rig.broker.token("wl:ok");
    let twin = twin(&token);
    let before = rig.credentials().await;
    let mut all = JoinSet::new();
    for n in 0..64 {
        let (rig, token, twin) = (Arc::clone(&rig), token.clone(), twin.clone());
        all.spawn(async move {
            match n % 3 {
                0 => rig.broker.exchange(&token).await,
                1 => assertion(&rig.broker, &token).await,
                _ => rig.broker.exchange(&twin).await,
            }
        });
    }
    let replies = all.join_all().await;
    let granted = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(granted, 1);
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 200 || reply.reason() == "TOKEN_REPLAYED")
    );
    let expected = HashMap::from([
        ("issued ".to_owned(), 1),
        ("refused TOKEN_REPLAYED".to_owned(), 63),
    ]);
    assert_eq!(outcomes(&rig.records().await), expected);
    assert_eq!(rig.credentials().await, before + 1);
    rig.grants("another token", &rig.broker.token("wl:ok"))
        .await;
    let state = assay::ledger::Ledger::verify_chain(&*rig.replica())
        .await
        .expect("it reads");
    assert!(
        matches!(state, ChainState::Intact { records: 65, .. }),
        "{state:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k_02_two_replicas_on_one_ledger_count_one_use() {
    let rig = Arc::new(Rig::start().await);
    // Another process would read the same files; its ledger is the same file.
    let second =
        crate::support::broker::launch(&rig.broker.files, Arc::clone(&rig.broker.clock)).await;
    let second = Arc::new(
        second
            .map_err(|fault| fault.to_string())
            .expect("it starts"),
    );
    second.refresh_keys().await;
    for _ in 0..8 {
        let token = rig.broker.token("wl:ok");
        let (one, two) = tokio::join!(
            rig.broker.exchange(&token),
            rig.broker.exchange_at(&second, &token)
        );
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{one:?} {two:?}");
    }
    assert_eq!(rig.credentials().await, 8);
}
