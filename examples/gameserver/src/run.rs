//! Start, work, and the end at SIGTERM.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Arguments, CommonOptions, Mode, ServerOptions, SidecarOptions};
use crate::beat::beat;
use crate::game::Game;
use crate::identity::Identity;
use crate::shared::SharedError;
use crate::state::{State, StateError};
use crate::{echo, http};

/// How often a server that lingers looks whether anybody is left.
const LINGER_PAUSE: Duration = Duration::from_millis(50);

/// Why a process cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("cannot listen on {address} ({flag}): {source}")]
    Listen {
        address: SocketAddr,
        flag: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
    #[error("HTTP ended: {0}")]
    Http(#[source] io::Error),
    #[error(transparent)]
    Shared(#[from] SharedError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(arguments: Arguments) -> Result<(), RunError> {
    match arguments.mode {
        None => run_server(arguments.server).await,
        Some(Mode::Server(options)) => run_server(options).await,
        Some(Mode::Sidecar(options)) => run_sidecar(options).await,
    }
}

async fn run_server(options: ServerOptions) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let state = options.state.as_deref().map_or_else(|| Ok(State::default()), State::load)?;
    let game = Arc::new(Game::new(Identity::new("server", &options.common.version), state));
    let players = listen(options.tcp, "--tcp").await?;
    let requests = listen(options.http, "--http").await?;
    tracing::info!(
        http = %local(&requests), tcp = %local(&players), version = %options.common.version,
        instance = %game.identity.instance, "server is up"
    );
    tokio::select! {
        () = echo::serve(players, Arc::clone(&game)) => Ok(()),
        ended = serve(requests, http::server(&game), &game, options.common) => ended,
        ended = end(&mut signals, options.state.as_deref(), options.linger, &game) => ended,
    }
}

async fn run_sidecar(options: SidecarOptions) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let game = Arc::new(Game::new(Identity::new("sidecar", &options.common.version), State::default()));
    let requests = listen(options.http, "--http").await?;
    tracing::info!(
        http = %local(&requests), version = %options.common.version,
        instance = %game.identity.instance, "sidecar is up"
    );
    tokio::select! {
        ended = serve(requests, http::sidecar(&game), &game, options.common) => ended,
        () = signals.arrived() => Ok(()),
    }
}

/// HTTP and the beat.
async fn serve(
    listener: TcpListener,
    router: Router,
    game: &Arc<Game>,
    common: CommonOptions,
) -> Result<(), RunError> {
    let pause = Duration::from_millis(common.beat);
    tokio::select! {
        ended = axum::serve(listener, router) => ended.map_err(RunError::Http),
        ended = beat(common.shared, pause, Arc::clone(game)) => Ok(ended?),
    }
}

/// Waits for the signal, lets players finish, and saves.
async fn end(signals: &mut Signals, file: Option<&Path>, linger: u64, game: &Game) -> Result<(), RunError> {
    signals.arrived().await;
    game.drain(true);
    tracing::info!(open = game.open(), linger, "told to end");
    let empty = async {
        while game.open() > 0 {
            tokio::time::sleep(LINGER_PAUSE).await;
        }
    };
    // Whoever is left at the end of it is cut off.
    drop(tokio::time::timeout(Duration::from_secs(linger), empty).await);
    if let Some(file) = file {
        game.state().save(file)?;
    }
    Ok(())
}

/// The signals that end a process. Asked for before anything else: as the first process of a container it would not
/// be ended by a signal that it does not ask for.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, RunError> {
        let ask = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Self { terminate: ask(SignalKind::terminate())?, interrupt: ask(SignalKind::interrupt())? })
    }

    async fn arrived(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, flag, source })
}

fn local(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}
