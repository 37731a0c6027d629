//! The structure that `ARCHITECTURE.md` promises, held against the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms, from the ground up: a room uses only rooms before it.
const ROOMS: &[&str] = &[
    "base", "model", "jose", "x509", "keys", "signing", "evidence", "policy", "ledger", "mint",
    "exchange", "config", "agent", "server", "cli",
];

/// Crates that only one room may touch, and why that one.
const KEPT_TO: &[(&str, &str, &str)] = &[
    ("reqwest", "base", "every way out passes the address filter"),
    (
        "rusqlite",
        "ledger",
        "what must be remembered is in one place",
    ),
    (
        "saphyr_parser",
        "config",
        "text becomes a plan in one place",
    ),
    ("cel", "policy", "expressions decide nothing outside policy"),
    (
        "clap",
        "cli",
        "the command line is a shell around the library",
    ),
    (
        "aws_lc_rs::signature",
        "jose",
        "signatures are made and checked in one place",
    ),
];

struct Source {
    path: PathBuf,
    /// Without comments and without test modules.
    code: String,
    text: String,
}

fn sources() -> Vec<Source> {
    fn visit(folder: &Path, out: &mut Vec<Source>) {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                visit(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                out.push(Source {
                    code: without_tests_and_comments(&text),
                    path,
                    text,
                });
            }
        }
    }
    let mut all = Vec::new();
    visit(&root().join("src"), &mut all);
    assert!(all.len() > 50, "the sources were not found");
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(|line| match line.find("//") {
        Some(at) if !line[..at].contains('"') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    stem == "tests" || stem.ends_with("_tests") || path.iter().any(|part| part == "tests")
}

/// The room of a file: the folder or file directly under `src`.
fn room(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next()?.to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (!matches!(name.as_str(), "lib" | "main")).then_some(name)
}

/// The rooms that code refers to by `crate::room` or `crate::{room, ...}`.
fn used_rooms(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => used.push(identifier(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            used.push(identifier(std::mem::take(&mut item).trim()))
                        }
                        _ if depth == 0 => item.push(c),
                        _ => {}
                    }
                }
                used.push(identifier(item.trim()));
            }
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn the_import_reader_reads_every_form() {
    let code = "use crate::{\n base::{a, b},\n model::X,\n};\nuse crate::jose;\nlet x = crate::policy::decide();";
    assert_eq!(used_rooms(code), ["base", "model", "jose", "policy"]);
}

#[test]
fn rooms_use_only_rooms_above_them() {
    let place = |name: &str| ROOMS.iter().position(|room| *room == name);
    for source in sources() {
        let Some(room) = room(&source.path) else {
            continue;
        };
        let here = place(&room).unwrap_or_else(|| panic!("{room} is not a room"));
        if is_test_file(&source.path) {
            continue;
        }
        for used in used_rooms(&source.code) {
            let there = place(&used)
                .unwrap_or_else(|| panic!("{}: {used} is not a room", source.path.display()));
            assert!(
                there <= here,
                "{}: {room} uses {used}, which is below it",
                source.path.display()
            );
        }
    }
}

#[test]
fn the_library_lists_the_rooms_in_their_order() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<_> = lib
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let expected: Vec<_> = ROOMS
        .iter()
        .copied()
        .filter(|room| listed.contains(room))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn files_fit_on_a_few_screens() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", source.path.display());
        assert!(
            source.text.starts_with("//!") || is_test_file(&source.path),
            "{} does not say what it is for",
            source.path.display()
        );
    }
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 50);
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    for source in sources() {
        let Some(here) = room(&source.path) else {
            continue;
        };
        if is_test_file(&source.path) {
            continue;
        }
        for (name, keeper, why) in KEPT_TO {
            let path = format!("{name}::");
            let foreign = source.code.match_indices(&path).any(|(at, _)| {
                !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            assert!(
                !foreign || here == *keeper,
                "{}: {name} belongs to {keeper}, since {why}",
                source.path.display()
            );
        }
    }
}

#[test]
fn every_reason_has_exactly_one_page() {
    let mut pages: Vec<_> = fs::read_dir(root().join("docs/reasons"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut codes: Vec<_> = assay::model::Reason::ALL
        .iter()
        .map(|r| r.code().to_owned())
        .collect();
    pages.sort();
    codes.sort();
    assert_eq!(pages, codes);
}
