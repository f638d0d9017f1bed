//! Section C: file names, none of which is part of a key, and folder names.

use crate::{
    drivers::{Case, Stored, rows, unescaped, unescaped_text},
    support::{FOLDER, Form, PNG, disposition},
};

pub(super) fn cases() -> Vec<Case> {
    [names(), folders()].concat()
}

/// C36 to C40, C42: a name between the quotes, and its display name.
fn names() -> Vec<Case> {
    let named = |number: &str, name: &[u8]| {
        let start = disposition("name=\"img\"; filename=\"");
        let form = Form::new().part([start.as_bytes(), name, b"\""].concat(), PNG);
        let shortened = name[..name.len().min(30)].escape_ascii();
        Case::form(format!("{number} {shortened}"), &form)
    };
    let shown = |number: &str, name: &[u8], shown: &str| {
        named(number, name).stores([Stored::png().named(shown)])
    };
    let mut cases = Vec::new();
    for [number, name, seen] in rows(
        r"
        c36 | ../../x.png          | x.png
        c36 | ..\\\\..\\\\x.png    | x.png
        c36 | ..\\x.png            | x.png
        c36 | /etc/passwd          | passwd
        c36 | C:\\fakepath\\x.png  | x.png
        c36 | %2e%2e%2fx.png       | %2e%2e%2fx.png
        c36 | %252e%252e%252fx.png | %252e%252e%252fx.png
        c36 | ..                   | ..
        c36 | x/                   |
        c37 | a\tb.png             | ab.png
        c37 | %0D%0Aa%22.png       | a\x22.png
        c37 | \xE2\x80\xAEgnp.exe  | gnp.exe
        c37 | \xE2\x81\xA6a\xE2\x81\xA9.png | a.png
        c37 | \xEF\xBB\xBFa.png    | a.png
        c37 | \xEF\xBB\xBF😀.png   | 😀.png
        c37 | 😀猫.png             | 😀猫.png
        c37 | \xC3\xA8.png         | è.png
        c37 | \xD5\xD5\xC6\xAC.png | 照片.png
        c37 | \xFF\xFE.png         | \xEF\xBF\xBD\xEF\xBF\xBD.png
        c38 | x.png\s              | x.png
        c38 | x.png%00.html        | x.png%00.html
        c38 | x.php;.png           | x.php;.png
        c38 | x.png::$DATA         | x.png::$DATA
        c38 | .htaccess            | .htaccess
        c38 | x.                   | x.
        c38 | x.png.html           | x.png.html
        c38 | x.html.png           | x.html.png
        c38 | x.PnG                | x.PnG
        c38 | CON.png              | CON.png
        c38 | .png                 | .png
        c38 | x.svg                | x.svg
        c38 | x.jpg                | x.jpg
        c39 |                      |
        c39 | x                    | x
        c39 | blob                 | blob
        c39 | file-1712345678901   | file-1712345678901
        c42 | a%0D%0ASet-Cookie: x=1 | aSet-Cookie: x=1
        c42 | a;filename=b         | a;filename=b
        ",
    ) {
        cases.push(shown(number, &unescaped(name), &unescaped_text(seen)));
    }
    let long = format!("x.{}", "e".repeat(300));
    for (number, name) in [
        ("c37", &*"x".repeat(4096)),
        ("c37", &*"图".repeat(1400)),
        ("c40", &long),
        ("c40", &*".".repeat(300)),
    ] {
        cases.push(shown(number, name.as_bytes(), &name[..255]));
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
    let bad = "_ a__b _a a_ .. .._.._x . a.b a/b a/ / a%2Fb %2f %2F ..%2F..%2Fx %5c %5C.. %2e%2e \
               a%20b a%00 a%00b %ff %FF %E5%9B%BE a_b_c_d_e_f a;x a+b";
    let bad = bad.split(' ').chain(["", &*level, &long, &many]);
    let bad = bad.map(|folder| to(folder).unread().refused("folder_invalid"));
    let good = ["chatImgs", "a_b", "A-1_2_3_4_5", "%63hat"];
    bad.chain(good.map(to)).collect()
}
