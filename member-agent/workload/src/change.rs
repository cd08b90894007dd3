//! What kind of change lies between two templates: nothing, one that a running pod can take, or one that needs a new
//! pod.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The way from one template to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The templates mean the same.
    None,
    /// A running pod can take it.
    InPlace(InPlaceChange),
    /// Only a new pod can take it.
    Recreate {
        /// The first field that a running pod cannot change, such as `spec.template.spec.containers[center].env`.
        field: String,
    },
}

impl Change {
    /// What to write to a running pod; nothing unless the change can be made in place.
    pub fn in_place(&self) -> &InPlaceChange {
        static NOTHING: InPlaceChange = InPlaceChange::nothing();
        match self {
            Self::InPlace(change) => change,
            Self::None | Self::Recreate { .. } => &NOTHING,
        }
    }
}

/// What to write to a running pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InPlaceChange {
    /// New images of containers, by container name.
    pub images: BTreeMap<String, String>,
    /// New images of native sidecars (init containers that keep running), by container name.
    pub sidecar_images: BTreeMap<String, String>,
    /// Labels to set, or to remove where `None`.
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations to set, or to remove where `None`.
    pub annotations: BTreeMap<String, Option<String>>,
}

impl InPlaceChange {
    /// No change.
    pub const fn nothing() -> Self {
        Self {
            images: BTreeMap::new(),
            sidecar_images: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Whether containers restart.
    pub fn restarts(&self) -> bool {
        !self.images.is_empty() || !self.sidecar_images.is_empty()
    }
}

/// The change between two templates, both in the form of [`crate::template::meaning`].
pub fn classify(from: &Value, to: &Value) -> Change {
    let mut change = InPlaceChange::default();
    match compare(from, to, &mut change) {
        Err(field) => Change::Recreate { field },
        Ok(()) if change == InPlaceChange::default() => Change::None,
        Ok(()) => Change::InPlace(change),
    }
}

/// The name of the field that stands in the way, as a person finds it in the set.
type Field = String;

fn compare(from: &Value, to: &Value, change: &mut InPlaceChange) -> Result<(), Field> {
    each_difference(from, to, |field, from, to| match field {
        "metadata" => metadata(from, to, change),
        "spec" => spec(from, to, change),
        other => Err(format!("spec.template.{other}")),
    })
}

fn metadata(from: &Value, to: &Value, change: &mut InPlaceChange) -> Result<(), Field> {
    each_difference(from, to, |field, from, to| {
        let written = match field {
            "labels" => &mut change.labels,
            "annotations" => &mut change.annotations,
            other => return Err(format!("spec.template.metadata.{other}")),
        };
        each_difference(from, to, |key, _, to| {
            written.insert(key.to_owned(), to.as_str().map(str::to_owned));
            Ok(())
        })
    })
}

fn spec(from: &Value, to: &Value, change: &mut InPlaceChange) -> Result<(), Field> {
    each_difference(from, to, |field, from, to| match field {
        "containers" => containers(from, to, "containers", |_| true, &mut change.images),
        "initContainers" => {
            // An init container that has ended does not run again when its image changes.
            let sidecar = |container: &Value| container["restartPolicy"] == "Always";
            containers(from, to, "initContainers", sidecar, &mut change.sidecar_images)
        }
        other => Err(format!("spec.template.spec.{other}")),
    })
}

fn containers(
    from: &Value,
    to: &Value,
    list: &str,
    replaceable: impl Fn(&Value) -> bool,
    images: &mut BTreeMap<String, String>,
) -> Result<(), Field> {
    let whole = || format!("spec.template.spec.{list}");
    let (Some(from), Some(to)) = (from.as_array(), to.as_array()) else { return Err(whole()) };
    if from.len() != to.len() {
        return Err(whole());
    }
    for (from, to) in from.iter().zip(to) {
        let Some(name) = to["name"].as_str().filter(|_| from["name"] == to["name"]) else {
            return Err(whole());
        };
        each_difference(from, to, |field, _, image| match image.as_str() {
            Some(image) if field == "image" && replaceable(to) => {
                images.insert(name.to_owned(), image.to_owned());
                Ok(())
            }
            _ => Err(format!("spec.template.spec.{list}[{name}].{field}")),
        })?;
    }
    Ok(())
}

/// Calls `handle` for each member that differs, in the order of names; an absent member is `null`.
fn each_difference(
    from: &Value,
    to: &Value,
    mut handle: impl FnMut(&str, &Value, &Value) -> Result<(), Field>,
) -> Result<(), Field> {
    let empty = Map::new();
    let from = from.as_object().unwrap_or(&empty);
    let to = to.as_object().unwrap_or(&empty);
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    for name in names {
        let (from, to) = (from.get(name).unwrap_or(&Value::Null), to.get(name).unwrap_or(&Value::Null));
        if from != to {
            handle(name, from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(edit: impl FnOnce(&mut Value)) -> Value {
        let mut template = json!({
            "metadata": {"labels": {"app": "game", "tier": "a"}},
            "spec": {
                "initContainers": [
                    {"name": "setup", "image": "setup:1"},
                    {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"},
                ],
                "containers": [{"name": "center", "image": "game:1"}, {"name": "log", "image": "log:1"}],
            },
        });
        edit(&mut template);
        template
    }

    fn change(edit: impl FnOnce(&mut Value)) -> Change {
        classify(&template(|_| {}), &template(edit))
    }

    #[test]
    fn images_labels_and_annotations_change_in_place() {
        let change = change(|template| {
            template["spec"]["containers"][0]["image"] = json!("game:2");
            template["spec"]["initContainers"][1]["image"] = json!("mesh:2");
            template["metadata"] = json!({"labels": {"app": "game"}, "annotations": {"note": "x"}});
        });
        let Change::InPlace(change) = change else { panic!("{change:?}") };
        assert!(change.restarts());
        assert_eq!(change.images, [("center".into(), "game:2".into())].into());
        assert_eq!(change.sidecar_images, [("mesh".into(), "mesh:2".into())].into());
        assert_eq!(change.labels, [("tier".into(), None)].into());
        assert_eq!(change.annotations, [("note".into(), Some("x".into()))].into());
    }

    #[test]
    fn other_changes_name_the_field() {
        let field = |edit: fn(&mut Value)| match change(edit) {
            Change::Recreate { field } => field,
            other => panic!("{other:?}"),
        };
        let fields = [
            field(|template| template["spec"]["containers"][1]["env"] = json!([{"name": "A"}])),
            field(|template| template["spec"]["initContainers"][0]["image"] = json!("setup:2")),
            field(|template| template["spec"]["hostNetwork"] = json!(true)),
            field(|template| template["metadata"]["finalizers"] = json!(["x/y"])),
            field(|template| template["spec"]["containers"].as_array_mut().unwrap().reverse()),
            field(|template| template["spec"]["containers"] = json!("none")),
        ];
        assert_eq!(
            fields,
            [
                "spec.template.spec.containers[log].env",
                "spec.template.spec.initContainers[setup].image",
                "spec.template.spec.hostNetwork",
                "spec.template.metadata.finalizers",
                "spec.template.spec.containers",
                "spec.template.spec.containers",
            ]
        );
    }

    #[test]
    fn the_same_template_is_no_change() {
        assert_eq!(change(|_| {}), Change::None);
    }
}
