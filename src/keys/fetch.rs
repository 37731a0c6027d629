//! One attempt to get a document, from wherever the spec says.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use url::Url;

use crate::base::{
    clock::Clock,
    file,
    outbound::{FetchError, Outbound, Request},
};

use super::{
    KeyFault, Source, Spec, discovery,
    document::{self, Document},
};

/// Fetches and reads the keys of `spec`. The deadline is for all of it:
/// discovery and the key set together.
pub(super) async fn attempt(
    spec: &Spec,
    outbound: &dyn Outbound,
    clock: &dyn Clock,
    deadline: Duration,
) -> Result<Document, KeyFault> {
    let start = clock.uptime();
    let get = async |url: &Url, max_bytes: usize| -> Result<Bytes, FetchError> {
        let spent = clock.uptime().saturating_sub(start);
        let request = Request {
            url: url.clone(),
            max_bytes,
            deadline: deadline.saturating_sub(spent),
        };
        Ok(outbound.get(&spec.peer, request).await?.body)
    };
    let bytes = match &spec.source {
        Source::Discovery(issuer) => {
            let found = get(issuer.discovery().url(), discovery::MAX_BYTES)
                .await
                .map_err(KeyFault::DiscoveryFetch)?;
            let uri = discovery::jwks_uri(issuer, &found)?;
            get(uri.url(), document::MAX_BYTES)
                .await
                .map_err(KeyFault::Fetch)?
        }
        Source::File(path) => {
            let (path, spec) = (path.clone(), spec.clone());
            let read = move || read_file(&spec, &path);
            return tokio::task::spawn_blocking(read)
                .await
                .unwrap_or_else(|_| Err(KeyFault::Abandoned));
        }
        Source::Url(url) => get(url.url(), document::MAX_BYTES)
            .await
            .map_err(KeyFault::Fetch)?,
    };
    document::read(spec, &bytes)
}

/// Reads the keys of `spec` from a file, at once.
pub(super) fn read_file(spec: &Spec, path: &Path) -> Result<Document, KeyFault> {
    let bytes =
        file::read_capped(path, document::MAX_BYTES as u64).map_err(|e| KeyFault::File {
            path: path.to_owned(),
            why: e.to_string(),
        })?;
    document::read(spec, &bytes)
}
