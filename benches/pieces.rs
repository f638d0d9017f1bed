//! Benchmarks of an upload's hot paths, each with its obvious alternative: `cargo bench`. Both sides of
//! a comparison get the same bytes and must return the same result before they are timed.

use std::{hint::black_box, path::Path, time::SystemTime};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams,
        SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
};
use bytes::Bytes;
use chat_upload::{
    api::form::{Form, Limits, Part},
    body::ReadError,
    runtime::gateway::GatewayEvent,
    store::{
        Credentials,
        bucket::sigv4::{Signable, Signer, SigningKey, Stamp, UNSIGNED_PAYLOAD},
    },
    upload::media::{HEAD_BYTES, Kinds, Rules, Strip, judge},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{Stream, TryStreamExt as _, stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const RULES: Rules = Rules {
    kinds: Kinds::ALL,
    strip: Strip::Off,
};

const SIZES: [(&str, usize); 2] = [("100 KB", 100_000), ("4.4 MB", 4_400_000)];
const BOUNDARY: &str = "------------------------bench0123456789";
/// The size of hyper's reads on a long body.
const CHUNK: usize = 64 * 1024;
const REGION: &str = "us-east-1";
const HOST: &str = "bench.s3.us-east-1.amazonaws.com";
const PATH: &str = "/images/20250417/1744866732481_20f90b51544f.png";
const SIGNED_HEADERS: [(&str, &str); 4] = [
    ("content-length", "100000"),
    ("content-type", "image/png"),
    ("host", HOST),
    ("if-none-match", "*"),
];

criterion_group!(pieces, event, form, media_type, signature);
criterion_main!(pieces);

/// Converts a gateway's event into a request, with its body decoded.
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

/// Reads a form's file to its last byte.
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

/// Detects the type of every sample file from its first bytes.
fn media_type(criterion: &mut Criterion) {
    let samples = samples();
    let mut group = criterion.benchmark_group("type");
    group.throughput(Throughput::Elements(samples.len() as u64));
    group.bench_function("judge, all samples", |bencher| {
        bencher.iter(|| {
            for (name, head) in &samples {
                _ = black_box(judge(black_box(head), name, RULES));
            }
        });
    });
}

/// Signs a PutObject with an unsigned payload, as over TLS; then hashes the payload with SHA-256, as
/// without TLS.
fn signature(criterion: &mut Criterion) {
    let secret = "wJalrXUtnFEMI/K7MDENG";
    let credentials = Credentials::new("AKIDEXAMPLE", secret, None).expect("credentials");
    let identity =
        aws_credential_types::Credentials::new("AKIDEXAMPLE", secret, None, None, "bench");
    let identity = Identity::from(identity);
    let now = SystemTime::now();
    let derive = || SigningKey::derive(secret, Stamp::new(now).date(), REGION, "s3");
    let key = derive();
    let ours = sign_by_signer(&credentials, &key, now);
    assert!(ours.ends_with(&sign_by_aws_sigv4(&identity, now)), "{ours}");

    let mut group = criterion.benchmark_group("signature");
    group.bench_function("Signer", |bencher| {
        bencher.iter(|| sign_by_signer(&credentials, &key, black_box(now)));
    });
    group.bench_function("Signer, new key", |bencher| {
        bencher.iter(|| sign_by_signer(&credentials, &derive(), black_box(now)));
    });
    group.bench_function("aws_sigv4", |bencher| {
        bencher.iter(|| sign_by_aws_sigv4(&identity, black_box(now)));
    });
    for (name, size) in SIZES {
        let body = picture(size);
        group.bench_function(BenchmarkId::new("SHA-256", name), |bencher| {
            bencher.iter(|| Sha256::digest(black_box(&body)));
        });
    }
}

async fn read_by_form(chunks: &[Bytes]) -> usize {
    let limits = Limits {
        max_file_bytes: 50 << 20,
        max_files: 9,
        idle: std::time::Duration::from_secs(30),
        until: None,
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

/// Builds the header `Authorization`.
fn sign_by_signer(credentials: &Credentials, key: &SigningKey, now: SystemTime) -> String {
    let stamp = Stamp::new(now);
    let signer = Signer {
        credentials,
        key,
        region: REGION,
        stamp: &stamp,
    };
    let [length, media_type, host, if_none_match] = SIGNED_HEADERS;
    let headers = [
        length,
        media_type,
        host,
        if_none_match,
        ("x-amz-content-sha256", UNSIGNED_PAYLOAD),
        ("x-amz-date", stamp.as_str()),
    ];
    signer.authorization(&Signable {
        method: "PUT",
        path: PATH,
        query: "",
        headers: headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes())),
        payload: UNSIGNED_PAYLOAD,
    })
}

/// Returns only the signature; the headers are built as well and dropped.
fn sign_by_aws_sigv4(identity: &Identity, now: SystemTime) -> String {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(identity)
        .region(REGION)
        .name("s3")
        .time(now)
        .settings(settings)
        .build()
        .expect("all that signing needs")
        .into();
    let url = format!("https://{HOST}{PATH}");
    let body = SignableBody::UnsignedPayload;
    let request = SignableRequest::new("PUT", &url, SIGNED_HEADERS.into_iter(), body);
    let signed = sign(request.expect("a request"), &params).expect("a signature");
    signed.into_parts().1
}

/// Returns a PNG header, then bytes without a pattern.
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

/// Returns an event of an HTTP API, payload format 2.0.
fn event_with(form: &[u8]) -> String {
    let sample = include_str!("../events/apigw-v2-upload.json");
    let mut event: serde_json::Value = serde_json::from_str(sample).expect("JSON");
    event["body"] = json!(base64_simd::STANDARD.encode_to_string(form));
    event["headers"]["content-type"] = json!(format!("multipart/form-data; boundary={BOUNDARY}"));
    event["headers"]["content-length"] = json!(form.len().to_string());
    event.to_string()
}

/// Returns the first bytes of each file in `tests/media`, with its name.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    let mut samples: Vec<_> = std::fs::read_dir(folder)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").path())
        // Next to the samples are their description and their builders.
        .filter(|path| !path.ends_with("README.md") && !path.ends_with("builders.rs"))
        .map(|path| {
            let mut head = std::fs::read(&path).expect("a sample");
            head.truncate(HEAD_BYTES);
            let name = path.file_name().unwrap_or_default();
            (name.to_string_lossy().into_owned(), head)
        })
        .collect();
    samples.sort();
    samples
}
