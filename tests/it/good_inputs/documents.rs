//! Documents: compound files, archives, texts, and their names in a bucket's Content-Disposition.

use crate::{
    builders::{compound, joined, zip, zip_with},
    drivers::{Case, Driver::Lambda, Stored, rows, unescaped},
};

use super::{attachment, file};

/// Extension and Content-Type of zip-based documents: office files, then others.
const OFFICE: &str = "
    docx | application/vnd.openxmlformats-officedocument.wordprocessingml.document
    docm | application/vnd.ms-word.document.macroEnabled.12
    dotx | application/vnd.openxmlformats-officedocument.wordprocessingml.template
    dotm | application/vnd.ms-word.template.macroEnabled.12
    xlsx | application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
    xlsm | application/vnd.ms-excel.sheet.macroEnabled.12
    xltx | application/vnd.openxmlformats-officedocument.spreadsheetml.template
    xltm | application/vnd.ms-excel.template.macroEnabled.12
    pptx | application/vnd.openxmlformats-officedocument.presentationml.presentation
    pptm | application/vnd.ms-powerpoint.presentation.macroEnabled.12
    ppsx | application/vnd.openxmlformats-officedocument.presentationml.slideshow
    ppsm | application/vnd.ms-powerpoint.slideshow.macroEnabled.12
    potx | application/vnd.openxmlformats-officedocument.presentationml.template
    potm | application/vnd.ms-powerpoint.template.macroEnabled.12";
const ZIPPED: &str = "
    odt | application/vnd.oasis.opendocument.text
    ods | application/vnd.oasis.opendocument.spreadsheet
    odp | application/vnd.oasis.opendocument.presentation
    ofd | application/ofd
    xmind | application/vnd.xmind.workbook
    vsdx | application/vnd.ms-visio.drawing
    pages | application/vnd.apple.pages
    numbers | application/vnd.apple.numbers
    key | application/vnd.apple.keynote
    epub | application/epub+zip
    kmz | application/vnd.google-earth.kmz
    sketch | application/zip
    zip | application/zip";

pub(super) fn cases() -> Vec<Case> {
    [compounds(), archives(), texts(), others(), names()].concat()
}

/// A document with this name, which must keep this extension and be saved under its name.
fn kept(number: &str, name: &str, content: &[u8], mime: &str, extension: &str) -> Case {
    let stored = Stored::new(&format!("document {mime} {extension}"), content.to_vec());
    let about = format!("{number} {name} of {} bytes is {extension}", content.len());
    let stored = stored.saved_as(&attachment(name)).named(name);
    file(about, name, content).stores([stored])
}

/// Compound files with the directory at the end, as LibreOffice and WPS write them: size, the identifying
/// stream, name, and the expected type.
fn compounds() -> Vec<Case> {
    let ending = |bytes: u32, stream: &str| compound(bytes / 512, [0; 16], stream);
    let mut cases = Vec::new();
    for [bytes, stream, name, mime, extension] in rows(
        "
        3000000 | WordDocument        |             | msword            | doc
        3000000 | Workbook            | blob        | vnd.ms-excel      | xls
        40000   | Book                | file-171234 | vnd.ms-excel      | xls
        3000000 | PowerPoint Document |             | vnd.ms-powerpoint | ppt
        3000000 | WordDocument        | letter.wps  | wps-office.wps    | wps
        40000   | WordDocument        | letter.dot  | msword            | dot
        40000   | Workbook            | table.et    | wps-office.et     | et
        40000   | Workbook            | table.xlt   | vnd.ms-excel      | xlt
        3000000 | PowerPoint Document | talk.pps    | vnd.ms-powerpoint | pps
        40000   | PowerPoint Document | talk.dps    | wps-office.dps    | dps
        40000   | PowerPoint Document | talk.pot    | vnd.ms-powerpoint | pot
        40000   | Workbook            | letter.doc  | vnd.ms-excel      | xls
        3000000 | PowerPoint Document | letter.png  | vnd.ms-powerpoint | ppt
        40000   | EncryptedPackage    | secret.docx | vnd.openxmlformats-officedocument.wordprocessingml.document | docx
        40000   | EncryptedPackage    | secret.xlsx | vnd.openxmlformats-officedocument.spreadsheetml.sheet | xlsx
        3000000 | EncryptedPackage    | secret.pptx | vnd.openxmlformats-officedocument.presentationml.presentation | pptx
        40000   | EncryptedPackage    | secret.xlsm | vnd.ms-excel.sheet.macroEnabled.12 | xlsm
        40000   | EncryptedPackage    | secret      | vnd.openxmlformats-officedocument.wordprocessingml.document | docx
        9000000 | Workbook            | big.ppt     | vnd.ms-powerpoint | ppt
        9000000 | Workbook            | big.et      | wps-office.et     | et
        9000000 | Workbook            | blob        | msword            | doc
        ",
    ) {
        let content = ending(bytes.parse().unwrap(), stream);
        let mime = format!("application/{mime}");
        let case = kept(&format!("compound {stream}"), name, &content, &mime, extension);
        cases.push(match bytes {
            // Too long to be buffered: by its name, else the default.
            "9000000" => case.not_on(Lambda, "an event has at most 6 MB"),
            _ => case,
        });
    }
    let class = b"\x84\x10\x0C\0\0\0\0\0\xC0\0\0\0\0\0\0\x46";
    let installer = compound(3_000_000 / 512, *class, "x");
    let header = ending(40_000, "Workbook")[..100].to_vec();
    for (name, content, looks_like) in [
        ("setup.msi", &installer, "Windows installer"),
        ("setup.doc", &installer, "Windows installer"),
        ("", &installer, "Windows installer"),
        ("a.xls", &header, "OLE file"),
    ] {
        cases.push(refused("compound", name, content, looks_like));
    }
    cases
}

fn refused(number: &str, name: &str, content: &[u8], looks_like: &str) -> Case {
    let shown = content[..content.len().min(40)].escape_ascii();
    let case = file(format!("{number} {shown} as {name:?}"), name, content);
    case.refused(format!("type_refused {looks_like}"))
}

/// Zips keep a suitable extension, whatever their first entry is.
fn archives() -> Vec<Case> {
    let plain = zip(&["mimetype", "content.xml"]);
    let mut cases = Vec::new();
    for [extension, mime] in rows(ZIPPED) {
        let name = format!("x.{extension}");
        cases.push(kept("zip", &name, &plain, mime, extension));
    }
    for [extension, mime] in rows(OFFICE) {
        let folder = match extension.as_bytes()[0] {
            b'd' => "word/document.xml",
            b'x' => "xl/workbook.xml",
            _ => "ppt/presentation.xml",
        };
        // A large first entry, so that the folder's name is after the head.
        let image = vec![0x55; 60_000];
        let large = zip_with(&[("docProps/thumbnail.jpeg", &image), (folder, b"data")]);
        let small = zip(&["[Content_Types].xml", "_rels/.rels", folder]);
        let name = format!("x.{extension}");
        for (number, content) in [("office", small), ("office, a large first entry", large)] {
            cases.push(kept(number, &name, &content, mime, extension));
        }
    }
    // Archives within archives are not inspected; a program itself is refused.
    let apk = include_bytes!("../../media/tiny.apk").as_slice();
    let jar = include_bytes!("../../media/tiny.jar").as_slice();
    let nested = zip_with(&[("readme.txt", b"text"), ("app.apk", apk)]);
    let text = "vnd.oasis.opendocument.text";
    for (content, name, mime, extension) in [
        (joined(&[b"PK00", &plain]), "x.zip", "zip", "zip"),
        (joined(&[b"PK\x07\x08", &plain]), "x.zip", "zip", "zip"),
        (joined(&[b"PK00", &plain]), "x.odt", text, "odt"),
        (plain, "x.html", "zip", "zip"),
        (nested, "x.zip", "zip", "zip"),
    ] {
        let mime = format!("application/{mime}");
        cases.push(kept("zip", name, &content, &mime, extension));
    }
    for (name, content, looks_like) in [
        ("app.zip", apk, "APK"),
        ("app.docx", apk, "APK"),
        ("x.zip", jar, "JAR"),
    ] {
        cases.push(refused("zip", name, content, looks_like));
    }
    cases
}

/// Text is detected by its start only.
fn texts() -> Vec<Case> {
    let words = b"a,b\n1,2\n".as_slice();
    let mut cases = vec![kept("text", "x.csv", words, "text/csv", "csv")];
    for extension in "txt md json log srt vcf ics lrc eml sql yaml yml tsv".split(' ') {
        let name = format!("x.{extension}");
        cases.push(kept("text", &name, words, "text/plain", extension));
    }
    let far = vec![b'a'; 40_000];
    let page = r"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n";
    let short = rows(
        r"
        x.txt  | \xC4\xE3\xBA\xC3 | txt
        x.txt  | \xFF\xFEh\0i\0 | txt
        x.txt  | \xFE\xFF\0h\0i | txt
        x.txt  | \xEF\xBB\xBF你好，世界 | txt
        x.txt  | 你\xE5\xA5 | txt
        x.txt  | \x0B\x0C\r\n\x1A | txt
        x.md   | <3 and <- and < b | md
        x.js   | a,b\n1,2\n | txt
        x.html | a,b\n1,2\n | txt
        ",
    )
    .map(|[name, content, extension]| (name, unescaped(content), extension));
    let hello = "你好".as_bytes();
    let script = joined(&[&far, b"<script>alert(1)</script>"]);
    // Everything after the start is stored unchecked.
    let long = [
        ("x.log", "你".repeat(16 * 1024 / 3 + 10).into_bytes(), "log"),
        ("x.log", joined(&[&far, b"\0\x07"]), "log"),
        ("x.txt", script, "txt"),
        ("x.txt", joined(&[hello, &far, b"\xC4\xE3\xBA\xC3"]), "txt"),
        ("letter.eml", unescaped(page), "eml"),
    ];
    for (name, content, extension) in short.chain(long) {
        cases.push(kept("text", name, &content, "text/plain", extension));
    }
    for [content, looks_like] in rows(
        r"
        <html> | HTML
        \xEF\xBB\xBF\s\n<!DOCTYPE html> | HTML
        <!-- x --> | markup
        </p> | markup
        <% x %> | server page
        <?php x | PHP
        #!/bin/sh | script
        \xFF\xFE<\0h\0t\0m\0l\0>\0 | HTML
        \xFE\xFF\0#\0!\0/ | script
        a\0b | unknown
        bell \x07 | unknown
        ",
    ) {
        cases.push(refused("text", "x.txt", &unescaped(content), looks_like));
    }
    cases.push(refused("text", "x.txt", &unescaped(page), "MHTML"));
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
    let short = rows(
        r"
        x.rtf         | {\\rtf1\\ansi words} | rtf | rtf
        x.txt         | {\\rtf1\\ansi words} | rtf | rtf
        x.gz          | \x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0 | gzip | gz
        x.tgz         | \x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0 | gzip | tgz
        backup.tar.gz | \x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0 | gzip | gz
        x.xz          | \xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46\x02\0\x21\x01 | x-xz | xz
        x.bz2         | BZh91AY&SY\x12\x34\x56\x78\0\0 | x-bzip2 | bz2
        x.zst         | \x28\xB5\x2F\xFD\x24\x01\x09\0\0a\x1D\x4A\x5B\xD6 | zstd | zst
        ",
    );
    let short = short.map(|[name, content, mime, end]| (name, unescaped(content), mime, end));
    let tar = [("x.tar", tar, "x-tar", "tar")];
    let spaces = [b' '; 1024];
    let scanner = b"\0\xFF\x80 a scanner\n".as_slice();
    let before = [scanner, b"\xEF\xBB\xBF\r\n", &spaces[..1000], &spaces];
    let pdfs = before.map(|before| ("x.pdf", joined(&[before, pdf]), "pdf", "pdf"));
    let mut cases = Vec::new();
    for (name, content, mime, extension) in short.chain(tar).chain(pdfs) {
        let mime = format!("application/{mime}");
        cases.push(kept("other", name, &content, &mime, extension));
    }
    for (before, looks_like) in [
        ("<html>", "HTML"),
        (" <script>", "HTML"),
        ("\n<p>", "markup"),
    ] {
        let content = joined(&[before.as_bytes(), pdf]);
        cases.push(refused("PDF behind", "x.pdf", &content, looks_like));
    }
    cases
}

/// Names in a bucket's Content-Disposition: no byte of the client is unescaped.
fn names() -> Vec<Case> {
    let mut cases = Vec::new();
    for [name, shown, fallback, encoded] in rows(
        r#"
        账单 1.md                 | 账单 1.md          | ___1.md            | %E8%B4%A6%E5%8D%95%201.md
        a%22b;c.txt               | a"b;c.txt          | a_b_c.txt          | a%22b%3Bc.txt
        x%0D%0ASet-Cookie: a.csv  | xSet-Cookie: a.csv | xSet-Cookie__a.csv | xSet-Cookie%3A%20a.csv
        ../a\b'(1)*.log           | b'(1)*.log         | b__1__.log         | b%27%281%29%2A.log
        😀.txt                    | 😀.txt             | _.txt              | %F0%9F%98%80.txt
        100%.txt                  | 100%.txt           | 100_.txt           | 100%25.txt
        "#,
    ) {
        let (_, extension) = name.rsplit_once('.').unwrap();
        let mime = if extension == "csv" { "csv" } else { "plain" };
        let saved_as = format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}");
        let stored = Stored::new(&format!("document text/{mime} {extension}"), "# Rent");
        let case = file(format!("saved as {name}"), name, "# Rent");
        cases.push(case.stores([stored.named(shown).saved_as(&saved_as)]));
    }
    cases
}
