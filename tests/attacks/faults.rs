//! F: what the broker depends on fails while it is asked. It then says so,
//! issues nothing, burns nothing, and recovers by itself.

use std::{sync::Arc, time::Duration};

use assay::{
    base::clock::{Clock, ManualClock, Moment, SystemClock},
    model::Reason as R,
};

use crate::{
    rig::{Rig, WIDE, is_refusal},
    support::{
        broker::{Files, RULES, Reply, TestBroker},
        fake_issuer::{Accept, FakeIssuer},
    },
};

fn says_when_to_try_again(reply: &Reply) {
    let wait = reply.headers["retry-after"]
        .to_str()
        .expect("text")
        .parse::<u64>();
    assert!((1..=60).contains(&wait.expect("seconds")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_06_no_record_no_credential() {
    let rig = Rig::start().await;
    rig.grants("before", &rig.broker.token("wl:ok")).await;
    let (token, denied) = (rig.broker.token("wl:ok"), rig.broker.token("wl:nobody"));
    let path = rig.broker.files.folder.path().join("ledger.db");
    let other = rusqlite::Connection::open(path).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let (one, two) = tokio::join!(rig.broker.exchange(&token), rig.broker.exchange(&denied));
    // A refusal that cannot be recorded is not given either.
    for reply in [&one, &two] {
        is_refusal("locked", reply, R::LedgerUnavailable);
        says_when_to_try_again(reply);
    }
    assert_eq!(rig.broker.telemetry("/readyz").await.status, 503);
    other.execute_batch("ROLLBACK").expect("unlocked");
    drop(other);
    assert!(rig.records().await.is_empty());
    rig.grants("the same token", &token).await;
    rig.refuses("the same refusal", &denied, R::RuleNoMatch)
        .await;
    assert_eq!(rig.broker.telemetry("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_a_clock_that_jumps_lets_nothing_in_and_breaks_nothing() {
    let issuer = FakeIssuer::start().await;
    let mut files = Files::new();
    files.more.push_str(WIDE);
    files.oidc("issuer-a", &issuer, "", RULES);
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let rig = Rig::over(TestBroker::on(files, issuer, Arc::clone(&clock) as Arc<dyn Clock>).await);
    let start = clock.now();
    let token = rig.broker.token("wl:ok");
    for (to, reason) in [
        (Moment::from_secs(0), R::TokenNotYetValid),
        (Moment::from_secs(start.secs() - 3600), R::TokenNotYetValid),
        (Moment::from_secs(start.secs() + 3600), R::TokenExpired),
        // The keys are too old by that clock, are fetched anew, and are good.
        (
            Moment::from_secs(start.secs() + 10 * 365 * 86_400),
            R::TokenExpired,
        ),
        // And once more: within the cool-down they are not.
        (Moment::from_millis(i64::MAX), R::IssuerUnavailable),
        (Moment::from_millis(i64::MIN), R::TokenNotYetValid),
    ] {
        clock.jump_to(to);
        is_refusal(&to.to_string(), &rig.broker.exchange(&token).await, reason);
    }
    clock.jump_to(start);
    rig.grants("back again", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_an_issuer_that_was_never_reached_is_its_own_trouble() {
    let (down, up) = (FakeIssuer::start().await, FakeIssuer::start().await);
    down.accept(Accept::Close);
    let files = Files::new();
    files.oidc("issuer-a", &up, "", RULES);
    files.oidc("issuer-b", &down, "", RULES);
    let rig = Rig::on(files, up).await;
    let mut claims = rig.broker.claims("wl:ok");
    claims["iss"] = down.issuer().into();
    let token = down.token(&claims);
    for _ in 0..3 {
        let reply = rig.broker.exchange(&token).await;
        rig.is_recorded_refusal("cold", &reply, R::IssuerUnavailable)
            .await;
        says_when_to_try_again(&reply);
        rig.grants("the other", &rig.broker.token("wl:ok")).await;
    }
    assert_eq!(rig.broker.telemetry("/readyz").await.status, 200);
    down.accept(Accept::Tls);
    let recovered = async {
        while rig.broker.exchange(&token).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // The cool-down, and the first steps of the back-off.
    tokio::time::timeout(Duration::from_secs(60), recovered)
        .await
        .expect("it comes back");
}
