//! The plan: everything that the files say, checked, as one immutable value.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    broker::Broker,
    checked::Report,
    diagnostic::{Code, Diagnostic, Severity, SourceFile, Span},
    load::Loaded,
};
use crate::{
    evidence::{self, Registry, Source, TrustDomain},
    keys::{Handle, Spec},
    model::{Target, TrustDomainName},
    policy::{Policy, TestOutcome},
};

/// Everything that the files say. It exists only if all of it is in order.
pub struct Plan {
    broker: Broker,
    domains: Vec<Domain>,
    policy: Arc<Policy>,
    tests: Vec<TestOutcome>,
    warnings: Vec<Diagnostic>,
    digest: String,
    content: [u8; 32],
    watched: Vec<PathBuf>,
}

/// One trust domain: how its evidence is judged, and where its keys are.
#[derive(Clone)]
pub struct Domain {
    /// How its evidence is judged.
    pub evidence: Arc<TrustDomain>,
    /// Where its keys are.
    pub keys: Spec,
}

impl Plan {
    /// Reads `path` (a `kind: Broker` file) and the folder that it names.
    /// Whole or not at all: any error, a failing test too, and there is no
    /// plan. Nothing is fetched, and no secret is read.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let mut loaded = Loaded::read(path);
        let watched = watched(path, &loaded);
        let Some(broker) = loaded.broker.take().filter(|_| !has_errors(&loaded.found)) else {
            return Err(loaded.found);
        };
        let mut domains = Vec::new();
        let mut policies = Vec::new();
        for parts in loaded.domains {
            domains.push(Domain {
                evidence: parts.domain,
                keys: parts.keys,
            });
            policies.push(parts.policy);
        }
        let mut found = loaded.found;
        let files = &loaded.files;
        let policy = match Policy::new(broker.targets.clone(), loaded.roles, policies) {
            Ok(policy) => policy,
            Err(problems) => {
                for problem in problems {
                    let placed = place(
                        files,
                        &problem.file,
                        problem.line,
                        Code::Policy,
                        problem.what,
                    );
                    found.push(Diagnostic {
                        help: problem.hint,
                        ..placed
                    });
                }
                return Err(found);
            }
        };
        let source = |name: &TrustDomainName| -> Option<Source> {
            let domain = domains.iter().find(|d| d.evidence.name == *name);
            domain.map(|d| d.evidence.source.clone())
        };
        let tests = policy.run_tests(&source);
        for test in tests.iter().filter(|test| !test.passed) {
            found.push(place(
                files,
                &test.file,
                test.line,
                Code::TestFailed,
                test.what.clone(),
            ));
        }
        if has_errors(&found) {
            return Err(found);
        }
        Ok(Self {
            broker,
            domains,
            policy: Arc::new(policy),
            tests,
            warnings: found,
            digest: hex(&sha256(&loaded.canonical)),
            content: content(files),
            watched,
        })
    }

    /// The broker's own settings.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The targets, by name.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.broker.targets
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The trust domains, by name.
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// The trust domain of that name.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains
            .iter()
            .find(|d| d.evidence.name.as_str() == name)
    }

    /// What the keyring is to look after.
    pub fn key_specs(&self) -> BTreeMap<TrustDomainName, Spec> {
        let spec = |d: &Domain| (d.evidence.name.clone(), d.keys.clone());
        self.domains.iter().map(spec).collect()
    }

    /// The trust domains with the handles of their keys. One whose handle is
    /// not there is left out, and its evidence refused as unknown.
    pub fn registry(&self, handles: &BTreeMap<TrustDomainName, Handle>) -> Registry {
        let entry = |d: &Domain| {
            let keys = handles.get(&d.evidence.name)?.clone();
            Some(evidence::Entry {
                domain: Arc::clone(&d.evidence),
                keys,
            })
        };
        Registry::new(
            self.broker.issuer.clone(),
            self.domains.iter().filter_map(entry).collect(),
        )
    }

    /// What the tests in the files came to: all passed.
    pub fn tests(&self) -> &[TestOutcome] {
        &self.tests
    }

    /// What is in order but deserves a look.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// SHA-256 over what the files say, in hexadecimal. Comments and the order
    /// of keys do not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// SHA-256 over the files as they are, comments and all.
    pub fn content(&self) -> &[u8; 32] {
        &self.content
    }

    /// The files and folders that it was read from.
    pub fn watched(&self) -> &[PathBuf] {
        &self.watched
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// What to watch for a plan that loads, or would after a change.
fn watched(path: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let folder = loaded.broker.as_ref().map(|b| b.trust_domains.clone());
    std::iter::once(path.to_owned()).chain(folder).collect()
}

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|d| d.severity == Severity::Error)
}

/// Places at a line what another room says of it.
fn place(files: &[Arc<SourceFile>], path: &str, line: u32, code: Code, what: String) -> Diagnostic {
    let unknown = || {
        Arc::new(SourceFile {
            path: path.to_owned(),
            text: String::new(),
        })
    };
    let file = files
        .iter()
        .find(|f| f.path == path)
        .map_or_else(unknown, Arc::clone);
    let number = usize::try_from(line).unwrap_or(1).saturating_sub(1);
    let start: usize = file
        .text
        .split_inclusive('\n')
        .take(number)
        .map(str::len)
        .sum();
    let text = file
        .text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let from = text.len() - text.trim_start_matches([' ', '-']).len();
    let span = Span {
        line,
        ..Span::at(&file.text, start + from, start + text.trim_end().len())
    };
    let mut report = Report::new(file);
    report.error(span, code, what).clone()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn content(files: &[Arc<SourceFile>]) -> [u8; 32] {
    let mut all = Vec::new();
    for file in files {
        all.extend(sha256(file.path.as_bytes()));
        all.extend(sha256(file.text.as_bytes()));
    }
    sha256(&all)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
