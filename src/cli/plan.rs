//! What several commands take from a configuration file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use crate::{
    base::clock::{Clock, Moment, SystemClock},
    config::Plan,
    ledger::Sqlite,
    signing::{KeyStore, Signing},
};

use super::{
    check,
    output::{Exit, Failure, Output, unreachable},
    serve::signing_exit,
};

/// Where the plan is.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The broker's configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "assay.yaml",
        env = "ASSAY_CONFIG"
    )]
    pub(super) config: PathBuf,
}

impl ConfigFile {
    /// Loads the plan, or says what is wrong with it.
    pub(super) fn plan(&self, output: &Output) -> Result<Plan, Failure> {
        Plan::load(&self.config).map_err(|found| {
            let exit = check::report(&found, output);
            Failure::new(
                exit,
                format_args!("{} is not in order", self.config.display()),
            )
        })
    }
}

/// Where the ledger is. Named by itself, no configuration is read: an incident
/// must not wait for a file to be mended, and an auditor may have nothing else.
#[derive(Debug, Args)]
pub(super) struct LedgerFile {
    #[command(flatten)]
    file: ConfigFile,
    /// The ledger itself, or a copy of it; by default the one that the configuration names
    #[arg(long, global = true, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

impl LedgerFile {
    /// Opens the ledger to read, also while a broker writes to it.
    pub(super) fn to_read(&self, output: &Output) -> Result<Arc<Sqlite>, Failure> {
        let path = match &self.ledger {
            Some(path) => path.clone(),
            None => self.file.plan(output)?.broker().ledger.clone(),
        };
        Sqlite::open_read_only(&path).map_err(unreachable)
    }

    /// Opens the ledger to write, also while a broker writes to it. Never makes
    /// one: what is written here is for brokers that have it open.
    pub(super) fn to_write(&self, output: &Output) -> Result<(Arc<Sqlite>, Option<Plan>), Failure> {
        let (path, plan) = match &self.ledger {
            Some(path) => (path.clone(), None),
            None => {
                let plan = self.file.plan(output)?;
                (plan.broker().ledger.clone(), Some(plan))
            }
        };
        Ok((open_existing(&path)?, plan))
    }
}

/// Opens a ledger that a broker made, to write.
pub(super) fn open_existing(path: &Path) -> Result<Arc<Sqlite>, Failure> {
    if !path.exists() {
        let message = format_args!(
            "there is no ledger at {}: `assay serve` makes it",
            path.display()
        );
        return Err(unreachable(message));
    }
    Sqlite::open(path, clock()).map_err(unreachable)
}

/// Opens a plan's signing keys.
pub(super) async fn open_signing(
    plan: &Plan,
    ledger: Arc<Sqlite>,
) -> Result<Arc<Signing>, Failure> {
    let key = (plan.broker().key_encryption.resolve())
        .map_err(|fault| Failure::new(Exit::Config, format_args!("keyEncryption.key: {fault}")))?;
    let fault = |fault| Failure::new(signing_exit(&fault), fault);
    let signing = Signing::open(ledger as Arc<dyn KeyStore>, &key, clock()).map_err(fault)?;
    signing.apply(plan.targets()).await.map_err(fault)?;
    Ok(signing)
}

/// This machine's clock.
pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// The time now.
pub(super) fn now() -> Moment {
    clock().now()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A runtime for a command that waits for the ledger.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
