//! Dropping the fields a schema does not know.

use serde_json::Value;

use super::{Additional, Schema, join};

impl Schema {
    /// Removes every field the schema does not know and returns their paths, sorted.
    ///
    /// With `fieldValidation=Strict` each is an error, worded `unknown field "spec.foo"`.
    pub fn prune(&self, value: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.prune_at(value, "", &mut unknown);
        unknown.sort();
        unknown
    }

    fn prune_at(&self, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                let lost: Vec<String> = map.keys().filter(|key| !self.knows(key)).cloned().collect();
                for key in lost {
                    map.remove(&key);
                    unknown.push(join(path, &key));
                }
                for (key, value) in map.iter_mut().filter(|(_, v)| v.is_object() || v.is_array()) {
                    match (self.properties.get(key), &self.additional) {
                        (Some(schema), _) | (None, Additional::Schema(schema)) => {
                            schema.prune_at(value, &join(path, key), unknown);
                        }
                        // `additionalProperties: true` lets keys in, and says nothing of what is below them.
                        (None, Additional::Any) if !self.preserve_unknown => {
                            Self::default().prune_at(value, &join(path, key), unknown);
                        }
                        _ => {}
                    }
                }
            }
            Value::Array(list) => {
                // A list without a schema for its elements is kept whole only where unknown fields are.
                let items = match &self.items {
                    Some(items) => items.as_ref(),
                    None if self.preserve_unknown || matches!(self.additional, Additional::Any) => return,
                    None => &Self::default(),
                };
                for (index, value) in list.iter_mut().enumerate() {
                    items.prune_at(value, &format!("{path}[{index}]"), unknown);
                }
            }
            _ => {}
        }
    }

    fn knows(&self, field: &str) -> bool {
        self.preserve_unknown
            || self.properties.contains_key(field)
            || !matches!(self.additional, Additional::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_removed_and_named() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "string"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"closed": {"type": "object", "properties": {"c": {"type": "string"}}}}},
            }},
        }})).unwrap();
        let mut object = json!({
            "spec": {
                "list": [{"a": "1", "x": 1}, {"y": 1}],
                "map": {"k": {"b": "1", "z": []}},
                "labels": {"any": "thing"},
                "template": {"free": {"deep": [1]}, "closed": {"c": "1", "d": 1}},
                "typo": 1,
            },
            "other": {},
        });
        assert_eq!(
            schema.prune(&mut object),
            [
                "other",
                "spec.list[0].x",
                "spec.list[1].y",
                "spec.map.k.z",
                "spec.template.closed.d",
                "spec.typo"
            ]
        );
        assert_eq!(
            object,
            json!({"spec": {
                "list": [{"a": "1"}, {}],
                "map": {"k": {"b": "1"}},
                "labels": {"any": "thing"},
                "template": {"free": {"deep": [1]}, "closed": {"c": "1"}},
            }})
        );
    }

    #[test]
    fn a_custom_resource_keeps_its_identity_and_loses_unknown_metadata() {
        let schema = Schema::custom_resource(&json!({"type": "object", "properties": {}})).unwrap();
        let mut object = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n", "colour": 1, "labels": {"l": "v"}}});
        assert_eq!(schema.prune(&mut object), ["metadata.colour"]);
        assert_eq!(
            object,
            json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n", "labels": {"l": "v"}}})
        );
    }

    #[test]
    fn an_embedded_resource_keeps_its_identity() {
        let schema = Schema::parse(&json!({"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object", "properties": {}}}}))
        .unwrap();
        let mut object =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"x": 1}, "y": 1});
        assert_eq!(schema.prune(&mut object), ["spec.x", "y"]);
        assert_eq!(object, json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {}}));
    }
}
