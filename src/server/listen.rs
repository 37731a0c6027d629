//! Sockets that listen, and taking connections from them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    select,
    sync::watch,
    time::sleep,
};

use super::{
    admission::{AddressKey, Door, Full},
    connection::Endpoint,
    drain::Phase,
};

/// Connections that the system keeps until they are taken.
const BACKLOG: u32 = 1024;
/// Pause after the system could not hand over a connection: usually there are
/// no file descriptors, and trying again at once would only burn the processor.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// Binds and listens. Port 0 takes any free port.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the old connections' TIME_WAIT. This does not
    // let two servers share a port on Linux.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the server closes, then what is left in the queue.
pub(super) async fn accept(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    mut phase: watch::Receiver<Phase>,
) {
    let door = Door::new(&endpoint.shared.limits);
    let connections = phase.clone();
    loop {
        let accepted = select! {
            biased;
            _ = phase.wait_for(|p| *p != Phase::Serving) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &door, &endpoint, &connections),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                endpoint.shared.counters.accept_faults.add();
                tracing::error!(
                    listener = endpoint.kind.as_str(), %error,
                    "cannot take a connection; pausing (too few file descriptors?)"
                );
                select! {
                    _ = phase.wait_for(|p| *p != Phase::Serving) => {}
                    () = sleep(FAULT_PAUSE) => {}
                }
            }
        }
    }
    // Asked of the system itself: the runtime may not have heard of the last ones.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, peer)) = listener.accept() {
        if let Ok(stream) = into_tokio(stream) {
            admit(stream, peer, &door, &endpoint, &connections);
        }
    }
}

fn into_tokio(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    door: &Arc<Door>,
    endpoint: &Arc<Endpoint>,
    phase: &watch::Receiver<Phase>,
) {
    let shared = &endpoint.shared;
    let address = peer.ip().to_canonical();
    let counters = &shared.counters;
    match door.enter(AddressKey::of(address), shared.clock.uptime()) {
        Ok(guest) => {
            counters.accepted.add();
            counters.open.add();
            let endpoint = Arc::clone(endpoint);
            let phase = phase.clone();
            tokio::spawn(async move {
                let open = OpenCount(Arc::clone(&endpoint));
                endpoint.serve(stream, address, guest, phase).await;
                drop(open);
            });
        }
        // Closed at once: a client that is told no quickly can go elsewhere,
        // one left in the queue can only wait.
        Err(Full::Total) => counters.refused_total.add(),
        Err(Full::Address) => counters.refused_address.add(),
        Err(Full::Rate) => counters.refused_rate.add(),
    }
}

/// Faults of the one connection, which was gone before it was taken.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Keeps the gauge right even where a task panics or is cut.
struct OpenCount(Arc<Endpoint>);

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.shared.counters.open.sub();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_zero_takes_a_free_port_and_a_taken_port_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_full_descriptor_table_is_not_the_connections_fault() {
        assert!(is_of_the_connection(
            &io::ErrorKind::ConnectionAborted.into()
        ));
        assert!(!is_of_the_connection(&io::Error::from_raw_os_error(24)));
    }
}
