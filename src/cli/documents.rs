//! What the program says of itself: version, completions, manual pages.

use std::{fs, path::PathBuf};

use clap::{Args, Command};
use serde::Serialize;

use super::{
    Outcome,
    output::{Exit, Output},
};

/// Options of `assay version`.
#[derive(Debug, Args)]
pub(super) struct Version {}

#[derive(Serialize)]
struct Facts {
    version: &'static str,
    config: &'static str,
}

impl Version {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let facts = Facts {
            version: env!("CARGO_PKG_VERSION"),
            config: "assay/v1",
        };
        match output.is_json() {
            true => output.json(&facts),
            false => output.text(format_args!(
                "assay {} (configuration {})",
                facts.version, facts.config
            )),
        }
        Ok(Exit::Ok)
    }
}

/// Options of `assay completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self, output: &Output, mut command: Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "assay", &mut script);
        output.text(String::from_utf8_lossy(&script).trim_end());
        Ok(Exit::Ok)
    }
}

/// Options of `assay man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write the pages to
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self, command: Command) -> Outcome {
        fs::create_dir_all(&self.folder)?;
        clap_mangen::generate_to(command, &self.folder)?;
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_manual_page_is_written_for_every_command() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man {
            folder: folder.path().join("man"),
        };
        man.run(Cli::command()).unwrap();
        for page in ["assay.1", "assay-serve.1", "assay-audit-verify.1"] {
            let text = fs::read_to_string(folder.path().join("man").join(page)).unwrap();
            assert!(text.contains(".SH NAME"), "{page}");
        }
    }
}
