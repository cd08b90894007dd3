//! `kube::Client`s as Muster uses them: a user agent, a deadline on every answer, no hidden retry.

use std::time::Duration;

use axum::Router;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tower::timeout::TimeoutLayer;
use tower::util::MapRequestLayer;
use tower::{BoxError, Service};

/// How long a server may take until it has answered the head of a request. Bodies, and so watches,
/// are not bounded by it.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How long a connection may take to be made.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The configuration cannot be turned into a client.
    #[error("cannot make a Kubernetes client for {url}: {source}")]
    Build {
        /// The API server's address.
        url: String,
        /// What the client library said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A user agent with characters that no header may have.
    #[error("user agent {0:?} is not a valid header value")]
    UserAgent(String),
}

/// A client that calls `router` directly, with no socket between.
///
/// The router sees what a server would: path, query, headers and a `User-Agent`.
pub fn in_process(router: Router, user_agent: &str) -> Result<Client, ClientError> {
    over(router, "", user_agent)
}

/// As [`in_process`], with every path moved under `prefix`, such as `/views/shanghai-cluster`.
pub fn in_process_under(router: Router, prefix: &str, user_agent: &str) -> Result<Client, ClientError> {
    over(router, prefix, user_agent)
}

/// A client over any transport, with every path moved under `prefix` (empty for none).
pub fn over<S, B>(transport: S, prefix: &str, user_agent: &str) -> Result<Client, ClientError>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let prefix = prefix.trim_end_matches('/').to_owned();
    let move_under = MapRequestLayer::new(move |mut request: Request<Body>| {
        let uri = under(request.uri(), &prefix);
        *request.uri_mut() = uri;
        request
    });
    Ok(ClientBuilder::new(transport, "default")
        .with_layer(&move_under)
        .with_layer(&user_agent_layer(user_agent)?)
        .with_layer(&TimeoutLayer::new(ANSWER_DEADLINE))
        .build())
}

/// A client over the network. The library's own retry is off: it would hold one call for minutes and
/// send a create twice.
pub fn connect(mut config: kube::Config, user_agent: &str) -> Result<Client, ClientError> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    let url = config.cluster_url.to_string();
    let builder = ClientBuilder::try_from(config)
        .map_err(|source| ClientError::Build { url, source: Box::new(source) })?;
    Ok(builder
        .with_layer(&user_agent_layer(user_agent)?)
        .with_layer(&TimeoutLayer::new(ANSWER_DEADLINE))
        .build())
}

fn user_agent_layer<B>(
    user_agent: &str,
) -> Result<MapRequestLayer<impl Fn(Request<B>) -> Request<B> + Clone + use<B>>, ClientError> {
    let value =
        HeaderValue::from_str(user_agent).map_err(|_| ClientError::UserAgent(user_agent.to_owned()))?;
    Ok(MapRequestLayer::new(move |mut request: Request<B>| {
        request.headers_mut().insert(http::header::USER_AGENT, value.clone());
        request
    }))
}

/// `uri` with `prefix` before its path. A path that cannot be prefixed is left as it is: the server
/// then answers 404, which names it.
fn under(uri: &Uri, prefix: &str) -> Uri {
    let rest = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = uri.clone().into_parts();
    match PathAndQuery::try_from(format!("{prefix}{rest}")) {
        Ok(moved) => {
            parts.path_and_query = Some(moved);
            Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
        }
        Err(_) => uri.clone(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    async fn text(client: &Client, path: &str) -> String {
        client.request_text(Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn an_in_process_client_reaches_the_router_with_its_user_agent() {
        let router = Router::new().route(
            "/agent",
            get(|headers: http::HeaderMap| async move {
                headers["user-agent"].to_str().unwrap_or_default().to_owned()
            }),
        );
        let client = in_process(router, "muster-test/1").unwrap();
        assert_eq!(text(&client, "/agent").await, "muster-test/1");
    }

    #[tokio::test]
    async fn a_prefix_moves_every_path() {
        let router = Router::new().route("/views/a/version", get(|| async { "here" }));
        let client = in_process_under(router, "/views/a/", "muster-test/1").unwrap();
        assert_eq!(text(&client, "/version?x=1").await, "here");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
        let router = Router::new().route("/version", get(std::future::pending::<&'static str>));
        let client = in_process(router, "muster-test/1").unwrap();
        let request = Request::get("/version").body(Vec::new()).unwrap();
        assert!(client.request_text(request).await.is_err());
    }
}
