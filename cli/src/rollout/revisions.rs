//! The stored revisions of a set.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use muster_crds::GameStatefulSet;
use serde_json::Value;

use super::Object;
use crate::args::Connection;
use crate::clients::{self, Connected};
use crate::error::CliError;

/// A stored template.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) created: Option<jiff::Timestamp>,
    pub(super) template: Value,
}

impl Stored {
    fn of(revision: &ControllerRevision) -> Self {
        let mut template =
            revision.data.as_ref().map(|data| data.0["spec"]["template"].clone()).unwrap_or_default();
        if let Some(template) = template.as_object_mut() {
            template.remove("$patch");
        }
        Self {
            number: revision.revision,
            name: revision.name_any(),
            created: revision.metadata.creation_timestamp.as_ref().map(|time| time.0),
            template,
        }
    }

    /// The images of its containers.
    pub(super) fn images(&self) -> String {
        let containers = self.template["spec"]["containers"].as_array().into_iter().flatten();
        let images: Vec<&str> = containers.filter_map(|container| container["image"].as_str()).collect();
        images.join(", ")
    }
}

/// The revisions of a set, oldest first.
pub(super) async fn of(connected: &Connected, set: &GameStatefulSet) -> Result<Vec<Stored>, CliError> {
    let namespace = set.namespace().unwrap_or_default();
    let api: Api<ControllerRevision> = Api::namespaced(connected.client.clone(), &namespace);
    let list = api.list(&ListParams::default()).await;
    let what = || format!("cannot list controllerrevisions of namespace {namespace}");
    let list = list.map_err(|error| CliError::api(what(), &error))?.items;
    let uid = set.uid();
    let owned = |revision: &ControllerRevision| {
        let mut owners = revision.owner_references().iter();
        uid.is_some()
            && owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == uid.as_ref())
    };
    let mut revisions: Vec<Stored> = list.iter().filter(|revision| owned(revision)).map(Stored::of).collect();
    revisions.sort_by(|a, b| a.number.cmp(&b.number).then_with(|| a.name.cmp(&b.name)));
    Ok(revisions)
}

/// The revisions that a member has of a federated object.
pub(super) async fn of_member(
    connection: &Connection,
    object: &Object,
    context: &str,
) -> Result<Vec<Stored>, CliError> {
    let connection = Connection { context: Some(context.to_owned()), ..connection.clone() };
    let connected = clients::current(&connection).await?;
    let api: Api<GameStatefulSet> = Api::namespaced(connected.client.clone(), &object.namespace);
    let what = format!("gamestatefulset {}/{} in context {context:?}", object.namespace, object.name);
    let set = api.get(&object.name).await.map_err(|error| CliError::api(what, &error))?;
    of(&connected, &set).await
}

/// The revision of this number, or the one before the newest.
pub(super) fn choose<'a>(
    object: &str,
    revisions: &'a [Stored],
    number: Option<i64>,
) -> Result<&'a Stored, CliError> {
    let there_are = || {
        let numbers: Vec<String> = revisions.iter().map(|revision| revision.number.to_string()).collect();
        if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
    };
    match number {
        // As kubectl has it, 0 is the one before.
        Some(number) if number != 0 => {
            let found = revisions.iter().find(|revision| revision.number == number);
            found.ok_or_else(|| {
                CliError::Input(format!("{object} has no revision {number}; there are: {}", there_are()))
            })
        }
        _ => revisions.iter().rev().nth(1).ok_or_else(|| {
            CliError::Input(format!("{object} has no revision to go back to; there are: {}", there_are()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(number: i64) -> Stored {
        Stored { number, name: format!("game-{number}"), created: None, template: Value::Null }
    }

    #[test]
    fn undo_goes_one_back_or_to_the_number_that_is_asked_for() {
        let revisions = [stored(2), stored(5), stored(6)];
        let chosen = |number| choose("set games/game", &revisions, number).map(|stored| stored.number);
        assert_eq!(chosen(None).unwrap(), 5);
        assert_eq!(chosen(Some(0)).unwrap(), 5);
        assert_eq!(chosen(Some(2)).unwrap(), 2);
        let error = chosen(Some(3)).unwrap_err().to_string();
        assert_eq!(error, "set games/game has no revision 3; there are: 2, 5, 6");
        let error = choose("set games/game", &[stored(1)], None).unwrap_err().to_string();
        assert!(error.ends_with("there are: 1"), "{error}");
    }
}
