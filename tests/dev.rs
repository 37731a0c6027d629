//! `assay dev`: what somebody sees in the first minute, and that it is real.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use assay::base::clock::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::Value;
use support::{
    broker::claims_of,
    process::{self, Connection, Ran, Served, run},
};

#[test]
fn once_shows_two_exchanges_and_ends() {
    let clock = SystemClock::new();
    let ran = run(["dev", "--once"]).exits(0);
    assert!(
        clock.uptime() < Duration::from_secs(5),
        "{:?}",
        clock.uptime()
    );
    for text in [
        // What went in, which rule decided, what came out.
        "1. A CI job exchanges its identity token",
        "project_id   4711",
        "granted by rule deploy-production of dev-ci (trust-domains/dev-ci.yaml:",
        "2. A workload exchanges its JWT-SVID",
        "sub          spiffe://dev.example/ns/payments/sa/worker",
        "granted by rule payments-worker of dev-spiffe (trust-domains/dev-spiffe.yaml:",
        "permissions  [\"payments:write\"]",
        // How it is used.
        "TEMPORAL_JWT_KEY_SOURCE1=https://",
        "TEMPORAL_ADDRESS=127.0.0.1:7233",
    ] {
        assert!(ran.stdout.contains(text), "{text}: {}", ran.stdout);
    }
    assert_eq!(ran.stderr, "", "nothing went wrong, so nothing is logged");
    assert!(!ran.stdout.contains("eyJ"), "no token is printed");
    assert!(
        !ran.stdout.contains('\u{1b}'),
        "no colours outside a terminal"
    );
    assert!(
        run(["dev", "--once", "--color", "always"])
            .exits(0)
            .stdout
            .contains('\u{1b}')
    );
}

#[test]
fn once_speaks_to_programs() {
    let lines = run(["dev", "--once", "-o", "json"]).exits(0).lines();
    let [ci, spiffe, settings] = &lines[..] else {
        panic!("{lines:?}");
    };
    for (exchange, rule, identity) in [
        (
            ci,
            "deploy-production",
            "dev-ci:project:payments:environment:production",
        ),
        (
            spiffe,
            "payments-worker",
            "spiffe://dev.example/ns/payments/sa/worker",
        ),
    ] {
        assert_eq!(exchange["kind"], "exchange");
        assert_eq!(
            (&exchange["rule"], &exchange["identity"]),
            (&rule.into(), &identity.into())
        );
        assert_eq!(exchange["credential"]["jti"], exchange["request_id"]);
        assert_eq!(exchange["credential"]["aud"], "dev-cluster");
    }
    assert_eq!(settings["kind"], "settings");
    assert_eq!(settings["server"]["TEMPORAL_AUTH_AUTHORIZER"], "default");
    assert_eq!(settings["worker"]["TEMPORAL_NAMESPACE"], "payments");
    let folder = settings["folder"].as_str().unwrap();
    assert!(!Path::new(folder).exists(), "the folder was not asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_kept_can_be_gone_on_with() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("assay");
    let name = folder.to_str().unwrap();
    let ran = run(["dev", "--once", "--dir", name]).exits(0);
    assert!(ran.stderr.contains("assay serve --config"), "{ran:?}");
    let config = folder.join("assay.yaml");
    let config_name = config.to_str().unwrap();
    run(["check", "--config", config_name]).exits(0);
    run(["test", "--config", config_name]).exits(0);
    let verdict = run(["audit", "verify", "-o", "json", "--config", config_name])
        .exits(0)
        .json();
    assert_eq!(verdict["records"], 2);
    // Its keys and its audit are still those of the same broker.
    let served = Served::start(&config);
    let tls = trusting(&folder);
    let mut connection = Connection::open(served.address("public"), &tls)
        .await
        .expect("it listens");
    let keys = connection
        .get("/targets/dev-cluster/jwks.json")
        .await
        .expect("an answer");
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);
    drop(served);
    // What is there is never written over.
    let ran = run(["dev", "--once", "--dir", name]).exits(2);
    assert!(ran.stderr.contains("is not empty"), "{ran:?}");
}

fn trusting(folder: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An `assay dev` that stays up, killed when dropped.
struct Staying(Child);

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_stays_up_everything_that_it_says_works() {
    let mut command = process::assay(["dev", "-o", "json"]);
    let mut dev = Staying(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(dev.0.stdout.take().unwrap()).lines();
    let lines: Vec<Value> = lines
        .take(3)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let settings = &lines[2];
    let text = |name: &str| settings[name].as_str().unwrap();

    // The line to paste, pasted.
    let done = Command::new("sh")
        .args(["-c", text("curl")])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let credential = claims_of(
        answer["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}")),
    );
    assert_eq!(
        credential["permissions"],
        serde_json::json!(["payments:write", "orders:read"])
    );

    // The Workload API, as a real client library uses it.
    let source = spiffe::JwtSourceBuilder::new()
        .endpoint(text("workload_api"))
        .build()
        .await
        .unwrap();
    let svid = source.fetch_jwt_svid([text("broker")]).await.unwrap();
    assert_eq!(
        svid.spiffe_id().to_string(),
        "spiffe://dev.example/ns/payments/sa/worker"
    );
    let folder = Path::new(text("folder"));
    let address = text("broker")
        .strip_prefix("https://")
        .unwrap()
        .parse()
        .unwrap();
    let mut connection = Connection::open(address, &trusting(folder))
        .await
        .expect("it listens");
    let reply = connection
        .exchange(svid.token(), "dev-cluster")
        .await
        .expect("an answer");
    assert_eq!(
        claims_of(&reply.minted())["sub"],
        "spiffe://dev.example/ns/payments/sa/worker"
    );

    // The audit has all of it, by the command that is named.
    let config = folder.join("assay.yaml");
    let audit = run([
        "audit",
        "tail",
        "-o",
        "json",
        "--config",
        config.to_str().unwrap(),
    ])
    .exits(0);
    assert_eq!(audit.lines().len(), 4);

    kill_process(Pid::from_child(&dev.0), Signal::INT).unwrap();
    assert!(dev.0.wait().unwrap().success());
    assert!(!folder.exists(), "the folder was not asked for");
}

#[test]
fn colours_are_nobodys_who_does_not_want_them() {
    let mut command = process::assay(["dev", "--once"]);
    let ran = Ran::of(command.env("NO_COLOR", "1")).exits(0);
    assert!(!ran.stdout.contains('\u{1b}'));
}
