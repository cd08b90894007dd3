//! Which ordinals a set has, and how long a pod must be ready.

use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};

use super::Case;
use crate::failure::Result;
use crate::manifest::{all, image, manifest, max_unavailable, policy, replicas};
use crate::record::{Order, Verb};
use crate::side::Side;

/// How long a pod must be ready in the case that is about it.
const MIN_READY: Duration = Duration::from_secs(4);

pub(super) fn cases() -> Vec<Case> {
    let min_ready = json!({"spec": {"minReadySeconds": MIN_READY.as_secs()}});
    vec![
        Case {
            name: "start-ordered",
            about: "the first ordinal is set, raised, lowered and taken away",
            manifest: manifest(&replicas(2)),
            play: |side| starts(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "start-parallel",
            about: "the same in a parallel set",
            manifest: manifest(&all(&[policy("Parallel"), replicas(2)])),
            play: |side| starts(side, Order::PerPod).boxed(),
            differences: &[],
        },
        Case {
            name: "start-and-partition",
            about: "a partition counts ordinals from the first one",
            manifest: manifest(&all(&[
                start(&json!(5)),
                json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}),
            ])),
            play: |side| partition(side).boxed(),
            differences: &[],
        },
        Case {
            name: "min-ready-ordered",
            about: "an ordered set waits until a pod has been ready for minReadySeconds",
            manifest: manifest(&all(&[min_ready.clone(), replicas(2)])),
            play: |side| min_ready_ordered(side).boxed(),
            differences: &[],
        },
        Case {
            name: "min-ready-parallel",
            about: "a parallel set waits so in its updates only",
            manifest: manifest(&all(&[min_ready, policy("Parallel"), max_unavailable(1), replicas(2)])),
            play: |side| min_ready_parallel(side).boxed(),
            differences: &[],
        },
    ]
}

fn start(first: &Value) -> Value {
    json!({"spec": {"ordinals": {"start": first}}})
}

async fn starts(side: &Side, order: Order) -> Result<()> {
    side.act("create", order);
    side.create().await?;
    side.rests_at("0=v1 1=v1").await?;
    side.act("start at 1", order);
    side.edit(&start(&json!(1))).await?;
    side.rests_at("1=v1 2=v1").await?;
    side.act("start at 4", order);
    side.edit(&start(&json!(4))).await?;
    side.rests_at("4=v1 5=v1").await?;
    side.note_status().await?;
    side.act("start at 3", order);
    side.edit(&start(&json!(3))).await?;
    side.rests_at("3=v1 4=v1").await?;
    side.act("start nowhere", order);
    side.edit(&json!({"spec": {"ordinals": null}})).await?;
    side.rests_at("0=v1 1=v1").await?;
    side.note_status().await
}

async fn partition(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("5=v1 6=v1 7=v1").await?;
    side.act("a new image above partition 1", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("5=v1 6=v2 7=v2").await?;
    side.note_status().await?;
    side.act("web-5 is deleted", Order::Exact);
    side.delete_pod("web-5").await?;
    side.rests_at("5=v1 6=v2 7=v2").await
}

async fn min_ready_ordered(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.sees(Verb::Ready, "web-1").await?;
    side.rests_at("0=v1 1=v1").await?;
    side.must_wait((Verb::Ready, "web-0"), (Verb::Create, "web-1"), MIN_READY)?;
    side.note_available(2).await?;
    side.act("a new image", Order::Exact);
    side.edit(&image("v2")).await?;
    side.sees(Verb::Ready, "web-0").await?;
    side.rests_at("0=v2 1=v2").await?;
    side.must_wait((Verb::Ready, "web-1"), (Verb::Delete, "web-0"), MIN_READY)?;
    side.note_available(2).await
}

async fn min_ready_parallel(side: &Side) -> Result<()> {
    side.act("create", Order::Bursts);
    side.create().await?;
    side.rests_at("0=v1 1=v1").await?;
    side.note_available(2).await?;
    side.act("a new image", Order::Exact);
    side.edit(&image("v2")).await?;
    side.sees(Verb::Ready, "web-0").await?;
    side.rests_at("0=v2 1=v2").await?;
    side.must_wait((Verb::Ready, "web-1"), (Verb::Delete, "web-0"), MIN_READY)?;
    side.note_available(2).await
}
