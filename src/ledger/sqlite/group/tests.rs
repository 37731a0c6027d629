use std::sync::{Arc, atomic::AtomicU64};

use super::*;
use crate::ledger::{
    ChainState, Fence,
    sqlite::{place::Place, read, schema},
};

const NOW: Moment = Moment::from_secs(1_790_000_000);

struct Store {
    connection: Connection,
    place: Place,
    _folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("ledger.db"));
        place.create().unwrap();
        let mut connection = place.open().unwrap();
        schema::migrate(&mut connection, &place, NOW).unwrap();
        Self {
            connection,
            place,
            _folder: folder,
        }
    }

    fn try_run(
        &mut self,
        known: &Switches,
        jobs: &[Job],
    ) -> rusqlite::Result<(Vec<Verdict>, Done)> {
        let (orders, _waiting): (Vec<_>, Vec<_>) = jobs
            .iter()
            .map(|job| {
                let (answer, waiting) = oneshot::channel();
                let job = job.clone();
                (Order { job, answer }, waiting)
            })
            .unzip();
        let mut verdicts = Vec::new();
        let done = run(&mut self.connection, &orders, known, NOW, &mut verdicts)?;
        Ok((verdicts, done))
    }

    fn run(&mut self, jobs: &[Job]) -> Vec<Verdict> {
        self.try_run(&Switches::default(), jobs).unwrap().0
    }

    fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.connection
            .query_row(&sql, (), |row| row.get(0))
            .unwrap()
    }

    fn records(&self) -> u64 {
        match read::verify(&self.connection).unwrap() {
            ChainState::Intact { records, .. } => records,
            broken => panic!("{broken:?}"),
        }
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
            subject: "repo:acme/app".into(),
            issuer: None,
            trust_domain: "github".into(),
            rule: "deploy".into(),
            expires_at: NOW,
        }),
        audit: record(&format!("{{\"token\":{token}}}")),
        fence: None,
    }
}

fn commit(token: u8) -> Job {
    Job::Commit(entry(token))
}

fn record(json: &str) -> Record {
    Record { json: json.into() }
}

fn switch(on: bool) -> Job {
    Job::Switch {
        switch: Switch::Target("prod".into()),
        on,
        audit: record("{}"),
    }
}

#[test]
fn a_used_token_fails_alone_in_its_group() {
    let mut store = Store::new();
    let verdicts = store.run(&[commit(1), commit(2), commit(1), commit(3)]);
    assert_eq!(verdicts, [Ok(0), Ok(0), Err(LedgerError::Replayed), Ok(0)]);
    assert_eq!(store.records(), 3);
    assert_eq!(store.run(&[commit(2)]), [Err(LedgerError::Replayed)]);
    assert_eq!(store.run(&[commit(4)]), [Ok(0)]);
    assert_eq!((store.records(), store.count("used")), (4, 4));
}

#[test]
fn the_refusals_of_one_entry_burn_nothing() {
    let mut store = Store::new();
    let counter = Arc::new(AtomicU64::new(0));
    let mut changed = entry(1);
    changed.fence = Some(Fence::take(&counter));
    Fence::advance(&counter);
    let mut large = entry(2);
    large.audit.json = " ".repeat(MAX_RECORD + 1);
    let verdicts = store.run(&[
        Job::Commit(changed),
        Job::Commit(large),
        switch(true),
        commit(3),
    ]);
    assert_eq!(verdicts[0], Err(LedgerError::Changed));
    assert!(matches!(&verdicts[1], Err(LedgerError::Unavailable(why)) if why.contains("longer")));
    assert_eq!(verdicts[2], Ok(0));
    assert_eq!(
        verdicts[3],
        Err(LedgerError::Disabled("target prod".into()))
    );
    assert_eq!((store.records(), store.count("used")), (1, 0));

    let verdicts = store.run(&[switch(false), commit(1), commit(2), commit(3)]);
    assert_eq!(verdicts, [Ok(0), Ok(0), Ok(0), Ok(0)]);
    let mut longest = entry(4);
    longest.audit.json = " ".repeat(MAX_RECORD);
    assert_eq!(store.run(&[Job::Commit(longest)]), [Ok(0)]);
}

#[test]
fn k_07_switches_of_another_process_are_in_force_at_once() {
    let mut store = Store::new();
    let stale = Switches::default();
    let (verdicts, done) = store.try_run(&stale, &[switch(true)]).unwrap();
    assert_eq!(verdicts, [Ok(0)]);
    assert_eq!(done.switches.unwrap().epoch, 1);

    // A writer that has not heard of it.
    let (verdicts, done) = store.try_run(&stale, &[commit(1)]).unwrap();
    assert!(matches!(verdicts[..], [Err(LedgerError::Disabled(_))]));
    let heard = done.switches.unwrap();
    assert_eq!((heard.epoch, heard.on.len()), (1, 1));

    // One that has.
    let (_, done) = store.try_run(&heard, &[commit(1)]).unwrap();
    assert!(done.switches.is_none());
}

#[test]
fn switching_on_what_is_on_is_recorded_and_changes_nothing() {
    let mut store = Store::new();
    let (_, done) = store
        .try_run(&Switches::default(), &[switch(true), switch(true)])
        .unwrap();
    assert_eq!(done.switches.unwrap().epoch, 1);
    assert_eq!(store.records(), 2);
    let (_, done) = store
        .try_run(&Switches::default(), &[switch(false), switch(false)])
        .unwrap();
    assert_eq!(done.switches.unwrap().epoch, 2);
}

#[test]
fn a_full_disk_fails_the_whole_group_and_nothing_of_it_stays() {
    let mut store = Store::new();
    assert_eq!(store.run(&[commit(1)]), [Ok(0)]);
    let pages: i64 = store
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    let limit = |store: &Store, pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        store.connection.query_row(&sql, (), |_| Ok(())).unwrap();
    };
    limit(&store, pages);
    let mut large = entry(3);
    large.audit.json = " ".repeat(100_000);
    large.lease = None;
    let error = store
        .try_run(
            &Switches::default(),
            &[commit(2), switch(true), Job::Commit(large.clone())],
        )
        .err()
        .unwrap();
    let explained = store.place.explain(&error).to_string();
    assert!(explained.contains("full"), "{explained}");
    assert_eq!((store.records(), store.count("used")), (1, 1));
    assert_eq!(store.count("switch"), 0);

    limit(&store, 1_000_000);
    assert_eq!(store.run(&[commit(2), Job::Commit(large)]), [Ok(0), Ok(0)]);
    assert_eq!(store.records(), 3);
}

#[test]
fn a_caller_that_has_left_is_not_recorded() {
    let mut store = Store::new();
    let (answer, waiting) = oneshot::channel();
    drop(waiting);
    let orders = [Order {
        job: commit(1),
        answer,
    }];
    let mut verdicts = Vec::new();
    let known = Switches::default();
    run(&mut store.connection, &orders, &known, NOW, &mut verdicts).unwrap();
    assert!(matches!(verdicts[..], [Err(LedgerError::Unavailable(_))]));
    assert_eq!((store.records(), store.count("used")), (0, 0));
}

#[test]
fn the_same_digest_in_two_trust_domains_is_two_uses() {
    let mut store = Store::new();
    let mut other = entry(1);
    if let Some(single_use) = &mut other.single_use {
        single_use.trust_domain = "gitlab".into();
    }
    assert_eq!(store.run(&[commit(1), Job::Commit(other)]), [Ok(0), Ok(0)]);
}

#[test]
fn a_head_that_was_set_back_stops_the_ledger_instead_of_overwriting() {
    let mut store = Store::new();
    assert_eq!(store.run(&[commit(1), commit(2)]), [Ok(0), Ok(0)]);
    store
        .connection
        .execute("UPDATE head SET sequence = 1", ())
        .unwrap();
    let error = store
        .try_run(&Switches::default(), &[commit(3)])
        .err()
        .unwrap();
    let explained = store.place.explain(&error).to_string();
    assert!(explained.contains("assay audit verify"), "{explained}");
    assert_eq!(store.count("audit"), 2);
}

#[test]
fn forgetting_asks_again_whether_a_use_is_over() {
    let mut store = Store::new();
    assert_eq!(store.run(&[commit(1)]), [Ok(0)]);
    let mut key = vec![1; 32];
    key.extend_from_slice(b"github");
    let forget = |before| Job::Forget {
        keys: vec![key.clone(), vec![9; 40]],
        before,
    };
    assert_eq!(store.run(&[forget(NOW)]), [Ok(0)]);
    assert_eq!(store.count("used"), 1);
    let later = Moment::from_millis(NOW.millis() + 1);
    assert_eq!(store.run(&[forget(later)]), [Ok(1)]);
    assert_eq!(store.count("used"), 0);
}

#[test]
fn a_group_that_changes_nothing_writes_nothing() {
    let mut store = Store::new();
    assert_eq!(store.run(&[commit(1)]), [Ok(0)]);
    let changes = store.connection.total_changes();
    assert_eq!(store.run(&[commit(1)]), [Err(LedgerError::Replayed)]);
    assert_eq!(store.connection.total_changes(), changes);
    probe(&store.connection).unwrap();
    assert_eq!(store.connection.total_changes(), changes + 1);
}
