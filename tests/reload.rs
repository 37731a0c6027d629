//! A running broker takes up what changes in its files, whole or not at all.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod support;

use std::{fs, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use support::{
    broker::{Files, TestBroker, client},
    process::{Connection, FileIssuer, Served, eventually, get_plain, path},
    tls::{Ca, Leaf},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A rule for each of these subjects, all with the role `worker`.
fn rules(subjects: &[&str]) -> String {
    let rule = |subject: &&str| {
        format!(
            "    - {{ name: {subject}, match: {{ subject: \"wl:{subject}\" }}, grant: {{ role: worker }} }}\n"
        )
    };
    let list: String = subjects.iter().map(rule).collect();
    format!("  explain: full\n  rules:\n{list}")
}

fn write_rules(broker: &TestBroker, subjects: &[&str]) {
    broker.files.oidc(
        "issuer-a",
        &broker.issuer,
        "    singleUse: true\n",
        &rules(subjects),
    );
}

fn change(files: &Files, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(path(files, name)).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    files.write(name, &text.replace(from, to));
}

async fn config_check(broker: &TestBroker) -> String {
    let reply = broker.telemetry("/readyz/config?verbose").await;
    assert_eq!(reply.status, 200, "an old plan that is good serves");
    reply.text().to_owned()
}

async fn is_faulty(broker: &TestBroker) -> bool {
    let metrics = broker.telemetry("/metrics").await;
    let metrics = metrics.text();
    assert!(metrics.contains("\nassay_config_faulty "), "{metrics}");
    metrics.contains("\nassay_config_faulty 1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_rule_grants_and_a_removed_one_does_not() {
    let broker = TestBroker::start().await;
    let new = broker.token("wl:new");
    broker
        .exchange(&new)
        .await
        .is_refused(400, "invalid_request", "RULE_NO_MATCH");
    write_rules(&broker, &["ok", "new"]);
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    // The refusal burnt nothing.
    broker.exchange(&new).await.minted();
    write_rules(&broker, &["new"]);
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    let removed = broker.exchange(&broker.token("wl:ok")).await;
    removed.is_refused(400, "invalid_request", "RULE_NO_MATCH");
    // What was used under the old plan is used under the new one.
    broker
        .exchange(&new)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
    // The records say which plan decided.
    let audit = broker.audit().await;
    let plans: std::collections::BTreeSet<_> = audit
        .iter()
        .map(|record| record["policy"].as_str().unwrap())
        .collect();
    assert_eq!(plans.len(), 3, "{audit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_domain_comes_and_goes() {
    let broker = TestBroker::start().await;
    let other = FileIssuer::new();
    let token = other.token("wl:ok");
    broker
        .exchange(&token)
        .await
        .is_refused(400, "invalid_request", "ISSUER_UNKNOWN");
    other.write(&broker.files, "", &rules(&["ok"]));
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    broker.broker.refresh_keys().await;
    broker.exchange(&token).await.minted();
    fs::remove_file(path(&broker.files, "trust-domains/ci.yaml")).unwrap();
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    broker
        .exchange(&token)
        .await
        .is_refused(400, "invalid_request", "ISSUER_UNKNOWN");
    broker.exchange(&broker.token("wl:ok")).await.minted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_21_a_broken_file_keeps_the_old_plan_and_is_told() {
    let broker = TestBroker::start().await;
    assert!(!is_faulty(&broker).await);
    let domain = "trust-domains/issuer-a.yaml";
    let good = fs::read_to_string(path(&broker.files, domain)).unwrap();
    let broken = [
        ("half a file", good.split_at(good.len() / 2).0.to_owned()),
        ("a wrong key", good.replace("rules:", "rulez:")),
        (
            "a role that does not exist",
            good.replace("role: worker", "role: wroker"),
        ),
        ("no YAML", "\t{".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, text) in &broken {
        broker.files.write(domain, text);
        let found = broker.broker.reload().await.expect_err(what);
        assert!(!found.is_empty(), "{what}");
        let said = config_check(&broker).await;
        assert!(
            said.contains("not in order") && said.contains("issuer-a.yaml"),
            "{what}: {said}"
        );
        assert!(is_faulty(&broker).await, "{what}");
        assert_eq!(broker.telemetry("/readyz").await.status, 200, "{what}");
        broker.exchange(&broker.token("wl:ok")).await.minted();
    }
    // As it was, byte for byte: in order again, and nothing else.
    broker.files.write(domain, &good);
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    assert!(!is_faulty(&broker).await);
    assert!(config_check(&broker).await.contains("plan "));
    broker.exchange(&broker.token("wl:reader")).await.minted();
    // Broken, then mended to something new.
    broker.files.write(domain, "");
    broker.broker.reload().await.expect_err("an empty file");
    write_rules(&broker, &["new"]);
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    assert!(!is_faulty(&broker).await);
    broker.exchange(&broker.token("wl:new")).await.minted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_test_keeps_the_old_plan() {
    let broker = TestBroker::start().await;
    let with = |test: &str| format!("{}  tests:\n    - {test}\n", rules(&["ok", "new"]));
    let write = |text: &str| broker.files.oidc("issuer-a", &broker.issuer, "", text);
    write(&with(
        "deny: { subject: \"wl:new\" }\n      role: worker\n      reason: RULE_NO_MATCH",
    ));
    let found = broker.broker.reload().await.expect_err("the test fails");
    assert!(
        found
            .iter()
            .all(|problem| problem.code == assay::config::Code::TestFailed),
        "{found:?}"
    );
    broker.exchange(&broker.token("wl:new")).await.is_refused(
        400,
        "invalid_request",
        "RULE_NO_MATCH",
    );
    write(&with("allow: { subject: \"wl:new\" }\n      role: worker"));
    broker.broker.reload().await.expect("the test passes");
    broker.exchange(&broker.token("wl:new")).await.minted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_target_has_keys_before_it_can_be_asked_for() {
    let mut broker = TestBroker::start().await;
    broker.files.more.clear();
    let target = "    third: { selfHosted: { address: \"127.0.0.1:7235\", audience: third.test, \
                  namespaces: [payments], jwksRefresh: 1s, maxTtl: 1h } }\n";
    let config = path(&broker.files, "assay.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("  targets:\n", &format!("  targets:\n{target}")),
    )
    .unwrap();
    broker.files.write(
        "trust-domains/third-roles.yaml",
        "apiVersion: assay/v1\nkind: Roles\nmetadata: { name: third-roles }\nspec:\n  target: third\n  roles:\n\
         \x20   third-worker: { namespaces: { payments: write }, maxTtl: 10m }\n",
    );
    let rule =
        "    - { name: third, match: { subject: \"wl:ok\" }, grant: { role: third-worker } }\n";
    broker
        .files
        .oidc("issuer-a", &broker.issuer, "", &(rules(&["ok"]) + rule));
    let asking = async {
        loop {
            let reply = broker
                .ask(&broker.token("wl:ok"), &[("audience", "third")])
                .await;
            match reply.reason().as_str() {
                "TARGET_UNKNOWN" => {}
                _ => break reply,
            }
        }
    };
    let (reloaded, first) = tokio::join!(broker.broker.reload(), asking);
    reloaded.expect("the files are in order");
    // The first answer that knows the target is a credential by a published key.
    let header = first.minted();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(header.split('.').next().unwrap())
        .unwrap();
    let kid = serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone();
    let keys = broker.get("/targets/third/jwks.json").await.json();
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["kid"] == kid),
        "{keys}"
    );
    // And no other target's.
    let others = broker.get("/targets/prod/jwks.json").await.json();
    assert!(
        others["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["kid"] != kid),
        "{others}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lifetimes_of_roles_change() {
    let broker = TestBroker::start().await;
    assert_eq!(
        broker.exchange(&broker.token("wl:ok")).await.json()["expires_in"],
        600
    );
    change(
        &broker.files,
        "trust-domains/roles.yaml",
        "maxTtl: 10m",
        "maxTtl: 2m",
    );
    broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    assert_eq!(
        broker.exchange(&broker.token("wl:ok")).await.json()["expires_in"],
        120
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_exchange_fails_because_the_plan_changes() {
    let broker = TestBroker::start().await;
    let reloading = async {
        for round in 0..20 {
            let extra = format!("extra-{round}");
            write_rules(&broker, &["ok", &extra]);
            broker
                .broker
                .reload()
                .await
                .expect("the files are in order");
        }
    };
    let exchanging = async {
        for _ in 0..60 {
            broker.exchange(&broker.token("wl:ok")).await.minted();
        }
    };
    tokio::join!(reloading, exchanging);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_watched() {
    let broker = TestBroker::start().await;
    write_rules(&broker, &["new"]);
    eventually("the new rule is taken up", async || {
        broker.exchange(&broker.token("wl:new")).await.status == 200
    })
    .await;
    broker.files.write("trust-domains/issuer-a.yaml", "");
    eventually("the broken file is told", async || is_faulty(&broker).await).await;
    broker.exchange(&broker.token("wl:new")).await.minted();
    write_rules(&broker, &["new"]);
    eventually("the mended file is seen", async || {
        !is_faulty(&broker).await
    })
    .await;
}

/// The certificate that the public listener shows to a newcomer.
async fn shown(broker: &TestBroker, ca: &Ca) -> CertificateDer<'static> {
    let address = broker.broker.address(assay::server::Kind::Public).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    // A client of its own, so that no session is resumed.
    let stream = TlsConnector::from(client(ca))
        .connect(name, stream)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        STANDARD.encode(der)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_21_certificates_are_taken_as_a_pair_that_fits() {
    let broker = TestBroker::start().await;
    let (files, ca) = (&broker.files, &broker.files.ca);
    let old = shown(&broker, ca).await;
    let new: Leaf = ca.server(&["127.0.0.1", "localhost"]);
    files.write("tls.pem", &pem("CERTIFICATE", &new.chain[0]));
    broker
        .broker
        .reload()
        .await
        .expect("the configuration did not change");
    assert_eq!(
        shown(&broker, ca).await,
        old,
        "a certificate without its key"
    );
    files.write("tls.key", &pem("PRIVATE KEY", &new.key));
    broker
        .broker
        .reload()
        .await
        .expect("the configuration did not change");
    assert_eq!(shown(&broker, ca).await, new.chain[0]);
    // Gone, or expired: what is there stays.
    fs::remove_file(path(files, "tls.key")).unwrap();
    broker
        .broker
        .reload()
        .await
        .expect("the configuration did not change");
    let expired = ca.leaf(&["127.0.0.1", "localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    files.write("tls.pem", &pem("CERTIFICATE", &expired.chain[0]));
    files.write("tls.key", &pem("PRIVATE KEY", &expired.key));
    broker
        .broker
        .reload()
        .await
        .expect("the configuration did not change");
    assert_eq!(shown(&broker, ca).await, new.chain[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_loads_the_files_of_a_running_process() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "", &rules(&["ok"]));
    let config = files.config();
    let served = Served::start(&config);
    let (public, telemetry) = (served.address("public"), served.address("telemetry"));
    let tls = Arc::clone(&client(&files.ca));
    let mut connection = Connection::open(public, &tls).await.expect("it listens");
    let mut ask = async |subject: &str| {
        connection
            .exchange(&issuer.token(subject), "prod")
            .await
            .expect("an answer")
    };
    ask("wl:new")
        .await
        .is_refused(400, "invalid_request", "RULE_NO_MATCH");

    issuer.write(&files, "", &rules(&["ok", "new"]));
    served.signal(Signal::HUP);
    let (seen, _) = served.logs_after(0, "took on the new configuration");
    ask("wl:new").await.minted();

    change(&files, "trust-domains/ci.yaml", "rules:", "rulez:");
    served.signal(Signal::HUP);
    let (seen, line) = served.logs_after(seen, "is not in order; the old plan stays");
    assert!(line.contains("did you mean `rules`?"), "{line}");
    ask("wl:new").await.minted();
    let said = get_plain(telemetry, "/readyz/config?verbose").await;
    assert!(said.text().contains("not in order"), "{said:?}");

    change(&files, "trust-domains/ci.yaml", "rulez:", "rules:");
    served.signal(Signal::HUP);
    let (seen, _) = served.logs_after(seen, "in order again");

    // What is read at start only is told.
    change(&files, "assay.yaml", "deadline: 5s", "deadline: 6s");
    served.signal(Signal::HUP);
    served.logs_after(seen, "needs a restart");
    assert!(served.stop().success());
    assert!(
        !path(&files, "ready.json").exists(),
        "the ready file outlives the process"
    );
}
