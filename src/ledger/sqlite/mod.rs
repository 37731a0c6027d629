//! The ledger in one SQLite file.
//!
//! Write-ahead log, `synchronous = FULL`: a commit is on the disk when it is
//! acknowledged. One thread writes ([`writer`]), another keeps the log short
//! ([`checkpoint`]), and whoever reads opens a connection of its own, which
//! the writer never waits for. Several processes may have the file open: the
//! command line beside the broker, for one.

mod checkpoint;
mod group;
mod place;
mod read;
mod rows;
mod schema;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use self::{
    group::{Job, Order, Verdict},
    place::{Fault, Place},
    writer::{Message, Shared, Writer},
};
use super::{
    ChainState, Chained, Entry, Lease, Ledger, LedgerError, Query, Record, Switch, Switches,
};
use crate::{
    base::{
        BoxFuture,
        clock::{Clock, Moment},
    },
    signing::{KeyChange, KeyRecord, KeyStore, KeyStoreError},
};

/// Most orders that wait. More than this is answered at once: a queue that
/// grows only moves the refusal to when nobody waits for it any more.
const QUEUE: usize = 1024;

/// Most reads at a time; they share the disk with the commits.
const READS: usize = 4;

/// How long a single use is kept beyond its time, for clocks that are set
/// back and for replicas that do not agree.
const MARGIN: Duration = Duration::from_secs(300);

/// Single uses deleted in one transaction: few, as commits wait behind them.
const CHUNK: u32 = 256;

/// The ledger in one SQLite file.
pub struct Sqlite {
    place: Place,
    shared: Arc<Shared>,
    /// None if opened for reading only.
    writing: Option<Writing>,
    reads: Semaphore,
    created_at: Moment,
}

struct Writing {
    clock: Arc<dyn Clock>,
    /// Both clocks when the ledger was opened.
    opened: (Moment, Duration),
    /// None only while it is dropped.
    queue: Option<SyncSender<Message>>,
    /// Dropping it ends the checkpoints.
    stop: Option<std::sync::mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens the ledger for writing; makes the file, or brings it to this
    /// version, if need be. Fails unless it can be written.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, LedgerError> {
        let place = Place::new(path);
        place.create()?;
        let mut connection = place.open()?;
        schema::migrate(&mut connection, &place, clock.now())?;
        let created_at = read::created_at(&connection).map_err(|e| place.explain(&e))?;
        let writer = Writer::new(place.clone(), Arc::clone(&clock), connection)?;
        let shared = writer.shared();

        let no_thread = |error| Fault(format!("no thread for the ledger: {error}"));
        let (queue, inbox) = sync_channel(QUEUE);
        let (stop, stopped) = std::sync::mpsc::channel();
        let threads = vec![
            std::thread::Builder::new()
                .name("ledger".into())
                .spawn(move || writer.run(&inbox))
                .map_err(no_thread)?,
            checkpoint::spawn(place.clone(), Arc::clone(&shared), stopped).map_err(no_thread)?,
        ];
        Ok(Arc::new(Self {
            place,
            shared,
            writing: Some(Writing {
                opened: (clock.now(), clock.uptime()),
                clock,
                queue: Some(queue),
                stop: Some(stop),
                threads,
            }),
            reads: Semaphore::new(READS),
            created_at,
        }))
    }

    /// Opens the ledger for reading only, while a broker may have it open, or
    /// from a copy. Its kill switches are those of this moment.
    pub fn open_read_only(path: &Path) -> Result<Arc<Self>, LedgerError> {
        let place = Place::new(path);
        let connection = place.open_read_only()?;
        schema::check(&connection, &place)?;
        let created_at = read::created_at(&connection).map_err(|e| place.explain(&e))?;
        let shared = Shared::read(&connection).map_err(|e| place.explain(&e))?;
        Ok(Arc::new(Self {
            place,
            shared: Arc::new(shared),
            writing: None,
            reads: Semaphore::new(READS),
            created_at,
        }))
    }

    /// Writes what waits, moves the log into the file and stops writing.
    /// Dropping the ledger does the same and blocks meanwhile.
    pub async fn close(&self) {
        let queue = self.writing.as_ref().and_then(|w| w.queue.clone());
        let Some(queue) = queue else { return };
        let (answer, closed) = oneshot::channel();
        // The queue may be full, and this must get in.
        let sent =
            tokio::task::spawn_blocking(move || queue.send(Message::Close(answer)).is_ok()).await;
        if sent.unwrap_or(false) {
            let _ = closed.await;
        }
    }

    async fn order(&self, job: Job) -> Verdict {
        let unavailable = |why: &str| LedgerError::Unavailable(why.into());
        let queue = self
            .writing
            .as_ref()
            .and_then(|writing| writing.queue.as_ref())
            .ok_or_else(|| unavailable("it was opened for reading only"))?;
        let (answer, verdict) = oneshot::channel();
        queue
            .try_send(Message::Order(Order { job, answer }))
            .map_err(|error| match error {
                TrySendError::Full(_) => unavailable("too many commits wait already"),
                TrySendError::Disconnected(_) => unavailable("it was closed"),
            })?;
        verdict
            .await
            .unwrap_or_else(|_| Err(unavailable("it was closed before this was written")))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let Ok(_turn) = self.reads.acquire().await else {
            return Err(LedgerError::Unavailable("it was closed".into()));
        };
        let place = self.place.clone();
        let done = tokio::task::spawn_blocking(move || -> Result<T, Fault> {
            let connection = place.open_read_only()?;
            schema::check(&connection, &place)?;
            work(&connection).map_err(|error| place.explain(&error))
        });
        match done.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(LedgerError::Unavailable(format!("reading failed: {error}"))),
        }
    }
}

impl Writing {
    /// `now`, as far as monotonic time bears it out. A wall clock that jumped
    /// ahead must not make the ledger forget what will be valid again when it
    /// is set back.
    fn believed(&self, now: Moment) -> Moment {
        let (wall, uptime) = self.opened;
        let borne_out = wall.plus(self.clock.uptime().saturating_sub(uptime));
        if now > borne_out.plus(MARGIN) {
            tracing::warn!(
                %now, %borne_out,
                "the clock is ahead of the time that has passed: keeping single uses longer"
            );
        }
        now.min(borne_out)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let Some(writing) = &mut self.writing else {
            return;
        };
        writing.queue = None;
        writing.stop = None;
        for thread in writing.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Ledger for Sqlite {
    fn commit(&self, entry: Entry) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { self.order(Job::Commit(entry)).await.map(drop) })
    }

    fn switches(&self) -> Arc<Switches> {
        self.shared.switches.load_full()
    }

    fn set_switch(
        &self,
        switch: Switch,
        on: bool,
        audit: Record,
    ) -> BoxFuture<'_, Result<(), LedgerError>> {
        let job = Job::Switch { switch, on, audit };
        Box::pin(async move { self.order(job).await.map(drop) })
    }

    fn audit(&self, query: Query) -> BoxFuture<'_, Result<Vec<Chained>, LedgerError>> {
        Box::pin(self.read(move |connection| read::audit(connection, &query)))
    }

    fn verify_chain(&self) -> BoxFuture<'_, Result<ChainState, LedgerError>> {
        Box::pin(self.read(read::verify))
    }

    fn leases(
        &self,
        live_at: Moment,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<Lease>, LedgerError>> {
        Box::pin(self.read(move |connection| read::leases(connection, live_at, limit)))
    }

    fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Acquire)
    }

    fn created_at(&self) -> Moment {
        self.created_at
    }

    fn prune(&self, now: Moment) -> BoxFuture<'_, Result<u64, LedgerError>> {
        Box::pin(async move {
            let believed = self.writing.as_ref().map_or(now, |w| w.believed(now));
            let before = believed.minus(MARGIN);
            let mut after = Vec::new();
            let mut gone = 0;
            loop {
                let from = after;
                let keys = self
                    .read(move |connection| read::spent(connection, before, &from, CHUNK))
                    .await?;
                let Some(last) = keys.last() else {
                    return Ok(gone);
                };
                after = last.clone();
                gone += self.order(Job::Forget { keys, before }).await?;
            }
        })
    }
}

impl KeyStore for Sqlite {
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(async move { Ok(self.read(rows::keys).await?) })
    }

    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>> {
        Box::pin(async move { Ok(self.order(Job::Keys(changes)).await? == 1) })
    }
}

impl From<Fault> for LedgerError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.0)
    }
}

impl From<LedgerError> for KeyStoreError {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests;
