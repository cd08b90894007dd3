//! Reading a [`Schema`] from its OpenAPI v3 JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::validate::{Limits, Pattern, Validations};
use super::{
    Additional, ListType, MAX_SCHEMA_DEPTH, MapType, PatchStrategy, Schema, Type, join, object_meta,
};

/// Why a schema cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A schema is neither an object nor, for additional properties, a boolean.
    #[error("schema {path:?} must be an object")]
    NotAnObject {
        /// Path of the schema, such as `properties.spec`.
        path: String,
    },
    /// The schema nests deeper than [`MAX_SCHEMA_DEPTH`].
    #[error("schema {path:?} nests deeper than {MAX_SCHEMA_DEPTH} levels")]
    TooDeep {
        /// Path of the schema that is one level too deep.
        path: String,
    },
    /// The type is none of OpenAPI's.
    #[error("schema {path:?} has the unknown type {found:?}")]
    UnknownType {
        /// Path of the schema.
        path: String,
        /// What was written.
        found: String,
    },
    /// A `$ref` leads nowhere.
    #[error("schema {path:?} refers to {reference:?}, which does not exist")]
    UnknownReference {
        /// Path of the schema.
        path: String,
        /// What was written.
        reference: String,
    },
}

/// Reads schemas, sharing the components that are referred to.
#[derive(Default)]
struct Parser<'a> {
    components: Option<&'a Map<String, Value>>,
    done: BTreeMap<&'a str, Arc<Schema>>,
    /// Components being read right now: one that refers to itself becomes untyped there.
    open: Vec<&'a str>,
}

impl Schema {
    /// Reads one schema.
    pub fn parse(schema: &Value) -> Result<Self, SchemaError> {
        Ok(Self { unique_lists: true, ..Parser::default().node(schema, "", 0)? })
    }

    /// Reads the schema of a custom resource (`versions[*].schema.openAPIV3Schema`): its root also has
    /// `apiVersion`, `kind` and a full `metadata`, as every object has.
    pub fn custom_resource(schema: &Value) -> Result<Self, SchemaError> {
        let mut root = Self::parse(schema)?;
        root.embed_object();
        root.refresh();
        root.compile_rules(true);
        Ok(root)
    }

    /// Adds what every object has. Rules the schema gives for `metadata` (only its name and
    /// generateName may have any) stay beside those of ObjectMeta.
    fn embed_object(&mut self) {
        let string = Arc::new(Self { ty: Some(Type::String), ..Self::default() });
        let mut metadata = Self::clone(&object_meta());
        if let Some(own) = self.properties.get("metadata") {
            for (name, rules) in &own.properties {
                if let Some(known) = metadata.properties.get_mut(name)
                    && rules.validations.is_some()
                {
                    Arc::make_mut(known).validations.clone_from(&rules.validations);
                }
            }
            metadata.validations.clone_from(&own.validations);
        }
        self.ty = self.ty.or(Some(Type::Object));
        self.properties.insert("metadata".into(), Arc::new(metadata));
        for name in ["apiVersion", "kind"] {
            self.properties.entry(name.into()).or_insert_with(|| string.clone());
        }
    }

    /// Works out what is derived from the children.
    fn refresh(&mut self) {
        self.has_defaults = self.default.is_some()
            || self.properties.values().any(|p| p.has_defaults)
            || self.items.as_ref().is_some_and(|i| i.has_defaults)
            || matches!(&self.additional, Additional::Schema(s) if s.has_defaults);
        self.has_rules = !self.rules.is_empty()
            || self.properties.values().any(|p| p.has_rules)
            || self.items.as_ref().is_some_and(|i| i.has_rules)
            || matches!(&self.additional, Additional::Schema(s) if s.has_rules);
    }
}

/// Reads every schema of an OpenAPI document's `components.schemas`, resolving references among them.
pub fn parse_components(
    components: &Map<String, Value>,
) -> Result<BTreeMap<String, Arc<Schema>>, SchemaError> {
    let mut parser = Parser { components: Some(components), ..Parser::default() };
    components.keys().map(|name| Ok((name.clone(), parser.component(name, name, 0)?))).collect()
}

impl Parser<'_> {
    fn component(&mut self, name: &str, path: &str, depth: usize) -> Result<Arc<Schema>, SchemaError> {
        let Some((name, json)) = self.components.and_then(|c| c.get_key_value(name)) else {
            return Err(SchemaError::UnknownReference { path: path.into(), reference: name.into() });
        };
        if let Some(done) = self.done.get(name.as_str()) {
            return Ok(done.clone());
        }
        if self.open.contains(&name.as_str()) {
            return Ok(Arc::new(Schema::untyped().clone()));
        }
        self.open.push(name);
        let schema = self.node(json, path, depth).map(Arc::new);
        self.open.pop();
        let schema = schema?;
        self.done.insert(name, schema.clone());
        Ok(schema)
    }

    fn node(&mut self, json: &Value, path: &str, depth: usize) -> Result<Schema, SchemaError> {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { path: path.into() });
        }
        let json = json.as_object().ok_or_else(|| SchemaError::NotAnObject { path: path.into() })?;
        let mut node = match reference(json) {
            Some(reference) => {
                let name = reference.rsplit('/').next().unwrap_or(reference);
                Schema::clone(&*self.component(name, path, depth + 1)?)
            }
            None => Schema::default(),
        };
        if let Some(found) = text(json, "type") {
            node.ty = Some(
                Type::parse(found)
                    .ok_or_else(|| SchemaError::UnknownType { path: path.into(), found: found.into() })?,
            );
        }
        // Formats of numbers are Go's types: only the built-in kinds are held to them.
        let go_type = |format: &str| matches!(format, "int32" | "int64" | "float" | "double");
        if let Some(format) = text(json, "format").filter(|f| self.components.is_some() || !go_type(f)) {
            node.format = Some(format.to_owned());
        }
        self.children(&mut node, json, path, depth)?;
        node.extensions(json);
        if let Some(default) = json.get("default").filter(|d| !d.is_null()) {
            node.default = Some(default.clone());
        }
        let limits = Limits::parse(json);
        if let Some(validations) = self.validations(json, limits, path, depth)? {
            node.validations = Some(Box::new(validations));
        }
        if node.embedded {
            node.embed_object();
        }
        node.refresh();
        Ok(node)
    }

    fn children(
        &mut self,
        node: &mut Schema,
        json: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        if let Some(properties) = json.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let path = join(path, &format!("properties.{name}"));
                let property = self.node(property, &path, depth + 1)?;
                node.properties.insert(name.clone(), Arc::new(property));
            }
        }
        match json.get("additionalProperties") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => node.additional = Additional::Any,
            Some(schema) => {
                let schema = self.node(schema, &join(path, "additionalProperties"), depth + 1)?;
                node.additional = Additional::Schema(Arc::new(schema));
            }
        }
        if let Some(items) = json.get("items") {
            node.items = Some(Arc::new(self.node(items, &join(path, "items"), depth + 1)?));
        }
        Ok(())
    }

    fn validations(
        &mut self,
        json: &Map<String, Value>,
        limits: Limits,
        path: &str,
        depth: usize,
    ) -> Result<Option<Validations>, SchemaError> {
        let mut all = |key: &str| -> Result<Vec<Schema>, SchemaError> {
            let list = json.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            if key == "allOf" && reference(json).is_some() {
                return Ok(Vec::new());
            }
            let parse =
                |(i, s): (usize, &Value)| self.node(s, &join(path, &format!("{key}[{i}]")), depth + 1);
            list.iter().enumerate().map(parse).collect()
        };
        let (all_of, any_of, one_of) = (all("allOf")?, all("anyOf")?, all("oneOf")?);
        let not = match json.get("not") {
            Some(not) => Some(Box::new(self.node(not, &join(path, "not"), depth + 1)?)),
            None => None,
        };
        let validations = Validations {
            required: strings(json.get("required")),
            values: json.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern: text(json, "pattern").map(Pattern::new),
            limits,
            all_of,
            any_of,
            one_of,
            not,
        };
        Ok((!validations.is_empty()).then_some(validations))
    }
}

impl Schema {
    /// Reads `nullable` and the `x-kubernetes-` extensions; what is absent stays as a reference set it.
    fn extensions(&mut self, json: &Map<String, Value>) {
        let flag = |key: &str| json.get(key).and_then(Value::as_bool);
        self.nullable = flag("nullable").unwrap_or(self.nullable);
        self.int_or_string = flag("x-kubernetes-int-or-string").unwrap_or(self.int_or_string);
        self.preserve_unknown = flag("x-kubernetes-preserve-unknown-fields").unwrap_or(self.preserve_unknown);
        self.embedded = flag("x-kubernetes-embedded-resource").unwrap_or(self.embedded);
        if let Some(list_type) = text(json, "x-kubernetes-list-type") {
            self.list_type = match list_type {
                "map" => ListType::Map,
                "set" => ListType::Set,
                _ => ListType::Atomic,
            };
        }
        if let keys @ Some(_) = json.get("x-kubernetes-list-map-keys") {
            self.list_map_keys = strings(keys);
        }
        if let Some(map_type) = text(json, "x-kubernetes-map-type") {
            self.map_type = if map_type == "atomic" { MapType::Atomic } else { MapType::Granular };
        }
        if let Some(strategy) = text(json, "x-kubernetes-patch-strategy") {
            let has = |word| strategy.split(',').any(|s| s == word);
            self.patch_strategy = PatchStrategy {
                merge: has("merge"),
                retain_keys: has("retainKeys"),
                replace: has("replace"),
            };
        }
        if let Some(key) = text(json, "x-kubernetes-patch-merge-key") {
            self.merge_key = Some(key.to_owned());
        }
        if let Some(rules) = json.get("x-kubernetes-validations").and_then(Value::as_array) {
            self.rules.clone_from(rules);
        }
    }
}

impl Type {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// The name as OpenAPI writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `$ref`, or the only element of `allOf` where that is nothing but a `$ref` (how Kubernetes adds a
/// description to a reference).
fn reference(json: &Map<String, Value>) -> Option<&str> {
    let wrapped = || match json.get("allOf")?.as_array()?.as_slice() {
        [Value::Object(only)] if only.len() == 1 => only.get("$ref"),
        _ => None,
    };
    json.get("$ref").or_else(wrapped).and_then(Value::as_str)
}

fn text<'a>(json: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    json.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn strings(json: Option<&Value>) -> Vec<String> {
    let list = json.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
