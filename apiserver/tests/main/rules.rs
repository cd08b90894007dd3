//! Rules of the built-in kinds that only a running server shows. What is wrong with one object on its own has tests
//! beside the code.

use serde_json::json;

use crate::support::{GAMES, MAPS, PODS, World, configmap, game, games, pod, world_with_games};

#[tokio::test(start_paused = true)]
async fn a_pod_gets_the_defaults_of_a_real_server() {
    let world = World::new();
    let made = world.post(PODS, &pod("p")).await.json();
    let spec = &made["spec"];
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    assert_eq!(spec["schedulerName"], "default-scheduler");
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(made["metadata"]["generation"], 1);
}

#[tokio::test(start_paused = true)]
async fn only_images_and_the_like_of_a_pod_may_change() {
    let world = World::new();
    world.post(PODS, &pod("p")).await;
    let path = format!("{PODS}/p");
    let image = json!({"spec": {"containers": [{"name": "main", "image": "game:2"}]}});
    assert_eq!(world.patch("strategic-merge", &path, &image).await.json()["metadata"]["generation"], 2);
    let refused = world.patch("merge", &path, &json!({"spec": {"hostname": "x"}})).await;
    assert_eq!((refused.code, &refused.json()["reason"]), (422, &json!("Invalid")));
    let start = "Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`";
    assert!(refused.failure().1.starts_with(start), "{}", refused.text);
    let status = json!({"spec": {"hostname": "x"}, "status": {"phase": "Running"}});
    let written = world.patch("merge", &format!("{path}/status"), &status).await.json();
    assert_eq!((&written["status"]["phase"], written["spec"].get("hostname")), (&json!("Running"), None));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once() {
    let world = World::new();
    world.post(PODS, &pod("p")).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    let path = format!("{PODS}/p/binding");
    assert_eq!(world.post(&path, &binding).await.code, 201);
    let bound = world.get(&format!("{PODS}/p")).await.json();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let again = world.post(&path, &binding).await;
    assert_eq!(
        again.failure(),
        (
            409,
            r#"Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1""#
                .into()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn what_kubernetes_has_and_this_server_does_not_is_501() {
    let world = World::new();
    world.post(PODS, &pod("p")).await;
    for name in ["log", "exec", "attach", "portforward"] {
        assert_eq!(world.get(&format!("{PODS}/p/{name}")).await.code, 501, "{name}");
    }
    assert_eq!(world.get(&format!("{PODS}/p/nothing")).await.code, 404);
    assert_eq!(world.patch("merge", &format!("{PODS}/p/ephemeralcontainers"), &json!({})).await.code, 501);
}

#[tokio::test(start_paused = true)]
async fn revisions_and_immutable_maps_keep_their_data() {
    let world = World::new();
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 1, "data": {"spec": {"x": 1}},
    });
    let path = "/apis/apps/v1/namespaces/default/controllerrevisions";
    let made = world.post(path, &revision).await;
    assert_eq!((made.code, &made.json()["data"]), (201, &json!({"spec": {"x": 1}})));
    let bumped = world.patch("merge", &format!("{path}/r"), &json!({"revision": 2})).await;
    assert_eq!(bumped.json()["revision"], 2);
    let changed = world.patch("merge", &format!("{path}/r"), &json!({"data": {"spec": {"x": 2}}})).await;
    assert_eq!(changed.code, 422);
    let mut frozen = configmap("a", &json!({"k": "v"}));
    frozen["immutable"] = true.into();
    world.post(MAPS, &frozen).await;
    assert_eq!(world.patch("merge", &format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await.code, 422);
}

#[tokio::test(start_paused = true)]
async fn a_lease_may_be_created_by_put_and_must_be_updated_by_version() {
    let world = World::new();
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    let made = world.put(path, &lease).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.json()["spec"]["renewTime"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(world.put(path, &lease).await.code, 422);
    lease["metadata"]["resourceVersion"] = made.json()["metadata"]["resourceVersion"].clone();
    lease["spec"]["holderIdentity"] = "b".into();
    assert_eq!(world.put(path, &lease).await.json()["spec"]["holderIdentity"], "b");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_one_thing_in_two_groups() {
    let world = World::new();
    let new = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}, "note": "hello", "reason": "Greeting",
        "action": "Say", "type": "Normal", "reportingController": "test", "reportingInstance": "t-1",
    });
    let made = world.post("/apis/events.k8s.io/v1/namespaces/default/events", &new).await;
    assert_eq!((made.code, &made.json()["note"]), (201, &json!("hello")), "{}", made.text);
    let core = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3Du";
    let listed = world.get(core).await.json();
    assert_eq!(listed["items"][0]["message"], "hello");
    assert_eq!(listed["items"][0].get("apiVersion"), None, "built-in kinds say it once, in the list");
    assert_eq!(listed["items"][0]["involvedObject"]["name"], "p");
    let back = world.get("/apis/events.k8s.io/v1/events?fieldSelector=regarding.uid%3Du").await.json();
    assert_eq!(back["items"][0]["regarding"]["name"], "p");
    let astray = json!({"metadata": {"name": "f"}, "involvedObject": {"kind": "Pod", "namespace": "other", "name": "p"}});
    assert_eq!(world.post("/api/v1/namespaces/default/events", &astray).await.code, 422);
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_and_keep_them() {
    let world = World::new();
    let path = "/api/v1/namespaces/default/services";
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let first = world.post(path, &service("a")).await.json();
    let second = world.post(path, &service("b")).await.json();
    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert!(
        first["spec"]["ports"][0]["nodePort"].as_u64().is_some_and(|port| (30000..32768).contains(&port))
    );
    let mut update = service("a");
    update["metadata"]["labels"] = json!({"x": "y"});
    let updated = world.put(&format!("{path}/a"), &update).await.json();
    assert_eq!(updated["spec"], first["spec"]);
    let moved =
        world.patch("merge", &format!("{path}/a"), &json!({"spec": {"clusterIP": "10.96.1.1"}})).await;
    assert_eq!(moved.code, 422, "{}", moved.text);
}

#[tokio::test(start_paused = true)]
async fn secrets_take_strings_and_claims_stay_as_they_are() {
    let world = World::new();
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}});
    let made = world.post("/api/v1/namespaces/default/secrets", &secret).await.json();
    assert_eq!(
        (&made["data"]["k"], &made["type"], made.get("stringData")),
        (&json!("dg=="), &json!("Opaque"), None)
    );
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(world.post(claims, &claim).await.json()["status"]["phase"], "Pending");
    let patch = json!({"spec": {"accessModes": ["ReadWriteMany"]}});
    let refused = world.patch("merge", &format!("{claims}/c"), &patch).await;
    assert!(refused.failure().1.contains("spec is immutable after creation"), "{}", refused.text);
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_served_at_once_and_bad_ones_name_their_fields() {
    let world = World::new();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut bad = games();
    bad["metadata"]["name"] = "wrong.example.com".into();
    let refused = world.post(path, &bad).await;
    assert_eq!(
        refused.failure(),
        (422, r#"CustomResourceDefinition.apiextensions.k8s.io "wrong.example.com" is invalid: metadata.name: Invalid value: "wrong.example.com": must be spec.names.plural+"."+spec.group"#.into())
    );
    let made = world.post(path, &games()).await.json();
    let established = &made["status"]["conditions"][1];
    assert_eq!((&established["type"], &established["status"]), (&json!("Established"), &json!("True")));
    assert_eq!(made["status"]["acceptedNames"]["kind"], "Game");
    let mut rival = games();
    rival["metadata"]["name"] = "matches.example.com".into();
    rival["spec"]["names"]["plural"] = "matches".into();
    let rival = world.post(path, &rival).await.json();
    assert_eq!(rival["status"]["conditions"][0]["reason"], "ListKindConflict");
    assert_eq!(world.get("/apis/example.com/v1/matches").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn versions_of_a_definition_differ_in_name_only() {
    let world = World::new();
    let mut two = games();
    let mut alpha = two["spec"]["versions"][0].clone();
    alpha["name"] = "v1alpha1".into();
    alpha["storage"] = false.into();
    two["spec"]["versions"].as_array_mut().expect("versions").push(alpha);
    world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &two).await;
    let path = "/apis/example.com/v1alpha1/namespaces/default/games";
    let body = json!({"apiVersion": "example.com/v1alpha1", "kind": "Game", "metadata": {"name": "g"}, "spec": {"image": "a"}});
    assert_eq!(world.post(path, &body).await.json()["apiVersion"], "example.com/v1alpha1");
    assert_eq!(world.get(crate::support::GAMES).await.json()["items"][0]["apiVersion"], "example.com/v1");
    assert_eq!(world.get(path).await.json()["items"][0]["apiVersion"], "example.com/v1alpha1");
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_by_the_scale_of_what_owns_its_pods() {
    let world = world_with_games().await;
    let made = world.post(GAMES, &game("g", &json!({"replicas": 4}))).await.json();
    let mut pod = pod("one");
    pod["metadata"]["labels"] = json!({"app": "a"});
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": made["apiVersion"], "kind": made["kind"], "name": "g",
        "uid": made["metadata"]["uid"], "controller": true}]);
    world.post(PODS, &pod).await;
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    world.patch("merge", &format!("{PODS}/one/status"), &ready).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "most"},
        "spec": {"maxUnavailable": "30%", "selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}});
    world.post(budgets, &budget).await;
    world.settle().await;
    let counted = async || {
        let status = world.get(&format!("{budgets}/most")).await.json()["status"].take();
        ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"]
            .map(|field| status[field].as_i64().unwrap())
    };
    assert_eq!(counted().await, [1, 2, 4, 0]);
    world.patch("merge", &format!("{GAMES}/g"), &json!({"spec": {"replicas": 1}})).await;
    world.settle().await;
    assert_eq!(counted().await, [1, 0, 1, 1]);
    let evict = async || {
        world.post(&format!("{PODS}/one/eviction?dryRun=All"), &json!({"metadata": {"name": "one"}})).await
    };
    assert_eq!(evict().await.code, 201);
    // Pods without a controller are none of a whole, as in Kubernetes: the budget lets none go.
    world.delete(&format!("{GAMES}/g"), &json!({"propagationPolicy": "Orphan"})).await;
    world.settle().await;
    assert_eq!(counted().await, [1, 0, 0, 0]);
    assert_eq!(evict().await.code, 429);
}
