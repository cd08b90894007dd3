//! `muster hub`: the hub as a process.

use std::net::SocketAddr;
use std::process::ExitCode;

use muster_hub::{Hub, HubConfig};
use muster_runtime::tls::{KeyPair, PemFile, RELOAD_EVERY, ServerTls};
use muster_runtime::{Tasks, serve};

use crate::args::{Connection, HubOptions};
use crate::clients;
use crate::error::CliError;
use crate::process::{Signals, identity, run_until_stopped};

/// How the hub calls itself to its API server.
const USER_AGENT: &str = concat!("muster-hub/", env!("CARGO_PKG_VERSION"));

pub(crate) async fn run(connection: &Connection, options: HubOptions) -> Result<ExitCode, CliError> {
    let signals = Signals::new()?;
    let tls = tls(&options)?;
    let connected = clients::hub_as(connection, USER_AGENT).await?;
    let listener = serve::listen(options.listen).await?;
    let address = listener.local_addr().map_err(CliError::Address)?;

    let tasks = Tasks::new();
    let mut config = HubConfig::new(connected.client, identity());
    config.federation_namespace.clone_from(&options.federation_namespace);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = config.identity,
        api = connected.server,
        context = connected.context,
        federation_namespace = config.federation_namespace,
        "hub starts"
    );
    let hub = Hub::start(config, &tasks)?;
    if let Some(tls) = tls {
        let until = tls.certificate().not_after;
        tls.follow_files(&tasks, RELOAD_EVERY);
        serve::serve_tls(&tasks, listener, hub.authorized_router(), tls);
        tracing::info!(%address, tls = true, certificate_until = %until, "serving");
    } else {
        serve::serve(&tasks, listener, hub.router());
        tracing::warn!(%address, tls = false, "serving every view to every user of this machine: --insecure");
    }
    run_until_stopped(signals, &tasks).await
}

/// The certificates, or none with `--insecure`.
fn tls(options: &HubOptions) -> Result<Option<ServerTls>, CliError> {
    let HubOptions { tls_cert, tls_key, client_ca, insecure, listen, .. } = options;
    match (tls_cert, tls_key, client_ca) {
        _ if *insecure => loopback(*listen).map(|()| None),
        (Some(certificate), Some(key), Some(ca)) => {
            let own = KeyPair {
                certificate: PemFile::new("--tls-cert", certificate),
                key: PemFile::new("--tls-key", key),
            };
            Ok(Some(ServerTls::load(own, PemFile::new("--client-ca", ca))?))
        }
        // The command line asks for all three.
        _ => Err(CliError::Input("--tls-cert, --tls-key and --client-ca are all needed".to_owned())),
    }
}

fn loopback(address: SocketAddr) -> Result<(), CliError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(CliError::Input(format!(
        "--insecure with --listen {address}: without TLS everybody who reaches the port may read and answer for every cluster; use a loopback address such as 127.0.0.1:{}, or give --tls-cert, --tls-key and --client-ca",
        address.port()
    )))
}
