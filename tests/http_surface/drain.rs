//! Shutting down: nothing that was taken on is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use assay::server::{Kind, Stop};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use super::rig::{PATIENCE, Rig, ask, health, limits, post, read_answer, read_to_end};

/// Waits until the application has a request that waits.
async fn entered(rig: &Rig) {
    let waiting = rig.app.entered.waiting.acquire();
    timeout(PATIENCE, waiting).await.unwrap().unwrap().forget();
}

/// Waits until readiness is red.
async fn red(telemetry: std::net::SocketAddr) {
    let turned = async {
        while !health(telemetry, "/readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
        {}
    };
    timeout(PATIENCE, turned).await.unwrap();
}

#[tokio::test]
async fn requests_in_work_are_answered_before_the_end() {
    let rig = Rig::plain(limits()).await;
    let telemetry = rig.server.address(Kind::Telemetry).unwrap();
    let public = rig.server.address(Kind::Public).unwrap();
    let mut busy = rig.connect(Kind::Public).await;
    busy.write_all(post("scope=wait").as_bytes()).await.unwrap();
    entered(&rig).await;
    let mut idle = rig.connect(Kind::Public).await;
    assert!(ask(&mut idle, "a=1").await.is_some());

    let app = Arc::clone(&rig.app);
    let drained = tokio::spawn(rig.server.drain(Stop::Gradual));
    red(telemetry).await;
    let answer = health(telemetry, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "alive while it drains");
    assert_eq!(read_to_end(&mut idle).await, "", "idle connections go");
    let refused = async { while TcpStream::connect(public).await.is_ok() {} };
    timeout(PATIENCE, refused).await.unwrap();
    assert!(!drained.is_finished());

    app.entered.go.add_permits(1);
    let answer = read_answer(&mut busy).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(read_to_end(&mut busy).await, "");
    assert!(timeout(PATIENCE, drained).await.unwrap().unwrap(), "clean");
    assert!(TcpStream::connect(telemetry).await.is_err());
}

#[tokio::test]
async fn during_the_notice_everything_is_still_served() {
    let mut limits = limits();
    limits.drain_notice = Duration::from_secs(3600);
    let rig = Rig::plain(limits).await;
    let telemetry = rig.server.address(Kind::Telemetry).unwrap();
    let public = rig.server.address(Kind::Public).unwrap();
    let mut kept = rig.connect(Kind::Public).await;
    assert!(ask(&mut kept, "a=1").await.is_some());
    let drained = tokio::spawn(rig.server.drain(Stop::Gradual));
    red(telemetry).await;
    for mut stream in [kept, TcpStream::connect(public).await.unwrap()] {
        let answer = ask(&mut stream, "a=1").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(read_to_end(&mut stream).await, "");
    }
    drained.abort();
}

#[tokio::test]
async fn a_prompt_stop_gives_no_notice() {
    let mut limits = limits();
    limits.drain_notice = Duration::from_secs(3600);
    let rig = Rig::plain(limits).await;
    let drained = rig.server.drain(Stop::Prompt);
    assert!(timeout(PATIENCE, drained).await.unwrap());
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let mut limits = limits();
    limits.drain = Duration::from_millis(100);
    let rig = Rig::plain(limits).await;
    let mut busy = rig.connect(Kind::Public).await;
    busy.write_all(post("scope=wait").as_bytes()).await.unwrap();
    entered(&rig).await;
    let drained = timeout(PATIENCE, rig.server.drain(Stop::Prompt)).await;
    assert!(!drained.unwrap(), "it says that something was cut");
    assert!(read_answer(&mut busy).await.is_none());
}

/// Callers that send one request after another, and stop when they are told
/// that the connection ends, as behind a load balancer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_request_that_was_sent_is_answered() {
    const CALLERS: usize = 8;
    let rig = Rig::tls(limits()).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut stream = rig.connect_tls(&["http/1.1"]).await;
        let answered = Arc::clone(&answered);
        callers.push(tokio::spawn(async move {
            loop {
                let answer = ask(&mut stream, "a=1").await.expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                answered.fetch_add(1, Ordering::SeqCst);
                if answer.contains("\r\nconnection: close\r\n") {
                    return;
                }
            }
        }));
    }
    let underway = async {
        while answered.load(Ordering::SeqCst) < 20 * CALLERS {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, underway).await.unwrap();
    let app = Arc::clone(&rig.app);
    assert!(
        timeout(PATIENCE, rig.server.drain(Stop::Prompt))
            .await
            .unwrap()
    );
    for caller in callers {
        caller.await.unwrap();
    }
    let (taken, answered) = (
        app.tokens.load(Ordering::SeqCst),
        answered.load(Ordering::SeqCst),
    );
    assert_eq!(taken, answered);
}

/// Connections that the system has taken on but the server has not.
#[tokio::test]
async fn what_waits_in_the_queue_is_served_first() {
    let rig = Rig::plain(limits()).await;
    // The test's runtime has one thread: nothing is accepted until it waits.
    let address = rig.server.address(Kind::Public).unwrap();
    let mut queued: Vec<_> = (0..50)
        .map(|_| {
            use std::io::Write as _;
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(post("a=1").as_bytes()).unwrap();
            stream
        })
        .collect();
    let drained = rig.server.drain(Stop::Prompt);
    assert!(timeout(PATIENCE, drained).await.unwrap());
    for stream in queued.drain(..) {
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
