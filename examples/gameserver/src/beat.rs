//! The beat: server and sidecar write the shared file again and again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::game::Game;
use crate::shared::{Shared, SharedError};

/// Writes the shared file every `pause`, for ever. An error ends it only at the first write.
pub(crate) async fn beat(path: Option<PathBuf>, pause: Duration, game: Arc<Game>) -> Result<(), SharedError> {
    let Some(path) = path else { return std::future::pending().await };
    let shared = Arc::new(Shared::open(&path)?);
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        ticks.tick().await;
        let (file, writer) = (Arc::clone(&shared), Arc::clone(&game));
        // On a thread of its own: the other process may hold the lock.
        let written = tokio::task::spawn_blocking(move || file.write(&writer.identity)).await;
        match written {
            Ok(Ok(record)) => game.note(record),
            Ok(Err(error)) if first => return Err(error),
            Ok(Err(error)) => tracing::warn!(%error, "not written"),
            Err(error) => tracing::warn!(%error, "not written"),
        }
        first = false;
    }
}
