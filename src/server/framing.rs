//! Where one HTTP/1.1 request ends and the next begins, judged strictly.
//!
//! A request is smuggled when a proxy and the server behind it disagree about
//! that boundary. An HTTP library reads what the grammar lets it read: a bare
//! line feed as the end of a line, a length beside a chunked body, two equal
//! lengths. Those liberties are what the disagreements are made of, and no
//! honest client uses them. This reader stands before the library, follows the
//! same bytes with no liberties, and spoils what only a liberty could read: from
//! the offending byte on every byte becomes NUL, which is allowed nowhere, so
//! that the library itself refuses the request and closes the connection.

/// Longest header line that is looked into; the framing headers are short.
const LOOK: usize = 96;
/// Most hex digits of a chunk's size.
const CHUNK_DIGITS: usize = 8;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// The beginning of the current line.
    line: [u8; LOOK],
    /// Length of the current line, without its CR LF.
    length: usize,
    after_cr: bool,
    /// Whether there has been a request line on this connection.
    has_begun: bool,
    /// What the head at hand has said so far.
    body_length: Option<u64>,
    is_chunked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the request line.
    Start,
    Headers,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    /// The CR LF after a chunk.
    ChunkEnd,
    Trailers,
    Spoiled,
}

/// The bytes offend.
#[derive(Debug)]
struct Offence;

impl Framing {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            line: [0; LOOK],
            length: 0,
            after_cr: false,
            has_begun: false,
            body_length: None,
            is_chunked: false,
        }
    }

    /// Follows bytes that were read, and spoils them from the first offence on.
    pub(super) fn follow(&mut self, mut bytes: &mut [u8]) {
        while let Some(byte) = bytes.first().copied() {
            let used = match self.state {
                State::Body(left) | State::Chunk(left) => self.skip(left, bytes.len()),
                State::Spoiled => {
                    bytes.fill(0);
                    return;
                }
                _ => match self.byte(byte) {
                    Ok(()) => 1,
                    Err(Offence) => {
                        self.state = State::Spoiled;
                        continue;
                    }
                },
            };
            bytes = bytes.get_mut(used..).unwrap_or_default();
        }
    }

    /// Whether a head has begun and not ended, or the first has yet to begin.
    pub(super) fn wants_head(&self) -> bool {
        match self.state {
            State::Start => !self.has_begun || self.length > 0 || self.after_cr,
            state => state == State::Headers,
        }
    }

    /// Whether nothing more can be read from this connection.
    pub(super) fn is_spoiled(&self) -> bool {
        self.state == State::Spoiled
    }

    /// Skips what is there of a body or chunk.
    fn skip(&mut self, left: u64, there: usize) -> usize {
        let used = usize::try_from(left).map_or(there, |left| left.min(there));
        let left = left - used as u64;
        self.state = match (self.state, left) {
            (State::Chunk(_), 0) => State::ChunkEnd,
            (State::Chunk(_), left) => State::Chunk(left),
            (_, 0) => State::Start,
            (_, left) => State::Body(left),
        };
        used
    }

    /// Follows one byte of a line.
    fn byte(&mut self, byte: u8) -> Result<(), Offence> {
        match (byte, self.after_cr) {
            (b'\n', true) => {
                self.after_cr = false;
                self.state = self.line_ended()?;
                self.length = 0;
                Ok(())
            }
            (b'\n', false) | (_, true) => Err(Offence),
            (b'\r', false) => {
                self.after_cr = true;
                Ok(())
            }
            (0, false) => Err(Offence),
            (_, false) if self.state == State::ChunkEnd => Err(Offence),
            (byte, false) => {
                if let Some(place) = self.line.get_mut(self.length) {
                    *place = byte;
                }
                self.length = self.length.saturating_add(1);
                Ok(())
            }
        }
    }

    fn line_ended(&mut self) -> Result<State, Offence> {
        match (self.state, self.length) {
            // An empty line before a request is left over from an old client.
            (State::Start, 0) => Ok(State::Start),
            (State::Start, _) => {
                self.body_length = None;
                self.is_chunked = false;
                self.has_begun = true;
                Ok(State::Headers)
            }
            (State::Headers, 0) => match (self.is_chunked, self.body_length) {
                (true, Some(_)) => Err(Offence),
                (true, None) => Ok(State::ChunkSize),
                (false, None | Some(0)) => Ok(State::Start),
                (false, Some(length)) => Ok(State::Body(length)),
            },
            (State::Headers, _) => self.header().map(|()| State::Headers),
            (State::ChunkSize, _) => match self.chunk_size()? {
                0 => Ok(State::Trailers),
                size => Ok(State::Chunk(size)),
            },
            (State::ChunkEnd, _) => Ok(State::ChunkSize),
            (State::Trailers, 0) => Ok(State::Start),
            // Trailers, which no form has a use for; or a state without lines.
            _ => Err(Offence),
        }
    }

    fn header(&mut self) -> Result<(), Offence> {
        let seen = self.line.get(..self.length.min(LOOK)).unwrap_or_default();
        if seen.first().is_some_and(|b| is_blank(*b)) {
            return Err(Offence);
        }
        let Some(colon) = seen.iter().position(|b| *b == b':') else {
            // A name longer than any that matters here, or no header at all,
            // which the library refuses.
            return Ok(());
        };
        let (name, value) = seen.split_at(colon);
        if name.last().is_some_and(|b| is_blank(*b)) {
            return Err(Offence);
        }
        let is_length = name.eq_ignore_ascii_case(b"content-length");
        if !is_length && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(());
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if self.length > LOOK {
            return Err(Offence);
        }
        if is_length {
            if self.body_length.is_some()
                || value.is_empty()
                || !value.iter().all(u8::is_ascii_digit)
            {
                return Err(Offence);
            }
            let digits = std::str::from_utf8(value).map_err(|_| Offence)?;
            self.body_length = Some(digits.parse().map_err(|_| Offence)?);
        } else {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Offence);
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn chunk_size(&self) -> Result<u64, Offence> {
        let seen = self.line.get(..self.length.min(LOOK)).unwrap_or_default();
        let digits = seen.split(|b| *b == b';').next().unwrap_or_default();
        if digits.is_empty()
            || digits.len() > CHUNK_DIGITS
            || !digits.iter().all(u8::is_ascii_hexdigit)
        {
            return Err(Offence);
        }
        let digits = std::str::from_utf8(digits).map_err(|_| Offence)?;
        u64::from_str_radix(digits, 16).map_err(|_| Offence)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows the text in pieces, and gives what a reader behind would see.
    fn follow(text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        let mut framing = Framing::new();
        let mut rest = &mut bytes[..];
        for cut in cuts {
            let (piece, more) = rest.split_at_mut((*cut).min(rest.len()));
            framing.follow(piece);
            rest = more;
        }
        framing.follow(rest);
        bytes
    }

    fn passes(text: &str) -> bool {
        follow(text.as_bytes(), &[]) == text.as_bytes()
    }

    const HEAD: &str = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn honest_requests_pass_untouched() {
        for rest in [
            "\r\n".to_owned(),
            "Content-Length: 5\r\n\r\nhello".into(),
            "content-length:0\r\n\r\n".into(),
            "Content-Length: 5\r\n\r\n\r\n\0\n\r".into(),
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na;x=y\r\n0123456789\r\n0\r\n\r\n"
                .into(),
            format!("X-Long: {}\r\n\r\n", "y".repeat(4000)),
            format!("{}: y\r\n\r\n", "X".repeat(4000)),
        ] {
            let one = format!("{HEAD}{rest}");
            assert!(passes(&one), "{one:?}");
            assert!(passes(&one.repeat(3)), "{one:?} three times");
            assert!(passes(&format!("\r\n{one}\r\n{one}")));
        }
    }

    #[test]
    fn o_23_what_two_readers_could_read_differently_is_spoiled() {
        for rest in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "Content-Length: 5, 5\r\n\r\nhello",
            "Content-Length: +5\r\n\r\nhello",
            "Content-Length: -1\r\n\r\n",
            "Content-Length: 0x5\r\n\r\nhello",
            "Content-Length:\r\n\r\n",
            "Content-Length: 99999999999999999999\r\n\r\n",
            "Content-Length : 5\r\n\r\nhello",
            "Content-Length: 5\n\r\nhello",
            "X: a\nTransfer-Encoding: chunked\r\n\r\n",
            "X: a\rTransfer-Encoding: chunked\r\n\r\n",
            "X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
            "X: a\r\n\tb\r\n\r\n",
            "X: a\0b\r\n\r\n",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n123456789\r\n",
            "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n;x\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n",
            "\n",
        ] {
            let text = format!("{HEAD}{rest}");
            assert!(!passes(&text), "{text:?}");
            // Nothing after the offence is left to execute.
            let next = format!("{text}{HEAD}\r\n");
            let seen = follow(next.as_bytes(), &[]);
            assert!(seen.ends_with(&[0; 30]), "{next:?}");
        }
        let long = format!("{HEAD}Content-Length: {}5\r\n\r\nhello", " ".repeat(LOOK));
        assert!(!passes(&long));
    }

    #[test]
    fn it_knows_when_a_head_is_being_sent() {
        let mut framing = Framing::new();
        assert!(framing.wants_head());
        framing.follow(&mut b"\r\n".to_vec());
        assert!(framing.wants_head(), "an empty line is no beginning");
        framing.follow(&mut b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r".to_vec());
        assert!(framing.wants_head());
        framing.follow(&mut b"\n1".to_vec());
        assert!(!framing.wants_head());
        framing.follow(&mut b"2".to_vec());
        assert!(!framing.wants_head(), "between two requests");
        framing.follow(&mut b"G".to_vec());
        assert!(framing.wants_head(), "the next one has begun");
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(
            text in "(POST / HTTP/1.1\r\n|Content-Length: [0-9]\r\n|Transfer-Encoding: chunked\r\n|\r\n|\n| |[0-9a-f]\r\n|[a-z]){0,12}",
            cuts in prop::collection::vec(0_usize..9, 0..30),
        ) {
            prop_assert_eq!(follow(text.as_bytes(), &cuts), follow(text.as_bytes(), &[]));
        }

        #[test]
        fn any_bytes_are_followed_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let seen = follow(&text, &[]);
            // Spoiled from one byte on, and untouched before it.
            let kept = seen.iter().zip(&text).take_while(|(a, b)| a == b).count();
            prop_assert!(seen[kept..].iter().all(|b| *b == 0));
        }
    }
}
