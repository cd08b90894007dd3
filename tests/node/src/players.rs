//! Players: TCP connections that say something ten times a second and want it back.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_runtime::{Clock, Tasks};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::failure::{Result, io, must, seen};

/// The pause between two round trips of a player.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an answer may take. The connection counts as lost then. A machine that has other things to do is slow; the
/// slowest answer is printed.
const DEADLINE: Duration = Duration::from_secs(15);

/// Players of several game servers.
pub(crate) struct Players {
    all: Vec<Arc<Mutex<Player>>>,
}

/// One player.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    /// The pod it plays in.
    pub(crate) pod: String,
    /// What the game server said first.
    pub(crate) greeting: Value,
    /// Round trips so far.
    pub(crate) trips: u64,
    /// The longest of them.
    pub(crate) slowest: Duration,
    /// When and how the connection ended.
    pub(crate) ended: Option<(Timestamp, String)>,
}

impl Players {
    /// Connects `count` players to a port of these pods (name and address) in turn.
    pub(crate) async fn join(
        pods: &[(String, String)],
        port: u16,
        count: usize,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Self> {
        let mut all = Vec::new();
        for (pod, address) in pods.iter().cycle().take(count) {
            let what = || format!("player of {pod}");
            let stream = TcpStream::connect((address.as_str(), port)).await.map_err(io(what()))?;
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            let read = tokio::time::timeout(DEADLINE, stream.read_line(&mut line)).await;
            let Ok(read) = read else { return seen(format!("{}: not greeted within {DEADLINE:?}", what())) };
            read.map_err(io(what()))?;
            let greeting: Value = serde_json::from_str(&line)
                .or_else(|error| seen(format!("{}: greeted by {line:?}: {error}", what())))?;
            let player = Arc::new(Mutex::new(Player {
                pod: pod.clone(),
                greeting,
                trips: 0,
                slowest: Duration::ZERO,
                ended: None,
            }));
            all.push(Arc::clone(&player));
            let clock = clock.clone();
            tasks.spawn("player", async move {
                let how = play(stream, &player).await;
                player.lock().ended = Some((clock.now(), how));
            });
        }
        Ok(Self { all })
    }

    /// All of them as they are now.
    pub(crate) fn now(&self) -> Vec<Player> {
        self.all.iter().map(|player| player.lock().clone()).collect()
    }

    /// That every connection is open and has been answered since then.
    pub(crate) fn must_be_open(&self, before: &[Player]) -> Result<Vec<Player>> {
        let now = self.now();
        for (player, before) in now.iter().zip(before) {
            let pod = &player.pod;
            if let Some((at, how)) = &player.ended {
                return seen(format!("a connection to {pod} ended at {at}: {how}"));
            }
            must(player.trips > before.trips, || format!("a connection to {pod} was not answered any more"))?;
        }
        Ok(now)
    }
}

/// Plays until the connection ends; says how.
async fn play(mut stream: BufReader<TcpStream>, player: &Mutex<Player>) -> String {
    for number in 0_u64.. {
        let said = format!("trip {number}\n");
        let began = Instant::now();
        let mut answer = String::new();
        let trip = async {
            stream.write_all(said.as_bytes()).await?;
            stream.read_line(&mut answer).await
        };
        match tokio::time::timeout(DEADLINE, trip).await {
            Err(_) => return format!("trip {number}: no answer within {DEADLINE:?}"),
            Ok(Err(error)) => return format!("trip {number}: {error}"),
            Ok(Ok(0)) => return format!("trip {number}: closed by the game server"),
            Ok(Ok(_)) if answer != said => return format!("trip {number}: answered by {answer:?}"),
            Ok(Ok(_)) => {}
        }
        {
            let mut player = player.lock();
            player.trips += 1;
            player.slowest = player.slowest.max(began.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    String::new()
}
