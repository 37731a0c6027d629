//! Records and leases: chained, found again, whole.

use std::time::Duration;

use assay::{
    ledger::{ChainState, Lease, LedgerError, MAX_RECORD, Query, chain},
    model::Reason,
};

use super::{LONG, NOW, all, lease, plain, records};
use crate::Store;

pub(crate) async fn records_are_chained_by_the_documented_formula(store: Store) {
    let ledger = (store.open)();
    for json in ["{\"a\":1}", "{ \"b\" : \"\u{e4}\\n\" }", "{}"] {
        ledger.commit(plain(json)).await.unwrap();
    }
    let mut previous = chain::GENESIS;
    for (sequence, found) in (1..).zip(all(&*ledger).await) {
        assert_eq!((found.sequence, found.previous), (sequence, previous));
        assert_eq!(
            found.hash,
            chain::link(&previous, sequence, found.json.as_bytes())
        );
        previous = found.hash;
    }
    let state = ledger.verify_chain().await.unwrap();
    let expected = ChainState::Intact {
        records: 3,
        head: previous,
    };
    assert_eq!(state, expected);
}

pub(crate) async fn the_chain_of_an_empty_ledger_is_intact(store: Store) {
    let ledger = (store.open)();
    let expected = ChainState::Intact {
        records: 0,
        head: chain::GENESIS,
    };
    assert_eq!(ledger.verify_chain().await.unwrap(), expected);
    assert!(all(&*ledger).await.is_empty());
    assert!(ledger.healthy());
}

pub(crate) async fn a_record_of_any_size_up_to_the_cap_is_kept_whole(store: Store) {
    let ledger = (store.open)();
    for size in [2, 4_000, 5_000, 100_000, MAX_RECORD] {
        let json = format!("{{{}}}", " ".repeat(size - 2));
        ledger.commit(plain(&json)).await.unwrap();
        let last = all(&*ledger).await.pop().unwrap();
        assert_eq!(last.json, json);
    }
    let long = " ".repeat(MAX_RECORD + 1);
    let refused = ledger.commit(plain(&long)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))));
    assert!(ledger.healthy());
    assert_eq!(records(&*ledger).await, 5);
}

pub(crate) async fn records_are_found_by_what_they_say(store: Store) {
    let ledger = (store.open)();
    let texts = [
        r#"{"request_id":"R1","outcome":"granted","identity":"a","rule":"deploy","target":"prod"}"#,
        r#"{"request_id":"R2","outcome":"denied","reason":"RULE_NO_MATCH","identity":"b","target":"prod"}"#,
        r#"{"request_id":"R3","outcome":"denied","reason":"TOKEN_EXPIRED","target":"test"}"#,
    ];
    for text in texts {
        ledger.commit(plain(text)).await.unwrap();
        store.clock.advance(Duration::from_secs(10));
    }
    let find = async |query: Query| -> Vec<u64> {
        let found = ledger.audit(query).await.unwrap();
        found.iter().map(|record| record.sequence).collect()
    };
    let text = |value: &str| Some(value.to_owned());
    let at = |seconds| Some(NOW.plus(Duration::from_secs(seconds)));
    let any = Query::default;
    let cases = [
        (any(), vec![1, 2, 3]),
        (
            Query {
                request_id: text("R2"),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                outcome: text("denied"),
                ..any()
            },
            vec![2, 3],
        ),
        (
            Query {
                reason: Some(Reason::TokenExpired),
                ..any()
            },
            vec![3],
        ),
        (
            Query {
                identity: text("a"),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                rule: text("deploy"),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                target: text("prod"),
                outcome: text("denied"),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                since: at(10),
                ..any()
            },
            vec![2, 3],
        ),
        (
            Query {
                until: at(10),
                ..any()
            },
            vec![1],
        ),
        (
            Query {
                since: at(5),
                until: at(20),
                ..any()
            },
            vec![2],
        ),
        (
            Query {
                outcome: text("denied"),
                limit: 1,
                ..any()
            },
            vec![3],
        ),
        (
            Query {
                request_id: text("R9"),
                ..any()
            },
            vec![],
        ),
    ];
    for (query, expected) in cases {
        let shown = format!("{query:?}");
        assert_eq!(find(query).await, expected, "{shown}");
    }
}

pub(crate) async fn the_chain_can_be_followed(store: Store) {
    let ledger = (store.open)();
    let mut place = 0;
    for round in 0..5u64 {
        for _ in 0..3 {
            ledger.commit(plain("{}")).await.unwrap();
        }
        let mut seen = Vec::new();
        loop {
            let query = Query {
                after_sequence: Some(place),
                limit: 2,
                ..Query::default()
            };
            let Some(last) = ledger.audit(query).await.unwrap().pop() else {
                break;
            };
            place = last.sequence;
            seen.push(place);
        }
        assert_eq!(seen, [round * 3 + 2, round * 3 + 3]);
    }
}

pub(crate) async fn leases_are_listed_until_they_expire(store: Store) {
    let ledger = (store.open)();
    let after = |seconds| NOW.plus(Duration::from_secs(seconds));
    for (id, seconds) in [("a", 60), ("b", 900), ("c", 30)] {
        let mut entry = plain("{}");
        entry.lease = Some(Lease {
            expires_at: after(seconds),
            ..lease(id)
        });
        ledger.commit(entry).await.unwrap();
    }
    let live = async |at, limit| -> Vec<String> {
        let leases = ledger.leases(at, limit).await.unwrap();
        leases.into_iter().map(|lease| lease.id).collect()
    };
    assert_eq!(live(NOW, 0).await, ["c", "b", "a"]);
    assert_eq!(live(NOW, 2).await, ["c", "b"]);
    assert_eq!(live(after(30), 0).await, ["b", "a"]);
    assert_eq!(live(after(60), 0).await, ["b"]);
    assert_eq!(live(after(900), 0).await, [""; 0]);
    let whole = ledger.leases(after(60), 0).await.unwrap();
    assert_eq!(
        whole,
        [Lease {
            expires_at: after(900),
            ..lease("b")
        }]
    );
}

pub(crate) async fn the_time_of_creation_stays(store: Store) {
    let ledger = (store.open)();
    assert_eq!(ledger.created_at(), NOW);
    drop(ledger);
    store.clock.advance(LONG);
    assert_eq!((store.open)().created_at(), NOW);
}
