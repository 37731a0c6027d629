//! What several commands take from a configuration file.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    base::clock::{Clock, Moment, SystemClock},
    config::Plan,
    ledger::Sqlite,
    signing::{KeyStore, Signing},
};

use super::{
    check,
    output::{Exit, Failure, Output},
};

/// Where the plan is.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The broker's configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "assay.yaml", env = "ASSAY_CONFIG")]
    pub(super) config: PathBuf,
}

impl ConfigFile {
    /// Loads the plan, or says what is wrong with it.
    pub(super) fn plan(&self, output: &Output) -> Result<Plan, Failure> {
        Plan::load(&self.config).map_err(|found| {
            let exit = check::report(&found, output);
            Failure::new(exit, format_args!("{} is not in order", self.config.display()))
        })
    }

    /// Opens the plan's ledger to read, also while a broker writes to it.
    pub(super) fn ledger_to_read(&self, output: &Output) -> Result<Arc<Sqlite>, Failure> {
        let plan = self.plan(output)?;
        Sqlite::open_read_only(&plan.broker().ledger)
            .map_err(|fault| Failure::new(Exit::Unreachable, fault))
    }
}

/// Opens a plan's ledger to write, also while a broker writes to it.
pub(super) fn ledger_to_write(plan: &Plan) -> Result<Arc<Sqlite>, Failure> {
    Sqlite::open(&plan.broker().ledger, clock())
        .map_err(|fault| Failure::new(Exit::Unreachable, fault))
}

/// Opens a plan's signing keys.
pub(super) async fn open_signing(
    plan: &Plan,
    ledger: Arc<Sqlite>,
) -> Result<Arc<Signing>, Failure> {
    let key = (plan.broker().key_encryption.resolve())
        .map_err(|fault| Failure::new(Exit::Config, format_args!("keyEncryption.key: {fault}")))?;
    let fault = |fault| Failure::new(Exit::Failure, fault);
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
