//! What must be remembered, and what it promises.
//!
//! A credential is worth what can be said about it afterwards. So one exchange
//! is one durable commit that holds all there is to remember: that its token
//! was used, the lease, and the audit record. The commit stands before the
//! credential, never after it: if the ledger cannot be written, nothing is
//! issued.
//!
//! The promises, each a test in `tests/ledger_promises.rs` that every backend
//! passes:
//!
//! - What [`Ledger::commit`] acknowledged survives the death of the process
//!   and of the machine.
//! - Of any number of commits with the same single use, exactly one succeeds,
//!   also across processes. The others fail alone: they record nothing and
//!   disturb nothing that shares their transaction. The refusal is an outcome
//!   of its own, and the exchange records it by a second commit.
//! - No lease is committed after a kill switch that stops it, or after the
//!   plan behind its [`Fence`] was replaced.
//! - Audit records form a [`chain`]: one that was changed, removed or moved is
//!   found, and where.
//! - A ledger in trouble answers [`LedgerError::Unavailable`] soon, queues
//!   within bounds, and heals without a restart when the trouble ends.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    base::{BoxFuture, clock::Moment},
    model::Reason,
    signing::KeyStore,
};

pub mod chain;
mod sqlite;

pub use sqlite::Sqlite;

/// What one exchange asks the ledger to make durable, in one transaction.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The token's single use, where its trust domain has that on.
    pub single_use: Option<SingleUse>,
    /// The credential that is about to be minted; nothing for a refusal.
    pub lease: Option<Lease>,
    /// The audit record of the outcome.
    pub audit: Record,
    /// What the decision was made from, if the commit is to fail once that
    /// has been replaced.
    pub fence: Option<Fence>,
}

/// A use that may happen once until `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleUse {
    /// Whose token it is: two trust domains never share a use.
    pub trust_domain: String,
    /// SHA-256 of the token's header and payload (not its signature: an ECDSA
    /// signature can be changed into another valid one).
    pub digest: [u8; 32],
    /// When the token is refused for its age anyway: its expiry and the leeway
    /// that is given to it.
    pub until: Moment,
}

/// One credential: to whom, by which rule, until when.
///
/// Its fields are also what kill switches are compared with when it is
/// committed, so no way to a lease can leave that check out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The credential's own id.
    pub id: String,
    /// The target's name.
    pub target: String,
    /// The identity's canonical subject.
    pub subject: String,
    /// The issuer of the evidence, where it has one.
    pub issuer: Option<String>,
    /// The trust domain's configured name.
    pub trust_domain: String,
    /// The rule's name inside its trust domain.
    pub rule: String,
    /// When the credential expires.
    pub expires_at: Moment,
}

/// One audit record before it is chained: its JSON object text without chain
/// members, encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The text, at most [`MAX_RECORD`] bytes.
    pub json: String,
}

/// Longest audit record, in bytes. Everything in a record is bounded by what
/// was read from the request, so a longer one is a fault.
pub const MAX_RECORD: usize = 256 * 1024;

/// A commit's proof that its decision still stands.
///
/// The counter behind it counts replacements of the plan. Whoever replaces the
/// plan puts the new one in place first and calls [`Fence::advance`] after;
/// whoever decides takes the fence first and reads the plan after. Then a
/// commit that finds the counter unmoved was decided by the plan in force.
#[derive(Clone, Debug)]
pub struct Fence {
    counter: Arc<AtomicU64>,
    seen: u64,
}

impl Fence {
    /// Remembers where the counter stands now.
    pub fn take(counter: &Arc<AtomicU64>) -> Self {
        Self {
            seen: counter.load(Ordering::SeqCst),
            counter: Arc::clone(counter),
        }
    }

    /// Makes every fence that was taken before fail.
    pub fn advance(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the counter has not moved since.
    pub fn holds(&self) -> bool {
        self.counter.load(Ordering::SeqCst) == self.seen
    }
}

/// Why nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The single use was used before.
    #[error("the token was used before")]
    Replayed,
    /// A kill switch stops this lease.
    #[error("disabled by a kill switch: {0}")]
    Disabled(String),
    /// The plan was replaced since the decision: decide again.
    #[error("the policy was replaced while the exchange was under way: decide again")]
    Changed,
    /// The ledger could not be written or read. Nothing of it happened.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
}

/// What a kill switch stops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Switch {
    /// Every identity of this issuer.
    Issuer(String),
    /// Every identity of this trust domain.
    TrustDomain(String),
    /// Every grant by this rule.
    Rule {
        /// The trust domain that the rule belongs to.
        trust_domain: String,
        /// The rule's name.
        rule: String,
    },
    /// This one identity.
    Subject(String),
    /// Every credential for this target.
    Target(String),
}

impl std::fmt::Display for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |name: &str| crate::base::text::display(name, 256);
        match self {
            Self::Issuer(name) => write!(f, "issuer {}", show(name)),
            Self::TrustDomain(name) => write!(f, "trust domain {}", show(name)),
            Self::Rule { trust_domain, rule } => {
                write!(
                    f,
                    "rule {} of trust domain {}",
                    show(rule),
                    show(trust_domain)
                )
            }
            Self::Subject(name) => write!(f, "subject {}", show(name)),
            Self::Target(name) => write!(f, "target {}", show(name)),
        }
    }
}

/// All kill switches that are on, as of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// How often they have been changed.
    pub epoch: u64,
    /// Those that are on.
    pub on: BTreeSet<Switch>,
}

impl Switches {
    /// The first switch that stops this lease.
    pub fn stops(&self, lease: &Lease) -> Option<Switch> {
        if self.on.is_empty() {
            return None;
        }
        let issuer = lease.issuer.clone().map(Switch::Issuer);
        let others = [
            Switch::TrustDomain(lease.trust_domain.clone()),
            Switch::Rule {
                trust_domain: lease.trust_domain.clone(),
                rule: lease.rule.clone(),
            },
            Switch::Subject(lease.subject.clone()),
            Switch::Target(lease.target.clone()),
        ];
        issuer
            .into_iter()
            .chain(others)
            .find(|switch| self.on.contains(switch))
    }
}

/// Which audit records to read. All that is given must match.
///
/// The four text filters look at the record's member of that name: a string
/// that equals the text, or an object that has a string member which does.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Recorded at this moment or later.
    pub since: Option<Moment>,
    /// Recorded before this moment.
    pub until: Option<Moment>,
    /// The member `outcome`.
    pub outcome: Option<String>,
    /// The member `reason`.
    pub reason: Option<Reason>,
    /// The member `request_id`.
    pub request_id: Option<String>,
    /// The member `identity`.
    pub identity: Option<String>,
    /// The member `rule`.
    pub rule: Option<String>,
    /// The member `target`.
    pub target: Option<String>,
    /// Only records after this one: the oldest that match, to follow the
    /// chain. Without it: the newest that match.
    pub after_sequence: Option<u64>,
    /// How many at most; 0, or more than [`MAX_ANSWER`], is [`MAX_ANSWER`].
    pub limit: u32,
}

/// Most records or leases in one answer.
pub const MAX_ANSWER: u32 = 10_000;

/// A chained record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chained {
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// The hash of the record before it ([`chain::GENESIS`] for the first).
    pub previous: [u8; 32],
    /// Its own hash, as [`chain::link`] makes it.
    pub hash: [u8; 32],
    /// The record's text.
    pub json: String,
}

/// The outcome of verifying the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Every record is as it was written.
    Intact {
        /// How many there are.
        records: u64,
        /// The hash of the last. Whoever keeps it elsewhere can prove later
        /// that the chain up to here was not rewritten as a whole.
        head: [u8; 32],
    },
    /// The chain does not hold.
    Broken {
        /// The first record that is not as it must be.
        sequence: u64,
        /// What was expected there and what was found.
        what: String,
    },
}

/// The ledger.
pub trait Ledger: KeyStore {
    /// Durable when it returns `Ok`; nothing of it happened when it returns an
    /// error. Concurrent commits share a transaction and its fsync.
    ///
    /// A caller that drops the future before the answer does not know: the
    /// entry may have been recorded or not. It must not mint.
    fn commit(&self, entry: Entry) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// The kill switches, at most 5 s old: one atomic load.
    fn switches(&self) -> Arc<Switches>;

    /// Turns a kill switch on or off, with its audit record. Turning on what
    /// is on is recorded and changes nothing.
    fn set_switch(
        &self,
        switch: Switch,
        on: bool,
        audit: Record,
    ) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// The records that match, in the order of the chain.
    fn audit(&self, query: Query) -> BoxFuture<'_, Result<Vec<Chained>, LedgerError>>;

    /// Reads the whole chain and checks it.
    fn verify_chain(&self) -> BoxFuture<'_, Result<ChainState, LedgerError>>;

    /// The newest leases that expire after `live_at`, newest first; `limit` as
    /// in [`Query::limit`].
    fn leases(&self, live_at: Moment, limit: u32)
    -> BoxFuture<'_, Result<Vec<Lease>, LedgerError>>;

    /// Whether the last write succeeded (for `/readyz/ledger`).
    fn healthy(&self) -> bool;

    /// When this ledger was created: a token from before may have been used
    /// in a ledger that was lost.
    fn created_at(&self) -> Moment {
        Moment::from_millis(i64::MIN)
    }

    /// Deletes what no promise needs any more: single uses whose time is over
    /// by more than a margin. Audit records, and the leases in them, stay.
    fn prune(&self, now: Moment) -> BoxFuture<'_, Result<u64, LedgerError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease {
            id: "l1".into(),
            target: "prod".into(),
            subject: "repo:acme/app".into(),
            issuer: Some("https://issuer.test".into()),
            trust_domain: "github".into(),
            rule: "deploy".into(),
            expires_at: Moment::from_secs(1_000),
        }
    }

    fn on(switch: Switch) -> Switches {
        Switches {
            epoch: 1,
            on: BTreeSet::from([switch]),
        }
    }

    #[test]
    fn each_kind_of_switch_stops_its_own_leases_and_no_others() {
        let rule = |trust_domain: &str, rule: &str| Switch::Rule {
            trust_domain: trust_domain.into(),
            rule: rule.into(),
        };
        for switch in [
            Switch::Issuer("https://issuer.test".into()),
            Switch::TrustDomain("github".into()),
            rule("github", "deploy"),
            Switch::Subject("repo:acme/app".into()),
            Switch::Target("prod".into()),
        ] {
            assert_eq!(on(switch.clone()).stops(&lease()), Some(switch));
        }
        for switch in [
            Switch::Issuer("https://issuer.test/".into()),
            Switch::TrustDomain("prod".into()),
            rule("gitlab", "deploy"),
            rule("github", "read"),
            Switch::Subject("repo:acme".into()),
            Switch::Target("github".into()),
        ] {
            assert_eq!(on(switch.clone()).stops(&lease()), None, "{switch}");
        }
        assert_eq!(Switches::default().stops(&lease()), None);
    }

    #[test]
    fn an_issuer_switch_says_nothing_about_evidence_without_an_issuer() {
        let lease = Lease {
            issuer: None,
            ..lease()
        };
        assert_eq!(on(Switch::Issuer(String::new())).stops(&lease), None);
    }

    #[test]
    fn a_fence_holds_until_the_counter_moves() {
        let counter = Arc::new(AtomicU64::new(7));
        let fence = Fence::take(&counter);
        assert!(fence.holds());
        Fence::advance(&counter);
        assert!(!fence.holds());
        assert!(Fence::take(&counter).holds());
    }

    #[test]
    fn a_switch_is_shown_on_one_line() {
        let text = Switch::Subject("a\nb".into()).to_string();
        assert_eq!(text, "subject a\\u{a}b");
    }
}
