use serde_json::json;

use super::*;

fn read(edit: impl FnOnce(&mut Value)) -> Spec {
    let mut set = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "game", "namespace": "fleet"},
        "spec": {
            "replicas": 10,
            "serviceName": "game",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "center", "image": "game:1"}]},
            },
        },
    });
    edit(&mut set["spec"]);
    Spec::read(&serde_json::from_value(set).unwrap())
}

fn problems(edit: impl FnOnce(&mut Value)) -> Vec<(String, Scope)> {
    read(edit).problems.into_iter().map(|problem| (problem.field, problem.scope)).collect()
}

#[test]
fn a_plain_set_has_defaults_and_no_problems() {
    let spec = read(|_| {});
    assert_eq!(spec.problems, []);
    assert_eq!(spec.strategy, Some(Strategy::RollingUpdate));
    // 25 % of 10, rounded up.
    assert_eq!(spec.budget, 3);
    assert_eq!(spec.ordinals(), Some((0..10).collect()));
    assert_eq!(read(|spec| spec["podManagementPolicy"] = json!("OrderedReady")).budget, 1);
}

#[test]
fn reserved_ordinals_are_left_out() {
    let spec = read(|spec| {
        spec["replicas"] = json!(3);
        spec["reserveOrders"] = json!([1, 7]);
    });
    assert_eq!(spec.ordinals(), Some(vec![0, 2, 3]));
}

#[test]
fn percentages_round_as_stateful_set_does() {
    let bounds = |partition, unavailable| {
        let spec = read(|spec| {
            spec["updateStrategy"] =
                json!({"rollingUpdate": {"partition": partition, "maxUnavailable": unavailable}});
        });
        (spec.partition, spec.budget)
    };
    assert_eq!(bounds(json!("25%"), json!("1%")), (2, 1));
    assert_eq!(bounds(json!(4), json!(4)), (4, 4));
}

#[test]
fn bad_fields_are_named_with_what_they_hold_up() {
    let bounds = |bounds: Value| {
        problems(|spec| {
            spec["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": bounds});
        })
    };
    let cases = [
        problems(|spec| spec["replicas"] = json!(-1)),
        problems(|spec| spec["replicas"] = json!("three")),
        problems(|spec| spec["selector"] = json!({})),
        problems(|spec| spec["selector"] = json!({"matchLabels": {"app": "other"}})),
        problems(|spec| spec["template"]["spec"] = json!({})),
        problems(|spec| spec["podManagementPolicy"] = json!("Sideways")),
        problems(|spec| spec["updateStrategy"] = json!({"type": "Magic"})),
        problems(|spec| spec["updateStrategy"] = json!({"type": 3})),
        bounds(json!({"maxUnavailable": 0})),
        bounds(json!({"maxUnavailable": "0%"})),
        bounds(json!({"maxUnavailable": "many"})),
        bounds(json!({"partition": "x%"})),
        bounds(json!({"maxSurge": "much"})),
        problems(|spec| spec["ordinals"] = json!({"start": -1})),
        problems(|spec| spec["ordinals"] = json!({"start": "one"})),
        problems(|spec| spec["minReadySeconds"] = json!(-5)),
        problems(|spec| spec["scaleStrategy"] = json!({"createBatch": 0})),
        problems(|spec| {
            spec["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Burn"});
        }),
        problems(|spec| spec["reserveOrders"] = json!([2, 2])),
        problems(|spec| spec["revisionHistoryLimit"] = json!(-1)),
    ];
    let field = |field: &str, scope| vec![(field.to_owned(), scope)];
    let unavailable = "spec.updateStrategy.rollingUpdate.maxUnavailable";
    let expected = [
        field("spec.replicas", Scope::Scaling),
        field("spec.replicas", Scope::Scaling),
        field("spec.selector", Scope::Everything),
        field("spec.selector", Scope::Everything),
        field("spec.template.spec.containers", Scope::Template),
        field("spec.podManagementPolicy", Scope::Updates),
        field("spec.updateStrategy.type", Scope::Updates),
        field("spec.updateStrategy", Scope::Updates),
        field(unavailable, Scope::Updates),
        field(unavailable, Scope::Updates),
        field(unavailable, Scope::Updates),
        field("spec.updateStrategy.rollingUpdate.partition", Scope::Updates),
        field("spec.updateStrategy.rollingUpdate.maxSurge", Scope::Updates),
        field("spec.ordinals.start", Scope::Scaling),
        field("spec.ordinals", Scope::Scaling),
        field("spec.minReadySeconds", Scope::Nothing),
        field("spec.scaleStrategy.createBatch", Scope::Nothing),
        field("spec.persistentVolumeClaimRetentionPolicy.whenScaled", Scope::Nothing),
        field("spec.reserveOrders", Scope::Nothing),
        field("spec.revisionHistoryLimit", Scope::Nothing),
    ];
    assert_eq!(cases, expected);
}

#[test]
fn a_name_too_long_for_labels_is_named() {
    let set = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "GameStatefulSet",
        "metadata": {"name": "g".repeat(60)},
        "spec": {
            "selector": {"matchLabels": {"app": "game"}},
            "template": {
                "metadata": {"labels": {"app": "game"}},
                "spec": {"containers": [{"name": "center", "image": "game:1"}]},
            },
        },
    });
    let spec = Spec::read(&serde_json::from_value(set).unwrap());
    assert_eq!(spec.problems[0].field, "metadata.name");
}
