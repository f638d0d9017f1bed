//! Runs the checks on stable Rust: with inputs that once failed, from `tests/regressions/<check>/`, and
//! with hundreds of random ones.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
};
use bytes::Bytes;
use chat_upload::{
    api::form::{FilePart, Form, Limits, Part},
    body::ReadError,
};
use futures_util::{StreamExt as _, stream};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::support::metered;

use super::{differential, disposition, event, form, media, token};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const FORM_TYPE: &str = "multipart/form-data; boundary=b";

type Check = fn(&[u8]);

/// Runs a check on every file of a folder.
fn check_all(folder: &Path, check: impl Fn(&[u8])) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // Shown only when the check fails.
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
    }
}

/// Runs a check on every regression file.
fn replay(name: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(ROOT).join("tests/regressions").join(name);
    if folder.exists() {
        check_all(&folder, check);
    }
}

#[test]
fn what_broke_a_check_once_breaks_none_again() {
    let checks: [(&str, Check); 6] = [
        ("differential", differential::check),
        ("disposition", disposition::check),
        ("event", event::check),
        ("form", form::check),
        ("media", media::check),
        ("token", token::check),
    ];
    for (name, check) in checks {
        replay(name, check);
    }
    for (name, _) in families() {
        replay(name, |input| media::check_family(name, input));
    }
}

/// The families, and the number of file signatures of each.
fn families() -> Vec<(&'static str, u8)> {
    let families = media::BEGINNINGS.chunk_by(|one, next| one.0 == next.0);
    families.map(|them| (them[0].0, them.len() as u8)).collect()
}

/// Runs each sample as a file of every family, with its own first bytes and with others'.
#[test]
fn every_sample_passes_as_any_family() {
    check_all(&Path::new(ROOT).join("tests/media"), |content| {
        let content = &content[..content.len().min(4_000)];
        for (name, beginnings) in families() {
            for choice in 0..beginnings {
                let input = [&[choice][..], &[7, 64], content].join(&b'\n');
                media::check_family(name, &input);
            }
        }
    });
}

/// Inputs made of tokens of the parser under test.
fn made_of(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    vec(select(words), 0..40).prop_map(|words| words.concat())
}

const FORM_WORDS: &[&[u8]] = &[
    b"--b",
    b"--b",
    b"--b--",
    b"--",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"--b\r\nContent-Disposition: form-data; name=\"img\"; filename=\"a.png\"\r\n\r\n",
    b"--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n",
    b"\r\n--b\r\nContent-Disposition: form-data; name=\"img\"\r\nContent-Type: image/png\r\n\r\n",
    b"\r\n--b\r\nContent-Disposition: form-data; name=\"img\"; filename=\"\"\r\n\r\n",
    b"Content-Disposition: form-data",
    b"; name=\"a\"",
    b"; filename*=UTF-8''%e7%8c%ab",
    b"Content-Type: multipart/mixed",
    b"; boundary=b",
    b"\r\nContent-Type: text/plain",
    b"\r\nContent-Type: application/pdf",
    b"\xFDRUN\x21a",
    b"\xFDRUN\x7F\r",
    b"\xFDRUN\x01b",
    b"x",
];

const HEADER_WORDS: &[&[u8]] = &[
    b"form-data",
    b";",
    b"; ",
    b"=",
    b"\"",
    b"\\",
    b" ",
    b"name",
    b"filename",
    b"filename*",
    b"UTF-8''%e7",
    b"a",
    b"\xD5\xD5",
    b"boundary",
];

proptest! {
    // Each parses a form of up to half a megabyte several times.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_form_is_read_the_same_in_any_chunks(sizes: [u8; 2], body in made_of(FORM_WORDS)) {
        form::check(&[FORM_TYPE.as_bytes(), b"\n", &sizes, b"\n", &body].concat());
    }

    #[test]
    fn three_readers_agree_on_any_form(sizes: [u8; 2], body in made_of(FORM_WORDS)) {
        differential::check(&[&b"b\n"[..], &sizes, b"\n", &body].concat());
    }

}

proptest! {
    #[test]
    fn two_readers_agree_on_any_header(header in made_of(HEADER_WORDS)) {
        disposition::check(&header);
    }

    #[test]
    fn any_claims_are_judged_by_their_json(
        alg in select(&["HS256", "none"][..]),
        id in select(&["1", "-7", "\"u\"", "1.5", "\"\"", "null", "[1]"][..]),
        exp in select(&["null", "1744866732", "1744866732.5", "1e400", "\"1\"", "-1"][..]),
    ) {
        let input = format!("{{\"alg\":\"{alg}\"}}\n{{\"id\":{id},\"exp\":{exp}}}");
        token::check(input.as_bytes());
    }

    #[test]
    fn any_file_of_a_family_is_walked_the_same_in_any_chunks(
        (name, _) in select(families()),
        choice in 0..9_u8,
        sizes: [u8; 2],
        content in vec(any::<u8>(), 0..600),
    ) {
        media::check_family(name, &[&[choice][..], &sizes, &content].join(&b'\n'));
    }

    #[test]
    fn any_text_or_archive_is_judged_the_same_in_any_chunks(
        sizes: [u8; 2],
        content in made_of(&[
            b"PK\x03\x04", b"PK\x01\x02", b"\x13\0", b"AndroidManifest.xml", b"classes.dex",
            b"\xFDRUN\x10 ", b"\xFDRUN\x10a", b"\xEF\xBB\xBF", b"<", b"a", b"\xD5", b"\xC6", b"\0",
        ]),
    ) {
        media::check(&[&b"a.zip\n"[..], &sizes, b"\n", &content].concat());
    }
}

#[test]
fn every_sample_event_passes() {
    check_all(&Path::new(ROOT).join("events"), event::check);
}

/// A body in chunks that counts the bytes taken of it.
fn counted(body: impl Into<Bytes>, size: usize) -> (Body, Arc<AtomicUsize>) {
    metered(in_chunks(&body.into(), size))
}

fn in_chunks(body: &Bytes, size: usize) -> Vec<Bytes> {
    body.chunks(size).map(|part| body.slice_ref(part)).collect()
}

fn open(body: Body, max_file_bytes: u64) -> Form {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(FORM_TYPE))];
    let limits = Limits {
        max_file_bytes,
        max_files: 1,
        ..form::LIMITS
    };
    Form::open(&headers.into_iter().collect(), body, limits).unwrap()
}

async fn next_file(form: &mut Form) -> FilePart<'_> {
    match form.next().await.unwrap() {
        Some(Part::File(file)) => file,
        _ => panic!("no file"),
    }
}

/// The start of a part, up to its content.
fn part(params: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {params}\r\n\r\n")
}

#[test]
fn small_parts_do_not_make_the_reader_run_ahead() {
    let mut body = (part("name=a") + "x\r\n").repeat(90) + &part("name=img; filename=a");
    body.push_str(&"x".repeat(16 * 1024 * 1024));
    let (body, taken) = counted(body, 64 * 1024);
    form::run(async {
        let mut form = open(body, 1 << 30);
        while let Some(Part::Text { .. }) = form.next().await.unwrap() {}
    });
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken <= 64 * 1024, "{taken} bytes taken");
}

#[test]
fn a_files_chunks_are_those_of_the_body() {
    let body = part("name=img; filename=a") + &"x".repeat(1024 * 1024) + "\r\n--b--";
    let body = Bytes::from(body);
    let held = body.clone();
    form::run(async move {
        let mut form = open(counted(body, 100_000).0, 1 << 30);
        let chunks: Vec<_> = next_file(&mut form).await.content.collect().await;
        assert_eq!(chunks.len(), 11);
        for chunk in chunks {
            assert!(held.as_ptr_range().contains(&chunk.unwrap().as_ptr()));
        }
    });
}

#[test]
fn single_bytes_are_put_together() {
    let body = part("name=img; filename=a") + &"x\r".repeat(50_000) + "\r\n--b--";
    form::run(async {
        let mut form = open(counted(body, 1).0, 1 << 30);
        let chunks: Vec<_> = next_file(&mut form).await.content.collect().await;
        assert!(chunks.len() <= 13, "{} chunks", chunks.len());
    });
}

#[test]
fn what_nobody_reads_of_a_file_is_skipped() {
    let body = part("name=img; filename=a") + &"x".repeat(1024 * 1024) + "\r\n" + &part("name=a");
    for size in [usize::MAX, 64 * 1024, 1000] {
        let body = Bytes::from(body.clone() + "1\r\n--b--");
        form::run(async {
            let mut form = open(counted(body, size).0, 1 << 30);
            let mut file = next_file(&mut form).await;
            file.content.next().await.unwrap().unwrap();
            drop(file);
            let Ok(Some(Part::Text { value, .. })) = form.next().await else {
                panic!("no text");
            };
            assert_eq!(value, b"1");
            assert!(matches!(form.next().await, Ok(None)));
        });
    }
}

/// The limit of a preamble and headers together, including the line break of the boundary.
#[test]
fn headers_may_be_so_long_and_no_longer_in_any_chunks() {
    let rest = "--b\r\nContent-Disposition: form-data; name=a\r\nx: \r\n\r\n";
    for (spare, is_read) in [(0, true), (1, false)] {
        let more = form::MAX_UNPARSED + spare - rest.len();
        let preamble = "x".repeat(more) + rest + "1\r\n--b--";
        let header = rest.replace("x: ", &format!("x: {}", "x".repeat(more))) + "1\r\n--b--";
        for body in [Bytes::from(preamble), Bytes::from(header)] {
            for size in [body.len(), 64 * 1024, 1000, 7] {
                let content_type = HeaderValue::from_static(FORM_TYPE);
                let chunks = stream::iter(in_chunks(&body, size));
                let reading = form::read(&content_type, chunks).unwrap();
                let found = (reading.end.is_ok(), reading.found_too_long());
                assert_eq!(found, (is_read, !is_read), "by {size}: {:?}", reading.end);
            }
        }
    }
}

/// Files that are each within their limit, and too many of them.
#[test]
fn the_whole_form_has_a_limit_that_files_count_against() {
    let file = part("name=img; filename=a") + &"x".repeat(700_000) + "\r\n";
    for size in [usize::MAX, 64 * 1024, 1000] {
        let body = Bytes::from(file.repeat(3) + "--b--");
        form::run(async {
            let mut form = open(counted(body, size).0, 700_000);
            for _ in 0..2 {
                let chunks = next_file(&mut form).await.content;
                assert!(chunks.all(async |chunk| chunk.is_ok()).await);
            }
            let third = next_file(&mut form).await.content;
            // And nothing follows it.
            let last = third.collect::<Vec<_>>().await.pop();
            assert!(matches!(
                last,
                Some(Err(ReadError::TooLarge { limit: 700_000 }))
            ));
        });
    }
}

/// Each byte once cost a search of the whole buffer; this test then took half a minute, not a second.
#[test]
fn long_headers_in_chunks_of_one_byte_are_read() {
    let header = "x".repeat(120_000);
    let part = part(&format!("name=a\r\nx: {header}")) + "x\r\n";
    let body = Bytes::from(part.repeat(20) + "--b--");
    let content_type = HeaderValue::from_static(FORM_TYPE);
    let reading = form::read(&content_type, stream::iter(in_chunks(&body, 1))).unwrap();
    assert_eq!((reading.parts.len(), reading.end.is_ok()), (20, true));
}
