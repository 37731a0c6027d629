//! `assay serve`: the broker.

use std::{net::SocketAddr, path::Path, path::PathBuf, sync::Arc};

use clap::Args;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    base::{clock::SystemClock, outbound::HttpsClient, random::SystemRandom},
    config::Plan,
    ledger::{Chained, LedgerError, Query},
    server::{Broker, Kind, Outside, ServerError, StartError, Stop},
    signing::SigningError,
};

use super::{
    Global, Outcome, check,
    output::{self, Exit, Failure, Output},
    plan::ConfigFile,
};

/// Options of `assay serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Write one JSON object with the bound URLs here when the listeners are ready
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Threads that serve; all processors by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Serve {
    pub(super) fn run(self, output: &Output, global: &Global) -> Outcome {
        let plan = load(&self.file.config, output)?;
        output::logs(global, Some(plan.broker().telemetry));
        keep_secrets_in();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            builder.worker_threads(threads.into());
        }
        builder.enable_all().build()?.block_on(async {
            let running = start(plan, &self.file.config, self.ready_file, output).await?;
            running.until_stopped().await
        })
    }
}

/// Keeps this process's memory out of core dumps and out of other processes'
/// sight: it holds signing keys.
fn keep_secrets_in() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if setrlimit(Resource::Core, none).is_err()
        || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err()
    {
        tracing::warn!("core dumps could not be turned off; they would hold signing keys");
    }
}

/// What to exit with when the signing keys are not there.
pub(super) fn signing_exit(fault: &SigningError) -> Exit {
    match fault {
        SigningError::KeyEncryptionKey | SigningError::Sealed => Exit::Config,
        SigningError::Store(_) | SigningError::Contended => Exit::Unreachable,
        _ => Exit::Failure,
    }
}

/// A broker of this process.
pub(super) struct Running {
    broker: Broker,
    signals: Signals,
}

/// What the outside may tell a broker. Taken over before it listens: whoever
/// has seen that it does may send one at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn take_over() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Loads the plan of a broker, and says what is wrong with it.
pub(super) fn load(config: &Path, output: &Output) -> Result<Plan, Failure> {
    Plan::load(config).map_err(|found| {
        let exit = check::report(&found, output);
        Failure::new(
            exit,
            "the broker does not start on a configuration that is not in order",
        )
    })
}

/// Starts a broker on a plan, and says what is wrong if it cannot.
pub(super) async fn start(
    plan: Plan,
    config: &Path,
    ready_file: Option<PathBuf>,
    output: &Output,
) -> Result<Running, Failure> {
    let signals = Signals::take_over()?;
    let clock = Arc::new(SystemClock::new());
    let outside = Outside {
        outbound: Arc::new(HttpsClient::new()),
        clock,
        random: Arc::new(SystemRandom),
        ready_file,
    };
    let broker = Broker::on(plan, config, outside).await.map_err(|fault| {
        let exit = match &fault {
            StartError::Config(found) => check::report(found, output),
            StartError::KeyEncryption(_) => Exit::Config,
            StartError::Ledger(_) => Exit::Unreachable,
            StartError::Signing(fault) => signing_exit(fault),
            StartError::Server(ServerError::Tls { .. } | ServerError::PlainNotLoopback { .. }) => {
                Exit::Config
            }
            StartError::Server(_) => Exit::Failure,
        };
        Failure::new(exit, fault)
    })?;
    for (name, url) in broker.urls() {
        tracing::info!(listener = name, url, "listening");
    }
    Ok(Running { broker, signals })
}

impl Running {
    /// The address of the public listener.
    pub(super) fn public(&self) -> SocketAddr {
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        self.broker.address(Kind::Public).unwrap_or(unbound)
    }

    /// The URL of the public listener.
    pub(super) fn public_url(&self) -> String {
        let public = self
            .broker
            .urls()
            .find(|(name, _)| *name == Kind::Public.as_str());
        public.map(|(_, url)| url).unwrap_or_default()
    }

    /// Fetches the keys of all issuers, and waits for them.
    pub(super) async fn refresh_keys(&self) {
        self.broker.refresh_keys().await;
    }

    /// The audit records that match.
    pub(super) async fn audit(&self, query: Query) -> Result<Vec<Chained>, LedgerError> {
        self.broker.audit(query).await
    }

    /// Stops at once.
    pub(super) async fn stop(self) {
        self.broker.drain(Stop::Prompt).await;
    }

    /// Serves until SIGTERM or SIGINT; SIGHUP loads the files again.
    pub(super) async fn until_stopped(mut self) -> Outcome {
        let signals = &mut self.signals;
        let how = loop {
            tokio::select! {
                // Something supervises us, and load balancers need a notice.
                _ = signals.terminate.recv() => break Stop::Gradual,
                // A person waits at a terminal.
                _ = signals.interrupt.recv() => break Stop::Prompt,
                _ = signals.hangup.recv() => {
                    // What is wrong with them is in the log.
                    if self.broker.reload().await.is_ok() {
                        tracing::info!("the configuration was read again");
                    }
                }
            }
        };
        match self.broker.drain(how).await {
            true => Ok(Exit::Ok),
            false => Err(Failure::new(
                Exit::Failure,
                "some requests could not be answered before the drain deadline",
            )),
        }
    }
}

/// TLS with a certificate in memory, for the issuer of `assay dev`.
pub(super) fn tls_config(
    certificate: &str,
    key: &str,
) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, error);
    let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| fault(&e))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| fault(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![chain], key)
        })
        .map_err(|e| fault(&e))?;
    Ok(Arc::new(config))
}
