//! What kind of change lies between two templates: nothing, one that a running pod can take, or one that needs a new
//! pod. It is decided before anything is touched.
//!
//! | what changes | a running pod |
//! |---|---|
//! | labels and annotations | takes it, unless a container reads it into its environment and would have to restart for it |
//! | image of a container or native sidecar | takes it; that container restarts |
//! | CPU and memory, changed or added | takes it; the container restarts where its resizePolicy says so |
//! | CPU and memory, left out, or such that the pod's quality of service class would change | cannot: the API server refuses it |
//! | tolerations, added | takes it |
//! | anything else | cannot |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::size::{self, Size};

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
    /// Containers and native sidecars that get another size, by name.
    pub resizes: BTreeMap<String, Resize>,
    /// Tolerations to add.
    pub tolerations: Vec<Value>,
}

/// Another size of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Whether the container restarts for it.
    pub restarts: bool,
}

impl InPlaceChange {
    /// No change.
    pub const fn nothing() -> Self {
        Self {
            images: BTreeMap::new(),
            sidecar_images: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            resizes: BTreeMap::new(),
            tolerations: Vec::new(),
        }
    }

    /// Containers that restart.
    pub fn restarted(&self) -> impl Iterator<Item = &String> {
        let resized = self.resizes.iter().filter(|(_, resize)| resize.restarts).map(|(name, _)| name);
        self.images.keys().chain(self.sidecar_images.keys()).chain(resized)
    }

    /// Whether containers restart.
    pub fn restarts(&self) -> bool {
        self.restarted().next().is_some()
    }

    /// Whether containers restart that are not among these.
    pub fn disrupts(&self, helpers: &BTreeSet<String>) -> bool {
        self.restarted().any(|name| !helpers.contains(name))
    }
}

/// The change between two templates, both in the form of [`crate::template::meaning`].
pub fn classify(from: &Value, to: &Value) -> Change {
    let mut change = InPlaceChange::default();
    let compared = compare(from, to, &mut change)
        .and_then(|()| class_stays(from, to, &change))
        .and_then(|()| environment_stays(to, &change));
    match compared {
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
        "containers" => containers(from, to, "containers", change),
        "initContainers" => containers(from, to, "initContainers", change),
        "tolerations" => tolerations(from, to, change),
        other => Err(format!("spec.template.spec.{other}")),
    })
}

/// The API server lets tolerations be added to a pod, and none be taken away.
fn tolerations(from: &Value, to: &Value, change: &mut InPlaceChange) -> Result<(), Field> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (from, to) = (list(from), list(to));
    if from.iter().any(|toleration| !to.contains(toleration)) {
        return Err("spec.template.spec.tolerations".into());
    }
    change.tolerations = to.into_iter().filter(|toleration| !from.contains(toleration)).collect();
    Ok(())
}

fn containers(from: &Value, to: &Value, list: &str, change: &mut InPlaceChange) -> Result<(), Field> {
    let whole = || format!("spec.template.spec.{list}");
    let (Some(from), Some(to)) = (from.as_array(), to.as_array()) else { return Err(whole()) };
    if from.len() != to.len() {
        return Err(whole());
    }
    for (from, to) in from.iter().zip(to) {
        let Some(name) = to["name"].as_str().filter(|_| from["name"] == to["name"]) else {
            return Err(whole());
        };
        // An init container that has ended does not run again.
        let runs_on = list == "containers" || to["restartPolicy"] == "Always";
        let restarts = size::restarts(to);
        each_difference(from, to, |field, from, to| {
            let other = || format!("spec.template.spec.{list}[{name}].{field}");
            match (field, to.as_str()) {
                _ if !runs_on => return Err(other()),
                ("image", Some(image)) => {
                    let images = match list {
                        "containers" => &mut change.images,
                        _ => &mut change.sidecar_images,
                    };
                    images.insert(name.to_owned(), image.to_owned());
                }
                ("resources", _) => {
                    let resize = resize(from, to, restarts).ok_or_else(other)?;
                    change.resizes.insert(name.to_owned(), resize);
                }
                _ => return Err(other()),
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Another size, where the API server takes it: CPU and memory may be changed and added, and nothing else.
fn resize(from: &Value, to: &Value, restarts: size::Restarts) -> Option<Resize> {
    let rest = |resources: &Value| {
        let mut resources = resources.clone();
        for amounts in ["requests", "limits"] {
            let Some(amounts) = resources.get_mut(amounts).and_then(Value::as_object_mut) else { continue };
            amounts.remove("cpu");
            amounts.remove("memory");
        }
        if let Some(resources) = resources.as_object_mut() {
            resources.retain(|_, amounts| amounts.as_object().is_none_or(|amounts| !amounts.is_empty()));
        }
        resources.as_object().filter(|resources| !resources.is_empty()).cloned()
    };
    let (before, after) = (Size::of_json(from), Size::of_json(to));
    let allowed = rest(from) == rest(to) && !after.lacks(&before);
    allowed.then(|| Resize { restarts: before.restarts(&after, restarts) })
}

fn class_stays(from: &Value, to: &Value, change: &InPlaceChange) -> Result<(), Field> {
    let (before, after) = (size::class(from), size::class(to));
    match change.resizes.keys().next() {
        Some(name) if before != after => Err(format!(
            "spec.template.spec.containers[{name}].resources (the pod's quality of service class would go from {before} to {after})"
        )),
        _ => Ok(()),
    }
}

/// A container that reads a changed label or annotation into its environment would have to restart to see it, and only
/// a new image makes a kubelet restart it.
fn environment_stays(to: &Value, change: &InPlaceChange) -> Result<(), Field> {
    if change.labels.is_empty() && change.annotations.is_empty() {
        return Ok(());
    }
    let sidecars = to["spec"]["initContainers"].as_array().into_iter().flatten();
    let sidecars = sidecars.filter(|container| container["restartPolicy"] == "Always");
    for container in sidecars.chain(to["spec"]["containers"].as_array().into_iter().flatten()) {
        let name = container["name"].as_str().unwrap_or_default();
        if change.images.contains_key(name) || change.sidecar_images.contains_key(name) {
            continue;
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let path = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
            let Some((map, key)) = path.and_then(metadata_key) else { continue };
            let changed = match map {
                "labels" => change.labels.contains_key(key),
                _ => change.annotations.contains_key(key),
            };
            if changed {
                let variable = variable["name"].as_str().unwrap_or_default();
                return Err(format!(
                    "spec.template.metadata.{map}[{key}] (variable {variable} of container {name} reads it)"
                ));
            }
        }
    }
    Ok(())
}

/// The map and the key that a path such as `metadata.labels['tier']` speaks of.
fn metadata_key(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_prefix("metadata.")?.split_once("['")?;
    matches!(map, "labels" | "annotations").then_some((map, key.strip_suffix("']")?))
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

    fn resources(from: Value, to: Value) -> Change {
        let with = |resources: Value| {
            template(|template| {
                template["spec"]["containers"][0]["resources"] = resources;
                template["spec"]["containers"][0]["resizePolicy"] =
                    json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
            })
        };
        classify(&with(from), &with(to))
    }

    #[test]
    fn sizes_change_in_place_where_the_api_server_lets_them() {
        const FIELD: &str = "spec.template.spec.containers[center].resources";
        let from = || json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": 2}});
        let change = |to| match resources(from(), to) {
            Change::InPlace(change) => change.resizes["center"].restarts,
            other => panic!("{other:?}"),
        };
        assert!(!change(json!({"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"cpu": 3}})));
        assert!(change(json!({"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": 2}})));
        // Added, not changed.
        let added = json!({"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 2, "memory": "4Gi"}});
        assert!(change(added));
        let field = |to| match resources(from(), to) {
            Change::Recreate { field } => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(json!({"requests": {"cpu": "1"}, "limits": {"cpu": 2}})), FIELD);
        let claims =
            json!({"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": 2}, "claims": [{"name": "x"}]});
        assert_eq!(field(claims), FIELD);
        let class = resources(json!({}), json!({"requests": {"cpu": 1}}));
        assert_eq!(
            class,
            Change::Recreate {
                field: format!(
                    "{FIELD} (the pod's quality of service class would go from BestEffort to Burstable)"
                )
            }
        );
    }

    #[test]
    fn tolerations_are_added_and_not_taken_away() {
        let with = |keys: &[&str]| {
            let tolerations: Vec<Value> =
                keys.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect();
            template(|template| template["spec"]["tolerations"] = json!(tolerations))
        };
        let change = classify(&with(&["a"]), &with(&["b", "a"]));
        assert_eq!(change.in_place().tolerations, [json!({"key": "b", "operator": "Exists"})]);
        assert!(!change.in_place().restarts());
        let change = classify(&with(&["a"]), &with(&["b"]));
        assert_eq!(change, Change::Recreate { field: "spec.template.spec.tolerations".into() });
    }

    #[test]
    fn a_label_that_a_container_reads_into_its_environment_needs_its_restart() {
        let env =
            json!([{"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}}]);
        let with = |tier: &str, image: &str| {
            template(|template| {
                template["spec"]["containers"][0]["env"] = env.clone();
                template["spec"]["containers"][0]["image"] = json!(image);
                template["metadata"]["labels"]["tier"] = json!(tier);
            })
        };
        let field = "spec.template.metadata.labels[tier] (variable TIER of container center reads it)".into();
        let change = classify(&with("a", "game:1"), &with("b", "game:1"));
        assert_eq!(change, Change::Recreate { field });
        assert!(classify(&with("a", "game:1"), &with("b", "game:2")).in_place().restarts());
    }

    #[test]
    fn helpers_disrupt_nothing() {
        let change = change(|template| template["spec"]["containers"][1]["image"] = json!("log:2"));
        let change = change.in_place();
        assert!(change.restarts());
        assert!(change.disrupts(&BTreeSet::new()));
        assert!(!change.disrupts(&BTreeSet::from(["log".to_owned()])));
    }

    #[test]
    fn the_same_template_is_no_change() {
        assert_eq!(change(|_| {}), Change::None);
    }
}
