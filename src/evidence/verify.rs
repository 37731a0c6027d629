//! From a token to an identity, in two stages.
//!
//! The first asks whether the issuer made the token: header, algorithm, key,
//! signature. It gives the token back when it refuses, so that the next
//! candidate or a fresher key set can be tried. The second judges what the
//! token says. Claims are read after the signature only, from the very bytes
//! that it covers.

use std::sync::Arc;

use crate::{
    base::clock::Moment,
    jose::{Compact, Header, Lookup, Verified, VerifyKey},
    keys::Snapshot,
    model::Reason,
};

use super::{
    Identity, Rejection, TrustDomain,
    claims::{self, Case},
    identity::canonical_subject,
};

/// What the caller says the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// A JWT (`urn:ietf:params:oauth:token-type:jwt`), or an `assertion`.
    Jwt,
    /// An ID token: `iat` is required whatever the source.
    IdToken,
}

/// Verifies against one trust domain with one snapshot of its keys. No I/O.
pub fn verify(
    token: Compact<'_>,
    kind: TokenType,
    domain: &Arc<TrustDomain>,
    keys: &Snapshot,
    now: Moment,
) -> Result<Identity, Rejection> {
    match authenticate(token, domain, keys) {
        Ok(authentic) => authentic.judge(kind, now),
        Err(refused) => Err(refused.rejection),
    }
}

/// The names of the checks, in the order in which they are made.
pub fn steps() -> impl Iterator<Item = &'static str> {
    signature_steps().chain(claim_steps())
}

/// A token whose signature the trust domain's key verified. What it says has
/// not been judged.
pub struct Authentic {
    domain: Arc<TrustDomain>,
    verified: Verified,
}

/// A token that the trust domain's keys did not vouch for.
pub struct Unauthentic<'t> {
    /// The token, to be tried again.
    pub token: Compact<'t>,
    /// Why.
    pub rejection: Rejection,
}

/// The first stage: whether the trust domain's issuer made the token.
pub fn authenticate<'t>(
    token: Compact<'t>,
    domain: &Arc<TrustDomain>,
    keys: &Snapshot,
) -> Result<Authentic, Box<Unauthentic<'t>>> {
    let refuse = |token, rejection: Rejection, step: usize| {
        let rejection = rejection.after(signature_steps().take(step));
        Box::new(Unauthentic { token, rejection })
    };
    let case = HeaderCase {
        header: token.header(),
        domain,
    };
    for (step, (_, check)) in HEADER_STEPS.iter().enumerate() {
        if let Err(rejection) = check(&case) {
            return Err(refuse(token, rejection, step));
        }
    }
    let key = match find(keys, token.header().kid.as_deref()) {
        Ok(key) => key,
        Err(rejection) => return Err(refuse(token, rejection, HEADER_STEPS.len())),
    };
    match token.verify(key) {
        Ok(verified) => Ok(Authentic {
            domain: Arc::clone(domain),
            verified,
        }),
        Err((token, error)) => {
            let rejection = Rejection::new(error.reason(), "signature");
            Err(refuse(token, rejection, HEADER_STEPS.len() + 1))
        }
    }
}

impl Authentic {
    /// The second stage: whether what the token says makes it evidence, here
    /// and now, and of whom.
    pub fn judge(self, kind: TokenType, now: Moment) -> Result<Identity, Rejection> {
        let domain = &self.domain;
        let case = Case {
            claims: self.verified.claims(),
            domain,
            kind,
            now,
        };
        for (step, (_, check)) in claims::STEPS.iter().enumerate() {
            check(&case).map_err(|rejection| passed(rejection, step))?;
        }
        let attributes = domain
            .source
            .read(case.claims)
            .map_err(|rejection| passed(rejection, claims::STEPS.len()))?;
        domain
            .source
            .admits(&attributes)
            .map_err(|rejection| passed(rejection, claims::STEPS.len() + 1))?;
        let header = self.verified.header();
        let subject = claims::text(case.claims, "sub")?.unwrap_or_default();
        Ok(Identity {
            subject: canonical_subject(&domain.name, &domain.source, subject),
            attributes,
            expires_at: claims::date(case.claims, "exp")?.unwrap_or(now),
            digest: self.verified.digest(),
            kid: header.kid.clone(),
            algorithm: header.algorithm,
            jti: claims::text(case.claims, "jti")?.map(str::to_owned),
            trust_domain: self.domain,
        })
    }
}

/// A header and what it is judged by.
struct HeaderCase<'c> {
    header: &'c Header,
    domain: &'c TrustDomain,
}

/// A named check.
type Step = (&'static str, fn(&HeaderCase<'_>) -> Result<(), Rejection>);

const HEADER_STEPS: &[Step] = &[
    ("type", media_type),
    ("header", parameters),
    ("algorithm", algorithm),
];

fn signature_steps() -> impl Iterator<Item = &'static str> {
    let header = HEADER_STEPS.iter().map(|(name, _)| *name);
    header.chain(["key", "signature"])
}

fn claim_steps() -> impl Iterator<Item = &'static str> {
    let common = claims::STEPS.iter().map(|(name, _)| *name);
    common.chain(["attributes", "admission"])
}

fn passed(rejection: Rejection, step: usize) -> Rejection {
    rejection.after(signature_steps().chain(claim_steps().take(step)))
}

/// A `typ` says which kind of JWT this is, so that one is not taken for another
/// (RFC 8725 section 3.11).
fn media_type(case: &HeaderCase<'_>) -> Result<(), Rejection> {
    let Some(typ) = &case.header.typ else {
        return Ok(());
    };
    let allowed = case.domain.source.outline().profile.types;
    if allowed
        .iter()
        .any(|media_type| case.header.typ_is(media_type))
    {
        return Ok(());
    }
    Err(Rejection::new(Reason::TypeNotAllowed, "typ")
        .found(typ)
        .wanted(format!("none, or {}", allowed.join(" or "))))
}

fn parameters(case: &HeaderCase<'_>) -> Result<(), Rejection> {
    let profile = case.domain.source.outline().profile;
    if let Some(extra) = case.header.extra.first().filter(|_| !profile.extra_headers) {
        return Err(Rejection::new(Reason::HeaderNotAllowed, "header")
            .found(extra)
            .wanted("only alg, kid and typ"));
    }
    if profile.key_id_required && case.header.kid.is_none() {
        return Err(Rejection::new(Reason::KeyIdMissing, "kid").wanted("the id of a key"));
    }
    Ok(())
}

fn algorithm(case: &HeaderCase<'_>) -> Result<(), Rejection> {
    let found = case.header.algorithm;
    if case.domain.algorithms.contains(&found) {
        return Ok(());
    }
    let allowed = case.domain.algorithms.iter().map(|a| a.as_str());
    Err(Rejection::new(Reason::AlgorithmNotAllowed, "alg")
        .found(found.as_str())
        .wanted(allowed.collect::<Vec<_>>().join(" or ")))
}

fn find<'k>(keys: &'k Snapshot, kid: Option<&str>) -> Result<&'k Arc<VerifyKey>, Rejection> {
    match (keys.keys.lookup(kid), kid) {
        (Lookup::Found(key), _) => Ok(key),
        (Lookup::Unknown, kid) => Err(Rejection::new(Reason::KeyUnknown, "kid")
            .found(kid.unwrap_or_default())
            .wanted("the id of a key that the issuer publishes")),
        (Lookup::Ambiguous, kid) => Err(Rejection::new(Reason::KeyIdMissing, "kid")
            .found(kid.unwrap_or_default())
            .wanted("the id of exactly one key")),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
