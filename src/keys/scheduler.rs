//! The one task that refreshes everything.
//!
//! Scheduled attempts wait for one of a few slots, and an entry stays on the
//! agenda until it has one: a queue of hanging servers delays the routine of
//! the others, never a token that needs a key now. Attempts for tokens run
//! beside it, bounded by their number and by each entry's cool-down.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::base::{clock::Clock, file::Stamp, outbound::Outbound, random::Random};

use super::{
    Health, Limits, Spec,
    agenda::{Agenda, Id},
    entry::{Entry, Flight, FlightGuard},
    fetch, pace,
};

/// How often files are looked at.
const FILE_LOOK: Duration = Duration::from_secs(2);
/// Longest sleep of an idle scheduler.
const IDLE: Duration = Duration::from_secs(3600);

pub(super) struct Scheduler {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    outbound: Arc<dyn Outbound>,
    deadline: Duration,
    routine: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
    plan: Mutex<Plan>,
    wake: Notify,
}

/// The entries of the current plan.
#[derive(Default)]
struct Plan {
    by_spec: HashMap<Spec, Arc<Entry>>,
    by_id: HashMap<Id, Arc<Entry>>,
    agenda: Agenda,
    last_id: Id,
}

impl Scheduler {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        outbound: Arc<dyn Outbound>,
        limits: Limits,
    ) -> Self {
        Self {
            clock,
            random,
            outbound,
            deadline: limits.deadline,
            routine: Arc::new(Semaphore::new(limits.routine)),
            urgent: Arc::new(Semaphore::new(limits.urgent)),
            plan: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    pub(super) fn health(&self, entry: &Entry) -> Health {
        let uptime = self.uptime();
        let due = self.plan().agenda.due(entry.id);
        let next = due.map(|due| due.saturating_sub(uptime));
        entry.health(self.clock.now(), uptime, next)
    }

    /// Makes `specs` the plan. Returns the entry of each, in order.
    pub(super) fn adopt<'s>(&self, specs: impl Iterator<Item = &'s Spec>) -> Vec<Arc<Entry>> {
        let uptime = self.uptime();
        let mut guard = self.plan();
        let plan = &mut *guard;
        let mut next: HashMap<Spec, Arc<Entry>> = HashMap::new();
        let mut fresh = Vec::new();
        let mut entries = Vec::new();
        for spec in specs {
            let known = next.get(spec).or_else(|| plan.by_spec.get(spec)).cloned();
            let entry = known.unwrap_or_else(|| {
                plan.last_id += 1;
                let old = plan.by_spec.values().find(|e| e.spec.same_keys(spec));
                let entry = Arc::new(match old {
                    Some(old) => Entry::continuing(plan.last_id, spec.clone(), old),
                    None => Entry::cold(plan.last_id, spec.clone()),
                });
                fresh.push(Arc::clone(&entry));
                entry
            });
            next.insert(spec.clone(), Arc::clone(&entry));
            entries.push(entry);
        }
        for (spec, old) in &plan.by_spec {
            if !next.contains_key(spec) {
                plan.agenda.remove(old.id);
            }
        }
        for entry in &fresh {
            plan.agenda.set(entry.id, uptime);
        }
        plan.by_id = next.values().map(|e| (e.id, Arc::clone(e))).collect();
        plan.by_spec = next;
        drop(guard);
        for entry in fresh {
            self.read_at_once(&entry);
        }
        self.wake.notify_one();
        entries
    }

    /// Runs until dropped.
    pub(super) async fn run(self: Arc<Self>) {
        tokio::join!(self.run_agenda(), self.run_files());
    }

    /// Attempts everything that is cold or due, once, and waits.
    pub(super) async fn refresh_due(self: &Arc<Self>) {
        self.look_at_files().await;
        let mut flights = JoinSet::new();
        for entry in self.cold_or_due() {
            let scheduler = Arc::clone(self);
            match entry.begin() {
                Flight::Ours(guard) => flights.spawn(async move {
                    // The semaphore is never closed.
                    if let Ok(slot) = Arc::clone(&scheduler.routine).acquire_owned().await {
                        scheduler.fly(guard, slot).await;
                    }
                }),
                Flight::Theirs(mut ended) => {
                    flights.spawn(async move { while ended.changed().await.is_ok() {} })
                }
            };
        }
        while flights.join_next().await.is_some() {}
    }

    /// Makes an attempt that a token caused, in the background: it goes on if
    /// the request that caused it is gone.
    pub(super) fn fly_for_token(self: &Arc<Self>, guard: FlightGuard) {
        // With every slot taken, dropping the guard answers all who wait.
        if let Ok(slot) = Arc::clone(&self.urgent).try_acquire_owned() {
            tokio::spawn(Arc::clone(self).fly(guard, slot));
        }
    }

    async fn run_agenda(self: &Arc<Self>) {
        let mut flights = JoinSet::new();
        loop {
            while let Ok(slot) = Arc::clone(&self.routine).try_acquire_owned()
                && let Some(guard) = self.take_due()
            {
                flights.spawn(Arc::clone(self).fly(guard, slot));
            }
            let has_slot = self.routine.available_permits() > 0;
            tokio::select! {
                () = sleep(self.until_next()), if has_slot => {}
                () = self.wake.notified() => {}
                Some(_) = flights.join_next(), if !flights.is_empty() => {}
            }
        }
    }

    async fn run_files(&self) {
        let mut ticks = interval(FILE_LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_at_files().await;
        }
    }

    /// One attempt, from the fetch to the agenda.
    async fn fly(self: Arc<Self>, guard: FlightGuard, slot: OwnedSemaphorePermit) {
        let entry = &guard.entry;
        entry.stamp_file();
        let (outbound, clock) = (&*self.outbound, &*self.clock);
        let result = fetch::attempt(&entry.spec, outbound, clock, self.deadline).await;
        self.settle(entry, result);
        drop(slot);
        self.wake.notify_one();
    }

    /// A file costs no waiting, so its keys are there as soon as the plan is.
    fn read_at_once(&self, entry: &Arc<Entry>) {
        if let Some((path, _)) = entry.file()
            && let Flight::Ours(_guard) = entry.begin()
        {
            entry.stamp_file();
            self.settle(entry, fetch::read_file(&entry.spec, path));
        }
    }

    fn settle(&self, entry: &Entry, result: Result<super::document::Document, super::KeyFault>) {
        let uptime = self.uptime();
        let wait = entry.settle(result, self.clock.now(), uptime);
        let due = uptime.saturating_add(pace::jittered(wait, &*self.random));
        self.plan().agenda.move_to(entry.id, due);
    }

    /// The right to attempt the entry that is due the longest.
    fn take_due(&self) -> Option<FlightGuard> {
        let uptime = self.uptime();
        let mut plan = self.plan();
        loop {
            let (due, id) = plan.agenda.first()?;
            if due > uptime {
                return None;
            }
            let Some(entry) = plan.by_id.get(&id).cloned() else {
                plan.agenda.remove(id);
                continue;
            };
            // It stays on the agenda, so that an attempt that dies without a
            // result is made again.
            let again = uptime.saturating_add(entry.spec.refresh.duration());
            plan.agenda.set(id, again);
            if let Flight::Ours(guard) = entry.begin() {
                return Some(guard);
            }
        }
    }

    fn cold_or_due(&self) -> Vec<Arc<Entry>> {
        let uptime = self.uptime();
        let plan = self.plan();
        let is_due = |e: &Entry| plan.agenda.due(e.id).is_some_and(|due| due <= uptime);
        plan.by_id
            .values()
            .filter(|e| e.is_cold() || is_due(e))
            .cloned()
            .collect()
    }

    fn until_next(&self) -> Duration {
        let first = self.plan().agenda.first();
        first.map_or(IDLE, |(due, _)| due.saturating_sub(self.uptime()))
    }

    /// Makes due what comes from a file that looks different than it did.
    async fn look_at_files(&self) {
        let entries: Vec<_> = {
            let plan = self.plan();
            plan.by_id
                .values()
                .filter(|e| e.file().is_some())
                .cloned()
                .collect()
        };
        if entries.is_empty() {
            return;
        }
        // A file may stand on a volume that hangs.
        let look = move || -> Vec<Id> {
            entries
                .iter()
                .filter(|e| e.file().is_some_and(|(path, was)| Stamp::of(path) != was))
                .map(|e| e.id)
                .collect()
        };
        let changed = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        if !changed.is_empty() {
            let uptime = self.uptime();
            let mut plan = self.plan();
            for id in changed {
                plan.agenda.move_to(id, uptime);
            }
            drop(plan);
            self.wake.notify_one();
        }
    }

    /// Nothing that panics runs while this is held.
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
