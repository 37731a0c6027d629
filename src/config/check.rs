//! A tree held against a shape: everything that does not fit, at once.
//!
//! The shape says what each scalar is meant to be, so an id of digits stays
//! text and `no` is never a flag. What fits comes out as values that keep their
//! place in the file; what does not fit is reported here and left out, so
//! that whoever reads the values never reports a missing one again.

use super::{
    checked::{Checked, Fields, Item, Report},
    diagnostic::{Code, Span},
    scalar::{self, form_help, invalid, wrong_type},
    yaml::{Entry, Node, Value, is_null},
};
use crate::{
    base::text::display,
    model::shape::{self, Form, Key, Kind},
};

/// Holds a node against a kind.
pub fn check(node: &Node, kind: &Kind, report: &mut Report) -> Option<Checked> {
    let span = node.span;
    let item = match kind {
        Kind::Text(form) => Item::Text(scalar::text(node, *form, report)?),
        Kind::Word(words) => Item::Text(scalar::word(node, words, report)?),
        Kind::Flag => Item::Flag(scalar::flag(node, report)?),
        Kind::Number(low, high) => Item::Number(scalar::number(node, *low, *high, report)?),
        Kind::List(of) => match &node.value {
            Value::List(items) => {
                let fit: Vec<_> = items
                    .iter()
                    .filter_map(|item| check(item, of, report))
                    .collect();
                // A list of values with one left out would say something else
                // than what was written. Objects are judged one by one.
                if fit.len() < items.len() && !matches!(of, Kind::Object(_)) {
                    return None;
                }
                Item::List(fit)
            }
            _ => {
                return wrong_type(
                    node,
                    "a list",
                    "write `- ` before each item, or [a, b]",
                    report,
                );
            }
        },
        Kind::Texts(form) => Item::List(scalar::texts(node, *form, report)?),
        Kind::Object(shape) => Item::Object(object(node, shape, report)?),
        Kind::Map(of) => Item::Map(map(node, of, report)?),
        Kind::Named(form, of) => Item::Map(named(node, *form, of, report)?),
        Kind::Later => match node.value {
            Value::Map(_) => Item::Later(node.clone()),
            _ => return wrong_type(node, "a mapping", "write `key: value` lines", report),
        },
        Kind::Reserved(why) => {
            report.error(span, Code::NotSupported, *why);
            return None;
        }
        Kind::OneOf(keys) => Item::Object(one_of(node, keys, report)?),
        Kind::Any => scalar::any(node, report)?,
    };
    Some(Checked { span, item })
}

/// Holds a node against an object's shape.
pub fn object(node: &Node, shape: &shape::Object, report: &mut Report) -> Option<Fields> {
    let Value::Map(entries) = &node.value else {
        return wrong_type(node, "a mapping", "write `key: value` lines", report);
    };
    let mut fields = Fields::of(node);
    let mut meant = Vec::new();
    for entry in entries {
        match shape.keys.iter().find(|key| key.name == entry.key) {
            Some(key) => {
                if let Some(value) = value_of(entry, &key.kind, report) {
                    fields.all.push((entry.key.clone(), entry.key_span, value));
                }
            }
            None => meant.extend(unknown_key(entry, known(shape.keys), report)),
        }
    }
    for key in shape.keys.iter().filter(|key| key.required) {
        // A key that was misspelt is not missing as well.
        if !fields.written(key.name) && !meant.contains(&key.name) {
            let message = format!("`{}` is missing", key.name);
            report
                .error(first_line(node), Code::MissingKey, message)
                .help = Some(key.doc.to_owned());
        }
    }
    Some(fields)
}

/// The keys that can be written today.
fn known(keys: &[Key]) -> impl Iterator<Item = &str> + Clone {
    keys.iter()
        .filter(|k| !matches!(k.kind, Kind::Reserved(_)))
        .map(|k| k.name)
}

/// The value of an entry; an entry without one is reported at its key.
pub(super) fn value_of(entry: &Entry, kind: &Kind, report: &mut Report) -> Option<Checked> {
    if let Kind::Reserved(why) = kind {
        report.error(entry.key_span, Code::NotSupported, *why);
        return None;
    }
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
) -> Option<&'k str> {
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
    nearest
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
        let starts = wanted.len() >= 3 && candidate.starts_with(&wanted)
            || wanted.len() >= 5 && candidate.contains(&wanted);
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

fn map(node: &Node, of: &Kind, report: &mut Report) -> Option<Fields> {
    let Value::Map(entries) = &node.value else {
        return wrong_type(node, "a mapping", "write `name: value` lines", report);
    };
    let mut fields = Fields::of(node);
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

fn named(node: &Node, form: Form, of: &Kind, report: &mut Report) -> Option<Fields> {
    let mut fields = map(node, of, report)?;
    fields.all.retain(|(name, span, _)| match form.judge(name) {
        Ok(()) => true,
        Err(why) => {
            invalid::<()>(*span, why, form_help(form, name), report);
            false
        }
    });
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
    let mut fields = Fields::of(node);
    let mut count = 0;
    for entry in entries {
        let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
            count += usize::from(unknown_key(entry, known(keys), report).is_some());
            continue;
        };
        count += 1;
        if count > 1 {
            let message = format!("`{}` excludes what stands before it", key.name);
            let help = "keep exactly one".to_owned();
            report.error(entry.key_span, Code::Conflict, message).help = Some(help);
        } else if let Some(value) = value_of(entry, &key.kind, report) {
            fields.all.push((entry.key.clone(), entry.key_span, value));
        }
    }
    if count == 0 {
        let names: Vec<_> = keys.iter().map(|k| format!("`{}`", k.name)).collect();
        let message = format!("one of {} must stand here", names.join(", "));
        report.error(first_line(node), Code::MissingKey, message);
    }
    Some(fields)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
