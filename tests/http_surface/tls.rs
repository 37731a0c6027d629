//! TLS: versions, protocols, renewal of the certificate, who may be plain.

use std::sync::Arc;

use assay::{
    base::random::SystemRandom,
    server::{Kind, Listener, Server, ServerError, Settings, TlsError, Transport},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::rig::{PATIENCE, Rig, Stub, ask, certificate, clock, files, limits, write_certificate};

#[tokio::test]
async fn tls_12_and_13_are_spoken() {
    let rig = Rig::tls(limits()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = rig.try_tls(&["http/1.1"], &[version]).await.unwrap();
        assert!(ask(&mut stream, "a=1").await.unwrap().contains(" 200 "));
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
    }
}

#[tokio::test]
async fn tls_11_and_older_are_refused() {
    let rig = Rig::tls(limits()).await;
    for minor in [0, 1, 2] {
        // A ClientHello of TLS 1.1 or older: no supported_versions, one suite.
        let mut hello = vec![1, 0, 0, 43, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 4, 0xc0, 0x2f, 0xc0, 0x14, 1, 0]);
        let length = u8::try_from(hello.len()).unwrap();
        hello[3] = length - 4;
        let mut record = vec![22, 3, 1, 0, length];
        record.extend(&hello);
        let mut stream = rig.connect(Kind::Public).await;
        stream.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        // A fatal alert, and nothing else.
        assert_eq!(answer.first(), Some(&21), "3.{minor}: {answer:?}");
        assert_eq!(answer.get(5), Some(&2), "3.{minor}: {answer:?}");
        assert_eq!(answer.len(), 7, "3.{minor}: {answer:?}");
    }
    let metrics = rig.health("/metrics").await;
    assert!(
        metrics.contains("failed_total{cause=\"tls\"} 3\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_protocol_is_settled_by_alpn() {
    let rig = Rig::tls(limits()).await;
    for (offer, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = rig.connect_tls(offer).await;
        let got = stream.get_ref().1.alpn_protocol();
        assert_eq!(got, agreed.map(str::as_bytes), "{offer:?}");
    }
    assert!(
        rig.try_tls(&["spdy/3"], rustls::DEFAULT_VERSIONS)
            .await
            .is_err()
    );
    // Plain HTTP to a TLS port is answered by no HTTP.
    let answer = rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP/"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_open_connections_live_on() {
    let rig = Rig::tls(limits()).await;
    let old = certificate(rig.folder.path());
    let mut open = rig.connect_tls(&[]).await;
    assert!(ask(&mut open, "a=1").await.is_some());

    write_certificate(rig.folder.path());
    assert!(rig.server.reload_certificates().unwrap());
    let fresh = rig.connect_tls(&[]).await;
    let shown = fresh.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown, [certificate(rig.folder.path())]);
    assert_ne!(shown, [old]);
    assert!(ask(&mut open, "a=1").await.is_some());
}

#[tokio::test]
async fn a_certificate_without_its_key_is_not_shown() {
    let rig = Rig::tls(limits()).await;
    let key = std::fs::read(files(rig.folder.path()).key).unwrap();
    let old = certificate(rig.folder.path());
    write_certificate(rig.folder.path());
    std::fs::write(files(rig.folder.path()).key, &key).unwrap();
    let fault = rig.server.reload_certificates().unwrap_err();
    assert!(matches!(fault, TlsError::Mismatch { .. }), "{fault}");
    let address = rig.server.address(Kind::Public).unwrap();
    let versions = rustls::DEFAULT_VERSIONS;
    assert!(super::rig::dial(address, old, &[], versions).await.is_ok());
}

#[tokio::test]
async fn files_are_looked_at_without_being_told() {
    let mut limits = limits();
    limits.certificate_check = std::time::Duration::from_millis(10);
    let rig = Rig::tls(limits).await;
    write_certificate(rig.folder.path());
    let found = async {
        // The client trusts the new certificate only.
        while rig.try_tls(&[], rustls::DEFAULT_VERSIONS).await.is_err() {}
    };
    timeout(PATIENCE, found).await.unwrap();
}

#[tokio::test]
async fn the_ready_file_names_where_the_server_listens() {
    let rig = Rig::tls(limits()).await;
    let path = rig.folder.path().join("ready.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (kind, scheme) in [
        (Kind::Public, "https"),
        (Kind::Admin, "http"),
        (Kind::Telemetry, "http"),
    ] {
        let url = format!("{scheme}://{}", rig.server.address(kind).unwrap());
        assert_eq!(ready[kind.as_str()], url);
    }
    assert_eq!(ready.as_object().unwrap().len(), 3);
    // A second server that cannot start leaves the file of the first alone.
    let settings = Settings {
        telemetry: rig.server.address(Kind::Telemetry),
        ready_file: Some(path.clone()),
        ..Settings::default()
    };
    let app = Arc::new(Stub::default());
    let second = Server::start(settings, app, clock(), Arc::new(SystemRandom)).await;
    assert!(matches!(second, Err(ServerError::Bind { .. })));
    assert!(path.exists());
    let Rig { server, folder, .. } = rig;
    drop(server);
    assert!(
        !path.exists(),
        "a stopped server leaves no sign of being ready"
    );
    drop(folder);
}

async fn start(public: Listener, admin: Option<Listener>) -> Result<Server, ServerError> {
    let settings = Settings {
        public: Some(public),
        admin,
        ..Settings::default()
    };
    Server::start(
        settings,
        Arc::new(Stub::default()),
        clock(),
        Arc::new(SystemRandom),
    )
    .await
}

#[tokio::test]
async fn plain_http_is_for_the_loopback() {
    let plain = |address: &str| Listener {
        address: address.parse().unwrap(),
        transport: Transport::PlainLoopback,
    };
    for address in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let fault = start(plain(address), None).await.unwrap_err();
        assert!(
            matches!(fault, ServerError::PlainNotLoopback { .. }),
            "{fault}"
        );
        let fault = start(plain("127.0.0.1:0"), Some(plain(address))).await;
        assert!(matches!(fault, Err(ServerError::AdminNotLoopback { .. })));
    }
    let admin = Some(plain("127.0.0.1:0"));
    assert!(start(plain("127.0.0.1:0"), admin).await.is_ok());
}

#[tokio::test]
async fn a_start_that_cannot_succeed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let listener = |address: std::net::SocketAddr| Listener {
        address,
        transport: Transport::Tls(files(folder.path())),
    };
    let loopback = "127.0.0.1:0".parse().unwrap();
    let fault = start(listener(loopback), None).await.unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("the public listener has no certificate to show: cannot read")
    );
    write_certificate(folder.path());
    let server = start(listener(loopback), None).await.unwrap();
    let taken = server.address(Kind::Public).unwrap();
    let fault = start(listener(taken), None).await.unwrap_err();
    assert!(matches!(fault, ServerError::Bind { .. }), "{fault}");
}
