//! Following one kind of the view: complete lists of one version, then changes.
//!
//! kube's own watcher does not tell the version of a list, which pruning needs, nor when the
//! connection is lost, which everything needs. The protocol is the usual one: list in pages, watch
//! from the list's version, list again on 410.

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use muster_runtime::error::{Said, chain};
use tokio::time::Instant;

/// Objects per page of a list.
const PAGE: u32 = 500;

/// How long one page, or the head of a watch, may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long the hub is asked to keep a watch open.
const WATCH_SECONDS: u32 = 290;

/// How long a watch may be silent: the hub ends it before.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// The first pause after a failure; it doubles with each further one.
pub const PAUSE_MIN: Duration = Duration::from_millis(200);

/// The longest pause after failures.
pub const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a watch must have lasted for its end to be no failure.
const HEALTHY: Duration = Duration::from_secs(5);

/// What was heard.
#[derive(Debug)]
pub enum Update {
    /// A complete list of one version. Changes are heard from here on.
    Listed {
        /// Every object.
        objects: Vec<DynamicObject>,
        /// The version.
        version: u64,
    },
    /// An object was added or changed.
    Changed(DynamicObject),
    /// An object is no longer in the view. This is its last state.
    Deleted(DynamicObject),
    /// Changes are heard again, and none was missed.
    Connected,
    /// Changes are not heard any more.
    Lost,
}

/// Why following stopped for a moment.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("no answer within {} s", ANSWER_DEADLINE.as_secs())]
    NoAnswer,
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the version is no longer known")]
    Expired,
    #[error("the list's version {0:?} is not a number")]
    Version(String),
    #[error("the hub answered {}: {}", .0.code, .0.message)]
    Refused(Box<Status>),
    #[error(transparent)]
    Client(Box<kube::Error>),
}

/// Follows `api` for ever. `on` is called with each update, in order; it must not block.
pub async fn follow(api: Api<DynamicObject>, name: &str, mut on: impl FnMut(Update)) {
    let mut version: Option<u64> = None;
    let mut pauses = Pauses::new(name);
    let mut said = Said::new();
    loop {
        let started = Instant::now();
        let result = run(&api, &mut version, &mut on).await;
        let long = started.elapsed() >= HEALTHY;
        if long {
            pauses.reset();
            said.is_over();
        }
        match result {
            // The hub ends each watch in time; the next one goes on where it ended.
            Ok(()) if long => continue,
            Ok(()) => {}
            Err(FollowError::Expired) => {
                tracing::debug!(view = name, "version expired; listing again");
                version = None;
                on(Update::Lost);
                if long {
                    continue;
                }
            }
            Err(error) => {
                let text = chain(&error);
                // A hub that cannot be reached, or lets nothing through, is spoken of once, by the heartbeat.
                match &error {
                    FollowError::Client(_) => tracing::debug!(view = name, error = text, "view interrupted"),
                    FollowError::Refused(status) if matches!(status.code, 401 | 403) => {
                        tracing::debug!(view = name, error = text, "view refused");
                    }
                    _ if said.is_news(&text) => tracing::warn!(view = name, error = text, "view interrupted"),
                    _ => {}
                }
                on(Update::Lost);
            }
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Lists unless there is a version to go on from, then watches until the watch ends.
async fn run(
    api: &Api<DynamicObject>,
    version: &mut Option<u64>,
    on: &mut impl FnMut(Update),
) -> Result<(), FollowError> {
    let known = version.is_some();
    let from = if let Some(version) = *version {
        version
    } else {
        let (objects, listed) = list(api).await?;
        *version = Some(listed);
        on(Update::Listed { objects, version: listed });
        listed
    };
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    let text = from.to_string();
    let stream = answer(api.watch(&params, &text)).await?;
    if known {
        on(Update::Connected);
    }
    watch(stream, version, on).await
}

async fn list(api: &Api<DynamicObject>) -> Result<(Vec<DynamicObject>, u64), FollowError> {
    let mut objects = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut params = ListParams::default().limit(PAGE);
        params.continue_token = token.take();
        let page = answer(api.list(&params)).await?;
        let types = kube::api::TypeMeta {
            api_version: page.types.api_version.clone(),
            // Items of a list may leave out what the list says once.
            kind: page.types.kind.strip_suffix("List").unwrap_or(&page.types.kind).to_owned(),
        };
        objects.extend(page.items.into_iter().map(|mut object| {
            object.types.get_or_insert_with(|| types.clone());
            object
        }));
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            let text = page.metadata.resource_version.unwrap_or_default();
            let version = text.parse().map_err(|_| FollowError::Version(text))?;
            return Ok((objects, version));
        }
    }
}

async fn watch(
    stream: impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>>,
    version: &mut Option<u64>,
    on: &mut impl FnMut(Update),
) -> Result<(), FollowError> {
    let mut stream = std::pin::pin!(stream);
    loop {
        let event = match tokio::time::timeout(SILENCE, stream.next()).await {
            Err(_) => return Err(FollowError::Silent),
            Ok(None) => return Ok(()),
            Ok(Some(event)) => event.map_err(failed)?,
        };
        let seen = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let seen = object.metadata.resource_version.clone();
                on(Update::Changed(object));
                seen
            }
            WatchEvent::Deleted(object) => {
                let seen = object.metadata.resource_version.clone();
                on(Update::Deleted(object));
                seen
            }
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(refused(status)),
        };
        if let Some(seen) = seen.and_then(|text| text.parse().ok()) {
            *version = Some(seen);
        }
    }
}

async fn answer<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, FollowError> {
    match tokio::time::timeout(ANSWER_DEADLINE, request).await {
        Err(_) => Err(FollowError::NoAnswer),
        Ok(result) => result.map_err(failed),
    }
}

fn failed(error: kube::Error) -> FollowError {
    match error {
        kube::Error::Api(status) => refused(status),
        other => FollowError::Client(Box::new(other)),
    }
}

fn refused(status: Box<Status>) -> FollowError {
    if status.code == 410 { FollowError::Expired } else { FollowError::Refused(status) }
}

/// Growing pauses, spread so that a thousand agents do not come back at once.
struct Pauses {
    failures: u32,
    seed: u64,
}

impl Pauses {
    fn new(name: &str) -> Self {
        // FNV-1a: any spread that is the same in each run will do.
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { failures: 0, seed }
    }

    fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half of the full pause and all of it.
    fn next(&mut self) -> Duration {
        let full = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = u32::try_from(self.seed >> 54).unwrap_or_default();
        full / 2 + full / 2048 * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_spread_within_bounds() {
        let mut a = Pauses::new("cluster-a");
        let mut b = Pauses::new("cluster-b");
        let first: Vec<Duration> = (0..12).map(|_| a.next()).collect();
        let second: Vec<Duration> = (0..12).map(|_| b.next()).collect();
        assert_ne!(first, second);
        assert!(first[0] >= PAUSE_MIN / 2 && first[0] <= PAUSE_MIN);
        assert!(first[11] >= PAUSE_MAX / 2 && first[11] <= PAUSE_MAX);
        a.reset();
        assert!(a.next() <= PAUSE_MIN);
    }
}
