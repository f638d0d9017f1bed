//! Section D: content that does not match the type of its name.

use crate::{
    drivers::{Case, Stored, rows, unescaped},
    support::{Form, PNG},
};

pub(super) fn cases() -> Vec<Case> {
    let names = ["x.png", "x.jpg", "x.mp4", "x.txt", ""].into_iter();
    let cases = names.map(|name| [refused(name), harmless(name)].concat());
    cases.flatten().collect()
}

fn sized(width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    [&PNG[..16], &width, &height, &PNG[24..]].concat()
}

/// A number, the bytes, and their apparent type.
fn refused(name: &str) -> Vec<Case> {
    let table = rows(
        r#"
        d43 | <!DOCTYPE html><script>alert(1)</script>  | HTML
        d43 | \xEF\xBB\xBF\s\n<html>                    | HTML
        d43 | <?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/> | XHTML
        d43 | <?xml version="1.0"?><feed/>              | XML
        d43 | <img src=x onerror=alert(1)>              | markup
        d43 | MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n | MHTML
        d43 | FWS\x0A\x10\0\0\0abcd                     | SWF
        d45 | <svg onload=alert(1)>                     | SVG
        d45 | <svg onload=alert(1)><script>alert(1)</script></svg> | SVG
        d45 | <?xml version="1.0"?><svg><foreignObject/></svg> | SVG
        d45 | <!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg> | SVG
        d45 | <!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><svg>&b;</svg> | SVG
        d46 | <?php system($_GET['x']);                 | PHP
        d46 | <%@ page import="java.io.*" %>            | server page
        d46 | MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF      | Windows program
        d46 | #!/bin/sh\nid\n                           | script
        d47 | \0                                        | unknown
        d47 | \xFF                                      | unknown
        d47 | \x01\x02\x03\x04                          | unknown
        d47 | \x89PNG\r\n\x1A\n                         | damaged PNG
        d47 | \xFF\xD8\xFF                              | damaged JPEG
        d51 | \xFF\xFF\xFF\xF0ftypheic\0\0\0\0mif1heic  | damaged HEIF
        d52 | \0\0\0\x04ftypisom\0\0\0\0isom            | damaged MP4
        d53 | ID3\x04\0\0\x7F\x7F\x7F\x7FTIT2           | damaged MP3
        d55 | #EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n | HLS playlist
        d55 | concat:http://127.0.0.1/\x7Cfile:///etc/passwd | ffmpeg playlist
        d55 | ffconcat version 1.0\nfile /etc/passwd\n  | ffmpeg playlist
        "#,
    );
    let table = table.map(|[number, content, looks_like]| (number, unescaped(content), looks_like));
    let elf = [b"\x7FELF\x02\x01\x01".as_slice(), &[0; 60]].concat();
    let apk = include_bytes!("../../media/tiny.apk");
    let jar = include_bytes!("../../media/tiny.jar");
    let contents = table.chain([
        ("d46", elf, "Linux program"),
        ("d46", apk.to_vec(), "APK"),
        ("d46", jar.to_vec(), "JAR"),
        ("d48 no width", sized(0, 10), "damaged PNG"),
        ("d48 2^31 high", sized(10, u32::MAX), "damaged PNG"),
        ("d49 no chunk", PNG[..12].to_vec(), "damaged PNG"),
    ]);
    let empty = Case::form(format!("d47 as {name}"), &Form::img("a.png", ""));
    let mut cases = vec![empty.refused("file_empty")];
    for (number, content, looks_like) in contents {
        let shown = content[..content.len().min(40)].escape_ascii();
        let form = Form::img(name, &content);
        let case = Case::form(format!("{number} {shown} as {name}"), &form);
        cases.push(case.refused(format!("type_refused {looks_like}")));
    }
    cases
}

/// Served as the image that its first bytes are, or as an attachment.
fn harmless(name: &str) -> Vec<Case> {
    let jpeg = include_bytes!("../../media/baseline.jpg").as_slice();
    let jpeg = [jpeg, b"<html><script>"].concat();
    let png_and_zip = [PNG, include_bytes!("../../media/photos.zip")].concat();
    // Its one entry claims to unpack to 4 GB.
    let bomb =
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\xFF\xFF\xFF\xFF\x05\0\0\0bomb1";
    let bomb = [bomb.as_slice(), &[0; 16]].concat();
    let docx =
        "document application/vnd.openxmlformats-officedocument.wordprocessingml.document docx";
    let text = "document text/plain txt";
    let comment = b"GIF89a/*\0\0\0\0\0!\xFE*/=1;alert(1)//";
    let large = sized(100_000, 100_000);
    let contents: [(&str, &[u8], &str); 7] = [
        (
            "d43 a script without marks",
            b"alert(document.cookie)",
            text,
        ),
        ("d44", comment, "image image/gif gif"),
        ("d44 JPEG and HTML", &jpeg, "image image/jpeg jpg"),
        ("d44 PNG and ZIP", &png_and_zip, "image image/png png"),
        ("d48 100,000 by 100,000", &large, "image image/png png"),
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
