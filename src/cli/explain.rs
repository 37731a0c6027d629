//! `assay explain`: every step and every rule, for one token, offline.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    base::{clock::Moment, outbound::HttpsClient, random::SystemRandom},
    evidence::TokenType,
    exchange::{Explanation, Question, Refusal, World, explain},
    keys::{Keyring, Source, Spec},
    model::{Reason, TargetName, TrustDomainName},
    policy::{FieldTrace, Mode},
};

use super::{
    Outcome,
    output::{Exit, Failure, Output},
    plan::{ConfigFile, clock, now, runtime},
};

/// Largest token file that is read, in bytes.
const MAX_TOKEN: u64 = 1 << 20;

/// Options of `assay explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The file with the token; `-` reads it from stdin
    #[arg(value_name = "TOKEN-FILE")]
    token: PathBuf,
    /// The target that is asked for; the only one by default
    #[arg(long)]
    target: Option<TargetName>,
    /// The scope that is asked for: a role, and namespace:access items
    #[arg(long)]
    scope: Option<String>,
    /// What the token is presented as
    #[arg(long, value_enum, default_value_t)]
    token_type: Type,
    /// When it is presented: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
    /// Fetch issuers' keys; without it, only keys from files are there
    #[arg(long)]
    fetch_keys: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Type {
    #[default]
    Jwt,
    IdToken,
}

fn moment(text: &str) -> Result<Moment, String> {
    Moment::parse(text).ok_or_else(|| "write a time such as 2026-11-24T12:00:00Z".to_owned())
}

impl Explain {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let plan = self.file.plan(output)?;
        let token = read(&self.token)?;
        let target = match (self.target, plan.targets()) {
            (Some(target), _) => target,
            (None, [only]) => only.name.clone(),
            (None, _) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "the plan has several targets: name one with --target",
                ));
            }
        };
        let keyring = Keyring::new(
            clock(),
            Arc::new(SystemRandom),
            Arc::new(HttpsClient::new()),
        );
        let fetch = self.fetch_keys;
        let answer = runtime()?.block_on(async {
            let handles = keyring.apply(&specs(&plan.key_specs(), fetch));
            if fetch {
                keyring.refresh_due().await;
            }
            let world = World {
                issuer: plan.broker().issuer.clone(),
                registry: plan.registry(&handles),
                policy: Arc::clone(plan.policy()),
                max_token: plan.broker().limits.token_bytes,
            };
            explain(
                &world,
                &Question {
                    token: token.trim_ascii(),
                    token_type: match self.token_type {
                        Type::Jwt => TokenType::Jwt,
                        Type::IdToken => TokenType::IdToken,
                    },
                    target,
                    scope: self.scope.as_deref(),
                    at: self.at.unwrap_or_else(now),
                },
            )
        });
        match output.is_json() {
            true => output.json(&as_json(&answer)),
            false => text(&answer, output),
        }
        if let Err(refusal) = &answer.outcome
            && refusal.reason == Reason::IssuerUnavailable
            && !fetch
        {
            output.note("the issuer's keys are not in a file: --fetch-keys gets them");
        }
        Ok(match answer.outcome {
            Ok(_) => Exit::Ok,
            Err(refusal) => exit(refusal.reason),
        })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let unreadable = |fault| Failure::new(Exit::Usage, format_args!("the token: {fault}"));
    if path == Path::new("-") {
        std::io::stdin()
            .take(MAX_TOKEN)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_TOKEN)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
    }
    Ok(text)
}

/// Without fetching, only what is in files: an offline command must not wait for
/// a network that is not there.
fn specs(all: &BTreeMap<TrustDomainName, Spec>, fetch: bool) -> BTreeMap<TrustDomainName, Spec> {
    let mut specs = all.clone();
    if !fetch {
        for spec in specs.values_mut() {
            if !matches!(spec.source, Source::File(_)) {
                // A file that is not there: the keys stay cold.
                spec.source = Source::File(PathBuf::from("/nonexistent/keys-are-not-fetched"));
            }
        }
    }
    specs
}

fn exit(reason: Reason) -> Exit {
    match reason {
        Reason::TokenExpired | Reason::TokenNotYetValid | Reason::TokenTooOld => Exit::Expired,
        reason if reason.class().is_temporary() => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

fn text(answer: &Explanation, output: &Output) {
    if let Some(domain) = &answer.trust_domain {
        output.text(format_args!("trust domain  {domain}"));
    }
    if let Some(identity) = &answer.identity {
        output.text(format_args!("identity      {identity}"));
        for attribute in answer.attributes.iter() {
            let value = crate::base::text::display(&attribute.value.to_string(), 200);
            let by = attribute.asserted_by.as_str();
            output.text(format_args!(
                "  {:22} {value}  (by the {by})",
                attribute.name
            ));
        }
    }
    output.text("steps");
    for step in &answer.steps {
        output.text(format_args!("  [{}] {}", mark(step.passed), step.name));
    }
    if !answer.trace.rules.is_empty() {
        output.text("rules");
    }
    answer
        .trace
        .forbid
        .iter()
        .for_each(|field| field_line(field, "forbidden", output));
    for rule in &answer.trace.rules {
        let observe = if rule.mode == Mode::Observe {
            ", observe only"
        } else {
            ""
        };
        output.text(format_args!(
            "  [{}] {} -> role {}{observe}  ({}:{})",
            mark(Some(rule.matched)),
            rule.rule,
            rule.role,
            rule.file,
            rule.line
        ));
        rule.fields
            .iter()
            .for_each(|field| field_line(field, "wanted", output));
    }
    match &answer.outcome {
        Ok(verdict) => {
            let permissions: Vec<_> = verdict
                .permissions
                .iter()
                .map(ToString::to_string)
                .collect();
            output.text(format_args!(
                "GRANTED by rule {}: role {}, {} for {}",
                verdict.rule,
                verdict.role,
                permissions.join(" "),
                verdict.ttl
            ));
        }
        Err(refusal) => refused(refusal, output),
    }
}

fn refused(refusal: &Refusal, output: &Output) {
    output.text(format_args!(
        "REFUSED {}: {}",
        refusal.reason,
        refusal.reason.description()
    ));
    let hint = &refusal.inside;
    let lines = [
        ("rule", &hint.rule),
        ("field", &hint.field),
        ("found", &hint.found),
        ("wanted", &hint.wanted),
        ("hint", &hint.hint),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            output.text(format_args!("  {name:7} {value}"));
        }
    }
    output.text(format_args!("  more    assay reason {}", refusal.reason));
}

fn field_line(field: &FieldTrace, wanted: &str, output: &Output) {
    let found = field.found.as_deref().unwrap_or("MISSING");
    let hint = field
        .hint
        .as_deref()
        .map(|hint| format!("  ({hint})"))
        .unwrap_or_default();
    output.text(format_args!(
        "      [{}] {:22} {wanted} {}, found {found}{hint}",
        mark(Some(field.matched)),
        field.field,
        field.wanted
    ));
}

fn mark(passed: Option<bool>) -> char {
    match passed {
        Some(true) => '+',
        Some(false) => '-',
        None => ' ',
    }
}

fn as_json(answer: &Explanation) -> serde_json::Value {
    let field = |field: &FieldTrace| {
        json!({
            "field": field.field, "found": field.found, "wanted": field.wanted,
            "asserted_by": field.asserted_by, "matched": field.matched, "hint": field.hint,
        })
    };
    let rules: Vec<_> = answer
        .trace
        .rules
        .iter()
        .map(|rule| {
            json!({
                "rule": rule.rule.as_str(), "file": &*rule.file, "line": rule.line,
                "mode": match rule.mode { Mode::Observe => "observe", Mode::Enforce => "enforce" },
                "role": rule.role.as_str(), "matched": rule.matched,
                "fields": rule.fields.iter().map(field).collect::<Vec<_>>(),
            })
        })
        .collect();
    let attributes: Vec<_> = answer
        .attributes
        .iter()
        .map(|attribute| {
            json!({
                "name": &*attribute.name, "value": attribute.value.to_string(),
                "asserted_by": attribute.asserted_by.as_str(),
            })
        })
        .collect();
    let steps: Vec<_> = answer
        .steps
        .iter()
        .map(|step| json!({ "step": step.name, "passed": step.passed }))
        .collect();
    let mut value = json!({
        "outcome": if answer.outcome.is_ok() { "granted" } else { "refused" },
        "trust_domain": answer.trust_domain.as_ref().map(|name| name.as_str()),
        "identity": answer.identity,
        "attributes": attributes,
        "steps": steps,
        "rules": rules,
        "forbid": answer.trace.forbid.iter().map(field).collect::<Vec<_>>(),
    });
    match &answer.outcome {
        Ok(verdict) => {
            let permissions: Vec<_> = verdict
                .permissions
                .iter()
                .map(ToString::to_string)
                .collect();
            value["rule"] = json!(verdict.rule);
            value["role"] = json!(verdict.role.as_str());
            value["permissions"] = json!(permissions);
            value["ttl_seconds"] = json!(verdict.ttl.as_secs());
        }
        Err(refusal) => {
            let hint = &refusal.inside;
            value["reason"] = json!(refusal.reason.code());
            value["mismatch"] = json!({
                "rule": hint.rule, "field": hint.field, "found": hint.found,
                "wanted": hint.wanted, "hint": hint.hint,
            });
        }
    }
    value
}
