//! Compares what two servers answered to a case.

use http::header;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    case::{Case, Compare, Step},
    compare::{Difference, differences},
    normal::Normaliser,
    pointer::Pointer,
    server::Answer,
};

/// The headers that are compared.
const HEADERS: [header::HeaderName; 4] =
    [header::CONTENT_TYPE, header::WARNING, header::ALLOW, header::RETRY_AFTER];

/// Where the answers to a case differ, step by step.
pub fn judge(case: &Case, real: &[Answer], ours: &[Answer], now: Timestamp) -> Vec<Difference> {
    let (mut of_real, mut of_ours) = (Normaliser::new(now), Normaliser::new(now));
    let mut found = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        let (Some(real), Some(ours)) = (real.get(index), ours.get(index)) else { break };
        let before = found.len();
        found.extend(differences(
            index,
            &compared(step, real, &mut of_real),
            &compared(step, ours, &mut of_ours),
        ));
        let nothing = |pointer: &&Pointer| pointer.select(&real.body).is_empty();
        if found.len() == before
            && let Some(pointer) = step.only.iter().find(nothing)
        {
            found.push(Difference {
                step: index,
                pointer: "/only".into(),
                real: Some(format!("nothing at {pointer}: the case compares nothing").into()),
                ours: None,
            });
        }
    }
    found
}

/// What of an answer is compared.
fn compared(step: &Step, answer: &Answer, normaliser: &mut Normaliser) -> Value {
    match step.compare {
        Compare::None | Compare::Code => {
            normaliser.learn(&answer.body);
            if step.compare == Compare::Code { json!({"code": answer.code}) } else { json!({}) }
        }
        Compare::All => {
            let mut body = answer.body.clone();
            for pointer in &step.ignore {
                pointer.remove(&mut body);
            }
            for pointer in &step.unordered {
                pointer.sort(&mut body);
            }
            if !step.only.is_empty() {
                normaliser.learn(&body);
                body = step.only.iter().map(|pointer| chosen(pointer, &body)).collect::<Map<_, _>>().into();
            }
            let body = normaliser.normalise(body);
            let mut headers = Map::new();
            for name in HEADERS {
                let values = answer.headers.get_all(&name).iter();
                let values: Vec<String> =
                    values.map(|value| normaliser.text(&String::from_utf8_lossy(value.as_bytes()))).collect();
                if !values.is_empty() {
                    headers.insert(name.to_string(), json!(values));
                }
            }
            json!({"code": answer.code, "headers": headers, "body": body})
        }
    }
}

/// What a pointer chooses, one after another: where it stood in a longer list does not count. Each keeps the name of its
/// field, by which it is normalised.
fn chosen(pointer: &Pointer, body: &Value) -> (String, Value) {
    let named = |(at, value): (String, &Value)| {
        let mut segments = at.rsplit('/');
        let last = segments.next().unwrap_or_default();
        match segments.next() {
            Some(field) if last.parse::<usize>().is_ok() => json!({field: [value]}),
            _ => json!({last: value}),
        }
    };
    (pointer.to_string(), pointer.select(body).into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(code: u16, body: Value) -> Answer {
        Answer { code, headers: HeaderMap::new(), body }
    }

    fn found(step: &str, real: Answer, ours: Answer) -> Vec<String> {
        let case = Case::parse("a/b", &format!("about: x\nsteps:\n- {step}\n")).expect("a case");
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        judge(&case, &[real], &[ours], now).into_iter().map(|difference| difference.pointer).collect()
    }

    #[test]
    fn codes_headers_and_bodies_are_compared() {
        let mut warned = answer(200, json!({"a": 1}));
        warned.headers.insert(header::WARNING, HeaderValue::from_static("299 - \"x\""));
        let ours = answer(201, json!({"a": 2}));
        let all = found("request: GET /x", warned.clone(), ours.clone());
        assert_eq!(all, ["/body/a", "/code", "/headers/warning"]);
        assert_eq!(found("{request: GET /x, compare: code}", warned.clone(), ours.clone()), ["/code"]);
        assert!(found("{request: GET /x, compare: none}", warned, ours).is_empty());
    }

    #[test]
    fn what_is_ignored_is_not_compared_and_what_is_chosen_alone_is() {
        let real = answer(200, json!({"items": [{"n": "x", "v": 1}, {"n": "a", "v": 1, "w": 1}]}));
        let ours = answer(200, json!({"items": [{"n": "a", "v": 1, "w": 2}]}));
        let both = |step: &str| found(step, real.clone(), ours.clone());
        assert!(both("{request: GET /x, only: ['/items/[n=a]'], ignore: [/items/*/w]}").is_empty());
        assert_eq!(both("{request: GET /x, only: ['/items/[n=a]']}"), ["/body/~1items~1[n=a]/0/items/0/w"]);
    }

    #[test]
    fn a_list_may_be_said_to_have_no_order() {
        let both =
            |step: &str| found(step, answer(200, json!({"a": [1, 2]})), answer(200, json!({"a": [2, 1]})));
        assert!(both("{request: GET /x, unordered: [/a]}").is_empty());
        assert_eq!(both("request: GET /x").len(), 2);
    }

    #[test]
    fn what_is_chosen_is_normalised_by_its_field() {
        let table = |age: &str| answer(200, json!({"rows": [{"cells": ["a", age]}]}));
        assert!(found("{request: GET /x, only: [/rows/*/cells]}", table("1s"), table("2s")).is_empty());
        assert!(found("{request: GET /x, only: [/rows/0/cells/1]}", table("1s"), table("2s")).is_empty());
    }

    #[test]
    fn a_choice_that_chooses_nothing_is_a_difference() {
        let nothing = answer(200, json!({}));
        assert_eq!(found("{request: GET /x, only: [/items]}", nothing.clone(), nothing), ["/only"]);
    }
}
