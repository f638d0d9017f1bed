//! Documents: compound files, archives, texts, and the names under which a bucket hands them out.

use super::builders::{compound, joined, zip, zip_with};
use crate::{
    drivers::{Case, Stored, Way::Lambda},
    support::Form,
};

/// Office files that are zips, by extension.
const OFFICE: [(&str, &str); 14] = [
    (
        "docx",
        "vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("docm", "vnd.ms-word.document.macroEnabled.12"),
    (
        "dotx",
        "vnd.openxmlformats-officedocument.wordprocessingml.template",
    ),
    ("dotm", "vnd.ms-word.template.macroEnabled.12"),
    (
        "xlsx",
        "vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xlsm", "vnd.ms-excel.sheet.macroEnabled.12"),
    (
        "xltx",
        "vnd.openxmlformats-officedocument.spreadsheetml.template",
    ),
    ("xltm", "vnd.ms-excel.template.macroEnabled.12"),
    (
        "pptx",
        "vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("pptm", "vnd.ms-powerpoint.presentation.macroEnabled.12"),
    (
        "ppsx",
        "vnd.openxmlformats-officedocument.presentationml.slideshow",
    ),
    ("ppsm", "vnd.ms-powerpoint.slideshow.macroEnabled.12"),
    (
        "potx",
        "vnd.openxmlformats-officedocument.presentationml.template",
    ),
    ("potm", "vnd.ms-powerpoint.template.macroEnabled.12"),
];
/// Other documents that are zips.
const ZIPPED: [(&str, &str); 13] = [
    ("odt", "vnd.oasis.opendocument.text"),
    ("ods", "vnd.oasis.opendocument.spreadsheet"),
    ("odp", "vnd.oasis.opendocument.presentation"),
    ("ofd", "ofd"),
    ("xmind", "vnd.xmind.workbook"),
    ("vsdx", "vnd.ms-visio.drawing"),
    ("pages", "vnd.apple.pages"),
    ("numbers", "vnd.apple.numbers"),
    ("key", "vnd.apple.keynote"),
    ("epub", "epub+zip"),
    ("kmz", "vnd.google-earth.kmz"),
    ("sketch", "zip"),
    ("zip", "zip"),
];

pub(super) fn cases() -> Vec<Case> {
    [compounds(), archives(), texts(), others(), names()].concat()
}

/// Content-Type of an office file.
fn mime(extension: &str) -> String {
    let all = OFFICE.iter().chain(&ZIPPED);
    let found = all.copied().find(|(known, _)| *known == extension);
    let word = [
        ("doc", "msword"),
        ("dot", "msword"),
        ("wps", "wps-office.wps"),
        ("et", "wps-office.et"),
        ("dps", "wps-office.dps"),
        ("xls", "vnd.ms-excel"),
        ("xlt", "vnd.ms-excel"),
        ("ppt", "vnd.ms-powerpoint"),
        ("pps", "vnd.ms-powerpoint"),
        ("pot", "vnd.ms-powerpoint"),
    ];
    let found = found.or_else(|| word.into_iter().find(|(known, _)| *known == extension));
    format!("application/{}", found.unwrap().1)
}

/// A document of this name, which must be kept under this extension, and saved under its name.
fn kept(number: &str, name: &str, content: &[u8], mime: &str, extension: &str) -> Case {
    let stored = Stored::new(&format!("document {mime} {extension}"), content.to_vec());
    let stored = match name {
        "" => stored.saved_as("attachment"),
        // Their characters are those of both forms of a name.
        _ => stored.saved_as(&format!(
            "attachment; filename=\"{name}\"; filename*=UTF-8''{name}"
        )),
    };
    let case = Case::form(
        format!("{number} {name} is {extension}"),
        &Form::img(name, content),
    );
    case.stores([stored.named(name)])
}

/// Compound files whose directory stands at the end, as LibreOffice and WPS write them.
fn compounds() -> Vec<Case> {
    let installer = {
        let class = [
            0x84, 0x10, 0x0C, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46,
        ];
        compound(3_000_000 / 512, class, "x")
    };
    let ending = |bytes: u32, stream: &str| compound(bytes / 512, [0; 16], stream);
    let mut cases = Vec::new();
    for (bytes, stream, name, extension) in [
        (3_000_000, "WordDocument", "", "doc"),
        (3_000_000, "Workbook", "blob", "xls"),
        (40_000, "Book", "file-1712345678901", "xls"),
        (3_000_000, "PowerPoint Document", "", "ppt"),
        (3_000_000, "WordDocument", "letter.wps", "wps"),
        (40_000, "WordDocument", "letter.dot", "dot"),
        (40_000, "Workbook", "table.et", "et"),
        (40_000, "Workbook", "table.xlt", "xlt"),
        (3_000_000, "PowerPoint Document", "talk.pps", "pps"),
        (40_000, "PowerPoint Document", "talk.dps", "dps"),
        (40_000, "PowerPoint Document", "talk.pot", "pot"),
        // The streams tell, not the name.
        (40_000, "Workbook", "letter.doc", "xls"),
        (3_000_000, "PowerPoint Document", "letter.png", "ppt"),
        // With a password.
        (40_000, "EncryptedPackage", "secret.docx", "docx"),
        (40_000, "EncryptedPackage", "secret.xlsx", "xlsx"),
        (3_000_000, "EncryptedPackage", "secret.pptx", "pptx"),
        (40_000, "EncryptedPackage", "secret.xlsm", "xlsm"),
        (40_000, "EncryptedPackage", "secret", "docx"),
        // More than can be held: by its name, else the usual one.
        (9_000_000, "Workbook", "big.ppt", "ppt"),
        (9_000_000, "Workbook", "big.et", "et"),
        (9_000_000, "Workbook", "blob", "doc"),
    ] {
        let content = ending(bytes, stream);
        let case = kept(
            &format!("compound {bytes} {stream}"),
            name,
            &content,
            &mime(extension),
            extension,
        );
        cases.push(match bytes {
            9_000_000 => case.not_on(Lambda, "an event has at most 6 MB"),
            _ => case,
        });
    }
    for (name, content) in [
        ("setup.msi", &installer),
        ("setup.doc", &installer),
        ("", &installer),
    ] {
        let case = Case::form(
            format!("compound installer as {name}"),
            &Form::img(name, content),
        );
        cases.push(case.refused("type_refused Windows installer"));
    }
    let header = &ending(40_000, "Workbook")[..100];
    let case = Case::form("compound, its header alone", &Form::img("a.xls", header));
    cases.push(case.refused("type_refused OLE file"));
    cases
}

/// Zips keep the extension that fits them, whatever their first entry is.
fn archives() -> Vec<Case> {
    let plain = zip(&["mimetype", "content.xml"]);
    let mut cases = Vec::new();
    for (extension, _) in ZIPPED {
        let name = format!("x.{extension}");
        cases.push(kept("zip", &name, &plain, &mime(extension), extension));
    }
    for (extension, _) in OFFICE {
        let folder = match extension.as_bytes()[0] {
            b'd' => "word/document.xml",
            b'x' => "xl/workbook.xml",
            _ => "ppt/presentation.xml",
        };
        // A large first entry, so that the folder's name stands behind the head.
        let picture = vec![0x55; 60_000];
        let large = zip_with(&[("docProps/thumbnail.jpeg", &picture), (folder, b"data")]);
        let small = zip(&["[Content_Types].xml", "_rels/.rels", folder]);
        let name = format!("x.{extension}");
        cases.push(kept("office", &name, &small, &mime(extension), extension));
        cases.push(kept(
            "office, a large first entry",
            &name,
            &large,
            &mime(extension),
            extension,
        ));
    }
    let spanned = joined(&[b"PK00", &plain]);
    let split = joined(&[b"PK\x07\x08", &plain]);
    cases.push(kept(
        "zip with a spanned marker",
        "x.zip",
        &spanned,
        "application/zip",
        "zip",
    ));
    cases.push(kept(
        "zip, the other marker",
        "x.zip",
        &split,
        "application/zip",
        "zip",
    ));
    cases.push(kept(
        "zip with a spanned marker",
        "x.odt",
        &spanned,
        &mime("odt"),
        "odt",
    ));
    cases.push(kept("zip", "x.html", &plain, "application/zip", "zip"));
    // Archives within archives are not looked at; a program itself is refused.
    let apk = include_bytes!("../../media/tiny.apk").as_slice();
    let nested = zip_with(&[("readme.txt", b"text"), ("app.apk", apk)]);
    cases.push(kept(
        "zip with an app in it",
        "x.zip",
        &nested,
        "application/zip",
        "zip",
    ));
    for (name, content, looks_like) in [
        ("app.zip", apk, "APK"),
        ("app.docx", apk, "APK"),
        ("x.zip", include_bytes!("../../media/tiny.jar"), "JAR"),
    ] {
        let case = Case::form(
            format!("zip {looks_like} as {name}"),
            &Form::img(name, content),
        );
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}

/// Text by its beginning, and nothing else by it.
fn texts() -> Vec<Case> {
    let words = b"a,b\n1,2\n".as_slice();
    let mut cases = Vec::new();
    for extension in [
        "txt", "md", "json", "log", "srt", "vcf", "ics", "lrc", "eml", "sql", "yaml", "yml", "tsv",
    ] {
        cases.push(kept(
            "text",
            &format!("x.{extension}"),
            words,
            "text/plain",
            extension,
        ));
    }
    cases.push(kept("text", "x.csv", words, "text/csv", "csv"));
    let gbk = b"\xC4\xE3\xBA\xC3".as_slice();
    let far = vec![b'a'; 40_000];
    let cut = "你".repeat(16 * 1024 / 3 + 10);
    let page = b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n";
    for (name, content, extension) in [
        ("x.txt", gbk, "txt"),
        ("x.txt", b"\xFF\xFEh\0i\0".as_slice(), "txt"),
        ("x.txt", b"\xFE\xFF\0h\0i", "txt"),
        ("x.txt", "\u{FEFF}你好，世界".as_bytes(), "txt"),
        ("x.txt", &"你好".as_bytes()[..5], "txt"),
        ("x.log", cut.as_bytes(), "log"),
        ("x.txt", b"\x0b\x0c\r\n\x1a", "txt"),
        ("x.md", b"<3 and <- and < b", "md"),
        // What follows the beginning is stored unread.
        ("x.log", &joined(&[&far, b"\0\x07"]), "log"),
        (
            "x.txt",
            &joined(&[&far, b"<script>alert(1)</script>"]),
            "txt",
        ),
        (
            "x.txt",
            &joined(&["你好".as_bytes(), &[b' '; 40_000], gbk]),
            "txt",
        ),
        ("letter.eml", page, "eml"),
        ("x.js", words, "txt"),
        ("x.html", words, "txt"),
    ] {
        cases.push(kept(
            &format!("text {} bytes", content.len()),
            name,
            content,
            "text/plain",
            extension,
        ));
    }
    for (content, looks_like) in [
        (b"<html>".as_slice(), "HTML"),
        (b"\xEF\xBB\xBF \n<!DOCTYPE html>", "HTML"),
        (b"<!-- x -->", "markup"),
        (b"</p>", "markup"),
        (b"<% x %>", "server page"),
        (b"<?php x", "PHP"),
        (b"#!/bin/sh", "script"),
        (b"\xFF\xFE<\0h\0t\0m\0l\0>\0", "HTML"),
        (b"\xFE\xFF\0#\0!\0/", "script"),
        (b"a\0b", "unknown"),
        (b"bell \x07", "unknown"),
        (page, "MHTML"),
    ] {
        let name = format!("text that is {looks_like}: {}", content.escape_ascii());
        let case = Case::form(name, &Form::img("x.txt", content));
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}

/// RTF, PDF, and compressed files.
fn others() -> Vec<Case> {
    let pdf = include_bytes!("../../media/page.pdf").as_slice();
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"a.txt");
    tar[100..107].copy_from_slice(b"0000644");
    tar[124..135].copy_from_slice(b"00000000000");
    tar[148..156].copy_from_slice(b"        ");
    tar[156] = b'0';
    tar[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let gzip = b"\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".as_slice();
    let mut cases = Vec::new();
    for (name, content, mime, extension) in [
        (
            "x.rtf",
            b"{\\rtf1\\ansi words}".as_slice(),
            "application/rtf",
            "rtf",
        ),
        ("x.txt", b"{\\rtf1\\ansi words}", "application/rtf", "rtf"),
        ("x.gz", gzip, "application/gzip", "gz"),
        ("x.tgz", gzip, "application/gzip", "tgz"),
        ("backup.tar.gz", gzip, "application/gzip", "gz"),
        ("x.tar", &tar, "application/x-tar", "tar"),
        (
            "x.xz",
            b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46\x02\0\x21\x01",
            "application/x-xz",
            "xz",
        ),
        (
            "x.bz2",
            b"BZh91AY&SY\x12\x34\x56\x78\0\0",
            "application/x-bzip2",
            "bz2",
        ),
        (
            "x.zst",
            b"\x28\xB5\x2F\xFD\x24\x01\x09\0\0a\x1D\x4A\x5B\xD6",
            "application/zstd",
            "zst",
        ),
        (
            "x.pdf",
            &joined(&[b"\0\xFF\x80 junk of a scanner\n", pdf]),
            "application/pdf",
            "pdf",
        ),
        (
            "x.pdf",
            &joined(&[b"\xEF\xBB\xBF\r\n", pdf]),
            "application/pdf",
            "pdf",
        ),
        (
            "x.pdf",
            &joined(&[&[b' '; 1000], pdf]),
            "application/pdf",
            "pdf",
        ),
    ] {
        cases.push(kept(
            &format!("other {} bytes", content.len()),
            name,
            content,
            mime,
            extension,
        ));
    }
    for (content, looks_like) in [
        (joined(&[b"<html>", pdf]), "HTML"),
        (joined(&[b" <script>", pdf]), "HTML"),
        (joined(&[b"\n<p>", pdf]), "markup"),
    ] {
        let name = format!("PDF behind {}", content[..9].escape_ascii());
        let case = Case::form(name, &Form::img("x.pdf", content));
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}

/// Names under which a bucket hands documents out: no byte of the client is there as it came.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, shown, saved_as) in [
        (
            "账单 1.md",
            "账单 1.md",
            "\"___1.md\"; filename*=UTF-8''%E8%B4%A6%E5%8D%95%201.md",
        ),
        (
            "a%22b;c.txt",
            "a\"b;c.txt",
            "\"a_b_c.txt\"; filename*=UTF-8''a%22b%3Bc.txt",
        ),
        (
            "x%0D%0ASet-Cookie: a.csv",
            "xSet-Cookie: a.csv",
            "\"xSet-Cookie__a.csv\"; filename*=UTF-8''xSet-Cookie%3A%20a.csv",
        ),
        (
            "../a\\b'(1)*.log",
            "b'(1)*.log",
            "\"b__1__.log\"; filename*=UTF-8''b%27%281%29%2A.log",
        ),
        (
            "😀.txt",
            "😀.txt",
            "\"_.txt\"; filename*=UTF-8''%F0%9F%98%80.txt",
        ),
        (
            "100%.txt",
            "100%.txt",
            "\"100_.txt\"; filename*=UTF-8''100%25.txt",
        ),
    ] {
        let (_, extension) = name.rsplit_once('.').unwrap();
        let mime = if extension == "csv" {
            "text/csv"
        } else {
            "text/plain"
        };
        let stored = Stored::new(&format!("document {mime} {extension}"), "# Rent");
        let stored = stored
            .named(shown)
            .saved_as(&format!("attachment; filename={saved_as}"));
        cases.push(
            Case::form(format!("saved as {name}"), &Form::img(name, "# Rent")).stores([stored]),
        );
    }
    cases
}
