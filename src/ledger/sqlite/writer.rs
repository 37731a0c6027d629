//! The one thread that writes.
//!
//! SQLite has one writer at a time, so the queue stands here, where it can be
//! bounded and shared out, and not in a lock. While one group is being synced
//! the next gathers by itself: no timer, no tuning, and a lone exchange does
//! not wait for company.
//!
//! After a fault the connection is dropped and opened anew for the next
//! attempt, so whatever ends the trouble ends it here too. In between the
//! thread tries by itself, because a broker that is not ready gets no requests
//! that would find out. What it will not do is go on from a file that lacks
//! what was acknowledged: that takes a restart, which is somebody's decision.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use super::{
    group::{self, Order, Tip, Verdict},
    place::{Fault, Identity, PATIENCE, Place},
    rows, schema,
};
use crate::{
    base::clock::Clock,
    ledger::{LedgerError, Switches},
};

/// Most orders in one transaction. More share no more of the fsync's cost and
/// make the first of them wait.
const GROUP: usize = 512;

/// How often an idle writer looks whether another process has switched
/// something, and whether a fault has ended.
const TICK: Duration = Duration::from_millis(500);

/// How long a lock is waited for when the last attempt failed: callers get
/// their refusal soon.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// What arrives in the queue.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are orders; a box for each would be an allocation for each exchange"
)]
pub(super) enum Message {
    Order(Order),
    /// Everything before it is written; nothing after it is.
    Close(oneshot::Sender<()>),
}

/// What the writer shows to the other threads.
pub(super) struct Shared {
    pub(super) switches: ArcSwap<Switches>,
    pub(super) healthy: AtomicBool,
    /// How many groups were written.
    pub(super) written: AtomicU64,
}

impl Shared {
    /// From the file as it is; not yet healthy, as nothing was written.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let snapshot = connection.unchecked_transaction()?;
        let epoch = read_epoch(&snapshot)?;
        let switches = rows::switches(&snapshot, epoch)?;
        Ok(Self {
            switches: ArcSwap::from_pointee(switches),
            healthy: AtomicBool::new(false),
            written: AtomicU64::new(1),
        })
    }
}

/// The writing side of one open ledger.
pub(super) struct Writer {
    place: Place,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    live: Option<Live>,
    /// What was last acknowledged: a file without it is not this ledger.
    tip: Option<Tip>,
    orders: Vec<Order>,
    verdicts: Vec<Verdict>,
}

struct Live {
    connection: Connection,
    identity: Identity,
}

impl Writer {
    /// Takes over a connection on which the schema is in place, and proves
    /// that it can write.
    pub(super) fn new(
        place: Place,
        clock: Arc<dyn Clock>,
        connection: Connection,
    ) -> Result<Self, Fault> {
        let explain = |error| place.explain(&error);
        group::probe(&connection).map_err(explain)?;
        let shared = Shared::read(&connection).map_err(explain)?;
        shared.healthy.store(true, Ordering::Release);
        let identity = place.identity()?;
        Ok(Self {
            shared: Arc::new(shared),
            place,
            clock,
            live: Some(Live {
                connection,
                identity,
            }),
            tip: None,
            orders: Vec::with_capacity(GROUP),
            verdicts: Vec::with_capacity(GROUP),
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Serves the queue until it is closed.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        // Whatever ends this thread, nobody must believe that it still writes.
        let last = Unhealthy(self.shared());
        let closed = loop {
            match queue.recv_timeout(TICK) {
                Ok(message) => {
                    let close = self.gather(message, queue);
                    self.write();
                    if close.is_some() {
                        break close;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        self.finish();
        drop(last);
        if let Some(answer) = closed {
            let _ = answer.send(());
        }
    }

    /// Takes what waits, up to a group's size or the end.
    fn gather(&mut self, first: Message, queue: &Receiver<Message>) -> Option<oneshot::Sender<()>> {
        let mut next = first;
        loop {
            match next {
                Message::Order(order) => self.orders.push(order),
                Message::Close(answer) => return Some(answer),
            }
            if self.orders.len() >= GROUP {
                return None;
            }
            match queue.try_recv() {
                Ok(message) => next = message,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// Writes the gathered group and answers it.
    fn write(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let outcome = self.transact();
        match outcome {
            Ok(()) => {
                self.recovered();
                let answers = self.orders.drain(..).zip(self.verdicts.drain(..));
                for (order, verdict) in answers {
                    let _ = order.answer.send(verdict);
                }
            }
            Err(fault) => {
                self.failed(&fault);
                self.verdicts.clear();
                for order in self.orders.drain(..) {
                    let _ = order
                        .answer
                        .send(Err(LedgerError::Unavailable(fault.0.clone())));
                }
            }
        }
    }

    fn transact(&mut self) -> Result<(), Fault> {
        let now = self.clock.now();
        let known = self.shared.switches.load_full();
        let mut live = self.take_live()?;
        let done = group::run(
            &mut live.connection,
            &self.orders,
            &known,
            now,
            &mut self.verdicts,
        )
        .map_err(|error| self.place.explain(&error))?;
        self.live = Some(live);
        self.tip = Some(done.tip);
        // Before the answers: who hears of a switch finds it in force.
        if let Some(switches) = done.switches {
            self.shared.switches.store(Arc::new(switches));
        }
        self.shared.written.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What an idle writer does.
    fn tick(&mut self) {
        match self.look() {
            Ok(()) => self.recovered(),
            Err(fault) => self.failed(&fault),
        }
    }

    fn look(&mut self) -> Result<(), Fault> {
        let healthy = self.shared.healthy.load(Ordering::Acquire);
        let mut live = self.take_live()?;
        let known = self.shared.switches.load().epoch;
        let mut look = || -> rusqlite::Result<Option<Switches>> {
            if !healthy {
                group::probe(&live.connection)?;
            }
            let snapshot = live.connection.transaction()?;
            let epoch = read_epoch(&snapshot)?;
            (epoch != known)
                .then(|| rows::switches(&snapshot, epoch))
                .transpose()
        };
        let switches = look().map_err(|error| self.place.explain(&error))?;
        self.live = Some(live);
        if let Some(switches) = switches {
            self.shared.switches.store(Arc::new(switches));
        }
        Ok(())
    }

    /// The open connection, if it is still on the file at its path; else a new
    /// one. The caller puts it back unless it failed.
    fn take_live(&mut self) -> Result<Live, Fault> {
        if let Some(live) = self.live.take() {
            if self.place.identity() == Ok(live.identity) {
                return Ok(live);
            }
            if self.place.lost_only_its_log(&live.identity) {
                // The log is still open here, and this is its last reader.
                let _ = checkpoint(&live.connection, "PASSIVE");
            }
        }
        let connection = self.place.open()?;
        schema::check(&connection, &self.place)?;
        let explain = |error| self.place.explain(&error);
        self.recognise(&connection)?;
        connection.busy_timeout(IMPATIENCE).map_err(explain)?;
        Ok(Live {
            identity: self.place.identity()?,
            connection,
        })
    }

    /// Refuses a file that lacks what was acknowledged.
    fn recognise(&self, connection: &Connection) -> Result<(), Fault> {
        let Some(tip) = self.tip.filter(|tip| tip.sequence > 0) else {
            return Ok(());
        };
        let found = connection
            .query_row(
                "SELECT hash FROM audit WHERE sequence = ?1",
                (tip.sequence.cast_signed(),),
                |row| row.get::<_, [u8; 32]>(0),
            )
            .optional()
            .map_err(|error| self.place.explain(&error))?;
        if found == Some(tip.hash) {
            return Ok(());
        }
        Err(Fault(format!(
            "the file was replaced by one without record {}, which was acknowledged: an older \
             copy would forget used tokens. Put the right file back, or restart to accept this one",
            tip.sequence
        )))
    }

    fn recovered(&mut self) {
        if self.shared.healthy.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(live) = &self.live {
            let _ = live.connection.busy_timeout(PATIENCE);
        }
        tracing::info!("the ledger can be written again");
    }

    fn failed(&mut self, fault: &Fault) {
        self.live = None;
        if self.shared.healthy.swap(false, Ordering::AcqRel) {
            tracing::error!(reason = %fault, "the ledger cannot be written: nothing is issued");
        }
    }

    /// Leaves a file that is whole without its log.
    fn finish(mut self) {
        if let Ok(live) = self.take_live() {
            let _ = checkpoint(&live.connection, "TRUNCATE");
        }
    }
}

/// Moves the log's content into the file; how long the log was, in pages.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), (), |row| {
        row.get(1)
    })
}

fn read_epoch(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT epoch FROM head")?
        .query_row((), |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

struct Unhealthy(Arc<Shared>);

impl Drop for Unhealthy {
    fn drop(&mut self) {
        self.0.healthy.store(false, Ordering::Release);
    }
}
