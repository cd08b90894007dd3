//! An example game server, small enough to read: a process that shows what an update did to it.
//!
//! - Players: a TCP echo that greets each connection with its number and with the process it talks to.
//! - HTTP: `/healthz` and `/status`, and what hooks ask for: `/reload`, `/pre-delete`, `/can-delete`.
//! - Memory: a file in an `emptyDir` of medium `Memory` that the server and its sidecar both write. It outlives a restart
//!   of either container, and goes with the pod.
//! - State: counters that are saved at SIGTERM and loaded at the next start.
//!
//! `gameserver` is the server, `gameserver sidecar` the container beside it.

mod args;
mod beat;
mod echo;
mod game;
mod http;
mod identity;
mod run;
mod shared;
mod state;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("GAMESERVER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Box::pin(run::run(arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
