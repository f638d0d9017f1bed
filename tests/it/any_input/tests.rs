//! The checks on stable: inputs that broke one once, kept in `tests/regressions/<check>/`, and some
//! hundreds of random ones.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
};
use bytes::Bytes;
use chat_upload::api::form::{Form, Limits, Part};
use futures_util::{StreamExt as _, stream};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{differential, disposition, event, form, media, token};

const FORM_TYPE: &str = "multipart/form-data; boundary=b";

type Check = fn(&[u8]);

/// Runs a check on every file kept for it.
fn replay(name: &str, check: Check) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let Ok(files) = fs::read_dir(folder.join(name)) else {
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        // Shown only when the check fails.
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
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
}

/// Inputs made of what means something to the reader under test.
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
    // Each reads a form of up to half a megabyte several times.
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            event::check(&fs::read(path).unwrap());
        }
    }
}

/// A body that says how much of it was taken.
fn counted(body: Vec<u8>, size: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let body = Bytes::from(body);
    let chunks: Vec<_> = body.chunks(size).map(|part| body.slice_ref(part)).collect();
    let stream = stream::iter(chunks).map(move |chunk| {
        count.fetch_add(chunk.len(), Ordering::Relaxed);
        Ok::<_, Infallible>(chunk)
    });
    (Body::from_stream(stream), taken)
}

#[test]
fn small_parts_do_not_make_the_reader_run_ahead() {
    let part = |name: &str| format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n");
    let mut body = (part("name=a") + "x\r\n").repeat(90) + &part("name=img; filename=a");
    body.push_str(&"x".repeat(16 * 1024 * 1024));
    let (body, taken) = counted(body.into_bytes(), 64 * 1024);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(FORM_TYPE))];
    let limits = Limits {
        max_file_bytes: 1 << 30,
        max_files: 1,
        idle: Duration::from_secs(60),
    };
    form::run(async {
        let mut form = Form::open(&headers.into_iter().collect(), body, limits).unwrap();
        while let Some(Part::Text { .. }) = form.next().await.unwrap() {}
    });
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken <= 4 * 64 * 1024, "{taken} bytes taken");
}

/// Each byte once cost a search of all that was held; this test then took half a minute, not a second.
#[test]
fn long_headers_in_chunks_of_one_byte_are_read() {
    let header = "x".repeat(120_000);
    let part = format!("--b\r\nContent-Disposition: form-data; name=a\r\nx: {header}\r\n\r\nx\r\n");
    let body = Bytes::from(part.repeat(20) + "--b--");
    let bytes = (0..body.len()).map(move |at| body.slice(at..=at));
    let content_type = HeaderValue::from_static(FORM_TYPE);
    let reading = form::read(&content_type, stream::iter(bytes)).unwrap();
    assert_eq!((reading.parts.len(), reading.end.is_ok()), (20, true));
}
