//! What `assay dev` shows: what went in, what decided, what came out, and how
//! a Temporal server and a worker would use it.

use std::{collections::HashMap, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    base::{clock::Moment, text::display},
    config::Plan,
    ledger::Query,
};

use crate::cli::{
    Failure,
    output::{Exit, Output, Paint, unreachable},
    serve::Running,
};

use super::{issuer::Issuer, workload_api::TrustDomain};

const TARGET: &str = "dev-cluster";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Where each rule stands, by trust domain and name.
pub(super) type Rules = HashMap<(String, String), String>;

/// Where the plan's rules stand, as paths under the folder.
pub(super) fn rules(plan: &Plan, folder: &Path) -> Rules {
    let domains = plan.policy().domains().iter();
    let places = domains.flat_map(|domain| {
        domain.rules.iter().map(|rule| {
            let file = Path::new(&*rule.file);
            let file = file.strip_prefix(folder).unwrap_or(file).display();
            let name = (domain.name.to_string(), rule.name.to_string());
            (name, format!("{file}:{}", rule.line))
        })
    });
    places.collect()
}

pub(super) struct Story<'a> {
    pub(super) folder: &'a Path,
    pub(super) socket: &'a Path,
    pub(super) issuer: &'a Issuer,
    pub(super) domain: &'a TrustDomain,
    pub(super) running: &'a Running,
    pub(super) root_pem: &'a str,
    pub(super) rules: Rules,
}

/// One exchange, for people and for programs.
struct Exchanged {
    evidence: Value,
    credential: Value,
    answer: Value,
    /// The broker's own record of it: it names the rule that decided.
    record: Value,
}

impl Story<'_> {
    /// Exchanges one token of each kind, shows each, and how they are used.
    pub(super) async fn tell(&self, output: &Output) -> Result<(), Failure> {
        if !output.is_json() {
            self.introduce(output);
        }
        let audience = [self.issuer.audience.clone()];
        let evidence = [
            ("A CI job exchanges its identity token", self.issuer.token()),
            (
                "A workload exchanges its JWT-SVID",
                self.domain.svid(&audience),
            ),
        ];
        for (number, (what, token)) in evidence.into_iter().enumerate() {
            let exchanged = self.exchange(&token.map_err(failed)?).await?;
            match output.is_json() {
                true => output.json(&self.as_json(&exchanged)),
                false => self.show(number + 1, what, &exchanged, output),
            }
        }
        match output.is_json() {
            true => output.json(&self.settings()),
            false => self.settle(output),
        }
        Ok(())
    }

    fn introduce(&self, output: &Output) {
        let title =
            "assay dev: a broker, a CI system and a SPIFFE trust domain, all on this machine";
        output.text(format_args!(
            "{}\n\n  broker        {}\n  CI issuer     {}\n  Workload API  unix:{}\n  folder        {}\n",
            output.paint(Paint::Strong, title),
            self.running.public_url(),
            self.issuer.url,
            self.socket.display(),
            self.folder.display(),
        ));
    }

    async fn exchange(&self, token: &str) -> Result<Exchanged, Failure> {
        let form = [
            ("grant_type", GRANT),
            ("subject_token_type", TYPE),
            ("subject_token", token),
            ("audience", TARGET),
        ];
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let answer: Value = serde_json::from_slice(&self.post(body).await?).map_err(failed)?;
        let Some(minted) = answer.get("access_token").and_then(Value::as_str) else {
            let whole = format_args!("the broker refused its own demonstration: {answer}");
            return Err(Failure::new(Exit::Refused, whole));
        };
        let query = Query {
            request_id: answer["request_id"].as_str().map(str::to_owned),
            limit: 1,
            ..Query::default()
        };
        let records = self.running.audit(query).await.map_err(unreachable)?;
        let record = records
            .first()
            .map(|record| serde_json::from_str(&record.json));
        Ok(Exchanged {
            evidence: claims(token)?,
            credential: claims(minted)?,
            record: record.transpose().map_err(failed)?.unwrap_or_default(),
            answer,
        })
    }

    async fn post(&self, body: String) -> Result<Bytes, Failure> {
        let address = self.running.public();
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root_pem.as_bytes()).map_err(failed)?;
        roots.add(root).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::post("/oauth2/token")
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .map_err(failed)?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        Ok(answer
            .into_body()
            .collect()
            .await
            .map_err(failed)?
            .to_bytes())
    }

    fn rule_place(&self, record: &Value) -> String {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let place = self.rules.get(&(text("trust_domain"), text("rule")));
        place.cloned().unwrap_or_default()
    }

    fn as_json(&self, exchanged: &Exchanged) -> Value {
        let Exchanged {
            evidence,
            credential,
            answer,
            record,
        } = exchanged;
        json!({
            "kind": "exchange",
            "evidence": evidence,
            "trust_domain": record["trust_domain"],
            "identity": record["identity"],
            "rule": record["rule"],
            "rule_at": self.rule_place(record),
            "role": record["role"],
            "scope": answer["scope"],
            "target": answer["target"],
            "expires_in": answer["expires_in"],
            "credential": credential,
            "request_id": answer["request_id"],
        })
    }

    /// Tokens themselves are shown only as what they say.
    fn show(&self, number: usize, what: &str, exchanged: &Exchanged, output: &Output) {
        let Exchanged {
            evidence,
            credential,
            answer,
            record,
        } = exchanged;
        let word = |value: &Value| display(value.as_str().unwrap_or_default(), 200);
        let minutes = answer["expires_in"].as_u64().unwrap_or_default() / 60;
        output.text(format_args!(
            "{}\n  {}\n    {}\n  {} by rule {} of {} ({})\n    {}\n  {} for {} at {}, valid {minutes} min\n    {}\n",
            output.paint(Paint::Strong, format_args!("{number}. {what}")),
            output.paint(Paint::Faint, "in"),
            lines(evidence),
            output.paint(Paint::Good, "granted"),
            word(&record["rule"]),
            word(&record["trust_domain"]),
            self.rule_place(record),
            word(&answer["scope"]),
            output.paint(Paint::Faint, "out"),
            word(&answer["target"]["name"]),
            word(&answer["target"]["address"]),
            lines(credential),
        ));
    }

    /// What a Temporal server is started with so that it accepts what is minted.
    fn server_environment(&self) -> [(&'static str, String); 5] {
        let key_set = format!("{}/targets/{TARGET}/jwks.json", self.running.public_url());
        [
            ("TEMPORAL_AUTH_AUTHORIZER", "default".into()),
            ("TEMPORAL_AUTH_CLAIM_MAPPER", "default".into()),
            ("TEMPORAL_JWT_KEY_SOURCE1", key_set),
            ("TEMPORAL_JWT_KEY_REFRESH", "1m".into()),
            // The server fetches with the system's roots, and this one is private.
            ("SSL_CERT_FILE", format!("{}/ca.pem", self.folder.display())),
        ]
    }

    /// What a worker needs besides the credential itself.
    fn worker_environment() -> [(&'static str, &'static str); 3] {
        [
            ("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
            ("TEMPORAL_NAMESPACE", "payments"),
            // An API key turns TLS on unless it is turned off.
            ("TEMPORAL_TLS", "false"),
        ]
    }

    /// A fresh identity token and its exchange, in one line to paste.
    fn curl(&self) -> String {
        let (folder, broker, issuer) = (
            self.folder.display(),
            self.running.public_url(),
            &self.issuer.url,
        );
        format!(
            "curl -s --cacert {folder}/ca.pem {broker}/oauth2/token -d grant_type={GRANT} \
             -d subject_token_type={TYPE} -d audience={TARGET} \
             -d subject_token=$(curl -s --cacert {folder}/ca.pem -X POST {issuer}/token)"
        )
    }

    fn settings(&self) -> Value {
        json!({
            "kind": "settings",
            "folder": self.folder,
            "broker": self.running.public_url(),
            "issuer": self.issuer.url,
            "workload_api": format!("unix:{}", self.socket.display()),
            "server": HashMap::from(self.server_environment()),
            "worker": HashMap::from(Self::worker_environment()),
            "curl": self.curl(),
        })
    }

    /// What a server and a worker would be given.
    fn settle(&self, output: &Output) {
        let head = |text: &str| output.paint(Paint::Strong, text);
        let server = self
            .server_environment()
            .map(|(name, value)| format!("  {name}={value}"));
        let worker = Self::worker_environment().map(|(name, value)| format!("  {name}={value}"));
        output.text(format_args!(
            "{}\n{}\n\n{}\n{}\n  TEMPORAL_API_KEY=<access_token>\n",
            head("A Temporal server accepts these credentials with"),
            server.join("\n"),
            head("and a worker uses one with"),
            worker.join("\n"),
        ));
    }

    /// How to go on while it stays up.
    pub(super) fn invite(&self, output: &Output) {
        if output.is_json() {
            return;
        }
        let head = |text: &str| output.paint(Paint::Strong, text);
        let folder = self.folder.display();
        output.text(format_args!(
            "{}\n  {}\n\n{}\n  export SPIFFE_ENDPOINT_SOCKET=unix:{}\n\n{}\n  \
             assay audit tail --config {folder}/assay.yaml\n\n\
             Edit the files in {folder}: the broker takes them up. Stop with Ctrl-C.",
            head("Exchange a token yourself"),
            self.curl(),
            head("or fetch a JWT-SVID with any SPIFFE library"),
            self.socket.display(),
            head("and see what happened"),
        ));
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, error)
}

/// What a token says. It was made here, or by the broker for us.
fn claims(token: &str) -> Result<Value, Failure> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(failed)
}

/// One claim a line; times as times.
fn lines(claims: &Value) -> String {
    let Some(members) = claims.as_object() else {
        return claims.to_string();
    };
    let shown = |name: &str, value: &Value| match (value.as_i64(), value.as_str()) {
        (Some(secs), _) if ["iat", "nbf", "exp"].contains(&name) => {
            Moment::from_secs(secs).to_string()
        }
        (_, Some(text)) => text.to_owned(),
        _ => value.to_string(),
    };
    let line = |(name, value): (&String, &Value)| format!("{name:12} {}", shown(name, value));
    members.iter().map(line).collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shown_one_a_line_and_times_as_times() {
        let claims = json!({ "sub": "a", "exp": 1_790_000_000, "permissions": ["x:read"] });
        let shown = lines(&claims);
        for line in [
            "sub          a",
            "exp          2026-09-21T14:13:20",
            r#"permissions  ["x:read"]"#,
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }
}
