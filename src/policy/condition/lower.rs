//! From CEL's syntax tree to ours: what is not named here is refused.
//!
//! An allow-list, so that a new version of the parser, or a macro nobody
//! thought of, widens nothing.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use crate::model::{Asserter, FieldKind};

use super::{
    PolicyError, Vocabulary,
    tree::{Comparison, Each, Node, Search, Type},
};

/// Deepest tree.
const MAX_DEPTH: usize = 64;

const FUNCTIONS: &[&str] = &[
    "startsWith",
    "endsWith",
    "contains",
    "size",
    "has",
    "all",
    "exists",
];

pub(super) struct Lowered {
    pub(super) root: Node,
    /// The weakest party behind what is read; `None` if nothing is read.
    pub(super) asserted_by: Option<Asserter>,
}

pub(super) fn lower(
    parsed: &IdedExpr,
    vocabulary: &Vocabulary<'_>,
) -> Result<Lowered, PolicyError> {
    let mut lowering = Lowering {
        vocabulary,
        item: None,
        depth: 0,
        asserted_by: None,
    };
    let root = lowering.of(parsed, Type::Bool)?;
    Ok(Lowered {
        root,
        asserted_by: lowering.asserted_by,
    })
}

struct Lowering<'v, 'e> {
    vocabulary: &'v Vocabulary<'v>,
    /// The variable of the macro around, if there is one.
    item: Option<&'e str>,
    depth: usize,
    asserted_by: Option<Asserter>,
}

type Typed = (Node, Type);

impl<'e> Lowering<'_, 'e> {
    /// An expression of which the type must be `wanted`.
    fn of(&mut self, expr: &'e IdedExpr, wanted: Type) -> Result<Node, PolicyError> {
        let (node, found) = self.typed(expr)?;
        if found.may_be(wanted) {
            return Ok(node);
        }
        Err(PolicyError::ConditionType(format!(
            "{} stands where {} is needed",
            found.as_str(),
            wanted.as_str()
        )))
    }

    fn boxed(&mut self, expr: &'e IdedExpr, wanted: Type) -> Result<Box<Node>, PolicyError> {
        self.of(expr, wanted).map(Box::new)
    }

    fn typed(&mut self, expr: &'e IdedExpr) -> Result<Typed, PolicyError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PolicyError::ConditionTooLarge {
                what: "expressions nested too deep",
                limit: MAX_DEPTH,
            });
        }
        let lowered = match &expr.expr {
            Expr::Literal(literal) => literal_value(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::List(list) => list
                .elements
                .iter()
                .map(text_literal)
                .collect::<Result<_, _>>()
                .map(|texts| (Node::Texts(texts), Type::List)),
            Expr::Call(call) => self.call(call),
            Expr::Map(_) | Expr::Struct(_) => Err(refused("a map or message")),
            Expr::Comprehension(_) | Expr::Unspecified => Err(refused("a comprehension")),
        };
        self.depth -= 1;
        lowered
    }

    fn variable(&mut self, name: &str) -> Result<Typed, PolicyError> {
        if self.item == Some(name) {
            return Ok((Node::Item, Type::Text));
        }
        match name {
            "subject" => {
                self.reads(Asserter::Issuer);
                Ok((Node::Subject, Type::Text))
            }
            "attrs" => Err(refused(
                "`attrs` as a whole; write `attrs.NAME`, where NAME is a field",
            )),
            _ => {
                let known = ["attrs", "subject"].into_iter().chain(self.item);
                // A field's name without `attrs` is the likeliest slip.
                let field = (self.vocabulary.field)(name).map(|_| format!("attrs.{name}"));
                let nearest = field.or_else(|| nearest(name, known));
                Err(unknown("the variable", name, nearest))
            }
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Typed, PolicyError> {
        if select.test {
            return Err(refused("a presence test other than `has(attrs.NAME)`"));
        }
        match path(&select.operand, &select.field) {
            Some(name) => self.attribute(&name),
            None => Err(refused("a member of anything but `attrs`")),
        }
    }

    fn attribute(&mut self, name: &str) -> Result<Typed, PolicyError> {
        let (name, found) = self.known(name)?;
        Ok((Node::Attribute(name), found))
    }

    fn known(&mut self, name: &str) -> Result<(Arc<str>, Type), PolicyError> {
        let Some(spec) = (self.vocabulary.field)(name) else {
            let nearest = nearest(name, self.vocabulary.names.iter().copied());
            return Err(unknown("the attribute", name, nearest));
        };
        self.reads(spec.asserted_by);
        let found = match spec.kind {
            FieldKind::Exact | FieldKind::Segments(_) => Type::Text,
            FieldKind::Flag => Type::Bool,
            FieldKind::Contains => Type::List,
            FieldKind::Any => Type::Any,
        };
        Ok((spec.name, found))
    }

    fn reads(&mut self, by: Asserter) {
        self.asserted_by = self.asserted_by.max(Some(by));
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Typed, PolicyError> {
        let name = call.func_name.as_str();
        let args = call.args.as_slice();
        let node = match (name, call.target.as_deref(), args) {
            (operators::LOGICAL_NOT, None, [of]) => Node::Not(self.boxed(of, Type::Bool)?),
            (operators::LOGICAL_AND, None, [left, right]) => Node::And(
                self.boxed(left, Type::Bool)?,
                self.boxed(right, Type::Bool)?,
            ),
            (operators::LOGICAL_OR, None, [left, right]) => Node::Or(
                self.boxed(left, Type::Bool)?,
                self.boxed(right, Type::Bool)?,
            ),
            (operators::CONDITIONAL, None, [condition, yes, no]) => {
                let condition = self.boxed(condition, Type::Bool)?;
                let (yes, found) = self.typed(yes)?;
                let no = self.boxed(no, found)?;
                return Ok((Node::If(condition, Box::new(yes), no), found));
            }
            (operators::IN, None, [needle, list]) => self.is_in(needle, list)?,
            (operators::INDEX, None, [of, key]) if is_attrs(of) => {
                return self.attribute(&text_literal(key)?);
            }
            (operators::NEGATE, None, [of]) => match self.typed(of)? {
                (Node::Number(number), Type::Number) => {
                    let negative = number.checked_neg().ok_or(refused("so large a number"))?;
                    return Ok((Node::Number(negative), Type::Number));
                }
                _ => return Err(refused("arithmetic")),
            },
            ("startsWith", Some(text), [part]) => self.search(Search::StartsWith, text, part)?,
            ("endsWith", Some(text), [part]) => self.search(Search::EndsWith, text, part)?,
            ("contains", Some(text), [part]) => self.search(Search::Contains, text, part)?,
            ("size", None, [of]) | ("size", Some(of), []) => return self.size(of),
            ("has", None, [of]) => match &of.expr {
                Expr::Select(select) => match path(&select.operand, &select.field) {
                    Some(name) => Node::Has(self.known(&name)?.0),
                    None => return Err(refused("`has` of anything but `attrs.NAME`")),
                },
                _ => return Err(refused("`has` of anything but `attrs.NAME`")),
            },
            ("all", Some(list), [item, body]) => self.each(Each::All, list, item, body)?,
            ("exists", Some(list), [item, body]) => self.each(Each::Exists, list, item, body)?,
            (_, None, [left, right]) if comparison(name).is_some() => {
                self.compare(comparison(name), left, right)?
            }
            _ => return Err(bad_function(name)),
        };
        Ok((node, Type::Bool))
    }

    fn is_in(&mut self, needle: &'e IdedExpr, list: &'e IdedExpr) -> Result<Node, PolicyError> {
        if is_attrs(list) {
            return Ok(Node::Has(self.known(&text_literal(needle)?)?.0));
        }
        let needle = self.boxed(needle, Type::Text)?;
        Ok(Node::In(needle, self.boxed(list, Type::List)?))
    }

    fn search(
        &mut self,
        how: Search,
        text: &'e IdedExpr,
        part: &'e IdedExpr,
    ) -> Result<Node, PolicyError> {
        let text = self.boxed(text, Type::Text)?;
        Ok(Node::Search(how, text, self.boxed(part, Type::Text)?))
    }

    fn size(&mut self, of: &'e IdedExpr) -> Result<Typed, PolicyError> {
        let (of, found) = self.typed(of)?;
        if !found.may_be(Type::Text) && !found.may_be(Type::List) {
            let what = format!("{} has no size", found.as_str());
            return Err(PolicyError::ConditionType(what));
        }
        Ok((Node::Size(Box::new(of)), Type::Number))
    }

    fn each(
        &mut self,
        each: Each,
        list: &'e IdedExpr,
        item: &'e IdedExpr,
        body: &'e IdedExpr,
    ) -> Result<Node, PolicyError> {
        if self.item.is_some() {
            return Err(refused("`all` or `exists` inside another"));
        }
        let Expr::Ident(item) = &item.expr else {
            return Err(refused("a loop variable that is not a plain name"));
        };
        if matches!(item.as_str(), "attrs" | "subject") {
            return Err(refused("a loop variable that hides `attrs` or `subject`"));
        }
        let list = self.boxed(list, Type::List)?;
        self.item = Some(item);
        let body = self.boxed(body, Type::Bool);
        self.item = None;
        Ok(Node::Each(each, list, body?))
    }

    fn compare(
        &mut self,
        how: Option<Comparison>,
        left: &'e IdedExpr,
        right: &'e IdedExpr,
    ) -> Result<Node, PolicyError> {
        let how = how.ok_or(refused("an operator"))?;
        let ((left, l), (right, r)) = (self.typed(left)?, self.typed(right)?);
        if !l.may_be(r) {
            let what = format!("{} is compared with {}", l.as_str(), r.as_str());
            return Err(PolicyError::ConditionType(what));
        }
        let ordered = !matches!(how, Comparison::Equal | Comparison::NotEqual);
        if ordered && [l, r].contains(&Type::List) {
            return Err(PolicyError::ConditionType("lists have no order".into()));
        }
        Ok(Node::Compare(how, Box::new(left), Box::new(right)))
    }
}

fn is_attrs(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name == "attrs")
}

/// `NAME` or `A.B`, where the expression is `attrs.NAME` or `attrs.A.B`.
fn path(operand: &IdedExpr, field: &str) -> Option<String> {
    match &operand.expr {
        Expr::Ident(name) if name == "attrs" => Some(field.to_owned()),
        Expr::Select(select) if !select.test => {
            let outer = path(&select.operand, &select.field)?;
            Some(format!("{outer}.{field}"))
        }
        _ => None,
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn literal_value(literal: &LiteralValue) -> Result<Typed, PolicyError> {
    Ok(match literal {
        LiteralValue::Boolean(flag) => (Node::Bool(*flag.inner()), Type::Bool),
        LiteralValue::Int(number) => (Node::Number(*number.inner()), Type::Number),
        LiteralValue::String(text) => (Node::Text(text.inner().into()), Type::Text),
        LiteralValue::Bytes(_)
        | LiteralValue::Double(_)
        | LiteralValue::Null
        | LiteralValue::UInt(_) => {
            return Err(refused(
                "a literal other than text, a whole number, true or false",
            ));
        }
    })
}

fn text_literal(expr: &IdedExpr) -> Result<Arc<str>, PolicyError> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Ok(text.inner().into()),
        _ => Err(refused("a list element or key that is not a literal text")),
    }
}

fn bad_function(name: &str) -> PolicyError {
    match name {
        "matches" => refused("a regular expression"),
        operators::ADD
        | operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO => refused("arithmetic"),
        operators::INDEX => refused("an index into anything but `attrs`"),
        "map" | "filter" | "exists_one" | "existsOne" => {
            refused("a macro other than `has`, `all` and `exists`")
        }
        _ if FUNCTIONS.contains(&name) => refused("a function with other arguments than it takes"),
        _ => unknown(
            "the function",
            name,
            nearest(name, FUNCTIONS.iter().copied()),
        ),
    }
}

fn refused(what: &'static str) -> PolicyError {
    PolicyError::ConditionRefused(what)
}

fn unknown(what: &'static str, name: &str, nearest: Option<String>) -> PolicyError {
    PolicyError::ConditionUnknown {
        what,
        name: name.into(),
        nearest,
    }
}

/// The known name that `word` was probably meant to be.
fn nearest<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    super::super::nearest(word, known).map(str::to_owned)
}
