//! Shapes as JSON Schema, for editors and for whoever generates files.
//!
//! The same declarations that the loader checks against; so what an editor
//! underlines and what the program refuses are one list. The loader is the
//! stricter of the two: it knows what a schema cannot say.

use serde_json::{Map, Value, json};

use super::{
    broker::BROKER,
    document::{API_VERSION, DocumentKind, METADATA},
    roles::ROLES,
    trust_domain::{
        fields::{Purpose, names_of, value_kind},
        shape,
    },
};
use crate::{
    evidence::{PRESETS, Preset},
    model::{
        FieldKind,
        shape::{Form, Key, Kind, MAX_CEL, MAX_TEXT, Object},
    },
};

/// The dialect that is written.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of an object.
pub fn object(shape: &Object) -> Value {
    let mut schema = closed(shape.keys.iter());
    schema["description"] = json!(shape.doc);
    let required: Vec<_> = shape
        .keys
        .iter()
        .filter(|k| k.required)
        .map(|k| k.name)
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The schema of one key's value, with its description.
pub fn key(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = json!(key.doc);
    schema
}

fn closed<'k>(keys: impl Iterator<Item = &'k Key>) -> Value {
    let properties: Map<String, Value> = keys
        .filter(|k| !matches!(k.kind, Kind::Reserved(_)))
        .map(|k| (k.name.to_owned(), key(k)))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text(form) => text(*form),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::List(of) => json!({ "type": "array", "items": self::kind(of) }),
        Kind::Texts(form) => {
            let one = text(*form);
            json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
        }
        Kind::Object(shape) => object(shape),
        Kind::Map(of) => json!({ "type": "object", "additionalProperties": self::kind(of) }),
        Kind::Named(form, of) => {
            let mut schema = json!({ "type": "object", "additionalProperties": self::kind(of) });
            if let Some(pattern) = form.pattern() {
                schema["propertyNames"] = json!({ "pattern": pattern });
            }
            schema
        }
        Kind::Later => json!({ "type": "object" }),
        Kind::Reserved(_) => json!(false),
        Kind::OneOf(keys) => {
            let mut schema = closed(keys.iter());
            schema["minProperties"] = json!(1);
            schema["maxProperties"] = json!(1);
            schema
        }
        Kind::Any => json!({
            "anyOf": [
                { "type": ["string", "boolean", "integer"] },
                { "type": "array", "items": { "type": "string", "minLength": 1 } },
            ]
        }),
    }
}

fn text(form: Form) -> Value {
    let most = if form == Form::Cel { MAX_CEL } else { MAX_TEXT };
    let mut schema = json!({ "type": "string", "minLength": 1, "maxLength": most });
    if let Some(pattern) = form.pattern() {
        schema["pattern"] = json!(pattern);
    }
    schema
}

/// The schema of every document: what `assay schema` prints. The kind picks
/// the part that holds.
pub fn all() -> Value {
    let kinds: Vec<_> = DocumentKind::ALL.iter().map(|k| k.as_str()).collect();
    let branches: Vec<_> = DocumentKind::ALL
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "kind": { "const": kind.as_str() } } },
                "then": { "$ref": format!("#/$defs/{}", kind.as_str()) },
            })
        })
        .collect();
    let definitions: Map<String, Value> = DocumentKind::ALL
        .iter()
        .map(|kind| (kind.as_str().to_owned(), envelope(*kind)))
        .collect();
    json!({
        "$schema": DIALECT,
        "title": "Assay configuration",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": { "kind": { "enum": kinds } },
        "allOf": branches,
        "$defs": definitions,
    })
}

/// The schema of one kind of document, on its own.
pub fn document(kind: DocumentKind) -> Value {
    let mut schema = envelope(kind);
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!(format!("Assay {}", kind.as_str()));
    schema
}

fn envelope(kind: DocumentKind) -> Value {
    let spec = match kind {
        DocumentKind::Broker => object(&BROKER),
        DocumentKind::Roles => object(&ROLES),
        DocumentKind::TrustDomain => trust_domain(),
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION, "description": "The version of the format." },
            "kind": { "const": kind.as_str(), "description": "What the document is about." },
            "metadata": object(&METADATA),
            "spec": spec,
        },
    })
}

/// A trust domain has exactly one source, and each source has fields of its own.
fn trust_domain() -> Value {
    let mut schema = object(shape::any());
    let one: Vec<_> = PRESETS
        .iter()
        .map(|p| json!({ "required": [p.name] }))
        .collect();
    schema["oneOf"] = json!(one);
    let fields: Vec<_> = PRESETS
        .iter()
        .map(|preset| {
            let patterns = fields(preset, Purpose::Pattern);
            let given = fields(preset, Purpose::Given);
            json!({
                "if": { "required": [preset.name] },
                "then": { "properties": {
                    "forbid": patterns,
                    "rules": { "items": { "properties": { "match": patterns } } },
                    "tests": { "items": { "properties": { "allow": given, "deny": given } } },
                } },
            })
        })
        .collect();
    schema["allOf"] = json!(fields);
    schema
}

/// The fields of a source, as rules or tests write them.
fn fields(preset: &Preset, purpose: Purpose) -> Value {
    let mut properties = Map::new();
    for field in preset.fields {
        let kind = self::kind(value_kind(field.kind, purpose));
        // The free claims of a generic source stand under one key.
        let mut schema = match field.kind {
            FieldKind::Any => json!({ "type": "object", "additionalProperties": kind }),
            _ => kind,
        };
        schema["description"] = json!(field.doc);
        for name in names_of(preset, field.name) {
            properties.insert(name.to_owned(), schema.clone());
        }
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
