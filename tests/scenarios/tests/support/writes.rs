//! Counting what Muster writes to a cluster.

use std::collections::BTreeMap;
use std::fmt;

/// How often Muster wrote to one cluster's API, by what was written; refused writes count too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes(pub(crate) BTreeMap<Write, u64>);

/// One sort of write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) user_agent: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
}

/// Whether a user agent is one of Muster's.
pub(crate) fn ours(user_agent: &str) -> bool {
    ["muster-hub/", "muster-agent/"].iter().any(|one| user_agent.starts_with(one))
}

/// Whether a verb of the Kubernetes API changes something.
pub(crate) fn is_write(verb: &str) -> bool {
    !matches!(verb, "get" | "list" | "watch" | "")
}

// === impl Writes ===

impl Writes {
    /// What was written after `earlier` was taken.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let more = self.0.iter().filter_map(|(write, count)| {
            let more = count.saturating_sub(earlier.0.get(write).copied().unwrap_or_default());
            (more > 0).then(|| (write.clone(), more))
        });
        Self(more.collect())
    }

    /// How many there are with this verb on this resource, its status apart.
    pub(crate) fn of(&self, verb: &str, resource: &str) -> u64 {
        let chosen = self.0.iter().filter(|(write, _)| {
            write.verb == verb && write.resource == resource && write.subresource.is_empty()
        });
        chosen.map(|(_, count)| count).sum()
    }

    /// These without one resource.
    pub(crate) fn except(&self, resource: &str) -> Self {
        let others = self.0.iter().filter(|(write, _)| write.resource != resource);
        Self(others.map(|(write, count)| (write.clone(), *count)).collect())
    }

    /// Fails if there is any.
    #[track_caller]
    pub(crate) fn assert_none(&self, when: &str) {
        assert!(self.0.is_empty(), "{when}, Muster wrote:\n{self}");
    }
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (Write { user_agent, verb, resource, subresource }, count) in &self.0 {
            writeln!(f, "  {count} x {user_agent} {verb} {resource} {subresource}")?;
        }
        Ok(())
    }
}
