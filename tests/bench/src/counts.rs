//! What was asked of an API server, as it counted itself, and what a process counts of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::Value;

use crate::bars::BenchError;

/// Verbs that write.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Who counts the requests of the controller.
pub(crate) enum Counter {
    /// The embedded API server, in its metrics.
    Metrics(Client),
    /// A real one, in its audit log.
    Audit(PathBuf),
}

/// Writes by verb and resource, without events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes(BTreeMap<String, u64>);

impl Counter {
    /// The writes of the user agent so far.
    pub(crate) async fn writes(&self, agent: &str) -> Result<Writes, BenchError> {
        match self {
            Self::Metrics(client) => {
                let lines = metrics(client).await?;
                let mut writes = Writes::default();
                for (labels, value) in lines.of("muster_apiserver_requests_total") {
                    let label = |name: &str| labels.get(name).map_or("", String::as_str);
                    if label("user_agent") == agent {
                        writes.add(label("verb"), label("resource"), label("subresource"), value as u64);
                    }
                }
                Ok(writes)
            }
            Self::Audit(log) => audited(log, agent),
        }
    }
}

impl Writes {
    fn add(&mut self, verb: &str, resource: &str, subresource: &str, count: u64) {
        if WRITES.contains(&verb) && resource != "events" {
            let what = [resource, subresource].join("/");
            *self.0.entry(format!("{verb} {}", what.trim_end_matches('/'))).or_default() += count;
        }
    }

    /// Those of these and not of others.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let more = self.0.iter().map(|(what, count)| (what.clone(), count - before.of(what)));
        Self(more.filter(|(_, count)| *count > 0).collect())
    }

    /// How many of one kind, as in `patch pods`.
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// How many patches of pods, their sub-resources included.
    pub(crate) fn patches_of_pods(&self) -> u64 {
        let pods = |what: &str| {
            what.strip_prefix("patch ").is_some_and(|what| what.split('/').next() == Some("pods"))
        };
        self.0.iter().filter(|(what, _)| pods(what)).map(|(_, count)| count).sum()
    }

    /// Those that are not of this resource.
    pub(crate) fn without(&self, resource: &str) -> Self {
        let others = self.0.iter().filter(|(what, _)| what.split(' ').nth(1) != Some(resource));
        Self(others.map(|(what, count)| (what.clone(), *count)).collect())
    }

    /// How many.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::fmt::Display for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<String> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(if texts.is_empty() { "no write" } else { "" })?;
        f.write_str(&texts.join(", "))
    }
}

/// Metrics in the text format of Prometheus.
pub(crate) struct Metrics(String);

/// What `/metrics` says.
pub(crate) async fn metrics(client: &Client) -> Result<Metrics, BenchError> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    Ok(Metrics(client.request_text(request).await?))
}

impl Metrics {
    /// Labels and value of each series of this name.
    pub(crate) fn of(&self, name: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let series = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            // No value of these metrics has a comma or a quote in it.
            let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            let labels = pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
            Some((labels.collect(), value.parse().ok()?))
        };
        self.0.lines().filter_map(series).collect()
    }

    /// The sum of all series of this name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.of(name).iter().map(|(_, value)| value).sum()
    }
}

fn audited(log: &Path, agent: &str) -> Result<Writes, BenchError> {
    let mut writes = Writes::default();
    for line in std::fs::read_to_string(log)?.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/stage") == "ResponseComplete" && text("/userAgent") == agent {
            writes.add(text("/verb"), text("/objectRef/resource"), text("/objectRef/subresource"), 1);
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_and_without_labels() {
        let metrics =
            Metrics("# TYPE a counter\na{b=\"c\",d=\"e\"} 4\na{b=\"f\"} 2.5\nab 9\nfirst 0.25\n".into());
        assert_eq!(metrics.of("a").len(), 2);
        assert_eq!(metrics.of("a")[0].0["d"], "e");
        assert!((metrics.sum("a") - 6.5).abs() < f64::EPSILON);
        assert!((metrics.sum("first") - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn writes_leave_out_reads_and_events() {
        let mut writes = Writes::default();
        writes.add("get", "pods", "", 7);
        writes.add("create", "events", "", 7);
        writes.add("patch", "pods", "status", 2);
        writes.add("patch", "pods", "", 1);
        writes.add("patch", "podtemplates", "", 1);
        writes.add("create", "pods", "", 1);
        assert_eq!(writes.patches_of_pods(), 3);
        assert_eq!(writes.total(), 5);
        assert_eq!(writes.since(&Writes::default()).of("patch pods/status"), 2);
    }
}
