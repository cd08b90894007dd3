//! Owned tasks: spawned under a name, stopped together.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks with one way to stop them all.
///
/// Cloning gives another handle to the same group. A [`child`](Tasks::child) group is stopped with
/// its parent, and may be stopped alone; the parent's [`stop`](Tasks::stop) waits for its children.
///
/// A task that panics cancels its group: a half-alive controller is worse than one that ends and is
/// started again.
#[derive(Clone)]
pub struct Tasks {
    token: CancellationToken,
    /// This group's tracker first, then those of its ancestors.
    trackers: Vec<TaskTracker>,
    panicked: Arc<AtomicBool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// A group without a parent.
    pub fn new() -> Self {
        Self {
            token: CancellationToken::new(),
            trackers: vec![TaskTracker::new()],
            panicked: Arc::new(AtomicBool::new(false)),
        }
    }

    /// A group that ends when this one does, and can end before it.
    pub fn child(&self) -> Self {
        let mut trackers = vec![TaskTracker::new()];
        trackers.extend(self.trackers.iter().cloned());
        Self { token: self.token.child_token(), trackers, panicked: Arc::clone(&self.panicked) }
    }

    /// The token that is cancelled when the group is to stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `future` until it ends or the group is stopped, whichever is first: at a stop the future
    /// is dropped at its next await point. Use [`spawn_until`](Tasks::spawn_until) for work that
    /// has something to finish.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.spawn_until(name, async move {
            token.run_until_cancelled_owned(future).await;
        })
    }

    /// Runs `future` to its own end. It must watch [`token`](Tasks::token) itself.
    pub fn spawn_until<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Ancestors wait for this task too: their trackers hold a token as long as it lives.
        let held: Vec<_> = self.trackers.iter().skip(1).map(TaskTracker::token).collect();
        let token = self.token.clone();
        let panicked = Arc::clone(&self.panicked);
        self.trackers[0].spawn(async move {
            let result = AssertUnwindSafe(future).catch_unwind().await;
            if result.is_err() {
                tracing::error!(task = name, "task panicked; stopping its group");
                panicked.store(true, Ordering::SeqCst);
                token.cancel();
            }
            drop(held);
        })
    }

    /// Whether a task of this group, of an ancestor or of any of their children panicked.
    pub fn panicked(&self) -> bool {
        self.panicked.load(Ordering::SeqCst)
    }

    /// Cancels the group and waits until every task of it, children included, has ended.
    pub async fn stop(&self) {
        self.token.cancel();
        self.trackers[0].close();
        self.trackers[0].wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_ends_pending_tasks_of_the_group_and_of_its_children() {
        let tasks = Tasks::new();
        let child = tasks.child();
        tasks.spawn("pending", std::future::pending());
        child.spawn("pending", std::future::pending());
        tasks.stop().await;
        assert!(child.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_child_stops_alone() {
        let tasks = Tasks::new();
        let child = tasks.child();
        child.spawn("pending", std::future::pending());
        child.stop().await;
        assert!(!tasks.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_panic_cancels_the_group_and_is_remembered() {
        let tasks = Tasks::new();
        let handle = tasks.spawn("broken", async { panic!("on purpose") });
        handle.await.unwrap();
        assert!(tasks.token().is_cancelled());
        assert!(tasks.panicked());
    }
}
