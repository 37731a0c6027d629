//! A tree held against a shape: everything that does not fit, at once.
//!
//! The shape says what each scalar is meant to be, so an id of digits stays
//! text and `no` is never a flag. What fits comes out as values that keep their
//! place in the file; what does not fit is reported here and left out, so
//! that whoever reads the values never reports a missing one again.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use super::{
    diagnostic::{Code, Diagnostic, Severity, SourceFile, Span},
    yaml::{Entry, Node, Value, is_null},
};
use crate::{
    base::text::display,
    evidence::Setting,
    model::shape::{self, Form, Key, Kind},
};

/// Where problems of one file are put.
#[derive(Debug)]
pub struct Report {
    file: Arc<SourceFile>,
    found: Vec<Diagnostic>,
}

impl Report {
    /// For one file.
    pub fn new(file: Arc<SourceFile>) -> Self {
        Self {
            file,
            found: Vec::new(),
        }
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

    /// What was found.
    pub fn into_found(self) -> Vec<Diagnostic> {
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
}

/// The values of an object, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    /// Where the object stands.
    pub span: Span,
    /// Name, where the name stands, value.
    pub all: Vec<(String, Span, Checked)>,
}

impl Fields {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&Checked> {
        self.all
            .iter()
            .find(|(n, ..)| n == name)
            .map(|(.., value)| value)
    }

    /// Where that name stands, or the object if it does not.
    pub fn key_span(&self, name: &str) -> Span {
        self.all
            .iter()
            .find(|(n, ..)| n == name)
            .map_or(self.span, |(_, span, _)| *span)
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
        }
    }
}

/// Holds a node against a kind.
pub fn check(node: &Node, kind: &Kind, report: &mut Report) -> Option<Checked> {
    let span = node.span;
    let item = match kind {
        Kind::Text(form) => Item::Text(text(node, *form, report)?),
        Kind::Word(words) => Item::Text(word(node, words, report)?),
        Kind::Flag => Item::Flag(flag(node, report)?),
        Kind::Number(low, high) => Item::Number(number(node, *low, *high, report)?),
        Kind::List(of) => match &node.value {
            Value::List(items) => Item::List(
                items
                    .iter()
                    .filter_map(|item| check(item, of, report))
                    .collect(),
            ),
            _ => {
                return wrong_type(
                    node,
                    "a list",
                    "write `- ` before each item, or [a, b]",
                    report,
                );
            }
        },
        Kind::Texts(form) => Item::List(texts(node, *form, report)?),
        Kind::Object(shape) => Item::Object(object(node, shape, report)?),
        Kind::Map(of) => Item::Map(map(node, of, report)?),
        Kind::OneOf(keys) => Item::Object(one_of(node, keys, report)?),
        Kind::Any => any(node, report)?,
    };
    Some(Checked { span, item })
}

/// Holds a node against an object's shape.
pub fn object(node: &Node, shape: &shape::Object, report: &mut Report) -> Option<Fields> {
    let Value::Map(entries) = &node.value else {
        return wrong_type(node, "a mapping", "write `key: value` lines", report);
    };
    let mut fields = Fields {
        span: node.span,
        all: Vec::new(),
    };
    for entry in entries {
        match shape.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => {
                if let Some(value) = value_of(entry, &key.kind, report) {
                    fields.all.push((entry.key.clone(), entry.key_span, value));
                }
            }
            None => unknown_key(entry, shape.keys.iter().map(|k| k.name), report),
        }
    }
    for key in shape.keys.iter().filter(|key| key.required) {
        if !entries.iter().any(|entry| entry.key == key.name) {
            let message = format!("`{}` is missing", key.name);
            report
                .error(first_line(node), Code::MissingKey, message)
                .help = Some(key.doc.to_owned());
        }
    }
    Some(fields)
}

/// The value of an entry; an entry without one is reported at its key.
fn value_of(entry: &Entry, kind: &Kind, report: &mut Report) -> Option<Checked> {
    if let Value::Scalar { text, plain: true } = &entry.value.value
        && is_null(text)
    {
        let message = format!("`{}` has no value", display(&entry.key, 64));
        let help = "give it one or remove the key".to_owned();
        report.error(entry.key_span, Code::WrongType, message).help = Some(help);
        return None;
    }
    check(&entry.value, kind, report)
}

/// Reports a key that has no meaning here, with the nearest one that has.
pub fn unknown_key<'k>(
    entry: &Entry,
    known: impl Iterator<Item = &'k str> + Clone,
    report: &mut Report,
) {
    let key = display(&entry.key, 64);
    let nearest = nearest(&entry.key, known.clone());
    let names: Vec<_> = known.collect();
    let found = report.error(
        entry.key_span,
        Code::UnknownKey,
        format!("unknown key `{key}`"),
    );
    found.help = nearest.map(|name| format!("did you mean `{name}`?"));
    found.note = Some(match names.as_slice() {
        [] => "no key is known here".to_owned(),
        names => format!("known keys: {}", names.join(", ")),
    });
}

/// The known name that is nearest to what was written, if one is near.
pub fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > 128 {
        return None;
    }
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let wanted = plain(written);
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let candidate = plain(name);
        let distance = strsim::damerau_levenshtein(&wanted, &candidate);
        // A third of the letters may be wrong; `repo` is the start of `repository`.
        let starts = wanted.len() >= 3 && candidate.starts_with(&wanted);
        let near = starts || distance * 3 <= candidate.len().max(wanted.len());
        let distance = if starts { distance.min(2) } else { distance };
        if near && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Where to point for something that a mapping lacks: at its first key.
fn first_line(node: &Node) -> Span {
    match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span, |e| e.key_span),
        _ => node.span,
    }
}

fn wrong_type<T>(node: &Node, wanted: &str, help: &str, report: &mut Report) -> Option<T> {
    let message = format!("this must be {wanted}; it is {}", node.describe());
    report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
    None
}

fn invalid<T>(span: Span, message: String, help: Option<String>, report: &mut Report) -> Option<T> {
    report.error(span, Code::InvalidValue, message).help = help;
    None
}

fn text(node: &Node, form: Form, report: &mut Report) -> Option<String> {
    let Value::Scalar { text, plain } = &node.value else {
        return wrong_type(node, "text", form.wanted(), report);
    };
    if *plain && is_null(text) {
        return wrong_type(
            node,
            "text",
            "write the word in quotes if it is meant",
            report,
        );
    }
    let stray = |c: char| c.is_control() && !(form == Form::Cel && matches!(c, '\n' | '\t'));
    if text.chars().any(stray) {
        let message = "the text holds a control character".to_owned();
        return invalid(
            node.span,
            message,
            Some("remove the escape".to_owned()),
            report,
        );
    }
    match form.judge(text) {
        Ok(()) => Some(text.clone()),
        Err(why) => invalid(node.span, why, form_help(form, text), report),
    }
}

/// A better spelling, where one is evident.
fn form_help(form: Form, text: &str) -> Option<String> {
    match form {
        Form::Name => {
            let plain = text.to_ascii_lowercase().replace([' ', '/', ':'], "-");
            form.judge(&plain)
                .is_ok()
                .then(|| format!("did you mean `{plain}`?"))
        }
        Form::Duration if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(format!("a unit is missing: `{text}s`?"))
        }
        Form::Url | Form::Issuer => match text.strip_prefix("http://") {
            Some(rest) => Some(format!("`https://{}`", display(rest, 200))),
            None if !text.contains("://") => Some("begin it with `https://`".to_owned()),
            None => None,
        },
        _ => None,
    }
}

fn texts(node: &Node, form: Form, report: &mut Report) -> Option<Vec<Checked>> {
    let one = |node: &Node, report: &mut Report| {
        let item = Item::Text(text(node, form, report)?);
        Some(Checked {
            span: node.span,
            item,
        })
    };
    match &node.value {
        Value::List(items) if items.is_empty() => invalid(
            node.span,
            "the list is empty".to_owned(),
            Some("name at least one value, or remove the key".to_owned()),
            report,
        ),
        Value::List(items) => Some(items.iter().filter_map(|item| one(item, report)).collect()),
        _ => one(node, report).map(|item| vec![item]),
    }
}

fn word(node: &Node, words: &[&str], report: &mut Report) -> Option<String> {
    let Value::Scalar { text, .. } = &node.value else {
        return wrong_type(
            node,
            "one word",
            &format!("one of: {}", words.join(", ")),
            report,
        );
    };
    if words.contains(&text.as_str()) {
        return Some(text.clone());
    }
    let help = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of: {}", words.join(", ")),
    };
    let message = match words {
        [only] => format!(
            "`{}` is not known here; the one word is `{only}`",
            display(text, 64)
        ),
        _ => format!(
            "`{}` is not one of: {}",
            display(text, 64),
            words.join(", ")
        ),
    };
    invalid(node.span, message, Some(help), report)
}

fn flag(node: &Node, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Scalar { text, plain: true } if text == "true" => Some(true),
        Value::Scalar { text, plain: true } if text == "false" => Some(false),
        Value::Scalar { text, plain } => {
            let help = match text.to_ascii_lowercase().as_str() {
                "true" | "false" if !plain => "write it without quotes",
                "true" | "yes" | "on" | "y" => "write `true`",
                "false" | "no" | "off" | "n" => "write `false`",
                _ => "write `true` or `false`",
            };
            let message = format!("`{}` is neither true nor false", display(text, 64));
            report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
            None
        }
        _ => wrong_type(node, "true or false", "write `true` or `false`", report),
    }
}

fn number(node: &Node, low: u64, high: u64, report: &mut Report) -> Option<u64> {
    let Value::Scalar { text, plain } = &node.value else {
        return wrong_type(node, "a whole number", "write digits only", report);
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let tidy = digits && (text == "0" || !text.starts_with('0'));
    if !(*plain && tidy) {
        let message = format!("`{}` is not a whole number", display(text, 64));
        let help = match digits {
            true if !plain => "write it without quotes",
            true => "write it without leading zeros",
            false => "write digits only, without a unit or separators",
        };
        report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
        return None;
    }
    match text.parse::<u64>() {
        Ok(value) if (low..=high).contains(&value) => Some(value),
        _ => invalid(
            node.span,
            format!("{} is out of range", display(text, 32)),
            Some(format!("{low} to {high}")),
            report,
        ),
    }
}

fn map(node: &Node, of: &Kind, report: &mut Report) -> Option<Fields> {
    let Value::Map(entries) = &node.value else {
        return wrong_type(node, "a mapping", "write `name: value` lines", report);
    };
    let mut fields = Fields {
        span: node.span,
        all: Vec::new(),
    };
    for entry in entries {
        if entry.key.is_empty() || entry.key.chars().any(char::is_control) {
            let message = "a name is empty or holds a control character".to_owned();
            report.error(entry.key_span, Code::InvalidValue, message);
        } else if let Some(value) = value_of(entry, of, report) {
            fields.all.push((entry.key.clone(), entry.key_span, value));
        }
    }
    Some(fields)
}

fn one_of(node: &Node, keys: &[Key], report: &mut Report) -> Option<Fields> {
    let Value::Map(entries) = &node.value else {
        let names: Vec<_> = keys.iter().map(|k| k.name).collect();
        return wrong_type(
            node,
            "a mapping",
            &format!("with one of: {}", names.join(", ")),
            report,
        );
    };
    let mut fields = Fields {
        span: node.span,
        all: Vec::new(),
    };
    let mut known = 0;
    for entry in entries {
        let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
            unknown_key(entry, keys.iter().map(|k| k.name), report);
            continue;
        };
        known += 1;
        if known > 1 {
            let message = format!("`{}` excludes what stands before it", key.name);
            let help = "keep exactly one".to_owned();
            report.error(entry.key_span, Code::Conflict, message).help = Some(help);
        } else if let Some(value) = value_of(entry, &key.kind, report) {
            fields.all.push((entry.key.clone(), entry.key_span, value));
        }
    }
    if known == 0 {
        let names: Vec<_> = keys.iter().map(|k| format!("`{}`", k.name)).collect();
        let message = format!("one of {} must stand here", names.join(", "));
        report.error(first_line(node), Code::MissingKey, message);
    }
    Some(fields)
}

/// A value whose type is the one that it is written in.
fn any(node: &Node, report: &mut Report) -> Option<Item> {
    match &node.value {
        Value::Scalar { text, plain: true } if is_null(text) => wrong_type(
            node,
            "a value",
            "write the word in quotes if it is meant",
            report,
        ),
        Value::Scalar { text, plain: true } => Some(match text.as_str() {
            "true" => Item::Flag(true),
            "false" => Item::Flag(false),
            "0" => Item::Number(0),
            digits if !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits
                    .parse()
                    .map_or_else(|_| Item::Text(text.clone()), Item::Number)
            }
            _ => Item::Text(text.clone()),
        }),
        Value::Scalar { text, plain: false } => Some(Item::Text(text.clone())),
        Value::List(items) => Some(Item::List(
            items
                .iter()
                .filter_map(|item| {
                    let item_text = self::text(item, Form::Free, report)?;
                    Some(Checked {
                        span: item.span,
                        item: Item::Text(item_text),
                    })
                })
                .collect(),
        )),
        Value::Map(_) => wrong_type(
            node,
            "a value or a list of texts",
            "mappings are not compared",
            report,
        ),
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
