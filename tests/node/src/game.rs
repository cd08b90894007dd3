//! Asking a game server over HTTP.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::{Result, io, seen};

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// Port of the server's HTTP.
pub(crate) const SERVER_HTTP: u16 = 8080;
/// Port of the sidecar's HTTP.
pub(crate) const SIDECAR_HTTP: u16 = 8081;
/// Port of the game.
pub(crate) const GAME: u16 = 7000;
/// Port at which the sidecar takes connections.
pub(crate) const SIDECAR_GAME: u16 = 7001;

/// `/status` of the process that listens there.
pub(crate) async fn status(address: &str, port: u16) -> Result<Value> {
    let what = || format!("GET http://{address}:{port}/status");
    let asked = async {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream.write_all(b"GET /status HTTP/1.1\r\nhost: game\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map(|_| text)
    };
    let Ok(text) = tokio::time::timeout(DEADLINE, asked).await else {
        return seen(format!("{}: no answer within {DEADLINE:?}", what()));
    };
    let text = text.map_err(io(what()))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).or_else(|error| seen(format!("{}: {error}: {text:?}", what())))
}
