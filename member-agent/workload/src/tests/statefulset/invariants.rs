//! What must hold after every step of a set's life.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::identity::ordinal;
use crate::spec::Spec;
use crate::tests::cluster::claims_of;
use crate::tests::simulator::World;
use crate::{Action, Code, Plan, Step};

/// Labels that say which pod it is.
pub(super) const IDENTITY: [&str; 2] =
    ["gamestatefulset.kubernetes.io/pod-name", "statefulset.kubernetes.io/pod-name"];
pub(super) const ORDINALS: [&str; 2] =
    ["gamestatefulset.kubernetes.io/pod-ordinal", "apps.kubernetes.io/pod-index"];

fn spec(world: &World) -> Spec {
    Spec::read(&serde_json::from_value(world.set.clone()).unwrap())
}

/// The ordinals that the set is to have, those that were chosen to go left out.
pub(super) fn wanted(world: &World) -> Vec<u32> {
    let spec = spec(world);
    let removed = world.set["status"]["removedOrdinals"]["ordinals"].as_array().cloned().unwrap_or_default();
    let free = spec.free_ordinals().unwrap();
    free.filter(|ordinal| !removed.contains(&json!(ordinal))).take(spec.replicas.unwrap() as usize).collect()
}

fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    pod["status"]["phase"] == "Running" && ready.next().is_some_and(|ready| ready["status"] == "True")
}

fn is_live(world: &World, ordinal: u32) -> bool {
    world.pods.get(&format!("game-{ordinal}")).is_some_and(|pod| is_ready(pod) && !is_deleting(pod))
}

fn owned_by_pod(world: &World, claim: &str) -> Option<String> {
    let owners = world.claims.get(claim)?["metadata"]["ownerReferences"].as_array()?;
    let pod = owners.iter().find(|owner| owner["kind"] == "Pod")?;
    Some(pod["uid"].as_str()?.to_owned())
}

/// What a step may do. It is looked at before it is carried out.
pub(super) fn check_step(world: &mut World, step: &Step, name: &str) {
    let spec = spec(world);
    let ordered = spec.ordered;
    match (&step.action, step.reason.code) {
        (Action::CreatePod { name: pod, claims, .. }, code) => {
            let own = ordinal("game", pod.as_str()).unwrap();
            if ordered {
                for before in wanted(world).into_iter().filter(|before| *before < own) {
                    assert!(is_live(world, before), "{name}: {step} although {before} is not ready");
                }
            }
            assert!(wanted(world).contains(&own) || code == Code::Surge, "{name}: {step} is not wanted");
            let claim = format!("save-game-{own}");
            assert_eq!(owned_by_pod(world, &claim), None, "{name}: {step}, claim of an earlier pod");
            if let Some(claim) = world.claims.get(&claim) {
                assert!(!is_deleting(claim), "{name}: {step}, claim on its way out");
                assert!(claims.is_empty(), "{name}: {step} creates a claim that exists");
            }
        }
        (Action::DeletePod { name: pod, uid } | Action::ReplacePod { name: pod, uid, .. }, code) => {
            let own = ordinal("game", pod.as_str()).unwrap();
            let owner = owned_by_pod(world, &format!("save-game-{own}"));
            if code != Code::ScaleDown {
                assert_eq!(owner, None, "{name}: {step}, its claim would go with it");
                return;
            }
            assert!(!wanted(world).contains(&own), "{name}: {step} is wanted");
            if spec.retention.is_some_and(|retention| retention.scaled)
                && world.claims.contains_key(&format!("save-game-{own}"))
            {
                assert_eq!(owner, Some(uid.to_string()), "{name}: {step}, its claim would stay");
            }
            if ordered {
                let going = world.pods.iter().filter(|(_, pod)| is_deleting(pod)).count();
                assert_eq!(going, 0, "{name}: {step} while another one goes");
            }
        }
        _ => {}
    }
}

/// What holds at any time: who each pod is, and what it stores on.
pub(super) fn check_state(world: &World, name: &str) {
    for (pod, value) in &world.pods {
        let Some(own) = ordinal("game", pod) else { continue };
        let owners = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        if !owners.iter().any(|owner| owner["uid"] == "set-uid" && owner["controller"] == true) {
            continue;
        }
        assert_eq!(value["spec"]["hostname"], json!(pod), "{name}");
        assert_eq!(value["spec"]["subdomain"], "game", "{name}");
        assert_eq!(value["metadata"]["labels"]["app"], "game", "{name}");
        if !world.set["spec"]["volumeClaimTemplates"].is_null() {
            let claims: Vec<&str> = claims_of(value).collect();
            assert_eq!(claims, [format!("save-game-{own}")], "{name}");
        }
    }
}

/// What holds when nothing is left to do.
pub(super) fn check_rest(world: &mut World, plan: &Plan, name: &str) {
    let spec = spec(world);
    let ordinals = wanted(world);
    assert_eq!(world.ordinals(), ordinals, "{name}: {plan}");
    for (pod, value) in &world.pods {
        let own = ordinal("game", pod).unwrap();
        for label in IDENTITY {
            assert_eq!(value["metadata"]["labels"][label], json!(pod), "{name}");
        }
        for label in ORDINALS {
            assert_eq!(value["metadata"]["labels"][label], json!(own.to_string()), "{name}");
        }
        let claim = format!("save-game-{own}");
        if world.claims.contains_key(&claim) {
            let deleted = spec.retention.is_some_and(|retention| retention.deleted);
            let expected: Vec<(String, String)> =
                deleted.then(|| ("GameStatefulSet".to_owned(), "set-uid".to_owned())).into_iter().collect();
            assert_eq!(world.owners(&claim), expected, "{name}");
        }
    }
    let status = &plan.status;
    let count = |test: &dyn Fn(&Value) -> bool| world.pods.values().filter(|pod| test(pod)).count() as i64;
    let is_at = |pod: &Value, revision: &Option<String>| {
        pod["metadata"]["labels"]["controller-revision-hash"].as_str() == revision.as_deref()
    };
    assert_eq!(status.replicas, count(&|_| true), "{name}");
    assert_eq!(status.ready_replicas, count(&is_ready), "{name}");
    assert_eq!(status.updated_replicas, count(&|pod| is_at(pod, &status.update_revision)), "{name}");
    assert_eq!(status.current_replicas, count(&|pod| is_at(pod, &status.current_revision)), "{name}");
    assert_eq!(status.draining_replicas, 0, "{name}");
    assert_eq!(status.scale_down, None, "{name}");
    // UPDATE: the lowest pods carry the current revision and the highest the update revision.
    if spec.strategy == Some(crate::spec::Strategy::RollingUpdate) {
        let updated: BTreeSet<u32> =
            ordinals.iter().rev().take(status.updated_replicas as usize).copied().collect();
        for own in &ordinals {
            let pod = &world.pods[&format!("game-{own}")];
            let revision =
                if updated.contains(own) { &status.update_revision } else { &status.current_revision };
            assert!(is_at(pod, revision), "{name}: ordinal {own}");
        }
    }
    // What rests is not written, and its status is what stands there.
    let again = world.plan();
    assert_eq!(again.steps, [], "{name}");
    assert_eq!(serde_json::to_value(&again.status).unwrap(), world.set["status"], "{name}");
}
