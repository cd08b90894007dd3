//! Control planes, through kubectl as a person would use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The variable that names the kubeconfig.
const KUBECONFIG: &str = "MUSTER_TEST_KUBECONFIG";

/// How long a state may take to come.
const DEADLINE: Duration = Duration::from_mins(3);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The control planes of one kubeconfig.
pub(crate) struct Planes {
    kubeconfig: PathBuf,
}

impl Planes {
    /// Those that `MUSTER_TEST_KUBECONFIG` names.
    pub(crate) fn new() -> Self {
        let path = std::env::var_os(KUBECONFIG).map(PathBuf::from);
        let path =
            path.unwrap_or_else(|| panic!("{KUBECONFIG} is not set: tests/kubernetes/up makes such a file"));
        Self { kubeconfig: std::path::absolute(path).unwrap() }
    }

    /// The audit log of a control plane.
    pub(crate) fn audit_log(&self, context: &str) -> PathBuf {
        self.kubeconfig.parent().unwrap().join(context).join("audit.log")
    }

    fn run(&self, context: &str, arguments: &[&str]) -> Output {
        Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--context", context])
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap_or_else(|error| panic!("kubectl: {error}; it must be in the PATH"))
    }

    /// Runs kubectl, which must succeed; returns its output.
    pub(crate) fn kubectl(&self, context: &str, arguments: &[&str]) -> String {
        let output = self.run(context, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl --context {context} {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs kubectl where a failure does not matter.
    pub(crate) fn try_kubectl(&self, context: &str, arguments: &[&str]) {
        let _ = self.run(context, arguments);
    }

    /// What `kubectl get -o json` shows; nothing where there is none.
    pub(crate) fn get(&self, context: &str, arguments: &[&str]) -> Value {
        let arguments = [&["get", "-o", "json", "--ignore-not-found"][..], arguments].concat();
        let text = self.kubectl(context, &arguments);
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Waits until `probe` finds nothing missing.
    pub(crate) fn until(&self, what: &str, mut probe: impl FnMut() -> Result<(), String>) {
        let give_up = Instant::now() + DEADLINE;
        while let Err(lack) = probe() {
            assert!(Instant::now() < give_up, "{what}: not within {DEADLINE:?}: {lack}");
            std::thread::sleep(LOOK);
        }
    }

    /// Writes a kubeconfig that has one context, `only`: that of a ServiceAccount, by a token.
    pub(crate) fn service_account(&self, context: &str, namespace: &str, name: &str, to: &Path) {
        let token = self.kubectl(context, &["-n", namespace, "create", "token", name, "--duration", "2h"]);
        let view = ["config", "view", "--raw", "--minify", "-o", "json"];
        let config: Value = serde_json::from_str(&self.kubectl(context, &view)).unwrap();
        let own = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "only", "cluster": config["clusters"][0]["cluster"]}],
            "users": [{"name": "only", "user": {"token": token.trim()}}],
            "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
            "current-context": "only",
        });
        std::fs::write(to, own.to_string()).unwrap();
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
