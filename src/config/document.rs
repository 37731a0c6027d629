//! The envelope that every document has: version, kind, name, specification.

use std::sync::Arc;

use super::{
    check,
    checked::{Checked, Fields, Report},
    diagnostic::{Code, SourceFile, Span},
    yaml::{self, Entry, Node},
};
use crate::{
    base::text::display,
    model::shape::{Form, Key, Kind, Object},
};

/// The version that is read.
pub const API_VERSION: &str = "assay/v1";

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// The broker itself.
    Broker,
    /// One source of identity, its rules and their tests.
    TrustDomain,
    /// Roles of one target.
    Roles,
}

impl DocumentKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Broker, Self::TrustDomain, Self::Roles];

    /// The word under `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "Broker",
            Self::TrustDomain => "TrustDomain",
            Self::Roles => "Roles",
        }
    }
}

/// A document whose envelope is in order.
#[derive(Debug)]
pub struct Document {
    /// What it is about.
    pub kind: DocumentKind,
    /// `metadata.name`, empty if that is not in order.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The whole tree.
    pub root: Node,
    /// What was found so far, and where more is put.
    pub report: Report,
}

/// `metadata`.
pub const METADATA: Object = Object {
    doc: "What the document is called.",
    keys: &[
        Key {
            name: "name",
            doc: "The document's name: that of its file without `.yaml`.",
            kind: Kind::Text(Form::Name),
            required: true,
        },
        Key {
            name: "description",
            doc: "A sentence for people.",
            kind: Kind::Text(Form::Free),
            required: false,
        },
    ],
};

const ENVELOPE: Object = Object {
    doc: "A document.",
    keys: &[
        Key {
            name: "apiVersion",
            doc: "Write `apiVersion: assay/v1`.",
            kind: Kind::Text(Form::Free),
            required: true,
        },
        Key {
            name: "kind",
            doc: "Write `kind: Broker`, `kind: TrustDomain` or `kind: Roles`.",
            kind: Kind::Word(&["Broker", "TrustDomain", "Roles"]),
            required: true,
        },
        Key {
            name: "metadata",
            doc: "Write `metadata: { name: ... }`.",
            kind: Kind::Object(&METADATA),
            required: true,
        },
        Key {
            name: "spec",
            doc: "What the document says.",
            kind: Kind::Later,
            required: true,
        },
    ],
};

impl Document {
    /// Reads the envelope of a file's text.
    ///
    /// On failure nothing more can be said about the file than the report does.
    pub fn read(path: &str, bytes: &[u8]) -> Result<Self, Report> {
        let text = match yaml::decode(bytes) {
            Ok(text) => text,
            Err((shown, fault)) => {
                let mut report = report(path, &shown);
                put(&mut report, fault);
                return Err(report);
            }
        };
        let mut report = report(path, text);
        let parsed = yaml::parse(text);
        let read = !parsed.faults.is_empty();
        parsed
            .faults
            .into_iter()
            .for_each(|fault| put(&mut report, fault));
        match parsed.root {
            Some(Node {
                value: yaml::Value::Scalar { text, plain: true },
                ..
            }) if text.is_empty() => Err(empty(report)),
            Some(root) => Self::envelope(root, report),
            None if read => Err(report),
            None => Err(empty(report)),
        }
    }

    fn envelope(root: Node, mut report: Report) -> Result<Self, Report> {
        // A newer document may have other keys: its version is what to speak of.
        if let Some(version) = root.get("apiVersion")
            && !version_is_ours(version, &mut report)
        {
            return Err(report);
        }
        let Some(fields) = check::object(&root, &ENVELOPE, &mut report) else {
            return Err(report);
        };
        let word = fields.text("kind");
        let Some(kind) = DocumentKind::ALL.iter().find(|k| word == Some(k.as_str())) else {
            return Err(report);
        };
        let metadata = fields.object("metadata");
        let name = metadata.and_then(|m| m.get("name"));
        Ok(Self {
            kind: *kind,
            name: name
                .and_then(Checked::as_text)
                .unwrap_or_default()
                .to_owned(),
            name_span: name.map_or_else(|| fields.key_span("metadata"), |n| n.span),
            root,
            report,
        })
    }

    /// The values of `spec`, held against a shape.
    pub fn spec(&mut self, shape: &Object) -> Option<Fields> {
        // A spec that is no mapping was reported with the envelope.
        let spec = self
            .root
            .get("spec")
            .filter(|e| matches!(e.value.value, yaml::Value::Map(_)))?;
        check::object(&spec.value, shape, &mut self.report)
    }

    /// Checks that the name is that of the file.
    pub fn check_file_name(&mut self, stem: &str) {
        if self.name.is_empty() || self.name == stem {
            return;
        }
        let message = format!(
            "the document is called `{}` and its file `{}.yaml`",
            self.name,
            display(stem, 80)
        );
        let help = format!(
            "rename the file to `{}.yaml`, or the document to `{}`",
            self.name,
            display(stem, 80)
        );
        self.report.error(self.name_span, Code::Name, message).help = Some(help);
    }
}

fn report(path: &str, text: &str) -> Report {
    Report::new(Arc::new(SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }))
}

fn put(report: &mut Report, fault: yaml::Fault) {
    report.error(fault.span, fault.code, fault.message).help = fault.help;
}

fn empty(mut report: Report) -> Report {
    let help = format!("begin with `apiVersion: {API_VERSION}`");
    report
        .error(
            Span::at("", 0, 0),
            Code::Syntax,
            "the file holds no document",
        )
        .help = Some(help);
    report
}

/// Whether the version is the one that is read; if not, says what it is.
fn version_is_ours(entry: &Entry, report: &mut Report) -> bool {
    let yaml::Value::Scalar { text, .. } = &entry.value.value else {
        // The shape check says what is wrong with it.
        return true;
    };
    if text == API_VERSION || text.is_empty() {
        return true;
    }
    let number = text
        .strip_prefix("assay/v")
        .and_then(|n| n.parse::<u32>().ok());
    let shown = display(text, 64);
    let (message, help) = match number {
        Some(2..) => (
            format!(
                "this document is of version `{shown}`, which is newer than this program reads"
            ),
            format!("upgrade assay, or write it as {API_VERSION}"),
        ),
        _ => (
            format!("`{shown}` is not a version that is read"),
            format!("write `{API_VERSION}`"),
        ),
    };
    report.error(entry.value.span, Code::Version, message).help = Some(help);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (u32, u32, Code, String) {
        let found = match Document::read("x.yaml", text.as_bytes()) {
            Ok(document) => document.report.into_found(),
            Err(report) => report.into_found(),
        };
        let [one] = found.as_slice() else {
            panic!("{found:#?}");
        };
        (
            one.span.line,
            one.span.column,
            one.code,
            one.message.clone(),
        )
    }

    const GOOD: &str =
        "apiVersion: assay/v1\nkind: Roles\nmetadata: { name: payments }\nspec: {}\n";

    #[test]
    fn an_envelope_in_order_is_read() {
        let mut document = Document::read("x.yaml", GOOD.as_bytes()).unwrap();
        assert_eq!(
            (document.kind, document.name.as_str()),
            (DocumentKind::Roles, "payments")
        );
        document.check_file_name("payments");
        assert_eq!(document.report.found(), []);
        document.check_file_name("payment");
        assert_eq!(document.report.found()[0].code, Code::Name);
        assert_eq!(document.report.found()[0].span.line, 3);
    }

    #[test]
    fn g_09_a_newer_version_is_refused_before_anything_else() {
        let found = refused("apiVersion: assay/v2\nkind: Realm\nnew: 1\n");
        assert_eq!((found.0, found.1, found.2), (1, 13, Code::Version));
        assert!(found.3.contains("newer"), "{}", found.3);
        for version in ["v1", "assay/v0", "assay/v1beta1", "Assay/v1"] {
            let found = refused(&GOOD.replace("assay/v1", version));
            assert_eq!(
                (found.0, found.1, found.2),
                (1, 13, Code::Version),
                "{version}"
            );
            assert!(!found.3.contains("newer"), "{}", found.3);
        }
    }

    #[test]
    fn every_part_of_the_envelope_is_needed() {
        for (line, code) in [
            ("apiVersion: assay/v1\n", Code::MissingKey),
            ("kind: Roles\n", Code::MissingKey),
            ("metadata: { name: payments }\n", Code::MissingKey),
            ("spec: {}\n", Code::MissingKey),
        ] {
            assert_eq!(refused(&GOOD.replace(line, "")).2, code, "{line}");
        }
        assert_eq!(
            refused(&GOOD.replace("Roles", "Role")).2,
            Code::InvalidValue
        );
        assert_eq!(
            refused(&GOOD.replace("payments", "Payments")).2,
            Code::InvalidValue
        );
        assert_eq!(
            refused(&GOOD.replace("spec: {}", "spec: []")).2,
            Code::WrongType
        );
        assert_eq!(
            refused(&GOOD.replace("spec: {}", "spec:")).2,
            Code::WrongType
        );
        assert_eq!(
            refused(&GOOD.replace("spec: {}", "spec: {}\nstatus: {}")).2,
            Code::UnknownKey
        );
    }

    #[test]
    fn an_empty_file_is_no_document() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(refused(text).3, "the file holds no document", "{text:?}");
        }
        assert_eq!(refused("- a\n").2, Code::WrongType);
    }
}
