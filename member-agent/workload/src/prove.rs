//! Images are pulled before anything is stopped for them.
//!
//! A kubelet stops the old container before it pulls the new image, so an image that is not there costs a server. Before
//! a container that runs is stopped, its new image is therefore proven on the pod's node: a container of another pod of
//! the set runs there with it, or a short-lived pod has pulled it. That pod (a puller) is given to the node directly and
//! has one container of the image with a command that does not exist: the image is pulled, the container is made and does
//! not start, so that nothing of the image runs and it needs no shell. It stays, ended, as the proof until no pod on its
//! node waits for the image. Its name tells image and node, so that it is found again after a restart.
//!
//! A new image is pulled on one node first. One that does not exist costs one pull that fails, and nothing else.
//!
//! Nothing is pulled beforehand where prePull.enabled is false, for a pod that is on no node, and for a container that
//! does not run: nothing is stopped for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use muster_crds::keys::label::PULLER;
use muster_crds::names::ObjectName;
use serde_json::{Map, Value, json};

use crate::change::InPlaceChange;
use crate::identity::owner_reference;
use crate::inplace::{Stage, later, waiting_reason};
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{Container, ContainerState, Phase, Pod};
use crate::reason::{Code, Reason};
use crate::revision::Revision;
use crate::snapshot::{SetId, Snapshot};
use crate::template;

/// Seconds after which a kubelet ends a puller that could not pull.
const PULL_DEADLINE: i64 = 600;

/// How long a puller that ended without its image is kept, before it is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(60);

/// The command of a puller. It exists in no image.
const NO_COMMAND: &str = "/muster.dev/this-image-is-pulled-and-not-run";

/// What is known of images on nodes.
#[derive(Debug, Default)]
pub(crate) struct Proofs<'a> {
    /// Pods by the names of pullers; also what is in the way of one.
    pullers: BTreeMap<&'a str, &'a Pod>,
    /// Nodes and images of containers of the set that run; none until somebody asks.
    running: Option<BTreeSet<(&'a str, &'a str)>>,
    /// Names of pullers that are needed, those of this plan included.
    needed: BTreeSet<String>,
    /// Nodes and images that this plan begins to pull.
    begun: Vec<(String, String)>,
    /// Images that are known to exist.
    exist: BTreeSet<String>,
    /// What was found, by node and image: many pods ask the same.
    found: BTreeMap<&'a str, BTreeMap<String, Found>>,
    /// Pullers that are still at work.
    at_work: usize,
}

/// Nothing, or what is waited for and when to look again.
type Found = Result<(), (Reason, Option<Timestamp>)>;

/// How a puller is doing.
enum Pull {
    Done,
    Going,
    Failing(Reason),
    /// It ended without its image, and is tried again then.
    Ended(Reason, Timestamp),
}

impl<'a> Proofs<'a> {
    /// The pullers of a set.
    pub(crate) fn of(id: &SetId, snapshot: &'a Snapshot, now: Timestamp) -> Self {
        let prefix = prefix(id);
        let pods = snapshot.pods.iter().map(AsRef::as_ref);
        let pullers: BTreeMap<&str, &Pod> = pods
            .filter(|pod| {
                pod.name.as_str().starts_with(&prefix) && pod.ordinal_in(id.name.as_str()).is_none()
            })
            .map(|pod| (pod.name.as_str(), pod))
            .collect();
        let ours = pullers.values().filter(|pod| is_puller(id, pod));
        let at_work = ours.filter(|pod| matches!(pull(pod, now), Pull::Going | Pull::Failing(_))).count();
        Self { pullers, at_work, ..Self::default() }
    }
}

impl<'a> Planner<'a> {
    /// Whether the images that a change brings to a pod are known to be on its node. Sees to it that they are pulled, and
    /// says what is waited for.
    pub(crate) fn proven(&mut self, pod: &'a Pod, target: &Revision, change: &InPlaceChange) -> bool {
        let Some(parallelism) = self.spec.options.pre_pull else { return true };
        let Some(node) = pod.node.as_deref() else { return true };
        let mut proven = true;
        for (name, image) in change.images.iter().chain(&change.sidecar_images) {
            let container = pod.containers.iter().find(|container| container.name == *name);
            if container.is_none_or(|container| container.image == *image || !runs(container)) {
                continue;
            }
            let known = self.proofs.found.get(node).and_then(|images| images.get(image)).cloned();
            let found = known.unwrap_or_else(|| {
                let found = self.pulled(node, image, name, target, parallelism);
                self.proofs.found.entry(node).or_default().insert(image.clone(), found.clone());
                found
            });
            if let Err((reason, until)) = found {
                // One reason for a pod is enough.
                if proven {
                    self.wait_for(Some(pod), reason, until);
                }
                proven = false;
            }
        }
        proven
    }

    fn pulled(
        &mut self,
        node: &str,
        image: &str,
        container: &str,
        target: &Revision,
        parallelism: usize,
    ) -> Found {
        if self.runs_somewhere(Some(node), image) {
            return Ok(());
        }
        let name = puller_name(self.id, node, image);
        let wait = |message: String| Err((Reason::new(Code::ImagePulling, message), None));
        if let Some(puller) = self.proofs.pullers.get(name.as_str()).copied() {
            let same = is_puller(self.id, puller)
                && puller.node.as_deref() == Some(node)
                && puller.containers.iter().any(|container| container.image == image);
            if !same {
                let message =
                    format!("a pod named {name} is in the way of pulling image {image} on node {node}");
                return Err((Reason::new(Code::NameTaken, message), None));
            }
            self.proofs.needed.insert(name);
            if puller.deleting {
                return wait(format!("image {image} is pulled on node {node} again"));
            }
            return match pull(puller, self.now) {
                Pull::Done => Ok(()),
                Pull::Going => wait(format!("image {image} is being pulled on node {node}")),
                Pull::Failing(reason) => {
                    let message = format!("on node {node}, before anything is stopped: {}", reason.message);
                    Err((Reason::new(reason.code, message), None))
                }
                Pull::Ended(reason, retry) => {
                    if retry <= self.now {
                        self.remove_puller(puller, "ended without its image and is tried again");
                    }
                    let message = format!("on node {node}, before anything is stopped: {}", reason.message);
                    Err((Reason::new(reason.code, message), Some(retry)))
                }
            };
        }
        self.proofs.needed.insert(name.clone());
        if let Some(other) = self.first_puller(image) {
            return wait(match other {
                _ if other == node => format!("image {image} is being pulled on node {node}"),
                other => format!("image {image} is pulled on node {other} first"),
            });
        }
        if self.proofs.begun.iter().any(|(on, begun)| on == node && begun == image) {
            return wait(format!("image {image} is being pulled on node {node}"));
        }
        if self.proofs.at_work >= parallelism {
            let message =
                format!("image {image} is pulled on node {node} when fewer than {parallelism} nodes pull");
            return wait(message);
        }
        self.create_puller(&name, node, image, container, target);
        wait(format!("image {image} is being pulled on node {node}"))
    }

    /// The node on which an image is tried first, while it is not known to exist.
    fn first_puller(&mut self, image: &str) -> Option<String> {
        if self.proofs.exist.contains(image) {
            return None;
        }
        let of_image = |pod: &&Pod| pod.containers.iter().any(|container| container.image == image);
        let pullers: Vec<&Pod> = self.proofs.pullers.values().copied().filter(of_image).collect();
        let pulled = pullers.iter().any(|pod| matches!(pull(pod, self.now), Pull::Done));
        if pulled || self.runs_somewhere(None, image) {
            self.proofs.exist.insert(image.to_owned());
            return None;
        }
        let begun = self.proofs.begun.iter().find(|(_, begun)| begun == image);
        begun.map(|(node, _)| node.clone()).or_else(|| pullers.first().and_then(|pod| pod.node.clone()))
    }

    /// Whether a container of the set runs an image, on this node or on any.
    fn runs_somewhere(&mut self, node: Option<&str>, image: &str) -> bool {
        let family = self.family;
        let running = self.proofs.running.get_or_insert_with(|| {
            let at_rest =
                family.members().filter(|pod| pod.stage() == Stage::Idle && pod.phase == Phase::Running);
            let images =
                at_rest.filter_map(|pod| Some((pod.node.as_deref()?, pod))).flat_map(|(node, pod)| {
                    let containers = pod.containers.iter().filter(|container| runs(container));
                    containers.map(move |container| (node, container.image.as_str()))
                });
            images.collect()
        });
        match node {
            Some(node) => running.contains(&(node, image)),
            None => running.iter().any(|(_, running)| *running == image),
        }
    }

    fn create_puller(&mut self, name: &str, node: &str, image: &str, container: &str, target: &Revision) {
        let Ok(object) = ObjectName::new(name) else { return };
        let body = puller(self.id, name, node, image, container, &target.template);
        self.proofs.begun.push((node.to_owned(), image.to_owned()));
        self.proofs.at_work += 1;
        let message =
            format!("image {image} is pulled on node {node} before anything there is stopped for it");
        self.step(Action::CreatePod { name: object, claims: Vec::new(), body }, Code::PullImage, message);
    }

    fn remove_puller(&mut self, puller: &Pod, why: &str) {
        if puller.deleting || self.touches(puller) {
            return;
        }
        let action = Action::DeletePod { name: puller.name.clone(), uid: puller.uid.clone() };
        self.step(action, Code::RemovePuller, format!("pod {} {why}", puller.name));
    }

    /// Removes pullers that no pod waits for.
    pub(crate) fn remove_pullers(&mut self) {
        let pullers: Vec<&Pod> = self.proofs.pullers.values().copied().collect();
        for puller in pullers {
            if is_puller(self.id, puller) && !self.proofs.needed.contains(puller.name.as_str()) {
                self.remove_puller(puller, "pulled an image that nothing waits for any more");
            }
        }
    }
}

fn runs(container: &Container) -> bool {
    container.status.as_ref().is_some_and(|status| matches!(status.state, ContainerState::Running(_)))
}

/// Whether a pod is a puller of this set.
fn is_puller(id: &SetId, pod: &Pod) -> bool {
    pod.labels.get(PULLER).is_some_and(|set| set == id.name.as_str())
        && pod.controller.as_ref().is_some_and(|controller| controller.uid == id.uid.as_str())
}

fn prefix(id: &SetId) -> String {
    format!("{}{}", id.name, crate::identity::PULLER)
}

fn puller_name(id: &SetId, node: &str, image: &str) -> String {
    format!("{}{}", prefix(id), template::hash(&json!([image, node]), 0))
}

/// How a puller is doing: what comes after a pull proves it.
fn pull(pod: &Pod, now: Timestamp) -> Pull {
    const AFTER_THE_PULL: [&str; 7] = [
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "RunContainerError",
        "CrashLoopBackOff",
    ];
    let status = pod.containers.first().and_then(|container| Some((container, container.status.as_ref()?)));
    let mut failing = None;
    if let Some((container, status)) = status {
        let made = status.container_id.is_some() || !status.image_id.is_empty();
        match &status.state {
            ContainerState::Running(_) => return Pull::Done,
            ContainerState::Terminated if made => return Pull::Done,
            ContainerState::Terminated => {}
            ContainerState::Waiting { reason, .. } if AFTER_THE_PULL.contains(&reason.as_str()) => {
                return Pull::Done;
            }
            ContainerState::Waiting { reason, message } => {
                let reason = waiting_reason(&container.name, reason, message);
                failing = (reason.code == Code::ImagePull).then_some(reason);
            }
        }
    }
    match (pod.phase, failing) {
        (Phase::Ended, failing) => {
            let image = pod.containers.first().map_or("", |container| container.image.as_str());
            let message = format!("pod {} ended before it had pulled image {image}", pod.name);
            let reason = failing.unwrap_or_else(|| Reason::new(Code::ImagePull, message));
            Pull::Ended(reason, later(pod.created.unwrap_or(now), RETRY))
        }
        (_, Some(reason)) => Pull::Failing(reason),
        (_, None) => Pull::Going,
    }
}

/// The body of a puller. What decides about pulling and admission is the template's; what would cost the node is left
/// out.
fn puller(id: &SetId, name: &str, node: &str, image: &str, container: &str, template: &Value) -> Value {
    let written = &template["spec"];
    let of = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| written[list].as_array().into_iter().flatten())
        .find(|other| other["name"] == container)
        .unwrap_or(&Value::Null);
    let mut pulls = Map::from_iter([
        ("name".to_owned(), json!(container)),
        ("image".to_owned(), json!(image)),
        ("command".to_owned(), json!([NO_COMMAND])),
    ]);
    for field in ["imagePullPolicy", "securityContext"] {
        if let Some(value) = of.get(field) {
            pulls.insert(field.into(), value.clone());
        }
    }
    let mut spec = Map::from_iter([
        ("nodeName".to_owned(), json!(node)),
        ("restartPolicy".to_owned(), json!("Never")),
        ("terminationGracePeriodSeconds".to_owned(), json!(0)),
        ("activeDeadlineSeconds".to_owned(), json!(PULL_DEADLINE)),
        ("automountServiceAccountToken".to_owned(), json!(false)),
        ("enableServiceLinks".to_owned(), json!(false)),
        ("containers".to_owned(), json!([pulls])),
    ]);
    for field in
        ["imagePullSecrets", "serviceAccountName", "tolerations", "securityContext", "runtimeClassName", "os"]
    {
        if let Some(value) = written.get(field) {
            spec.insert(field.into(), value.clone());
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": id.namespace,
            "labels": {PULLER: id.name},
            "ownerReferences": [owner_reference(id)],
        },
        "spec": spec,
    })
}
