//! The registry that simulated nodes pull from: what a tag says about its image.
//!
//! A simulated image has no content, so its tag tells what becomes of it. A tag that contains `missing` is in no registry.
//! One with `slow` takes half a minute to pull, or as long as it says: `slow-90s`. A container of one with `crash` ends as
//! soon as it starts, and one of `unready` runs and is never ready. Every other image is there at once and runs.

use std::time::Duration;

/// How long the pull of a slow image takes that does not say.
const SLOW: Duration = Duration::from_secs(30);

/// What a container does once it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It runs and is ready.
    Runs,
    /// It ends with an error at once.
    Crashes,
    /// It runs and is never ready.
    NeverReady,
}

/// Whether a registry has the image.
pub fn exists(image: &str) -> bool {
    !tag(image).contains("missing")
}

/// How long it takes to bring the image to a node that does not have it, beyond what every start takes.
pub fn pull_time(image: &str) -> Duration {
    let Some((_, rest)) = tag(image).split_once("slow") else { return Duration::ZERO };
    let number = rest.strip_prefix('-').and_then(|rest| rest.split_once('s')).map(|(number, _)| number);
    number.and_then(|number| number.parse().ok()).map_or(SLOW, Duration::from_secs)
}

/// What a container of the image does.
pub fn behaviour(image: &str) -> Behaviour {
    let tag = tag(image);
    if tag.contains("crash") {
        Behaviour::Crashes
    } else if tag.contains("unready") {
        Behaviour::NeverReady
    } else {
        Behaviour::Runs
    }
}

/// A digest reference for an image name: each name is its own content.
pub fn digest_reference(image: &str) -> String {
    let repository = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    };
    let repository = repository.split('@').next().unwrap_or(repository);
    format!("{repository}@sha256:{}", super::digest(&["image", image]))
}

/// The tag of an image; empty where there is none, as in a reference by digest.
fn tag(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') && !before.contains('@') => tag,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_what_becomes_of_its_image() {
        assert!(exists("registry.example.com:5000/missing/game") && exists("game:v1") && exists("game"));
        assert!(!exists("game:missing") && !exists("game:v2-missing"));
        assert_eq!(pull_time("slow:v1"), Duration::ZERO);
        assert_eq!(pull_time("game:slow"), SLOW);
        assert_eq!(pull_time("game:v3-slow-90s"), Duration::from_secs(90));
        assert_eq!(behaviour("game:crash-2"), Behaviour::Crashes);
        assert_eq!(behaviour("game:unready"), Behaviour::NeverReady);
        assert_eq!(behaviour("game@sha256:00crash"), Behaviour::Runs);
    }
}
