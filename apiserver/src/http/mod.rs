//! The protocol over HTTP.

mod accept;
mod discovery;
mod list;
pub(crate) mod metrics;
mod path;
mod present;
pub(crate) mod query;
mod watch;
mod write;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::{
    accept::DiscoveryFormat,
    discovery::Access,
    path::{Address, Target},
    present::Presenter,
    query::{ListOptions, Params},
};
use crate::{
    Catalog, Cause, Key, Metrics, Now, RequestLabels, Resource, Source, Status, cluster,
    openapi::{Documents, Operations},
    status::warn,
    write::{RESIZE, scale_of},
};

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// How often an idle watch that asked for bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// How [`read_router`] serves.
#[derive(Clone)]
pub struct ReadOptions {
    /// Time of day, for the ages in tables.
    pub now: Now,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// How often an idle watch that asked for bookmarks gets one.
    pub bookmark_interval: Duration,
}

impl ReadOptions {
    /// The usual options.
    pub fn new(now: Now) -> Self {
        Self { now, metrics: Metrics::default(), bookmark_interval: BOOKMARK_INTERVAL }
    }
}

/// Serves a source as a read-only Kubernetes API: discovery, OpenAPI, get, list, watch and tables. Every write is 405.
///
/// A path outside the catalog is 404. Routes of one's own go before it: `own.fallback_service(read_router(..))`.
pub fn read_router(source: Arc<dyn Source>, options: ReadOptions) -> Router {
    router_of(Server { source, cluster: None, options, documents: Mutex::default() })
}

pub(crate) fn router(cluster: Arc<cluster::Inner>) -> Router {
    let options =
        ReadOptions { metrics: cluster.metrics.clone(), ..ReadOptions::new(cluster.config.now.clone()) };
    router_of(Server {
        source: cluster_source(&cluster),
        cluster: Some(cluster),
        options,
        documents: Mutex::default(),
    })
}

/// The read side of a cluster's store.
fn cluster_source(cluster: &cluster::Inner) -> Arc<dyn Source> {
    cluster.store.clone()
}

fn router_of(server: Server) -> Router {
    let metrics = server.options.metrics.clone();
    Router::new()
        .route("/readyz", any(healthy))
        .route("/livez", any(healthy))
        .route("/healthz", any(healthy))
        .route("/version", any(versioned))
        .route("/metrics", get(move || async move { metrics.to_text() }))
        .fallback(serve)
        .with_state(Arc::new(server))
}

async fn healthy(method: Method) -> Result<&'static str, Status> {
    if method == Method::GET { Ok("ok") } else { Err(Status::method_not_allowed()) }
}

async fn versioned(method: Method) -> Result<axum::Json<Value>, Status> {
    if method == Method::GET { Ok(axum::Json(version())) } else { Err(Status::method_not_allowed()) }
}

/// What `/version` answers: the Kubernetes version whose API is spoken, and ours.
pub(crate) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": concat!("v1.33.0-muster.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    })
}

/// What requests are answered from.
struct Server {
    source: Arc<dyn Source>,
    /// Where writes go; `None` for a read-only API.
    cluster: Option<Arc<cluster::Inner>>,
    options: ReadOptions,
    documents: Mutex<Option<(Arc<Catalog>, Arc<Documents>)>>,
}

/// What a request is counted as.
#[derive(Default)]
struct Counted {
    verb: &'static str,
    resource: Arc<str>,
    subresource: Arc<str>,
    /// What every client of a deprecated version is told.
    deprecation: Option<Arc<str>>,
}

async fn serve(State(server): State<Arc<Server>>, request: Request) -> Response {
    let mut counted = Counted::default();
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = server.options.metrics.user_agent(agent);
    let mut response = server.answer(request, &mut counted).await.unwrap_or_else(IntoResponse::into_response);
    if let Some(deprecation) = &counted.deprecation {
        let headers = response.headers_mut();
        let others: Vec<_> = headers.get_all(header::WARNING).iter().cloned().collect();
        headers.remove(header::WARNING);
        warn(headers, &[deprecation.to_string()]);
        for other in others {
            headers.append(header::WARNING, other);
        }
    }
    server.options.metrics.record(RequestLabels {
        verb: counted.verb,
        resource: counted.resource,
        subresource: counted.subresource,
        user_agent,
        code: response.status().as_u16(),
    });
    response
}

impl Server {
    async fn answer(&self, request: Request, counted: &mut Counted) -> Result<Response, Status> {
        let (parts, body) = request.into_parts();
        let catalog = self.source.catalog();
        let mut address = match Target::parse(parts.uri.path()) {
            Target::Resource(address) => address,
            Target::Unknown => return unknown_path(&catalog, parts.uri.path()),
            Target::Group(group) | Target::Resources { group, .. } if !has_group(&catalog, &group) => {
                return Ok(page_not_found());
            }
            _ if parts.method != Method::GET => return Err(Status::method_not_allowed()),
            target => return self.discover(&catalog, &target, &parts),
        };
        if address.group.is_empty() && address.plural == "bindings" && address.name.is_none() {
            if parts.method != Method::POST {
                return Err(Status::method_not_allowed());
            }
            "pods".clone_into(&mut address.plural);
            address.subresource = Some("binding".to_owned());
        }
        let Some(resource) = catalog.find(&address.group, &address.version, &address.plural).cloned() else {
            return no_such_path(&catalog, &address.group);
        };
        counted.resource = resource.plural.clone();
        counted.deprecation.clone_from(&resource.deprecation);
        counted.subresource = address.subresource.as_deref().unwrap_or_default().into();
        let params = Params::parse(&parts.uri)?;
        let replaces = matches!(parts.method, Method::PUT | Method::PATCH);
        if resource.custom && replaces && address.name.is_none() && self.cluster.is_some() {
            return Err(Status::bad_request("name must be provided"));
        }
        counted.verb = verb(&parts.method, &address, &params)?;
        if address.namespace.is_some() && !resource.namespaced {
            return Err(Status::no_such_resource());
        }
        if matches!(counted.verb, "get" | "list" | "watch") {
            return self.read(&resource, &address, &params, &parts);
        }
        let Some(cluster) = &self.cluster else { return Err(Status::method_not_allowed()) };
        let request = write::Request {
            cluster,
            resource: &resource,
            address: &address,
            params: &params,
            parts: &parts,
        };
        request.answer(counted.verb, body).await
    }

    fn read(
        &self,
        resource: &Arc<Resource>,
        address: &Address,
        params: &Params,
        parts: &Parts,
    ) -> Result<Response, Status> {
        let format = accept::format(&parts.headers, true)?;
        let now = (self.options.now)();
        let presenter = Presenter::new(resource.clone(), format, params.get("includeObject"), now)?;
        if let Some(name) = &address.name {
            let key = key(resource, address, name)?;
            let version = params.get("resourceVersion");
            return match address.subresource.as_deref() {
                None => list::get(&*self.source, resource, &key, version, &presenter),
                Some(RESIZE) if is_pods(resource) => {
                    list::get(&*self.source, resource, &key, version, &presenter)
                }
                Some("status") if resource.status => {
                    list::get(&*self.source, resource, &key, version, &presenter)
                }
                Some("scale") if resource.scale.is_some() => self.scale(resource, &key),
                Some(other) => Err(refused_subresource(resource, other, name)),
            };
        }
        let options = ListOptions::parse(params)?;
        let namespace = address.namespace.as_deref();
        if options.watch {
            let interval = self.options.bookmark_interval;
            watch::watch(&*self.source, resource, namespace, &options, presenter, interval)
        } else {
            list::list(&*self.source, resource, namespace, &options, presenter)
        }
    }

    fn scale(&self, resource: &Resource, key: &Key) -> Result<Response, Status> {
        let paths = resource.scale.as_ref().ok_or_else(Status::no_such_resource)?;
        let object = self.source.get(&resource.stored_as, key)?;
        let object = object.ok_or_else(|| Status::not_found(&resource.group_resource(), &key.name))?;
        let value: Value = serde_json::from_slice(&object.body.bytes()).map_err(Status::internal)?;
        if value.pointer(&paths.spec_replicas.replace('.', "/")).is_none() {
            let problem = format!("the spec replicas field {:?} does not exist", paths.spec_replicas);
            let mut status = Status::internal(&problem);
            let cause = Cause { reason: String::new(), message: problem, field: String::new() };
            status.details.causes.push(cause);
            return Err(status);
        }
        Ok(list::json(StatusCode::OK, scale_of(paths, &value).to_string()))
    }

    /// The OpenAPI documents of a catalog; made once for each.
    fn openapi(&self, catalog: &Arc<Catalog>) -> Arc<Documents> {
        let mut cached = self.documents.lock();
        if let Some((of, documents)) = &*cached
            && Arc::ptr_eq(of, catalog)
        {
            return documents.clone();
        }
        let operations = if self.cluster.is_some() { Operations::All } else { Operations::Read };
        let documents = Arc::new(Documents::new(catalog, operations));
        *cached = Some((catalog.clone(), documents.clone()));
        documents
    }

    fn discover(&self, catalog: &Arc<Catalog>, target: &Target, parts: &Parts) -> Result<Response, Status> {
        let access = if self.cluster.is_some() { Access::Write } else { Access::Read };
        let document = match target {
            Target::CoreVersions | Target::Groups => {
                let core = *target == Target::CoreVersions;
                match accept::discovery(&parts.headers)? {
                    DiscoveryFormat::Aggregated(version) => {
                        return Ok(aggregated(
                            &discovery::aggregated(catalog, core, version, access),
                            version,
                        ));
                    }
                    DiscoveryFormat::Legacy if core => discovery::core_versions(),
                    DiscoveryFormat::Legacy => discovery::groups(catalog),
                }
            }
            Target::Group(name) => {
                let mut group = discovery::group(catalog, name).ok_or_else(Status::no_such_resource)?;
                group["kind"] = "APIGroup".into();
                group["apiVersion"] = "v1".into();
                group
            }
            Target::Resources { group, version } => {
                discovery::resources(catalog, group, version, access).ok_or_else(Status::no_such_resource)?
            }
            Target::OpenApiIndex => {
                let mut response = list::json(StatusCode::OK, self.openapi(catalog).index().clone());
                // JSON all the same; Kubernetes leaves it to Go to guess, and clients do not look.
                response.headers_mut().insert(header::CONTENT_TYPE, PLAIN_TEXT);
                return Ok(response);
            }
            Target::OpenApi { group, version } => {
                let documents = self.openapi(catalog);
                let Some(document) = documents.get(group, version) else {
                    return Ok(StatusCode::NOT_FOUND.into_response());
                };
                let mut response = list::json(StatusCode::OK, document.json.clone());
                if let Ok(tag) = format!("\"{}\"", document.hash).parse() {
                    response.headers_mut().insert(header::ETAG, tag);
                }
                return Ok(response);
            }
            Target::Resource(_) | Target::Unknown => return Err(Status::no_such_resource()),
        };
        Ok(list::json(StatusCode::OK, document.to_string()))
    }
}

fn is_pods(resource: &Resource) -> bool {
    resource.group.is_empty() && &*resource.plural == "pods"
}

/// Whether anything of a group is served.
fn has_group(catalog: &Catalog, group: &str) -> bool {
    group.is_empty() || catalog.groups().any(|(known, _)| &**known == group)
}

/// 404 for a path that names nothing.
fn unknown_path(catalog: &Catalog, path: &str) -> Result<Response, Status> {
    if path.starts_with("/api/") {
        return no_such_path(catalog, "");
    }
    match path.strip_prefix("/apis/").and_then(|rest| rest.split_once('/')) {
        Some((group, _)) => no_such_path(catalog, group),
        None => Ok(page_not_found()),
    }
}

/// 404 in a group of built-in kinds, a page that is not there elsewhere.
fn no_such_path(catalog: &Catalog, group: &str) -> Result<Response, Status> {
    let builtin = catalog.all().any(|resource| &*resource.group == group && !resource.custom);
    if builtin { Err(Status::no_such_resource()) } else { Ok(page_not_found()) }
}

/// What Go's HTTP server, and so Kubernetes, says where nobody serves a path.
fn page_not_found() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, PLAIN_TEXT)], "404 page not found\n").into_response()
}

fn aggregated(document: &Value, version: &str) -> Response {
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    ([(header::CONTENT_TYPE, content_type)], document.to_string()).into_response()
}

/// The Kubernetes verb of a request.
fn verb(method: &Method, address: &Address, params: &Params) -> Result<&'static str, Status> {
    Ok(match (method, address.name.is_some()) {
        (&Method::GET, true) => "get",
        (&Method::GET, false) if params.flag("watch") => "watch",
        (&Method::GET, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, true) => "update",
        (&Method::PATCH, true) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => return Err(Status::method_not_allowed()),
    })
}

/// The key that an address names.
fn key(resource: &Resource, address: &Address, name: &str) -> Result<Key, Status> {
    match (&address.namespace, resource.namespaced) {
        (Some(namespace), true) => Ok(Key::namespaced(namespace.as_str(), name)),
        (None, false) => Ok(Key::cluster(name)),
        _ => Err(Status::no_such_resource()),
    }
}

/// Why a sub-resource does not take a verb: it is 405 where it takes another, 501 where Kubernetes has it and this server
/// has not, and 404 otherwise.
fn refused_subresource(resource: &Resource, name: &str, of: &str) -> Status {
    let (scaled, group, plural) = (resource.scale.is_some(), &*resource.group, &*resource.plural);
    let taken = match name {
        "status" => resource.status,
        "scale" => scaled,
        "binding" | "eviction" | RESIZE => group.is_empty() && plural == "pods",
        "finalize" => group.is_empty() && plural == "namespaces",
        _ => false,
    };
    if taken {
        return Status::method_not_allowed();
    }
    if resource.custom {
        return Status::not_found(&resource.group_resource(), of);
    }
    let known: &[&str] = match (&*resource.group, &*resource.plural) {
        ("", "pods") => &["attach", "ephemeralcontainers", "exec", "log", "portforward", "proxy"],
        ("", "serviceaccounts") => &["token"],
        ("", "nodes" | "services") => &["proxy"],
        _ => &[],
    };
    if known.contains(&name) {
        Status::not_implemented(&format!("{}/{name}", resource.plural))
    } else {
        Status::no_such_resource()
    }
}
