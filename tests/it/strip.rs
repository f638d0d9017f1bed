//! Metadata overwritten before the file is stored: the stored object contains no location of a video, and
//! every other byte unchanged.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    bucket_double::{BucketDouble, Fault, Object, Operation},
    lane::{Lane, RECALL, pending_key},
    stores::sha256_hex,
    support::{Form, MIB, Reply, UPLOAD, assert_has, path_of, png_bytes},
};

/// Size of a bucket's first part.
const PART: usize = 7 * MIB;
/// A location as Android's cameras write it.
const GEO: &[u8] = b"+27.2939+112.6932/";

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let size = u32::try_from(payload.len() + 8).unwrap();
    [&size.to_be_bytes(), kind.as_slice(), &payload].concat()
}

fn media(bytes: usize) -> Vec<u8> {
    boxed(b"mdat", &[&vec![0x5A; bytes - 8]])
}

fn user_data() -> Vec<u8> {
    boxed(b"udta", &[&boxed(b"\xA9xyz", &[b"\0\x12\x15\xC7", GEO])])
}

fn image_track() -> Vec<u8> {
    let sides = [64_u32 << 16, 48 << 16].map(u32::to_be_bytes).concat();
    let tkhd = boxed(b"tkhd", &[&[0, 0, 0, 1], &[0; 72], &sides]);
    let hdlr = boxed(b"hdlr", &[&[0; 8], b"vide", &[0; 12]]);
    boxed(b"trak", &[&tkhd, &boxed(b"mdia", &[&hdlr])])
}

/// Builds a track that is removed once its description is parsed, `padding` bytes after its start.
fn telemetry_track(padding: usize) -> Vec<u8> {
    let entry = boxed(b"gpmd", &[&[0; 8]]);
    let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &entry]);
    let minf = boxed(b"minf", &[&boxed(b"stbl", &[&stsd])]);
    let mdia = boxed(b"mdia", &[&minf]);
    boxed(b"trak", &[&boxed(b"free", &[&vec![0; padding]]), &mdia])
}

fn start() -> Vec<u8> {
    boxed(b"ftyp", &[b"isom\0\0\0\0"])
}

/// Builds a video whose first box after the media is at `at`.
fn video(at: usize, boxes: &[&[u8]]) -> Vec<u8> {
    let media = media(at - start().len());
    [start(), media, boxed(b"moov", boxes)].concat()
}

fn with_geo(at: usize) -> Vec<u8> {
    video(at, &[&image_track(), &user_data()])
}

/// Returns the expected file: each of these boxes free space, the one at the end blank.
fn stripped(file: &[u8], kind: &[u8; 4]) -> Vec<u8> {
    let mut file = file.to_vec();
    let at = file.windows(4).rposition(|bytes| bytes == kind).unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file[at..at + 4].copy_from_slice(b"free");
    if kind == b"\xA9xyz" {
        file[at + 4..at - 4 + size].fill(0);
    }
    file
}

async fn upload(lane: &Lane, file: &[u8]) -> Reply {
    lane.send(Form::img("VID_0001.mp4", file).to(UPLOAD)).await
}

/// Returns the item of a stored file, and the stored bytes.
async fn stored(lane: &Lane, file: &[u8]) -> (Value, Vec<u8>) {
    let item = upload(lane, file).await.item();
    let bytes = lane.bytes(path_of(&item));
    (item, bytes.to_vec())
}

#[track_caller]
fn assert_same(found: &[u8], expected: &[u8], about: &str) {
    let differs = found.iter().zip(expected).position(|(one, two)| one != two);
    assert_eq!((found.len(), differs), (expected.len(), None), "{about}");
}

#[tokio::test]
async fn a_place_is_overwritten_wherever_its_film_is_cut_into_parts() {
    for lane in Lane::each(&[]).await {
        let around_parts = [PART - 200, 8 * MIB - 230, 14 * MIB - 180, 20 * MIB];
        for at in [1_000, 512 * 1024 - 150].into_iter().chain(around_parts) {
            let file = with_geo(at);
            let (item, bytes) = stored(&lane, &file).await;
            let about = format!("{} {at}", lane.kind());
            assert_same(&bytes, &stripped(&file, b"\xA9xyz"), &about);
            let expected = json!({"geo": "removed", "width": 64, "size": file.len()});
            assert_has(&item, &expected);
        }
    }
}

#[tokio::test]
async fn an_edit_reaches_back_a_mebibyte_across_parts() {
    for lane in Lane::each(&[]).await {
        for at in [PART - 30, PART + 1, 8 * MIB - 10, 14 * MIB - 20] {
            let file = video(at, &[&telemetry_track(MIB - 200)]);
            let (item, bytes) = stored(&lane, &file).await;
            let about = format!("{} {at}", lane.kind());
            assert_same(&bytes, &stripped(&file, b"trak"), &about);
            assert_eq!(item["geo"], "kept", "{about}");
        }
    }
}

#[tokio::test]
async fn what_tells_no_place_stays_byte_for_byte() {
    for lane in Lane::each(&[]).await {
        let video = video(9 * MIB, &[&image_track()]);
        for file in [video.as_slice(), crate::support::PNG] {
            let (item, bytes) = stored(&lane, file).await;
            assert_eq!((bytes.as_slice(), &item["geo"]), (file, &json!("none")));
        }
        let (text, _) = stored(&lane, b"a text").await;
        assert_eq!(text.get("geo"), None);
    }
}

#[tokio::test]
async fn stripping_can_be_switched_off() {
    for lane in Lane::each(&[("UPLOAD_STRIP", "off")]).await {
        let file = with_geo(9 * MIB);
        let (item, bytes) = stored(&lane, &file).await;
        assert_same(&bytes, &file, lane.kind());
        assert_eq!(item.get("geo"), None);
    }
}

#[tokio::test]
async fn in_strict_mode_a_file_that_may_tell_a_place_is_refused_and_gone() {
    let types = ("UPLOAD_TYPES", "image,video,document,file");
    let vars = [("UPLOAD_STRIP_STRICT", "on"), types];
    for lane in Lane::each(&vars).await {
        let videos = [1_000, 9 * MIB, 30 * MIB].map(|at| video(at, &[&telemetry_track(10)]));
        // A file of an unknown kind is not inspected.
        let unknown = [10, 9 * MIB].map(|bytes| vec![1; bytes]);
        for file in videos.into_iter().chain(unknown) {
            upload(&lane, &file).await.assert_refused("location_kept");
        }
        lane.assert_holds(&[]);
        let (removed, _) = stored(&lane, &with_geo(1_000)).await;
        assert_eq!(removed["geo"], "removed");
        let (text, _) = stored(&lane, b"a text").await;
        assert_eq!(text["kind"], "document");
    }
}

#[tokio::test]
async fn the_hash_is_that_of_the_stored_bytes() {
    let hashed = [("UPLOAD_SHA256", "on")];
    for lane in Lane::each(&hashed).await {
        for at in [1_000, 512 * 1024 - 150, 3 * MIB, PART - 200, 20 * MIB] {
            let telemetry = video(at, &[&telemetry_track(MIB - 200)]);
            for file in [with_geo(at), telemetry, b"a text".to_vec()] {
                let (item, bytes) = stored(&lane, &file).await;
                assert_eq!(item["sha256"], sha256_hex(&bytes), "{} {at}", lane.kind());
            }
        }
    }
    let (item, _) = stored(&Lane::disk(&[]), b"a text").await;
    assert_eq!(item.get("sha256"), None);
}

#[tokio::test]
async fn the_keys_of_an_item_stand_in_their_order() {
    let lane = Lane::disk(&[("UPLOAD_SHA256", "on")]);
    let reply = upload(&lane, &with_geo(1_000)).await;
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    let keys = ["recall_token", "kind", "width", "height", "geo", "sha256"];
    let places = keys.map(|key| text.find(&format!("\"{key}\":")).expect(key));
    assert!(places.is_sorted(), "{text}");
}

/// Completes a direct upload in the bucket, and returns how often it was read.
async fn completed(lane: &Lane, name: &str, file: &[u8]) -> (Reply, usize) {
    let policy = lane.policy(name).await;
    match &lane.bucket {
        Some(bucket) => bucket.plant(pending_key(&policy), Object::with(file.to_vec())),
        None => lane.put_ok(&policy, file).await,
    }
    let reads = || {
        let requests = lane.bucket.as_ref().map(BucketDouble::requests);
        let reads = requests.into_iter().flatten();
        reads.filter(|it| it.operation == Operation::Get).count()
    };
    let before = reads();
    let reply = lane.complete(&policy).await;
    (reply, reads() - before)
}

async fn stored_directly(lane: &Lane, name: &str, file: &[u8]) -> (Value, Vec<u8>, usize) {
    let (reply, reads) = completed(lane, name, file).await;
    let item = reply.item();
    let bytes = lane.bytes(path_of(&item));
    (item, bytes.to_vec(), reads)
}

#[tokio::test]
async fn a_direct_upload_is_stripped_as_one_through_the_program() {
    for lane in Lane::each(&[("UPLOAD_SHA256", "on")]).await {
        for at in [1_000, PART - 200, 20 * MIB, 32 * MIB - 1_000] {
            let file = with_geo(at);
            let (item, bytes, _) = stored_directly(&lane, "a.mp4", &file).await;
            let about = format!("{} {at}", lane.kind());
            assert_same(&bytes, &stripped(&file, b"\xA9xyz"), &about);
            assert_has(&item, &json!({"geo": "removed", "width": 64, "height": 48}));
            assert_eq!(item["sha256"].as_str().map(str::len), Some(64), "{about}");
            lane.assert_holds(&[path_of(&item)]);
            let token = json!({"recall_token": item["recall_token"]});
            lane.ask(RECALL, &token).await.data();
        }
    }
}

#[tokio::test]
async fn of_a_large_film_only_what_is_overwritten_passes_through() {
    for lane in Lane::buckets(&[]).await {
        let long = boxed(b"free", &[&vec![0; 2 * MIB]]);
        let long_last = video(36 * MIB, &[&image_track(), &long, &user_data()]);
        let moov = boxed(b"moov", &[&image_track(), &user_data()]);
        for (about, file) in [
            ("moov last", with_geo(40 * MIB)),
            ("moov last and long", long_last),
            ("moov first", [start(), moov, media(40 * MIB)].concat()),
        ] {
            let received = bytes_through(&lane);
            let (item, bytes, reads) = stored_directly(&lane, "a.mp4", &file).await;
            assert_same(&bytes, &stripped(&file, b"\xA9xyz"), about);
            let expected = json!({"geo": "removed", "width": 64, "size": file.len()});
            assert_has(&item, &expected);
            // Its head, the ranges that are parsed, and the edited part.
            assert!(reads <= 11, "{about}: {reads} reads");
            assert!(bytes_through(&lane) - received <= 8 * MIB as u64, "{about}");
        }
        let objects = lane.bucket().objects();
        let is_film = |object: &Object| object.content_type.as_deref() == Some("video/mp4");
        assert!(objects.values().all(is_film), "{objects:?}");
        assert_eq!(lane.bucket().open_uploads(), 0);
    }
}

/// Returns the bytes of parts that the program sent.
fn bytes_through(lane: &Lane) -> u64 {
    let requests = lane.bucket().requests();
    let sent = requests.iter().map(|request| request.received());
    sent.sum()
}

#[tokio::test]
async fn what_is_too_large_to_be_read_says_so() {
    for strict in ["off", "on"] {
        for lane in Lane::buckets(&[("UPLOAD_STRIP_STRICT", strict)]).await {
            let image = png_bytes(33 * MIB);
            let fragment = [boxed(b"moof", &[]), media(3 * MIB)].concat();
            let video = [start(), fragment.repeat(12)].concat();
            for (name, file) in [("a.png", image), ("a.mp4", video)] {
                let (reply, reads) = completed(&lane, name, &file).await;
                assert!(reads <= 10, "{name}: {reads} reads");
                if strict == "on" {
                    reply.assert_refused("location_kept");
                    lane.assert_holds(&[]);
                } else {
                    let item = reply.item();
                    assert_eq!((&item["geo"], item.get("sha256")), (&json!("kept"), None));
                    assert_eq!(lane.bytes(path_of(&item)), file);
                }
            }
        }
    }
}

#[tokio::test]
async fn with_stripping_off_the_bucket_copies_and_facts_are_told_all_the_same() {
    for lane in Lane::buckets(&[("UPLOAD_STRIP", "off")]).await {
        for at in [20_000, 20 * MIB, 40 * MIB] {
            let file = with_geo(at);
            let received = bytes_through(&lane);
            let (item, bytes, reads) = stored_directly(&lane, "a.mp4", &file).await;
            assert_same(&bytes, &file, lane.kind());
            assert_eq!((&item["width"], item.get("geo")), (&json!(64), None));
            assert!(reads <= 3, "{reads} reads");
            assert_eq!(bytes_through(&lane), received);
        }
    }
}

#[tokio::test]
async fn a_large_film_that_is_swapped_while_it_is_edited_is_judged_again() {
    // Its head and its last box are read, and then the edited part.
    for (on, fine) in [(Operation::Get, 2), (Operation::CopyPart, 0)] {
        let lane = Lane::s3(&[]).await;
        let bucket = lane.bucket();
        bucket.fail(on, Fault::Slow(Duration::ZERO), fine);
        bucket.fail(on, Fault::SwapFirst(b"<html><script>"), 1);
        let (reply, _) = completed(&lane, "a.mp4", &with_geo(40 * MIB)).await;
        reply.assert_refused("type_refused");
        lane.assert_holds(&[]);
    }
}
