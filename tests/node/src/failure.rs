//! Why a check does not hold.

/// A sentence for the person who reads the report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was seen is not what must hold.
    #[error("{0}")]
    Seen(String),
    #[error("Kubernetes: {0}")]
    Kube(#[from] kube::Error),
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("client: {0}")]
    Client(#[from] muster_runtime::client::ClientError),
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

/// The result of a check, or of a step of it.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure with a sentence made on the spot.
pub(crate) fn seen<T>(sentence: impl Into<String>) -> Result<T> {
    Err(Failure::Seen(sentence.into()))
}

/// Fails with the sentence unless it holds.
pub(crate) fn must(holds: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { seen(sentence()) }
}

/// Says what was being done when it failed.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
    move |source| Failure::Io { what: what.into(), source }
}
