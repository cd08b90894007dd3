//! The main job, start to end, by processes that have the rights of deploy/ and no other.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_harness::certificates::{Authority, Validity};
use muster_harness::process::Process;
use muster_harness::scratch::Scratch;
use serde_json::{Value, json};

use super::audit::Audit;
use super::planes::Planes;
use super::rights::{granted, words};

const SHANGHAI: &str = "shanghai-cluster";
const NANJING: &str = "nanjing-cluster";
const MEMBERS: [(&str, &str); 2] = [(SHANGHAI, "member-1"), (NANJING, "member-2")];
const FEDERATION: &str = "kube-federation-system";
const SYSTEM: &str = "muster-system";
const GAMES: &str = "center-system";

/// How long a process may take to stop. It takes a fraction of a second on an idle machine; one that waits for what is on
/// its way (watches, a Lease, a lost peer) takes longer than this on any.
const STOP: Duration = Duration::from_secs(15);

/// Rights that no request of its own shows in an audit log: an apply asks for `create` too when it makes the object.
const HUB_UNSEEN: [&str; 3] = [
    "create tombstones",
    // kubefed's kind, which Muster does not define: it is listed, and not there.
    "watch federatednamespaces",
    // No FederatedTypeConfig is part of the job.
    "patch federatedtypeconfigs/status",
];

/// The same for agents.
const AGENT_UNSEEN: [&str; 23] = [
    // Only when more revisions are kept than the history may have.
    "delete controllerrevisions",
    // Before pods that nobody owns are adopted.
    "get gamestatefulsets",
    "create customresourcedefinitions",
    "create gamestatefulsets",
    // Asked for by an admission plugin that is off by default.
    "update gamestatefulsets/finalizers",
    // After a create that found the object there already.
    "get pods",
    "get persistentvolumeclaims",
    "get controllerrevisions",
    // Sets of the job have no claims, and an event is counted up only where it repeats.
    "create persistentvolumeclaims",
    "patch persistentvolumeclaims",
    // Nor do their resources change.
    "patch pods/resize",
    "patch events",
    // Hooks are asked only where something answers them.
    "get hookruns",
    "list hookruns",
    "watch hookruns",
    "create hookruns",
    "patch hookruns",
    "delete hookruns",
    "get hooktemplates",
    "list hooktemplates",
    "watch hooktemplates",
    // And then sets are drained, in the time that their namespace leaves.
    "list namespaces",
    "watch namespaces",
];

/// Hub and agents over control planes.
struct Run {
    planes: Planes,
    scratch: Scratch,
    listen: String,
}

impl Run {
    fn muster(&self, name: &str, arguments: &[&str]) -> Process {
        let kubeconfig = format!("{name}.kubeconfig");
        let mut all = vec!["--log-format", "json", "--kubeconfig", &kubeconfig];
        all.extend(arguments);
        Process::start(Path::new(env!("CARGO_BIN_EXE_muster")), self.scratch.path(), name, &all)
    }

    fn hub(&self) -> Process {
        let tls = ["--tls-cert", "hub.crt", "--tls-key", "hub.key", "--client-ca", "ca.crt"];
        self.muster("hub", &[&["hub", "--listen", &self.listen][..], &tls].concat())
    }

    fn agent(&self, cluster: &str) -> Process {
        let (certificate, key) = (format!("{cluster}.crt"), format!("{cluster}.key"));
        let hub = format!("https://{}", self.listen);
        let own = ["--client-cert", &certificate, "--client-key", &key, "--hub-ca", "ca.crt"];
        self.muster(cluster, &[&["agent", "--hub", &hub, "--cluster", cluster][..], &own].concat())
    }

    /// Waits until these seats are ready, and the members' pods bear it out.
    fn settled(&self, shanghai: u64, nanjing: u64) {
        let wanted = [(SHANGHAI, "member-1", shanghai), (NANJING, "member-2", nanjing)];
        self.planes.until(&format!("{shanghai} and {nanjing}"), || {
            let game = self.planes.get("hub", &["-n", GAMES, "federatedgamestatefulset", "gamecenter"]);
            if game["status"]["observedGeneration"] != game["metadata"]["generation"] {
                return Err("an old status".to_owned());
            }
            for (cluster, _, seats) in wanted.iter().filter(|(_, _, seats)| *seats > 0) {
                let rows = game["status"]["clusters"].as_array().cloned().unwrap_or_default();
                let row = rows.iter().find(|row| row["name"] == *cluster).cloned().unwrap_or_default();
                for number in ["planned", "readyReplicas", "updatedReplicas"] {
                    if row[number].as_u64() != Some(*seats) {
                        return Err(row.to_string());
                    }
                }
            }
            for (_, context, seats) in wanted {
                let pods = self.planes.get(context, &["-n", GAMES, "pods", "-l", "app=gamecenter"]);
                let pods = pods["items"].as_array().cloned().unwrap_or_default();
                let ready = pods.iter().filter(|pod| is_ready(pod)).count() as u64;
                if [pods.len() as u64, ready] != [seats; 2] {
                    return Err(format!("{context}: {} pods, {ready} ready", pods.len()));
                }
            }
            Ok(())
        });
    }

    /// Waits until every pod has this image.
    fn everywhere(&self, image: &str) {
        self.planes.until(&format!("every pod has {image}"), || {
            for (_, context) in MEMBERS {
                let pods = self.planes.get(context, &["-n", GAMES, "pods", "-l", "app=gamecenter"]);
                let pods = pods["items"].as_array().cloned().unwrap_or_default();
                if let Some(old) = pods.iter().find(|pod| pod["spec"]["containers"][0]["image"] != image) {
                    return Err(format!("{context}: {}", old["metadata"]["name"]));
                }
            }
            Ok(())
        });
    }

    fn patch(&self, patch: &Value) {
        let patch = &patch.to_string();
        let what =
            ["-n", GAMES, "patch", "federatedgamestatefulset", "gamecenter", "--type=merge", "-p", patch];
        self.planes.kubectl("hub", &what);
    }

    fn contact(&self, cluster: &str, wanted: &str) {
        self.planes.until(&format!("{cluster} ready: {wanted}"), || {
            let object = self.planes.get("hub", &["-n", FEDERATION, "kubefedcluster", cluster]);
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
            if ready["status"] == wanted { Ok(()) } else { Err(ready.to_string()) }
        });
    }

    /// Leaves nothing behind.
    fn clean(planes: &Planes) {
        let gone = ["delete", "--ignore-not-found", "--wait=true", "--timeout=60s"];
        let delete = |context: &str, what: &[&str]| planes.try_kubectl(context, &[&gone[..], what].concat());
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let unbind =
            ["-n", GAMES, "patch", "federatedgamestatefulset", "gamecenter", "--type=merge", "-p", free];
        planes.try_kubectl("hub", &unbind);
        delete("hub", &["-f", "examples/talk"]);
        for path in ["deploy/hub/rbac.yaml", "deploy/hub/namespace.yaml"] {
            delete("hub", &["-f", path]);
        }
        delete("hub", &["namespace", GAMES]);
        delete("hub", &["-k", "crds"]);
        for (_, context) in MEMBERS {
            delete(context, &["-f", "deploy/agent/rbac.yaml", "-f", "deploy/agent/namespace.yaml"]);
            delete(context, &["namespace", GAMES]);
            for kind in ["gamestatefulsets", "hooktemplates", "hookruns"] {
                delete(context, &["customresourcedefinition", &format!("{kind}.tkex.tencent.com")]);
            }
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

/// A port that is free now.
fn free() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn the_rights_of_deploy_are_enough_for_the_main_job_and_none_is_idle() {
    let planes = Planes::new();
    Run::clean(&planes);
    let scratch = Scratch::new("kubernetes");
    let ca = Authority::new("muster-ca");
    std::fs::write(scratch.file("ca.crt"), ca.pem()).unwrap();
    ca.server(&["127.0.0.1"], Validity::Current).write(scratch.path(), "hub");

    // As docs/operating.md installs it, but for the Deployments: they need images.
    let apply = ["apply", "--server-side", "-f"];
    planes.kubectl("hub", &[&apply[..], &["deploy/hub/namespace.yaml"]].concat());
    planes.kubectl("hub", &["apply", "--server-side", "-k", "crds"]);
    planes.kubectl("hub", &["apply", "--server-side", "--dry-run=server", "-k", "deploy/hub"]);
    planes.kubectl("hub", &[&apply[..], &["deploy/hub/rbac.yaml"]].concat());
    planes.service_account("hub", FEDERATION, "muster-hub", &scratch.file("hub.kubeconfig"));
    let mut audits = vec![("hub", Audit::of(&planes.audit_log("hub"), FEDERATION, "muster-hub"))];
    for (cluster, context) in MEMBERS {
        planes.kubectl(context, &[&apply[..], &["deploy/agent/namespace.yaml"]].concat());
        planes.kubectl(context, &["apply", "--server-side", "--dry-run=server", "-k", "deploy/agent"]);
        planes.kubectl(context, &[&apply[..], &["deploy/agent/rbac.yaml"]].concat());
        let kubeconfig = scratch.file(&format!("{cluster}.kubeconfig"));
        planes.service_account(context, SYSTEM, "muster-agent", &kubeconfig);
        ca.agent(cluster, Validity::Current).write(scratch.path(), cluster);
        audits.push((context, Audit::of(&planes.audit_log(context), SYSTEM, "muster-agent")));
    }

    let run = Run { planes, scratch, listen: free() };
    let mut hub = run.hub();
    let (mut shanghai, mut nanjing) = (run.agent(SHANGHAI), run.agent(NANJING));
    run.planes.kubectl("hub", &["create", "namespace", GAMES]);
    run.planes.kubectl("hub", &[&apply[..], &["examples/talk"]].concat());
    run.settled(120, 80);

    // Scale out and in, a new image, a cluster that leaves and comes back.
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        run.planes.kubectl("hub", &["-n", GAMES, "scale", "federatedgamestatefulset/gamecenter", &replicas]);
    };
    scale("5");
    run.settled(3, 2);
    // Images there and back: revisions are made, counted up and thrown away.
    for image in ["gamcenter:v1", "gamcenter:v2", "gamcenter:v1"] {
        run.patch(&json!({"spec": {"overrides": [], "template": {"spec": {
            "revisionHistoryLimit": 1,
            "updateStrategy": {"inPlaceUpdateStrategy": {"gracePeriodSeconds": 1}},
            "template": {"spec": {"containers": [{"name": "center", "image": image, "imagePullPolicy": "IfNotPresent"}]}},
        }}}}));
        run.everywhere(image);
        run.settled(3, 2);
    }
    scale("40");
    run.settled(24, 16);
    run.patch(&json!({"spec": {"placement": {"clusters": [{"name": SHANGHAI}]}}}));
    run.settled(40, 0);

    // A hub that is killed: the next one leads when the Lease has run out, well before members count as lost.
    hub.kill();
    let killed = Instant::now();
    hub = run.hub();
    hub.says(&["\"leading\""]);
    // How long it may take is proven below: no member was called lost meanwhile.
    println!("a hub leads {:?} after another one was killed", killed.elapsed());
    run.patch(&json!({"spec": {"placement": {"clusters": [{"name": SHANGHAI}, {"name": NANJING}]}}}));
    run.planes.until("both hold something", || {
        let pods = run.planes.get("member-2", &["-n", GAMES, "gamestatefulset", "gamecenter"]);
        if pods.is_object() { Ok(()) } else { Err("no set in member-2".to_owned()) }
    });
    assert_eq!(hub.count(&["contact changed", "Lost"]), 0, "{}", hub.end());

    // One that is told to stop gives the Lease back.
    let (status, took) = hub.terminate();
    assert!(status.code() == Some(0) && took < STOP, "{status} {took:?}");
    let lease = run.planes.get("hub", &["-n", FEDERATION, "lease", "muster-hub"]);
    assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "", "{lease}");
    hub = run.hub();
    hub.says(&["\"leading\""]);

    // A deletion while a member is away leaves a Tombstone, and what it holds goes when it is back.
    let (status, took) = nanjing.terminate();
    assert!(status.code() == Some(0) && took < STOP, "{status} {took:?}");
    run.contact(NANJING, "Unknown");
    run.planes
        .kubectl("hub", &["-n", GAMES, "delete", "federatedgamestatefulset", "gamecenter", "--wait=false"]);
    let tombstones = || {
        let found = run.planes.get("hub", &["-n", FEDERATION, "tombstones"]);
        found["items"].as_array().map_or(0, Vec::len)
    };
    run.planes.until("a tombstone", || if tombstones() == 1 { Ok(()) } else { Err("none".to_owned()) });
    nanjing = run.agent(NANJING);
    run.planes.until("nothing is left", || {
        let mut left = tombstones();
        for (_, context) in MEMBERS {
            let found = run.planes.get(context, &["-n", GAMES, "gamestatefulsets,pods"]);
            left += found["items"].as_array().map_or(0, Vec::len);
        }
        if left == 0 { Ok(()) } else { Err(format!("{left} objects")) }
    });

    for process in [&mut hub, &mut shanghai, &mut nanjing] {
        assert!(process.runs(), "{}", process.end());
        process.terminate();
    }
    for (context, audit) in &audits {
        assert_eq!(audit.refused(), Vec::<String>::new(), "refused by {context}");
    }
    let [(_, at_hub), members @ ..] = &audits[..] else { unreachable!("there is a hub") };
    let idle = |file: &str, used: &std::collections::BTreeSet<_>, unseen: &[&str]| {
        let granted = granted(file);
        let mut idle = words(granted.difference(used));
        idle.retain(|right| !unseen.contains(&right.as_str()));
        assert_eq!(idle, Vec::<String>::new(), "{file} grants what nobody uses");
        assert_eq!(words(used.difference(&granted)), Vec::<String>::new(), "used and not granted in {file}");
    };
    idle("deploy/hub/rbac.yaml", &at_hub.used(), &HUB_UNSEEN);
    let used = members.iter().flat_map(|(_, audit)| audit.used()).collect();
    idle("deploy/agent/rbac.yaml", &used, &AGENT_UNSEEN);
    Run::clean(&run.planes);
}
