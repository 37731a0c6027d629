//! The commands, as a person, a pipe and a script each see them: through the
//! real program, by exit code, stdout and stderr.

#[path = "../support/mod.rs"]
mod support;

mod documents;
mod ledger;
mod plans;

use std::path::PathBuf;

use support::{
    broker::Files,
    process::{self, FileIssuer, Ran, path},
};

/// A folder with the trust domain `ci`, its keys in a file, usable offline.
struct Folder {
    files: Files,
    issuer: FileIssuer,
    config: PathBuf,
}

const RULES: &str = "    singleUse: true\n  explain: full\n  rules:\n\
    \x20   - { name: worker, match: { subject: \"wl:ok\" }, grant: { role: worker } }\n\
    \x20   - { name: reader, match: { subject: \"wl:reader\" }, grant: { role: reader } }\n\
    \x20 tests:\n\
    \x20   - allow: { subject: \"wl:ok\" }\n      role: worker\n\
    \x20   - deny: { subject: \"wl:bad\" }\n      role: worker\n      reason: RULE_NO_MATCH\n";

impl Folder {
    fn new() -> Self {
        let (mut files, issuer) = (Files::new(), FileIssuer::new());
        // Tests ask as fast as they can.
        files
            .more
            .push_str("  budgets: { perIdentity: { rate: 100000, burst: 100000 } }\n");
        issuer.write(&files, "", RULES);
        let config = files.config();
        Self {
            files,
            issuer,
            config,
        }
    }

    /// Runs a command on this folder's configuration.
    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(process::assay(args).arg("--config").arg(&self.config))
    }

    /// The same for programs.
    fn json(&self, args: &[&str]) -> Ran {
        Ran::of(
            process::assay(args)
                .args(["-o", "json"])
                .arg("--config")
                .arg(&self.config),
        )
    }

    /// Replaces a text in a file.
    fn change(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(path(&self.files, name)).expect("it reads");
        assert!(text.contains(from), "{from}: {text}");
        self.files.write(name, &text.replace(from, to));
    }
}

/// The names of an object's members.
#[track_caller]
fn members(value: &serde_json::Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}
