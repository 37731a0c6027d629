//! From files to parts: every file is read, every problem of each is kept.
//!
//! A file that is wrong hides no problem of another. What depends on a part
//! that is missing is not judged, so that one slip is reported once.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    broker::Broker,
    checked::Report,
    diagnostic::{Code, Diagnostic, Severity, SourceFile, Span},
    document::{Document, DocumentKind},
    roles,
    trust_domain::{self, Around, Parts},
    yaml::MAX_BYTES,
};
use crate::{
    base::file::read_capped,
    model::{IssuerUrl, Target},
    policy::Role,
};

/// Most files in the folder of trust domains.
const MAX_FILES: usize = 4096;

/// What the files say, as far as it is in order.
#[derive(Default)]
pub(super) struct Loaded {
    /// The broker's own settings.
    pub(super) broker: Option<Broker>,
    /// All roles.
    pub(super) roles: Vec<Role>,
    /// All trust domains.
    pub(super) domains: Vec<Parts>,
    /// Every file that was read, for placing what is found later.
    pub(super) files: Vec<Arc<SourceFile>>,
    /// What is wrong, file by file, in the order of each.
    pub(super) found: Vec<Diagnostic>,
    /// The trees, in canonical form, for the digest.
    pub(super) canonical: Vec<u8>,
}

impl Loaded {
    /// Reads `path` and what it names.
    pub(super) fn read(path: &Path) -> Self {
        let mut loaded = Self::default();
        let Some(mut broker_file) = loaded.document(path) else {
            return loaded;
        };
        if broker_file.kind != DocumentKind::Broker {
            wrong_kind(
                &mut broker_file,
                "this file is read as the broker's own",
                "name the file with `kind: Broker`",
            );
            loaded.take(broker_file.report);
            return loaded;
        }
        let broker = Broker::read(&mut broker_file);
        let folder = Broker::folder(&broker_file);
        // The issuer is enough to go on with, whatever else is wrong.
        let issuer = broker
            .as_ref()
            .map(|b| b.issuer.clone())
            .or_else(|| issuer(&broker_file));
        let complete = broker_file
            .report
            .found()
            .iter()
            .all(|d| d.severity == Severity::Warning);
        let targets = broker
            .as_ref()
            .map(|b| b.targets.clone())
            .unwrap_or_default();
        loaded.take(broker_file.report);
        loaded.broker = broker;
        let files = folder
            .map(|folder| loaded.list(&folder, path))
            .unwrap_or_default();
        loaded.folder(&files, issuer.as_ref(), &targets, complete);
        loaded
    }

    fn folder(
        &mut self,
        files: &[PathBuf],
        issuer: Option<&IssuerUrl>,
        targets: &[Arc<Target>],
        complete: bool,
    ) {
        let mut documents: Vec<Document> = Vec::new();
        let mut readable = true;
        for file in files {
            match self.document(file) {
                Some(mut document) => {
                    document.check_file_name(&stem(file));
                    documents.push(document);
                }
                None => readable = false,
            }
        }
        // A role can only be called unknown if all roles are known. A target
        // that is missing takes its roles along.
        let mut roles_known = readable && complete;
        for document in documents
            .iter_mut()
            .filter(|d| d.kind == DocumentKind::Roles)
        {
            if complete {
                self.roles.extend(roles::read(document, targets));
            } else {
                roles::check(document);
            }
            roles_known &= document
                .report
                .found()
                .iter()
                .all(|d| d.severity == Severity::Warning);
        }
        for mut document in documents {
            match document.kind {
                DocumentKind::TrustDomain => {
                    let around = Around {
                        issuer,
                        roles: roles_known.then_some(self.roles.as_slice()),
                    };
                    self.domains
                        .extend(trust_domain::read(&mut document, around));
                }
                DocumentKind::Roles => {}
                DocumentKind::Broker => wrong_kind(
                    &mut document,
                    "a second broker stands in the folder of trust domains",
                    "move it out of this folder, or remove it",
                ),
            }
            self.take(document.report);
        }
        self.check_sources();
    }

    /// Two trust domains of one and the same source would compete for tokens.
    fn check_sources(&mut self) {
        let key = |parts: &Parts| {
            let outline = parts.domain.source.outline();
            (outline.selector.clone(), outline.tenant.clone())
        };
        for (i, parts) in self.domains.iter().enumerate() {
            let earlier = self
                .domains
                .iter()
                .take(i)
                .find(|other| key(other) == key(parts));
            let file = self.files.iter().find(|f| *f.path == *parts.policy.file);
            let (Some(earlier), Some(file)) = (earlier, file) else {
                continue;
            };
            let mut report = Report::new(Arc::clone(file));
            let message = format!(
                "the trust domain `{}` has the same source",
                earlier.domain.name
            );
            let error = report.error(parts.source_span, Code::Conflict, message);
            error.help = Some("write the rules of one source into one file".to_owned());
            self.found.extend(report.into_found());
        }
    }

    /// Reads one file as far as its envelope.
    fn document(&mut self, path: &Path) -> Option<Document> {
        let shown = path.to_string_lossy();
        let cap = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        let bytes = match read_capped(path, cap) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unreadable(&shown, &error);
                return None;
            }
        };
        match Document::read(&shown, &bytes) {
            Ok(document) => {
                self.files.push(Arc::clone(document.report.file()));
                self.canonical.extend(document.kind.as_str().as_bytes());
                document.root.write_canonical(&mut self.canonical);
                Some(document)
            }
            Err(report) => {
                self.take(report);
                None
            }
        }
    }

    fn unreadable(&mut self, path: &str, error: &io::Error) {
        let code = match error.kind() {
            io::ErrorKind::FileTooLarge => Code::TooBig,
            _ => Code::Unreadable,
        };
        let what = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
            io::ErrorKind::PermissionDenied => "this process may not read it".to_owned(),
            _ => error.to_string(),
        };
        let file = SourceFile {
            path: path.to_owned(),
            text: String::new(),
        };
        let mut report = Report::new(Arc::new(file));
        report.error(Span::at("", 0, 0), code, what);
        self.take(report);
    }

    fn take(&mut self, report: Report) {
        let mut found = report.into_found();
        found.sort_by_key(|d| d.span.start);
        // What stands in a form that is not read is not judged as well.
        found.dedup_by(|later, first| {
            first.code == Code::NotSupported && later.span.start == first.span.start
        });
        self.found.extend(found);
    }

    /// The `.yaml` files of the folder, without the broker's own.
    fn list(&mut self, folder: &Path, own: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable(&folder.to_string_lossy(), &error);
                return Vec::new();
            }
        };
        let own = fs::canonicalize(own).ok();
        let mut files = Vec::new();
        for path in entries.into_iter().map(|e| e.path()) {
            let name = path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            // Hidden files are editors' and Kubernetes' own business.
            if name.starts_with('.') || path.is_dir() {
                continue;
            }
            let same = own.is_some() && fs::canonicalize(&path).ok() == own;
            match path.extension().and_then(|e| e.to_str()) {
                Some("yaml") if !same => files.push(path),
                // Left out silently, its rules would be missing and nobody would know.
                Some(other) if other == "yml" || other.eq_ignore_ascii_case("yaml") && !same => {
                    let shown = path.to_string_lossy().into_owned();
                    let mut report = Report::new(Arc::new(SourceFile {
                        path: shown,
                        text: String::new(),
                    }));
                    let message = format!("a file that ends in `.{other}` is not read");
                    report.error(Span::at("", 0, 0), Code::Name, message).help =
                        Some("rename it so that it ends in `.yaml`".to_owned());
                    self.take(report);
                }
                _ => {}
            }
        }
        files.sort();
        if files.len() > MAX_FILES {
            let error = io::Error::other(format!(
                "the folder has {} files; at most {MAX_FILES} are read",
                files.len()
            ));
            self.unreadable(&folder.to_string_lossy(), &error);
            files.clear();
        }
        files
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The issuer of a broker's document that is not otherwise in order.
fn issuer(document: &Document) -> Option<IssuerUrl> {
    let spec = &document.root.get("spec")?.value;
    match &spec.get("issuer")?.value.value {
        super::yaml::Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    }
}

fn wrong_kind(document: &mut Document, message: &str, help: &str) {
    let at = document
        .root
        .get("kind")
        .map_or(document.root.span, |e| e.value.span);
    let message = format!("{message}, and it is a `{}`", document.kind.as_str());
    document.report.error(at, Code::Version, message).help = Some(help.to_owned());
}
