//! The command line. Every flag has a variable, for that is what a pod's manifest sets.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// An example game server
#[derive(Debug, Parser)]
#[command(name = "gameserver", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// The server (what runs without a mode, too)
    Server(ServerOptions),
    /// The container beside it: writes the shared file, and answers /healthz and /status
    Sidecar(SidecarOptions),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerOptions {
    /// Where HTTP is answered
    #[arg(long, env = "GAMESERVER_HTTP", value_name = "ADDR", default_value_t = any(8080))]
    pub(crate) http: SocketAddr,
    /// Where players connect
    #[arg(long, env = "GAMESERVER_TCP", value_name = "ADDR", default_value_t = any(7000))]
    pub(crate) tcp: SocketAddr,
    /// Where the counters are kept over a restart [default: nowhere]
    #[arg(long, env = "GAMESERVER_STATE", value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// How many seconds after SIGTERM open connections may go on
    #[arg(long, env = "GAMESERVER_LINGER", value_name = "SECONDS", default_value_t = 0)]
    pub(crate) linger: u64,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct SidecarOptions {
    /// Where HTTP is answered
    #[arg(long, env = "GAMESERVER_HTTP", value_name = "ADDR", default_value_t = any(8081))]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    /// What this build calls itself; images of several versions differ in this alone
    #[arg(long, env = "GAMESERVER_VERSION", value_name = "NAME", default_value = "dev")]
    pub(crate) version: String,
    /// The file that server and sidecar write [default: none]
    #[arg(long, env = "GAMESERVER_SHARED", value_name = "FILE")]
    pub(crate) shared: Option<PathBuf>,
    /// How many milliseconds lie between two writes of the shared file
    #[arg(long, env = "GAMESERVER_BEAT", value_name = "MILLISECONDS", default_value_t = 200,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) beat: u64,
}

const fn any(port: u16) -> SocketAddr {
    SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mode_it_is_the_server() {
        let arguments = Arguments::try_parse_from(["gameserver", "--tcp", "127.0.0.1:1"]).unwrap();
        assert!(arguments.mode.is_none());
        assert_eq!(arguments.server.tcp.port(), 1);
        let arguments = Arguments::try_parse_from(["gameserver", "sidecar", "--beat", "50"]).unwrap();
        assert!(matches!(arguments.mode, Some(Mode::Sidecar(options)) if options.common.beat == 50));
    }

    #[test]
    fn a_beat_without_a_pause_is_refused() {
        let error = Arguments::try_parse_from(["gameserver", "--beat", "0"]).unwrap_err();
        assert!(error.to_string().contains("--beat"), "{error}");
    }
}
