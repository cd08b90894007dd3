//! What the process answers over HTTP. Hooks read `code`: 0 is yes, 1 is not yet.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::game::Game;

type Process = State<Arc<Game>>;

/// Routes of the server.
pub(crate) fn server(game: &Arc<Game>) -> Router {
    Router::new()
        .route("/reload", get(reload).post(reload))
        .route("/pre-delete", get(pre_delete).post(pre_delete))
        .route("/can-delete", get(can_delete))
        .route("/cancel-delete", get(cancel_delete).post(cancel_delete))
        .with_state(Arc::clone(game))
        .merge(sidecar(game))
}

/// Routes of the sidecar.
pub(crate) fn sidecar(game: &Arc<Game>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/status", get(async |State(game): Process| Json(game.status())))
        .with_state(Arc::clone(game))
}

async fn reload(State(game): Process) -> Json<Value> {
    let reloads = game.reload();
    tracing::info!(reloads, "reloaded");
    Json(json!({"code": 0, "message": "reloaded", "reloads": reloads}))
}

/// Turns new players away; those who play may finish.
async fn pre_delete(State(game): Process) -> Json<Value> {
    game.drain(true);
    may_go(&game)
}

/// Asks without changing anything.
async fn can_delete(State(game): Process) -> Json<Value> {
    may_go(&game)
}

/// Takes players again.
async fn cancel_delete(State(game): Process) -> Json<Value> {
    game.drain(false);
    Json(json!({"code": 0, "message": "takes players again"}))
}

fn may_go(game: &Game) -> Json<Value> {
    let open = game.open();
    let message =
        if open == 0 { "nobody plays here".to_owned() } else { format!("{open} connections are open") };
    Json(json!({"code": i32::from(open > 0), "message": message}))
}
