//! L: what leaves the broker other than in the answer it is meant for.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use assay::model::Reason as R;
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
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

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
    pub(crate) fn of_this_process() -> Self {
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

    pub(crate) fn bytes(&self) -> Vec<u8> {
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
