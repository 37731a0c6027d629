//! HTTP/2, with hand-made frames where a library would not send them.

use std::sync::atomic::Ordering;

use assay::server::Kind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::rig::{PATIENCE, Rig, limits};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A client that sends the frames it is told to.
struct Client(TlsStream<TcpStream>);

impl Client {
    async fn new(rig: &Rig) -> Self {
        let mut stream = rig.connect_tls(&["h2"]).await;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut client = Self(stream);
        client.write(SETTINGS, 0, 0, &[]).await;
        client
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The server may already have gone away.
        let _ = self.0.write_all(&frame).await;
        let _ = self.0.flush().await;
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head))
            .await
            .unwrap()
            .ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut payload))
            .await
            .unwrap()
            .ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    async fn post(&mut self, stream: u32, fields: &[(&str, &str)], form: &str) {
        self.write(HEADERS, END_HEADERS, stream, &fields_of(fields))
            .await;
        self.write(DATA, END_STREAM, stream, form.as_bytes()).await;
    }

    /// How a stream ended: with a body, or with a reset or the end of all.
    async fn outcome(&mut self, stream: u32) -> Result<String, &'static str> {
        let mut body = Vec::new();
        while let Some(frame) = self.read().await {
            match frame.kind {
                GOAWAY => return Err("goaway"),
                RST_STREAM if frame.stream == stream => return Err("reset"),
                DATA if frame.stream == stream => body.extend(frame.payload),
                _ => {}
            }
            let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            if ends && frame.stream == stream {
                return Ok(String::from_utf8(body).unwrap());
            }
        }
        Err("closed")
    }
}

/// Header fields as HPACK literals without compression.
fn fields_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).unwrap());
            out.extend(text.as_bytes());
        }
    }
    out
}

const HONEST: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", "/oauth2/token"),
    ("content-type", "application/x-www-form-urlencoded"),
];

#[tokio::test]
async fn requests_share_a_connection() {
    let rig = Rig::tls(limits()).await;
    let mut client = Client::new(&rig).await;
    for stream in [1, 3, 5] {
        client.post(stream, &HONEST, "scope=x").await;
        let body = client.outcome(stream).await.unwrap();
        assert!(body.contains(r#""access_token":"t""#), "{body}");
    }
    client.post(7, &HONEST, "scope=panic").await;
    assert!(client.outcome(7).await.unwrap().contains("INTERNAL"));
    client.post(9, &HONEST, "scope=x&scope=y").await;
    assert!(
        client
            .outcome(9)
            .await
            .unwrap()
            .contains("PARAMETER_DUPLICATED")
    );
}

#[tokio::test]
async fn a_stock_client_is_served_over_http2() {
    let rig = Rig::tls(limits()).await;
    let pem = std::fs::read(rig.folder.path().join("tls.crt")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a caller, not the server")]
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .no_proxy()
        .build()
        .unwrap();
    let port = rig.server.address(Kind::Public).unwrap().port();
    let answer = client
        .post(format!("https://localhost:{port}/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("scope=x")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let head = client
        .head(format!("https://localhost:{port}/targets/prod/jwks.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"23".parse().unwrap())
    );
    assert_eq!(head.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn o_29_malformed_heads_are_never_executed() {
    let rig = Rig::tls(limits()).await;
    let with = |extra: &[(&'static str, &'static str)]| {
        let mut fields = HONEST.to_vec();
        fields.splice(4..4, extra.iter().copied());
        fields
    };
    let without =
        |name: &str| -> Vec<_> { HONEST.into_iter().filter(|(n, _)| *n != name).collect() };
    for fields in [
        with(&[(":path", "/oauth2/token")]),
        with(&[(":method", "POST")]),
        with(&[(":unknown", "x")]),
        with(&[("X-Upper", "x")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("content-length", "3"), ("content-length", "4")]),
        with(&[("content-length", "2")]),
        with(&[("late", "x"), (":late", "y")]),
        without(":method"),
        without(":path"),
        without(":scheme"),
        vec![(":method", "CONNECT"), (":authority", "a:443")],
        vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "a"),
        ],
    ] {
        let mut client = Client::new(&rig).await;
        client.post(1, &fields, "a=1").await;
        let outcome = client.outcome(1).await;
        let is_refused = outcome
            .as_ref()
            .map_or(true, |body| body.contains("invalid_request"));
        assert!(is_refused, "{fields:?}: {outcome:?}");
        assert_eq!(rig.tokens(), 0, "{fields:?}");
    }
    let mut client = Client::new(&rig).await;
    client
        .post(1, &with(&[("content-length", "3")]), "a=1")
        .await;
    assert!(client.outcome(1).await.is_ok());
    assert_eq!(rig.app.tokens.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let rig = Rig::tls(limits()).await;
    let mut client = Client::new(&rig).await;
    let mut frames = Vec::new();
    for stream in (1_u32..4001).step_by(2) {
        let fields = fields_of(&HONEST);
        frames.extend([
            0,
            0,
            u8::try_from(fields.len()).unwrap(),
            HEADERS,
            END_HEADERS,
        ]);
        frames.extend(stream.to_be_bytes());
        frames.extend(fields);
        frames.extend([0, 0, 4, RST_STREAM, 0]);
        frames.extend(stream.to_be_bytes());
        frames.extend([0, 0, 0, 8]);
    }
    let _ = client.0.write_all(&frames).await;
    let _ = client.0.flush().await;
    let outcome = client.outcome(u32::MAX).await;
    assert_eq!(outcome, Err("goaway"));
    assert_eq!(rig.tokens(), 0);
}

#[tokio::test]
async fn a_body_over_the_cap_is_told_so() {
    let mut limits = limits();
    limits.body = 1000;
    let rig = Rig::tls(limits).await;
    let mut client = Client::new(&rig).await;
    client
        .write(HEADERS, END_HEADERS, 1, &fields_of(&HONEST))
        .await;
    client.write(DATA, 0, 1, &[b'a'; 600]).await;
    client.write(DATA, 0, 1, &[b'a'; 600]).await;
    let body = client.outcome(1).await.unwrap();
    assert!(body.contains("BODY_TOO_LARGE"), "{body}");
    client.post(3, &HONEST, "a=1").await;
    let body = client.outcome(3).await.unwrap();
    assert!(body.contains("access_token"), "{body}");
}
