//! The values of a rule's fields.
//!
//! Exact by default. A `*` is allowed only where a field has segments, stands
//! for one or more characters, and never crosses a separator: `acme*` must not
//! match `acme-evil/x`. There are no regular expressions: an unanchored
//! alternation is the classic way to trust the whole internet.

use std::{fmt, sync::Arc};

use crate::{
    base::text::display,
    model::{Field, FieldKind, Value},
};

use super::PolicyError;

/// Longest value of a pattern, in bytes.
pub const MAX_PATTERN: usize = 2048;

/// One value pattern of a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Equals a text.
    Text(Arc<str>),
    /// Equals one element of a list.
    Element(Arc<str>),
    /// Equals a text, or one element of a list.
    Either(Arc<str>),
    /// Text in segments, with `*` inside them.
    Glob(Arc<str>, &'static [char]),
    Flag(bool),
    Number(i64),
}

impl Pattern {
    /// From text: exact, or a glob where the field has segments.
    pub fn parse(field: &Field, text: &str) -> Result<Self, PolicyError> {
        check_text(text)?;
        let shared = Arc::from(text);
        if text.contains('*') && !matches!(field.kind, FieldKind::Segments(_)) {
            return Err(PolicyError::GlobOnExact {
                field: field.name.into(),
                value: text.into(),
            });
        }
        Ok(Self(match field.kind {
            FieldKind::Exact => Form::Text(shared),
            FieldKind::Contains => Form::Element(shared),
            FieldKind::Any => Form::Either(shared),
            FieldKind::Segments(separators) => {
                check_glob(text, separators)?;
                if text.contains('*') {
                    Form::Glob(shared, separators)
                } else {
                    Form::Text(shared)
                }
            }
            FieldKind::Flag => match text {
                "true" => Form::Flag(true),
                "false" => Form::Flag(false),
                _ => return Err(wrong_type(field, format!("the text `{text}`"))),
            },
        }))
    }

    /// From `true` or `false`, for fields that are so.
    pub fn flag(field: &Field, value: bool) -> Result<Self, PolicyError> {
        match field.kind {
            FieldKind::Flag | FieldKind::Any => Ok(Self(Form::Flag(value))),
            _ => Err(wrong_type(field, format!("`{value}`"))),
        }
    }

    /// From a number, for claims that may be one. Types are never coerced.
    pub fn number(field: &Field, value: i64) -> Result<Self, PolicyError> {
        match field.kind {
            FieldKind::Any => Ok(Self(Form::Number(value))),
            _ => Err(wrong_type(field, format!("the number {value}"))),
        }
    }

    /// Whether it matches one value only.
    pub fn is_exact(&self) -> bool {
        !matches!(self.0, Form::Glob(..))
    }

    /// Whether every value that it matches begins with the same whole segment.
    pub(super) fn has_literal_segment(&self) -> bool {
        match &self.0 {
            Form::Glob(text, separators) => {
                let literal = text.split('*').next().unwrap_or_default();
                let whole = literal.rfind(*separators).and_then(|at| literal.get(..at));
                whole.is_some_and(|w| !w.trim_matches(*separators).is_empty())
            }
            _ => true,
        }
    }

    /// The text that a text value must equal, if that is all there is to it.
    pub(super) fn exact_text(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Form::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the value is of this pattern.
    pub fn matches(&self, value: &Value) -> bool {
        match (&self.0, value) {
            (Form::Text(want) | Form::Either(want), Value::Text(have)) => want == have,
            (Form::Element(want) | Form::Either(want), Value::List(have)) => have.contains(want),
            (Form::Glob(pattern, separators), Value::Text(have)) => {
                glob_matches(pattern, have, separators)
            }
            (Form::Flag(want), Value::Flag(have)) => want == have,
            (Form::Number(want), Value::Number(have)) => want == have,
            _ => false,
        }
    }

    /// Whether the value would match if `*` crossed separators.
    pub(super) fn matches_across_segments(&self, value: &str) -> bool {
        match &self.0 {
            Form::Glob(pattern, _) => glob_matches(pattern, value, &[]),
            _ => false,
        }
    }

    /// Whether it could match the text, however the field is typed: for
    /// comparing with values that must not be matched by accident.
    pub(super) fn covers(&self, text: &str) -> bool {
        match &self.0 {
            Form::Text(want) | Form::Element(want) | Form::Either(want) => &**want == text,
            Form::Glob(pattern, separators) => glob_matches(pattern, text, separators),
            Form::Flag(want) => want.to_string() == text,
            Form::Number(want) => want.to_string() == text,
        }
    }

    /// One unambiguous text per pattern, for the digest.
    pub(super) fn canonical(&self) -> String {
        let form = match self.0 {
            Form::Text(_) => "text",
            Form::Element(_) => "element",
            Form::Either(_) => "either",
            Form::Glob(..) => "glob",
            Form::Flag(_) => "flag",
            Form::Number(_) => "number",
        };
        format!("{form}:{self}")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) | Form::Element(text) | Form::Either(text) | Form::Glob(text, _) => {
                f.write_str(text)
            }
            Form::Flag(flag) => write!(f, "{flag}"),
            Form::Number(number) => write!(f, "{number}"),
        }
    }
}

fn wrong_type(field: &Field, found: String) -> PolicyError {
    let wanted = match field.kind {
        FieldKind::Exact | FieldKind::Segments(_) | FieldKind::Contains => {
            "text (put numbers and words such as true in quotes)"
        }
        FieldKind::Flag => "true or false",
        FieldKind::Any => "text, a number, true or false",
    };
    PolicyError::PatternType {
        field: field.name.into(),
        found,
        wanted,
    }
}

fn check_text(text: &str) -> Result<(), PolicyError> {
    if text.is_empty() {
        return Err(PolicyError::PatternEmpty);
    }
    if text.len() > MAX_PATTERN {
        return Err(PolicyError::PatternTooLong(text.len()));
    }
    // `display` escapes what a reader cannot see; a backslash is only escaped
    // to keep that unambiguous.
    let visible = text
        .split('\\')
        .all(|part| display(part, MAX_PATTERN) == part);
    if !visible || text.trim() != text {
        return Err(PolicyError::PatternInvisible(display(text, 128)));
    }
    Ok(())
}

fn check_glob(text: &str, separators: &[char]) -> Result<(), PolicyError> {
    for syntax in ["**", "?", "[", "]", "{", "}", "\\"] {
        // Separators are text, whatever they mean elsewhere.
        if text.contains(syntax) && !separators.iter().any(|s| syntax == s.to_string()) {
            return Err(PolicyError::GlobSyntax {
                syntax,
                value: text.into(),
            });
        }
    }
    if text.chars().all(|c| c == '*' || separators.contains(&c)) {
        return Err(PolicyError::GlobEverything(text.into()));
    }
    Ok(())
}

/// Segment by segment, with equal separators between them.
fn glob_matches(pattern: &str, value: &str, separators: &[char]) -> bool {
    let (mut pattern, mut value) = (pattern, value);
    loop {
        let p_at = pattern.find(separators).unwrap_or(pattern.len());
        let v_at = value.find(separators).unwrap_or(value.len());
        let (p_segment, p_rest) = pattern.split_at(p_at);
        let (v_segment, v_rest) = value.split_at(v_at);
        if !segment_matches(p_segment, v_segment) {
            return false;
        }
        let (mut p_chars, mut v_chars) = (p_rest.chars(), v_rest.chars());
        match (p_chars.next(), v_chars.next()) {
            (None, None) => return true,
            (Some(p), Some(v)) if p == v => {}
            _ => return false,
        }
        (pattern, value) = (p_chars.as_str(), v_chars.as_str());
    }
}

/// `*` is one or more characters. The leftmost place of each literal part
/// leaves the most for the rest, so no backtracking is needed.
fn segment_matches(pattern: &str, value: &str) -> bool {
    let Some((prefix, pattern)) = pattern.split_once('*') else {
        return pattern == value;
    };
    let Some(mut rest) = value.strip_prefix(prefix) else {
        return false;
    };
    let (middle, suffix) = pattern
        .rsplit_once('*')
        .map_or((None, pattern), |(m, s)| (Some(m), s));
    for part in middle.into_iter().flat_map(|m| m.split('*')) {
        let mut chars = rest.chars();
        if chars.next().is_none() {
            return false;
        }
        let after_star = chars.as_str();
        let Some(at) = after_star.find(part) else {
            return false;
        };
        rest = after_star.get(at + part.len()..).unwrap_or_default();
    }
    rest.len() > suffix.len() && rest.ends_with(suffix)
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
