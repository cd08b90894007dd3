//! What can go wrong in a command, in words for a person.

use std::path::PathBuf;

use muster_runtime::client::ClientError;
use muster_runtime::serve::ListenError;
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
        "no kubeconfig was found; looked at --kubeconfig, $KUBECONFIG, .muster/kubeconfig and ~/.kube/config"
    )]
    NoKubeconfig,
    #[error("cannot use the kubeconfig {path}: {source}", path = path.display())]
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

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
