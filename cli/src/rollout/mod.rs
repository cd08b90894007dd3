//! `muster rollout`: an update as its user sees it. Reads and patches objects; every decision is the controllers'.

mod change;
mod history;
mod progress;
mod revisions;

use std::process::ExitCode;

use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use muster_crds::keys::manager;
use muster_crds::{FederatedGameStatefulSet, GameStatefulSet};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::{Connection, RolloutAction};
use crate::clients::Connected;
use crate::error::CliError;
use crate::{clients, output, status};

pub(crate) async fn run(connection: &Connection, action: RolloutAction) -> Result<ExitCode, CliError> {
    match action {
        RolloutAction::Status { target, watch, timeout } => {
            let object = Object::find(connection, &target.target).await?;
            return progress::follow(connection, &object, watch, timeout).await;
        }
        RolloutAction::History { target, revision } => {
            let object = Object::find(connection, &target.target).await?;
            history::show(connection, &object, revision).await?;
        }
        RolloutAction::Pause(target) => {
            let object = Object::find(connection, &target.target).await?;
            object.patch(&change::pause(&object)?).await?;
            output::line(&format!("{object} paused"));
        }
        RolloutAction::Resume(target) => {
            let object = Object::find(connection, &target.target).await?;
            object.patch(&change::resume(&object)?).await?;
            output::line(&format!("{object} resumed"));
        }
        RolloutAction::Restart(target) => {
            let object = Object::find(connection, &target.target).await?;
            object.warn_if_mirrored();
            object.patch(&change::restart(&object, &status::view::now().to_string())?).await?;
            output::line(&format!("{object} restarted"));
        }
        RolloutAction::Undo { target, to_revision, from } => {
            let object = Object::find(connection, &target.target).await?;
            undo(connection, &object, to_revision, from).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn undo(
    connection: &Connection,
    object: &Object,
    to: Option<i64>,
    from: Option<String>,
) -> Result<(), CliError> {
    let revisions = match (&object.kind, from) {
        (Kind::Set(set), None) => revisions::of(&object.connected, set).await?,
        (Kind::Set(_), Some(_)) => {
            return Err(CliError::Input(format!(
                "--from: {object} has a history of its own; leave --from out"
            )));
        }
        (Kind::Federated(federated), from) => {
            change::same_template_everywhere(object, federated)?;
            let Some(context) = from else {
                return Err(CliError::Input(format!(
                    "{object}: the hub keeps no older templates, its members do: name the context of one with --from, or apply the older manifest again"
                )));
            };
            revisions::of_member(connection, object, &context).await?
        }
    };
    let revision = revisions::choose(&object.to_string(), &revisions, to)?;
    if object.template() == Some(&revision.template) {
        output::line(&format!(
            "{object} skipped rollback (its template is that of revision {} already)",
            revision.number
        ));
        return Ok(());
    }
    object.warn_if_mirrored();
    object.patch(&change::undo(object, &revision.template)).await?;
    output::line(&format!("{object} rolled back to revision {} ({})", revision.number, revision.name));
    Ok(())
}

/// An object whose update it is about.
pub(crate) struct Object {
    pub(crate) connected: Connected,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// Of which kind an object is.
pub(crate) enum Kind {
    Set(Box<GameStatefulSet>),
    Federated(Box<FederatedGameStatefulSet>),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Set(_) => "gamestatefulset",
            Kind::Federated(_) => "federatedgamestatefulset",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

impl Object {
    /// Reads what KIND/NAME names.
    async fn find(connection: &Connection, target: &str) -> Result<Self, CliError> {
        let (kind, name) = target.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
            CliError::Input(format!("{target:?} is not KIND/NAME, such as gamestatefulset/gamecenter"))
        })?;
        match kind.to_ascii_lowercase().as_str() {
            "gamestatefulset" | "gamestatefulsets" => {
                let connected = clients::current(connection).await?;
                let namespace =
                    connection.namespace.clone().unwrap_or_else(|| connected.default_namespace.clone());
                let api: Api<GameStatefulSet> = Api::namespaced(connected.client.clone(), &namespace);
                let what = format!("gamestatefulset {namespace}/{name} in context {:?}", connected.context);
                let set = api.get(name).await.map_err(|error| CliError::api(what, &error))?;
                Ok(Self { connected, namespace, name: name.to_owned(), kind: Kind::Set(Box::new(set)) })
            }
            "federatedgamestatefulset" | "federatedgamestatefulsets" => {
                let connected = clients::hub(connection).await?;
                let federated = status::find(&connected, connection.namespace.as_deref(), name).await?;
                let namespace = federated.metadata.namespace.clone().unwrap_or_default();
                let kind = Kind::Federated(Box::new(federated));
                Ok(Self { connected, namespace, name: name.to_owned(), kind })
            }
            _ => Err(CliError::Input(format!(
                "the kind {kind:?} has no rollout; known are gamestatefulset and federatedgamestatefulset"
            ))),
        }
    }

    /// Reads it again.
    pub(crate) async fn refresh(&self) -> Result<Kind, CliError> {
        Ok(match &self.kind {
            Kind::Set(_) => Kind::Set(Box::new(self.get().await?)),
            Kind::Federated(_) => Kind::Federated(Box::new(self.get().await?)),
        })
    }

    /// The pod template.
    fn template(&self) -> Option<&Value> {
        match &self.kind {
            Kind::Set(set) => Some(&set.spec.template),
            Kind::Federated(federated) => federated.spec.template.pointer("/spec/template"),
        }
    }

    /// The set's spec, as JSON; of a federated object, that of its template.
    pub(crate) fn spec(&self) -> Value {
        match &self.kind {
            Kind::Set(set) => serde_json::to_value(&set.spec).unwrap_or_default(),
            Kind::Federated(federated) => federated.spec.template["spec"].clone(),
        }
    }

    /// Where the set is inside the object, as a JSON pointer.
    fn root(&self) -> &'static str {
        match self.kind {
            Kind::Set(_) => "",
            Kind::Federated(_) => "/spec/template",
        }
    }

    fn resource_version(&self) -> Option<&str> {
        let meta = match &self.kind {
            Kind::Set(set) => set.meta(),
            Kind::Federated(federated) => federated.meta(),
        };
        meta.resource_version.as_deref()
    }

    /// Says so where a change in a member is taken back by its mirror.
    fn warn_if_mirrored(&self) {
        if let Kind::Set(set) = &self.kind
            && set
                .metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key(muster_crds::keys::label::HUB))
        {
            output::warning(&format!(
                "{self} comes from a hub, which takes changes of its template back; change the federatedgamestatefulset there"
            ));
        }
    }

    async fn get<K>(&self) -> Result<K, CliError>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.connected.client.clone(), &self.namespace);
        api.get(&self.name).await.map_err(|error| CliError::api(self.to_string(), &error))
    }

    async fn patch(&self, patch: &Patch<Value>) -> Result<(), CliError> {
        let parameters =
            PatchParams { field_manager: Some(manager::CLI.to_owned()), ..PatchParams::default() };
        let (client, namespace) = (self.connected.client.clone(), &self.namespace);
        let done = match self.kind {
            Kind::Set(_) => {
                let api: Api<GameStatefulSet> = Api::namespaced(client, namespace);
                api.patch(&self.name, &parameters, patch).await.map(drop)
            }
            Kind::Federated(_) => {
                let api: Api<FederatedGameStatefulSet> = Api::namespaced(client, namespace);
                api.patch(&self.name, &parameters, patch).await.map(drop)
            }
        };
        done.map_err(|error| CliError::api(format!("cannot change {self}"), &error))
    }
}
