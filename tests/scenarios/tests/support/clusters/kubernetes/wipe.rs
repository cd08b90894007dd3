//! Takes everything away that a scenario left in a control plane.
//!
//! A namespace that is only deleted is kept for five seconds and more by its controller, which gives other API servers
//! time to hear of it. There are none here, so a namespace is emptied from here first and then deleted and released at
//! once. Where that was too slow its controller may already be emptying it, and would go on in the next namespace of that
//! name; then it is the controller that releases it.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

/// Namespaces that belong to the control plane.
const ITS_OWN: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Objects that every namespace has, by plural and name.
const PUT_BACK: [(&str, &str); 2] = [("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")];

/// How often at most what is in a namespace is looked through.
const ROUNDS: usize = 400;

/// How often before nobody is waited for any more.
const PATIENT_ROUNDS: usize = 200;

const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);

/// How long after its deletion a namespace's controller surely leaves it alone.
const LEFT_ALONE: Duration = Duration::from_secs(3);

/// How long it may take to empty and release it.
const RELEASED: Duration = Duration::from_mins(2);

/// Leaves nodes, definitions and the control plane's own namespaces.
pub(super) async fn wipe(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let listed = namespaces.list(&ListParams::default()).await.expect("namespaces are listed");
    let others = listed.items.iter().filter(|one| !ITS_OWN.contains(&one.name_any().as_str()));
    join_all(others.map(async |namespace| remove(client, namespace).await)).await;

    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let left = volumes.list(&ListParams::default()).await.expect("volumes are listed");
    for volume in left {
        let name = volume.name_any();
        let unprotected = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        // Gone meanwhile is as good.
        let _ = volumes.delete(&name, &DeleteParams::default()).await;
        let _ = volumes.patch(&name, &PatchParams::default(), &unprotected).await;
    }
}

/// Deletes a namespace with all that is in it.
async fn remove(client: &Client, namespace: &Namespace) {
    let name = &namespace.name_any();
    // Pods first, while what owns them is there: whatever deletes them a second time might hit the next of that name.
    let pods = [resource("", "v1", "Pod", "pods")];
    for kinds in [&pods[..], &kinds()] {
        for round in 0.. {
            let left =
                kinds.iter().map(async |kind| empty(client, name, kind, round >= PATIENT_ROUNDS).await);
            let left: usize = join_all(left).await.into_iter().sum();
            if left == 0 {
                break;
            }
            assert!(round < ROUNDS, "namespace {name} does not get empty: {left} objects are left");
            tokio::time::sleep(BETWEEN_ROUNDS).await;
        }
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let before = Instant::now();
    // Gone meanwhile is as good.
    let _ = namespaces.delete(name, &DeleteParams::default()).await;
    let was_alive = namespace.metadata.deletion_timestamp.is_none();
    if was_alive && before.elapsed() < LEFT_ALONE {
        release(&namespaces, name).await;
    }
    while namespaces.get_opt(name).await.expect("a namespace is read").is_some() {
        assert!(before.elapsed() < RELEASED, "namespace {name} is not released by its controller");
        tokio::time::sleep(BETWEEN_ROUNDS).await;
    }
}

async fn release(namespaces: &Api<Namespace>, name: &str) {
    let released = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name}, "spec": {"finalizers": []},
    });
    let answer = namespaces.replace_subresource("finalize", name, &PostParams::default(), &released).await;
    match answer {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => panic!("namespace {name}: {error}"),
    }
}

/// Deletes the objects of one kind in a namespace, and says how many there were.
async fn empty(client: &Client, namespace: &str, kind: &ApiResource, at_once: bool) -> usize {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
    let mut objects = match api.list_metadata(&ListParams::default()).await {
        Ok(list) => list.items,
        // Not installed here.
        Err(kube::Error::Api(status)) if status.code == 404 => return 0,
        // Its definition is so new that the API server is still at it.
        Err(kube::Error::Api(status)) if status.code == 429 => return 1,
        Err(error) => panic!("{}: {error}", kind.plural),
    };
    // A control plane puts these back at once while the namespace lives.
    objects.retain(|object| !PUT_BACK.contains(&(kind.plural.as_str(), &object.name_any())));
    if objects.is_empty() {
        return 0;
    }
    for object in objects.iter().filter(|object| !object.finalizers().is_empty()) {
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let _ = api.patch_metadata(&object.name_any(), &PatchParams::default(), &released).await;
    }
    let grace_period_seconds = at_once.then_some(0);
    let params = DeleteParams { grace_period_seconds, ..DeleteParams::background() };
    let _ = api.delete_collection(&params, &ListParams::default()).await;
    objects.len()
}

/// What a namespace may hold: Muster's kinds, what hub, agents and scenarios make, and what a control plane adds.
fn kinds() -> Vec<ApiResource> {
    let ours = muster_crds::all().into_iter().flat_map(|definition| {
        let names = definition.spec.names;
        let group = definition.spec.group;
        definition
            .spec
            .versions
            .into_iter()
            .map(move |version| resource(&group, &version.name, &names.kind, &names.plural))
    });
    let others = [
        ("apps", "v1", "ControllerRevision", "controllerrevisions"),
        ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        ("", "v1", "Event", "events"),
        ("", "v1", "ConfigMap", "configmaps"),
        ("", "v1", "Secret", "secrets"),
        ("", "v1", "ServiceAccount", "serviceaccounts"),
        ("coordination.k8s.io", "v1", "Lease", "leases"),
    ];
    ours.chain(others.map(|(group, version, kind, plural)| resource(group, version, kind, plural))).collect()
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk_with_plural(&gvk, plural)
}
