//! Floods and slow callers.

use std::time::Duration;

use assay::server::{Kind, Rate};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::rig::{PATIENCE, Rig, ask, last_post, limits, post, read_answer, read_to_end};

const SHORT: Duration = Duration::from_millis(100);

const HEAD: &str = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\n";

/// Pushes bytes until the server has closed its side or the bytes are out, as
/// clients do that write all before they read. Gives the answer, and whether
/// everything could be written.
async fn push(rig: &Rig, head: &str, piece: &[u8], times: usize) -> (String, bool) {
    let stream = rig.connect(Kind::Public).await;
    let (mut from, mut to) = stream.into_split();
    to.write_all(head.as_bytes()).await.unwrap();
    let writer = async {
        for _ in 0..times {
            if to.write_all(piece).await.is_err() {
                return false;
            }
        }
        true
    };
    let (is_written, answer) = tokio::join!(timeout_of(writer), read_to_end(&mut from));
    (answer, is_written)
}

async fn timeout_of<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("the work ends")
}

#[tokio::test]
async fn r_01_a_body_of_ten_megabytes_is_told_413() {
    let rig = Rig::plain(limits()).await;
    let head = format!("{HEAD}Content-Length: 10485760\r\n\r\n");
    let (answer, is_written) = push(&rig, &head, &[b'a'; 65_536], 160).await;
    assert!(
        is_written,
        "a reset would hide the answer from most clients"
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("BODY_TOO_LARGE"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(rig.tokens(), 0);
}

#[tokio::test]
async fn r_01_an_endless_chunked_body_is_told_413() {
    let rig = Rig::plain(limits()).await;
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let mut chunk = b"2000\r\n".to_vec();
    chunk.extend([b'a'; 0x2000]);
    chunk.extend(b"\r\n");
    let (answer, is_written) = push(&rig, &head, &chunk, usize::MAX).await;
    assert!(!is_written, "reading on has an end");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(rig.tokens(), 0);
}

#[tokio::test]
async fn r_01_the_largest_body_is_read() {
    let rig = Rig::plain(limits()).await;
    let form = format!("a={}", "x".repeat((64 << 10) - 2));
    assert!(
        rig.send(last_post(&form))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let answer = rig.send(last_post(&(form + "x"))).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn r_03_slow_heads_are_cut_and_a_good_caller_is_served() {
    let mut limits = limits();
    limits.head_timeout = SHORT;
    let rig = Rig::plain(limits).await;
    let mut good = rig.connect(Kind::Public).await;
    assert!(ask(&mut good, "a=1").await.is_some());
    let mut slow = Vec::new();
    for begun in [
        "",
        "P",
        "\r\n",
        "POST /oauth2/token HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        let mut stream = rig.connect(Kind::Public).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for mut stream in slow {
        assert!(!read_to_end(&mut stream).await.contains(" 200 "));
    }
    // A kept connection is idle, not slow; and a second head has its time too.
    assert!(ask(&mut good, "a=1").await.is_some());
    good.write_all(b"POST /oauth2/token HT").await.unwrap();
    assert_eq!(read_to_end(&mut good).await, "");
}

#[tokio::test]
async fn r_03_a_trickle_does_not_extend_the_time_for_a_head() {
    let mut limits = limits();
    limits.head_timeout = SHORT;
    let rig = Rig::plain(limits).await;
    let mut stream = rig.connect(Kind::Public).await;
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let trickle = async {
        let mut byte = [0];
        loop {
            match timeout(SHORT / 10, stream.read(&mut byte)).await {
                Ok(_) => break,
                Err(_) => {
                    if stream.write_all(b"y").await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    timeout_of(trickle).await;
}

#[tokio::test]
async fn r_03_slow_bodies_are_408() {
    let mut limits = limits();
    limits.body_timeout = SHORT;
    let rig = Rig::plain(limits).await;
    for (framing, begun) in [
        ("Content-Length: 10", ""),
        ("Content-Length: 10", "a=1"),
        ("Transfer-Encoding: chunked", "3\r\na=1\r\n"),
        ("Transfer-Encoding: chunked", "3\r\na="),
    ] {
        let answer = rig.send(format!("{HEAD}{framing}\r\n\r\n{begun}")).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{framing}: {answer}");
        assert!(answer.contains("REQUEST_TIMEOUT"), "{answer}");
    }
    assert_eq!(rig.tokens(), 0);
}

#[tokio::test]
async fn r_03_a_caller_that_does_not_read_is_cut() {
    let mut limits = limits();
    limits.write_timeout = SHORT;
    let rig = Rig::plain(limits).await;
    let mut stream = rig.connect(Kind::Public).await;
    let requests = "GET /.well-known/openid-configuration HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let flood = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    timeout_of(flood).await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let mut limits = limits();
    limits.idle = SHORT;
    let rig = Rig::plain(limits).await;
    let mut busy = rig.connect(Kind::Public).await;
    busy.write_all(post("scope=wait").as_bytes()).await.unwrap();
    for _ in 0..3 {
        // Each of these takes at least as long as the time to be idle.
        let mut idle = rig.connect(Kind::Public).await;
        assert!(ask(&mut idle, "a=1").await.is_some());
        assert_eq!(read_to_end(&mut idle).await, "");
    }
    rig.app.entered.go.add_permits(1);
    assert!(read_answer(&mut busy).await.unwrap().contains(" 200 "));
    assert_eq!(read_to_end(&mut busy).await, "");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let mut limits = limits();
    limits.handshake = SHORT;
    let rig = Rig::tls(limits).await;
    let mut silent = rig.connect(Kind::Public).await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let metrics = rig.health("/metrics").await;
    let line = "assay_server_handshakes_failed_total{cause=\"timeout\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    let mut stream = rig.connect_tls(&[]).await;
    assert!(ask(&mut stream, "a=1").await.is_some());
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let mut limits = limits();
    limits.connections_per_address = 2;
    let rig = Rig::plain(limits).await;
    let mut first = rig.connect(Kind::Public).await;
    let mut second = rig.connect(Kind::Public).await;
    assert!(ask(&mut first, "a=1").await.is_some());
    assert!(ask(&mut second, "a=1").await.is_some());
    let mut third = rig.connect(Kind::Public).await;
    assert_eq!(read_to_end(&mut third).await, "");
    let metrics = rig.health("/metrics").await;
    let line = "refused_total{limit=\"connections_per_address\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
    assert!(ask(&mut first, "a=1").await.is_some());
    drop(second);
    // The server learns of the close when it next looks at that connection.
    let retry = async {
        loop {
            let mut next = rig.connect(Kind::Public).await;
            if ask(&mut next, "a=1").await.is_some() {
                break;
            }
        }
    };
    timeout_of(retry).await;
}

#[tokio::test]
async fn requests_of_one_address_have_a_rate() {
    let mut limits = limits();
    limits.request_rate = Some(Rate {
        per_second: 1,
        burst: 2,
    });
    let rig = Rig::plain(limits).await;
    let mut stream = rig.connect(Kind::Public).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = ask(&mut stream, "a=1").await.unwrap();
        statuses.push(answer[9..12].to_owned());
        if answer.starts_with("HTTP/1.1 429 ") {
            assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
            assert!(answer.contains("RATE_LIMITED"), "{answer}");
            break;
        }
    }
    assert_eq!(statuses.first().map(String::as_str), Some("200"));
    assert_eq!(statuses.last().map(String::as_str), Some("429"));
}

#[tokio::test]
async fn heads_are_bounded() {
    let rig = Rig::plain(limits()).await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(20_000));
    for request in [long, many, long_path] {
        let answer = rig.send(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "),
            "{answer}"
        );
    }
    let fits = format!(
        "GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\nConnection: close\r\n\r\n",
        "y".repeat(12_000)
    );
    assert!(rig.send(fits).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn r_05_and_r_07_bodies_full_of_nothing_are_refused() {
    let rig = Rig::plain(limits()).await;
    for form in [
        "&".repeat(60_000),
        "a".repeat(60_000),
        "%41".repeat(20_000),
        "a&".repeat(30_000),
    ] {
        let answer = rig.send(last_post(&form)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    // A token of dots is the application's to judge: it arrives.
    let dots = format!("subject_token={}", ".".repeat(60_000));
    assert!(
        rig.send(last_post(&dots))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(rig.tokens(), 1);
}
