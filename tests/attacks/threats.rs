//! `SECURITY.md` names tests for each threat. A page that names tests which
//! are gone is worse than none.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all functions under a folder.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            into.extend(text.lines().filter_map(function));
        }
    }
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<String> {
    let code = line.trim_start();
    let (before, rest) = code.split_once("fn ")?;
    let is_start = before
        .split_whitespace()
        .all(|word| matches!(word, "pub" | "pub(crate)" | "pub(super)" | "async"));
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (is_start && rest[name.len()..].starts_with(['(', '<'])).then_some(name)
}

/// The rows of the threat tables: id, and the tests named.
fn threats(page: &str) -> Vec<(String, Vec<String>)> {
    let rows = page.lines().filter(|line| line.starts_with("| T-"));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, _, tests] = cells[..] else {
            panic!("{line} has not four cells")
        };
        let names = tests
            .split_whitespace()
            .map(|name| name.trim_matches('`').to_owned());
        (id.to_owned(), names.collect())
    };
    rows.map(row).collect()
}

#[test]
fn functions_are_found_where_they_begin() {
    assert_eq!(
        function("    pub(crate) async fn a_b(x: u8) {").as_deref(),
        Some("a_b")
    );
    assert_eq!(function("fn c<T>() {").as_deref(), Some("c"));
    assert_eq!(function("// fn d() {"), None);
    assert_eq!(function("let f: fn (u8);"), None);
}

#[test]
fn every_threat_has_tests_and_every_test_exists() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        functions(&root().join(folder), &mut known);
    }
    let page = fs::read_to_string(root().join("SECURITY.md")).expect("the page");
    let threats = threats(&page);
    assert!(threats.len() >= 30, "the tables were not found");
    for (at, (id, tests)) in threats.iter().enumerate() {
        assert_eq!(
            *id,
            format!("T-{:02}", at + 1),
            "ids count from T-01 without gaps"
        );
        assert!(!tests.is_empty(), "{id} has no test");
        for test in tests {
            assert!(
                known.contains(test),
                "{id} names {test}, which does not exist"
            );
        }
    }
}

#[test]
fn every_attack_carries_an_id_of_the_catalogue() {
    let families = ["j", "c", "s", "o", "p", "k", "a", "r", "f", "l"];
    let exempt = ["threats.rs", "rig.rs"];
    for entry in fs::read_dir(root().join("tests/attacks")).expect("the folder") {
        let path = entry.expect("an entry").path();
        if exempt.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        assert!(
            text.lines().count() <= 400,
            "{} is too long",
            path.display()
        );
        let mut lines = text.lines();
        let mut tests = 0;
        while let Some(line) = lines.next() {
            if !line.starts_with("#[tokio::test") && line != "#[test]" {
                continue;
            }
            tests += 1;
            let name = lines.next().and_then(function).expect("a test");
            let mut words = name.split('_');
            let family = words.next().unwrap_or_default();
            let number = words.next().unwrap_or_default();
            assert!(
                families.contains(&family) && number.parse::<u8>().is_ok(),
                "{name} has no id"
            );
        }
        assert!(tests > 0, "{} tests nothing", path.display());
    }
}
