//! What is SQLite's own: files, locks, processes. The promises that every
//! backend keeps are in `tests/ledger_promises.rs`.

use std::{fs, path::PathBuf};

use super::*;
use crate::base::clock::ManualClock;
use crate::ledger::SingleUse;

const NOW: Moment = Moment::from_secs(1_790_000_000);
/// Far more than any of these tests waits, and less than a hung test should.
const LONG: Duration = Duration::from_secs(30);

struct Home {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(NOW)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Arc<Sqlite> {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Arc<Sqlite>, LedgerError> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        Sqlite::open(&self.path("ledger.db"), clock)
    }

    fn plain(&self) -> Connection {
        Connection::open(self.path("ledger.db")).unwrap()
    }
}

fn entry(token: u8) -> Entry {
    Entry {
        single_use: Some(SingleUse {
            trust_domain: "github".into(),
            digest: [token; 32],
            until: NOW,
        }),
        lease: Some(Lease {
            id: format!("lease-{token}"),
            target: "prod".into(),
            subject: "s".into(),
            issuer: None,
            trust_domain: "github".into(),
            rule: "deploy".into(),
            expires_at: NOW,
        }),
        audit: record(),
        fence: None,
    }
}

fn record() -> Record {
    Record { json: "{}".into() }
}

fn why(result: Result<(), LedgerError>) -> String {
    match result {
        Err(LedgerError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn records(state: ChainState) -> u64 {
    match state {
        ChainState::Intact { records, .. } => records,
        broken => panic!("{broken:?}"),
    }
}

/// Waits for what another thread brings about on its own schedule.
async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_another_process_is_unavailable_and_heals() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reason = why(ledger.commit(entry(2)).await);
    assert!(reason.contains("write lock"), "{reason}");
    assert!(!ledger.healthy());
    // Reading goes on.
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 1);

    other.execute_batch("ROLLBACK").unwrap();
    // By itself: no commit has to be sacrificed to find out.
    until(|| ledger.healthy()).await;
    ledger.commit(entry(2)).await.unwrap();
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 2);
}

#[tokio::test]
async fn a_short_lock_is_waited_for() {
    let home = Home::new();
    let ledger = home.open();
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = ledger.commit(entry(1));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    other.execute_batch("ROLLBACK").unwrap();
    waiting.await.unwrap();
    assert!(ledger.healthy());
}

#[tokio::test]
async fn a_file_that_was_moved_away_takes_no_commit_and_no_new_one_is_made() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    let names = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];
    for name in names {
        fs::rename(home.path(name), home.path(&format!("away-{name}"))).unwrap();
    }
    for token in [2, 3] {
        why(ledger.commit(entry(token)).await);
    }
    assert!(!ledger.healthy());
    assert!(ledger.verify_chain().await.is_err());
    assert!(!home.path("ledger.db").exists());

    for name in names {
        fs::rename(home.path(&format!("away-{name}")), home.path(name)).unwrap();
    }
    until(|| ledger.healthy()).await;
    ledger.commit(entry(2)).await.unwrap();
    assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 2);
}

#[tokio::test]
async fn an_older_copy_in_its_place_is_refused_until_a_restart() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    checkpoint_now(&home);
    fs::copy(home.path("ledger.db"), home.path("backup")).unwrap();
    ledger.commit(entry(2)).await.unwrap();

    fs::remove_file(home.path("ledger.db-wal")).unwrap();
    fs::remove_file(home.path("ledger.db-shm")).unwrap();
    fs::rename(home.path("backup"), home.path("ledger.db")).unwrap();
    let reason = why(ledger.commit(entry(2)).await);
    assert!(reason.contains("record 2"), "{reason}");
    drop(ledger);

    let ledger = home.open();
    assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
    ledger.commit(entry(2)).await.unwrap();
}

#[tokio::test]
async fn a_removed_log_loses_nothing() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    fs::remove_file(home.path("ledger.db-wal")).unwrap();
    fs::remove_file(home.path("ledger.db-shm")).unwrap();
    ledger.commit(entry(2)).await.unwrap();
    assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
    drop(ledger);
    assert_eq!(records(home.open().verify_chain().await.unwrap()), 2);
}

#[tokio::test]
async fn a_damaged_file_is_unavailable_with_the_reason() {
    let home = Home::new();
    drop(home.open());
    fs::write(home.path("ledger.db"), [7; 8192]).unwrap();
    let reason = why(home.try_open().map(drop));
    assert!(reason.contains("damaged"), "{reason}");
}

#[tokio::test]
async fn a_newer_ledger_is_refused_by_writers_and_readers() {
    let home = Home::new();
    drop(home.open());
    home.plain()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let reason = why(home.try_open().map(drop));
    assert!(reason.contains("newer version"), "{reason}");
    let read = Sqlite::open_read_only(&home.path("ledger.db")).map(drop);
    assert_eq!(why(read), reason);
}

#[tokio::test]
async fn k_07_a_switch_of_another_process_reaches_an_idle_ledger() {
    let home = Home::new();
    let ledger = home.open();
    let other = home.open();
    let switch = Switch::Subject("s".into());
    other
        .set_switch(switch.clone(), true, record())
        .await
        .unwrap();
    // At once where it counts,
    let refused = ledger.commit(entry(1)).await;
    assert_eq!(refused, Err(LedgerError::Disabled("subject s".into())));
    other
        .set_switch(switch.clone(), false, record())
        .await
        .unwrap();
    // and within seconds for whoever only looks.
    until(|| ledger.switches().on.is_empty()).await;
    ledger.commit(entry(1)).await.unwrap();
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 3);
}

#[tokio::test]
async fn two_processes_append_to_one_chain() {
    let home = Home::new();
    let both = [home.open(), home.open()];
    for token in 0..20 {
        let ledger = &both[usize::from(token % 2)];
        ledger.commit(entry(token)).await.unwrap();
        assert_eq!(
            both[usize::from((token + 1) % 2)]
                .commit(entry(token))
                .await,
            Err(LedgerError::Replayed)
        );
    }
    assert_eq!(records(both[0].verify_chain().await.unwrap()), 20);
}

#[tokio::test]
async fn f_09_a_slow_disk_fills_the_queue_and_no_more() {
    let home = Home::new();
    let ledger = home.open();
    let other = home.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let tasks: Vec<_> = (0..GROUPS_OF_WORK)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mut entry = entry(0);
                entry.single_use = None;
                entry.audit.json = format!("{{\"n\":{n}}}");
                ledger.commit(entry).await
            })
        })
        .collect();
    let mut turned_away = 0;
    for task in tasks {
        let reason = why(task.await.unwrap());
        turned_away += usize::from(reason.contains("too many"));
    }
    assert!(
        turned_away >= GROUPS_OF_WORK - QUEUE - 2 * 512,
        "{turned_away}"
    );
    other.execute_batch("ROLLBACK").unwrap();
    until(|| ledger.healthy()).await;
    ledger.commit(entry(1)).await.unwrap();
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 1);
}
const GROUPS_OF_WORK: usize = 4096;

#[tokio::test]
async fn closing_writes_what_waits_and_takes_nothing_more() {
    let home = Home::new();
    let ledger = home.open();
    let mut waiting = Vec::new();
    for token in 0..100 {
        let mut commit = ledger.commit(entry(token));
        // Polled once, so it is in the queue.
        match tokio::time::timeout(Duration::ZERO, &mut commit).await {
            Ok(done) => done.unwrap(),
            Err(_) => waiting.push(commit),
        }
    }
    assert!(!waiting.is_empty());
    ledger.close().await;
    for commit in waiting {
        commit.await.unwrap();
    }
    assert!(!ledger.healthy());
    let reason = why(ledger.commit(entry(200)).await);
    assert!(reason.contains("closed"), "{reason}");
    assert_eq!(fs::metadata(home.path("ledger.db-wal")).unwrap().len(), 0);
    ledger.close().await;
    drop(ledger);
    assert_eq!(records(home.open().verify_chain().await.unwrap()), 100);
}

#[tokio::test]
async fn reading_works_beside_a_writer_and_from_a_copy() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    ledger
        .set_switch(Switch::Target("x".into()), true, record())
        .await
        .unwrap();
    let reader = Sqlite::open_read_only(&home.path("ledger.db")).unwrap();
    assert_eq!(records(reader.verify_chain().await.unwrap()), 2);
    assert_eq!(reader.switches().on.len(), 1);
    assert_eq!(reader.created_at(), NOW);
    ledger.commit(entry(2)).await.unwrap();
    assert_eq!(reader.audit(Query::default()).await.unwrap().len(), 3);

    assert!(!reader.healthy());
    let reason = why(reader.commit(entry(3)).await);
    assert!(reason.contains("reading only"), "{reason}");
    reader.close().await;

    ledger.close().await;
    fs::create_dir(home.path("media")).unwrap();
    fs::copy(home.path("ledger.db"), home.path("media/ledger.db")).unwrap();
    let copy = Sqlite::open_read_only(&home.path("media/ledger.db")).unwrap();
    assert_eq!(records(copy.verify_chain().await.unwrap()), 3);
}

#[tokio::test]
async fn pruning_keeps_a_use_until_its_time_and_the_margin_are_over() {
    let home = Home::new();
    let ledger = home.open();
    for token in 0..=255 {
        ledger.commit(entry(token)).await.unwrap();
    }
    home.clock.advance(MARGIN);
    assert_eq!(ledger.prune(home.clock.now()).await, Ok(0));
    home.clock.advance(Duration::from_millis(1));
    let mut late = entry(0);
    late.single_use = Some(SingleUse {
        trust_domain: "github".into(),
        digest: [1; 32],
        until: NOW.plus(LONG),
    });
    // Still remembered, though it is over.
    assert_eq!(
        ledger.commit(late.clone()).await,
        Err(LedgerError::Replayed)
    );
    assert_eq!(ledger.prune(home.clock.now()).await, Ok(256));
    ledger.commit(late).await.unwrap();
    assert_eq!(ledger.prune(home.clock.now()).await, Ok(0));
    assert_eq!(records(ledger.verify_chain().await.unwrap()), 257);
}

#[tokio::test]
async fn f_13_a_clock_that_jumps_ahead_forgets_no_use() {
    let home = Home::new();
    let ledger = home.open();
    ledger.commit(entry(1)).await.unwrap();
    home.clock
        .jump_to(NOW.plus(Duration::from_secs(10 * 365 * 86_400)));
    assert_eq!(ledger.prune(home.clock.now()).await, Ok(0));
    home.clock.jump_to(NOW);
    assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
}

fn checkpoint_now(home: &Home) {
    let connection = home.plain();
    writer::checkpoint(&connection, "PASSIVE").unwrap();
}
