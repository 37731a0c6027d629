//! The checks that every token's claims go through, in their order.
//!
//! Each is a small function that either passes or says what it compared. They
//! see verified claims only, of which the types are checked here and nowhere
//! coerced: a string where a number belongs is refused, not read as absent.

use crate::{
    base::clock::Moment,
    model::{Json, Reason},
};

use super::{Profile, Rejection, Selector, TokenType, TrustDomain};

/// Longest `jti`, in bytes.
const MAX_TOKEN_ID: usize = 256;

/// Verified claims and what they are judged by.
pub(super) struct Case<'c> {
    pub(super) claims: &'c Json,
    pub(super) domain: &'c TrustDomain,
    pub(super) kind: TokenType,
    pub(super) now: Moment,
}

/// A named check.
type Step = (&'static str, fn(&Case<'_>) -> Result<(), Rejection>);

/// The checks, in order.
pub(super) const STEPS: &[Step] = &[
    ("bearer", bearer),
    ("issuer", issuer),
    ("audience", audience),
    ("expiry", expiry),
    ("issue time", issue_time),
    ("not before", not_before),
    ("lifetime", lifetime),
    ("age", age),
    ("subject", subject),
    ("token id", token_id),
];

/// A token bound to a key is worth nothing without a proof of that key, and a
/// security event or logout token is a message, not a proof of identity
/// (RFC 8725 section 3.12). Neither always has a `typ` of its own.
fn bearer(case: &Case<'_>) -> Result<(), Rejection> {
    for claim in ["cnf", "events"] {
        if case.claims.get(claim).is_some() {
            return Err(Rejection::new(Reason::TokenKindRefused, claim)
                .found("present")
                .wanted("a token that proves an identity by itself"));
        }
    }
    Ok(())
}

fn issuer(case: &Case<'_>) -> Result<(), Rejection> {
    let found = text(case.claims, "iss")?;
    if let Some(found) = found
        && found == case.domain.own_issuer.as_str()
    {
        return Err(Rejection::new(Reason::TokenSelfIssued, "iss").found(found));
    }
    match case.domain.source.selector() {
        Selector::Issuer(wanted) => {
            let found = found.ok_or_else(|| missing("iss"))?;
            if found != wanted.as_str() {
                return Err(Rejection::new(Reason::IssuerUnknown, "iss")
                    .found(found)
                    .wanted(wanted.as_str()));
            }
            Ok(())
        }
        // Nothing vouches for the `iss` of a JWT-SVID: the trust domain is the
        // one of its subject, and that picked the keys.
        Selector::Spiffe(_) => Ok(()),
    }
}

/// Exactly us, and nobody else: a token that several services accept can be
/// replayed here by any of them.
fn audience(case: &Case<'_>) -> Result<(), Rejection> {
    let wanted = || case.domain.audiences.join(" or ");
    let found = match case.claims.get("aud") {
        None => return Err(missing("aud").wanted(wanted())),
        Some(Json::Text(audience)) => audience,
        Some(Json::List(items)) => {
            let texts: Option<Vec<_>> = items.iter().map(Json::as_text).collect();
            match texts.as_deref() {
                Some([audience]) => *audience,
                Some(several) => {
                    return Err(Rejection::new(Reason::AudienceMismatch, "aud")
                        .found(&several.join(", "))
                        .wanted(format!("{}, as the only audience", wanted())));
                }
                None => return Err(wrong_type("aud", "an array of other things", TEXTS)),
            }
        }
        Some(other) => return Err(wrong_type("aud", other.type_name(), TEXTS)),
    };
    if case.domain.audiences.iter().any(|ours| ours == found) {
        return Ok(());
    }
    Err(Rejection::new(Reason::AudienceMismatch, "aud")
        .found(found)
        .wanted(wanted()))
}

const TEXTS: &str = "a string, or an array of one string";

fn expiry(case: &Case<'_>) -> Result<(), Rejection> {
    let expires = date(case.claims, "exp")?.ok_or_else(|| missing("exp"))?;
    if case.now < expires.plus(case.domain.leeway) {
        return Ok(());
    }
    Err(Rejection::new(Reason::TokenExpired, "exp")
        .found(&expires.to_string())
        .wanted(format!("later than {}", case.now)))
}

fn issue_time(case: &Case<'_>) -> Result<(), Rejection> {
    match date(case.claims, "iat")? {
        Some(issued) => begun(case, "iat", issued),
        None if case.profile().issued_at_required || case.kind == TokenType::IdToken => {
            Err(missing("iat"))
        }
        None => Ok(()),
    }
}

fn not_before(case: &Case<'_>) -> Result<(), Rejection> {
    date(case.claims, "nbf")?.map_or(Ok(()), |moment| begun(case, "nbf", moment))
}

fn begun(case: &Case<'_>, claim: &'static str, moment: Moment) -> Result<(), Rejection> {
    if moment <= case.now.plus(case.domain.leeway) {
        return Ok(());
    }
    Err(Rejection::new(Reason::TokenNotYetValid, claim)
        .found(&moment.to_string())
        .wanted(format!("not later than {}", case.now)))
}

/// A token without `iat` is measured from now: it cannot have been issued later.
fn lifetime(case: &Case<'_>) -> Result<(), Rejection> {
    let expires = date(case.claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let issued = date(case.claims, "iat")?.unwrap_or(case.now);
    let lifetime = expires.since(issued);
    let longest = case.domain.max_lifetime;
    if lifetime <= longest.duration() {
        return Ok(());
    }
    Err(Rejection::new(Reason::TokenLifetimeTooLong, "exp")
        .found(&format!("{}s", lifetime.as_secs()))
        .wanted(format!("at most {longest}")))
}

fn age(case: &Case<'_>) -> Result<(), Rejection> {
    let Some((oldest, issued)) = case.domain.max_age.zip(date(case.claims, "iat")?) else {
        return Ok(());
    };
    let age = case.now.since(issued);
    if age <= oldest.duration() + case.domain.leeway {
        return Ok(());
    }
    Err(Rejection::new(Reason::TokenTooOld, "iat")
        .found(&format!("{}s old", age.as_secs()))
        .wanted(format!("at most {oldest}")))
}

fn subject(case: &Case<'_>) -> Result<(), Rejection> {
    let found = text(case.claims, "sub")?.ok_or_else(|| missing("sub"))?;
    let longest = case.profile().max_subject;
    if !found.is_empty() && found.len() <= longest && !found.contains(char::is_control) {
        return Ok(());
    }
    Err(Rejection::new(Reason::SubjectInvalid, "sub")
        .found(found)
        .wanted(format!("1 to {longest} bytes without control characters")))
}

fn token_id(case: &Case<'_>) -> Result<(), Rejection> {
    match text(case.claims, "jti")? {
        Some(id) if id.is_empty() || id.len() > MAX_TOKEN_ID || id.contains(char::is_control) => {
            Err(Rejection::new(Reason::ClaimInvalid, "jti")
                .found(id)
                .wanted(format!(
                    "1 to {MAX_TOKEN_ID} bytes without control characters"
                )))
        }
        None if case.profile().token_id_required => Err(missing("jti")),
        _ => Ok(()),
    }
}

impl Case<'_> {
    fn profile(&self) -> &'static Profile {
        self.domain.source.outline().profile
    }
}

/// A claim that must be a string if it is there.
pub(super) fn text<'c>(claims: &'c Json, name: &'static str) -> Result<Option<&'c str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, other.type_name(), "a string")),
    }
}

/// A `NumericDate`: seconds since the epoch, perhaps with a fraction
/// (RFC 7519 section 2).
pub(super) fn date(claims: &Json, name: &'static str) -> Result<Option<Moment>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Integer(secs)) => Ok(Some(Moment::from_secs(*secs))),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float that does not fit becomes the nearest end of the range"
        )]
        Some(Json::Float(secs)) => Ok(Some(Moment::from_millis((secs * 1000.0) as i64))),
        Some(other) => Err(wrong_type(name, other.type_name(), "a number")),
    }
}

/// A claim that is required and absent.
pub(super) fn missing(name: &'static str) -> Rejection {
    Rejection::new(Reason::ClaimMissing, name)
}

/// A claim of the wrong JSON type.
pub(super) fn wrong_type(name: &'static str, found: &str, wanted: &str) -> Rejection {
    Rejection::new(Reason::ClaimInvalid, name)
        .found(found)
        .wanted(wanted)
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
