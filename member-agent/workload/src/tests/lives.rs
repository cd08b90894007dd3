//! A set's life with its promises held against every single thing that happens.

use super::simulator::World;
use crate::{Code, Plan};

/// Plans, writes and lets kubelets go on, one thing at a time, until nothing is left to do; answers the last plan. After
/// each of them no more pods are down than the budget, or than were before.
pub(super) fn live(world: &mut World, ordinals: &[u32], budget: usize) -> Plan {
    live_with(world, ordinals, budget, |_| {})
}

/// The same, with something that happens before every plan.
pub(super) fn live_with(
    world: &mut World,
    ordinals: &[u32],
    budget: usize,
    mut happens: impl FnMut(&mut World),
) -> Plan {
    for _ in 0..2000 {
        happens(world);
        let plan = world.plan();
        let status = world.set["status"].clone();
        for step in &plan.steps {
            let before = world.unavailable(ordinals);
            let disrupts = matches!(
                step.reason.code,
                Code::CloseGate | Code::Recreate | Code::UpdateInPlace | Code::Resize | Code::RollBack
            );
            world.apply(step);
            let after = world.unavailable(ordinals);
            assert!(!disrupts || after <= before || after <= budget, "{step}: {after} of {budget} down");
        }
        world.record(&plan);
        let mut moved = !plan.steps.is_empty() || status != world.set["status"];
        for pod in world.pods.keys().cloned().collect::<Vec<_>>() {
            let before = world.unavailable(ordinals);
            moved |= world.kubelet(&pod);
            let after = world.unavailable(ordinals);
            assert!(after <= before || after <= budget, "{pod}: {after} of {budget} down");
        }
        if !moved {
            let Some(after) = plan.recheck_after else { return plan };
            world.pass(i64::try_from(after.as_secs()).unwrap().max(1));
        }
    }
    panic!("never ends: {:?}", world.writes.iter().rev().take(20).collect::<Vec<_>>());
}

/// How many writes since a mark name this pod.
pub(super) fn writes_of(world: &World, mark: usize, pod: &str) -> Vec<String> {
    let of = |write: &&String| write.split(' ').any(|word| word == pod);
    world.writes[mark..].iter().filter(of).cloned().collect()
}

/// How many writes since a mark have this reason.
pub(super) fn count(world: &World, mark: usize, code: &str) -> usize {
    world.writes[mark..].iter().filter(|write| write.ends_with(code)).count()
}
