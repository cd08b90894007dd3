//! The network between two processes: it passes bytes through, and can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_runtime::Tasks;
use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// An address that leads to another one as long as the link is up.
///
/// Cutting breaks every connection at once; until it is mended, new ones are closed as soon as they are made. What is
/// passed through is not looked at, so TLS reaches from end to end.
#[derive(Clone)]
pub(super) struct Link {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    up: bool,
    /// Cancelled when what is open now is to break.
    cut: CancellationToken,
}

// === impl Link ===

impl Link {
    /// A link that is up, on a free port of the loopback address, until `tasks` is stopped.
    pub(super) async fn start(to: SocketAddr, tasks: &Tasks) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let state = State { up: true, cut: CancellationToken::new() };
        let link = Self { address: listener.local_addr()?, state: Arc::new(Mutex::new(state)) };
        let (accepting, group) = (link.clone(), tasks.clone());
        tasks.spawn("link", async move {
            loop {
                let Ok((near, _)) = listener.accept().await else {
                    // One connection less; with no file left to open, the next would fail at once too.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                if let Some(cut) = accepting.open() {
                    group.spawn("link-connection", async move {
                        cut.run_until_cancelled(pass(near, to)).await;
                    });
                }
            }
        });
        Ok(link)
    }

    /// Where to connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link, or mends it.
    pub(super) fn set_up(&self, up: bool) {
        let mut state = self.state.lock();
        if state.up != up {
            state.up = up;
            std::mem::replace(&mut state.cut, CancellationToken::new()).cancel();
        }
    }

    /// The token of a connection that is made now; none while the link is cut.
    fn open(&self) -> Option<CancellationToken> {
        let state = self.state.lock();
        state.up.then(|| state.cut.clone())
    }
}

/// Passes everything both ways until either side closes.
async fn pass(mut near: TcpStream, to: SocketAddr) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    // Small frames are answered at once; they must not wait for each other.
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    // An error is a connection that broke, which both sides see.
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers every byte with itself.
    async fn echo(tasks: &Tasks) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let group = tasks.clone();
        tasks.spawn("echo", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                group.spawn("echo-connection", async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, word: &[u8]) -> bool {
        let mut answer = vec![0; word.len()];
        stream.write_all(word).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && answer == word
    }

    #[tokio::test]
    async fn a_cut_breaks_connections_and_refuses_new_ones_until_mended() {
        let tasks = Tasks::new();
        let link = Link::start(echo(&tasks).await, &tasks).await.unwrap();
        let mut open = TcpStream::connect(link.address()).await.unwrap();
        assert!(says(&mut open, b"hello").await);
        link.set_up(false);
        assert!(!says(&mut open, b"hello").await);
        let mut refused = TcpStream::connect(link.address()).await.unwrap();
        assert!(!says(&mut refused, b"hello").await);
        link.set_up(true);
        let mut mended = TcpStream::connect(link.address()).await.unwrap();
        assert!(says(&mut mended, b"hello").await);
        tasks.stop().await;
    }
}
