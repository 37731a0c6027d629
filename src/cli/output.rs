//! What a person, a pipe and a script each see.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use crate::config::Style;

use super::Global;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// When text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The exit codes, stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Something else failed.
    Failure,
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    Config,
    /// The token would be, or was, refused: trying again does not help.
    Refused,
    /// Something could not be reached or written: trying again may help.
    Unreachable,
    /// The token has expired, or a clock is wrong.
    Expired,
    /// Policy tests failed.
    Tests,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Config => 10,
            Exit::Refused => 12,
            Exit::Unreachable => 13,
            Exit::Expired => 14,
            Exit::Tests => 16,
        })
    }
}

/// A command that could not do its work: what to exit with, and what to say.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

/// stdout and stderr, as this run wants them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    format: Format,
    color: bool,
}

impl Output {
    pub(super) fn new(format: Format, color: Color) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => wants_color() && io::stdout().is_terminal(),
        };
        Self { format, color }
    }

    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// How diagnostics are drawn.
    pub(super) fn style(self) -> Style {
        match self.color {
            true => Style::Colour,
            false => Style::Plain,
        }
    }

    /// Prints data for people. A closed pipe ends the output quietly, as every
    /// Unix tool does.
    pub(super) fn text(self, text: impl fmt::Display) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Prints one JSON value on a line.
    pub(super) fn json<T: Serialize>(self, value: &T) {
        if let Ok(text) = serde_json::to_string(value) {
            self.text(text);
        }
    }

    /// Says something to a person who may be watching; never data.
    pub(super) fn note(self, text: impl fmt::Display) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Reports a failure and gives the exit code.
    pub(super) fn failed(self, failure: &Failure) -> Exit {
        self.note(format_args!("error: {}", failure.message));
        failure.exit
    }
}

fn wants_color() -> bool {
    // https://no-color.org: any non-empty value.
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Sends logs to stderr.
pub(super) fn logs(global: &Global) {
    let terminal = io::stderr().is_terminal();
    let json = match global.log_format {
        Some(format) => format == Format::Json,
        None => !terminal,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(global.log_level)
        .with_target(false)
        .with_ansi(terminal && wants_color())
        .with_writer(io::stderr);
    // A second initialisation (a test in this process) keeps the first.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}
