use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::{
    ledger::{
        Entry, Record, Switches,
        sqlite::{
            group::{Job, Order, run},
            place::Place,
            schema,
        },
    },
    model::Reason,
};

const NOW: Moment = Moment::from_secs(1_790_000_000);

fn after(seconds: u64) -> Moment {
    NOW.plus(Duration::from_secs(seconds))
}

fn store() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    let place = Place::new(std::path::Path::new("ledger.db"));
    schema::migrate(&mut connection, &place, NOW).unwrap();
    connection
}

fn put(connection: &mut Connection, at: Moment, json: &str, lease: Option<Lease>) {
    put_all(connection, at, vec![(json.to_owned(), lease)]);
}

fn put_all(connection: &mut Connection, at: Moment, records: Vec<(String, Option<Lease>)>) {
    let (orders, _waiting): (Vec<_>, Vec<_>) = records
        .into_iter()
        .map(|(json, lease)| {
            let (answer, waiting) = oneshot::channel();
            let job = Job::Commit(Entry {
                single_use: None,
                lease,
                audit: Record { json },
                fence: None,
            });
            (Order { job, answer }, waiting)
        })
        .unzip();
    let mut verdicts = Vec::new();
    run(connection, &orders, &Switches::default(), at, &mut verdicts).unwrap();
    assert!(verdicts.iter().all(Result::is_ok));
}

fn lease(id: &str, expires_at: Moment) -> Lease {
    Lease {
        id: id.into(),
        target: "prod".into(),
        subject: "s".into(),
        issuer: Some("https://issuer.test".into()),
        trust_domain: "github".into(),
        rule: "deploy".into(),
        expires_at,
    }
}

fn sequences(connection: &Connection, query: &Query) -> Vec<u64> {
    audit(connection, query)
        .unwrap()
        .iter()
        .map(|record| record.sequence)
        .collect()
}

fn ids(connection: &Connection, live_at: Moment, limit: u32) -> Vec<String> {
    leases(connection, live_at, limit)
        .unwrap()
        .into_iter()
        .map(|lease| lease.id)
        .collect()
}

#[test]
fn each_filter_selects_by_its_own_member() {
    let mut store = store();
    let first = r#"{"request_id":"R1","outcome":"granted","identity":"repo:acme/app","rule":"deploy","target":"prod"}"#;
    let second = r#"{"request_id":"R2","outcome":"denied","reason":"RULE_NO_MATCH","identity":{"trust_domain":"github","subject":"repo:acme/web"},"rule":null,"target":"test"}"#;
    // The right values under the wrong names.
    let third = r#"{"a":"R1","b":"granted","c":"RULE_NO_MATCH","d":"repo:acme/app","e":"deploy","f":"prod"}"#;
    for json in [first, second, third] {
        put(&mut store, NOW, json, None);
    }
    let text = |value: &str| Some(value.to_owned());
    let all = Query::default;
    let cases = [
        (all(), &[1, 2, 3][..]),
        (
            Query {
                request_id: text("R1"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                request_id: text("R"),
                ..all()
            },
            &[],
        ),
        (
            Query {
                outcome: text("granted"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                outcome: text("denied"),
                ..all()
            },
            &[2],
        ),
        (
            Query {
                reason: Some(Reason::RuleNoMatch),
                ..all()
            },
            &[2],
        ),
        (
            Query {
                reason: Some(Reason::TokenExpired),
                ..all()
            },
            &[],
        ),
        (
            Query {
                identity: text("repo:acme/app"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                identity: text("repo:acme/web"),
                ..all()
            },
            &[2],
        ),
        (
            Query {
                identity: text("acme"),
                ..all()
            },
            &[],
        ),
        (
            Query {
                rule: text("deploy"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                target: text("prod"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                target: text("prod"),
                outcome: text("granted"),
                ..all()
            },
            &[1],
        ),
        (
            Query {
                target: text("prod"),
                outcome: text("denied"),
                ..all()
            },
            &[],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(sequences(&store, &query), expected, "{query:?}");
    }
}

#[test]
fn a_value_matches_however_it_was_escaped() {
    let mut store = store();
    put(&mut store, NOW, r#"{"rule":"\u0064eploy"}"#, None);
    put(&mut store, NOW, r#"{"rule":"a\"b"}"#, None);
    let by = |rule: &str| Query {
        rule: Some(rule.into()),
        ..Query::default()
    };
    assert_eq!(sequences(&store, &by("deploy")), [1]);
    assert_eq!(sequences(&store, &by("a\"b")), [2]);
}

#[test]
fn time_bounds_are_from_and_before() {
    let mut store = store();
    for second in 0..5 {
        put(&mut store, after(second), "{}", None);
    }
    let between = |since, until| Query {
        since,
        until,
        ..Query::default()
    };
    let at = |second| Some(after(second));
    assert_eq!(sequences(&store, &between(at(3), None)), [4, 5]);
    assert_eq!(sequences(&store, &between(None, at(1))), [1]);
    assert_eq!(sequences(&store, &between(at(1), at(3))), [2, 3]);
    assert!(sequences(&store, &between(at(5), None)).is_empty());
}

#[test]
fn f_13_a_clock_that_was_set_back_hides_no_record() {
    let mut store = store();
    put(&mut store, after(100), "{}", None);
    put(&mut store, Moment::from_secs(0), "{}", None);
    put(&mut store, after(10), "{}", None);
    let query = Query {
        since: Some(after(50)),
        ..Query::default()
    };
    assert_eq!(sequences(&store, &query), [1]);
}

#[test]
fn the_newest_come_without_a_place_and_the_next_with_one() {
    let mut store = store();
    for _ in 0..7 {
        put(&mut store, NOW, "{}", None);
    }
    let page = |after_sequence, limit| Query {
        after_sequence,
        limit,
        ..Query::default()
    };
    assert_eq!(sequences(&store, &page(None, 3)), [5, 6, 7]);
    assert_eq!(sequences(&store, &page(Some(0), 3)), [1, 2, 3]);
    assert_eq!(sequences(&store, &page(Some(5), 3)), [6, 7]);
    assert!(sequences(&store, &page(Some(7), 3)).is_empty());
    assert!(sequences(&store, &page(Some(u64::MAX), 3)).is_empty());
    assert_eq!(sequences(&store, &page(None, 0)).len(), 7);
}

#[test]
fn records_carry_their_links() {
    let mut store = store();
    for n in 0..3 {
        put(&mut store, NOW, &format!("{{\"n\":{n}}}"), None);
    }
    let records = audit(&store, &Query::default()).unwrap();
    let mut previous = chain::GENESIS;
    for record in records {
        assert_eq!(record.previous, previous);
        let hash = chain::link(&previous, record.sequence, record.json.as_bytes());
        assert_eq!(record.hash, hash);
        previous = hash;
    }
}

#[test]
fn scans_go_on_past_a_page_and_answers_stay_bounded() {
    let mut store = store();
    let many = MAX_ANSWER as usize + 5;
    put_all(&mut store, NOW, vec![("{}".to_owned(), None); many]);
    let all = sequences(&store, &Query::default());
    assert_eq!(all.len(), MAX_ANSWER as usize);
    assert_eq!(all.last(), Some(&(many as u64)));
    let wanted = Query {
        after_sequence: Some(many as u64 - 2),
        ..Query::default()
    };
    assert_eq!(sequences(&store, &wanted).len(), 2);
    assert!(matches!(
        verify(&store).unwrap(),
        ChainState::Intact { records, .. } if records == many as u64
    ));
}

#[test]
fn damage_in_the_file_is_found_at_its_record() {
    for (sql, expected) in [
        ("UPDATE audit SET json = '{\"x\":1}' WHERE sequence = 3", 3),
        (
            "UPDATE audit SET json = CAST(x'ff' AS TEXT) WHERE sequence = 3",
            3,
        ),
        ("UPDATE audit SET hash = x'00' WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 5", 5),
        ("DELETE FROM audit WHERE sequence > 2", 3),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET sequence = 9 WHERE sequence = 5", 5),
        ("UPDATE audit SET sequence = -9 WHERE sequence = 5", 1),
        ("UPDATE head SET sequence = 4", 5),
        ("UPDATE head SET hash = zeroblob(32)", 5),
        (
            "INSERT INTO audit (sequence, at, latest, horizon, hash, json) \
             VALUES (6, 0, 0, 0, zeroblob(32), '{}')",
            6,
        ),
    ] {
        let mut store = store();
        for n in 0..5 {
            put(&mut store, NOW, &format!("{{\"n\":{n}}}"), None);
        }
        assert!(matches!(
            verify(&store).unwrap(),
            ChainState::Intact { records: 5, .. }
        ));
        store.execute(sql, ()).unwrap();
        let state = verify(&store).unwrap();
        assert!(
            matches!(&state, ChainState::Broken { sequence, .. } if *sequence == expected),
            "{sql}: {state:?}"
        );
        // What can still be read is still shown.
        audit(&store, &Query::default()).unwrap();
    }
}

#[test]
fn a_damaged_record_matches_no_filter_and_stops_no_query() {
    let mut store = store();
    put(&mut store, NOW, r#"{"rule":"deploy"}"#, None);
    put(&mut store, NOW, r#"{"rule":"deploy""#, None);
    put(&mut store, NOW, r#"["deploy"]"#, None);
    put(&mut store, NOW, r#"{"rule":"deploy"}"#, None);
    let query = Query {
        rule: Some("deploy".into()),
        ..Query::default()
    };
    assert_eq!(sequences(&store, &query), [1, 4]);
    assert_eq!(sequences(&store, &Query::default()).len(), 4);
}

#[test]
fn live_leases_are_found_behind_others_and_expired_ones_are_not() {
    let mut store = store();
    put(&mut store, NOW, "{}", Some(lease("dead", after(10))));
    put(&mut store, NOW, "{}", Some(lease("long", after(900))));
    put(&mut store, NOW, "{}", Some(lease("short", after(20))));
    put(&mut store, NOW, "{}", None);
    put(&mut store, NOW, "{}", Some(lease("new", after(30))));
    assert_eq!(ids(&store, NOW, 0), ["new", "short", "long", "dead"]);
    assert_eq!(ids(&store, after(10), 0), ["new", "short", "long"]);
    assert_eq!(ids(&store, after(30), 0), ["long"]);
    assert_eq!(ids(&store, after(900), 0), [""; 0]);
    assert_eq!(ids(&store, NOW, 2), ["new", "short"]);
    assert_eq!(
        leases(&store, after(30), 0).unwrap(),
        [lease("long", after(900))]
    );
}

#[test]
fn the_search_for_leases_ends_where_none_can_be_live() {
    let mut store = store();
    put(&mut store, NOW, "{}", Some(lease("old", after(10))));
    put(&mut store, NOW, "{}", Some(lease("live", after(900))));
    // Were the scan to go on to the first row, it would fail.
    store
        .execute("UPDATE audit SET target = NULL WHERE sequence = 1", ())
        .unwrap();
    assert_eq!(ids(&store, after(10), 0), ["live"]);
    assert!(leases(&store, NOW, 0).is_err());
}

#[test]
fn spent_uses_come_in_pages() {
    let store = store();
    for n in 0..5u8 {
        store
            .execute(
                "INSERT INTO used VALUES (?1, ?2)",
                (vec![n; 40], after(n.into()).millis()),
            )
            .unwrap();
    }
    let page = |before, from: &[u8]| spent(&store, before, from, 2).unwrap();
    assert_eq!(page(after(3), &[]), [vec![0; 40], vec![1; 40]]);
    assert_eq!(page(after(3), &[1; 40]), [vec![2; 40]]);
    assert!(page(after(3), &[2; 40]).is_empty());
    assert!(page(NOW, &[]).is_empty());
}
