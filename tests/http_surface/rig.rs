//! A server on free ports with an application of a few lines, and clients that
//! send exactly the bytes they are told to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use assay::{
    base::{
        BoxFuture,
        clock::{Clock, SystemClock},
        random::SystemRandom,
    },
    exchange::Form,
    model::{Reason, RequestId},
    server::{
        AdminRequest, Answer, App, Check, Kind, Limits, Listener, Peer, Server, Settings, TlsFiles,
        Transport,
    },
};
use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longest that anything here may take: a test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Answers forms with their names. `scope=panic` panics; `scope=wait` waits
/// until the test lets it go.
#[derive(Default)]
pub(crate) struct Stub {
    pub(crate) tokens: AtomicUsize,
    pub(crate) refusals: Mutex<Vec<Reason>>,
    pub(crate) entered: Semaphores,
}

/// How many requests are waiting, and leave to go on.
pub(crate) struct Semaphores {
    pub(crate) waiting: Semaphore,
    pub(crate) go: Semaphore,
}

impl Default for Semaphores {
    fn default() -> Self {
        Self {
            waiting: Semaphore::new(0),
            go: Semaphore::new(0),
        }
    }
}

impl App for Stub {
    fn token(&self, form: Form, _: Peer, id: RequestId) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            self.tokens.fetch_add(1, Ordering::SeqCst);
            match form.get("scope") {
                Some("panic") => panic!("asked to panic"),
                Some("wait") => {
                    self.entered.waiting.add_permits(1);
                    self.entered.go.acquire().await.unwrap().forget();
                }
                _ => {}
            }
            Answer::json(
                200,
                format!(r#"{{"access_token":"t","request_id":"{id}"}}"#),
            )
        })
    }

    fn refused(&self, reason: Reason, _: &Peer, _: RequestId) {
        self.refusals.lock().unwrap().push(reason);
    }

    fn target_jwks(&self, target: &str) -> Option<Bytes> {
        (target == "prod").then(|| Bytes::from_static(br#"{"keys":[{"kty":"EC"}]}"#))
    }

    fn broker_jwks(&self) -> Bytes {
        Bytes::from_static(br#"{"keys":[]}"#)
    }

    fn metadata(&self) -> Bytes {
        Bytes::from_static(br#"{"issuer":"https://assay.test"}"#)
    }

    fn readiness(&self) -> Vec<Check> {
        vec![Check {
            name: "ledger".into(),
            ok: true,
            detail: String::new(),
        }]
    }

    fn metrics(&self) -> String {
        "# EOF\n".into()
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'_, Answer> {
        Box::pin(async move { Answer::json(200, format!("\"{request:?}\"")) })
    }
}

/// A running server.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) app: Arc<Stub>,
    pub(crate) folder: tempfile::TempDir,
}

/// Limits under which no test is slowed down by a deadline that it is not about.
pub(crate) fn limits() -> Limits {
    Limits {
        request_rate: None,
        connection_rate: None,
        drain_notice: Duration::ZERO,
        ..Limits::default()
    }
}

impl Rig {
    /// With a plain public listener.
    pub(crate) async fn plain(limits: Limits) -> Self {
        Self::start(limits, false).await
    }

    /// With TLS on the public listener.
    pub(crate) async fn tls(limits: Limits) -> Self {
        Self::start(limits, true).await
    }

    async fn start(limits: Limits, is_tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = Arc::new(Stub::default());
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let transport = if is_tls {
            write_certificate(folder.path());
            Transport::Tls(files(folder.path()))
        } else {
            Transport::PlainLoopback
        };
        let settings = Settings {
            public: Some(Listener {
                address: loopback,
                transport,
            }),
            admin: Some(Listener {
                address: loopback,
                transport: Transport::PlainLoopback,
            }),
            telemetry: Some(loopback),
            limits,
            ready_file: Some(folder.path().join("ready.json")),
        };
        let server = Server::start(settings, app.clone(), clock(), Arc::new(SystemRandom))
            .await
            .unwrap();
        Self {
            server,
            app,
            folder,
        }
    }

    /// How many forms have reached the application.
    pub(crate) fn tokens(&self) -> usize {
        self.app.tokens.load(Ordering::SeqCst)
    }

    /// A TCP connection to a listener.
    pub(crate) async fn connect(&self, kind: Kind) -> TcpStream {
        let address = self.server.address(kind).unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// Sends bytes to the public listener and reads until it closes.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(Kind::Public).await;
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }

    /// A GET on the telemetry listener.
    pub(crate) async fn health(&self, path: &str) -> String {
        health(self.server.address(Kind::Telemetry).unwrap(), path).await
    }

    /// A TLS connection that offers these protocols.
    pub(crate) async fn connect_tls(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        self.try_tls(alpn, rustls::DEFAULT_VERSIONS).await.unwrap()
    }

    pub(crate) async fn try_tls(
        &self,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let address = self.server.address(Kind::Public).unwrap();
        let root = certificate(self.folder.path());
        dial(address, root, alpn, versions).await
    }
}

/// A TLS connection to a server that shows this very certificate.
pub(crate) async fn dial(
    address: SocketAddr,
    root: CertificateDer<'static>,
    alpn: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) fn files(folder: &std::path::Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    }
}

/// Writes a new certificate for `localhost` and its key.
pub(crate) fn write_certificate(folder: &std::path::Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = files(folder);
    std::fs::write(files.certificate, made.cert.pem()).unwrap();
    std::fs::write(files.key, made.signing_key.serialize_pem()).unwrap();
}

pub(crate) fn certificate(folder: &std::path::Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(files(folder).certificate).unwrap()
}

/// A GET that closes.
pub(crate) async fn health(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_to_end(&mut stream).await
}

/// A token request as an honest HTTP/1.1 client sends it.
pub(crate) fn post(form: &str) -> String {
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: a\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// The same, as the last of its connection.
pub(crate) fn last_post(form: &str) -> String {
    post(form).replacen("\r\n", "\r\nConnection: close\r\n", 1)
}

/// Everything until the other side closes. A reset ends it too: what came
/// before counts.
pub(crate) async fn read_to_end<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with a `Content-Length`; none if the connection ends before it.
pub(crate) async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        let got = timeout(PATIENCE, stream.read(&mut byte))
            .await
            .unwrap()
            .ok()?;
        if got == 0 {
            return None;
        }
        bytes.extend(byte);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap_or("0");
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut body))
        .await
        .unwrap()
        .ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// Sends one token request and reads its answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    form: &str,
) -> Option<String> {
    stream.write_all(post(form).as_bytes()).await.ok()?;
    read_answer(stream).await
}
