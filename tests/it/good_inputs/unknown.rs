//! Files of unknown kinds, with `file` and without `video` in `UPLOAD_TYPES`.

use crate::{
    drivers::{Case, Stored, rows, unescaped},
    support::{Form, PNG},
    tokens::guest_jwt,
};

use super::{attachment, file};

const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0";
const PAGE: &[u8] = b"<html><script>alert(1)</script>";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // The extension is kept if it matches `[a-z0-9]{1,10}`, browsers do not open it, and the table lacks it.
    for [name, content, extension] in rows(
        r#"
        setup.exe     | MZ\x90\0\x03\0\0\0 | exe
        SETUP.EXE     | MZ\x90\0\x03\0\0\0 | exe
        app.apk       | PK\x03\x04\x14\0\0\0\0\0 | apk
        data.dat      | \0\x01\x02 | dat
        drawing.dwg   | \0\x01\x02 | dwg
        x.abcdefghij  | \0\x01\x02 | abcdefghij
        x.abcdefghijk | \0\x01\x02 | bin
        x.a-b         | \0\x01\x02 | bin
        data          | \0\x01\x02 | bin
                      | \0\x01\x02 | bin
        page.html     | <html><script>alert(1)</script> | bin
        page.xhtml    | <html><script>alert(1)</script> | bin
        drawing.svg   | <svg onload=alert(1)> | bin
        feed.xml      | <?xml version="1.0"?><feed/> | bin
        code.js       | #!/usr/bin/env node\n | bin
        code.mjs      | \0\x01\x02 | bin
        style.css     | \0\x01\x02 | bin
        film.swf      | FWS\x0A\x10\0\0\0abcd | bin
        setup.png     | MZ\x90\0\x03\0\0\0 | bin
        setup.docx    | MZ\x90\0\x03\0\0\0 | bin
        setup.mp4     | MZ\x90\0\x03\0\0\0 | bin
        notes.sh      | #!/bin/sh\n | sh
        "#,
    ) {
        let content = unescaped(content);
        let about = format!("file application/octet-stream {extension}");
        let case = file(format!("file {name:?}"), name, &content);
        let stored = Stored::new(&about, content).named(name);
        cases.push(case.stores([stored.saved_as(&attachment(name))]));
    }
    let apk = include_bytes!("../../media/tiny.apk").as_slice();
    let stored = Stored::new("file application/octet-stream apk", apk);
    cases.push(Case::form("file, a whole app", &Form::img("app.apk", apk)).stores([stored]));
    // A kind detected from the bytes still follows `UPLOAD_TYPES`.
    let video = include_bytes!("../../media/isom.mp4").as_slice();
    for name in ["a.mp4", "a.exe", ""] {
        let case = file(format!("a video as {name:?}"), name, video);
        cases.push(case.refused("type_refused mp4"));
    }
    let text = Stored::new("document text/plain txt", "plain words");
    cases.push(Case::form("a text as .dat", &Form::img("a.dat", "plain words")).stores([text]));
    cases.push(Case::image("an image beside files"));
    // Refused for guests, unless `UPLOAD_GUEST_TYPES` lists them.
    cases.push(guest("setup.exe", EXE).refused("type_refused Windows program"));
    cases.push(guest("page.html", PAGE).refused("type_refused HTML"));
    cases.push(guest("data", b"\0\x01\x02").refused("type_refused unknown"));
    cases.push(guest("a.png", PNG));
    cases
}

fn guest(name: &str, content: &[u8]) -> Case {
    let case = file(format!("a guest's {name}"), name, content);
    case.header("token", guest_jwt("g"))
}

/// Cases for guests, with images and files in `UPLOAD_GUEST_TYPES`.
pub(super) fn guest_cases() -> Vec<Case> {
    let stored = |extension: &str, content: &'static [u8]| {
        let about = format!("file application/octet-stream {extension}");
        Stored::new(&about, content)
    };
    vec![
        guest("setup.exe", EXE).stores([stored("exe", EXE)]),
        guest("page.html", PAGE).stores([stored("bin", PAGE)]),
        guest("data", b"\0\x01\x02").stores([stored("bin", b"\0\x01\x02")]),
        guest("a.txt", b"a text").refused("type_refused txt"),
        guest("a.png", PNG),
    ]
}
