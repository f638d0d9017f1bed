//! Section C: names of files, none of which is part of a key, and folders that a caller names.

use super::FOLDER;
use crate::{
    drivers::{Case, Stored},
    support::{Form, PNG},
};

pub(super) fn cases() -> Vec<Case> {
    [names(), folders()].concat()
}

/// C36 to C40, C42: a name as it stands between the quotes, and as it is shown.
fn names() -> Vec<Case> {
    let (many, dots) = ("x".repeat(4096), ".".repeat(300));
    let wide = "图".repeat(1400);
    let long = format!("x.{}", "e".repeat(300));
    let shown: [(&str, &[u8], &str); 35] = [
        ("c36", b"../../x.png", "x.png"),
        ("c36", b"..\\\\..\\\\x.png", "x.png"),
        ("c36", b"..\\x.png", "x.png"),
        ("c36", b"/etc/passwd", "passwd"),
        ("c36", b"C:\\fakepath\\x.png", "x.png"),
        ("c36", b"%2e%2e%2fx.png", "%2e%2e%2fx.png"),
        ("c36", b"%252e%252e%252fx.png", "%252e%252e%252fx.png"),
        ("c36", b"..", ".."),
        ("c36", b"x/", ""),
        ("c37", b"a\tb.png", "ab.png"),
        ("c37", b"%0D%0Aa%22.png", "a\".png"),
        ("c37", "\u{202E}gnp.exe".as_bytes(), "gnp.exe"),
        ("c37", "\u{2066}a\u{2069}.png".as_bytes(), "a.png"),
        ("c37", "\u{FEFF}a.png".as_bytes(), "a.png"),
        ("c37", "\u{FEFF}😀.png".as_bytes(), "😀.png"),
        ("c37", "😀猫.png".as_bytes(), "😀猫.png"),
        ("c37", b"\xC3\xA8.png", "è.png"),
        ("c37", b"\xD5\xD5\xC6\xAC.png", "照片.png"),
        ("c37", b"\xFF\xFE.png", "\u{FFFD}\u{FFFD}.png"),
        ("c37", many.as_bytes(), &many[..255]),
        ("c37", wide.as_bytes(), &wide[..255]),
        ("c38", b"x.png ", "x.png"),
        ("c40", long.as_bytes(), &long[..255]),
        ("c40", dots.as_bytes(), &dots[..255]),
        ("c42", b"a%0D%0ASet-Cookie: x=1", "aSet-Cookie: x=1"),
        ("c42", b"a;filename=b", "a;filename=b"),
        ("c39", b"", ""),
        ("c39", b"x", "x"),
        ("c39", b"blob", "blob"),
        ("c39", b"file-1712345678901", "file-1712345678901"),
        ("c38", b"x.png%00.html", "x.png%00.html"),
        ("c38", b"x.php;.png", "x.php;.png"),
        ("c38", b"x.png::$DATA", "x.png::$DATA"),
        ("c38", b".htaccess", ".htaccess"),
        ("c38", b"x.", "x."),
    ];
    let named = |number: &str, name: &[u8]| {
        let start = b"Content-Disposition: form-data; name=\"img\"; filename=\"".as_slice();
        let form = Form::new().part([start, name, b"\""].concat(), PNG);
        Case::form(
            format!("{number} {:.30}", String::from_utf8_lossy(name)),
            &form,
        )
    };
    let mut cases = Vec::new();
    for (number, name, shown) in shown {
        cases.push(named(number, name).stores([Stored::png().named(shown)]));
    }
    for name in [
        "x.png.html",
        "x.html.png",
        "x.PnG",
        "CON.png",
        ".png",
        "x.svg",
        "x.jpg",
    ] {
        cases.push(named("c38", name.as_bytes()).stores([Stored::png().named(name)]));
    }
    for name in [
        "a\0b.png",
        "a\nb.png",
        "a\r\nb.png",
        "a\rb.png",
        "a\x7fb.png",
    ] {
        let failure = "body_malformed part 1: its headers cannot be read";
        cases.push(named("c37", name.as_bytes()).refused(failure));
    }
    let pdf = include_bytes!("../../media/page.pdf").as_slice();
    let form = Form::img("a%0D%0ASet-Cookie: x=1%0D%0A.pdf", pdf);
    let stored = Stored::new("document application/pdf pdf", pdf).named("aSet-Cookie: x=1.pdf");
    let saved_as = "attachment; filename=\"aSet-Cookie__x_1.pdf\"; \
                    filename*=UTF-8''aSet-Cookie%3A%20x%3D1.pdf";
    cases.push(Case::form("c42 of a document", &form).stores([stored.saved_as(saved_as)]));
    cases
}

/// C41: folders.
fn folders() -> Vec<Case> {
    let form = Form::new().file("file", "a.png", PNG);
    let to = |folder: &str| {
        Case::form(format!("c41 folder {folder:.30}"), &form).to(format!("{FOLDER}{folder}"))
    };
    let (level, long, many) = ("x".repeat(65), "x".repeat(1024), "_".repeat(1024));
    let bad = [
        "",
        "_",
        "a__b",
        "_a",
        "a_",
        "..",
        ".._.._x",
        ".",
        "a.b",
        "a/b",
        "a/",
        "/",
        "a%2Fb",
        "%2f",
        "%2F",
        "..%2F..%2Fx",
        "%5c",
        "%5C..",
        "%2e%2e",
        "a%20b",
        "a%00",
        "a%00b",
        "%ff",
        "%FF",
        "%E5%9B%BE",
        "a_b_c_d_e_f",
        "a;x",
        "a+b",
        &level,
        &long,
        &many,
    ];
    let bad = bad
        .into_iter()
        .map(|folder| to(folder).unread().refused("folder_invalid"));
    let good = ["chatImgs", "a_b", "A-1_2_3_4_5", "%63hat"];
    bad.chain(good.map(to)).collect()
}
