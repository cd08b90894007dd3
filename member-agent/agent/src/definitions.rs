//! The agent's own kinds: their definitions are installed in the member, and never taken back to an
//! older form.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use muster_crds::keys::{group, manager};
use muster_runtime::error;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// On a definition: the release of Muster that installed it.
pub const RELEASE: &str = "muster.dev/release";
/// On a definition: hash of what was installed.
pub const DEFINITION_HASH: &str = "muster.dev/definition-hash";

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// How often a definition is asked whether it is established.
const ESTABLISHED_POLL: Duration = Duration::from_millis(100);

/// How often at most, before the installation is tried anew.
const ESTABLISHED_POLLS: u32 = 100;

/// Why a definition could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A definition of ours that is no JSON, or has no name.
    #[error("definition {name} cannot be written: {source}")]
    Encode {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The member refused, or could not be reached.
    #[error("definition {name}: {source}")]
    Member {
        /// Its name.
        name: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer.
    #[error("definition {name}: the member did not answer within {} s", DEADLINE.as_secs())]
    NoAnswer {
        /// Its name.
        name: String,
    },
    /// It was installed and the member does not serve it.
    #[error("definition {name} was not established: {reason}")]
    NotEstablished {
        /// Its name.
        name: String,
        /// The member's conditions.
        reason: String,
    },
}

// === impl DefinitionError ===

impl DefinitionError {
    /// The error with its causes, and what to do where that is known.
    pub fn advised(&self) -> String {
        let Self::Member { name, source } = self else { return self.to_string() };
        let text = format!("definition {name}: {}", error::api(source));
        match &**source {
            kube::Error::Api(status) if status.is_forbidden() => {
                format!("{text}; grant it: deploy/agent/rbac.yaml has what an agent needs")
            }
            _ => text,
        }
    }
}

/// What has to be done about one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It is missing, older or not ours.
    Install,
    /// It is this one.
    Nothing,
    /// It is from a later release.
    Newer,
}

/// The definitions of the kinds the agent runs.
pub fn own() -> Vec<CustomResourceDefinition> {
    muster_crds::all().into_iter().filter(|definition| definition.spec.group == group::TKEX).collect()
}

/// Installs what is missing or older, and waits until the member serves all of it.
pub async fn install(
    member: &Client,
    definitions: &[CustomResourceDefinition],
) -> Result<(), DefinitionError> {
    let api: Api<CustomResourceDefinition> = Api::all(member.clone());
    for definition in definitions {
        let name = definition.name_any();
        let ours = marked(definition, &name)?;
        let live = answer(&name, api.get_opt(&name)).await?;
        match live.as_ref().map_or(Need::Install, |live| need(live, &ours)) {
            Need::Nothing => {}
            Need::Newer => tracing::info!(name, "a later release installed this definition; it stays"),
            Need::Install => {
                let params = PatchParams::apply(manager::MIRROR).force();
                answer(&name, api.patch(&name, &params, &Patch::Apply(&ours))).await?;
                tracing::info!(name, "definition installed");
            }
        }
    }
    for definition in definitions {
        established(&api, &definition.name_any()).await?;
    }
    Ok(())
}

async fn established(api: &Api<CustomResourceDefinition>, name: &str) -> Result<(), DefinitionError> {
    let mut reason = String::from("it is gone");
    for _ in 0..ESTABLISHED_POLLS {
        if let Some(live) = answer(name, api.get_opt(name)).await? {
            let conditions = live.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
            {
                return Ok(());
            }
            let refused = conditions.iter().filter(|condition| condition.status != "True").map(|condition| {
                format!("{}: {}", condition.type_, condition.message.as_deref().unwrap_or_default())
            });
            reason = refused.collect::<Vec<_>>().join("; ");
        }
        tokio::time::sleep(ESTABLISHED_POLL).await;
    }
    Err(DefinitionError::NotEstablished { name: name.to_owned(), reason })
}

/// The definition as it is applied: with our release and its hash.
fn marked(definition: &CustomResourceDefinition, name: &str) -> Result<Value, DefinitionError> {
    let encode = |source| DefinitionError::Encode { name: name.to_owned(), source };
    let mut value = serde_json::to_value(definition).map_err(encode)?;
    let text = serde_json::to_string(&value).map_err(encode)?;
    let hash = format!("{:x}", Sha256::digest(text));
    value["apiVersion"] = "apiextensions.k8s.io/v1".into();
    value["kind"] = "CustomResourceDefinition".into();
    value["metadata"]["annotations"][RELEASE] = env!("CARGO_PKG_VERSION").into();
    value["metadata"]["annotations"][DEFINITION_HASH] = hash.into();
    if let Value::Object(map) = &mut value {
        map.remove("status");
    }
    Ok(value)
}

fn need(live: &CustomResourceDefinition, ours: &Value) -> Need {
    let annotation = |key: &str| live.annotations().get(key).map(String::as_str);
    let our = |key: &str| ours["metadata"]["annotations"][key].as_str();
    let Some(theirs) = annotation(RELEASE) else { return Need::Install };
    let (theirs, mine) = (release(theirs), release(our(RELEASE).unwrap_or_default()));
    if theirs > mine {
        Need::Newer
    } else if theirs == mine && annotation(DEFINITION_HASH) == our(DEFINITION_HASH) {
        Need::Nothing
    } else {
        Need::Install
    }
}

/// The numbers of a release; what is no number counts as zero.
fn release(text: &str) -> Vec<u64> {
    text.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or_default()).collect()
}

async fn answer<T>(name: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T, DefinitionError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(DefinitionError::Member { name: name.to_owned(), source: Box::new(source) }),
        Err(_) => Err(DefinitionError::NoAnswer { name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kinds_of_the_agents_own_group_are_installed() {
        let names: Vec<String> = own().iter().map(ResourceExt::name_any).collect();
        let kinds = ["gamestatefulsets", "hooktemplates", "hookruns"];
        assert_eq!(names, kinds.map(|kind| format!("{kind}.tkex.tencent.com")));
    }

    #[test]
    fn a_definition_is_installed_when_missing_or_older_and_never_taken_back() {
        let mut live = own().remove(0);
        let ours = marked(&live, "x").unwrap();
        assert_eq!(need(&live, &ours), Need::Install, "without our marks it is somebody else's");

        let hash = ours["metadata"]["annotations"][DEFINITION_HASH].as_str().unwrap().to_owned();
        let mut with = |release: &str, hash: &str| {
            live.annotations_mut().insert(RELEASE.to_owned(), release.to_owned());
            live.annotations_mut().insert(DEFINITION_HASH.to_owned(), hash.to_owned());
            need(&live, &ours)
        };
        assert_eq!(with(env!("CARGO_PKG_VERSION"), &hash), Need::Nothing);
        assert_eq!(with(env!("CARGO_PKG_VERSION"), "other"), Need::Install);
        assert_eq!(with("0.0.9", &hash), Need::Install);
        assert_eq!(with("99.0.0", "other"), Need::Newer);
    }
}
