//! The commands, one file each.
//!
//! Data goes to stdout, words for people to stderr; `-o json` makes the data
//! JSON with a stable shape. Exit codes are those of `Exit`, so that a script
//! can tell "do not retry" from "retry".

mod audit;
mod check;
mod dev;
mod documents;
mod explain;
mod keys;
mod kill_switch;
mod output;
mod plan;
mod reason;
mod schema;
mod serve;

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use output::{Exit, Format};
use output::{Failure, Output};

/// Workload identity federation and token exchange for Temporal.
#[derive(Debug, Parser)]
#[command(name = "assay", version, about, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
struct Global {
    /// How data is printed on stdout
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Format,
    /// How much is logged on stderr: error, warn, info, debug or trace. By default warn; for `serve`, what the file says
    #[arg(long, global = true, env = "ASSAY_LOG_LEVEL")]
    log_level: Option<tracing::Level>,
    /// How logs are written. By default text on a terminal and json elsewhere; for `serve`, what the file says
    #[arg(long, global = true, value_enum, env = "ASSAY_LOG_FORMAT")]
    log_format: Option<Format>,
    /// When text is coloured
    #[arg(long, global = true, value_enum, default_value_t)]
    color: output::Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker
    Serve(serve::Serve),
    /// Run everything on this machine, with throw-away identities, to try it out
    Dev(dev::Dev),
    /// Check the configuration and run its tests: exit 0 only if it would load
    Check(check::Check),
    /// Run the tests in the trust domains' files
    Test(check::Test),
    /// Say what would happen to a token, step by step, without issuing anything
    Explain(explain::Explain),
    /// List, rotate and retire signing keys
    Keys(keys::Keys),
    /// Read and verify the audit
    Audit(audit::Audit),
    /// Stop an issuer, trust domain, rule, subject or target at once
    KillSwitch(kill_switch::KillSwitch),
    /// Explain a reason code
    Reason(reason::Show),
    /// Print the JSON Schema of a document kind
    Schema(schema::Schema),
    /// Print the version
    Version(documents::Version),
    /// Print shell completions
    Completions(documents::Completions),
    /// Write manual pages
    Man(documents::Man),
}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs the program with these arguments.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout.
            let usage = error.use_stderr();
            let _ = error.print();
            return if usage { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let output = Output::new(cli.global.output, cli.global.color);
    if !matches!(cli.command, Command::Serve(_)) {
        output::logs(&cli.global, None);
    }
    let outcome = match cli.command {
        Command::Serve(command) => command.run(&output, &cli.global),
        Command::Dev(command) => command.run(&output),
        Command::Check(command) => command.run(&output),
        Command::Test(command) => command.run(&output),
        Command::Explain(command) => command.run(&output),
        Command::Keys(command) => command.run(&output),
        Command::Audit(command) => command.run(&output),
        Command::KillSwitch(command) => command.run(&output),
        Command::Reason(command) => command.run(&output),
        Command::Schema(command) => command.run(&output),
        Command::Version(command) => command.run(&output),
        Command::Completions(command) => command.run(&output, Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => output.failed(&failure).into(),
    }
}

/// What a command ends with.
type Outcome = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }
}
