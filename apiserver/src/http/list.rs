//! Get and list.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{
    present::{ListMeta, Presenter},
    query::{self, ListOptions, Match, parse_version},
};
use crate::{
    GroupResource, Key, ListAt, ListQuery, Object, Resource, Source, SourceError, Status, convert,
    selector::{Selector, SelectorError},
};

/// How many bytes of a list are gathered before they are sent.
const CHUNK: usize = 64 * 1024;

/// Where a continued list goes on: its version, and the last key sent.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    rv: u64,
    ns: Option<String>,
    name: String,
}

/// Reads the selectors of a list or watch.
pub(crate) fn selector(resource: &Resource, labels: &str, fields: &str) -> Result<Selector, Status> {
    let known = |field: &str| {
        let stored = convert::stored_field(resource, field);
        resource.selectable.iter().any(|path| **path == *field).then_some(stored)
    };
    Selector::parse(labels, fields, known).map_err(|error| {
        let message = match &error {
            SelectorError::UnknownField(field) if has_name_only(resource) => format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            other => other.to_string(),
        };
        Status::bad_request(message)
    })
}

/// Whether a built-in kind can be selected by name and namespace only; Kubernetes then words a refusal otherwise.
fn has_name_only(resource: &Resource) -> bool {
    !resource.custom && resource.selectable.is_empty()
}

/// Answers `GET` of one object.
pub(crate) fn get(
    source: &dyn Source,
    resource: &Resource,
    key: &Key,
    version: Option<&str>,
    presenter: &Presenter,
) -> Result<Response, Status> {
    if let Some(text) = version {
        let asked = parse_version(text).map_err(query::unreadable_version)?;
        let current = current_version(source, &resource.stored_as)?;
        if asked > current {
            return Err(Status::version_of_the_future(asked, current));
        }
    }
    let object = source.get(&resource.stored_as, key)?;
    let object = object.ok_or_else(|| Status::not_found(&resource.group_resource(), &key.name))?;
    Ok(json(StatusCode::OK, presenter.single(&object)))
}

/// Answers `GET` of a collection.
pub(crate) fn list(
    source: &dyn Source,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
    presenter: Presenter,
) -> Result<Response, Status> {
    let selector = selector(resource, &options.labels, &options.fields)?;
    let (meta, objects) = page(source, resource, namespace, options, &selector)?;
    Ok(respond(presenter, meta, objects))
}

/// A list as a response that is made while it is sent.
pub(crate) fn respond(presenter: Presenter, meta: ListMeta, objects: Vec<Arc<Object>>) -> Response {
    let pieces =
        Pieces { presenter, state: PiecesState::Head(meta), objects: objects.into_iter(), first: true };
    let stream = futures::stream::iter(pieces.map(Ok::<_, std::convert::Infallible>));
    let mut response = Body::from_stream(stream).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// One page of a list, and what is to be said about it.
pub(crate) fn page(
    source: &dyn Source,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
    selector: &Selector,
) -> Result<(ListMeta, Vec<Arc<Object>>), Status> {
    let stored = &resource.stored_as;
    let token = options.token.as_deref().map(Token::decode).transpose()?;
    if options.continued_at_a_version {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let after = token.as_ref().map(Token::key);
    let at = match (&token, options.version, options.version_match) {
        (Some(token), ..) => ListAt::Exactly(token.rv),
        (None, Some(version), Some(Match::Exact)) => ListAt::Exactly(version),
        // Without a match, a limited list at a version means exactly that version.
        (None, Some(version), None) if version > 0 && options.limit > 0 => ListAt::Exactly(version),
        _ => ListAt::Latest,
    };
    if let (ListAt::Exactly(asked), None) = (at, &token) {
        let current = current_version(source, stored)?;
        if asked > current {
            return Err(Status::version_of_the_future(asked, current));
        }
    }
    let continued = token.is_some();
    let snapshot = match selector.single(namespace, resource.namespaced) {
        Some(key) if at == ListAt::Latest => one(source, stored, &key)?,
        _ => {
            let query = ListQuery { namespace, after: after.as_ref(), at };
            source.list(stored, &query).map_err(|error| expired(error, continued))?
        }
    };
    if let (ListAt::Latest, Some(asked)) = (at, options.version)
        && asked > snapshot.version
    {
        return Err(Status::version_of_the_future(asked, snapshot.version));
    }
    let mut objects = snapshot.objects;
    if !selector.is_empty() {
        objects.retain(|object| selector.matches(object));
    }
    let mut meta = ListMeta { version: snapshot.version, ..ListMeta::default() };
    if options.limit > 0 && objects.len() > options.limit {
        let remaining = objects.len() - options.limit;
        objects.truncate(options.limit);
        meta.token = objects.last().map(|last| Token::new(snapshot.version, &last.key).encode());
        meta.remaining = selector.is_empty().then_some(remaining);
    }
    Ok((meta, objects))
}

fn one(source: &dyn Source, resource: &GroupResource, key: &Key) -> Result<crate::Snapshot, SourceError> {
    // The version first: whatever changes after it will be seen by a watch from there.
    let version = current_version(source, resource)?;
    let found = source.get(resource, key)?;
    let version = found.as_ref().map_or(version, |object| version.max(object.version));
    Ok(crate::Snapshot { version, objects: found.into_iter().collect() })
}

fn current_version(source: &dyn Source, resource: &GroupResource) -> Result<u64, SourceError> {
    let nowhere = ListQuery { namespace: Some(""), after: None, at: ListAt::Latest };
    Ok(source.list(resource, &nowhere)?.version)
}

fn expired(error: SourceError, continued: bool) -> Status {
    match error {
        SourceError::Gone { .. } if continued => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You must start a new \
             list without the continue parameter.",
        ),
        other => other.into(),
    }
}

impl Token {
    fn new(version: u64, key: &Key) -> Self {
        Self { rv: version, ns: key.namespace.as_deref().map(str::to_owned), name: key.name.to_string() }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let wrong = |problem: String| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {problem}"))
        };
        let bytes =
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| wrong(error.to_string()))?;
        match bytes.first() {
            Some(first) if *first != b'{' => {
                let found = char::from(*first);
                Err(wrong(format!("invalid character '{found}' looking for beginning of value")))
            }
            _ => serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string())),
        }
    }

    fn key(&self) -> Key {
        Key { namespace: self.ns.as_deref().map(Into::into), name: self.name.as_str().into() }
    }
}

/// The bytes of a list, made as they are sent.
struct Pieces {
    presenter: Presenter,
    state: PiecesState,
    objects: std::vec::IntoIter<Arc<Object>>,
    first: bool,
}

enum PiecesState {
    Head(ListMeta),
    Items,
    Done,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        if let PiecesState::Head(meta) = &self.state {
            chunk.extend_from_slice(&self.presenter.head(meta));
            self.state = PiecesState::Items;
        }
        if matches!(self.state, PiecesState::Done) {
            return None;
        }
        while chunk.len() < CHUNK {
            let Some(object) = self.objects.next() else {
                chunk.extend_from_slice(Presenter::tail());
                self.state = PiecesState::Done;
                break;
            };
            if !std::mem::take(&mut self.first) {
                chunk.extend_from_slice(b",");
            }
            chunk.extend_from_slice(&self.presenter.item(&object));
        }
        Some(chunk.freeze())
    }
}

/// A JSON response.
pub(crate) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (code, content_type, body.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continue_token_survives_its_trip() {
        let key = Key::namespaced("ns", "web-0");
        let token = Token::decode(&Token::new(7, &key).encode()).expect("a token");
        assert_eq!((token.rv, token.key()), (7, key));
        assert_eq!(Token::decode("nonsense").map_err(|status| status.code).err(), Some(400));
    }
}
