//! Shutting down without losing a request.
//!
//! First readiness turns red and every HTTP/1.1 answer says that it is the last
//! of its connection, while everything is still served: load balancers look
//! elsewhere, clients reconnect elsewhere. Then the listeners close, with what
//! was already waiting in their queues taken in. HTTP/2 connections are told to
//! go away, idle HTTP/1.1 connections get a moment for what is on its way, and
//! requests in work are waited for. What is left at the deadline is cut.

use tokio::signal::unix::{SignalKind, signal};

/// How far a shutdown has come, as connections see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serving.
    Serving,
    /// The listeners are closed; close when idle.
    Closing,
    /// Close now.
    Abort,
}

/// How the program was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: something supervises us, and load balancers need a notice.
    Gradual,
    /// SIGINT: a person waits at a terminal; no notice to load balancers.
    Prompt,
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() -> std::io::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => Stop::Gradual,
        _ = interrupt.recv() => Stop::Prompt,
    })
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_signal_says_how_to_stop() {
        for (signal, stop) in [(Signal::TERM, Stop::Gradual), (Signal::INT, Stop::Prompt)] {
            let mut waiting = pin!(stop_signal());
            // The first poll takes the signals over from the system.
            let early = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
            assert!(early.is_pending());
            kill_process(getpid(), signal).unwrap();
            assert_eq!(waiting.await.unwrap(), stop);
        }
    }
}
