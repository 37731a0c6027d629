//! What the README shows is what the program takes.

use std::{fs, path::PathBuf};

use assay::config::Plan;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_first_deployment_loads_with_a_file_to_copy() {
    let yaml = blocks("yaml");
    let of_kind = |kind: &str| {
        let line = format!("kind: {kind}\n");
        yaml.iter().find(|block| block.contains(&line)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let domains = folder.path().join("trust-domains");
    fs::create_dir(&domains).unwrap();
    fs::write(folder.path().join("assay.yaml"), of_kind("Broker")).unwrap();
    fs::write(domains.join("roles.yaml"), of_kind("Roles")).unwrap();
    // The role that the copied file grants has another name there.
    let spiffe = fs::read_to_string(root().join("trust-domains/spiffe-prod.yaml")).unwrap();
    assert!(spiffe.contains("payments-worker"));
    let plan = Plan::load(&folder.path().join("assay.yaml"));
    if let Err(found) = plan {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{}", found.join("\n"));
    }
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    for name in [
        "spiffe-prod",
        "eks-prod-eu",
        "github-acme",
        "buildkite-acme",
    ] {
        assert!(text.contains(&format!("`{name}.yaml`")), "{name}");
        assert!(
            root().join(format!("trust-domains/{name}.yaml")).is_file(),
            "{name}"
        );
    }
    for folder in ["examples", "docs/reasons", "trust-domains"] {
        assert!(
            text.contains(&format!("]({folder})")) && root().join(folder).is_dir(),
            "{folder}"
        );
    }
}
