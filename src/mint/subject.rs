//! The `sub` of a minted token: the identity's subject, stable and bounded.
//!
//! Temporal shows it as the caller's principal and writes it to its logs and
//! histories, so it has to fit there. A subject of at most 255 bytes stands as
//! it is. A longer one keeps its beginning, for people, and ends with `~` and
//! the SHA-256 of the whole, so that two subjects never become one. A short
//! subject that looks like that is treated like a long one: nobody can choose
//! a name that another's is shortened to.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Longest `sub`, in bytes.
pub(super) const MAX_SUBJECT: usize = 255;
/// A SHA-256 in base64url.
const HASH: usize = 43;

/// The subject as it stands in a token.
pub(super) fn bounded(subject: &str) -> Cow<'_, str> {
    if subject.len() <= MAX_SUBJECT && !looks_shortened(subject) {
        return Cow::Borrowed(subject);
    }
    let mut end = subject.len().min(MAX_SUBJECT - HASH - 1);
    while !subject.is_char_boundary(end) {
        end -= 1;
    }
    let (beginning, _) = subject.split_at(end);
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, subject.as_bytes()));
    Cow::Owned(format!("{beginning}~{hash}"))
}

fn looks_shortened(subject: &str) -> bool {
    subject.rsplit_once('~').is_some_and(|(_, end)| {
        end.len() == HASH
            && end
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_usual_subject_stands_as_it_is() {
        for subject in [
            "spiffe://td.test/ns/payments/sa/worker",
            "github:repo:acme/worker:environment:prod",
            "a~b",
            &"x".repeat(255),
        ] {
            assert_eq!(bounded(subject), subject);
        }
    }

    #[test]
    fn a_long_subject_is_shortened_always_in_the_same_way() {
        let long = format!("spiffe://td.test/{}", "x".repeat(2000));
        let short = bounded(&long);
        assert_eq!(short.len(), 255);
        assert!(short.starts_with("spiffe://td.test/xxx"));
        assert_eq!(short, bounded(&long));
        assert_ne!(short, bounded(&format!("{long}y")));
        assert_eq!(bounded(&"x".repeat(256)).len(), 255);
    }

    #[test]
    fn a_character_is_never_cut_in_half() {
        for at in 200..220 {
            let long = format!("{}{}", "a".repeat(at), "ä€😀".repeat(40));
            let short = bounded(&long);
            assert!(short.len() <= 255 && short.len() > 248, "{at}");
        }
    }

    #[test]
    fn nobody_can_choose_the_name_that_another_is_shortened_to() {
        let victim = format!("spiffe://td.test/{}", "x".repeat(300));
        let shortened = bounded(&victim).into_owned();
        assert_ne!(bounded(&shortened), shortened);
    }

    proptest! {
        #[test]
        fn subjects_stay_apart_and_bounded(a in "[ab~]{0,4}.{0,300}", b in "[ab~]{0,4}.{0,300}") {
            prop_assert!(bounded(&a).len() <= MAX_SUBJECT);
            prop_assert_eq!(a == b, bounded(&a) == bounded(&b));
            let again = bounded(&a).into_owned();
            prop_assert!(a.len() <= MAX_SUBJECT || bounded(&again) != bounded(&a));
        }
    }
}
