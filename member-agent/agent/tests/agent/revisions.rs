//! The history of a set on an API server.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::workload::{Member, NAMESPACE, set};

#[tokio::test(start_paused = true)]
async fn sts_c17_what_is_beyond_the_limit_goes_when_an_update_is_complete_and_not_with_the_next() {
    let member = Member::new().await;
    member.create(set(3, &json!({"type": "InplaceUpdate"}))).await;
    member.edit(json!({"spec": {"revisionHistoryLimit": 1}})).await;
    member.until_ready(3).await;
    let revisions = Api::<ControllerRevision>::namespaced(member.user.clone(), NAMESPACE);
    for (image, kept) in [("game:2", vec![1, 2]), ("game:3", vec![2, 3]), ("game:2", vec![3, 4])] {
        let containers = json!([{"name": "center", "image": image}]);
        member.edit(json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
        member.until_ready(3).await;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let list = revisions.list(&ListParams::default()).await.unwrap();
        let mut numbers: Vec<i64> = list.items.iter().map(|revision| revision.revision).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, kept, "after {image}");
    }
}
