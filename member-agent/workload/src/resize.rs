//! Sizes of running pods: which containers are to get another, and whether the node has made it real.
//!
//! Nothing is recorded about a change of size: the pod's spec says what was asked for, its status what was made of it. A
//! pod whose template was taken back in between has the size of another stored revision, by which it is known.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::change::InPlaceChange;
use crate::inplace::Stage;
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::{Pod, ResizeState};
use crate::reason::{Code, Reason};
use crate::revision::Revision;
use crate::size::{Wanted, of_template};

/// Sizes of the containers of a revision, by name.
pub(crate) type Sizes = Rc<BTreeMap<String, Wanted>>;

/// How far a pod is with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizing {
    /// It has it.
    Done,
    /// Its node works on it, or has just been told.
    Going,
    /// Its node cannot.
    Stuck(Code),
}

impl Planner<'_> {
    /// Gives a pod the size of a revision; says what is waited for.
    pub(crate) fn resize(&mut self, pod: &Pod, target: &Revision, change: &InPlaceChange) -> Sizing {
        if change.resizes.is_empty() && !self.sizes_differ() {
            return Sizing::Done;
        }
        let due = self.sizes_due(pod, target, change);
        if !due.is_empty() {
            if !self.touches(pod) {
                self.write_size(pod, target, &due);
            }
            return Sizing::Going;
        }
        if change.resizes.is_empty() {
            return Sizing::Done;
        }
        let Err(reason) = resized(pod) else { return Sizing::Done };
        let code = reason.code;
        self.wait_for(Some(pod), reason, None);
        match code {
            Code::ResizePending => Sizing::Going,
            code => Sizing::Stuck(code),
        }
    }

    /// Whether a pod was told to take the size of a revision and its node says that it cannot.
    pub(crate) fn size_refused(&mut self, pod: &Pod, target: &Revision, change: &InPlaceChange) -> bool {
        !change.resizes.is_empty()
            && self.sizes_due(pod, target, change).is_empty()
            && resized(pod).is_err_and(|reason| reason.code != Code::ResizePending)
    }

    /// Gives pods back the size of the revision they carry, after an update was taken back between size and image. Answers
    /// whether this pod has it.
    pub(crate) fn keep_size(&mut self, pod: &Pod) -> bool {
        if !self.sizes_differ() {
            return true;
        }
        let Some(carried) = pod.revision.as_ref().and_then(|name| self.history.get(name.as_str())) else {
            return true;
        };
        let due = self.sizes_due(pod, carried, &InPlaceChange::default());
        // One that restarts for it is out of traffic, and gets its size before it is let in again.
        let sizes = self.sizes(carried);
        let restarts = |name: &String| {
            let container = pod.containers.iter().find(|container| container.name == *name);
            let wanted = sizes.get(name);
            container
                .zip(wanted)
                .is_some_and(|(container, wanted)| container.size.restarts(&wanted.size, wanted.restarts))
        };
        if due.is_empty() || pod.stage() == Stage::Idle && due.iter().any(restarts) {
            return true;
        }
        if !self.touches(pod) {
            self.write_size(pod, carried, &due);
        }
        false
    }

    /// Whether the stored revisions differ in size at all.
    pub(crate) fn sizes_differ(&mut self) -> bool {
        if let Some(differ) = self.sizes_differ {
            return differ;
        }
        let differ = self.compare_sizes();
        self.sizes_differ = Some(differ);
        differ
    }

    fn compare_sizes(&mut self) -> bool {
        let history = self.history;
        let mut sizes = history.stored.iter().map(|revision| self.sizes(revision));
        let Some(first) = sizes.next() else { return false };
        let same = |other: &Sizes| {
            let pairs = first.iter().zip(other.iter());
            first.len() == other.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && a.1.size == b.1.size)
        };
        !sizes.all(|other| same(&other))
    }

    /// Containers that are to get another size.
    fn sizes_due(&mut self, pod: &Pod, target: &Revision, change: &InPlaceChange) -> Vec<String> {
        let wanted = self.sizes(target);
        let mut due = Vec::new();
        for container in &pod.containers {
            let Some(wanted) = wanted.get(&container.name) else { continue };
            if container.size.covers(&wanted.size) {
                continue;
            }
            if change.resizes.contains_key(&container.name) || self.strayed(pod, &container.name) {
                due.push(container.name.clone());
            }
        }
        due
    }

    /// Whether a container has the size of another stored revision than the one its pod carries. That revision has to
    /// speak of all that the pod's own one speaks of: what it leaves open, somebody else may have set.
    fn strayed(&mut self, pod: &Pod, name: &str) -> bool {
        let Some(container) = pod.containers.iter().find(|container| container.name == name) else {
            return false;
        };
        let carried = pod.revision.as_ref().and_then(|name| self.history.get(name.as_str()));
        let Some(own) = carried.and_then(|carried| self.sizes(carried).get(name).map(|wanted| wanted.size))
        else {
            return false;
        };
        if container.size.covers(&own) {
            return false;
        }
        let history = self.history;
        history.stored.iter().any(|other| {
            let sizes = self.sizes(other);
            let other = sizes.get(name).map(|wanted| wanted.size);
            other.is_some_and(|other| other != own && !other.lacks(&own) && container.size.covers(&other))
        })
    }

    /// Sizes of the containers of a revision.
    fn sizes(&mut self, revision: &Revision) -> Sizes {
        if let Some(sizes) = self.sizes.get(&revision.name) {
            return Rc::clone(sizes);
        }
        let sizes = Rc::new(of_template(&revision.template));
        self.sizes.insert(revision.name.clone(), Rc::clone(&sizes));
        sizes
    }

    fn write_size(&mut self, pod: &Pod, target: &Revision, due: &[String]) {
        let sizes = self.sizes(target);
        let mut body = json!({"metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version}});
        for list in ["containers", "initContainers"] {
            let due = due.iter().filter_map(|name| Some((name, sizes.get(name)?)));
            let resources: Vec<Value> = due
                .filter(|(_, wanted)| wanted.list == list)
                .map(|(name, wanted)| json!({"name": name, "resources": wanted.body}))
                .collect();
            if !resources.is_empty() {
                body["spec"][list] = Value::Array(resources);
            }
        }
        let message = format!("pod {} gets the size of revision {}", pod.name, target.name);
        self.step(Action::ResizePod { name: pod.name.clone(), body }, Code::Resize, message);
    }
}

/// Whether the node has made the size of a pod's spec real; why not.
fn resized(pod: &Pod) -> Result<(), Reason> {
    if let Some(news) = pod.resize.as_deref().filter(|_| !pod.is_behind()) {
        let message = &news.message;
        return Err(match news.state {
            ResizeState::InProgress => {
                Reason::new(Code::ResizePending, format!("the node changes its size {message}").trim())
            }
            ResizeState::Deferred => Reason::new(
                Code::ResizeDeferred,
                format!("its node has no room for its new size now: {message}"),
            ),
            ResizeState::Infeasible => Reason::new(
                Code::ResizeInfeasible,
                format!("its node cannot give it its new size: {message}"),
            ),
        });
    }
    if pod.is_behind() {
        return Err(Reason::new(Code::ResizePending, "the node has not seen its new size yet"));
    }
    match pod.containers.iter().find(|container| !container.sized) {
        Some(container) => {
            let message = format!("container {} does not have its new size yet", container.name);
            Err(Reason::new(Code::ResizePending, message))
        }
        None => Ok(()),
    }
}
