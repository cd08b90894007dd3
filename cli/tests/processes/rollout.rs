//! `muster rollout` against an agent without a hub, and against a hub's objects.

use std::process::Command;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams, PostParams};
use muster_agent::definitions;
use muster_crds::{FederatedGameStatefulSet, GameStatefulSet};
use serde_json::{Value, json};

use super::world::{SHANGHAI, World};

/// Status, standard output and standard error of a command that ended.
type Ended = (i32, String, String);

/// Runs `muster rollout` in a context. Away from the runtime, which serves the clusters.
async fn rollout(world: &World, context: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.current_dir(world.directory()).args([
        "--kubeconfig",
        "kubeconfig",
        "--context",
        context,
        "rollout",
    ]);
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn set(kind: &str, steps: &Value) -> GameStatefulSet {
    let set = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "game", "namespace": "default"},
        "spec": {
            "replicas": 4,
            "serviceName": "game",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "main", "image": "game:1"}]},
            },
            "updateStrategy": {
                "type": kind, "canary": {"steps": steps}, "rollingUpdate": {"maxUnavailable": "100%"},
            },
        },
    });
    serde_json::from_value(set).unwrap()
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}})
}

async fn patch(sets: &Api<GameStatefulSet>, patch: &Value) {
    sets.patch("game", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn canary_is_shown_resumed_paused_undone_and_listed_from_the_command_line() {
    let world = World::start().await;
    let mut agent = world.muster("agent", &["agent", "--cluster", SHANGHAI, "--context", SHANGHAI]);
    let sets: Api<GameStatefulSet> =
        Api::namespaced(world.sandbox.client(SHANGHAI, "test").unwrap(), "default");
    let steps = json!([{"partition": 3}, {"pause": {}}, {"partition": 1}, {"pause": {}}]);
    agent.address();
    world
        .until("a set", async || {
            let created = sets.create(&PostParams::default(), &set("InplaceUpdate", &steps)).await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
    let run = async |arguments: &[&str]| rollout(&world, SHANGHAI, arguments).await;
    let (code, out, err) = run(&["status", "gamestatefulset/game", "--timeout", "60s"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("complete: 4 pods"), "{out}");
    let (code, _, err) = run(&["resume", "gamestatefulset/game"]).await;
    assert!(code == 1 && err.contains("no canary step of it waits"), "{err}");
    let (code, _, err) = run(&["undo", "gamestatefulset/game"]).await;
    assert!(code == 1 && err.contains("no revision to go back to; there are: 1"), "{err}");

    // A step that waits; who waits for the end is told why there is none.
    patch(&sets, &image("game:2")).await;
    let (code, out, err) = run(&["status", "gamestatefulset/game", "--timeout", "8s"]).await;
    assert!(code == 1 && err.contains("not complete after 8s"), "{out} {err}");
    assert!(out.contains("canary step 1 of 4 is paused: 1 of 4"), "{out}");
    let (code, out, _) = run(&["status", "gamestatefulset/game", "--watch=false", "-o", "json"]).await;
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["complete"]), (0, &json!(false)), "{out}");

    for step in [1, 3] {
        let waits = async || {
            let status = sets.get("game").await.unwrap().status.unwrap();
            let there = status.current_step_index == Some(step) && !status.pause_conditions.is_empty();
            if there { Ok(()) } else { Err(format!("{:?}", status.current_step_index)) }
        };
        world.until("a pause", waits).await;
        let (code, out, err) = run(&["resume", "gamestatefulset/game"]).await;
        assert_eq!((code, out.as_str(), err.as_str()), (0, "gamestatefulset default/game resumed\n", ""));
    }
    let (code, out, err) = run(&["status", "gamestatefulset/game", "--timeout", "60s"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let object = sets.get("game").await.unwrap();
    assert_eq!(object.metadata.annotations.unwrap_or_default().get("muster.dev/resume"), None);
    let managers = object.metadata.managed_fields.unwrap();
    assert!(
        !managers.iter().any(|one| one.manager.as_deref() == Some("muster-cli")),
        "nothing of it is left"
    );

    let (_, out, _) = run(&["history", "gamestatefulset/game"]).await;
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("game:1") && lines[2].contains("in use"), "{out}");
    let (code, _, err) = run(&["history", "gamestatefulset/game", "--revision", "7"]).await;
    assert!(code == 1 && err.contains("has no revision 7; there are: 1, 2"), "{err}");
    let (_, out, _) = run(&["history", "gamestatefulset/game", "--revision", "1"]).await;
    assert!(out.contains("game:1"), "{out}");

    // Back to the last complete revision needs no step, and ends in it.
    let (code, out, err) = run(&["undo", "gamestatefulset/game", "--to-revision", "1"]).await;
    assert!(code == 0 && out.contains("rolled back to revision 1"), "{out} {err}");
    let (_, out, _) = run(&["undo", "gamestatefulset/game", "--to-revision", "9"]).await;
    assert_eq!(out, "");

    let (code, ..) = run(&["pause", "gamestatefulset/game"]).await;
    let (again, _, err) = run(&["pause", "gamestatefulset/game"]).await;
    assert!((code, again) == (0, 1) && err.contains("is paused already"), "{err}");
    assert_eq!(sets.get("game").await.unwrap().spec.update_strategy.unwrap().paused, Some(true));
    assert_eq!(run(&["resume", "gamestatefulset/game"]).await.0, 0);
    assert_eq!(sets.get("game").await.unwrap().spec.update_strategy.unwrap().paused, Some(false));

    let (code, _, err) = run(&["restart", "gamestatefulset/game"]).await;
    assert!(code == 1 && err.contains("spec.updateStrategy.type InplaceUpdate keeps pods"), "{err}");
    patch(&sets, &json!({"spec": {"updateStrategy": {"type": "RollingUpdate", "canary": null}}})).await;
    assert_eq!(run(&["restart", "gamestatefulset/game"]).await.0, 0);
    let (code, out, err) = run(&["status", "gamestatefulset/game", "--timeout", "60s"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let template = sets.get("game").await.unwrap().spec.template;
    assert!(template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string());

    patch(&sets, &json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}})).await;
    let (code, _, err) = run(&["status", "gamestatefulset/game", "--timeout", "60s"]).await;
    assert!(code == 1 && err.contains("spec.template.spec.restartPolicy"), "{err}");
    for (target, words) in [
        ("game", "is not KIND/NAME"),
        ("deployment/game", "known are gamestatefulset and federatedgamestatefulset"),
        ("gamestatefulset/none", "gamestatefulset default/none"),
    ] {
        let (code, _, err) = run(&["status", target]).await;
        assert!(code == 1 && err.contains(words), "{err}");
    }
    agent.terminate();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_object_is_paused_and_resumed_and_says_where_its_history_is() {
    let world = World::start().await;
    let target = "federatedgamestatefulset/gamecenter";
    let run = async |arguments: &[&str]| rollout(&world, "hub", arguments).await;
    let games: Api<FederatedGameStatefulSet> =
        Api::namespaced(world.sandbox.client("hub", "test").unwrap(), "center-system");
    let paused = async || {
        let template = games.get("gamecenter").await.unwrap().spec.template;
        template.pointer("/spec/updateStrategy/paused").cloned()
    };
    assert_eq!(run(&["pause", target]).await.0, 0);
    assert_eq!(paused().await, Some(json!(true)));
    assert_eq!(run(&["resume", target]).await.0, 0);
    assert_eq!(paused().await, Some(json!(false)));
    let (code, _, err) = run(&["resume", target]).await;
    assert!(code == 1 && err.contains("--context MEMBER"), "{err}");

    let (code, _, err) = run(&["history", target]).await;
    assert!(code == 1 && err.contains("the hub keeps no older templates"), "{err}");
    // The talk's clusters have images of their own.
    let (code, _, err) = run(&["undo", target, "--from", SHANGHAI]).await;
    assert!(
        code == 1 && err.contains("spec.overrides of cluster shanghai-cluster change /spec/template"),
        "{err}"
    );
    let without = json!({"spec": {"overrides": []}});
    games.patch("gamecenter", &PatchParams::default(), &Patch::Merge(&without)).await.unwrap();
    let (code, _, err) = run(&["undo", target]).await;
    assert!(code == 1 && err.contains("--from"), "{err}");
    // A member's history, as its controller leaves it.
    let member = world.sandbox.client(SHANGHAI, "test").unwrap();
    definitions::install(&member, &definitions::own()).await.unwrap();
    let mut set = set("InplaceUpdate", &json!([]));
    set.metadata.name = Some("gamecenter".into());
    set.metadata.namespace = Some("center-system".into());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "center-system"}})).unwrap();
    Api::<Namespace>::all(member.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let sets: Api<GameStatefulSet> = Api::namespaced(member.clone(), "center-system");
    let uid = sets.create(&PostParams::default(), &set).await.unwrap().metadata.uid;
    let revisions: Api<ControllerRevision> = Api::namespaced(member, "center-system");
    for (number, image) in [(1, "game:0"), (2, "game:1")] {
        let revision = json!({
            "metadata": {
                "name": format!("gamecenter-{number}"),
                "ownerReferences": [{
                    "apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet", "name": "gamecenter",
                    "uid": uid, "controller": true,
                }],
            },
            "revision": number,
            "data": {"spec": {"template": {"$patch": "replace", "spec": {"containers": [{"name": "main", "image": image}]}}}},
        });
        let revision = serde_json::from_value(revision).unwrap();
        revisions.create(&PostParams::default(), &revision).await.unwrap();
    }
    let (code, out, err) = run(&["undo", target, "--from", SHANGHAI]).await;
    assert!(code == 0 && out.contains("rolled back to revision 1 (gamecenter-1)"), "{out} {err}");
    let template = games.get("gamecenter").await.unwrap().spec.template;
    let expected = json!({"spec": {"containers": [{"name": "main", "image": "game:0"}]}});
    assert_eq!(template["spec"]["template"], expected);
    assert_eq!(template["spec"]["replicas"], 200);
    let (code, out, _) = run(&["undo", target, "--from", SHANGHAI]).await;
    assert!(code == 0 && out.contains("skipped rollback"), "{out}");

    let (code, _, err) = run(&["restart", target]).await;
    assert!(code == 1 && err.contains("InplaceUpdate keeps pods"), "{err}");
    let (code, out, _) = run(&["status", target, "--watch=false"]).await;
    assert!(code == 0 && out.contains("waiting for the hub to see it"), "{out}");
    world.stop().await;
}
