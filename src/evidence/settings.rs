//! A source's settings after the shape check, and the problems that only the
//! source itself can see.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

/// A source's settings after the shape check: values by key, in the types of
/// the shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The values.
    pub values: BTreeMap<String, Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// Text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A nested object of a stated shape.
    Object(BTreeMap<String, Setting>),
    /// An object with free keys.
    Map(BTreeMap<String, Setting>),
}

impl Setting {
    /// The name of its type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Texts(_) => "a list",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Object(_) | Self::Map(_) => "an object",
        }
    }
}

/// A setting that has a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Its key; a dot stands between an object's key and the key inside.
    pub key: String,
    /// What is wrong: what was found and what was wanted.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl SettingProblem {
    /// A problem with a key.
    pub(super) fn new(key: &str, what: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
            hint: None,
        }
    }

    /// With what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Reads settings and gathers every problem, so that an administrator sees
/// all of them at once.
///
/// The shape check has the last word on types; a value of another type reads
/// as absent here.
pub(super) struct Reader<'s> {
    values: &'s BTreeMap<String, Setting>,
    problems: Vec<SettingProblem>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self {
            values: &settings.values,
            problems: Vec::new(),
        }
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, problem: SettingProblem) {
        self.problems.push(problem);
    }

    /// What `build` answers: the value if nothing was wrong. A value that is
    /// missing although nothing was noted lacks a required setting.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<SettingProblem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ if self.problems.is_empty() => Err(vec![SettingProblem::new(
                "",
                "a required setting is missing",
            )]),
            _ => Err(self.problems),
        }
    }

    /// The text under a key, or under `outer.inner`.
    pub(super) fn text(&self, key: &str) -> Option<&'s str> {
        match self.get(key)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// One text or a list of them; `None` if the key is absent.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        match self.get(key)? {
            Setting::Text(text) => Some(vec![text.clone()]),
            Setting::Texts(texts) => Some(texts.clone()),
            _ => None,
        }
    }

    /// A flag.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Setting::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A whole number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Setting::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The members of an object with free keys.
    pub(super) fn map(&self, key: &str) -> Option<&'s BTreeMap<String, Setting>> {
        match self.get(key)? {
            Setting::Map(map) | Setting::Object(map) => Some(map),
            _ => None,
        }
    }

    /// A text that must be there, in its type.
    pub(super) fn required<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        if self.text(key).is_none() {
            self.problem(SettingProblem::new(key, "this setting is required"));
        }
        self.optional(key)
    }

    /// A text that may be there, in its type.
    pub(super) fn optional<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|e: T::Err| self.problem(SettingProblem::new(key, e.to_string())))
            .ok()
    }

    fn get(&self, key: &str) -> Option<&'s Setting> {
        match key.split_once('.') {
            Some((outer, inner)) => match self.values.get(outer)? {
                Setting::Object(object) => object.get(inner),
                _ => None,
            },
            None => self.values.get(key),
        }
    }
}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn closest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|k| (strsim::jaro_winkler(word, k), k))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IssuerUrl;

    fn settings(values: &[(&str, Setting)]) -> Settings {
        Settings {
            values: values
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.clone()))
                .collect(),
        }
    }

    #[test]
    fn every_problem_is_gathered() {
        let settings = settings(&[("issuer", Setting::Text("http://x".into()))]);
        let mut reader = Reader::new(&settings);
        let issuer: Option<IssuerUrl> = reader.required("issuer");
        let other: Option<IssuerUrl> = reader.required("other");
        let problems = reader.finish(issuer.zip(other)).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["issuer", "other"]);
    }

    #[test]
    fn a_value_is_never_built_beside_a_problem() {
        let settings = Settings::default();
        let mut reader = Reader::new(&settings);
        reader.problem(SettingProblem::new("x", "wrong"));
        assert!(reader.finish(Some(())).is_err());
        assert!(Reader::new(&settings).finish(None::<()>).is_err());
        assert!(Reader::new(&settings).finish(Some(())).is_ok());
    }

    #[test]
    fn values_read_in_their_own_type_only() {
        let inner = [("events".to_owned(), Setting::Texts(vec!["push".into()]))];
        let settings = settings(&[
            ("one", Setting::Text("a".into())),
            ("flag", Setting::Flag(true)),
            ("forbid", Setting::Object(inner.into_iter().collect())),
        ]);
        let reader = Reader::new(&settings);
        assert_eq!(reader.texts("one"), Some(vec!["a".into()]));
        assert_eq!(reader.texts("forbid.events"), Some(vec!["push".into()]));
        assert_eq!(reader.flag("flag"), Some(true));
        assert_eq!(reader.flag("one"), None);
        assert_eq!(reader.text("flag"), None);
        assert_eq!(reader.text("one.x"), None);
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = ["repository", "ref", "environment"];
        assert_eq!(
            closest("enviroment", known.into_iter()),
            Some("environment")
        );
        assert_eq!(closest("zzz", known.into_iter()), None);
    }
}
