//! An update that is taken back while pods are asked whether they may be touched. Nobody answers here.

use std::time::Duration;

use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use muster_crds::tkex::hook::{HookRun, HookTemplate};
use serde_json::{Value, json};

use super::must_be_untouched;
use crate::failure::{Result, must};
use crate::set::{NAMESPACE, SERVER, SET, image};
use crate::world::World;

/// The HookTemplate.
const ASK: &str = "ask";

/// How long pods wait for an answer.
const WAIT: Duration = Duration::from_secs(3);

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let good = before.values().next().map(|pod| pod.server.image_name.clone()).unwrap_or_default();
    let other = ["v1", "v2"].map(|version| image(SERVER, version)).into_iter().find(|other| *other != good);
    let other = other.unwrap_or_default();
    let templates: Api<HookTemplate> = Api::namespaced(world.client.clone(), NAMESPACE);
    let template = json!({
        "apiVersion": "tkex.tencent.com/v1alpha1",
        "kind": "HookTemplate",
        "metadata": {"name": ASK, "namespace": NAMESPACE},
        "spec": {"metrics": [{
            "name": "nobody-plays",
            "count": 1,
            "successCondition": "asInt(result) == 0",
            "provider": {"web": {"url": "http://nobody.answers.invalid/can-delete", "jsonPath": "{$.code}"}},
        }]},
    });
    templates.patch(ASK, &PatchParams::apply("muster-node").force(), &Patch::Apply(template)).await?;
    let hook = |hook: Value| json!({"spec": {"preInplaceUpdateStrategy": hook}});
    world.edit(SET, &hook(json!({"hook": {"templateName": ASK}}))).await?;

    let mark = world.film.mark();
    world.change(SET, SERVER, "image", &json!(other)).await?;
    let runs: Api<HookRun> = Api::namespaced(world.client.clone(), NAMESPACE);
    world
        .until("a pod is asked", async || {
            let asked = runs.list(&ListParams::default()).await?.items.len();
            Ok(if asked > 0 { Ok(()) } else { Err("there is no HookRun".to_owned()) })
        })
        .await?;
    tokio::time::sleep(WAIT).await;
    let asked = runs.list(&ListParams::default()).await?.items.len();
    world.change(SET, SERVER, "image", &json!(good)).await?;
    world.settled(SET).await?;
    world
        .until("nobody is asked any more", async || {
            let list = runs.list(&ListParams::default()).await?.items;
            let asked = list.iter().filter(|run| run.spec.terminate != Some(true)).count();
            Ok(if asked == 0 { Ok(()) } else { Err(format!("{asked} HookRuns go on")) })
        })
        .await?;

    must_be_untouched(&before, &world.look().await?)?;
    for frame in world.film.since(mark) {
        must(frame.ready && frame.closed.is_none() && frame.images.get(SERVER) == Some(&good), || {
            format!("pod {} was touched before anybody had answered: {frame:?}", frame.pod)
        })?;
    }
    world.edit(SET, &hook(Value::Null)).await?;
    Ok(vec![format!("{asked} of {} pods were asked; none left traffic or was changed", before.len())])
}
