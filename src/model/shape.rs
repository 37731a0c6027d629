//! The shape of a configuration object, as data.
//!
//! One declaration serves four readers: the strict loader (unknown keys, wrong
//! types, missing keys, with a suggestion), the JSON Schema for editors, the
//! reference documentation, and the source that is configured by it.

use super::{Access, HttpsUrl, IssuerUrl, Namespace, TrustDomainName, Ttl};
use crate::base::{secret::SecretRef, text::display};

/// An object: which keys it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// One sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// One sentence, with unit and range where there is one.
    pub doc: &'static str,
    /// What stands under it.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of a stated form; the parser gives the details.
    Text(Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number in a range.
    Number(u64, u64),
    /// A list.
    List(&'static Kind),
    /// Text, or a list of texts.
    Texts(Form),
    /// A nested object.
    Object(&'static Object),
    /// An object with free keys, all values of one kind.
    Map(&'static Kind),
    /// An object whose keys are names of a form, all values of one kind.
    Named(Form, &'static Kind),
    /// Exactly one of these keys.
    OneOf(&'static [Key]),
    /// A scalar or list of any type: a test's given claim value.
    Any,
    /// A mapping whose keys depend on another part of the document: it is
    /// judged when that part is known.
    Later,
    /// A key that has a meaning in the design and none in this version; the
    /// text says which version or what to use instead.
    Reserved(&'static str),
}

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No rule beyond being non-empty.
    Free,
    /// A lower-case name.
    Name,
    /// A duration such as `15m`.
    Duration,
    /// An https URL.
    Url,
    /// An issuer identifier.
    Issuer,
    /// `HOST:PORT`.
    Address,
    /// `IP:PORT` or `localhost:PORT`: where a listener binds.
    Listen,
    /// An absolute URI.
    Uri,
    /// A path, relative to the file it stands in.
    Path,
    /// `env:NAME` or `file:PATH`.
    Secret,
    /// A Temporal namespace.
    Namespace,
    /// A CEL expression.
    Cel,
    /// An exact value, or one with `*` in segments where the field allows it.
    Pattern,
    /// `read`, `write`, `worker` or `admin`.
    Access,
}

/// Longest text of any form but [`Form::Cel`], in bytes.
pub const MAX_TEXT: usize = 2048;
/// Longest CEL expression, in bytes.
pub const MAX_CEL: usize = 4096;

impl Form {
    /// Whether `text` has this form; if not, a sentence saying what it must be.
    pub fn judge(self, text: &str) -> Result<(), String> {
        let most = if self == Self::Cel { MAX_CEL } else { MAX_TEXT };
        if text.trim().is_empty() {
            return Err("the text is empty".to_owned());
        }
        if text.len() > most {
            return Err(format!(
                "the text has {} bytes; at most {most} are read",
                text.len()
            ));
        }
        if self != Self::Cel && text.trim() != text {
            return Err("the text begins or ends with a blank".to_owned());
        }
        let parsed = match self {
            Self::Free | Self::Path | Self::Cel | Self::Pattern => Ok(()),
            Self::Name => text
                .parse::<TrustDomainName>()
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::Duration => text.parse::<Ttl>().map(drop).map_err(|e| e.to_string()),
            Self::Url => text
                .parse::<HttpsUrl>()
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::Issuer => text
                .parse::<IssuerUrl>()
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::Address => judge_address(text),
            Self::Listen => parse_listen(text).map(drop),
            Self::Uri => judge_uri(text),
            Self::Secret => text.parse::<SecretRef>().map(drop).map_err(str::to_owned),
            Self::Namespace => text
                .parse::<Namespace>()
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::Access => text.parse::<Access>().map(drop).map_err(str::to_owned),
        };
        // A secret written in the clear must not travel on in a message.
        match self {
            Self::Secret => parsed,
            _ => parsed.map_err(|why| match why.starts_with('`') {
                true => why,
                false => format!("`{}`: {why}", display(text, 80)),
            }),
        }
    }

    /// What a reader should write, in a few words.
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::Free | Self::Pattern => "write a text",
            Self::Name => "write a lower-case name",
            Self::Duration => "write a duration such as 30s, 15m or 1h",
            Self::Url | Self::Issuer => "write a URL that begins with https://",
            Self::Address => "write HOST:PORT",
            Self::Listen => "write IP:PORT",
            Self::Uri => "write an absolute URI",
            Self::Path => "write a path",
            Self::Secret => "write env:NAME or file:PATH",
            Self::Namespace => "write the name of a namespace",
            Self::Cel => "write a CEL expression in quotes",
            Self::Access => "write read, write, worker or admin",
        }
    }

    /// A regular expression (ECMA 262) that every text of this form matches;
    /// the loader may be stricter.
    pub const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Free | Self::Path | Self::Pattern => Some(r"^\S(.*\S)?$"),
            Self::Cel => None,
            Self::Name => Some(r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"),
            Self::Duration => Some(r"^[0-9]+[smhd]$"),
            Self::Url | Self::Issuer => Some(r"^https://[^\s?#@\\]+$"),
            Self::Uri => Some(r"^[a-z][a-z0-9+.-]*:[!-~]+$"),
            Self::Address | Self::Listen => {
                Some(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")
            }
            Self::Secret => Some(r"^(env|file):.+$"),
            Self::Namespace => Some(r"^[A-Za-z0-9._-]{1,255}$"),
            Self::Access => Some(r"^(read|write|worker|admin)$"),
        }
    }
}

/// `HOST:PORT`: a name, an IPv4 address or a bracketed IPv6 address.
fn judge_address(text: &str) -> Result<(), String> {
    let wrong = || Err("an address is HOST:PORT, with a port of at most 65535".to_owned());
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong();
    };
    let host_ok = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            (1..=253).contains(&host.len())
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    let port_ok = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if host_ok && port_ok { Ok(()) } else { wrong() }
}

/// Where a listener binds. `localhost` is 127.0.0.1: no name is looked up.
pub fn parse_listen(text: &str) -> Result<std::net::SocketAddr, String> {
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let why = "a listener's address is IP:PORT, such as 0.0.0.0:8443, [::]:8443 or 127.0.0.1:8445";
    text.parse().map_err(|_| why.to_owned())
}

/// An absolute URI without a fragment (RFC 8707, section 2).
fn judge_uri(text: &str) -> Result<(), String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    match url::Url::parse(text) {
        Ok(url) if plain && url.fragment().is_none() => Ok(()),
        _ => Err("this must be an absolute URI without a fragment".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: &[(Form, &[&str], &[&str])] = &[
        (Form::Free, &["a", "a b", "ä"], &["", " ", " a", "a "]),
        (Form::Name, &["a", "github-acme"], &["A", "a b", "-a", "ä"]),
        (Form::Duration, &["30s", "1h"], &["30", "1w", "0s", "367d"]),
        (
            Form::Url,
            &["https://a.example/x"],
            &[
                "http://a.example",
                "a.example",
                "https://A.example",
                "https://a.example?x",
            ],
        ),
        (
            Form::Issuer,
            &["https://a.example", "https://a.example/"],
            &["http://a.example", "https://u@a.example"],
        ),
        (
            Form::Address,
            &["temporal.example:7233", "10.0.0.1:1", "[::1]:7233"],
            &[
                "temporal.example",
                "a:b",
                "a:70000",
                "https://a:1",
                "[::1:1",
                "[x]:1",
                ":1",
                "a b:1",
            ],
        ),
        (
            Form::Listen,
            &["0.0.0.0:8443", "[::]:8443", "localhost:0"],
            &[
                "example.com:8443",
                ":8443",
                "8443",
                "localhost",
                "localhost:x",
                "::1:80",
            ],
        ),
        (
            Form::Uri,
            &["https://temporal.example", "urn:temporal:prod"],
            &["prod", "https://a.example#x", "https://a b"],
        ),
        (Form::Path, &["a/b", "/x"], &[""]),
        (
            Form::Secret,
            &["env:KEY", "file:/k"],
            &["key", "env:", "vault:x"],
        ),
        (
            Form::Namespace,
            &["payments-prod.a1b2c"],
            &["a:b", "temporal-system", "*"],
        ),
        (Form::Cel, &["a == 'b'", " a\n&& b "], &["", "\n"]),
        (Form::Pattern, &["refs/heads/*"], &["", "a "]),
        (Form::Access, &["read", "worker"], &["Read", "own"]),
    ];

    #[test]
    fn forms_take_what_they_should_and_nothing_else() {
        for (form, good, bad) in FORMS {
            for text in *good {
                assert_eq!(form.judge(text), Ok(()), "{form:?} {text:?}");
            }
            for text in *bad {
                assert!(form.judge(text).is_err(), "{form:?} {text:?}");
            }
            assert!(form.judge(&"a".repeat(MAX_CEL + 1)).is_err(), "{form:?}");
        }
    }

    #[test]
    fn a_secret_in_the_clear_is_not_repeated() {
        assert!(
            !Form::Secret
                .judge("hunter2")
                .unwrap_err()
                .contains("hunter2")
        );
        assert!(Form::Name.judge("Hunter2").unwrap_err().contains("Hunter2"));
    }

    #[test]
    fn localhost_is_the_loopback_address() {
        assert!(parse_listen("localhost:1").unwrap().ip().is_loopback());
        assert!(!parse_listen("0.0.0.0:1").unwrap().ip().is_loopback());
    }
}
