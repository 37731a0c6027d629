//! What an administrator can get wrong in one value or one condition.
//!
//! Problems that only show across rules, roles and targets are
//! [`PolicyProblem`](super::PolicyProblem)s, which say where they stand.

/// A value pattern or a condition that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No value at all.
    #[error("an empty value matches nothing: leave the field out, or name a value")]
    PatternEmpty,
    /// Over the length limit.
    #[error("the value has {0} bytes; a value has at most 2048")]
    PatternTooLong(usize),
    /// Control or invisible characters, or white space around it.
    #[error("the value `{0}` has invisible characters or white space around it")]
    PatternInvisible(String),
    /// A `*` where values are compared exactly.
    #[error("`{field}` is compared exactly, so `*` in `{value}` is not allowed: list the values")]
    GlobOnExact {
        /// The field.
        field: String,
        /// What was written.
        value: String,
    },
    /// Glob syntax beyond `*`.
    #[error(
        "`{syntax}` in `{value}` is not allowed: `*` stands for one or more characters inside one segment, and there is no other wildcard"
    )]
    GlobSyntax {
        /// The part that is not allowed.
        syntax: &'static str,
        /// What was written.
        value: String,
    },
    /// Wildcards only.
    #[error("`{0}` matches everything: leave the field out, or name a part of the value")]
    GlobEverything(String),
    /// A value of another type than the field has.
    #[error("`{field}` is {wanted}, not {found}")]
    PatternType {
        /// The field.
        field: String,
        /// What was written.
        found: String,
        /// What the field takes.
        wanted: &'static str,
    },
    /// A matcher without a value.
    #[error("`{0}` lists no value, so it can never match")]
    MatcherEmpty(String),
    /// A condition over one of the limits.
    #[error("the condition has {what}; the limit is {limit}")]
    ConditionTooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// Not CEL.
    #[error("the condition is not CEL: {0}")]
    ConditionSyntax(String),
    /// A variable, attribute or function that does not exist here.
    #[error("the condition uses {what} `{name}`, which does not exist here{}", nearest.as_ref().map(|n| format!(": did you mean `{n}`?")).unwrap_or_default())]
    ConditionUnknown {
        /// Variable, attribute or function.
        what: &'static str,
        /// Its name.
        name: String,
        /// The known name that it is most like.
        nearest: Option<String>,
    },
    /// CEL that is valid but refused.
    #[error("the condition uses {0}, which is not allowed")]
    ConditionRefused(&'static str),
    /// Types that cannot fit.
    #[error("the condition can never hold: {0}")]
    ConditionType(String),
    /// A condition that reads nothing.
    #[error("the condition reads no attribute, so it is the same for everyone")]
    ConditionConstant,
}
