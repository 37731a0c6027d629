//! A field and the values that it may have.

use std::sync::Arc;

use crate::{
    evidence::Setting,
    model::{Asserter, FieldSpec, Value},
};

use super::{Pattern, PolicyError};

/// A field and the patterns of which one must match.
///
/// It carries what the source says about the field, so that a decision never
/// asks the source again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// The attribute that it reads.
    pub field: Arc<str>,
    /// The name under which the field is pinned: its own, or `claims` for any
    /// `claims.NAME`.
    pub pins: &'static str,
    /// Who vouches for the value.
    pub asserted_by: Asserter,
    /// The patterns, at least one.
    pub any_of: Vec<Pattern>,
}

impl Matcher {
    /// A matcher of the field that the source calls `spec`.
    pub fn new(spec: &FieldSpec, any_of: Vec<Pattern>) -> Result<Self, PolicyError> {
        if any_of.is_empty() {
            return Err(PolicyError::MatcherEmpty(spec.name.to_string()));
        }
        Ok(Self {
            field: Arc::clone(&spec.name),
            pins: spec.field.name,
            asserted_by: spec.asserted_by,
            any_of,
        })
    }

    /// From a value or a list of values as written.
    pub fn from_setting(spec: &FieldSpec, setting: &Setting) -> Result<Self, PolicyError> {
        let wrong = |found: String| PolicyError::PatternType {
            field: spec.name.to_string(),
            found,
            wanted: "a value or a list of values",
        };
        let patterns = match setting {
            Setting::Text(text) => vec![Pattern::parse(spec, text)?],
            Setting::Texts(texts) => texts
                .iter()
                .map(|text| Pattern::parse(spec, text))
                .collect::<Result<_, _>>()?,
            Setting::Flag(flag) => vec![Pattern::flag(spec, *flag)?],
            Setting::Number(number) => {
                let number = i64::try_from(*number)
                    .map_err(|_| wrong(format!("the number {number}, which is too large")))?;
                vec![Pattern::number(spec, number)?]
            }
            Setting::Object(_) | Setting::Map(_) => return Err(wrong("an object".into())),
        };
        Self::new(spec, patterns)
    }

    /// Whether the attribute is there and one pattern matches it.
    pub fn matches(&self, value: Option<&Value>) -> bool {
        value.is_some_and(|value| self.any_of.iter().any(|p| p.matches(value)))
    }

    /// Whether it names whole values only.
    pub fn is_exact(&self) -> bool {
        self.any_of.iter().all(Pattern::is_exact)
    }

    /// What it wants, for people.
    pub(super) fn wanted(&self) -> String {
        let values: Vec<String> = self.any_of.iter().map(|p| format!("`{p}`")).collect();
        values.join(" or ")
    }
}

/// A value that this trust domain never accepts, whatever its rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbid {
    /// The field and its forbidden values.
    pub matcher: Matcher,
    /// Where it stands in the trust domain's file.
    pub line: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::FieldKind, policy::fixture::spec};

    #[test]
    fn settings_become_patterns_of_the_fields_type() {
        let of = |kind, setting: Setting| {
            Matcher::from_setting(&spec("x", kind, Asserter::Issuer), &setting)
        };
        let text = Setting::Text("a".into());
        assert_eq!(of(FieldKind::Exact, text).unwrap().wanted(), "`a`");
        let texts = Setting::Texts(vec!["a".into(), "b".into()]);
        assert_eq!(of(FieldKind::Exact, texts).unwrap().wanted(), "`a` or `b`");
        assert!(of(FieldKind::Flag, Setting::Flag(true)).is_ok());
        assert!(of(FieldKind::Any, Setting::Number(7)).is_ok());

        assert!(of(FieldKind::Exact, Setting::Number(7)).is_err());
        assert!(of(FieldKind::Exact, Setting::Flag(true)).is_err());
        assert!(of(FieldKind::Flag, Setting::Number(1)).is_err());
        assert!(of(FieldKind::Any, Setting::Number(u64::MAX)).is_err());
        assert!(of(FieldKind::Any, Setting::Map(Default::default())).is_err());
        let none = Setting::Texts(vec![]);
        assert_eq!(
            of(FieldKind::Exact, none),
            Err(PolicyError::MatcherEmpty("x".into()))
        );
    }

    #[test]
    fn an_absent_attribute_matches_nothing() {
        let spec = spec("x", FieldKind::Exact, Asserter::Issuer);
        let matcher = Matcher::from_setting(&spec, &Setting::Text("a".into())).unwrap();
        assert!(matcher.matches(Some(&Value::Text("a".into()))));
        assert!(!matcher.matches(Some(&Value::Text("b".into()))));
        assert!(!matcher.matches(None));
    }
}
