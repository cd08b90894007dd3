//! What can go wrong in a command, in words for a person.

use std::path::PathBuf;

use muster_agent::AgentError;
use muster_hub::HubError;
use muster_runtime::client::ClientError;
use muster_runtime::error::chain;
use muster_runtime::serve::ListenError;
use muster_runtime::tls::TlsError;
use muster_sandbox::SandboxError;
use muster_sandbox::data_dir::DataDirError;
use muster_sandbox::manifests::ManifestError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "no kubeconfig was found; looked at --kubeconfig, $KUBECONFIG, .muster/kubeconfig and ~/.kube/config, and this \
         is no pod with a service account"
    )]
    NoKubeconfig,
    #[error("cannot use the service account of this pod: {}", chain(&**.0))]
    ServiceAccount(#[source] Box<kube::config::InClusterError>),
    #[error("cannot use the kubeconfig {path}: {}", chain(&**source), path = path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("{what}: {message}")]
    Api { what: String, message: String },
    #[error("{0}")]
    Input(String),
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot print the result: {0}")]
    Print(String),
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error("cannot tell the address that is listened on: {0}")]
    Address(#[source] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error("a part of this process failed; the log says which")]
    Panicked,
}

impl CliError {
    /// A failed call to an API server; `what` says what was asked.
    pub(crate) fn api(what: impl Into<String>, error: &kube::Error) -> Self {
        let message = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => chain(other),
        };
        Self::Api { what: what.into(), message }
    }
}
