//! Routes. Reads of a view are the API server crate's; the two writes a member may make are handled here, and every
//! other write is 405.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, Method, StatusCode, header};
use muster_apiserver::{Now, ReadOptions, Status, read_router};
use muster_crds::keys::view as keys;
use muster_crds::names::ClusterName;
use muster_runtime::Clock;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use super::source::ViewSource;
use crate::engine::Engine;
use crate::metrics::{Metrics, ReportLabels};
use crate::model::{Heartbeat, MAX_ITEMS, ReportList};

/// The largest body of a list of reports.
const MAX_REPORTS_BYTES: usize = 4 * 1024 * 1024;

/// The largest body of a heartbeat.
const MAX_LEASE_BYTES: usize = 256 * 1024;

/// How many lists of reports a member may send a second, and at once.
const REPORTS_PER_SECOND: u32 = 20;

/// When to come back, in seconds, while this hub does not lead or has not read everything.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What serves requests, whether this hub leads or not.
pub(crate) struct Front {
    federation_namespace: String,
    clock: Clock,
    metrics: Metrics,
    term: RwLock<Option<Arc<Term>>>,
    /// Why there is no term.
    idle: RwLock<String>,
}

/// What serves views during one term.
struct Term {
    engine: Arc<Engine>,
    hub: Value,
    members: Mutex<BTreeMap<ClusterName, Arc<Member>>>,
}

/// What serves one member.
struct Member {
    uid: String,
    views: Router,
    bucket: Mutex<Bucket>,
}

/// A bucket of tokens: as many as fit in a second, refilled as time passes.
struct Bucket {
    tokens: f64,
    filled: Instant,
}

// === impl Front ===

impl Front {
    /// A front without a term.
    pub(crate) fn new(federation_namespace: &str, clock: Clock, metrics: Metrics) -> Self {
        Self {
            federation_namespace: federation_namespace.to_owned(),
            clock,
            metrics,
            term: RwLock::new(None),
            idle: RwLock::new("starting".to_owned()),
        }
    }

    /// Serves the views of a term from now on.
    pub(crate) fn open(&self, engine: Arc<Engine>, hub_uid: &str, epoch: u64) {
        let hub = json!({ "uid": hub_uid, "epoch": epoch });
        *self.term.write() = Some(Arc::new(Term { engine, hub, members: Mutex::default() }));
        self.metrics.set_epoch(epoch);
    }

    /// Serves no views any more, and ends those that are open.
    pub(crate) fn close(&self) {
        if let Some(term) = self.term.write().take() {
            term.engine.read(crate::model::Model::close);
        }
        self.metrics.set_epoch(0);
    }

    /// Says why there is no term now.
    pub(crate) fn idle(&self, why: &str) {
        why.clone_into(&mut self.idle.write());
    }

    /// What is missing until views can be served, in words; empty when they are.
    pub(crate) fn pending(&self) -> Vec<String> {
        match &*self.term.read() {
            Some(term) => {
                let mut pending = term.engine.read(crate::model::Model::pending);
                if !pending.is_empty() {
                    pending.extend(term.engine.troubles());
                }
                pending
            }
            None => vec![format!("leadership ({})", self.idle.read())],
        }
    }

    fn term(&self) -> Option<Arc<Term>> {
        self.term.read().clone()
    }
}

// === impl Term ===

impl Term {
    /// What serves a member; `None` when there is none of that name.
    fn member(&self, name: &ClusterName, front: &Front) -> Option<Arc<Member>> {
        let registered = |model: &crate::model::Model| Some(model.members().get(name)?.input.uid.clone());
        let Some(uid) = self.engine.read(registered) else {
            self.members.lock().remove(name);
            return None;
        };
        let mut members = self.members.lock();
        if let Some(member) = members.get(name).filter(|member| member.uid == uid) {
            return Some(Arc::clone(member));
        }
        let clock = front.clock.clone();
        let now: Now = Arc::new(move || clock.now());
        let source = ViewSource::new(Arc::clone(&self.engine), name.clone());
        let views = read_router(Arc::new(source), ReadOptions::new(now));
        let member = Arc::new(Member { uid, views, bucket: Mutex::new(Bucket::full()) });
        members.insert(name.clone(), Arc::clone(&member));
        Some(member)
    }
}

// === impl Bucket ===

impl Bucket {
    fn full() -> Self {
        Self { tokens: f64::from(REPORTS_PER_SECOND), filled: Instant::now() }
    }

    /// Takes a token, or says how long until there is one.
    fn take(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let rate = f64::from(REPORTS_PER_SECOND);
        let fresh = now.duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + fresh).min(rate);
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate))
    }
}

/// Every route of the hub.
pub(crate) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(views)
        .with_state(front)
}

async fn ready(State(front): State<Arc<Front>>) -> Response {
    let pending = front.pending();
    if pending.is_empty() {
        return "ok".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join("; "))).into_response()
}

async fn metrics(State(front): State<Arc<Front>>) -> Response {
    if let Some(term) = front.term() {
        term.engine.read(|model| front.metrics.observe(model));
    }
    match front.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => Status::internal(error).into_response(),
    }
}

/// Everything under `/views/<cluster>`.
async fn views(State(front): State<Arc<Front>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some((name, rest)) = split(&path) else {
        return Status::no_such_resource().into_response();
    };
    let Some(term) = front.term() else {
        return Status::unavailable("this hub does not lead", RETRY_AFTER_SECONDS).into_response();
    };
    if !term.engine.read(crate::model::Model::is_read) {
        return Status::unavailable("this hub has not read its registrations yet", RETRY_AFTER_SECONDS)
            .into_response();
    }
    let member = ClusterName::new(name).ok().and_then(|name| Some((term.member(&name, &front)?, name)));
    let Some((member, name)) = member else {
        let message = format!("no KubeFedCluster {name:?} is registered");
        return Status::new(StatusCode::NOT_FOUND, "NotFound", message).into_response();
    };
    if rest == "/apis/view.muster.dev/v1alpha1/reports" {
        return match *request.method() {
            Method::POST => {
                reports(&term, &member, &name, request).await.unwrap_or_else(IntoResponse::into_response)
            }
            _ => Status::method_not_allowed().into_response(),
        };
    }
    let lease =
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/{name}", front.federation_namespace);
    if rest == lease && matches!(*request.method(), Method::PUT | Method::PATCH) {
        return heartbeat(&front, &term, &name, request).await.unwrap_or_else(IntoResponse::into_response);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Status::method_not_allowed().into_response();
    }
    match under(request, rest) {
        Ok(request) => match member.views.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(status) => status.into_response(),
    }
}

/// `/views/<cluster>/<rest>` as cluster and `/<rest>`.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix("/views/")?;
    match below.find('/') {
        Some(at) => Some((&below[..at], &below[at..])),
        None => Some((below, "/")),
    }
}

/// The request with its path moved to the root of the view.
fn under(mut request: Request, rest: &str) -> Result<Request, Box<Status>> {
    let bad = || Box::new(Status::bad_request("the path is not valid"));
    let text = match request.uri().query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| bad())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| bad())?;
    Ok(request)
}

async fn reports(
    term: &Term,
    member: &Member,
    name: &ClusterName,
    request: Request,
) -> Result<Response, Status> {
    if let Err(wait) = member.bucket.lock().take() {
        return Err(too_many(wait));
    }
    let body = read(request.into_body(), MAX_REPORTS_BYTES).await?;
    // A list of fields would also be read as this struct.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Status::bad_request("the body is not a ReportList: not an object"));
    }
    let list: ReportList = serde_json::from_slice(&body)
        .map_err(|error| Status::bad_request(format!("the body is not a ReportList: {error}")))?;
    if list.items.len() > MAX_ITEMS {
        return Err(Status::too_large(MAX_ITEMS));
    }
    let answer = term.engine.report(name, &list).ok_or_else(Status::no_such_resource)?;
    let count = |result, number: usize| {
        let labels = ReportLabels { cluster: name.to_string(), result };
        term.engine.metrics().reports.get_or_create(&labels).inc_by(number as u64);
    };
    count("accepted", answer.accepted);
    count("rejected", answer.rejected.len());
    if let Some(first) = answer.rejected.first() {
        let rejected = answer.rejected.len();
        tracing::warn!(cluster = %name, rejected, reason = first.reason, "reports refused");
    }
    Ok(axum::Json(json!({
        "apiVersion": "view.muster.dev/v1alpha1",
        "kind": "ReportAnswer",
        "accepted": answer.accepted,
        "rejected": answer.rejected,
        "hub": term.hub,
    }))
    .into_response())
}

async fn heartbeat(
    front: &Front,
    term: &Term,
    name: &ClusterName,
    request: Request,
) -> Result<Response, Status> {
    check_patch_type(request.method(), request.headers()).map_err(|status| *status)?;
    let body = read(request.into_body(), MAX_LEASE_BYTES).await?;
    let lease: Value = serde_json::from_slice(&body)
        .map_err(|error| Status::bad_request(format!("the body is not a Lease: {error}")))?;
    if let Some(other) = lease.pointer("/metadata/name").and_then(Value::as_str)
        && other != name.as_str()
    {
        let message = format!("the name of the object ({other}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(message));
    }
    let about = lease.pointer("/metadata/annotations").and_then(|annotations| annotations.get(keys::MEMBER));
    let beat = Heartbeat {
        namespace: front.federation_namespace.clone(),
        holder: lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default().to_owned(),
        renewed: lease.pointer("/spec/renewTime").cloned().unwrap_or_default(),
        duration: lease.pointer("/spec/leaseDurationSeconds").cloned().unwrap_or_default(),
        about: about.and_then(Value::as_str).map(str::to_owned),
    };
    let lease = term.engine.heartbeat(name, &beat).ok_or_else(Status::no_such_resource)?;
    Ok(axum::Json(lease).into_response())
}

/// A heartbeat is a whole Lease, a merge patch or an applied one. Operations of a JSON patch would need the old one.
fn check_patch_type(method: &Method, headers: &HeaderMap) -> Result<(), Box<Status>> {
    const ACCEPTED: [&str; 3] = [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ];
    if *method != Method::PATCH {
        return Ok(());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if ACCEPTED.contains(&kind) { Ok(()) } else { Err(Box::new(Status::unsupported_media_type(&ACCEPTED))) }
}

async fn read(body: Body, limit: usize) -> Result<bytes::Bytes, Status> {
    to_bytes(body, limit).await.map_err(|_| Status::too_large(limit))
}

fn too_many(wait: Duration) -> Status {
    let mut status =
        Status::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "too many lists of reports");
    status.details.retry_after_seconds = Some(wait.as_secs().max(1));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_views_are_split_at_the_cluster() {
        assert_eq!(split("/views/a/apis/x"), Some(("a", "/apis/x")));
        assert_eq!(split("/views/a"), Some(("a", "/")));
        assert_eq!(split("/apis"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_lets_its_rate_through_and_refills_with_time() {
        let mut bucket = Bucket::full();
        for _ in 0..REPORTS_PER_SECOND {
            bucket.take().unwrap();
        }
        let wait = bucket.take().unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        tokio::time::advance(wait).await;
        bucket.take().unwrap();
        bucket.take().unwrap_err();
    }
}
