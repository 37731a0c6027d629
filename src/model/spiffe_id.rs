//! SPIFFE IDs and trust domain names (SPIFFE-ID specification, section 2).

use std::{fmt, str::FromStr, sync::Arc};

/// Longest SPIFFE ID, in bytes (SPIFFE-ID 2.3).
pub const MAX_SPIFFE_ID: usize = 2048;

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Over 2048 bytes.
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
    /// Another scheme, or upper case.
    #[error("a SPIFFE ID begins with `spiffe://`, in lower case")]
    Scheme,
    /// A bad trust domain name.
    #[error("a SPIFFE trust domain has 1 to 255 characters of a-z, 0-9, '.', '-' and '_'")]
    TrustDomain,
    /// A bad path.
    #[error(
        "a SPIFFE ID path has segments of A-Z, a-z, 0-9, '.', '-' and '_', none of them empty, '.' or '..'"
    )]
    Path,
    /// No path where a workload is named.
    #[error("a workload's SPIFFE ID has a path after the trust domain")]
    NoPath,
}

/// The name of a SPIFFE trust domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeTrustDomain(Arc<str>);

impl SpiffeTrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpiffeTrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
        ok.then(|| Self(text.into()))
            .ok_or(SpiffeIdError::TrustDomain)
    }
}

impl fmt::Display for SpiffeTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SPIFFE ID of a workload: always with a path.
///
/// Upper case in the scheme or the trust domain is refused rather than folded,
/// as go-spiffe does: two spellings of one identity are how policies leak.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    path_at: usize,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path_at]
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_SPIFFE_ID {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let _: SpiffeTrustDomain = domain.parse()?;
        let Some(segments) = path.strip_prefix('/') else {
            return Err(SpiffeIdError::NoPath);
        };
        let good = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if segments.is_empty() {
            return Err(SpiffeIdError::NoPath);
        }
        if !segments.split('/').all(good) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self {
            text: text.into(),
            path_at: SCHEME.len() + domain.len(),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_splits_into_trust_domain_and_path() {
        let id: SpiffeId = "spiffe://td1.test/ns/prod/x".parse().unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("td1.test", "/ns/prod/x"));
        for good in [
            "spiffe://a/...",
            "spiffe://a/.x",
            "spiffe://127.0.0.1/x",
            "spiffe://a_b/A-Z.0_9",
        ] {
            assert!(good.parse::<SpiffeId>().is_ok(), "{good}");
        }
    }

    #[test]
    fn every_byte_outside_the_grammar_is_refused() {
        for byte in 0..=127u8 {
            let c = char::from(byte);
            let in_domain = matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
            let in_path = in_domain || c.is_ascii_uppercase();
            // A slash in the domain begins the path; in the path, the next segment.
            if c != '/' {
                assert_eq!(
                    format!("spiffe://a{c}b/x").parse::<SpiffeId>().is_ok(),
                    in_domain,
                    "{c:?}"
                );
                assert_eq!(
                    format!("spiffe://a/x{c}y").parse::<SpiffeId>().is_ok(),
                    in_path,
                    "{c:?}"
                );
            }
        }
        for bad in ["spiffe://a/ä", "spiffe://ä/x", "spiffe://a/x%2fy"] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn near_misses_are_refused() {
        let cases = [
            ("", SpiffeIdError::Scheme),
            ("spiffe:/a/x", SpiffeIdError::Scheme),
            ("Spiffe://a/x", SpiffeIdError::Scheme),
            ("http://a/x", SpiffeIdError::Scheme),
            ("spiffe:///x", SpiffeIdError::TrustDomain),
            ("spiffe://A/x", SpiffeIdError::TrustDomain),
            ("spiffe://u@a/x", SpiffeIdError::TrustDomain),
            ("spiffe://a:8443/x", SpiffeIdError::TrustDomain),
            ("spiffe://a", SpiffeIdError::NoPath),
            ("spiffe://a/", SpiffeIdError::NoPath),
            ("spiffe://a/x/", SpiffeIdError::Path),
            ("spiffe://a//x", SpiffeIdError::Path),
            ("spiffe://a/./x", SpiffeIdError::Path),
            ("spiffe://a/../x", SpiffeIdError::Path),
            ("spiffe://a/x?y", SpiffeIdError::Path),
            ("spiffe://a/x#y", SpiffeIdError::Path),
            ("spiffe://a?x", SpiffeIdError::TrustDomain),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn length_boundaries_hold() {
        let domain = "d".repeat(255);
        assert!(format!("spiffe://{domain}/x").parse::<SpiffeId>().is_ok());
        assert!(format!("spiffe://{domain}d/x").parse::<SpiffeId>().is_err());
        let fill = |n: usize| format!("spiffe://a/{}", "x".repeat(n - 11));
        assert!(fill(2048).parse::<SpiffeId>().is_ok());
        assert_eq!(fill(2049).parse::<SpiffeId>(), Err(SpiffeIdError::TooLong));
    }
}
