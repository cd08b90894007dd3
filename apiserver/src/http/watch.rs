//! Watch: a response that goes on, one line for each event.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    body::Body as HttpBody,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{list, present::Presenter, query::ListOptions};
use crate::{
    Body, Cursor, Event, EventKind, ListQuery, Object, Resource, Source, SourceError, Status, WatchQuery,
    selector::Selector,
};

/// How many changes are taken from the source at once.
const BATCH: usize = 256;
/// How many bytes are gathered before they are sent.
const CHUNK: usize = 64 * 1024;
/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// Answers a watch of a collection.
pub(crate) fn watch(
    source: &dyn Source,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
    presenter: Presenter,
    bookmark_interval: Duration,
) -> Result<Response, Status> {
    let selector = list::selector(resource, &options.labels, &options.fields)?;
    let (cursor, initial) = match start(source, resource, namespace, options, &selector) {
        Ok(started) => started,
        // A version that cannot be served is an event, not a failed request: clients list again on either.
        Err(error @ SourceError::Gone { .. }) => {
            return Ok(respond(HttpBody::from(error_event(&Status::from(error)))));
        }
        Err(other) => return Err(other.into()),
    };
    let now = Instant::now();
    let stream = Stream {
        cursor,
        initial,
        presenter,
        selector,
        bookmarks: options
            .bookmarks
            .then(|| Bookmarks { every: bookmark_interval, next: now + bookmark_interval }),
        end_of_initial: options.initial_events == Some(true),
        deadline: now + options.timeout.unwrap_or(DEFAULT_TIMEOUT),
        told: 0,
        first: true,
        ended: false,
    };
    Ok(respond(HttpBody::from_stream(futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), stream))
    }))))
}

/// The changes to come, and the objects to begin with.
type Start = (Box<dyn Cursor>, VecDeque<Arc<Object>>);

fn start(
    source: &dyn Source,
    resource: &Resource,
    namespace: Option<&str>,
    options: &ListOptions,
    selector: &Selector,
) -> Result<Start, SourceError> {
    let stored = &resource.stored_as;
    let initial =
        options.initial_events.unwrap_or_else(|| options.version.is_none_or(|version| version == 0));
    let (after, objects) = match options.version {
        Some(version) if version > 0 && !initial => (version, VecDeque::new()),
        asked => {
            let snapshot = source.list(stored, &ListQuery::latest(namespace))?;
            if let Some(asked) = asked.filter(|asked| *asked > snapshot.version) {
                return Err(SourceError::Gone { asked, oldest: snapshot.version });
            }
            let mut objects = VecDeque::from(snapshot.objects);
            objects.retain(|object| initial && selector.matches(object));
            (snapshot.version, objects)
        }
    };
    Ok((source.watch(stored, &WatchQuery { namespace, after })?, objects))
}

fn respond(body: HttpBody) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error_event(status: &Status) -> Bytes {
    Bytes::from(format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status.to_json()))
}

struct Stream {
    cursor: Box<dyn Cursor>,
    /// Objects that existed when the watch began and are still to be sent.
    initial: VecDeque<Arc<Object>>,
    presenter: Presenter,
    selector: Selector,
    bookmarks: Option<Bookmarks>,
    /// Whether the bookmark that ends the initial events is still to be sent.
    end_of_initial: bool,
    deadline: Instant,
    /// The version that the client knows to have come to.
    told: u64,
    first: bool,
    ended: bool,
}

/// When a watch that wants them gets bookmarks.
struct Bookmarks {
    every: Duration,
    next: Instant,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if let Some(chunk) = self.initial_events() {
            return Some(chunk);
        }
        loop {
            let batch = match self.cursor.take(BATCH) {
                Ok(batch) => batch,
                Err(SourceError::Closed(_)) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(error_event(&Status::from(error)));
                }
            };
            let drained = batch.events.len() < BATCH;
            let mut chunk = BytesMut::new();
            for event in &batch.events {
                self.write(event, &mut chunk);
            }
            if self.end_of_initial && drained {
                // Everything listed at the start has been sent, and whatever came since.
                self.end_of_initial = false;
                self.told = batch.version;
                chunk.extend_from_slice(&self.presenter.bookmark(batch.version, true, self.first));
                self.first = false;
            }
            if !chunk.is_empty() {
                return Some(chunk.freeze());
            }
            if !drained {
                continue;
            }
            let now = Instant::now();
            self.ended = now >= self.deadline;
            let mut alarm = self.deadline;
            if let Some(bookmarks) = &mut self.bookmarks {
                if now >= bookmarks.next || self.ended {
                    bookmarks.next = now + bookmarks.every;
                    if batch.version > self.told {
                        self.told = batch.version;
                        let first = std::mem::take(&mut self.first);
                        return Some(self.presenter.bookmark(batch.version, false, first));
                    }
                }
                alarm = alarm.min(bookmarks.next);
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                () = self.cursor.ready() => {}
                () = sleep_until(alarm) => {}
            }
        }
    }

    fn initial_events(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK {
            let Some(object) = self.initial.pop_front() else { break };
            chunk.extend_from_slice(&self.presenter.event("ADDED", &object, std::mem::take(&mut self.first)));
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    /// Writes what a change means to this watch, which sees only the objects that its selector picks.
    fn write(&mut self, event: &Event, chunk: &mut BytesMut) {
        let before = event.previous.as_ref().filter(|previous| self.selector.matches(previous));
        let after =
            (event.kind == EventKind::Put && self.selector.matches(&event.object)).then_some(&event.object);
        let bytes = match (before, after) {
            (None, None) => return,
            (None, Some(object)) => self.presenter.event("ADDED", object, self.first),
            (Some(_), Some(object)) => self.presenter.event("MODIFIED", object, self.first),
            (Some(_), None) if event.kind == EventKind::Delete => {
                self.presenter.event("DELETED", &event.object, self.first)
            }
            (Some(before), None) => {
                let last = restamp(before, event.object.version);
                self.presenter.event("DELETED", &last, self.first)
            }
        };
        self.first = false;
        self.told = event.object.version;
        chunk.extend_from_slice(&bytes);
    }
}

/// The object as it was, at a newer version: a watch whose selector it left sees it deleted then.
fn restamp(object: &Object, version: u64) -> Object {
    let body = object.body.bytes();
    let stamped = serde_json::from_slice::<Value>(&body).map(|mut value| {
        value["metadata"]["resourceVersion"] = version.to_string().into();
        Bytes::from(value.to_string())
    });
    Object { version, body: Body::Raw(stamped.unwrap_or(body)), ..object.clone() }
}
