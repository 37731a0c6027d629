//! The byte stream under HTTP: deadlines, strict framing, a patient close.
//!
//! Deadlines stand here and not in the HTTP library so that the common case
//! costs nothing: a request that has arrived whole, and an answer that fits the
//! socket's buffer, never arm a timer.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{framing::Framing, shared::Conn};

/// Most bytes that are read and thrown away after a refusal.
const MAX_DISCARD: usize = 16 << 20;
/// Longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// A stream, watched over.
pub(super) struct Wire<S> {
    stream: S,
    conn: Arc<Conn>,
    /// For HTTP/1.1 only: HTTP/2 frames cannot be mistaken.
    framing: Option<Framing>,
    head_deadline: Deadline,
    write_deadline: Deadline,
    close: Close,
}

/// How far closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Open,
    /// Our side is closed; the caller's is read and thrown away.
    Discarding(usize),
    Done,
}

impl<S> Wire<S> {
    /// Watches over a stream.
    pub(super) fn new(stream: S, conn: Arc<Conn>) -> Self {
        Self {
            stream,
            framing: conn.is_http1.then(Framing::new),
            conn,
            head_deadline: Deadline::default(),
            write_deadline: Deadline::default(),
            close: Close::Open,
        }
    }

    fn wants_head(&self) -> bool {
        self.framing.as_ref().is_some_and(Framing::wants_head)
    }

    fn write_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_pending() {
            let limit = self.conn.shared.limits.write_timeout;
            ready!(self.write_deadline.poll(cx, limit));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.framing.as_ref().is_some_and(Framing::is_spoiled) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                if let Some(framing) = &mut this.framing {
                    let new = buf.filled_mut().get_mut(before..).unwrap_or_default();
                    framing.follow(new);
                }
                if !this.wants_head() {
                    this.head_deadline.disarm();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if this.wants_head() => {
                let limit = this.conn.shared.limits.head_timeout;
                ready!(this.head_deadline.poll(cx, limit));
                // As if the caller had hung up.
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.write_progress(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.write_progress(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        if poll.is_ready() {
            // Only now has everything left: TLS takes writes into a buffer.
            self.write_deadline.disarm();
        }
        self.write_progress(cx, poll)
    }

    /// Closes our side; then, if the caller was refused while still sending,
    /// reads on for a while: closing a socket with unread bytes resets the
    /// connection, and the caller would never see why it was refused.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.close {
                Close::Open => {
                    let poll = Pin::new(&mut this.stream).poll_shutdown(cx);
                    ready!(this.write_progress(cx, poll))?;
                    this.head_deadline.disarm();
                    this.close = if this.conn.activity.has_unread() {
                        Close::Discarding(MAX_DISCARD)
                    } else {
                        Close::Done
                    };
                }
                Close::Discarding(left) => {
                    let mut space = [0; 4096];
                    let mut buf = ReadBuf::new(&mut space);
                    let poll = Pin::new(&mut this.stream).poll_read(cx, &mut buf);
                    if poll.is_pending() {
                        ready!(this.head_deadline.poll(cx, DISCARD_TIME));
                    }
                    let got = buf.filled().len();
                    this.close = match left.checked_sub(got) {
                        Some(left) if got > 0 => Close::Discarding(left),
                        _ => Close::Done,
                    };
                }
                Close::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A timer that exists only while it is needed.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready when `limit` has passed since the first poll after a disarm.
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        self.0
            .get_or_insert_with(|| Box::pin(sleep(limit)))
            .as_mut()
            .poll(cx)
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}
