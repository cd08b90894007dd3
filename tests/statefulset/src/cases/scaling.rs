//! Pods come and go one by one, or all at once.

use futures::FutureExt;

use super::Case;
use crate::failure::Result;
use crate::manifest::{all, gated, manifest, policy, replicas};
use crate::record::{Order, Verb};
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "scale-ordered",
            about: "an ordered set comes up, grows and shrinks one by one",
            manifest: manifest(&all(&[])),
            play: |side| scale(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "scale-parallel",
            about: "a parallel set comes up, grows and shrinks at once",
            manifest: manifest(&policy("Parallel")),
            play: |side| scale(side, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "halt-ordered",
            about: "a pod that is not ready halts an ordered set on its way up, and on its way down when it is an earlier one",
            manifest: manifest(&gated()),
            play: |side| halt_ordered(side).boxed(),
            differences: &[],
        },
        Case {
            name: "halt-parallel",
            about: "a pod that is not ready halts no parallel set",
            manifest: manifest(&all(&[policy("Parallel"), gated()])),
            play: |side| halt_parallel(side).boxed(),
            differences: &[],
        },
    ]
}

async fn scale(side: &Side, order: Order) -> Result<()> {
    side.act("create", order);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_status().await?;
    side.act("scale to 5", order);
    side.edit(&replicas(5)).await?;
    side.rests_at("0=v1 1=v1 2=v1 3=v1 4=v1").await?;
    side.act("scale to 2", order);
    side.edit(&replicas(2)).await?;
    side.rests_at("0=v1 1=v1").await?;
    side.act("scale to 0", order);
    side.edit(&replicas(0)).await?;
    side.rests_at("").await?;
    side.note_status().await
}

async fn halt_ordered(side: &Side) -> Result<()> {
    side.act("create, with web-1 not ready", Order::Exact);
    side.hold("web-1").await?;
    side.create().await?;
    side.rests_at("0=v1 1=v1?").await?;
    side.note_status().await?;
    side.act("web-1 is ready", Order::Exact);
    side.release("web-1").await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("scale to 1, with web-0 not ready", Order::Exact);
    side.hold("web-0").await?;
    side.rests_at("0=v1? 1=v1 2=v1").await?;
    side.edit(&replicas(1)).await?;
    side.rests_at("0=v1? 1=v1 2=v1").await?;
    side.act("web-0 is ready", Order::Exact);
    side.release("web-0").await?;
    side.rests_at("0=v1").await?;
    side.act("scale to 3, and back while web-2 is not ready", Order::Exact);
    side.hold("web-2").await?;
    side.edit(&replicas(3)).await?;
    side.rests_at("0=v1 1=v1 2=v1?").await?;
    side.edit(&replicas(1)).await?;
    side.rests_at("0=v1").await
}

async fn halt_parallel(side: &Side) -> Result<()> {
    side.act("create, with web-1 not ready", Order::Bursts);
    side.hold("web-1").await?;
    side.create().await?;
    side.rests_at("0=v1 1=v1? 2=v1").await?;
    side.note_status().await?;
    side.act("scale to 5", Order::Bursts);
    side.edit(&replicas(5)).await?;
    side.rests_at("0=v1 1=v1? 2=v1 3=v1 4=v1").await?;
    side.act("scale to 1", Order::Bursts);
    side.edit(&replicas(1)).await?;
    side.sees(Verb::Gone, "web-1").await?;
    side.rests_at("0=v1").await
}
