//! Keyed work: each key is worked on by one worker at a time, however often it was added.
//!
//! The rules are those of client-go's work queue: a key that is added while it waits is one piece of
//! work; a key that is added while it is worked on is worked on once more afterwards. The queue is
//! bounded by the number of distinct keys, that is, of objects in the cache that feeds it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::Tasks;

/// The first pause after a failure; it doubles with each further one.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest pause after failures.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What a worker says when it is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing more until the key is added again.
    Done,
    /// Look again after this time, or earlier if the key is added.
    After(Duration),
    /// It failed: look again after a pause that grows with each failure in a row.
    Retry,
}

/// A queue of keys. Cloning gives another handle to the same queue.
pub struct WorkQueue<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// The keys in `ready`.
    waiting: HashSet<K>,
    active: HashSet<K>,
    /// Keys that were added while active.
    again: HashSet<K>,
    /// The time at which a key is due; entries of `timers` that disagree with it are obsolete.
    due: HashMap<K, Instant>,
    timers: BinaryHeap<Reverse<Timer<K>>>,
    failures: HashMap<K, u32>,
    sequence: u64,
}

struct Timer<K> {
    at: Instant,
    sequence: u64,
    key: K,
}

// === impl WorkQueue ===

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Clone + Eq + Hash> Default for WorkQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            active: HashSet::new(),
            again: HashSet::new(),
            due: HashMap::new(),
            timers: BinaryHeap::new(),
            failures: HashMap::new(),
            sequence: 0,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Adds a key; it is worked on as soon as a worker is free.
    pub fn add(&self, key: K) {
        self.inner.state.lock().add(key);
        self.inner.changed.notify_one();
    }

    /// Adds a key after a pause. The earliest time given for a key wins.
    pub fn add_after(&self, key: K, pause: Duration) {
        self.inner.state.lock().add_at(key, Instant::now() + pause);
        self.inner.changed.notify_one();
    }

    /// How many keys wait now, those with a pause not counted.
    pub fn len(&self) -> usize {
        self.inner.state.lock().ready.len()
    }

    /// Whether no key waits now, those with a pause not counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for a key. It stays active until [`finish`](WorkQueue::finish).
    pub async fn next(&self) -> K {
        loop {
            let changed = self.inner.changed.notified();
            let due = {
                let mut state = self.inner.state.lock();
                state.release_due(Instant::now());
                if let Some(key) = state.take() {
                    // Another worker may be asleep while there is more to do.
                    if !state.ready.is_empty() {
                        self.inner.changed.notify_one();
                    }
                    return key;
                }
                state.timers.peek().map(|Reverse(timer)| timer.at)
            };
            match due {
                None => changed.await,
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// Says that a key from [`next`](WorkQueue::next) was worked on, and when it is due again.
    pub fn finish(&self, key: K, next: Next) {
        {
            let mut state = self.inner.state.lock();
            state.active.remove(&key);
            if state.again.remove(&key) {
                state.add(key.clone());
            }
            match next {
                Next::Done => {
                    state.failures.remove(&key);
                }
                Next::After(pause) => {
                    state.failures.remove(&key);
                    state.add_at(key, Instant::now() + pause);
                }
                Next::Retry => {
                    let count = state.failures.entry(key.clone()).or_default();
                    let pause = backoff(*count);
                    *count = count.saturating_add(1);
                    state.add_at(key, Instant::now() + pause);
                }
            }
        }
        self.inner.changed.notify_one();
    }
}

impl<K: Clone + Eq + Hash + Send + 'static> WorkQueue<K> {
    /// Starts working: `work` is called for each key, for at most `workers` keys at once.
    pub fn run<W, F>(&self, tasks: &Tasks, name: &'static str, workers: usize, work: W)
    where
        W: Fn(K) -> F + Send + Sync + 'static,
        F: Future<Output = Next> + Send + 'static,
    {
        let queue = self.clone();
        let group = tasks.clone();
        tasks.spawn(name, async move {
            let slots = Arc::new(Semaphore::new(workers));
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                let key = queue.next().await;
                let future = work(key.clone());
                let queue = queue.clone();
                group.spawn(name, async move {
                    let next = future.await;
                    queue.finish(key, next);
                    drop(slot);
                });
            }
        });
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K) {
        self.due.remove(&key);
        if self.active.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if self.waiting.contains(&key) || self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        self.sequence += 1;
        self.timers.push(Reverse(Timer { at, sequence: self.sequence, key }));
    }

    fn release_due(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
            if let Some(Reverse(timer)) = self.timers.pop()
                && self.due.get(&timer.key) == Some(&timer.at)
            {
                self.add(timer.key);
            }
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.active.insert(key.clone());
        Some(key)
    }
}

impl<K> PartialEq for Timer<K> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && self.sequence == other.sequence
    }
}

impl<K> Eq for Timer<K> {}

impl<K> PartialOrd for Timer<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Timer<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// The pause after `failures` earlier failures in a row.
fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.min(16)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_is_one_piece_of_work() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.finish("a", Next::Done);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_active_comes_once_more_and_never_twice_at_once() {
        let queue = WorkQueue::new();
        queue.add("a");
        let key = queue.next().await;
        queue.add("a");
        queue.add("a");
        assert!(queue.is_empty());
        queue.finish(key, Next::Done);
        assert_eq!(queue.next().await, "a");
        queue.finish("a", Next::Done);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_of_a_key_wins() {
        let queue = WorkQueue::new();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(9));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(5));
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        queue.finish("a", Next::Done);
        let more = tokio::time::timeout(Duration::from_mins(1), queue.next()).await;
        assert!(more.is_err(), "obsolete timers must not fire");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_success_resets() {
        let queue = WorkQueue::new();
        queue.add("a");
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let before = Instant::now();
            let key = queue.next().await;
            pauses.push(before.elapsed());
            queue.finish(key, Next::Retry);
        }
        assert_eq!(pauses[1], BACKOFF_MIN);
        assert_eq!(pauses[2], BACKOFF_MIN * 2);
        assert_eq!(pauses[11], BACKOFF_MAX);
        let key = queue.next().await;
        queue.finish(key, Next::Done);
        queue.add("a");
        let key = queue.next().await;
        queue.finish(key, Next::Retry);
        let before = Instant::now();
        queue.next().await;
        assert_eq!(before.elapsed(), BACKOFF_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_given_number_of_workers_run() {
        let tasks = Tasks::new();
        let queue = WorkQueue::new();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let done = Arc::new(AtomicUsize::new(0));
        let (r, m, d) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&done));
        queue.run(&tasks, "work", 3, move |_key: u32| {
            let (r, m, d) = (Arc::clone(&r), Arc::clone(&m), Arc::clone(&d));
            async move {
                let now = r.fetch_add(1, Ordering::SeqCst) + 1;
                m.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                r.fetch_sub(1, Ordering::SeqCst);
                d.fetch_add(1, Ordering::SeqCst);
                Next::Done
            }
        });
        for key in 0..10 {
            queue.add(key);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(done.load(Ordering::SeqCst), 10);
        assert_eq!(most.load(Ordering::SeqCst), 3);
        tasks.stop().await;
    }
}
