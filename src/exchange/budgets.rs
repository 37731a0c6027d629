//! How many credentials one identity, one trust domain and one target may have.
//!
//! One valid identity must not be able to fill the ledger or starve the others
//! (denial of wallet). Counted after the decision, on the canonical subject, so
//! that no two spellings of one identity have two budgets.

use std::time::Duration;

use crate::{base::budget::Buckets, model::Reason, policy::Grant};

use super::refusal::Refusal;

/// A refill rate and how much may be saved up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second, 1 to 1,000,000.
    pub per_second: u32,
    /// Most tokens at once, 1 to 1,000,000.
    pub burst: u32,
}

/// The budgets of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Of one canonical subject.
    pub identity: Rate,
    /// Of one trust domain.
    pub trust_domain: Rate,
    /// Of one target.
    pub target: Rate,
}

impl Default for BudgetLimits {
    /// An identity that starts a hundred replicas at once is honest; one that
    /// keeps asking ten times a second is not.
    fn default() -> Self {
        Self {
            identity: Rate {
                per_second: 10,
                burst: 200,
            },
            trust_domain: Rate {
                per_second: 2_000,
                burst: 10_000,
            },
            target: Rate {
                per_second: 5_000,
                burst: 20_000,
            },
        }
    }
}

/// Buckets for identities; a few more than a large fleet has.
const IDENTITIES: usize = 65_536;
/// Buckets for trust domains and targets.
const NAMES: usize = 8_192;

pub(super) struct Budgets {
    identity: Buckets,
    trust_domain: Buckets,
    target: Buckets,
}

impl Budgets {
    pub(super) fn new(limits: BudgetLimits) -> Self {
        let buckets = |slots, rate: Rate| Buckets::new(slots, rate.per_second, rate.burst);
        Self {
            identity: buckets(IDENTITIES, limits.identity),
            trust_domain: buckets(NAMES, limits.trust_domain),
            target: buckets(NAMES, limits.target),
        }
    }

    /// Spends one of each, narrowest first: a subject that has used up its own
    /// does not eat into what it shares with others.
    pub(super) fn spend(&self, grant: &Grant, uptime: Duration) -> Result<(), Refusal> {
        let identity = grant.identity();
        let spend = |buckets: &Buckets, key: &str| {
            buckets.take(key.as_bytes(), uptime).map_err(|wait| {
                Refusal::later(Reason::BudgetExceeded, wait.as_secs().saturating_add(1))
            })
        };
        spend(&self.identity, identity.subject())?;
        spend(&self.trust_domain, identity.trust_domain().name.as_str())?;
        spend(&self.target, grant.target().name.as_str())
    }

    /// Gives back what [`Self::spend`] took for a credential that does not come
    /// to be: whoever shows a used token again must not lock out its owner.
    pub(super) fn give_back(&self, grant: &Grant, uptime: Duration) {
        let identity = grant.identity();
        for (buckets, key) in [
            (&self.identity, identity.subject()),
            (&self.trust_domain, identity.trust_domain().name.as_str()),
            (&self.target, grant.target().name.as_str()),
        ] {
            buckets.give_back(key.as_bytes(), uptime);
        }
    }
}
