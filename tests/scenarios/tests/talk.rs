//! The talk's manifest: 200 game servers in two clusters.

use std::time::Duration;

use kube::Api;
use muster_crds::tkex::GameStatefulSet;

use crate::examples::{example, world_of};
use crate::support::{NANJING, SHANGHAI, status};

const NAMESPACE: &str = "center-system";
const NAME: &str = "gamecenter";

/// What the talk's overrides say.
const IMAGES: [(&str, &str); 2] = [
    (SHANGHAI, "registry.com/registry/gamcenter:v1.20.11"),
    (NANJING, "registry.com/registry/gamcenter:v1.20.12"),
];

#[tokio::test(start_paused = true)]
async fn fed_c3_the_talks_manifest_becomes_120_and_80_ready_pods_each_with_its_clusters_image() {
    let manifests = example("talk");
    let world = world_of(&manifests).await;
    let began = world.now();
    world.apply_example(&manifests).await;
    world.settled_in(NAMESPACE, NAME, &[(SHANGHAI, 120), (NANJING, 80)]).await;
    let took = world.now().duration_since(began);
    assert!(took.unsigned_abs() <= world.allowed(Duration::from_secs(5)), "ready only after {took:#}");

    for (member, image) in IMAGES {
        let pods = world.pods_in(member, NAMESPACE, NAME).await;
        assert!(pods.iter().all(|pod| pod.runs("center") == image), "an image in {member} is not {image}");
        let view: Api<GameStatefulSet> = Api::namespaced(world.view(member), NAMESPACE);
        let shown = view.get(NAME).await.expect("the view shows the set");
        let template = serde_json::to_value(&shown.spec.template).unwrap_or_default();
        assert_eq!(
            template.pointer("/spec/containers/0/image").and_then(|image| image.as_str()),
            Some(image)
        );
        let ready = shown.status.map(|status| status.ready_replicas);
        assert_eq!(ready, Some(pods.len() as i64), "the view of {member} carries the member's status");
    }
}

#[tokio::test(start_paused = true)]
async fn kubefed_d12_scaling_the_talks_set_to_250_gives_150_and_100_and_deletes_no_pod() {
    let manifests = example("talk");
    let world = world_of(&manifests).await;
    world.apply_example(&manifests).await;
    world.settled_in(NAMESPACE, NAME, &[(SHANGHAI, 120), (NANJING, 80)]).await;
    let mut before = Vec::new();
    for member in [SHANGHAI, NANJING] {
        before.push((member, world.pods_in(member, NAMESPACE, NAME).await));
    }
    let writes = world.writes(SHANGHAI);

    world.scale_in(NAMESPACE, NAME, 250).await;
    world.settled_in(NAMESPACE, NAME, &[(SHANGHAI, 150), (NANJING, 100)]).await;

    for (member, pods) in before {
        pods.assert_kept_in(&world.pods_in(member, NAMESPACE, NAME).await);
    }
    let writes = world.writes(SHANGHAI).since(&writes);
    assert_eq!(writes.of("create", "pods"), 30, "one create for each new pod:\n{writes}");
    assert_eq!(writes.of("delete", "pods"), 0, "no delete:\n{writes}");
    let games: Api<muster_crds::types_kubefed::FederatedGameStatefulSet> =
        Api::namespaced(world.hub(), NAMESPACE);
    let scale = games.get_scale(NAME).await.expect("the scale sub-resource answers");
    assert_eq!(scale.status.map(|status| status.replicas), Some(250));
    let game = games.get(NAME).await.expect("it is there");
    assert_eq!(
        status::condition(status::conditions(&game), "Propagation").map(|one| one.status.as_str()),
        Some("True")
    );
}
