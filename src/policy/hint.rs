//! What a difference between two values might be.
//!
//! Nothing here decides: these are guesses for a person who looks at a trace,
//! computed after the decision. No near miss ever matches.

use crate::model::{Attributes, Value};

use super::Matcher;

/// Likely explanation of why the attribute is not what the matcher wants.
pub(super) fn near_miss(matcher: &Matcher, attributes: &Attributes) -> Option<String> {
    match attributes.get(&matcher.field).map(|a| &a.value) {
        None => absent(matcher, attributes),
        Some(Value::Text(found)) => matcher
            .any_of
            .iter()
            .find_map(|pattern| {
                if pattern.matches_across_segments(found) {
                    return Some("`*` stays inside one segment and crosses no separator".into());
                }
                text_miss(found, &pattern.to_string())
            })
            .or_else(|| elsewhere(matcher, attributes)),
        Some(found @ Value::Number(_)) => type_miss(matcher, found, "a number, not the same text"),
        Some(found @ Value::Flag(_)) => type_miss(matcher, found, "true or false, not text"),
        Some(Value::List(_)) => None,
    }
}

fn text_miss(found: &str, wanted: &str) -> Option<String> {
    let text = if found.eq_ignore_ascii_case(wanted) {
        "only upper and lower case differ".into()
    } else if found.trim() == wanted {
        "there is white space around the value".into()
    } else if found.trim_end_matches('/') == wanted.trim_end_matches('/') {
        "only a slash at the end differs".into()
    } else if let Some(kind) = ref_kind(found, wanted) {
        format!("the value is a full ref: write `{kind}{wanted}`")
    } else if ref_kind(wanted, found).is_some() {
        "the value is a short ref, and a full one is wanted".into()
    } else if found.to_lowercase() == wanted.to_lowercase() {
        "only upper and lower case differ".into()
    } else if wanted.is_ascii() && looks_alike(found, wanted) {
        "the value has characters that only look like these".into()
    } else if found.contains('%') && unescape(found) == wanted {
        "the value is percent-encoded".into()
    } else {
        return typing_error(found, wanted);
    };
    Some(text)
}

/// `refs/heads/` or `refs/tags/`, if that is all that `long` has before `short`.
fn ref_kind(long: &str, short: &str) -> Option<&'static str> {
    ["refs/heads/", "refs/tags/"]
        .into_iter()
        .find(|kind| long.strip_prefix(kind) == Some(short))
}

/// The same text where one of the two has letters from beyond ASCII.
fn looks_alike(found: &str, wanted: &str) -> bool {
    !found.is_ascii()
        && found.chars().count() == wanted.chars().count()
        && found
            .chars()
            .zip(wanted.chars())
            .all(|(f, w)| f == w || !f.is_ascii())
}

fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn typing_error(found: &str, wanted: &str) -> Option<String> {
    // Two values that differ in a character or two are one value mistyped,
    // unless they are short, or ids that differ by nature.
    let letters = |text: &str| text.chars().any(char::is_alphabetic);
    let comparable = (5..=256).contains(&wanted.len()) && found.len() <= 256;
    if !comparable || !letters(wanted) || wanted.contains('*') {
        return None;
    }
    match strsim::levenshtein(found, wanted) {
        distance @ 1..=2 => Some(format!("only {distance} of its characters differ")),
        _ => None,
    }
}

fn absent(matcher: &Matcher, attributes: &Attributes) -> Option<String> {
    elsewhere(matcher, attributes).or_else(|| match &*matcher.field {
        "environment" => {
            Some("the job names no environment: set `environment` on the job that asks".into())
        }
        field => Some(format!("the evidence says nothing about `{field}`")),
    })
}

/// A wanted value that stands in another field: environment and ref are easy to mistake.
fn elsewhere(matcher: &Matcher, attributes: &Attributes) -> Option<String> {
    let other = attributes.iter().find(|a| {
        let short = |text: &str, kind: &str| {
            text.strip_prefix(kind)
                .is_some_and(|short| matcher.any_of.iter().any(|p| p.to_string() == short))
        };
        a.name != matcher.field
            && match &a.value {
                Value::Text(text) => {
                    matcher.any_of.iter().any(|p| p.to_string() == **text)
                        || short(text, "refs/heads/")
                        || short(text, "refs/tags/")
                }
                _ => false,
            }
    })?;
    Some(format!("`{}` has that value", other.name))
}

fn type_miss(matcher: &Matcher, found: &Value, what: &str) -> Option<String> {
    let found = found.to_string();
    let same = matcher.any_of.iter().any(|p| p.to_string() == found);
    same.then(|| format!("the value is {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::Setting,
        model::{Asserter, Attribute, FieldKind},
        policy::fixture::spec,
    };

    fn hint_for(kind: FieldKind, wanted: &str, attributes: &[(&str, Value)]) -> String {
        let spec = spec("ref", kind, Asserter::Caller);
        let matcher = Matcher::from_setting(&spec, &Setting::Text(wanted.into())).unwrap();
        let attributes: Attributes = attributes
            .iter()
            .map(|(name, value)| Attribute {
                name: (*name).into(),
                value: value.clone(),
                asserted_by: Asserter::Caller,
            })
            .collect();
        let value = attributes.get("ref").map(|a| &a.value);
        assert!(!matcher.matches(value), "a near miss never matches");
        near_miss(&matcher, &attributes).unwrap_or_default()
    }

    fn text_hint(wanted: &str, found: &str) -> String {
        hint_for(
            FieldKind::Exact,
            wanted,
            &[("ref", Value::Text(found.into()))],
        )
    }

    #[test]
    fn c_17_near_misses_of_a_subject_do_not_match_and_are_explained() {
        for (found, part) in [
            ("wl:ok", "upper and lower case"),
            ("WL:OK ", "white space"),
            ("WL:OK/", "slash at the end"),
            ("WL:\u{41e}K", "only look like"),
            ("WL%3AOK", "percent-encoded"),
            ("WL:OKK", "1 of its characters"),
        ] {
            let hint = text_hint("WL:OK", found);
            assert!(hint.contains(part), "{found}: {hint}");
        }
        assert_eq!(text_hint("WL:OK", "something else"), "");
    }

    #[test]
    fn short_and_full_refs_are_told_apart() {
        let hint = text_hint("main", "refs/heads/main");
        assert!(hint.contains("write `refs/heads/main`"), "{hint}");
        let hint = text_hint("refs/tags/v1", "v1");
        assert!(hint.contains("full one is wanted"), "{hint}");
    }

    #[test]
    fn a_value_in_another_field_is_pointed_out() {
        let production = || Value::Text("production".into());
        let hint = hint_for(
            FieldKind::Exact,
            "production",
            &[
                ("ref", Value::Text("refs/heads/main".into())),
                ("environment", production()),
            ],
        );
        assert_eq!(hint, "`environment` has that value");
        let hint = hint_for(
            FieldKind::Exact,
            "production",
            &[("environment", production())],
        );
        assert_eq!(hint, "`environment` has that value");
        let branch = ("branch", Value::Text("refs/heads/production".into()));
        let hint = hint_for(FieldKind::Exact, "production", &[branch]);
        assert_eq!(hint, "`branch` has that value");
    }

    #[test]
    fn absence_says_what_to_set() {
        let hint = hint_for(FieldKind::Exact, "x", &[]);
        assert_eq!(hint, "the evidence says nothing about `ref`");
        let spec = spec("environment", FieldKind::Exact, Asserter::Admin);
        let matcher = Matcher::from_setting(&spec, &Setting::Text("x".into())).unwrap();
        let hint = near_miss(&matcher, &Attributes::default()).unwrap();
        assert!(hint.contains("set `environment`"), "{hint}");
    }

    #[test]
    fn types_and_segments_are_explained() {
        let number = [("ref", Value::Number(74))];
        assert!(hint_for(FieldKind::Exact, "74", &number).contains("a number"));
        assert_eq!(hint_for(FieldKind::Exact, "75", &number), "");
        let segments = FieldKind::Segments(&['/']);
        let deep = [("ref", Value::Text("a/b/c".into()))];
        assert!(hint_for(segments, "a/*", &deep).contains("one segment"));
    }

    #[test]
    fn ids_that_differ_by_nature_are_not_called_mistyped() {
        assert_eq!(text_hint("987654321", "987654322"), "");
        assert_eq!(text_hint("abc", "abd"), "");
    }

    #[test]
    fn odd_escapes_are_left_alone() {
        assert_eq!(unescape("a%2Fb%"), "a/b%");
        assert_eq!(unescape("%zz%4"), "%zz%4");
        assert_eq!(unescape("%ff"), "\u{fffd}");
    }
}
