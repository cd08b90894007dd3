//! Pods that are deleted or fail come back.

use futures::FutureExt;

use super::{Case, Difference};
use crate::failure::Result;
use crate::manifest::{all, gated, image, manifest, max_unavailable, policy, replicas};
use crate::record::{Order, Verb};
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    let parallel = all(&[policy("Parallel"), max_unavailable(1)]);
    vec![
        Case {
            name: "deleted-ordered",
            about: "deleted pods 0, 2 and 4 of an ordered set come back in order",
            manifest: manifest(&replicas(5)),
            play: |side| deleted(side, Order::Exact, Order::ExceptGone).boxed(),
            differences: &[],
        },
        Case {
            name: "deleted-parallel",
            about: "deleted pods 0, 2 and 4 of a parallel set come back",
            manifest: manifest(&all(&[policy("Parallel"), replicas(5)])),
            play: |side| deleted(side, Order::Bursts, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "failed-ordered",
            about: "a pod that failed is deleted once and made anew",
            manifest: manifest(&all(&[])),
            play: |side| failed(side, Order::Exact).boxed(),
            differences: &[],
        },
        Case {
            name: "failed-parallel",
            about: "the same in a parallel set",
            manifest: manifest(&parallel),
            play: |side| failed(side, Order::Bursts).boxed(),
            differences: &[],
        },
        Case {
            name: "unready-blocks",
            about: "an update of an ordered set that has a pod that is not ready",
            manifest: manifest(&gated()),
            play: |side| unready_blocks(side).boxed(),
            differences: &[Difference {
                act: "a new image, with web-1 not ready",
                why: "a pod of an old revision that is down is replaced at no cost: nobody loses anything by it",
            }],
        },
        Case {
            name: "predecessor-fails",
            about: "a deleted pod 0 comes back although pod 1 is not ready",
            manifest: manifest(&gated()),
            play: |side| predecessor(side).boxed(),
            differences: &[],
        },
        Case {
            name: "dies-in-an-update",
            about: "a pod that is deleted during an ordered update, before its turn",
            manifest: manifest(&gated()),
            play: |side| dies(side).boxed(),
            differences: &[Difference {
                act: "web-0 is deleted",
                why: "it comes back with the new revision: going back first would cost its players a second restart",
            }],
        },
    ]
}

async fn deleted(side: &Side, create: Order, order: Order) -> Result<()> {
    side.act("create", create);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1 3=v1 4=v1").await?;
    side.act("pods 0, 2 and 4 are deleted", order);
    // All at once, before the first of them is gone.
    for pod in ["web-4", "web-2", "web-0"] {
        side.request_deletion(pod).await?;
    }
    side.sees(Verb::Ready, "web-4").await?;
    side.rests_at("0=v1 1=v1 2=v1 3=v1 4=v1").await?;
    side.note_status().await
}

async fn failed(side: &Side, order: Order) -> Result<()> {
    side.act("create", order);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("web-1 fails", Order::Exact);
    side.fail_pod("web-1").await?;
    side.sees(Verb::Ready, "web-1").await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_status().await
}

async fn unready_blocks(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("a new image, with web-1 not ready", Order::Exact);
    side.hold("web-1").await?;
    side.rests_at("0=v1 1=v1? 2=v1").await?;
    side.edit(&image("v2")).await?;
    side.rests_at(side.pick("0=v1 1=v1? 2=v1", "0=v1 1=v2? 2=v1")).await
}

async fn predecessor(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("web-1 is not ready, and web-0 is deleted", Order::Exact);
    side.hold("web-1").await?;
    side.rests_at("0=v1 1=v1? 2=v1").await?;
    side.delete_pod("web-0").await?;
    side.rests_at("0=v1 1=v1? 2=v1").await?;
    side.note_status().await
}

async fn dies(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("an image that does not get ready", Order::Exact);
    side.edit(&image("bad")).await?;
    side.rests_at("0=v1 1=v1 2=bad?").await?;
    side.act("web-0 is deleted", Order::Exact);
    side.delete_pod("web-0").await?;
    side.rests_at(side.pick("0=v1 1=v1 2=bad?", "0=bad? 1=v1 2=bad?")).await
}
