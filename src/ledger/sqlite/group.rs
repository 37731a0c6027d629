//! One transaction: everything that waited, applied in order.
//!
//! A group costs one fsync, however many share it. What an entry can do wrong
//! by itself (a used token, a kill switch, a replaced plan) is found out before
//! it writes anything, so it is answered alone and the group goes on. What
//! remains can only be the file's fault, and fails the whole group: nobody in
//! it was recorded, and a verdict that relied on a neighbour would be wrong.

use std::borrow::Cow;

use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::rows;
use crate::{
    base::clock::Moment,
    ledger::{Entry, Lease, LedgerError, MAX_RECORD, Record, SingleUse, Switch, Switches, chain},
    signing::KeyChange,
};

/// Something to write.
#[derive(Clone)]
pub(super) enum Job {
    Commit(Entry),
    Switch {
        switch: Switch,
        on: bool,
        audit: Record,
    },
    /// Answered with 1 if saved, 0 if the store was not as expected.
    Keys(Vec<KeyChange>),
    /// Deletes these single uses if they were over before that moment;
    /// answered with how many.
    Forget {
        keys: Vec<Vec<u8>>,
        before: Moment,
    },
}

/// What a job is answered.
pub(super) type Verdict = Result<u64, LedgerError>;

/// A job and who waits for it.
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) answer: oneshot::Sender<Verdict>,
}

/// Where the chain stands after a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
}

/// What a durable group changed.
pub(super) struct Done {
    pub(super) tip: Tip,
    /// The switches, if they are not the known ones.
    pub(super) switches: Option<Switches>,
}

const INSERT_AUDIT: &str = "INSERT INTO audit (sequence, at, latest, horizon, hash, lease, target, \
     subject, issuer, trust_domain, rule, expires_at, json) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const INSERT_USED: &str =
    "INSERT INTO used (key, until) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING";
const UPDATE_HEAD: &str =
    "UPDATE head SET sequence = ?1, hash = ?2, latest = ?3, horizon = ?4, epoch = ?5";

/// Applies the orders in one transaction; one verdict for each, valid only if
/// this returns `Ok`.
pub(super) fn run(
    connection: &mut Connection,
    orders: &[Order],
    known: &Switches,
    now: Moment,
    verdicts: &mut Vec<Verdict>,
) -> rusqlite::Result<Done> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut group = Group::begin(&transaction, known, now)?;
    for order in orders {
        let verdict = if order.answer.is_closed() {
            // Whoever asked has gone and will mint nothing.
            Err(LedgerError::Unavailable("the caller has left".into()))
        } else {
            group.apply(&order.job)?
        };
        verdicts.push(verdict);
    }
    let done = group.end()?;
    transaction.commit()?;
    Ok(done)
}

/// Writes something, to find out whether that is possible.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE head SET probe = probe + 1", ())
        .map(drop)
}

/// The state of the head row, and the statements of the hot path.
struct Group<'t> {
    transaction: &'t Transaction<'t>,
    insert_audit: CachedStatement<'t>,
    insert_used: CachedStatement<'t>,
    now: Moment,
    tip: Tip,
    latest: i64,
    horizon: i64,
    stored: (u64, u64),
    switches: Cow<'t, Switches>,
    key: Vec<u8>,
}

impl<'t> Group<'t> {
    fn begin(
        transaction: &'t Transaction<'t>,
        known: &'t Switches,
        now: Moment,
    ) -> rusqlite::Result<Self> {
        let (sequence, hash, latest, horizon, epoch): (i64, [u8; 32], i64, i64, i64) = transaction
            .prepare_cached("SELECT sequence, hash, latest, horizon, epoch FROM head")?
            .query_row((), |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            })?;
        let (sequence, epoch) = (sequence.cast_unsigned(), epoch.cast_unsigned());
        // The write lock is held: whatever any process switched is seen here,
        // and nothing can be switched before this group is durable.
        let switches = if epoch == known.epoch {
            Cow::Borrowed(known)
        } else {
            Cow::Owned(rows::switches(transaction, epoch)?)
        };
        Ok(Self {
            transaction,
            insert_audit: transaction.prepare_cached(INSERT_AUDIT)?,
            insert_used: transaction.prepare_cached(INSERT_USED)?,
            now,
            tip: Tip { sequence, hash },
            latest: latest.max(now.millis()),
            horizon,
            stored: (sequence, epoch),
            switches,
            key: Vec::with_capacity(96),
        })
    }

    fn apply(&mut self, job: &Job) -> rusqlite::Result<Verdict> {
        match job {
            Job::Commit(entry) => self.commit(entry),
            Job::Switch { switch, on, audit } => self.switch(switch, *on, audit),
            Job::Keys(changes) => {
                rows::save_keys(self.transaction, changes).map(|ok| Ok(ok.into()))
            }
            Job::Forget { keys, before } => self.forget(keys, *before).map(Ok),
        }
    }

    fn commit(&mut self, entry: &Entry) -> rusqlite::Result<Verdict> {
        if let Err(refusal) = self.check(entry) {
            return Ok(Err(refusal));
        }
        if let Some(single_use) = &entry.single_use
            && !self.use_once(single_use)?
        {
            return Ok(Err(LedgerError::Replayed));
        }
        // Past the single use nothing may refuse this entry alone.
        self.append(&entry.audit, entry.lease.as_ref())?;
        Ok(Ok(0))
    }

    fn check(&self, entry: &Entry) -> Result<(), LedgerError> {
        check_size(&entry.audit)?;
        if entry.fence.as_ref().is_some_and(|fence| !fence.holds()) {
            return Err(LedgerError::Changed);
        }
        match entry.lease.as_ref().and_then(|l| self.switches.stops(l)) {
            Some(switch) => Err(LedgerError::Disabled(switch.to_string())),
            None => Ok(()),
        }
    }

    fn use_once(&mut self, single_use: &SingleUse) -> rusqlite::Result<bool> {
        // The digest has a fixed length, so the pair is unambiguous.
        self.key.clear();
        self.key.extend_from_slice(&single_use.digest);
        self.key
            .extend_from_slice(single_use.trust_domain.as_bytes());
        let inserted = self
            .insert_used
            .execute((&self.key[..], single_use.until.millis()))?;
        Ok(inserted == 1)
    }

    fn append(&mut self, record: &Record, lease: Option<&Lease>) -> rusqlite::Result<()> {
        let sequence = self.tip.sequence + 1;
        let hash = chain::link(&self.tip.hash, sequence, record.json.as_bytes());
        let expires_at = lease.map(|lease| lease.expires_at.millis());
        self.horizon = self.horizon.max(expires_at.unwrap_or(i64::MIN));
        self.insert_audit.execute(params![
            sequence.cast_signed(),
            self.now.millis(),
            self.latest,
            self.horizon,
            hash,
            lease.map(|lease| lease.id.as_str()),
            lease.map(|lease| lease.target.as_str()),
            lease.map(|lease| lease.subject.as_str()),
            lease.and_then(|lease| lease.issuer.as_deref()),
            lease.map(|lease| lease.trust_domain.as_str()),
            lease.map(|lease| lease.rule.as_str()),
            expires_at,
            record.json,
        ])?;
        self.tip = Tip { sequence, hash };
        Ok(())
    }

    fn switch(&mut self, switch: &Switch, on: bool, audit: &Record) -> rusqlite::Result<Verdict> {
        if let Err(refusal) = check_size(audit) {
            return Ok(Err(refusal));
        }
        if rows::set_switch(self.transaction, switch, on)? {
            let switches = self.switches.to_mut();
            switches.epoch += 1;
            if on {
                switches.on.insert(switch.clone());
            } else {
                switches.on.remove(switch);
            }
        }
        self.append(audit, None)?;
        Ok(Ok(0))
    }

    fn forget(&self, keys: &[Vec<u8>], before: Moment) -> rusqlite::Result<u64> {
        // The moment is asked again: the row may be a younger one by now.
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM used WHERE key = ?1 AND until < ?2")?;
        let mut gone = 0;
        for key in keys {
            gone += delete.execute((key, before.millis()))? as u64;
        }
        Ok(gone)
    }

    fn end(self) -> rusqlite::Result<Done> {
        let (sequence, epoch) = (self.tip.sequence, self.switches.epoch);
        if self.stored != (sequence, epoch) {
            self.transaction.prepare_cached(UPDATE_HEAD)?.execute((
                sequence.cast_signed(),
                self.tip.hash,
                self.latest,
                self.horizon,
                epoch.cast_signed(),
            ))?;
        }
        Ok(Done {
            tip: self.tip,
            switches: match self.switches {
                Cow::Borrowed(_) => None,
                Cow::Owned(switches) => Some(switches),
            },
        })
    }
}

fn check_size(record: &Record) -> Result<(), LedgerError> {
    let found = record.json.len();
    if found > MAX_RECORD {
        return Err(LedgerError::Unavailable(format!(
            "an audit record of {found} bytes is longer than {MAX_RECORD}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
