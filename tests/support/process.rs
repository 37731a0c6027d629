//! The real program, in a process of its own: what a test of crashes, signals
//! and exit codes needs.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use assay::base::{
    clock::{Clock as _, Moment, SystemClock},
    random::{SystemRandom, bytes},
};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    broker::{AUDIENCE, EXCHANGE, Files, JWT, Reply},
    tokens::{TestKey, jwks},
};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_assay");

/// Longest wait for anything that is sure to come. A machine under load is
/// slow; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A command of the program, with nothing of this process's own settings.
pub fn assay<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(PROGRAM);
    let own = |name: &str| name.starts_with("ASSAY_") || name == "NO_COLOR";
    for (name, _) in std::env::vars().filter(|(name, _)| own(name)) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let done = command.output().expect("the program runs");
        Self {
            code: done.status.code(),
            stdout: String::from_utf8(done.stdout).expect("UTF-8"),
            stderr: String::from_utf8(done.stderr).expect("UTF-8"),
        }
    }

    /// Runs a command with this on its standard input.
    pub fn fed(command: &mut Command, input: &str) -> Self {
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("the program runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let done = child.wait_with_output().expect("it ends");
        Self {
            code: done.status.code(),
            stdout: String::from_utf8(done.stdout).expect("UTF-8"),
            stderr: String::from_utf8(done.stderr).expect("UTF-8"),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The one JSON value on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {self:#?}"))
    }

    /// Each line of stdout as JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {self:#?}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// Runs `assay` with these arguments.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(&mut assay(args))
}

/// The lines that a process wrote, as they come.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    is_over: bool,
}

impl Lines {
    /// Reads a stream to its end, on a thread of its own.
    pub fn follow(&self, stream: impl std::io::Read + Send + 'static) {
        let said = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                said.add(|said| said.lines.push(line));
            }
            said.add(|said| said.is_over = true);
        });
    }

    fn add(&self, what: impl FnOnce(&mut Said)) {
        what(&mut self.0.0.lock().expect("no panic"));
        self.0.1.notify_all();
    }

    /// Waits for a line with this text after the first `skip` lines; says how
    /// many lines there are up to and with it, or all that was said by its end.
    pub fn wait(&self, skip: usize, text: &str) -> Result<(usize, String), String> {
        let found = |said: &Said| {
            let at = said
                .lines
                .iter()
                .skip(skip)
                .position(|line| line.contains(text))?;
            Some((skip + at + 1, said.lines[skip + at].clone()))
        };
        let said = self.0.0.lock().expect("no panic");
        let go_on = |said: &mut Said| !said.is_over && found(said).is_none();
        let (said, _) = self
            .0
            .1
            .wait_timeout_while(said, PATIENCE, go_on)
            .expect("no panic");
        let all = said.lines.join("\n");
        match found(&said) {
            Some(found) => Ok(found),
            None if said.is_over => Err(all),
            None => panic!("nothing with {text:?} for too long:\n{all}"),
        }
    }
}

/// A running `assay serve`. Dropping it kills it.
pub struct Served {
    child: Child,
    urls: Value,
    log: Lines,
}

impl Served {
    /// Starts it and waits until it listens.
    pub fn start(config: &Path) -> Self {
        Self::launch(Command::new(PROGRAM), config)
    }

    /// Starts it with the signal for too large files ignored, as a write to a
    /// full disk raises none.
    pub fn start_without_xfsz(config: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
        Self::launch(shell, config)
    }

    /// Starts it on what it must refuse; gives what it said and its exit code.
    #[track_caller]
    pub fn refuses(config: &Path) -> (Option<i32>, String) {
        Self::try_launch(Command::new(PROGRAM), config)
            .err()
            .expect("it must not start")
    }

    #[track_caller]
    fn launch(command: Command, config: &Path) -> Self {
        match Self::try_launch(command, config) {
            Ok(served) => served,
            Err((code, said)) => panic!("it ended with {code:?} instead of listening:\n{said}"),
        }
    }

    fn try_launch(mut command: Command, config: &Path) -> Result<Self, (Option<i32>, String)> {
        let ready = config.with_file_name("ready.json");
        // A process that was killed could not remove its own.
        let _ = std::fs::remove_file(&ready);
        command
            .args([
                "serve",
                "--log-level",
                "info",
                "--log-format",
                "json",
                "--threads",
                "2",
            ])
            .arg("--config")
            .arg(config)
            .arg("--ready-file")
            .arg(&ready)
            .env_remove("ASSAY_LOG_LEVEL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal is for the test, which stops this one.
            .process_group(0);
        let mut child = command.spawn().expect("the program runs");
        let log = Lines::default();
        log.follow(child.stderr.take().expect("a pipe"));
        if let Err(said) = log.wait(0, "\"listening\"") {
            // The end of what it says is the end of it.
            let code = child.wait().ok().and_then(|status| status.code());
            return Err((code, said));
        }
        let text = std::fs::read_to_string(&ready).expect("the ready file");
        Ok(Self {
            child,
            urls: serde_json::from_str(&text).expect("the ready file is JSON"),
            log,
        })
    }

    /// The URL of a listener.
    pub fn url(&self, listener: &str) -> String {
        self.urls[listener].as_str().expect("a listener").to_owned()
    }

    /// The address of a listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let url = self.url(listener);
        let (_, address) = url.split_once("//").expect("a URL");
        address.parse().expect("an address")
    }

    /// Waits until it logs a line with this text; gives the line.
    #[track_caller]
    pub fn logs(&self, text: &str) -> String {
        self.logs_after(0, text).1
    }

    /// The same after so many lines; says how many there were with it.
    #[track_caller]
    pub fn logs_after(&self, skip: usize, text: &str) -> (usize, String) {
        match self.log.wait(skip, text) {
            Ok(found) => found,
            Err(said) => panic!("it never logged {text:?}, but:\n{said}"),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it lives");
    }

    /// Limits a resource of the running process.
    pub fn limit(&self, resource: Resource, current: Option<u64>) {
        // The child has the hard limit that it inherited.
        let maximum = getrlimit(resource).maximum;
        prlimit(Some(self.pid()), resource, Rlimit { current, maximum }).expect("it lives");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it as the system would, at once, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
    }

    /// Stops it politely.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("it ends")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the public listener that stays open between requests.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects; `None` if nobody is there, or no longer.
    pub async fn open(address: SocketAddr, tls: &Arc<rustls::ClientConfig>) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await
            .ok()?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .ok()?;
        tokio::spawn(connection);
        Some(Self {
            sender,
            host: address.to_string(),
        })
    }

    /// Exchanges a token; `None` if no whole answer came.
    pub async fn exchange(&mut self, token: &str, target: &str) -> Option<Reply> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", EXCHANGE)
            .append_pair("subject_token", token)
            .append_pair("subject_token_type", JWT)
            .append_pair("audience", target)
            .finish();
        let request = Request::post("/oauth2/token")
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.send(request).await
    }

    /// Gets a path.
    pub async fn get(&mut self, path: &str) -> Option<Reply> {
        let request = Request::get(path)
            .header(header::HOST, &self.host)
            .body(Full::default())
            .expect("a request");
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Reply> {
        self.sender.ready().await.ok()?;
        let answer = self.sender.send_request(request).await.ok()?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }
}

/// Gets a path of a listener without TLS.
pub async fn get_plain(address: SocketAddr, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let mut connection = Connection {
        sender,
        host: address.to_string(),
    };
    connection.get(path).await.expect("an answer")
}

/// An issuer whose keys are a file: nothing to fetch, so a start is quick and
/// `assay explain` works offline.
pub struct FileIssuer {
    key: TestKey,
}

impl FileIssuer {
    /// Its name in tokens.
    pub const ISSUER: &'static str = "https://ci.test";

    /// An issuer with a key of its own.
    pub fn new() -> Self {
        Self {
            key: TestKey::es256("file-key"),
        }
    }

    /// Writes the trust domain `ci` and its keys. `settings` stands in the
    /// source, `rest` beside it; both are indented already.
    pub fn write(&self, files: &Files, settings: &str, rest: &str) {
        files.write("ci-keys.json", &jwks(&[self.key.jwk()]));
        files.write(
            "trust-domains/ci.yaml",
            &format!(
                "apiVersion: assay/v1\nkind: TrustDomain\nmetadata: {{ name: ci }}\nspec:\n  oidc:\n    \
                 issuer: {}\n    algorithms: [ES256]\n    keys: {{ file: ../ci-keys.json }}\n{settings}{rest}",
                Self::ISSUER,
            ),
        );
    }

    /// The claims of a good token of a subject, with a `jti` of its own.
    pub fn claims(&self, subject: &str) -> Value {
        let now = SystemClock::new().now();
        json!({
            "iss": Self::ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now.secs(),
            "exp": now.plus(Duration::from_secs(3600)).secs(),
            "jti": format!("{:032x}", u128::from_be_bytes(bytes(&SystemRandom))),
        })
    }

    /// A good token of a subject.
    pub fn token(&self, subject: &str) -> String {
        self.sign(&self.claims(subject))
    }

    /// A token of these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.key.token(claims)
    }
}

/// The time.
pub fn now() -> Moment {
    SystemClock::new().now()
}

/// A file in a folder with `Files`.
pub fn path(files: &Files, name: &str) -> PathBuf {
    files.folder.path().join(name)
}

/// Waits until a condition holds that another process or task brings about.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("never happened: {what}");
    }
}
