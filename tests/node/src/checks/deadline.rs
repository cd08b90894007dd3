//! An image that does not exist where nothing is proven: one pod is lost for as long as the deadline says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::failure::{Result, must};
use crate::set::{SERVER, SET, image};
use crate::world::World;

/// The deadline, in seconds. A name server that does not answer keeps a pull from failing for some ten of them.
const DEADLINE: i64 = 20;

pub(super) async fn check(world: &mut World) -> Result<Vec<String>> {
    let before = world.look().await?;
    let good = before.values().next().map(|pod| pod.server.image_name.clone()).unwrap_or_default();
    let missing = image(SERVER, "does-not-exist-either");
    let strategy = |pre_pull: Value, deadline: Value, policy: Value| {
        json!({"spec": {"updateStrategy": {
            "inPlaceUpdateStrategy": {"prePull": pre_pull},
            "podDeadlineSeconds": deadline,
            "onPodDeadline": policy,
        }}})
    };
    let rollback = strategy(json!({"enabled": false}), json!(DEADLINE), json!("RollbackPod"));
    world.edit(SET, &rollback).await?;
    let mark = world.film.mark();
    world.change(SET, SERVER, "image", &json!(missing)).await?;

    let film = world.film.clone();
    world
        .until("a pod was given the image and has its old one again", async || {
            let frames = film.since(mark);
            let given = frames.iter().position(|frame| frame.images.get(SERVER) == Some(&missing));
            let Some(given) = given else { return Ok(Err("no pod was given it".to_owned())) };
            let pod = &frames[given].pod;
            let back = frames[given..]
                .iter()
                .any(|frame| frame.pod == *pod && frame.ready && frame.images.get(SERVER) == Some(&good));
            Ok(if back { Ok(()) } else { Err(format!("{pod} has it")) })
        })
        .await?;
    let said = world.says(SET, &["PodDeadline"]).await?;
    let frames = film.since(mark);
    let given = frames.iter().filter(|frame| frame.images.get(SERVER) == Some(&missing));
    let given: BTreeSet<&String> = given.map(|frame| &frame.pod).collect();
    must(given.len() == 1, || format!("{given:?} were given {missing}, and one was to try it"))?;
    let after = world.look().await?;
    for (name, old) in &before {
        let touched = after[name].server.container_id != old.server.container_id;
        must(touched == given.contains(name), || format!("pod {name}: its server restarted: {touched}"))?;
        must(after[name].sidecar.container_id == old.sidecar.container_id, || {
            format!("pod {name}: its sidecar restarted")
        })?;
    }

    world.change(SET, SERVER, "image", &json!(good)).await?;
    world.edit(SET, &strategy(Value::Null, Value::Null, Value::Null)).await?;
    world.settled(SET).await?;
    Ok(vec![format!(
        "{given:?} alone was given the image and went back after {DEADLINE} s; the set said: {said}"
    )])
}
