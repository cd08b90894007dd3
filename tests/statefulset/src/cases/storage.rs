//! Claims outlive their pods, or not.

use futures::FutureExt;
use kube::api::DeleteParams;

use super::Case;
use crate::failure::Result;
use crate::manifest::{all, claims, image, manifest, policy, replicas};
use crate::record::{Order, Verb};
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "claims-are-kept",
            about: "claims are made for each ordinal and found again, also in an update",
            manifest: manifest(&claims("Retain", "Retain")),
            play: |side| kept(side).boxed(),
            differences: &[],
        },
        Case {
            name: "retain-and-retain",
            about: "no claim goes, neither when scaled nor when deleted",
            manifest: manifest(&claims("Retain", "Retain")),
            play: |side| retention(side, Order::Exact, 3, 3).boxed(),
            differences: &[],
        },
        Case {
            name: "retain-and-delete",
            about: "claims stay when scaled and go when deleted",
            manifest: manifest(&claims("Retain", "Delete")),
            play: |side| retention(side, Order::Exact, 3, 0).boxed(),
            differences: &[],
        },
        Case {
            name: "delete-and-retain",
            about: "claims go when scaled and stay when deleted",
            manifest: manifest(&claims("Delete", "Retain")),
            play: |side| retention(side, Order::Exact, 1, 1).boxed(),
            differences: &[],
        },
        Case {
            name: "delete-and-delete",
            about: "claims go when scaled and when deleted, in a parallel set",
            manifest: manifest(&all(&[policy("Parallel"), claims("Delete", "Delete")])),
            play: |side| retention(side, Order::Bursts, 1, 0).boxed(),
            differences: &[],
        },
        Case {
            name: "retention-changes",
            about: "the policy of a set that runs changes",
            manifest: manifest(&claims("Retain", "Retain")),
            play: |side| changes(side).boxed(),
            differences: &[],
        },
    ]
}

async fn created(side: &Side, order: Order) -> Result<()> {
    side.act("create", order);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_claims(3).await
}

async fn kept(side: &Side) -> Result<()> {
    created(side, Order::Exact).await?;
    side.act("a new image", Order::Exact);
    side.edit(&image("v2")).await?;
    side.rests_at("0=v2 1=v2 2=v2").await?;
    side.note_claims(3).await?;
    side.act("web-1 is deleted", Order::Exact);
    side.delete_pod("web-1").await?;
    side.sees(Verb::Ready, "web-1").await?;
    side.rests_at("0=v2 1=v2 2=v2").await?;
    side.note_claims(3).await
}

async fn retention(side: &Side, order: Order, when_scaled: usize, when_deleted: usize) -> Result<()> {
    created(side, order).await?;
    side.act("scale to 1", order);
    side.edit(&replicas(1)).await?;
    side.rests_at("0=v1").await?;
    side.note_claims(when_scaled).await?;
    side.act("delete the set", Order::PerPod);
    side.delete(&DeleteParams::background()).await?;
    side.rests_at("").await?;
    side.note_claims(when_deleted).await
}

async fn changes(side: &Side) -> Result<()> {
    created(side, Order::Exact).await?;
    for (when_scaled, when_deleted) in [("Retain", "Delete"), ("Delete", "Delete"), ("Delete", "Retain")] {
        side.act(&format!("{when_scaled} when scaled, {when_deleted} when deleted"), Order::Exact);
        let mut change = claims(when_scaled, when_deleted);
        if let Some(spec) = change["spec"].as_object_mut() {
            spec.remove("volumeClaimTemplates");
        }
        side.edit(&change).await?;
        side.rests_at("0=v1 1=v1 2=v1").await?;
        side.note_claims(3).await?;
    }
    side.act("scale to 2 and back", Order::Exact);
    side.edit(&replicas(2)).await?;
    side.rests_at("0=v1 1=v1").await?;
    side.note_claims(2).await?;
    side.edit(&replicas(3)).await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_claims(3).await
}
