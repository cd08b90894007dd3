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
    accept, is_pods, key, list,
    path::Address,
    present::{ListMeta, Presenter},
    query::{ListOptions, OptionsOf, Params, WriteOptions},
    refused_subresource,
};
use crate::{
    Key, Resource, Status, cluster,
    registry::text,
    status::warn,
    write::{self, CUSTOM_PATCHES, DeleteOptions, PatchKind, RESIZE, Target, Written, scale_of},
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
        let of = self.options_of(verb)?;
        let options = WriteOptions::parse(self.params, agent.unwrap_or_default(), of)?;
        let target = self.target(&options)?;
        match verb {
            "create" => self.create(&target, &body),
            "update" | "patch" => self.change(&target, &body),
            "delete" => self.delete(&target, &body),
            _ => self.delete_collection(&body),
        }
    }

    /// What kind of options a request has.
    fn options_of(&self, verb: &str) -> Result<OptionsOf, Status> {
        Ok(match verb {
            "create" => OptionsOf::Create,
            "update" => OptionsOf::Update,
            "patch" if self.patch_kind()? == PatchKind::Apply => OptionsOf::Apply,
            "patch" => OptionsOf::Patch,
            _ => OptionsOf::Delete,
        })
    }

    fn patch_kind(&self) -> Result<PatchKind, Status> {
        let refused = || {
            if self.resource.custom {
                return Status::unsupported_media_type(&CUSTOM_PATCHES);
            }
            let message = "415: Unsupported Media Type";
            Status::generic(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
        };
        PatchKind::of(&write::media_type(&self.parts.headers)).ok_or_else(refused)
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
        let pods = is_pods(self.resource);
        match subresource {
            "binding" if pods => {
                let binding = write::decode(&self.parts.headers, body)?.value;
                // A binding may be sent to its collection, and then names the pod itself.
                let name = self.address.name.as_deref().unwrap_or_else(|| text(&binding, "/metadata/name"));
                let key = Key { name: name.into(), ..target.key.clone() };
                self.cluster.bind(&Target { key, ..*target }, &binding)?;
            }
            "eviction" if pods => {
                self.cluster.evict(target, &write::decode(&self.parts.headers, body)?.value)?;
            }
            other => return Err(self.refuse(other)),
        }
        let mut success = Status::new(StatusCode::CREATED, "", "").to_json();
        success["code"] = 201.into();
        Ok(list::json(StatusCode::CREATED, success.to_string()))
    }

    fn change(&self, target: &Target<'_>, body: &[u8]) -> Result<Response, Status> {
        let kind = if self.parts.method == Method::PATCH { Some(self.patch_kind()?) } else { None };
        match target.subresource {
            None => {}
            Some("status") if self.resource.status => {}
            Some(RESIZE) if is_pods(self.resource) => {}
            Some("finalize") if is_namespaces(self.resource) && kind.is_none() => {}
            Some("scale") if self.resource.scale.is_some() => return self.change_scale(target, kind, body),
            Some(other) => return Err(self.refuse(other)),
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
            return Err(self.refuse(subresource));
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
        if is_namespaces(self.resource) || (self.resource.namespaced && self.address.namespace.is_none()) {
            return Err(Status::method_not_allowed());
        }
        let options = self.delete_options(body)?;
        let listed = ListOptions::parse(self.params)?;
        let selector = list::selector(self.resource, &listed.labels, &listed.fields)?;
        let found = self.cluster.select(self.resource, self.address.namespace.as_deref(), &selector)?;
        let deleted = self.cluster.delete_collection(self.resource, &found.objects, &options)?;
        let meta = ListMeta { version: found.version, ..ListMeta::default() };
        Ok(list::respond(self.presenter()?, meta, deleted))
    }

    /// Why a sub-resource does not take this verb.
    fn refuse(&self, subresource: &str) -> Status {
        refused_subresource(self.resource, subresource, self.address.name.as_deref().unwrap_or_default())
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

fn is_namespaces(resource: &Resource) -> bool {
    resource.group.is_empty() && &*resource.plural == "namespaces"
}
