//! S: SPIFFE. Ids, bundles, and trust domains that must not be taken for
//! one another.

use std::sync::Arc;

use assay::model::Reason as R;
use serde_json::{Value, json};

use crate::{
    rig::{Rig, bad},
    support::{
        broker::{AUDIENCE, Files, RULES},
        fake_issuer::FakeIssuer,
        tls::Ca,
        tokens::{TestKey, Token, bundle, x509_svid_jwk},
    },
};

/// Two SPIFFE trust domains with a key each, and the usual issuer.
struct Svids {
    rig: Rig,
    one: Arc<TestKey>,
    two: Arc<TestKey>,
    /// The key of td1's certificate authority, which signs no JWT-SVID.
    authority: TestKey,
}

fn write_bundle(files: &Files, name: &str, keys: &[Value], sequence: u64) {
    files.write(&format!("{name}.json"), &bundle(keys, Some(sequence), None));
}

impl Svids {
    async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let files = Files::new();
        files.oidc("issuer-a", &issuer, "", RULES);
        let (one, two) = (
            Arc::new(TestKey::es256("one")),
            Arc::new(TestKey::es256("two")),
        );
        let authority = TestKey::es256("authority");
        let mut of_ca = authority.jwt_svid_jwk();
        of_ca["use"] = json!("x509-svid");
        let unknown = json!({ "kty": "AKP", "use": "jwt-svid", "kid": "pq", "alg": "ML-DSA-65", "pub": "AAAA" });
        let other_use = json!({ "kty": "EC", "use": "wit-svid", "kid": "wit" });
        let ca = x509_svid_jwk(&Ca::new("td1"), &TestKey::es256("ca"));
        write_bundle(
            &files,
            "td1",
            &[one.jwt_svid_jwk(), of_ca, unknown, other_use, ca],
            5,
        );
        write_bundle(&files, "td2", &[two.jwt_svid_jwk()], 5);
        for (name, path) in [("td1", "prod"), ("td2", "test")] {
            let file = files.folder.path().join(format!("{name}.json"));
            files.write(
                &format!("trust-domains/{name}.yaml"),
                &format!(
                    "apiVersion: assay/v1\nkind: TrustDomain\nmetadata: {{ name: {name} }}\nspec:\n  spiffe:\n    \
                     trustDomain: {name}.test\n    bundle: {{ file: {} }}\n  rules:\n    \
                     - {{ name: {path}, match: {{ path: /ns/{path}/* }}, grant: {{ role: reader }} }}\n",
                    file.display()
                ),
            );
        }
        let rig = Rig::on(files, issuer).await;
        Self {
            rig,
            one,
            two,
            authority,
        }
    }

    /// A JWT-SVID as SPIRE makes it: no `iss`, `aud` a list.
    fn svid(&self, id: &str) -> Token {
        let now = self.rig.broker.now().secs();
        Token::new(json!({ "sub": id, "aud": [AUDIENCE], "iat": now, "exp": now + 300 }))
    }

    fn good(&self) -> Token {
        self.svid("spiffe://td1.test/ns/prod/worker")
    }

    async fn refuses_all(&self, rows: Vec<crate::rig::Bad>) {
        self.rig.table(|_| self.good().sign(&self.one), rows).await;
    }

    async fn reload(&self) {
        self.rig
            .broker
            .broker
            .reload()
            .await
            .expect("the files are in order");
        self.rig.broker.broker.refresh_keys().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_01_an_svid_is_its_id_and_may_be_shown_again() {
    let all = Svids::start().await;
    let token = all.good().sign(&all.one);
    for _ in 0..2 {
        let record = all.rig.grants("an SVID", &token).await;
        assert_eq!(record["identity"], "spiffe://td1.test/ns/prod/worker");
        assert_eq!(record["trust_domain"], "td1");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_03_to_s_06_an_id_has_one_spelling() {
    let all = Svids::start().await;
    let mut rows = Vec::new();
    for id in [
        "spiffe://td1.test",
        "spiffe://td1.test/",
        "spiffe://td1.test//ns/prod/worker",
        "spiffe://td1.test/ns/prod/worker/",
        "spiffe://td1.test/ns/dev/../prod/worker",
        "spiffe://td1.test/ns/./prod/worker",
        "spiffe://td1.test/ns/prod%2fworker",
        "spiffe://td1.test/ns/prod/wörker",
        "spiffe://td1.test/ns/prod/worker?x",
        "spiffe://td1.test/ns/prod/worker#x",
    ] {
        rows.push(bad(id, all.svid(id).sign(&all.one), R::SubjectInvalid));
    }
    // What does not name a configured trust domain byte for byte picks no keys.
    for id in [
        "spiffe://TD1.test/ns/prod/worker",
        "spiffe://td1.test:8443/ns/prod/worker",
        "spiffe://u@td1.test/ns/prod/worker",
    ] {
        rows.push(bad(id, all.svid(id).sign(&all.one), R::IssuerUnknown));
    }
    for id in [
        "SPIFFE://td1.test/ns/prod/worker",
        "spiffe:/td1.test/x",
        "spiffe:td1.test",
        "http://td1.test/x",
        "//td1.test/x",
    ] {
        rows.push(bad(id, all.svid(id).sign(&all.one), R::ClaimMissing));
    }
    all.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_07_to_s_09_another_trust_domain_is_another() {
    let all = Svids::start().await;
    let mut rows = Vec::new();
    for id in [
        "spiffe://td1.test.evil/ns/prod/x",
        "spiffe://td1.testx/ns/prod/x",
        "spiffe://evil/td1.test/ns/prod/x",
        "spiffe://test/ns/prod/x",
        "spiffe:///ns/prod/x",
        "spiffe://td1.test\u{2024}/ns/prod/x",
    ] {
        rows.push(bad(id, all.svid(id).sign(&all.one), R::IssuerUnknown));
    }
    for id in [
        "spiffe://td1.test/ns/prod/a/b",
        "spiffe://td1.test/ns/prod-evil/a",
        "spiffe://td1.test/ns/PROD/a",
        "spiffe://td1.test/x/ns/prod/a",
    ] {
        rows.push(bad(id, all.svid(id).sign(&all.one), R::RuleNoMatch));
    }
    all.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_11_algorithms_and_headers_of_the_specification_only() {
    let all = Svids::start().await;
    let mut rows = Vec::new();
    for alg in ["EdDSA", "ES256K", "HS256", "none"] {
        rows.push(bad(
            alg,
            all.good().header("alg", alg).sign(&all.one),
            R::AlgorithmNotAllowed,
        ));
    }
    // J-35: a JWT-SVID has alg, kid and typ, and nothing else.
    for name in ["cty", "x5t", "private", "nonce"] {
        rows.push(bad(
            name,
            all.good().header(name, "x").sign(&all.one),
            R::HeaderNotAllowed,
        ));
    }
    rows.push(bad(
        "no kid",
        all.good().without_header("kid").sign(&all.one),
        R::KeyIdMissing,
    ));
    rows.push(bad(
        "wit+jwt",
        all.good().header("typ", "wit+jwt").sign(&all.one),
        R::TypeNotAllowed,
    ));
    rows.push(bad(
        "no aud",
        all.good().without_claim("aud").sign(&all.one),
        R::ClaimMissing,
    ));
    rows.push(bad(
        "two audiences",
        all.good()
            .claim("aud", json!([AUDIENCE, "x"]))
            .sign(&all.one),
        R::AudienceMismatch,
    ));
    rows.push(bad(
        "no exp",
        all.good().without_claim("exp").sign(&all.one),
        R::ClaimMissing,
    ));
    all.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_12_to_s_15_bundles_are_never_pooled() {
    let all = Svids::start().await;
    let of_td2 = "spiffe://td2.test/ns/test/worker";
    let posing = |kid: &str, key: &TestKey, token: Token| token.header("kid", kid).sign(key);
    let oidc = all.rig.broker.issuer.key();
    let both = all.good().claim("iss", all.rig.broker.issuer.issuer());
    let rows = vec![
        bad("td2's key", all.good().sign(&all.two), R::KeyUnknown),
        bad(
            "td2's key under td1's kid",
            posing("one", &all.two, all.good()),
            R::SignatureInvalid,
        ),
        bad(
            "td1's key for td2",
            all.svid(of_td2).sign(&all.one),
            R::KeyUnknown,
        ),
        bad(
            "td1's key under td2's kid",
            posing("two", &all.one, all.svid(of_td2)),
            R::SignatureInvalid,
        ),
        bad(
            "an OIDC issuer's key",
            all.good().sign(&oidc),
            R::KeyUnknown,
        ),
        // An `iss` cannot send an SVID to other keys.
        bad(
            "an OIDC issuer's token",
            both.clone().sign(&oidc),
            R::KeyUnknown,
        ),
        bad(
            "the same under td1's kid",
            posing("one", &oidc, both),
            R::SignatureInvalid,
        ),
        bad(
            "a key of the authority",
            all.good().sign(&all.authority),
            R::KeyUnknown,
        ),
        bad(
            "a key for another use",
            posing("wit", &all.one, all.good()),
            R::KeyUnknown,
        ),
        bad(
            "a key of another kind",
            posing("pq", &all.one, all.good()),
            R::KeyUnknown,
        ),
    ];
    all.refuses_all(rows).await;
    all.rig
        .grants("td2's own", &all.svid(of_td2).sign(&all.two))
        .await;
    // And an issuer that writes an SVID's name gets no SVID's identity.
    let claims = all.rig.broker.claims("spiffe://td3.test/ns/prod/worker");
    let record = all
        .rig
        .refuses("a borrowed name", &oidc.token(&claims), R::RuleNoMatch)
        .await;
    assert_eq!(
        record["identity"],
        "issuer-a:spiffe://td3.test/ns/prod/worker"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_19_an_older_bundle_is_not_taken() {
    let all = Svids::start().await;
    let old = TestKey::es256("old");
    write_bundle(&all.rig.broker.files, "td1", &[old.jwt_svid_jwk()], 4);
    all.reload().await;
    all.refuses_all(vec![bad(
        "a withdrawn key",
        all.good().sign(&old),
        R::KeyUnknown,
    )])
    .await;
    write_bundle(&all.rig.broker.files, "td1", &[old.jwt_svid_jwk()], 6);
    all.reload().await;
    all.rig
        .grants("a newer bundle", &all.good().sign(&old))
        .await;
    all.rig
        .refuses("its key is gone", &all.good().sign(&all.one), R::KeyUnknown)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_24_an_empty_bundle_is_a_revocation_and_a_broken_one_is_not() {
    let all = Svids::start().await;
    all.rig.broker.files.write("td1.json", "{\"keys\": [");
    all.reload().await;
    all.rig
        .grants("the last good set stays", &all.good().sign(&all.one))
        .await;
    write_bundle(&all.rig.broker.files, "td1", &[], 6);
    all.reload().await;
    all.rig
        .refuses("revoked", &all.good().sign(&all.one), R::KeyUnknown)
        .await;
    all.rig
        .grants(
            "td2 is another",
            &all.svid("spiffe://td2.test/ns/test/worker").sign(&all.two),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_25_a_trust_domain_that_is_removed_is_not_believed_any_more() {
    let all = Svids::start().await;
    all.rig.grants("before", &all.good().sign(&all.one)).await;
    let path = all
        .rig
        .broker
        .files
        .folder
        .path()
        .join("trust-domains/td1.yaml");
    std::fs::remove_file(path).expect("removed");
    all.reload().await;
    all.rig
        .refuses("after", &all.good().sign(&all.one), R::IssuerUnknown)
        .await;
    all.rig
        .grants("the others", &all.rig.broker.token("wl:ok"))
        .await;
}
