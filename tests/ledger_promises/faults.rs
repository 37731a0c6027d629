//! What takes a process of its own: this binary starts itself again, with one
//! of the tests named `child` chosen and told its part by the environment.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use assay::{
    base::{
        clock::{Clock, ManualClock},
        random::{SystemRandom, bytes},
    },
    ledger::{
        ChainState, Entry, Lease, Ledger as _, LedgerError, Query, Record, SingleUse, Sqlite,
    },
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::promises::NOW;

const PART: &str = "LEDGER_TEST_PART";
const PLACE: &str = "LEDGER_TEST_PLACE";
const ROUND: &str = "LEDGER_TEST_ROUND";

fn open(path: &Path) -> Result<Arc<Sqlite>, LedgerError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    Sqlite::open(path, clock)
}

fn entry(id: &str) -> Entry {
    let mut digest = [0; 32];
    digest[..id.len()].copy_from_slice(id.as_bytes());
    Entry {
        single_use: Some(SingleUse {
            trust_domain: "github".into(),
            digest,
            until: NOW,
        }),
        lease: Some(Lease {
            id: id.into(),
            target: "prod".into(),
            subject: "s".into(),
            issuer: None,
            trust_domain: "github".into(),
            rule: "deploy".into(),
            expires_at: NOW.plus(Duration::from_secs(900)),
        }),
        audit: Record {
            json: format!(
                "{{\"request_id\":\"{id}\",\"filler\":\"{}\"}}",
                "x".repeat(600)
            ),
        },
        fence: None,
    }
}

/// This binary again, with only `child` to run.
fn again(program: &Path, part: &str, place: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "faults::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PART, part)
        .env(PLACE, place);
    command
}

/// Plays the part that it was started for; without one there is nothing to do.
#[tokio::test]
async fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    match part.as_str() {
        "commit" => commit_until_killed(&place).await,
        "full" => commit_on_a_full_disk(&place).await,
        "read-only" => open_what_must_not_be_written(&place).await,
        other => panic!("{other}"),
    }
    say("DONE");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

fn finishes(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.lines().any(|line| line == "DONE"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Says each id once it was acknowledged, from eight tasks at a time.
async fn commit_until_killed(place: &Path) {
    let ledger = open(place).unwrap();
    let round = std::env::var(ROUND).unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::<()>::new();
    for _ in 0..8 {
        let (ledger, round, next) = (Arc::clone(&ledger), round.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let id = format!("{round}-{}", next.fetch_add(1, Ordering::Relaxed));
                ledger.commit(entry(&id)).await.unwrap();
                say(&format!("ACK {id}"));
            }
        });
    }
    panic!("{:?}", tasks.join_next().await);
}

/// Process death, not power failure: that the data is also on the disk when a
/// commit is acknowledged rests on `synchronous = FULL`, which has its own test.
#[tokio::test]
async fn f_01_what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger.db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..25 {
        let mut process = again(&std::env::current_exe().unwrap(), "commit", &place)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // A random moment, in what the child got done; never before it began.
        let [until] = bytes::<1>(&SystemRandom);
        let mut acks = 0;
        while acks <= until {
            let line = lines.next().expect("the child commits on").unwrap();
            if let Some(id) = line.strip_prefix("ACK ") {
                acknowledged.insert(id.to_owned());
                acks += 1;
            }
        }
        process.kill().unwrap();
        // What it had said before it died counts too. A line that was cut has
        // no line break, but these are written whole.
        for line in lines.map_while(Result::ok) {
            if let Some(id) = line.strip_prefix("ACK ") {
                acknowledged.insert(id.to_owned());
            }
        }
        process.wait().unwrap();
        check(&place, &acknowledged, round == 24).await;
    }
}

async fn check(place: &Path, acknowledged: &BTreeSet<String>, last: bool) {
    let ledger = open(place).unwrap();
    let state = ledger.verify_chain().await.unwrap();
    let ChainState::Intact { records, .. } = state else {
        panic!("{state:?}")
    };
    let mut recorded = BTreeSet::new();
    let mut after = 0;
    while after < records {
        let query = Query {
            after_sequence: Some(after),
            ..Query::default()
        };
        for record in ledger.audit(query).await.unwrap() {
            let id = record.json.split('"').nth(3).unwrap();
            assert!(recorded.insert(id.to_owned()), "{id} is recorded twice");
            after = record.sequence;
        }
    }
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "{lost:?}");
    if !last {
        return;
    }
    let mut leases = 0;
    for id in &recorded {
        // Recorded, so used: the two are one.
        assert_eq!(ledger.commit(entry(id)).await, Err(LedgerError::Replayed));
        leases += 1;
    }
    assert_eq!(
        ledger.leases(NOW, 0).await.unwrap().len(),
        leases.min(10_000)
    );
}

#[test]
fn a_full_disk_is_unavailable_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let inner = again(
        &std::env::current_exe().unwrap(),
        "full",
        &folder.path().join("ledger.db"),
    );
    // A write beyond the limit ends a process unless the signal is ignored,
    // and that is inherited.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (name, value) in inner.get_envs() {
        shell.env(name, value.unwrap());
    }
    finishes(shell);
}

async fn commit_on_a_full_disk(place: &Path) {
    let ledger = open(place).unwrap();
    ledger.commit(entry("before")).await.unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    let tight = Rlimit {
        current: Some(4096),
        ..unlimited
    };
    setrlimit(Resource::Fsize, tight).unwrap();
    let mut reasons = BTreeSet::new();
    for n in 0..5 {
        match ledger.commit(entry(&format!("full-{n}"))).await {
            Err(LedgerError::Unavailable(reason)) => reasons.insert(reason),
            other => panic!("{other:?}"),
        };
        assert!(!ledger.healthy());
    }
    setrlimit(Resource::Fsize, unlimited).unwrap();
    assert!(
        reasons.iter().all(|reason| reason.contains("disk")),
        "{reasons:?}"
    );

    let healed = async {
        while !ledger.healthy() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), healed)
        .await
        .unwrap();
    // What failed was not used up; what was acknowledged was.
    ledger.commit(entry("full-0")).await.unwrap();
    let again = ledger.commit(entry("before")).await;
    assert_eq!(again, Err(LedgerError::Replayed));
    let state = ledger.verify_chain().await.unwrap();
    assert!(matches!(state, ChainState::Intact { records: 2, .. }));
}

#[test]
fn a_file_that_may_not_be_written_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger.db");
    let exe = std::env::current_exe().unwrap();
    let command = if rustix::process::geteuid().is_root() {
        // Nothing is read-only for root: be somebody else, from where they
        // can reach the program.
        let nobody = 65_534;
        let program = folder.path().join("child");
        fs::copy(exe, &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(nobody), Some(nobody)).unwrap();
        let mut command = again(&program, "read-only", &place);
        command.uid(nobody).gid(nobody).current_dir("/");
        command
    } else {
        again(&exe, "read-only", &place)
    };
    finishes(command);
}

async fn open_what_must_not_be_written(place: &Path) {
    let ledger = open(place).unwrap();
    ledger.commit(entry("before")).await.unwrap();
    drop(ledger);
    let set = |mode| fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
    set(0o400);
    let reason = open(place).map(drop).unwrap_err().to_string();
    assert!(reason.contains("read-only"), "{reason}");
    let reader = Sqlite::open_read_only(place).unwrap();
    let state = reader.verify_chain().await.unwrap();
    assert!(matches!(state, ChainState::Intact { records: 1, .. }));
    set(0o600);
    open(place).unwrap().commit(entry("after")).await.unwrap();
}
