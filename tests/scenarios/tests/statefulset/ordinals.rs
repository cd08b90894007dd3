//! Which ordinals a set has.

use serde_json::{Value, json};

use super::{are, arena};
use crate::support::SHANGHAI;

#[tokio::test(start_paused = true)]
async fn sts_e17_the_first_ordinal_is_set_raised_lowered_and_taken_away() {
    let start = |ordinals: Value| json!({"spec": {"ordinals": ordinals}});
    let world = arena(3, &start(json!({"start": 2}))).await;
    are(&world, &[2, 3, 4], &[2, 3, 4]).await;
    // What stays of the old ordinals is left alone.
    for (ordinals, expected, stay) in [
        (json!({"start": 4}), [4, 5, 6], 1),
        (json!({"start": 3}), [3, 4, 5], 2),
        (Value::Null, [0, 1, 2], 0),
    ] {
        let before = world.pods(SHANGHAI, "arena").await;
        world.edit_set(SHANGHAI, "arena", &start(ordinals)).await;
        are(&world, &expected, &expected).await;
        let after = world.pods(SHANGHAI, "arena").await;
        let stayed = before.iter().filter(|old| after.0.get(&old.name).is_some_and(|new| new.uid == old.uid));
        assert_eq!(stayed.count(), stay, "{expected:?}");
    }
}
