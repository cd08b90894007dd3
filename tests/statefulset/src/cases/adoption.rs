//! Pods that are let go and taken back.

use futures::FutureExt;
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::json;

use super::Case;
use crate::failure::Result;
use crate::manifest::{all, manifest};
use crate::record::Order;
use crate::side::Side;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "adoption",
            about: "a pod that lost its owner is taken back",
            manifest: manifest(&all(&[])),
            play: |side| adoption(side).boxed(),
            differences: &[],
        },
        Case {
            name: "orphans",
            about: "pods of a set that was deleted as orphans belong to the next set of its name",
            manifest: manifest(&all(&[])),
            play: |side| orphans(side).boxed(),
            differences: &[],
        },
    ]
}

async fn adoption(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_owners(&["web-0", "web-1", "web-2"]).await?;
    side.act("web-1 loses its owner", Order::Exact);
    side.edit_pod("web-1", &json!({"metadata": {"ownerReferences": null}})).await?;
    side.note_owners(&["web-0", "web-1", "web-2"]).await?;
    side.rests_at("0=v1 1=v1 2=v1").await
}

async fn orphans(side: &Side) -> Result<()> {
    side.act("create", Order::Exact);
    side.create().await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("delete the set and leave its pods", Order::Exact);
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    side.delete(&orphan).await?;
    side.note_owners(&[]).await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.act("create it again", Order::Exact);
    side.create().await?;
    side.note_owners(&["web-0", "web-1", "web-2"]).await?;
    side.rests_at("0=v1 1=v1 2=v1").await?;
    side.note_status().await
}
