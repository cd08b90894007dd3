//! Two records side by side.

use std::fmt::Write;

use crate::record::{Event, Line, Order, Verb};

/// How wide one side of the printed table is.
const WIDTH: usize = 44;

/// An act and what followed, as far as both controllers must do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
}

/// The acts of a record, each with its lines brought into the form in which they are compared.
pub(crate) fn acts(record: &[Line]) -> Vec<Act> {
    let mut acts: Vec<(String, Order, Vec<&Event>, Vec<&String>)> =
        vec![("at the beginning".to_owned(), Order::Exact, Vec::new(), Vec::new())];
    for line in record {
        let last = acts.len() - 1;
        match line {
            Line::Act(name, order) => acts.push((name.clone(), *order, Vec::new(), Vec::new())),
            Line::Event(event) => acts[last].2.push(event),
            Line::Fact(fact) => acts[last].3.push(fact),
        }
    }
    let acts = acts.into_iter().map(|(name, order, events, facts)| {
        let mut lines = normal(order, &events);
        lines.extend(facts.into_iter().map(|fact| format!("  {fact}")));
        Act { name, lines }
    });
    // Nothing happens before the first act; if something does, it shows.
    acts.filter(|act| act.name != "at the beginning" || !act.lines.is_empty()).collect()
}

fn normal(order: Order, events: &[&Event]) -> Vec<String> {
    match order {
        Order::Exact => events.iter().map(ToString::to_string).collect(),
        Order::ExceptGone => {
            events.iter().filter(|event| event.verb != Verb::Gone).map(ToString::to_string).collect()
        }
        Order::Bursts => {
            let theirs = |event: &&&Event| matches!(event.verb, Verb::Create | Verb::Delete);
            let mut lines: Vec<(Verb, String)> =
                events.iter().filter(theirs).map(|event| (event.verb, event.to_string())).collect();
            let mut from = 0;
            while from < lines.len() {
                let verb = lines[from].0;
                let burst = lines[from..].iter().take_while(|(one, _)| *one == verb).count();
                lines[from..from + burst].sort_by(|one, other| one.1.cmp(&other.1));
                from += burst;
            }
            lines.into_iter().map(|(_, line)| line).collect()
        }
        Order::PerPod => {
            let mut events = events.to_vec();
            // Stable: what happened to one pod keeps its order.
            events.sort_by(|one, other| one.pod.cmp(&other.pod));
            events.iter().map(ToString::to_string).collect()
        }
    }
}

/// Names of the acts that differ.
pub(crate) fn different(theirs: &[Act], ours: &[Act]) -> Vec<String> {
    let mut names = Vec::new();
    for at in 0..theirs.len().max(ours.len()) {
        let (one, other) = (theirs.get(at), ours.get(at));
        if one != other {
            names.extend(one.or(other).map(|act| act.name.clone()));
        }
    }
    names
}

/// Both, line by line; `!` marks lines that differ.
pub(crate) fn table(heads: [&str; 2], theirs: &[Act], ours: &[Act]) -> String {
    let mut text = format!("    {:<WIDTH$}{}\n", heads[0], heads[1]);
    let none = Act { name: String::new(), lines: Vec::new() };
    for at in 0..theirs.len().max(ours.len()) {
        let (one, other) = (theirs.get(at).unwrap_or(&none), ours.get(at).unwrap_or(&none));
        let _ = writeln!(
            text,
            "  - {:<WIDTH$}{}",
            one.name,
            if one.name == other.name { "" } else { &other.name }
        );
        for row in 0..one.lines.len().max(other.lines.len()) {
            let (left, right) = (one.lines.get(row), other.lines.get(row));
            let mark = if left == right { ' ' } else { '!' };
            let show = |line: Option<&String>| line.map_or("", String::as_str).to_owned();
            let _ = writeln!(text, "  {mark} {:<WIDTH$}{}", show(left), show(right));
        }
    }
    text
}

/// The record with two neighbours exchanged, for every two in acts whose order is exact.
pub(crate) fn swaps(record: &[Line]) -> Vec<Vec<Line>> {
    let mut exact = false;
    let mut swaps = Vec::new();
    for (at, line) in record.iter().enumerate() {
        if let Line::Act(_, order) = line {
            exact = *order == Order::Exact;
        }
        if exact && matches!((line, record.get(at + 1)), (Line::Event(_), Some(Line::Event(_)))) {
            let mut swapped = record.to_vec();
            swapped.swap(at, at + 1);
            swaps.push(swapped);
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Line {
        let words: Vec<&str> = text.split_whitespace().collect();
        let verb = match words[0] {
            "create" => Verb::Create,
            "ready" => Verb::Ready,
            "delete" => Verb::Delete,
            _ => Verb::Gone,
        };
        Line::Event(Event { verb, pod: words[1].to_owned(), revision: words[2].to_owned() })
    }

    fn record(order: Order, events: &[&str]) -> Vec<Line> {
        let act = Line::Act("act".to_owned(), order);
        std::iter::once(act).chain(events.iter().map(|text| event(text))).collect()
    }

    const UPDATE: [&str; 8] = [
        "delete web-1 first",
        "gone web-1 first",
        "create web-1 second",
        "ready web-1 second",
        "delete web-0 first",
        "gone web-0 first",
        "create web-0 second",
        "ready web-0 second",
    ];

    #[test]
    fn every_swap_of_neighbours_is_noticed_where_order_is_exact() {
        let right = acts(&record(Order::Exact, &UPDATE));
        for at in 1..UPDATE.len() {
            let mut wrong = UPDATE;
            wrong.swap(at - 1, at);
            let wrong = acts(&record(Order::Exact, &wrong));
            assert_eq!(different(&right, &wrong), ["act"], "{at}");
            assert_eq!(table(["", ""], &right, &wrong).matches("  ! ").count(), 2, "{at}");
        }
    }

    #[test]
    fn another_pod_another_revision_and_one_event_less_are_noticed() {
        let right = acts(&record(Order::Exact, &UPDATE));
        for wrong in ["create web-2 second", "create web-1 first"] {
            let mut events = UPDATE;
            events[2] = wrong;
            assert_eq!(different(&right, &acts(&record(Order::Exact, &events))), ["act"], "{wrong}");
        }
        assert_eq!(different(&right, &acts(&record(Order::Exact, &UPDATE[..7]))), ["act"]);
        assert_eq!(different(&right, &[]), ["act"]);
        assert_eq!(different(&right, &right), Vec::<String>::new());
    }

    #[test]
    fn a_burst_has_no_order_in_itself_and_keeps_its_place() {
        let one = ["create web-0 first", "create web-1 first", "delete web-2 first"];
        let other = ["create web-1 first", "create web-0 first", "delete web-2 first"];
        let wrong = ["create web-0 first", "delete web-2 first", "create web-1 first"];
        let of = |events: &[&str]| acts(&record(Order::Bursts, events));
        assert_eq!(of(&one), of(&other));
        assert_ne!(of(&one), of(&wrong));
    }

    #[test]
    fn when_a_pod_was_gone_may_be_left_out() {
        let one = ["delete web-0 first", "delete web-2 first", "gone web-2 first", "gone web-0 first"];
        let other = ["delete web-0 first", "gone web-0 first", "delete web-2 first", "gone web-2 first"];
        let of = |order, events: &[&str]| acts(&record(order, events));
        assert_eq!(of(Order::ExceptGone, &one), of(Order::ExceptGone, &other));
        assert_ne!(of(Order::Exact, &one), of(Order::Exact, &other));
        assert_eq!(of(Order::PerPod, &one), of(Order::PerPod, &other));
    }

    #[test]
    fn neighbours_are_exchanged_where_order_is_exact() {
        assert_eq!(swaps(&record(Order::Bursts, &UPDATE)), Vec::<Vec<Line>>::new());
        let exact = record(Order::Exact, &UPDATE);
        let swaps = swaps(&exact);
        assert_eq!(swaps.len(), UPDATE.len() - 1);
        assert_eq!(swaps[0][1], event(UPDATE[1]));
        assert_eq!(swaps[0][2], event(UPDATE[0]));
    }
}
