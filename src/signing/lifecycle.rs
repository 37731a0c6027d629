//! When a key goes from one phase to the next: pure functions of time.

use std::time::Duration;

use crate::{
    base::clock::Moment,
    model::{Target, Ttl},
};

use super::{KeyRecord, Phase};

/// Added to every period: a server's fetch takes a while, clocks of several
/// processes differ a little, and a request in flight signs with the key that
/// it was given.
const SLACK: Duration = Duration::from_secs(15);

/// Longest time for which a process relies on what it last read from the store.
///
/// Another process may have begun a rotation meanwhile, so both promises wait
/// this long; in return, a store that is away for that long stops neither
/// signing nor the key sets. An hour where keys live for weeks, less where
/// rotations are to be quick.
pub(super) fn view_limit(target: &Target) -> Duration {
    const LEAST: Duration = Duration::from_secs(15);
    const MOST: Duration = Duration::from_secs(3600);
    (target.key_lifetime.duration() / 8).clamp(LEAST, MOST)
}

/// How long a key is published before it signs.
pub(super) fn publication(target: &Target) -> Duration {
    target.jwks_refresh.duration() + view_limit(target) + SLACK
}

/// How long a key is published after it has stopped signing.
pub(super) fn retirement(target: &Target, longest: Ttl) -> Duration {
    longest.duration() + view_limit(target) + SLACK
}

/// A key that is not retired, with what its record alone does not say.
pub(super) struct Aged<'a> {
    pub(super) record: &'a KeyRecord,
    /// How long it has been in its phase.
    pub(super) age: Duration,
    /// The longest lifetime of any token that it may have signed.
    pub(super) longest: Ttl,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a key that begins in this phase.
    Make(Phase),
    /// Move the key of that id to this phase.
    Move(String, Phase),
    /// Note that the key of that id may sign tokens as long as the target now allows.
    Lengthen(String),
}

/// What is due for a target, to be done in one transaction; more may be due
/// after it. `keys` are those that are not retired.
pub(super) fn due(keys: &[Aged<'_>], target: &Target, now: Moment) -> Vec<Step> {
    // Before any token of the new length is signed, and alone: a record is
    // changed once in a transaction.
    let short = keys.iter().filter(|key| key.longest < target.max_ttl);
    let steps: Vec<_> = short.map(|key| Step::Lengthen(kid(key))).collect();
    if !steps.is_empty() {
        return steps;
    }
    let mut steps = takeover(keys, target, now);
    for key in of(keys, Phase::Retiring) {
        let rest = retirement(target, key.longest);
        // By both clocks: tokens expire by the wall, which may have gone back.
        if key.age >= rest && now >= key.record.since.plus(rest) {
            steps.push(Step::Move(kid(key), Phase::Retired));
        }
    }
    steps
}

fn takeover(keys: &[Aged<'_>], target: &Target, now: Moment) -> Vec<Step> {
    let active = of(keys, Phase::Active);
    let next = of(keys, Phase::Next);
    let mut steps = Vec::new();
    match (active.as_slice(), next.as_slice()) {
        ([], []) => steps.push(Step::Make(Phase::Next)),
        // The first key of all. Another process may be here at the same time
        // with a key of its own: withdrawing every other candidate together
        // with the choice makes one of the two transactions fail.
        ([], [first, others @ ..]) => {
            steps.extend(others.iter().map(|k| Step::Move(kid(k), Phase::Retired)));
            steps.push(Step::Move(kid(first), Phase::Active));
        }
        ([active, surplus @ ..], next) => {
            steps.extend(surplus.iter().map(|k| Step::Move(kid(k), Phase::Retiring)));
            if let [first, others @ ..] = next {
                steps.extend(others.iter().map(|k| Step::Move(kid(k), Phase::Retired)));
                if first.age >= publication(target) {
                    steps.push(Step::Move(kid(active), Phase::Retiring));
                    steps.push(Step::Move(kid(first), Phase::Active));
                }
            } else if is_old(active, target, now) {
                steps.push(Step::Make(Phase::Next));
            }
        }
    }
    steps
}

/// Whether the next key is to be published.
fn is_old(active: &Aged<'_>, target: &Target, now: Moment) -> bool {
    let lead = publication(target);
    active.age >= target.key_lifetime.duration().saturating_sub(lead)
        || active.record.signing != target.signing
        // The clock was wrong when it became active: its age is unknown.
        || active.record.since > now.plus(lead)
}

/// When a key goes to its next phase, as far as that is known.
pub(super) fn change_at(key: &KeyRecord, target: &Target, longest: Option<Ttl>) -> Option<Moment> {
    let period = match key.phase {
        Phase::Next => publication(target),
        Phase::Active => target.key_lifetime.duration(),
        Phase::Retiring => retirement(target, longest?),
        Phase::Retired => return None,
    };
    Some(key.since.plus(period))
}

/// The keys in a phase, oldest first: every process sees the same order.
fn of<'k, 'r>(keys: &'k [Aged<'r>], phase: Phase) -> Vec<&'k Aged<'r>> {
    let mut found: Vec<_> = keys.iter().filter(|k| k.record.phase == phase).collect();
    found.sort_by(|a, b| {
        let order = |k: &Aged<'r>| (k.record.created_at, k.record.kid.clone());
        order(a).cmp(&order(b))
    });
    found
}

fn kid(key: &Aged<'_>) -> String {
    key.record.kid.clone()
}

#[cfg(test)]
mod tests {
    use super::{super::memory::target, *};
    use crate::model::TargetSigning;

    const NOW: Moment = Moment::from_secs(1_000_000);

    fn record(kid: &str, phase: Phase, created: i64) -> KeyRecord {
        KeyRecord {
            target: "prod".parse().unwrap(),
            kid: kid.into(),
            signing: TargetSigning::Es256,
            phase,
            created_at: Moment::from_secs(created),
            since: Moment::from_secs(created),
            public_jwk: String::new(),
            sealed: Vec::new(),
        }
    }

    fn steps(keys: &[(KeyRecord, Duration)]) -> Vec<Step> {
        let target = target();
        let aged: Vec<_> = keys
            .iter()
            .map(|(record, age)| Aged {
                record,
                age: *age,
                longest: target.max_ttl,
            })
            .collect();
        due(&aged, &target, NOW)
    }

    fn to(kid: &str, phase: Phase) -> Step {
        Step::Move(kid.into(), phase)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn periods_are_longer_than_what_they_wait_for() {
        let target = target();
        assert!(publication(&target) >= target.jwks_refresh.duration() + Duration::from_secs(10));
        let kept = retirement(&target, Ttl::secs(900));
        assert!(kept >= Duration::from_secs(900 + 10));
        let quick = Target {
            key_lifetime: Ttl::secs(60),
            ..target.clone()
        };
        assert_eq!(view_limit(&quick), Duration::from_secs(15));
        let slow = Target {
            key_lifetime: Ttl::secs(30 * 86_400),
            ..target
        };
        assert_eq!(view_limit(&slow), Duration::from_secs(3600));
    }

    #[test]
    fn the_first_key_is_made_and_takes_over_without_waiting() {
        assert_eq!(steps(&[]), [Step::Make(Phase::Next)]);
        let one = record("a", Phase::Next, 10);
        assert_eq!(
            steps(&[(one.clone(), Duration::ZERO)]),
            [to("a", Phase::Active)]
        );
        // Two processes at once: the same choice in both, against the other key.
        let two = record("b", Phase::Next, 5);
        assert_eq!(
            steps(&[(one, Duration::ZERO), (two, Duration::ZERO)]),
            [to("a", Phase::Retired), to("b", Phase::Active)]
        );
    }

    #[test]
    fn a_next_key_takes_over_when_it_was_published_long_enough() {
        let lead = publication(&target());
        let active = (record("a", Phase::Active, 1), SECOND);
        let next = |age| (record("b", Phase::Next, 2), age);
        assert_eq!(steps(&[active.clone(), next(lead - SECOND)]), []);
        assert_eq!(
            steps(&[active, next(lead)]),
            [to("a", Phase::Retiring), to("b", Phase::Active)]
        );
    }

    #[test]
    fn the_next_key_is_published_in_time_for_the_end_of_the_active_one() {
        let early = target().key_lifetime.duration() - publication(&target());
        let active = record("a", Phase::Active, 1);
        assert_eq!(steps(&[(active.clone(), early - SECOND)]), []);
        assert_eq!(steps(&[(active, early)]), [Step::Make(Phase::Next)]);
    }

    #[test]
    fn another_algorithm_or_an_unknown_age_begins_a_rotation() {
        let mut other = record("a", Phase::Active, 1);
        other.signing = TargetSigning::Rs256;
        assert_eq!(steps(&[(other, SECOND)]), [Step::Make(Phase::Next)]);
        let future = record("a", Phase::Active, 2_000_000);
        assert_eq!(steps(&[(future, SECOND)]), [Step::Make(Phase::Next)]);
    }

    #[test]
    fn a_retiring_key_is_withdrawn_when_both_clocks_agree() {
        let rest = retirement(&target(), target().max_ttl);
        let active = (record("a", Phase::Active, 900_000), SECOND);
        let old = (record("b", Phase::Retiring, 1), rest);
        assert_eq!(
            steps(&[active.clone(), old.clone()]),
            [to("b", Phase::Retired)]
        );
        let young = (record("b", Phase::Retiring, 1), rest - SECOND);
        assert_eq!(steps(&[active.clone(), young]), []);
        let by_the_wall = (record("b", Phase::Retiring, NOW.secs()), rest);
        assert_eq!(steps(&[active, by_the_wall]), []);
    }

    #[test]
    fn surplus_keys_are_put_away() {
        let zero = Duration::ZERO;
        assert_eq!(
            steps(&[
                (record("a", Phase::Active, 900_000), SECOND),
                (record("c", Phase::Next, 900_002), zero),
                (record("b", Phase::Next, 900_001), zero),
            ]),
            [to("c", Phase::Retired)]
        );
        assert_eq!(
            steps(&[
                (record("b", Phase::Active, 900_001), SECOND),
                (record("a", Phase::Active, 900_000), SECOND),
            ]),
            [to("b", Phase::Retiring)]
        );
    }

    #[test]
    fn a_longer_lifetime_is_noted_before_anything_else() {
        let target = target();
        let record = record("a", Phase::Active, 1);
        let aged = |longest| Aged {
            record: &record,
            age: target.key_lifetime.duration(),
            longest,
        };
        let short = Ttl::secs(target.max_ttl.as_secs() - 1);
        assert_eq!(
            due(&[aged(short)], &target, NOW),
            [Step::Lengthen("a".into())]
        );
        let long = Ttl::secs(target.max_ttl.as_secs() + 1);
        assert_eq!(
            due(&[aged(long)], &target, NOW),
            [Step::Make(Phase::Next)],
            "never shortened"
        );
    }
}
