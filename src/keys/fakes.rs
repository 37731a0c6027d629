//! What the tests of this room share: keys, and a way out that answers from
//! memory.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, watch};

use crate::{
    base::{
        BoxFuture,
        clock::Moment,
        outbound::{FetchError, Outbound, Peer, Request, Response},
    },
    jose::{Algorithm, KeyUse, LocalKey, Signer as _},
    model::TrustDomainName,
};

use super::{Source, Spec};

pub(super) const NOW: Moment = Moment::from_secs(1_790_000_000);

pub(super) fn key() -> LocalKey {
    LocalKey::generate(Algorithm::Es256).unwrap()
}

pub(super) fn svid_jwk(key: &LocalKey) -> String {
    let sig = r#""use":"sig""#;
    assert!(key.public_jwk().contains(sig));
    key.public_jwk().replace(sig, r#""use":"jwt-svid""#)
}

pub(super) fn set_of(keys: &[&LocalKey]) -> String {
    let list: Vec<&str> = keys.iter().map(|k| k.public_jwk()).collect();
    format!(r#"{{"keys":[{}]}}"#, list.join(","))
}

pub(super) fn bundle_of(keys: &[&LocalKey], sequence: u64) -> String {
    let list: Vec<String> = keys.iter().map(|k| svid_jwk(k)).collect();
    format!(
        r#"{{"keys":[{}],"spiffe_sequence":{sequence}}}"#,
        list.join(",")
    )
}

pub(super) fn name(text: &str) -> TrustDomainName {
    text.parse().unwrap()
}

/// The spec of a key set at `https://<host>/keys`.
pub(super) fn spec(host: &str, uses: KeyUse) -> Spec {
    let url = format!("https://{host}/keys").parse().unwrap();
    Spec::new(Source::Url(url), uses, vec![Algorithm::Es256])
}

/// Answers from memory; an unknown host cannot be connected to.
pub(super) struct FakeOutbound {
    answers: Mutex<HashMap<String, Result<String, FetchError>>>,
    hits: watch::Sender<HashMap<String, usize>>,
    /// Requests pass one permit each: close it to zero to hold them back.
    pub(super) gate: Semaphore,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl FakeOutbound {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            hits: watch::Sender::default(),
            gate: Semaphore::new(1_000_000),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    /// Nobody passes until permits are added.
    pub(super) fn held() -> Arc<Self> {
        let outbound = Self::new();
        outbound.gate.forget_permits(1_000_000);
        outbound
    }

    pub(super) fn answer(&self, host: &str, answer: Result<String, FetchError>) {
        self.answers.lock().unwrap().insert(host.to_owned(), answer);
    }

    pub(super) fn hits(&self, host: &str) -> usize {
        self.hits.borrow().get(host).copied().unwrap_or(0)
    }

    /// How many requests came, for any host.
    pub(super) fn all_hits(&self) -> usize {
        self.hits.borrow().values().sum()
    }

    /// Waits until that many requests came, for any host.
    pub(super) async fn arrived(&self, count: usize) {
        let mut hits = self.hits.subscribe();
        let reached = hits.wait_for(|hits| hits.values().sum::<usize>() >= count);
        drop(reached.await.unwrap());
    }

    /// How many requests were under way at the same time, at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Outbound for FakeOutbound {
    fn get<'a>(
        &'a self,
        _peer: &'a Peer,
        request: Request,
    ) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            let host = request.url.host_str().unwrap().to_owned();
            let counted = host.clone();
            self.hits
                .send_modify(|hits| *hits.entry(counted).or_default() += 1);
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.now.fetch_sub(1, Ordering::SeqCst);
            let answer = self.answers.lock().unwrap().get(&host).cloned();
            let body = answer.unwrap_or(Err(FetchError::Connect))?;
            Ok(Response { body: body.into() })
        })
    }
}
