//! What the program says of itself, and how it takes being misused.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use assay::model::Reason;
use serde_json::Value;

use super::{
    Folder, members,
    support::process::{self, Ran},
};

#[test]
fn every_reason_has_a_page() {
    let all = process::run(["reason", "-o", "json"]).exits(0).lines();
    assert_eq!(all.len(), Reason::ALL.len());
    for entry in &all {
        assert_eq!(members(entry), ["code", "description", "error", "status"]);
        let page = process::run(["reason", entry["code"].as_str().unwrap(), "-o", "json"])
            .exits(0)
            .json();
        assert_eq!(
            members(&page),
            ["code", "description", "error", "page", "status"]
        );
        assert!(page["page"].as_str().unwrap().len() > 100, "{page}");
    }
    let text = process::run(["reason", "rule-no-match"]).exits(0).stdout;
    assert!(text.contains("RULE_NO_MATCH"), "{text}");
    let ran = process::run(["reason", "RULE_NOMATCH"]).exits(2);
    assert!(
        ran.stderr.contains("did you mean RULE_NO_MATCH?"),
        "{ran:?}"
    );
}

#[test]
fn schemas_are_schemas_and_the_one_in_the_tree() {
    let tree: Value = serde_json::from_str(include_str!("../../schema/v1/assay.json")).unwrap();
    assert_eq!(process::run(["schema"]).exits(0).json(), tree);
    for kind in ["broker", "trust-domain", "roles"] {
        let schema = process::run(["schema", kind]).exits(0).json();
        jsonschema::meta::validate(&schema).unwrap_or_else(|fault| panic!("{kind}: {fault}"));
        assert_ne!(schema, tree, "{kind}");
    }
    process::run(["schema", "nothing"]).exits(2);
}

#[test]
fn examples_load() {
    let root = env!("CARGO_MANIFEST_DIR");
    let example = format!("{root}/examples/assay.yaml");
    let mut command = process::assay(["check", "-o", "json", "--config", &example]);
    let ran = Ran::of(command.env("ASSAY_KEY_ENCRYPTION_KEY", "07".repeat(32))).exits(0);
    assert!(
        ran.lines().last().unwrap()["trust_domains"]
            .as_u64()
            .unwrap()
            >= 3,
        "{ran:?}"
    );
}

#[test]
fn version_completions_and_manual() {
    let version = process::run(["version"]).exits(0).stdout;
    assert_eq!(
        version,
        format!(
            "assay {} (configuration assay/v1)\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    let facts = process::run(["version", "-o", "json"]).exits(0).json();
    assert_eq!(members(&facts), ["config", "version"]);
    assert_eq!(
        process::run(["--version"]).exits(0).stdout,
        format!("assay {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = process::run(["completions", shell]).exits(0).stdout;
        assert!(script.contains("kill-switch"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    process::run(["man", folder.path().to_str().unwrap()]).exits(0);
    let page = std::fs::read_to_string(folder.path().join("assay-serve.1")).unwrap();
    assert!(page.contains("ready\\-file"), "{page}");
}

#[test]
fn a_wrong_command_line_is_told_on_stderr() {
    for args in [
        &["serv"][..],
        &[][..],
        &["serve", "--no-such-option"],
        &["audit"],
        &["audit", "query", "--reason", "NO_SUCH"],
        &["audit", "query", "--since", "yesterday"],
        &["audit", "tail", "-n", "0"],
        &["keys", "rotate"],
        &["kill-switch", "on", "planet", "earth"],
        &["version", "-o", "yaml"],
    ] {
        let ran = process::run(args).exits(2);
        assert!(
            ran.stdout.is_empty() && !ran.stderr.is_empty(),
            "{args:?}: {ran:?}"
        );
    }
    let help = process::run(["--help"]).exits(0);
    assert!(
        help.stdout.contains("kill-switch") && help.stderr.is_empty(),
        "{help:?}"
    );
}

/// Whoever can list processes can read their arguments.
#[test]
fn no_option_takes_a_secret() {
    let help = |command: &[&str]| {
        let args = command.iter().chain(&["--help"]);
        process::run(args).exits(0).stdout.to_lowercase()
    };
    for command in [
        &["serve"][..],
        &["dev"],
        &["check"],
        &["test"],
        &["explain"],
        &["keys", "rotate"],
        &["audit", "query"],
        &["kill-switch", "on"],
    ] {
        let help = help(command);
        for word in [
            "--token ",
            "--password",
            "--secret",
            "--key ",
            "--kek",
            "<token>",
        ] {
            assert!(!help.contains(word), "{command:?} has {word}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let folder = Folder::new();
    for args in [
        &["schema"][..],
        &["reason"],
        &["check"],
        &["completions", "bash"],
    ] {
        let mut child = process::assay(args)
            .env("ASSAY_CONFIG", &folder.config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {said}");
        assert!(said.is_empty(), "{args:?}: {said}");
    }
    // Nor is one that takes only the beginning.
    let script = format!("{} reason | head -n 1", process::PROGRAM);
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(
        (done.status.code(), done.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    assert_eq!(done.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn the_configuration_can_be_named_by_the_environment() {
    let folder = Folder::new();
    let mut command = process::assay(["check"]);
    Ran::of(command.env("ASSAY_CONFIG", &folder.config)).exits(0);
    // The command line is nearer.
    let mut command = process::assay(["check", "--config", "/nowhere/assay.yaml"]);
    Ran::of(command.env("ASSAY_CONFIG", &folder.config)).exits(10);
}
