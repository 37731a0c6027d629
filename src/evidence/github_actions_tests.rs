use super::*;
use crate::evidence::{
    Identity, Setting,
    testkit::{GITHUB, Token, check, domain, good, lines, object, preset, text, texts, try_domain},
};

fn verdict(changed: &[(&str, Setting)], token: &Token) -> Result<Identity, Rejection> {
    check(&domain("githubActions", changed), &token.sign())
}

fn refused(changed: &[(&str, Setting)], token: &Token) -> (Reason, Option<&'static str>) {
    let rejection = verdict(changed, token).unwrap_err();
    (rejection.reason, rejection.field)
}

fn attribute(token: &Token, name: &str) -> Option<String> {
    let identity = verdict(&[], token).unwrap();
    let found = attributes::text(identity.attributes(), name);
    found.map(str::to_owned)
}

fn job() -> Token {
    good("githubActions")
}

#[test]
fn a_job_is_known_by_its_ids_its_ref_and_its_files() {
    let identity = verdict(&[], &job()).unwrap();
    let mut found = lines(identity.attributes());
    found.sort();
    assert_eq!(
        found,
        [
            "actor=\"octo-dev\"",
            "actorId=\"9001\"",
            "environment=\"production\"",
            "events=\"push\"",
            "jobWorkflow=\"acme/ci/.github/workflows/worker.yml\"",
            "jobWorkflowRef=\"acme/ci/.github/workflows/worker.yml@refs/tags/v3\"",
            "organization=\"acme\"",
            "organizationId=\"123456\"",
            "ref=\"refs/heads/main\"",
            "refProtected=true",
            "repository=\"acme/worker\"",
            "repositoryId=\"456789\"",
            "runId=\"16543210987\"",
            "runner=\"github-hosted\"",
            "sha=\"7e3b1f0c2d4a5968778695a4b3c2d1e0f9e8d7c6\"",
            "visibility=\"private\"",
            "workflow=\".github/workflows/deploy.yml\"",
        ]
    );
    assert!(identity.trust_domain().single_use);
}

#[test]
fn who_vouches_for_what() {
    use crate::model::Asserter::{Admin, Caller, Issuer};
    let all = verdict(&[], &job()).unwrap();
    let by = |name: &str| all.attributes().get(name).unwrap().asserted_by;
    assert_eq!(by("repositoryId"), Issuer);
    assert_eq!(by("environment"), Admin);
    assert_eq!(
        (by("ref"), by("actor"), by("workflow")),
        (Caller, Caller, Caller)
    );
}

#[test]
fn an_organisation_is_its_id() {
    // `gha_recycled_name`: the same names, other ids.
    let stranger = job().with(&["repository_owner_id"], "999999");
    assert_eq!(
        refused(&[], &stranger),
        (Reason::TenantMismatch, Some("organizationId"))
    );
    for near in ["0123456", "12345", "1234567", "１２３４５６"] {
        let token = job().with(&["repository_owner_id"], near);
        assert!(verdict(&[], &token).is_err(), "{near}");
    }
    let token = job().with(&["repository_owner_id"], 123_456);
    assert_eq!(
        refused(&[], &token),
        (Reason::ClaimInvalid, Some("organizationId"))
    );
}

#[test]
fn a_name_that_is_configured_too_must_fit() {
    let named = |name: &str| [("organization", text(name))];
    assert!(verdict(&named("acme"), &job()).is_ok());
    // GitHub ignores the case of names.
    assert!(verdict(&named("Acme"), &job()).is_ok());
    assert_eq!(
        refused(&named("acme2"), &job()),
        (Reason::TenantMismatch, Some("organization"))
    );
}

#[test]
fn both_forms_of_sub_and_any_other_give_the_same_attributes() {
    let of = |sub: &str| {
        let token = job().with(&["sub"], sub);
        lines(verdict(&[], &token).unwrap().attributes())
    };
    let names = of("repo:acme/worker:ref:refs/heads/main");
    assert_eq!(
        names,
        of("repo:acme@123456/worker@456789:ref:refs/heads/main")
    );
    assert_eq!(names, of("repository_owner:acme"));
    assert_eq!(names, of("repo:evil/worker:environment:production"));
}

#[test]
fn c_27_dangerous_events_are_forbidden_unless_allowed_by_name() {
    let event = |name: &str| job().with(&["event_name"], name);
    for forbidden in ["pull_request_target", "workflow_run"] {
        assert_eq!(
            refused(&[], &event(forbidden)),
            (Reason::EventForbidden, Some("events")),
            "{forbidden}"
        );
    }
    for other in ["push", "pull_request", "merge_group", "schedule"] {
        assert!(verdict(&[], &event(other)).is_ok(), "{other}");
    }
    let forbid = |events: &[&str]| [("forbid", object(&[("events", texts(events))]))];
    assert!(verdict(&forbid(&[]), &event("pull_request_target")).is_ok());
    assert!(verdict(&forbid(&["push"]), &event("workflow_run")).is_ok());
    assert_eq!(
        refused(&forbid(&["push"]), &event("push")).0,
        Reason::EventForbidden
    );
}

#[test]
fn runs_that_may_hold_a_forks_code_can_be_forbidden() {
    let forks = |flag| [("forbid", object(&[("forks", Setting::Flag(flag))]))];
    let pull = job()
        .with(&["event_name"], "pull_request")
        .with(&["ref"], "refs/pull/17/merge");
    assert_eq!(
        refused(&forks(true), &pull),
        (Reason::EventForbidden, Some("events"))
    );
    // A comment on a pull request runs for its ref.
    let comment = pull.clone().with(&["event_name"], "push");
    assert_eq!(
        refused(&forks(true), &comment),
        (Reason::EventForbidden, Some("ref"))
    );
    assert!(verdict(&forks(true), &job()).is_ok());
    assert!(verdict(&forks(false), &pull).is_ok());
    // The dangerous ones stay forbidden beside it.
    let target = job().with(&["event_name"], "workflow_run");
    assert_eq!(refused(&forks(false), &target).0, Reason::EventForbidden);
}

#[test]
fn everything_that_strangers_can_cause_is_untrusted() {
    let (field, events) = PRESET.untrusted[0];
    assert_eq!(field, "events");
    for event in [
        "pull_request",
        "pull_request_target",
        "issue_comment",
        "workflow_run",
    ] {
        assert!(events.contains(&event), "{event}");
    }
    for event in ["push", "workflow_dispatch", "schedule", "merge_group"] {
        assert!(!events.contains(&event), "{event}");
    }
    assert!(events.is_sorted());
}

#[test]
fn a_deployed_commit_has_no_ref_but_a_workflow() {
    let sha = "7e3b1f0c2d4a5968778695a4b3c2d1e0f9e8d7c6";
    let token = job().with(&["ref"], "").with(
        &["workflow_ref"],
        format!("acme/worker/.github/workflows/deploy.yml@{sha}"),
    );
    assert_eq!(attribute(&token, "ref"), None);
    assert_eq!(
        attribute(&token, "workflow").as_deref(),
        Some(".github/workflows/deploy.yml")
    );
}

#[test]
fn a_workflow_is_a_file_of_this_repository_at_this_ref() {
    let workflow = |whole: &str, at: &str| {
        let token = job().with(&["workflow_ref"], whole).with(&["ref"], at);
        attribute(&token, "workflow")
    };
    let file = "acme/worker/.github/workflows/deploy.yml";
    let main = "refs/heads/main";
    let good = Some(".github/workflows/deploy.yml".to_owned());
    assert_eq!(workflow(&format!("{file}@{main}"), main), good);
    // Branches may hold `@`, and name another ref behind it.
    let odd = "refs/heads/dependabot/@types/node";
    assert_eq!(workflow(&format!("{file}@{odd}"), odd), good);
    let odd = "refs/heads/x@refs/heads/main";
    assert_eq!(workflow(&format!("{file}@{odd}"), odd), good);
    // A file whose name ends like a ref is that file and no other.
    assert_eq!(
        workflow(&format!("{file}@x.yml@{main}"), main).as_deref(),
        Some(".github/workflows/deploy.yml@x.yml")
    );
    // Another repository's, or another ref's.
    for other in [
        format!("acme/worker-evil/.github/workflows/deploy.yml@{main}"),
        format!("evil/worker/.github/workflows/deploy.yml@{main}"),
        format!("{file}@refs/heads/other"),
        format!("{file}@{main}2"),
        format!("{file}@{main}@x"),
        format!("{file}{main}"),
        file.to_owned(),
    ] {
        assert_eq!(workflow(&other, main), None, "{other}");
    }
    // The `workflow` claim is a title that anyone writes into the file.
    let token = job()
        .with(&["workflow"], ".github/workflows/deploy.yml")
        .without(&["workflow_ref"]);
    assert_eq!(attribute(&token, "workflow"), None);
}

#[test]
fn a_reusable_workflow_is_a_file_without_its_ref() {
    let job_workflow =
        |whole: &str| attribute(&job().with(&["job_workflow_ref"], whole), "jobWorkflow");
    let file = "acme/ci/.github/workflows/worker.yml";
    let good = Some(file.to_owned());
    assert_eq!(job_workflow(&format!("{file}@refs/tags/v3")), good);
    assert_eq!(job_workflow(&format!("{file}@refs/heads/main")), good);
    // Where the file ends cannot be told, so it is not told.
    assert_eq!(job_workflow(&format!("{file}@refs/heads/a@b")), None);
    assert_eq!(job_workflow(file), None);
}

#[test]
fn what_must_be_there_is_there_in_its_form() {
    for (claim, field) in [
        ("repository", "repository"),
        ("repository_id", "repositoryId"),
        ("repository_owner_id", "organizationId"),
        ("event_name", "events"),
        ("sha", "sha"),
    ] {
        let token = job().without(&[claim]);
        assert_eq!(
            refused(&[], &token),
            (Reason::ClaimMissing, Some(field)),
            "{claim}"
        );
        let token = job().with(&[claim], serde_json::json!(["x"]));
        assert_eq!(
            refused(&[], &token),
            (Reason::ClaimInvalid, Some(field)),
            "{claim}"
        );
    }
    let token = job().with(&["ref_protected"], true);
    assert_eq!(
        refused(&[], &token),
        (Reason::ClaimInvalid, Some("refProtected"))
    );
}

#[test]
fn issuers_of_enterprises_are_issuers_of_their_own() {
    let issuer = |key: &str, name: &str| {
        let domain = domain("githubActions", &[(key, text(name))]);
        match domain.source.selector() {
            Selector::Issuer(issuer) => issuer.to_string(),
            Selector::Spiffe(_) => unreachable!(),
        }
    };
    assert_eq!(
        issuer("enterpriseSlug", "acme-inc"),
        format!("{GITHUB}/acme-inc")
    );
    assert_eq!(
        issuer("gheSubdomain", "acme"),
        "https://token.actions.acme.ghe.com"
    );
    assert_eq!(
        issuer("ghesHost", "github.acme.example:8443"),
        "https://github.acme.example:8443/_services/token"
    );
    // `gha_enterprise_issuer`: only where it is configured.
    let token = job().with(&["iss"], format!("{GITHUB}/acme-inc"));
    assert_eq!(refused(&[], &token), (Reason::IssuerUnknown, Some("iss")));
    let enterprise = [("enterpriseSlug", text("acme-inc"))];
    assert!(verdict(&enterprise, &token).is_ok());
    assert_eq!(refused(&enterprise, &job()).0, Reason::IssuerUnknown);
}

#[test]
fn wrong_settings_are_problems() {
    let problem = |changed: &[(&str, Setting)]| {
        let problems = try_domain("t", "githubActions", changed).unwrap_err();
        problems[0].key.clone()
    };
    for id in ["acme", "", "-1", "12 3", "0x1"] {
        assert_eq!(problem(&[("organizationId", text(id))]), "organizationId");
    }
    for slug in ["a/b", "", "a.b", "a?b", "a@b", ".."] {
        assert_eq!(problem(&[("enterpriseSlug", text(slug))]), "enterpriseSlug");
        assert_eq!(problem(&[("gheSubdomain", text(slug))]), "gheSubdomain");
    }
    for host in ["a/b", "", "a.b/", "u@a.b", "A.b", "a.b."] {
        assert_eq!(problem(&[("ghesHost", text(host))]), "ghesHost", "{host}");
    }
    let two = [("enterpriseSlug", text("a")), ("ghesHost", text("b.test"))];
    assert_eq!(problem(&two), "ghesHost");
}

#[test]
fn the_organisation_is_pinned_and_the_repository_must_be() {
    let domain = domain("githubActions", &[]);
    assert_eq!(domain.source.pinned(), ["organizationId"]);
    assert_eq!(domain.source.must_pin(), preset("githubActions").must_pin);
    let required = |key: &&crate::model::shape::Key| key.name == "organizationId" && key.required;
    assert!(PRESET.settings.keys.iter().any(|key| required(&key)));
}
