//! An upgrade of the controller writes nothing, and gauges tell the budget.

use serde_json::json;

use super::{POLICIES, matrix};
use crate::spec::Spec;
use crate::tests::simulator::World;

#[test]
fn sts_c21_budgets_are_numbers_of_pods() {
    let budget = |replicas: i64, written: serde_json::Value, policy: &str| {
        let mut world = World::new(replicas, policy, &json!({"type": "RollingUpdate"}));
        if !written.is_null() {
            world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": written}));
        }
        Spec::read(&serde_json::from_value(world.set).unwrap()).budget
    };
    for policy in POLICIES {
        assert_eq!(budget(10, json!("20%"), policy), 2);
        assert_eq!(budget(5, json!("80%"), policy), 4);
        assert_eq!(budget(10, json!(3), policy), 3);
        // StatefulSet rounds down to at least one; here, as its documentation says, up.
        assert_eq!(budget(10, json!("1%"), policy), 1);
    }
    assert_eq!(budget(10, json!(null), "OrderedReady"), 1);
    assert_eq!(budget(10, json!(null), "Parallel"), 3);
}

#[test]
fn sts_c21_what_is_unavailable_is_counted() {
    for policy in POLICIES {
        let mut world = World::new(5, policy, &json!({"type": "RollingUpdate"}));
        world.converge();
        world.crash("game-1");
        world.fail("game-2");
        let plan = world.plan();
        let status = plan.status;
        assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (5, 3, 3));
    }
}

/// Objects as Go programs of several versions stored them.
#[test]
fn sts_c22_old_objects_are_not_written() {
    matrix(|life| {
        life.run();
        let world = &mut life.world;
        for revision in world.revisions.values_mut() {
            let template = &mut revision["data"]["spec"]["template"];
            template["metadata"]["creationTimestamp"] = json!(null);
            template["spec"]["restartPolicy"] = json!("Always");
            template["spec"]["dnsPolicy"] = json!("ClusterFirst");
            template["spec"]["schedulerName"] = json!("default-scheduler");
            template["spec"]["securityContext"] = json!({});
            template["spec"]["terminationGracePeriodSeconds"] = json!(30);
            template["spec"]["containers"][0]["resources"] = json!({});
            template["spec"]["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
            template["spec"]["containers"][0]["terminationMessagePolicy"] = json!("File");
        }
        for pod in world.pods.values_mut() {
            pod["metadata"]["creationTimestamp"] = json!(null);
            let labels = pod["metadata"]["labels"].as_object_mut().unwrap();
            labels.remove("statefulset.kubernetes.io/pod-name");
            labels.remove("apps.kubernetes.io/pod-index");
        }
        let plan = world.plan();
        assert_eq!(plan.steps, [], "{}", life.name);
        assert_eq!(plan.waits, [], "{}", life.name);
        assert_eq!(serde_json::to_value(&plan.status).unwrap(), world.set["status"], "{}", life.name);
    });
}
