//! One function for each promise, and what they share.

use std::time::Duration;

use assay::{
    base::clock::Moment,
    ledger::{ChainState, Chained, Entry, Lease, Ledger, LedgerError, Query, Record, SingleUse},
};

mod commits;
mod keys;
mod pruning;
mod records;
mod switches;

pub(crate) use self::{commits::*, keys::*, pruning::*, records::*, switches::*};

/// When every store begins.
pub(crate) const NOW: Moment = Moment::from_secs(1_790_000_000);

/// Far more than any promise allows, so that only a broken one ends a wait.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Makes a test of every promise for one backend.
macro_rules! promises {
    ($backend:ident) => {
        $crate::promises::promises! { $backend:
            k_01_of_64_concurrent_uses_exactly_one_succeeds
            k_01_a_use_is_single_across_replicas
            a_used_token_disturbs_nobody_in_its_transaction
            p_03_the_same_digest_in_another_trust_domain_is_another_use
            p_05_a_use_counts_whatever_else_the_entry_says
            a_refused_entry_burns_nothing
            what_was_acknowledged_is_there_after_reopening
            concurrent_commits_make_one_chain
            records_are_chained_by_the_documented_formula
            the_chain_of_an_empty_ledger_is_intact
            k_05_a_plan_that_was_replaced_commits_nothing
            k_07_each_switch_stops_what_it_names_and_nothing_else
            k_07_a_switch_stops_every_later_commit_of_every_replica
            a_switch_is_seen_by_every_replica_within_five_seconds
            switches_survive_reopening
            denials_are_recorded_whatever_is_switched
            a_record_of_any_size_up_to_the_cap_is_kept_whole
            records_are_found_by_what_they_say
            the_chain_can_be_followed
            leases_are_listed_until_they_expire
            keys_are_saved_and_loaded_again
            keys_are_compared_before_they_are_set
            of_two_rotations_one_wins
            p_09_pruning_forgets_no_use_before_its_time
            f_13_a_jump_of_the_clock_forgets_no_use
            pruning_keeps_the_chain
            the_time_of_creation_stays
            dropping_a_commit_leaves_a_whole_ledger
        }
    };
    ($backend:ident: $($promise:ident)*) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::promises::$promise($crate::$backend()).await;
                }
            )*
        }
    };
}
pub(crate) use promises;

/// A record with that text.
pub(crate) fn record(json: &str) -> Record {
    Record { json: json.into() }
}

/// The use of one token.
pub(crate) fn single_use(token: u8) -> SingleUse {
    SingleUse {
        trust_domain: "github".into(),
        digest: [token; 32],
        until: NOW.plus(Duration::from_secs(600)),
    }
}

/// A lease of 900 seconds.
pub(crate) fn lease(id: &str) -> Lease {
    Lease {
        id: id.into(),
        target: "prod".into(),
        subject: "repo:acme/app".into(),
        issuer: Some("https://issuer.test".into()),
        trust_domain: "github".into(),
        rule: "deploy".into(),
        expires_at: NOW.plus(Duration::from_secs(900)),
    }
}

/// A whole exchange.
pub(crate) fn entry(token: u8) -> Entry {
    Entry {
        single_use: Some(single_use(token)),
        lease: Some(lease(&format!("lease-{token}"))),
        audit: record(&format!("{{\"request_id\":\"{token}\"}}")),
        fence: None,
    }
}

/// A record alone.
pub(crate) fn plain(json: &str) -> Entry {
    Entry {
        single_use: None,
        lease: None,
        audit: record(json),
        fence: None,
    }
}

/// How many records there are in a chain that must be intact.
pub(crate) async fn records(ledger: &dyn Ledger) -> u64 {
    match ledger.verify_chain().await.unwrap() {
        ChainState::Intact { records, .. } => records,
        broken => panic!("{broken:?}"),
    }
}

/// All records.
pub(crate) async fn all(ledger: &dyn Ledger) -> Vec<Chained> {
    ledger.audit(Query::default()).await.unwrap()
}

/// Whether a kill switch was the reason.
pub(crate) fn is_disabled(result: &Result<(), LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Disabled(_)))
}
