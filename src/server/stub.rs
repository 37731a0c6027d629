//! An application of a few lines, for the tests of this room.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{
    admission::AddressKey,
    app::{AdminRequest, Answer, App, Check, Peer},
    limits::Limits,
    shared::{Activity, Conn, Kind, Shared},
};
use crate::exchange::Form;
use crate::{
    base::{
        BoxFuture,
        clock::{ManualClock, Moment},
        random::Random,
    },
    model::{Reason, RequestId},
};

/// Remembers what it was asked, and answers with fixed things.
#[derive(Default)]
pub(super) struct Stub {
    pub(super) seen: Mutex<Vec<String>>,
    pub(super) is_sick: bool,
}

impl Stub {
    fn note(&self, text: String) {
        self.seen.lock().unwrap().push(text);
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl App for Stub {
    fn token(&self, form: Form, peer: Peer, _: RequestId) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            assert_ne!(form.get("scope"), Some("panic"), "asked to panic");
            self.note(format!("token {form:?} {}", peer.address));
            Answer::json(200, r#"{"access_token":"t"}"#)
        })
    }

    fn refused(&self, reason: Reason, peer: &Peer, _: RequestId) {
        let agent = peer.user_agent.as_deref().unwrap_or("-");
        self.note(format!("refused {reason} {agent}"));
    }

    fn target_jwks(&self, target: &str) -> Option<Bytes> {
        (target == "prod").then_some(Bytes::from_static(br#"{"keys":[1]}"#))
    }

    fn broker_jwks(&self) -> Bytes {
        Bytes::from_static(br#"{"keys":[2]}"#)
    }

    fn metadata(&self) -> Bytes {
        Bytes::from_static(br#"{"issuer":"x"}"#)
    }

    fn readiness(&self) -> Vec<Check> {
        vec![Check {
            name: "ledger".into(),
            ok: !self.is_sick,
            detail: "seen".into(),
        }]
    }

    fn metrics(&self) -> String {
        "app_total 1\n# EOF\n".into()
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'_, Answer> {
        Box::pin(async move { Answer::json(200, format!(r#"{{"did":"{request:?}"}}"#)) })
    }
}

/// Draws zeros.
struct Zeros;

impl Random for Zeros {
    fn fill(&self, dest: &mut [u8]) {
        dest.fill(0);
    }
}

/// A connection of an HTTP/1.1 client at 192.0.2.1, and what it is made of.
pub(super) struct Bench {
    pub(super) app: Arc<Stub>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) conn: Conn,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        Self::with(kind, Limits::default(), Stub::default())
    }

    pub(super) fn with(kind: Kind, limits: Limits, app: Stub) -> Self {
        let app = Arc::new(app);
        let clock = Arc::new(ManualClock::at(Moment::from_secs(1_790_000_000)));
        let shared = Shared::new(app.clone(), clock.clone(), Arc::new(Zeros), limits);
        let address = [192, 0, 2, 1].into();
        Self {
            app,
            clock,
            conn: Conn {
                shared: Arc::new(shared),
                kind,
                address,
                key: AddressKey::of(address),
                is_http1: true,
                activity: Activity::default(),
            },
        }
    }
}
