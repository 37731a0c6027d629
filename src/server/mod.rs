//! Sockets and HTTP: listeners, routes, limits, drain, health, metrics.
//!
//! This room turns bytes from strangers into a [`Form`] and an [`Answer`] into
//! bytes, and bounds what a stranger can make it do on the way. It knows nothing
//! of tokens: what those mean is behind the [`App`] trait. Three listeners:
//! `public` (TLS; token endpoint, key sets, metadata), `admin` (loopback only:
//! it authenticates nobody), `telemetry` (plain HTTP; health and metrics). A fourth, `mtls`,
//! which requires a client certificate and turns TLS resumption off, has its
//! place in [`Kind`] and in [`tls`], and does not exist yet.
//!
//! A request walks through `listen` (may this address connect?), `connection`
//! (TLS, HTTP/1.1 or 2, idle and drain), `wire` and `framing` (deadlines, no
//! ambiguous bytes), `route` (what is this path?), `token` (is this a form?).

mod admission;
mod answer;
pub mod app;
pub mod broker;
mod connection;
mod counters;
mod drain;
mod framing;
mod health;
pub mod limits;
mod listen;
mod route;
mod shared;
#[cfg(test)]
mod stub;
pub mod tls;
mod token;
mod unwind;
mod wire;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_rustls::TlsAcceptor;

pub use self::{
    app::{AdminRequest, Answer, App, Check, Peer},
    broker::{Broker, Outside, StartError},
    drain::{Stop, stop_signal},
    limits::{Limits, Rate},
    shared::Kind,
    tls::{Certificates, TlsError, TlsFiles},
};
use self::{connection::Endpoint, drain::Phase, shared::Shared};
use crate::base::{clock::Clock, file::write_atomic, random::Random};

/// Where to listen, and within which bounds.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The public listener.
    pub public: Option<Listener>,
    /// The listener for administrators.
    pub admin: Option<Listener>,
    /// Health and metrics, always plain HTTP.
    pub telemetry: Option<SocketAddr>,
    /// Limits and deadlines.
    pub limits: Limits,
    /// A file that is written when all listeners are ready: one JSON object
    /// with the URL of each by its name.
    pub ready_file: Option<PathBuf>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
    /// What is spoken below HTTP.
    pub transport: Transport,
}

/// What is spoken below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS with this certificate.
    Tls(TlsFiles),
    /// Nothing. Only on a loopback address, and only if asked for.
    PlainLoopback,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not this machine's, or needs a right.
    #[error("the {listener} listener cannot use {address}: {source}")]
    Bind {
        /// The listener.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Tokens would cross a network in the clear.
    #[error(
        "the {listener} listener has no TLS, and {address} is not a loopback address: \
         give it a certificate or bind it to 127.0.0.1 or [::1]"
    )]
    PlainNotLoopback {
        /// The listener.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Anybody on the network could administrate.
    #[error(
        "the admin listener cannot tell administrators from others, and {address} is not a \
         loopback address: bind it to 127.0.0.1 or [::1]"
    )]
    AdminNotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error("the {listener} listener has no certificate to show: {source}")]
    Tls {
        /// The listener.
        listener: &'static str,
        /// What is wrong with it.
        source: TlsError,
    },
    /// The ready file cannot be written.
    #[error("cannot write the ready file {path}: {source}")]
    ReadyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The running server. Dropping it closes everything at once;
/// [`Server::drain`] is the polite way.
pub struct Server {
    shared: Arc<Shared>,
    bound: Vec<Bound>,
    certificates: Vec<Arc<Certificates>>,
    watcher: Option<JoinHandle<()>>,
    /// Seen by the public and admin listeners and their connections.
    phase: watch::Sender<Phase>,
    /// Health outlives the others, so that it can say that they are gone.
    telemetry_phase: watch::Sender<Phase>,
    ready_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    kind: Kind,
    address: SocketAddr,
    is_tls: bool,
}

impl Server {
    /// Loads certificates, binds all listeners, begins to serve, and writes the
    /// ready file. Nothing is served if anything of this fails.
    pub async fn start(
        settings: Settings,
        app: Arc<dyn App>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ServerError> {
        let limits = settings.limits;
        let shared = Arc::new(Shared::new(app, Arc::clone(&clock), random, limits));
        let mut server = Self {
            shared,
            bound: Vec::new(),
            certificates: Vec::new(),
            watcher: None,
            phase: watch::Sender::new(Phase::Serving),
            telemetry_phase: watch::Sender::new(Phase::Serving),
            ready_file: None,
        };
        let telemetry = settings.telemetry.map(|address| Listener {
            address,
            transport: Transport::PlainLoopback,
        });
        let mut sockets = Vec::new();
        for (kind, listener) in [
            (Kind::Public, settings.public),
            (Kind::Admin, settings.admin),
            (Kind::Telemetry, telemetry),
        ] {
            if let Some(listener) = listener {
                sockets.push(server.prepare(kind, &listener, &clock)?);
            }
        }
        if let Some(path) = settings.ready_file {
            let text = server.urls_as_json();
            if let Err(source) = write_atomic(&path, text.as_bytes(), 0o644) {
                return Err(ServerError::ReadyFile { path, source });
            }
            // From here on it is ours to remove.
            server.ready_file = Some(path);
        }
        for (socket, endpoint) in sockets {
            let phase = match endpoint.kind {
                Kind::Telemetry => &server.telemetry_phase,
                Kind::Public | Kind::Admin => &server.phase,
            };
            tokio::spawn(listen::accept(socket, endpoint, phase.subscribe()));
        }
        if !server.certificates.is_empty() {
            let certificates = server.certificates.clone();
            let shared = Arc::clone(&server.shared);
            server.watcher = Some(tokio::spawn(watch_certificates(certificates, shared)));
        }
        Ok(server)
    }

    /// The address that a listener got.
    pub fn address(&self, kind: Kind) -> Option<SocketAddr> {
        self.bound
            .iter()
            .find(|b| b.kind == kind)
            .map(|b| b.address)
    }

    /// The URL of each listener by its name.
    pub fn urls(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.bound.iter().map(|b| {
            let scheme = if b.is_tls { "https" } else { "http" };
            (b.kind.as_str(), format!("{scheme}://{}", b.address))
        })
    }

    /// Looks at the certificate files now instead of at the next turn (SIGHUP).
    /// Says whether any were taken; on an error the old ones stay.
    pub fn reload_certificates(&self) -> Result<bool, TlsError> {
        let mut is_new = false;
        for certificates in &self.certificates {
            is_new |= certificates.reload()?;
        }
        Ok(is_new)
    }

    /// Shuts down; says whether every request in work could be answered.
    pub async fn drain(self, stop: Stop) -> bool {
        let limits = &self.shared.limits;
        self.shared.is_draining.store(true, Ordering::Relaxed);
        self.remove_ready_file();
        tracing::info!("shutting down: not ready any more");
        if stop == Stop::Gradual {
            sleep(limits.drain_notice).await;
        }
        self.phase.send_replace(Phase::Closing);
        // Each connection, and each accept loop, holds a receiver.
        let is_clean = tokio::time::timeout(limits.drain, self.phase.closed())
            .await
            .is_ok();
        if !is_clean {
            let open = self.shared.counters.open.get();
            tracing::warn!(
                open,
                "shutting down: cutting connections that are still at work"
            );
            self.phase.send_replace(Phase::Abort);
            self.phase.closed().await;
        }
        self.telemetry_phase.send_replace(Phase::Abort);
        self.telemetry_phase.closed().await;
        tracing::info!("shut down");
        is_clean
    }

    fn prepare(
        &mut self,
        kind: Kind,
        listener: &Listener,
        clock: &Arc<dyn Clock>,
    ) -> Result<(tokio::net::TcpListener, Arc<Endpoint>), ServerError> {
        let (name, address) = (kind.as_str(), listener.address);
        let is_loopback = address.ip().to_canonical().is_loopback();
        if kind == Kind::Admin && !is_loopback {
            return Err(ServerError::AdminNotLoopback { address });
        }
        let tls = match &listener.transport {
            Transport::PlainLoopback => {
                // Health tells nothing that a network must not see.
                if kind != Kind::Telemetry && !is_loopback {
                    return Err(ServerError::PlainNotLoopback {
                        listener: name,
                        address,
                    });
                }
                None
            }
            Transport::Tls(files) => {
                let fault = |source| ServerError::Tls {
                    listener: name,
                    source,
                };
                let certificates = Certificates::load(files.clone(), Arc::clone(clock));
                let certificates = Arc::new(certificates.map_err(fault)?);
                let config = certificates.server_config().map_err(fault)?;
                self.certificates.push(certificates);
                Some(TlsAcceptor::from(Arc::new(config)))
            }
        };
        let is_tls = tls.is_some();
        let fault = |source| ServerError::Bind {
            listener: name,
            address,
            source,
        };
        let socket = listen::bind(address).map_err(fault)?;
        let address = socket.local_addr().map_err(fault)?;
        self.bound.push(Bound {
            kind,
            address,
            is_tls,
        });
        let endpoint = Endpoint::new(Arc::clone(&self.shared), kind, tls);
        Ok((socket, Arc::new(endpoint)))
    }

    /// Whoever waits for the next start must not find this one's file. It may be
    /// gone already, or never have been written.
    fn remove_ready_file(&self) {
        if let Some(path) = &self.ready_file {
            let _ = std::fs::remove_file(path);
        }
    }

    fn urls_as_json(&self) -> String {
        let urls: serde_json::Map<_, _> = self
            .urls()
            .map(|(name, url)| (name.to_owned(), url.into()))
            .collect();
        format!("{}\n", serde_json::Value::Object(urls))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Abort);
        self.telemetry_phase.send_replace(Phase::Abort);
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
        self.remove_ready_file();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Takes new certificates as they come; says once what is wrong with bad ones.
async fn watch_certificates(certificates: Vec<Arc<Certificates>>, shared: Arc<Shared>) {
    let mut said = String::new();
    let pause = shared
        .limits
        .certificate_check
        .max(Duration::from_millis(10));
    loop {
        sleep(pause).await;
        for one in &certificates {
            let (one, is_new) = (Arc::clone(one), Arc::clone(one));
            let result = tokio::task::spawn_blocking(move || one.reload()).await;
            match result {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    said.clear();
                    tracing::info!(expires = %is_new.expires(), "took the new certificate");
                }
                Ok(Err(error)) => {
                    shared.counters.certificate_faults.add();
                    let text = error.to_string();
                    if text != said {
                        tracing::error!(error = %text, "kept the old certificate");
                        said = text;
                    }
                }
                Err(_) => shared.counters.panics.add(),
            }
        }
    }
}
