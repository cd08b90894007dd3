//! Why a step is taken or a pod is not moving: one vocabulary for status, events, logs and `muster explain`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident,)+) => {
        /// Why, as one CamelCase word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// The spelling everywhere: `Display`, status, events and logs.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }
        }
    };
}

codes! {
    // What steps are for.
    /// The template is new: it is kept as a ControllerRevision before any pod carries it.
    StoreRevision,
    /// The template is an older one again: its revision becomes the newest.
    RenumberRevision,
    /// A revision of this set that nobody owned is owned again.
    AdoptRevision,
    /// A revision beyond the history limit that no pod carries.
    TrimHistory,
    /// A pod of this set that nobody owned is owned again.
    AdoptPod,
    /// A pod whose labels were edited away from the selector is let go.
    ReleasePod,
    /// An ordinal of the set has no pod.
    CreatePod,
    /// A pending pod lacks a claim.
    CreateClaim,
    /// A pod that ended is deleted so that its ordinal can start afresh.
    ReplaceEnded,
    /// The ordinal is not part of the set any more.
    ScaleDown,
    /// Labels that say which pod this is were lost.
    RepairIdentity,
    /// An outdated pod is deleted to come back with the wanted revision.
    Recreate,
    /// Traffic is told to leave before the images change.
    CloseGate,
    /// Images, labels or annotations of a running pod change.
    UpdateInPlace,
    /// A pod may serve: it is new, or its update is complete or was called off.
    OpenGate,
    /// Resources of a running pod change.
    Resize,
    /// The owners of a claim are to be as the retention policy says.
    RetainClaim,
    /// A pod on a node that is lost is removed for good.
    ForceDelete,
    /// A pod above replicas serves while others are updated.
    Surge,
    /// A short-lived pod pulls an image on a node that will need it.
    PullImage,
    /// A pod that pulled an image is not needed any more.
    RemovePuller,
    /// Helpers of a pod run their new images.
    EndHelp,
    /// A hook is asked.
    AskHook,
    /// A hook's answer is not needed any more.
    EndHook,
    /// The set is being deleted, and its pods go through their hook first.
    Drain,
    /// A pod was told of its deletion, which is finished although nothing asks for it any more.
    FinishDeletion,
    /// The set is to be drained before it goes, or is drained.
    DrainFinalizer,
    /// An update failed, and the pod goes back to the revision it came from.
    RollBack,
    /// An annotation that ended a pause is taken off, so that it ends no other.
    EndResume,

    // What is waited for.
    /// The pod was created and does not run or is not ready yet.
    PodNotReady,
    /// No node takes the pod.
    Unschedulable,
    /// The pod is ready, but for less than minReadySeconds.
    NotYetAvailable,
    /// The pod is on its way out.
    PodTerminating,
    /// As many pods are unavailable as the budget allows.
    BudgetUsed,
    /// updateStrategy.paused is set.
    Paused,
    /// Pods are updated when somebody deletes them (updateStrategy OnDelete).
    OnDelete,
    /// The pod leaves traffic for gracePeriodSeconds before its images change.
    GracePeriod,
    /// The kubelet has not seen the new images yet.
    KubeletBehind,
    /// The container of the old image still runs.
    ContainerNotRestarted,
    /// An image cannot be pulled.
    ImagePull,
    /// A container keeps ending.
    CrashLoop,
    /// A container does not run.
    ContainerNotRunning,
    /// A container runs and is not ready.
    ContainerNotReady,
    /// The new image cannot be told from the old one; the container has to run for a while to be believed.
    Settling,
    /// The pod's revision cannot become the wanted one in place.
    CannotUpdateInPlace,
    /// The pod's revision is not among the stored ones.
    RevisionMissing,
    /// A claim of that name is being deleted.
    ClaimTerminating,
    /// A pod of that name belongs to somebody else.
    NameTaken,
    /// An earlier pod has to be ready first (OrderedReady).
    OrderedReady,
    /// The API server refuses a write.
    WriteRefused,
    /// More is to be done than fits into one plan.
    MoreToDo,
    /// The set is being deleted.
    SetTerminating,
    /// A field of the set cannot be acted on.
    InvalidSpec,
    /// A template change that updateStrategy does not allow.
    UpdateRefused,
    /// Outdated pods stay below the partition.
    Partition,
    /// A hook was asked and has not answered.
    HookPending,
    /// A hook answered no, or could not be asked.
    HookDenied,
    /// The hook's template or an argument of it is missing.
    HookTemplateMissing,
    /// The pod has no IP that a hook could be asked at.
    PodWithoutIp,
    /// As many hooks are being asked as may be at once.
    HooksAtLimit,
    /// A canary step waits for its time.
    CanaryPause,
    /// A canary step waits for somebody to resume it.
    CanaryPaused,
    /// A canary step's hook has not succeeded.
    CanaryHook,
    /// A canary step's pods are not updated and ready yet.
    CanaryProgress,
    /// New images are being pulled on the nodes that will need them.
    ImagePulling,
    /// The first pod of a revision goes alone until it runs.
    FirstPod,
    /// The update of a pod took too long.
    PodDeadline,
    /// Other containers of the pod are updated first.
    ContainerOrder,
    /// The node has not made the pod's new size real.
    ResizePending,
    /// The node cannot give the pod its new size now.
    ResizeDeferred,
    /// The node can never give the pod its new size.
    ResizeInfeasible,
    /// A quota leaves no room.
    Quota,
    /// A claim of the pod is not bound, or cannot be used.
    ClaimNotReady,
    /// The claim of the pod still belongs to an earlier pod of its name.
    ClaimStale,
    /// The pod's node does not answer.
    NodeLost,
    /// The next pods of a new set wait for those before them (scaleStrategy.createBatch).
    CreateBatch,
    /// The pod's volumes are not the claims that the set gives it.
    StorageMismatch,
    /// A claim has a controller that is neither the set nor its pod, and its owners are left alone.
    ClaimControlled,
    /// Which ordinals go first is written into the status before any of them goes.
    OrdinalsChosen,
}

impl Code {
    /// Whether what is waited for will not come by itself: somebody has to see to it, and hears of it by an event. The
    /// others pass, or are as somebody wants them to be.
    pub fn needs_somebody(self) -> bool {
        matches!(
            self,
            Self::Unschedulable
                | Self::ImagePull
                | Self::CrashLoop
                | Self::ContainerNotRunning
                | Self::CannotUpdateInPlace
                | Self::RevisionMissing
                | Self::NameTaken
                | Self::WriteRefused
                | Self::InvalidSpec
                | Self::UpdateRefused
                | Self::HookDenied
                | Self::HookTemplateMissing
                | Self::PodDeadline
                | Self::ResizeInfeasible
                | Self::Quota
                | Self::ClaimNotReady
                | Self::ClaimControlled
                | Self::StorageMismatch
                | Self::NodeLost
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// One word.
    pub code: Code,
    /// A sentence that names what it is about.
    pub message: String,
}

impl Reason {
    /// A reason of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
