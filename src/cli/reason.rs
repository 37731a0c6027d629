//! `assay reason`: the page of a reason code.

use clap::Args;
use serde::Serialize;

use crate::model::Reason;

use super::{
    Outcome,
    output::{Exit, Failure, Output},
};

/// Options of `assay reason`.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The code, such as RULE_NO_MATCH; without one, all codes are listed
    code: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    code: &'static str,
    status: u16,
    error: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'static str>,
}

impl Show {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let Some(code) = self.code else {
            for reason in Reason::ALL {
                match output.is_json() {
                    true => output.json(&entry(*reason, false)),
                    false => output.text(format_args!(
                        "{:28} {} {}",
                        reason.code(),
                        reason.class().status(),
                        reason.description()
                    )),
                }
            }
            return Ok(Exit::Ok);
        };
        let reason = find(&code)?;
        match output.is_json() {
            true => output.json(&entry(reason, true)),
            false => output.text(reason.page().trim_end()),
        }
        Ok(Exit::Ok)
    }
}

fn entry(reason: Reason, whole: bool) -> Entry {
    Entry {
        code: reason.code(),
        status: reason.class().status(),
        error: reason.class().as_str(),
        description: reason.description(),
        page: whole.then(|| reason.page()),
    }
}

fn find(code: &str) -> Result<Reason, Failure> {
    let code = code.to_ascii_uppercase().replace('-', "_");
    code.parse().map_err(|_| {
        let nearest = Reason::ALL
            .iter()
            .max_by(|a, b| {
                let near = |r: &Reason| strsim::jaro_winkler(r.code(), &code);
                near(a).total_cmp(&near(b))
            })
            .map_or("", |reason| reason.code());
        Failure::new(
            Exit::Usage,
            format_args!(
                "no reason has this code: did you mean {nearest}? `assay reason` lists all"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_any_spelling_and_near_misses_are_suggested() {
        assert_eq!(find("rule-no-match").unwrap(), Reason::RuleNoMatch);
        let failure = find("RULE_NOMATCH").unwrap_err();
        assert!(
            failure.message.contains("RULE_NO_MATCH"),
            "{}",
            failure.message
        );
        assert_eq!(failure.exit, Exit::Usage);
    }
}
