//! What is accepted and not carried out says so.

use kube::api::Api;
use muster_crds::core_kubefed::FederatedTypeConfig;
use muster_crds::keys::{self, condition};
use serde_json::{Value, json};

use crate::support::{NANJING, SHANGHAI, World, condition as found, game, merged, preference};

fn type_config(name: &str, target: &Value, federated: &Value, propagation: &str) -> Value {
    json!({
        "apiVersion": "core.kubefed.io/v1beta1",
        "kind": "FederatedTypeConfig",
        "metadata": {"name": name, "namespace": keys::FEDERATION_NAMESPACE},
        "spec": {"targetType": target, "federatedType": federated, "propagation": propagation},
    })
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind, "pluralName": plural, "scope": "Namespaced"})
}

#[tokio::test(start_paused = true)]
async fn hook_named_by_a_set_is_stored_and_said_not_to_be_enforced() {
    let world = World::two().await;
    let hooks = json!({"spec": {"template": {"spec": {
        "preDeleteUpdateStrategy": {"hook": {"templateName": "controller-hook"}},
        "preInplaceUpdateStrategy": {"hook": {"templateName": "inplace-hook"}},
    }}}});
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&merged(game("lobby", 4, &[SHANGHAI, NANJING]), &hooks)).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let set = world.set(SHANGHAI, "lobby").await;
    let status = set.status.clone().unwrap_or_default();
    let said = found(&status.conditions, condition::HOOKS_NOT_ENFORCED).cloned().unwrap_or_default();
    assert_eq!(said.status, "True");
    let message = said.message.unwrap_or_default();
    assert!(message.contains("controller-hook") && message.contains("inplace-hook"), "{message}");
    let stored = set.spec.pre_delete_update_strategy.and_then(|strategy| strategy.hook);
    assert_eq!(stored.map(|hook| hook.template_name).as_deref(), Some("controller-hook"));
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_type_config_for_another_kind_is_said_not_to_be_federated_and_harms_nothing() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&game("lobby", 4, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let config = type_config(
        "deployments.apps",
        &kind("apps", "v1", "Deployment", "deployments"),
        &kind("types.kubefed.io", "v1beta1", "FederatedDeployment", "federateddeployments"),
        "Enabled",
    );
    world.apply(&config).await;
    let configs: Api<FederatedTypeConfig> = Api::namespaced(world.hub(), keys::FEDERATION_NAMESPACE);
    world
        .until("NotYetFederated is shown", async || {
            let config = configs.get("deployments.apps").await.map_err(|error| error.to_string())?;
            let conditions = config.status.unwrap_or_default().conditions;
            match found(&conditions, condition::NOT_YET_FEDERATED) {
                Some(said)
                    if said.status == "True"
                        && said.message.as_deref().unwrap_or("").contains("deployments") =>
                {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    world.scale("lobby", 6).await;
    world.settled("lobby", &[(SHANGHAI, 3), (NANJING, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn fed_c2_switching_propagation_off_keeps_what_is_there_and_on_goes_on() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&game("lobby", 4, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let pods = world.pods(SHANGHAI, "lobby").await;
    let config = |propagation: &str| {
        type_config(
            "gamestatefulsets.tkex.tencent.com",
            &kind("tkex.tencent.com", "v1alpha1", "GameStatefulSet", "gamestatefulsets"),
            &kind("types.kubefed.io", "v1beta1", "FederatedGameStatefulSet", "federatedgamestatefulsets"),
            propagation,
        )
    };
    world.apply(&config("Disabled")).await;
    world.seconds(5).await;
    world.scale("lobby", 8).await;
    world.quiet(60).await;
    pods.assert_untouched_in(&world.pods(SHANGHAI, "lobby").await);
    world.apply(&config("Enabled")).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
    pods.assert_kept_in(&world.pods(SHANGHAI, "lobby").await);
}

#[tokio::test(start_paused = true)]
async fn fed_c2_a_suspended_object_is_held_and_goes_on_when_it_is_not() {
    let world = World::two().await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1), (NANJING, 1)])).await;
    world.apply(&game("lobby", 4, &[SHANGHAI, NANJING])).await;
    world.settled("lobby", &[(SHANGHAI, 2), (NANJING, 2)]).await;
    let suspend = |value: Value| json!({"metadata": {"annotations": {keys::annotation::SUSPEND: value}}});
    world.edit("lobby", &suspend(json!("true"))).await;
    world.says("lobby", "Planned", "False", &["suspended"]).await;
    let before = [SHANGHAI, NANJING].map(|member| world.writes(member));
    world.scale("lobby", 8).await;
    world.quiet(30).await;
    for (member, before) in [SHANGHAI, NANJING].iter().zip(&before) {
        world.writes(member).since(before).assert_none("although the object is suspended");
    }
    world.edit("lobby", &suspend(Value::Null)).await;
    world.settled("lobby", &[(SHANGHAI, 4), (NANJING, 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn kubefed_d3_what_is_propagated_is_not_called_ready_before_its_pods_are() {
    let mut setup = crate::support::Setup::new(&[SHANGHAI]);
    setup.nodes = 0;
    let world = World::start(setup).await;
    world.apply(&preference("lobby", &[(SHANGHAI, 1)])).await;
    world.apply(&game("lobby", 3, &[SHANGHAI])).await;
    world.says("lobby", "Propagation", "True", &[]).await;
    world.says("lobby", "Ready", "False", &[SHANGHAI, "0 of 3 ready"]).await;
    let set = world.set(SHANGHAI, "lobby").await.status.unwrap_or_default();
    let progressing = found(&set.conditions, condition::PROGRESSING).cloned().unwrap_or_default();
    let message = progressing.message.unwrap_or_default();
    assert!(message.contains("no nodes available"), "it says what it waits for: {message}");
}
