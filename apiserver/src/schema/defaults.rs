//! Filling in defaults.

use serde_json::Value;

use super::{Additional, Schema};

impl Schema {
    /// Fills in the defaults of fields that are absent, or null where null is not allowed, inside lists
    /// and maps too, and drops nulls that are neither allowed nor defaulted.
    ///
    /// A default is not applied below a field that is absent: `spec: {}` gets the defaults of its
    /// fields, a missing `spec` gets none.
    pub fn apply_defaults(&self, value: &mut Value) {
        self.drop_nulls(value);
        self.fill(value);
    }

    fn fill(&self, value: &mut Value) {
        if !self.has_defaults {
            return;
        }
        match value {
            Value::Object(map) => {
                for (name, schema) in &self.properties {
                    if let Some(default) = &schema.default
                        && map.get(name).is_none_or(|value| value.is_null() && !schema.nullable)
                    {
                        map.insert(name.clone(), default.clone());
                    }
                }
                for (key, value) in map.iter_mut() {
                    match (self.properties.get(key), &self.additional) {
                        (Some(schema), _) => schema.fill(value),
                        (None, Additional::Schema(schema)) => schema.fill_element(value),
                        _ => {}
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = &self.items {
                    for element in list {
                        items.fill_element(element);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fills in a list element or map value, which is itself present.
    fn fill_element(&self, value: &mut Value) {
        if value.is_null()
            && !self.nullable
            && let Some(default) = &self.default
        {
            value.clone_from(default);
        }
        self.fill(value);
    }

    fn drop_nulls(&self, value: &mut Value) {
        match value {
            Value::Object(map) => map.retain(|key, value| {
                let Some(schema) = self.property(key).filter(|s| !std::ptr::eq(*s, Self::untyped())) else {
                    return true;
                };
                if value.is_null() && !schema.nullable && schema.default.is_none() {
                    return false;
                }
                schema.drop_nulls(value);
                true
            }),
            Value::Array(list) => {
                if let Some(items) = &self.items {
                    for element in list {
                        items.drop_nulls(element);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "policy": {"type": "string", "default": "Always"},
                "maybe": {"type": "string", "default": "x", "nullable": true},
                "plain": {"type": "string"},
                "nullable": {"type": "string", "nullable": true},
                "ports": {"type": "array", "items": {"type": "object", "properties": {
                    "protocol": {"type": "string", "default": "TCP"}}}},
                "strategy": {"type": "object", "default": {}, "properties": {"type": {"type": "string", "default": "RollingUpdate"}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}},
            }},
        }}))
        .unwrap()
    }

    #[test]
    fn defaults_reach_lists_maps_and_defaulted_objects() {
        let mut object =
            json!({"spec": {"ports": [{}, {"protocol": "UDP"}], "map": {"a": {}, "b": {"n": 1}}}});
        schema().apply_defaults(&mut object);
        assert_eq!(
            object,
            json!({"spec": {
                "policy": "Always", "maybe": "x", "strategy": {"type": "RollingUpdate"},
                "ports": [{"protocol": "TCP"}, {"protocol": "UDP"}],
                "map": {"a": {"n": 3}, "b": {"n": 1}},
            }})
        );
    }

    #[test]
    fn nothing_is_filled_in_below_an_absent_field() {
        let mut object = json!({});
        schema().apply_defaults(&mut object);
        assert_eq!(object, json!({}));
    }

    #[test]
    fn a_null_is_defaulted_kept_or_dropped() {
        let mut object = json!({"spec": {"policy": null, "maybe": null, "plain": null, "nullable": null}});
        schema().apply_defaults(&mut object);
        assert_eq!(
            object,
            json!({"spec": {"policy": "Always", "maybe": null, "nullable": null, "strategy": {"type": "RollingUpdate"}}})
        );
    }

    #[test]
    fn defaulting_twice_changes_nothing() {
        let mut object = json!({"spec": {"ports": [{}]}});
        schema().apply_defaults(&mut object);
        let once = object.clone();
        schema().apply_defaults(&mut object);
        assert_eq!(object, once);
    }
}
