//! Values that fit their shape, and the report of what did not.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use super::{
    diagnostic::{Code, Diagnostic, Severity, SourceFile, Span},
    yaml::{Node, Value},
};
use crate::evidence::Setting;

/// Where problems of one file are put.
#[derive(Debug)]
pub struct Report {
    file: Arc<SourceFile>,
    folder: PathBuf,
    found: Vec<Diagnostic>,
    masks: Vec<Span>,
}

impl Report {
    /// For one file.
    pub fn new(file: Arc<SourceFile>) -> Self {
        let folder = Path::new(&file.path)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        Self {
            file,
            folder,
            found: Vec::new(),
            masks: Vec::new(),
        }
    }

    /// The path that a text in this file means.
    pub fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// The file.
    pub fn file(&self) -> &Arc<SourceFile> {
        &self.file
    }

    /// Adds an error; the answer can be given help and a note.
    pub fn error(&mut self, span: Span, code: Code, message: impl Into<String>) -> &mut Diagnostic {
        self.add(span, Severity::Error, code, message.into())
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        span: Span,
        code: Code,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(span, Severity::Warning, code, message.into())
    }

    fn add(
        &mut self,
        span: Span,
        severity: Severity,
        code: Code,
        message: String,
    ) -> &mut Diagnostic {
        let file = Arc::clone(&self.file);
        let at = self.found.len();
        self.found.push(Diagnostic {
            file,
            span,
            severity,
            code,
            message,
            help: None,
            note: None,
        });
        &mut self.found[at]
    }

    /// What was found so far.
    pub fn found(&self) -> &[Diagnostic] {
        &self.found
    }

    /// Hides a part of the file wherever its text is shown.
    pub(super) fn mask(&mut self, span: Span) {
        self.masks.push(span);
    }

    /// What was found. What is to be hidden is hidden in the text that goes
    /// along, since a problem on the next line shows this one too.
    pub fn into_found(mut self) -> Vec<Diagnostic> {
        if self.masks.is_empty() {
            return self.found;
        }
        let mut text = self.file.text.clone();
        for span in &self.masks {
            if text.get(span.start..span.end).is_some() {
                text.replace_range(span.start..span.end, &"*".repeat(span.end - span.start));
            }
        }
        let path = self.file.path.clone();
        let file = Arc::new(SourceFile { path, text });
        for diagnostic in &mut self.found {
            diagnostic.file = Arc::clone(&file);
        }
        self.found
    }
}

/// A value that fits its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub item: Item,
}

/// What a checked value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Text.
    Text(String),
    /// A flag.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A list.
    List(Vec<Checked>),
    /// An object of a stated shape.
    Object(Fields),
    /// An object with free keys.
    Map(Fields),
    /// A mapping that is not yet judged.
    Later(Node),
}

/// The values of an object, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Where the object stands.
    pub span: Span,
    /// Name, where the name stands, value.
    pub all: Vec<(String, Span, Checked)>,
    /// Every key that was written, whether or not its value fits.
    pub keys: Vec<(String, Span)>,
}

impl Fields {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Checked> {
        self.all
            .iter()
            .find(|(n, ..)| n == name)
            .map(|(.., value)| value)
    }

    /// Nothing yet, of a node.
    pub(super) fn of(node: &Node) -> Self {
        let keys = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|e| (e.key.clone(), e.key_span))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            span: node.span,
            all: Vec::new(),
            keys,
        }
    }

    /// Whether that key was written, even if its value does not fit.
    pub fn written(&self, name: &str) -> bool {
        self.keys.iter().any(|(key, _)| key == name)
    }

    /// Where to point for something that the object lacks: at its first key.
    pub fn first_span(&self) -> Span {
        self.keys.first().map_or(self.span, |(_, span)| *span)
    }

    /// Where that name stands, or the object's first key if it does not.
    pub fn key_span(&self, name: &str) -> Span {
        let key = self.keys.iter().find(|(key, _)| key == name);
        key.map_or_else(|| self.first_span(), |(_, span)| *span)
    }

    /// Whether that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Checked::as_text)
    }

    /// The flag of that name.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)?.item {
            Item::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// The number of that name.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)?.item {
            Item::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The list of that name; empty if it is not there.
    pub fn list(&self, name: &str) -> &[Checked] {
        match self.get(name).map(|c| &c.item) {
            Some(Item::List(items)) => items,
            _ => &[],
        }
    }

    /// The mapping of that name that is not yet judged.
    pub fn later(&self, name: &str) -> Option<&Node> {
        match self.get(name).map(|c| &c.item) {
            Some(Item::Later(node)) => Some(node),
            _ => None,
        }
    }

    /// The object of that name.
    pub fn object(&self, name: &str) -> Option<&Fields> {
        self.get(name).and_then(Checked::as_object)
    }

    /// As the evidence room takes them.
    pub fn to_settings(&self) -> BTreeMap<String, Setting> {
        let setting =
            |(name, _, value): &(String, Span, Checked)| (name.clone(), value.to_setting());
        self.all.iter().map(setting).collect()
    }

    /// The text of that name, parsed. A text that does not parse is reported.
    pub fn parse<T>(&self, name: &str, report: &mut Report) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.get(name)?.parse(report)
    }
}

impl Checked {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.item {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Fields> {
        match &self.item {
            Item::Object(fields) | Item::Map(fields) => Some(fields),
            _ => None,
        }
    }

    /// The text, parsed. A text that does not parse is reported.
    pub fn parse<T>(&self, report: &mut Report) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match self.as_text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                report.error(self.span, Code::InvalidValue, format!("{error}"));
                None
            }
        }
    }

    /// As the evidence room takes it.
    pub fn to_setting(&self) -> Setting {
        match &self.item {
            Item::Text(text) => Setting::Text(text.clone()),
            Item::Flag(flag) => Setting::Flag(*flag),
            Item::Number(number) => Setting::Number(*number),
            Item::List(items) => Setting::Texts(
                items
                    .iter()
                    .filter_map(|i| i.as_text().map(str::to_owned))
                    .collect(),
            ),
            Item::Object(fields) => Setting::Object(fields.to_settings()),
            Item::Map(fields) => Setting::Map(fields.to_settings()),
            Item::Later(_) => Setting::Map(BTreeMap::new()),
        }
    }
}
