//! `assay dev`: the whole of it on one machine, with throw-away identities.
//!
//! Nothing is simulated: a real issuer over HTTPS, a real Workload API socket,
//! the real broker on configuration files that the user can go on with. Only
//! the identities are made up.

mod files;
mod issuer;
mod story;
mod workload_api;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use tokio::net::TcpListener;

use crate::{
    base::{
        clock::{Clock, SystemClock},
        random::SystemRandom,
    },
    jose::{Algorithm, LocalKey},
};

use super::{
    Outcome,
    output::{Exit, Failure, Output},
    serve,
};

use files::{Certificates, Facts};

/// The workload that the Workload API socket gives out.
const WORKLOAD: &str = "spiffe://dev.example/ns/payments/sa/worker";

/// Options of `assay dev`.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Exit after the exchanges instead of staying up
    #[arg(long)]
    once: bool,
    /// Keep the folder with the configuration here; it must not exist or be empty
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Dev {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(self.play(output))
    }

    async fn play(self, output: &Output) -> Outcome {
        let folder = Folder::new(self.dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let certificates = Certificates::new().map_err(fault)?;

        // The public port is chosen before the files are written, since the
        // broker's own name holds it. Between closing and binding again another
        // process could take it; then `serve` says so.
        let public = free_port()?;
        let issuer_listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = Arc::new(issuer::Issuer {
            url: format!("https://{}", issuer_listener.local_addr()?),
            audience: format!("https://{public}"),
            key: LocalKey::generate(Algorithm::Es256).map_err(fault)?,
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
        });
        let domain = Arc::new(workload_api::TrustDomain {
            workload: WORKLOAD.parse().map_err(fault)?,
            key: LocalKey::generate(Algorithm::Es256).map_err(fault)?,
            clock,
        });
        let facts = Facts {
            issuer: &issuer.audience,
            listen: &public.to_string(),
            ci_issuer: &issuer.url,
            spiffe_trust_domain: domain.workload.trust_domain(),
            bundle: &domain.bundle(true),
        };
        files::write(&folder.path, &facts, &certificates, &SystemRandom)?;

        let tls = serve::tls_config(&certificates.leaf_pem, &certificates.key_pem)?;
        tokio::spawn(issuer::serve(issuer_listener, tls, Arc::clone(&issuer)));
        let socket = folder.path.join("workload.sock");
        tokio::spawn({
            let (socket, domain) = (socket.clone(), Arc::clone(&domain));
            async move { workload_api::serve(&socket, domain).await }
        });
        let config = folder.path.join("assay.yaml");
        let plan = serve::load(&config, output)?;
        let rules = story::rules(&plan, &folder.path);
        let running = serve::start(plan, &config, None, output).await?;
        running.refresh_keys().await;

        let story = story::Story {
            folder: &folder.path,
            socket: &socket,
            issuer: &issuer,
            domain: &domain,
            running: &running,
            root_pem: &certificates.root_pem,
            rules,
        };
        story.tell(output).await?;
        if self.once {
            running.stop().await;
            if folder.is_kept() {
                let folder = folder.path.display();
                output.note(format_args!(
                    "Go on with it:  assay serve --config {folder}/assay.yaml"
                ));
            }
            return Ok(Exit::Ok);
        }
        story.invite(output);
        running.until_stopped().await
    }
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, error)
}

fn free_port() -> Result<SocketAddr, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?)
}

/// The folder, removed at the end unless the user named it.
struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    fn new(kept: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = kept else {
            let temporary = tempfile::Builder::new().prefix("assay-dev-").tempdir()?;
            return Ok(Self {
                path: temporary.path().to_owned(),
                temporary: Some(temporary),
            });
        };
        std::fs::create_dir_all(&path)?;
        if std::fs::read_dir(&path)?.next().is_some() {
            return Err(Failure::new(
                Exit::Usage,
                format_args!(
                    "{} is not empty: name another folder, or run the broker on it with `assay serve --config {}/assay.yaml`",
                    path.display(),
                    path.display()
                ),
            ));
        }
        let path = path.canonicalize()?;
        Ok(Self {
            path,
            temporary: None,
        })
    }
}
