//! kubefed's own division, for preferences annotated `muster.dev/planner: kubefed`.
//!
//! People who come from kubefed see the numbers they know: minimum pass, kept replicas, then rounds of shares that
//! are rounded up, in the order of weight and hash. It may shrink a cluster while the total grows, and what is written
//! (plan plus overflow) may exceed the total on purpose: replicas that found no room stay requested in the full
//! cluster, so that they start when room appears. Sums are computed wide, so no input overflows.

use std::cmp::Reverse;

/// What the algorithm knows of one available cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Weight of its entry; `None` when neither it nor `*` has one, and the cluster gets nothing.
    pub(crate) entry: Option<Entry>,
    /// Replicas it has now, when known.
    pub(crate) existing: Option<u32>,
    /// Replicas it can run, when known.
    pub(crate) capacity: Option<u32>,
    /// Place among equal weights.
    pub(crate) hash: u32,
}

/// One entry of the preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Share relative to the other clusters.
    pub(crate) weight: u64,
    /// Fewest replicas; the maximum does not limit it.
    pub(crate) min: u32,
    /// Most replicas.
    pub(crate) max: Option<u32>,
}

/// What one cluster gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Replicas that are expected to run.
    pub(crate) plan: u32,
    /// Replicas requested on top of them in a cluster that is full.
    pub(crate) overflow: u32,
}

impl Share {
    /// What is written into the cluster.
    pub(crate) fn written(self) -> u32 {
        self.plan.saturating_add(self.overflow)
    }
}

/// Working state of one cluster that has an entry.
struct Row {
    index: usize,
    weight: i128,
    min: i128,
    max: Option<i128>,
    capacity: Option<i128>,
    existing: i128,
    plan: i128,
    /// Replicas kept beyond the minimum: granted in advance, and spent before new ones are given.
    credit: i128,
    overflow: i128,
    playing: bool,
}

/// Divides `total` over the candidates, whose order must be that of their names (it breaks ties of the hash).
pub(crate) fn divide(candidates: &[Candidate], total: u32, rebalance: bool) -> Vec<Share> {
    let mut rows = rows_in_order(candidates);
    let mut left = i128::from(total);
    for row in &mut rows {
        row.plan = row.min.min(left).min(row.capacity.unwrap_or(i128::MAX));
        left -= row.plan;
    }
    if !rebalance {
        for row in rows.iter_mut().filter(|row| row.existing > row.plan) {
            let reachable =
                row.existing.min(row.max.unwrap_or(i128::MAX)).min(row.capacity.unwrap_or(i128::MAX));
            row.credit = (reachable - row.plan).min(left).max(0);
            row.plan += row.credit;
            left -= row.credit;
        }
    }
    while left > 0 && weight_round(&mut rows, &mut left) {}
    let mut shares = vec![Share::default(); candidates.len()];
    for row in rows {
        let overflow = if rebalance { row.overflow } else { row.overflow.min(left) };
        shares[row.index] = Share { plan: count(row.plan), overflow: count(overflow) };
    }
    shares
}

fn rows_in_order(candidates: &[Candidate]) -> Vec<Row> {
    let mut entered: Vec<(usize, &Candidate, &Entry)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| Some((index, candidate, candidate.entry.as_ref()?)))
        .collect();
    entered.sort_by_key(|(index, candidate, entry)| (Reverse(entry.weight), candidate.hash, *index));
    entered
        .into_iter()
        .map(|(index, candidate, entry)| Row {
            index,
            weight: i128::from(entry.weight),
            min: i128::from(entry.min),
            max: entry.max.map(i128::from),
            capacity: candidate.capacity.map(i128::from),
            existing: i128::from(candidate.existing.unwrap_or(0)),
            plan: 0,
            credit: 0,
            overflow: 0,
            playing: true,
        })
        .collect()
}

/// One round of shares; false when it changed nothing. A cluster that meets its maximum or capacity leaves the game,
/// and any other round at least halves what is left or the credit, so the rounds are few.
fn weight_round(rows: &mut [Row], left: &mut i128) -> bool {
    let weights: i128 = rows.iter().filter(|row| row.playing).map(|row| row.weight).sum();
    if weights <= 0 {
        return false;
    }
    let pool = *left;
    let mut changed = false;
    for row in rows.iter_mut().filter(|row| row.playing) {
        let share = ((pool * row.weight + weights - 1) / weights).min(*left);
        let paid = share.min(row.credit);
        row.credit -= paid;
        let before = row.plan;
        let mut wanted = before + share - paid;
        if let Some(max) = row.max.filter(|max| wanted > *max) {
            wanted = max;
            row.playing = false;
        }
        if let Some(capacity) = row.capacity.filter(|capacity| wanted > *capacity) {
            row.overflow = wanted - capacity;
            wanted = capacity;
            row.playing = false;
        }
        // Negative when a minimum above the maximum is cut: what it held goes back to the others.
        *left -= wanted - before;
        row.plan = wanted;
        changed |= paid > 0 || wanted > before;
    }
    changed
}

/// Back to a count of replicas. Nothing above the total is ever planned, so only a negative intermediate could be cut.
fn count(value: i128) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::fnv::tie_hash;

    fn candidate(name: &str, weight: u64, min: u32, max: Option<u32>) -> Candidate {
        Candidate {
            entry: Some(Entry { weight, min, max }),
            existing: None,
            capacity: None,
            hash: tie_hash(name, "games/lobby"),
        }
    }

    fn fleet(weight: u64, min: u32, max: Option<u32>) -> Vec<Candidate> {
        ["a", "b", "c"].map(|name| candidate(name, weight, min, max)).to_vec()
    }

    fn plan(candidates: &[Candidate], total: u32, rebalance: bool) -> Vec<u32> {
        divide(candidates, total, rebalance).into_iter().map(|share| share.plan).collect()
    }

    /// The algorithm once more, from its description, with maps and signed numbers and no shared code.
    fn oracle(candidates: &[Candidate], total: u32, rebalance: bool) -> Vec<Share> {
        let mut order: Vec<usize> =
            (0..candidates.len()).filter(|&at| candidates[at].entry.is_some()).collect();
        let entry = |at: usize| candidates[at].entry.as_ref().unwrap();
        order.sort_by(|&a, &b| {
            entry(b)
                .weight
                .cmp(&entry(a).weight)
                .then(candidates[a].hash.cmp(&candidates[b].hash))
                .then(a.cmp(&b))
        });
        let cap = |at: usize| candidates[at].capacity.map_or(i128::MAX, i128::from);
        let top = |at: usize| entry(at).max.map_or(i128::MAX, i128::from);
        let mut left = i128::from(total);
        let mut got: BTreeMap<usize, i128> = BTreeMap::new();
        let mut over: BTreeMap<usize, i128> = BTreeMap::new();
        let mut credit: BTreeMap<usize, i128> = BTreeMap::new();
        for &at in &order {
            let minimum = [i128::from(entry(at).min), left, cap(at)].into_iter().min().unwrap();
            got.insert(at, minimum);
            left -= minimum;
        }
        if !rebalance {
            for &at in &order {
                let existing = candidates[at].existing.map_or(0, i128::from);
                let excess = existing.min(top(at)).min(cap(at)) - got[&at];
                let granted = if existing > got[&at] { excess.min(left).max(0) } else { 0 };
                credit.insert(at, granted);
                *got.get_mut(&at).unwrap() += granted;
                left -= granted;
            }
        }
        loop {
            let total_weight: i128 = order.iter().map(|&at| i128::from(entry(at).weight)).sum();
            if left <= 0 || total_weight == 0 {
                break;
            }
            let pool = left;
            let mut stay = Vec::new();
            let mut moved = false;
            for &at in &order {
                let weighted = pool * i128::from(entry(at).weight);
                let mut share = weighted / total_weight + i128::from(weighted % total_weight != 0);
                if share > left {
                    share = left;
                }
                let owed = credit.get(&at).copied().unwrap_or(0);
                let spent = owed.min(share);
                credit.insert(at, owed - spent);
                let before = got[&at];
                let mut value = before + share - spent;
                let mut leaves = false;
                if value > top(at) {
                    value = top(at);
                    leaves = true;
                }
                if value > cap(at) {
                    over.insert(at, value - cap(at));
                    value = cap(at);
                    leaves = true;
                }
                if !leaves {
                    stay.push(at);
                }
                left -= value - before;
                got.insert(at, value);
                moved = moved || spent > 0 || value > before;
            }
            order = stay;
            if !moved {
                break;
            }
        }
        (0..candidates.len())
            .map(|at| {
                let mut overflow = over.get(&at).copied().unwrap_or(0);
                if !rebalance {
                    overflow = overflow.min(left).max(0);
                }
                let plan = got.get(&at).copied().unwrap_or(0);
                Share { plan: plan.try_into().unwrap(), overflow: overflow.try_into().unwrap() }
            })
            .collect()
    }

    #[test]
    fn equal_weights_round_up_in_hash_order() {
        let shares = plan(&fleet(1, 0, None), 50, true);
        assert_eq!(shares.iter().sum::<u32>(), 50);
        assert_eq!(shares.iter().filter(|&&share| share == 17).count(), 2);
        assert_eq!(shares.iter().filter(|&&share| share == 16).count(), 1);
    }

    #[test]
    fn minimums_come_first_and_weight_zero_gets_no_more() {
        assert_eq!(plan(&fleet(0, 2, None), 50, true), [2, 2, 2]);
        let mut short = plan(&fleet(0, 20, None), 50, true);
        short.sort_unstable();
        assert_eq!(short, [10, 20, 20]);
    }

    #[test]
    fn maximums_leave_the_rest_unplaced() {
        assert_eq!(plan(&fleet(1, 0, Some(2)), 50, true), [2, 2, 2]);
    }

    #[test]
    fn clusters_without_an_entry_get_nothing() {
        let mut candidates = fleet(1, 0, None);
        candidates[1].entry = None;
        assert_eq!(plan(&candidates, 50, true), [25, 0, 25]);
    }

    #[test]
    fn keeping_replicas_may_empty_another_cluster() {
        // The known odd result: 10 and 70 of equal weight, cut to 50, leaves one of them the whole.
        let keep = |name, existing| Candidate { existing: Some(existing), ..candidate(name, 1, 0, None) };
        let shares = plan(&[keep("a", 10), keep("b", 70)], 50, false);
        let b_first = tie_hash("b", "games/lobby") < tie_hash("a", "games/lobby");
        assert_eq!(shares, if b_first { [0, 50] } else { [10, 40] });
        assert_eq!(plan(&[keep("a", 10), keep("b", 70)], 50, true), [25, 25]);
    }

    #[test]
    fn what_finds_no_room_is_requested_all_the_same() {
        let mut candidates = vec![candidate("a", 1, 0, None), candidate("b", 1, 0, None)];
        candidates[0].capacity = Some(10);
        let rebalanced = divide(&candidates, 50, true);
        assert_eq!(rebalanced, [Share { plan: 10, overflow: 15 }, Share { plan: 40, overflow: 0 }]);
        assert_eq!(rebalanced[0].written(), 25, "the sum exceeds the total on purpose");
        let kept = divide(&candidates, 50, false);
        assert_eq!(kept[0], Share { plan: 10, overflow: 0 }, "everything was placed elsewhere");
        candidates[1].capacity = Some(20);
        let full = divide(&candidates, 50, false);
        assert_eq!(full.iter().map(|share| share.plan).sum::<u32>(), 30);
        assert!(full.iter().all(|share| share.overflow <= 20), "{full:?}");
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let max = i64::MAX.cast_unsigned();
        let shares = plan(&fleet(max, 0, None), i32::MAX.cast_unsigned(), true);
        assert_eq!(shares.iter().sum::<u32>(), i32::MAX.cast_unsigned());
    }

    prop_compose! {
        fn any_candidate()(
            weight in 0..12_u64,
            min in prop_oneof![Just(0_u32), 0..30_u32],
            max in proptest::option::of(0..60_u32),
            existing in proptest::option::of(0..80_u32),
            capacity in proptest::option::of(0..60_u32),
            hash in 0..4_u32,
            entered in proptest::bool::weighted(0.9),
        ) -> Candidate {
            Candidate { entry: entered.then_some(Entry { weight, min, max }), existing, capacity, hash }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases(1000))]

        #[test]
        fn agrees_with_the_description(
            candidates in proptest::collection::vec(any_candidate(), 0..8),
            total in 0..300_u32,
            rebalance in proptest::bool::ANY,
        ) {
            prop_assert_eq!(divide(&candidates, total, rebalance), oracle(&candidates, total, rebalance));
        }
    }
}
