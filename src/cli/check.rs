//! `assay check` and `assay test`: would this plan load?

use clap::Args;
use serde::Serialize;

use crate::config::{Code, Diagnostic, Plan, Severity};

use super::{
    Outcome,
    output::{Exit, Output},
    plan::ConfigFile,
};

/// Options of `assay check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
}

/// Options of `assay test`.
#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Serialize)]
struct Summary<'a> {
    digest: &'a str,
    trust_domains: usize,
    rules: usize,
    targets: usize,
    tests: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    trust_domain: &'a str,
    file: &'a str,
    line: u32,
    passed: bool,
    what: &'a str,
}

impl Check {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let plan = match Plan::load(&self.file.config) {
            Ok(plan) => plan,
            Err(found) => return Ok(report(&found, output)),
        };
        show(plan.warnings(), output);
        // The key-encryption key is no part of the plan, but a plan without it
        // would not start.
        if let Err(fault) = plan.broker().key_encryption.resolve() {
            let message = format_args!("keyEncryption.key: {fault}");
            output.note(format_args!("error: {message}"));
            return Ok(Exit::Config);
        }
        let summary = Summary {
            digest: plan.digest(),
            trust_domains: plan.domains().len(),
            rules: plan
                .policy()
                .domains()
                .iter()
                .map(|domain| domain.rules.len())
                .sum(),
            targets: plan.targets().len(),
            tests: plan.tests().len(),
        };
        if output.is_json() {
            output.json(&summary);
        } else {
            output.text(format_args!(
                "ok: {} trust domains, {} rules, {} targets; {} tests passed (plan {})",
                summary.trust_domains,
                summary.rules,
                summary.targets,
                summary.tests,
                &summary.digest[..12.min(summary.digest.len())],
            ));
        }
        Ok(Exit::Ok)
    }
}

impl Test {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let plan = match Plan::load(&self.file.config) {
            Ok(plan) => plan,
            Err(found) => return Ok(report(&found, output)),
        };
        for test in plan.tests() {
            let row = Row {
                trust_domain: test.domain.as_str(),
                file: &test.file,
                line: test.line,
                passed: test.passed,
                what: &test.what,
            };
            match output.is_json() {
                true => output.json(&row),
                false => output.text(format_args!("ok  {}:{}  {}", row.file, row.line, row.what)),
            }
        }
        if !output.is_json() {
            output.text(format_args!("{} tests passed", plan.tests().len()));
        }
        Ok(Exit::Ok)
    }
}

/// Shows what is wrong, and says what to exit with.
pub(super) fn report(found: &[Diagnostic], output: &Output) -> Exit {
    show(found, output);
    let errors: Vec<_> = found
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    if !output.is_json() {
        let problems = if errors.len() == 1 {
            "problem"
        } else {
            "problems"
        };
        output.note(format_args!(
            "{} {problems}; this plan does not load",
            errors.len()
        ));
    }
    match errors
        .iter()
        .all(|problem| problem.code == Code::TestFailed)
    {
        true => Exit::Tests,
        false => Exit::Config,
    }
}

/// Diagnostics are data of these commands in JSON, and words in text.
fn show(found: &[Diagnostic], output: &Output) {
    for problem in found {
        match output.is_json() {
            true => output.json(&problem.to_json()),
            false => output.note(problem.render(output.style())),
        }
    }
}
