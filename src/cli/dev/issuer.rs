//! An OpenID Connect issuer on loopback: discovery, JWKS and tokens over HTTPS.
//!
//! It stands for a CI system. `POST /token` gives an identity token to anybody
//! on this machine, as a CI system gives one to any job; its claims say which
//! repository and environment the job belongs to.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    base::{
        clock::Clock,
        random::{self, Random},
    },
    jose::{self, LocalKey, Signer as _},
};

/// How long an identity token of this issuer lives, as GitHub's do.
const TOKEN_TTL: Duration = Duration::from_secs(300);

/// The issuer.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) audience: String,
    pub(super) key: LocalKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl Issuer {
    /// A fresh identity token of the demonstration job.
    pub(super) fn token(&self) -> Result<String, jose::SignError> {
        let now = self.clock.now();
        let id = u64::from_be_bytes(random::bytes(self.random.as_ref()));
        let claims = serde_json::json!({
            "iss": self.url,
            "aud": self.audience,
            "sub": "project:payments:environment:production",
            "jti": format!("{id:016x}"),
            "iat": now.secs(),
            "nbf": now.secs(),
            "exp": now.plus(TOKEN_TTL).secs(),
            "project_id": "4711",
            "environment": "production",
            "branch": "main",
        });
        jose::encode(&self.key, "JWT", claims.to_string().as_bytes())
    }

    fn discovery(&self) -> String {
        let url = &self.url;
        serde_json::json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "id_token_signing_alg_values_supported": [self.key.algorithm().as_str()],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        })
        .to_string()
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        match (method, path) {
            (&Method::GET, "/.well-known/openid-configuration") => json(self.discovery()),
            (&Method::GET, "/jwks") => json(format!(r#"{{"keys":[{}]}}"#, self.key.public_jwk())),
            (&Method::POST, "/token") => match self.token() {
                Ok(token) => text(StatusCode::OK, token),
                Err(fault) => text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()),
            },
            _ => text(StatusCode::NOT_FOUND, "nothing here\n".to_owned()),
        }
    }
}

fn json(body: String) -> Response<Full<Bytes>> {
    with_type(StatusCode::OK, "application/json", body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    with_type(status, "text/plain", body)
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Serves until dropped.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    issuer: Arc<Issuer>,
) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, issuer) = (acceptor.clone(), Arc::clone(&issuer));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = issuer.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that goes away in the middle is its own affair.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
