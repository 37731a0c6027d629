//! The broker is killed again and again while it is at work.
//!
//! What is promised: whoever received a credential finds it in the audit, the
//! audit's chain holds, and no token that may be used once was used twice, also
//! when its first use and its second lie on both sides of a crash.

mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use assay::{
    base::random::{SystemRandom, bytes},
    ledger::{Ledger as _, Query, Sqlite},
};
use serde_json::Value;
use support::{
    broker::{Files, claims_of, client},
    process::{Connection, FileIssuer, Served, path, run},
};
use tokio::{sync::mpsc, task::JoinSet};

const ROUNDS: usize = 100;
const CLIENTS: usize = 8;

const RULES: &str =
    "  rules:\n    - { name: worker, match: { subject: \"wl:ok\" }, grant: { role: worker } }\n";
const BUDGETS: &str = "  budgets:\n\
    \x20   perAddress: { rate: 100000, burst: 100000 }\n\
    \x20   perIdentity: { rate: 100000, burst: 100000 }\n";

/// What the clients know, all rounds together.
#[derive(Default)]
struct Notes {
    /// The ids of the credentials that were received, by token.
    received: HashMap<String, Vec<String>>,
    /// Tokens that were sent once and may be sent again: what became of them
    /// was never heard, or they were used and must not be usable again.
    again: Vec<String>,
    /// Tokens whose request was cut off by a kill, ever.
    cut: HashSet<String>,
    replays: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_hundred_kills_under_load_lose_no_record_and_free_no_token() {
    let issuer = Arc::new(FileIssuer::new());
    let mut files = Files::new();
    files.more.push_str(BUDGETS);
    issuer.write(&files, "    singleUse: true\n", RULES);
    let config = files.config();
    let tls = client(&files.ca);
    let notes = Arc::new(Mutex::new(Notes::default()));
    for _ in 0..ROUNDS {
        let mut served = Served::start(&config);
        let address = served.address("public");
        let (answered, mut answers) = mpsc::unbounded_channel();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (issuer, notes) = (Arc::clone(&issuer), Arc::clone(&notes));
            let (tls, answered) = (Arc::clone(&tls), answered.clone());
            clients.spawn(async move {
                let Some(mut connection) = Connection::open(address, &tls).await else {
                    return;
                };
                while one(&mut connection, &issuer, &notes).await {
                    let _ = answered.send(());
                }
            });
        }
        // A random moment, in what was done so far; at times before anything was.
        let [moment] = bytes::<1>(&SystemRandom);
        for _ in 0..moment % 48 {
            answers
                .recv()
                .await
                .expect("the clients go on until the kill");
        }
        served.kill();
        while let Some(ended) = clients.join_next().await {
            ended.expect("every answer was one that is allowed");
        }
    }
    let notes = std::mem::take(&mut *notes.lock().expect("no panic"));
    check(&files, &notes).await;
}

/// One exchange; `false` if the connection broke.
async fn one(connection: &mut Connection, issuer: &FileIssuer, notes: &Mutex<Notes>) -> bool {
    let [dice] = bytes::<1>(&SystemRandom);
    let old = (dice % 3 == 0)
        .then(|| notes.lock().expect("no panic").again.pop())
        .flatten();
    let is_old = old.is_some();
    let token = old.unwrap_or_else(|| issuer.token("wl:ok"));
    let reply = connection.exchange(&token, "prod").await;
    let mut notes = notes.lock().expect("no panic");
    let Some(reply) = reply else {
        notes.cut.insert(token.clone());
        notes.again.push(token);
        return false;
    };
    let json = reply.json();
    match (reply.status, json["reason"].as_str()) {
        (200, _) => {
            let credential = json["access_token"].as_str().expect("a token");
            let id = claims_of(credential)["jti"]
                .as_str()
                .expect("an id")
                .to_owned();
            notes.received.entry(token.clone()).or_default().push(id);
            if dice % 4 == 1 {
                notes.again.push(token);
            }
        }
        (400, Some("TOKEN_REPLAYED")) if is_old => notes.replays += 1,
        // Nothing else was wrong with any of them.
        _ => panic!("{} {json}", reply.status),
    }
    true
}

async fn check(files: &Files, notes: &Notes) {
    let config = path(files, "assay.yaml");
    let config = config.to_str().expect("UTF-8");
    let verdict = run(["audit", "verify", "--config", config, "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(verdict["intact"], true, "{verdict}");

    let mut issued = HashSet::new();
    let mut evidence = HashSet::new();
    let ledger = Sqlite::open_read_only(&path(files, "ledger.db")).expect("the ledger opens");
    let mut after = 0;
    loop {
        let query = Query {
            after_sequence: Some(after),
            ..Query::default()
        };
        let page = ledger.audit(query).await.expect("the audit reads");
        let Some(last) = page.last() else { break };
        after = last.sequence;
        for record in &page {
            let json: Value = serde_json::from_str(&record.json).expect("JSON");
            if json["outcome"] == "issued" {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                assert!(
                    issued.insert(text(&json["credential"]["id"])),
                    "an id twice"
                );
                assert!(
                    evidence.insert(text(&json["evidence"]["sha256"])),
                    "a token used twice"
                );
            }
        }
    }
    assert_eq!(verdict["records"], after);
    for (token, ids) in &notes.received {
        assert_eq!(
            ids.len(),
            1,
            "one token, several credentials: {ids:?}; {token}"
        );
        assert!(
            issued.contains(&ids[0]),
            "{} was received and is not in the audit",
            ids[0]
        );
    }
    // The test was one: much was issued, requests were cut by kills, and used
    // tokens were tried again.
    assert!(
        notes.received.len() > 10 * ROUNDS,
        "{}",
        notes.received.len()
    );
    assert!(notes.cut.len() > ROUNDS, "{}", notes.cut.len());
    assert!(notes.replays > ROUNDS, "{}", notes.replays);
}
