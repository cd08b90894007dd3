//! Takes out of an answer what no two servers have alike: uids, versions, times, generated names, addresses.
//!
//! What is taken out leaves a mark that still says what can be compared: the third version that a case meets is
//! `<version 3>` on both sides, so that a write which should change nothing and does is seen.

use std::{collections::HashMap, sync::LazyLock};

use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use serde_json::{Map, Value};

/// A time this near to now was made by the server; one further away was given by the case.
const NEAR: SignedDuration = SignedDuration::from_hours(12);
/// How many characters a server appends to `generateName`.
const SUFFIX: usize = 5;
/// The longest name that a suffix is appended to.
const LONGEST_PREFIX: usize = 58;

/// The patterns by which volatile texts are known.
struct Patterns {
    uid: Regex,
    time: Regex,
    token_volume: Regex,
    current_version: Regex,
    meta_version: Regex,
    age: Regex,
    address: Regex,
    node_port: Regex,
}

#[expect(clippy::expect_used, reason = "the patterns are constants")]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |pattern: &str| Regex::new(pattern).expect("a constant pattern");
    Patterns {
        uid: regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        time: regex(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"),
        token_volume: regex("kube-api-access-[a-z0-9]{5}"),
        current_version: regex(r"(current: |too old resource version: \d+ \()\d+"),
        meta_version: regex(r"(ResourceVersion in (?:precondition|object meta): )(\d+)"),
        age: regex(r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"),
        address: regex(r"^10\.\d+\.\d+\.\d+$"),
        node_port: regex(r":3[0-2]\d{3}/"),
    }
});

/// What one server said in one case so far, as far as it must be recognised later.
pub struct Normaliser {
    now: Timestamp,
    uids: HashMap<String, usize>,
    versions: HashMap<String, usize>,
    /// Generated names, and what stands for them.
    generated: Vec<(String, String)>,
}

impl Normaliser {
    /// For the answers of one server to one case.
    pub fn new(now: Timestamp) -> Self {
        Self { now, uids: HashMap::new(), versions: HashMap::new(), generated: Vec::new() }
    }

    /// Learns the generated names of an answer, and takes out of it what is volatile.
    pub fn normalise(&mut self, mut answer: Value) -> Value {
        self.learn(&answer);
        self.value(&mut answer);
        answer
    }

    /// Learns the generated names of an answer that is not compared.
    pub fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(fields) => {
                if let (Some(Value::String(prefix)), Some(Value::String(name))) =
                    (fields.get("generateName"), fields.get("name"))
                {
                    let short: String = prefix.chars().take(LONGEST_PREFIX).collect();
                    let generated = name.len() == short.len() + SUFFIX && name.starts_with(&short);
                    if generated && !self.generated.iter().any(|(known, _)| known == name) {
                        self.generated.push((name.clone(), format!("{short}<generated>")));
                    }
                }
                fields.values().for_each(|field| self.learn(field));
            }
            _ => {}
        }
    }

    /// A text, such as a message or a header, without what is volatile.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, mark) in &self.generated {
            if text.contains(name.as_str()) {
                text = text.replace(name, mark);
            }
        }
        if PATTERNS.time.is_match(&text)
            && let Ok(time) = text.parse::<Timestamp>()
            && time.duration_since(self.now).abs() < NEAR
        {
            return if text.contains('.') { "<precise time>" } else { "<time>" }.to_owned();
        }
        let text =
            PATTERNS.uid.replace_all(&text, |found: &Captures<'_>| number(&mut self.uids, "uid", &found[0]));
        let text = PATTERNS.token_volume.replace_all(&text, "kube-api-access-<generated>");
        let text = PATTERNS.current_version.replace_all(&text, "$1<version>");
        let versions = &mut self.versions;
        let text = PATTERNS.meta_version.replace_all(&text, |found: &Captures<'_>| {
            format!("{}{}", &found[1], number(versions, "version", &found[2]))
        });
        text.into_owned()
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => self.fields(fields),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>) {
        // The version of a list or a bookmark moves with whatever else happens on the server.
        let moves = ["items", "rows"].iter().any(|field| fields.get(*field).is_some_and(Value::is_array));
        let bookmark = fields.get("type").is_some_and(|kind| kind == "BOOKMARK");
        if moves
            && let Some(version) = fields.get_mut("metadata").and_then(|meta| meta.get_mut("resourceVersion"))
        {
            *version = "<version>".into();
        }
        if bookmark && let Some(object) = fields.get_mut("object") {
            bookmark_version(object);
        }
        for (key, field) in fields.iter_mut() {
            match (key.as_str(), &mut *field) {
                ("resourceVersion", Value::String(version)) => {
                    if !version.starts_with('<') && !version.is_empty() && version != "0" {
                        *version = number(&mut self.versions, "version", version);
                    }
                }
                ("continue", Value::String(token)) if !token.is_empty() => "<continue>".clone_into(token),
                ("clusterIP" | "ip", Value::String(address)) if PATTERNS.address.is_match(address) => {
                    "<address>".clone_into(address);
                }
                ("clusterIPs", Value::Array(addresses)) => {
                    for address in addresses.iter_mut() {
                        if address.as_str().is_some_and(|address| PATTERNS.address.is_match(address)) {
                            *address = "<address>".into();
                        }
                    }
                }
                ("nodePort" | "healthCheckNodePort", Value::Number(_)) => *field = "<node port>".into(),
                ("cells", Value::Array(cells)) => cells.iter_mut().for_each(|cell| self.cell(cell)),
                ("managedFields", Value::Array(entries)) => {
                    for entry in entries.iter_mut() {
                        self.value(entry);
                    }
                    // Entries of one second are ordered by manager, others by time: which it is, is chance.
                    entries.sort_by_cached_key(ToString::to_string);
                }
                _ => self.value(field),
            }
        }
    }

    fn cell(&mut self, cell: &mut Value) {
        let Value::String(text) = cell else { return };
        if !text.is_empty() && PATTERNS.age.is_match(text) {
            "<age>".clone_into(text);
        } else if PATTERNS.address.is_match(text) {
            "<address>".clone_into(text);
        } else {
            *text = self.text(&PATTERNS.node_port.replace_all(text, ":<node port>/"));
        }
    }
}

/// The same mark for the same value, numbered as they come.
fn number(known: &mut HashMap<String, usize>, what: &str, value: &str) -> String {
    let next = known.len() + 1;
    format!("<{what} {}>", known.entry(value.to_owned()).or_insert(next))
}

fn bookmark_version(object: &mut Value) {
    for at in ["/metadata/resourceVersion", "/rows/0/object/metadata/resourceVersion"] {
        if let Some(version) = object.pointer_mut(at) {
            *version = "<version>".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn normaliser() -> Normaliser {
        Normaliser::new(NOW.parse().expect("a time"))
    }

    #[test]
    fn the_same_version_has_the_same_mark() {
        let mut normaliser = normaliser();
        let object = |version: &str| json!({"metadata": {"resourceVersion": version}});
        assert_eq!(normaliser.normalise(object("17")), object("<version 1>"));
        assert_eq!(normaliser.normalise(object("19")), object("<version 2>"));
        assert_eq!(normaliser.normalise(object("17")), object("<version 1>"));
        let list = json!({"metadata": {"resourceVersion": "25"}, "items": [object("19")]});
        let marked = json!({"metadata": {"resourceVersion": "<version>"}, "items": [object("<version 2>")]});
        assert_eq!(normaliser.normalise(list), marked);
    }

    #[test]
    fn times_of_the_server_are_marked_and_times_of_the_case_are_kept() {
        let mut normaliser = normaliser();
        assert_eq!(normaliser.text("2026-03-01T11:59:00Z"), "<time>");
        assert_eq!(normaliser.text("2026-03-01T11:59:00.123456Z"), "<precise time>");
        assert_eq!(normaliser.text("2001-03-01T11:59:00Z"), "2001-03-01T11:59:00Z");
    }

    #[test]
    fn a_generated_name_is_recognised_wherever_it_stands() {
        let mut normaliser = normaliser();
        normaliser.learn(&json!({"metadata": {"generateName": "web-", "name": "web-x7k2p"}}));
        assert_eq!(normaliser.text("pods \"web-x7k2p\" not found"), "pods \"web-<generated>\" not found");
        normaliser.learn(&json!({"metadata": {"generateName": "web-", "name": "web-chosen"}}));
        assert_eq!(normaliser.text("web-chosen"), "web-chosen");
    }

    #[test]
    fn uids_and_versions_in_messages_are_marked() {
        let mut normaliser = normaliser();
        let first = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let second = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        assert_eq!(normaliser.text(&format!("{first} {second} {first}")), "<uid 1> <uid 2> <uid 1>");
        assert_eq!(
            normaliser.text("too large resource version: 9, current: 77"),
            "too large resource version: 9, current: <version>"
        );
    }

    #[test]
    fn cells_lose_ages_and_addresses() {
        let table = json!({"rows": [{"cells": ["web", "3d4h", "10.0.0.7", "80:31000/TCP", "1/1", 0]}]});
        let marked =
            json!({"rows": [{"cells": ["web", "<age>", "<address>", "80:<node port>/TCP", "1/1", 0]}]});
        assert_eq!(normaliser().normalise(table), marked);
    }

    #[test]
    fn a_bookmark_keeps_all_but_its_version() {
        let event =
            json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "5"}}});
        let marked = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "<version>"}}});
        assert_eq!(normaliser().normalise(event), marked);
    }
}
