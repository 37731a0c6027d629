//! L: what leaves the broker other than in the answer it is meant for.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, OnceLock},
};

use assay::{
    ledger::{ChainState, Ledger as _},
    model::Reason as R,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    rig::Rig,
    support::{
        broker::{AUDIENCE, Files, JWT_BEARER, RULES, form},
        fake_issuer::{FakeIssuer, JWKS},
        tokens::{TestKey, encode, raw},
    },
};

/// Every log line of this process, at the finest level there is.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The one log of this process: exchanges run on many threads, and those of
    /// other tests only add to what must hold nothing of ours.
    fn of_this_process() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let begin = || {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::set_global_default(subscriber).expect("nobody else logs here");
            log
        };
        LOG.get_or_init(begin).clone()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    assert!(needle.len() >= 16, "too short to mean anything");
    hay.windows(needle.len()).any(|window| window == needle)
}

/// The signature of a token, which makes it worth something.
fn signature(token: &str) -> Vec<u8> {
    token
        .rsplit('.')
        .next()
        .expect("a part")
        .as_bytes()
        .to_vec()
}

/// What no sink may hold, by name.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn token(&mut self, name: &str, token: &str) {
        self.0.push((name.to_owned(), signature(token)));
    }

    /// A key: as it is, and as programs are wont to print it.
    fn key(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let list = format!("{bytes:?}");
        for (form, text) in [
            ("raw", bytes.to_vec()),
            ("hex", hex.into_bytes()),
            (
                "base64",
                STANDARD
                    .encode(bytes)
                    .trim_end_matches('=')
                    .as_bytes()
                    .to_vec(),
            ),
            ("base64url", encode(bytes).into_bytes()),
            ("list", list.trim_matches(['[', ']']).as_bytes().to_vec()),
        ] {
            self.0.push((format!("{name} ({form})"), text));
        }
    }

    fn are_not_in(&self, sink: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            assert!(!contains(bytes, secret), "{name} is in {sink}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_01_no_sink_holds_a_token_or_a_key() {
    let log = Log::of_this_process();
    let mut secrets = Secrets::default();
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    let kek: [u8; 32] = assay::base::random::bytes(&assay::base::random::SystemRandom);
    std::fs::write(files.folder.path().join("kek"), kek).expect("written");
    secrets.key("the key-encryption key", &kek);
    let tls = std::fs::read_to_string(files.folder.path().join("tls.key")).expect("read");
    let line = tls.lines().nth(1).expect("the key");
    secrets
        .0
        .push(("the TLS key".into(), line.as_bytes().to_vec()));
    files.oidc("issuer-a", &issuer, "    singleUse: true\n", RULES);
    let rig = Rig::on(files, issuer).await;
    let key = rig.broker.issuer.key();
    let stranger = TestKey::es256("key-1");

    let mut tokens = vec![
        ("good", rig.broker.token("wl:ok")),
        ("no rule", rig.broker.token("wl:nobody")),
        ("forged", rig.good().sign(&stranger)),
        ("unknown key", rig.good().header("kid", "x").sign(&key)),
        (
            "unknown issuer",
            rig.good().claim("iss", "https://evil.test").sign(&key),
        ),
        ("expired", rig.good().claim("exp", 5).sign(&key)),
        ("wrong audience", rig.good().claim("aud", "x").sign(&key)),
        (
            "two members",
            raw(br#"{"alg":"ES256","alg":"ES256"}"#, b"{}", &[7; 64]),
        ),
        (
            "an odd header",
            rig.good().header("crit", json!(["x"])).sign(&key),
        ),
    ];
    // A token where something else belongs.
    let misplaced = rig.broker.token("wl:ok");
    for field in [
        "scope",
        "audience",
        "client_id",
        "grant_type",
        "requested_expires_in",
        "resource",
    ] {
        let mut pairs = vec![
            ("subject_token", tokens[0].1.as_str()),
            (field, misplaced.as_str()),
        ];
        pairs.extend(
            [("grant_type", JWT_BEARER)]
                .iter()
                .filter(|(name, _)| *name != field),
        );
        assert_ne!(rig.broker.post(&pairs).await.status, 200, "{field}");
    }
    let in_query = format!("/oauth2/token?{}", form(&misplaced));
    rig.broker.get(&in_query).await;
    let in_header = Request::post("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Bearer {misplaced}"))
        .body(Full::default())
        .expect("a request");
    assert_eq!(rig.broker.send(in_header).await.status, 401);
    tokens.push(("misplaced", misplaced));

    for (name, token) in &tokens {
        secrets.token(name, token);
        for _ in 0..2 {
            let reply = rig.broker.exchange(token).await;
            if reply.status == 200 {
                secrets.token("a minted credential", &reply.minted());
            } else {
                secrets.are_not_in("a refusal", &reply.body);
            }
        }
    }
    rig.broker
        .broker
        .reload()
        .await
        .expect("the files are in order");
    rig.broker.files.write(
        "trust-domains/bad.yaml",
        "apiVersion: assay/v1\nkind: Nothing\n",
    );
    rig.broker.broker.reload().await.expect_err("a bad file");

    // The log is on, and finds what it ought to.
    let logged = log.bytes();
    assert!(contains(
        &logged,
        b"the configuration changed and is not in order"
    ));
    secrets.are_not_in("the log", &logged);
    for path in [
        "/metrics",
        "/readyz",
        "/readyz?verbose",
        "/readyz/ledger",
        "/livez",
    ] {
        let reply = rig.broker.telemetry(path).await;
        assert_eq!(reply.status, 200, "{path}");
        secrets.are_not_in(path, &reply.body);
    }
    secrets.are_not_in("/v1/issuers", &rig.broker.admin("/v1/issuers").await.body);
    secrets.are_not_in(
        "a key set",
        &rig.broker.get("/targets/prod/jwks.json").await.body,
    );
    let audit = Value::from(rig.broker.audit().await).to_string();
    assert!(audit.len() > 1000);
    secrets.are_not_in("the audit", audit.as_bytes());

    // The ledger's files hold sealed keys: no key of P-256 begins in them.
    for name in ["ledger.db", "ledger.db-wal"] {
        let Ok(bytes) = std::fs::read(rig.broker.files.folder.path().join(name)) else {
            continue;
        };
        secrets.are_not_in(name, &bytes);
        let pkcs8 = &key.pkcs8()[..36];
        assert!(
            !contains(&bytes, &pkcs8[9..]),
            "a signing key is in {name} in clear"
        );
    }
    let jwks = rig
        .broker
        .issuer
        .last_request(JWKS)
        .expect("keys were fetched");
    secrets.are_not_in("a request to the issuer", jwks.as_bytes());
}

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

/// What could end a line, hide or turn text around, or speak to a terminal.
fn strange(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l_13_the_public_listener_shows_nothing_else() {
    let rig = Rig::start().await;
    for path in [
        "/metrics",
        "/readyz",
        "/livez",
        "/debug",
        "/debug/pprof",
        "/v1/issuers",
        "/v1/reload",
        "/admin",
        "/",
        "/targets/",
        "/targets/../v1/issuers",
    ] {
        let reply = rig.broker.get(path).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
    for path in ["/v1/issuers", "/oauth2/token"] {
        assert_eq!(rig.broker.telemetry(path).await.status, 404, "{path}");
    }
    assert_eq!(rig.broker.admin("/metrics").await.status, 404);
    assert_eq!(rig.broker.admin("/v1/issuers").await.status, 200);
    rig.refuses("control", &rig.broker.token("wl:nobody"), R::RuleNoMatch)
        .await;
    assert_eq!(
        rig.broker
            .get("/.well-known/oauth-authorization-server")
            .await
            .json()["issuer"],
        AUDIENCE
    );
}
