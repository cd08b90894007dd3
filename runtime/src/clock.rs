//! Wall time for stamps and ages.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A source of wall time.
///
/// A [`simulated`](Clock::simulated) clock starts at a given time and moves with tokio's clock, so
/// that under `tokio::time::pause` a scenario of an hour has stamps an hour apart.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Simulated { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start` now and moves with tokio's clock.
    pub fn simulated(start: Timestamp) -> Self {
        Self(Kind::Simulated { start, origin: Instant::now() })
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Kind::System => Timestamp::now(),
            Kind::Simulated { start, origin } => {
                let elapsed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_tokio() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::simulated(start);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
    }
}
