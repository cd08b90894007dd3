//! Claims outlive their pods, or not.

use futures::FutureExt;

use super::Case;
use crate::failure::Result;
use crate::manifest::{claims, image, manifest};
use crate::record::{Order, Verb};
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: "claims-are-kept",
        about: "claims are made for each ordinal and found again, also in an update",
        manifest: manifest(&claims("Retain", "Retain")),
        play: |side| kept(side).boxed(),
        differences: &[],
    }]
}

async fn kept(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_claims(3).await?;
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
