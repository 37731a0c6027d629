//! The exchange as a caller sees it, over real sockets.

mod support;

use support::broker::{AUDIENCE, EXCHANGE, JWT, JWT_BEARER, TestBroker, claims_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_becomes_a_credential_that_says_what_was_granted() {
    let broker = TestBroker::start().await;
    let reply = broker.exchange(&broker.token("wl:ok")).await;
    let json = reply.json();
    assert_eq!(reply.status, 200, "{json}");
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(
        json["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(json["expires_in"], 600);
    assert_eq!(json["scope"], "worker payments:write");
    assert_eq!(json["target"]["name"], "prod");
    assert_eq!(json["target"]["address"], "127.0.0.1:7233");
    assert_eq!(json["target"]["namespace"], "payments");
    let claims = claims_of(json["access_token"].as_str().unwrap());
    assert_eq!(claims["iss"], AUDIENCE);
    assert_eq!(claims["aud"], "temporal.test");
    assert_eq!(claims["sub"], "issuer-a:wl:ok");
    assert_eq!(claims["permissions"], serde_json::json!(["payments:write"]));
    assert_eq!(claims["jti"], json["request_id"]);

    // Exactly one record, and it names the credential.
    let audit = broker.audit().await;
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["outcome"], "issued");
    assert_eq!(audit[0]["request_id"], json["request_id"]);
    assert_eq!(audit[0]["credential"]["id"], claims["jti"]);
    assert_eq!(audit[0]["identity"], "issuer-a:wl:ok");
    assert_eq!(audit[0]["rule"], "worker");
    assert_eq!(audit[0]["target"], "prod");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_grant_passes_the_same_steps() {
    let broker = TestBroker::start().await;
    let token = broker.token("wl:ok");
    let form = [
        ("grant_type", JWT_BEARER),
        ("assertion", token.as_str()),
        ("resource", "https://prod.test"),
    ];
    assert_eq!(
        claims_of(&broker.post(&form).await.minted())["permissions"][0],
        "payments:write"
    );
    // The same token again, by the other grant: used is used.
    broker
        .exchange(&token)
        .await
        .is_refused(400, "invalid_request", "TOKEN_REPLAYED");
    let fresh = broker.token("wl:nobody");
    let form = [
        ("grant_type", JWT_BEARER),
        ("assertion", fresh.as_str()),
        ("audience", "prod"),
    ];
    broker
        .post(&form)
        .await
        .is_refused(400, "invalid_grant", "RULE_NO_MATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_11_one_target_is_named_and_known() {
    let broker = TestBroker::start().await;
    let token = broker.token("wl:ok");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "TARGET_MISSING"),
        (&[("audience", "nosuch")], "TARGET_UNKNOWN"),
        (&[("audience", "PROD")], "TARGET_UNKNOWN"),
        (&[("resource", "prod")], "TARGET_UNKNOWN"),
        (&[("resource", "https://prod.test/")], "TARGET_UNKNOWN"),
        (&[("resource", "https://prod.test#x")], "TARGET_UNKNOWN"),
        (
            &[("audience", "prod"), ("audience", "other")],
            "TARGET_AMBIGUOUS",
        ),
        (
            &[("audience", "other"), ("resource", "https://prod.test")],
            "TARGET_AMBIGUOUS",
        ),
        // A target that exists and that no rule of this issuer is about: the
        // same answer as one that does not exist.
        (&[("audience", "other")], "TARGET_UNKNOWN"),
    ];
    for (parameters, reason) in cases {
        broker
            .ask(&token, parameters)
            .await
            .is_refused(400, "invalid_target", reason);
    }
    // A refusal burns nothing, and agreeing names are one target.
    let both = [
        ("audience", "prod"),
        ("audience", "prod"),
        ("resource", "https://prod.test"),
    ];
    broker.ask(&token, &both).await.minted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_13_a_scope_narrows_and_never_widens() {
    let broker = TestBroker::start().await;
    let ask = async |subject: &str, scope: &str| {
        broker
            .ask(
                &broker.token(subject),
                &[("audience", "prod"), ("scope", scope)],
            )
            .await
    };
    let permissions = |token: String| claims_of(&token)["permissions"].clone();
    let narrowed = ask("wl:both", "both payments:read").await.minted();
    assert_eq!(permissions(narrowed), serde_json::json!(["payments:read"]));
    assert_eq!(
        ask("wl:both", "both").await.json()["scope"],
        "both payments:write orders:read"
    );
    for (scope, reason) in [
        ("both payments:admin", "SCOPE_BEYOND_ROLE"),
        ("both payments:read orders:write", "SCOPE_BEYOND_ROLE"),
        ("both orders:write payments:read", "SCOPE_BEYOND_ROLE"),
        ("both temporal-system:read", "SCOPE_BEYOND_ROLE"),
        ("both nosuch:read", "SCOPE_BEYOND_ROLE"),
        ("nosuch", "SCOPE_UNKNOWN"),
        ("both worker", "SCOPE_MALFORMED"),
        ("both  payments:read", "SCOPE_MALFORMED"),
    ] {
        ask("wl:both", scope)
            .await
            .is_refused(400, "invalid_scope", reason);
    }
    // Two roles: the caller chooses, and learns its own choices only.
    let two = ask("wl:two", "payments:read").await;
    two.is_refused(400, "invalid_scope", "SCOPE_AMBIGUOUS");
    assert_eq!(two.json()["roles"], serde_json::json!(["reader", "worker"]));
    ask("wl:two", "reader").await.minted();
    // A role that exists and that no rule grants this identity.
    ask("wl:two", "admin")
        .await
        .is_refused(400, "invalid_request", "RULE_NO_MATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_17_a_lifetime_can_only_be_shortened() {
    let broker = TestBroker::start().await;
    let ask = async |seconds: &str| {
        let more = [("audience", "prod"), ("requested_expires_in", seconds)];
        broker.ask(&broker.token("wl:ok"), &more).await
    };
    assert_eq!(ask("60").await.json()["expires_in"], 60);
    assert_eq!(ask("1000000000000").await.json()["expires_in"], 600);
    for bad in ["0", "-1", "1h", ""] {
        let reply = ask(bad).await;
        match bad {
            // An empty value is an absent one (RFC 6749 section 3.2).
            "" => assert_eq!(reply.json()["expires_in"], 600),
            _ => reply.is_refused(400, "invalid_request", "PARAMETER_INVALID"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_19_and_o_21_actors_are_refused_and_strange_parameters_ignored() {
    let broker = TestBroker::start().await;
    let token = broker.token("wl:ok");
    let actor = [
        ("audience", "prod"),
        ("actor_token", "x"),
        ("actor_token_type", JWT),
    ];
    broker
        .ask(&token, &actor)
        .await
        .is_refused(400, "invalid_request", "ACTOR_TOKEN_UNSUPPORTED");
    let strange = [
        ("audience", "prod"),
        ("client_id", "stock-client"),
        ("no_such_parameter", "1"),
    ];
    broker.ask(&token, &strange).await.minted();
    let audit = broker.audit().await;
    assert_eq!(audit.last().unwrap()["caller"]["client_id"], "stock-client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grant_and_token_types_are_believed_never_sniffed() {
    let broker = TestBroker::start().await;
    let token = broker.token("wl:ok");
    let with = async |grant: &str, kind: &str, wanted: &str| {
        let form = [
            ("grant_type", grant),
            ("subject_token", token.as_str()),
            ("subject_token_type", kind),
            ("requested_token_type", wanted),
            ("audience", "prod"),
        ];
        broker.post(&form).await
    };
    with("client_credentials", JWT, "").await.is_refused(
        400,
        "unsupported_grant_type",
        "GRANT_TYPE_UNSUPPORTED",
    );
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    with(EXCHANGE, saml, "")
        .await
        .is_refused(400, "invalid_request", "TOKEN_TYPE_UNSUPPORTED");
    with(EXCHANGE, JWT, saml)
        .await
        .is_refused(400, "invalid_request", "TOKEN_TYPE_UNSUPPORTED");
    assert_eq!(
        with(EXCHANGE, JWT, JWT).await.json()["issued_token_type"],
        JWT
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_was_compared_as_far_as_explain_allows() {
    let broker = TestBroker::start().await;
    let reply = broker
        .ask(
            &broker.token("wl:Ok"),
            &[("audience", "prod"), ("scope", "worker")],
        )
        .await;
    reply.is_refused(400, "invalid_request", "RULE_NO_MATCH");
    let mismatch = &reply.json()["mismatch"];
    assert_eq!(mismatch["field"], "subject");
    assert_eq!(mismatch["found"], "wl:Ok");
    assert_eq!(mismatch["wanted"], "`wl:ok`");
    assert!(
        mismatch["hint"].as_str().unwrap().contains("case"),
        "{mismatch}"
    );
    let audit = broker.audit().await;
    assert_eq!(audit[0]["outcome"], "refused");
    assert_eq!(audit[0]["reason"], "RULE_NO_MATCH");
    assert_eq!(audit[0]["compared"]["field"], "subject");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_and_key_sets_are_whole() {
    let broker = TestBroker::start().await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let json = broker.get(path).await.json();
        assert_eq!(json["issuer"], AUDIENCE);
        assert_eq!(json["token_endpoint"], format!("{AUDIENCE}/oauth2/token"));
    }
    assert_eq!(
        broker.get("/.well-known/jwks.json").await.json(),
        serde_json::json!({"keys": []})
    );
    let keys = broker.get("/targets/prod/jwks.json").await;
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);
    assert!(keys.headers.contains_key("cache-control"));
    // One target's key is never another's.
    let other = broker.get("/targets/other/jwks.json").await;
    assert_ne!(
        keys.json()["keys"][0]["kid"],
        other.json()["keys"][0]["kid"]
    );
    // Temporal reads any JSON object as a key set: failures are text.
    let unknown = broker.get("/targets/nosuch/jwks.json").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(serde_json::from_slice::<serde_json::Value>(&unknown.body).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_ends_with_its_evidence_where_the_trust_domain_says_so() {
    use support::{
        broker::{Files, RULES},
        fake_issuer::FakeIssuer,
    };
    let issuer = FakeIssuer::start().await;
    let files = Files::new();
    files.oidc(
        "issuer-a",
        &issuer,
        "",
        &format!("  boundLifetime: true\n{RULES}"),
    );
    let clock = std::sync::Arc::new(assay::base::clock::SystemClock::new());
    let broker = TestBroker::on(files, issuer, clock).await;
    let mut claims = broker.claims("wl:ok");
    let reply = broker.exchange(&broker.issuer.token(&claims)).await;
    let left = reply.json()["expires_in"].as_i64().unwrap();
    assert!((200..=300).contains(&left), "{left}");
    // Too little is left for a worker to do anything with.
    claims["exp"] = (broker.now().secs() + 20).into();
    let reply = broker.exchange(&broker.issuer.token(&claims)).await;
    reply.is_refused(400, "invalid_request", "LIFETIME_TOO_SHORT");
}
