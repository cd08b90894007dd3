//! One spelling for equal JSON, and its hash.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::Adopt;

/// Begins every hashed text, so that a change of the format changes every hash at once and on purpose.
const FORMAT: &[u8] = b"muster.dev/content/v1\n";
/// Bytes of the digest that are kept: 128 bits, of which no two are ever equal by chance.
const HASH_BYTES: usize = 16;

/// What the hash covers besides the body: how the agent is to treat it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policies<'a> {
    /// What happens to an object that exists already.
    pub adopt: Adopt,
    /// Paths that the member owns.
    pub retain: &'a [&'a str],
}

/// Hash of a body and its policies: 32 hex digits. Equal content has equal hashes in every version of Muster, so that
/// an upgrade writes nothing.
pub fn content_hash(body: &Value, policies: &Policies<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    hash.update(canonical(body));
    hash.update(b"\n");
    hash.update(policies.adopt.as_str());
    for path in policies.retain {
        hash.update(b"\n");
        hash.update(path);
    }
    hash.finalize().iter().take(HASH_BYTES).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON without spaces and with the keys of every object sorted by their bytes.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

/// The order of keys in a `Value` depends on which features some crate of the build enables, so they are sorted here.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_string(key, text);
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::String(string) => write_string(string, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

/// Escapes only what RFC 8259 demands, in its short forms where there are any.
fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for char in string.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_spaces_are_gone() {
        let value = json!({"b": [1, 2.5, null, true], "a": {"z": "q\"\\\n\u{1}é", "é": -3}, "A": {}});
        assert_eq!(canonical(&value), r#"{"A":{},"a":{"z":"q\"\\\n\u0001é","é":-3},"b":[1,2.5,null,true]}"#);
    }

    #[test]
    fn canonical_text_reads_back_as_the_same_value() {
        let value =
            json!({"text": "tab\t bell\u{7} del\u{7f} line\u{2028}", "n": [u64::MAX, i64::MIN, 1e300, 0.1]});
        assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        let body = json!({"apiVersion": "tkex.tencent.com/v1alpha1", "kind": "GameStatefulSet",
            "metadata": {"name": "gamecenter", "namespace": "center-system"}, "spec": {"replicas": 120}});
        let hash = |policies| content_hash(&body, &policies);
        // A change here makes every agent apply every object again.
        assert_eq!(hash(Policies::default()), "d747c60cd925834ac9382989ec604a3d");
        assert_eq!(
            hash(Policies { adopt: Adopt::Always, retain: &["/spec/replicas"] }),
            "dc9731140990157c1370ab97d8518bb9"
        );
    }
}
