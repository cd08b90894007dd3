//! Dependencies between our crates point one way; docs/architecture.md draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;

use serde_json::Value;

/// Each crate, and the crates of ours that it may use. What a crate may use, its users may use as well; tests
/// (dev-dependencies) may use anything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("muster-crds", &[]),
    ("muster-apiserver", &[]),
    ("muster-planner", &["muster-crds"]),
    ("muster-workload", &["muster-crds"]),
    ("muster-runtime", &["muster-crds"]),
    ("muster-hub", &["muster-planner", "muster-apiserver", "muster-runtime"]),
    ("muster-agent", &["muster-workload", "muster-runtime"]),
    ("muster-sandbox", &["muster-hub", "muster-agent"]),
    ("muster", &["muster-sandbox"]),
    ("muster-harness", &[]),
    ("muster-scenarios", &["muster"]),
    ("muster-node", &["muster-crds", "muster-runtime"]),
    ("muster-statefulset", &["muster-crds", "muster-harness", "muster-runtime"]),
    ("muster-bench", &["muster-sandbox"]),
    ("muster-gameserver", &[]),
    ("muster-conformance", &["muster-apiserver", "muster-runtime"]),
];

/// Crates that decide and never do: no client, no runtime, no clock, no randomness.
const PURE: &[&str] = &["muster-planner", "muster-workload"];
/// What a pure crate must not name. kube is there for its types only, by way of muster-crds.
const IMPURE: &[&str] =
    &["kube", "tokio", "tokio-util", "futures", "rand", "reqwest", "hyper", "axum", "backon"];

/// Our crates, each with the names of its normal and build dependencies.
fn workspace() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let used = dependencies.filter(|dependency| dependency["kind"] != "dev");
            (text(&package["name"]), used.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

/// Everything that may be used by way of `name`.
fn reachable(name: &str, rules: &BTreeMap<&str, &[&str]>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = rules[name].to_vec();
    while let Some(next) = left.pop() {
        if reached.insert(next.to_owned()) {
            left.extend(rules[next]);
        }
    }
    reached
}

/// What breaks the rules, in words.
fn violations(workspace: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut found = Vec::new();
    for (name, used) in workspace {
        if !rules.contains_key(name.as_str()) {
            found.push(format!("{name} has no place in ALLOWED; say which crates it may use"));
            continue;
        }
        let may = reachable(name, &rules);
        let ours = used.iter().filter(|used| workspace.contains_key(*used));
        found.extend(
            ours.filter(|used| !may.contains(*used)).map(|used| format!("{name} must not use {used}")),
        );
        if PURE.contains(&name.as_str()) {
            let impure = used.iter().filter(|used| IMPURE.contains(&used.as_str()));
            found.extend(impure.map(|used| format!("{name} is pure and must not use {used}")));
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    assert_eq!(violations(&workspace()), Vec::<String>::new());
}

#[test]
fn every_rule_is_about_a_crate_that_exists() {
    let workspace = workspace();
    for (name, uses) in ALLOWED {
        for name in std::iter::once(name).chain(*uses) {
            assert!(workspace.contains_key(*name), "no crate {name}");
        }
    }
}

#[test]
fn a_dependency_against_the_direction_is_found() {
    let with = |name: &str, uses: &str| {
        let mut workspace = workspace();
        workspace.entry(name.to_owned()).or_default().insert(uses.to_owned());
        violations(&workspace)
    };
    assert_eq!(with("muster-hub", "muster-agent"), ["muster-hub must not use muster-agent"]);
    assert_eq!(with("muster-agent", "muster-planner"), ["muster-agent must not use muster-planner"]);
    assert_eq!(with("muster-crds", "muster-runtime"), ["muster-crds must not use muster-runtime"]);
    assert_eq!(with("muster-planner", "tokio"), ["muster-planner is pure and must not use tokio"]);
    assert_eq!(with("muster-new", "serde").len(), 1);
}
