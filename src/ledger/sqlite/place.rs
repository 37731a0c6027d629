//! The database file: opened with the settings that durability needs, and
//! recognised again.
//!
//! A file that is moved or deleted under an open database keeps taking
//! commits, into nothing. So the file's identity is remembered when it is
//! opened and compared before each transaction. A ledger that is gone is never
//! created anew by a running broker: an empty one would forget every used
//! token without a word.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, ffi};

/// Where the ledger is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
}

/// Which files are open, so that others in their place are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    database: (u64, u64),
    wal: (u64, u64),
}

/// Why the ledger cannot be used, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(pub(super) String);

/// How long a lock of another process is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The log is cut back to this when SQLite starts it anew, in bytes. Below it,
/// the file keeps its length: writing over is cheaper to sync than appending.
const LOG_KEPT: i64 = 64 * 1024 * 1024;

impl Place {
    pub(super) fn new(path: &Path) -> Self {
        let beside = |suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            path: path.to_owned(),
            wal: beside("-wal"),
            shm: beside("-shm"),
        }
    }

    /// Makes the file if there is none, readable by its owner only.
    pub(super) fn create(&self) -> Result<(), Fault> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path);
        match made {
            Ok(_) => {
                // The entry in the folder must survive a crash as the content does.
                let folder = self
                    .path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty())
                    .unwrap_or(Path::new("."));
                fs::File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| self.fault(&error))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.close_to_others(),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// It holds sealed keys and who did what: nobody else's to read.
    fn close_to_others(&self) -> Result<(), Fault> {
        let mode_of = |path| fs::metadata(path).map(|file| file.permissions().mode() & 0o777);
        let mut mode = mode_of(&self.path).map_err(|error| self.fault(&error))?;
        if mode & 0o077 != 0 {
            tracing::warn!(
                path = %self.path.display(),
                "the ledger file was open to other users; closing it to them"
            );
            mode = 0o600;
            fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
                .map_err(|error| self.fault(&error))?;
        }
        // SQLite gives its companions the file's mode as it finds it. If that
        // was another since, they would stay read-only; what cannot be mended
        // here is said when they are opened.
        for companion in [&self.wal, &self.shm] {
            if mode_of(companion).is_ok_and(|found| found != mode) {
                let _ = fs::set_permissions(companion, fs::Permissions::from_mode(mode));
            }
        }
        Ok(())
    }

    /// Opens the existing file for writing.
    pub(super) fn open(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.connect(&self.path, flags)
            .and_then(|connection| {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update(None, "foreign_keys", false)?;
                connection.pragma_update(None, "wal_autocheckpoint", 0)?;
                connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
                Ok(connection)
            })
            .map_err(|error| self.explain(&error))
    }

    /// Opens it for reading, beside a process that writes or on read-only media.
    pub(super) fn open_read_only(&self) -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = self.connect(&self.path, flags);
        let opened = match opened {
            // A log cannot be joined where its index cannot be made. Where it
            // is empty, nothing is in it that would be missed.
            Err(error) if cannot_join(&error) && self.log_is_empty() => {
                let uri = immutable_uri(&self.path);
                self.connect(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI)
            }
            other => other,
        };
        opened.map_err(|error| self.explain(&error))
    }

    fn connect(&self, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(32);
        // Closing must not tidy up: the files may have been replaced, or be
        // another user's.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Opening touches nothing yet; this does, so that faults show here.
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
        Ok(connection)
    }

    fn log_is_empty(&self) -> bool {
        match fs::metadata(&self.wal) {
            Ok(log) => log.len() == 0,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Which files stand here now.
    pub(super) fn identity(&self) -> Result<Identity, Fault> {
        let of = |path: &Path| {
            fs::metadata(path)
                .map(|file| (file.dev(), file.ino()))
                .map_err(|error| {
                    Fault(format!(
                        "the file {} cannot be reached: {error}. Put it back; \
                         a new one is made only when the broker starts",
                        path.display()
                    ))
                })
        };
        Ok(Identity {
            database: of(&self.path)?,
            wal: of(&self.wal)?,
        })
    }

    /// Whether the database is still that file, and only its log was removed.
    pub(super) fn lost_only_its_log(&self, opened: &Identity) -> bool {
        let database = fs::metadata(&self.path).map(|file| (file.dev(), file.ino()));
        database.is_ok_and(|database| database == opened.database) && !self.wal.exists()
    }

    /// SQLite's error as a sentence that says what to do.
    pub(super) fn explain(&self, error: &rusqlite::Error) -> Fault {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk, or a limit on it, is full: make room",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process holds its write lock: end that process or wait for it"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                "it, or its -wal or -shm file, is read-only for this process: \
                 check their owner, mode and mount"
            }
            Some(ErrorCode::CannotOpen) => {
                "it or its -wal or -shm file cannot be opened: check that they \
                 and their folder exist and are open to this process"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "it is damaged or no ledger: restore it from a backup"
            }
            Some(ErrorCode::SystemIoFailure) => "reading or writing the disk failed",
            Some(ErrorCode::ConstraintViolation) => {
                "its records do not fit its head: check it with `assay audit verify`"
            }
            _ => "an unexpected fault",
        };
        let code = error.sqlite_error().map_or(0, |e| e.extended_code);
        Fault(format!(
            "{}: {advice} ({error}; SQLite's code {code})",
            self.path.display()
        ))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        Fault(format!("{}: {error}", self.path.display()))
    }
}

fn cannot_join(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    ) || error
        .sqlite_error()
        .is_some_and(|e| e.extended_code == ffi::SQLITE_READONLY_CANTINIT)
}

fn immutable_uri(path: &Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_file_and_its_companions_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let place = Place::new(&path);
        place.create().unwrap();
        let connection = place.open().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn an_existing_file_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let log = folder.path().join("ledger.db-wal");
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o444)).unwrap();
        Place::new(&path).create().unwrap();
        assert_eq!((mode(&path), mode(&log)), (0o600, 0o600));
    }

    #[test]
    fn the_settings_that_durability_needs_are_on() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("ledger.db"));
        place.create().unwrap();
        let connection = place.open().unwrap();
        let text = |name: &str| -> String {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        let number = |name: &str| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(text("journal_mode"), "wal");
        assert_eq!(number("synchronous"), 2);
        assert_eq!(number("wal_autocheckpoint"), 0);
        assert_eq!(number("foreign_keys"), 0);
        assert_eq!(number("busy_timeout"), 2000);
    }

    #[test]
    fn opening_never_makes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        assert!(Place::new(&path).open().is_err());
        assert!(Place::new(&path).open_read_only().is_err());
        assert!(!path.exists());
    }

    #[test]
    fn identity_follows_the_file_and_not_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let place = Place::new(&path);
        place.create().unwrap();
        let connection = place.open().unwrap();
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        let before = place.identity().unwrap();
        assert_eq!(place.identity().unwrap(), before);

        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        let gone = place.identity().unwrap_err().to_string();
        assert!(gone.contains("cannot be reached"), "{gone}");
        fs::copy(&moved, &path).unwrap();
        assert_ne!(place.identity().unwrap(), before);
        assert!(!place.lost_only_its_log(&before));
        fs::rename(&moved, &path).unwrap();
        assert_eq!(place.identity().unwrap(), before);

        assert!(!place.lost_only_its_log(&before));
        fs::remove_file(&place.wal).unwrap();
        assert!(place.lost_only_its_log(&before));
    }

    #[test]
    fn a_text_file_is_explained_as_no_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        fs::write(&path, "once upon a time ".repeat(100)).unwrap();
        let error = Place::new(&path).open().unwrap_err().to_string();
        assert!(error.contains("damaged or no ledger"), "{error}");
    }

    #[test]
    fn any_path_makes_one_uri() {
        assert_eq!(
            immutable_uri(Path::new("/a b/c?d#e%.db")),
            "file:/a%20b/c%3Fd%23e%25.db?immutable=1"
        );
    }
}
