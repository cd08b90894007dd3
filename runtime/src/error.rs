//! Errors as people read them: with their causes, and once for as long as they last.

use std::collections::VecDeque;

use kube::runtime::watcher;

/// An error and its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// An error of an API server or of the way to it. What the server said stands alone: the library would print its
/// whole answer around it.
pub fn api(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        // "ServiceError" says nothing.
        kube::Error::Service(cause) => chain(&**cause),
        other => chain(other),
    }
}

/// Why a watch is interrupted.
pub fn watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause) => format!("cannot list: {}", api(cause)),
        watcher::Error::WatchStartFailed(cause) => format!("cannot watch: {}", api(cause)),
        watcher::Error::WatchFailed(cause) => format!("the watch broke: {}", api(cause)),
        watcher::Error::WatchError(status) => {
            format!("the watch ended: {} ({})", status.message, status.code)
        }
        other @ watcher::Error::NoResourceVersion => chain(other),
    }
}

/// What was said last about one thing: a cause that lasts is said once, not at each attempt.
#[derive(Debug, Default)]
pub struct Said(Option<String>);

// === impl Said ===

impl Said {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `text` is not what was said last; it is from now on.
    pub fn is_news(&mut self, text: &str) -> bool {
        if self.0.as_deref() == Some(text) {
            return false;
        }
        self.0 = Some(text.to_owned());
        true
    }

    /// The cause is over. Returns whether there was one.
    pub fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Of how many things it is remembered what was said of them.
const REMEMBERED: usize = 256;

/// The same of many things, such as clients; those spoken of longest ago are forgotten first.
#[derive(Debug)]
pub struct SaidOf<K>(VecDeque<(K, String)>);

// === impl SaidOf ===

impl<K: PartialEq> SaidOf<K> {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Whether `text` is not what was said last of `about`; it is from now on.
    pub fn is_news(&mut self, about: K, text: &str) -> bool {
        if self.0.iter().any(|(other, said)| *other == about && said == text) {
            return false;
        }
        self.is_over(&about);
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((about, text.to_owned()));
        true
    }

    /// What was said of it is over.
    pub fn is_over(&mut self, about: &K) {
        self.0.retain(|(other, _)| other != about);
    }
}

impl<K: PartialEq> Default for SaidOf<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_their_error_and_are_said_once() {
        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
        assert_eq!(chain(&Outer(std::io::Error::other("out"))), "outer", "it is part of what was said");
    }

    #[test]
    fn a_cause_is_news_once_and_again_after_it_was_over() {
        let mut said = Said::new();
        assert!(!said.is_over());
        assert!(said.is_news("refused"));
        assert!(!said.is_news("refused"));
        assert!(said.is_news("no route"));
        assert!(said.is_over());
        assert!(said.is_news("no route"));
    }

    #[test]
    fn of_many_things_each_cause_is_news_once_and_few_are_remembered() {
        let mut said = SaidOf::new();
        assert!(said.is_news(1, "expired"));
        assert!(!said.is_news(1, "expired"));
        assert!(said.is_news(1, "unknown issuer"));
        for other in 2..1000 {
            said.is_news(other, "expired");
        }
        assert_eq!(said.0.len(), REMEMBERED);
        assert!(said.is_news(1, "unknown issuer"));
    }
}
