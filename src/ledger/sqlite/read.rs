//! Reading: the audit records, the chain, the leases.
//!
//! Scans go page by page, each a statement of its own, so that reading years of
//! records does not hold the log back. Records are filtered here and not in
//! SQL: a record that was damaged must fail to match, not fail the query.

use rusqlite::{Connection, OptionalExtension as _, Row, types::ValueRef};

use crate::{
    base::clock::Moment,
    ledger::{ChainState, Chained, Lease, MAX_ANSWER, Query, chain},
    model::json::Json,
};

/// Rows per statement.
const PAGE: u32 = 2_000;

const FORWARD: &str = "SELECT sequence, hash, json, at, latest FROM audit \
     WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
const BACKWARD: &str = "SELECT sequence, hash, json, at, latest FROM audit \
     WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2";
const LEASES: &str = "SELECT sequence, horizon, lease, target, subject, issuer, trust_domain, \
     rule, expires_at FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2";

/// The records that match, in the order of the chain.
pub(super) fn audit(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Chained>> {
    let filter = Filter::of(query);
    let limit = cap(query.limit);
    let mut found = Vec::new();
    let (sql, start) = match query.after_sequence {
        Some(after) => (FORWARD, i64::try_from(after).unwrap_or(i64::MAX)),
        None => (BACKWARD, i64::MAX),
    };
    let backward = query.after_sequence.is_none();
    scan(connection, sql, start, |row| {
        let latest = Moment::from_millis(row.get(4)?);
        if backward && query.since.is_some_and(|since| latest < since) {
            return Ok(Next::Stop);
        }
        let json = bytes(row, 2)?;
        if filter.matches(Moment::from_millis(row.get(3)?), json) {
            found.push(Chained {
                sequence: row.get::<_, i64>(0)?.cast_unsigned(),
                previous: chain::GENESIS,
                hash: hash(row.get_ref(1)?),
                json: String::from_utf8_lossy(json).into_owned(),
            });
        }
        Ok(if found.len() < limit {
            Next::Go
        } else {
            Next::Stop
        })
    })?;
    if backward {
        found.reverse();
    }
    let mut before = connection.prepare("SELECT hash FROM audit WHERE sequence = ?1")?;
    for record in &mut found {
        let previous = (record.sequence.cast_signed().saturating_sub(1),);
        if let Some(stored) = before
            .query_row(previous, |row| Ok(hash(row.get_ref(0)?)))
            .optional()?
        {
            record.previous = stored;
        }
    }
    Ok(found)
}

/// Checks the chain as it stands when this begins.
pub(super) fn verify(connection: &Connection) -> rusqlite::Result<ChainState> {
    let mut verifier = chain::Verifier::default();
    let (head, head_hash, last) = connection.query_row(
        "SELECT sequence, hash, (SELECT max(sequence) FROM audit) FROM head",
        (),
        |row| {
            let last: Option<i64> = row.get(2)?;
            let stored = bytes(row, 1)?.to_vec();
            Ok((row.get::<_, i64>(0)?, stored, last.unwrap_or(0)))
        },
    )?;
    let mut broken = None;
    scan(connection, FORWARD, i64::MIN, |row| {
        let sequence: i64 = row.get(0)?;
        if sequence > last {
            // Recorded since this began.
            return Ok(Next::Stop);
        }
        match verifier.push(sequence, bytes(row, 1)?, bytes(row, 2)?) {
            Ok(()) => Ok(Next::Go),
            Err(state) => {
                broken = Some(state);
                Ok(Next::Stop)
            }
        }
    })?;
    Ok(broken.unwrap_or_else(|| verifier.finish(head, &head_hash)))
}

/// The newest leases that expire after that moment.
pub(super) fn leases(
    connection: &Connection,
    live_at: Moment,
    limit: u32,
) -> rusqlite::Result<Vec<Lease>> {
    let limit = cap(limit);
    let mut found = Vec::new();
    scan(connection, LEASES, i64::MAX, |row| {
        if Moment::from_millis(row.get(1)?) <= live_at {
            return Ok(Next::Stop);
        }
        let expires_at: Option<i64> = row.get(8)?;
        match expires_at.map(Moment::from_millis) {
            Some(expires_at) if expires_at > live_at => found.push(Lease {
                id: row.get(2)?,
                target: row.get(3)?,
                subject: row.get(4)?,
                issuer: row.get(5)?,
                trust_domain: row.get(6)?,
                rule: row.get(7)?,
                expires_at,
            }),
            _ => {}
        }
        Ok(if found.len() < limit {
            Next::Go
        } else {
            Next::Stop
        })
    })?;
    Ok(found)
}

/// Keys of single uses that were over before that moment, after the given key.
pub(super) fn spent(
    connection: &Connection,
    before: Moment,
    after: &[u8],
    limit: u32,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    connection
        .prepare("SELECT key FROM used WHERE key > ?1 AND until < ?2 ORDER BY key LIMIT ?3")?
        .query_map((after, before.millis(), limit), |row| row.get(0))?
        .collect()
}

/// When the ledger was created.
pub(super) fn created_at(connection: &Connection) -> rusqlite::Result<Moment> {
    connection
        .query_row("SELECT created_at FROM head", (), |row| row.get(0))
        .map(Moment::from_millis)
}

enum Next {
    Go,
    Stop,
}

/// Runs `sql` page by page from `start`; its first column is the sequence.
fn scan(
    connection: &Connection,
    sql: &str,
    start: i64,
    mut visit: impl FnMut(&Row<'_>) -> rusqlite::Result<Next>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut cursor = start;
    loop {
        let mut rows = statement.query((cursor, PAGE))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            if let Next::Stop = visit(row)? {
                return Ok(());
            }
            cursor = row.get(0)?;
            count += 1;
        }
        if count < PAGE {
            return Ok(());
        }
    }
}

fn cap(limit: u32) -> usize {
    match limit {
        0 => MAX_ANSWER as usize,
        some => some.min(MAX_ANSWER) as usize,
    }
}

/// Text or blob as it is stored; empty for anything else.
fn bytes<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    })
}

/// A hash as it is stored; zeros, which are no record's hash, if it is none.
fn hash(value: ValueRef<'_>) -> [u8; 32] {
    match value {
        ValueRef::Blob(bytes) => bytes.try_into().unwrap_or_default(),
        _ => [0; 32],
    }
}

struct Filter<'q> {
    since: Option<Moment>,
    until: Option<Moment>,
    members: Vec<(&'static str, &'q str)>,
}

impl<'q> Filter<'q> {
    fn of(query: &'q Query) -> Self {
        let members = [
            ("request_id", query.request_id.as_deref()),
            ("outcome", query.outcome.as_deref()),
            ("reason", query.reason.map(crate::model::Reason::code)),
            ("identity", query.identity.as_deref()),
            ("rule", query.rule.as_deref()),
            ("target", query.target.as_deref()),
        ];
        Self {
            since: query.since,
            until: query.until,
            members: members
                .into_iter()
                .filter_map(|(name, wanted)| Some((name, wanted?)))
                .collect(),
        }
    }

    fn matches(&self, at: Moment, json: &[u8]) -> bool {
        let in_time =
            self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until);
        if !in_time || self.members.is_empty() {
            return in_time;
        }
        let Ok(text) = std::str::from_utf8(json) else {
            return false;
        };
        // Without escapes a value stands in the text as it is, so most records
        // need no parsing.
        let literal = !text.contains('\\');
        if literal && !self.members.iter().all(|(_, value)| text.contains(value)) {
            return false;
        }
        let Ok(record) = Json::parse(json) else {
            return false;
        };
        self.members
            .iter()
            .all(|(name, wanted)| record.get(name).is_some_and(|found| says(found, wanted)))
    }
}

/// A string that equals the text, or an object with such a string in it.
fn says(found: &Json, wanted: &str) -> bool {
    match found {
        Json::Object(members) => members
            .iter()
            .any(|(_, value)| value.as_text() == Some(wanted)),
        other => other.as_text() == Some(wanted),
    }
}

#[cfg(test)]
mod tests;
