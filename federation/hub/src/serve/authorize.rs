//! Who may see which view: the agent of a cluster its own, and nobody else any.
//!
//! A certificate says who asks: its organization is [`AGENTS`], its common name the cluster. What it
//! may do follows from the path alone, for every verb. Health and metrics are for everybody.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use muster_apiserver::Status;
use muster_runtime::error::SaidOf;
use muster_runtime::serve::Peer;
use muster_runtime::tls::Certificate;
use parking_lot::Mutex;

use super::http::split;

/// The organization in the certificate of an agent.
pub const AGENTS: &str = "muster:agents";

/// `router` for clients that the network brings: a view is served to who shows its cluster's certificate.
///
/// Requests must carry a [`Peer`], as those that `muster_runtime::serve` takes do; without one nobody asks.
pub(crate) fn by_certificate(router: Router) -> Router {
    router.layer(from_fn_with_state(Refused::default(), check))
}

/// What was said of clients that were refused, by address and view: an agent with a wrong certificate asks again and
/// again, and several may come from one address.
type Refused = Arc<Mutex<SaidOf<(Option<IpAddr>, String)>>>;

async fn check(State(refused): State<Refused>, request: Request, next: Next) -> Response {
    let Some((cluster, _)) = split(request.uri().path()) else { return next.run(request).await };
    let peer = request.extensions().get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate.as_deref());
    match decide(certificate, cluster) {
        Ok(()) => next.run(request).await,
        Err(status) => {
            let address = peer.map(|peer| peer.address.ip());
            if refused.lock().is_news((address, cluster.to_owned()), &status.message) {
                let peer = address.map(|address| address.to_string());
                tracing::warn!(peer, cluster, reason = status.message, "view refused");
            }
            status.into_response()
        }
    }
}

/// Whether the owner of a certificate may see a cluster's view.
fn decide(certificate: Option<&Certificate>, cluster: &str) -> Result<(), Box<Status>> {
    let Some(certificate) = certificate else {
        let message = format!(
            "the view of cluster {cluster:?} needs a client certificate with common name {cluster:?} and organization {AGENTS:?}; none was shown"
        );
        return Err(Box::new(Status::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)));
    };
    let name = &certificate.common_name;
    let forbidden = |message| Err(Box::new(Status::new(StatusCode::FORBIDDEN, "Forbidden", message)));
    if !certificate.organizations.iter().any(|organization| organization == AGENTS) {
        return forbidden(format!(
            "the certificate of {name:?} is not that of an agent: its organizations are {:?} and must have {AGENTS:?}",
            certificate.organizations
        ));
    }
    if name.is_empty() {
        return forbidden(format!(
            "the certificate is for no cluster: it must have one common name, that of its cluster, here {cluster:?}"
        ));
    }
    if name != cluster {
        return forbidden(format!(
            "the certificate is for cluster {name:?}, and the view asked for is that of cluster {cluster:?}; an agent may use its own view only"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::{Body, to_bytes};
    use http::Method;
    use tower::ServiceExt;

    use super::*;

    fn certificate(name: &str, organization: &str) -> Certificate {
        Certificate {
            common_name: name.to_owned(),
            organizations: vec![organization.to_owned()],
            names: Vec::new(),
            issuer: String::new(),
            not_before: jiff::Timestamp::MIN,
            not_after: jiff::Timestamp::MAX,
        }
    }

    /// Status and body of an answer to who shows a certificate.
    async fn ask(method: Method, path: &str, certificate: Option<Certificate>) -> (u16, String) {
        let router = by_certificate(Router::new().fallback(|| async { "inside" }));
        let address = SocketAddr::from(([10, 0, 0, 1], 1));
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer { address, certificate: certificate.map(Arc::new) });
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn an_agent_has_its_own_view_and_no_other_for_every_verb() {
        let verbs = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
        for verb in verbs {
            for path in ["/views/a", "/views/a/", "/views/a/apis/x"] {
                let own = ask(verb.clone(), path, Some(certificate("a", AGENTS))).await;
                assert_eq!(own.0, 200, "{verb} {path}");
            }
            for path in ["/views/b", "/views/b/apis/x", "/views//apis", "/views/%61/apis", "/views/a%2f/x"] {
                let (status, body) = ask(verb.clone(), path, Some(certificate("a", AGENTS))).await;
                assert_eq!(status, 403, "{verb} {path}");
                if path.starts_with("/views/b") && verb != Method::HEAD {
                    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                    assert_eq!(body["kind"], "Status");
                    let message = body["message"].as_str().unwrap();
                    assert!(message.contains("\"a\"") && message.contains("\"b\""), "{message}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_view_needs_a_certificate_of_an_agent() {
        let (status, body) = ask(Method::GET, "/views/a/apis", None).await;
        assert_eq!(status, 401);
        assert!(body.contains("none was shown") && body.contains("\"kind\":\"Status\""), "{body}");
        let (status, body) =
            ask(Method::GET, "/views/a/apis", Some(certificate("a", "system:masters"))).await;
        assert_eq!(status, 403);
        assert!(body.contains("muster:agents"), "{body}");
        for path in ["/views//apis", "/views//", "/views/a/apis"] {
            let (status, body) = ask(Method::GET, path, Some(certificate("", AGENTS))).await;
            assert_eq!(status, 403, "{path}");
            assert!(body.contains("one common name"), "{body}");
        }
        let bare = by_certificate(Router::new().fallback(|| async { "inside" }));
        let answer = bare.oneshot(Request::get("/views/a/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 401, "a request of unknown origin is of nobody");
    }

    #[tokio::test]
    async fn health_and_metrics_are_for_everybody() {
        for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
            assert_eq!(ask(Method::GET, path, None).await.0, 200, "{path}");
        }
    }
}
