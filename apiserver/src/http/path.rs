//! What a URL path names.

use std::borrow::Cow;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/<group>`.
    Group(String),
    /// `/api/v1`, `/apis/<group>/<version>`.
    Resources {
        /// Empty for the core group.
        group: String,
        version: String,
    },
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/<path>`.
    OpenApi { group: String, version: String },
    /// A collection, an object, or a sub-resource of one.
    Resource(Address),
    /// Nothing known.
    Unknown,
}

/// A collection, an object, or a sub-resource of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Address {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// Reads a path. A trailing slash changes nothing.
    pub(crate) fn parse(path: &str) -> Self {
        let Some(segments) = path.trim_matches('/').split('/').map(decode).collect::<Option<Vec<_>>>() else {
            return Self::Unknown;
        };
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        match segments.as_slice() {
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", "api", version] => {
                Self::OpenApi { group: String::new(), version: (*version).to_owned() }
            }
            ["openapi", "v3", "apis", group, version] => {
                Self::OpenApi { group: (*group).to_owned(), version: (*version).to_owned() }
            }
            ["api", version] => Self::Resources { group: String::new(), version: (*version).to_owned() },
            ["apis", group] => Self::Group((*group).to_owned()),
            ["apis", group, version] => {
                Self::Resources { group: (*group).to_owned(), version: (*version).to_owned() }
            }
            ["api", version, rest @ ..] => resource("", version, rest),
            ["apis", group, version, rest @ ..] => resource(group, version, rest),
            _ => Self::Unknown,
        }
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Target {
    let address = |namespace: Option<&str>, plural: &str, name: Option<&str>, subresource: Option<&str>| {
        Target::Resource(Address {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            plural: plural.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    };
    match rest {
        // The sub-resources of a namespace look like collections in it.
        ["namespaces", name, subresource @ ("status" | "finalize")] => {
            address(None, "namespaces", Some(name), Some(subresource))
        }
        ["namespaces", namespace, plural] => address(Some(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => address(Some(namespace), plural, Some(name), None),
        ["namespaces", namespace, plural, name, subresource] => {
            address(Some(namespace), plural, Some(name), Some(subresource))
        }
        [plural] => address(None, plural, None, None),
        [plural, name] => address(None, plural, Some(name), None),
        [plural, name, subresource] => address(None, plural, Some(name), Some(subresource)),
        _ => Target::Unknown,
    }
}

/// Takes percent-encoding off one segment; `None` where it is broken or the segment is empty.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if segment.is_empty() {
        return None;
    }
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (pair, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &str) -> Address {
        match Target::parse(path) {
            Target::Resource(address) => address,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_name_collections_objects_and_subresources() {
        let pods = address("/api/v1/namespaces/ns/pods");
        assert_eq!((pods.namespace.as_deref(), pods.plural.as_str(), pods.name), (Some("ns"), "pods", None));
        let binding = address("/api/v1/namespaces/ns/pods/web-0/binding");
        assert_eq!(binding.subresource.as_deref(), Some("binding"));
        let scale = address("/apis/g.io/v1/namespaces/ns/games/a/scale/");
        assert_eq!((scale.group.as_str(), scale.subresource.as_deref()), ("g.io", Some("scale")));
        assert_eq!(address("/api/v1/pods").namespace, None);
        assert_eq!(address("/api/v1/nodes/n1").name.as_deref(), Some("n1"));
        assert_eq!(address("/apis/rbac/v1/roles/system%3Anode").name.as_deref(), Some("system:node"));
    }

    #[test]
    fn namespaces_have_subresources_of_their_own() {
        let namespace = address("/api/v1/namespaces/ns");
        assert_eq!((namespace.plural.as_str(), namespace.name.as_deref()), ("namespaces", Some("ns")));
        let finalize = address("/api/v1/namespaces/ns/finalize");
        assert_eq!((finalize.namespace, finalize.subresource.as_deref()), (None, Some("finalize")));
    }

    #[test]
    fn discovery_and_unknown_paths_are_told_apart() {
        assert_eq!(Target::parse("/api/"), Target::CoreVersions);
        assert_eq!(Target::parse("/apis/g"), Target::Group("g".into()));
        assert_eq!(
            Target::parse("/api/v1"),
            Target::Resources { group: String::new(), version: "v1".into() }
        );
        for unknown in ["/", "/x", "/api//pods", "/api/v1/namespaces/a/b/c/d/e", "/api/v1/pods/%zz"] {
            assert_eq!(Target::parse(unknown), Target::Unknown, "{unknown}");
        }
    }
}
