//! Pods as scenarios compare them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use muster_crds::keys::{condition, workload};

/// What a scenario looks at of one pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PodView {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) phase: String,
    pub(crate) ready: bool,
    /// The readiness gate of in-place updates, where the pod carries its condition.
    pub(crate) gate: Option<bool>,
    pub(crate) terminating: bool,
    pub(crate) revision: String,
    /// Image that the spec names, by container.
    pub(crate) images: BTreeMap<String, String>,
    /// What runs, by container.
    pub(crate) running: BTreeMap<String, Running>,
}

/// A container that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) restarts: i32,
    pub(crate) image: String,
}

/// The pods of one set in one cluster, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pods(pub(crate) BTreeMap<String, PodView>);

// === impl PodView ===

impl PodView {
    pub(crate) fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let holds = |type_: &str| {
            let found = status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
            found.map(|condition| condition.status == "True")
        };
        let running = status.container_statuses.iter().flatten().filter_map(|container| {
            let id = container.container_id.clone()?;
            let running = Running { id, restarts: container.restart_count, image: container.image.clone() };
            Some((container.name.clone(), running))
        });
        let images = spec
            .containers
            .iter()
            .map(|container| (container.name.clone(), container.image.clone().unwrap_or_default()));
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            ip: status.pod_ip.clone(),
            node: spec.node_name.clone(),
            phase: status.phase.clone().unwrap_or_default(),
            ready: holds("Ready") == Some(true),
            gate: holds(condition::INPLACE_UPDATE_READY),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            revision: labels.get(workload::REVISION).cloned().unwrap_or_default(),
            images: images.collect(),
            running: running.collect(),
        }
    }

    /// The ordinal that the name ends with.
    pub(crate) fn ordinal(&self) -> usize {
        let digits = self.name.rsplit('-').next().unwrap_or_default();
        digits.parse().unwrap_or_else(|_| panic!("pod {} has no ordinal in its name", self.name))
    }

    /// The image of one container as it runs.
    pub(crate) fn runs(&self, container: &str) -> &str {
        self.running.get(container).map(|running| running.image.as_str()).unwrap_or_default()
    }
}

// === impl Pods ===

impl Pods {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PodView> {
        self.0.values()
    }

    /// The ordinals, in order.
    pub(crate) fn ordinals(&self) -> Vec<usize> {
        let mut ordinals: Vec<usize> = self.iter().map(PodView::ordinal).collect();
        ordinals.sort_unstable();
        ordinals
    }

    /// Fails unless every one of these pods is in `later` with the same uid.
    #[track_caller]
    pub(crate) fn assert_kept_in(&self, later: &Self) {
        for pod in self.iter() {
            let now = later.0.get(&pod.name).map(|pod| pod.uid.as_str());
            assert_eq!(now, Some(pod.uid.as_str()), "pod {} was replaced or deleted", pod.name);
        }
    }

    /// Fails unless nothing at all happened to these pods: same pods, same containers.
    #[track_caller]
    pub(crate) fn assert_untouched_in(&self, later: &Self) {
        let containers = |pods: &Self| -> BTreeMap<String, (String, BTreeMap<String, Running>)> {
            pods.iter().map(|pod| (pod.name.clone(), (pod.uid.clone(), pod.running.clone()))).collect()
        };
        assert_eq!(containers(self), containers(later), "pods or containers changed");
    }
}
