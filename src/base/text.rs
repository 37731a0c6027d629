//! Untrusted text made safe to show: one line, no control characters, bounded.

use std::fmt::Write as _;

/// `text` with control, format and quoting characters escaped, cut after
/// `max` characters (an ellipsis of three dots says so).
///
/// For logs, audit records and traces: a token may hold line breaks, terminal
/// escapes or right-to-left marks, and a reader must not be fooled by them.
pub fn display(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for (count, c) in text.chars().enumerate() {
        if count == max {
            out.push_str("...");
            break;
        }
        if is_plain(c) {
            out.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// Printable, and neither invisible nor able to reorder its neighbours.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\\' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_escaped() {
        assert_eq!(display("a\r\nb\u{1b}[31m", 64), "a\\u{d}\\u{a}b\\u{1b}[31m");
        assert_eq!(display("x\u{202e}y\u{200b}", 64), "x\\u{202e}y\\u{200b}");
        assert_eq!(display("plain: äöü/1", 64), "plain: äöü/1");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(display("äöü", 2), "äö...");
        assert_eq!(display("äö", 2), "äö");
    }
}
