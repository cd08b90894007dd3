//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// One manifest as StatefulSet and as GameStatefulSet, and what each controller did
#[derive(Debug, Parser)]
#[command(name = "muster-statefulset")]
pub(crate) struct Arguments {
    /// Kubeconfig of a control plane with kube-controller-manager and fake nodes
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    /// Its context
    #[arg(long, value_name = "NAME")]
    pub(crate) context: String,
    /// The program `muster`
    #[arg(long, value_name = "FILE")]
    pub(crate) muster: PathBuf,
    /// Folder for the agent's log
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Most cases that are played at once; they mostly wait
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub(crate) at_once: usize,
    /// Play only cases whose names contain one of these
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}
