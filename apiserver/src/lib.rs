//! The Kubernetes API protocol.
//!
//! Two traits carry the crate. A [`Source`] answers get, list and watch over raw objects; [`read_router`] serves any
//! `Source` as a read-only Kubernetes API. A [`Store`] is a `Source` that also commits writes; a [`Cluster`] puts
//! built-in kinds, custom resources, admission rules and garbage collection on top of one, and serves the whole as an
//! `axum::Router`, which is at once an HTTP server and an in-process transport for a `kube::Client`.

pub mod apply;
pub mod builtin;
mod catalog;
mod cluster;
mod clusters;
mod convert;
mod http;
mod labels;
mod lifecycle;
mod names;
pub mod openapi;
pub mod patch;
mod registry;
pub mod schema;
mod selector;
mod source;
mod status;
mod store;
pub mod table;
mod write;

pub use catalog::{Catalog, CatalogError, Conversion, Resource, ScalePaths};
pub use cluster::{Cluster, ClusterConfig, Now};
pub use clusters::Clusters;
pub use http::metrics::{Metrics, RequestLabels};
pub use http::{ReadOptions, read_router};
pub use labels::Labels;
pub use source::{
    Batch, Body, Cursor, Event, EventKind, GroupResource, Key, ListAt, ListQuery, Object, Render, Snapshot,
    Source, SourceError, WatchQuery,
};
pub use status::{Cause, Status};
pub use store::{Change, Collection, Commit, CommitError, Draft, Expect, MemoryStore, Store};
