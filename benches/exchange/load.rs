//! A load generator: HTTP/1.1 over TLS keep-alive, closed loop or Poisson.
//!
//! It does as little per request as it can, so that it is not the bottleneck:
//! requests are prepared before the clock starts, answers are read only as far
//! as their status and length.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use assay::base::clock::{Clock as _, SystemClock};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What to send where.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) client: Arc<rustls::ClientConfig>,
    /// Whole requests; taken in order, each once unless the pool is used up.
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
}

/// How hard to push.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection sends as soon as it has its answer.
    Full,
    /// Poisson arrivals at this many requests a second in all.
    Rate(f64),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Answers other than 200.
    pub(crate) refused: usize,
}

/// Connections used at once.
pub(crate) const CONNECTIONS: usize = 32;

/// Runs for a while and measures.
pub(crate) fn run(target: &Target, pace: Pace, length: Duration) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for number in 0..CONNECTIONS {
            let stream = connect(target).await;
            let requests = Arc::clone(&target.requests);
            let (clock, next) = (Arc::clone(&clock), Arc::clone(&next));
            tasks.push((number, stream, requests, clock, next));
        }
        let begin = clock.uptime();
        let end = begin + length;
        let running: Vec<_> = tasks
            .into_iter()
            .map(|(number, stream, requests, clock, next)| {
                tokio::spawn(connection(number, stream, requests, clock, next, pace, end))
            })
            .collect();
        let mut times = Vec::new();
        let mut refused = 0;
        for task in running {
            let (mine, bad) = task.await.expect("a connection's task");
            times.extend(mine);
            refused += bad;
        }
        let took = clock.uptime() - begin;
        figures(times, refused, took)
    })
}

async fn connect(target: &Target) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(target.address)
        .await
        .expect("the server accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::clone(&target.client))
        .connect(name, stream)
        .await
        .expect("the TLS handshake")
}

async fn connection(
    number: usize,
    mut stream: TlsStream<TcpStream>,
    requests: Arc<Vec<Vec<u8>>>,
    clock: Arc<SystemClock>,
    next: Arc<AtomicUsize>,
    pace: Pace,
    end: Duration,
) -> (Vec<u32>, usize) {
    let mut times = Vec::new();
    let mut refused = 0;
    let mut buffer = vec![0; 16 * 1024];
    // A small generator of its own: arrivals must differ between connections,
    // not be unpredictable.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    let mut due = clock.uptime();
    while clock.uptime() < end {
        if let Pace::Rate(per_second) = pace {
            due += arrival(&mut state, per_second / CONNECTIONS as f64);
            let now = clock.uptime();
            if due > now {
                tokio::time::sleep(due - now).await;
            }
        }
        let request = &requests[next.fetch_add(1, Ordering::Relaxed) % requests.len()];
        // Open loop: time counts from when the request was due, so that a
        // server that stalls is not forgiven the queue behind it.
        let sent = match pace {
            Pace::Full => clock.uptime(),
            Pace::Rate(_) => due,
        };
        stream
            .write_all(request)
            .await
            .expect("the request is sent");
        if status(&mut stream, &mut buffer).await != 200 {
            refused += 1;
        }
        let took = clock.uptime().saturating_sub(sent);
        times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }
    (times, refused)
}

fn arrival(state: &mut u64, per_second: f64) -> Duration {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let uniform = ((*state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    Duration::from_secs_f64(-uniform.ln() / per_second)
}

/// Reads one whole answer and returns its status.
async fn status(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> u16 {
    let mut have = 0;
    loop {
        let read = stream.read(&mut buffer[have..]).await.expect("an answer");
        assert!(read > 0, "the server closed the connection");
        have += read;
        let Some(head) = find(&buffer[..have], b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).expect("an ASCII head");
        let length: usize = text
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            })
            .expect("a content-length");
        if have >= head + 4 + length {
            return text[9..12].parse().expect("a status");
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Puts times together.
pub(crate) fn figures(mut times: Vec<u32>, refused: usize, took: Duration) -> Figures {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    Figures {
        per_second: times.len() as f64 / took.as_secs_f64(),
        p50_ms: at(0.50),
        p99_ms: at(0.99),
        refused,
    }
}
