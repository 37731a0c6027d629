//! When a key goes from one phase to the next: a pure function of time.
//!
//! Temporal reads a target's key set on a plain ticker and never because of an
//! unknown key (measured), and it has no leeway. So a key must have been in the
//! set for a whole refresh interval before the first token is signed with it,
//! and must stay until the last token signed with it has expired.

use std::time::Duration;

use crate::{base::clock::Moment, model::{Target, Ttl}};

use super::{KeyRecord, Phase};

/// Added to every period: the fetch itself, and the second or two by which
/// several brokers on one ledger lag behind each other.
pub(super) const SLACK: Duration = Duration::from_secs(10);

/// How long a key is published before it signs.
pub(super) fn publication(target: &Target) -> Duration {
    target.jwks_refresh.duration().saturating_add(SLACK)
}

/// How long a key that signs no more stays published.
pub(super) fn retirement(longest: Ttl) -> Duration {
    longest.duration().saturating_add(SLACK * 3)
}

/// What is due for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A new key in this phase.
    Make(Phase),
    /// The key of that id goes to this phase.
    Move(String, Phase),
}

/// What is due now. Applied in order, in one transaction.
pub(super) fn due(keys: &[&KeyRecord], target: &Target, longest: Ttl, now: Moment) -> Vec<Due> {
    let mut due = Vec::new();
    let of = |phase: Phase| keys.iter().filter(move |key| key.phase == phase);
    let rests = |key: &&&KeyRecord, period: Duration| now.since(key.since) >= period;
    let active = of(Phase::Active).max_by_key(|key| key.since);
    let ready = of(Phase::Next).find(|key| rests(key, publication(target)));
    match (active, ready) {
        // Nobody can have an older set of this target: the first key needs no
        // publication period, and a new target works at once.
        (None, None) if of(Phase::Next).next().is_none() => due.push(Due::Make(Phase::Active)),
        // Without an active key (a compromised one was withdrawn by hand) the
        // next one is the best there is, published long enough or not.
        (None, _) => {
            let next = ready.or_else(|| of(Phase::Next).next());
            due.extend(next.map(|key| Due::Move(key.kid.clone(), Phase::Active)));
        }
        (Some(active), Some(next)) => {
            due.push(Due::Move(active.kid.clone(), Phase::Retiring));
            due.push(Due::Move(next.kid.clone(), Phase::Active));
        }
        (Some(active), None) => {
            let early = target.key_lifetime.duration().saturating_sub(publication(target));
            let wanted = active.signing == target.signing;
            if of(Phase::Next).next().is_none() && (rests(&active, early) || !wanted) {
                due.push(Due::Make(Phase::Next));
            }
        }
    }
    for key in of(Phase::Retiring).filter(|key| rests(key, retirement(longest))) {
        due.push(Due::Move(key.kid.clone(), Phase::Retired));
    }
    due
}

/// When a key's next phase begins, as far as that is known.
pub(super) fn next_change(key: &KeyRecord, target: &Target, longest: Ttl) -> Option<Moment> {
    let period = match key.phase {
        Phase::Next => publication(target),
        Phase::Active => target.key_lifetime.duration(),
        Phase::Retiring => retirement(longest),
        Phase::Retired => return None,
    };
    Some(key.since.plus(period))
}
