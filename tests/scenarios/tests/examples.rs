//! Every folder of `examples/` is applied as it stands, and becomes Ready.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kube::api::{Api, ListParams};
use muster_crds::types_kubefed::FederatedGameStatefulSet;
use muster_sandbox::manifests::{self, Manifest};

use crate::support::{Setup, World, condition, status};

/// The manifests of one example.
pub(crate) fn example(name: &str) -> Vec<Manifest> {
    manifests::read(&[folder().join(name)]).expect("a readable example")
}

/// A world with the clusters that the manifests register.
pub(crate) async fn world_of(manifests: &[Manifest]) -> World {
    let clusters = manifests.iter().filter(|manifest| manifest.kind() == "KubeFedCluster");
    let names: Vec<&str> = clusters.map(Manifest::name).collect();
    World::start(Setup::new(&names)).await
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"))
}

#[tokio::test(start_paused = true)]
async fn fed_c3_every_example_becomes_ready_as_it_stands() {
    let folders = std::fs::read_dir(folder()).expect("the examples are there");
    let names: BTreeSet<String> = folders
        .map(|entry| entry.expect("a readable entry"))
        // The game server beside them is a program and has no manifests.
        .filter(|entry| entry.path().is_dir() && !entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains("talk"), "{names:?}");
    for name in names {
        let manifests = example(&name);
        let world = world_of(&manifests).await;
        world.apply_example(&manifests).await;
        let games: Api<FederatedGameStatefulSet> = Api::all(world.hub());
        world
            .until(&format!("everything in examples/{name} is Ready"), async || {
                let games = games.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
                if games.items.is_empty() {
                    return Err("there is no federated object".to_owned());
                }
                let ready = games.iter().all(|game| {
                    condition(status::conditions(game), "Ready").is_some_and(|ready| ready.status == "True")
                });
                if ready { Ok(()) } else { Err("not all are Ready".to_owned()) }
            })
            .await;
    }
}
