//! One HTTP/2 connection to one server, shared by everything a client does: requests and watches are
//! streams of it.
//!
//! kube's own transport speaks HTTP/1.1 and opens a connection for every live watch. A hub with many
//! members, and a NAT in between, is better served by one connection per agent. Pings notice a peer that
//! is gone without a word.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::Body;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::Tasks;
use crate::error::chain;
use crate::tls::{Certificate, ClientTls, TlsError};

/// How long everything may take until a new connection has answered: name, TCP, TLS, first answer. Shorter than a client
/// waits for an answer, or it would hear that it waited, and not why there is no connection.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(8);

const _: () = assert!(CONNECT_DEADLINE.as_secs() < crate::client::ANSWER_DEADLINE.as_secs());

/// How long TCP may take, over all addresses that a name has: each gets its share of what is left.
const DIAL_DEADLINE: Duration = Duration::from_secs(6);

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection is pinged when it was silent for this long.
pub const PING_EVERY: Duration = Duration::from_secs(10);

/// A connection whose ping is not answered within this time is given up.
pub const PING_DEADLINE: Duration = Duration::from_secs(10);

/// The first pause after an attempt that failed; it doubles with each further one. Who asks meanwhile
/// is told of that failure: however many ask, there is one attempt at a time.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long the end of a connection may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is asked of a new connection: its answer, whatever it is, shows that the server has accepted
/// our certificate, which in TLS 1.3 it says only after the handshake.
const HELLO: &str = "/livez";

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    host: String,
    port: u16,
    /// The path that everything is under; empty for none.
    prefix: String,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No address at all.
    #[error("{url:?} is not an address; write https://HOST:PORT")]
    Invalid {
        /// What was given.
        url: String,
    },
    /// A name or a password in the address. It is not repeated: addresses are logged.
    #[error(
        "an address with a user or a password in it is refused; write https://HOST:PORT, and name certificates by their flags"
    )]
    Credentials,
    /// Plain HTTP to another machine.
    #[error(
        "{url}: plain http would show everything to everybody on the way; write https://, or use a loopback address"
    )]
    Plain {
        /// What was given.
        url: String,
    },
}

/// Why there is no connection. Says what was tried, what is wrong and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Our own files cannot be used.
    #[error(transparent)]
    Files(Arc<TlsError>),
    /// The host has no address.
    #[error("{url}: host {host} cannot be resolved: {reason}; check --hub, and that DNS answers here")]
    Resolve {
        /// Where to.
        url: String,
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Nobody accepts connections.
    #[error("{url}: no connection: {reason}; check that the hub runs there and that no firewall is between")]
    Tcp {
        /// Where to.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// It takes too long.
    #[error(
        "{url}: no answer within {} s; check that the hub runs there and that no firewall is between",
        CONNECT_DEADLINE.as_secs()
    )]
    Deadline {
        /// Where to.
        url: String,
    },
    /// One side does not accept the other's certificate, or there is no TLS.
    #[error("{url}: {explained}")]
    Tls {
        /// Where to.
        url: String,
        /// What is wrong and what to do.
        explained: String,
    },
    /// The connection broke before it answered.
    #[error(
        "{url}: the connection broke before anything was answered: {reason}; check that this is a hub's port"
    )]
    Broken {
        /// Where to.
        url: String,
        /// What is known.
        reason: String,
    },
}

/// A service that sends every request over one connection, made when it is first needed and again
/// when it was lost. Clones share the connection.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    target: Target,
    tls: Option<ClientTls>,
    tasks: Tasks,
    /// Held while connecting, so that there is one attempt at a time.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    sender: Option<SendRequest<Body>>,
    failed: Option<Failed>,
}

struct Failed {
    error: ConnectError,
    until: Instant,
    pause: Duration,
}

// === impl Target ===

impl Target {
    /// The server at `url`, such as `https://hub.example.com:8443`.
    pub fn new(url: &str) -> Result<Self, TargetError> {
        if url.contains('@') {
            return Err(TargetError::Credentials);
        }
        let invalid = || TargetError::Invalid { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let (Some(scheme), Some(authority)) = (uri.scheme().cloned(), uri.authority().cloned()) else {
            return Err(invalid());
        };
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(invalid()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(default_port);
        let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if scheme == Scheme::HTTP && !loopback {
            return Err(TargetError::Plain { url: url.to_owned() });
        }
        if uri.query().is_some() || host.is_empty() {
            return Err(invalid());
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, host, port, prefix })
    }

    /// Whether it is spoken to in TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    fn uri(&self, rest: &str) -> Result<Uri, http::Error> {
        let path = PathAndQuery::try_from(format!("{}{rest}", self.prefix))?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

// === impl Channel ===

impl Channel {
    /// A channel to `target`; with TLS as `tls` says, without any where there is none. Connections
    /// end with `tasks`.
    pub fn new(target: Target, tls: Option<ClientTls>, tasks: &Tasks) -> Self {
        Self(Arc::new(Inner { target, tls, tasks: tasks.clone(), state: tokio::sync::Mutex::default() }))
    }

    async fn sender(&self) -> Result<SendRequest<Body>, ConnectError> {
        let mut state = self.0.state.lock().await;
        if let Some(sender) = state.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        state.sender = None;
        if let Some(failed) = state.failed.as_ref().filter(|failed| Instant::now() < failed.until) {
            return Err(failed.error.clone());
        }
        let deadline = || ConnectError::Deadline { url: self.0.target.to_string() };
        let connected = tokio::time::timeout(CONNECT_DEADLINE, self.connect()).await;
        match connected.unwrap_or_else(|_| Err(deadline())) {
            Ok(sender) => {
                state.failed = None;
                state.sender = Some(sender.clone());
                Ok(sender)
            }
            Err(error) => {
                let before = state.failed.as_ref().map(|failed| failed.pause);
                let pause = before.map_or(PAUSE_MIN, |pause| (pause * 2).min(PAUSE_MAX));
                state.failed = Some(Failed { error: error.clone(), until: Instant::now() + pause, pause });
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, ConnectError> {
        let Inner { target, tls, .. } = &*self.0;
        let url = target.to_string();
        let Some(tls) = tls else {
            let stream = dial(target).await?;
            return self.begin(stream, |_| None).await;
        };
        let loaded = tls.read().map_err(|error| ConnectError::Files(Arc::new(error)))?;
        let explained = |error: &rustls::Error| ConnectError::Tls {
            url: url.clone(),
            explained: tls.explain(error, &loaded.own),
        };
        let name = ServerName::try_from(target.host.clone()).map_err(|error| ConnectError::Tls {
            url: url.clone(),
            explained: format!("{:?} is no host name: {error}; check --hub", target.host),
        })?;
        let stream = dial(target).await?;
        let stream = TlsConnector::from(loaded.config).connect(name, stream).await.map_err(|error| {
            rustls_error(&error).map_or_else(
                || ConnectError::Broken { url: url.clone(), reason: error.to_string() },
                explained,
            )
        })?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(b"h2") {
            let explained = crate::tls::no_http2();
            return Err(ConnectError::Tls { url, explained });
        }
        let theirs = session.peer_certificates().and_then(<[_]>::first);
        let theirs = theirs.and_then(|der| Certificate::from_der(der).ok());
        let sender = self.begin(stream, |error| rustls_error(error).map(explained)).await?;
        tracing::info!(
            hub = url,
            until = theirs.map(|theirs| theirs.not_after.to_string()),
            own_until = %loaded.own.not_after,
            "connected to the hub"
        );
        Ok(sender)
    }

    /// Speaks HTTP/2 over a stream, and waits for a first answer.
    async fn begin<S>(
        &self,
        stream: S,
        explain: impl Fn(&std::io::Error) -> Option<ConnectError>,
    ) -> Result<SendRequest<Body>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let url = self.0.target.to_string();
        let broken = |reason: String| ConnectError::Broken { url: url.clone(), reason };
        let trouble = Trouble::default();
        let stream = Watched { stream, trouble: trouble.clone() };
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_DEADLINE)
            .keep_alive_while_idle(true);
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = made.map_err(|error| broken(chain(&error)))?;
        let ended = url.clone();
        let driver = self.0.tasks.spawn("hub-connection", async move {
            match connection.await {
                Ok(()) => tracing::info!(hub = ended, "the hub closed the connection"),
                Err(error) => {
                    tracing::info!(hub = ended, error = chain(&error), "the connection to the hub is lost");
                }
            }
        });
        let hello = async {
            let request = Request::get(self.0.target.uri(HELLO)?).body(Body::empty())?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sender.send_request(request).await?)
        };
        match hello.await {
            Ok(_) => Ok(sender),
            Err(error) => {
                drop(sender);
                let _ = tokio::time::timeout(LAST_WORDS, driver).await;
                let met = trouble.0.lock().take();
                let told = met.as_ref().and_then(explain);
                let reason = met.map_or_else(|| chain(&*error), |met| met.to_string());
                Err(told.unwrap_or_else(|| broken(reason)))
            }
        }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, tower::BoxError> {
        let rest = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = self.0.target.uri(rest)?;
        // HTTP/2 has no such header: the authority stands in the address.
        request.headers_mut().remove(http::header::HOST);
        let mut sender = self.sender().await?;
        Ok(sender.send_request(request).await?)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A request waits for its connection itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

async fn dial(target: &Target) -> Result<TcpStream, ConnectError> {
    let url = target.to_string();
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(ConnectError::Resolve { url, host: target.host.clone(), reason: error.to_string() });
        }
    };
    let stream = first_of(&addresses, TcpStream::connect).await;
    let stream = stream.map_err(|reason| ConnectError::Tcp { url, reason })?;
    // A report or a heartbeat is small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off delayed sending");
    }
    Ok(stream)
}

/// Connects to the first of these addresses that accepts. One that is silent does not use up the time of the others.
async fn first_of<S, F>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> F) -> Result<S, String>
where
    F: Future<Output = std::io::Result<S>>,
{
    let deadline = Instant::now() + DIAL_DEADLINE;
    let tried = addresses.len().min(MAX_ADDRESSES);
    let mut failures = Vec::new();
    // The one address of a name that has no other says nothing new.
    let of = |address: &SocketAddr| if tried > 1 { format!("{address}: ") } else { String::new() };
    for (done, address) in addresses.iter().take(tried).enumerate() {
        let left = u32::try_from(tried - done).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failures.push(format!("{}{error}", of(address))),
            Err(_) => failures.push(format!("{}no answer within {:.1} s", of(address), share.as_secs_f64())),
        }
    }
    Err(if failures.is_empty() { "the name has no address".to_owned() } else { failures.join("; ") })
}

/// The TLS error within an error of a stream.
fn rustls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The first error that a stream met, kept because the HTTP/2 library passes on only its text.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<std::io::Error>>>);

/// A stream that remembers its first error.
struct Watched<S> {
    stream: S,
    trouble: Trouble,
}

impl<S> Watched<S> {
    fn note<T>(&self, polled: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        let Poll::Ready(Err(error)) = polled else { return polled };
        let shown = std::io::Error::new(error.kind(), error.to_string());
        let mut trouble = self.trouble.0.lock();
        // What TLS says tells more than a broken pipe.
        let better = rustls_error(&error).is_some();
        if trouble.as_ref().is_none_or(|met| better && rustls_error(met).is_none()) {
            *trouble = Some(error);
        }
        Poll::Ready(Err(shown))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
