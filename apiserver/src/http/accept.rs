//! What form of answer a client wants.

use http::{HeaderMap, header};

use crate::Status;

/// What objects are sent as. Kubernetes names what it could send too; of that, this server sends JSON.
const OBJECTS: [&str; 5] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
/// What is sent in other forms than objects.
const DISCOVERY: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How objects are written in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The objects themselves.
    Json,
    /// `meta.k8s.io` Table, in `v1` or `v1beta1`.
    Table(&'static str),
    /// `meta.k8s.io` PartialObjectMetadata, in `v1` or `v1beta1`.
    Metadata(&'static str),
}

/// How the list of all groups is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiscoveryFormat {
    /// One document for everything, in this version of `apidiscovery.k8s.io`.
    Aggregated(&'static str),
    /// One document for each group and version.
    Legacy,
}

/// One alternative of an Accept header.
struct Offer<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Offer<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn is_json(&self) -> bool {
        matches!(self.media_type, "application/json" | "*/*")
    }

    fn version(&self) -> Option<&'static str> {
        match self.parameter("v") {
            Some("v1") | None => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            Some(_) => None,
        }
    }
}

/// The first alternative that can be served. Protobuf and others are passed over.
pub(crate) fn format(headers: &HeaderMap, tables: bool) -> Result<Format, Status> {
    let accept = accept(headers);
    let mut json = false;
    for offer in offers(&accept).filter(Offer::is_json) {
        json = true;
        match (offer.parameter("as"), offer.version()) {
            (None, _) => return Ok(Format::Json),
            (Some("Table"), Some(version)) if tables => return Ok(Format::Table(version)),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some(version)) => {
                return Ok(Format::Metadata(version));
            }
            _ => {}
        }
    }
    // JSON would do, but not as anything that objects can be.
    Err(if json { Status::not_acceptable(&DISCOVERY) } else { Status::nothing_acceptable(&OBJECTS) })
}

/// The form of discovery wanted.
pub(crate) fn discovery(headers: &HeaderMap) -> Result<DiscoveryFormat, Status> {
    let accept = accept(headers);
    for offer in offers(&accept).filter(Offer::is_json) {
        match (offer.parameter("as"), offer.parameter("v")) {
            (None, _) => return Ok(DiscoveryFormat::Legacy),
            (Some("APIGroupDiscoveryList"), Some("v2")) => return Ok(DiscoveryFormat::Aggregated("v2")),
            _ => {}
        }
    }
    Err(Status::not_acceptable(&DISCOVERY))
}

fn accept(headers: &HeaderMap) -> String {
    let values: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if values.is_empty() { "*/*".to_owned() } else { values.join(",") }
}

fn offers(accept: &str) -> impl Iterator<Item = Offer<'_>> {
    accept.split(',').map(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let media_type = pieces.next().unwrap_or_default();
        let parameters = pieces.filter_map(|piece| piece.split_once('=')).collect();
        Offer { media_type, parameters }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
        headers
    }

    #[test]
    fn the_first_form_that_can_be_served_counts() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(format(&headers(kubectl), true), Ok(Format::Table("v1")));
        assert_eq!(format(&headers(kubectl), false), Ok(Format::Json));
        assert_eq!(format(&headers("application/vnd.kubernetes.protobuf, */*"), true), Ok(Format::Json));
        assert_eq!(
            format(&headers("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"), true),
            Ok(Format::Metadata("v1"))
        );
        assert_eq!(format(&HeaderMap::new(), true), Ok(Format::Json));
        assert_eq!(
            format(&headers("application/vnd.kubernetes.protobuf"), true).map_err(|s| s.code),
            Err(406)
        );
    }

    #[test]
    fn discovery_is_aggregated_when_asked_for() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(&headers(kubectl)), Ok(DiscoveryFormat::Aggregated("v2")));
        assert_eq!(discovery(&headers("application/json")), Ok(DiscoveryFormat::Legacy));
    }
}
