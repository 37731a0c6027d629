//! A GitHub organisation's Actions.
//!
//! The issuer is shared by all of GitHub, so the organisation's id is pinned
//! here and a repository's id in the rules: names come free and are taken by
//! strangers. `sub` is customisable and made of names, and is never read.

use crate::{
    jose::{Algorithm, KeyUse},
    model::{
        Attributes, FieldKind, IssuerUrl, Json, Reason, Ttl, Value,
        shape::{Form, Kind, Object},
    },
};

use super::{
    Outline, Preset, Profile, Rejection, Selector, SettingProblem, Settings, Source, Tenant,
    attributes::{self, vocabulary},
    preset::{self, optional, required, settings},
    settings::Reader,
};

/// The preset `githubActions`.
pub static PRESET: Preset = Preset {
    name: "githubActions",
    settings: settings! { "A GitHub organisation, whose workflow jobs show their ID tokens.":
        required("organizationId", "The organisation's id, in digits: it outlives renames.", FREE),
        optional("organization", "The organisation's name, which must then fit the id.", FREE),
        optional("enterpriseSlug", "The slug of the enterprise, if it has an issuer of its own.", FREE),
        optional("gheSubdomain", "The subdomain of ghe.com, with data residency.", FREE),
        optional("ghesHost", "The host of a GitHub Enterprise Server.", FREE),
        optional("forbid", "What is refused whatever the rules say.", FORBID),
        preset::KEYS,
    },
    fields: FIELDS,
    must_pin: &[
        &["repositoryId"],
        &["organizationId", "environment"],
        &["organizationId", "jobWorkflowRef"],
    ],
    untrusted: &[("events", UNTRUSTED)],
    algorithms: &[Algorithm::Rs256],
    key_use: KeyUse::Signature,
    max_lifetime: Ttl::secs(15 * 60),
    max_age: Some(Ttl::secs(10 * 60)),
    single_use: true,
    build,
};

static PROFILE: Profile = Profile {
    token_id_required: true,
    aliases: &[("event", "events")],
    ..Profile::OIDC
};

const FREE: Kind = Kind::Text(Form::Free);
const FORBID: Kind = Kind::Object(&Object {
    doc: "What is refused whatever the rules say.",
    keys: &[
        optional(
            "events",
            "Events that are refused. Default: pull_request_target and workflow_run, which run with the repository's rights on what strangers sent.",
            Kind::Texts(Form::Free),
        ),
        optional(
            "forks",
            "Whether runs for pull requests are refused: no token tells whether the code is from a fork. Default: false.",
            Kind::Flag,
        ),
    ],
});
const FORBIDDEN: &[&str] = &["pull_request_target", "workflow_run"];

/// Events that people without write access can cause.
const UNTRUSTED: &[&str] = &[
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "watch",
    "workflow_run",
];

const EXACT: FieldKind = FieldKind::Exact;
const FLAG: FieldKind = FieldKind::Flag;
const PATH: FieldKind = FieldKind::Segments(&['/']);
const AT_REF: FieldKind = FieldKind::Segments(&['/', '@']);

vocabulary! {
    "repository"     PATH   Issuer, Required Text   ["repository"],            "The repository, as `owner/name`.";
    "repositoryId"   EXACT  Issuer, Required Digits ["repository_id"],         "The repository's id, which outlives renames.";
    "organization"   EXACT  Issuer, Required Text   ["repository_owner"],      "The repository's owner.";
    "organizationId" EXACT  Issuer, Required Digits ["repository_owner_id"],   "The owner's id, which outlives renames.";
    "enterpriseId"   EXACT  Issuer, Optional Digits ["enterprise_id"],         "The id of the owner's enterprise.";
    "ref"            PATH   Caller, Optional Text   ["ref"],                   "The git ref of the run, such as `refs/heads/main`; none if a commit is deployed.";
    "refProtected"   FLAG   Admin,  Optional Word   ["ref_protected"],         "Whether that ref is protected.";
    "sha"            EXACT  Caller, Required Text   ["sha"],                   "The commit of the run.";
    "environment"    PATH   Admin,  Optional Text   ["environment"],           "The deployment environment of the job.";
    "workflow"       PATH   Caller, Derived  Text   ["workflow_ref"],          "The path of the workflow file in the repository.";
    "jobWorkflow"    PATH   Caller, Derived  Text   ["job_workflow_ref"],      "The file that defines the job, as `owner/name/path`.";
    "jobWorkflowRef" AT_REF Admin,  Optional Text   ["job_workflow_ref"],      "The file that defines the job and its ref, as `owner/name/path@ref`.";
    "events"         EXACT  Issuer, Required Text   ["event_name"],            "The event that caused the run.";
    "visibility"     EXACT  Admin,  Optional Text   ["repository_visibility"], "The repository's: `public`, `private` or `internal`.";
    "runner"         EXACT  Issuer, Optional Text   ["runner_environment"],    "Whose machine runs the job: `github-hosted` or `self-hosted`.";
    "actor"          EXACT  Caller, Optional Text   ["actor"],                 "Who caused the run.";
    "actorId"        EXACT  Caller, Optional Digits ["actor_id"],              "The id of who caused the run.";
    "runId"          EXACT  Issuer, Optional Digits ["run_id"],                "The id of the run.";
}

/// A configured organisation.
#[derive(Clone, Debug)]
pub struct GithubActions {
    pub(super) outline: Outline,
    organization_id: String,
    organization: Option<String>,
    forbidden_events: Vec<String>,
    forbid_pull_requests: bool,
}

fn build(settings: &Settings) -> Result<Source, Vec<SettingProblem>> {
    let mut reader = Reader::new(settings);
    let issuer = issuer(&mut reader);
    let organization_id: Option<String> = reader.required("organizationId");
    let organization = reader.text("organization").map(str::to_owned);
    if let Some(id) = &organization_id
        && (id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()))
    {
        reader.problem(
            SettingProblem::new("organizationId", "an organisation's id is made of digits")
                .hint("`gh api orgs/NAME --jq .id` prints it"),
        );
    }
    let forbidden_events = reader
        .texts("forbid.events")
        .unwrap_or_else(|| FORBIDDEN.iter().map(|&event| event.to_owned()).collect());
    let forbid_pull_requests = reader.flag("forbid.forks").unwrap_or(false);
    reader.finish(
        issuer
            .zip(organization_id)
            .map(|(issuer, organization_id)| {
                let mut outline = Outline::new(&PRESET, &PROFILE, Selector::Issuer(issuer));
                outline.pinned.push("organizationId");
                outline.tenant = Some(Tenant {
                    claim: "repository_owner_id",
                    id: organization_id.clone(),
                });
                Source::GithubActions(GithubActions {
                    outline,
                    organization_id,
                    organization,
                    forbidden_events,
                    forbid_pull_requests,
                })
            }),
    )
}

fn issuer(reader: &mut Reader<'_>) -> Option<IssuerUrl> {
    const OF: [(&str, &str, &str); 3] = [
        (
            "enterpriseSlug",
            "https://token.actions.githubusercontent.com/",
            "",
        ),
        ("gheSubdomain", "https://token.actions.", ".ghe.com"),
        ("ghesHost", "https://", "/_services/token"),
    ];
    let mut given = OF
        .iter()
        .filter_map(|(key, before, after)| Some((*key, reader.text(key)?, before, after)));
    let Some((key, name, before, after)) = given.next() else {
        return "https://token.actions.githubusercontent.com".parse().ok();
    };
    if let Some((other, ..)) = given.next() {
        reader.problem(SettingProblem::new(
            other,
            format!("there is one issuer, and `{key}` already names it"),
        ));
    }
    let plain = |b: u8| {
        b.is_ascii_alphanumeric() || b == b'-' || (key == "ghesHost" && matches!(b, b'.' | b':'))
    };
    let issuer = format!("{before}{name}{after}").parse().ok();
    if issuer.is_none() || name.is_empty() || !name.bytes().all(plain) {
        reader.problem(SettingProblem::new(
            key,
            "letters, digits and `-` are expected, and for a host also `.` and a port",
        ));
    }
    issuer
}

impl GithubActions {
    pub(super) fn read(&self, claims: &Json) -> Result<Attributes, Rejection> {
        let mut all = attributes::read(claims, CLAIMS, FIELDS)?;
        let text = |name: &str| {
            claims
                .get(name)
                .and_then(Json::as_text)
                .filter(|t| !t.is_empty())
        };
        // A deployment of a commit has no ref; its workflow is then at the commit.
        let known = [text("ref"), text("workflow_sha"), text("sha")];
        let workflow = text("workflow_ref")
            .and_then(|whole| without_ref(whole, &known))
            .and_then(|path| path.strip_prefix(text("repository")?)?.strip_prefix('/'));
        // The ref of a reusable workflow is its own.
        let job_workflow = text("job_workflow_ref").and_then(|whole| {
            let sole = whole.split_once('@').filter(|(_, at)| !at.contains('@'));
            without_ref(whole, &known).or(sole.map(|(path, _)| path))
        });
        for (name, path) in [("workflow", workflow), ("jobWorkflow", job_workflow)] {
            if let Some(path) = path {
                attributes::set(&mut all, FIELDS, name, Value::Text(path.into()));
            }
        }
        Ok(all)
    }

    pub(super) fn admits(&self, attributes: &Attributes) -> Result<(), Rejection> {
        let text = |name| attributes::text(attributes, name).unwrap_or_default();
        let tenant = |field, wanted: &str| {
            Err(Rejection::new(Reason::TenantMismatch, field)
                .found(text(field))
                .wanted(wanted))
        };
        if text("organizationId") != self.organization_id {
            return tenant("organizationId", &self.organization_id);
        }
        if let Some(name) = &self.organization
            && !name.eq_ignore_ascii_case(text("organization"))
        {
            return tenant("organization", name);
        }
        let event = text("events");
        let forbidden = |field, wanted: String| {
            Err(Rejection::new(Reason::EventForbidden, field)
                .found(text(field))
                .wanted(wanted))
        };
        if self.forbidden_events.iter().any(|f| f == event) {
            return forbidden(
                "events",
                format!("none of {}", self.forbidden_events.join(", ")),
            );
        }
        if self.forbid_pull_requests && event.starts_with("pull_request") {
            return forbidden("events", "no run for a pull request".to_owned());
        }
        if self.forbid_pull_requests && text("ref").starts_with("refs/pull/") {
            return forbidden("ref", "no run for a pull request".to_owned());
        }
        Ok(())
    }

    /// What the trust domain pins is supposed unless a test says otherwise.
    pub(super) fn suppose(&self, all: &mut Attributes) -> String {
        let pinned = [
            ("organizationId", Some(&self.organization_id)),
            ("organization", self.organization.as_ref()),
        ];
        for (name, value) in pinned {
            if let Some(value) = value.filter(|_| all.get(name).is_none()) {
                attributes::set(all, FIELDS, name, Value::Text(value.as_str().into()));
            }
        }
        let part = |name| attributes::text(all, name).unwrap_or_default();
        format!("repo:{}:ref:{}", part("repository"), part("ref"))
    }
}

/// The path of a workflow, without a ref that is known: both a path and a ref
/// may contain `@`, so that no way of splitting at one is right.
fn without_ref<'w>(whole: &'w str, known: &[Option<&str>]) -> Option<&'w str> {
    known
        .iter()
        .flatten()
        .find_map(|at| whole.strip_suffix(at)?.strip_suffix('@'))
}

#[cfg(test)]
#[path = "github_actions_tests.rs"]
mod tests;
