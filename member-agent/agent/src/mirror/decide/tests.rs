//! One table: what is wanted, what is there, what is remembered, and the step that follows.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::mirror::ownership::Tracking;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn apply() -> Apply {
    Apply {
        hash: "h2".to_owned(),
        source_uid: "source".to_owned(),
        version: 7,
        adopt: Adoption::Never,
        retain: Vec::new(),
        body: json!({"spec": {"replicas": 3}}),
    }
}

fn wants(apply: Apply) -> Intent {
    Intent::Apply(Arc::new(apply))
}

fn removes(policy: DeletionPolicy) -> Intent {
    Intent::Remove(Deletion { policy, options: json!({"gracePeriodSeconds": 9}) })
}

fn tracking(hash: &str) -> Tracking {
    Tracking {
        hub: "hub".to_owned(),
        cluster: "cluster".to_owned(),
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "games".to_owned(),
        name: "web".to_owned(),
        source: "source".to_owned(),
        hash: hash.to_owned(),
        version: 5,
    }
}

/// Our object, in sync with [`apply`].
fn ours() -> Live {
    Live {
        uid: "uid".to_owned(),
        resource_version: "11".to_owned(),
        generation: 2,
        deleting: false,
        ownership: Ownership::Ours(tracking("h2")),
        opted_out: false,
        lost: Vec::new(),
        differing: Vec::new(),
        retained: Retained::Free,
    }
}

fn foreign() -> Live {
    Live { ownership: Ownership::Foreign, ..ours() }
}

struct Case {
    want: Option<Intent>,
    absent: bool,
    live: Option<Live>,
    link: Link,
    namespace: NamespaceState,
    blocked_by: Option<String>,
    holds_others: bool,
    record: Record,
    now: Timestamp,
}

impl Case {
    fn new(want: Intent, live: Option<Live>) -> Self {
        Self {
            want: Some(want),
            absent: false,
            live,
            link: Link::Up,
            namespace: NamespaceState::Present,
            blocked_by: None,
            holds_others: false,
            record: Record::default(),
            now: NOW,
        }
    }

    fn absent(live: Option<Live>) -> Self {
        Self { want: None, absent: true, ..Self::new(removes(DeletionPolicy::Delete), live) }
    }

    fn unknown(live: Option<Live>) -> Self {
        Self { absent: false, ..Self::absent(live) }
    }

    fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    fn decide(&self) -> Decision {
        let want = match (&self.want, self.absent) {
            (Some(intent), _) => Want::Intent(intent),
            (None, true) => Want::Absent,
            (None, false) => Want::Unknown,
        };
        let observed = Observed {
            want,
            live: self.live.as_ref(),
            link: self.link,
            namespace: self.namespace,
            blocked_by: self.blocked_by.clone(),
            holds_others: self.holds_others,
        };
        decide(&observed, &self.record, self.now)
    }

    /// The decision in one line.
    fn line(&self) -> String {
        let decision = self.decide();
        let say = match &decision.say {
            Say::Nothing => String::new(),
            Say::Object { word, message } => format!("{} {message}", serde_json::to_value(word).unwrap()),
            Say::Gone { message } => format!("gone: {message}"),
            Say::GoneIfSaidBefore => "gone if said before".to_owned(),
        };
        match decision.action {
            Action::None => say,
            action => {
                assert!(say.is_empty(), "a step says nothing");
                action.short().to_owned()
            }
        }
    }
}

#[test]
fn each_situation_has_one_next_step() {
    let with_adopt = |adopt| wants(Apply { adopt, ..apply() });
    let retained = |retained| Some(Live { retained, ..ours() });
    let replicas = || vec![("/spec/replicas".to_owned(), json!(120))];
    let other_hub = || Live { ownership: Ownership::OtherHub("hub-2".to_owned()), ..ours() };
    let former = || Live { ownership: Ownership::Former(tracking("h2")), ..ours() };
    let deleting = || Live { deleting: true, ..ours() };
    let opted_out = || Live { opted_out: true, ..ours() };
    let lost = || Live { lost: vec!["spec.paused".to_owned()], ..ours() };
    let differing = || Live { differing: vec!["spec.replicas".to_owned()], ..foreign() };
    let delete = || removes(DeletionPolicy::Delete);
    let orphan = || removes(DeletionPolicy::Orphan);
    let hold = || Intent::Hold { reason: "planning".to_owned() };

    let table = vec![
        // Wanted, not there.
        (Case::new(wants(apply()), None), "create"),
        (Case::new(wants(apply()), None).link(Link::Down), "create"),
        (Case::new(wants(apply()), None).link(Link::Rewound), "create"),
        (Case { namespace: NamespaceState::Missing, ..Case::new(wants(apply()), None) }, "create namespace"),
        (
            Case { namespace: NamespaceState::Terminating, ..Case::new(wants(apply()), None) },
            "\"CreationFailed\" its namespace is being deleted",
        ),
        (
            Case { blocked_by: Some("namespaces games".to_owned()), ..Case::new(wants(apply()), None) },
            "\"CreationFailed\" waits for namespaces games",
        ),
        // Wanted, ours.
        (Case::new(wants(apply()), Some(ours())), "\"\" "),
        (Case::new(wants(Apply { hash: "h3".to_owned(), ..apply() }), Some(ours())), "apply"),
        (Case::new(wants(Apply { hash: "h3".to_owned(), ..apply() }), Some(ours())).link(Link::Down), ""),
        (Case::new(wants(apply()), Some(lost())), "revert"),
        (Case::new(wants(apply()), Some(lost())).link(Link::Down), ""),
        (Case::new(wants(apply()), Some(former())), "take over"),
        (
            Case::new(wants(apply()), Some(deleting())),
            "\"WaitingForRemoval\" it is being deleted; it is created again once it is gone",
        ),
        (
            Case::new(wants(apply()), Some(opted_out())),
            "\"ManagedLabelFalse\" the member opted this object out with kubefed.io/managed=false",
        ),
        // Wanted, with fields that belong to the member.
        (Case::new(wants(apply()), retained(Retained::MirrorAlone(replicas()))), "hand over"),
        (
            Case::new(
                wants(Apply { hash: "h3".to_owned(), ..apply() }),
                retained(Retained::MirrorAlone(replicas())),
            ),
            "hand over",
        ),
        (Case::new(wants(apply()), retained(Retained::Shared)), "let go"),
        (Case::new(wants(apply()), retained(Retained::MirrorAlone(replicas()))).link(Link::Down), ""),
        // Wanted, somebody else's.
        (
            Case::new(wants(apply()), Some(foreign())),
            "\"AlreadyExists\" it exists and was not made by this hub",
        ),
        (
            Case::new(with_adopt(Adoption::IfNoDiff), Some(differing())),
            "\"AlreadyExists\" it exists and was not made by this hub, and differs in spec.replicas",
        ),
        (Case::new(with_adopt(Adoption::IfNoDiff), Some(foreign())), "adopt"),
        (Case::new(with_adopt(Adoption::Always), Some(differing())), "adopt"),
        (Case::new(with_adopt(Adoption::Always), Some(differing())).link(Link::Down), ""),
        (
            Case::new(with_adopt(Adoption::IfNoDiff), Some(other_hub())),
            "\"AlreadyExists\" it belongs to the hub with uid hub-2",
        ),
        (Case::new(with_adopt(Adoption::Always), Some(other_hub())), "adopt"),
        // Held, or not known.
        (Case::new(hold(), Some(ours())), "\"\" planning"),
        (Case::new(hold(), None), "gone if said before"),
        (Case::new(hold(), Some(foreign())), "gone if said before"),
        (Case::unknown(Some(ours())), "\"\" "),
        (Case::unknown(Some(former())), "\"\" "),
        (Case::unknown(Some(foreign())), "gone if said before"),
        (Case::unknown(None), "gone if said before"),
        // To be removed.
        (Case::new(delete(), Some(ours())), "delete"),
        (Case::new(delete(), Some(former())), "delete"),
        (Case::new(orphan(), Some(ours())), "release"),
        (Case { holds_others: true, ..Case::new(delete(), Some(ours())) }, "release"),
        (Case::new(delete(), Some(deleting())), "\"WaitingForRemoval\" "),
        (Case::new(delete(), None), "gone: it is gone"),
        (Case::new(delete(), Some(foreign())), "gone: what has this name is not this hub's"),
        (Case::new(delete(), Some(other_hub())), "gone: what has this name is not this hub's"),
        (
            Case::new(delete(), Some(opted_out())),
            "gone: the member opted it out with kubefed.io/managed=false; it stays",
        ),
        (Case::new(delete(), Some(ours())).link(Link::Down), "\"WaitingForRemoval\" the hub is out of reach"),
        (
            Case::new(orphan(), Some(ours())).link(Link::Rewound),
            "\"WaitingForRemoval\" the hub is behind what this member has obeyed; nothing is removed",
        ),
        (
            Case { blocked_by: Some("ingresses web".to_owned()), ..Case::new(delete(), Some(ours())) },
            "\"WaitingForRemoval\" waits for ingresses web",
        ),
        // Not in a complete view.
        (Case::absent(Some(ours())), "delete"),
        (Case::absent(Some(ours())).link(Link::Down), "\"\" "),
        (
            Case::absent(Some(ours())).link(Link::Rewound),
            "\"\" the hub is behind what this member has obeyed; nothing is removed",
        ),
        (Case::absent(Some(former())), "\"\" "),
        (Case::absent(Some(foreign())), "gone if said before"),
        (Case::absent(Some(opted_out())), "gone if said before"),
        (Case::absent(Some(deleting())), "\"WaitingForRemoval\" "),
        (Case::absent(None), "gone if said before"),
    ];
    for (index, (case, expected)) in table.iter().enumerate() {
        assert_eq!(case.line(), *expected, "row {index}");
    }
}

#[test]
fn a_write_is_aimed_at_exactly_the_object_that_was_seen() {
    let delete = Case::new(removes(DeletionPolicy::Delete), Some(ours())).decide().action;
    assert_eq!(
        delete,
        Action::Delete {
            uid: "uid".to_owned(),
            resource_version: "11".to_owned(),
            options: json!({"gracePeriodSeconds": 9})
        }
    );
    let prune = Case::absent(Some(ours())).decide().action;
    assert_eq!(
        prune,
        Action::Delete { uid: "uid".to_owned(), resource_version: "11".to_owned(), options: Value::Null }
    );
}

#[test]
fn an_accepted_delete_is_not_sent_again() {
    let mut case = Case::new(removes(DeletionPolicy::Delete), Some(ours()));
    case.record.deleted("uid");
    assert_eq!(case.line(), "\"WaitingForRemoval\" ");
    case.live = Some(Live { uid: "another".to_owned(), ..ours() });
    assert_eq!(case.line(), "delete", "the next object of that name is another one");
}

#[test]
fn a_namespace_that_is_being_deleted_is_looked_at_again() {
    let case = Case { namespace: NamespaceState::Terminating, ..Case::new(wants(apply()), None) };
    assert_eq!(case.decide().recheck, Some(NOW + NAMESPACE_PAUSE));
}

#[test]
fn the_sixth_revert_of_a_field_in_ten_minutes_stops_the_object() {
    let lost = Live { lost: vec!["spec.replicas".to_owned()], ..ours() };
    let mut case = Case::new(wants(apply()), Some(lost));
    for minute in 0..5 {
        case.now = NOW + SignedDuration::from_mins(minute);
        assert_eq!(case.line(), "revert", "minute {minute}");
        case.record.reverted(&["spec.replicas".to_owned()], case.now);
    }
    case.now = NOW + SignedDuration::from_mins(9);
    let decision = case.decide();
    assert!(case.line().starts_with("\"UpdateFailed\" contention: spec.replicas"), "{}", case.line());
    case.record.stopped(decision.contention.unwrap());

    case.now = NOW + SignedDuration::from_hours(5);
    assert!(case.line().starts_with("\"UpdateFailed\" contention"), "it stays stopped");

    case.want = Some(wants(Apply { hash: "h3".to_owned(), ..apply() }));
    assert_eq!(case.line(), "apply", "a new desired object is a new start");

    case.want = Some(wants(apply()));
    case.record.calm();
    assert_eq!(case.line(), "revert", "so is a field that was given back");
}

#[test]
fn slow_changes_by_others_are_put_back_each_time() {
    let lost = Live { lost: vec!["spec.replicas".to_owned()], ..ours() };
    let mut case = Case::new(wants(apply()), Some(lost));
    for round in 0..20 {
        case.now = NOW + SignedDuration::from_mins(3 * round);
        assert_eq!(case.line(), "revert", "round {round}");
        case.record.reverted(&["spec.replicas".to_owned()], case.now);
    }
}

#[test]
fn fields_that_the_member_drops_are_named_and_not_applied_again() {
    let lost = Live { lost: vec!["spec.futureField".to_owned()], ..ours() };
    let mut case = Case::new(wants(apply()), Some(lost));
    case.record.settled("uid", "h2", vec!["spec.futureField".to_owned()]);
    assert_eq!(case.line(), "\"\" the member does not keep spec.futureField");
    case.live = Some(Live { lost: vec!["spec.futureField".to_owned(), "spec.paused".to_owned()], ..ours() });
    assert_eq!(
        case.decide().action,
        Action::Apply { cause: Cause::Reverted(vec!["spec.paused".to_owned()]), uid: "uid".to_owned() }
    );
}

#[test]
fn a_refused_write_is_tried_again_after_its_pause_and_not_at_each_event() {
    let mut case = Case::new(wants(Apply { hash: "h3".to_owned(), ..apply() }), Some(ours()));
    let action = case.decide().action;
    let intent = case.want.clone().unwrap();
    let failed = attempt(&action, Want::Intent(&intent)).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let pause = case.record.failed(failed.clone(), Word::UpdateFailed, "no".to_owned(), case.now);
        assert_eq!(case.line(), "\"UpdateFailed\" no");
        case.now += SignedDuration::try_from(pause).unwrap();
        assert_eq!(case.line(), "apply");
        pauses.push(pause);
    }
    assert_eq!(pauses[0], crate::mirror::record::FAILURE_PAUSE_MIN);
    assert_eq!(pauses[1], crate::mirror::record::FAILURE_PAUSE_MIN * 2);
    assert_eq!(pauses[11], crate::mirror::record::FAILURE_PAUSE_MAX);

    case.record.failed(failed, Word::UpdateFailed, "no".to_owned(), case.now);
    case.want = Some(wants(Apply { hash: "h4".to_owned(), ..apply() }));
    assert_eq!(case.line(), "apply", "another desired object is another write");
}
