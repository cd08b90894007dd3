//! Which cluster a command talks to.

use std::path::PathBuf;

use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use muster_runtime::client;
use muster_sandbox::kubeconfig::{HUB, VIEW_PREFIX};

use crate::args::Connection;
use crate::error::CliError;

/// How the command line calls itself to API servers.
const USER_AGENT: &str = concat!("muster/", env!("CARGO_PKG_VERSION"));

/// The variable that Kubernetes sets in every pod.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// A client, and the namespace that its context names.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) default_namespace: String,
    pub(crate) context: String,
    /// The API server's address.
    pub(crate) server: String,
}

/// A client for the hub: the given context, else `hub` where the kubeconfig has it, else the current one.
pub(crate) async fn hub(connection: &Connection) -> Result<Connected, CliError> {
    hub_as(connection, USER_AGENT).await
}

/// The same under another name.
pub(crate) async fn hub_as(connection: &Connection, user_agent: &str) -> Result<Connected, CliError> {
    connect(connection, Some(HUB), user_agent).await
}

/// A client for the given context, else for the current one.
pub(crate) async fn current(connection: &Connection) -> Result<Connected, CliError> {
    current_as(connection, USER_AGENT).await
}

/// The same under another name.
pub(crate) async fn current_as(connection: &Connection, user_agent: &str) -> Result<Connected, CliError> {
    connect(connection, None, user_agent).await
}

/// A client for what the hub shows to a member; none where the kubeconfig has no context for it.
pub(crate) async fn view(connection: &Connection, member: &str) -> Result<Option<Connected>, CliError> {
    let Some(path) = kubeconfig(connection) else { return Ok(None) };
    let failed = |source| CliError::Kubeconfig { path: path.clone(), source: Box::new(source) };
    let file = Kubeconfig::read_from(&path).map_err(failed)?;
    let name = format!("{VIEW_PREFIX}{member}");
    if !file.contexts.iter().any(|context| context.name == name) {
        return Ok(None);
    }
    let connection = Connection { context: Some(name), ..connection.clone() };
    connect(&connection, None, USER_AGENT).await.map(Some)
}

async fn connect(
    connection: &Connection,
    preferred: Option<&str>,
    user_agent: &str,
) -> Result<Connected, CliError> {
    let (config, context) = match kubeconfig(connection) {
        Some(path) => from_file(connection, path, preferred).await?,
        None if std::env::var_os(IN_POD).is_some() => {
            let config = Config::incluster().map_err(|source| CliError::ServiceAccount(Box::new(source)))?;
            (config, "service account".to_owned())
        }
        None => return Err(CliError::NoKubeconfig),
    };
    let default_namespace = config.default_namespace.clone();
    let server = config.cluster_url.to_string();
    let client = client::connect(config, user_agent)?;
    Ok(Connected { client, default_namespace, context, server })
}

async fn from_file(
    connection: &Connection,
    path: PathBuf,
    preferred: Option<&str>,
) -> Result<(Config, String), CliError> {
    let failed = |source| CliError::Kubeconfig { path: path.clone(), source: Box::new(source) };
    let file = Kubeconfig::read_from(&path).map_err(failed)?;
    let has = |name: &str| file.contexts.iter().any(|context| context.name == name);
    let preferred = preferred.filter(|name| has(name)).map(str::to_owned);
    if let Some(asked) = connection.context.as_deref().filter(|asked| !has(asked)) {
        let known = file.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(CliError::Input(format!(
            "--context {asked:?}: the kubeconfig {} has no such context; it has {}",
            path.display(),
            if known.is_empty() { "none" } else { &known },
        )));
    }
    let context = connection.context.clone().or(preferred).or_else(|| file.current_context.clone());
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.map_err(failed)?;
    Ok((config, context.unwrap_or_default()))
}

/// The first kubeconfig there is. One that was asked for is used even when it is missing, so that the
/// error names it.
fn kubeconfig(connection: &Connection) -> Option<PathBuf> {
    if let Some(asked) = &connection.kubeconfig {
        return Some(asked.clone());
    }
    if let Some(paths) = std::env::var_os("KUBECONFIG")
        && let Some(first) = std::env::split_paths(&paths).find(|path| !path.as_os_str().is_empty())
    {
        return Some(first);
    }
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    [Some(PathBuf::from(".muster/kubeconfig")), home].into_iter().flatten().find(|path| path.is_file())
}
