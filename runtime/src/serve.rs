//! An HTTP listener: HTTP/1.1 and HTTP/2 on one port, plain or with TLS, with bounds and a graceful
//! stop.
//!
//! Every request carries a [`Peer`] among its extensions: who asks, and with which certificate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Tasks;
use crate::error::SaidOf;
use crate::tls::{Certificate, ServerTls};

/// How many connections may be open at once; further ones wait in the listener's backlog.
pub const MAX_CONNECTIONS: usize = 8192;

/// How many TLS handshakes may be under way at once: they cost more than anything that follows.
pub const MAX_HANDSHAKES: usize = 256;

/// How long a TLS handshake may take, its wait for others included.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take to send the head of an HTTP/1.1 request.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// An HTTP/2 connection is pinged this often, and ended when the ping is not answered as long again.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// How many requests one HTTP/2 connection may have open, watches included.
pub const MAX_STREAMS: u32 = 1024;

/// How long open requests may go on after a stop. Watches never end by themselves, so it is short.
pub const DRAIN: Duration = Duration::from_millis(500);

/// The pause after a failed accept (such as no free file descriptor), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client whose handshake was refused may take to read why.
const REFUSAL: Duration = Duration::from_secs(1);

/// Who asks: an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where from.
    pub address: SocketAddr,
    /// The certificate it showed, if it did. It was signed by the client CA and valid when shown.
    pub certificate: Option<Arc<Certificate>>,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// Opens `address`.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves `router` on `listener` until `tasks` is stopped.
pub fn serve(tasks: &Tasks, listener: TcpListener, router: Router) {
    accept(tasks, listener, move |stream, peer, stop, slot| {
        connection(stream, Peer { address: peer, certificate: None }, router.clone(), stop, slot)
    });
}

/// Serves `router` on `listener` with TLS until `tasks` is stopped.
pub fn serve_tls(tasks: &Tasks, listener: TcpListener, router: Router, tls: ServerTls) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let refusals = Arc::new(Mutex::new(SaidOf::new()));
    accept(tasks, listener, move |stream, address, stop, slot| {
        let (router, tls) = (router.clone(), tls.clone());
        let (handshakes, refusals) = (Arc::clone(&handshakes), Arc::clone(&refusals));
        async move {
            let shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, async {
                let _one_of_few = handshakes.acquire_owned().await;
                handshake(stream, &tls).await
            });
            let refused = match stop.run_until_cancelled(shaken).await {
                None => return,
                Some(Ok(Ok(stream))) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let certificate = shown.and_then(|der| Certificate::from_der(der).ok()).map(Arc::new);
                    refusals.lock().is_over(&address.ip());
                    return connection(stream, Peer { address, certificate }, router, stop, slot).await;
                }
                Some(Ok(Err(reason))) => reason,
                Some(Err(_)) => format!("not done within {} s", HANDSHAKE_DEADLINE.as_secs()),
            };
            if refusals.lock().is_news(address.ip(), &refused) {
                tracing::warn!(peer = %address.ip(), reason = refused, "TLS handshake refused");
            }
        }
    });
}

fn accept<F, Fut>(tasks: &Tasks, listener: TcpListener, handle: F)
where
    F: Fn(TcpStream, SocketAddr, CancellationToken, OwnedSemaphorePermit) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let connections = tasks.clone();
    tasks.spawn("http-accept", async move {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Watch events are small and must not wait for more.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "cannot switch off delayed sending");
                    }
                    connections
                        .spawn_until("http-connection", handle(stream, peer, connections.token(), slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

/// Makes a stream one of TLS, or says why not.
async fn handshake(stream: TcpStream, tls: &ServerTls) -> Result<TlsStream<TcpStream>, String> {
    let acceptor = TlsAcceptor::from(tls.config());
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut stream)) => {
            // A socket that is closed with something unread is reset, and the alert that says why may
            // be lost with it.
            let _ = stream.shutdown().await;
            let mut rest = [0; 1024];
            let read = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
            let _ = tokio::time::timeout(REFUSAL, read).await;
            Err(error.to_string())
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        request
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(MAX_STREAMS);
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        result = serving.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(peer = %address, %error, "connection ended");
            }
        }
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            if tokio::time::timeout(DRAIN, serving).await.is_err() {
                tracing::debug!(peer = %address, "connection cut at the end of the drain");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_stop_is_not_held_up_by_an_open_request() {
        let tasks = Tasks::new();
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/now", get(|| async { "ok" }))
            .route("/never", get(std::future::pending::<&'static str>));
        serve(&tasks, listener, router);

        let mut answered = TcpStream::connect(address).await.unwrap();
        answered.write_all(b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        answered.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("ok"), "{text}");

        let mut open = TcpStream::connect(address).await.unwrap();
        open.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), tasks.stop()).await.unwrap();
    }
}
