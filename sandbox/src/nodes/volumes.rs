//! The provisioner of a simulated cluster: makes volumes for claims, lets them grow, and removes what nobody claims.
//!
//! A simulated volume has a size and no data. Claims of the class `standard`, which is the default one, and of every other
//! class with the same provisioner get one; claims of other classes wait for ever, as on a cluster without a provisioner.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use muster_apiserver::builtin::quantity;
use muster_runtime::queue::{Next, WorkQueue};
use muster_runtime::watch::{Cache, Change, Key, Watch};
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::json;

use super::{Timing, later, until};

/// What makes the volumes.
pub const PROVISIONER: &str = "sandbox.muster.dev/volumes";
/// The class of claims that name none.
pub const CLASS: &str = "standard";

/// The field manager of the provisioner.
const MANAGER: &str = "sandbox-volumes";
/// Who made a volume.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// How many claims are looked after at once.
const WORKERS: usize = 16;

/// A claim, or a volume by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Item {
    Claim(Key),
    Volume(String),
}

#[derive(Clone)]
struct Provisioner {
    client: Client,
    clock: Clock,
    timing: Arc<Timing>,
    claims: Cache<PersistentVolumeClaim>,
    volumes: Cache<PersistentVolume>,
    classes: Cache<StorageClass>,
    /// When the volume of a claim, by its uid, will have grown.
    growing: Arc<Mutex<HashMap<String, Timestamp>>>,
}

/// The class of simulated volumes.
pub fn class() -> StorageClass {
    let default = ("storageclass.kubernetes.io/is-default-class".to_owned(), "true".to_owned());
    StorageClass {
        metadata: ObjectMeta {
            name: Some(CLASS.to_owned()),
            annotations: Some(BTreeMap::from([default])),
            ..ObjectMeta::default()
        },
        provisioner: PROVISIONER.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("Immediate".to_owned()),
        allow_volume_expansion: Some(true),
        ..StorageClass::default()
    }
}

/// Starts the provisioner of the cluster behind `client`.
pub fn start(client: &Client, clock: &Clock, timing: Timing, tasks: &Tasks) {
    let queue: WorkQueue<Item> = WorkQueue::new();
    let feed = queue.clone();
    let claims = Watch::new("volumes-claims", Api::<PersistentVolumeClaim>::all(client.clone()))
        .subscribe(move |change| match change {
            Change::Applied { new, .. } => feed.add(Item::Claim(Key::of(new.as_ref()))),
            Change::Deleted(claim) => {
                if let Some(volume) = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) {
                    feed.add(Item::Volume(volume));
                }
            }
            Change::Synced => {}
        })
        .start(tasks);
    let feed = queue.clone();
    let volumes = Watch::new("volumes-volumes", Api::<PersistentVolume>::all(client.clone()))
        .subscribe(move |change| {
            if let Change::Applied { new, .. } = change {
                feed.add(Item::Volume(new.name_any()));
            }
        })
        .start(tasks);
    let (feed, all) = (queue.clone(), claims.clone());
    let classes = Watch::new("volumes-classes", Api::<StorageClass>::all(client.clone()))
        .subscribe(move |change| {
            if let Change::Applied { old: None, .. } = change {
                for claim in all.list() {
                    feed.add(Item::Claim(Key::of(claim.as_ref())));
                }
            }
        })
        .start(tasks);
    let provisioner = Provisioner {
        client: client.clone(),
        clock: clock.clone(),
        timing: Arc::new(timing),
        claims,
        volumes,
        classes,
        growing: Arc::default(),
    };
    queue.run(tasks, "volumes", WORKERS, move |item| {
        let provisioner = provisioner.clone();
        async move { provisioner.tend(&item).await }
    });
}

// === impl Provisioner ===

impl Provisioner {
    async fn tend(&self, item: &Item) -> Next {
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
        let result = match item {
            Item::Claim(key) => self.claim(key).await,
            Item::Volume(name) => self.volume(name).await.map(|()| Next::Done),
        };
        result.unwrap_or_else(|error| {
            if matches!(&error, kube::Error::Api(status) if status.is_not_found()) {
                return Next::Done;
            }
            tracing::debug!(?item, %error, "cannot look after storage");
            Next::Retry
        })
    }

    async fn claim(&self, key: &Key) -> Result<Next, kube::Error> {
        let Some(claim) = self.claims.get(key) else { return Ok(Next::Done) };
        let (Some(uid), Some(spec)) = (claim.uid(), &claim.spec) else { return Ok(Next::Done) };
        let class = spec.storage_class_name.as_deref().unwrap_or_default();
        let class = self.classes.get(&Key::new("", class));
        let ours = class.as_ref().is_some_and(|class| class.provisioner == PROVISIONER);
        if !ours || claim.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let now = self.clock.now();
        let takes = self.timing.draw(&self.timing.restart, &["volume", &key.namespace, &key.name, &uid]);
        if phase(&claim) != Some("Bound") {
            let made = claim.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
            let ready = later(made, takes);
            if ready > now {
                return Ok(Next::After(until(now, ready)));
            }
            let reclaim = class.as_ref().and_then(|class| class.reclaim_policy.clone());
            self.bind(&claim, &uid, reclaim.as_deref().unwrap_or("Delete")).await?;
            return Ok(Next::Done);
        }
        if amount(asked(&claim)) <= amount(capacity(&claim)) {
            self.growing.lock().remove(&uid);
            return Ok(Next::Done);
        }
        let grown = *self.growing.lock().entry(uid).or_insert_with(|| later(now, takes));
        if grown > now {
            return Ok(Next::After(until(now, grown)));
        }
        self.grow(&claim).await?;
        Ok(Next::Done)
    }

    /// Makes a volume for a claim and binds the two.
    async fn bind(&self, claim: &PersistentVolumeClaim, uid: &str, reclaim: &str) -> Result<(), kube::Error> {
        let Some(spec) = &claim.spec else { return Ok(()) };
        let name = format!("pvc-{uid}");
        let size = asked(claim).cloned().unwrap_or_else(|| Quantity("1Gi".to_owned()));
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": spec.access_modes,
                "persistentVolumeReclaimPolicy": reclaim,
                "storageClassName": spec.storage_class_name,
                "volumeMode": spec.volume_mode,
                "csi": {"driver": PROVISIONER, "volumeHandle": name},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": uid,
                    "namespace": claim.namespace(), "name": claim.name_any()},
            },
        });
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let volume = serde_json::from_value(volume).map_err(kube::Error::SerdeError)?;
        let create = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match volumes.create(&create, &volume).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            other => drop(other?),
        }
        let bound = json!({"status": {"phase": "Bound"}});
        volumes.patch_status(&name, &params(), &Patch::Merge(bound)).await?;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default());
        let chosen = json!({
            "metadata": {"uid": uid, "annotations": {
                "pv.kubernetes.io/bind-completed": "yes",
                "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": PROVISIONER,
            }},
            "spec": {"volumeName": name},
        });
        claims.patch(&claim.name_any(), &params(), &Patch::Merge(chosen)).await?;
        let bound = json!({
            "metadata": {"uid": uid},
            "status": {"phase": "Bound", "accessModes": spec.access_modes, "capacity": {"storage": size}},
        });
        claims.patch_status(&claim.name_any(), &params(), &Patch::Merge(bound)).await?;
        Ok(())
    }

    /// Gives a claim the room that it asks for.
    async fn grow(&self, claim: &PersistentVolumeClaim) -> Result<(), kube::Error> {
        let Some(volume) = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) else {
            return Ok(());
        };
        let size = json!({"storage": asked(claim)});
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.patch(volume, &params(), &Patch::Merge(json!({"spec": {"capacity": size}}))).await?;
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default());
        let grown = json!({"metadata": {"uid": claim.metadata.uid}, "status": {"capacity": size}});
        claims.patch_status(&claim.name_any(), &params(), &Patch::Merge(grown)).await?;
        Ok(())
    }

    /// Releases a volume whose claim is gone, and removes it where its class says so.
    async fn volume(&self, name: &str) -> Result<(), kube::Error> {
        let Some(volume) = self.volumes.get(&Key::new("", name)) else { return Ok(()) };
        let ours = volume.annotations().get(PROVISIONED_BY).is_some_and(|it| it == PROVISIONER);
        let Some(claim) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()).filter(|_| ours)
        else {
            return Ok(());
        };
        let key =
            Key::new(claim.namespace.clone().unwrap_or_default(), claim.name.clone().unwrap_or_default());
        if self.claims.get(&key).is_some_and(|found| found.uid() == claim.uid) {
            return Ok(());
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        if bound {
            let released = json!({"status": {"phase": "Released"}});
            volumes.patch_status(name, &params(), &Patch::Merge(released)).await?;
        }
        let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        if policy == Some("Delete") && volume.metadata.deletion_timestamp.is_none() {
            let preconditions = Some(Preconditions { uid: volume.uid(), resource_version: None });
            volumes.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await?;
        }
        Ok(())
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

fn phase(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.phase.as_deref()
}

fn asked(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")
}

fn capacity(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    claim.status.as_ref()?.capacity.as_ref()?.get("storage")
}

fn amount(size: Option<&Quantity>) -> i128 {
    size.and_then(|size| quantity(&size.0.as_str().into())).unwrap_or_default()
}
