//! One container on its node: pulled, started, replaced, backed off; pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ResourceRequirements,
};

use super::images::{self, Behaviour};
use super::{Host, digest, later, stamp};

/// For how long a failed pull is reported as such before the kubelet says that it backs off.
const PULL_ERROR: Duration = Duration::from_secs(3);
/// The first pause before a pull or a start is tried again; each further one is twice as long.
const BACKOFF: Duration = Duration::from_secs(10);
/// The longest pause.
const MAX_BACKOFF: Duration = Duration::from_mins(5);
/// How a container ends whose command is not in its image.
const NOT_STARTED: i32 = 128;
/// How a container ends that was killed.
const KILLED: i32 = 137;

/// A container and what it is waiting for.
#[derive(Debug)]
pub(super) struct Container {
    uid: String,
    name: String,
    /// The image that runs, or that was last tried.
    image: String,
    restarts: i32,
    last: Option<ContainerStateTerminated>,
    /// Pulls or starts that failed in a row.
    failures: u32,
    /// There is a container of the image, running or ended.
    made: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// It is being pulled and made.
    Coming {
        at: Timestamp,
    },
    /// Its image could not be pulled.
    NoImage {
        since: Timestamp,
        retry: Timestamp,
    },
    Running {
        started: Timestamp,
    },
    /// It runs until another image, which is being pulled meanwhile, takes its place.
    Leaving {
        started: Timestamp,
        next: String,
        at: Timestamp,
    },
    /// It ended, and is started again.
    Crashed {
        retry: Timestamp,
    },
    /// It ended for good.
    Ended(ContainerStateTerminated),
}

/// What a container is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) spec: &'a ContainerSpec,
    /// It prepares the pod and ends.
    pub(super) once: bool,
    /// It is started again when it ends.
    pub(super) restarts: bool,
    /// How long a change of it takes.
    pub(super) change: Duration,
}

// === impl Container ===

impl Container {
    /// A container that begins to be pulled, to be started at `at` if it is there by then.
    pub(super) fn new(uid: &str, wanted: &Wanted<'_>, host: &Host, at: Timestamp) -> Self {
        let image = wanted.image();
        let at = later(at, host.pull_time(&image));
        Self {
            uid: uid.to_owned(),
            name: wanted.spec.name.clone(),
            image,
            restarts: 0,
            last: None,
            failures: 0,
            made: false,
            phase: Phase::Coming { at },
        }
    }

    /// A container that was found running.
    pub(super) fn found(uid: &str, status: &ContainerStatus, started: Timestamp) -> Self {
        Self {
            uid: uid.to_owned(),
            name: status.name.clone(),
            image: status.image.clone(),
            restarts: status.restart_count,
            last: status.last_state.as_ref().and_then(|last| last.terminated.clone()),
            failures: 0,
            made: true,
            phase: Phase::Running { started },
        }
    }

    /// Goes as far as it has come by `now`, and says when there is more to come.
    pub(super) fn advance(
        &mut self,
        wanted: &Wanted<'_>,
        host: &mut Host,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.follow(wanted, host, now);
        while self.step(wanted, host, now) {}
        match &self.phase {
            Phase::Coming { at } | Phase::Leaving { at, .. } | Phase::Crashed { retry: at } => Some(*at),
            Phase::NoImage { since, retry } => {
                Some(later(*since, PULL_ERROR)).filter(|at| *at > now).or(Some(*retry))
            }
            Phase::Running { .. } | Phase::Ended(_) => None,
        }
    }

    /// Takes a change of the image into account.
    fn follow(&mut self, wanted: &Wanted<'_>, host: &Host, now: Timestamp) {
        let image = wanted.image();
        let at = later(now, wanted.change + host.pull_time(&image));
        match &mut self.phase {
            // Changed there and back before the kubelet acted: nothing restarts.
            Phase::Leaving { started, .. } if image == self.image => {
                self.phase = Phase::Running { started: *started };
            }
            Phase::Leaving { next, at: until, .. } if *next != image => {
                (*next, *until) = (image, at);
            }
            Phase::Leaving { .. } | Phase::Ended(_) => {}
            _ if image == self.image => {}
            Phase::Running { started } => {
                self.phase = Phase::Leaving { started: *started, next: image, at };
            }
            Phase::Coming { .. } | Phase::NoImage { .. } | Phase::Crashed { .. } => {
                (self.image, self.failures, self.made) = (image, 0, false);
                self.phase = Phase::Coming { at };
            }
        }
    }

    /// One thing that is due; false when nothing is.
    fn step(&mut self, wanted: &Wanted<'_>, host: &mut Host, now: Timestamp) -> bool {
        match &self.phase {
            Phase::Coming { at } | Phase::NoImage { retry: at, .. } if *at <= now => {
                let at = *at;
                self.pulled(wanted, host, at);
            }
            Phase::Crashed { retry } if *retry <= now => {
                let at = *retry;
                self.start(wanted, at);
            }
            Phase::Leaving { started, next, at } if *at <= now => {
                // The kubelet stops the old container before it pulls: one that cannot be pulled leaves nothing.
                let (started, next, at) = (*started, next.clone(), *at);
                self.last = Some(self.terminated(0, "Completed", started, at));
                (self.image, self.failures) = (next, 0);
                self.pulled(wanted, host, at);
            }
            _ => return false,
        }
        true
    }

    /// The pull is over, one way or the other.
    fn pulled(&mut self, wanted: &Wanted<'_>, host: &mut Host, at: Timestamp) {
        if !images::exists(&self.image) {
            self.failures += 1;
            self.made = false;
            self.phase = Phase::NoImage { since: at, retry: later(at, backoff(self.failures)) };
            return;
        }
        host.images.insert(self.image.clone());
        self.failures = 0;
        self.start(wanted, at);
    }

    fn start(&mut self, wanted: &Wanted<'_>, at: Timestamp) {
        if self.last.is_some() {
            self.restarts += 1;
        }
        self.made = true;
        if wanted.once {
            self.phase = Phase::Ended(self.terminated(0, "Completed", at, at));
            return;
        }
        let ended = match images::behaviour(&self.image) {
            _ if !wanted.has_command() => {
                let message = format!("exec: {:?}: no such file or directory", wanted.command());
                ContainerStateTerminated {
                    message: Some(message),
                    ..self.terminated(NOT_STARTED, "StartError", at, at)
                }
            }
            Behaviour::Crashes => self.terminated(1, "Error", at, at),
            Behaviour::Runs | Behaviour::NeverReady => {
                self.phase = Phase::Running { started: at };
                return;
            }
        };
        if wanted.restarts {
            self.last = Some(ended);
            self.failures += 1;
            self.phase = Phase::Crashed { retry: later(at, backoff(self.failures)) };
        } else {
            self.phase = Phase::Ended(ended);
        }
    }

    /// Starts it anew with what it is, as after a change that its policy does not take in place.
    pub(super) fn restart(&mut self, at: Timestamp) {
        if let Phase::Running { started } = self.phase {
            self.last = Some(self.terminated(0, "Completed", started, at));
            self.restarts += 1;
            self.phase = Phase::Running { started: at };
        }
    }

    /// Ends it for good.
    pub(super) fn kill(&mut self, at: Timestamp) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        let ended = self.terminated(KILLED, "Error", self.started().unwrap_or(at), at);
        let never = ContainerStateTerminated {
            container_id: None,
            message: Some("The container could not be located when the pod was terminated".to_owned()),
            reason: Some("ContainerStatusUnknown".to_owned()),
            started_at: None,
            finished_at: None,
            ..ended.clone()
        };
        self.phase = Phase::Ended(if self.made { ended } else { never });
    }

    fn started(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Running { started } | Phase::Leaving { started, .. } => Some(*started),
            _ => None,
        }
    }

    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        self.started().is_some()
    }

    /// Whether it was started at least once.
    pub(super) fn was_started(&self) -> bool {
        self.runs() || self.last.is_some() || matches!(self.phase, Phase::Ended(_))
    }

    /// With what it ended for good.
    pub(super) fn exit_code(&self) -> Option<i32> {
        match &self.phase {
            Phase::Ended(ended) => Some(ended.exit_code),
            _ => None,
        }
    }

    /// Whether it serves, once its pod has had the time to get ready.
    pub(super) fn is_ready(&self) -> bool {
        self.runs() && images::behaviour(&self.image) != Behaviour::NeverReady
    }

    fn terminated(
        &self,
        exit_code: i32,
        reason: &str,
        started: Timestamp,
        finished: Timestamp,
    ) -> ContainerStateTerminated {
        ContainerStateTerminated {
            container_id: Some(self.id()),
            exit_code,
            finished_at: Some(stamp(finished)),
            reason: Some(reason.to_owned()),
            started_at: Some(stamp(started)),
            ..ContainerStateTerminated::default()
        }
    }

    fn id(&self) -> String {
        format!("containerd://{}", digest(&["container", &self.uid, &self.name, &self.restarts.to_string()]))
    }

    /// What the kubelet reports of it.
    pub(super) fn status(&self, ready: bool, once: bool, now: Timestamp) -> ContainerStatus {
        let mut state = ContainerState::default();
        match &self.phase {
            Phase::Running { started } | Phase::Leaving { started, .. } => {
                state.running = Some(ContainerStateRunning { started_at: Some(stamp(*started)) });
            }
            Phase::Ended(ended) => state.terminated = Some(ended.clone()),
            Phase::Coming { .. } => {
                let reason = if once { "PodInitializing" } else { "ContainerCreating" };
                state.waiting = Some(waiting_for(reason, None));
            }
            Phase::NoImage { since, .. } => state.waiting = Some(self.no_image(*since, now)),
            Phase::Crashed { .. } => {
                let pause = backoff(self.failures).as_secs();
                let message = format!("back-off {pause}s restarting failed container={}", self.name);
                state.waiting = Some(waiting_for("CrashLoopBackOff", Some(message)));
            }
        }
        ContainerStatus {
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: if self.made { images::digest_reference(&self.image) } else { String::new() },
            container_id: self.made.then(|| self.id()),
            ready: if once { self.exit_code() == Some(0) } else { ready && self.is_ready() },
            started: Some(self.runs()),
            restart_count: self.restarts,
            state: Some(state),
            last_state: Some(ContainerState { terminated: self.last.clone(), ..ContainerState::default() }),
            ..ContainerStatus::default()
        }
    }

    fn no_image(&self, since: Timestamp, now: Timestamp) -> ContainerStateWaiting {
        let image = &self.image;
        let error = format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image {image:?}: failed to resolve \
             reference {image:?}: {image}: not found"
        );
        if now < later(since, PULL_ERROR) {
            waiting_for("ErrImagePull", Some(error))
        } else {
            let message = format!("Back-off pulling image {image:?}: ErrImagePull: {error}");
            waiting_for("ImagePullBackOff", Some(message))
        }
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    fn image(&self) -> String {
        self.spec.image.clone().unwrap_or_default()
    }

    fn command(&self) -> &str {
        self.spec.command.iter().flatten().next().map(String::as_str).unwrap_or_default()
    }

    /// Whether the image has the command: every image has every command but those that say that they are none.
    fn has_command(&self) -> bool {
        !super::NO_COMMANDS.iter().any(|path| self.command().starts_with(path))
    }
}

/// A container that nothing was done for yet.
pub(super) fn waiting(name: &str, image: String, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        image,
        started: Some(false),
        state: Some(ContainerState { waiting: Some(waiting_for(reason, None)), ..ContainerState::default() }),
        ..ContainerStatus::default()
    }
}

fn waiting_for(reason: &str, message: Option<String>) -> ContainerStateWaiting {
    ContainerStateWaiting { reason: Some(reason.to_owned()), message }
}

/// The amounts of a container as its status has them.
pub(super) fn with_resources(
    status: ContainerStatus,
    allocated: &ResourceRequirements,
    actual: &ResourceRequirements,
) -> ContainerStatus {
    ContainerStatus {
        allocated_resources: allocated.requests.clone(),
        resources: Some(actual.clone()),
        ..status
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_BACKOFF)
}
