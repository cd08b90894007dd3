//! What stands between the controller and its API server: every kind of fault that a network, an API server and a
//! process may have. What strikes when comes from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use muster_runtime::Tasks;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::referee::Referee;
use super::store::{WRITER, Writer};

/// How far a stale list may lie back.
pub(super) const STALE: Duration = Duration::from_secs(10);

/// How long a request, an answer or a line of a watch is held up at most.
const HOLD: Duration = Duration::from_secs(3);

/// How long a request that arrives late may take: longer than its sender waits.
pub(super) const LATE: Duration = Duration::from_secs(25);

/// Most writes of one life before it ends between two of them.
const WRITES: u32 = 40;

/// Kinds of fault, and of a hundred requests (of a hundred lines of a watch) how many it strikes.
const KINDS: [(Kind, u32); 14] = [
    (Kind::RequestLost, 6),
    (Kind::RequestDelayed, 10),
    (Kind::RequestLate, 2),
    (Kind::TooManyRequests, 4),
    (Kind::ServerError, 4),
    (Kind::Conflict, 6),
    (Kind::AnswerLost, 8),
    (Kind::AnswerNeverComes, 2),
    (Kind::WatchCut, 8),
    (Kind::WatchHeldUp, 8),
    (Kind::WatchExpired, 30),
    (Kind::StaleList, 50),
    (Kind::CrashBeforeWrite, 100),
    (Kind::CrashAfterWrite, 100),
];

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// 503, and nothing was done.
    RequestLost,
    /// It takes a while; longer than its deadline, it is never sent.
    RequestDelayed,
    /// Its sender gives up, and then it arrives.
    RequestLate,
    /// 429, and nothing was done.
    TooManyRequests,
    /// 500, and nothing was done.
    ServerError,
    /// 409, and nothing was done.
    Conflict,
    /// It was done, and the answer is 503.
    AnswerLost,
    /// It was done, and nothing is answered.
    AnswerNeverComes,
    /// A watch ends, maybe in the middle of a line.
    WatchCut,
    /// A watch lags.
    WatchHeldUp,
    /// A watch cannot go on where it ended: what happened meanwhile is not told.
    WatchExpired,
    /// A list shows what was.
    StaleList,
    /// The controller ends when it is about to write.
    CrashBeforeWrite,
    /// The controller ends when it has written and was not told.
    CrashAfterWrite,
}

/// Faults of one run, and how many there were.
#[derive(Clone)]
pub(super) struct Faults {
    odds: Arc<Mutex<Odds>>,
    referee: Referee,
    /// Where requests go on that arrive late.
    tasks: Tasks,
}

struct Odds {
    random: StdRng,
    on: bool,
    kinds: BTreeSet<Kind>,
    counts: BTreeMap<Kind, u32>,
}

/// From one start of the controller to its end.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) number: u32,
    inner: Arc<Inner>,
}

struct Inner {
    over: AtomicBool,
    ends: Notify,
    /// After how many more writes it ends, and whether the last one is done.
    writes: Mutex<Option<(u32, Kind)>>,
}

#[derive(Clone)]
struct Between {
    faults: Faults,
    life: Life,
}

// === impl Life ===

impl Life {
    /// Ends this life: nothing that it asks for from now on is done, and it hears nothing.
    pub(super) fn end(&self) {
        self.inner.over.store(true, Ordering::Relaxed);
        self.inner.ends.notify_one();
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        self.inner.ends.notified().await;
    }

    async fn stop_if_over(&self) {
        if self.inner.over.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Whether this is its last write.
    fn last_write(&self) -> Option<Kind> {
        let mut writes = self.inner.writes.lock();
        let (left, kind) = writes.as_mut()?;
        *left = left.saturating_sub(1);
        (*left == 0).then_some(*kind)
    }
}

// === impl Faults ===

impl Faults {
    /// Each seed has its own mixture of kinds.
    pub(super) fn new(seed: u64, referee: Referee, tasks: Tasks) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0xFA17);
        let kinds = KINDS.iter().map(|(kind, _)| *kind).filter(|_| random.random_bool(0.5)).collect();
        let odds = Odds { random, on: true, kinds, counts: BTreeMap::new() };
        Self { odds: Arc::new(Mutex::new(odds)), referee, tasks }
    }

    /// A new life of the controller.
    pub(super) fn life(&self, number: u32) -> Life {
        let mut odds = self.odds.lock();
        let crashes = [Kind::CrashBeforeWrite, Kind::CrashAfterWrite];
        let crashes: Vec<Kind> = crashes.into_iter().filter(|kind| odds.kinds.contains(kind)).collect();
        let writes = (odds.on && !crashes.is_empty()).then(|| {
            let kind = crashes[odds.random.random_range(0..crashes.len())];
            (odds.random.random_range(1..=WRITES), kind)
        });
        let inner = Inner { over: AtomicBool::new(false), ends: Notify::new(), writes: Mutex::new(writes) };
        Life { number, inner: Arc::new(inner) }
    }

    /// The API server as the controller sees it in this life.
    pub(super) fn between(&self, server: Router, life: &Life) -> Router {
        let between = Between { faults: self.clone(), life: life.clone() };
        server.layer(middleware::from_fn_with_state(between, disturb))
    }

    /// From now on nothing goes wrong.
    pub(super) fn stop(&self, life: &Life) {
        self.odds.lock().on = false;
        *life.inner.writes.lock() = None;
    }

    /// Whether lists may show what was, in this run.
    pub(super) fn staleness(&self) -> bool {
        self.odds.lock().kinds.contains(&Kind::StaleList)
    }

    /// Whether things may go wrong still.
    pub(super) fn are_on(&self) -> bool {
        self.odds.lock().on
    }

    /// How many faults of each kind struck.
    pub(super) fn counts(&self) -> BTreeMap<Kind, u32> {
        self.odds.lock().counts.clone()
    }

    fn strikes(&self, kind: Kind) -> bool {
        let mut odds = self.odds.lock();
        let percent = KINDS.iter().find(|(of, _)| *of == kind).map_or(0, |(_, percent)| *percent);
        let strikes = odds.on && odds.kinds.contains(&kind) && odds.random.random_ratio(percent, 100);
        if strikes {
            *odds.counts.entry(kind).or_default() += 1;
        }
        strikes
    }

    fn count(&self, kind: Kind) {
        *self.odds.lock().counts.entry(kind).or_default() += 1;
    }

    fn pause(&self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap();
        Duration::from_millis(self.odds.lock().random.random_range(0..longest))
    }

    fn tosses(&self) -> bool {
        self.odds.lock().random.random_bool(0.5)
    }

    /// A version that was the newest one at some time of the last [`STALE`].
    fn old_version(&self) -> u64 {
        let versions = self.referee.versions_since(Instant::now() - STALE);
        versions[self.odds.lock().random.random_range(0..versions.len())]
    }
}

async fn disturb(State(between): State<Between>, request: Request, next: Next) -> Response {
    let Between { faults, life } = &between;
    life.stop_if_over().await;
    let write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let watch = query.contains("watch=");
    let last = write.then(|| life.last_write()).flatten();
    if last == Some(Kind::CrashBeforeWrite) {
        return crash(&between, Kind::CrashBeforeWrite).await;
    }
    for (kind, code, reason) in [
        (Kind::RequestLost, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        (Kind::TooManyRequests, StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        (Kind::ServerError, StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    ] {
        if faults.strikes(kind) {
            return status(code, reason);
        }
    }
    if write && faults.strikes(Kind::Conflict) {
        return status(StatusCode::CONFLICT, "Conflict");
    }
    if faults.strikes(Kind::RequestDelayed) {
        tokio::time::sleep(faults.pause(HOLD)).await;
        life.stop_if_over().await;
    }
    if write && faults.strikes(Kind::RequestLate) {
        let pause = faults.pause(LATE);
        faults.tasks.spawn("late", async move {
            tokio::time::sleep(pause).await;
            drop(WRITER.scope(Writer::Late, next.run(request)).await);
        });
        return std::future::pending().await;
    }
    if watch && query.contains("resourceVersion=") && faults.strikes(Kind::WatchExpired) {
        let error = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"});
        return format!("{}\n", json!({"type": "ERROR", "object": error})).into_response();
    }
    let request = if is_list(&request) && faults.strikes(Kind::StaleList) {
        at(request, faults.old_version())
    } else {
        request
    };
    let lists_pods = !watch && request.method() == Method::GET && request.uri().path().ends_with("/pods");
    tracing::debug!(life = life.number, method = %request.method(), uri = %request.uri(), "asked");
    let (response, created) = serve(&between, request, next).await;
    if lists_pods {
        // What was made while the list was under way is in doubt.
        faults.referee.doubts(life.number);
    }
    life.stop_if_over().await;
    if last == Some(Kind::CrashAfterWrite) {
        return crash(&between, Kind::CrashAfterWrite).await;
    }
    if faults.strikes(Kind::AnswerLost) {
        return status(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    }
    if faults.strikes(Kind::AnswerNeverComes) {
        return std::future::pending().await;
    }
    if let Some(pod) = created {
        faults.referee.knows(life.number, &pod);
    }
    if watch { watched(between, response) } else { response }
}

/// Has a request served; tells which pod it created.
async fn serve(between: &Between, request: Request, next: Next) -> (Response, Option<String>) {
    let creates = *request.method() == Method::POST && request.uri().path().ends_with("/pods");
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let pod = creates.then(|| name_in(&body)).flatten();
    if let Some(pod) = &pod {
        between.faults.referee.creates(between.life.number, pod);
    }
    let request = Request::from_parts(parts, Body::from(body));
    let response = WRITER.scope(Writer::Life(between.life.number), next.run(request)).await;
    let created = pod.filter(|_| response.status() == StatusCode::CREATED);
    (response, created)
}

fn name_in(body: &Bytes) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["metadata"]["name"].as_str().map(str::to_owned)
}

/// The controller ends here, and this request is never answered.
async fn crash(between: &Between, kind: Kind) -> Response {
    between.faults.count(kind);
    between.life.end();
    std::future::pending().await
}

/// A list of a whole resource, at the newest version.
fn is_list(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let resource = request.uri().path().rsplit('/').next().unwrap_or_default();
    let whole = ["pods", "gamestatefulsets", "controllerrevisions", "persistentvolumeclaims"];
    *request.method() == Method::GET
        && whole.contains(&resource)
        && !["watch=", "resourceVersion=", "continue="].iter().any(|word| query.contains(word))
}

/// The same request at an old version.
fn at(mut request: Request, version: u64) -> Request {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let old = format!("{path}?{query}&resourceVersion={version}&resourceVersionMatch=Exact");
    *request.uri_mut() = old.parse::<Uri>().unwrap();
    request
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": "a fault",
    });
    (code, [("content-type", "application/json")], body.to_string()).into_response()
}

/// A watch with faults of its own.
fn watched(between: Between, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let lines = body.into_data_stream();
    let lines = futures::stream::unfold(Some((lines, between)), |state| async move {
        let (mut lines, between) = state?;
        let line = lines.next().await?.ok()?;
        tracing::debug!(life = between.life.number, line = %String::from_utf8_lossy(&line), "told");
        let Between { faults, life } = &between;
        life.stop_if_over().await;
        if faults.strikes(Kind::WatchHeldUp) {
            tokio::time::sleep(faults.pause(HOLD)).await;
            life.stop_if_over().await;
        }
        if faults.strikes(Kind::WatchCut) {
            let half = line.slice(..line.len() / 2);
            return faults.tosses().then_some((Ok::<_, std::convert::Infallible>(half), None));
        }
        Some((Ok(line), Some((lines, between))))
    });
    Response::from_parts(parts, Body::from_stream(lines))
}
