//! L: the record of every exchange, and that nobody writes in it but us.

use std::collections::BTreeSet;

use assay::ledger::{ChainState, Ledger as _};
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::{
    rig::Rig,
    secrecy::Log,
    support::{
        broker::{Files, RULES, form},
        fake_issuer::FakeIssuer,
    },
};

/// The members that each record has, whatever the outcome.
const MEMBERS: &[&str] = &[
    "v",
    "time",
    "kind",
    "request_id",
    "outcome",
    "reason",
    "trust_domain",
    "identity",
    "attributes",
    "evidence",
    "rule",
    "observed",
    "role",
    "target",
    "scope",
    "credential",
    "compared",
    "policy",
    "grant_type",
    "caller",
];

/// What could end a line, hide or turn text around, or speak to a terminal.
fn strange(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_05_every_exchange_is_one_whole_record_in_an_unbroken_chain() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let mut requests = BTreeSet::new();
    let used = rig.broker.token("wl:ok");
    for (token, more) in [
        (used.clone(), vec![("audience", "prod")]),
        (used, vec![("audience", "prod")]),
        (rig.broker.token("wl:nobody"), vec![("audience", "prod")]),
        (rig.broker.token("wl:ok"), vec![]),
        (
            rig.broker.token("wl:ok"),
            vec![("audience", "prod"), ("scope", "worker")],
        ),
        (
            rig.good().claim("exp", 5).sign(&key),
            vec![("audience", "prod")],
        ),
        ("x".to_owned(), vec![("audience", "prod")]),
        (String::new(), vec![]),
    ] {
        let reply = rig.broker.ask(&token, &more).await;
        let id = reply.json()["request_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        assert!(requests.insert(id), "each request has an id of its own");
    }
    let records = rig.records().await;
    let recorded: BTreeSet<_> = records
        .iter()
        .filter_map(|r| r["request_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!((records.len(), recorded), (requests.len(), requests));
    for record in &records {
        let names: BTreeSet<_> = record
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, MEMBERS.iter().copied().collect(), "{record}");
        assert_eq!(record["caller"]["address"], "127.0.0.1");
        assert_eq!(
            record["reason"].is_null(),
            record["outcome"] == "issued",
            "{record}"
        );
        if record["outcome"] == "issued" {
            for member in ["sha256", "alg", "kid", "jti", "issuer", "expires_at"] {
                assert!(record["evidence"][member].is_string(), "{member}: {record}");
            }
            for member in ["id", "type", "expires_at"] {
                assert!(
                    record["credential"][member].is_string(),
                    "{member}: {record}"
                );
            }
            for member in ["identity", "rule", "role", "target", "scope", "policy"] {
                assert!(
                    record[member].as_str().is_some_and(|text| !text.is_empty()),
                    "{member}: {record}"
                );
            }
        }
    }
    let state = rig.replica().verify_chain().await.expect("it reads");
    assert!(
        matches!(state, ChainState::Intact { records: 8, .. }),
        "{state:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_06_nothing_that_is_sent_breaks_a_record_or_a_log_line() {
    let log = Log::of_this_process();
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "", RULES);
    let rig = Rig::on(files, issuer).await;
    let key = rig.broker.issuer.key();
    let odd = "x\u{2028}\u{202e}\u{1b}[2J\r\n{\"outcome\":\"issued\"}\u{85}MARK-OF-L06";
    // Without control characters: what a subject may hold.
    let plain = "wl:\u{2028}\u{202e}\u{200b}\u{feff}\"}\\,{\"outcome\":\"issued\"";
    for token in [
        rig.good().claim("sub", plain).sign(&key),
        rig.good().claim("sub", odd).sign(&key),
        rig.good().claim("jti", plain).sign(&key),
        rig.good().claim("jti", odd).sign(&key),
        rig.good().claim("iss", odd).sign(&key),
        rig.good().claim("aud", odd).sign(&key),
        rig.good()
            .claim(odd, odd)
            .claim("list", json!([odd]))
            .sign(&key),
        rig.good()
            .claim(plain, plain)
            .claim("list", json!([plain]))
            .sign(&key),
        rig.good().header("kid", plain).sign(&key),
        rig.good().header("typ", odd).sign(&key),
        rig.good().header("alg", odd).sign(&key),
        rig.good().header(odd, odd).sign(&key),
        odd.to_owned(),
    ] {
        let more = [("audience", "prod"), ("client_id", odd)];
        let reply = rig.broker.ask(&token, &more).await;
        let reply = reply.text().to_owned();
        assert!(!reply.contains(strange), "{reply}");
    }
    for (name, value) in [
        ("audience", odd),
        ("scope", odd),
        ("resource", odd),
        ("grant_type", odd),
        (odd, odd),
    ] {
        let reply = rig
            .broker
            .post(&[("assertion", "a.b.c"), (name, value)])
            .await;
        assert!(!reply.text().contains(strange), "{name}: {}", reply.text());
    }
    let agent = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", &b"x\xc2\x85\xe2\x80\xaey\x80"[..])
        .body(Full::new(form(&rig.broker.token("wl:ok")).into()))
        .expect("a request");
    rig.broker.send(agent).await.minted();

    let query = assay::ledger::Query {
        after_sequence: Some(0),
        ..Default::default()
    };
    let stored = rig.replica().audit(query).await.expect("the audit reads");
    assert!(stored.len() >= 17, "{}", stored.len());
    for record in stored {
        assert!(!record.json.contains(strange), "{}", record.json);
    }
    assert!(!String::from_utf8_lossy(&log.bytes()).contains("MARK-OF-L06"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_08_a_ledger_that_was_changed_says_where() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        rig.grants("good", &rig.broker.token("wl:ok")).await;
    }
    let path = rig.broker.files.folder.path().join("ledger.db");
    // As an intruder with the file does it: the whole database, copied and mended.
    let copy = rig.broker.files.folder.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    let wal = rig.broker.files.folder.path().join("ledger.db-wal");
    if wal.exists() {
        std::fs::copy(&wal, rig.broker.files.folder.path().join("copy.db-wal")).expect("copied");
    }
    let database = rusqlite::Connection::open(&copy).expect("it opens");
    let changed = database.execute(
        "UPDATE audit SET json = replace(json, 'wl:ok', 'wl:no') WHERE sequence = 2",
        [],
    );
    assert_eq!(changed, Ok(1));
    drop(database);
    let ledger = assay::ledger::Sqlite::open_read_only(&copy).expect("it opens");
    let state = ledger.verify_chain().await.expect("it reads");
    assert!(
        matches!(state, ChainState::Broken { sequence: 2, .. }),
        "{state:?}"
    );
    let untouched = rig.replica().verify_chain().await.expect("it reads");
    assert!(
        matches!(untouched, ChainState::Intact { records: 3, .. }),
        "{untouched:?}"
    );
}
