//! HookTemplate and HookRun: what a game is asked before it is touched, and one asking of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HookArgument;
use crate::lenient::{Malformed, lenient, null_as_default};
use crate::schema;

/// Measurements that together say whether something may be done.
///
/// The fields are bk-bcs's. Sets name a template at their hook points, and each asking is a [`HookRun`] with a copy of
/// it. Look at `malformed` before acting on a spec.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tkex.tencent.com",
    version = "v1alpha1",
    kind = "HookTemplate",
    plural = "hooktemplates",
    namespaced,
    status = "HookTemplateStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Measurements that together say whether something may be done."
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "What is asked.")]
#[schemars(extend("required" = ["metrics"]))]
pub struct HookTemplateSpec {
    /// Arguments that the metrics mention as {{args.NAME}}; those without a value come from who asks.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<HookArgument>,
    /// What is measured.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Whether metrics are measured at once or one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Parallel"))]
    pub policy: Option<HookPolicy>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(HookTemplateSpec);

/// The status of a HookTemplate, which says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", default)]
pub struct HookTemplateStatus {
    /// What was there and is no status.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(HookTemplateStatus);

/// One asking: the copy of a template with all its arguments, and what was answered.
///
/// Look at `malformed` before acting on a spec.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tkex.tencent.com",
    version = "v1alpha1",
    kind = "HookRun",
    plural = "hookruns",
    namespaced,
    status = "HookRunStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One asking of a hook: what is measured, with all arguments, and what was answered.",
    printcolumn = r#"{"name":"PHASE","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"AGE","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
#[schemars(description = "What is asked.")]
#[schemars(extend("required" = ["metrics"]))]
pub struct HookRunSpec {
    /// Arguments, all with their values.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<HookArgument>,
    /// What is measured.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Whether metrics are measured at once or one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Parallel"))]
    pub policy: Option<HookPolicy>,
    /// Ends the run: no further measurement begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(HookRunSpec);

/// Order of the metrics of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookPolicy {
    /// All at once.
    #[default]
    Parallel,
    /// Each after the one before is complete.
    Ordered,
    /// A word that is none of these.
    #[serde(untagged)]
    Unknown(String),
}

schema::words!(HookPolicy, "Parallel", "Ordered");

/// One thing that is measured, once or again and again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its name, once in the list.
    pub name: String,
    /// Pause between two measurements, such as 5s; a plain number counts seconds. Needed where count is above 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<WrittenDuration>,
    /// Pause before the first measurement, such as 5s; a plain number counts seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<WrittenDuration>,
    /// How many measurements are made. Without it: one, or with an interval any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub count: Option<i64>,
    /// Expression over result that holds where a measurement succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_condition: Option<String>,
    /// Expression over result that holds where a measurement failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_condition: Option<String>,
    /// Failed measurements beyond it fail the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("default" = 0))]
    pub failure_limit: Option<i64>,
    /// As many successful measurements make the metric succeed; 0 leaves it to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub successful_limit: Option<i64>,
    /// Inconclusive measurements beyond it make the metric inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub inconclusive_limit: Option<i64>,
    /// Errors in a row beyond it end the metric in error; 4 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub consecutive_error_limit: Option<i64>,
    /// As many successful measurements in a row make the metric succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub consecutive_successful_limit: Option<i64>,
    /// Whom it asks.
    #[serde(default)]
    pub provider: MetricProvider,
}

/// A duration as it was written: `5s`, or `5` for seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a number of seconds nor a duration such as \"5s\"")]
pub enum WrittenDuration {
    /// Seconds.
    Seconds(i64),
    /// What was written as text.
    Text(String),
}

impl JsonSchema for WrittenDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WrittenDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schema::int_or_percent()
    }
}

/// Whom a metric asks: one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricProvider {
    /// A web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebProvider>,
    /// Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusProvider>,
    /// The Kubernetes API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesProvider>,
    /// A command in a container of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProvider>,
}

/// A web server that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebProvider {
    /// Where.
    pub url: String,
    /// Headers of the request.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<WebHeader>,
    /// How long an answer may take; 10 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub timeout_seconds: Option<i64>,
    /// Where in the answer the result stands.
    pub json_path: String,
}

/// A header of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebHeader {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A Prometheus that is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PrometheusProvider {
    /// Where, as an address with scheme and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// Fields of an object that are read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubernetesProvider {
    /// get or patch.
    pub function: String,
    /// The fields.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ObjectField>,
}

/// A field and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectField {
    /// Where in the object.
    pub path: String,
    /// The value that is wanted or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A command that is run without a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecProvider {
    /// In which container.
    pub container: String,
    /// The command and its arguments; status 0 is success.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "camelCase", default)]
pub struct HookRunStatus {
    /// Pending, Running, Successful, Failed, Error or Inconclusive; the last four are final.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// The metrics that were begun.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub metric_results: Vec<MetricResult>,
    /// Fields that could not be read.
    #[serde(skip)]
    pub malformed: Vec<Malformed>,
}

lenient!(HookRunStatus);

/// How one metric stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricResult {
    /// The metric.
    pub name: String,
    /// Running, Successful, Failed, Error or Inconclusive.
    pub phase: String,
    /// What the last measurement said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Measurements that counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub count: Option<i64>,
    /// Of those, successful ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub successful: Option<i64>,
    /// Of those, failed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub failed: Option<i64>,
    /// Of those, inconclusive ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub inconclusive: Option<i64>,
    /// Measurements that could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub error: Option<i64>,
    /// The last errors in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub consecutive_error: Option<i64>,
    /// The last successful measurements in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int32")]
    pub consecutive_successful: Option<i64>,
    /// The last measurements, the newest last.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// Running, Successful, Failed, Error or Inconclusive.
    pub phase: String,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// When it is looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_at: Option<Time>,
    /// The result.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}
