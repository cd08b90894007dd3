//! Updates in place, one pod at a time and many.

use std::collections::BTreeSet;

use serde_json::json;

use super::simulator::World;
use crate::Code;

fn world(replicas: i64, grace: i64) -> World {
    World::new(
        replicas,
        "Parallel",
        &json!({
            "type": "InplaceUpdate",
            "rollingUpdate": {"maxUnavailable": "50%"},
            "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace},
        }),
    )
}

fn writes_per_pod(world: &World, mark: usize, pod: &str) -> usize {
    world.writes[mark..].iter().filter(|write| write.split(' ').any(|word| word == pod)).count()
}

fn restarts(world: &World, pod: &str) -> i64 {
    world.pods[pod].pointer("/status/containerStatuses/0/restartCount").unwrap().as_i64().unwrap()
}

#[test]
fn pods_keep_their_uid_and_cost_three_writes() {
    let mut world = world(4, 5);
    world.converge();
    let (uids, mark) = (world.uids(), world.writes.len());
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:2"; 4]);
    assert_eq!(world.uids(), uids);
    assert_eq!(plan.status.updated_ready_replicas, 4);
    assert_eq!(plan.status.current_revision, plan.status.update_revision);
    for pod in uids.keys() {
        assert_eq!(writes_per_pod(&world, mark, pod), 3, "{:?}", world.writes_since(mark));
        assert_eq!(restarts(&world, pod), 1);
    }
}

#[test]
fn the_grace_passes_before_the_images_change() {
    let mut world = world(2, 5);
    world.converge();
    world.set_image("game:2");
    let plan = world.settle();
    assert!(plan.waits.iter().any(|wait| wait.reason.code == Code::GracePeriod));
    assert_eq!(plan.recheck_after, Some(std::time::Duration::from_secs(5)));
    world.pass(4);
    world.kubelets();
    world.settle();
    assert_eq!(world.images(), ["game:1"; 2]);
    world.pass(1);
    world.settle();
    assert_eq!(world.images(), ["game:1", "game:2"]);
}

#[test]
fn a_gate_that_closes_late_leaves_the_whole_grace() {
    let mut world = world(2, 5);
    world.converge();
    world.set_image("game:2");
    let revision = world.plan();
    world.apply(&revision.steps[0]);
    let slow = world.plan();
    assert_eq!(slow.steps[0].reason.code, Code::CloseGate, "{slow}");
    // The request is under way for so long.
    world.pass(4);
    world.apply(&slow.steps[0]);
    for _ in 0..5 {
        world.settle();
        assert_eq!(world.images(), ["game:1"; 2]);
        world.pass(1);
    }
    world.settle();
    assert_eq!(world.images(), ["game:1", "game:2"]);
}

#[test]
fn a_kubelet_that_is_behind_is_not_believed() {
    let mut world = world(1, 0);
    world.converge();
    world.set_image("game:2");
    world.settle();
    // The status of before, new generation seen but the old container still listed: not complete.
    let waits = |world: &mut World| World::codes(&world.settle());
    assert_eq!(waits(&mut world), BTreeSet::from([Code::KubeletBehind]));
    world.kubelet("game-0");
    assert_eq!(waits(&mut world), BTreeSet::from([Code::ContainerNotRestarted]));
    world.kubelet("game-0");
    assert_eq!(waits(&mut world), BTreeSet::from([Code::ContainerNotReady]));
    world.kubelet("game-0");
    assert_eq!(waits(&mut world), BTreeSet::from([Code::PodNotReady]));
    world.kubelet("game-0");
    assert_eq!(waits(&mut world), BTreeSet::new());
}

#[test]
fn another_tag_of_the_same_digest_completes_at_once_by_name_and_after_a_while_without() {
    let mut world = world(1, 0);
    world.set_image("game:1-a");
    world.converge();
    let start = world.now;
    world.set_image("game:1-b");
    world.converge();
    assert_eq!((world.now, restarts(&world, "game-0")), (start, 1));

    // The runtime reports another of the digest's names.
    world.set_image("game:1-c");
    world.settle();
    world.kubelets();
    world.pods.get_mut("game-0").unwrap()["status"]["containerStatuses"][0]["image"] = json!("game:1-a");
    let plan = world.settle();
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::Settling]));
    let plan = world.converge();
    assert_eq!(plan.status.updated_ready_replicas, 1);
    assert_eq!(world.now.duration_since(start).as_secs(), 35);
}

#[test]
fn a_crash_of_the_old_image_is_no_completion() {
    let mut world = world(1, 0);
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.crash("game-0");
    assert_eq!(World::codes(&world.settle()), BTreeSet::from([Code::KubeletBehind]));
    world.kubelet("game-0");
    let plan = world.settle();
    assert_eq!(World::codes(&plan), BTreeSet::from([Code::Settling]), "{plan}");
    assert_eq!(world.converge().status.updated_ready_replicas, 1);
}

#[test]
fn an_update_taken_back_during_the_grace_touches_no_container() {
    let mut world = world(2, 30);
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.set_image("game:1");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:1"; 2]);
    assert_eq!(plan.status.ready_replicas, 2);
    assert_eq!((restarts(&world, "game-0"), restarts(&world, "game-1")), (0, 0));
}

#[test]
fn a_rollback_before_the_kubelet_acted_converges() {
    let mut world = world(1, 0);
    world.converge();
    world.set_image("game:2");
    world.settle();
    assert_eq!(world.images(), ["game:2"]);
    world.set_image("game:1");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:1"]);
    assert_eq!(plan.status.ready_replicas, 1);
}

#[test]
fn a_rollback_after_a_crash_of_the_old_image_converges() {
    let mut world = world(1, 0);
    world.converge();
    world.set_image("game:2");
    world.settle();
    // The old image runs again, before the kubelet has seen the new one; taken back, nothing will ever restart.
    world.crash("game-0");
    world.set_image("game:1");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:1"]);
    assert_eq!(plan.status.ready_replicas, 1);
}

#[test]
fn three_edits_during_one_rollout_patch_each_pod_once_per_final_revision() {
    let mut world = world(4, 10);
    world.converge();
    let mark = world.writes.len();
    for image in ["game:2", "game:3", "game:4"] {
        world.set_image(image);
        world.settle();
        world.pass(1);
    }
    world.converge();
    assert_eq!(world.images(), ["game:4"; 4]);
    for pod in ["game-0", "game-1", "game-2", "game-3"] {
        assert!(writes_per_pod(&world, mark, pod) <= 3, "{:?}", world.writes_since(mark));
        assert_eq!(restarts(&world, pod), 1);
    }
}

#[test]
fn a_second_update_of_the_same_second_is_not_taken_for_the_first() {
    let mut world = world(1, 0);
    world.converge();
    for image in ["game:2", "game:1", "game:2"] {
        world.set_image(image);
        let plan = world.converge();
        assert_eq!(plan.status.updated_ready_replicas, 1);
        assert_eq!(world.images(), [image]);
    }
    assert_eq!(restarts(&world, "game-0"), 3);
}

#[test]
fn a_change_beyond_images_is_refused_and_named() {
    let mut world = world(2, 0);
    world.converge();
    let revision = world.plan().status.update_revision;
    let mark = world.writes.len();
    world
        .edit(|spec| spec["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]));
    let plan = world.converge();
    assert_eq!(world.writes_since(mark), [""; 0]);
    assert_eq!(plan.status.update_revision, revision);
    let condition =
        plan.status.conditions.iter().find(|condition| condition.type_ == "UpdateRefused").unwrap();
    assert!(
        condition
            .message
            .as_deref()
            .unwrap()
            .starts_with("spec.template.spec.containers[center].env changed")
    );
    // The rest of the spec applies, and new pods stay on the last accepted revision.
    world.edit(|spec| spec["replicas"] = json!(3));
    world.converge();
    assert!(world.pods["game-2"].pointer("/spec/containers/0/env").is_none());
    // RollingUpdate takes the change.
    world.edit(|spec| spec["updateStrategy"]["type"] = json!("RollingUpdate"));
    let plan = world.converge();
    assert!(world.pods.values().all(|pod| pod.pointer("/spec/containers/0/env").is_some()));
    assert!(plan.status.conditions.iter().all(|condition| condition.type_ != "UpdateRefused"));
}

#[test]
fn an_empty_set_takes_any_change() {
    let mut world = world(1, 0);
    world.converge();
    world.edit(|spec| spec["template"]["spec"]["hostNetwork"] = json!(true));
    world.converge();
    assert!(world.pods["game-0"].pointer("/spec/hostNetwork").is_none());
    world.edit(|spec| spec["replicas"] = json!(0));
    world.converge();
    world.edit(|spec| spec["replicas"] = json!(1));
    world.converge();
    assert_eq!(world.pods["game-0"].pointer("/spec/hostNetwork"), Some(&json!(true)));
}

#[test]
fn labels_change_without_leaving_traffic() {
    let mut world = world(3, 30);
    world.converge();
    let mark = world.writes.len();
    world.edit(|spec| {
        spec["template"]["metadata"] =
            json!({"labels": {"app": "game", "season": "2"}, "annotations": {"n": "1"}});
    });
    world.converge();
    for pod in world.pods.values() {
        assert_eq!(pod["metadata"]["labels"]["season"], "2");
        assert_eq!(pod["metadata"]["annotations"], json!({"n": "1"}));
    }
    let patches = world.writes_since(mark).into_iter().filter(|write| write.contains("pod game-")).count();
    assert_eq!(patches, 3);
    world.edit(|spec| spec["template"]["metadata"] = json!({"labels": {"app": "game"}}));
    world.converge();
    assert!(world.pods["game-0"]["metadata"]["labels"].get("season").is_none());
}

#[test]
fn a_pod_deleted_in_the_middle_of_its_update_comes_back_at_the_new_revision() {
    let mut world = world(2, 5);
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.delete("game-1");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:2"; 2]);
    assert_eq!(plan.status.updated_ready_replicas, 2);
}

#[test]
fn a_crashing_old_pod_is_patched_at_no_budget() {
    let mut world = world(4, 0);
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = json!(1));
    world.set_image("game:broken");
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.settle();
    assert_eq!(world.images(), ["game:2"; 4]);
    assert_eq!(world.converge().status.ready_replicas, 4);
}

#[test]
fn pods_without_the_gate_are_patched_directly() {
    let mut world = world(2, 30);
    world.edit(|spec| spec["disableReadinessGate"] = json!(true));
    world.converge();
    let mark = world.writes.len();
    world.set_image("game:2");
    world.converge();
    assert_eq!(world.images(), ["game:2"; 2]);
    assert_eq!(writes_per_pod(&world, mark, "game-0"), 1);
}

#[test]
fn an_update_the_bk_bcs_operator_announced_is_finished() {
    announced_update_is_finished(world(1, 5));
}

#[test]
fn an_update_the_bk_bcs_operator_announced_is_finished_once_its_image_is_proven() {
    let mut world = world(1, 5);
    world.machines.count = 1;
    announced_update_is_finished(world);
}

fn announced_update_is_finished(mut world: World) {
    world.converge();
    world.set_image("game:2");
    let plan = world.plan();
    world.apply(&plan.steps[0]);
    world.record(&plan);
    let update = world.plan().status.update_revision.unwrap();
    let now = world.now;
    let pod = world.pods.get_mut("game-0").unwrap();
    pod["metadata"]["labels"]["controller-revision-hash"] = json!(update);
    pod["metadata"]["annotations"] = json!({
        "inplace-update-state": json!({
            "revision": update, "updateTimestamp": now,
            "lastContainerStatuses": {"center": {"imageID": "sha256:game:1"}},
        }).to_string(),
        "inplace-update-grace": json!({"revision": update, "graceSeconds": 5}).to_string(),
    });
    pod["status"]["conditions"][0]["status"] = json!("False");
    pod["status"]["conditions"][0]["lastTransitionTime"] = json!(now);
    assert_eq!(pod["status"]["conditions"][0]["type"], "InPlaceUpdateReady");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:2"]);
    assert_eq!(plan.status.updated_ready_replicas, 1);
    assert!(world.pods["game-0"]["metadata"]["annotations"].get("inplace-update-grace").is_none());
}

#[test]
fn an_ordered_scale_down_takes_pods_out_of_their_update() {
    let mut world = World::new(
        3,
        "OrderedReady",
        &json!({
            "type": "InplaceUpdate",
            "rollingUpdate": {"maxUnavailable": 2},
            "inPlaceUpdateStrategy": {"gracePeriodSeconds": 30},
        }),
    );
    world.converge();
    world.set_image("game:2");
    world.settle();
    world.edit(|spec| spec["replicas"] = json!(0));
    world.converge();
    assert_eq!(world.ordinals(), [0; 0]);
}

#[test]
fn hot_patch_is_refused_rather_than_restarting_containers() {
    let mut world = world(2, 0);
    world.edit(|spec| spec["updateStrategy"] = json!({"type": "HotPatchUpdate"}));
    world.converge();
    world.set_image("game:2");
    let plan = world.converge();
    assert_eq!(world.images(), ["game:1"; 2]);
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == "UpdateRefused");
    let said = "spec.updateStrategy.type: HotPatchUpdate needs a patched kubelet and is refused; ";
    let message = condition.unwrap().message.as_deref().unwrap();
    assert!(message.starts_with(&format!("{said}all pods stay on ")), "{message}");
    let wait = plan.waits.iter().find(|wait| wait.reason.code == Code::UpdateRefused);
    assert_eq!(wait.unwrap().reason.message, format!("{said}pods stay as they are"));
}

#[test]
fn inplace_i8_a_paused_set_sends_no_pod_on_to_another_image() {
    let mut world = world(2, 0);
    world.converge();
    world.set_image("game:broken");
    world.converge();
    let mark = world.writes.len();
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(true));
    world.set_image("game:2");
    world.converge();
    let writes = world.writes_since(mark);
    assert!(!writes.iter().any(|write| write.starts_with("patch pod")), "{writes:?}");
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    world.converge();
    assert_eq!(world.images(), ["game:2"; 2]);
}
