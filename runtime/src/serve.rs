//! An HTTP listener: HTTP/1.1 and HTTP/2 on one port, with a bound and a graceful stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::Tasks;

/// How many connections may be open at once; further ones wait in the listener's backlog.
pub const MAX_CONNECTIONS: usize = 8192;

/// How long open requests may go on after a stop. Watches never end by themselves, so it is short.
pub const DRAIN: Duration = Duration::from_millis(500);

/// The pause after a failed accept (such as no free file descriptor), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let connections = tasks.clone();
    tasks.spawn("http-accept", async move {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let handled = connection(stream, peer, router.clone(), connections.token(), slot);
                    connections.spawn_until("http-connection", handled);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    // Watch events are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot switch off delayed sending");
    }
    let server = auto::Builder::new(TokioExecutor::new());
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        result = serving.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            if tokio::time::timeout(DRAIN, serving).await.is_err() {
                tracing::debug!(%peer, "connection cut at the end of the drain");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
