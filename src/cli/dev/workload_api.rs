//! A SPIFFE Workload API on a Unix socket, for one made-up trust domain.
//!
//! It serves the JWT profile (SPIFFE Workload API specification, section 6): any
//! process that can open the socket is the same workload. Real agents attest
//! their callers; this one is for a machine that has no agent.

use std::{convert::Infallible, io, path::Path, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use prost::Message;
use tokio::net::UnixListener;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, BoxStream, tokio_stream},
    server::{Grpc, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use crate::{
    base::clock::Clock,
    jose::{self, LocalKey, Signer as _},
    model::SpiffeId,
};

/// How long an SVID of this trust domain lives, as SPIRE's do by default.
const SVID_TTL: Duration = Duration::from_secs(300);

/// The header without which the specification refuses a call (section 3.1): it
/// keeps a browser or a proxy from being tricked into making one.
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// A trust domain with one workload and one JWT authority.
pub(super) struct TrustDomain {
    pub(super) workload: SpiffeId,
    pub(super) key: LocalKey,
    pub(super) clock: Arc<dyn Clock>,
}

impl TrustDomain {
    /// A JWT-SVID of the workload.
    pub(super) fn svid(&self, audience: &[String]) -> Result<String, jose::SignError> {
        let now = self.clock.now();
        let claims = serde_json::json!({
            "sub": self.workload.as_str(),
            "aud": audience,
            "iat": now.secs(),
            "exp": now.plus(SVID_TTL).secs(),
        });
        jose::encode(&self.key, "JWT", claims.to_string().as_bytes())
    }

    /// The bundle as a JWK set. With `uses`, as a SPIFFE bundle document
    /// publishes it; the Workload API's own answer has no `use` (measured).
    pub(super) fn bundle(&self, uses: bool) -> String {
        let mut key: serde_json::Value =
            serde_json::from_str(self.key.public_jwk()).unwrap_or_default();
        if let Some(key) = key.as_object_mut() {
            key.remove("alg");
            key.remove("use");
            if uses {
                key.insert("use".into(), "jwt-svid".into());
            }
        }
        match uses {
            true => serde_json::json!({
                "keys": [key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300
            }),
            false => serde_json::json!({ "keys": [key] }),
        }
        .to_string()
    }
}

#[derive(Clone, PartialEq, Message)]
struct SvidRequest {
    #[prost(string, repeated, tag = "1")]
    audience: Vec<String>,
    #[prost(string, tag = "2")]
    spiffe_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct SvidResponse {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<Svid>,
}

#[derive(Clone, PartialEq, Message)]
struct Svid {
    #[prost(string, tag = "1")]
    spiffe_id: String,
    #[prost(string, tag = "2")]
    svid: String,
    #[prost(string, tag = "3")]
    hint: String,
}

#[derive(Clone, PartialEq, Message)]
struct BundlesRequest {}

#[derive(Clone, PartialEq, Message)]
struct BundlesResponse {
    #[prost(map = "string, bytes", tag = "1")]
    bundles: std::collections::HashMap<String, Vec<u8>>,
}

struct FetchSvid(Arc<TrustDomain>);

impl UnaryService<SvidRequest> for FetchSvid {
    type Response = SvidResponse;
    type Future = BoxFuture<tonic::Response<SvidResponse>, Status>;

    fn call(&mut self, request: tonic::Request<SvidRequest>) -> Self::Future {
        let domain = Arc::clone(&self.0);
        Box::pin(async move {
            secured(&request)?;
            let request = request.into_inner();
            if request.audience.iter().all(String::is_empty) {
                return Err(Status::invalid_argument("audience must not be empty"));
            }
            if !matches!(request.spiffe_id.as_str(), "")
                && request.spiffe_id != domain.workload.as_str()
            {
                return Err(Status::permission_denied("no identity issued"));
            }
            let svid = (domain.svid(&request.audience))
                .map_err(|_| Status::internal("the SVID could not be signed"))?;
            Ok(tonic::Response::new(SvidResponse {
                svids: vec![Svid {
                    spiffe_id: domain.workload.to_string(),
                    svid,
                    hint: "dev".into(),
                }],
            }))
        })
    }
}

struct FetchBundles(Arc<TrustDomain>);

impl ServerStreamingService<BundlesRequest> for FetchBundles {
    type Response = BundlesResponse;
    type ResponseStream = BoxStream<BundlesResponse>;
    type Future = BoxFuture<tonic::Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: tonic::Request<BundlesRequest>) -> Self::Future {
        use tokio_stream::StreamExt as _;
        let domain = Arc::clone(&self.0);
        Box::pin(async move {
            secured(&request)?;
            let id = format!("spiffe://{}", domain.workload.trust_domain());
            let bundles = [(id, domain.bundle(false).into_bytes())].into();
            // The keys never change, so the stream stays open after its first message.
            let stream =
                tokio_stream::once(Ok(BundlesResponse { bundles })).chain(tokio_stream::pending());
            Ok(tonic::Response::new(
                Box::pin(stream) as Self::ResponseStream
            ))
        })
    }
}

fn secured<T>(request: &tonic::Request<T>) -> Result<(), Status> {
    match request.metadata().get(SECURITY_HEADER) {
        Some(value) if value == "true" => Ok(()),
        _ => Err(Status::invalid_argument(
            "the metadata workload.spiffe.io: true is required",
        )),
    }
}

/// Serves on the socket until dropped.
pub(super) async fn serve(socket: &Path, domain: Arc<TrustDomain>) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let domain = Arc::clone(&domain);
        tokio::spawn(async move {
            let service = service_fn(move |request| route(Arc::clone(&domain), request));
            // A client that goes away in the middle is its own affair.
            let _ = auto::Builder::new(TokioExecutor::new())
                .http2_only()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn route(
    domain: Arc<TrustDomain>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/SpiffeWorkloadAPI/FetchJWTSVID" => {
            let codec = ProstCodec::<SvidResponse, SvidRequest>::default();
            Grpc::new(codec).unary(FetchSvid(domain), request).await
        }
        "/SpiffeWorkloadAPI/FetchJWTBundles" => {
            let codec = ProstCodec::<BundlesResponse, BundlesRequest>::default();
            Grpc::new(codec)
                .server_streaming(FetchBundles(domain), request)
                .await
        }
        _ => Status::unimplemented("this Workload API serves the JWT profile only").into_http(),
    })
}
