//! O: the request. Parameters, targets, scopes, methods, and what answers tell.
//!
//! Framing (O-23, O-29) and methods (O-01) are proven byte by byte in
//! `tests/http_surface/`; here stands what the exchange makes of a request.

use assay::model::Reason as R;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::json;

use crate::{
    rig::{Rig, is_refusal},
    support::broker::{EXCHANGE, JWT, JWT_BEARER, Reply, form},
};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl Rig {
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.broker
            .send(
                request
                    .body(Full::new(Bytes::from(body)))
                    .expect("a request"),
            )
            .await
    }

    /// Refused before there was a form to judge: counted, and not recorded.
    async fn refuses_early(&self, id: &str, reply: &Reply, reason: R) {
        is_refusal(id, reply, reason);
        assert!(self.records().await.is_empty(), "{id}");
        let counted = format!("reason=\"{}\"", reason.code());
        let metrics = self.broker.telemetry("/metrics").await;
        assert!(
            metrics.text().contains(&counted),
            "{id}: {}",
            metrics.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_03_and_o_04_parameters_stand_in_a_form_in_the_body() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    let body = form(&token);
    let post = |path: String, kind: &'static str, text: String| {
        let rig = &rig;
        async move {
            rig.raw(Method::POST, &path, &[("content-type", kind)], text)
                .await
        }
    };
    let there = || "/oauth2/token".to_owned();
    for (id, reply, reason) in [
        (
            "in the query",
            post(format!("/oauth2/token?{body}"), FORM, String::new()).await,
            R::RequestMalformed,
        ),
        (
            "in both",
            post("/oauth2/token?scope=admin".to_owned(), FORM, body.clone()).await,
            R::RequestMalformed,
        ),
        (
            "as JSON",
            post(
                there(),
                "application/json",
                json!({ "grant_type": EXCHANGE }).to_string(),
            )
            .await,
            R::ContentTypeUnsupported,
        ),
        (
            "as text",
            post(there(), "text/plain", body.clone()).await,
            R::ContentTypeUnsupported,
        ),
        (
            "in another charset",
            post(
                there(),
                "application/x-www-form-urlencoded; charset=utf-16",
                body.clone(),
            )
            .await,
            R::ContentTypeUnsupported,
        ),
        (
            "not UTF-8",
            post(there(), FORM, format!("{body}&x=%ff")).await,
            R::RequestMalformed,
        ),
        (
            "a cut escape",
            post(there(), FORM, format!("{body}&x=%4")).await,
            R::RequestMalformed,
        ),
        (
            "NUL",
            post(there(), FORM, format!("{body}&x=%00")).await,
            R::RequestMalformed,
        ),
        (
            "R-07: a flood of parameters",
            post(there(), FORM, format!("{body}{}", "&x=1".repeat(1000))).await,
            R::ParameterDuplicated,
        ),
        (
            "R-07: a flood of names",
            post(
                there(),
                FORM,
                (0..1000).map(|n| format!("x{n}=1&")).collect(),
            )
            .await,
            R::RequestMalformed,
        ),
        (
            "R-01: too large",
            post(there(), FORM, "x".repeat(70_000)).await,
            R::BodyTooLarge,
        ),
    ] {
        rig.refuses_early(id, &reply, reason).await;
    }
    let gzip = [("content-type", FORM), ("content-encoding", "gzip")];
    let reply = rig
        .raw(Method::POST, "/oauth2/token", &gzip, body.clone())
        .await;
    rig.refuses_early("R-13: compressed", &reply, R::ContentTypeUnsupported)
        .await;
    for method in [Method::GET, Method::PUT, Method::OPTIONS] {
        let reply = rig
            .raw(
                method.clone(),
                "/oauth2/token",
                &[("origin", "https://evil.test")],
                String::new(),
            )
            .await;
        rig.refuses_early(method.as_str(), &reply, R::MethodNotAllowed)
            .await;
        assert_eq!(reply.headers["allow"], "POST");
        assert!(
            !reply
                .headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control"))
        );
    }
    // None of this burnt the token.
    rig.grants("in the body", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_05_to_o_08_each_parameter_once_and_those_that_must_be_there() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    for missing in ["grant_type", "subject_token", "subject_token_type"] {
        for empty in [false, true] {
            let mut pairs = vec![
                ("grant_type", EXCHANGE),
                ("subject_token", &token),
                ("subject_token_type", JWT),
                ("audience", "prod"),
            ];
            pairs.retain(|(name, _)| *name != missing);
            if empty {
                pairs.push((missing, ""));
            }
            let reply = rig.broker.post(&pairs).await;
            rig.is_recorded_refusal(missing, &reply, R::ParameterMissing)
                .await;
        }
    }
    for (name, one, other) in [
        ("grant_type", EXCHANGE, JWT_BEARER),
        ("subject_token", "a.b.c", "d.e.f"),
        ("subject_token_type", JWT, "x"),
        ("scope", "worker", "admin"),
        ("requested_token_type", JWT, "x"),
        ("requested_expires_in", "60", "600"),
        ("actor_token", "a", "b"),
        ("actor_token_type", "a", "b"),
        ("client_id", "a", "b"),
        ("assertion", "a", "b"),
        ("unheard_of", "a", "b"),
    ] {
        for values in [[one, one], [one, other], ["", one]] {
            let pairs = values.map(|value| (name, value));
            let reply = rig.broker.post(&pairs).await;
            rig.refuses_early(name, &reply, R::ParameterDuplicated)
                .await;
        }
        // The same name, spelt with an escape.
        let escaped = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
        let body = format!("{name}=a&{escaped}=b");
        let reply = rig
            .raw(
                Method::POST,
                "/oauth2/token",
                &[("content-type", FORM)],
                body,
            )
            .await;
        rig.refuses_early(name, &reply, R::ParameterDuplicated)
            .await;
    }
    rig.grants("once each", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_09_and_o_10_nobody_authenticates_as_a_client_here() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:ok");
    let body = form(&token);
    let assertion = rig.broker.token("wl:ok");
    for more in [
        "client_id=x&client_secret=y".to_owned(),
        format!(
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        ),
    ] {
        let reply = rig
            .raw(
                Method::POST,
                "/oauth2/token",
                &[("content-type", FORM)],
                format!("{body}&{more}"),
            )
            .await;
        rig.refuses_early(&more, &reply, R::ClientAuthenticationFailed)
            .await;
    }
    for (value, scheme) in [
        ("Basic eDp5", "Basic"),
        ("Bearer abc", "Bearer"),
        ("DPoP abc", "DPoP"),
        ("Negotiate x", "Basic"),
    ] {
        let headers = [("content-type", FORM), ("authorization", value)];
        let reply = rig
            .raw(Method::POST, "/oauth2/token", &headers, body.clone())
            .await;
        rig.refuses_early(value, &reply, R::ClientAuthenticationFailed)
            .await;
        let challenge = reply.headers[header::WWW_AUTHENTICATE]
            .to_str()
            .expect("text");
        assert!(challenge.starts_with(scheme), "{challenge}");
    }
    rig.grants("without", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_11_to_o_18_a_refused_ask_is_recorded_and_burns_nothing() {
    let rig = Rig::start().await;
    let token = rig.broker.token("wl:both");
    let cases: &[(&[(&str, &str)], R)] = &[
        (&[], R::TargetMissing),
        (&[("audience", "")], R::TargetMissing),
        (&[("audience", "nosuch")], R::TargetUnknown),
        (&[("audience", "../prod")], R::TargetUnknown),
        (&[("audience", "prod ")], R::TargetUnknown),
        (&[("audience", "other")], R::TargetUnknown),
        (&[("resource", "/prod")], R::TargetUnknown),
        (
            &[("audience", "prod"), ("resource", "https://evil.test")],
            R::TargetUnknown,
        ),
        (
            &[("audience", "prod"), ("audience", "nosuch")],
            R::TargetUnknown,
        ),
        (
            &[("audience", "prod"), ("scope", "both payments:admin")],
            R::ScopeBeyondRole,
        ),
        (
            &[
                ("audience", "prod"),
                ("scope", "both payments:write orders:write"),
            ],
            R::ScopeBeyondRole,
        ),
        (
            &[
                ("audience", "prod"),
                ("scope", "both temporal-system:admin"),
            ],
            R::ScopeBeyondRole,
        ),
        (
            &[("audience", "prod"), ("scope", "both Payments:read")],
            R::ScopeBeyondRole,
        ),
        (
            &[("audience", "prod"), ("scope", "both payments:READ")],
            R::ScopeMalformed,
        ),
        (
            &[("audience", "prod"), ("scope", "both\tpayments:read")],
            R::ScopeMalformed,
        ),
        (&[("audience", "prod"), ("scope", "admin")], R::RuleNoMatch),
        (
            &[("audience", "prod"), ("requested_expires_in", "0")],
            R::ParameterInvalid,
        ),
        (
            &[("audience", "prod"), ("requested_expires_in", "-5")],
            R::ParameterInvalid,
        ),
        (
            &[("audience", "prod"), ("requested_expires_in", "1e9")],
            R::ParameterInvalid,
        ),
        (
            &[("audience", "prod"), ("actor_token", "x")],
            R::ActorTokenUnsupported,
        ),
        (
            &[
                ("audience", "prod"),
                (
                    "requested_token_type",
                    "urn:ietf:params:oauth:token-type:refresh_token",
                ),
            ],
            R::TokenTypeUnsupported,
        ),
    ];
    for (more, reason) in cases {
        let id = format!("{more:?}");
        let reply = rig.broker.ask(&token, more).await;
        rig.is_recorded_refusal(&id, &reply, *reason).await;
    }
    rig.grants("a whole ask", &token).await;
}
