//! The inner pieces of an upload, each beside the obvious alternative: `cargo bench`. Both sides of
//! a comparison get the same bytes and must come to the same result before they are timed.

use std::{hint::black_box, path::Path, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    },
    sign::v4,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
};
use bytes::Bytes;
use chat_upload::{
    api::form::{Form, Limits, Part},
    body::ReadError,
    runtime::gateway::GatewayEvent,
    upload::media::{HEAD_BYTES, Strip, judge},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{Stream, TryStreamExt as _, stream};
use serde_json::json;

const SIZES: [(&str, usize); 2] = [("100 KB", 100_000), ("4.4 MB", 4_400_000)];
const BOUNDARY: &str = "------------------------bench0123456789";
/// What hyper reads at a time once a body has proved to be long.
const CHUNK: usize = 64 * 1024;

criterion_group!(pieces, event, form, media_type, signature);
criterion_main!(pieces);

/// A gateway's event into a request, its body decoded.
fn event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    for (name, size) in SIZES {
        let form = form_with(&picture(size));
        let event = event_with(&form);
        let theirs = lambda_http::request::from_str(&event).expect("an event");
        assert_eq!(theirs.body().len(), form.len());
        group.throughput(Throughput::Bytes(event.len() as u64));
        group.bench_function(BenchmarkId::new("GatewayEvent", name), |bencher| {
            bencher.iter(|| serde_json::from_str::<GatewayEvent>(black_box(&event)));
        });
        group.bench_function(BenchmarkId::new("lambda_http", name), |bencher| {
            bencher.iter(|| lambda_http::request::from_str(black_box(&event)));
        });
    }
}

/// A form's file to its last byte.
fn form(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("form");
    for (name, size) in SIZES {
        let chunks = chunks_of(form_with(&picture(size)));
        assert_eq!(runtime.block_on(read_by_form(&chunks)), size);
        assert_eq!(runtime.block_on(read_by_multer(&chunks)), size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("Form", name), |bencher| {
            bencher.iter(|| runtime.block_on(read_by_form(&chunks)));
        });
        group.bench_function(BenchmarkId::new("multer", name), |bencher| {
            bencher.iter(|| runtime.block_on(read_by_multer(&chunks)));
        });
    }
}

/// The first bytes of every sample file into its type.
fn media_type(criterion: &mut Criterion) {
    let samples = samples();
    let mut group = criterion.benchmark_group("type");
    group.throughput(Throughput::Elements(samples.len() as u64));
    group.bench_function("judge, all samples", |bencher| {
        bencher.iter(|| {
            for (name, head) in &samples {
                _ = black_box(judge(black_box(head), name, Strip::Off));
            }
        });
    });
    group.bench_function("infer, all samples", |bencher| {
        bencher.iter(|| {
            for (_, head) in &samples {
                _ = black_box(infer::get(black_box(head)));
            }
        });
    });
}

/// The signature of a PutObject: with the body left out of it, as over TLS, and with its SHA-256.
fn signature(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signature");
    group.bench_function("unsigned payload", |bencher| {
        bencher.iter(|| signature_of(SignableBody::UnsignedPayload));
    });
    for (name, size) in SIZES {
        let body = picture(size);
        group.bench_function(BenchmarkId::new("signed payload", name), |bencher| {
            bencher.iter(|| signature_of(SignableBody::Bytes(black_box(&body))));
        });
    }
}

async fn read_by_form(chunks: &[Bytes]) -> usize {
    let limits = Limits {
        max_file_bytes: 50 << 20,
        max_files: 9,
        idle: std::time::Duration::from_secs(30),
    };
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let content_type = HeaderValue::try_from(content_type).expect("a header");
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    let body = Body::from_stream(stream_of(chunks));
    let mut form = Form::open(&headers, body, limits).expect("a form");
    let mut size = 0;
    while let Some(part) = form.next().await.expect("a part") {
        let Part::File(file) = part else { continue };
        size += size_of(file.content).await;
    }
    size
}

async fn read_by_multer(chunks: &[Bytes]) -> usize {
    let mut form = multer::Multipart::new(stream_of(chunks), BOUNDARY);
    let mut size = 0;
    while let Some(field) = form.next_field().await.expect("a part") {
        size += size_of(field).await;
    }
    size
}

async fn size_of<E: std::fmt::Debug>(
    content: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> usize {
    let size = content.try_fold(0, async |size, chunk| Ok(size + black_box(chunk).len()));
    size.await.expect("the whole file")
}

fn stream_of(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static {
    let chunks = chunks.to_vec();
    stream::iter(chunks.into_iter().map(Ok))
}

fn chunks_of(whole: Vec<u8>) -> Vec<Bytes> {
    let whole = Bytes::from(whole);
    let starts = (0..whole.len()).step_by(CHUNK);
    starts
        .map(|start| whole.slice(start..whole.len().min(start + CHUNK)))
        .collect()
}

fn signature_of(body: SignableBody<'_>) -> String {
    let identity = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", None, None, "bench");
    let identity = identity.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .expect("all that signing needs")
        .into();
    let headers = [
        ("content-length", "100000"),
        ("content-type", "image/png"),
        ("host", "bench.s3.us-east-1.amazonaws.com"),
        ("if-none-match", "*"),
    ];
    let request = SignableRequest::new(
        "PUT",
        "https://bench.s3.us-east-1.amazonaws.com/images/20250417/1744866732481_20f90b51544f.png",
        headers.into_iter(),
        body,
    );
    let signed = sign(request.expect("a request"), &params).expect("a signature");
    signed.into_parts().1
}

/// A PNG's beginning, then bytes without a pattern.
fn picture(size: usize) -> Vec<u8> {
    let mut picture = include_bytes!("../tests/media/rgb.png").to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    picture.resize_with(size, || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    picture
}

fn form_with(file: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"img\"; filename=\"photo.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), file, tail.as_bytes()].concat()
}

/// Payload format 2.0 of an HTTP API.
fn event_with(form: &[u8]) -> String {
    let sample = include_str!("../events/apigw-v2-upload.json");
    let mut event: serde_json::Value = serde_json::from_str(sample).expect("JSON");
    event["body"] = json!(base64_simd::STANDARD.encode_to_string(form));
    event["headers"]["content-type"] = json!(format!("multipart/form-data; boundary={BOUNDARY}"));
    event["headers"]["content-length"] = json!(form.len().to_string());
    event.to_string()
}

/// The beginning of each file in `tests/media`, with its name.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    let mut samples: Vec<_> = std::fs::read_dir(folder)
        .expect("the samples")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let mut head = std::fs::read(&path).expect("a sample");
            head.truncate(HEAD_BYTES);
            let name = path.file_name().unwrap_or_default();
            (name.to_string_lossy().into_owned(), head)
        })
        .collect();
    samples.sort();
    samples
}
