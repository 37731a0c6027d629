//! An issuer over HTTPS that behaves as the test says, and can be told
//! otherwise while it runs.
//!
//! It writes HTTP by hand, one request per connection: half of what it is
//! asked to do is what an HTTP library exists to prevent.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use assay::{
    base::{clock::Moment, outbound::Peer},
    jose::{Algorithm, KeyUse},
    keys::{Source, Spec},
};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    tls::{Ca, Leaf},
    tokens::{self, TestKey},
};

/// Where discovery is served.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where the key set is served.
pub const JWKS: &str = "/jwks";
/// Where the SPIFFE bundle is served.
pub const BUNDLE: &str = "/bundle";

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A whole answer with these header lines.
    Reply {
        /// The HTTP status.
        status: u16,
        /// Header lines besides `content-length` and `connection`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Exactly these bytes, then the connection closes.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Hang,
    /// A head that promises a chunked body, and chunks for as long as the client reads.
    Endless,
    /// Header lines for as long as the client reads.
    EndlessHeaders,
    /// One byte of the body, then nothing.
    Stall,
}

impl Answer {
    /// 200 with a JSON body (or what claims to be one).
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::ok("application/json", body)
    }

    /// 200 with this content type.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::reply(200, &[("content-type", content_type)], body)
    }

    /// A status with a body of a few words.
    pub fn status(status: u16) -> Self {
        Self::reply(status, &[("content-type", "text/plain")], "as told")
    }

    /// A status with `Retry-After`.
    pub fn retry_after(status: u16, secs: u64) -> Self {
        Self::reply(status, &[("retry-after", &secs.to_string())], "later")
    }

    /// A redirect to another URL.
    pub fn redirect(to: &str) -> Self {
        Self::reply(302, &[("location", to)], "")
    }

    /// Any whole answer.
    pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        Self::Reply {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.into(),
        }
    }

    /// 200 with a body of that many spaces.
    pub fn huge(bytes: usize) -> Self {
        Self::json(vec![b' '; bytes])
    }

    /// A body that says it is compressed.
    pub fn gzip(body: impl Into<Vec<u8>>) -> Self {
        Self::reply(200, &[("content-encoding", "gzip")], body)
    }

    /// The first part of a JSON body whose length promises the whole.
    pub fn truncated(body: &str) -> Self {
        let half = &body[..body.len() / 2];
        Self::Raw(
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}",
                body.len()
            )
            .into_bytes(),
        )
    }

    /// 200 whose headers are that large.
    pub fn header_flood(bytes: usize) -> Self {
        Self::reply(200, &[("x-flood", &"a".repeat(bytes))], "{}")
    }
}

/// What happens before HTTP.
#[derive(Clone, Debug)]
pub enum Accept {
    /// A TLS handshake.
    Tls,
    /// The connection is accepted, and then nothing.
    Silent,
    /// The connection is closed.
    Close,
    /// These bytes instead of a handshake.
    Bytes(Vec<u8>),
}

/// An answer that is held back until the test lets it go.
pub struct Gate {
    arrived: watch::Receiver<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Waits until that many requests stand before the gate.
    pub async fn arrived(&mut self, count: usize) {
        self.arrived
            .wait_for(|n| *n >= count)
            .await
            .expect("the issuer runs");
    }

    /// Lets all of them through, and whoever comes later.
    pub fn open(self) {
        self.open.send_replace(true);
    }
}

/// A running issuer; dropping it stops it.
pub struct FakeIssuer {
    address: SocketAddr,
    ca: Ca,
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    keys: Mutex<Vec<Arc<TestKey>>>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    connections: AtomicUsize,
}

struct Script {
    accept: Accept,
    tls: Arc<ServerConfig>,
    answers: HashMap<String, Answer>,
    gates: HashMap<String, (watch::Sender<usize>, watch::Receiver<bool>)>,
    hits: HashMap<String, usize>,
    heads: HashMap<String, String>,
}

impl FakeIssuer {
    /// An issuer on a port of its own, with its own authority and one ES256
    /// key `key-1`, that serves discovery, key set and bundle correctly.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let ca = Ca::new("fake issuer root");
        let tls = ca.server(&["127.0.0.1", "localhost"]).server_config();
        let folder = tempfile::tempdir().expect("a folder");
        ca.write(&folder.path().join("ca.pem"));
        let shared = Arc::new(Shared {
            script: Mutex::new(Script {
                accept: Accept::Tls,
                tls,
                answers: HashMap::new(),
                gates: HashMap::new(),
                hits: HashMap::new(),
                heads: HashMap::new(),
            }),
            connections: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        let issuer = Self {
            address,
            ca,
            folder,
            shared,
            keys: Mutex::default(),
            task,
        };
        issuer.answer(DISCOVERY, Answer::json(issuer.discovery_document()));
        issuer.publish(&[Arc::new(TestKey::es256("key-1"))]);
        issuer
    }

    /// Its issuer identifier, byte for byte.
    pub fn issuer(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// The URL of a path by host name, which resolves to loopback.
    pub fn named_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate authority.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The file with the root of its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A peer that trusts its root and may connect to loopback.
    pub fn peer(&self) -> Peer {
        Peer {
            ca: Some(self.ca_file()),
            allow_private: true,
        }
    }

    /// A spec that finds its keys by discovery.
    pub fn spec(&self) -> Spec {
        let issuer = self.issuer().parse().expect("an issuer");
        self.spec_of(Source::Discovery(issuer), KeyUse::Signature)
    }

    /// A spec that reads its bundle over https_web.
    pub fn bundle_spec(&self) -> Spec {
        let url = self.url(BUNDLE).parse().expect("a URL");
        self.spec_of(Source::Url(url), KeyUse::JwtSvid)
    }

    /// A spec of any source that may connect here.
    pub fn spec_of(&self, source: Source, uses: KeyUse) -> Spec {
        Spec {
            peer: self.peer(),
            ..Spec::new(source, uses, vec![Algorithm::Es256, Algorithm::Rs256])
        }
    }

    /// The discovery document that it serves by itself.
    pub fn discovery_document(&self) -> String {
        json!({
            "issuer": self.issuer(),
            "jwks_uri": self.url(JWKS),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        })
        .to_string()
    }

    /// Publishes exactly these keys, as key set and as bundle (without sequence).
    pub fn publish(&self, keys: &[Arc<TestKey>]) {
        let list: Vec<Value> = keys.iter().map(|k| k.jwk()).collect();
        let svid: Vec<Value> = keys.iter().map(|k| k.jwt_svid_jwk()).collect();
        self.answer(JWKS, Answer::json(tokens::jwks(&list)));
        self.answer(BUNDLE, Answer::json(tokens::bundle(&svid, None, None)));
        *self.keys.lock().expect("no panic") = keys.to_vec();
    }

    /// The first of the published keys.
    pub fn key(&self) -> Arc<TestKey> {
        let keys = self.keys.lock().expect("no panic");
        Arc::clone(keys.first().expect("a key is published"))
    }

    /// The claims of an ordinary token: five minutes from `now`.
    pub fn claims(&self, now: Moment, audience: &str, subject: &str) -> Value {
        json!({
            "iss": self.issuer(),
            "sub": subject,
            "aud": audience,
            "iat": now.secs(),
            "nbf": now.secs(),
            "exp": now.secs() + 300,
        })
    }

    /// A token of these claims by the first published key.
    pub fn token(&self, claims: &Value) -> String {
        self.key().token(claims)
    }

    /// From now on the path answers so.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.script().answers.insert(path.to_owned(), answer);
    }

    /// From now on connections begin so.
    pub fn accept(&self, accept: Accept) {
        self.shared.script().accept = accept;
    }

    /// From now on the server shows this certificate.
    pub fn present(&self, leaf: &Leaf) {
        self.shared.script().tls = leaf.server_config();
    }

    /// Holds back the answers of a path until the gate is opened.
    pub fn hold(&self, path: &str) -> Gate {
        let (count, arrived) = watch::channel(0);
        let (open, opened) = watch::channel(false);
        self.shared
            .script()
            .gates
            .insert(path.to_owned(), (count, opened));
        Gate { arrived, open }
    }

    /// How often the path was asked for.
    pub fn hits(&self, path: &str) -> usize {
        self.shared.script().hits.get(path).copied().unwrap_or(0)
    }

    /// The last request for the path: its request line and headers, in lower case.
    pub fn last_request(&self, path: &str) -> Option<String> {
        let script = self.shared.script();
        script.heads.get(path).map(|head| head.to_ascii_lowercase())
    }

    /// How many connections were made, whatever became of them.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic")
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the issuer: dropping the set aborts them.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let (accept, tls) = {
        let script = shared.script();
        (script.accept.clone(), Arc::clone(&script.tls))
    };
    match accept {
        Accept::Close => {}
        Accept::Silent => hang(stream).await,
        Accept::Bytes(bytes) => {
            let mut stream = stream;
            // A client that hangs up first is what some tests want.
            let _ = stream.write_all(&bytes).await;
            hang(stream).await;
        }
        Accept::Tls => {
            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                exchange(stream, &shared).await;
            }
        }
    }
}

/// Keeps the connection open until the client closes it.
async fn hang(mut stream: impl AsyncRead + Unpin) {
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let Some(head) = request_head(&mut stream).await else {
        return;
    };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (answer, gate) = {
        let mut script = shared.script();
        *script.hits.entry(path.clone()).or_default() += 1;
        script.heads.insert(path.clone(), head);
        (
            script.answers.get(&path).cloned(),
            script.gates.get(&path).cloned(),
        )
    };
    if let Some((arrived, mut opened)) = gate {
        arrived.send_modify(|n| *n += 1);
        // A gate that was dropped is as good as open.
        let _ = opened.wait_for(|open| *open).await;
    }
    let answer = answer.unwrap_or_else(|| Answer::status(404));
    // A client that hangs up in the middle is what some tests want.
    let _ = write_answer(&mut stream, answer).await;
    let _ = stream.shutdown().await;
}

async fn request_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn write_answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: Answer,
) -> std::io::Result<()> {
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    match answer {
        Answer::Raw(bytes) => stream.write_all(&bytes).await?,
        Answer::Hang => hang(&mut *stream).await,
        Answer::Stall => {
            stream.write_all(CHUNKED).await?;
            stream.write_all(b"1\r\n{\r\n").await?;
            stream.flush().await?;
            hang(&mut *stream).await;
        }
        Answer::Endless => {
            stream.write_all(CHUNKED).await?;
            let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Answer::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: and more\r\n").await?;
            }
        }
        Answer::Reply {
            status,
            headers,
            body,
        } => {
            let mut head = format!("HTTP/1.1 {status} As Told\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!(
                "content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            ));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
        }
    }
    stream.flush().await
}
