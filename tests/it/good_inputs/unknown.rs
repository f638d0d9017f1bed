//! Files of no known kind, where `UPLOAD_TYPES` lists `file` and leaves out films.

use crate::{
    drivers::{Case, Stored},
    support::{Form, PNG},
    tokens::of_guest,
};

const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0";
const PAGE: &[u8] = b"<html><script>alert(1)</script>";
const SVG: &[u8] = b"<svg onload=alert(1)>";

pub(super) fn cases() -> Vec<Case> {
    let apk = include_bytes!("../../media/tiny.apk").as_slice();
    let mut cases = Vec::new();
    for (name, content, extension) in [
        ("setup.exe", EXE, "exe"),
        ("SETUP.EXE", EXE, "exe"),
        ("app.apk", apk, "apk"),
        ("data.dat", b"\0\x01\x02", "dat"),
        ("drawing.dwg", b"\0\x01\x02", "dwg"),
        ("x.abcdefghij", b"\0\x01\x02", "abcdefghij"),
        // Not of `[a-z0-9]{1,10}`, or none.
        ("x.abcdefghijk", b"\0\x01\x02", "bin"),
        ("x.a-b", b"\0\x01\x02", "bin"),
        ("data", b"\0\x01\x02", "bin"),
        ("", b"\0\x01\x02", "bin"),
        // Those that browsers open, and those of the table of types.
        ("page.html", PAGE, "bin"),
        ("page.xhtml", PAGE, "bin"),
        ("drawing.svg", SVG, "bin"),
        ("feed.xml", b"<?xml version=\"1.0\"?><feed/>", "bin"),
        ("code.js", b"#!/usr/bin/env node\n", "bin"),
        ("code.mjs", b"\0\x01\x02", "bin"),
        ("style.css", b"\0\x01\x02", "bin"),
        ("film.swf", b"FWS\x0a\x10\0\0\0abcd", "bin"),
        ("setup.png", EXE, "bin"),
        ("setup.docx", EXE, "bin"),
        ("setup.mp4", EXE, "bin"),
        ("notes.sh", b"#!/bin/sh\n", "sh"),
    ] {
        let about = format!("file application/octet-stream {extension}");
        let stored = Stored::new(&about, content.to_vec()).named(name);
        let saved_as = match name {
            "" => "attachment".to_owned(),
            _ => format!("attachment; filename=\"{name}\"; filename*=UTF-8''{name}"),
        };
        let case = Case::form(format!("file {name:?}"), &Form::img(name, content));
        cases.push(case.stores([stored.saved_as(&saved_as)]));
    }
    // A kind that the bytes show stays what the list says.
    let film = include_bytes!("../../media/isom.mp4").as_slice();
    for (name, content) in [("a.mp4", film), ("a.exe", film), ("", film)] {
        let case = Case::form(format!("a film as {name:?}"), &Form::img(name, content));
        cases.push(case.refused("type_refused mp4"));
    }
    let text = Stored::new("document text/plain txt", "plain words");
    cases.push(Case::form("a text as .dat", &Form::img("a.dat", "plain words")).stores([text]));
    cases.push(Case::picture("a picture beside files"));
    // Of guests they are not taken where nothing names them for guests.
    cases.push(guest("setup.exe", EXE).refused("type_refused Windows program"));
    cases.push(guest("page.html", PAGE).refused("type_refused HTML"));
    cases.push(guest("data", b"\0\x01\x02").refused("type_refused unknown"));
    cases.push(guest("a.png", PNG));
    cases
}

fn guest(name: &str, content: &[u8]) -> Case {
    let case = Case::form(format!("a guest's {name}"), &Form::img(name, content));
    case.header("token", of_guest("g"))
}

/// Where `UPLOAD_GUEST_TYPES` names pictures and files.
pub(super) fn of_guests() -> Vec<Case> {
    let stored = |extension: &str, content: &[u8]| {
        Stored::new(
            &format!("file application/octet-stream {extension}"),
            content.to_vec(),
        )
    };
    vec![
        guest("setup.exe", EXE).stores([stored("exe", EXE)]),
        guest("page.html", PAGE).stores([stored("bin", PAGE)]),
        guest("data", b"\0\x01\x02").stores([stored("bin", b"\0\x01\x02")]),
        guest("a.txt", b"a text").refused("type_refused txt"),
        guest("a.png", PNG),
    ]
}
