//! What is wrong in a file, said so that it can be mended without a search.
//!
//! A diagnostic carries the text it speaks of, so that it can be shown
//! wherever it ends up: on a terminal with the line and a marker under it, as
//! one line in a log, as JSON for an editor or a pull request check.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::base::text::display;

/// A part of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The part from byte `start` to before byte `end`.
    pub fn at(text: &str, start: usize, end: usize) -> Self {
        let start = floor(text, start);
        let end = floor(text, end).max(start);
        let before = text.get(..start).unwrap_or_default();
        let line_at = before.rfind('\n').map_or(0, |at| at + 1);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start,
            end,
            line: number(before.bytes().filter(|b| *b == b'\n').count() + 1),
            column: number(before.get(line_at..).unwrap_or_default().chars().count() + 1),
        }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as the user would name it.
    pub path: String,
    /// Its text; empty if it could not be read.
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The plan does not load.
    Error,
    /// The plan loads.
    Warning,
}

impl Severity {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $code:literal $meaning:literal;)*) => {
        /// What kind of problem it is, by a stable name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {$(
            #[doc = $meaning]
            $variant,
        )*}

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$variant => $code,)*}
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self {$(Self::$variant => $meaning,)*}
            }
        }
    };
}

codes! {
    Unreadable "unreadable" "A file or folder cannot be read.";
    Encoding "encoding" "A file is not plain UTF-8 text.";
    TooBig "too-big" "A file is larger, deeper or longer than is read.";
    Syntax "syntax" "A file is not one YAML document.";
    NotSupported "not-supported" "Something that YAML or the format knows and this version does not read.";
    DuplicateKey "duplicate-key" "A key stands twice in one mapping.";
    UnknownKey "unknown-key" "A key that has no meaning where it stands.";
    MissingKey "missing-key" "A key that must be there is not.";
    WrongType "wrong-type" "A value of another type than its key takes.";
    InvalidValue "invalid-value" "A value of the right type that is not well formed or out of range.";
    Conflict "conflict" "Two things that exclude each other, or a name that stands twice.";
    Version "version" "A document of another version or kind than is read here.";
    Name "name" "A document's name does not fit its file.";
    Unsafe "unsafe" "A setting that would let in more than is meant.";
    Policy "policy" "A rule, role or test that the policy refuses.";
    TestFailed "test-failed" "A test in a trust domain's file fails.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem, where it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where in it.
    pub span: Span,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of problem.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do, in a few words: shown under the marked place.
    pub help: Option<String>,
    /// Further information, such as the keys that are known.
    pub note: Option<String>,
}

impl Diagnostic {
    /// As JSON, for editors and CI.
    pub fn to_json(&self) -> Value {
        let end = Span::at(&self.file.text, self.span.end, self.span.end);
        json!({
            "severity": self.severity.as_str(),
            "code": self.code.as_str(),
            "file": self.file.path,
            "line": self.span.line,
            "column": self.span.column,
            "endLine": end.line,
            "endColumn": end.column,
            "message": self.message,
            "help": self.help,
            "note": self.note,
        })
    }

    /// For a terminal: the line, and a marker under the place.
    pub fn render(&self, style: Style) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*self.message).id(self.code.as_str());
        let path = display(&self.file.path, 512);
        let mut group = if self.file.text.is_empty() {
            let group = title.element(Origin::path(path));
            match &self.help {
                Some(help) => group.element(Level::HELP.message(&**help)),
                None => group,
            }
        } else {
            let (first_line, shown, marked) = self.excerpt();
            let mut annotation = AnnotationKind::Primary.span(marked);
            if let Some(help) = &self.help {
                annotation = annotation.label(&**help);
            }
            title.element(
                Snippet::source(shown)
                    .fold(false)
                    .line_start(first_line)
                    .path(path)
                    .annotation(annotation),
            )
        };
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(&**note));
        }
        match style {
            Style::Plain => Renderer::plain(),
            Style::Colour => Renderer::styled(),
        }
        .render(&[group])
    }

    /// The line that is meant and the one before it, safe to print, with the
    /// marked part cut to that line.
    fn excerpt(&self) -> (usize, String, Range<usize>) {
        let text = &*self.file.text;
        let start = floor(text, self.span.start);
        let line_at = text
            .get(..start)
            .unwrap_or_default()
            .rfind('\n')
            .map_or(0, |at| at + 1);
        let line_end = text
            .get(start..)
            .unwrap_or_default()
            .find('\n')
            .map_or(text.len(), |at| start + at);
        let part = |from: usize, to: usize| {
            let part = text
                .get(from..to)
                .unwrap_or_default()
                .trim_end_matches('\r');
            // A backslash is ordinary here: the line is a file's, shown as it is.
            display(&part.replace('\t', " "), MAX_SHOWN).replace("\\u{5c}", "\\")
        };
        let line = part(line_at, line_end);
        let from = part(line_at, start).len().min(line.len());
        let to = part(line_at, floor(text, self.span.end).clamp(start, line_end)).len();
        let to = to.clamp(from, line.len());
        let line_number = usize::try_from(self.span.line).unwrap_or(1);
        match line_at.checked_sub(1) {
            None => (line_number, line, from..to),
            Some(previous_end) => {
                let previous_at = text
                    .get(..previous_end)
                    .unwrap_or_default()
                    .rfind('\n')
                    .map_or(0, |at| at + 1);
                let previous = part(previous_at, previous_end);
                let by = previous.len() + 1;
                let shown = format!("{previous}\n{line}");
                (
                    line_number.saturating_sub(1).max(1),
                    shown,
                    from + by..to + by,
                )
            }
        }
    }
}

/// Longest part of a line that is shown, in characters.
const MAX_SHOWN: usize = 400;

/// One line: `file:line:column: error[code]: message (help)`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { line, column, .. } = self.span;
        let Self {
            severity,
            code,
            message,
            ..
        } = self;
        write!(
            f,
            "{}:{line}:{column}: {}[{code}]: {message}",
            self.file.path,
            severity.as_str()
        )?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only.
    Plain,
    /// With colours.
    Colour,
}

impl Style {
    /// Colours if the stream is a terminal and `NO_COLOR` is unset or empty
    /// (no-color.org).
    pub fn detect(is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> Self {
        if is_terminal && no_color.is_none_or(std::ffi::OsStr::is_empty) {
            Self::Colour
        } else {
            Self::Plain
        }
    }
}

/// All of them, drawn, with a count at the end.
pub fn render_all(diagnostics: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&diagnostic.render(style));
        out.push_str("\n\n");
    }
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let say = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors > 0 {
        out.push_str(&say(errors, "error"));
    }
    if warnings > 0 {
        out.push_str(if errors > 0 { ", " } else { "" });
        out.push_str(&say(warnings, "warning"));
    }
    out
}

#[cfg(test)]
#[path = "diagnostic_tests.rs"]
mod tests;
