//! Kill switches and signing keys as rows.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::{
    base::clock::Moment,
    ledger::{Switch, Switches},
    model::TargetSigning,
    signing::{KeyChange, KeyRecord, Phase},
};

/// Reads all switches. In one transaction with whatever read the epoch.
pub(super) fn switches(connection: &Connection, epoch: u64) -> rusqlite::Result<Switches> {
    let mut statement = connection.prepare_cached("SELECT kind, trust_domain, name FROM switch")?;
    let on = statement
        .query_map((), |row| {
            let kind: String = row.get(0)?;
            let trust_domain: String = row.get(1)?;
            let name: String = row.get(2)?;
            Ok(match kind.as_str() {
                "issuer" => Switch::Issuer(name),
                "trust_domain" => Switch::TrustDomain(name),
                "rule" => Switch::Rule {
                    trust_domain,
                    rule: name,
                },
                "subject" => Switch::Subject(name),
                "target" => Switch::Target(name),
                _ => return Err(unreadable(0, "a kind of kill switch")),
            })
        })?
        .collect::<rusqlite::Result<BTreeSet<_>>>()?;
    Ok(Switches { epoch, on })
}

/// Sets one switch; whether that changed anything.
pub(super) fn set_switch(
    connection: &Connection,
    switch: &Switch,
    on: bool,
) -> rusqlite::Result<bool> {
    let (kind, trust_domain, name) = match switch {
        Switch::Issuer(name) => ("issuer", "", name),
        Switch::TrustDomain(name) => ("trust_domain", "", name),
        Switch::Rule { trust_domain, rule } => ("rule", trust_domain.as_str(), rule),
        Switch::Subject(name) => ("subject", "", name),
        Switch::Target(name) => ("target", "", name),
    };
    let sql = if on {
        "INSERT INTO switch (kind, trust_domain, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM switch WHERE kind = ?1 AND trust_domain = ?2 AND name = ?3"
    };
    let changed = connection
        .prepare_cached(sql)?
        .execute((kind, trust_domain, name))?;
    Ok(changed > 0)
}

/// Reads all signing keys.
pub(super) fn keys(connection: &Connection) -> rusqlite::Result<Vec<KeyRecord>> {
    connection
        .prepare_cached(
            "SELECT target, kid, signing, phase, created_at, since, public_jwk, sealed \
             FROM signing_key ORDER BY target, created_at, kid",
        )?
        .query_map((), key)?
        .collect()
}

/// Makes all of these changes, or none and answers false if the store is not
/// as one of them says.
pub(super) fn save_keys(connection: &Connection, changes: &[KeyChange]) -> rusqlite::Result<bool> {
    let mut find = connection
        .prepare_cached("SELECT phase FROM signing_key WHERE target = ?1 AND kid = ?2")?;
    for KeyChange { was, record } in changes {
        let found: Option<String> = find
            .query_row((record.target.as_str(), &record.kid), |row| row.get(0))
            .optional()?;
        if found.as_deref() != was.map(phase_name) {
            return Ok(false);
        }
    }
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO signing_key \
         (target, kid, signing, phase, created_at, since, public_jwk, sealed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for KeyChange { record, .. } in changes {
        put.execute((
            record.target.as_str(),
            &record.kid,
            record.signing.as_str(),
            phase_name(record.phase),
            record.created_at.millis(),
            record.since.millis(),
            &record.public_jwk,
            &record.sealed,
        ))?;
    }
    Ok(true)
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let target: String = row.get(0)?;
    let signing: String = row.get(2)?;
    let phase: String = row.get(3)?;
    Ok(KeyRecord {
        target: target
            .parse()
            .map_err(|_| unreadable(0, "a signing key's target"))?,
        kid: row.get(1)?,
        signing: [TargetSigning::Es256, TargetSigning::Rs256]
            .into_iter()
            .find(|known| known.as_str() == signing)
            .ok_or_else(|| unreadable(2, "a signing key's algorithm"))?,
        phase: [Phase::Next, Phase::Active, Phase::Retiring, Phase::Retired]
            .into_iter()
            .find(|known| phase_name(*known) == phase)
            .ok_or_else(|| unreadable(3, "a signing key's phase"))?,
        created_at: Moment::from_millis(row.get(4)?),
        since: Moment::from_millis(row.get(5)?),
        public_jwk: row.get(6)?,
        sealed: row.get(7)?,
    })
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Next => "next",
        Phase::Active => "active",
        Phase::Retiring => "retiring",
        Phase::Retired => "retired",
    }
}

fn unreadable(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        rusqlite::types::Type::Text,
        format!("{what} is not one that this program knows").into(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ledger::sqlite::{place::Place, schema};

    fn store() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        let place = Place::new(Path::new("ledger.db"));
        schema::migrate(&mut connection, &place, Moment::default()).unwrap();
        connection
    }

    fn record(kid: &str, phase: Phase) -> KeyRecord {
        KeyRecord {
            target: "prod".parse().unwrap(),
            kid: kid.into(),
            signing: TargetSigning::Rs256,
            phase,
            created_at: Moment::from_millis(1),
            since: Moment::from_millis(2),
            public_jwk: "{}".into(),
            sealed: vec![0, 255, 7],
        }
    }

    fn change(kid: &str, was: Option<Phase>, phase: Phase) -> KeyChange {
        KeyChange {
            was,
            record: record(kid, phase),
        }
    }

    #[test]
    fn every_kind_of_switch_reads_back() {
        let store = store();
        let all = BTreeSet::from([
            Switch::Issuer("x".into()),
            Switch::TrustDomain("x".into()),
            Switch::Rule {
                trust_domain: "x".into(),
                rule: "y".into(),
            },
            Switch::Subject("x'; --\u{0}ä".into()),
            Switch::Target("x".into()),
        ]);
        for switch in &all {
            assert!(set_switch(&store, switch, true).unwrap());
            assert!(!set_switch(&store, switch, true).unwrap());
        }
        assert_eq!(
            switches(&store, 9).unwrap(),
            Switches {
                epoch: 9,
                on: all.clone()
            }
        );
        for switch in &all {
            assert!(set_switch(&store, switch, false).unwrap());
            assert!(!set_switch(&store, switch, false).unwrap());
        }
        assert!(switches(&store, 9).unwrap().on.is_empty());
    }

    #[test]
    fn a_switch_of_an_unknown_kind_is_a_fault_and_never_skipped() {
        let store = store();
        store
            .execute("INSERT INTO switch VALUES ('planet', '', 'x')", ())
            .unwrap();
        assert!(switches(&store, 1).is_err());
    }

    #[test]
    fn keys_read_back_in_every_phase() {
        let store = store();
        for (kid, phase) in [
            ("a", Phase::Next),
            ("b", Phase::Active),
            ("c", Phase::Retiring),
            ("d", Phase::Retired),
        ] {
            assert!(save_keys(&store, &[change(kid, None, phase)]).unwrap());
            let found = keys(&store).unwrap().pop().unwrap();
            assert_eq!((found.kid.as_str(), found.phase), (kid, phase));
            assert_eq!(found.target.as_str(), "prod");
            assert_eq!(found.signing, TargetSigning::Rs256);
            assert_eq!(found.created_at, Moment::from_millis(1));
            assert_eq!(found.since, Moment::from_millis(2));
            assert_eq!(found.public_jwk, "{}");
            assert_eq!(found.sealed, [0, 255, 7]);
        }
    }

    #[test]
    fn one_change_that_does_not_fit_stops_all() {
        let store = store();
        assert!(save_keys(&store, &[change("a", None, Phase::Active)]).unwrap());
        for stale in [
            change("a", None, Phase::Retired),
            change("a", Some(Phase::Next), Phase::Retired),
            change("z", Some(Phase::Next), Phase::Active),
        ] {
            let changes = [change("b", None, Phase::Active), stale];
            assert!(!save_keys(&store, &changes).unwrap());
            assert_eq!(keys(&store).unwrap().len(), 1);
        }
        let changes = [
            change("b", None, Phase::Active),
            change("a", Some(Phase::Active), Phase::Retiring),
        ];
        assert!(save_keys(&store, &changes).unwrap());
        let phases: Vec<_> = keys(&store).unwrap().iter().map(|k| k.phase).collect();
        assert_eq!(phases, [Phase::Retiring, Phase::Active]);
    }

    #[test]
    fn an_unreadable_key_is_a_fault() {
        for column in ["target", "signing", "phase"] {
            let store = store();
            save_keys(&store, &[change("a", None, Phase::Active)]).unwrap();
            let sql = format!("UPDATE signing_key SET {column} = 'NO SUCH'");
            store.execute(&sql, ()).unwrap();
            assert!(keys(&store).is_err(), "{column}");
        }
    }
}
