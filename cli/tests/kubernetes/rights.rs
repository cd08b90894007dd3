//! Rights as deploy/ grants them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::planes::root;

/// One right, whatever namespace or name it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) verb: String,
}

/// Every right in a file of roles.
pub(crate) fn granted(file: &str) -> BTreeSet<Right> {
    let path = root().join(file);
    let documents = muster_sandbox::manifests::read(&[path]).unwrap();
    let rules = documents.iter().filter_map(|document| document.object["rules"].as_array()).flatten();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for verb in list(&rule["verbs"]) {
                    rights.insert(Right { group: group.clone(), resource: resource.clone(), verb });
                }
            }
        }
    }
    assert!(rights.len() > 10, "{file} grants {rights:?}");
    rights
}

/// `verb resource` of rights, for comparing with what is expected.
pub(crate) fn words<'a>(rights: impl IntoIterator<Item = &'a Right>) -> Vec<String> {
    rights.into_iter().map(|right| format!("{} {}", right.verb, right.resource)).collect()
}
