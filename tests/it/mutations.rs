//! Random mutations of valid requests, sent to the built program over real sockets: each response is
//! documented in README, nothing is left behind, and memory does not grow.
//!
//! The seed is fixed; `CHAT_UPLOAD_MUTATIONS=10000` sends that many instead of 1,000.

use std::{collections::BTreeMap, iter, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    bucket_double::{BucketDouble, Dialect},
    readme::failures_of_the_program,
    support::{
        ADMIN, FOLDER, Form, Local, PNG, Process, Reply, UPLOAD, bucket_vars, owned, png_bytes,
        send,
    },
    tokens::{JWT, guest_jwt, user_jwt},
};

/// Longest wait for one answer; the limits for slow clients are longer.
const PER_REQUEST: Duration = Duration::from_secs(10);
/// Requests after which all lazy initialisation is done.
const WARM_UP: usize = 100;
/// Most memory growth after that, in KiB: the buffers of one large upload, and what an allocator
/// keeps. With 10,000 mutations a leak of 3 KiB in each exceeds it.
const GROWTH_KIB: u64 = 12 * 1024;
/// One upload in this many is too large for a single put.
const LARGE_EVERY: usize = 250;

/// A seeded random generator, so that a failure can be reproduced.
struct Random(fastrand::Rng);

impl Random {
    /// Returns a number below `end`; 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end.max(1))
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// Returns a range of `bytes`, more often short than long.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let longest = self.one_of(&[1, 4, 40, 1000]);
        start..(start + self.below(longest) + 1).min(bytes.len())
    }
}

/// A request in parts that can be changed.
#[derive(Clone, Debug)]
struct Draft {
    method: Method,
    path: String,
    query: String,
    headers: BTreeMap<String, Vec<u8>>,
    body: Vec<u8>,
}

impl Draft {
    fn post(target: &str, form: &Form, token: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = [
            ("content-type", form.content_type()),
            ("token", token.to_owned()),
            ("origin", "https://chat.example.com".to_owned()),
        ];
        Self {
            method: Method::POST,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .into(),
            body: form.bytes().to_vec(),
        }
    }

    /// Returns the requests of well-behaved clients.
    fn honest() -> Vec<Self> {
        let (user, guest) = (user_jwt("7"), guest_jwt("g"));
        let image = Form::image();
        let class = Form::new()
            .text("imageClassId", "3")
            .file("img", "猫.png", PNG);
        let in_form = Form::new().text("token", &guest).and_image();
        let several = Form::image()
            .file("img", "b.txt", "some words, 中文")
            .file("img", "c.pdf", include_bytes!("../media/page.pdf"))
            .text("image_class_id", "9");
        let audio = Form::new().file("file", "v.m4a", include_bytes!("../media/voice.m4a"));
        let archive = Form::img("a.docx", include_bytes!("../media/report.docx"));
        vec![
            Self::post(UPLOAD, &image, &user),
            Self::post(UPLOAD, &class, &user),
            Self::post(UPLOAD, &in_form, ""),
            Self::post(&format!("{UPLOAD}?imageClassId=5"), &several, &user),
            Self::post(UPLOAD, &archive, &guest),
            Self::post(&format!("{UPLOAD}?token={user}"), &image, ""),
            Self::post(ADMIN, &several, &guest),
            Self::post(&format!("{FOLDER}a_b"), &audio, &user),
        ]
    }

    /// Returns an upload too large for a single put, sometimes truncated.
    fn large(rng: &mut Random) -> Self {
        let form = Form::img("a.png", png_bytes(9 << 20));
        let mut draft = Self::post(UPLOAD, &form, &user_jwt("7"));
        let end = draft.body.len();
        let kept = rng.one_of(&[end, end - 10, end - 60, end - 500_000]);
        draft.body.truncate(kept);
        draft
    }

    fn mutated(mut self, rng: &mut Random) -> Self {
        (0..=rng.below(4)).for_each(|_| self.mutate(rng));
        self
    }

    fn mutate(&mut self, rng: &mut Random) {
        match rng.below(16) {
            0..8 => mutate_bytes(&mut self.body, rng),
            8..11 => self.mutate_header(rng),
            11 => self.odd_header(rng),
            12 => mutate_text(&mut self.query, b"=&%+[]0aZ/?;:@-._~!$'()*,", rng),
            13 => mutate_text(&mut self.path, b"/.%_-aZ0;:@~!$&'()*+,=", rng),
            14 => self.mutate_token(rng),
            _ => {
                self.method = rng.one_of(&[Method::GET, Method::PUT, Method::DELETE, Method::PATCH])
            }
        }
    }

    /// Changes a header's value, with valid characters only.
    fn mutate_header(&mut self, rng: &mut Random) {
        let names: Vec<_> = self.headers.keys().cloned().collect();
        if let Some(value) = self.headers.get_mut(&rng.one_of(&names)) {
            mutate_bytes(value, rng);
            value.retain(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        }
    }

    /// Adds a header that no client would send, or removes one.
    fn odd_header(&mut self, rng: &mut Random) {
        let names = "accept authorization content-encoding cookie range x-forwarded-for \
                     x-forwarded-proto x-request-id access-control-request-method if-none-match";
        let names: Vec<_> = names.split(' ').collect();
        let values = [
            "",
            "Bearer x",
            "gzip",
            "bytes=0-",
            ", ,",
            "*",
            "\u{202E}",
            "chunked",
            "192.0.2.1",
        ];
        let known: Vec<_> = self.headers.keys().cloned().collect();
        if rng.below(3) == 0 {
            self.headers.remove(&rng.one_of(&known));
        } else {
            let value = rng.one_of(&values).as_bytes().to_vec();
            self.headers.insert(rng.one_of(&names).to_owned(), value);
        }
    }

    /// Changes one character of a token, in a header, the query or the form.
    fn mutate_token(&mut self, rng: &mut Random) {
        let other = rng.one_of(b"A.-_=z9");
        let in_form = memchr::memmem::find(&self.body, b"name=\"token\"\r\n\r\n").map(|at| at + 16);
        let token = match (self.headers.get_mut("token"), in_form) {
            (Some(token), _) if !token.is_empty() => token.as_mut_slice(),
            (_, Some(start)) => &mut self.body[start..],
            _ => return,
        };
        let at = rng.below(token.len().min(120));
        token[at] = other;
    }

    /// Builds the request; `None` if the changes made it invalid HTTP.
    fn request(&self) -> Option<Request<Body>> {
        let mut target = format!("/{}", self.path.trim_start_matches('/'));
        if !self.query.is_empty() {
            target = format!("{target}?{}", self.query);
        }
        let mut request = Request::builder().method(&self.method).uri(target);
        for (name, value) in &self.headers {
            request = request.header(name, &**value);
        }
        request.body(self.body.clone().into()).ok()
    }
}

/// Flips, inserts, deletes, duplicates, moves or truncates bytes.
fn mutate_bytes(bytes: &mut Vec<u8>, rng: &mut Random) {
    const WORDS: [&[u8]; 12] = [
        b"\r\n",
        b"\r\n\r\n",
        b"--",
        b"\0",
        b"\"",
        b";",
        b"\xFF\xFE",
        b"------WebKitFormBoundaryabc123",
        b"Content-Disposition: form-data; name=\"img\"; filename=\"x\"",
        b"\r\n------WebKitFormBoundaryabc123--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"%",
    ];
    let range = rng.range(bytes);
    match rng.below(7) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(range.start) {
                *byte ^= 1 << rng.below(8);
            }
        }
        2 => drop(bytes.splice(range.start..range.start, rng.one_of(&WORDS).iter().copied())),
        3 => drop(bytes.drain(range)),
        4 => {
            let copy = bytes[range.clone()].to_vec();
            drop(bytes.splice(range.start..range.start, copy));
        }
        5 => {
            let moved: Vec<_> = bytes.drain(range).collect();
            let to = rng.below(bytes.len() + 1);
            drop(bytes.splice(to..to, moved));
        }
        _ => bytes.truncate(range.start),
    }
}

/// Changes text in the same ways, with these characters.
fn mutate_text(text: &mut String, alphabet: &[u8], rng: &mut Random) {
    let mut bytes = std::mem::take(text).into_bytes();
    let at = rng.below(bytes.len() + 1);
    match rng.below(4) {
        0 => bytes.insert(at, rng.one_of(alphabet)),
        1 => bytes.truncate(at),
        2 => bytes.extend_from_within(at..),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.one_of(alphabet);
            }
        }
    }
    *text = String::from_utf8(bytes).unwrap();
}

/// Returns how many files a response reports as stored; panics at one that README does not document,
/// and at a 5xx, which no client input may cause.
fn files_stored(reply: &Reply, draft: &Draft) -> usize {
    let json = reply.json();
    let code = json["code"].as_str().unwrap_or("ok");
    let answer = (reply.status.as_str().to_owned(), code.to_owned());
    let is_success = answer == ("200".to_owned(), "ok".to_owned());
    let is_refusal = reply.status.is_client_error() && failures_of_the_program().contains(&answer);
    assert!(is_success || is_refusal, "{json} to {draft:?}");
    if code == "ok" {
        assert_eq!(json["msg"], "ok", "{draft:?}");
        return match &json["data"] {
            Value::Array(files) => files.len(),
            Value::Object(file) => usize::from(file.contains_key("path")),
            other => panic!("{other} to {draft:?}"),
        };
    }
    assert_eq!(json["msg"], "fail", "{draft:?}");
    let id = reply.header("x-request-id");
    assert_eq!(json["request_id"], id, "{draft:?}");
    let is_told = json["data"].as_str().is_some_and(|text| !text.is_empty());
    assert!(is_told, "{draft:?}");
    0
}

fn mutations() -> usize {
    let given = std::env::var("CHAT_UPLOAD_MUTATIONS").ok();
    given.map_or(1000, |given| given.parse().unwrap())
}

/// Sends mutations to the program; asserts its responses and its memory, and returns how many files it
/// reports as stored.
async fn send_mutations(process: &Process, addr: std::net::SocketAddr, seed: u64) -> usize {
    let mut rng = Random(fastrand::Rng::with_seed(seed));
    let honest = Draft::honest();
    let (mut stored, mut refused, mut warm_kib) = (0, 0, 0);
    for count in 0..mutations() / 2 {
        if count == WARM_UP {
            warm_kib = process.memory_kib();
        }
        let large = count % LARGE_EVERY == WARM_UP / 2;
        let mut drafts = iter::repeat_with(|| {
            if large {
                Draft::large(&mut rng)
            } else {
                rng.one_of(&honest).mutated(&mut rng)
            }
        });
        let drawn = drafts.find_map(|draft| Some((draft.request()?, draft)));
        let (request, draft) = drawn.expect("a draft without end");
        let reply = timeout(PER_REQUEST, send(addr, request)).await;
        let reply = reply.unwrap_or_else(|_| panic!("no answer to {draft:?}"));
        let files = files_stored(&reply, &draft);
        stored += files;
        refused += usize::from(files == 0);
    }
    let kib = process.memory_kib();
    assert!(kib < warm_kib + GROWTH_KIB, "{warm_kib} KiB became {kib}");
    let counts = format!("{refused} refused, {stored} files");
    assert!(stored > 0 && refused > 0, "{counts}");
    println!("{counts}, {warm_kib} KiB became {kib}");
    stored
}

#[tokio::test]
async fn no_mutation_harms_the_local_server_with_a_folder() {
    let server = Local::with(&[JWT]);
    let stored = send_mutations(&server.process, server.addr, 0x1CED_CAFE).await;
    let files = server.files();
    assert_eq!(files.len(), stored);
    let tops = ["images/", "public/uploads/Diy/"];
    let ours = |path: &String| tops.iter().any(|top| path.starts_with(top));
    assert!(files.keys().all(ours), "{:?}", files.keys());
}

#[tokio::test]
async fn no_mutation_harms_function_compute_with_a_bucket() {
    let bucket = BucketDouble::start(Dialect::Oss).await;
    let on_fc = owned(&[("FC_FUNCTION_NAME", "chat-upload"), JWT]);
    let (process, addr) = Process::serve(&[bucket_vars(&bucket), on_fc].concat());
    let stored = send_mutations(&process, addr, 0xFC3_F00D).await;
    assert_eq!((bucket.objects().len(), bucket.open_uploads()), (stored, 0));
}
