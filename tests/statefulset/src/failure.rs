//! Why a case cannot be played.

/// A sentence for the person who reads the report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was seen is not what the case expects of both.
    #[error("{0}")]
    Seen(String),
    #[error("Kubernetes: {0}")]
    Kube(#[from] kube::Error),
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("client: {0}")]
    Client(#[from] muster_runtime::client::ClientError),
}

/// The result of a step.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure with a sentence made on the spot.
pub(crate) fn seen<T>(sentence: impl Into<String>) -> Result<T> {
    Err(Failure::Seen(sentence.into()))
}
