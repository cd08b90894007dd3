//! Request bodies.

use http::{HeaderMap, header};
use serde_json::Value;

use crate::{Status, builtin, schema};

/// What bodies of create, update and delete may be.
const JSON_OR_YAML: [&str; 3] = ["application/json", "application/yaml", builtin::PROTOBUF];
/// What bodies of patches of custom resources may be; their lists have no merge keys.
pub(crate) const CUSTOM_PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// A decoded body.
pub(crate) struct Input {
    pub(crate) value: Value,
    /// Paths of fields that were written twice.
    pub(crate) duplicates: Vec<String>,
}

/// Reads a body that is JSON or YAML by its Content-Type; without one it is taken for JSON.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Input, Status> {
    match media_type(headers).as_str() {
        "" | "application/json" | "*/*" => decode_json(body),
        "application/yaml" | "text/yaml" | "application/x-yaml" => decode_yaml(body),
        builtin::PROTOBUF => decode_protobuf(body),
        _ => Err(Status::unsupported_media_type(&JSON_OR_YAML)),
    }
}

/// Reads the few kinds that kubectl makes from its command line; others are 415.
fn decode_protobuf(body: &[u8]) -> Result<Input, Status> {
    let value = builtin::decode_protobuf(body).map_err(|error| {
        let refused = Status::unsupported_media_type(&JSON_OR_YAML);
        Status { message: format!("{}: {error}", refused.message), ..refused }
    })?;
    Ok(Input { value, duplicates: Vec::new() })
}

/// Reads JSON, noticing fields that are written twice.
pub(crate) fn decode_json(body: &[u8]) -> Result<Input, Status> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let decoded = schema::decode(&mut deserializer).and_then(|decoded| deserializer.end().map(|()| decoded));
    let decoded = decoded.map_err(|error| Status::bad_request(format!("error decoding body: {error}")))?;
    Ok(Input { value: decoded.value, duplicates: decoded.duplicates })
}

/// Reads YAML, of which JSON is a part. Most clients send JSON text where they say YAML.
pub(crate) fn decode_yaml(body: &[u8]) -> Result<Input, Status> {
    if body.trim_ascii_start().first() == Some(&b'{')
        && let Ok(input) = decode_json(body)
    {
        return Ok(input);
    }
    let value = serde_saphyr::from_slice::<Value>(body);
    let value = value.map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    Ok(Input { value, duplicates: Vec::new() })
}

/// The media type of a body, lower case and without parameters such as charset.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn decoded(content_type: &'static str, body: &str) -> Result<Value, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        decode(&headers, body.as_bytes()).map(|input| input.value)
    }

    #[test]
    fn json_and_yaml_are_read_whatever_the_charset() {
        let expected = serde_json::json!({"a": {"b": 1}});
        assert_eq!(decoded("application/json; charset=utf-8", r#"{"a":{"b":1}}"#), Ok(expected.clone()));
        assert_eq!(decoded("application/yaml", "a:\n  b: 1\n"), Ok(expected));
    }

    #[test]
    fn unreadable_protobuf_is_refused_with_what_would_do() {
        let status = decoded("application/vnd.kubernetes.protobuf", "k8s").expect_err("not json");
        assert_eq!(status.code, 415);
        assert!(status.message.contains("application/json, application/yaml"), "{}", status.message);
        assert_eq!(decoded("application/json", "{} x").map_err(|status| status.code), Err(400));
    }
}
