//! Sizes of containers: the CPU and memory that a running pod can be given more or less of.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Map, Value, json};

/// CPU and memory of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What is set aside for it.
    pub requests: Amounts,
    /// What it may take.
    pub limits: Amounts,
}

/// Amounts in thousandths of a core and of a byte; none where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU.
    pub cpu: Option<i64>,
    /// Memory.
    pub memory: Option<i64>,
}

/// What a template wants for one container.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The list of the pod's spec that the container is in.
    pub list: &'static str,
    /// Its size; requests that are left out are the limits, as the API server fills in.
    pub size: Size,
    /// The same as `resources` of a patch.
    pub body: Value,
    /// Which amounts cannot change without a restart of the container.
    pub restarts: Restarts,
}

/// Which amounts cannot change without a restart of the container (`resizePolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// CPU.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
}

impl Amounts {
    /// Whether all that is wanted is so; where nothing is wanted, admission may have filled something in.
    fn covers(self, wanted: Self) -> bool {
        let same = |have: Option<i64>, wanted: Option<i64>| wanted.is_none() || have == wanted;
        same(self.cpu, wanted.cpu) && same(self.memory, wanted.memory)
    }

    fn or(self, other: Self) -> Self {
        Self { cpu: self.cpu.or(other.cpu), memory: self.memory.or(other.memory) }
    }

    fn lacks(self, from: Self) -> bool {
        from.cpu.is_some() && self.cpu.is_none() || from.memory.is_some() && self.memory.is_none()
    }

    /// Amounts that are not nothing.
    fn counted(self) -> Self {
        Self { cpu: self.cpu.filter(|cpu| *cpu != 0), memory: self.memory.filter(|memory| *memory != 0) }
    }

    fn written(amounts: Option<&BTreeMap<String, Quantity>>) -> Self {
        let amount = |name: &str| milli(&amounts?.get(name)?.0);
        Self { cpu: amount("cpu"), memory: amount("memory") }
    }

    fn of_json(amounts: &Value) -> Self {
        let amount = |name: &str| match amounts.get(name)? {
            Value::String(text) => milli(text),
            Value::Number(number) => milli(&number.to_string()),
            _ => None,
        };
        Self { cpu: amount("cpu"), memory: amount("memory") }
    }
}

impl Size {
    /// As a pod's spec or status says.
    pub fn of(resources: Option<&ResourceRequirements>) -> Self {
        let Some(resources) = resources else { return Self::default() };
        Self {
            requests: Amounts::written(resources.requests.as_ref()),
            limits: Amounts::written(resources.limits.as_ref()),
        }
    }

    /// As a template says, with what the API server fills in.
    pub fn of_json(resources: &Value) -> Self {
        let limits = Amounts::of_json(&resources["limits"]);
        Self { requests: Amounts::of_json(&resources["requests"]).or(limits), limits }
    }

    /// Whether all that is wanted is so.
    pub fn covers(&self, wanted: &Self) -> bool {
        self.requests.covers(wanted.requests) && self.limits.covers(wanted.limits)
    }

    /// Whether it says nothing of an amount that `from` speaks of: amounts can be changed and added, not taken away.
    pub fn lacks(&self, from: &Self) -> bool {
        self.requests.lacks(from.requests) || self.limits.lacks(from.limits)
    }

    /// Whether the way to another size restarts the container.
    pub fn restarts(&self, to: &Self, restarts: Restarts) -> bool {
        let cpu = self.requests.cpu != to.requests.cpu || self.limits.cpu != to.limits.cpu;
        let memory = self.requests.memory != to.requests.memory || self.limits.memory != to.limits.memory;
        restarts.cpu && cpu || restarts.memory && memory
    }
}

/// What a template wants for its containers and native sidecars, by name.
pub fn of_template(template: &Value) -> BTreeMap<String, Wanted> {
    let mut sizes = BTreeMap::new();
    for list in ["initContainers", "containers"] {
        for container in template["spec"][list].as_array().into_iter().flatten() {
            let runs_on = list == "containers" || container["restartPolicy"] == "Always";
            let Some(name) = container["name"].as_str().filter(|_| runs_on) else { continue };
            let resources = &container["resources"];
            let wanted = Wanted {
                list,
                size: Size::of_json(resources),
                body: body(resources),
                restarts: restarts(container),
            };
            sizes.insert(name.to_owned(), wanted);
        }
    }
    sizes
}

/// CPU and memory as they are written, requests that are left out being the limits.
fn body(resources: &Value) -> Value {
    let kept = |amounts: &Value| -> Map<String, Value> {
        let amounts = amounts.as_object().into_iter().flatten();
        let kept = amounts.filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
        kept.map(|(name, amount)| (name.clone(), amount.clone())).collect()
    };
    let limits = kept(&resources["limits"]);
    let mut requests = limits.clone();
    requests.extend(kept(&resources["requests"]));
    json!({"requests": requests, "limits": limits})
}

/// What a container's `resizePolicy` says.
pub fn restarts(container: &Value) -> Restarts {
    let policies = || container["resizePolicy"].as_array().into_iter().flatten();
    let of = |name: &str| {
        policies()
            .any(|policy| policy["resourceName"] == name && policy["restartPolicy"] == "RestartContainer")
    };
    Restarts { cpu: of("cpu"), memory: of("memory") }
}

/// The quality of service class that the API server gives pods of a template. It never changes for a living pod.
pub fn class(template: &Value) -> &'static str {
    let containers = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| template["spec"][list].as_array().into_iter().flatten());
    let sizes: Vec<Size> = containers.map(|container| Size::of_json(&container["resources"])).collect();
    let nothing = |amounts: Amounts| amounts.counted() == Amounts::default();
    if sizes.iter().all(|size| nothing(size.requests) && nothing(size.limits)) {
        return "BestEffort";
    }
    let full = |size: &Size| {
        let limits = size.limits.counted();
        limits.cpu.is_some() && limits.memory.is_some() && size.requests.counted() == limits
    };
    if sizes.iter().all(full) { "Guaranteed" } else { "Burstable" }
}

/// Thousandths of a quantity such as `250m`, `1.5` or `2Gi`, rounded up; none when it is no quantity.
pub fn milli(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut over = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let times = match suffix {
        "n" => {
            over = over.checked_mul(1_000_000)?;
            1
        }
        "u" => {
            over = over.checked_mul(1_000)?;
            1
        }
        "m" => 1,
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => {
            let power = 1 + "KMGTPE".find(&suffix[..1])?;
            1_000 * 1_024_i128.checked_pow(u32::try_from(power).ok()?)?
        }
        "" => 1_000,
        "k" | "M" | "G" | "T" | "P" | "E" => {
            let power = 2 + "kMGTPE".find(suffix)?;
            1_000_i128.checked_pow(u32::try_from(power).ok()?)?
        }
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 {
                over = over.checked_mul(power)?;
                1_000
            } else {
                power.checked_mul(1_000)?
            }
        }
    };
    let exact = digits.checked_mul(times)?;
    let rounded = exact.div_euclid(over) + i128::from(exact.rem_euclid(over) != 0);
    i64::try_from(rounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_all_their_spellings() {
        let cases = [
            ("250m", 250),
            ("1.5", 1_500),
            ("2", 2_000),
            ("1e3", 1_000_000),
            ("5E-1", 500),
            ("1Ki", 1_024_000),
            ("64Mi", 67_108_864_000),
            ("1G", 1_000_000_000_000),
            ("100u", 1),
            ("0.1", 100),
        ];
        for (text, thousandths) in cases {
            assert_eq!(milli(text), Some(thousandths), "{text}");
        }
        for text in ["", "x", "1Kb", "--1", "1.2.3"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }

    #[test]
    fn the_class_is_the_one_the_api_server_gives() {
        let class = |resources: Value| class(&json!({"spec": {"containers": [{"resources": resources}]}}));
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "0"}})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": 1}})), "Burstable");
        assert_eq!(class(json!({"limits": {"cpu": 1, "memory": "1Gi"}})), "Guaranteed");
        let written = json!({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "500m"}});
        assert_eq!(class(written), "Burstable");
    }
}
