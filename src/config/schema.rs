//! Shapes as JSON Schema, for editors and for whoever generates files.
//!
//! The same declarations that the loader checks against; so what an editor
//! underlines and what the program refuses are one list. The loader is the
//! stricter of the two: it knows what a schema cannot say.

use serde_json::{Map, Value, json};

use crate::model::shape::{Form, Key, Kind, MAX_CEL, MAX_TEXT, Object};

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
