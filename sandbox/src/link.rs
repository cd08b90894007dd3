//! The network between an agent and the hub, as far as one process has one: it can be cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame};
use parking_lot::RwLock;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{Service, ServiceExt};

/// What a client sees when the link is cut.
#[derive(Debug, thiserror::Error)]
#[error("the link to {0} is down")]
pub struct LinkDown(&'static str);

/// Any error on the way.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A server that may be away: a router behind a link.
///
/// Cutting ends every open answer at once, watches included, as a lost connection does.
#[derive(Clone)]
pub struct Link {
    far: &'static str,
    state: Arc<RwLock<State>>,
}

struct State {
    router: Option<Router>,
    up: bool,
    /// Cancelled when what is open now is to break.
    cut: CancellationToken,
}

// === impl Link ===

impl Link {
    /// A link to nothing yet. `far` names its other end in errors.
    pub fn new(far: &'static str) -> Self {
        let state = State { router: None, up: true, cut: CancellationToken::new() };
        Self { far, state: Arc::new(RwLock::new(state)) }
    }

    /// A link to `router`.
    pub fn to(far: &'static str, router: Router) -> Self {
        let link = Self::new(far);
        link.attach(router);
        link
    }

    /// Puts `router` at the other end, in place of any before it.
    pub fn attach(&self, router: Router) {
        let mut state = self.state.write();
        state.router = Some(router);
        state.sever();
    }

    /// Takes the other end away: whoever calls finds nobody.
    pub fn detach(&self) {
        let mut state = self.state.write();
        state.router = None;
        state.sever();
    }

    /// Cuts the link, or mends it.
    pub fn set_up(&self, up: bool) {
        let mut state = self.state.write();
        if state.up != up {
            state.up = up;
            state.sever();
        }
    }

    /// Whether the link is not cut.
    pub fn is_up(&self) -> bool {
        self.state.read().up
    }

    fn open(&self) -> Result<(Router, CancellationToken), LinkDown> {
        let state = self.state.read();
        match &state.router {
            Some(router) if state.up => Ok((router.clone(), state.cut.clone())),
            _ => Err(LinkDown(self.far)),
        }
    }
}

impl State {
    fn sever(&mut self) {
        std::mem::replace(&mut self.cut, CancellationToken::new()).cancel();
    }
}

impl<B> Service<Request<B>> for Link
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Severable>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (far, opened) = (self.far, self.open());
        Box::pin(async move {
            let (router, cut) = opened?;
            let answer = cut.run_until_cancelled(router.oneshot(request.map(axum::body::Body::new))).await;
            let Some(Ok(response)) = answer else { return Err(LinkDown(far).into()) };
            Ok(response.map(|body| Severable {
                body: body.map_err(Into::into).boxed_unsync(),
                cut: Box::pin(cut.cancelled_owned()),
                far,
            }))
        })
    }
}

/// A body that breaks when the link is cut.
pub struct Severable {
    body: UnsyncBoxBody<Bytes, BoxError>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    far: &'static str,
}

impl Body for Severable {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(LinkDown(self.far).into())));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    fn request() -> Request<axum::body::Body> {
        Request::get("/").body(axum::body::Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_cut_ends_open_answers_and_refuses_new_ones_until_mended() {
        let endless = || async {
            axum::body::Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
        };
        let link = Link::to("the hub", Router::new().route("/", get(endless)));
        let mut open = link.clone().oneshot(request()).await.unwrap().into_body();
        link.set_up(false);
        assert_eq!(open.frame().await.unwrap().unwrap_err().to_string(), "the link to the hub is down");
        assert!(link.clone().oneshot(request()).await.is_err());
        link.set_up(true);
        assert!(link.clone().oneshot(request()).await.is_ok());
    }

    #[tokio::test]
    async fn a_new_router_breaks_what_the_old_one_answered() {
        let link = Link::to("the hub", Router::new().route("/", get(std::future::pending::<&'static str>)));
        let waiting = link.clone().oneshot(request());
        let (answer, ()) = futures::join!(waiting, async {
            link.attach(Router::new().route("/", get(|| async { "new" })));
        });
        assert!(answer.is_err());
        let body = link.clone().oneshot(request()).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "new");
        link.detach();
        assert!(link.clone().oneshot(request()).await.is_err());
    }
}
