//! `keys`, `audit` and `kill-switch`, beside a broker that has the ledger open.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use assay::base::clock::{Clock, ManualClock};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Folder, members,
    support::{
        broker::{Files, RULES, Reply, TestBroker, client},
        fake_issuer::FakeIssuer,
        process::{self, Connection, Ran, Served, eventually, now, path},
    },
};

/// A broker on the folder, and a connection to it.
struct Live {
    folder: Folder,
    served: Served,
    connection: Connection,
}

impl Live {
    async fn start() -> Self {
        let folder = Folder::new();
        let served = Served::start(&folder.config);
        let tls = Arc::clone(&client(&folder.files.ca));
        let connection = Connection::open(served.address("public"), &tls).await;
        Self {
            connection: connection.expect("it listens"),
            folder,
            served,
        }
    }

    async fn ask(&mut self, subject: &str) -> Reply {
        let token = self.folder.issuer.token(subject);
        self.connection
            .exchange(&token, "prod")
            .await
            .expect("an answer")
    }

    async fn published(&mut self, target: &str) -> Vec<String> {
        let reply = self
            .connection
            .get(&format!("/targets/{target}/jwks.json"))
            .await;
        kids(&reply.expect("an answer"))
    }
}

/// The ids of a key set.
fn kids(reply: &Reply) -> Vec<String> {
    let keys = reply.json();
    let kid = |key: &Value| key["kid"].as_str().expect("a kid").to_owned();
    keys["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(kid)
        .collect()
}

fn kid_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// The broker is in this process, for the hour until a published key signs has
/// to be passed; the command is not, and its clock is the machine's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g_03_a_rotation_reaches_a_running_broker_and_fails_no_exchange() {
    let start = now().minus(Duration::from_secs(3 * 3600));
    let clock = Arc::new(ManualClock::at(start));
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "", RULES);
    let live = TestBroker::on(files, issuer, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let config = path(&live.files, "assay.yaml");
    let keys = |args: &[&str]| {
        Ran::of(
            process::assay(["keys"])
                .args(args)
                .args(["-o", "json", "--config"])
                .arg(&config),
        )
    };
    let in_phase = |phase: &str| -> Vec<String> {
        let rows = keys(&["list"]).exits(0).lines();
        let of = rows
            .iter()
            .filter(|row| row["target"] == "prod" && row["phase"] == phase);
        of.map(|row| row["kid"].as_str().expect("a kid").to_owned())
            .collect()
    };
    let published = async || kids(&live.get("/targets/prod/jwks.json").await);

    let rows = keys(&["list"]).exits(0).lines();
    assert_eq!(rows.len(), 2, "one for each target: {rows:?}");
    assert_eq!(
        members(&rows[0]),
        [
            "alg",
            "created_at",
            "due",
            "kid",
            "phase",
            "since",
            "target"
        ]
    );
    let old = in_phase("active").remove(0);
    assert_eq!(
        kid_of(&live.exchange(&live.token("wl:ok")).await.minted()),
        old
    );

    let ran = keys(&["rotate", "prod"]).exits(0);
    assert!(ran.stderr.contains("running brokers"), "{ran:?}");
    let next = in_phase("next").remove(0);
    eventually("the next key is published", async || {
        published().await.contains(&next)
    })
    .await;
    // To ask twice is to have asked.
    keys(&["rotate", "prod"]).exits(0);
    assert_eq!(in_phase("next"), std::slice::from_ref(&next));
    // The key that signs cannot be withdrawn.
    keys(&["retire", "prod", &old]).exits(1);
    keys(&["retire", "prod", "no-such-key"]).exits(1);
    keys(&["rotate", "nowhere"]).exits(1);

    // Until the switch and after it, every credential is by a key that was
    // published before.
    let mut minutes = 0;
    loop {
        let before = published().await;
        let kid = kid_of(&live.exchange(&live.token("wl:ok")).await.minted());
        assert!(
            before.contains(&kid),
            "{kid} signs and was not published: {before:?}"
        );
        if kid == next {
            break;
        }
        clock.advance(Duration::from_secs(300));
        live.broker
            .tick_signing()
            .await
            .expect("the ledger is there");
        minutes += 5;
        assert!(minutes < 120, "it never switches");
    }
    assert!(minutes >= 5, "servers were given no time to fetch it");
    // What the old one signed is still good, until somebody says otherwise.
    assert!(published().await.contains(&old));
    assert_eq!(in_phase("retiring"), std::slice::from_ref(&old));
    keys(&["retire", "prod", &old]).exits(0);
    eventually("the retired key is withdrawn", async || {
        !published().await.contains(&old)
    })
    .await;
    assert_eq!(
        kid_of(&live.exchange(&live.token("wl:ok")).await.minted()),
        next
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_wrong_hands_is_withdrawn_within_seconds() {
    let mut live = Live::start().await;
    let old = kid_of(&live.ask("wl:ok").await.minted());
    let others = live.published("other").await;
    live.folder
        .run(&["keys", "rotate", "prod", "--compromised"])
        .exits(0);
    eventually("it is withdrawn", async || {
        !live.published("prod").await.contains(&old)
    })
    .await;
    assert_ne!(kid_of(&live.ask("wl:ok").await.minted()), old);
    assert_eq!(
        live.published("other").await,
        others,
        "other targets have keys of their own"
    );
}

#[test]
fn keys_and_switches_make_no_ledger() {
    let folder = Folder::new();
    for args in [
        &["keys", "list"][..],
        &["keys", "rotate", "prod"],
        &["kill-switch", "list"],
        &["kill-switch", "on", "target", "prod"],
        &["audit", "verify"],
    ] {
        folder.run(args).exits(13);
        assert!(!path(&folder.files, "ledger.db").exists(), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_switch_stops_a_running_broker_and_lets_it_go_on() {
    let mut live = Live::start().await;
    live.ask("wl:ok").await.minted();
    for (kind, name) in [
        ("issuer", "https://ci.test"),
        ("trust-domain", "ci"),
        ("rule", "ci/worker"),
        ("subject", "ci:wl:ok"),
        ("target", "prod"),
    ] {
        let ran = live
            .folder
            .json(&["kill-switch", "on", kind, name, "--reason", "drill"])
            .exits(0);
        assert_eq!(ran.stderr, "", "it is known");
        assert_eq!(
            ran.json(),
            serde_json::json!({ "kind": kind, "name": name })
        );
        eventually("it is stopped", async || {
            live.ask("wl:ok").await.reason() == "DISABLED"
        })
        .await;
        assert_eq!(
            live.folder
                .json(&["kill-switch", "list"])
                .exits(0)
                .lines()
                .len(),
            1
        );
        live.folder
            .run(&["kill-switch", "off", kind, name])
            .exits(0);
        eventually("it goes on", async || live.ask("wl:ok").await.status == 200).await;
    }
    assert_eq!(
        live.folder.run(&["kill-switch", "list"]).exits(0).stdout,
        ""
    );
    let records = live
        .folder
        .json(&["audit", "query", "--outcome", "on"])
        .exits(0)
        .lines();
    assert_eq!(records.len(), 5);
    let first = &records[0];
    assert_eq!(
        first["switch"],
        serde_json::json!({ "kind": "issuer", "name": "https://ci.test" })
    );
    assert_eq!(first["why"], "drill");
    assert_eq!(
        live.folder.json(&["audit", "verify"]).exits(0).json()["intact"],
        true
    );

    // A name that nothing has stops nothing, and is told.
    let ran = live
        .folder
        .run(&["kill-switch", "on", "trust-domain", "co"])
        .exits(0);
    assert!(ran.stderr.contains("trust domain co"), "{ran:?}");
    live.folder
        .run(&["kill-switch", "on", "rule", "worker"])
        .exits(2);
}

/// An incident must not wait for a file to be mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_switch_works_beside_a_broken_configuration() {
    let mut live = Live::start().await;
    live.ask("wl:ok").await.minted();
    live.folder.files.write("trust-domains/ci.yaml", "broken");
    live.folder
        .run(&["kill-switch", "on", "target", "prod"])
        .exits(10);
    let ledger = path(&live.folder.files, "ledger.db");
    let ledger = ledger.to_str().unwrap();
    process::run(["kill-switch", "on", "target", "prod", "--ledger", ledger]).exits(0);
    eventually("it is stopped", async || {
        live.ask("wl:ok").await.reason() == "DISABLED"
    })
    .await;
    process::run(["audit", "tail", "--ledger", ledger]).exits(0);
    drop(live.served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_is_read_while_it_is_written() {
    let mut live = Live::start().await;
    let mut follow = process::assay(["audit", "tail", "-f", "-o", "json", "--config"])
        .arg(&live.folder.config)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let issued = live.ask("wl:ok").await.json();
    let refused = live.ask("wl:nobody").await.json();
    for (answer, outcome) in [(&issued, "issued"), (&refused, "refused")] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&line["outcome"], &line["request_id"]),
            (&outcome.into(), &answer["request_id"])
        );
    }
    // Nobody reads any more: it ends at the next record.
    drop(lines);
    eventually("the follower ends", async || {
        live.ask("wl:reader").await;
        follow
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success())
    })
    .await;

    let query = |args: &[&str]| {
        live.folder
            .json(&[&["audit", "query"], args].concat())
            .exits(0)
            .lines()
    };
    let id = issued["request_id"].as_str().unwrap();
    for args in [
        &["--request-id", id][..],
        &["--rule", "worker"],
        &["--identity", "ci:wl:ok", "--outcome", "issued"],
        &["--reason", "RULE_NO_MATCH"],
    ] {
        assert_eq!(query(args).len(), 1, "{args:?}");
    }
    let all = query(&[]);
    assert!(all.len() >= 3);
    assert_eq!(
        query(&["--since", "1h", "--target", "prod"]).len(),
        all.len()
    );
    assert!(query(&["--until", "1h"]).is_empty());
    assert_eq!(query(&["--limit", "1"]), all[all.len() - 1..]);
    let tail = live
        .folder
        .json(&["audit", "tail", "-n", "2"])
        .exits(0)
        .lines();
    assert_eq!(tail, all[all.len() - 2..]);
    let text = live
        .folder
        .run(&["audit", "query", "--request-id", id])
        .exits(0)
        .stdout;
    assert!(
        text.contains("issued") && text.contains("ci:wl:ok -> prod"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampering_with_the_audit_is_found() {
    let mut live = Live::start().await;
    for _ in 0..5 {
        live.ask("wl:ok").await.minted();
    }
    let Live { folder, served, .. } = live;
    assert!(served.stop().success());
    let verdict = folder.json(&["audit", "verify"]).exits(0).json();
    assert_eq!(
        members(&verdict),
        ["broken_at", "head", "intact", "records", "what"]
    );
    assert_eq!(
        (&verdict["intact"], &verdict["records"]),
        (&true.into(), &5.into())
    );
    let text = folder.run(&["audit", "verify"]).exits(0).stdout;
    assert!(text.starts_with("chain intact: 5 records, head "), "{text}");

    let ledger = path(&folder.files, "ledger.db");
    let whole = std::fs::read(&ledger).unwrap();
    for (what, sql, at) in [
        (
            "changed",
            "UPDATE audit SET json = replace(json, 'wl:ok', 'wl:no') WHERE sequence = 3",
            3,
        ),
        (
            "another hash",
            "UPDATE audit SET hash = zeroblob(32) WHERE sequence = 2",
            2,
        ),
        ("removed", "DELETE FROM audit WHERE sequence = 4", 4),
        ("cut off", "DELETE FROM audit WHERE sequence = 5", 5),
    ] {
        let connection = rusqlite::Connection::open(&ledger).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let verdict = folder.json(&["audit", "verify"]).exits(1).json();
        assert_eq!(
            (&verdict["intact"], &verdict["broken_at"]),
            (&false.into(), &at.into()),
            "{what}: {verdict}"
        );
        let text = folder.run(&["audit", "verify"]).exits(1).stdout;
        assert!(
            text.starts_with(&format!("chain BROKEN at record {at}: ")),
            "{what}: {text}"
        );
        for beside in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(path(&folder.files, beside));
        }
        std::fs::write(&ledger, &whole).unwrap();
        folder.run(&["audit", "verify"]).exits(0);
    }
}
