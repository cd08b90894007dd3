//! The steps of a canary, as they are written in the spec.

use std::fmt;

use jiff::SignedDuration;
use muster_crds::int_or_percent::Rounding;
use muster_crds::tkex::{CanaryStep, HookStep};

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ordinals below it keep the old revision; done when those above it serve with the new one.
    Partition(u32),
    /// Waits so long, or until somebody resumes.
    Pause(Option<SignedDuration>),
    /// Done when the hook succeeds.
    Hook(HookStep),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(partition) => write!(f, "partition {partition}"),
            Self::Pause(Some(duration)) => write!(f, "pause of {}s", duration.as_secs()),
            Self::Pause(None) => f.write_str("pause"),
            Self::Hook(hook) => write!(f, "hook {}", hook.template_name),
        }
    }
}

/// What is wrong with a step: the field below it, empty for the step itself, and why.
pub(crate) type Wrong = (&'static str, String);

/// Reads one step of a set with so many replicas.
pub(crate) fn read(step: &CanaryStep, replicas: u32) -> Result<Step, Wrong> {
    match (&step.partition, &step.pause, &step.hook) {
        (Some(partition), None, None) => {
            let partition = partition.resolve(i64::from(replicas), Rounding::Down);
            let partition = partition.map_err(|error| (".partition", error.to_string()))?;
            Ok(Step::Partition(u32::try_from(partition).unwrap_or(u32::MAX)))
        }
        (None, Some(pause), None) => match pause.duration {
            None => Ok(Step::Pause(None)),
            Some(seconds) if (0..=i64::from(i32::MAX)).contains(&seconds) => {
                Ok(Step::Pause(Some(SignedDuration::from_secs(seconds))))
            }
            Some(seconds) => Err((".pause.duration", format!("{seconds} is not a number of seconds"))),
        },
        (None, None, Some(hook)) if hook.template_name.is_empty() => {
            Err((".hook.templateName", "names no HookTemplate".into()))
        }
        (None, None, Some(hook)) => Ok(Step::Hook(hook.clone())),
        (None, None, None) => Err(("", "does nothing; a step has one of partition, pause and hook".into())),
        (partition, pause, hook) => {
            let set =
                [("partition", partition.is_some()), ("pause", pause.is_some()), ("hook", hook.is_some())];
            let names: Vec<&str> = set.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
            Err(("", format!("has {}; a step has one of partition, pause and hook", names.join(" and "))))
        }
    }
}

/// What [`hash`] begins with. Hashes of the bk-bcs operator never do: they have no dash.
pub(crate) const HASH_PREFIX: &str = "steps-";

/// `status.currentStepHash`: FNV-1a (64 bits, hexadecimal) over the JSON of the steps as they are written, so that
/// neither replicas nor a change of other fields makes other steps of them.
pub(crate) fn hash(steps: &[CanaryStep]) -> String {
    // A list of numbers and texts always serializes.
    let text = serde_json::to_string(steps).unwrap_or_default();
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    format!("{HASH_PREFIX}{hash:016x}")
}
