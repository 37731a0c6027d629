//! C: a shared issuer. Every GitHub user has genuine tokens of it.

use std::sync::Arc;

use assay::model::Reason as R;
use serde_json::json;

use crate::{
    rig::{Rig, bad},
    support::{
        broker::{AUDIENCE, Files, RULES},
        fake_issuer::FakeIssuer,
        tokens::{TestKey, Token, jwks},
    },
};

const RULE: &str = "  rules:\n    - name: deploy\n      match:\n        repositoryId: \"456789\"\n        \
    ref: refs/heads/main\n        environment: production\n        events: [push]\n      grant: { role: reader }\n";

struct GitHub {
    rig: Rig,
    key: Arc<TestKey>,
}

impl GitHub {
    async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let files = Files::new();
        files.oidc("issuer-a", &issuer, "", RULES);
        let key = Arc::new(TestKey::rs256("gh"));
        files.write("github.json", &jwks(&[key.jwk()]));
        let file = files.folder.path().join("github.json");
        files.write(
            "trust-domains/github.yaml",
            &format!(
                "apiVersion: assay/v1\nkind: TrustDomain\nmetadata: {{ name: github }}\nspec:\n  githubActions:\n    \
                 organization: acme\n    organizationId: \"123456\"\n    keys: {{ file: {} }}\n{RULE}",
                file.display()
            ),
        );
        let rig = Rig::on(files, issuer).await;
        Self { rig, key }
    }

    fn good(&self) -> Token {
        let mut claims = self
            .rig
            .broker
            .claims("repo:acme/worker:environment:production");
        let more = json!({
            "iss": "https://token.actions.githubusercontent.com", "aud": AUDIENCE,
            "repository": "acme/worker", "repository_id": "456789",
            "repository_owner": "acme", "repository_owner_id": "123456",
            "repository_visibility": "private", "ref": "refs/heads/main", "ref_protected": "true",
            "sha": "7e3b1f0c2d4a5968778695a4b3c2d1e0f9e8d7c6", "event_name": "push",
            "environment": "production",
            "workflow_ref": "acme/worker/.github/workflows/deploy.yml@refs/heads/main",
            "job_workflow_ref": "acme/worker/.github/workflows/deploy.yml@refs/heads/main",
            "runner_environment": "github-hosted", "run_id": "1", "actor": "octo", "actor_id": "9",
        });
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        Token::new(claims)
    }

    async fn refuses_all(&self, rows: Vec<crate::rig::Bad>) {
        self.rig.table(|_| self.good().sign(&self.key), rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_25_a_stranger_of_the_same_issuer_is_a_stranger() {
    let all = GitHub::start().await;
    let with = |claim: &str, value: &str| all.good().claim(claim, value).sign(&all.key);
    let squatter = all
        .good()
        .claim("repository_id", "1")
        .claim("repository_owner_id", "1")
        .sign(&all.key);
    all.refuses_all(vec![
        bad(
            "another organisation",
            with("repository_owner_id", "654321"),
            R::TenantMismatch,
        ),
        // The name taken by somebody else after a rename.
        bad("a squatter", squatter, R::TenantMismatch),
        bad(
            "the id of another under our name",
            with("repository_id", "1"),
            R::RuleNoMatch,
        ),
        bad(
            "a number for the id",
            all.good()
                .claim("repository_owner_id", 123_456)
                .sign(&all.key),
            R::ClaimInvalid,
        ),
        bad(
            "no organisation",
            all.good()
                .without_claim("repository_owner_id")
                .sign(&all.key),
            R::ClaimMissing,
        ),
        bad(
            "another branch",
            with("ref", "refs/heads/feature"),
            R::RuleNoMatch,
        ),
        bad(
            "a tag of that name",
            with("ref", "refs/tags/main"),
            R::RuleNoMatch,
        ),
        bad(
            "no environment",
            all.good().without_claim("environment").sign(&all.key),
            R::RuleNoMatch,
        ),
        bad(
            "the environment in the subject only",
            with("environment", "staging"),
            R::RuleNoMatch,
        ),
        bad(
            "no jti",
            all.good().without_claim("jti").sign(&all.key),
            R::ClaimMissing,
        ),
        bad(
            "our other issuer's key",
            all.good().sign(&all.rig.broker.issuer.key()),
            R::AlgorithmNotAllowed,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_27_triggers_that_run_strangers_code_are_refused() {
    let all = GitHub::start().await;
    let event = |name: &str| all.good().claim("event_name", name).sign(&all.key);
    all.refuses_all(vec![
        bad(
            "pull_request_target",
            event("pull_request_target"),
            R::EventForbidden,
        ),
        bad("workflow_run", event("workflow_run"), R::EventForbidden),
        bad("issue_comment", event("issue_comment"), R::RuleNoMatch),
        bad("in capitals", event("PUSH"), R::RuleNoMatch),
    ])
    .await;
}
