//! Moving the log into the file, away from the commits.
//!
//! SQLite would do it inside a commit every thousand pages, and that commit
//! would take ten times as long as the others. So its own trigger is off, and a
//! thread with a connection of its own does it twice a second while something
//! is written. The passive kind hinders nobody, but it never ends while commits
//! go on, and the log grows. When it is long, a full one follows at once: that
//! holds the write lock, but only for the little that came in since.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use super::{
    place::{Fault, Place},
    writer::{Shared, checkpoint},
};

const PERIOD: Duration = Duration::from_millis(500);

/// Pages of log that make a full checkpoint worth the write lock: 32 MiB.
const LONG: i64 = 8192;

/// How long a full checkpoint may wait for readers while it holds the lock.
const BRIEF: Duration = Duration::from_millis(20);

/// Serves until the other end of `stop` is dropped.
pub(super) fn run(place: &Place, shared: &Shared, stop: &Receiver<()>) {
    let mut done = 0;
    let mut failing = false;
    while stop.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let written = shared.written.load(Ordering::Acquire);
        if written == done {
            continue;
        }
        match pass(place, LONG) {
            Ok(_) => {
                done = written;
                failing = false;
            }
            Err(fault) => {
                if !failing {
                    tracing::warn!(reason = %fault, "the ledger's log cannot be moved into its file");
                }
                failing = true;
            }
        }
    }
}

/// One checkpoint; whether a full one was made.
fn pass(place: &Place, long: i64) -> Result<bool, Fault> {
    let connection = place.open()?;
    let explain = |error| place.explain(&error);
    let pages = checkpoint(&connection, "PASSIVE").map_err(explain)?;
    if pages < long {
        return Ok(false);
    }
    connection.busy_timeout(BRIEF).map_err(explain)?;
    checkpoint(&connection, "FULL").map_err(explain)?;
    Ok(true)
}

/// Starts the thread.
pub(super) fn spawn(
    place: Place,
    shared: Arc<Shared>,
    stop: Receiver<()>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("ledger-checkpoint".into())
        .spawn(move || run(&place, &shared, &stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Place, rusqlite::Connection) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("ledger.db"));
        place.create().unwrap();
        let writer = place.open().unwrap();
        writer.execute_batch("CREATE TABLE t (a)").unwrap();
        (folder, place, writer)
    }

    fn fill(writer: &rusqlite::Connection) {
        writer
            .execute("INSERT INTO t VALUES (zeroblob(100000))", ())
            .unwrap();
    }

    fn log(folder: &tempfile::TempDir) -> u64 {
        let path = folder.path().join("ledger.db-wal");
        std::fs::metadata(path).unwrap().len()
    }

    #[test]
    fn commits_alone_never_move_the_log() {
        let (folder, _, writer) = store();
        for _ in 0..60 {
            fill(&writer);
        }
        assert!(log(&folder) > 60 * 100_000, "{}", log(&folder));
    }

    #[test]
    fn a_pass_lets_the_log_start_anew() {
        let (folder, place, writer) = store();
        fill(&writer);
        assert_eq!(pass(&place, LONG), Ok(false));
        let before = log(&folder);
        for _ in 0..10 {
            fill(&writer);
            assert_eq!(pass(&place, LONG), Ok(false));
        }
        // Ten times as much was written into the same room.
        assert!(log(&folder) <= before + 4096, "{}", log(&folder));
    }

    #[test]
    fn a_long_log_gets_a_full_checkpoint() {
        let (_folder, place, writer) = store();
        fill(&writer);
        assert_eq!(pass(&place, 10), Ok(true));
        assert_eq!(pass(&place, LONG), Ok(false));
    }

    #[test]
    fn a_reader_that_stays_does_not_block_for_long_or_lose_anything() {
        let (_folder, place, writer) = store();
        fill(&writer);
        let reader = place.open_read_only().unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM t;")
            .unwrap();
        fill(&writer);
        assert_eq!(pass(&place, 10), Ok(true));
        let seen = |c: &rusqlite::Connection| -> i64 {
            c.query_row("SELECT count(*) FROM t", (), |row| row.get(0))
                .unwrap()
        };
        assert_eq!(seen(&reader), 1);
        assert_eq!(seen(&writer), 2);
    }

    #[test]
    fn a_missing_file_is_a_fault_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("ledger.db"));
        assert!(pass(&place, LONG).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
