//! `trust-domains/<name>.yaml`: one source of identity, its rules, their tests.

pub(in crate::config) mod fields;
mod keys;
pub mod shape;

use std::sync::Arc;

use super::{
    check,
    checked::{Checked, Fields, Report},
    diagnostic::{Code, Span},
    document::Document,
    yaml::{Node, Value},
};
use crate::{
    evidence::{self, PRESETS, Preset, SettingProblem, Settings},
    keys::Spec,
    model::{ConditionName, IssuerUrl, Reason, RoleName, RuleName, TrustDomainName},
    policy::{
        Condition, Demands, DomainPolicy, Expect, Explain, Forbid, Matcher, Mode, PolicyError,
        Role, Rule, Test, Vocabulary,
    },
};
use fields::Purpose;

/// What a trust domain's file comes to.
pub struct Parts {
    /// As evidence sees it.
    pub domain: Arc<evidence::TrustDomain>,
    /// Where its keys come from.
    pub keys: Spec,
    /// As policy sees it.
    pub policy: DomainPolicy,
    /// Where its source stands in the file.
    pub source_span: Span,
}

/// What a trust domain's file is judged against.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The broker's issuer; `None` if that is not in order.
    pub issuer: Option<&'a IssuerUrl>,
    /// Every role; `None` if some could not be read, so that an unknown name
    /// proves nothing.
    pub roles: Option<&'a [Role]>,
}

/// Reads a trust domain's document. Problems are put into its report; `None`
/// if one of them leaves no whole trust domain.
pub fn read(document: &mut Document, around: Around<'_>) -> Option<Parts> {
    let preset = choose_source(document);
    let spec = document.spec(preset.map_or_else(shape::any, shape::of))?;
    let report = &mut document.report;
    let name = document.name.parse::<TrustDomainName>().ok();
    // Without the broker's issuer there will be no plan; the source is built all
    // the same, so that what is said about its fields can be judged.
    let unknown = "https://issuer.invalid".parse::<IssuerUrl>().ok();
    let issuer = around.issuer.or(unknown.as_ref());
    let built = preset.zip(issuer).and_then(|(preset, issuer)| {
        let settings = spec.object(preset.name)?;
        // Nor does a name that is not in order, and was reported.
        let name = name.clone().or_else(|| "unnamed".parse().ok())?;
        Some((build(name, preset, settings, issuer, report)?, settings))
    });
    let domain = built.as_ref().map(|(domain, _)| domain);
    let reader = Reader {
        domain,
        around,
        file: report.file().path.as_str().into(),
    };
    let rules = reader.rules(&spec, report);
    let tests = reader.tests(&spec, report);
    let forbid = reader.forbid(&spec, report);
    let explain = match spec.text("explain") {
        Some("none") => Explain::None,
        Some("full") => Explain::Full,
        _ => Explain::Mismatch,
    };
    let file = Arc::clone(&reader.file);
    around.issuer?;
    let (domain, settings) = built?;
    let keys = keys::spec(&domain, settings, report)?;
    let source_span = spec.key_span(domain.preset.name);
    let policy = DomainPolicy {
        name: name?,
        demands: Demands::of(&domain.source),
        bind_to_evidence_life: spec.flag("boundLifetime").unwrap_or(false),
        explain,
        forbid,
        rules,
        tests,
        file,
        line: source_span.line,
    };
    Some(Parts {
        domain,
        keys,
        policy,
        source_span,
    })
}

/// The one source of a document. None or several are reported.
fn choose_source(document: &mut Document) -> Option<&'static Preset> {
    let spec = &document.root.get("spec")?.value;
    let Value::Map(entries) = &spec.value else {
        return None;
    };
    let mut chosen: Option<&'static Preset> = None;
    for entry in entries {
        let Some(preset) = PRESETS.iter().find(|p| p.name == entry.key) else {
            continue;
        };
        if let Some(first) = chosen {
            let message = format!("`{}` and `{}` are two sources", first.name, preset.name);
            let help = "write one file for each".to_owned();
            document
                .report
                .error(entry.key_span, Code::Conflict, message)
                .help = Some(help);
            return None;
        }
        chosen = Some(preset);
    }
    // A source that comes later is reported as such by the shape.
    let known = shape::any().keys.iter().map(|k| k.name);
    if chosen.is_none() && !entries.iter().any(|e| shape::is_reserved(&e.key)) {
        let names: Vec<_> = PRESETS.iter().map(|p| p.name).collect();
        let unknown = entries.iter().find(|e| !known.clone().any(|k| k == e.key));
        // A misspelt source is reported as an unknown key.
        if unknown.is_none() {
            let at = entries.first().map_or(spec.span, |e| e.key_span);
            let error =
                document
                    .report
                    .error(at, Code::MissingKey, "no source of identity is named");
            error.help = Some(format!("add one of: {}", names.join(", ")));
        }
    }
    chosen
}

fn build(
    name: TrustDomainName,
    preset: &'static Preset,
    given: &Fields,
    issuer: &IssuerUrl,
    report: &mut Report,
) -> Option<Arc<evidence::TrustDomain>> {
    let settings = Settings {
        values: given.to_settings(),
    };
    match evidence::TrustDomain::new(name, preset, &settings, issuer) {
        Ok(domain) => Some(domain),
        Err(problems) => {
            for SettingProblem { key, what, hint } in problems {
                // What the shape has already said is not said again.
                if shape_said(preset, given, &key) {
                    continue;
                }
                let message = if key.is_empty() {
                    what
                } else {
                    format!("`{key}`: {what}")
                };
                report
                    .error(setting_span(given, &key), Code::InvalidValue, message)
                    .help = hint;
            }
            None
        }
    }
}

/// Whether the setting was written and did not fit, or is missing and the
/// shape requires it.
fn shape_said(preset: &Preset, given: &Fields, key: &str) -> bool {
    let (outer, inner) = key
        .split_once('.')
        .map_or((key, None), |(outer, inner)| (outer, Some(inner)));
    let dropped = |fields: &Fields, key: &str| fields.written(key) && !fields.has(key);
    let required = preset
        .settings
        .keys
        .iter()
        .any(|k| k.required && k.name == outer);
    let inside = inner
        .zip(given.object(outer))
        .is_some_and(|(key, fields)| dropped(fields, key));
    dropped(given, outer) || inside || required && !given.written(outer)
}

/// Where a setting stands: its value, or the nearest key above it.
fn setting_span(given: &Fields, key: &str) -> Span {
    let (outer, inner) = key
        .split_once('.')
        .map_or((key, None), |(o, i)| (o, Some(i)));
    let inside = inner
        .zip(given.object(outer))
        .and_then(|(key, fields)| fields.get(key));
    inside
        .or_else(|| given.get(outer))
        .map_or_else(|| given.key_span(outer), |c| c.span)
}

/// What the rules and tests of one file are read with.
struct Reader<'a> {
    domain: Option<&'a Arc<evidence::TrustDomain>>,
    around: Around<'a>,
    file: Arc<str>,
}

impl Reader<'_> {
    fn rules(&self, spec: &Fields, report: &mut Report) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        for item in spec.list("rules") {
            let Some(fields) = item.as_object() else {
                continue;
            };
            let Some(rule) = self.rule(fields, report) else {
                continue;
            };
            if let Some(first) = rules.iter().find(|r| r.name == rule.name) {
                let message = format!("two rules are called `{}`", rule.name);
                let help = format!(
                    "the first is on line {}; give this one another name",
                    first.line
                );
                let at = fields.get("name").map_or(item.span, |n| n.span);
                report.error(at, Code::Conflict, message).help = Some(help);
            } else {
                rules.push(rule);
            }
        }
        rules
    }

    fn rule(&self, fields: &Fields, report: &mut Report) -> Option<Rule> {
        let name: Option<RuleName> = fields.parse("name", report);
        let matchers = self.matchers(fields, report);
        let when: Vec<_> = fields
            .list("when")
            .iter()
            .filter_map(|c| self.condition(c.as_object()?, report))
            .collect();
        let grant = fields.object("grant")?;
        let role = self.role(grant, report);
        let ttl = grant.parse("ttl", report);
        let only = grant
            .has("only")
            .then(|| super::broker::namespaces(grant, "only", report));
        let name = name?;
        Some(Rule {
            line: fields.key_span("name").line,
            name,
            mode: match fields.text("mode") {
                Some("observe") => Mode::Observe,
                _ => Mode::Enforce,
            },
            matchers: matchers?,
            when,
            role: role?,
            ttl,
            only,
            file: Arc::clone(&self.file),
        })
    }

    fn matchers(&self, rule: &Fields, report: &mut Report) -> Option<Vec<Matcher>> {
        let node = rule.later("match")?;
        if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
            let message = "a rule that matches no field matches everyone";
            let help = "name at least the fields that say who it is".to_owned();
            report
                .error(rule.key_span("match"), Code::Unsafe, message)
                .help = Some(help);
            return None;
        }
        let mut all = Vec::new();
        for written in fields::read(node, &self.domain?.source, Purpose::Pattern, report) {
            match Matcher::from_setting(&written.spec, &written.setting) {
                Ok(matcher) => all.push(matcher),
                Err(error) => bad_value(&written.entry.value, &error, report),
            }
        }
        Some(all)
    }

    fn forbid(&self, spec: &Fields, report: &mut Report) -> Vec<Forbid> {
        let Some((node, domain)) = spec.later("forbid").zip(self.domain) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for written in fields::read(node, &domain.source, Purpose::Pattern, report) {
            match Matcher::from_setting(&written.spec, &written.setting) {
                Ok(matcher) => all.push(Forbid {
                    matcher,
                    line: written.entry.key_span.line,
                }),
                Err(error) => bad_value(&written.entry.value, &error, report),
            }
        }
        all
    }

    fn condition(&self, fields: &Fields, report: &mut Report) -> Option<Condition> {
        let name: ConditionName = fields.parse("name", report)?;
        let cel = fields.get("cel")?;
        let source = &self.domain?.source;
        let names: Vec<_> = fields::names(source).collect();
        let vocabulary = Vocabulary {
            field: &|name| source.field(name),
            names: &names,
        };
        match Condition::compile(name, cel.as_text()?, &vocabulary) {
            Ok(condition) => Some(condition),
            Err(error) => {
                report.error(cel.span, Code::InvalidValue, error.to_string());
                None
            }
        }
    }

    /// The role that is named, if there is one of that name.
    fn role(&self, fields: &Fields, report: &mut Report) -> Option<RoleName> {
        let given = fields.get("role")?;
        let name: RoleName = given.parse(report)?;
        if let Some(roles) = self.around.roles
            && !roles.iter().any(|r| r.name == name)
        {
            let names = || roles.iter().map(|r| r.name.as_str());
            let error = report.error(
                given.span,
                Code::InvalidValue,
                format!("no role is called `{name}`"),
            );
            error.help =
                check::nearest(name.as_str(), names()).map(|n| format!("did you mean `{n}`?"));
            error.note = Some(match names().collect::<Vec<_>>().as_slice() {
                [] => "there is no Roles file with a role".to_owned(),
                names => format!("roles: {}", names.join(", ")),
            });
            return None;
        }
        Some(name)
    }

    fn tests(&self, spec: &Fields, report: &mut Report) -> Vec<Test> {
        let tests = spec.list("tests").iter();
        tests.filter_map(|item| self.test(item, report)).collect()
    }

    fn test(&self, item: &Checked, report: &mut Report) -> Option<Test> {
        let fields = item.as_object()?;
        let node = match (fields.written("allow"), fields.written("deny")) {
            (true, false) => fields.later("allow"),
            (false, true) => fields.later("deny"),
            // A misspelt key was reported as one.
            (false, false) if fields.keys.len() > fields.all.len() => None,
            (both, _) => {
                let (message, code) = match both {
                    true => ("a test is either `allow` or `deny`", Code::Conflict),
                    false => ("a test begins with `allow` or `deny`", Code::MissingKey),
                };
                report.error(fields.first_span(), code, message);
                None
            }
        };
        let allow = fields.written("allow");
        for key in ["reason", "field"]
            .into_iter()
            .filter(|key| allow && fields.written(key))
        {
            let message = format!("`{key}` belongs to `deny`: a grant has none");
            report.error(fields.key_span(key), Code::Conflict, message);
        }
        let ask_role = self.role(fields, report);
        self.check_target(fields, ask_role.as_ref(), report);
        let reason = reason(fields, report);
        let field = self.mismatch_field(fields, report);
        let given = fields::given(node?, &self.domain?.source, report);
        Some(Test {
            line: item.span.line,
            given,
            ask_role,
            expect: match allow {
                true => Expect::Allow,
                false => Expect::Deny { reason, field },
            },
        })
    }

    /// A test's target is that of its role; naming another is a slip.
    fn check_target(&self, fields: &Fields, role: Option<&RoleName>, report: &mut Report) {
        let Some(given) = fields.get("target") else {
            return;
        };
        let named = role.and_then(|name| self.around.roles?.iter().find(|r| r.name == *name));
        match named {
            Some(role) if given.as_text() != Some(role.target.as_str()) => {
                let message = format!(
                    "the role `{}` is on the target `{}`",
                    role.name, role.target
                );
                report.error(given.span, Code::Conflict, message);
            }
            None if !fields.written("role") => {
                let help = "add `role`, or leave `target` out".to_owned();
                let message = "`target` says nothing without `role`";
                report
                    .error(fields.key_span("target"), Code::MissingKey, message)
                    .help = Some(help);
            }
            _ => {}
        }
    }

    /// What a refusal is expected to be about. It may be a field, a condition
    /// (`when.NAME`) or a claim that evidence refuses; only a slip of the pen is
    /// refused.
    fn mismatch_field(&self, fields: &Fields, report: &mut Report) -> Option<String> {
        let given = fields.get("field")?;
        let name = given.as_text()?;
        let source = &self.domain?.source;
        if let Some(spec) = source.field(name) {
            return Some(spec.name.to_string());
        }
        let slip = check::nearest(name, fields::names(source)).is_some();
        if slip && !CLAIMS.contains(&name) && !name.starts_with("when.") {
            fields::unknown(name, given.span, source, report);
            return None;
        }
        Some(name.to_owned())
    }
}

/// Claims that a refusal of the evidence can be about.
const CLAIMS: &[&str] = &["iss", "sub", "aud", "exp", "iat", "nbf", "jti"];

fn reason(fields: &Fields, report: &mut Report) -> Option<Reason> {
    let given = fields.get("reason")?;
    let code = given.as_text()?;
    let found = code.parse::<Reason>().ok();
    if found.is_none() {
        let codes = || Reason::ALL.iter().map(|r| r.code());
        let message = format!(
            "no reason is called `{}`",
            crate::base::text::display(code, 64)
        );
        let error = report.error(given.span, Code::InvalidValue, message);
        error.help = check::nearest(code, codes()).map(|c| format!("did you mean `{c}`?"));
    }
    found
}

fn bad_value(node: &Node, error: &PolicyError, report: &mut Report) {
    report.error(node.span, Code::InvalidValue, error.to_string());
}
