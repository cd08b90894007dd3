use std::path::{Path, PathBuf};

use muster_conformance::{case::Case, known::Known, load};

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
