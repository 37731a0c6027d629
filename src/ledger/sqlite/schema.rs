//! The tables, and how a file of an earlier version becomes one of this.
//!
//! What one exchange writes is kept small: one row that is audit record and
//! lease at once and has no index beside its sequence, a row for the single
//! use where that is on, and once per transaction the head. Two running maxima
//! in the audit rows take the place of indexes: `latest` and `horizon` never
//! decrease along the chain, so a scan from the newest record backwards knows
//! where nothing that it looks for can stand any more.
//!
//! `PRAGMA user_version` counts the steps that were taken. A step is one
//! transaction, so one that was interrupted did not happen, and one that
//! another process is taking is waited for.

use rusqlite::{Connection, TransactionBehavior};

use super::place::{Fault, Place};
use crate::{base::clock::Moment, ledger::chain::GENESIS};

/// "Asay": what the file says that it is.
const APPLICATION_ID: i32 = 0x4173_6179;

/// The steps, oldest first. A step that was released is never changed.
const STEPS: &[&str] = &["
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Of the last audit record.
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
    latest INTEGER NOT NULL,
    horizon INTEGER NOT NULL,
    -- How often the kill switches were changed.
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Counts attempts to find out whether the file can be written.
    probe INTEGER NOT NULL
) STRICT;
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    -- When it was recorded, and the greatest such moment up to here.
    at INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    -- The greatest expires_at up to here.
    horizon INTEGER NOT NULL,
    hash BLOB NOT NULL,
    lease TEXT,
    target TEXT,
    subject TEXT,
    issuer TEXT,
    trust_domain TEXT,
    rule TEXT,
    expires_at INTEGER,
    json TEXT NOT NULL
) STRICT;
CREATE TABLE used (
    -- The digest (32 bytes), then the trust domain.
    key BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE switch (
    kind TEXT NOT NULL,
    trust_domain TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (kind, trust_domain, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE signing_key (
    target TEXT NOT NULL,
    kid TEXT NOT NULL,
    signing TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    public_jwk TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (target, kid)
) STRICT, WITHOUT ROWID;
"];

/// Brings the file to this version, an empty file too.
pub(super) fn migrate(
    connection: &mut Connection,
    place: &Place,
    now: Moment,
) -> Result<(), Fault> {
    migrate_by(STEPS, connection, place, now)
}

/// Refuses a file that is not exactly of this version.
pub(super) fn check(connection: &Connection, place: &Place) -> Result<(), Fault> {
    let done = version(connection, place, STEPS.len())?;
    if done < STEPS.len() {
        return Err(Fault(format!(
            "the ledger has version {done} and this program needs {}: \
             start the broker once, which brings it there",
            STEPS.len()
        )));
    }
    Ok(())
}

fn migrate_by(
    steps: &[&str],
    connection: &mut Connection,
    place: &Place,
    now: Moment,
) -> Result<(), Fault> {
    while version(connection, place, steps.len())? < steps.len() {
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| place.explain(&error))?;
        // Another process may have taken the step while this one waited.
        let done = version(&step, place, steps.len())?;
        if let Some(sql) = steps.get(done) {
            take(&step, sql, done, now).map_err(|error| place.explain(&error))?;
        }
        step.commit().map_err(|error| place.explain(&error))?;
    }
    Ok(())
}

fn take(connection: &Connection, sql: &str, done: usize, now: Moment) -> rusqlite::Result<()> {
    connection.execute_batch(sql)?;
    if done == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.execute(
            "INSERT INTO head VALUES (1, 0, ?1, ?2, ?2, 0, ?3, 0)",
            (GENESIS, i64::MIN, now.millis()),
        )?;
    }
    let version = i32::try_from(done + 1).unwrap_or(i32::MAX);
    connection.pragma_update(None, "user_version", version)
}

/// How many steps the file has taken; refuses strangers and newer files.
fn version(connection: &Connection, place: &Place, known: usize) -> Result<usize, Fault> {
    let read = || -> rusqlite::Result<(i32, i64, i64)> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
        let tables =
            connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        let application = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
        Ok((application, pragma("user_version")?, tables))
    };
    match read().map_err(|error| place.explain(&error))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version, _) => match usize::try_from(version) {
            Ok(version) if version <= known => Ok(version),
            _ => Err(Fault(format!(
                "the ledger was written by a newer version of this program: its schema \
                 is {version} and this program knows up to {known}. Use the newer program"
            ))),
        },
        _ => Err(Fault(
            "the file is a database of another program, not a ledger: \
             name another file"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOW: Moment = Moment::from_secs(1_790_000_000);

    fn memory() -> (Connection, Place) {
        (
            Connection::open_in_memory().unwrap(),
            Place::new(Path::new("ledger.db")),
        )
    }

    fn dump(connection: &Connection) -> Vec<String> {
        connection
            .prepare("SELECT sql FROM sqlite_schema ORDER BY name")
            .unwrap()
            .query_map((), |row| row.get::<_, Option<String>>(0))
            .unwrap()
            .map(|sql| sql.unwrap().unwrap_or_default())
            .collect()
    }

    #[test]
    fn g_11_migrating_twice_is_migrating_once() {
        let (mut connection, place) = memory();
        migrate(&mut connection, &place, NOW).unwrap();
        let once = dump(&connection);
        assert!(once.iter().any(|sql| sql.contains("audit")));
        migrate(&mut connection, &place, NOW).unwrap();
        assert_eq!(dump(&connection), once);
        check(&connection, &place).unwrap();
        let heads: (i64, i64) = connection
            .query_row("SELECT count(*), created_at FROM head", (), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(heads, (1, NOW.millis()));
    }

    #[test]
    fn g_11_an_interrupted_step_did_not_happen_and_is_taken_again() {
        let (mut connection, place) = memory();
        let first = "CREATE TABLE head (one, a, b, c, d, e, f, g); CREATE TABLE x (a);";
        let broken = [first, "CREATE TABLE y (a); INSERT INTO nowhere VALUES (1);"];
        assert!(migrate_by(&broken, &mut connection, &place, NOW).is_err());
        assert!(connection.is_autocommit());
        assert_eq!(version(&connection, &place, 2), Ok(1));
        assert!(!dump(&connection).iter().any(|sql| sql.contains("TABLE y")));

        let whole = [first, "CREATE TABLE y (a);"];
        migrate_by(&whole, &mut connection, &place, NOW).unwrap();
        assert_eq!(version(&connection, &place, 2), Ok(2));
    }

    #[test]
    fn g_11_two_processes_migrate_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("ledger.db"));
        place.create().unwrap();
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    let mut connection = place.open().unwrap();
                    migrate(&mut connection, &place, NOW).unwrap();
                });
            }
        });
        check(&place.open().unwrap(), &place).unwrap();
    }

    #[test]
    fn a_newer_ledger_is_refused_by_name() {
        let (mut connection, place) = memory();
        migrate(&mut connection, &place, NOW).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection, &place, NOW).unwrap_err();
        assert!(
            error.0.contains("newer version") && error.0.contains("99"),
            "{error}"
        );
        assert_eq!(check(&connection, &place), Err(error));
    }

    #[test]
    fn an_older_ledger_is_not_read_before_it_was_brought_forward() {
        let (connection, place) = memory();
        let error = check(&connection, &place).unwrap_err();
        assert!(error.0.contains("version 0"), "{error}");
    }

    #[test]
    fn another_programs_database_is_left_alone() {
        for sql in [
            "CREATE TABLE theirs (a)",
            "PRAGMA application_id = 7",
            "PRAGMA user_version = 1",
        ] {
            let (mut connection, place) = memory();
            connection.execute_batch(sql).unwrap();
            let error = migrate(&mut connection, &place, NOW).unwrap_err();
            assert!(error.0.contains("another program"), "{sql}: {error}");
        }
    }
}
