//! The form of a token request, read strictly.
//!
//! A lenient reader lets two parties see two requests in one body: which of
//! two equal names counts, what half an escape means, whether bytes that are no
//! UTF-8 are replaced. Here a body that can be read in more than one way is not
//! read at all (RFC 6749 section 3.2 and appendix B, RFC 8693 section 2.1).

use std::fmt;

/// Most parameters in one form.
pub(super) const MAX_PARAMETERS: usize = 64;
/// Longest parameter name, in bytes after decoding.
pub(super) const MAX_NAME: usize = 128;
/// The parameters that may stand more than once (RFC 8693 section 2.1).
const REPEATABLE: [&str; 2] = ["audience", "resource"];

/// Why a body is not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A byte or an escape that has no place, or text that is not UTF-8.
    #[error("the body is not application/x-www-form-urlencoded UTF-8")]
    Malformed,
    /// More than [`MAX_PARAMETERS`].
    #[error("the body has more than {MAX_PARAMETERS} parameters")]
    TooMany,
    /// A parameter other than `audience` and `resource` stands twice.
    #[error("a parameter that may stand once stands more than once")]
    Duplicated,
}

/// The parameters of one request. They hold tokens, so `Debug` shows names only.
pub struct Form {
    /// All names and values after one another: one allocation for all.
    text: String,
    pairs: Vec<Pair>,
}

#[derive(Clone, Copy)]
struct Pair {
    start: usize,
    middle: usize,
    end: usize,
}

impl Form {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        let mut form = Self {
            text: String::with_capacity(body.len()),
            pairs: Vec::with_capacity(8),
        };
        let mut count = 0;
        for piece in body.split(|b| *b == b'&') {
            // Empty pieces are nothing, but they count: a million is a flood.
            count += 1;
            if count > MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            if !piece.is_empty() {
                form.push(piece)?;
            }
        }
        Ok(form)
    }

    /// The value of a parameter; none if it is absent or empty, which is the
    /// same (RFC 6749 section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values that are not empty of a parameter, in the order sent.
    pub fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.iter()
            .filter(move |(n, v)| *n == name && !v.is_empty())
            .map(|(_, v)| v)
    }

    /// The names that were sent, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(n, _)| n)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().filter_map(|p| {
            Some((
                self.text.get(p.start..p.middle)?,
                self.text.get(p.middle..p.end)?,
            ))
        })
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), FormError> {
        let mut halves = piece.splitn(2, |b| *b == b'=');
        let start = self.text.len();
        decode(halves.next().unwrap_or_default(), &mut self.text)?;
        let middle = self.text.len();
        let name = self.text.get(start..).unwrap_or_default();
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(FormError::Malformed);
        }
        if !REPEATABLE.contains(&name) && self.names().any(|n| n == name) {
            return Err(FormError::Duplicated);
        }
        decode(halves.next().unwrap_or_default(), &mut self.text)?;
        let end = self.text.len();
        self.pairs.push(Pair { start, middle, end });
        Ok(())
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Appends the decoded piece. Each piece is UTF-8 by itself: a character must
/// not be put together from the end of one and the start of the next.
fn decode(piece: &[u8], out: &mut String) -> Result<(), FormError> {
    if !piece.iter().all(u8::is_ascii_graphic) {
        return Err(FormError::Malformed);
    }
    if !piece.iter().any(|b| matches!(b, b'%' | b'+')) {
        out.push_str(std::str::from_utf8(piece).map_err(|_| FormError::Malformed)?);
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next())? << 4 | hex(rest.next())?,
            other => *other,
        });
    }
    // No parameter has a use for NUL, and it ends strings in other languages.
    if bytes.contains(&0) {
        return Err(FormError::Malformed);
    }
    out.push_str(std::str::from_utf8(&bytes).map_err(|_| FormError::Malformed)?);
    Ok(())
}

fn hex(digit: Option<&u8>) -> Result<u8, FormError> {
    digit
        .and_then(|d| char::from(*d).to_digit(16))
        .and_then(|d| u8::try_from(d).ok())
        .ok_or(FormError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::form_urlencoded;

    use super::*;

    fn parse(body: &str) -> Result<Form, FormError> {
        Form::parse(body.as_bytes())
    }

    #[test]
    fn parameters_are_read_as_they_were_sent() {
        let form = parse("grant_type=urn%3Aietf%3Ax&scope=a+b%2Bc&client_id=%C3%A4").unwrap();
        assert_eq!(form.get("grant_type"), Some("urn:ietf:x"));
        assert_eq!(form.get("scope"), Some("a b+c"));
        assert_eq!(form.get("client_id"), Some("ä"));
        assert_eq!(form.get("nothing"), None);
        assert_eq!(parse("a=b=c").unwrap().get("a"), Some("b=c"));
        assert_eq!(parse("").unwrap().names().count(), 0);
        assert_eq!(parse("a=1&").unwrap().names().count(), 1);
    }

    #[test]
    fn an_empty_value_is_no_value() {
        for body in ["scope=", "scope", "audience=&audience="] {
            let form = parse(body).unwrap();
            assert_eq!(form.get("scope"), None, "{body}");
            assert_eq!(form.all("audience").count(), 0, "{body}");
        }
    }

    #[test]
    fn o_07_only_audience_and_resource_repeat() {
        let form = parse("audience=a&resource=r&audience=b&resource=s").unwrap();
        assert_eq!(form.all("audience").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["r", "s"]);
        for name in [
            "grant_type",
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
            "requested_token_type",
            "scope",
            "client_id",
            "client_secret",
            "client_assertion",
            "csr",
            "unheard_of",
        ] {
            for (one, two) in [("x", "x"), ("x", "y"), ("", "x"), ("", "")] {
                let body = format!("{name}={one}&z=1&{name}={two}");
                assert_eq!(parse(&body).unwrap_err(), FormError::Duplicated, "{body}");
            }
            // The same name under another spelling is the same name.
            let (head, tail) = name.split_at(1);
            let spelled = format!("%{:02x}{tail}", head.as_bytes()[0]);
            assert_eq!(
                parse(&format!("{name}=1&{spelled}=2")).unwrap_err(),
                FormError::Duplicated
            );
            assert!(parse(&format!("{name}=1&{spelled}x=2")).is_ok());
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for body in [
            "a=%",
            "a=%4",
            "a=%zz",
            "a=%+1",
            "a=%-1",
            "%=1",
            "=1",
            "a=%00",
            "%00=1",
            "a%0d=1",
            "a=%ff",
            "a=%c3",
            "a%c3=%a4",
            "a=%c0%80",
            "a=%ed%a0%80",
            "a=b c",
            "a=b\r\n",
            "a=ä",
            "a=\u{7f}",
            "{\"a\":1}\n",
        ] {
            assert_eq!(parse(body).unwrap_err(), FormError::Malformed, "{body:?}");
        }
    }

    #[test]
    fn r_07_parameters_and_names_are_bounded() {
        let many = |n: usize| {
            let pairs: Vec<_> = (0..n).map(|i| format!("p{i}=1")).collect();
            pairs.join("&")
        };
        assert_eq!(parse(&many(64)).unwrap().names().count(), 64);
        assert_eq!(parse(&many(65)).unwrap_err(), FormError::TooMany);
        assert_eq!(parse(&many(100_000)).unwrap_err(), FormError::TooMany);
        assert_eq!(parse(&"&".repeat(100_000)).unwrap_err(), FormError::TooMany);
        assert!(parse(&format!("{}=1", "n".repeat(128))).is_ok());
        assert!(parse(&format!("{}=1", "n".repeat(129))).is_err());
    }

    #[test]
    fn debug_shows_no_value() {
        let form = parse("subject_token=secret&scope=x").unwrap();
        assert_eq!(format!("{form:?}"), r#"["subject_token", "scope"]"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&body);
        }

        /// What is accepted means what the URL standard's reader says it means.
        #[test]
        fn accepted_forms_agree_with_the_reference(body in "[a-c=&%+0-9A-F]{0,40}") {
            if let Ok(form) = parse(&body) {
                let reference: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
                let ours: Vec<_> = form.iter().map(|(n, v)| (n.into(), v.into())).collect();
                prop_assert_eq!(ours, reference);
            }
        }

        /// What a well-behaved client writes is read back as it was meant.
        #[test]
        fn written_forms_are_read_back(
            values in prop::collection::btree_map("[a-z_]{1,20}", "[^\u{0}]{0,60}", 0..20),
        ) {
            let mut writer = form_urlencoded::Serializer::new(String::new());
            writer.extend_pairs(&values);
            let form = parse(&writer.finish()).unwrap();
            prop_assert_eq!(form.names().count(), values.len());
            for (name, value) in &values {
                prop_assert_eq!(form.get(name), Some(value.as_str()).filter(|v| !v.is_empty()));
            }
        }
    }
}
