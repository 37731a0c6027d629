//! One entry, without a runtime: what it keeps, takes and refuses.

use super::*;
use crate::{
    base::outbound::FetchError,
    jose::{KeyUse, Lookup, Signer as _},
    keys::{document, fakes},
    model::Ttl,
};

const START: Duration = Duration::from_secs(1000);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn entry(uses: KeyUse) -> Arc<Entry> {
    Arc::new(Entry::cold(1, fakes::spec("a.example", uses)))
}

fn status(status: u16, retry_after: Option<u64>) -> KeyFault {
    KeyFault::Fetch(FetchError::Status {
        status,
        retry_after,
    })
}

impl Entry {
    /// Takes a document after that many seconds.
    fn take(&self, text: &str, after: u64) -> Duration {
        let result = document::read(&self.spec, text.as_bytes());
        self.settle(result, fakes::NOW.plus(secs(after)), START + secs(after))
    }

    fn fail(&self, fault: KeyFault, after: u64) -> Duration {
        self.settle(
            Err(fault),
            fakes::NOW.plus(secs(after)),
            START + secs(after),
        )
    }

    fn has(&self, kid: &str) -> bool {
        matches!(self.snapshot().keys.lookup(Some(kid)), Lookup::Found(_))
    }

    fn error(&self) -> Option<KeyFault> {
        self.state().last_error.clone()
    }
}

#[test]
fn a_cold_entry_is_not_usable_and_has_no_keys() {
    let entry = entry(KeyUse::Signature);
    assert!(entry.is_cold());
    assert!(!entry.usable(fakes::NOW, START));
    assert!(entry.snapshot().keys.is_empty());
    assert_eq!(entry.snapshot().good_at, None);
}

#[test]
fn a_new_set_replaces_the_old_one_whole() {
    let (old, new) = (fakes::key(), fakes::key());
    let entry = entry(KeyUse::Signature);
    entry.take(&fakes::set_of(&[&old]), 0);
    assert!(entry.has(old.kid()));
    entry.take(&fakes::set_of(&[&new]), 1);
    assert!(entry.has(new.kid()));
    assert!(!entry.has(old.kid()), "a withdrawn key must not stay");
    assert_eq!(entry.snapshot().good_at, Some(fakes::NOW.plus(secs(1))));
}

#[test]
fn a_fault_keeps_the_last_good_set() {
    let key = fakes::key();
    let entry = entry(KeyUse::Signature);
    entry.take(&fakes::set_of(&[&key]), 0);
    for bad in ["", "{}", r#"{"keys":[]}"#, "<html>"] {
        entry.take(bad, 5);
        assert!(entry.has(key.kid()), "{bad}");
        assert!(entry.error().is_some(), "{bad}");
    }
    assert_eq!(entry.snapshot().good_at, Some(fakes::NOW));
    let health = entry.health(fakes::NOW, START, None);
    assert_eq!((health.fetches, health.failures), (5, 4));
    assert!(health.usable);
    entry.take(&fakes::set_of(&[&key]), 9);
    assert_eq!(entry.error(), None);
}

#[test]
fn a_set_is_good_until_max_stale_by_either_clock() {
    let entry = entry(KeyUse::Signature);
    entry.take(&fakes::set_of(&[&fakes::key()]), 0);
    let day = 24 * 3600;
    let usable =
        |wall: u64, uptime: u64| entry.usable(fakes::NOW.plus(secs(wall)), START + secs(uptime));
    assert!(usable(0, 0));
    assert!(usable(day, day));
    assert!(!usable(day + 1, day + 1));
    assert!(!usable(day + 1, 0), "the machine slept");
    let back = fakes::NOW.minus(secs(10 * day));
    assert!(entry.usable(back, START + secs(day)));
    assert!(
        !entry.usable(back, START + secs(day + 1)),
        "a wall clock set back must not keep keys alive"
    );
}

#[test]
fn a_failed_attempt_does_not_confirm() {
    let entry = entry(KeyUse::Signature);
    entry.take(&fakes::set_of(&[&fakes::key()]), 0);
    let day = 24 * 3600;
    entry.fail(status(500, None), day);
    assert!(!entry.usable(fakes::NOW.plus(secs(day + 1)), START + secs(day + 1)));
    entry.take(&fakes::set_of(&[&fakes::key()]), day);
    assert!(entry.usable(fakes::NOW.plus(secs(day + 1)), START + secs(day + 1)));
}

#[test]
fn a_bundle_without_keys_is_obeyed() {
    let key = fakes::key();
    let entry = entry(KeyUse::JwtSvid);
    entry.take(&fakes::bundle_of(&[&key], 1), 0);
    assert!(entry.has(key.kid()));
    entry.take(&fakes::bundle_of(&[], 2), 1);
    assert!(!entry.has(key.kid()));
    assert!(
        entry.usable(fakes::NOW, START),
        "an empty bundle is an answer"
    );
    assert_eq!(entry.error(), None);
}

#[test]
fn a_bundle_with_a_lower_sequence_is_not_taken() {
    let (old, new) = (fakes::key(), fakes::key());
    let entry = entry(KeyUse::JwtSvid);
    entry.take(&fakes::bundle_of(&[&new], 7), 0);
    entry.take(&fakes::bundle_of(&[&old], 6), 1);
    assert_eq!(
        entry.error(),
        Some(KeyFault::SequenceLower { held: 7, found: 6 })
    );
    assert!(entry.has(new.kid()) && !entry.has(old.kid()));
    assert_eq!(entry.snapshot().good_at, Some(fakes::NOW));
}

#[test]
fn a_bundle_with_the_same_a_higher_or_no_sequence_is_taken() {
    let entry = entry(KeyUse::JwtSvid);
    entry.take(&fakes::bundle_of(&[&fakes::key()], 7), 0);
    for (sequence, held) in [(Some(7), 7), (Some(8), 8), (None, 8)] {
        let key = fakes::key();
        let text = match sequence {
            Some(n) => fakes::bundle_of(&[&key], n),
            None => format!(r#"{{"keys":[{}]}}"#, fakes::svid_jwk(&key)),
        };
        entry.take(&text, 1);
        assert_eq!(entry.error(), None);
        assert!(entry.has(key.kid()), "{sequence:?}");
        assert_eq!(entry.state().sequence, Some(held));
    }
}

#[test]
fn a_publisher_that_counts_anew_is_believed_once_the_held_bundle_is_stale() {
    let key = fakes::key();
    let entry = entry(KeyUse::JwtSvid);
    entry.take(&fakes::bundle_of(&[&fakes::key()], 7), 0);
    let day = 24 * 3600;
    entry.take(&fakes::bundle_of(&[&key], 1), day);
    assert!(!entry.has(key.kid()));
    entry.take(&fakes::bundle_of(&[&key], 1), day + 1);
    assert!(entry.has(key.kid()));
    assert_eq!(entry.state().sequence, Some(1));
}

#[test]
fn the_wait_follows_hint_and_failures() {
    let entry = entry(KeyUse::JwtSvid);
    assert_eq!(
        entry.take(r#"{"keys":[],"spiffe_refresh_hint":60}"#, 0),
        secs(60)
    );
    assert_eq!(entry.fail(status(500, None), 1), secs(2));
    assert_eq!(entry.fail(status(500, None), 2), secs(4));
    assert_eq!(entry.fail(status(429, Some(100)), 3), secs(100));
    assert_eq!(entry.take(r#"{"keys":[]}"#, 4), secs(300));
    assert_eq!(entry.fail(status(500, None), 5), secs(2));
}

#[test]
fn u_29_the_cool_down_counts_from_before_the_fetch_and_through_failures() {
    let entry = entry(KeyUse::Signature);
    let at = |n: u64| entry.begin_for_token(START + secs(n));
    let guard = match at(0) {
        Some(Flight::Ours(guard)) => guard,
        _ => panic!("the first token may cause a fetch"),
    };
    assert!(matches!(at(1), Some(Flight::Theirs(_))), "later ones join");
    entry.fail(status(500, None), 2);
    drop(guard);
    assert!(at(3).is_none(), "a failure does not shorten the cool-down");
    assert!(at(29).is_none());
    assert!(matches!(at(30), Some(Flight::Ours(_))));
    assert!(at(31).is_none(), "nor does an attempt that was dropped");
}

#[test]
fn u_07_a_token_does_not_disturb_a_server_that_wants_rest() {
    let entry = entry(KeyUse::Signature);
    let at = |n: u64| entry.begin_for_token(START + secs(n));
    entry.fail(status(429, Some(100)), 0);
    assert!(at(99).is_none());
    assert!(at(100).is_some());
    entry.fail(status(503, Some(u64::MAX)), 200);
    assert!(at(200 + 3599).is_none());
    assert!(at(200 + 3600).is_some(), "an hour at most");
    entry.fail(status(503, Some(3600)), 4000);
    entry.take(&fakes::set_of(&[&fakes::key()]), 4001);
    assert!(at(4001).is_some(), "a success ends it");
}

#[test]
fn one_attempt_at_a_time_and_its_end_is_seen() {
    let entry = entry(KeyUse::Signature);
    let Flight::Ours(guard) = entry.begin() else {
        panic!("nothing is under way")
    };
    let Flight::Theirs(ended) = entry.begin() else {
        panic!("an attempt is under way")
    };
    assert!(ended.has_changed().is_ok());
    drop(guard);
    assert!(ended.has_changed().is_err(), "the channel closed");
    assert!(matches!(entry.begin(), Flight::Ours(_)));
}

#[test]
fn another_pace_goes_on_with_the_same_keys() {
    let key = fakes::key();
    let old = entry(KeyUse::JwtSvid);
    old.take(&fakes::bundle_of(&[&key], 7), 0);
    let spec = Spec {
        cool_down: Ttl::secs(1),
        ..old.spec.clone()
    };
    let next = Entry::continuing(2, spec, &old);
    assert!(next.has(key.kid()));
    assert!(next.usable(fakes::NOW, START));
    assert_eq!(next.state().sequence, Some(7));
}
