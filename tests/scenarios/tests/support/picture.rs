//! What a person would look at when a scenario fails.

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use muster_crds::core_kubefed::KubeFedCluster;
use muster_crds::tkex::GameStatefulSet;
use muster_crds::types_kubefed::FederatedGameStatefulSet;
use serde_json::Value;

use super::pods::PodView;
use super::world::World;

/// The most pods of one cluster that are shown one by one.
const MAX_PODS: usize = 12;

/// Statuses, conditions and pods of all clusters, as text.
pub(crate) async fn picture(world: &World) -> String {
    let mut text = format!("at {} (seed {})\n", world.now(), world.seed());
    let hub = world.hub();
    let clusters: Api<KubeFedCluster> = Api::all(hub.clone());
    for cluster in list(&clusters).await {
        let _ = writeln!(text, "cluster {}: {}", named(&cluster), status(&cluster));
    }
    for game in list::<FederatedGameStatefulSet>(&Api::all(hub)).await {
        let generation = game.metadata.generation.unwrap_or_default();
        let _ = writeln!(text, "federated {} (generation {generation}): {}", named(&game), status(&game));
    }
    for member in world.members() {
        let client = world.member(member);
        for set in list::<GameStatefulSet>(&Api::all(client.clone())).await {
            let generation = set.metadata.generation.unwrap_or_default();
            let replicas = set.spec.replicas;
            let _ = writeln!(
                text,
                "{member}: set {} (generation {generation}, replicas {replicas:?}): {}",
                named(&set),
                status(&set)
            );
        }
        let pods: Vec<PodView> = list::<Pod>(&Api::all(client)).await.iter().map(PodView::of).collect();
        let mut phases: BTreeMap<(&str, bool, bool), usize> = BTreeMap::new();
        for pod in &pods {
            *phases.entry((&pod.phase, pod.ready, pod.terminating)).or_default() += 1;
        }
        let _ = writeln!(text, "{member}: pods by (phase, ready, terminating): {phases:?}");
        for pod in pods.iter().filter(|pod| !pod.ready || pod.terminating).take(MAX_PODS) {
            let _ = writeln!(text, "{member}:   {pod:?}");
        }
    }
    text
}

async fn list<K>(api: &Api<K>) -> Vec<K>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => panic!("cannot list what is there: {error}"),
    }
}

fn named<K: kube::ResourceExt>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

fn status<K: serde::Serialize>(object: &K) -> String {
    let value = serde_json::to_value(object).unwrap_or_default();
    let status = value.get("status").cloned().unwrap_or(Value::Null);
    serde_json::to_string_pretty(&status).unwrap_or_default()
}
