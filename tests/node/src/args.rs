//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Checks on a real kubelet
#[derive(Debug, Parser)]
#[command(name = "muster-node")]
pub(crate) struct Arguments {
    /// Kubeconfig of the control plane that the node belongs to
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    /// Its context
    #[arg(long, value_name = "NAME")]
    pub(crate) context: String,
    /// The program `muster`
    #[arg(long, value_name = "FILE")]
    pub(crate) muster: PathBuf,
    /// The program that runs a command inside the node: `NODE enter --dir DIR COMMAND...`
    #[arg(long, value_name = "FILE")]
    pub(crate) node: PathBuf,
    /// State directory of the node
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
