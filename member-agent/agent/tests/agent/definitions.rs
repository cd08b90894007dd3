//! The agent's own definitions in the member.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::world::World;

const NAME: &str = "gamestatefulsets.tkex.tencent.com";

#[tokio::test(start_paused = true)]
async fn definitions_are_installed_once_and_never_taken_back() {
    let mut world = World::new().await;
    let api: Api<CustomResourceDefinition> = Api::all(world.person());
    assert_eq!(api.get(NAME).await.unwrap().spec.group, "tkex.tencent.com");
    let before = world.writes();
    world.stop_agent().await;
    world.start_agent().await;
    assert_eq!(world.writes(), before);

    world.stop_agent().await;
    let later = json!({"metadata": {"annotations": {"muster.dev/release": "99.0.0"}}});
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(later)).await.unwrap();
    world.start_agent().await;
    assert_eq!(world.writes(), before);

    world.stop_agent().await;
    let older = json!({"metadata": {"annotations": {"muster.dev/release": "0.0.1"}}});
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(older)).await.unwrap();
    world.start_agent().await;
    assert_eq!(world.writes(), before + 1);
}
