//! Rules of pods.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    container::{self, Role},
    ip, labels, list, named, one_of, optionally_named, qualified, storage, text,
};
use crate::names;
use crate::schema::FieldError;

pub(super) const TAINT_EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn validate(pod: &Value, errors: &mut Vec<FieldError>) {
    let spec = &pod["spec"];
    let volumes = volumes(list(&spec["volumes"]), errors);
    containers(spec, &volumes, errors);
    container::resources(&spec["resources"], "spec.resources", errors);
    one_of(&spec["restartPolicy"], "spec.restartPolicy", &["Always", "OnFailure", "Never"], errors);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(&spec["dnsPolicy"], "spec.dnsPolicy", &policies, errors);
    labels(&spec["nodeSelector"], "spec.nodeSelector", errors);
    let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if terms.is_object() && list(&terms["nodeSelectorTerms"]).is_empty() {
        let path =
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        errors.push(FieldError::required(path, "must have at least one node selector term"));
    }
    if spec["dnsPolicy"] == "None" && list(&spec["dnsConfig"]["nameservers"]).is_empty() {
        let (field, message) = if spec["dnsConfig"].is_null() {
            ("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        } else {
            (
                "spec.dnsConfig.nameservers",
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
        };
        errors.push(FieldError::required(field, message));
    }
    for (index, gate) in list(&spec["readinessGates"]).iter().enumerate() {
        qualified(&gate["conditionType"], &format!("spec.readinessGates[{index}].conditionType"), errors);
    }
    scheduling_gates(spec, errors);
    spread(list(&spec["topologySpreadConstraints"]), errors);
    host_network(spec, errors);
    for (field, rule) in [
        ("serviceAccountName", names::subdomain as fn(&str) -> Result<(), String>),
        ("nodeName", names::subdomain),
        ("priorityClassName", names::subdomain),
        ("runtimeClassName", names::subdomain),
        ("hostname", names::label),
        ("subdomain", names::label),
    ] {
        optionally_named(&spec[field], &format!("spec.{field}"), rule, errors);
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let message = format!("must be between 1 and {}, inclusive", i32::MAX);
        errors.push(FieldError::invalid("spec.activeDeadlineSeconds", seconds, message));
    }
    for (index, toleration) in list(&spec["tolerations"]).iter().enumerate() {
        self::toleration(toleration, &format!("spec.tolerations[{index}]"), errors);
    }
    for (index, alias) in list(&spec["hostAliases"]).iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        ip(&alias["ip"], &format!("{path}.ip"), errors);
        for (index, name) in list(&alias["hostnames"]).iter().enumerate() {
            named(name, &format!("{path}.hostnames[{index}]"), names::subdomain, errors);
        }
    }
}

/// Checks the volumes and returns the names that mounts may use.
fn volumes<'a>(volumes: &'a [Value], errors: &mut Vec<FieldError>) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = format!("spec.volumes[{index}]");
        let before = errors.len();
        let fields = volume.as_object().into_iter().flatten();
        let mut sources = fields.filter(|(field, value)| *field != "name" && !value.is_null());
        if sources.next().is_none() {
            errors.push(FieldError::required(&path, "must specify a volume type"));
        }
        for (source, _) in sources {
            let message = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(format!("{path}.{source}"), message));
        }
        if volume["persistentVolumeClaim"].is_object()
            && text(&volume["persistentVolumeClaim"]["claimName"]).is_empty()
        {
            errors.push(FieldError::required(format!("{path}.persistentVolumeClaim.claimName"), ""));
        }
        let template = &volume["ephemeral"]["volumeClaimTemplate"];
        if template.is_object() {
            storage::claim_spec(
                &template["spec"],
                &format!("{path}.ephemeral.volumeClaimTemplate.spec"),
                errors,
            );
        }
        named(&volume["name"], &format!("{path}.name"), names::label, errors);
        let name = text(&volume["name"]);
        if known.contains(name) {
            errors.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        if errors.len() == before {
            known.insert(name);
        }
    }
    known
}

fn containers(spec: &Value, volumes: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    let main = list(&spec["containers"]);
    if main.is_empty() {
        errors.push(FieldError::required("spec.containers", ""));
    }
    let mut names = BTreeSet::new();
    for (field, role) in [("containers", Role::Main), ("initContainers", Role::Init)] {
        for (index, container) in list(&spec[field]).iter().enumerate() {
            let path = format!("spec.{field}[{index}]");
            container::validate(container, &path, role, (volumes, text(&spec["restartPolicy"])), errors);
            let name = text(&container["name"]);
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            // Init containers run one after another: only their own ports can clash.
            if role == Role::Init {
                container::host_ports(std::iter::once((index, container)), "spec.initContainers", errors);
            }
        }
    }
    container::host_ports(main.iter().enumerate(), "spec.containers", errors);
}

fn scheduling_gates(spec: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, gate) in list(&spec["schedulingGates"]).iter().enumerate() {
        let path = format!("spec.schedulingGates[{index}]");
        qualified(&gate["name"], &path, errors);
        if !seen.insert(text(&gate["name"])) {
            errors.push(FieldError::duplicate(path, text(&gate["name"])));
        }
    }
    if !list(&spec["schedulingGates"]).is_empty() && !text(&spec["nodeName"]).is_empty() {
        let message = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden("spec.nodeName", message));
    }
}

fn spread(constraints: &[Value], errors: &mut Vec<FieldError>) {
    for (index, constraint) in constraints.iter().enumerate() {
        let path = format!("spec.topologySpreadConstraints[{index}]");
        let skew = constraint["maxSkew"].as_i64().unwrap_or_default();
        if skew <= 0 {
            errors.push(FieldError::invalid(format!("{path}.maxSkew"), skew, "must be greater than zero"));
        }
        if text(&constraint["topologyKey"]).is_empty() {
            errors.push(FieldError::required(format!("{path}.topologyKey"), "can not be empty"));
        }
        let when = text(&constraint["whenUnsatisfiable"]);
        let allowed = ["DoNotSchedule", "ScheduleAnyway"];
        if !allowed.contains(&when) {
            errors.push(FieldError::not_supported(format!("{path}.whenUnsatisfiable"), when, allowed));
        }
    }
}

/// With the host's network a container's port is the host's.
fn host_network(spec: &Value, errors: &mut Vec<FieldError>) {
    if spec["hostNetwork"] != true {
        return;
    }
    for (index, container) in list(&spec["containers"]).iter().enumerate() {
        for (at, port) in list(&container["ports"]).iter().enumerate() {
            if port["hostPort"] != port["containerPort"] {
                let path = format!("spec.containers[{index}].ports[{at}].hostPort");
                let message = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(path, port["hostPort"].clone(), message));
            }
        }
    }
}

fn toleration(toleration: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (key, operator, effect) =
        (text(&toleration["key"]), text(&toleration["operator"]), text(&toleration["effect"]));
    if !key.is_empty() {
        qualified(&toleration["key"], &format!("{path}.key"), errors);
    } else if operator != "Exists" {
        let message =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(format!("{path}.operator"), operator, message));
    }
    if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
        let message = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(format!("{path}.effect"), effect, message));
    }
    let value = text(&toleration["value"]);
    match operator {
        "" | "Equal" => {
            if let Err(problem) = names::label_value(value) {
                errors.push(FieldError::invalid(format!("{path}.operator"), value, problem));
            }
        }
        "Exists" if !value.is_empty() => {
            let message = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(format!("{path}.operator"), value, message));
        }
        "Exists" => {}
        other => {
            let path = format!("{path}.operator");
            errors.push(FieldError::not_supported(path, other, ["Equal", "Exists"]));
        }
    }
    if !effect.is_empty() && !TAINT_EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(format!("{path}.effect"), effect, TAINT_EFFECTS));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;
    use serde_json::{Value, json};

    fn pod(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [{"name": "a", "image": "i:1", "ports": [{"name": "game", "containerPort": 7777, "protocol": "UDP"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
                "readinessProbe": {"tcpSocket": {"port": "game"}}, "lifecycle": {"preStop": {"exec": {"command": ["sh"]}}}}],
            "initContainers": [{"name": "init", "image": "i"}],
            "tolerations": [{"operator": "Exists"}], "readinessGates": [{"conditionType": "tkex.tencent.com/x"}],
        }});
        change(&mut pod["spec"]);
        problems("", "Pod", pod)
    }

    #[track_caller]
    fn assert_refused(change: impl FnOnce(&mut Value), expected: &str) {
        assert_eq!(pod(change), [expected]);
    }

    #[test]
    fn a_usual_pod_is_accepted() {
        assert_eq!(pod(|_| {}), [] as [&str; 0]);
    }

    #[test]
    fn containers_are_checked_field_by_field() {
        assert_refused(|spec| spec["containers"] = json!([]), "spec.containers: Required value");
        assert_refused(
            |spec| spec["containers"][0]["image"] = json!(""),
            "spec.containers[0].image: Required value",
        );
        assert_refused(
            |spec| spec["initContainers"][0]["name"] = json!("a"),
            "spec.initContainers[0].name: Duplicate value: \"a\"",
        );
        assert_refused(
            |spec| spec["containers"][0]["imagePullPolicy"] = json!("Often"),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        );
        assert_refused(
            |spec| spec["containers"][0]["ports"][0]["containerPort"] = json!(70000),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        );
        assert_refused(
            |spec| spec["containers"][0]["ports"][0]["protocol"] = json!("tcp"),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        );
        assert_refused(
            |spec| spec["containers"][0]["volumeMounts"][0]["name"] = json!("x"),
            "spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
        );
        assert_refused(
            |spec| spec["containers"][0]["resources"]["requests"]["cpu"] = json!("2"),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        );
        assert_refused(
            |spec| spec["containers"][0]["readinessProbe"] = json!({}),
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        );
        assert_refused(
            |spec| spec["containers"][0]["env"][0]["value"] = json!("x"),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        );
        assert_refused(
            |spec| spec["initContainers"][0]["livenessProbe"] = json!({"exec": {"command": ["x"]}}),
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        );
    }

    #[test]
    fn host_ports_of_one_pod_do_not_clash() {
        assert_refused(
            |spec| {
                spec["containers"][0]["ports"] =
                    json!([{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]);
                spec["containers"][0]["readinessProbe"] = Value::Null;
            },
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\"",
        );
    }

    #[test]
    fn the_rest_of_the_spec_is_checked() {
        assert_refused(
            |spec| spec["restartPolicy"] = json!("Sometimes"),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        );
        // A volume that is wrong cannot be mounted either.
        assert_eq!(
            pod(|spec| spec["volumes"][0] =
                json!({"name": "data", "emptyDir": {}, "hostPath": {"path": "/"}})),
            [
                "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
                "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
            ]
        );
        assert_refused(
            |spec| spec["activeDeadlineSeconds"] = json!(0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        );
        assert_refused(
            |spec| spec["hostAliases"] = json!([{"ip": "localhost"}]),
            "spec.hostAliases[0].ip: Invalid value: \"localhost\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        );
    }

    #[test]
    fn a_toleration_of_everything_needs_exists() {
        assert_refused(
            |spec| spec["tolerations"] = json!([{"operator": "Equal"}]),
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
}
