//! What a person, a pipe and a script each see.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use crate::config::{
    Style,
    broker::{LogLevel, Telemetry},
};

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

/// What a colour says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    /// A heading.
    Strong,
    /// What is only there for completeness.
    Faint,
    /// It went well.
    Good,
    /// It did not.
    Bad,
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

    /// Prints data for people. A closed pipe is no fault: the command does its
    /// work and ends with its own exit code.
    pub(super) fn text(self, text: impl fmt::Display) {
        self.tell(text);
    }

    /// Prints one JSON value on a line.
    pub(super) fn json<T: Serialize>(self, value: &T) {
        if let Ok(text) = serde_json::to_string(value) {
            self.tell(text);
        }
    }

    /// Prints data; says whether anybody can read it, for a command that would
    /// go on for as long as somebody does.
    pub(super) fn tell(self, text: impl fmt::Display) -> bool {
        writeln!(io::stdout(), "{text}").is_ok()
    }

    /// Text in a colour, where colours are wanted.
    pub(super) fn paint(self, paint: Paint, text: impl fmt::Display) -> String {
        let code = match paint {
            Paint::Strong => 1,
            Paint::Faint => 2,
            Paint::Good => 32,
            Paint::Bad => 31,
        };
        match self.color {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
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

/// What to exit with when something of the ledger cannot be read or written.
pub(super) fn unreachable(fault: impl fmt::Display) -> Failure {
    Failure::new(Exit::Unreachable, fault)
}

fn wants_color() -> bool {
    // https://no-color.org: any non-empty value.
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Sends logs to stderr: as the command line or the environment says, else as
/// the broker's file says, else only what is wrong.
pub(super) fn logs(global: &Global, file: Option<Telemetry>) {
    let terminal = io::stderr().is_terminal();
    let json = match (global.log_format, file) {
        (Some(format), _) => format == Format::Json,
        (None, Some(file)) => file.json,
        (None, None) => !terminal,
    };
    let level = global
        .log_level
        .unwrap_or(match file.map(|file| file.level) {
            Some(LogLevel::Error) => tracing::Level::ERROR,
            Some(LogLevel::Warn) | None => tracing::Level::WARN,
            Some(LogLevel::Info) => tracing::Level::INFO,
            Some(LogLevel::Debug) => tracing::Level::DEBUG,
        });
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
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
