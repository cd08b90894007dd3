//! The nodes of a member, which kwok plays, and volumes for claims.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

/// How many pods a node takes.
const PODS_PER_NODE: usize = 110;

/// How long nodes may take until pods can be placed on them.
const READY: Duration = Duration::from_mins(4);

/// Brings a control plane to so many nodes, and waits until pods can be placed on them.
pub(super) async fn nodes(client: &Client, count: usize) {
    let api: Api<Node> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await.expect("nodes are listed").items;
    let wanted: Vec<String> = (0..count).map(|index| format!("kwok-{index}")).collect();
    let surplus = listed.iter().map(ResourceExt::name_any).filter(|name| !wanted.contains(name));
    join_all(surplus.map(async |name| {
        api.delete(&name, &DeleteParams::default()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }))
    .await;
    let missing = wanted.iter().filter(|name| !listed.iter().any(|node| node.name_any() == **name));
    join_all(missing.map(async |name| {
        api.create(&PostParams::default(), &node(name))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }))
    .await;
    let give_up = tokio::time::Instant::now() + READY;
    loop {
        let nodes = api.list(&ListParams::default()).await.expect("nodes are listed").items;
        if nodes.len() == count && nodes.iter().all(usable) {
            return;
        }
        assert!(tokio::time::Instant::now() < give_up, "nodes are not ready: is kwok running? {nodes:?}");
        tokio::time::sleep(super::LOOK).await;
    }
}

fn node(name: &str) -> Node {
    let resources = json!({"cpu": "64", "memory": "256Gi", "pods": PODS_PER_NODE.to_string()});
    let node = json!({
        "metadata": {
            "name": name,
            // By which kwok knows the nodes that it is to play, where it does not play all.
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "status": {"capacity": resources, "allocatable": resources},
    });
    serde_json::from_value(node).expect("a node")
}

fn usable(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.filter(|one| one.type_ == "Ready").any(|one| one.status == "True");
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    ready && taints.filter(|taint| taint.effect != "PreferNoSchedule").count() == 0
}

/// Gives a control plane so many empty volumes.
pub(super) async fn volumes(client: &Client, count: usize) {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    for index in 0..count {
        let name = format!("volume-{index}");
        let volume = json!({
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": format!("/volumes/{name}")},
            },
        });
        let volume = serde_json::from_value(volume).expect("a volume");
        api.create(&PostParams::default(), &volume).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
