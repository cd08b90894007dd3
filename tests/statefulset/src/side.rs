//! One controller's side of a case: its set in a namespace of its own, and the record of its pods.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use muster_runtime::Tasks;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::failure::{Failure, Result, seen};
use crate::manifest::{APP, GATE, SET};
use crate::record::{Line, Order, Record, Verb};

/// How long a state may take to come. Nothing is learnt from seconds here, so it is long.
const PATIENCE: Duration = Duration::from_mins(2);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How long claims and their owners are the same until that counts.
const SETTLED: Duration = Duration::from_millis(500);

/// How much later than the other of two events one may be seen. Times are whole seconds in conditions, too.
const LAG: Duration = Duration::from_millis(1200);

/// How often a gate is opened where no API server answers.
const TRIES: usize = 5;

/// How long nothing happens until a set counts as being at rest.
const REST: Duration = Duration::from_millis(1500);

/// Whose side it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// StatefulSet, under kube-controller-manager.
    Theirs,
    /// GameStatefulSet, under the agent.
    Ours,
}

impl Kind {
    /// The kind of its set.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Theirs => "StatefulSet",
            Self::Ours => "GameStatefulSet",
        }
    }
}

/// A set and what is seen of it.
pub(crate) struct Side {
    pub(crate) kind: Kind,
    client: Client,
    namespace: String,
    record: Arc<Mutex<Record>>,
    /// Pods that are kept from being ready.
    held: Arc<Mutex<BTreeSet<String>>>,
    manifest: Value,
}

impl Side {
    /// Makes the namespace and begins to record; there is no set yet.
    pub(crate) async fn start(
        kind: Kind,
        client: Client,
        case: &str,
        manifest: Value,
        tasks: &Tasks,
    ) -> Result<Self> {
        let whose = if kind == Kind::Theirs { "theirs" } else { "ours" };
        let namespace = format!("{case}-{whose}");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let mine = PatchParams::apply("muster-statefulset").force();
        namespaces.patch(&namespace, &mine, &Patch::Apply(body)).await?;
        let side = Self { kind, client, namespace, record: Arc::default(), held: Arc::default(), manifest };
        // Without it no pod can be created, and how often a controller tries is not what is compared.
        let accounts: Api<ServiceAccount> = side.api();
        side.wait("the namespace has its service account", async || {
            Ok(accounts.get_opt("default").await?.map(|_| ()).ok_or_else(|| "none".to_owned()))
        })
        .await?;
        side.watch(tasks).await;
        Ok(side)
    }

    /// Records until the tasks end.
    async fn watch(&self, tasks: &Tasks) {
        let pods: Api<Pod> = self.api();
        let (record, held) = (Arc::clone(&self.record), Arc::clone(&self.held));
        let (listed, first_list) = tokio::sync::oneshot::channel();
        tasks.spawn("record", async move {
            let mut listed = Some(listed);
            let config = watcher::Config::default().labels(&format!("app={APP}"));
            let mut changes = pin!(watcher(pods.clone(), config));
            while let Some(change) = changes.next().await {
                match change {
                    Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                        record.lock().there(&pod);
                        open_gate(&pods, &pod, &held).await;
                    }
                    Ok(Event::Delete(pod)) => record.lock().gone(&pod.name_any()),
                    Ok(Event::Init) => {}
                    Ok(Event::InitDone) => match listed.take() {
                        Some(listed) => drop(listed.send(())),
                        None => record.lock().broken("the pods were listed anew".to_owned()),
                    },
                    // The watch goes on where it was; where it cannot, it lists anew.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        // Where the task has ended, the record says so.
        drop(first_list.await);
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn sets(&self) -> Api<DynamicObject> {
        let (group, kind) = match self.kind {
            Kind::Theirs => (GroupVersionKind::gvk("apps", "v1", "StatefulSet"), "statefulsets"),
            Kind::Ours => {
                (GroupVersionKind::gvk("tkex.tencent.com", "v1alpha1", "GameStatefulSet"), "gamestatefulsets")
            }
        };
        Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &ApiResource::from_gvk_with_plural(&group, kind),
        )
    }

    /// One of two, by whose side it is.
    pub(crate) fn pick<T>(&self, theirs: T, ours: T) -> T {
        match self.kind {
            Kind::Theirs => theirs,
            Kind::Ours => ours,
        }
    }

    // --- What a case does ---

    /// Notes that something is done; what is seen after it is its doing.
    pub(crate) fn act(&self, what: &str, order: Order) {
        self.record.lock().act(what, order);
    }

    /// Creates the set from the manifest.
    pub(crate) async fn create(&self) -> Result<()> {
        let mut object = self.manifest.clone();
        (object["apiVersion"], object["kind"]) = match self.kind {
            Kind::Theirs => (json!("apps/v1"), json!("StatefulSet")),
            Kind::Ours => (json!("tkex.tencent.com/v1alpha1"), json!("GameStatefulSet")),
        };
        let object: DynamicObject = match serde_json::from_value(object) {
            Ok(object) => object,
            Err(error) => return seen(format!("the manifest is no object: {error}")),
        };
        self.sets().create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Changes the set: a merge patch.
    pub(crate) async fn edit(&self, change: &Value) -> Result<()> {
        self.sets().patch(SET, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    /// Deletes the set.
    pub(crate) async fn delete(&self, params: &DeleteParams) -> Result<()> {
        self.sets().delete(SET, params).await?;
        let sets = self.sets();
        self.wait("the set is gone", async || {
            let left = sets.get_opt(SET).await?;
            Ok(if left.is_none() { Ok(()) } else { Err("still there".to_owned()) })
        })
        .await
    }

    /// Deletes a pod, and waits until the record has that.
    pub(crate) async fn delete_pod(&self, name: &str) -> Result<()> {
        let uid = self.record.lock().pods().get(name).map(|pod| pod.uid.clone());
        self.request_deletion(name).await?;
        self.until(&format!("{name} is told to go"), |record| {
            let pod = record.pods().get(name);
            let told = pod.is_none_or(|pod| pod.deleting || Some(&pod.uid) != uid.as_ref());
            if told { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await
    }

    /// Asks for the deletion of a pod.
    pub(crate) async fn request_deletion(&self, name: &str) -> Result<()> {
        let pods: Api<Pod> = self.api();
        pods.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Lets a pod fail, as a kubelet does that evicts it.
    pub(crate) async fn fail_pod(&self, name: &str) -> Result<()> {
        let failed = json!({"status": {"phase": "Failed", "reason": "Evicted"}});
        let pods: Api<Pod> = self.api();
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(failed)).await?;
        Ok(())
    }

    /// Changes a pod: a merge patch.
    pub(crate) async fn edit_pod(&self, name: &str, change: &Value) -> Result<()> {
        let pods: Api<Pod> = self.api();
        pods.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
        Ok(())
    }

    /// Keeps a pod from being ready, now and under this name for ever. Needs the gate of the manifest.
    pub(crate) async fn hold(&self, name: &str) -> Result<()> {
        self.held.lock().insert(name.to_owned());
        let pods: Api<Pod> = self.api();
        if let Some(pod) = pods.get_opt(name).await? {
            set_gate(&pods, &pod.name_any(), false).await?;
        }
        Ok(())
    }

    /// Lets it be ready again.
    pub(crate) async fn release(&self, name: &str) -> Result<()> {
        self.held.lock().remove(name);
        let pods: Api<Pod> = self.api();
        if pods.get_opt(name).await?.is_some() {
            set_gate(&pods, name, true).await?;
        }
        Ok(())
    }

    // --- What a case waits for and looks at ---

    /// Waits until there are exactly these pods and nothing happens any more: `0=v1 1=v2 2=bad?` are three pods by
    /// ordinal, with the tags of their images, the last one not ready.
    pub(crate) async fn rests_at(&self, pods: &str) -> Result<()> {
        let wanted: Vec<String> = pods.split_whitespace().map(str::to_owned).collect();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let what = format!("there are pods {pods:?} and nothing happens");
            self.until(&what, |record| {
                let now = picture(record);
                if now == wanted { Ok(()) } else { Err(format!("there are {:?}", now.join(" "))) }
            })
            .await?;
            let before = self.record.lock().events();
            tokio::time::sleep(REST).await;
            let record = self.record.lock();
            if record.events() == before && picture(&record) == wanted {
                return Ok(());
            }
            if Instant::now() > give_up {
                return seen(format!("{}: not within {PATIENCE:?}: {what}", self.namespace));
            }
        }
    }

    /// Waits until an event of this verb and pod was seen in the act that runs.
    pub(crate) async fn sees(&self, verb: Verb, pod: &str) -> Result<()> {
        self.until(&format!("{verb} {pod}"), |record| {
            let lines = record.lines().iter().rev();
            let of_act = lines.take_while(|line| !matches!(line, Line::Act(..)));
            let happened = of_act.filter_map(|line| match line {
                Line::Event(event) => Some(event),
                _ => None,
            });
            let mut matching = happened.filter(|event| event.verb == verb && event.pod == pod);
            if matching.next().is_some() { Ok(()) } else { Err("not seen".to_owned()) }
        })
        .await
    }

    /// Notes what the set's status says, once it is about the newest spec and counts the pods that there are.
    pub(crate) async fn note_status(&self) -> Result<()> {
        let sets = self.sets();
        let fact = self
            .find("the status is about the newest spec", async || {
                let set = sets.get(SET).await?;
                let status = &set.data["status"];
                let count = |field: &str| status[field].as_i64().unwrap_or_default();
                let (pods, ready) = {
                    let record = self.record.lock();
                    let ready = record.pods().values().filter(|pod| pod.ready).count();
                    (record.pods().len() as i64, ready as i64)
                };
                let newest = status["observedGeneration"].as_i64() == set.metadata.generation;
                if !newest || [count("replicas"), count("readyReplicas")] != [pods, ready] {
                    return Ok(Err(status.to_string()));
                }
                let mut record = self.record.lock();
                let mut revision = |field: &str| match status[field].as_str() {
                    Some(name) => record.revision(name),
                    None => "none".to_owned(),
                };
                Ok(Ok(format!(
                    "{pods} pods, {ready} ready, {} updated; {} -> {}",
                    count("updatedReplicas"),
                    revision("currentRevision"),
                    revision("updateRevision"),
                )))
            })
            .await?;
        self.record.lock().fact(fact);
        Ok(())
    }

    /// Notes how many revisions are stored, once there are so many.
    pub(crate) async fn note_revisions(&self, expected: usize) -> Result<()> {
        let revisions: Api<ControllerRevision> = self.api();
        self.wait(&format!("{expected} revisions are stored"), async || {
            let stored = revisions.list(&ListParams::default()).await?.items.len();
            Ok(if stored == expected { Ok(()) } else { Err(format!("there are {stored}")) })
        })
        .await?;
        self.record.lock().fact(format!("{expected} revisions stored"));
        Ok(())
    }

    /// Notes how many pods the status calls available, once they are as many as `expected`.
    pub(crate) async fn note_available(&self, expected: i64) -> Result<()> {
        let sets = self.sets();
        self.wait(&format!("{expected} pods are available"), async || {
            let available =
                sets.get(SET).await?.data["status"]["availableReplicas"].as_i64().unwrap_or_default();
            Ok(if available == expected { Ok(()) } else { Err(format!("{available} are")) })
        })
        .await?;
        self.record.lock().fact(format!("{expected} pods available"));
        Ok(())
    }

    /// That in the act that runs one event followed another one only after a while.
    pub(crate) fn must_wait(&self, one: (Verb, &str), other: (Verb, &str), at_least: Duration) -> Result<()> {
        let passed = self.record.lock().between(one, other);
        // What is seen may be seen a little later than it was.
        let enough = passed.is_some_and(|passed| passed + LAG >= at_least);
        if enough {
            return Ok(());
        }
        let namespace = &self.namespace;
        let ((verb, pod), (then, next)) = (one, other);
        seen(format!("{namespace}: {passed:?} from {verb} {pod} to {then} {next}, and not {at_least:?}"))
    }

    /// Notes which claims there are and who owns them, once they are as many as `expected` and stay so.
    pub(crate) async fn note_claims(&self, expected: usize) -> Result<()> {
        let claims: Api<PersistentVolumeClaim> = self.api();
        let last: Mutex<Vec<String>> = Mutex::default();
        let facts = self
            .find(&format!("{expected} claims are left"), async || {
                tokio::time::sleep(SETTLED).await;
                let mut list = claims.list(&ListParams::default()).await?.items;
                list.retain(|claim| claim.metadata.deletion_timestamp.is_none());
                if list.len() != expected {
                    let names: Vec<String> = list.iter().map(ResourceExt::name_any).collect();
                    return Ok(Err(format!("there are {names:?}")));
                }
                // Owners are written after claims are made, and before they are taken away.
                let now: Vec<String> = list.iter().map(owned).collect();
                let before = std::mem::replace(&mut *last.lock(), now.clone());
                Ok(if before == now { Ok(now) } else { Err(format!("they were {before:?} and are {now:?}")) })
            })
            .await?;
        let mut record = self.record.lock();
        for fact in facts {
            record.fact(fact);
        }
        Ok(())
    }

    /// Notes who owns the pods, once the set owns exactly those of `expected`.
    pub(crate) async fn note_owners(&self, expected: &[&str]) -> Result<()> {
        let pods: Api<Pod> = self.api();
        self.wait(&format!("the set owns {expected:?}"), async || {
            let list = pods.list(&ListParams::default()).await?.items;
            let owned = list.iter().filter(|pod| pod.owner_references().iter().any(|one| one.name == SET));
            let names: Vec<String> = owned.map(ResourceExt::name_any).collect();
            Ok(if names == expected { Ok(()) } else { Err(format!("it owns {names:?}")) })
        })
        .await?;
        self.record.lock().fact(format!("the set owns {expected:?}"));
        Ok(())
    }

    /// Everything so far; a failure if the watch was interrupted.
    pub(crate) fn lines(&self) -> Result<Vec<Line>> {
        let record = self.record.lock();
        match record.gap() {
            Some(gap) => seen(format!("{}: the record has a gap: {gap}", self.namespace)),
            None => Ok(record.lines().to_vec()),
        }
    }

    async fn until(
        &self,
        what: &str,
        look: impl Fn(&Record) -> std::result::Result<(), String>,
    ) -> Result<()> {
        self.wait(what, async || Ok(look(&self.record.lock()))).await
    }

    async fn wait<F>(&self, what: &str, look: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<std::result::Result<(), String>>>,
    {
        self.find(what, look).await
    }

    async fn find<T, F>(&self, what: &str, look: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<std::result::Result<T, String>>>,
    {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let lack = match look().await? {
                Ok(found) => return Ok(found),
                Err(lack) => lack,
            };
            if Instant::now() > give_up {
                return seen(format!("{}: not within {PATIENCE:?}: {what}: {lack}", self.namespace));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The pods as [`Side::rests_at`] spells them.
fn picture(record: &Record) -> Vec<String> {
    let ordinal = |name: &str| name.rsplit('-').next().and_then(|digits| digits.parse::<u32>().ok());
    let mut pods: Vec<(Option<u32>, String)> = record
        .pods()
        .iter()
        .map(|(name, pod)| {
            let ordinal = ordinal(name);
            let mark = match (pod.deleting, pod.ready) {
                (true, _) => "-",
                (false, true) => "",
                (false, false) => "?",
            };
            (ordinal, format!("{}={}{mark}", ordinal.unwrap_or_default(), pod.tag))
        })
        .collect();
    pods.sort();
    pods.into_iter().map(|(_, text)| text).collect()
}

fn owned(claim: &PersistentVolumeClaim) -> String {
    let owners = claim.owner_references();
    let mut owners: Vec<String> = owners
        .iter()
        .map(|owner| match owner.kind.as_str() {
            "StatefulSet" | "GameStatefulSet" => "the set".to_owned(),
            "Pod" => format!("pod {}", owner.name),
            other => other.to_owned(),
        })
        .collect();
    owners.sort();
    let owners = if owners.is_empty() { "nobody".to_owned() } else { owners.join(", ") };
    format!("claim {} of {owners}", claim.name_any())
}

/// Opens the gate of a pod that nobody holds, unless its image is one that never gets ready.
async fn open_gate(pods: &Api<Pod>, pod: &Pod, held: &Mutex<BTreeSet<String>>) {
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|spec| spec.readiness_gates.as_ref());
    if !gates.is_some_and(|gates| gates.iter().any(|gate| gate.condition_type == GATE)) {
        return;
    }
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let known = conditions.any(|one| one.type_ == GATE);
    let image =
        spec.and_then(|spec| spec.containers.first()).and_then(|container| container.image.as_deref());
    let bad = image.is_some_and(|image| image.ends_with(":bad"));
    let name = pod.name_any();
    if !known && !bad && !held.lock().contains(&name) && pod.metadata.deletion_timestamp.is_none() {
        for _ in 0..TRIES {
            match set_gate(pods, &name, true).await {
                // Gone meanwhile is as good.
                Ok(()) | Err(Failure::Kube(kube::Error::Api(_))) => return,
                // Nobody answered; without its gate the pod would never be ready, and nothing more would be seen of it.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

async fn set_gate(pods: &Api<Pod>, name: &str, open: bool) -> Result<()> {
    let status = if open { "True" } else { "False" };
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": status}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}
