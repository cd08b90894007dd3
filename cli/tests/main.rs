//! The binary as a user runs it.

#![expect(clippy::unwrap_used, reason = "a failed preparation fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CLUSTERS: &str = "
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: shanghai, namespace: kube-federation-system}
spec: {}
";

const GOOD: &str = "
apiVersion: types.kubefed.io/v1beta1
kind: FederatedGameStatefulSet
metadata: {name: game, namespace: games, annotations: {muster.dev/division: Duplicate}}
spec:
  template:
    spec:
      replicas: 2
      serviceName: game
      podManagementPolicy: Parallel
      selector: {matchLabels: {app: game}}
      template:
        metadata: {labels: {app: game}}
        spec: {containers: [{name: main, image: 'game:1'}]}
  placement: {clusters: [{name: shanghai}]}
";

/// A folder of its own for one test, emptied first.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn muster(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.current_dir(folder).args(arguments).env_remove("KUBECONFIG");
    command
}

/// Runs `muster sandbox --once` on these manifests.
fn once(name: &str, manifests: &[&str], timeout: &str) -> Output {
    let folder = scratch(name);
    fs::write(folder.join("all.yaml"), manifests.join("\n---\n")).unwrap();
    let arguments =
        ["sandbox", "--once", "--timeout", timeout, "--pod-start", "1ms..2ms", "--apply", "all.yaml"];
    muster(&folder, &arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn once_exits_0_when_all_is_ready() {
    let output = once("once-ready", &[CLUSTERS, GOOD], "60s");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("Ready: 2 game servers"), "{}", text(&output.stdout));
}

#[test]
fn once_exits_1_and_names_what_is_not_ready_and_why() {
    let unknown = GOOD.replace("{name: shanghai}", "{name: shanghai}, {name: nowhere}");
    let negative = GOOD.replace("replicas: 2", "replicas: -2");
    let path = GOOD.replace(
        "  placement:",
        "  overrides: [{clusterName: shanghai, clusterOverrides: [{path: /spec/x/y, value: 1}]}]\n  placement:",
    );
    for (name, manifest, expected) in [
        ("once-unknown", &unknown, ["games/game", "nowhere"]),
        ("once-negative", &negative, ["games/game", "replicas"]),
        ("once-path", &path, ["games/game", "/spec/x/y"]),
    ] {
        let output = once(name, &[CLUSTERS, manifest], "3s");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {}{errors}", text(&output.stdout));
        assert!(expected.iter().all(|part| errors.contains(part)), "{name}: {errors}");
    }
}

#[test]
fn a_sandbox_holds_its_data_directory_and_stops_with_status_0_when_asked() {
    let folder = scratch("stops");
    fs::write(folder.join("all.yaml"), [CLUSTERS, GOOD].join("\n---\n")).unwrap();
    let arguments = ["sandbox", "--pod-start", "1ms..2ms", "--apply", "all.yaml"];
    let mut first = muster(&folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Ready:")), "it never said that it was ready");

    let status = muster(&folder, &["status", "-o", "json"]).output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&rows[0]["cluster"], &rows[0]["ready"]), (&"shanghai".into(), &2.into()));

    let second = muster(&folder, &arguments).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another sandbox uses the data directory"));

    let killed = Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn plan_prints_json_alone_on_standard_output() {
    let folder = scratch("plan");
    fs::write(folder.join("all.yaml"), [CLUSTERS, GOOD].join("\n---\n")).unwrap();
    let output = muster(&folder, &["plan", "-f", "all.yaml", "-o", "json"]).output().unwrap();
    let plans: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plans[0]["clusters"][0]["replicas"], 2);
    assert_eq!(plans[0]["shortage"], 0);

    let bad = GOOD.replace("replicas: 2", "replicas: -2");
    fs::write(folder.join("bad.yaml"), bad).unwrap();
    let output = muster(&folder, &["plan", "-f", "bad.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("spec.template.spec.replicas"), "{}", text(&output.stderr));
}
