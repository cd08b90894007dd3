//! What can be read: objects, snapshots, changes, and the [`Source`] that holds them.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Catalog, Labels};

/// A group and a plural resource name: the unit that is stored, listed and watched.
///
/// The version is left out on purpose: an object is the same object in every version that serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Plural, lower case, as in a URL: `pods`.
    pub resource: Arc<str>,
}

impl GroupResource {
    /// Names a resource of a group.
    pub fn new(group: impl Into<Arc<str>>, resource: impl Into<Arc<str>>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }
}

/// `pods`, or `gamestatefulsets.tkex.tencent.com`: the spelling Kubernetes uses in messages.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.resource)
        } else {
            write!(f, "{}.{}", self.resource, self.group)
        }
    }
}

/// Where an object lives within its resource. Orders by namespace, then name, as lists do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `None` for cluster-scoped objects.
    pub namespace: Option<Arc<str>>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of a namespaced object.
    pub fn namespaced(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: Some(namespace.into()), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: impl Into<Arc<str>>) -> Self {
        Self { namespace: None, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Makes an object's JSON when it is sent.
///
/// The JSON is complete: apiVersion, kind and metadata with name, namespace, uid and resourceVersion.
pub trait Render: Send + Sync {
    /// The object as JSON. Called for every response that carries the object.
    fn render(&self) -> Bytes;
}

impl<F: Fn() -> Bytes + Send + Sync> Render for F {
    fn render(&self) -> Bytes {
        self()
    }
}

/// An object's JSON, held or made on demand.
#[derive(Clone)]
pub enum Body {
    /// Serialized JSON.
    Raw(Bytes),
    /// JSON made when the object is sent, so that a source may hold one template and small differences.
    Lazy(Arc<dyn Render>),
}

impl Body {
    /// The JSON text.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Lazy(render) => render.render(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw(bytes) => write!(f, "Raw({} bytes)", bytes.len()),
            Self::Lazy(_) => f.write_str("Lazy"),
        }
    }
}

/// One version of one object: a small index that selectors and garbage collection read, and the body.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it lives.
    pub key: Key,
    /// `metadata.resourceVersion` as a number. Grows with every change within a resource.
    pub version: u64,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.labels`, for label selectors.
    pub labels: Labels,
    /// Values of the selectable fields other than `metadata.name` and `metadata.namespace`, as path and value:
    /// `spec.nodeName` -> `node-1`.
    pub fields: Labels,
    /// `metadata.ownerReferences[].uid`.
    pub owners: Arc<[Arc<str>]>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The JSON.
    pub body: Body,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Created or changed.
    Put,
    /// Removed.
    Delete,
}

/// One change within a resource.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The new state; after [`EventKind::Delete`] the last state, stamped with the version of the deletion.
    pub object: Arc<Object>,
    /// The state before, `None` on creation. Selectors need it: an object that stops matching is a deletion to that watch.
    pub previous: Option<Arc<Object>>,
}

/// At which version a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAt {
    /// The newest state.
    Latest,
    /// The state at exactly this version, or [`SourceError::Gone`] when history no longer reaches there.
    Exactly(u64),
}

/// Which objects a list asks for. Selectors and limits are applied by the caller.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// Only this namespace; `None` for all.
    pub namespace: Option<&'a str>,
    /// Only keys after this one, as a continued list needs.
    pub after: Option<&'a Key>,
    /// At which version.
    pub at: ListAt,
}

impl<'a> ListQuery<'a> {
    /// The newest state of a namespace, or of all of them.
    pub fn latest(namespace: Option<&'a str>) -> Self {
        Self { namespace, after: None, at: ListAt::Latest }
    }
}

/// Objects of one resource at one version, in key order.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Every change up to here is included, none after.
    pub version: u64,
    /// The objects.
    pub objects: Vec<Arc<Object>>,
}

/// From where a watch starts.
#[derive(Debug, Clone, Copy)]
pub struct WatchQuery<'a> {
    /// Only this namespace; `None` for all.
    pub namespace: Option<&'a str>,
    /// The first event is the first change after this version.
    pub after: u64,
}

/// Changes taken from a [`Cursor`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// Changes, oldest first.
    pub events: Vec<Event>,
    /// Every change up to this version has been taken. Bookmarks carry it.
    pub version: u64,
}

/// A place in the changes of a resource.
///
/// A cursor holds no queue: a reader that falls behind the source's bounded history gets [`SourceError::Gone`].
pub trait Cursor: Send {
    /// Takes at most `limit` changes. No event means that there is none now.
    fn take(&mut self, limit: usize) -> Result<Batch, SourceError>;

    /// Completes when [`take`](Self::take) may have something to say. Cancel safe.
    fn ready(&mut self) -> BoxFuture<'_, ()>;
}

/// Something that holds objects and their changes, and can be served as a Kubernetes API.
pub trait Source: Send + Sync + 'static {
    /// The resources served now. May change over time; discovery follows.
    fn catalog(&self) -> Arc<Catalog>;

    /// One object, or `None`.
    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError>;

    /// Objects at one version.
    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError>;

    /// Changes after a version. A version that is too old, of another epoch or in the future is [`SourceError::Gone`].
    fn watch(&self, resource: &GroupResource, query: &WatchQuery<'_>)
    -> Result<Box<dyn Cursor>, SourceError>;
}

/// Why a source cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The resource is not held at all: 404.
    #[error("resource {0} is not served")]
    NotServed(GroupResource),
    /// The resource is known, but its content is not complete yet: 503 with Retry-After.
    #[error("resource {resource} is not synced yet")]
    NotSynced {
        /// Which resource.
        resource: GroupResource,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The version is outside the history that is kept: 410, reason Expired.
    #[error("too old resource version: {asked} ({oldest})")]
    Gone {
        /// The version asked for.
        asked: u64,
        /// The oldest version that could have been served.
        oldest: u64,
    },
    /// The source stopped serving; open watches end, new requests are 503.
    #[error("the source of {0} is closed")]
    Closed(GroupResource),
}
