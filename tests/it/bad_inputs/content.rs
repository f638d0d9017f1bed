//! Section D: bytes that are not of the type that their name tells.

use crate::{
    drivers::{Case, Stored},
    support::{Form, PNG},
};

pub(super) fn cases() -> Vec<Case> {
    let names = ["x.png", "x.jpg", "x.mp4", "x.txt", ""];
    names
        .into_iter()
        .flat_map(|name| [refused(name), harmless(name)].concat())
        .collect()
}

fn sized(width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    [&PNG[..16], &width, &height, &PNG[24..]].concat()
}

fn refused(name: &str) -> Vec<Case> {
    let elf = [b"\x7FELF\x02\x01\x01".as_slice(), &[0; 60]].concat();
    let contents: [(&str, &[u8], &str); 33] = [
        ("d43", b"<!DOCTYPE html><script>alert(1)</script>", "HTML"),
        ("d43", b"\xEF\xBB\xBF \n<html>", "HTML"),
        (
            "d43",
            b"<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\"/>",
            "XHTML",
        ),
        ("d43", b"<?xml version=\"1.0\"?><feed/>", "XML"),
        (
            "d43",
            b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n",
            "MHTML",
        ),
        ("d43", b"FWS\x0a\x10\0\0\0abcd", "SWF"),
        ("d45", b"<svg onload=alert(1)>", "SVG"),
        (
            "d45",
            b"<svg onload=alert(1)><script>alert(1)</script></svg>",
            "SVG",
        ),
        (
            "d45",
            b"<?xml version=\"1.0\"?><svg><foreignObject/></svg>",
            "SVG",
        ),
        (
            "d45",
            b"<!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><svg>&a;</svg>",
            "SVG",
        ),
        (
            "d45",
            b"<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><svg>&b;</svg>",
            "SVG",
        ),
        ("d46", b"<?php system($_GET['x']);", "PHP"),
        (
            "d46",
            b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF",
            "Windows program",
        ),
        ("d46", &elf, "Linux program"),
        ("d46", b"#!/bin/sh\nid\n", "script"),
        ("d46", include_bytes!("../../media/tiny.apk"), "APK"),
        ("d46", include_bytes!("../../media/tiny.jar"), "JAR"),
        ("d47", b"\0", "unknown"),
        ("d47", b"\xFF", "unknown"),
        ("d47", b"\x01\x02\x03\x04", "unknown"),
        ("d47", b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        ("d47", b"\xFF\xD8\xFF", "damaged JPEG"),
        ("d48 no width", &sized(0, 10), "damaged PNG"),
        (
            "d48 a height over 2^31",
            &sized(10, u32::MAX),
            "damaged PNG",
        ),
        ("d49 a PNG without its chunk", &PNG[..12], "damaged PNG"),
        (
            "d51",
            b"\xFF\xFF\xFF\xF0ftypheic\0\0\0\0mif1heic",
            "unknown",
        ),
        ("d52", b"\0\0\0\x04ftypisom\0\0\0\0isom", "damaged MP4"),
        (
            "d53 a tag of 256 MB",
            b"ID3\x04\0\0\x7F\x7F\x7F\x7FTIT2",
            "damaged MP3",
        ),
        (
            "d55",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
            "HLS playlist",
        ),
        (
            "d55",
            b"concat:http://127.0.0.1/|file:///etc/passwd",
            "ffmpeg playlist",
        ),
        (
            "d55",
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            "ffmpeg playlist",
        ),
        ("d43 markup", b"<img src=x onerror=alert(1)>", "markup"),
        (
            "d46 a page of a server",
            b"<%@ page import=\"java.io.*\" %>",
            "server page",
        ),
    ];
    let mut cases =
        vec![Case::form(format!("d47 as {name}"), &Form::img("a.png", "")).refused("file_empty")];
    for (number, content, looks_like) in contents {
        let shown = content[..content.len().min(40)].escape_ascii();
        let case = Case::form(
            format!("{number} {shown} as {name}"),
            &Form::img(name, content),
        );
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}

/// Served as the picture that their beginning is, or for saving.
fn harmless(name: &str) -> Vec<Case> {
    let jpeg = [
        include_bytes!("../../media/baseline.jpg").as_slice(),
        b"<html><script>",
    ]
    .concat();
    let png_and_zip = [PNG, include_bytes!("../../media/photos.zip")].concat();
    // Its one entry says that it unpacks to 4 GB.
    let bomb =
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\xFF\xFF\xFF\xFF\x05\0\0\0bomb1";
    let bomb = [bomb.as_slice(), &[0; 16]].concat();
    let docx =
        "document application/vnd.openxmlformats-officedocument.wordprocessingml.document docx";
    let contents: [(&str, &[u8], &str); 7] = [
        (
            "d43 a script without marks",
            b"alert(document.cookie)",
            "document text/plain txt",
        ),
        (
            "d44",
            b"GIF89a/*\0\0\0\0\0!\xFE*/=1;alert(1)//",
            "image image/gif gif",
        ),
        ("d44 JPEG and HTML", &jpeg, "image image/jpeg jpg"),
        ("d44 PNG and ZIP", &png_and_zip, "image image/png png"),
        (
            "d48 100,000 by 100,000",
            &sized(100_000, 100_000),
            "image image/png png",
        ),
        ("d54 a bomb", &bomb, "document application/zip zip"),
        ("d54 DOCX", include_bytes!("../../media/report.docx"), docx),
    ];
    let mut cases = Vec::new();
    for (number, content, about) in contents {
        let case = Case::form(format!("{number} as {name}"), &Form::img(name, content));
        cases.push(case.stores([Stored::new(about, content.to_vec())]));
    }
    cases
}
