//! Columns of a resource's table.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Resource;

/// The columns of one resource.
#[derive(Default)]
pub(crate) struct Columns {}

impl Columns {
    pub(crate) fn of(_resource: &Resource) -> Self {
        Self {}
    }

    pub(crate) fn definitions(&self) -> Value {
        json!([
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Age", "type": "date", "format": "", "description": "", "priority": 0},
        ])
    }

    pub(crate) fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![object["metadata"]["name"].clone(), object["metadata"]["creationTimestamp"].clone()]
    }
}
