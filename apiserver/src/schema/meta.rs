//! The schema of `metadata`, which every object has.

use std::sync::Arc;

use super::Schema;
use crate::builtin;

/// The schema of `metadata`: owner references are a map by uid, finalizers a set, managed fields atomic.
pub fn object_meta() -> Arc<Schema> {
    builtin::component("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap_or_default()
}
