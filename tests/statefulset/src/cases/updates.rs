//! A changed template reaches the pods.

use futures::FutureExt;
use serde_json::json;

use super::{Case, Difference};
use crate::failure::Result;
use crate::manifest::{all, gated, image, manifest, max_unavailable, partition, policy, replicas};
use crate::record::Order;
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    // In a parallel set ours also updates in parallel unless it is told how many pods may be unavailable.
    let parallel = all(&[policy("Parallel"), max_unavailable(1)]);
    let on_delete = json!({"spec": {"updateStrategy": {"type": "OnDelete"}}});
    vec![
        Case {
            name: "update-ordered",
            about: "a new image of an ordered set, and back",
            manifest: manifest(&all(&[])),
            play: |side| update(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "update-parallel",
            about: "a new image of a parallel set, and back",
            manifest: manifest(&parallel),
            play: |side| update(side, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "partition-ordered",
            about: "a canary by partition, deleted pods on both sides of it, and lowering it",
            manifest: manifest(&partition(2)),
            play: |side| canary(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "partition-parallel",
            about: "the same in a parallel set",
            manifest: manifest(&all(&[parallel.clone(), partition(2)])),
            play: |side| canary(side, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "partition-raised",
            about: "a partition that is raised during an update",
            manifest: manifest(&partition(1)),
            play: |side| raised(side).boxed(),
            differences: &[Difference {
                act: "raise the partition to 2",
                why: "updated pods below a raised partition go back: that is what a partition says",
            }],
        },
        Case {
            name: "on-delete-ordered",
            about: "OnDelete: a pod takes the new image when somebody deletes it",
            manifest: manifest(&on_delete),
            play: |side| on_deletion(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "on-delete-parallel",
            about: "the same in a parallel set",
            manifest: manifest(&all(&[policy("Parallel"), on_delete])),
            play: |side| on_deletion(side, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "update-and-scale",
            about: "a new image together with another number of pods",
            manifest: manifest(&all(&[])),
            play: |side| update_and_scale(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "skip-a-revision",
            about: "a template that is changed again during its update",
            manifest: manifest(&partition(1)),
            play: |side| skip(side).boxed(),
            differences: &[],
        },
        Case {
            name: "bad-image-parallel",
            about: "an update whose first pod does not get ready stops, and a third revision takes it back",
            manifest: manifest(&all(&[parallel, gated()])),
            play: |side| bad_image(side, Order::Bursts).boxed(),
            differences: &[Difference {
                act: "a good image",
                why: "with maxUnavailable a StatefulSet of 1.34 lets a pod of an old revision that is down use up the budget (kubernetes#137409)",
            }],
        },
        Case {
            name: "bad-image-ordered",
            about: "the same in an ordered set",
            manifest: manifest(&gated()),
            play: |side| bad_image(side, Order::Exact).boxed(),
            differences: &[Difference {
                act: "a good image",
                why: "a pod of an old revision that is down is replaced: it blocks its own repair there until somebody deletes it",
            }],
        },
        Case {
            name: "history-limit",
            about: "old revisions beyond revisionHistoryLimit go",
            manifest: manifest(&json!({"spec": {"revisionHistoryLimit": 1, "replicas": 1}})),
            play: |side| history(side).boxed(),
            differences: &[],
        },
        Case {
            name: "max-unavailable",
            about: "two pods of a parallel set may be unavailable at once",
            manifest: manifest(&all(&[policy("Parallel"), max_unavailable(2), gated(), replicas(4)])),
            play: |side| two_at_once(side).boxed(),
            differences: &[],
        },
    ]
}

async fn created(side: &Side, order: Order) -> Result<()> {
    side.act("create", order);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await
}

async fn update(side: &Side, order: Order) -> Result<()> {
    created(side, order).await?;
    // One at a time either way.
    side.act("a new image", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v2 1=v2 2=v2").await?;
    side.note_status().await?;
    side.act("back to the old image", Order::Exact);
    side.edit(&image("v1")).await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_status().await?;
    side.note_revisions(2).await
}

async fn canary(side: &Side, order: Order) -> Result<()> {
    created(side, order).await?;
    side.act("a new image above partition 2", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v1 1=v1 2=v2").await?;
    side.note_status().await?;
    side.act("web-0 is deleted", Order::Exact);
    side.delete_pod("web-0").await?;
    side.rests_at("0=v1 1=v1 2=v2").await?;
    side.act("web-2 is deleted", Order::Exact);
    side.delete_pod("web-2").await?;
    side.rests_at("0=v1 1=v1 2=v2").await?;
    side.act("scale to 4", Order::Exact);
    side.edit(&replicas(4)).await?;
    side.rests_at("0=v1 1=v1 2=v2 3=v2").await?;
    side.act("lower the partition to 1", Order::Exact);
    side.edit(&partition(1)).await?;
    side.rests_at("0=v1 1=v2 2=v2 3=v2").await?;
    side.act("lower the partition to 0", Order::Exact);
    side.edit(&partition(0)).await?;
    side.rests_at("0=v2 1=v2 2=v2 3=v2").await?;
    side.note_status().await
}

async fn raised(side: &Side) -> Result<()> {
    created(side, Order::Exact).await?;
    side.act("a new image above partition 1", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v1 1=v2 2=v2").await?;
    side.act("raise the partition to 2", Order::Exact);
    side.edit(&partition(2)).await?;
    side.rests_at(side.pick("0=v1 1=v2 2=v2", "0=v1 1=v1 2=v2")).await
}

async fn on_deletion(side: &Side, order: Order) -> Result<()> {
    created(side, order).await?;
    side.act("a new image", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_status().await?;
    side.act("web-1 is deleted", Order::Exact);
    side.delete_pod("web-1").await?;
    side.rests_at("0=v1 1=v2 2=v1").await?;
    side.act("scale to 4", Order::Exact);
    side.edit(&replicas(4)).await?;
    side.rests_at("0=v1 1=v2 2=v1 3=v2").await?;
    side.act("scale to 0", order);
    side.edit(&replicas(0)).await?;
    side.rests_at("").await?;
    side.act("scale to 2", order);
    side.edit(&replicas(2)).await?;
    side.rests_at("0=v2 1=v2").await
}

async fn update_and_scale(side: &Side, order: Order) -> Result<()> {
    created(side, order).await?;
    side.act("a new image and 4 pods", order);
    side.edit(&all(&[image("v2"), replicas(4)])).await?;
    side.rests_at("0=v2 1=v2 2=v2 3=v2").await?;
    side.note_status().await?;
    side.act("a new image and 2 pods", order);
    side.edit(&all(&[image("v3"), replicas(2)])).await?;
    side.rests_at("0=v3 1=v3").await?;
    side.note_status().await
}

async fn skip(side: &Side) -> Result<()> {
    created(side, Order::Exact).await?;
    side.act("a new image above partition 1", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v1 1=v2 2=v2").await?;
    side.act("another image, and no partition", Order::Exact);
    side.edit(&all(&[image("v3"), partition(0)])).await?;
    side.rests_at("0=v3 1=v3 2=v3").await?;
    side.note_status().await?;
    side.note_revisions(3).await
}

async fn bad_image(side: &Side, order: Order) -> Result<()> {
    created(side, order).await?;
    side.act("an image that does not get ready", Order::Exact);
    side.edit(&image("bad")).await?;
    side.rests_at("0=v1 1=v1 2=bad?").await?;
    side.note_status().await?;
    side.act("a good image", Order::Exact);
    side.edit(&image("v3")).await?;
    side.rests_at(side.pick("0=v1 1=v1 2=bad?", "0=v3 1=v3 2=v3")).await
}

async fn history(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1").await?;
    for (act, tag, stored) in [("v2", "v2", 2), ("v3", "v3", 2), ("v4", "v4", 2)] {
        side.act(act, Order::Exact);
        side.edit(&image(tag)).await?;
        side.rests_at(&format!("0={tag}")).await?;
        side.note_revisions(stored).await?;
    }
    Ok(())
}

async fn two_at_once(side: &Side) -> Result<()> {
    side.act("create", Order::Bursts);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1 3=v1").await?;
    // None of the new ones gets ready by itself, so that it is told here in which order they do.
    side.act("a new image", Order::Bursts);
    side.edit(&image("bad")).await?;
    side.rests_at("0=v1 1=v1 2=bad? 3=bad?").await?;
    side.act("web-3 is ready", Order::Exact);
    side.release("web-3").await?;
    side.rests_at("0=v1 1=bad? 2=bad? 3=bad").await?;
    side.act("web-1 is ready", Order::Exact);
    side.release("web-1").await?;
    side.rests_at("0=bad? 1=bad 2=bad? 3=bad").await?;
    side.act("all are ready", Order::PerPod);
    side.release("web-2").await?;
    side.release("web-0").await?;
    side.rests_at("0=bad 1=bad 2=bad 3=bad").await?;
    side.note_status().await
}
