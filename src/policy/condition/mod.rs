//! Named conditions of a rule, in CEL.
//!
//! A condition narrows a rule whose fields already match; it never replaces
//! them. The text is parsed by the `cel` crate and then lowered into a small
//! typed tree of our own, which has no loops beyond one `all` or `exists`, no
//! functions that build values, and no regular expressions. Evaluating the
//! tree allocates nothing, cannot panic, and spends from a budget, so that no
//! token, however hostile, makes a decision slow. What it does evaluate, it
//! evaluates as CEL says: the tests compare it with the crate's interpreter.

mod eval;
mod lower;
mod tree;

use std::sync::Arc;

use cel::Env;

use crate::model::{Asserter, Attributes, ConditionName, FieldSpec};

use super::PolicyError;
use tree::Node;

pub use eval::Fault;

/// Longest condition, in bytes.
pub const MAX_CONDITION: usize = 4096;

/// Most operators, brackets and separators in a condition. It bounds what the
/// parser is given, before it is given it.
const MAX_SYMBOLS: usize = 512;

/// Deepest brackets.
const MAX_NESTING: u16 = 24;

/// Many times what the parser needs at these limits.
const PARSER_STACK: usize = 64 * 1024 * 1024;

/// The attributes that a condition may read.
#[derive(Clone, Copy)]
pub struct Vocabulary<'v> {
    /// The field of a name, if there is one.
    pub field: &'v dyn Fn(&str) -> Option<FieldSpec>,
    /// The names that are worth suggesting.
    pub names: &'v [&'static str],
}

/// A named CEL condition, compiled, within its cost limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    name: ConditionName,
    source: Arc<str>,
    root: Node,
    asserted_by: Asserter,
}

impl Condition {
    /// Compiles `source`, whose variables are `attrs` (by field name) and
    /// `subject`.
    pub fn compile(
        name: ConditionName,
        source: &str,
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Self, PolicyError> {
        check_size(source)?;
        let parsed = parse(source)?;
        let lowered = lower::lower(&parsed, vocabulary)?;
        let Some(asserted_by) = lowered.asserted_by else {
            return Err(PolicyError::ConditionConstant);
        };
        Ok(Self {
            name,
            source: source.into(),
            root: lowered.root,
            asserted_by,
        })
    }

    /// Its name.
    pub fn name(&self) -> &ConditionName {
        &self.name
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Who vouches for what it reads: the weakest of them.
    pub fn asserted_by(&self) -> Asserter {
        self.asserted_by
    }

    /// Whether it holds. A fault is a condition that does not hold.
    pub fn holds(&self, subject: &str, attributes: &Attributes) -> Result<bool, Fault> {
        eval::eval(&self.root, subject, attributes)
    }
}

fn check_size(source: &str) -> Result<(), PolicyError> {
    let too_large = |what, limit| Err(PolicyError::ConditionTooLarge { what, limit });
    if source.len() > MAX_CONDITION {
        return too_large("too many bytes", MAX_CONDITION);
    }
    let symbol = |c: &char| !c.is_alphanumeric() && !c.is_whitespace() && *c != '_';
    if source.chars().filter(symbol).count() > MAX_SYMBOLS {
        return too_large("too many operators, brackets and dots", MAX_SYMBOLS);
    }
    let (mut depth, mut deepest) = (0u16, 0u16);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_NESTING {
        return too_large("brackets nested too deep", usize::from(MAX_NESTING));
    }
    Ok(())
}

/// Without macros, so that `all`, `exists` and `has` arrive as they are
/// written, and without optional values.
///
/// On a thread of its own: the parser's generated code recurses far in little
/// text, and has unreachable arms and indexing that this room cannot vouch
/// for. A bad file must never stop a running server.
fn parse(source: &str) -> Result<cel::IdedExpr, PolicyError> {
    let source = source.to_owned();
    let parse = move || {
        Env::default()
            .with_optional_support(false)
            .parser()
            .max_recursion_depth(MAX_NESTING)
            .error_recovery_limit(1)
            .parse(&source)
            .map_err(|errors| errors.errors.first().map(|e| e.msg.clone()))
    };
    let failed = |what: Option<String>| {
        PolicyError::ConditionSyntax(what.unwrap_or_else(|| "it could not be parsed".into()))
    };
    std::thread::Builder::new()
        .name("condition".into())
        .stack_size(PARSER_STACK)
        .spawn(parse)
        .map_err(|e| failed(Some(format!("no thread to parse it on: {e}"))))?
        .join()
        .map_err(|_| failed(None))?
        .map_err(failed)
}

#[cfg(test)]
mod tests;
