//! A whole broker in this process, on files of its own, with an issuer that
//! does as told: what every black-box test of an exchange starts with.

use std::{fs, path::PathBuf, sync::Arc};

use assay::{
    base::{
        clock::{Clock, Moment, SystemClock},
        outbound::HttpsClient,
        random::SystemRandom,
    },
    server::{Broker, Kind, Outside, StartError, Stop},
};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::{RootCertStore, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{fake_issuer::FakeIssuer, tls::Ca};

/// The broker's own name: what tokens are made for.
pub const AUDIENCE: &str = "https://assay.test";

/// The grant type of RFC 8693.
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The grant type of RFC 7523.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The token type of any JWT.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Files of a broker that is not started yet.
pub struct Files {
    /// Where they are.
    pub folder: tempfile::TempDir,
    /// The root of its certificate.
    pub ca: Ca,
    /// Lines that are added to `spec` of `assay.yaml`, indented by two.
    pub more: String,
}

impl Files {
    /// Certificates, a key-encryption key, two targets (`prod`, `other`) and
    /// roles on `prod`: `worker`, `reader`, `admin`, `both`; on `other`: `other-worker`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Ca::new("assay test root");
        let leaf = ca.server(&["127.0.0.1", "localhost"]);
        let path = folder.path();
        fs::create_dir(path.join("trust-domains")).expect("a folder");
        let pem = |kind: &str, der: &[u8]| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            format!(
                "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
                STANDARD.encode(der)
            )
        };
        let chain: String = leaf
            .chain
            .iter()
            .map(|one| pem("CERTIFICATE", one))
            .collect();
        fs::write(path.join("tls.pem"), chain).expect("written");
        fs::write(path.join("tls.key"), pem("PRIVATE KEY", &leaf.key)).expect("written");
        fs::write(path.join("kek"), [7u8; 32]).expect("written");
        let files = Self {
            folder,
            ca,
            more: "  drain: { delay: 1s, deadline: 5s }\n".to_owned(),
        };
        files.write(
            "trust-domains/roles.yaml",
            "apiVersion: assay/v1\nkind: Roles\nmetadata: { name: roles }\nspec:\n  target: prod\n  roles:\n\
             \x20   worker: { namespaces: { payments: worker }, maxTtl: 10m }\n\
             \x20   reader: { namespaces: { payments: read }, maxTtl: 10m }\n\
             \x20   admin: { namespaces: { payments: admin }, maxTtl: 10m }\n\
             \x20   both: { namespaces: { payments: write, orders: read }, maxTtl: 10m }\n",
        );
        files.write(
            "trust-domains/other-roles.yaml",
            "apiVersion: assay/v1\nkind: Roles\nmetadata: { name: other-roles }\nspec:\n  target: other\n  roles:\n\
             \x20   other-worker: { namespaces: { payments: write }, maxTtl: 10m }\n",
        );
        files
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// A generic trust domain of that name for the issuer. `settings` stands in
    /// the source, `rest` beside it; both are indented already.
    pub fn oidc(&self, name: &str, issuer: &FakeIssuer, settings: &str, rest: &str) {
        let text = format!(
            "apiVersion: assay/v1\nkind: TrustDomain\nmetadata: {{ name: {name} }}\nspec:\n  oidc:\n    \
             issuer: {}\n    algorithms: [ES256, RS256]\n    keys: {{ ca: {}, allowPrivateAddress: true }}\n{settings}{rest}",
            issuer.issuer(),
            issuer.ca_file().display(),
        );
        self.write(&format!("trust-domains/{name}.yaml"), &text);
    }

    /// The path of `assay.yaml`, written anew.
    pub fn config(&self) -> PathBuf {
        self.write(
            "assay.yaml",
            &format!(
                "apiVersion: assay/v1\nkind: Broker\nmetadata: {{ name: test }}\nspec:\n  issuer: {AUDIENCE}\n  \
                 listen: {{ public: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", telemetry: \"127.0.0.1:0\" }}\n  \
                 tls: {{ certificate: tls.pem, privateKey: tls.key }}\n  trustDomains: trust-domains\n  \
                 ledger: {{ path: ledger.db }}\n  keyEncryption: {{ key: \"file:kek\" }}\n  targets:\n    \
                 prod: {{ selfHosted: {{ address: \"127.0.0.1:7233\", audience: temporal.test, \
                 namespaces: [payments, orders], resource: \"https://prod.test\", jwksRefresh: 1s, maxTtl: 1h }} }}\n    \
                 other: {{ selfHosted: {{ address: \"127.0.0.1:7234\", audience: other.test, \
                 namespaces: [payments], jwksRefresh: 1s, maxTtl: 1h }} }}\n{}",
                self.more
            ),
        );
        self.folder.path().join("assay.yaml")
    }
}

/// The rules of [`Files::standard`]: one for each role that tests ask for.
pub const RULES: &str = "  explain: full\n  rules:\n\
    \x20   - { name: worker, match: { subject: \"wl:ok\" }, grant: { role: worker } }\n\
    \x20   - { name: reader, match: { subject: \"wl:reader\" }, grant: { role: reader } }\n\
    \x20   - { name: both, match: { subject: \"wl:both\" }, grant: { role: both } }\n\
    \x20   - { name: two-a, match: { subject: \"wl:two\" }, grant: { role: worker } }\n\
    \x20   - { name: two-b, match: { subject: \"wl:two\" }, grant: { role: reader } }\n";

/// A running broker, its issuer and its files.
pub struct TestBroker {
    pub broker: Broker,
    pub files: Files,
    pub issuer: FakeIssuer,
    pub clock: Arc<dyn Clock>,
    client: Arc<rustls::ClientConfig>,
}

impl TestBroker {
    /// The trust domain `issuer-a` under [`RULES`], tokens usable once.
    pub async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let files = Files::new();
        files.oidc("issuer-a", &issuer, "    singleUse: true\n", RULES);
        Self::on(files, issuer, Arc::new(SystemClock::new())).await
    }

    /// A broker on these files, its issuers' keys fetched.
    pub async fn on(files: Files, issuer: FakeIssuer, clock: Arc<dyn Clock>) -> Self {
        let broker = match launch(&files, Arc::clone(&clock)).await {
            Ok(broker) => broker,
            Err(StartError::Config(found)) => {
                let found: Vec<_> = found.iter().map(ToString::to_string).collect();
                panic!("the test's configuration is wrong:\n{}", found.join("\n"));
            }
            Err(fault) => panic!("the broker does not start: {fault}"),
        };
        broker.refresh_keys().await;
        let client = client(&files.ca);
        Self {
            broker,
            files,
            issuer,
            clock,
            client,
        }
    }

    /// Stops the broker and starts it again on the same files.
    pub async fn restart(self) -> Self {
        self.broker.drain(Stop::Prompt).await;
        Self::on(self.files, self.issuer, self.clock).await
    }

    /// The time as the broker has it.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A good token of a subject, with a `jti` of its own.
    pub fn token(&self, subject: &str) -> String {
        self.issuer.token(&self.claims(subject))
    }

    /// The claims of a good token of a subject.
    pub fn claims(&self, subject: &str) -> Value {
        let mut claims = self.issuer.claims(self.now(), AUDIENCE, subject);
        let id: [u8; 8] = assay::base::random::bytes(&SystemRandom);
        claims["jti"] = format!("{:016x}", u64::from_be_bytes(id)).into();
        claims
    }

    /// Exchanges a token for `prod`.
    pub async fn exchange(&self, token: &str) -> Reply {
        self.ask(token, &[("audience", "prod")]).await
    }

    /// Exchanges a token with these further parameters.
    pub async fn ask(&self, token: &str, more: &[(&str, &str)]) -> Reply {
        let mut pairs = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", JWT),
        ];
        pairs.extend_from_slice(more);
        self.post(&pairs).await
    }

    /// Exchanges a token at another broker on the same files.
    pub async fn exchange_at(&self, other: &Broker, token: &str) -> Reply {
        let body = form(token);
        let request = Request::post("/oauth2/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send_to(other, request).await
    }

    /// Posts a form to the token endpoint.
    pub async fn post(&self, pairs: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let request = Request::post("/oauth2/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send(request).await
    }

    /// Gets a path of the public listener.
    pub async fn get(&self, path: &str) -> Reply {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .body(Full::default())
            .expect("a request");
        self.send(request).await
    }

    /// Sends a request to the public listener over a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        self.send_to(&self.broker, request).await
    }

    async fn send_to(&self, broker: &Broker, mut request: Request<Full<Bytes>>) -> Reply {
        let address = broker.address(Kind::Public).expect("a public listener");
        request
            .headers_mut()
            .insert(header::HOST, address.to_string().parse().expect("a host"));
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::clone(&self.client))
            .connect(name, stream)
            .await
            .expect("TLS");
        talk(TokioIo::new(stream), request).await
    }

    /// Opens a connection to the public listener that is kept.
    pub async fn keep_alive(&self) -> KeepAlive {
        let address = self
            .broker
            .address(Kind::Public)
            .expect("a public listener");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::clone(&self.client))
            .connect(name, stream)
            .await
            .expect("TLS");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP");
        tokio::spawn(connection);
        KeepAlive { sender }
    }

    /// Gets a path of the admin listener.
    pub async fn admin(&self, path: &str) -> Reply {
        self.plain(Kind::Admin, path).await
    }

    /// Gets a path of the telemetry listener.
    pub async fn telemetry(&self, path: &str) -> Reply {
        self.plain(Kind::Telemetry, path).await
    }

    async fn plain(&self, kind: Kind, path: &str) -> Reply {
        let address = self.broker.address(kind).expect("a listener");
        let request = Request::get(path)
            .header(header::HOST, address.to_string())
            .body(Full::default())
            .expect("a request");
        let stream = TcpStream::connect(address).await.expect("a connection");
        talk(TokioIo::new(stream), request).await
    }

    /// The audit, oldest first, as JSON.
    pub async fn audit(&self) -> Vec<Value> {
        use assay::ledger::{Ledger as _, Query, Sqlite};
        let ledger = Sqlite::open_read_only(&self.files.folder.path().join("ledger.db"))
            .expect("the ledger opens");
        let all = ledger
            .audit(Query::default())
            .await
            .expect("the audit reads");
        let parse = |record: &assay::ledger::Chained| {
            serde_json::from_str(&record.json).expect("a record is JSON")
        };
        all.iter().map(parse).collect()
    }
}

/// Starts a broker on files, or says why not.
pub async fn launch(files: &Files, clock: Arc<dyn Clock>) -> Result<Broker, StartError> {
    let outside = Outside {
        clock,
        random: Arc::new(SystemRandom),
        outbound: Arc::new(HttpsClient::new()),
        ready_file: None,
    };
    Broker::start(&files.config(), outside).await
}

/// A TLS client that trusts this root only.
pub fn client(ca: &Ca) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// The body of an ordinary exchange for `prod`.
pub fn form(token: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", JWT),
            ("audience", "prod"),
        ])
        .finish()
}

/// One connection to the public listener, for request after request.
pub struct KeepAlive {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl KeepAlive {
    /// Exchanges a token for `prod`: the status and the answer.
    pub async fn ask(&mut self, token: &str) -> (u16, Value) {
        let body = form(token);
        let request = Request::post("/oauth2/token")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.sender.ready().await.expect("the connection is kept");
        let answer = self.sender.send_request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}

async fn talk<S>(stream: TokioIo<S>, request: Request<Full<Bytes>>) -> Reply
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("{fault}: {:?}", self.body))
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// The `reason` of a refusal.
    pub fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The minted token of a success.
    #[track_caller]
    pub fn minted(&self) -> String {
        let json = self.json();
        assert_eq!(self.status, 200, "{json}");
        json["access_token"].as_str().expect("a token").to_owned()
    }

    /// Asserts a refusal.
    #[track_caller]
    pub fn is_refused(&self, status: u16, error: &str, reason: &str) {
        let json = self.json();
        let found = (self.status, json["error"].as_str(), json["reason"].as_str());
        assert_eq!(found, (status, Some(error), Some(reason)), "{json}");
        assert!(json.get("access_token").is_none());
    }
}

/// The claims of a token, without verifying it.
pub fn claims_of(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
