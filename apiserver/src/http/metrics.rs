//! Counters of requests.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use parking_lot::Mutex;

/// How many different user agents are told apart; later ones count as `other`.
const USER_AGENTS: usize = 64;

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestLabels {
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'static str,
    /// Plural name of the resource; empty for requests that concern none.
    pub resource: Arc<str>,
    /// Sub-resource: `status`, `scale`; empty for none.
    pub subresource: Arc<str>,
    /// First word of the User-Agent header: `muster-agent/0.1.0`.
    pub user_agent: Arc<str>,
    /// HTTP status code.
    pub code: u16,
}

/// Request counters of one API server. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Arc<Mutex<BTreeMap<RequestLabels, u64>>>,
    user_agents: Arc<Mutex<BTreeMap<String, Arc<str>>>>,
}

impl Metrics {
    /// Every counter.
    pub fn requests(&self) -> BTreeMap<RequestLabels, u64> {
        self.requests.lock().clone()
    }

    /// The sum of the counters that `select` picks.
    pub fn count(&self, select: impl Fn(&RequestLabels) -> bool) -> u64 {
        self.requests.lock().iter().filter(|(labels, _)| select(labels)).map(|(_, count)| count).sum()
    }

    /// Counts of requests that write, by user agent prefix (`muster-agent`).
    pub fn writes_by(&self, user_agent: &str) -> u64 {
        self.count(|labels| {
            labels.user_agent.starts_with(user_agent) && !matches!(labels.verb, "get" | "list" | "watch" | "")
        })
    }

    /// The counters in the Prometheus text format.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# HELP muster_apiserver_requests_total Requests answered.\n# TYPE muster_apiserver_requests_total counter\n",
        );
        for (labels, count) in self.requests.lock().iter() {
            let RequestLabels { verb, resource, subresource, user_agent, code } = labels;
            let user_agent = user_agent.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(
                text,
                "muster_apiserver_requests_total{{verb=\"{verb}\",resource=\"{resource}\",\
                 subresource=\"{subresource}\",user_agent=\"{user_agent}\",code=\"{code}\"}} {count}"
            );
        }
        text
    }

    pub(crate) fn record(&self, labels: RequestLabels) {
        *self.requests.lock().entry(labels).or_default() += 1;
    }

    /// The label value of a User-Agent header.
    pub(crate) fn user_agent(&self, header: Option<&str>) -> Arc<str> {
        let first = header.and_then(|header| header.split_whitespace().next()).unwrap_or("unknown");
        let mut known = self.user_agents.lock();
        if let Some(label) = known.get(first) {
            return label.clone();
        }
        if known.len() >= USER_AGENTS {
            return "other".into();
        }
        let label: Arc<str> = first.into();
        known.insert(first.to_owned(), label.clone());
        label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_are_bounded() {
        let metrics = Metrics::default();
        assert_eq!(&*metrics.user_agent(Some("kubectl/v1.32.4 (linux/amd64)")), "kubectl/v1.32.4");
        for at in 0..USER_AGENTS {
            metrics.user_agent(Some(&format!("agent-{at}")));
        }
        assert_eq!(&*metrics.user_agent(Some("one-more")), "other");
        assert_eq!(&*metrics.user_agent(Some("kubectl/v1.32.4")), "kubectl/v1.32.4");
    }

    #[test]
    fn counters_are_written_as_text() {
        let metrics = Metrics::default();
        let labels = RequestLabels {
            verb: "create",
            resource: "pods".into(),
            subresource: "".into(),
            user_agent: metrics.user_agent(Some("muster-agent/0.1.0")),
            code: 201,
        };
        metrics.record(labels.clone());
        metrics.record(labels);
        assert_eq!(metrics.writes_by("muster-agent"), 2);
        let line = "muster_apiserver_requests_total{verb=\"create\",resource=\"pods\",subresource=\"\",\
                    user_agent=\"muster-agent/0.1.0\",code=\"201\"} 2";
        assert!(metrics.to_text().contains(line), "{}", metrics.to_text());
    }
}
