//! Many clusters behind one listener.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::Uri;
use parking_lot::RwLock;
use tower::ServiceExt;

use crate::Status;

/// Routers mounted at `/clusters/<name>`, added and removed while serving. Cheap to clone.
#[derive(Clone, Default)]
pub struct Clusters {
    routers: Arc<RwLock<BTreeMap<String, Router>>>,
}

impl Clusters {
    /// No clusters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a router under `/clusters/<name>`, in place of any before it.
    pub fn mount(&self, name: impl Into<String>, router: Router) {
        self.routers.write().insert(name.into(), router);
    }

    /// Stops serving a cluster. Requests under way are finished.
    pub fn unmount(&self, name: &str) {
        self.routers.write().remove(name);
    }

    /// Everything mounted, and `/readyz`, `/livez`, `/healthz` and `/version` at the root.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/readyz", get(|| async { "ok" }))
            .route("/livez", get(|| async { "ok" }))
            .route("/healthz", get(|| async { "ok" }))
            .route("/version", get(|| async { axum::Json(crate::http::version()) }))
            .fallback(dispatch)
            .with_state(self.clone())
    }
}

async fn dispatch(State(clusters): State<Clusters>, mut request: Request) -> Response {
    let Some((name, rest)) = split(request.uri()) else {
        return Status::no_such_resource().into_response();
    };
    let Some(router) = clusters.routers.read().get(&name).cloned() else {
        return Status::no_such_resource().into_response();
    };
    *request.uri_mut() = rest;
    match router.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// `/clusters/<name>/rest?query` -> name and `/rest?query`.
fn split(uri: &Uri) -> Option<(String, Uri)> {
    let path = uri.path().strip_prefix("/clusters/")?;
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some((name.to_owned(), format!("/{rest}{query}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_split_from_the_rest() {
        let uri = Uri::from_static("/clusters/shanghai/api/v1/pods?limit=5");
        let (name, rest) = split(&uri).expect("a cluster path");
        assert_eq!((name.as_str(), rest.to_string().as_str()), ("shanghai", "/api/v1/pods?limit=5"));
        assert_eq!(
            split(&Uri::from_static("/clusters/a")).map(|(_, rest)| rest.to_string()),
            Some("/".into())
        );
        assert!(split(&Uri::from_static("/api/v1")).is_none());
    }
}
