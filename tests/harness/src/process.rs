//! The binary `muster` as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The variable that names the binary, where Cargo does not.
pub const BINARY: &str = "MUSTER_BINARY";

/// How long a process may take until it does what is waited for.
const DEADLINE: Duration = Duration::from_mins(3);

/// How many lines of a log are shown.
const END: usize = 25;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A process whose log, one JSON object a line, goes to a file. It is killed with its owner.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where its part of the log begins.
    begin: usize,
}

/// The binary: `$MUSTER_BINARY`, or the one beside the running test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARY) {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a test has a path");
    let beside = test.parent().and_then(Path::parent).expect("a target directory").join("muster");
    assert!(beside.is_file(), "{} is not built: run cargo build, or set {BINARY}", beside.display());
    beside
}

// === impl Process ===

impl Process {
    /// Starts `binary` with `arguments`; its log is `<name>.log` in `directory`, added to what is there.
    pub fn start<S: AsRef<OsStr>>(binary: &Path, directory: &Path, name: &str, arguments: &[S]) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log can be written");
        let begin = std::fs::metadata(&log).map_or(0, |metadata| metadata.len() as usize);
        let child = Command::new(binary)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("RUST_LOG")
            .env_remove("MUSTER_LOG")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        Self { name: name.to_owned(), child, log, begin }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote.
    pub fn text(&self) -> String {
        let all = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(all.get(self.begin..).unwrap_or_default()).into_owned()
    }

    /// The last lines of what it wrote, for whoever reads why a test failed.
    pub fn end(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(END)..].join("\n")
    }

    /// Its log. Lines that are no JSON are left out.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many lines say all of `words`, wherever in the line.
    pub fn count(&self, words: &[&str]) -> usize {
        self.text().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Waits until a line says all of `words`; returns it.
    pub fn says(&mut self, words: &[&str]) -> Value {
        self.says_after(0, words)
    }

    /// As [`says`](Self::says), for a line after the first `lines`.
    pub fn says_after(&mut self, lines: usize, words: &[&str]) -> Value {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            let found = text.lines().skip(lines).find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return serde_json::from_str(line).unwrap_or(Value::Null);
            }
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(
                ended.is_none() && Instant::now() < give_up,
                "{} did not say {words:?} ({ended:?}):\n{}",
                self.name,
                self.end()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// The address it serves on, as it says in its log.
    pub fn address(&mut self) -> String {
        let line = self.says(&["\"serving\""]);
        line["address"].as_str().expect("an address").to_owned()
    }

    /// Sends a signal, such as TERM.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {}", self.name);
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let give_up = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return status;
            }
            assert!(Instant::now() < give_up, "{} does not end:\n{}", self.name, self.end());
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Ends it with SIGTERM; returns how it ended and how long that took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        self.signal("TERM");
        (self.ended(), started.elapsed())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
