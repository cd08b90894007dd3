//! Requests that write.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Method, StatusCode, header, request::Parts};
use serde_json::Value;

use super::{
    accept, key, list,
    path::Address,
    present::{ListMeta, Presenter},
    query::{ListOptions, Params, WriteOptions},
    unknown_subresource,
};
use crate::{
    Key, Resource, Status, cluster,
    status::warn,
    write::{self, DeleteOptions, JSON_PATCHES, PatchKind, Target, Written, scale_of},
};

/// The largest request body: what etcd, and so Kubernetes, would take.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A request that writes.
pub(super) struct Request<'a> {
    pub(super) cluster: &'a Arc<cluster::Inner>,
    pub(super) resource: &'a Arc<Resource>,
    pub(super) address: &'a Address,
    pub(super) params: &'a Params,
    pub(super) parts: &'a Parts,
}

impl Request<'_> {
    /// Does what the verb says.
    pub(super) async fn answer(&self, verb: &str, body: Body) -> Result<Response, Status> {
        let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| Status::too_large(MAX_BODY))?;
        let agent = self.parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let options = WriteOptions::parse(self.params, agent.unwrap_or_default())?;
        let target = self.target(&options)?;
        match verb {
            "create" => self.create(&target, &body),
            "update" | "patch" => self.change(&target, &body),
            "delete" => self.delete(&target, &body),
            _ => self.delete_collection(&body),
        }
    }

    fn target<'b>(&'b self, options: &'b WriteOptions) -> Result<Target<'b>, Status> {
        let key = match &self.address.name {
            Some(name) => key(self.resource, self.address, name)?,
            None => Key { namespace: self.address.namespace.as_deref().map(Into::into), name: "".into() },
        };
        Ok(Target { resource: self.resource, key, subresource: self.address.subresource.as_deref(), options })
    }

    fn create(&self, target: &Target<'_>, body: &[u8]) -> Result<Response, Status> {
        let Some(subresource) = target.subresource else {
            if self.address.name.is_some() || (self.resource.namespaced && self.address.namespace.is_none()) {
                return Err(Status::method_not_allowed());
            }
            let input = write::decode(&self.parts.headers, body)?;
            return self.written(&self.cluster.create(target, input)?);
        };
        let pods = self.resource.group.is_empty() && &*self.resource.plural == "pods";
        match subresource {
            "binding" if pods => {
                self.cluster.bind(target, &write::decode(&self.parts.headers, body)?.value)?;
            }
            "eviction" if pods => {
                self.cluster.evict(target, &write::decode(&self.parts.headers, body)?.value)?;
            }
            "status" | "scale" => return Err(Status::method_not_allowed()),
            other => return Err(unknown_subresource(self.resource, other)),
        }
        let mut success = Status::new(StatusCode::CREATED, "", "").to_json();
        success["code"] = 201.into();
        Ok(list::json(StatusCode::CREATED, success.to_string()))
    }

    fn change(&self, target: &Target<'_>, body: &[u8]) -> Result<Response, Status> {
        let kind = if self.parts.method == Method::PATCH {
            let media_type = write::media_type(&self.parts.headers);
            Some(PatchKind::of(&media_type).ok_or_else(|| Status::unsupported_media_type(&JSON_PATCHES))?)
        } else {
            None
        };
        if kind == Some(PatchKind::Apply) && self.params.get("fieldManager").is_none() {
            let problem = "fieldManager: Required value: is required for apply patch";
            return Err(super::query::invalid_options(problem));
        }
        match target.subresource {
            None => {}
            Some("status") if self.resource.status => {}
            Some("finalize") if self.resource.group.is_empty() && &*self.resource.plural == "namespaces" => {}
            Some("scale") if self.resource.scale.is_some() => return self.change_scale(target, kind, body),
            Some("binding" | "eviction") => return Err(Status::method_not_allowed()),
            Some(other) => return Err(unknown_subresource(self.resource, other)),
        }
        let written = match kind {
            Some(kind) => self.cluster.patch(target, kind, body)?,
            None => self.cluster.update(target, write::decode(&self.parts.headers, body)?)?,
        };
        self.written(&written)
    }

    fn change_scale(
        &self,
        target: &Target<'_>,
        kind: Option<PatchKind>,
        body: &[u8],
    ) -> Result<Response, Status> {
        let paths = self.resource.scale.as_ref().ok_or_else(Status::no_such_resource)?;
        let written = self.cluster.write_scale(target, paths, kind, body)?;
        let object: Value = serde_json::from_slice(&written.object.body.bytes()).map_err(Status::internal)?;
        Ok(list::json(StatusCode::OK, scale_of(paths, &object).to_string()))
    }

    fn delete(&self, target: &Target<'_>, body: &[u8]) -> Result<Response, Status> {
        if let Some(subresource) = target.subresource {
            return Err(match subresource {
                "status" | "scale" | "finalize" => Status::method_not_allowed(),
                other => unknown_subresource(self.resource, other),
            });
        }
        let options = self.delete_options(body)?;
        let deleted = self.cluster.delete(self.resource, &target.key, &options)?;
        if target.answers_with_object(deleted.gone) {
            let presenter = self.presenter()?;
            return Ok(list::json(StatusCode::OK, presenter.single(&deleted.object)));
        }
        let status = Status::success(&self.resource.group_resource(), &target.key.name, &deleted.object.uid);
        Ok(list::json(StatusCode::OK, status.to_json().to_string()))
    }

    fn delete_collection(&self, body: &[u8]) -> Result<Response, Status> {
        let namespaces = self.resource.group.is_empty() && &*self.resource.plural == "namespaces";
        if namespaces || (self.resource.namespaced && self.address.namespace.is_none()) {
            return Err(Status::method_not_allowed());
        }
        let options = self.delete_options(body)?;
        let listed = ListOptions::parse(self.params)?;
        let selector = list::selector(self.resource, &listed.labels, &listed.fields)?;
        let objects = self.cluster.select(self.resource, self.address.namespace.as_deref(), &selector)?;
        let deleted = self.cluster.delete_collection(self.resource, &objects, &options)?;
        let version = deleted.iter().map(|object| object.version).max().unwrap_or_default();
        let meta = ListMeta { version, ..ListMeta::default() };
        Ok(list::respond(self.presenter()?, meta, deleted))
    }

    fn delete_options(&self, body: &[u8]) -> Result<DeleteOptions, Status> {
        let body = match body {
            [] => None,
            body => Some(write::decode(&self.parts.headers, body)?.value),
        };
        DeleteOptions::parse(self.params, body.as_ref())
    }

    fn presenter(&self) -> Result<Presenter, Status> {
        let format = accept::format(&self.parts.headers, true)?;
        Presenter::new(self.resource.clone(), format, self.params.get("includeObject"), self.cluster.time())
    }

    fn written(&self, written: &Written) -> Result<Response, Status> {
        let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let body: Bytes = self.presenter()?.single(&written.object);
        let mut response = list::json(code, body).into_response();
        warn(response.headers_mut(), &written.warnings);
        Ok(response)
    }
}
