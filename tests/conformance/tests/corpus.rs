use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use muster_conformance::{case::Case, known::Known, load};

/// The areas that a corpus must cover.
const AREAS: [&str; 12] = [
    "apply",
    "crud",
    "definitions",
    "deletion",
    "errors",
    "lists",
    "namespaces",
    "patches",
    "pods",
    "subresources",
    "tables",
    "watch",
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn cases() -> Vec<Case> {
    load::cases(&here("cases")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_case_can_be_read() {
    assert!(!cases().is_empty());
}

#[test]
fn the_list_of_differences_is_short_and_names_cases() {
    let known = Known::read(&here("differences.yaml")).unwrap_or_else(|error| panic!("{error}"));
    known.check(&cases()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_bad_case_is_named_by_file_step_and_field() {
    let directory = here("tests/bad");
    let error = load::cases(&directory).expect_err("bad cases").to_string();
    let expected = format!(
        "{0}/step.yaml: step 2: request: \"FETCH\" is not a method and a path\n",
        directory.display()
    );
    assert_eq!(format!("{error}\n"), expected);
}

/// What stands between backticks.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

#[test]
fn every_area_has_its_cases() {
    let mut areas: BTreeMap<String, usize> = AREAS.into_iter().map(|area| (area.to_owned(), 0)).collect();
    let cases = cases();
    for case in &cases {
        *areas.entry(case.area().to_owned()).or_default() += 1;
    }
    for (area, count) in areas {
        let least = if AREAS.contains(&area.as_str()) { 12 } else { 5 };
        assert!(count >= least, "{area} has {count} cases");
    }
    assert!(cases.len() >= 200, "there are {} cases", cases.len());
}

#[test]
fn every_row_of_the_scope_names_a_test_or_a_case_that_exists() {
    let page = here("../../docs/apiserver-scope.md");
    let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let cases = cases();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |")) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let mut named = 0;
        for word in quoted(cell) {
            if let Some((file, test)) = word.split_once("::") {
                let source = here(&format!("../../apiserver/tests/main/{file}.rs"));
                let source = fs::read_to_string(&source).unwrap_or_default();
                let exists = test == "*" && !source.is_empty() || source.contains(&format!("fn {test}()"));
                assert!(exists, "{word} does not exist");
            } else if word.starts_with("src/") {
                assert!(here("../../apiserver").join(word).exists(), "{word} does not exist");
            } else {
                let found = cases.iter().any(|case| {
                    case.id == word
                        || word.strip_suffix('*').is_some_and(|prefix| case.id.starts_with(prefix))
                });
                assert!(found, "there is no case {word}");
            }
            named += 1;
        }
        assert!(named > 0, "no test is named: {row}");
        rows += 1;
    }
    assert!(rows > 30, "only {rows} rows were found");
}
