//! Scalars, and lists of them, held against what a shape says they are.

use super::{
    check::nearest,
    checked::{Checked, Item, Report},
    diagnostic::{Code, Span},
    yaml::{Node, Value, is_null},
};
use crate::{base::text::display, model::shape::Form};

pub(super) fn text(node: &Node, form: Form, report: &mut Report) -> Option<String> {
    let Value::Scalar { text, plain } = &node.value else {
        return wrong_type(node, "text", form.wanted(), report);
    };
    if *plain && is_null(text) {
        return wrong_type(
            node,
            "text",
            "write the word in quotes if it is meant",
            report,
        );
    }
    let stray = |c: char| c.is_control() && !(form == Form::Cel && matches!(c, '\n' | '\t'));
    if text.chars().any(stray) {
        let message = "the text holds a control character".to_owned();
        return invalid(
            node.span,
            message,
            Some("remove the escape".to_owned()),
            report,
        );
    }
    match form.judge(text) {
        // A path is relative to the file it stands in, not to wherever the
        // program was started.
        Ok(()) if form == Form::Path => Some(report.path(text).to_string_lossy().into_owned()),
        Ok(()) => Some(text.clone()),
        Err(why) => {
            if form == Form::Secret {
                report.mask(node.span);
            }
            invalid(node.span, why, form_help(form, text), report)
        }
    }
}

/// A better spelling, where one is evident.
pub(super) fn form_help(form: Form, text: &str) -> Option<String> {
    match form {
        Form::Name => {
            let plain = text.to_ascii_lowercase().replace([' ', '/', ':'], "-");
            form.judge(&plain)
                .is_ok()
                .then(|| format!("did you mean `{plain}`?"))
        }
        Form::Duration if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(format!("a unit is missing: `{text}s`?"))
        }
        Form::Url | Form::Issuer => match text.strip_prefix("http://") {
            Some(rest) => Some(format!("`https://{}`", display(rest, 200))),
            None if !text.contains("://") => Some("begin it with `https://`".to_owned()),
            None => None,
        },
        _ => None,
    }
}

pub(super) fn texts(node: &Node, form: Form, report: &mut Report) -> Option<Vec<Checked>> {
    let one = |node: &Node, report: &mut Report| {
        let item = Item::Text(text(node, form, report)?);
        Some(Checked {
            span: node.span,
            item,
        })
    };
    match &node.value {
        Value::List(items) if items.is_empty() => invalid(
            node.span,
            "the list is empty".to_owned(),
            Some("name at least one value, or remove the key".to_owned()),
            report,
        ),
        Value::List(items) => {
            let fit: Vec<_> = items.iter().filter_map(|item| one(item, report)).collect();
            (fit.len() == items.len()).then_some(fit)
        }
        _ => one(node, report).map(|item| vec![item]),
    }
}

pub(super) fn word(node: &Node, words: &[&str], report: &mut Report) -> Option<String> {
    let Value::Scalar { text, .. } = &node.value else {
        return wrong_type(
            node,
            "one word",
            &format!("one of: {}", words.join(", ")),
            report,
        );
    };
    if words.contains(&text.as_str()) {
        return Some(text.clone());
    }
    let help = match nearest(text, words.iter().copied()) {
        _ if words.len() == 1 => format!("write `{}`", words.concat()),
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of: {}", words.join(", ")),
    };
    let message = match words {
        [only] => format!(
            "`{}` is not known here; the one word is `{only}`",
            display(text, 64)
        ),
        _ => format!(
            "`{}` is not one of: {}",
            display(text, 64),
            words.join(", ")
        ),
    };
    invalid(node.span, message, Some(help), report)
}

/// A value whose type is the one that it is written in.
pub(super) fn any(node: &Node, report: &mut Report) -> Option<Item> {
    match &node.value {
        Value::Scalar { text, plain: true } if is_null(text) => wrong_type(
            node,
            "a value",
            "write the word in quotes if it is meant",
            report,
        ),
        Value::Scalar { text, plain: true } => Some(match text.as_str() {
            "true" => Item::Flag(true),
            "false" => Item::Flag(false),
            "0" => Item::Number(0),
            digits if !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits
                    .parse()
                    .map_or_else(|_| Item::Text(text.clone()), Item::Number)
            }
            _ => Item::Text(text.clone()),
        }),
        Value::Scalar { text, plain: false } => Some(Item::Text(text.clone())),
        Value::List(items) => Some(Item::List(
            items
                .iter()
                .filter_map(|item| {
                    let item_text = self::text(item, Form::Free, report)?;
                    Some(Checked {
                        span: item.span,
                        item: Item::Text(item_text),
                    })
                })
                .collect(),
        )),
        Value::Map(_) => wrong_type(
            node,
            "a value or a list of texts",
            "mappings are not compared",
            report,
        ),
    }
}

pub(super) fn wrong_type<T>(
    node: &Node,
    wanted: &str,
    help: &str,
    report: &mut Report,
) -> Option<T> {
    let message = format!("this must be {wanted}; it is {}", node.describe());
    report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
    None
}

pub(super) fn invalid<T>(
    span: Span,
    message: String,
    help: Option<String>,
    report: &mut Report,
) -> Option<T> {
    report.error(span, Code::InvalidValue, message).help = help;
    None
}

pub(super) fn flag(node: &Node, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Scalar { text, plain: true } if text == "true" => Some(true),
        Value::Scalar { text, plain: true } if text == "false" => Some(false),
        Value::Scalar { text, plain } => {
            let help = match text.to_ascii_lowercase().as_str() {
                "true" | "false" if !plain => "write it without quotes",
                "true" | "yes" | "on" | "y" => "write `true`",
                "false" | "no" | "off" | "n" => "write `false`",
                _ => "write `true` or `false`",
            };
            let message = format!("`{}` is neither true nor false", display(text, 64));
            report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
            None
        }
        _ => wrong_type(node, "true or false", "write `true` or `false`", report),
    }
}

pub(super) fn number(node: &Node, low: u64, high: u64, report: &mut Report) -> Option<u64> {
    let Value::Scalar { text, plain } = &node.value else {
        return wrong_type(node, "a whole number", "write digits only", report);
    };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let tidy = digits && (text == "0" || !text.starts_with('0'));
    if !(*plain && tidy) {
        let message = format!("`{}` is not a whole number", display(text, 64));
        let help = match digits {
            true if !plain => "write it without quotes",
            true => "write it without leading zeros",
            false => "write digits only, without a unit or separators",
        };
        report.error(node.span, Code::WrongType, message).help = Some(help.to_owned());
        return None;
    }
    match text.parse::<u64>() {
        Ok(value) if (low..=high).contains(&value) => Some(value),
        _ => invalid(
            node.span,
            format!("{} is out of range", display(text, 32)),
            Some(format!("{low} to {high}")),
            report,
        ),
    }
}
