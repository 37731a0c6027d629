//! A store in memory for tests, shared by any number of processes, that can
//! be out of reach.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{KeyChange, KeyRecord, KeyStore, KeyStoreError, Phase};
use crate::{
    base::BoxFuture,
    model::{Target, TargetSigning, Ttl},
};

/// What another process does at a bad moment.
pub(super) type Interruption = Box<dyn FnOnce(&Memory) + Send>;

#[derive(Default)]
pub(super) struct Memory {
    pub(super) rows: Mutex<BTreeMap<(String, String), KeyRecord>>,
    pub(super) away: AtomicBool,
    /// Run once, before the next change is made: another process that is first.
    pub(super) first: Mutex<Option<Interruption>>,
}

impl Memory {
    pub(super) fn all(&self) -> Vec<KeyRecord> {
        self.rows.lock().unwrap().values().cloned().collect()
    }

    pub(super) fn kids(&self, phase: Phase) -> Vec<String> {
        let all = self.all().into_iter();
        all.filter(|k| k.phase == phase).map(|k| k.kid).collect()
    }

    /// Changes the row of that key behind everybody's back.
    pub(super) fn tamper(&self, kid: &str, change: impl FnOnce(&mut KeyRecord)) {
        let mut rows = self.rows.lock().unwrap();
        change(rows.values_mut().find(|k| k.kid == kid).unwrap());
    }

    fn reach(&self) -> Result<(), KeyStoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(KeyStoreError("out of reach".into())),
            false => Ok(()),
        }
    }

    fn save(&self, changes: &[KeyChange]) -> bool {
        let id = |k: &KeyRecord| (k.target.to_string(), k.kid.clone());
        let mut rows = self.rows.lock().unwrap();
        let holds = |c: &KeyChange| rows.get(&id(&c.record)).map(|k| k.phase) == c.was;
        if !changes.iter().all(holds) {
            return false;
        }
        for change in changes {
            rows.insert(id(&change.record), change.record.clone());
        }
        true
    }
}

impl KeyStore for Memory {
    fn load_keys(&self) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(async { self.reach().map(|()| self.all()) })
    }

    fn save_keys(&self, changes: Vec<KeyChange>) -> BoxFuture<'_, Result<bool, KeyStoreError>> {
        Box::pin(async move {
            self.reach()?;
            let first = self.first.lock().unwrap().take();
            if let Some(first) = first {
                first(self);
            }
            Ok(self.save(&changes))
        })
    }
}

/// `prod`: keys of an hour, tokens of a quarter, servers that read every minute.
pub(super) fn target() -> Target {
    Target {
        name: "prod".parse().unwrap(),
        resource: None,
        address: "temporal.test:7233".into(),
        audience: "temporal.test".into(),
        namespaces: vec!["payments".parse().unwrap()],
        max_ttl: Ttl::secs(900),
        signing: TargetSigning::Es256,
        jwks_refresh: Ttl::secs(60),
        key_lifetime: Ttl::secs(3600),
        permissions_claim: "permissions".into(),
    }
}

pub(super) fn shared(target: Target) -> Vec<Arc<Target>> {
    vec![Arc::new(target)]
}
