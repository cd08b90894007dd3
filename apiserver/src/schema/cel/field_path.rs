//! `fieldPath`: where a rule shows its errors, below the value that it is about.

use crate::schema::{Additional, Schema};

/// The path as errors show it and the schema that it leads to, or what is wrong with it: `.spec.ports` and `.labels['a.b']`
/// are paths to what the schema names.
pub(crate) fn field_path<'a>(path: &str, schema: &'a Schema) -> Result<(String, &'a Schema), String> {
    let mut shown = String::new();
    let mut at = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('[') {
            (name, rest) = quoted_name(quoted)?;
        } else if let Some(plain) = rest.strip_prefix('.') {
            let end = plain.find(['.', '[', ']']).unwrap_or(plain.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            name = plain[..end].to_owned();
            rest = &plain[end..];
        } else {
            let end = rest.find(['.', '[', ']']).filter(|end| *end > 0).unwrap_or(rest.len());
            return Err(format!("expected [ or . but got: {}", &rest[..end]));
        }
        let missing = || "does not refer to a valid field".to_owned();
        if at.properties.is_empty() {
            let Additional::Schema(values) = &at.additional else { return Err(missing()) };
            shown = format!("{shown}[{name}]");
            at = values;
        } else {
            at = at.properties.get(&name).ok_or_else(missing)?;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(&name);
        }
    }
    Ok((shown, at))
}

/// The name in `'name']`, and what follows.
fn quoted_name(text: &str) -> Result<(String, &str), String> {
    let inner =
        text.strip_prefix('\'').ok_or_else(|| format!("expected single quoted string but got {text}"))?;
    let mut name = String::new();
    let mut chars = inner.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped @ ('\'' | '\\'))) => name.push(escaped),
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, other)) => {
                    return Err(format!("invalid string literal: invalid escape char \\{other}"));
                }
                None => break,
            },
            '\'' => {
                let rest = &inner[index + 1..];
                return rest
                    .strip_prefix(']')
                    .map(|rest| (name, rest))
                    .ok_or_else(|| format!("expected ] but got {rest}"));
            }
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_what_the_schema_names() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a.b": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }}))
        .unwrap();
        let table = [
            (".spec", Ok("spec")),
            (".spec['a.b']", Ok("spec.a.b")),
            (".labels['x']", Ok("labels[x]")),
            (".spec.other", Err("does not refer to a valid field")),
            ("spec", Err("expected [ or . but got: spec")),
        ];
        for (path, expected) in table {
            let found = field_path(path, &schema).map(|(shown, _)| shown);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{path}");
        }
    }
}
