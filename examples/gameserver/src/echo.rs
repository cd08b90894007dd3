//! The game itself: a TCP echo. Each connection is greeted by one line of JSON that says which one it is and which
//! process it talks to; what comes after that comes back as it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::game::Game;

/// How many connections may be open at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;

/// How much is echoed at once.
const BUFFER: usize = 4096;

/// The pause after a failed accept (such as no free file descriptor), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes players until it is dropped; their connections end with it.
pub(crate) async fn serve(listener: TcpListener, game: Arc<Game>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut players = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = players.join_next(), if !players.is_empty() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let game = Arc::clone(&game);
                players.spawn(async move {
                    if let Err(error) = play(stream, &game).await {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn play(mut stream: TcpStream, game: &Game) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(number) = game.enter() else {
        return stream.write_all(b"{\"draining\":true}\n").await;
    };
    let _seat = Seat(game);
    let identity = &game.identity;
    let greeting = json!({
        "connection": number,
        "pid": identity.pid,
        "instance": identity.instance,
        "version": identity.version,
        "started": identity.started,
    });
    stream.write_all(format!("{greeting}\n").as_bytes()).await?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
        game.echoed(count);
    }
}

/// A player's seat, free again whichever way the connection ends.
struct Seat<'a>(&'a Game);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
