//! Issuer identifiers and fetchable URLs.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use url::{Host, Url};

/// Why a text is not an acceptable https URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL, or longer than 2048 bytes.
    #[error("not an absolute https URL of at most 2048 characters")]
    Malformed,
    /// A scheme other than https.
    #[error("the scheme must be https")]
    Scheme,
    /// User name, password, query or fragment.
    #[error("a user name, password, query or fragment is not allowed")]
    Extra,
    /// A host that the URL standard reads differently from how it is written.
    #[error(
        "the host is not in its canonical form (lower case, no trailing dot, no short or numeric IP form)"
    )]
    Host,
}

fn parse(text: &str) -> Result<Url, UrlError> {
    let plain = text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain {
        return Err(UrlError::Malformed);
    }
    let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
    if url.scheme() != "https" {
        return Err(UrlError::Scheme);
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(UrlError::Extra);
    }
    // `127.1`, `0x7f000001`, `HOST`, `host.` all parse to something other than
    // what an administrator reads; only the canonical spelling is accepted.
    let host = url.host_str().ok_or(UrlError::Malformed)?;
    let written = text["https://".len()..]
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    let written_host = match written.strip_prefix('[') {
        Some(rest) => &written[..rest.find(']').ok_or(UrlError::Host)? + 2],
        None => written.split(':').next().unwrap_or_default(),
    };
    if host != written_host || host.ends_with('.') {
        return Err(UrlError::Host);
    }
    Ok(url)
}

/// An https URL that may be fetched: no credentials, query or fragment, and a
/// canonical host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsUrl(Url);

impl HttpsUrl {
    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, if it is an address rather than a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Ipv4(ip) => Some(ip.into()),
            Host::Ipv6(ip) => Some(ip.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether the other URL has the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }
}

impl FromStr for HttpsUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self)
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// An OpenID Connect issuer identifier, compared byte for byte.
///
/// The text is kept exactly as written: some issuers end in `/` and some do
/// not, and the two are different issuers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerUrl(Arc<str>);

impl IssuerUrl {
    /// The identifier, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery
    /// 1.0, section 4: appended after the path, with its trailing slash removed).
    pub fn discovery(&self) -> HttpsUrl {
        let base = self.0.strip_suffix('/').unwrap_or(&self.0);
        let url = format!("{base}/.well-known/openid-configuration");
        // The base was checked when the issuer was parsed.
        HttpsUrl(Url::parse(&url).unwrap_or_else(|e| unreachable!("checked issuer: {e}")))
    }
}

impl FromStr for IssuerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|_| Self(text.into()))
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_keep_their_exact_text() {
        for text in [
            "https://a.example",
            "https://a.example/",
            "https://a.example/x/",
            "https://[::1]:8443",
            "https://127.0.0.1:1/x",
        ] {
            assert_eq!(text.parse::<IssuerUrl>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn odd_forms_are_refused() {
        let cases = [
            ("http://a.example", UrlError::Scheme),
            ("https://u@a.example", UrlError::Extra),
            ("https://a.example?x", UrlError::Extra),
            ("https://a.example#x", UrlError::Extra),
            ("https://A.example", UrlError::Host),
            ("https://a.example.", UrlError::Host),
            ("https://127.1", UrlError::Host),
            ("https://0x7f000001", UrlError::Host),
            ("https://2130706433", UrlError::Host),
            ("https://[0:0:0:0:0:0:0:1]", UrlError::Host),
            ("https:\\\\a.example", UrlError::Malformed),
            ("a.example", UrlError::Malformed),
            ("", UrlError::Malformed),
            ("https://ä.example", UrlError::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<IssuerUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn discovery_is_appended_after_the_path() {
        let discovery = |text: &str| text.parse::<IssuerUrl>().unwrap().discovery().to_string();
        assert_eq!(
            discovery("https://a.example/x/"),
            "https://a.example/x/.well-known/openid-configuration"
        );
        assert_eq!(
            discovery("https://a.example"),
            "https://a.example/.well-known/openid-configuration"
        );
    }
}
