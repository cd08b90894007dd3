//! What the parts of one process share: who it is, its counters, whether it drains.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::shared::Record;
use crate::state::State;

/// One process.
#[derive(Debug)]
pub(crate) struct Game {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Connections that are open.
    open: AtomicU64,
    counters: Mutex<State>,
    draining: AtomicBool,
    /// What the shared file held when it was last written.
    shared: Mutex<Option<Record>>,
}

impl Game {
    pub(crate) fn new(identity: Identity, state: State) -> Self {
        Self {
            identity,
            open: AtomicU64::new(0),
            counters: Mutex::new(state),
            draining: AtomicBool::new(false),
            shared: Mutex::new(None),
        }
    }

    /// A player arrives: the number of the connection; none where new ones are turned away.
    pub(crate) fn enter(&self) -> Option<u64> {
        if self.draining.load(Ordering::SeqCst) {
            return None;
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        let mut counters = self.counters.lock();
        counters.connections += 1;
        Some(counters.connections)
    }

    /// A player is gone.
    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Bytes were echoed.
    pub(crate) fn echoed(&self, bytes: usize) {
        self.counters.lock().bytes += bytes as u64;
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// `/reload`: how often that was asked for.
    pub(crate) fn reload(&self) -> u64 {
        let mut counters = self.counters.lock();
        counters.reloads += 1;
        counters.reloads
    }

    /// From now on (or not any longer) new players are turned away.
    pub(crate) fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::SeqCst);
    }

    /// What is kept over a restart.
    pub(crate) fn state(&self) -> State {
        self.counters.lock().clone()
    }

    /// Takes note of what the shared file holds.
    pub(crate) fn note(&self, record: Record) {
        *self.shared.lock() = Some(record);
    }

    /// `/status`.
    pub(crate) fn status(&self) -> Value {
        json!({
            "name": std::env::var("HOSTNAME").unwrap_or_default(),
            "identity": self.identity,
            "open": self.open(),
            "draining": self.draining.load(Ordering::SeqCst),
            "counters": self.state(),
            "shared": *self.shared.lock(),
        })
    }
}
