//! Serves one embedded cluster on a loopback address, for kubectl: `cargo run -p muster-apiserver --example serve -- 8001`.

use std::{net::Ipv4Addr, sync::Arc};

use muster_apiserver::{Cluster, ClusterConfig, Clusters};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(8001), |port| port.parse())?;
    #[expect(clippy::disallowed_methods, reason = "an example has no other clock")]
    let now = Arc::new(jiff::Timestamp::now);
    let cluster = Cluster::new(ClusterConfig::new("dev", 1, now));
    let clusters = Clusters::new();
    clusters.mount("dev", cluster.router());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(cluster.run(CancellationToken::new()));
    #[expect(clippy::print_stdout, reason = "a person wants to know where to point kubectl")]
    {
        println!("kubectl --server http://{}/clusters/dev get namespaces", listener.local_addr()?);
    }
    axum::serve(listener, clusters.router()).await?;
    Ok(())
}
