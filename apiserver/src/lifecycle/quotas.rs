//! Quotas: how many pods a namespace may have, and has.

use std::sync::Arc;

use parking_lot::MutexGuard;
use serde_json::{Map, Value, json};

use crate::{
    GroupResource, Status,
    builtin::quantity,
    cluster::Inner,
    registry::policy::{COUNTED, counts},
};

/// Billionths in one.
const ONE: i128 = 1_000_000_000;

impl Inner {
    /// Writes into the quotas of a namespace what is used of them.
    pub(super) fn count_quotas(&self, namespace: &Arc<str>) -> Result<(), Status> {
        let resource = GroupResource::new("", "resourcequotas");
        let quotas = self.values(&resource, namespace)?;
        if quotas.is_empty() {
            self.lifecycle.state.lock().quotas.remove(namespace);
            return Ok(());
        }
        let Some(resource) = self.store.catalog().stored(&resource).cloned() else { return Ok(()) };
        let used = self.used(namespace)?;
        for (object, quota) in quotas {
            let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
            let used: Map<String, Value> = used
                .iter()
                .filter(|(name, _)| hard.contains_key(*name))
                .map(|(name, count)| ((*name).to_owned(), count.to_string().into()))
                .collect();
            let status = if hard.is_empty() { json!({}) } else { json!({"hard": hard, "used": used}) };
            if quota["status"] != status {
                let gone = |field: &str| {
                    quota["status"][field]
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(name, _)| name.clone())
                        .collect::<Vec<_>>()
                };
                let mut patch = json!({"status": status});
                for field in ["hard", "used"] {
                    for name in gone(field) {
                        if status[field][&name].is_null() {
                            patch["status"][field][&name] = Value::Null;
                        }
                    }
                }
                self.merge(&resource, &object.key, &patch, Some("status"))?;
            }
        }
        Ok(())
    }

    /// How many of each there are.
    fn used(&self, namespace: &str) -> Result<Vec<(&'static str, i128)>, Status> {
        let pods = self.values(&GroupResource::new("", "pods"), namespace)?;
        let count = |name: &str| pods.iter().filter(|(_, pod)| counts(name, pod)).count();
        Ok(COUNTED.iter().map(|name| (*name, count(name) as i128)).collect())
    }

    /// Whether a namespace may have one more pod. While the answer is held, nobody else gets one.
    pub(crate) fn admit_to_quota(
        &self,
        namespace: &str,
        pod: &Value,
    ) -> Result<Option<MutexGuard<'_, ()>>, String> {
        let quotas = self.values(&GroupResource::new("", "resourcequotas"), namespace);
        let quotas = quotas.map_err(|status| status.message)?;
        if quotas.is_empty() {
            return Ok(None);
        }
        let turn = self.turns.lock();
        let used = self.used(namespace).map_err(|status| status.message)?;
        for (object, quota) in quotas {
            let hard = &quota["spec"]["hard"];
            let exceeded: Vec<(&str, i128, String)> = used
                .iter()
                .filter(|(name, _)| counts(name, pod))
                .filter_map(|(name, used)| {
                    let limit = quantity(&hard[*name])?;
                    let shown = hard[*name].as_str().map_or_else(|| hard[*name].to_string(), str::to_owned);
                    ((used + 1) * ONE > limit).then_some((*name, *used, shown))
                })
                .collect();
            if exceeded.is_empty() {
                continue;
            }
            let list = |shown: &dyn Fn(&(&str, i128, String)) -> String| -> String {
                exceeded.iter().map(|it| format!("{}={}", it.0, shown(it))).collect::<Vec<_>>().join(",")
            };
            return Err(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                object.key.name,
                list(&|_| "1".to_owned()),
                list(&|(_, used, _)| used.to_string()),
                list(&|(_, _, limit)| limit.clone()),
            ));
        }
        Ok(Some(turn))
    }
}
