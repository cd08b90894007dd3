//! Asking: the body of a HookRun, which is a copy of its template with every argument.

use muster_crds::keys::workload as keys;
use muster_crds::names::ObjectName;
use muster_crds::tkex::HookStep;
use serde_json::{Map, Value, json};

use super::{MAX_DELETION_HOOKS, Point};
use crate::identity::owner_reference;
use crate::plan::Action;
use crate::planner::Planner;
use crate::pod::Pod;
use crate::reason::Code;

/// Arguments that a run gets also where its template does not declare them, by a part of their name.
const OF_PODS: [&str; 6] =
    ["PodName", "PodNamespace", "PodIP", "PodContainer", "ModifiedContainer", "HostIP"];

impl Planner<'_> {
    /// Plans the run of a question, or says why it cannot be asked.
    pub(super) fn make_run(
        &mut self,
        pod: &Pod,
        point: Point,
        revision: &str,
        attempt: u32,
        modified: &[String],
    ) {
        let Some(strategy) = self.hooks.strategy(point) else { return };
        let Some(hook) = &strategy.hook else { return };
        if self.hooks.namespace_deleted.is_some() {
            let message = "cannot be asked: its namespace is being deleted, and takes no HookRun";
            return self.wait(Some(pod), Code::HookPending, message);
        }
        let most = self.most_at_once(point, pod, strategy.max_concurrent_hooks);
        let open = self.hooks.open.get(&point).copied().unwrap_or_default();
        if open >= most {
            let message = format!("is asked when fewer than {most} pods are; {open} are");
            return self.wait(Some(pod), Code::HooksAtLimit, message);
        }
        let Some(template) = self.hooks.templates.get(&hook.template_name) else {
            let message = format!(
                "spec.{}.hook: HookTemplate {} does not exist in this namespace; the pod stays as it is",
                point.field(),
                hook.template_name
            );
            return self.wait(Some(pod), Code::HookTemplateMissing, message);
        };
        if pod.ip.is_none() {
            return self.wait(Some(pod), Code::PodWithoutIp, "cannot be asked before it has an address");
        }
        let arguments = match arguments(&template["spec"]["args"], hook, &of_pod(self, pod, modified)) {
            Ok(arguments) => arguments,
            Err(missing) => {
                let message = format!(
                    "spec.{}.hook: args.{missing} of HookTemplate {} was not resolved; the pod stays as it is",
                    point.field(),
                    hook.template_name
                );
                return self.wait(Some(pod), Code::HookTemplateMissing, message);
            }
        };
        let Ok(name) = ObjectName::new(run_name(pod, point, revision, attempt)) else { return };
        let labels = self.labels(pod, point, revision, attempt, template);
        let mut spec = template["spec"].as_object().cloned().unwrap_or_default();
        spec.insert("args".into(), Value::Array(arguments));
        let mut owner = owner_reference(self.id);
        // A set that is deleted with its dependents first must not wait for the answer of a hook.
        owner["blockOwnerDeletion"] = json!(false);
        let body = json!({
            "apiVersion": "tkex.tencent.com/v1alpha1",
            "kind": "HookRun",
            "metadata": {
                "name": name,
                "namespace": self.id.namespace,
                "labels": labels,
                "ownerReferences": [owner],
            },
            "spec": spec,
        });
        self.hooks.used.insert(name.clone());
        self.hooks.asked.insert(pod.name.clone());
        *self.hooks.open.entry(point).or_default() += 1;
        self.wait(Some(pod), Code::HookPending, format!("HookRun {name} is being made"));
        let message = format!("pod {} is asked by HookTemplate {}", pod.name, hook.template_name);
        self.step(Action::CreateHookRun { name, body }, Code::AskHook, message);
    }

    /// How many pods may be asked at once.
    fn most_at_once(&self, point: Point, pod: &Pod, written: Option<i64>) -> usize {
        let default = match point {
            Point::PreDelete if self.hooks.meta.deletion_timestamp.is_some() => MAX_DELETION_HOOKS,
            Point::PreDelete if self.update_question(pod).is_none() => MAX_DELETION_HOOKS,
            _ => self.spec.budget.max(1),
        };
        written.and_then(|most| usize::try_from(most).ok()).unwrap_or(default)
    }

    fn labels(
        &self,
        pod: &Pod,
        point: Point,
        revision: &str,
        attempt: u32,
        template: &Value,
    ) -> Map<String, Value> {
        let mut labels = Map::new();
        let mut put = |key: &str, value: String| labels.insert(key.to_owned(), Value::String(value));
        put(keys::HOOKRUN_TYPE, point.label().to_owned());
        put(keys::HOOKRUN_REVISION, revision.to_owned());
        if let Some(ordinal) = pod.ordinal_in(self.id.name.as_str()) {
            put(keys::HOOKRUN_INSTANCE, ordinal.to_string());
        }
        put(keys::HOOKRUN_WORKLOAD, self.id.name.to_string());
        put(keys::HOOKRUN_POD, pod.uid.to_string());
        put(keys::HOOKRUN_ATTEMPT, attempt.to_string());
        let retry = self.hooks.strategy(point).is_some_and(|strategy| strategy.retry == Some(true));
        put(keys::HOOKRUN_RETRY, retry.to_string());
        if template["metadata"]["annotations"][keys::CANCELLABLE] == "true" {
            put(keys::CANCELLABLE, "true".to_owned());
        }
        labels
    }
}

/// What every run about a pod is given.
fn of_pod(planner: &Planner<'_>, pod: &Pod, modified: &[String]) -> Vec<(String, String)> {
    let mut known = vec![
        ("PodName".to_owned(), pod.name.to_string()),
        ("PodNamespace".to_owned(), planner.id.namespace.to_string()),
    ];
    known.extend(pod.ip.clone().map(|ip| ("PodIP".to_owned(), ip)));
    known.extend(pod.host_ip.clone().map(|ip| ("HostIP".to_owned(), ip)));
    let numbered =
        |name: &'static str, index: usize, value: &str| (format!("{name}[{index}]"), value.to_owned());
    let containers = pod.containers.iter().filter(|container| !container.sidecar).enumerate();
    known.extend(containers.map(|(index, container)| numbered("PodContainer", index, &container.name)));
    let modified = modified.iter().enumerate();
    known.extend(modified.map(|(index, name)| numbered("ModifiedContainer", index, name)));
    known
}

/// The arguments of a run: those of the template, with the values of who asks; an error names the first without one.
fn arguments(declared: &Value, hook: &HookStep, known: &[(String, String)]) -> Result<Vec<Value>, String> {
    let mut arguments: Vec<(String, Option<String>)> = Vec::new();
    for argument in declared.as_array().into_iter().flatten() {
        let name = argument["name"].as_str().unwrap_or_default().to_owned();
        arguments.push((name, argument["value"].as_str().map(str::to_owned)));
    }
    let written =
        hook.args.iter().filter_map(|argument| Some((argument.name.clone(), argument.value.clone()?)));
    for (name, value) in written.chain(known.iter().cloned()) {
        match arguments.iter_mut().find(|(declared, _)| *declared == name) {
            Some((_, held)) => *held = Some(value),
            None if OF_PODS.iter().any(|part| name.contains(part)) => arguments.push((name, Some(value))),
            // The template has no use for it.
            None => {}
        }
    }
    let resolved = arguments.into_iter().map(|(name, value)| match value {
        Some(value) => Ok(json!({"name": name, "value": value})),
        None => Err(name),
    });
    resolved.collect()
}

/// The name of a run. The pod's own name in it is for people; what tells runs apart is the hash.
fn run_name(pod: &Pod, point: Point, revision: &str, attempt: u32) -> String {
    let question = format!("{}/{}/{revision}/{attempt}", pod.uid, point.label());
    let word = match point {
        Point::PreDelete => "predelete",
        Point::PreInPlace => "preinplace",
        Point::PostInPlace => "postinplace",
    };
    format!("{}-{word}-{:016x}", pod.name, fnv(question.as_bytes()))
}

/// FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
