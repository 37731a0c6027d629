//! YAML text to a tree in which every node knows where it stands.
//!
//! What YAML can do and a reader does not expect is left out: anchors, aliases,
//! tags, merge keys, several documents, duplicate keys, plain text that runs
//! over several lines. What is left reads the same to every person and every
//! program. Plain scalars have no type here: `0123`, `no` and `1e3` stay the
//! text that was written until a shape says what they are meant to be.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::diagnostic::{Code, Span};

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 32;
/// Most keys in one mapping.
pub const MAX_KEYS: usize = 4096;

/// A node: what it is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar, as text.
    Scalar {
        /// Its text, unquoted.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a mapping, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// What this is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Scalar { text, plain: true } if is_null(text) => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The entry of that key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key),
            _ => None,
        }
    }
}

impl Node {
    /// Writes a form in which two trees are the same bytes if they say the
    /// same: keys sorted, comments and places left out.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let put = |out: &mut Vec<u8>, mark: u8, text: &str| {
            out.push(mark);
            out.extend(text.len().to_be_bytes());
            out.extend(text.as_bytes());
        };
        match &self.value {
            // Quotes tell a flag or number from a text only where a key takes
            // either; there, `"1"` and `1` are different.
            Value::Scalar { text, plain } => put(out, if *plain { b'p' } else { b's' }, text),
            Value::List(items) => {
                out.push(b'[');
                items.iter().for_each(|item| item.write_canonical(out));
                out.push(b']');
            }
            Value::Map(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.key.cmp(&b.key));
                out.push(b'{');
                for entry in sorted {
                    put(out, b'k', &entry.key);
                    entry.value.write_canonical(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Whether a plain scalar says "no value".
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A rule of this reader that a text breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// Which rule.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A tree, as far as one could be read, and everything that is wrong with it.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The document; `None` if the text is not YAML or empty.
    pub root: Option<Node>,
    /// What is wrong, in the order of the file.
    pub faults: Vec<Fault>,
}

/// The text of a file: UTF-8, without a byte order mark or control characters.
///
/// On failure, the text as far as it can be shown comes back with the fault.
pub fn decode(bytes: &[u8]) -> Result<&str, (Cow<'_, str>, Fault)> {
    let fault = |text: &str, at: usize, message: &str, help: &str| Fault {
        span: Span::at(text, at, at),
        code: Code::Encoding,
        message: message.to_owned(),
        help: Some(help.to_owned()),
    };
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "the file has {} bytes; at most {MAX_BYTES} are read",
            bytes.len()
        );
        let help = "split it: one trust domain or one set of roles per file";
        return Err((
            "".into(),
            Fault {
                code: Code::TooBig,
                ..fault("", 0, &message, help)
            },
        ));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let shown = String::from_utf8_lossy(bytes);
            let message = format!("byte {} is not UTF-8", error.valid_up_to() + 1);
            let fault = fault(
                &shown,
                error.valid_up_to(),
                &message,
                "save the file as UTF-8",
            );
            return Err((shown, fault));
        }
    };
    let unwanted =
        |c: char| c == '\u{feff}' || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    if let Some((at, c)) = text.char_indices().find(|(_, c)| unwanted(*c)) {
        let (message, help) = match c {
            '\u{feff}' => (
                "the file holds a byte order mark".to_owned(),
                "save it as UTF-8 without BOM",
            ),
            '\0' => (
                "the file holds a NUL byte".to_owned(),
                "save it as plain UTF-8 text",
            ),
            c => (
                format!(
                    "the file holds the control character U+{:04X}",
                    u32::from(c)
                ),
                "remove it",
            ),
        };
        let fault = fault(text, at, &message, help);
        return Err((text.into(), fault));
    }
    Ok(text)
}

/// Reads one document.
pub fn parse(text: &str) -> Parsed {
    let mut builder = Builder {
        offsets: Offsets::new(text),
        text,
        stack: Vec::new(),
        parsed: Parsed::default(),
    };
    if builder.refuse_tabs() {
        return builder.parsed;
    }
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = builder.offsets.span(text, *error.marker(), *error.marker());
                builder.fault(
                    at,
                    Code::Syntax,
                    format!("not YAML: {}", error.info()),
                    None,
                );
                builder.parsed.root = None;
                break;
            }
        };
        let span = builder.offsets.span(text, span.start, span.end);
        if let Event::DocumentStart(explicit) = event {
            documents += 1;
            if documents > 1 {
                builder.fault(
                    span,
                    Code::Syntax,
                    "a second document begins here".to_owned(),
                    Some("write one document per file".to_owned()),
                );
                builder.parsed.root = None;
                break;
            }
            if explicit {
                builder.refuse_directives(span.start);
            }
        } else if !builder.take(event, span) {
            builder.parsed.root = None;
            break;
        }
    }
    builder.parsed
}

/// Character positions to byte positions: the scanner counts characters.
struct Offsets(Option<Vec<usize>>);

impl Offsets {
    fn new(text: &str) -> Self {
        Self((!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect()))
    }

    fn byte(&self, text: &str, index: usize) -> usize {
        match &self.0 {
            None => index.min(text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(text.len()),
        }
    }

    fn span(&self, text: &str, start: Marker, end: Marker) -> Span {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let from = self.byte(text, start.index());
        Span {
            start: from,
            end: self.byte(text, end.index()).max(from),
            line: number(start.line()),
            column: number(start.col()).saturating_add(1),
        }
    }
}

/// A list or mapping that is not yet closed.
struct Frame {
    span: Span,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<PendingKey>,
    },
}

struct PendingKey {
    text: String,
    span: Span,
    usable: bool,
}

struct Builder<'t> {
    text: &'t str,
    offsets: Offsets,
    stack: Vec<Frame>,
    parsed: Parsed,
}

impl Builder<'_> {
    fn fault(&mut self, span: Span, code: Code, message: String, help: Option<String>) {
        self.parsed.faults.push(Fault {
            span,
            code,
            message,
            help,
        });
    }

    /// YAML allows a tab before a line in some places and not in others; here
    /// it is never indentation.
    fn refuse_tabs(&mut self) -> bool {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let indent = line.len() - line.trim_start().len();
            let blank = line.trim().is_empty();
            if let Some(tab) = line
                .get(..indent)
                .and_then(|i| i.find('\t'))
                .filter(|_| !blank)
            {
                let span = Span::at(self.text, at + tab, at + tab + 1);
                let message = "a tab stands in the indentation".to_owned();
                let help = "indent with spaces".to_owned();
                self.fault(span, Code::Syntax, message, Some(help));
                return true;
            }
            at += line.len();
        }
        false
    }

    fn refuse_directives(&mut self, document_at: usize) {
        let before = self.text.get(..document_at).unwrap_or_default();
        let mut at = 0;
        for line in before.split_inclusive('\n') {
            if line.starts_with('%') {
                let span = Span::at(self.text, at, at + line.trim_end().len());
                let message = "YAML directives are not read".to_owned();
                self.fault(
                    span,
                    Code::Syntax,
                    message,
                    Some("remove this line".to_owned()),
                );
            }
            at += line.len();
        }
    }

    /// Takes one event; `false` if reading must stop.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                let node = self.scalar(text.into_owned(), style, span);
                self.place(node);
            }
            Event::Alias(_) => {
                let help = "write the value out again".to_owned();
                self.fault(
                    span,
                    Code::NotSupported,
                    "aliases are not read".to_owned(),
                    Some(help),
                );
                let value = Value::Scalar {
                    text: String::new(),
                    plain: true,
                };
                self.place(Node { span, value });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                return self.open(span, FrameKind::List(Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                return self.open(
                    span,
                    FrameKind::Map {
                        entries: Vec::new(),
                        key: None,
                    },
                );
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        true
    }

    fn refuse_extras(&mut self, span: Span, anchor: usize, tagged: bool) {
        // The span is that of the value: the `&name` or `!tag` stands before it.
        if anchor != 0 {
            let help = "remove `&...` and write the value out where it is needed".to_owned();
            self.fault(
                span,
                Code::NotSupported,
                "anchors are not read".to_owned(),
                Some(help),
            );
        }
        if tagged {
            let help = "remove `!...`: the key says what type its value has".to_owned();
            self.fault(
                span,
                Code::NotSupported,
                "tags are not read".to_owned(),
                Some(help),
            );
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, span: Span) -> Node {
        let plain = style == ScalarStyle::Plain;
        let written = self.text.get(span.start..span.end).unwrap_or_default();
        // A scalar's span reaches over the blanks that follow it.
        let span = Span {
            end: span.start + written.trim_end().len(),
            ..span
        };
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let message = "block text (`|` and `>`) is not read".to_owned();
            let help = "write the text in quotes; it may run over several lines".to_owned();
            self.fault(span, Code::NotSupported, message, Some(help));
        } else if plain && written.trim_end().contains('\n') {
            let message = "text without quotes runs over several lines".to_owned();
            let help = "write it in quotes, or check the indentation of the second line".to_owned();
            self.fault(span, Code::NotSupported, message, Some(help));
        }
        Node {
            span,
            value: Value::Scalar { text, plain },
        }
    }

    fn open(&mut self, span: Span, kind: FrameKind) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            self.fault(span, Code::TooBig, message, None);
            return false;
        }
        self.stack.push(Frame { span, kind });
        true
    }

    fn close(&mut self, end: Span) {
        let Some(Frame { span: start, kind }) = self.stack.pop() else {
            return;
        };
        let (last, value) = match kind {
            FrameKind::List(items) => (items.last().map(|n| n.span.end), Value::List(items)),
            FrameKind::Map { entries, .. } => (
                entries.last().map(|e| e.value.span.end.max(e.key_span.end)),
                Value::Map(entries),
            ),
        };
        // A block collection's end is where the next thing begins; a flow
        // collection's is its bracket.
        let bracket = self
            .text
            .as_bytes()
            .get(start.start)
            .is_some_and(|b| matches!(b, b'[' | b'{'));
        let end = if bracket {
            let written = self.text.get(start.start..end.end).unwrap_or_default();
            start.start + written.trim_end().len()
        } else {
            last.unwrap_or(start.end)
        };
        let span = Span {
            end: end.max(start.start),
            ..start
        };
        self.place(Node { span, value });
    }

    fn place(&mut self, node: Node) {
        let Some(frame) = self.stack.last_mut() else {
            self.parsed.root = Some(node);
            return;
        };
        let faults = &mut self.parsed.faults;
        match &mut frame.kind {
            FrameKind::List(items) => items.push(node),
            FrameKind::Map { entries, key } => match key.take() {
                Some(PendingKey {
                    text,
                    span,
                    usable: true,
                }) => {
                    entries.push(Entry {
                        key: text,
                        key_span: span,
                        value: node,
                    });
                }
                Some(_) => {}
                None => *key = Some(pending_key(node, entries, faults)),
            },
        }
    }
}

/// Judges the node that stands as a key.
fn pending_key(node: Node, entries: &[Entry], faults: &mut Vec<Fault>) -> PendingKey {
    let span = node.span;
    let fault = |message: String, code, help: &str| Fault {
        span,
        code,
        message,
        help: Some(help.to_owned()),
    };
    let Value::Scalar { text, .. } = node.value else {
        faults.push(fault(
            "a key must be a word".to_owned(),
            Code::Syntax,
            "write `key: value`",
        ));
        return PendingKey {
            text: String::new(),
            span,
            usable: false,
        };
    };
    let mut usable = true;
    if entries.len() >= MAX_KEYS {
        usable = false;
        // Said once, however many follow.
        if entries.len() == MAX_KEYS && faults.last().is_none_or(|f| f.code != Code::TooBig) {
            let message = format!("more than {MAX_KEYS} keys in one mapping");
            faults.push(Fault {
                span,
                code: Code::TooBig,
                message,
                help: None,
            });
        }
    } else if text == "<<" {
        usable = false;
        let message = "merge keys (`<<`) are not read".to_owned();
        faults.push(fault(message, Code::NotSupported, "write the keys out"));
    } else if let Some(first) = entries.iter().find(|e| e.key == text) {
        usable = false;
        let text = crate::base::text::display(&text, 64);
        let message = format!("`{text}` stands twice in this mapping");
        let line = first.key_span.line;
        let help = format!("it stands on line {line} already; remove one of the two");
        faults.push(fault(message, Code::DuplicateKey, &help));
    }
    PendingKey { text, span, usable }
}

#[cfg(test)]
mod tests;
