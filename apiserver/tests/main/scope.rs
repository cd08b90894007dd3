//! docs/apiserver-scope.md is held to the code: every test it names exists, every resource that is served is listed.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::World;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backticks.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_scope_names_exists() {
    let page = read("../docs/apiserver-scope.md");
    let mut checked = 0;
    for (file, name) in quoted(&page).filter_map(|word| word.split_once("::")) {
        if file == "file" {
            continue;
        }
        let source = read(&format!("tests/main/{file}.rs"));
        assert!(name == "*" || source.contains(&format!("fn {name}()")), "{file}::{name} does not exist");
        checked += 1;
    }
    assert!(checked > 30, "only {checked} tests were found in the page");
    for source in quoted(&page).filter(|word| word.starts_with("src/")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "{source} does not exist");
    }
}

#[test]
fn every_case_about_definitions_that_the_scope_names_exists() {
    let page = read("../docs/apiserver-scope.md");
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let named = quoted(&page).filter(|word| word.starts_with("definitions/"));
    for case in named.filter(|word| !word.ends_with(['*', '.'])) {
        assert!(cases.join(format!("{case}.yaml")).exists(), "{case} does not exist");
    }
}

#[tokio::test(start_paused = true)]
async fn every_resource_that_is_served_is_in_the_scope() {
    let page = read("../docs/apiserver-scope.md");
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|line| line.split_once(" |"));
    let listed: BTreeSet<&str> = rows.flat_map(|(first, _)| first.split(", ")).collect();
    let world = World::new();
    for resource in world.cluster.store().catalog().all() {
        assert!(listed.contains(&*resource.plural), "{} is served and not listed", resource.plural);
    }
}
