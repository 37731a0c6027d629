//! The bare server: the same TLS and HTTP stack, verify and sign, nothing else.
//!
//! No policy, no ledger, no limits: what the broker is measured against.

use std::{convert::Infallible, io::Write as _, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::floor::{self, Pair};

/// Serves until killed. Says its address on stdout.
pub(crate) fn serve(tls: rustls::ServerConfig, incoming: Pair, outgoing: Pair) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        writeln!(std::io::stdout(), "{address}").expect("stdout");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let pairs = Arc::new((incoming, outgoing));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let (acceptor, pairs) = (acceptor.clone(), Arc::clone(&pairs));
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| answer(Arc::clone(&pairs), request));
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

async fn answer(
    pairs: Arc<(Pair, Pair)>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request
        .into_body()
        .collect()
        .await
        .map(|b| b.to_bytes())
        .unwrap_or_default();
    let token = std::str::from_utf8(&body)
        .ok()
        .and_then(|form| {
            form.split('&')
                .find_map(|pair| pair.strip_prefix("subject_token="))
        })
        .and_then(|token| floor::exchange(token, &pairs.0, &pairs.1));
    let (status, body) = match token {
        Some(token) => (
            200,
            format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#),
        ),
        None => (400, r#"{"error":"invalid_request"}"#.to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}
