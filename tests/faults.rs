//! What the world does to a broker: locked and full disks, clocks that jump,
//! descriptors that run out, files that are gone. Nothing is minted that is not
//! recorded, what can be told is told, and when the trouble ends it goes on by
//! itself.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod support;

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use assay::{
    base::clock::{Clock, ManualClock, Moment, SystemClock},
    server::{StartError, Stop},
};
use rustix::process::Resource;
use support::{
    broker::{Files, RULES, Reply, TestBroker, client, launch},
    fake_issuer::FakeIssuer,
    process::{self, Connection, FileIssuer, PROGRAM, Ran, Served, eventually, get_plain, path},
};

const RULE: &str =
    "  rules:\n    - { name: worker, match: { subject: \"wl:ok\" }, grant: { role: worker } }\n";

#[track_caller]
fn is_unavailable(reply: &Reply) {
    reply.is_refused(503, "temporarily_unavailable", "LEDGER_UNAVAILABLE");
    assert!(reply.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_09_a_locked_ledger_mints_nothing_and_heals() {
    let broker = TestBroker::start().await;
    broker.exchange(&broker.token("wl:ok")).await.minted();
    let locker = rusqlite::Connection::open(path(&broker.files, "ledger.db")).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let token = broker.token("wl:ok");
    is_unavailable(&broker.exchange(&token).await);
    // A refusal is not recorded either, and says so instead of itself.
    is_unavailable(&broker.exchange(&broker.token("wl:nobody")).await);
    let ready = broker.telemetry("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("[-]ledger"), "{}", ready.text());
    assert!(
        broker
            .telemetry("/metrics")
            .await
            .text()
            .contains("assay_ledger_healthy 0")
    );
    // Temporal servers go on: their keys are in memory.
    assert_eq!(broker.get("/targets/prod/jwks.json").await.status, 200);
    assert_eq!(broker.telemetry("/livez").await.status, 200);

    locker.execute_batch("ROLLBACK").unwrap();
    eventually("the ledger heals", async || {
        broker.telemetry("/readyz").await.status == 200
    })
    .await;
    // What was refused for our own fault was not used up.
    broker.exchange(&token).await.minted();
    let audit = broker.audit().await;
    assert_eq!(audit.len(), 2, "{audit:?}");
    assert!(audit.iter().all(|record| record["outcome"] == "issued"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_11_a_ledger_that_was_taken_away_is_not_begun_anew() {
    let broker = TestBroker::start().await;
    let used = broker.token("wl:ok");
    broker.exchange(&used).await.minted();
    let (here, away) = (
        path(&broker.files, "ledger.db"),
        path(&broker.files, "away.db"),
    );
    fs::rename(&here, &away).unwrap();
    is_unavailable(&broker.exchange(&used).await);
    let token = broker.token("wl:ok");
    is_unavailable(&broker.exchange(&token).await);
    assert!(!here.exists(), "an empty ledger knows no used tokens");
    fs::rename(&away, &here).unwrap();
    eventually("the ledger is back", async || {
        broker.telemetry("/readyz").await.status == 200
    })
    .await;
    broker.exchange(&token).await.minted();
    broker
        .exchange(&used)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_full_disk_mints_nothing_and_heals() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "    singleUse: true\n", RULE);
    let served = Served::start_without_xfsz(&files.config());
    let tls = client(&files.ca);
    let mut connection = Connection::open(served.address("public"), &tls)
        .await
        .expect("it listens");
    connection
        .exchange(&issuer.token("wl:ok"), "prod")
        .await
        .expect("an answer")
        .minted();

    served.limit(Resource::Fsize, Some(4096));
    let token = issuer.token("wl:ok");
    for _ in 0..3 {
        is_unavailable(
            &connection
                .exchange(&token, "prod")
                .await
                .expect("an answer"),
        );
    }
    let line = served.logs("disk");
    assert!(line.contains("\"level\":\"ERROR\""), "{line}");
    let telemetry = served.address("telemetry");
    assert_eq!(get_plain(telemetry, "/readyz/ledger").await.status, 503);

    served.limit(Resource::Fsize, None);
    eventually("the disk has room", async || {
        get_plain(telemetry, "/readyz/ledger").await.status == 200
    })
    .await;
    connection
        .exchange(&token, "prod")
        .await
        .expect("an answer")
        .minted();
    assert!(served.stop().success());
    let config = path(&files, "assay.yaml");
    let verdict = process::run([
        "audit",
        "verify",
        "-o",
        "json",
        "--config",
        config.to_str().unwrap(),
    ]);
    assert_eq!(verdict.exits(0).json()["records"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_19_without_descriptors_those_who_are_in_are_served_and_the_rest_can_come_later() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "", RULE);
    let served = Served::start(&files.config());
    let address = served.address("public");
    let tls = client(&files.ca);
    let mut inside = Connection::open(address, &tls).await.expect("it listens");
    inside
        .exchange(&issuer.token("wl:ok"), "prod")
        .await
        .expect("an answer")
        .minted();
    served.limit(Resource::Nofile, Some(64));
    // The system takes these; the broker cannot.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(
            tokio::net::TcpStream::connect(address)
                .await
                .expect("the system connects"),
        );
    }
    served.logs("cannot take a connection");
    for _ in 0..5 {
        inside
            .exchange(&issuer.token("wl:ok"), "prod")
            .await
            .expect("an answer")
            .minted();
    }
    drop(crowd);
    eventually("newcomers are served again", async || {
        let Some(mut connection) = Connection::open(address, &tls).await else {
            return false;
        };
        let reply = connection.exchange(&issuer.token("wl:ok"), "prod").await;
        reply.is_some_and(|reply| reply.status == 200)
    })
    .await;
}

/// A broker with a clock that the test sets.
async fn with_clock() -> (TestBroker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "    singleUse: true\n", RULES);
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    (TestBroker::on(files, issuer, time).await, clock)
}

async fn clock_check(broker: &TestBroker) -> String {
    let reply = broker.telemetry("/readyz/clock?verbose").await;
    // Worth knowing, and no reason to take the broker out of service.
    assert_eq!(reply.status, 200);
    reply.text().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_a_clock_that_jumps_is_noticed_and_tokens_are_judged_by_it() {
    let (broker, clock) = with_clock().await;
    let start = clock.now();
    let (first, used) = (broker.token("wl:ok"), broker.token("wl:ok"));
    broker.exchange(&used).await.minted();
    assert!(clock_check(&broker).await.contains("steady"));

    clock.jump_to(start.plus(Duration::from_secs(3600)));
    broker
        .exchange(&first)
        .await
        .is_refused(400, "invalid_request", "TOKEN_EXPIRED");
    broker.exchange(&broker.token("wl:ok")).await.minted();
    eventually("the jump is told", async || {
        clock_check(&broker).await.contains("jumped forward by 36")
    })
    .await;

    // Back again: what was made meanwhile is from the future now, what was
    // used is still used, and what was not can be.
    let ahead = broker.token("wl:ok");
    clock.jump_to(start);
    broker
        .exchange(&ahead)
        .await
        .is_refused(400, "invalid_request", "TOKEN_NOT_YET_VALID");
    broker
        .exchange(&used)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
    broker.exchange(&first).await.minted();
    eventually("the jump back is told", async || {
        clock_check(&broker).await.contains("jumped back by 36")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_no_time_that_a_clock_can_show_is_fatal() {
    let (broker, clock) = with_clock().await;
    let start = clock.now();
    let used = broker.token("wl:ok");
    broker.exchange(&used).await.minted();
    let decade = Duration::from_secs(10 * 365 * 86_400);
    for time in [
        start.plus(decade),
        Moment::from_secs(0),
        Moment::from_secs(-86_400),
        start,
    ] {
        clock.jump_to(time);
        for token in [&used, &broker.token("wl:ok")] {
            let reply = broker.exchange(token).await;
            assert_ne!(reply.reason(), "INTERNAL", "{time}: {}", reply.json());
            assert!(
                [200, 400, 503].contains(&reply.status),
                "{time}: {}",
                reply.json()
            );
        }
        assert_eq!(broker.telemetry("/livez").await.status, 200);
        assert_eq!(broker.telemetry("/metrics").await.status, 200);
        // Keys of ours and of others may have grown too old meanwhile.
        let _ = broker.broker.tick_signing().await;
        broker.broker.refresh_keys().await;
    }
    broker
        .exchange(&used)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_encryption_key_is_told_and_changes_nothing() {
    let broker = TestBroker::start().await;
    let before = broker.get("/targets/prod/jwks.json").await.body;
    let TestBroker {
        broker: running,
        files,
        issuer,
        clock,
        ..
    } = broker;
    running.drain(Stop::Prompt).await;
    fs::write(path(&files, "kek"), [8; 32]).unwrap();
    let fault = launch(&files, Arc::clone(&clock))
        .await
        .err()
        .expect("it must not start");
    assert!(matches!(fault, StartError::Signing(_)), "{fault}");
    let (code, said) = Served::refuses(&files.config());
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("key-encryption key is not the one"), "{said}");
    // Keys that would be lost by starting anew are all still there.
    fs::write(path(&files, "kek"), [7; 32]).unwrap();
    let broker = TestBroker::on(files, issuer, clock).await;
    assert_eq!(broker.get("/targets/prod/jwks.json").await.body, before);
    broker.exchange(&broker.token("wl:ok")).await.minted();
}

#[test]
fn f_21_a_start_that_cannot_be_is_refused_with_the_reason() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "", RULE);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = files.config();
    let good = fs::read_to_string(&config).unwrap();
    let other = support::tls::Ca::new("another").server(&["localhost"]);
    let refused = |code: i32, words: &[&str]| {
        let (found, said) = Served::refuses(&config);
        assert_eq!(found, Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    };

    fs::write(&config, good.replacen("127.0.0.1:0", &address, 1)).unwrap();
    refused(1, &["public listener", &address]);
    fs::write(&config, &good).unwrap();

    let (certificate, key) = (path(&files, "tls.pem"), path(&files, "tls.key"));
    let (pem, secret) = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    fs::remove_file(&key).unwrap();
    refused(10, &["tls.key"]);
    files.write(
        "tls.key",
        "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n",
    );
    refused(10, &["tls.key"]);
    fs::write(&key, pem_of("PRIVATE KEY", &other.key)).unwrap();
    refused(10, &["not the key of the first certificate"]);
    fs::write(&key, &secret).unwrap();
    fs::write(&certificate, "").unwrap();
    refused(10, &["tls.pem", "at least one certificate"]);
    fs::write(&certificate, &pem).unwrap();

    fs::remove_file(path(&files, "kek")).unwrap();
    refused(10, &["keyEncryption.key", "kek"]);
    fs::write(path(&files, "kek"), [7; 31]).unwrap();
    refused(10, &["32 random bytes"]);
    fs::write(path(&files, "kek"), [7; 32]).unwrap();

    // All of it was these faults: without them it starts.
    assert!(Served::start(&config).stop().success());
}

fn pem_of(kind: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!(
        "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
        STANDARD.encode(der)
    )
}

#[test]
fn g_09_a_ledger_of_a_newer_version_is_left_alone() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "", RULE);
    let config = files.config();
    assert!(Served::start(&config).stop().success());
    let ledger = path(&files, "ledger.db");
    let set = |version: i32| {
        let connection = rusqlite::Connection::open(&ledger).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    };
    let was: i32 = {
        let connection = rusqlite::Connection::open(&ledger).unwrap();
        connection
            .query_row("PRAGMA user_version", (), |row| row.get(0))
            .unwrap()
    };
    set(99);
    let (code, said) = Served::refuses(&config);
    assert_eq!(code, Some(13), "{said}");
    assert!(said.contains("99"), "{said}");
    let read = process::run(["audit", "verify", "--ledger", ledger.to_str().unwrap()]).exits(13);
    assert!(read.stderr.contains("99"), "{read:?}");
    set(was);
    assert!(Served::start(&config).stop().success());
}

#[test]
fn a_ledger_that_may_not_be_written_is_refused_with_the_reason() {
    let (files, issuer) = (Files::new(), FileIssuer::new());
    issuer.write(&files, "", RULE);
    let config = files.config();
    assert!(Served::start(&config).stop().success());
    let ledger = path(&files, "ledger.db");
    for file in fs::read_dir(files.folder.path()).unwrap() {
        let file = file.unwrap().path();
        if file.to_string_lossy().contains("ledger.db") {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        }
    }
    let mut command = if rustix::process::geteuid().is_root() {
        // Nothing is read-only for root: be somebody else.
        as_nobody(&files)
    } else {
        process::assay::<&str>([])
    };
    let ran = Ran::of(command.args(["serve", "--config"]).arg(&config)).exits(13);
    assert!(ran.stderr.contains("read-only"), "{ran:?}");
    // Reading needs no more than that.
    let ledger = ledger.to_str().unwrap();
    let verdict = process::run(["audit", "verify", "--ledger", ledger, "-o", "json"]);
    assert_eq!(verdict.exits(0).json()["intact"], true);
}

/// The program under a user who may do nothing, in a folder of theirs.
fn as_nobody(files: &Files) -> std::process::Command {
    use std::os::unix::{fs::chown, process::CommandExt as _};
    let nobody = 65_534;
    let give = |path: &std::path::Path| chown(path, Some(nobody), Some(nobody)).unwrap();
    let folder = files.folder.path();
    let program = folder.join("assay");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    give(folder);
    for file in fs::read_dir(folder).unwrap() {
        give(&file.unwrap().path());
    }
    let mut command = std::process::Command::new(&program);
    command
        .uid(nobody)
        .gid(nobody)
        .current_dir("/")
        .stdin(std::process::Stdio::null());
    command
}
