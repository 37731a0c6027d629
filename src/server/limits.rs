//! Bounds on what a stranger can make the server do.
//!
//! Every bound has a default that a careful operator can leave alone, and every
//! one can be changed: what is generous on a laptop is tight behind a proxy
//! that hides thousands of callers behind one address.

use std::time::Duration;

/// A rate with a burst, per network address (IPv6: per /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Refilled each second; at least 1.
    pub per_second: u32,
    /// Most at once; at least 1.
    pub burst: u32,
}

/// All limits and deadlines of the listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections on one listener.
    pub connections: usize,
    /// Open connections from one address on one listener.
    pub connections_per_address: usize,
    /// New connections from one address; none: unlimited.
    pub connection_rate: Option<Rate>,
    /// Requests from one address; none: unlimited. Key sets, metadata and
    /// health do not count: they cost less to answer than to refuse.
    pub request_rate: Option<Rate>,
    /// Addresses that are told apart at once by each of the two rates.
    pub addresses: usize,
    /// Token requests in work at once; more are answered 503.
    pub in_flight: usize,
    /// Bytes of bodies that are waiting for their rest, over all connections.
    pub partial_bodies: usize,
    /// Largest body of a request, in bytes.
    pub body: usize,
    /// Largest request head, in bytes.
    pub head: usize,
    /// Concurrent HTTP/2 streams on one connection.
    pub streams: u32,
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// For a request head to arrive, and for the first one to begin.
    pub head_timeout: Duration,
    /// For a body to arrive.
    pub body_timeout: Duration,
    /// For an answer to leave.
    pub write_timeout: Duration,
    /// A connection on which nothing happens for this long is closed (at the
    /// latest after twice as long).
    pub idle: Duration,
    /// On shutdown: from not being ready to accepting no more, so that load
    /// balancers notice.
    pub drain_notice: Duration,
    /// On shutdown: how long an idle HTTP/1.1 connection may still send a
    /// request that was on its way.
    pub drain_grace: Duration,
    /// On shutdown: longest wait for requests that are in work.
    pub drain: Duration,
    /// How long key sets may be cached, in seconds. Next to nothing: `signing`
    /// waits a server's refresh interval and some seconds for all that is between.
    pub jwks_max_age: u32,
    /// How often the certificate files are looked at.
    pub certificate_check: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = Rate {
            per_second: 200,
            burst: 1000,
        };
        Self {
            connections: 8192,
            connections_per_address: 1024,
            connection_rate: Some(rate),
            request_rate: Some(rate),
            addresses: 65_536,
            in_flight: 1024,
            partial_bodies: 16 << 20,
            body: 64 << 10,
            head: 16 << 10,
            streams: 64,
            handshake: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            drain_notice: Duration::from_secs(5),
            drain_grace: Duration::from_millis(500),
            drain: Duration::from_secs(20),
            jwks_max_age: 5,
            certificate_check: Duration::from_secs(10),
        }
    }
}
