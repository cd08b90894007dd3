//! Revisions: which template pods get, which stored ones are reused, and which are kept.

use serde_json::{Value, json};

use super::canary::run;
use super::simulator::World;

/// Names of the stored revisions, oldest first.
fn by_age(world: &World) -> Vec<String> {
    let mut revisions: Vec<(i64, String)> = world
        .revisions
        .iter()
        .map(|(name, revision)| (revision["revision"].as_i64().unwrap(), name.clone()))
        .collect();
    revisions.sort();
    revisions.into_iter().map(|(_, name)| name).collect()
}

fn update(world: &World) -> String {
    world.set["status"]["updateRevision"].as_str().unwrap().to_owned()
}

fn of_revisions(world: &World, mark: usize) -> Vec<&str> {
    world.writes_since(mark).into_iter().filter(|write| write.contains("revision")).collect()
}

fn six(test: impl Fn(&str, &Value)) {
    for policy in ["OrderedReady", "Parallel"] {
        for kind in ["RollingUpdate", "InplaceUpdate", "OnDelete"] {
            test(policy, &json!({"type": kind}));
        }
    }
}

#[test]
fn sts_c11_a_template_has_one_revision_and_an_older_one_is_renumbered() {
    six(|policy, strategy| {
        let mut world = World::new(2, policy, strategy);
        world.converge();
        assert_eq!(world.revisions.len(), 1);
        let first = update(&world);
        world.set_image("game:2");
        world.converge();
        assert_eq!(world.revisions.len(), 2);
        assert_eq!(by_age(&world), [first.clone(), update(&world)]);

        // Nothing but the template makes a revision.
        let mark = world.writes.len();
        world.edit(|spec| {
            spec["replicas"] = json!(3);
            spec["minReadySeconds"] = json!(1);
            spec["volumeClaimTemplates"] = json!([]);
            spec["updateStrategy"]["rollingUpdate"] = json!({"maxUnavailable": 2});
        });
        world.converge();
        assert_eq!(of_revisions(&world, mark), Vec::<&str>::new());

        let second = update(&world);
        world.set_image("game:1");
        world.converge();
        assert_eq!(by_age(&world), [second, first.clone()]);
        assert_eq!(update(&world), first);
        assert_eq!(world.revisions[&first]["revision"], 3);
        let of_revisions = of_revisions(&world, mark);
        assert_eq!(of_revisions, [format!("patch revision {first} RenumberRevision")]);
    });
}

#[test]
fn sts_c17_history_keeps_the_limit_of_those_that_no_pod_carries() {
    // The controller makes no plan after one without steps: what is superfluous goes with the plan that shows it.
    for limit in [0, 1, 3] {
        let mut world = World::new(2, "Parallel", &json!({"type": "InplaceUpdate"}));
        world.edit(|spec| spec["revisionHistoryLimit"] = json!(limit));
        let mut names = Vec::new();
        for version in 1..=8 {
            world.set_image(&format!("game:{version}"));
            run(&mut world);
            names.push(update(&world));
            let kept = names.len().min(limit + 1);
            assert_eq!(by_age(&world), names[names.len() - kept..], "limit {limit}, version {version}");
        }
    }
}

#[test]
fn sts_c17_two_templates_in_turn_are_two_revisions_and_the_third_makes_one_too_many() {
    let mut world = World::new(2, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.edit(|spec| spec["revisionHistoryLimit"] = json!(1));
    for image in ["game:1", "game:2", "game:1"] {
        world.set_image(image);
        world.converge();
    }
    // One is live, and one is kept: the limit counts those that are not in use.
    assert_eq!(world.revisions.len(), 2);
    world.set_image("game:3");
    world.converge();
    assert_eq!(world.revisions.len(), 2);
    world.edit(|spec| spec["revisionHistoryLimit"] = json!(0));
    world.converge();
    assert_eq!(by_age(&world), [update(&world)]);
}

#[test]
fn sts_c17_revisions_in_use_are_never_trimmed() {
    let mut world = World::new(4, "Parallel", &json!({"type": "OnDelete"}));
    world.edit(|spec| spec["revisionHistoryLimit"] = json!(0));
    world.converge();
    let mut carried = vec![update(&world)];
    for version in 2..=4 {
        world.set_image(&format!("game:{version}"));
        world.converge();
        world.delete(&format!("game-{version}").replace("game-4", "game-1"));
        world.converge();
        carried.push(update(&world));
    }
    assert_eq!(by_age(&world), carried);
    // One that only a pod on its way out carries is in use as well.
    world.delete("game-2");
    world.settle();
    assert!(world.revisions.contains_key(&carried[1]));
    world.converge();
    assert!(!world.revisions.contains_key(&carried[1]));
}

#[test]
fn sts_c17_a_status_that_is_never_written_loses_no_revision_in_use() {
    let mut world = World::new(3, "OrderedReady", &json!({"type": "RollingUpdate"}));
    world.edit(|spec| spec["revisionHistoryLimit"] = json!(0));
    world.converge();
    let status = world.set["status"].clone();
    for version in 2..=5 {
        world.set_image(&format!("game:{version}"));
        for _ in 0..4 {
            let plan = world.plan();
            for step in &plan.steps {
                world.apply(step);
            }
            world.kubelets();
            world.set["status"] = status.clone();
            for pod in world.pods.values() {
                let carried = pod["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap();
                assert!(world.revisions.contains_key(carried), "{carried} is gone");
            }
        }
    }
    world.converge();
    assert_eq!(world.images(), ["game:5"; 3]);
}

#[test]
fn sts_c18_a_rollback_reuses_the_original_revision() {
    six(|policy, strategy| {
        let on_delete = strategy["type"] == "OnDelete";
        let mut world = World::new(3, policy, strategy);
        world.converge();
        let original = update(&world);
        let stored = world.revisions[&original].clone();
        for image in ["foo", "game:1"] {
            world.set_image(image);
            world.converge();
            if on_delete {
                for pod in ["game-0", "game-1", "game-2"] {
                    world.delete(pod);
                    world.converge();
                }
            }
            assert_eq!(world.images(), [image; 3], "{policy} {strategy}");
        }
        assert_eq!(update(&world), original);
        let now = &world.revisions[&original];
        assert_eq!(now["data"], stored["data"]);
        assert_eq!(now["metadata"]["uid"], stored["metadata"]["uid"]);
        assert_eq!((world.revisions.len(), &now["revision"]), (2, &json!(3)));
        assert_eq!(world.set["status"]["currentRevision"], json!(original));
    });
}

#[test]
fn sts_c18_a_name_that_another_template_holds_is_left_and_counted() {
    let mut world = World::new(1, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.converge();
    world.set_image("game:2");
    let plan = world.plan();
    let name = plan.steps[0].action.title().replace("create revision ", "");
    // Somebody else's, under the very name.
    let mut taken = world.revisions.values().next().unwrap().clone();
    taken["metadata"]["name"] = json!(name);
    taken["metadata"]["uid"] = json!("another");
    taken["metadata"]["ownerReferences"][0]["uid"] = json!("another-set");
    taken["data"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other:1");
    world.revisions.insert(name.clone(), taken);
    world.converge();
    assert_eq!(world.set["status"]["collisionCount"], 1);
    assert_ne!(update(&world), name);
    assert_eq!(world.images(), ["game:2"]);
    // The count is carried on, and the next template does not collide.
    world.set_image("game:3");
    world.converge();
    assert_eq!((&world.set["status"]["collisionCount"], world.images()), (&json!(1), vec!["game:3"]));
}

#[test]
fn sts_c18_a_revision_that_was_deleted_by_hand_comes_back_under_its_name() {
    let mut world = World::new(3, "Parallel", &json!({"type": "InplaceUpdate"}));
    world.converge();
    let before = (world.uids(), update(&world));
    world.revisions.clear();
    world.converge();
    assert_eq!((world.uids(), update(&world)), before);
    assert!(world.revisions.contains_key(&before.1));

    // The one that pods below the partition came from is not known any more: they stay, and the set says so.
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"] = json!({"partition": 2}));
    world.set_image("game:2");
    world.converge();
    world.revisions.remove(&before.1);
    let mark = world.writes.len();
    world.converge();
    assert_eq!(world.images(), ["game:1", "game:1", "game:2"]);
    assert_eq!(world.writes_since(mark), Vec::<&str>::new());
}

#[test]
fn sts_c22_what_older_versions_stored_is_the_same_by_meaning_and_gets_no_write() {
    // As Go programs write a template: null for no time, an empty map for no resources, defaults filled in.
    let older = json!({
        "$patch": "replace",
        "metadata": {"creationTimestamp": null, "labels": {"app": "game"}},
        "spec": {
            "containers": [{
                "name": "center",
                "image": "game:1",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    });
    six(|policy, strategy| {
        let mut world = World::new(3, policy, strategy);
        world.converge();
        let ours = update(&world);
        let mut revision = world.revisions.remove(&ours).unwrap();
        revision["metadata"]["name"] = json!("game-77c9b8f6d");
        revision["data"]["spec"]["template"] = older.clone();
        world.revisions.insert("game-77c9b8f6d".into(), revision);
        for pod in world.pods.values_mut() {
            pod["metadata"]["labels"]["controller-revision-hash"] = json!("game-77c9b8f6d");
        }
        for name in ["currentRevision", "updateRevision"] {
            world.set["status"][name] = json!("game-77c9b8f6d");
        }
        let (mark, status) = (world.writes.len(), world.set["status"].clone());
        world.edit(|spec| {
            spec["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
        });
        world.set["metadata"]["generation"] = json!(1);
        world.set["status"] = status.clone();
        let plan = world.plan();
        assert!(plan.steps.is_empty(), "{policy} {strategy}: {plan}");
        world.record(&plan);
        assert_eq!(world.set["status"], status, "{policy} {strategy}");
        assert_eq!(world.writes_since(mark), Vec::<&str>::new());
    });
}

/// A set as the bk-bcs operator left it in the middle of an update: revision names of its own making, its hashes, its
/// labels and annotations.
fn of_the_original(strategy: &Value) -> World {
    let mut world = World::new(4, "Parallel", strategy);
    world.converge();
    let ours = update(&world);
    let stored = world.revisions.remove(&ours).unwrap();
    world.revisions.clear();
    for (number, name, image) in [(1, "game-5d4f8", "game:1"), (2, "game-77c9b", "game:2")] {
        let mut revision = stored.clone();
        revision["metadata"]["name"] = json!(name);
        revision["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        revision["metadata"]["labels"] = json!({"app": "game"});
        revision["revision"] = json!(number);
        let template = &mut revision["data"]["spec"]["template"];
        template["metadata"]["creationTimestamp"] = Value::Null;
        template["spec"]["containers"][0]["resources"] = json!({});
        template["spec"]["containers"][0]["image"] = json!(image);
        world.revisions.insert(name.into(), revision);
    }
    for (name, pod) in &mut world.pods {
        let labels = &mut pod["metadata"]["labels"];
        labels["controller-revision-hash"] = json!("game-5d4f8");
        // Those are Muster's, and the original writes none of them.
        for label in ["apps.kubernetes.io/pod-index", "statefulset.kubernetes.io/pod-name"] {
            labels.as_object_mut().unwrap().remove(label);
        }
        if name == "game-3" {
            labels["controller-revision-hash"] = json!("game-77c9b");
            pod["spec"]["containers"][0]["image"] = json!("game:2");
            pod["status"]["containerStatuses"][0]["image"] = json!("game:2");
            pod["status"]["containerStatuses"][0]["spec"] = json!("game:2");
            pod["status"]["containerStatuses"][0]["imageID"] = json!("sha256:new");
            // It is never taken off.
            pod["metadata"]["annotations"]["io.tencent.bcs.dev/game-pod-deleting"] = json!("true");
            pod["metadata"]["annotations"]["inplace-update-state"] = json!(
                "{\"revision\":\"game-77c9b\",\"updateTimestamp\":\"2022-03-04T05:06:07Z\",\
                 \"lastContainerStatuses\":{\"center\":{\"imageID\":\"sha256:game:1\"}}}"
            );
        }
    }
    world.set_image("game:2");
    world.set["status"] = json!({
        "observedGeneration": 2,
        "replicas": 4,
        "readyReplicas": 4,
        "currentReplicas": 3,
        "updatedReplicas": 1,
        "updatedReadyReplicas": 1,
        "currentRevision": "game-5d4f8",
        "updateRevision": "game-77c9b",
        "collisionCount": 0,
        "labelSelector": "app=game",
    });
    world
}

/// Writes of pods that are more than a repair of their labels.
fn of_pods(world: &World, mark: usize) -> Vec<&str> {
    world.writes_since(mark).into_iter().filter(|write| write.contains("pod")).collect()
}

#[test]
fn takeover_of_a_set_at_its_partition_reuses_its_revisions_and_writes_no_pod() {
    let mut world = of_the_original(&json!({"type": "InplaceUpdate", "rollingUpdate": {"partition": 3}}));
    let (mark, uids) = (world.writes.len(), world.uids());
    run(&mut world);
    assert_eq!(of_pods(&world, mark), Vec::<&str>::new());
    assert_eq!(of_revisions(&world, mark), Vec::<&str>::new());
    assert_eq!(world.images(), ["game:1", "game:1", "game:1", "game:2"]);
    let status = &world.set["status"];
    assert_eq!(
        (&status["currentRevision"], &status["updateRevision"]),
        (&json!("game-5d4f8"), &json!("game-77c9b"))
    );

    // It goes on from there, in place, and back to a revision of the original.
    world.edit(|spec| spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0));
    run(&mut world);
    assert_eq!((world.uids(), world.images()), (uids.clone(), vec!["game:2"; 4]));
    world.set_image("game:1");
    run(&mut world);
    assert_eq!((world.uids(), update(&world)), (uids, "game-5d4f8".to_owned()));
    assert_eq!(world.revisions.len(), 2);
}

#[test]
fn takeover_in_the_middle_of_a_canary_stays_at_its_step() {
    let mut world = of_the_original(&json!({
        "type": "InplaceUpdate",
        "paused": true,
        "canary": {"steps": [{"partition": 3}, {"pause": {}}, {"partition": 1}, {"pause": {}}]},
    }));
    world.set["status"]["currentStepIndex"] = json!(1);
    world.set["status"]["currentStepHash"] = json!("jf7b42cx9q");
    world.set["status"]["canary"] = json!({"revision": "game-5d4f8"});
    world.set["status"]["pauseConditions"] =
        json!([{"reason": "PausedByCanaryPauseStep", "startTime": "2022-03-04T05:06:07Z"}]);
    let mark = world.writes.len();
    run(&mut world);
    let status = &world.set["status"];
    assert_eq!(
        (&status["currentStepIndex"], &status["canary"]["revision"]),
        (&json!(1), &json!("game-5d4f8"))
    );
    assert_eq!(status["pauseConditions"][0]["startTime"], "2022-03-04T05:06:07Z");
    assert_eq!(of_pods(&world, mark), Vec::<&str>::new());

    // Its users resume as they always did.
    world.edit(|spec| spec["updateStrategy"]["paused"] = json!(false));
    run(&mut world);
    assert_eq!(world.images(), ["game:1", "game:2", "game:2", "game:2"]);
    assert_eq!(world.set["status"]["currentStepIndex"], 3);
}
