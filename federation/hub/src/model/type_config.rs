//! FederatedTypeConfigs: which kinds are federated, and what became of each.

use jiff::Timestamp;
use muster_crds::conditions::{self, Condition};
use muster_crds::core_kubefed::{ControllerState, FederatedTypeConfigStatus};
use muster_crds::keys::condition;

use super::input::{Feed, TypeConfigInput, stamp};
use super::kind::KindId;
use super::writes::WriteKey;
use super::{Model, Source};

impl Model {
    pub(super) fn type_configs(&mut self, feed: Feed<String, TypeConfigInput>, now: Timestamp) {
        let before: Vec<(KindId, bool)> =
            self.kind_ids().into_iter().map(|id| (id.clone(), self.is_enabled(&id))).collect();
        let first = match feed {
            Feed::Reset(all) => {
                self.type_configs = all.into_iter().map(|one| (one.name.clone(), one)).collect();
                self.read(Source::TypeConfigs)
            }
            Feed::Applied(one) => {
                self.type_configs.insert(one.name.clone(), one);
                false
            }
            Feed::Deleted(name) => {
                self.type_configs.remove(&name);
                false
            }
        };
        self.changes.dirty.extend(self.type_configs.keys().cloned().map(WriteKey::TypeConfig));
        for (id, was) in before {
            let is = self.is_enabled(&id);
            if is != was {
                self.decide(
                    "propagation switched",
                    &id,
                    if is { "on" } else { "off: objects stay as they are" },
                );
            }
            if first || is != was {
                self.plan_kind(&id, now);
            }
        }
    }

    /// Whether a kind is mirrored. Without a FederatedTypeConfig a built-in kind is.
    pub(super) fn is_enabled(&self, id: &KindId) -> bool {
        let mut about = self.type_configs.values().filter(|one| one.target_id().as_ref() == Some(id));
        about.all(|one| one.enabled)
    }

    /// The status a FederatedTypeConfig should have.
    pub(super) fn type_config_status(
        &self,
        input: &TypeConfigInput,
        now: Timestamp,
    ) -> FederatedTypeConfigStatus {
        let mut status = input.status.clone();
        let id = input.target_id();
        let kind = id.as_ref().and_then(|id| self.kinds.get(id));
        let state = |running| if running { ControllerState::Running } else { ControllerState::NotRunning };
        let running = kind.is_some_and(|kind| kind.synced) && input.enabled && input.malformed.is_empty();
        status.observed_generation = input.generation;
        status.propagation_controller = Some(state(running));
        status.status_controller = Some(state(running));
        let named = id.as_ref().map_or("a target that cannot be read", KindId::as_str);
        let problem = match (kind, input.malformed.first()) {
            (_, Some(malformed)) => Some(("InvalidSpec", format!("spec.{malformed}"))),
            (None, None) => Some((
                condition::NOT_YET_FEDERATED,
                format!(
                    "{named} is not federated by this version; nothing is written and nothing is removed"
                ),
            )),
            (Some(kind), None) => kind
                .unreadable
                .as_ref()
                .map(|why| ("FederatedTypeUnreadable", format!("{}: {why}", kind.names.federated.kind))),
        };
        match problem {
            Some((reason, message)) => {
                let condition = Condition::new(condition::NOT_YET_FEDERATED, true, reason, message);
                conditions::set_condition(
                    &mut status.conditions,
                    condition.observed(input.generation),
                    stamp(now),
                );
            }
            None => {
                conditions::remove_condition(&mut status.conditions, condition::NOT_YET_FEDERATED);
            }
        }
        status
    }
}
