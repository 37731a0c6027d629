//! Configuration from the outside: the examples load, and what is wrong is
//! said with its place and what to write instead.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use assay::config::{
    Code, Diagnostic, Plan, Style,
    diagnostic::render_all,
    schema,
    yaml::{self, Node, Value},
};
use proptest::prelude::*;

mod cases {
    include!("data/config-cases.rs");
}
use cases::{CASES, Case};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn data(name: &str) -> PathBuf {
    root().join("tests/data").join(name)
}

fn show(found: &[Diagnostic]) -> String {
    render_all(found, Style::Plain)
}

/// A copy of a folder of `tests/data`.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("trust-domains")).unwrap();
    for part in ["", "trust-domains"] {
        for entry in fs::read_dir(data(name).join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(
                    &path,
                    folder.path().join(part).join(path.file_name().unwrap()),
                )
                .unwrap();
            }
        }
    }
    folder
}

fn load(folder: &Path) -> Result<Plan, Vec<Diagnostic>> {
    Plan::load(&folder.join("assay.yaml"))
}

/// The folder with one text of one file replaced.
fn changed(file: &str, old: &str, new: &str) -> tempfile::TempDir {
    let folder = copy("config-good");
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(old).count(), 1, "{file}: {old:?}");
    fs::write(&path, text.replace(old, new)).unwrap();
    folder
}

/// What an editor makes of a file: YAML 1.2 core types.
fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar { text, plain: false } => text.as_str().into(),
        Value::Scalar { text, plain: true } => match text.as_str() {
            "" | "~" | "null" => serde_json::Value::Null,
            "true" => true.into(),
            "false" => false.into(),
            other => match (other.parse::<i64>(), other.parse::<f64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) if number.is_finite() => number.into(),
                _ => other.into(),
            },
        },
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|e| (e.key.clone(), to_json(&e.value)))
            .collect(),
    }
}

fn validator() -> jsonschema::Validator {
    let schema = schema::all();
    jsonschema::meta::validate(&schema).expect("a schema of its dialect");
    jsonschema::validator_for(&schema).unwrap()
}

fn schema_problems(validator: &jsonschema::Validator, text: &str) -> Vec<String> {
    let parsed = yaml::parse(text);
    assert_eq!(parsed.faults, []);
    let json = to_json(&parsed.root.unwrap());
    validator
        .iter_errors(&json)
        .map(|e| e.to_string())
        .collect()
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn the_examples_load_and_their_tests_pass() {
    let plan = Plan::load(&root().join("examples/assay.yaml"));
    let plan = plan.unwrap_or_else(|found| panic!("{}", show(&found)));
    assert_eq!(plan.warnings(), [], "{}", show(plan.warnings()));
    assert!(plan.tests().len() >= 12 && plan.tests().iter().all(|t| t.passed));
}

#[test]
fn there_is_an_example_for_every_source() {
    let plan = Plan::load(&root().join("examples/assay.yaml")).unwrap();
    for preset in assay::evidence::PRESETS {
        assert!(
            plan.domains()
                .iter()
                .any(|d| d.evidence.preset.name == preset.name),
            "{} has no example",
            preset.name
        );
    }
}

#[test]
fn examples_satisfy_the_schema_and_name_it() {
    let validator = validator();
    let mut files = yaml_files(&root().join("trust-domains"));
    files.extend(yaml_files(&root().join("examples")));
    // The others in that folder are files of other systems.
    files.retain(|file| {
        fs::read_to_string(file)
            .unwrap()
            .contains("apiVersion: assay/")
    });
    assert!(files.len() >= 6);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap();
        let named = first
            .strip_prefix("# yaml-language-server: $schema=")
            .unwrap_or_else(|| panic!("{file:?}"));
        assert!(
            file.parent().unwrap().join(named).is_file(),
            "{file:?} names {named}"
        );
        assert_eq!(
            schema_problems(&validator, &text),
            Vec::<String>::new(),
            "{file:?}"
        );
    }
}

#[test]
fn the_schema_in_the_tree_is_the_one_that_the_program_makes() {
    let made = serde_json::to_string_pretty(&schema::all()).unwrap() + "\n";
    let path = root().join("schema/v1/assay.json");
    if std::env::var_os("ASSAY_UPDATE_SCHEMA").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "run this test with ASSAY_UPDATE_SCHEMA=1 and commit {}",
        path.display()
    );
}

#[test]
fn the_base_of_the_corpus_loads_and_satisfies_the_schema() {
    let plan = load(&data("config-good")).unwrap_or_else(|found| panic!("{}", show(&found)));
    assert_eq!(plan.warnings(), []);
    let validator = validator();
    let mut files = yaml_files(&data("config-good/trust-domains"));
    files.push(data("config-good/assay.yaml"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(
            schema_problems(&validator, &text),
            Vec::<String>::new(),
            "{file:?}"
        );
    }
}

/// G-13, A-01 and many more: one slip, one diagnostic, at its place, with what
/// to write instead; and what the schema can see, it sees.
#[test]
fn every_slip_is_reported_once_at_its_place() {
    let validator = validator();
    let mut wrong = Vec::new();
    for Case {
        file,
        old,
        new,
        line,
        column,
        code,
        says,
        schema,
    } in CASES
    {
        let folder = changed(file, old, new);
        let found = match load(folder.path()) {
            Ok(_) => Vec::new(),
            Err(found) => found,
        };
        let places: Vec<_> = found
            .iter()
            .map(|d| {
                let path = Path::new(&d.file.path).strip_prefix(folder.path()).unwrap();
                (
                    path.to_str().unwrap().to_owned(),
                    d.span.line,
                    d.span.column,
                    d.code.as_str(),
                )
            })
            .collect();
        let all = show(&found);
        if places != [((*file).to_owned(), *line, *column, *code)] || !all.contains(says) {
            wrong.push(format!(
                "{new:?} in {file} ({line}:{column} {code} {says:?})\n  {places:?}\n  {all}"
            ));
        }
        if let Some(seen) = schema {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            let problems = schema_problems(&validator, &text);
            if problems.is_empty() == *seen {
                wrong.push(format!("{new:?} in {file}: the schema says {problems:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 50);
}

#[test]
fn what_is_wrong_in_several_places_is_said_at_once() {
    let folder = copy("config-several");
    let found = load(folder.path()).unwrap_err();
    let prefix = format!("{}/", folder.path().display());
    let shown = show(&found).replace(&prefix, "") + "\n";
    let path = data("config-several/expected.txt");
    if std::env::var_os("ASSAY_UPDATE_EXPECTED").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&path).unwrap());
    for diagnostic in &found {
        let json = diagnostic.to_json();
        assert!(json["line"].as_u64().unwrap() >= 1 && json["code"].is_string());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = copy("config-good");
    let refused = |folder: &Path| -> Vec<(String, &'static str)> {
        let found = load(folder).unwrap_err();
        let name = |d: &Diagnostic| {
            Path::new(&d.file.path)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        found.iter().map(|d| (name(d), d.code.as_str())).collect()
    };
    let at = |name: &str| folder.path().join(name);
    fs::write(at("trust-domains/late.yml"), "").unwrap();
    assert_eq!(refused(folder.path()), [("late.yml".to_owned(), "name")]);
    fs::remove_file(at("trust-domains/late.yml")).unwrap();
    fs::write(at("trust-domains/bom.yaml"), "\u{feff}a: 1").unwrap();
    assert_eq!(
        refused(folder.path()),
        [("bom.yaml".to_owned(), "encoding")]
    );
    fs::write(at("trust-domains/bom.yaml"), vec![b'#'; 2 << 20]).unwrap();
    assert_eq!(refused(folder.path()), [("bom.yaml".to_owned(), "too-big")]);
    fs::remove_file(at("trust-domains/bom.yaml")).unwrap();
    // Hidden files, folders and files of other kinds are not configuration.
    fs::write(at("trust-domains/.hidden.yaml"), "x").unwrap();
    fs::write(at("trust-domains/README.md"), "x").unwrap();
    fs::create_dir(at("trust-domains/more.yaml")).unwrap();
    load(folder.path()).unwrap_or_else(|found| panic!("{}", show(&found)));
    fs::rename(at("trust-domains"), at("elsewhere")).unwrap();
    assert_eq!(
        refused(folder.path()),
        [("trust-domains".to_owned(), "unreadable")]
    );
    fs::remove_file(at("assay.yaml")).unwrap();
    assert_eq!(
        refused(folder.path()),
        [("assay.yaml".to_owned(), "unreadable")]
    );
}

#[test]
fn the_broker_may_stand_among_its_trust_domains() {
    let folder = copy("config-good");
    let inside = folder.path().join("trust-domains");
    let text = fs::read_to_string(folder.path().join("assay.yaml")).unwrap();
    fs::write(
        inside.join("assay.yaml"),
        text.replace("trustDomains: trust-domains", "trustDomains: ."),
    )
    .unwrap();
    assert_eq!(load(&inside).unwrap().domains().len(), 4);
}

#[test]
fn the_digest_is_of_what_is_said_not_of_how() {
    let before = load(&data("config-good")).unwrap();
    let comment = changed("assay.yaml", "kind: Broker\n", "kind: Broker # ours\n");
    let order = changed(
        "trust-domains/roles.yaml",
        "{ payments: write, orders: read }",
        "{ orders: read, payments: write }",
    );
    let meaning = changed("trust-domains/roles.yaml", "maxTtl: 30m", "maxTtl: 29m");
    assert_eq!(load(comment.path()).unwrap().digest(), before.digest());
    assert_eq!(load(order.path()).unwrap().digest(), before.digest());
    assert_ne!(load(meaning.path()).unwrap().digest(), before.digest());
}

#[test]
fn keys_of_every_kind_are_specified() {
    use assay::keys::Source;
    let plan = load(&data("config-good")).unwrap();
    let spec = |name: &str| plan.domain(name).unwrap().keys.clone();
    assert!(
        matches!(spec("spire").source, Source::Url(url) if url.as_str() == "https://spire.test:8443/")
    );
    assert!(
        matches!(spec("cluster").source, Source::Url(url) if url.as_str() == "https://cluster.test/jwks")
    );
    assert!(
        matches!(spec("pipeline").source, Source::Discovery(issuer) if issuer.as_str() == "https://ci.test")
    );
    assert_eq!(spec("pipeline").max_stale.to_string(), "1d");
    let folder = changed(
        "trust-domains/spire.yaml",
        "      endpoint: https://spire.test:8443\n      profile: https_web",
        "      file: bundle.json",
    );
    let plan = load(folder.path()).unwrap();
    let file = folder.path().join("trust-domains/bundle.json");
    assert_eq!(
        plan.domain("spire").unwrap().keys.source,
        Source::File(file)
    );
    let folder = changed(
        "trust-domains/cluster.yaml",
        "      url: https://cluster.test/jwks",
        "      ca: ca.pem\n      allowPrivateAddress: true\n      refresh: 1m\n      maxStale: 2h",
    );
    let keys = load(folder.path())
        .unwrap()
        .domain("cluster")
        .unwrap()
        .keys
        .clone();
    assert!(matches!(keys.source, Source::Discovery(_)) && keys.peer.allow_private);
    assert_eq!(
        (keys.refresh.as_secs(), keys.max_stale.as_secs()),
        (60, 7200)
    );
    assert_eq!(
        keys.peer.ca,
        Some(folder.path().join("trust-domains/ca.pem"))
    );
}

/// The plan and the keyring together are the registry.
#[test]
fn the_registry_has_every_trust_domain_whose_keys_are_looked_after() {
    use assay::base::{clock::SystemClock, outbound::HttpsClient, random::SystemRandom};
    let plan = load(&data("config-good")).unwrap();
    let keyring = assay::keys::Keyring::new(
        Arc::new(SystemClock::default()),
        Arc::new(SystemRandom),
        Arc::new(HttpsClient::new()),
    );
    let mut handles = keyring.apply(&plan.key_specs());
    assert_eq!(plan.registry(&handles).iter().count(), 4);
    handles.remove("spire");
    let registry = plan.registry(&handles);
    assert!(registry.get("spire").is_none() && registry.get("cluster").is_some());
}

/// One edit of a text: bytes put in, taken out or repeated.
fn mutate(text: &str, edits: &[(usize, usize, String)]) -> String {
    let mut all: Vec<char> = text.chars().collect();
    for (at, length, new) in edits {
        let at = at % (all.len() + 1);
        let end = (at + length).min(all.len());
        all.splice(at..end, new.chars());
    }
    all.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// F-21: whatever becomes of a file, loading ends with a plan or with
    /// diagnostics that can be shown.
    #[test]
    fn f_21_no_text_makes_the_loader_panic(
        which in 0usize..6,
        edits in prop::collection::vec(
            (any::<usize>(), 0usize..12, prop_oneof![
                "[ -~\\n]{0,8}", "\\PC{0,3}",
                Just("\n".to_owned()), Just("  ".to_owned()), Just("{".to_owned()), Just("[".to_owned()),
                Just(": ".to_owned()), Just("- ".to_owned()), Just("\"".to_owned()), Just("*".to_owned()),
            ]),
            1..6,
        ),
    ) {
        let files = ["assay.yaml", "trust-domains/roles.yaml", "trust-domains/spire.yaml",
            "trust-domains/cluster.yaml", "trust-domains/github.yaml", "trust-domains/pipeline.yaml"];
        let folder = copy("config-good");
        let path = folder.path().join(files[which]);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, mutate(&text, &edits)).unwrap();
        if let Err(found) = load(folder.path()) {
            prop_assert!(!found.is_empty());
            prop_assert!(!show(&found).is_empty());
            for diagnostic in &found {
                prop_assert!(Code::ALL.contains(&diagnostic.code));
                drop(diagnostic.to_json());
            }
        }
    }
}
