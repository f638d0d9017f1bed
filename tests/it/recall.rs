//! Recalling an upload: what the token of an item permits, for whom and for how long.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, DENIED, Dialect, Operation},
    lane::{Lane, RECALL, SIGNING},
    support::{Form, PNG, UPLOAD, path_of, post},
    tokens::{JWT, guest_jwt, user_jwt},
};

impl Lane {
    /// Sends an image through the main route and returns its item.
    async fn streamed(&self) -> Value {
        self.send(Form::image().to(UPLOAD)).await.item()
    }

    async fn recall(&self, token: &Value) -> crate::support::Reply {
        self.ask(RECALL, &json!({"recall_token": token})).await
    }
}

#[tokio::test]
async fn every_item_can_be_taken_back_and_nothing_else_goes_with_it() {
    for lane in Lane::each(&[]).await {
        let stays = lane.items().await;
        for item in lane.items().await {
            let token = &item["recall_token"];
            assert!(token.is_string(), "{item}");
            assert_eq!(lane.recall(token).await.data(), "撤回成功");
            let path = path_of(&item).to_owned();
            assert!(!lane.keys().contains(&path), "{path}");
            // Repeated, and by another user who copied it.
            assert_eq!(lane.recall(token).await.data(), "撤回成功");
        }
        let mut left: Vec<_> = stays.iter().map(|item| path_of(item)).collect();
        left.sort_unstable();
        lane.assert_holds(&left);
    }
}

#[tokio::test]
async fn each_file_of_several_has_a_token_of_its_own() {
    let lane = Lane::disk(&[]);
    let form = Form::image().file("img", "b.png", PNG);
    let items = lane.send(form.to(UPLOAD)).await.data();
    lane.recall(&items[0]["recall_token"]).await.data();
    lane.assert_holds(&[items[1]["path"].as_str().unwrap()]);
}

#[tokio::test]
async fn without_a_secret_no_item_has_a_token_and_nothing_is_taken_back() {
    for lane in Lane::each(&[(SIGNING.0, "")]).await {
        let item = lane.streamed().await;
        assert_eq!(item.get("recall_token"), None);
        let reply = lane.recall(&json!("x")).await;
        reply.assert_refused("direct_disabled");
        assert_eq!(lane.keys().len(), 1);
    }
}

#[tokio::test]
async fn arguments_come_as_json_urlencoded_or_in_the_query() {
    let lane = Lane::disk(&[]);
    let items = lane.items().await;
    let [first, second, third] =
        items.map(|item| item["recall_token"].as_str().unwrap().to_owned());
    let urlencoded = "application/x-www-form-urlencoded";
    lane.recall(&json!(first)).await.data();
    let request = post(RECALL, urlencoded, format!("recall_token={second}"));
    lane.send(request).await.data();
    let request = post(&format!("{RECALL}?recall_token={third}"), urlencoded, "");
    lane.send(request).await.data();
    lane.assert_holds(&[]);
}

/// Starts a lane whose recall tokens live this many seconds.
fn living(bucket: Option<BucketDouble>, seconds: u64) -> Lane {
    Lane::changed(bucket, &[], |config| {
        config.api.direct.recall_life = Duration::from_secs(seconds);
    })
}

#[tokio::test]
async fn too_late_is_said_in_the_time_that_is_set() {
    for (seconds, told) in [
        (300, "5 minutes"),
        (60, "1 minute"),
        (59, "59 seconds"),
        (1, "1 second"),
        (0, "0 seconds"),
    ] {
        // Issued with a life that has passed, verified with a longer one.
        let lane = living(None, 0);
        let item = lane.streamed().await;
        let reply = living(None, seconds).recall(&item["recall_token"]).await;
        reply.assert_refused(&format!("recall_expired {told}"));
        let reply = lane.recall(&item["recall_token"]).await;
        reply.assert_refused("recall_expired");
        assert_eq!(lane.keys().len(), 1);
    }
}

#[tokio::test]
async fn a_second_completion_does_not_lengthen_the_time() {
    let lane = living(Some(BucketDouble::start(Dialect::S3).await), 0);
    let policy = lane.waiting(PNG).await;
    lane.complete(&policy).await.data();
    let again = lane.complete(&policy).await.item();
    let reply = lane.recall(&again["recall_token"]).await;
    reply.assert_refused("recall_expired");
}

#[tokio::test]
async fn a_bucket_that_fails_to_remove_is_told_and_can_be_asked_again() {
    for lane in Lane::buckets(&[]).await {
        let item = lane.streamed().await;
        lane.bucket().fail(Operation::Delete, DENIED, 1);
        let reply = lane.recall(&item["recall_token"]).await;
        reply.assert_refused("store_refused");
        assert_eq!(lane.keys().len(), 1);
        lane.recall(&item["recall_token"]).await.data();
        lane.assert_holds(&[]);
    }
}

#[tokio::test]
async fn taking_back_is_no_upload_that_counts() {
    let lane = Lane::disk(&[JWT, ("UPLOAD_RATE_PER_MIN", "1")]).signed_in(user_jwt("7"));
    let item = lane.streamed().await;
    for _ in 0..3 {
        lane.recall(&item["recall_token"]).await.data();
    }
}

#[tokio::test]
async fn a_guest_who_may_not_upload_any_more_may_not_take_back() {
    let lane = Lane::disk(&[JWT]).signed_in(guest_jwt("g"));
    let item = lane.streamed().await;
    let denied = Lane::disk(&[JWT, ("UPLOAD_GUESTS", "deny")]).signed_in(guest_jwt("g"));
    let reply = denied.recall(&item["recall_token"]).await;
    reply.assert_refused("guest_denied");
}
