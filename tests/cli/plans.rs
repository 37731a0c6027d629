//! `check`, `test` and `explain`: all that can be known without a broker.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Folder, members,
    support::{
        fake_issuer::FakeIssuer,
        process::{self, Ran, now, path},
        tokens::Token,
    },
};

#[test]
fn check_says_what_a_good_plan_holds() {
    let folder = Folder::new();
    let ran = folder.run(&["check"]).exits(0);
    assert!(
        ran.stdout
            .starts_with("ok: 1 trust domains, 2 rules, 2 targets; 2 tests passed"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr, "");
    let summary = folder.json(&["check"]).exits(0).json();
    assert_eq!(
        members(&summary),
        ["digest", "rules", "targets", "tests", "trust_domains"]
    );
    assert_eq!(summary["rules"], 2);
}

#[test]
fn check_says_everything_that_is_wrong_at_once() {
    let folder = Folder::new();
    folder.change("trust-domains/ci.yaml", "name: worker", "nmae: worker");
    folder.change(
        "trust-domains/roles.yaml",
        "maxTtl: 10m",
        "maxTtl: tomorrow",
    );
    folder.change("assay.yaml", "  drain:", "  drian:");
    let ran = folder.run(&["check"]).exits(10);
    assert_eq!(ran.stdout, "", "words for people are on stderr");
    for word in [
        "`nmae`",
        "`name`",
        "tomorrow",
        "`drian`",
        "`drain`",
        "ci.yaml",
        "roles.yaml",
        "assay.yaml",
    ] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert!(
        !ran.stderr.contains('\u{1b}'),
        "no colours outside a terminal"
    );
    let painted = folder.run(&["check", "--color", "always"]).exits(10);
    assert!(painted.stderr.contains('\u{1b}'));

    let ran = folder.json(&["check"]).exits(10);
    let problems = ran.lines();
    assert!(problems.len() >= 3, "{problems:?}");
    for problem in &problems {
        assert_eq!(
            members(problem),
            [
                "code",
                "column",
                "endColumn",
                "endLine",
                "file",
                "help",
                "line",
                "message",
                "note",
                "severity"
            ],
        );
        assert!(problem["line"].as_u64().unwrap() > 0, "{problem}");
    }
    let unknown: Vec<_> = problems
        .iter()
        .filter(|problem| problem["code"] == "unknown-key")
        .collect();
    assert_eq!(unknown.len(), 2, "{problems:?}");
}

#[test]
fn a_configuration_that_is_not_there_is_a_wrong_one() {
    let ran = process::run(["check", "--config", "/nowhere/assay.yaml"]).exits(10);
    assert!(ran.stderr.contains("/nowhere/assay.yaml"), "{ran:?}");
    let folder = Folder::new();
    std::fs::remove_file(path(&folder.files, "kek")).unwrap();
    let ran = folder.run(&["check"]).exits(10);
    assert!(ran.stderr.contains("keyEncryption.key"), "{ran:?}");
}

#[test]
fn tests_of_a_policy_have_an_exit_code_of_their_own() {
    let folder = Folder::new();
    let ran = folder.run(&["test"]).exits(0);
    assert!(ran.stdout.ends_with("2 tests passed\n"), "{ran:?}");
    let rows = folder.json(&["test"]).exits(0).lines();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        members(&rows[0]),
        ["file", "line", "passed", "trust_domain", "what"]
    );
    folder.change(
        "trust-domains/ci.yaml",
        "deny: { subject: \"wl:bad\" }",
        "deny: { subject: \"wl:ok\" }",
    );
    for command in ["test", "check"] {
        let ran = folder.run(&[command]).exits(16);
        assert!(ran.stderr.contains("1 problem;"), "{ran:?}");
        assert_eq!(
            folder.json(&[command]).exits(16).json()["code"],
            "test-failed"
        );
    }
    // Another problem besides is a wrong configuration.
    folder.change("assay.yaml", "  drain:", "  drian:");
    folder.run(&["test"]).exits(10);
}

/// Explains a token from standard input.
fn explain(folder: &Folder, token: &str, more: &[&str]) -> Ran {
    let mut command = process::assay(["explain", "-", "-o", "json", "--target", "prod"]);
    Ran::fed(
        command.args(more).arg("--config").arg(&folder.config),
        token,
    )
}

#[test]
fn explain_says_what_would_be_granted() {
    let folder = Folder::new();
    let token = folder.issuer.token("wl:ok");
    folder.files.write("token", &format!("{token}\n"));
    let file = path(&folder.files, "token");
    let file = file.to_str().unwrap();
    let text = folder
        .run(&["explain", file, "--target", "prod"])
        .exits(0)
        .stdout;
    for line in [
        "trust domain  ci",
        "identity      ci:wl:ok",
        "GRANTED by rule worker: role worker, payments:write for 10m",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        !text.contains(&token[..40]),
        "the token itself is never shown"
    );

    let answer = explain(&folder, &token, &[]).exits(0).json();
    assert_eq!(
        members(&answer),
        [
            "attributes",
            "forbid",
            "identity",
            "outcome",
            "permissions",
            "role",
            "rule",
            "rules",
            "steps",
            "trust_domain",
            "ttl_seconds",
        ]
    );
    assert_eq!(answer["outcome"], "granted");
    assert_eq!(answer["permissions"], json!(["payments:write"]));
    let rules = answer["rules"].as_array().unwrap();
    assert_eq!(
        members(&rules[0]),
        ["fields", "file", "line", "matched", "mode", "role", "rule"]
    );
    // It is explained, not used: a second time is the same.
    assert_eq!(explain(&folder, &token, &[]).exits(0).json(), answer);
    let narrowed = explain(&folder, &token, &["--scope", "worker payments:read"])
        .exits(0)
        .json();
    assert_eq!(narrowed["permissions"], json!(["payments:read"]));
    let too_much = explain(&folder, &token, &["--scope", "worker payments:admin"])
        .exits(12)
        .json();
    assert_eq!(too_much["reason"], "SCOPE_BEYOND_ROLE");
}

#[test]
fn explain_says_what_is_missing() {
    let folder = Folder::new();
    let answer = explain(&folder, &folder.issuer.token("wl:other"), &[])
        .exits(12)
        .json();
    assert_eq!(
        (&answer["outcome"], &answer["reason"]),
        (&json!("refused"), &json!("RULE_NO_MATCH"))
    );
    assert_eq!(
        members(&answer["mismatch"]),
        ["field", "found", "hint", "rule", "wanted"]
    );
    let field = &answer["rules"][0]["fields"][0];
    assert_eq!(
        members(field),
        ["asserted_by", "field", "found", "hint", "matched", "wanted"]
    );
    assert_eq!(
        (&field["found"], &field["matched"]),
        (&json!("wl:other"), &json!(false))
    );
    let text = Ran::fed(
        process::assay(["explain", "-", "--target", "prod", "--config"]).arg(&folder.config),
        &folder.issuer.token("wl:other"),
    )
    .exits(12)
    .stdout;
    assert!(
        text.contains("REFUSED RULE_NO_MATCH") && text.contains("assay reason RULE_NO_MATCH"),
        "{text}"
    );
    let reason =
        |token: &str, code: i32| explain(&folder, token, &[]).exits(code).json()["reason"].clone();
    let mut claims = folder.issuer.claims("wl:ok");
    claims["aud"] = json!("https://elsewhere.test");
    assert_eq!(
        reason(&folder.issuer.sign(&claims), 12),
        "AUDIENCE_MISMATCH"
    );
    claims["iss"] = json!("https://stranger.test");
    assert_eq!(reason(&folder.issuer.sign(&claims), 12), "ISSUER_UNKNOWN");
    assert_eq!(reason("nothing", 12), "TOKEN_MALFORMED");
}

#[test]
fn explain_goes_to_another_time() {
    let folder = Folder::new();
    let token = folder.issuer.token("wl:ok");
    let at = |time: assay::base::clock::Moment| time.to_string();
    let late = at(now().plus(Duration::from_secs(2 * 3600)));
    let early = at(now().minus(Duration::from_secs(2 * 3600)));
    let reason =
        |time: &str| explain(&folder, &token, &["--at", time]).exits(14).json()["reason"].clone();
    assert_eq!(reason(&late), "TOKEN_EXPIRED");
    assert_eq!(reason(&early), "TOKEN_NOT_YET_VALID");
    explain(&folder, &token, &["--at", &at(now())]).exits(0);
    explain(&folder, &token, &["--at", "noon"]).exits(2);
}

#[test]
fn a_token_is_a_file_and_never_an_argument() {
    let folder = Folder::new();
    let token = folder.issuer.token("wl:ok");
    let ran = folder
        .run(&["explain", &token, "--target", "prod"])
        .exits(2);
    let tail = &token[token.len() - 20..];
    assert!(
        !ran.stdout.contains(tail) && !ran.stderr.contains(tail),
        "{ran:?}"
    );
    // Two targets, and none named.
    let ran = Ran::fed(
        process::assay(["explain", "-", "--config"]).arg(&folder.config),
        &token,
    );
    assert!(ran.exits(2).stderr.contains("--target"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_fetches_keys_only_when_told_to() {
    let folder = Folder::new();
    let issuer = FakeIssuer::start().await;
    let rules = "  rules:\n    - { name: worker, match: { subject: \"wl:ok\" }, grant: { role: worker } }\n";
    folder.files.oidc("online", &issuer, "", rules);
    let token = issuer.token(&issuer.claims(now(), super::support::broker::AUDIENCE, "wl:ok"));
    let ran = explain(&folder, &token, &[]).exits(13);
    assert_eq!(ran.json()["reason"], "ISSUER_UNAVAILABLE");
    assert!(ran.stderr.contains("--fetch-keys"), "{ran:?}");
    assert_eq!(issuer.connections(), 0);
    let answer = explain(&folder, &token, &["--fetch-keys"]).exits(0).json();
    assert_eq!(answer["rule"], "worker");
    assert!(issuer.connections() > 0);
    // A token that its issuer did not sign.
    let (head, _) = token.rsplit_once('.').unwrap();
    let forged = Token::new(json!({})).sign(&super::support::tokens::TestKey::es256("key-1"));
    let forged = format!("{head}.{}", forged.rsplit_once('.').unwrap().1);
    let answer: Value = explain(&folder, &forged, &["--fetch-keys"])
        .exits(12)
        .json();
    assert_eq!(answer["reason"], "SIGNATURE_INVALID");
}

#[test]
fn the_broker_logs_as_its_file_says_unless_told_otherwise() {
    let folder = Folder::new();
    // It reads the keys, which is worth a line, and then cannot go on.
    std::fs::remove_file(path(&folder.files, "tls.key")).unwrap();
    let serve = |args: &[&str]| folder.run(&[&["serve"], args].concat()).exits(10).stderr;
    assert!(serve(&[]).contains("\"level\":\"INFO\""), "the default");
    assert!(serve(&["--log-format", "text"]).contains(" INFO "));
    folder.change(
        "assay.yaml",
        "  drain:",
        "  telemetry: { logLevel: error }\n  drain:",
    );
    let said = serve(&[]);
    assert!(
        said.starts_with("error: ") && said.lines().count() == 1,
        "{said}"
    );
    assert!(
        serve(&["--log-level", "info"]).contains("INFO"),
        "the command line is nearer"
    );
}
