//! `muster agent`: the agent of one member as a process.

use std::process::ExitCode;

use muster_agent::{Agent, AgentConfig};
use muster_crds::ClusterName;
use muster_runtime::channel::{Channel, Target};
use muster_runtime::tls::{ClientTls, KeyPair, PemFile};
use muster_runtime::{Clock, Tasks, client, serve};

use crate::args::{AgentOptions, Connection};
use crate::clients;
use crate::error::CliError;
use crate::process::{Signals, run_until_stopped};

/// How the agent calls itself to API servers and to the hub.
const USER_AGENT: &str = concat!("muster-agent/", env!("CARGO_PKG_VERSION"));

pub(crate) async fn run(connection: &Connection, options: AgentOptions) -> Result<ExitCode, CliError> {
    let signals = Signals::new()?;
    let cluster = ClusterName::new(&options.cluster)
        .map_err(|error| CliError::Input(format!("--cluster {:?}: {error}", options.cluster)))?;
    let target = Target::new(&options.hub).map_err(|error| CliError::Input(format!("--hub {error}")))?;
    let tls = tls(&options, &target, &cluster)?;
    let connected = clients::current_as(connection, USER_AGENT).await?;
    let listener = serve::listen(options.listen).await?;
    let address = listener.local_addr().map_err(CliError::Address)?;

    let tasks = Tasks::new();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %cluster,
        hub = %target,
        api = connected.server,
        context = connected.context,
        certificate_until = tls.as_ref().and_then(|tls| Some(tls.certificate().ok()?.not_after.to_string())),
        "agent starts"
    );
    let channel = Channel::new(target, tls, &tasks);
    let hub = client::over(channel, &format!("/views/{cluster}"), USER_AGENT)?;
    let mut config = AgentConfig::new(cluster, Some(hub), connected.client, Clock::system());
    config.federation_namespace = options.federation_namespace;
    let agent = Agent::start(config, &tasks)?;
    serve::serve(&tasks, listener, agent.router());
    tracing::info!(%address, "serving");
    run_until_stopped(signals, &tasks).await
}

/// The certificates; none for a hub that is spoken to over plain HTTP.
fn tls(
    options: &AgentOptions,
    target: &Target,
    cluster: &ClusterName,
) -> Result<Option<ClientTls>, CliError> {
    let AgentOptions { client_cert, client_key, hub_ca, .. } = options;
    if !target.is_tls() {
        return match (client_cert, client_key, hub_ca) {
            (None, None, None) => Ok(None),
            _ => Err(CliError::Input(format!(
                "--hub {target}: certificates are of no use over plain http; write https:// or leave them out"
            ))),
        };
    }
    let (Some(certificate), Some(key), Some(ca)) = (client_cert, client_key, hub_ca) else {
        return Err(CliError::Input(format!(
            "--hub {target}: --client-cert, --client-key and --hub-ca are all needed; docs/operating.md says how to make them"
        )));
    };
    let own = KeyPair {
        certificate: PemFile::new("--client-cert", certificate),
        key: PemFile::new("--client-key", key),
    };
    let tls = ClientTls::load(own, PemFile::new("--hub-ca", ca))?;
    let name = tls.certificate()?.common_name;
    if name != cluster.as_str() {
        return Err(CliError::Input(format!(
            "--client-cert {}: is for cluster {name:?}, and --cluster is {:?}; the hub would refuse it: give the certificate with common name {1:?}",
            certificate.display(),
            cluster.as_str()
        )));
    }
    Ok(Some(tls))
}
