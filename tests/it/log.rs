//! Logs of hostile requests (`h78`): no name starts a line, and no secret is logged.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::Once,
};

use crate::{
    bucket_double::Recorded,
    support::{Form, PNG, RequestExt as _, TestApi, UPLOAD, get},
};

thread_local! {
    /// Log of this thread, if it is recorded.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writer of the whole test binary's log: per thread, or discarded.
struct ToThread;

impl Write for ToThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.iter_mut().for_each(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Log of this thread, on which `#[tokio::test]` runs everything but the doubles.
pub(crate) struct Log;

impl Log {
    /// Starts recording, in the format that the program uses on a laptop.
    ///
    /// One subscriber for the process: with one per test, `tracing` caches a callsite that another thread
    /// reached first as disabled for all.
    pub(crate) fn new() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let format = tracing_subscriber::fmt().with_ansi(false);
            format.with_writer(|| ToThread).init();
            tracing::callsite::rebuild_interest_cache();
        });
        LOG.set(Some(Vec::new()));
        Self
    }

    /// Returns the log since then.
    fn text(&self) -> String {
        LOG.with_borrow(|log| String::from_utf8(log.clone().unwrap()).unwrap())
    }

    #[track_caller]
    pub(crate) fn assert_line_with(&self, parts: &[&str]) {
        let text = self.text();
        let mut lines = text.lines();
        let found = lines.any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line with {parts:?} in\n{text}");
    }

    /// Asserts that it contains neither these texts nor any signature that was sent.
    #[track_caller]
    pub(crate) fn assert_holds_none_of(&self, secrets: &[&str], requests: &[Recorded]) {
        let text = self.text();
        let signatures = requests
            .iter()
            .filter_map(|request| request.header("authorization")?.split("Signature=").nth(1));
        for secret in secrets.iter().copied().chain(signatures) {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
}

#[tokio::test]
async fn h78_no_name_makes_a_line_of_the_log() {
    let log = Log::new();
    let api = TestApi::new();
    let forged = "x%0D%0A2026-01-01T00:00:00Z  INFO request: forged\u{1b}[31m\u{2028}";
    let requests = [
        Form::img(forged, PNG).to(UPLOAD),
        Form::img(forged, "<html>").to(UPLOAD),
        Form::new().file(forged, "a.png", PNG).to(UPLOAD),
        Form::new().text("imageClassId", forged).to(UPLOAD),
        get("/x%0A2026-01-01T00:00:00Z%20INFO"),
    ];
    let count = requests.len();
    for request in requests {
        api.send(request).await;
    }
    let text = log.text();
    assert_eq!(text.lines().count(), count, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{2028}', '\r']), "{text}");
}

#[tokio::test]
async fn h78_no_secret_of_a_request_is_in_the_log_or_in_the_answer() {
    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0";
    let log = Log::new();
    let api = TestApi::new();
    let form = Form::new().text("token", SECRET).and_image();
    let bad = Form::new().text("token", SECRET);
    let bad = bad.text("imageClassId", SECRET).and_image();
    for form in [form, bad] {
        for path in [UPLOAD, "/none"] {
            let mut request = form.to(&format!("{path}?token={SECRET}"));
            for name in ["token", "authorization", "cookie"] {
                request = request.header(name, format!("Bearer {SECRET}"));
            }
            let reply = api.send(request).await;
            assert!(!String::from_utf8_lossy(&reply.body).contains(SECRET));
        }
    }
    let text = log.text();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains(SECRET), "{text}");
}
