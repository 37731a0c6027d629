//! Evaluation: total, without allocation, on a budget.

use std::sync::Arc;

use crate::model::{Attributes, Value};

use super::tree::{Comparison, Each, Node, Search};

/// What one evaluation may spend: about one unit per byte compared. A token of
/// 16 KiB stays far below it with any sensible condition, and spending all of
/// it takes well under a millisecond.
const BUDGET: usize = 1 << 17;

/// Why a condition has no answer, which counts as not holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It reads an attribute that the identity does not have.
    #[error("an attribute that it reads is absent")]
    Absent,
    /// A value has another type than the condition needs.
    #[error("a value has another type than it needs")]
    Type,
    /// It compares more than a decision may.
    #[error("it compares more than a decision may")]
    Cost,
}

/// A value under evaluation, borrowed from the tree or the identity.
#[derive(Clone, Copy, PartialEq)]
enum Val<'a> {
    Bool(bool),
    Number(i64),
    Text(&'a str),
    List(&'a [Arc<str>]),
}

struct Evaluation<'a> {
    subject: &'a str,
    attributes: &'a Attributes,
    budget: usize,
}

pub(super) fn eval(root: &Node, subject: &str, attributes: &Attributes) -> Result<bool, Fault> {
    let mut evaluation = Evaluation {
        subject,
        attributes,
        budget: BUDGET,
    };
    evaluation.bool(root, None)
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, node: &'a Node, item: Option<&'a str>) -> Result<Val<'a>, Fault> {
        self.spend(1)?;
        Ok(match node {
            Node::Number(number) => Val::Number(*number),
            Node::Text(text) => Val::Text(text),
            Node::Texts(texts) => Val::List(texts),
            Node::Subject => Val::Text(self.subject),
            Node::Item => Val::Text(item.ok_or(Fault::Absent)?),
            Node::Attribute(name) => match &self.attributes.get(name).ok_or(Fault::Absent)?.value {
                Value::Text(text) => Val::Text(text),
                Value::Number(number) => Val::Number(*number),
                Value::Flag(flag) => Val::Bool(*flag),
                Value::List(list) => Val::List(list),
            },
            Node::If(condition, yes, no) => {
                let branch = if self.bool(condition, item)? { yes } else { no };
                return self.value(branch, item);
            }
            Node::Size(of) => Val::Number(match self.value(of, item)? {
                Val::Text(text) => {
                    self.spend(text.len())?;
                    count(text.chars().count())
                }
                Val::List(list) => count(list.len()),
                Val::Bool(_) | Val::Number(_) => return Err(Fault::Type),
            }),
            Node::Bool(flag) => Val::Bool(*flag),
            Node::Has(name) => Val::Bool(self.attributes.get(name).is_some()),
            Node::Not(of) => Val::Bool(!self.bool(of, item)?),
            Node::And(left, right) => Val::Bool(self.join(left, right, item, false)?),
            Node::Or(left, right) => Val::Bool(self.join(left, right, item, true)?),
            Node::Compare(how, left, right) => {
                let (left, right) = (self.value(left, item)?, self.value(right, item)?);
                Val::Bool(self.compare(*how, left, right)?)
            }
            Node::In(needle, list) => {
                let needle = self.value(needle, item)?;
                Val::Bool(self.is_in(needle, list, item)?)
            }
            Node::Search(how, text, part) => {
                let (text, part) = (self.text(text, item)?, self.text(part, item)?);
                Val::Bool(match how {
                    Search::StartsWith => {
                        self.spend(part.len())?;
                        text.starts_with(part)
                    }
                    Search::EndsWith => {
                        self.spend(part.len())?;
                        text.ends_with(part)
                    }
                    Search::Contains => {
                        self.spend(text.len().saturating_add(part.len()))?;
                        text.contains(part)
                    }
                })
            }
            Node::Each(each, list, body) => {
                let Val::List(list) = self.value(list, item)? else {
                    return Err(Fault::Type);
                };
                Val::Bool(self.each(*each, list, body)?)
            }
        })
    }

    fn bool(&mut self, node: &'a Node, item: Option<&'a str>) -> Result<bool, Fault> {
        match self.value(node, item)? {
            Val::Bool(flag) => Ok(flag),
            _ => Err(Fault::Type),
        }
    }

    fn text(&mut self, node: &'a Node, item: Option<&'a str>) -> Result<&'a str, Fault> {
        match self.value(node, item)? {
            Val::Text(text) => Ok(text),
            _ => Err(Fault::Type),
        }
    }

    /// `&&` (decided by false) and `||` (decided by true). As CEL has it, a
    /// side that decides makes up for a fault of the other side; a spent
    /// budget is made up for by nothing.
    fn join(
        &mut self,
        left: &'a Node,
        right: &'a Node,
        item: Option<&'a str>,
        decides: bool,
    ) -> Result<bool, Fault> {
        let left = match self.bool(left, item) {
            Ok(left) if left == decides => return Ok(decides),
            Err(Fault::Cost) => return Err(Fault::Cost),
            left => left,
        };
        match self.bool(right, item)? {
            right if right == decides => Ok(decides),
            _ => left,
        }
    }

    fn each(&mut self, each: Each, list: &'a [Arc<str>], body: &'a Node) -> Result<bool, Fault> {
        let decides = each == Each::Exists;
        let mut outcome = Ok(!decides);
        for item in list {
            match self.bool(body, Some(item)) {
                Ok(held) if held == decides => return Ok(decides),
                Ok(_) => {}
                Err(Fault::Cost) => return Err(Fault::Cost),
                Err(fault) => outcome = Err(fault),
            }
        }
        outcome
    }

    fn is_in(
        &mut self,
        needle: Val<'a>,
        list: &'a Node,
        item: Option<&'a str>,
    ) -> Result<bool, Fault> {
        let Val::List(list) = self.value(list, item)? else {
            return Err(Fault::Type);
        };
        let Val::Text(needle) = needle else {
            // Another type is in no list of texts.
            return Ok(false);
        };
        for element in list {
            self.spend(1 + needle.len().min(element.len()))?;
            if **element == *needle {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compare(&mut self, how: Comparison, left: Val<'a>, right: Val<'a>) -> Result<bool, Fault> {
        self.spend(cost(left).min(cost(right)))?;
        let order = match (how, left, right) {
            (Comparison::Equal, ..) => return Ok(left == right),
            (Comparison::NotEqual, ..) => return Ok(left != right),
            (_, Val::Number(left), Val::Number(right)) => left.cmp(&right),
            (_, Val::Text(left), Val::Text(right)) => left.cmp(right),
            (_, Val::Bool(left), Val::Bool(right)) => left.cmp(&right),
            _ => return Err(Fault::Type),
        };
        Ok(match how {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Equal | Comparison::NotEqual => false,
        })
    }

    fn spend(&mut self, units: usize) -> Result<(), Fault> {
        self.budget = self.budget.checked_sub(units).ok_or(Fault::Cost)?;
        Ok(())
    }
}

fn cost(value: Val<'_>) -> usize {
    match value {
        Val::Bool(_) | Val::Number(_) => 1,
        Val::Text(text) => text.len(),
        Val::List(list) => list
            .iter()
            .fold(0, |sum, text| sum.saturating_add(1 + text.len())),
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
