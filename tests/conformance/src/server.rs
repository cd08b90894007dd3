//! The two servers that a case is played on.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use muster_apiserver::{Cluster, ClusterConfig};
use muster_runtime::{Clock, Tasks, client};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

/// Who the requests come from: the name that managed fields without a given manager get.
const USER_AGENT: &str = "conformance/1";
/// How long a body that ends may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// The longest line of a watch.
const MAX_LINE: usize = 16 << 20;

/// One side: a real kube-apiserver, or ours.
#[derive(Clone)]
pub struct Server {
    /// `real` or `ours`.
    pub name: &'static str,
    client: Client,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The kubeconfig cannot be used.
    #[error("{path}, context {context:?}: {problem}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// The context asked for.
        context: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No client can be made.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// Path, headers or body are no HTTP request.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// No answer came.
    #[error("the {0} server did not answer: {1}")]
    Send(&'static str, #[source] Box<kube::Error>),
    /// An answer broke off, or took too long.
    #[error("the {0} server's answer broke off: {1}")]
    Body(&'static str, String),
}

/// An answer whose body was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub code: u16,
    /// All of them.
    pub headers: HeaderMap,
    /// JSON, or the text of a body that is none; null for an empty one. The events of a watch, as an array.
    pub body: Value,
}

/// A watch that was answered and is being read.
pub struct Watch {
    server: &'static str,
    /// Status code and headers; the body as long as nothing was read is null.
    pub head: Answer,
    body: Body,
    buffer: Vec<u8>,
}

impl Server {
    /// The kube-apiserver that a context of a kubeconfig names.
    pub async fn real(kubeconfig: &Path, context: Option<&str>) -> Result<Self, ServerError> {
        let wrong = |problem: String| ServerError::Kubeconfig {
            path: kubeconfig.display().to_string(),
            context: context.unwrap_or("(current)").to_owned(),
            problem,
        };
        let read = Kubeconfig::read_from(kubeconfig).map_err(|error| wrong(error.to_string()))?;
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let config =
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { name: "real", client: client::connect(config, USER_AGENT)? })
    }

    /// An embedded API server with its background work in `tasks`.
    pub fn ours(tasks: &Tasks) -> Result<Self, ServerError> {
        let clock = Clock::system();
        let cluster = Cluster::new(ClusterConfig::new("conformance", 1, Arc::new(move || clock.now())));
        let client = client::in_process(cluster.router(), USER_AGENT)?;
        let token = tasks.token();
        tasks.spawn_until("cluster", cluster.run(token));
        Ok(Self { name: "ours", client })
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ServerError> {
        let (head, body) = self.send(method, path, headers, body).await?;
        let read = timeout(BODY_DEADLINE, body.collect()).await;
        let read = read.map_err(|_| ServerError::Body(self.name, "it did not end".into()))?;
        let bytes = read.map_err(|error| ServerError::Body(self.name, error.to_string()))?.to_bytes();
        Ok(Answer { body: decoded(&bytes), ..head })
    }

    /// Begins a watch.
    pub async fn watch(&self, path: &str, headers: HeaderMap) -> Result<Watch, ServerError> {
        let (head, body) = self.send(&Method::GET, path, headers, Bytes::new()).await?;
        Ok(Watch { server: self.name, head, body, buffer: Vec::new() })
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(Answer, Body), ServerError> {
        let mut request = Request::builder().method(method).uri(path).body(Body::from(body.to_vec()))?;
        *request.headers_mut() = headers;
        let response: Response<Body> =
            self.client.send(request).await.map_err(|error| ServerError::Send(self.name, Box::new(error)))?;
        let (parts, body) = response.into_parts();
        Ok((Answer { code: parts.status.as_u16(), headers: parts.headers, body: Value::Null }, body))
    }
}

impl Watch {
    /// The next line; `None` at the end of the watch or at the deadline.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Value>, ServerError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(decoded(&line)));
            }
            let Ok(frame) = timeout_at(deadline, self.body.frame()).await else { return Ok(None) };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(ServerError::Body(self.server, error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ServerError::Body(self.server, format!("a line of more than {MAX_LINE} bytes")));
            }
        }
    }

    /// The body of an answer that is no watch, such as a refusal.
    pub async fn refusal(mut self) -> Result<Answer, ServerError> {
        let read = timeout(BODY_DEADLINE, self.body.collect()).await;
        let read = read.map_err(|_| ServerError::Body(self.server, "it did not end".into()))?;
        let rest = read.map_err(|error| ServerError::Body(self.server, error.to_string()))?.to_bytes();
        self.buffer.extend_from_slice(&rest);
        Ok(Answer { body: decoded(&self.buffer), ..self.head })
    }
}

fn decoded(bytes: &[u8]) -> Value {
    match bytes {
        [] => Value::Null,
        bytes => serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
    }
}
