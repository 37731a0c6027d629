//! The oracle: what must hold of every refusal, and of the good token beside it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use assay::{
    base::clock::{Clock, SystemClock},
    ledger::{Ledger as _, Query, Record, Sqlite, Switch},
    model::Reason,
};
use serde_json::Value;

use crate::support::{
    broker::{Files, Reply, TestBroker},
    fake_issuer::FakeIssuer,
    tokens::Token,
};

/// Budgets that no test meets by accident.
pub(crate) const WIDE: &str = "  budgets:\n    perAddress: { rate: 100000, burst: 100000 }\n    \
    perIdentity: { rate: 100000, burst: 100000 }\n";

/// Refusals of evidence whose signature did not verify.
const UNVERIFIED: &[Reason] = &[
    Reason::TokenMalformed,
    Reason::MemberDuplicated,
    Reason::AlgorithmNotAllowed,
    Reason::HeaderNotAllowed,
    Reason::TypeNotAllowed,
    Reason::KeyIdMissing,
    Reason::KeyUnknown,
    Reason::SignatureInvalid,
    Reason::IssuerUnknown,
];

/// One attack: its id in the catalogue and what sets it apart, the token, and
/// the reason for which it must be refused.
pub(crate) struct Bad {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) reason: Reason,
}

/// A row of a table.
pub(crate) fn bad(id: impl Into<String>, token: impl Into<String>, reason: Reason) -> Bad {
    Bad {
        id: id.into(),
        token: token.into(),
        reason,
    }
}

/// A broker and its ledger, seen from outside.
pub(crate) struct Rig {
    pub(crate) broker: TestBroker,
    ledger: Arc<Sqlite>,
    /// The last audit record that a test has looked at.
    seen: AtomicU64,
}

impl Rig {
    /// The trust domain `issuer-a` under the standard rules.
    pub(crate) async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let files = Files::new();
        files.oidc(
            "issuer-a",
            &issuer,
            "    singleUse: true\n",
            crate::support::broker::RULES,
        );
        Self::on(files, issuer).await
    }

    /// A broker on these files, with [`WIDE`] budgets.
    pub(crate) async fn on(mut files: Files, issuer: FakeIssuer) -> Self {
        files.more.push_str(WIDE);
        Self::over(TestBroker::on(files, issuer, Arc::new(SystemClock::new())).await)
    }

    /// A running broker.
    pub(crate) fn over(broker: TestBroker) -> Self {
        let path = broker.files.folder.path().join("ledger.db");
        Self {
            broker,
            ledger: Sqlite::open_read_only(&path).expect("the ledger opens"),
            seen: AtomicU64::new(0),
        }
    }

    /// A good token of `wl:ok`, to be spoilt.
    pub(crate) fn good(&self) -> Token {
        Token::new(self.broker.claims("wl:ok"))
    }

    /// The ledger, as another replica or the command line opens it.
    pub(crate) fn replica(&self) -> Arc<Sqlite> {
        let path = self.broker.files.folder.path().join("ledger.db");
        Sqlite::open(&path, Arc::new(SystemClock::new()) as Arc<dyn Clock>).expect("it opens")
    }

    /// The audit records since the last look, oldest first.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let query = Query {
            after_sequence: Some(self.seen.load(Ordering::SeqCst)),
            ..Query::default()
        };
        let found = self.ledger.audit(query).await.expect("the audit reads");
        if let Some(last) = found.last() {
            self.seen.store(last.sequence, Ordering::SeqCst);
        }
        let parse = |json: &str| serde_json::from_str(json).expect("a record is JSON");
        found.iter().map(|record| parse(&record.json)).collect()
    }

    /// How many credentials there are.
    pub(crate) async fn credentials(&self) -> usize {
        let live = self.ledger.leases(self.broker.now(), 0).await;
        live.expect("the leases read").len()
    }

    /// Exchanges a good token: the positive control.
    pub(crate) async fn grants(&self, id: &str, token: &str) -> Value {
        self.records().await;
        let before = self.credentials().await;
        let reply = self.broker.exchange(token).await;
        let json = reply.json();
        assert_eq!(reply.status, 200, "{id}: {json}");
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "{id}: {records:?}");
        let record = records.remove(0);
        assert_eq!(record["outcome"], "issued", "{id}");
        assert_eq!(record["request_id"], json["request_id"], "{id}");
        assert_eq!(self.credentials().await, before + 1, "{id}");
        record
    }

    /// Exchanges a bad token, and asserts everything that a refusal promises.
    pub(crate) async fn refuses(&self, id: &str, token: &str, reason: Reason) -> Value {
        self.records().await;
        let before = self.credentials().await;
        let reply = self.broker.exchange(token).await;
        let record = self.is_recorded_refusal(id, &reply, reason).await;
        assert_eq!(
            self.credentials().await,
            before,
            "{id}: something was minted"
        );
        if let Some((_, signature)) = token.rsplit_once('.').filter(|(_, s)| s.len() > 20) {
            for text in [reply.text(), &record.to_string()] {
                assert!(
                    !text.contains(signature),
                    "{id}: the signature is in {text}"
                );
            }
        }
        record
    }

    /// Asserts the answer of a refusal, and that exactly one record says the same.
    pub(crate) async fn is_recorded_refusal(
        &self,
        id: &str,
        reply: &Reply,
        reason: Reason,
    ) -> Value {
        is_refusal(id, reply, reason);
        let json = reply.json();
        // Even where a trust domain explains everything: not to whoever proved nothing.
        assert!(
            !UNVERIFIED.contains(&reason) || json.get("mismatch").is_none(),
            "{id}: {json}"
        );
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "{id}: {records:?}");
        let record = records.remove(0);
        let outcome = match reason.class().is_temporary() {
            true => "failed",
            false => "refused",
        };
        assert_eq!(record["outcome"], outcome, "{id}: {record}");
        assert_eq!(record["reason"], reason.code(), "{id}: {record}");
        assert_eq!(record["request_id"], json["request_id"], "{id}");
        assert!(
            record["credential"].is_null() && record["scope"].is_null(),
            "{id}: {record}"
        );
        record
    }

    /// Every row is refused, and the good twin passes before, between and after.
    pub(crate) async fn table(&self, twin: impl Fn(&Self) -> String, rows: Vec<Bad>) {
        let ids: BTreeSet<_> = rows.iter().map(|row| row.id.clone()).collect();
        assert_eq!(ids.len(), rows.len(), "each row has a name of its own");
        self.grants("before", &twin(self)).await;
        for row in rows {
            self.refuses(&row.id, &row.token, row.reason).await;
            self.grants(&row.id, &twin(self)).await;
        }
    }

    /// [`Rig::table`] with the good token of `wl:ok` as the twin.
    pub(crate) async fn refuses_all(&self, rows: Vec<Bad>) {
        self.table(|rig| rig.broker.token("wl:ok"), rows).await;
    }

    /// Throws a kill switch from another replica.
    pub(crate) async fn switch(&self, switch: Switch, on: bool) {
        let record = Record {
            json: r#"{"kind":"switch"}"#.into(),
        };
        self.replica()
            .set_switch(switch, on, record)
            .await
            .expect("it is thrown");
    }
}

/// Asserts the status, the error, the reason, the fixed words and the headers.
pub(crate) fn is_refusal(id: &str, reply: &Reply, reason: Reason) {
    let json = reply.json();
    let class = reason.class();
    assert_eq!(reply.status, class.status(), "{id}: {json}");
    assert_eq!(json["error"], class.as_str(), "{id}: {json}");
    assert_eq!(json["reason"], reason.code(), "{id}: {json}");
    // The very words of the reason: nothing that was sent is echoed in them.
    assert_eq!(json["error_description"], reason.description(), "{id}");
    assert!(json.get("access_token").is_none(), "{id}: {json}");
    assert_eq!(reply.headers["cache-control"], "no-store", "{id}");
    assert_eq!(reply.headers["content-type"], "application/json", "{id}");
}
