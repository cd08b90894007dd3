//! The division against a plain statement of its rules that hands out one seat at a time.

use proptest::prelude::*;

use super::*;

fn entry(weight: u64, held: u32) -> Entry {
    Entry { weight, min: 0, max: u32::MAX, room: u32::MAX, held, idle: 0, hash: 0 }
}

fn seats(entries: &[Entry], total: u32) -> Vec<u32> {
    divide(entries, total).seats
}

fn division(seats: &[u32], shortage: u64, move_wanted: &[usize]) -> Division {
    let regranted = vec![0; seats.len()];
    Division { seats: seats.to_vec(), shortage, move_wanted: move_wanted.to_vec(), regranted }
}

/// Every rule, seat by seat: slow, and short enough to be checked by reading.
fn oracle(entries: &[Entry], total: u32) -> Vec<u32> {
    let mut seats: Vec<u32> = entries.iter().map(|entry| entry.held.min(entry.max)).collect();
    let total = u64::from(total);
    let worth = |at: usize, rank: u32| (u128::from(entries[at].weight), 2 * u128::from(rank) + 1);
    let compare = |a: (u128, u128), b: (u128, u128)| (a.0 * b.1).cmp(&(b.0 * a.1));
    let all = || 0..entries.len();
    while sum(&seats) > total {
        let above: Vec<usize> = all().filter(|&at| seats[at] > entries[at].min).collect();
        let taken = if above.is_empty() {
            all()
                .filter(|&at| seats[at] > 0)
                .min_by_key(|&at| (entries[at].weight, std::cmp::Reverse((entries[at].hash, at))))
        } else {
            above.into_iter().min_by(|&a, &b| {
                compare(worth(a, seats[a] - 1), worth(b, seats[b] - 1))
                    .then(seats[b].cmp(&seats[a]))
                    .then(entries[b].hash.cmp(&entries[a].hash))
                    .then(b.cmp(&a))
            })
        };
        seats[taken.unwrap()] -= 1;
    }
    while sum(&seats) < total {
        let below = all()
            .filter(|&at| seats[at] < entries[at].min && seats[at] < entries[at].room)
            .min_by_key(|&at| (std::cmp::Reverse(entries[at].weight), entries[at].hash, at));
        let given = below.or_else(|| {
            all()
                .filter(|&at| {
                    entries[at].weight > 0 && seats[at] < entries[at].max && seats[at] < entries[at].room
                })
                .min_by(|&a, &b| {
                    compare(worth(b, seats[b]), worth(a, seats[a]))
                        .then(seats[a].cmp(&seats[b]))
                        .then(entries[a].hash.cmp(&entries[b].hash))
                        .then(a.cmp(&b))
                })
        });
        let Some(given) = given else { break };
        seats[given] += 1;
    }
    seats
}

#[test]
fn two_hundred_seats_at_three_to_two() {
    assert_eq!(seats(&[entry(3, 0), entry(2, 0)], 200), [120, 80]);
    assert_eq!(seats(&[entry(3, 120), entry(2, 80)], 250), [150, 100]);
}

#[test]
fn a_changed_weight_alone_moves_nothing() {
    let divided = divide(&[entry(1, 120), entry(9, 80)], 200);
    assert_eq!(divided, division(&[120, 80], 0, &[]));
}

#[test]
fn growth_goes_to_who_is_furthest_behind_and_shrinks_nobody() {
    assert_eq!(seats(&[entry(1, 120), entry(9, 80)], 300), [120, 180]);
}

#[test]
fn the_published_example_of_a_skewed_fleet_keeps_both_clusters() {
    // Equal weights and 10 and 70 seats: kubefed's division to 50 empties the first.
    assert_eq!(seats(&[entry(1, 10), entry(1, 70)], 50), [10, 40]);
    assert_eq!(seats(&[entry(1, 15), entry(1, 15), entry(1, 0)], 9), [5, 4, 0]);
}

#[test]
fn a_maximum_is_hard_and_what_it_cuts_goes_to_the_others() {
    let entries = [Entry { max: 100, ..entry(3, 120) }, entry(2, 80)];
    assert_eq!(seats(&entries, 200), [100, 100]);
}

#[test]
fn full_clusters_stop_growing_and_lose_nothing() {
    let entries = [Entry { room: 90, ..entry(3, 120) }, entry(2, 80)];
    assert_eq!(seats(&entries, 240), [120, 120]);
    let entries = [Entry { room: 100, ..entry(3, 0) }, Entry { room: 30, ..entry(2, 0) }];
    assert_eq!(divide(&entries, 200), division(&[100, 30], 70, &[]));
}

#[test]
fn minimums_are_filled_one_after_the_other_when_there_is_too_little() {
    let entries = [
        Entry { min: 10, ..entry(1, 0) },
        Entry { min: 10, ..entry(5, 0) },
        Entry { min: 10, ..entry(2, 0) },
    ];
    assert_eq!(divide(&entries, 15), division(&[0, 10, 5], 15, &[]));
}

#[test]
fn an_unmet_minimum_with_no_free_seat_wants_a_move_and_makes_none() {
    let entries = [entry(3, 200), Entry { min: 10, ..entry(2, 0) }];
    assert_eq!(divide(&entries, 200), division(&[200, 0], 0, &[1]));
    assert_eq!(divide(&entries, 204), division(&[200, 4], 0, &[1]));
    assert_eq!(divide(&entries, 210).move_wanted, [0; 0]);
}

#[test]
fn no_room_for_a_minimum_is_no_reason_to_move() {
    let entries = [entry(3, 200), Entry { min: 10, room: 0, ..entry(2, 0) }];
    assert_eq!(divide(&entries, 200), division(&[200, 0], 0, &[]));
}

#[test]
fn weight_zero_gets_its_minimum_only_and_shrinks_first() {
    let entries = [Entry { min: 5, ..entry(0, 0) }, entry(1, 0)];
    assert_eq!(seats(&entries, 20), [5, 15]);
    let entries = [entry(0, 30), entry(1, 30)];
    assert_eq!(seats(&entries, 40), [10, 30]);
    assert_eq!(divide(&[entry(0, 0), entry(0, 0)], 7).shortage, 7);
}

#[test]
fn seats_below_a_minimum_are_taken_last() {
    let entries = [Entry { min: 10, ..entry(1, 10) }, Entry { min: 10, ..entry(5, 12) }];
    assert_eq!(seats(&entries, 20), [10, 10]);
    assert_eq!(seats(&entries, 15), [5, 10]);
}

#[test]
fn seats_without_a_node_go_where_there_is_room() {
    let full = Entry { room: 110, idle: 10, ..entry(3, 120) };
    assert_eq!(seats(&[full.clone(), entry(2, 80)], 200), [110, 90]);
    assert_eq!(
        seats(&[full.clone(), Entry { room: 84, ..entry(2, 80) }], 200),
        [116, 84],
        "as far as there is room"
    );
    assert_eq!(seats(&[Entry { min: 117, ..full }, entry(2, 80)], 200), [117, 83], "a minimum stays");
}

#[test]
fn ties_go_to_fewer_seats_and_then_to_the_lower_hash() {
    let hashed = |hash, held| Entry { hash, ..entry(1, held) };
    assert_eq!(seats(&[hashed(9, 0), hashed(4, 0)], 1), [0, 1]);
    assert_eq!(seats(&[hashed(9, 1), hashed(4, 1)], 1), [0, 1], "the last given is the first taken");
    // 1/(2*0+1) = 3/(2*1+1): fewer seats first, and back in reverse.
    let uneven = |a, b| [Entry { hash: 9, ..entry(1, a) }, Entry { hash: 4, ..entry(3, b) }];
    assert_eq!(seats(&uneven(0, 1), 2), [1, 1]);
    assert_eq!(seats(&uneven(1, 2), 2), [1, 1]);
}

#[test]
fn the_largest_numbers_divide_exactly_and_fast() {
    let big = i32::MAX.cast_unsigned();
    let max = i64::MAX.cast_unsigned();
    assert_eq!(seats(&[entry(max, 0), entry(max, 0)], big), [1 << 30, (1 << 30) - 1]);
    assert_eq!(seats(&[entry(max, 0), entry(1, 0)], big), [big, 0]);
    assert_eq!(seats(&[entry(max, big), entry(1, big), entry(0, big)], big), [big, 0, 0]);
    let many: Vec<Entry> = (0..1000).map(|n| Entry { hash: n, ..entry(u64::from(n) + 1, 0) }).collect();
    let division = divide(&many, 1_000_000);
    assert_eq!((sum(&division.seats), division.shortage), (1_000_000, 0));
    let zero: Vec<Entry> = (0..1000).map(|n| entry(0, 2_000_000 + n)).collect();
    assert_eq!(sum(&seats(&zero, 1_234_567)), 1_234_567);
}

prop_compose! {
    fn any_entry()(
        weight in prop_oneof![0..4_u64, 0..100_u64, Just(i64::MAX.cast_unsigned())],
        min in prop_oneof![Just(0_u32), 0..30_u32],
        span in prop_oneof![Just(u32::MAX), 0..60_u32],
        room in prop_oneof![Just(u32::MAX), 0..90_u32],
        held in prop_oneof![Just(0_u32), 0..120_u32],
        hash in 0..3_u32,
    ) -> Entry {
        Entry { weight, min, max: min.saturating_add(span), room, held, idle: 0, hash }
    }
}

fn fleet() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec(any_entry(), 1..9)
}

fn from_zero(entries: &[Entry]) -> Vec<Entry> {
    holding(entries, &vec![0; entries.len()])
}

fn holding(entries: &[Entry], seats: &[u32]) -> Vec<Entry> {
    entries.iter().zip(seats).map(|(entry, &held)| Entry { held, ..entry.clone() }).collect()
}

proptest! {
    #![proptest_config(crate::testing::cases(400))]

    #[test]
    fn agrees_with_the_rules_applied_seat_by_seat(entries in fleet(), total in 0..400_u32) {
        prop_assert_eq!(seats(&entries, total), oracle(&entries, total));
    }

    #[test]
    fn sum_maximum_room_and_minimum_hold(entries in fleet(), total in 0..400_u32) {
        let division = divide(&entries, total);
        let placed = sum(&division.seats);
        prop_assert!(placed <= u64::from(total));
        let minimums: u64 = entries.iter().map(|entry| u64::from(entry.min)).sum();
        prop_assert_eq!(placed + division.shortage, u64::from(total).max(minimums));
        for (entry, &seats) in entries.iter().zip(&division.seats) {
            prop_assert!(seats <= entry.max);
            prop_assert!(seats <= entry.room.max(entry.held), "nothing grows beyond its room");
        }
        if placed < u64::from(total) {
            for (entry, &seats) in entries.iter().zip(&division.seats) {
                let reach = if entry.weight == 0 { entry.min } else { entry.max };
                prop_assert!(seats >= reach.min(entry.room), "a shortage while there is room");
            }
        }
        if division.move_wanted.is_empty() && u64::from(total) >= minimums {
            for (entry, &seats) in entries.iter().zip(&division.seats) {
                prop_assert!(seats >= entry.min.min(entry.room));
            }
        }
    }

    #[test]
    fn nothing_moves_without_need(entries in fleet(), total in 0..400_u32) {
        let after = seats(&entries, total);
        let clipped: Vec<u32> = entries.iter().map(|entry| entry.held.min(entry.max)).collect();
        let shrunk = after.iter().zip(&clipped).any(|(after, before)| after < before);
        let grown = after.iter().zip(&clipped).any(|(after, before)| after > before);
        prop_assert!(!(shrunk && grown), "{:?} -> {:?}", clipped, after);
        prop_assert_eq!(seats(&holding(&entries, &after), total), after, "a second plan changes nothing");
    }

    #[test]
    fn growth_never_shrinks_a_cluster(entries in fleet(), total in 0..400_u32, more in 0..200_u32) {
        let before = seats(&entries, total);
        let after = seats(&holding(&entries, &before), total + more);
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before <= after));
        let fresh = seats(&from_zero(&entries), total);
        let fresh_more = seats(&from_zero(&entries), total + more);
        prop_assert!(fresh.iter().zip(&fresh_more).all(|(fresh, more)| fresh <= more));
    }

    #[test]
    fn the_path_does_not_matter(entries in fleet(), path in proptest::collection::vec(0..400_u32, 1..8)) {
        let mut walked = from_zero(&entries);
        for &total in &path {
            let now = seats(&walked, total);
            walked = holding(&walked, &now);
        }
        let walked: Vec<u32> = walked.iter().map(|entry| entry.held).collect();
        prop_assert_eq!(walked, seats(&from_zero(&entries), path[path.len() - 1]));
    }

    #[test]
    fn the_order_of_the_clusters_does_not_matter(entries in fleet(), total in 0..400_u32, turn in 0..9_usize) {
        // Names decide last, so only fleets without equal hashes can be reordered here; `plan` sorts by name.
        let distinct: Vec<Entry> =
            entries.iter().enumerate().map(|(n, entry)| Entry { hash: n as u32, ..entry.clone() }).collect();
        let turn = turn % distinct.len();
        let mut turned = distinct.clone();
        turned.rotate_left(turn);
        let mut expected = seats(&distinct, total);
        expected.rotate_left(turn);
        prop_assert_eq!(seats(&turned, total), expected);
    }

    #[test]
    fn idle_seats_are_the_only_ones_regranted(
        entries in fleet(),
        idle in proptest::collection::vec(0..40_u32, 9),
        total in 0..400_u32,
    ) {
        let with_idle: Vec<Entry> =
            entries.iter().zip(&idle).map(|(entry, &idle)| Entry { idle, ..entry.clone() }).collect();
        let plain = divide(&entries, total);
        let moved = divide(&with_idle, total);
        prop_assert_eq!(sum(&plain.seats), sum(&moved.seats));
        for (at, entry) in with_idle.iter().enumerate() {
            if moved.seats[at] < plain.seats[at] {
                prop_assert!(plain.seats[at] - moved.seats[at] <= entry.idle);
                prop_assert!(moved.seats[at] >= entry.room.max(entry.min));
            }
        }
    }
}
