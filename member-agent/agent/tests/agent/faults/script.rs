//! What happens in a run beside the faults: a random set, and what its user and its pods do.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

pub(super) const NAMESPACE: &str = "fleet";

/// The most pods of a set.
const PODS: u32 = 5;

/// Images; the last one never gets ready.
const IMAGES: [&str; 4] = ["game:1", "game:2", "game:3", "game:broken"];

/// Hook points of a set.
pub(super) const HOOK_POINTS: [&str; 2] = ["preDeleteUpdateStrategy", "preInplaceUpdateStrategy"];

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The user changes the set.
    Edit(Value),
    /// The user takes the last change of the template back.
    Rollback,
    /// The user deletes a pod.
    DeletePod(u32),
    /// A pod ends.
    FailPod(u32),
    /// The controller is killed.
    Kill,
    /// Nothing.
    Rest,
}

/// What can happen, in parts.
const ACTS: [(What, u32); 12] = [
    (What::Scale, 4),
    (What::Image, 6),
    (What::Label, 2),
    (What::Variable, 1),
    (What::Partition, 2),
    (What::Budget, 2),
    (What::Pause, 1),
    (What::Rollback, 2),
    (What::DeletePod, 3),
    (What::FailPod, 2),
    (What::Kill, 1),
    (What::Rest, 2),
];

#[derive(Clone, Copy)]
enum What {
    Scale,
    Image,
    Label,
    Variable,
    Partition,
    Budget,
    Pause,
    Rollback,
    DeletePod,
    FailPod,
    Kill,
    Rest,
}

/// A set as a user may write it.
pub(super) fn set(random: &mut StdRng) -> Value {
    let strategy = *["InplaceUpdate", "InplaceUpdate", "RollingUpdate", "RollingUpdate", "OnDelete"]
        .choose(random)
        .unwrap();
    let policy = *["Parallel", "OrderedReady"].choose(random).unwrap();
    let mut set = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "game", "namespace": NAMESPACE},
        "spec": {
            "replicas": random.random_range(1..=PODS),
            "serviceName": "game",
            "podManagementPolicy": policy,
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "center", "image": IMAGES[0]}]},
            },
            "updateStrategy": {
                "type": strategy,
                "rollingUpdate": {"maxUnavailable": budget(random)},
                "inPlaceUpdateStrategy": {"gracePeriodSeconds": random.random_range(0..3)},
            },
            "disableReadinessGate": random.random_bool(0.1),
        },
    });
    let spec = &mut set["spec"];
    if random.random_bool(0.2) {
        spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(random.random_range(0..=PODS));
    }
    if random.random_bool(0.2) {
        spec["reserveOrders"] = json!([random.random_range(0..PODS)]);
    }
    if random.random_bool(0.3) {
        spec["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "save"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }]);
    }
    if random.random_bool(0.2) {
        spec["revisionHistoryLimit"] = json!(random.random_range(0..2));
    }
    for point in HOOK_POINTS {
        if random.random_bool(0.2) {
            spec[point] = json!({"hook": {"templateName": "ask"}});
        }
    }
    set
}

/// What happens next to a set.
pub(super) fn next(random: &mut StdRng, set: &Value) -> Act {
    let (what, _) = *ACTS.choose_weighted(random, |(_, parts)| *parts).unwrap();
    let bounds = |field: &str, value: Value| {
        Act::Edit(json!({"spec": {"updateStrategy": {"rollingUpdate": {field: value}}}}))
    };
    match what {
        What::Scale => Act::Edit(json!({"spec": {"replicas": random.random_range(0..=PODS)}})),
        What::Image => Act::Edit(container("image", &json!(IMAGES.choose(random).unwrap()))),
        What::Label => {
            let tier = random.random_range(0..3).to_string();
            Act::Edit(json!({"spec": {"template": {"metadata": {"labels": {"tier": tier}}}}}))
        }
        // A variable cannot change in place.
        What::Variable if set["spec"]["updateStrategy"]["type"] == "InplaceUpdate" => Act::Rest,
        What::Variable => Act::Edit(container(
            "env",
            &json!([{"name": "MODE", "value": random.random_range(0..3).to_string()}]),
        )),
        What::Partition => bounds("partition", json!(random.random_range(0..=PODS))),
        What::Budget => bounds("maxUnavailable", budget(random)),
        What::Pause => Act::Edit(json!({"spec": {"updateStrategy": {"paused": random.random_bool(0.5)}}})),
        What::Rollback => Act::Rollback,
        What::DeletePod => Act::DeletePod(random.random_range(0..PODS)),
        What::FailPod => Act::FailPod(random.random_range(0..PODS)),
        What::Kill => Act::Kill,
        What::Rest => Act::Rest,
    }
}

/// What the user repairs in the end, so that nothing stands in the way.
pub(super) fn repair(random: &mut StdRng, broken: bool, set: &Value) -> Value {
    // Below a partition would stay what never gets ready.
    let partition = if broken || random.random_bool(0.5) { 0 } else { random.random_range(0..=PODS) };
    let mut repair = container("image", &json!(*["game:8", "game:9"].choose(random).unwrap()));
    repair["spec"]["replicas"] = json!(random.random_range(1..=PODS));
    repair["spec"]["updateStrategy"] = json!({"paused": false, "rollingUpdate": {"partition": partition}});
    for point in HOOK_POINTS.into_iter().filter(|point| set["spec"][point].is_object()) {
        repair["spec"][point] = json!({"retry": true});
    }
    repair
}

/// A patch of the one container.
fn container(field: &str, value: &Value) -> Value {
    // A merge patch replaces a list: what is not changed is filled in by who applies it.
    json!({"spec": {"template": {"spec": {"containers": [{field: value}]}}}})
}

/// A merge patch of a set, with what it leaves out of the container filled in.
pub(super) fn complete(mut patch: Value, set: &Value) -> Value {
    let path = "/spec/template/spec/containers/0";
    if let Some(changed) = patch.pointer_mut(path) {
        let mut container = set.pointer(path).cloned().unwrap();
        for (field, value) in changed.as_object().unwrap() {
            container[field] = value.clone();
        }
        *changed = container;
    }
    patch
}

fn budget(random: &mut StdRng) -> Value {
    [json!(1), json!(1), json!(2), json!(3), json!("25%"), json!("50%")].choose(random).unwrap().clone()
}
