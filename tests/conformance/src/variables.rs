//! `$name` and `${name}` in paths, headers and bodies.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values by the name they were saved under.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, Value>);

/// A piece of a text.
enum Piece<'a> {
    Text(&'a str),
    /// The name, and how it was written.
    Variable(&'a str, &'a str),
}

impl Variables {
    /// Remembers a value.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    /// A text with the known variables replaced. What is not known stays: `$` is a character like any other.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable(name, written) => match self.0.get(name) {
                    Some(Value::String(value)) => out.push_str(value),
                    Some(other) => out.push_str(&other.to_string()),
                    None => out.push_str(written),
                },
            }
        }
        out
    }

    /// A document with the known variables replaced in its strings. A string that is nothing but a variable becomes the
    /// saved value, whatever its type.
    pub fn document(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match pieces(text).as_slice() {
                [Piece::Variable(name, _)] if self.0.contains_key(*name) => self.0[*name].clone(),
                _ => Value::String(self.text(text)),
            },
            Value::Array(items) => items.iter().map(|item| self.document(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, field)| (key.clone(), self.document(field))).collect()
            }
            other => other.clone(),
        }
    }
}

/// The variables that a text names.
pub fn names(text: &str) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Variable(name, _) => Some(name),
        Piece::Text(_) => None,
    };
    pieces(text).into_iter().filter_map(name).collect()
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let after = &dollar[1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, length) = if let Some((name, _)) = braced {
            (name, name.len() + 3)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
            (&after[..end], end + 1)
        };
        let (written, remaining) = dollar.split_at(length);
        pieces.push(if name.is_empty() { Piece::Text(written) } else { Piece::Variable(name, written) });
        rest = remaining;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_variables_are_replaced_and_others_stay() {
        let mut variables = Variables::default();
        variables.set("ns", json!("games"));
        variables.set("n", json!(7));
        assert_eq!(variables.text("/namespaces/$ns/x?rv=$n"), "/namespaces/games/x?rv=7");
        assert_eq!(variables.text("${ns}a $nsa ^a$ $(X) $"), "gamesa $nsa ^a$ $(X) $");
        let body = json!({"$patch": "delete", "n": "$n", "text": "n=$n", "list": ["$ns"]});
        let filled = json!({"$patch": "delete", "n": 7, "text": "n=7", "list": ["games"]});
        assert_eq!(variables.document(&body), filled);
    }

    #[test]
    fn names_are_found() {
        assert_eq!(names("/$ns/${case}b?x=$old&y=$"), ["ns", "case", "old"]);
    }
}
