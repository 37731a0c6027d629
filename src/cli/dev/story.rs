//! What `assay dev` shows: what went in, what decided, what came out.

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::{
    Failure,
    output::{Exit, Output},
    serve::Running,
};

use super::{issuer::Issuer, workload_api::TrustDomain};

const TARGET: &str = "dev-cluster";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(super) struct Story<'a> {
    pub(super) folder: &'a Path,
    pub(super) socket: &'a Path,
    pub(super) issuer: &'a Issuer,
    pub(super) domain: &'a TrustDomain,
    pub(super) running: &'a Running,
    pub(super) root_pem: &'a str,
}

impl Story<'_> {
    /// Exchanges one token of each kind and shows each.
    pub(super) async fn tell(&self, output: &Output) -> Result<(), Failure> {
        if !output.is_json() {
            output.text(format_args!(
                "assay dev: a broker, an OIDC issuer and a SPIFFE trust domain, all on this machine\n\
                 \n  folder        {}\n  broker        {}\n  OIDC issuer   {}\n  Workload API  unix://{}\n",
                self.folder.display(),
                self.running.public_url(),
                self.issuer.url,
                self.socket.display(),
            ));
        }
        let audience = [self.issuer.audience.clone()];
        let evidence = [
            ("a CI job's identity token", self.issuer.token()),
            ("a workload's JWT-SVID", self.domain.svid(&audience)),
        ];
        for (number, (what, token)) in evidence.into_iter().enumerate() {
            let token = token.map_err(failed)?;
            let answer = self.exchange(&token).await?;
            show(number + 1, what, &token, &answer, output)?;
        }
        Ok(())
    }

    async fn exchange(&self, token: &str) -> Result<Value, Failure> {
        let form = [
            ("grant_type", GRANT),
            ("subject_token_type", TYPE),
            ("subject_token", token),
            ("audience", TARGET),
        ];
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let answer = self.post(body).await?;
        let value: Value = serde_json::from_slice(&answer).map_err(failed)?;
        if value.get("access_token").is_none() {
            let whole = format_args!("the broker refused its own demonstration: {value}");
            return Err(Failure::new(Exit::Refused, whole));
        }
        Ok(value)
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
        let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(connection);
        let request = Request::post("/oauth2/token")
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .map_err(failed)?;
        let answer = sender.send_request(request).await.map_err(failed)?;
        Ok(answer.into_body().collect().await.map_err(failed)?.to_bytes())
    }

    /// How to go on from here.
    pub(super) fn invite(&self, output: &Output) {
        let (broker, folder) = (self.running.public_url(), self.folder.display());
        output.note(format_args!(
            "Try it. A fresh identity token, then the exchange:\n\
             \n  TOKEN=$(curl -s --cacert {folder}/ca.pem -X POST {issuer}/token)\n  \
             curl -s --cacert {folder}/ca.pem {broker}/oauth2/token \\\n    \
             -d grant_type={GRANT} \\\n    -d subject_token_type={TYPE} \\\n    \
             -d audience={TARGET} --data-urlencode subject_token=$TOKEN\n\
             \nA SPIFFE client library finds the Workload API by\n\
             \n  export SPIFFE_ENDPOINT_SOCKET=unix://{socket}\n\
             \nA Temporal server accepts what is minted with\n\
             \n  TEMPORAL_AUTH_AUTHORIZER=default TEMPORAL_AUTH_CLAIM_MAPPER=default\n  \
             TEMPORAL_JWT_KEY_SOURCE1={broker}/targets/{TARGET}/jwks.json\n  \
             TEMPORAL_JWT_KEY_REFRESH=1m SSL_CERT_FILE={folder}/ca.pem\n\
             \nand a worker uses it with\n\
             \n  export TEMPORAL_ADDRESS=127.0.0.1:7233 TEMPORAL_NAMESPACE=payments TEMPORAL_TLS=false\n  \
             export TEMPORAL_API_KEY=$ACCESS_TOKEN\n\
             \nThe configuration is in {folder}: edit it, and the broker takes it up.\n\
             What happened is in the audit:  assay audit --config {folder}/assay.yaml query\n\
             \nStop with Ctrl-C.",
            issuer = self.issuer.url,
            socket = self.socket.display(),
        ));
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, error)
}

/// One exchange: the claims that went in and came out. Tokens themselves are
/// shown only as what they say.
fn show(
    number: usize,
    what: &str,
    token: &str,
    answer: &Value,
    output: &Output,
) -> Result<(), Failure> {
    let minted = answer["access_token"].as_str().unwrap_or_default();
    let (evidence, credential) = (claims(token)?, claims(minted)?);
    if output.is_json() {
        output.json(&serde_json::json!({
            "evidence": evidence,
            "scope": answer["scope"],
            "target": answer["target"],
            "expires_in": answer["expires_in"],
            "credential": credential,
            "request_id": answer["request_id"],
        }));
        return Ok(());
    }
    output.text(format_args!(
        "{number}. {what}\n   in    {}\n   rule  grants {}\n   out   {}\n   for   {} ({}), {} s\n",
        lines(&evidence),
        answer["scope"].as_str().unwrap_or_default(),
        lines(&credential),
        answer["target"]["name"].as_str().unwrap_or_default(),
        answer["target"]["address"].as_str().unwrap_or_default(),
        answer["expires_in"],
    ));
    Ok(())
}

fn claims(token: &str) -> Result<Value, Failure> {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(failed)
}

fn lines(claims: &Value) -> String {
    let Some(members) = claims.as_object() else {
        return claims.to_string();
    };
    let line = |(name, value): (&String, &Value)| format!("{name:12} {value}");
    members.iter().map(line).collect::<Vec<_>>().join("\n         ")
}
