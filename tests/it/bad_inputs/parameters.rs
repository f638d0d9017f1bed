//! Section F: class ids and fields; and headers that no well-behaved client sends.

use axum::http::Method;

use super::identity::refused;
use crate::{
    drivers::{Case, Stored},
    support::{FOLDER, Form, PNG, UPLOAD, disposition},
};

pub(super) fn cases() -> Vec<Case> {
    [
        class_ids(),
        fields(),
        nothing(),
        claims(),
        request_headers(),
    ]
    .concat()
}

/// Two valid files, and then `last`.
fn after_two(last: impl FnOnce(Form) -> Form) -> Form {
    last(Form::image().file("img", "b.txt", "text"))
}

/// F63: invalid numbers, in every place; and the precedence of two ids.
fn class_ids() -> Vec<Case> {
    let mut cases = Vec::new();
    let ids = "abc -1 1e9 nan 0x10 1.0 None [1] 1,2 １ \"1\" x 1.5 +1 \
               99999999999999999999 9007199254740992";
    for id in ids.split(' ').chain(["0 "]) {
        let query: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let named = |where_from: &str| format!("f63 {id} {where_from}");
        let two = Form::image().text("imageClassId", "1");
        let two = two.text("image_class_id", id);
        for name in ["imageClassId", "image_class_id"] {
            let case = Case::image(named(&format!("in the query as {name}"))).unread();
            cases.push(case.to(format!("{UPLOAD}?a=b&{name}={query}")));
            let before = Form::new().text(name, id).and_image();
            cases.push(Case::form(named(&format!("before, as {name}")), &before));
            let after = Form::image().text(name, id);
            cases.push(Case::form(named(&format!("behind, as {name}")), &after));
        }
        let last = after_two(|form| form.text("image_class_id", id));
        cases.push(Case::form(named("behind two files"), &last));
        cases.push(Case::form(named("behind a good one"), &two));
    }
    cases = refused(cases, "class_id_invalid");

    let bad = Form::new().text("imageClassId", "abc").and_image();
    let two = Form::new().text("imageClassId", "2").and_image();
    let two = two.text("image_class_id", "3");
    for (form, query, counts) in [
        (&bad, "?imageClassId=1", 1),
        (&two, "", 2),
        (&two, "?imageClassId=1", 1),
        (&two, "?imageClassId=1&image_class_id=9", 1),
        (&two, "?imageClassId[]=1", 2),
        (&Form::image(), "?imageClassId[]=x", 0),
    ] {
        let case = Case::form(format!("f63 {query} of two"), form).to(format!("{UPLOAD}{query}"));
        cases.push(case.stores_image_with("image_class_id", counts));
    }
    cases
}

/// F64: files in other fields, and several files.
fn fields() -> Vec<Case> {
    let files = |count| (0..count).fold(Form::new(), |form, _| form.and_image());
    let folder = format!("{FOLDER}x");
    let html = Form::image().file("img", "b.png", "<html>");
    let field = after_two(|form| form.text("x", &"y".repeat(70_000)));
    // Only its directory shows that it is a Java archive.
    let entry = [b"PK\x03\x04".as_slice(), &[0; 22], b"\x01\0\0\0a"].concat();
    let name = b"META-INF/MANIFEST.MF";
    let start = [b"PK\x01\x02".as_slice(), &[0; 24], b"\x14\0"].concat();
    let directory = [&start[..], &[0; 16], name].concat();
    let archive = [entry, vec![b'x'; 2_200_000], directory].concat();
    let archive = Form::img("a.zip", archive);
    let other = Form::image().file("file", "b.png", PNG);
    let for_folder = |name, form| Case::form(name, form).to(&folder);
    let named = Form::new().text("img", "a").and_image();
    let mut cases = vec![
        Case::form("f64 two img", &files(2)).stores([Stored::png(), Stored::png()]),
        Case::form("f64 ten img", &files(10)).refused("too_many_files 9"),
        for_folder("f64 two files for a folder", &files(2)).refused("too_many_files 1"),
        for_folder("f64 a second file in another field for a folder", &other)
            .refused("too_many_files 1"),
        Case::form("f64 HTML behind a good file", &html).refused("type_refused HTML"),
        Case::form("a21 a large field behind two", &field).refused("field_too_large"),
        Case::form("d46 a program at its end", &archive).refused("type_refused JAR"),
        Case::form("f64 text and file", &named),
    ];
    for (content, looks_like) in [
        (&b"<html><script>alert(1)</script>"[..], "HTML"),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG"),
        (b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF", "Windows program"),
        (b"\x01\x02\x03\x04", "unknown"),
    ] {
        let last = after_two(|form| form.file("img", "c.png", content));
        let case = Case::form(format!("d43 {looks_like} behind two"), &last);
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    for (field, got) in [
        ("file", "file"),
        ("img[]", "img[]"),
        ("IMG", "IMG"),
        ("img ", "img"),
        ("imgs", "imgs"),
        ("img\\\"", "img\""),
        ("", ""),
        ("图片", "图片"),
        ("a%22b", "a\"b"),
    ] {
        let file = |form: Form| form.file(field, "b.png", PNG);
        for (place, form) in [
            ("alone", file(Form::new())),
            ("behind a good one", file(Form::image())),
            ("behind two", after_two(file)),
        ] {
            let case = Case::form(format!("f64 a file in {field:?} {place}"), &form);
            cases.push(case.refused(format!("wrong_field {got}")));
        }
    }
    cases
}

/// Forms without a file, and files without content.
fn nothing() -> Vec<Case> {
    let mut cases = Vec::new();
    let texts = Form::new().text("token", "x").text("imageClassId", "3");
    for route in [UPLOAD, &format!("{FOLDER}x")] {
        for (name, form) in [
            ("no part", Form::new()),
            ("two texts", texts.clone()),
            ("a text in img", Form::new().text("img", "x")),
            // A browser sends this for an empty file input.
            ("an empty file input", Form::new().file("img", "", "")),
        ] {
            let case = Case::form(format!("f64 {name} to {route}"), &form).to(route);
            cases.push(case.refused("file_missing"));
        }
        let headers = disposition("name=\"img\"; filename=\"a.png\"");
        for form in [Form::img("a.png", ""), Form::new().part(headers, "")] {
            let case = Case::form(format!("d47 zero bytes to {route}"), &form).to(route);
            cases.push(case.refused("file_empty"));
        }
    }
    let last = after_two(|form| form.file("img", "c.png", ""));
    cases.push(Case::form("d47 zero bytes behind two", &last).refused("file_empty"));
    cases
}

/// F64: parts that are files by their name or type, in another field than `img`.
fn claims() -> Vec<Case> {
    let mut cases = Vec::new();
    for params in [
        "name=\"x\"\r\nContent-Type: application/octet-stream",
        "name=\"x\"\r\nContent-Type: image/png",
        "name=\"x\"\r\nContent-Type: application/json-seq",
        "name=\"x\"; filename=\"a\"\r\nContent-Type: text/plain",
        "name=\"x\"; filename*=UTF-8''a",
        "name=\"x\"; filename=\"a\"\r\nContent-Type: multipart/form-data; boundary=b",
    ] {
        let part = |form: Form| form.part(disposition(params), "a text");
        let folder = format!("{FOLDER}a");
        for (route, form, failure) in [
            (UPLOAD, part(Form::new()).and_image(), "wrong_field x"),
            (UPLOAD, part(Form::image()), "wrong_field x"),
            (&folder, part(Form::image()), "too_many_files 1"),
        ] {
            let case = Case::form(format!("f64 {params} to {route}"), &form).to(route);
            cases.push(case.refused(failure));
        }
    }
    cases
}

/// A compressed body, a host with a user or two hosts, and another method.
fn request_headers() -> Vec<Case> {
    let mut cases = Vec::new();
    for encoding in ["gzip", "br", "identity, gzip"] {
        let case = Case::image(format!("Content-Encoding: {encoding}")).unread();
        let case = case.header("content-encoding", encoding);
        cases.push(case.refused("encoding_refused"));
    }
    cases.push(Case::image("Content-Encoding: Identity").header("content-encoding", "Identity"));
    let hosts: [&[&str]; 4] = [
        &["user:pw@evil.example"],
        &["@chat.example"],
        &["chat.example", "evil.example"],
        &["chat.example", "chat.example"],
    ];
    for hosts in hosts {
        for (method, path) in [
            (Method::POST, UPLOAD),
            (Method::GET, "/images/a.png"),
            (Method::GET, "/healthz"),
        ] {
            let case = Case::image(format!("Host: {hosts:?}, {method} {path}"));
            let case = case.method(method).to(path);
            let case = hosts.iter().fold(case, |case, host| case.and("host", host));
            cases.push(case.refused("host_invalid"));
        }
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let case = Case::image(format!("{method} to the route")).method(method);
        cases.push(case.refused("method_not_allowed"));
    }
    cases
}
