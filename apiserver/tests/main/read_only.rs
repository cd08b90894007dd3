//! Any source can be served: bodies made on demand, kinds that are not ready, versions of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use muster_apiserver::{
    Body, Catalog, Collection, Cursor, GroupResource, Key, Labels, ListQuery, Object, ReadOptions, Resource,
    Snapshot, Source, SourceError, WatchQuery, read_router,
};
use serde_json::json;

use crate::support::{GAMES, clock, games, send};

/// Versions begin here: the third epoch.
const EPOCH: u64 = 3 << 40;

struct View {
    games: Collection,
    synced: bool,
}

impl View {
    fn check(&self, resource: &GroupResource) -> Result<&Collection, SourceError> {
        if *resource != *self.games.resource() {
            return Err(SourceError::NotServed(resource.clone()));
        }
        let retry_after = Duration::from_secs(2);
        if self.synced {
            Ok(&self.games)
        } else {
            Err(SourceError::NotSynced { resource: resource.clone(), retry_after })
        }
    }
}

impl Source for View {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::new(Catalog::new(
            Resource::from_crd(&games()).expect("a good definition").into_iter().map(Arc::new),
        ))
    }

    fn get(&self, resource: &GroupResource, key: &Key) -> Result<Option<Arc<Object>>, SourceError> {
        Ok(self.check(resource)?.get(key))
    }

    fn list(&self, resource: &GroupResource, query: &ListQuery<'_>) -> Result<Snapshot, SourceError> {
        self.check(resource)?.list(query)
    }

    fn watch(
        &self,
        resource: &GroupResource,
        query: &WatchQuery<'_>,
    ) -> Result<Box<dyn Cursor>, SourceError> {
        self.check(resource)?.watch(query.namespace, query.after)
    }
}

fn view(synced: bool, renders: &Arc<AtomicUsize>) -> axum::Router {
    let collection = Collection::new(GroupResource::new("example.com", "games"), EPOCH, 10);
    for (at, name) in (1_u64..).zip(["a", "b"]) {
        let renders = renders.clone();
        let render = move || {
            renders.fetch_add(1, Ordering::Relaxed);
            Bytes::from(
                json!({"apiVersion": "example.com/v1", "kind": "Game", "metadata": {"name": name}})
                    .to_string(),
            )
        };
        collection.put(Arc::new(Object {
            key: Key::namespaced("default", name),
            version: EPOCH + at,
            uid: name.into(),
            labels: Labels::default(),
            fields: Labels::default(),
            owners: Arc::new([]),
            deleting: false,
            body: Body::Lazy(Arc::new(render)),
        }));
    }
    read_router(Arc::new(View { games: collection, synced }), ReadOptions::new(clock()))
}

#[tokio::test(start_paused = true)]
async fn bodies_are_made_for_what_is_sent_only() {
    let renders = Arc::new(AtomicUsize::new(0));
    let router = view(true, &renders);
    let page = send(router.clone(), Method::GET, &format!("{GAMES}?limit=1"), &[], "").await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["metadata"]["resourceVersion"], (EPOCH + 2).to_string());
    assert_eq!(renders.load(Ordering::Relaxed), 1);
    let one = send(router, Method::GET, &format!("{GAMES}/b"), &[], "").await.json();
    assert_eq!(one["metadata"]["name"], "b");
    assert_eq!(renders.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn versions_of_another_epoch_are_gone() {
    let router = view(true, &Arc::default());
    for foreign in [5, EPOCH - 1, EPOCH + 9] {
        let path = format!("{GAMES}?watch=true&resourceVersion={foreign}");
        let answer = send(router.clone(), Method::GET, &path, &[], "").await;
        assert_eq!((answer.code, &answer.json()["object"]["code"]), (200, &json!(410)), "{foreign}");
    }
    let path = format!("{GAMES}?resourceVersion={}&resourceVersionMatch=Exact", EPOCH - 1);
    assert_eq!(send(router, Method::GET, &path, &[], "").await.code, 410);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_synced_asks_for_patience() {
    let router = view(false, &Arc::default());
    for path in [GAMES.to_owned(), format!("{GAMES}?watch=true"), format!("{GAMES}/a")] {
        let answer = send(router.clone(), Method::GET, &path, &[], "").await;
        assert_eq!((answer.code, answer.headers["retry-after"].to_str().ok()), (503, Some("2")), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_write_is_405_and_discovery_offers_none() {
    let router = view(true, &Arc::default());
    for (method, path) in [
        (Method::POST, GAMES.to_owned()),
        (Method::PUT, format!("{GAMES}/a")),
        (Method::PATCH, format!("{GAMES}/a/status")),
        (Method::DELETE, format!("{GAMES}/a")),
        (Method::DELETE, GAMES.to_owned()),
    ] {
        assert_eq!(send(router.clone(), method.clone(), &path, &[], "{}").await.code, 405, "{method} {path}");
    }
    let resources = send(router.clone(), Method::GET, "/apis/example.com/v1", &[], "").await.json();
    assert_eq!(resources["resources"][0]["verbs"], json!(["get", "list", "watch"]));
    assert_eq!(send(router, Method::GET, "/api/v1/pods", &[], "").await.code, 404);
}
