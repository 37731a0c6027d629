//! Claims into attributes, by a table per source.
//!
//! Types are checked, never coerced; a claim that is empty or null is absent,
//! since issuers write `"ref": ""` where they mean that there is none. Every
//! text is bounded and free of control characters before anything matches it.

use crate::model::{Asserter, Attribute, Attributes, Field, Json, Reason, Value};

use super::{
    Rejection,
    claims::{missing, wrong_type},
};

/// Longest text of an attribute, in bytes.
pub(super) const MAX_TEXT: usize = 1024;
/// Most items of a list.
const MAX_ITEMS: usize = 256;

/// Where an attribute comes from.
pub(super) struct Claim {
    /// The field that it is matched by.
    pub(super) field: &'static str,
    /// Whether and how it is there.
    pub(super) presence: Presence,
    /// Its type in the token.
    pub(super) form: Form,
    /// The path of member names that leads to it.
    pub(super) path: &'static [&'static str],
}

/// Whether and how a claim is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// A token without it is refused.
    Required,
    /// It may be absent.
    Optional,
    /// The source works it out from other claims.
    Derived,
}

/// The type of a claim in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string.
    Text,
    /// A string of digits: an id, never a number that could lose its zeros.
    Digits,
    /// The string `true` or `false`, as CI systems write booleans.
    Word,
}

/// A source's vocabulary, one row for each field: its name, how it is matched,
/// who vouches for it, the claim that it comes from, and what it is. Makes
/// `FIELDS` and `CLAIMS` of it.
macro_rules! vocabulary {
    ($($name:literal $kind:ident $by:ident, $presence:ident $form:ident $path:tt, $doc:literal;)+) => {
        const FIELDS: &[$crate::model::Field] = &[$(
            $crate::model::Field {
                name: $name,
                doc: $doc,
                kind: $kind,
                asserted_by: $crate::model::Asserter::$by,
            },
        )+];
        const CLAIMS: &[$crate::evidence::attributes::Claim] = &[$(
            $crate::evidence::attributes::Claim {
                field: $name,
                presence: $crate::evidence::attributes::Presence::$presence,
                form: $crate::evidence::attributes::Form::$form,
                path: &$path,
            },
        )+];
    };
}

pub(super) use vocabulary;

/// Reads the claims of a table. A claim that has no field in the preset's
/// vocabulary does not become an attribute.
pub(super) fn read(
    claims: &Json,
    table: &[Claim],
    fields: &[Field],
) -> Result<Attributes, Rejection> {
    let mut attributes = Attributes::default();
    let given = |claim: &&Claim| claim.presence != Presence::Derived;
    for claim in table.iter().filter(given) {
        match value(claims, claim)? {
            Some(value) => set(&mut attributes, fields, claim.field, value),
            None if claim.presence == Presence::Required => return Err(missing(claim.field)),
            None => {}
        }
    }
    Ok(attributes)
}

/// Sets an attribute, vouched for as its field says.
pub(super) fn set(attributes: &mut Attributes, fields: &[Field], name: &'static str, value: Value) {
    if let Some(field) = fields.iter().find(|f| f.name == name) {
        attributes.set(Attribute {
            name: field.name.into(),
            value,
            asserted_by: field.asserted_by,
        });
    }
}

/// The text of an attribute, if there is one.
pub(super) fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match &attributes.get(name)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// A claim of whatever type it has, as an attribute. Types that no rule can
/// name (objects, fractions, lists of other things) give none.
pub(super) fn free(name: &str, value: &Json, asserted_by: Asserter) -> Option<Attribute> {
    let value = match value {
        Json::Text(text) if is_plain(text) => Value::Text(text.as_str().into()),
        Json::Integer(number) => Value::Number(*number),
        Json::Bool(flag) => Value::Flag(*flag),
        Json::List(items) if items.len() <= MAX_ITEMS => {
            let texts = items
                .iter()
                .map(|item| item.as_text().filter(|t| is_plain(t)));
            Value::List(texts.map(|t| t.map(Into::into)).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    is_plain(name).then(|| Attribute {
        name: name.into(),
        value,
        asserted_by,
    })
}

fn value(claims: &Json, claim: &Claim) -> Result<Option<Value>, Rejection> {
    let text = match claims.at(claim.path) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Text(text)) if text.is_empty() => return Ok(None),
        Some(Json::Text(text)) => text,
        Some(other) => return Err(wrong_type(claim.field, other.type_name(), "a string")),
    };
    let wanted = match (claim.form, text.as_str()) {
        (Form::Word, "true") => return Ok(Some(Value::Flag(true))),
        (Form::Word, "false") => return Ok(Some(Value::Flag(false))),
        (Form::Word, _) => "`true` or `false`",
        (Form::Digits, text) if !text.bytes().all(|b| b.is_ascii_digit()) => "digits",
        (_, text) if is_plain(text) => return Ok(Some(Value::Text(text.into()))),
        _ => "1 to 1024 bytes without control characters",
    };
    Err(Rejection::new(Reason::ClaimInvalid, claim.field)
        .found(text)
        .wanted(wanted))
}

fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FieldKind;

    const EXACT: FieldKind = FieldKind::Exact;
    const FLAG: FieldKind = FieldKind::Flag;

    vocabulary! {
        "id"        EXACT Issuer, Required Digits ["x", "id"],   "An id.";
        "name"      EXACT Caller, Optional Text   ["name"],      "A name.";
        "protected" FLAG  Admin,  Optional Word   ["protected"], "A flag.";
        "derived"   EXACT Issuer, Derived  Text   ["derived"],   "Another.";
    }

    fn attributes(claims: &str) -> Result<Attributes, Rejection> {
        read(&Json::parse(claims.as_bytes()).unwrap(), CLAIMS, FIELDS)
    }

    fn refused(claims: &str) -> (Reason, &'static str) {
        let rejection = attributes(claims).unwrap_err();
        (rejection.reason, rejection.field.unwrap())
    }

    #[test]
    fn claims_become_attributes_in_their_types() {
        let all = attributes(
            r#"{"x":{"id":"007"},"name":"n","protected":"true","derived":"u","other":1}"#,
        )
        .unwrap();
        assert_eq!(text(&all, "id"), Some("007"));
        assert_eq!(text(&all, "name"), Some("n"));
        assert_eq!(all.get("protected").unwrap().value, Value::Flag(true));
        assert_eq!(text(&all, "protected"), None);
        assert_eq!(all.get("name").unwrap().asserted_by, Asserter::Caller);
        assert_eq!(all.iter().count(), 3);
    }

    #[test]
    fn empty_and_null_are_absent() {
        for absent in [r#""""#, "null"] {
            let all = attributes(&format!(r#"{{"x":{{"id":"1"}},"name":{absent}}}"#)).unwrap();
            assert_eq!(all.get("name"), None);
            assert_eq!(
                refused(&format!(r#"{{"x":{{"id":{absent}}}}}"#)),
                (Reason::ClaimMissing, "id")
            );
        }
    }

    #[test]
    fn c_21_types_are_never_coerced() {
        for wrong in ["7", "7.0", "true", "[\"7\"]", "{}"] {
            assert_eq!(
                refused(&format!(r#"{{"x":{{"id":{wrong}}}}}"#)),
                (Reason::ClaimInvalid, "id")
            );
        }
        for wrong in ["7x", "-7", " 7", "+7", "7.0", "٧"] {
            assert_eq!(
                refused(&format!(r#"{{"x":{{"id":"{wrong}"}}}}"#)),
                (Reason::ClaimInvalid, "id"),
                "{wrong}"
            );
        }
        for wrong in ["True", "1", "yes", "true "] {
            assert_eq!(
                refused(&format!(r#"{{"x":{{"id":"7"}},"protected":"{wrong}"}}"#)),
                (Reason::ClaimInvalid, "protected"),
                "{wrong}"
            );
        }
        assert_eq!(
            refused(r#"{"x":{"id":"7"},"protected":true}"#),
            (Reason::ClaimInvalid, "protected")
        );
    }

    #[test]
    fn texts_are_bounded_and_plain() {
        let name = |name: &str| attributes(&format!(r#"{{"x":{{"id":"1"}},"name":"{name}"}}"#));
        assert!(name(&"n".repeat(MAX_TEXT)).is_ok());
        assert!(name(&"n".repeat(MAX_TEXT + 1)).is_err());
        assert!(name("a\\u0000").is_err());
        assert!(name("a\\nb").is_err());
        assert!(name("Default Project ä").is_ok());
    }

    #[test]
    fn free_claims_keep_their_types() {
        let free = |json: &str| {
            let value = Json::parse(json.as_bytes()).unwrap();
            free("claims.x", &value, Asserter::Issuer).map(|a| a.value)
        };
        assert_eq!(free("74"), Some(Value::Number(74)));
        assert_eq!(free("\"74\""), Some(Value::Text("74".into())));
        assert_eq!(free("true"), Some(Value::Flag(true)));
        assert_eq!(
            free(r#"["a","b"]"#),
            Some(Value::List(vec!["a".into(), "b".into()]))
        );
        // C-21: none of these is the number 74.
        for other in [
            "74.0",
            "7.4e1",
            "null",
            "{}",
            "[74]",
            r#"["a",1]"#,
            "\"\"",
            r#"["a\u0000"]"#,
        ] {
            assert_eq!(free(other), None, "{other}");
        }
        assert_eq!(
            super::free("a\nb", &Json::Bool(true), Asserter::Issuer),
            None
        );
        let many = |n: usize| free(&format!("[{}]", vec!["\"x\""; n].join(",")));
        assert!(many(MAX_ITEMS).is_some());
        assert_eq!(many(MAX_ITEMS + 1), None);
    }
}
