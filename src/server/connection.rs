//! One connection from handshake to close.
//!
//! HTTP/1.1 or HTTP/2 is settled by ALPN, never guessed from the first bytes,
//! and never changed afterwards: an `Upgrade` is not taken, plain listeners
//! speak HTTP/1.1 only. What each may use up is bounded here.

use std::{convert::Infallible, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    pin, select,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    admission::{AddressKey, Guest},
    drain::Phase,
    limits::Limits,
    route,
    shared::{Activity, Conn, Kind, Shared},
    wire::Wire,
};

/// How long a connection that was told to close may take to do so while no
/// request is in work.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// What all connections of one listener have in common.
pub(super) struct Endpoint {
    pub(super) shared: Arc<Shared>,
    pub(super) kind: Kind,
    tls: Option<TlsAcceptor>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Endpoint {
    pub(super) fn new(shared: Arc<Shared>, kind: Kind, tls: Option<TlsAcceptor>) -> Self {
        let limits = &shared.limits;
        let mut http1 = http1::Builder::new();
        // The head has its deadline on the wire, where a timer costs nothing
        // unless the head is late.
        http1
            .header_read_timeout(None)
            .max_buf_size(limits.head.max(8192))
            .max_header_size(limits.head);
        // A body of the full size needs no second round trip.
        let window = u32::try_from(limits.body).unwrap_or(u32::MAX);
        let window = window.clamp(1 << 16, (1 << 31) - 1);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
            .initial_stream_window_size(window)
            .initial_connection_window_size(1 << 18)
            .max_send_buf_size(1 << 16)
            .keep_alive_interval(Some(limits.idle / 2))
            .keep_alive_timeout(limits.write_timeout);
        Self {
            shared,
            kind,
            tls,
            http1,
            http2,
        }
    }

    /// Serves a connection until it closes.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        address: IpAddr,
        guest: Guest,
        phase: watch::Receiver<Phase>,
    ) {
        let counters = &self.shared.counters;
        // An answer is one small write: waiting to fill a packet only delays it.
        // A socket that is already gone shows itself at the first read.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.speak(stream, address, true, phase).await,
            Some(acceptor) => {
                let handshake = timeout(self.shared.limits.handshake, acceptor.accept(stream));
                let mut cut = phase.clone();
                let shaken = select! {
                    shaken = handshake => shaken,
                    _ = cut.wait_for(|p| *p == Phase::Abort) => return,
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        let is_http1 = stream.get_ref().1.alpn_protocol() != Some(b"h2");
                        self.speak(stream, address, is_http1, phase).await;
                    }
                    Ok(Err(error)) => {
                        counters.handshake_faults.add();
                        tracing::debug!(%address, %error, "TLS handshake failed");
                    }
                    Err(_) => counters.handshake_timeouts.add(),
                }
            }
        }
        drop(guest);
    }

    async fn speak<S>(
        &self,
        stream: S,
        address: IpAddr,
        is_http1: bool,
        phase: watch::Receiver<Phase>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let conn = Arc::new(Conn {
            shared: Arc::clone(&self.shared),
            kind: self.kind,
            address,
            key: AddressKey::of(address),
            is_http1,
            activity: Activity::default(),
        });
        let io = TokioIo::new(Wire::new(stream, Arc::clone(&conn)));
        let service = service_fn({
            let conn = Arc::clone(&conn);
            move |request: Request<Incoming>| {
                let conn = Arc::clone(&conn);
                async move { Ok::<_, Infallible>(route::answer(&conn, request).await) }
            }
        });
        if is_http1 {
            let served = self.http1.serve_connection(io, service);
            drive(served, |c| c.graceful_shutdown(), &conn, phase).await;
        } else {
            let served = self.http2.serve_connection(io, service);
            drive(served, |c| c.graceful_shutdown(), &conn, phase).await;
        }
    }
}

/// Drives a connection, and closes it when it is idle for too long or when the
/// server shuts down.
async fn drive<C>(served: C, close: fn(Pin<&mut C>), conn: &Conn, mut phase: watch::Receiver<Phase>)
where
    C: Future<Output = hyper::Result<()>>,
{
    let limits: &Limits = &conn.shared.limits;
    let activity = &conn.activity;
    let timer = sleep(limits.idle);
    pin!(served, timer);
    let mut seen = activity.begun();
    let mut stage = Stage::Serving;
    // A connection may come in while the server is shutting down.
    let mut now_in = *phase.borrow_and_update();
    loop {
        match (now_in, stage) {
            (Phase::Abort, _) => return,
            (Phase::Closing, Stage::Serving) if conn.is_http1 && !activity.is_busy() => {
                // HTTP/1.1 has no way to say which request was the last that
                // counts, so one that is on its way is waited for.
                stage = Stage::Grace;
                timer.as_mut().reset(Instant::now() + limits.drain_grace);
            }
            (Phase::Closing, Stage::Serving) => {
                close(served.as_mut());
                stage = Stage::Closing;
                timer.as_mut().reset(Instant::now() + CLOSE_TIME);
            }
            _ => {}
        }
        select! {
            biased;
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(address = %conn.address, %error, "connection ended");
                }
                return;
            }
            changed = phase.changed() => {
                now_in = match changed {
                    Ok(()) => *phase.borrow_and_update(),
                    Err(_) => Phase::Abort,
                };
            }
            () = timer.as_mut() => {
                let begun = activity.begun();
                let is_quiet = !activity.is_busy() && begun == seen;
                seen = begun;
                let wait = match stage {
                    Stage::Serving if is_quiet => {
                        close(served.as_mut());
                        stage = Stage::Closing;
                        CLOSE_TIME
                    }
                    Stage::Serving => limits.idle,
                    Stage::Grace => {
                        close(served.as_mut());
                        stage = Stage::Closing;
                        CLOSE_TIME
                    }
                    Stage::Closing if activity.is_busy() => CLOSE_TIME,
                    Stage::Closing => return,
                };
                timer.as_mut().reset(Instant::now() + wait);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The server shuts down; a request that is on its way is still taken.
    Grace,
    /// Told to close.
    Closing,
}
