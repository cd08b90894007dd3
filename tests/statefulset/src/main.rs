//! Holds GameStatefulSet against StatefulSet: one manifest as both kinds on one control plane, the one under the real
//! kube-controller-manager and the other under `muster agent`, and what each did to its pods, in order.
//!
//! Every case prints both lists side by side. They must be equal but for the differences that the case names; and a list in
//! which two neighbours were exchanged must be found different. `tests/kubernetes/run statefulset` brings up what it needs.

mod args;
mod cases;
mod compare;
mod failure;
mod manifest;
mod record;
mod report;
mod side;
mod world;

use std::pin::pin;
use std::process::ExitCode;

use clap::Parser;
use futures::{StreamExt, stream};

use crate::args::Arguments;
use crate::cases::Case;
use crate::report::Report;
use crate::world::{Played, World};

/// The name of the check that the comparison itself can fail.
const SWAP: &str = "two neighbours exchanged in a list are found, whichever they are";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = |case: &Case| {
        arguments.filters.is_empty()
            || arguments.filters.iter().any(|filter| case.name.contains(filter.as_str()))
    };
    let cases: Vec<Case> = cases::all().into_iter().filter(chosen).collect();
    let mut report = Report::default();
    match World::start(&arguments).await {
        Err(error) => {
            report.failed("both controllers run", &error.to_string());
            report.skipped(cases.len() + 1);
        }
        Ok(mut world) => {
            play(&world, &cases, arguments.at_once.max(1), &mut report).await;
            if let Some(last_words) = world.ended_early() {
                report.failed("the agent runs", &last_words);
            }
            world.end().await;
        }
    }
    report.finish()
}

async fn play(world: &World, cases: &[Case], at_once: usize, report: &mut Report) {
    let played = stream::iter(cases).map(async |case| (case, world.play(case).await));
    let mut played = pin!(played.buffered(at_once));
    let mut lists = Vec::new();
    while let Some((case, result)) = played.next().await {
        let name = format!("{}: {}", case.name, case.about);
        match result {
            Err(error) => report.failed(&name, &format!("    {error}")),
            Ok(played) => {
                let table = played.table();
                match played.judge(case.differences) {
                    Ok(on_purpose) => report.passed(&name, &format!("{table}{on_purpose}")),
                    Err(why) => report.failed(&name, &format!("{table}    {why}")),
                }
                lists.push((case.name, played));
            }
        }
    }
    let swaps: Vec<(&str, Played)> =
        lists.iter().flat_map(|(name, played)| played.swaps().map(|swap| (*name, swap))).collect();
    let missed: Vec<&str> =
        swaps.iter().filter(|(_, swap)| swap.judge(&[]).is_ok()).map(|(name, _)| *name).collect();
    match swaps.first() {
        Some((_, first)) if missed.is_empty() => {
            let table = first.swap_table();
            report.passed(
                SWAP,
                &format!("    {} exchanges in {} lists; the first:\n{table}", swaps.len(), lists.len()),
            );
        }
        _ => report.failed(SWAP, &format!("    of {} exchanges, not found: {missed:?}", swaps.len())),
    }
}
