//! The audit chain: each record's hash covers its text and the record before.
//!
//! `hash = SHA-256(previous hash || sequence, 8 bytes big-endian || JSON text)`,
//! where the first record has sequence 1 and [`GENESIS`] before it. The ledger
//! also keeps the head, the last sequence and hash, apart from the records.
//!
//! What that finds: a record that was changed, removed from the middle, put in,
//! moved or swapped; the newest records removed without the head, or the head
//! set back without the records.
//!
//! What it cannot find by itself, because whoever can write the ledger's file
//! can compute SHA-256 too: everything from some record on rewritten with new
//! hashes and a new head; the newest records removed together with the head
//! set back to match; the file replaced by an older copy. Against those, keep
//! a head elsewhere now and then (`assay audit verify` prints it, and every
//! record shows its hash): a chain that is intact and has that hash at that
//! sequence was not rewritten before it.

use aws_lc_rs::digest::{Context, SHA256};

use super::ChainState;

/// What stands before the first record.
pub const GENESIS: [u8; 32] = [0; 32];

/// The hash of the record at `sequence` with this text, after `previous`.
pub fn link(previous: &[u8; 32], sequence: u64, json: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(&sequence.to_be_bytes());
    context.update(json);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Checks a chain record by record, in constant memory.
#[derive(Debug)]
pub struct Verifier {
    records: u64,
    last: [u8; 32],
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            records: 0,
            last: GENESIS,
        }
    }
}

impl Verifier {
    /// Takes the next record as it is stored; what is wrong with it, if it
    /// does not follow the one before.
    pub fn push(&mut self, sequence: i64, hash: &[u8], json: &[u8]) -> Result<(), ChainState> {
        let expected = self.records.saturating_add(1);
        if u64::try_from(sequence) != Ok(expected) {
            return Err(broken(
                expected,
                format!("record {expected} is missing: record {sequence} stands in its place"),
            ));
        }
        let computed = link(&self.last, expected, json);
        if computed != hash {
            return Err(broken(
                expected,
                format!(
                    "its hash should be {} but {} is stored: this record was changed, \
                     or one before it was replaced",
                    hex(&computed),
                    hex(hash)
                ),
            ));
        }
        self.records = expected;
        self.last = computed;
        Ok(())
    }

    /// Compares the end of the chain with the head that was kept apart.
    pub fn finish(self, head_sequence: i64, head_hash: &[u8]) -> ChainState {
        let Self { records, last } = self;
        match u64::try_from(head_sequence) {
            Ok(head) if head == records && last == head_hash => ChainState::Intact {
                records,
                head: last,
            },
            Ok(head) if head == records => broken(
                records,
                format!(
                    "the head should have the hash {} but has {}",
                    hex(&last),
                    hex(head_hash)
                ),
            ),
            Ok(head) if head > records => broken(
                records.saturating_add(1),
                format!("records are missing at the end: the head stands at {head}"),
            ),
            _ => broken(
                records,
                format!(
                    "the head was set back: it stands at {head_sequence}, \
                     but there are {records} records"
                ),
            ),
        }
    }
}

/// Lower-case hexadecimal, as hashes are shown.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn broken(sequence: u64, what: String) -> ChainState {
    ChainState::Broken { sequence, what }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = (i64, Vec<u8>, Vec<u8>);

    fn chain(texts: &[Vec<u8>]) -> Vec<Row> {
        let mut previous = GENESIS;
        (1u64..)
            .zip(texts)
            .map(|(sequence, json)| {
                previous = link(&previous, sequence, json);
                (sequence as i64, previous.to_vec(), json.clone())
            })
            .collect()
    }

    fn head(rows: &[Row]) -> (i64, Vec<u8>) {
        rows.last()
            .map_or((0, GENESIS.to_vec()), |(s, h, _)| (*s, h.clone()))
    }

    fn verify(rows: &[Row], head: &(i64, Vec<u8>)) -> ChainState {
        let mut verifier = Verifier::default();
        for (sequence, hash, json) in rows {
            if let Err(state) = verifier.push(*sequence, hash, json) {
                return state;
            }
        }
        verifier.finish(head.0, &head.1)
    }

    fn texts(n: usize) -> Vec<Vec<u8>> {
        (0..n)
            .map(|i| format!("{{\"n\":{i}}}").into_bytes())
            .collect()
    }

    fn broken_at(state: ChainState) -> u64 {
        match state {
            ChainState::Broken { sequence, .. } => sequence,
            ChainState::Intact { .. } => panic!("intact"),
        }
    }

    #[test]
    fn the_formula_is_the_documented_one() {
        // SHA-256 of 32 zero bytes, 00 00 00 00 00 00 00 01, "{}", computed
        // with sha256sum.
        assert_eq!(hex(&link(&GENESIS, 1, b"{}")), FIRST);
    }
    const FIRST: &str = "1bad765d926feacace97a8ddcd329a1f4254c208affc1ba86b3c7d59e8fba83e";

    #[test]
    fn whole_chains_are_intact() {
        assert_eq!(
            verify(&[], &head(&[])),
            ChainState::Intact {
                records: 0,
                head: GENESIS
            }
        );
        let rows = chain(&texts(5));
        let state = verify(&rows, &head(&rows));
        assert!(matches!(state, ChainState::Intact { records: 5, head } if head[..] == rows[4].1));
    }

    #[test]
    fn a_missing_record_is_found_where_it_was() {
        for gone in 0..5 {
            let mut rows = chain(&texts(5));
            let head = head(&rows);
            rows.remove(gone);
            assert_eq!(broken_at(verify(&rows, &head)), gone as u64 + 1);
        }
    }

    #[test]
    fn a_missing_record_is_found_although_the_rest_was_renumbered() {
        let mut rows = chain(&texts(5));
        let mut head = head(&rows);
        rows.remove(1);
        for (n, row) in (1..).zip(&mut rows) {
            row.0 = n;
        }
        head.0 = 4;
        assert_eq!(broken_at(verify(&rows, &head)), 2);
    }

    #[test]
    fn swapped_records_are_found() {
        let mut rows = chain(&texts(5));
        let head = head(&rows);
        let (second, third) = (rows[1].clone(), rows[2].clone());
        (rows[1].1, rows[1].2) = (third.1, third.2);
        (rows[2].1, rows[2].2) = (second.1, second.2);
        assert_eq!(broken_at(verify(&rows, &head)), 2);
    }

    #[test]
    fn a_record_with_a_recomputed_hash_betrays_itself_by_the_next() {
        let mut rows = chain(&texts(5));
        let head = head(&rows);
        rows[2].2 = b"{\"n\":99}".to_vec();
        let previous: [u8; 32] = rows[1].1.clone().try_into().unwrap();
        rows[2].1 = link(&previous, 3, &rows[2].2).to_vec();
        assert_eq!(broken_at(verify(&rows, &head)), 4);
    }

    #[test]
    fn a_head_that_does_not_fit_is_found() {
        let rows = chain(&texts(3));
        assert_eq!(broken_at(verify(&rows, &head(&rows[..2]))), 3);
        assert_eq!(broken_at(verify(&rows[..2], &head(&rows))), 3);
        assert_eq!(broken_at(verify(&rows, &(3, vec![1; 32]))), 3);
        assert_eq!(broken_at(verify(&rows, &(3, vec![]))), 3);
        assert_eq!(broken_at(verify(&rows, &(-3, rows[2].1.clone()))), 3);
    }

    #[test]
    fn records_before_the_first_are_found() {
        let mut rows = chain(&texts(2));
        let head = head(&rows);
        rows.insert(0, (0, vec![0; 32], b"{}".to_vec()));
        assert_eq!(broken_at(verify(&rows, &head)), 1);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_breaks_the_chain_at_or_after_it(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..8),
            row in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let good = chain(&texts);
            let head = head(&good);
            prop_assert!(
                matches!(verify(&good, &head), ChainState::Intact { .. }),
                "untouched"
            );
            let row = row.index(good.len());
            // Over the stored bytes of a row: sequence, hash, text.
            let (sequence, hash, json) = &good[row];
            let mut bytes = sequence.to_be_bytes().to_vec();
            bytes.extend(hash);
            bytes.extend(json);
            let at = byte.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut bad = good.clone();
            bad[row] = (
                i64::from_be_bytes(bytes[..8].try_into().unwrap()),
                bytes[8..40].to_vec(),
                bytes[40..].to_vec(),
            );
            prop_assert_eq!(broken_at(verify(&bad, &head)), row as u64 + 1);
        }

        #[test]
        fn moving_bytes_between_neighbours_breaks_the_chain(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..20), 2..6),
            row in any::<prop::sample::Index>(),
        ) {
            let mut rows = chain(&texts);
            let head = head(&rows);
            let row = row.index(rows.len() - 1);
            let byte = rows[row].2.pop().unwrap();
            rows[row + 1].2.insert(0, byte);
            prop_assert_eq!(broken_at(verify(&rows, &head)), row as u64 + 1);
        }
    }
}
