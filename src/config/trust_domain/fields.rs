//! Rules and tests speak of a source's fields; here the words are looked up.

use std::collections::BTreeMap;

use crate::{
    base::text::display,
    config::{
        check::{self, nearest},
        checked::Report,
        diagnostic::{Code, Span},
        yaml::{Entry, Node, Value},
    },
    evidence::{Preset, Setting, Source},
    model::{
        FieldKind, FieldSpec,
        shape::{Form, Kind},
    },
};

/// What a value is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Purpose {
    /// A rule's `match`, or `forbid`: patterns, several as a list.
    Pattern,
    /// A test: the value itself.
    Given,
}

/// One field with the value that was written for it.
pub(super) struct Written<'n> {
    pub(super) spec: FieldSpec,
    pub(super) setting: Setting,
    pub(super) entry: &'n Entry,
}

/// Every field of a mapping. Unknown fields and values of another type are
/// reported and left out.
pub(super) fn read<'n>(
    node: &'n Node,
    source: &Source,
    purpose: Purpose,
    report: &mut Report,
) -> Vec<Written<'n>> {
    let Value::Map(entries) = &node.value else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries {
        match &entry.value.value {
            // `claims: { team: billing }` is the field `claims.team`.
            Value::Map(inner)
                if source
                    .field(&entry.key)
                    .is_some_and(|f| f.kind == FieldKind::Any) =>
            {
                for member in inner {
                    let name = format!("{}.{}", entry.key, member.key);
                    all.extend(one(&name, member, source, purpose, report));
                }
            }
            // A dotted key would be a second way to say it, and a claim's own
            // name may have dots.
            _ if entry.key.contains('.') => {
                unknown(&entry.key, entry.key_span, source, report);
            }
            _ => all.extend(one(&entry.key, entry, source, purpose, report)),
        }
    }
    all
}

/// As a test takes them.
pub(super) fn given(
    node: &Node,
    source: &Source,
    report: &mut Report,
) -> BTreeMap<String, Setting> {
    read(node, source, Purpose::Given, report)
        .into_iter()
        .map(|written| (written.spec.name.to_string(), written.setting))
        .collect()
}

fn one<'n>(
    name: &str,
    entry: &'n Entry,
    source: &Source,
    purpose: Purpose,
    report: &mut Report,
) -> Option<Written<'n>> {
    let Some(spec) = source.field(name) else {
        unknown(name, entry.key_span, source, report);
        return None;
    };
    let value = check::value_of(entry, value_kind(spec.kind, purpose), report)?;
    let setting = value.to_setting();
    Some(Written {
        spec,
        setting,
        entry,
    })
}

/// The kind of value that a field takes.
pub(in crate::config) fn value_kind(kind: FieldKind, purpose: Purpose) -> &'static Kind {
    match (kind, purpose) {
        (FieldKind::Flag, _) => &Kind::Flag,
        (FieldKind::Any, _) => &Kind::Any,
        (_, Purpose::Pattern) => &Kind::Texts(Form::Pattern),
        (FieldKind::Contains, Purpose::Given) => &Kind::List(&Kind::Text(Form::Free)),
        (FieldKind::Exact | FieldKind::Segments(_), Purpose::Given) => &Kind::Text(Form::Free),
    }
}

/// The names that can be written: fields, and their other names.
pub(super) fn names(source: &Source) -> impl Iterator<Item = &'static str> + Clone {
    let aliases = source.outline().profile.aliases;
    let fields = source.preset().fields.iter().map(|f| f.name);
    fields.chain(aliases.iter().map(|(other, _)| *other))
}

/// Other names of fields. The source knows them too, but only once it is
/// configured, and a schema is made of what is known before.
const ALIASES: &[(&str, &str, &str)] = &[("githubActions", "event", "events")];

/// A field's own name, and its other names.
pub(in crate::config) fn names_of(preset: &Preset, field: &'static str) -> Vec<&'static str> {
    let others = ALIASES
        .iter()
        .filter(|(p, _, of)| *p == preset.name && *of == field);
    std::iter::once(field)
        .chain(others.map(|(_, other, _)| *other))
        .collect()
}

/// Reports a field that the source does not have.
pub(super) fn unknown(name: &str, at: Span, source: &Source, report: &mut Report) {
    let preset = source.preset().name;
    let message = format!("unknown field `{}` of {preset}", display(name, 64));
    let found = report.error(at, Code::UnknownKey, message);
    found.help = WORDS
        .iter()
        .find(|(word, field)| *word == name && source.field(field).is_some())
        .map(|(_, field)| *field)
        .or_else(|| nearest(name, names(source)))
        .map(|field| format!("did you mean `{field}`?"));
    if let Some((outer, inner)) = name.split_once('.')
        && source
            .field(outer)
            .is_some_and(|f| f.kind == FieldKind::Any)
    {
        found.help = Some(format!(
            "write `{outer}: {{ {}: ... }}`",
            display(inner, 64)
        ));
    }
    let known: Vec<_> = names(source).collect();
    found.note = Some(format!("known fields: {}", known.join(", ")));
}

/// Words that people write for a field whose name is quite another.
const WORDS: &[(&str, &str)] = &[
    ("branch", "ref"),
    ("tag", "ref"),
    ("sub", "subject"),
    ("sub", "id"),
    ("sa", "serviceAccount"),
    ("owner", "organization"),
    ("org", "organization"),
    ("repo", "repository"),
    ("spiffeId", "id"),
    ("spiffe_id", "id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a schema offers are those that the source answers to.
    #[test]
    fn a_schema_offers_the_names_that_sources_know() {
        let given = [("organizationId".to_owned(), Setting::Text("1".to_owned()))];
        let settings = crate::evidence::Settings {
            values: given.into_iter().collect(),
        };
        let preset = crate::evidence::PRESETS
            .iter()
            .find(|p| p.name == "githubActions")
            .unwrap();
        let source = (preset.build)(&settings).unwrap();
        let offered: Vec<_> = preset
            .fields
            .iter()
            .flat_map(|f| names_of(preset, f.name))
            .collect();
        let known: Vec<_> = names(&source).collect();
        assert_eq!(offered.len(), known.len());
        for name in offered {
            assert!(
                known.contains(&name) && source.field(name).is_some(),
                "{name}"
            );
        }
    }
}
