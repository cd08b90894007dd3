//! Checks on a real kubelet: what an update in place does to the processes and connections of a pod.
//!
//! Three example game servers with a sidecar, run by `muster agent` without a hub, and a hundred players. The checks follow
//! one another on the same pods. `tests/kubernetes/run node` brings up what they need.

mod agent;
mod args;
mod checks;
mod failure;
mod film;
mod game;
mod players;
mod pods;
mod report;
mod set;
mod world;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::report::Report;
use crate::world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::new();
    match World::start(&arguments).await {
        Ok(mut world) => {
            Box::pin(checks::run(&mut world, &mut report)).await;
            if let Err(error) = world.end().await {
                report.failed("what the checks made is removed", &error);
            }
        }
        Err(error) => {
            report.failed("three game servers run on the node", &error);
            report.skipped(checks::COUNT);
        }
    }
    report.finish()
}
