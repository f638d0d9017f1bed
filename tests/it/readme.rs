//! README in both languages: documents every variable, failure and route, and is equal in
//! both.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use chat_upload::config;

use crate::{
    openapi::{routes_of_the_program, without_names},
    support::assert_same,
};

const ENGLISH: &str = include_str!("../../README.md");
const CHINESE: &str = include_str!("../../README.zh-CN.md");
const BOTH: [(&str, &str); 2] = [("README.md", ENGLISH), ("README.zh-CN.md", CHINESE)];
/// Modules that read variables; `vars.rs` only lists their names.
const CONFIG: [&str; 2] = [
    include_str!("../../src/config/bucket.rs"),
    include_str!("../../src/config/mod.rs"),
];
const FORMATS: &str = include_str!("../../src/upload/media/format.rs");
const ERRORS: &str = include_str!("../../src/api/error.rs");

#[test]
fn the_tables_name_the_variables_that_are_read_and_no_others() {
    let read = variables_that_are_read();
    for (name, readme) in BOTH {
        let named: BTreeSet<_> = defaults(readme).into_keys().collect();
        assert_same((name, &named), ("src/config", &read));
    }
}

#[test]
fn a_variable_that_is_read_is_known_as_one() {
    let read = variables_that_are_read();
    let ours = read.iter().map(String::as_str);
    let ours = ours.filter(|name| name.starts_with("UPLOAD_")).collect();
    let known = config::VARIABLES.iter().copied().collect();
    let place = "VARIABLES of src/config/vars.rs";
    assert_same((place, &known), ("the other files of src/config", &ours));
}

#[test]
fn the_tables_name_the_same_defaults() {
    let all = |readme| defaults(readme).into_iter().collect();
    let [english, chinese] = [ENGLISH, CHINESE].map(all);
    assert_same(("README.md", &english), ("README.zh-CN.md", &chinese));
}

#[test]
fn the_tables_name_every_failure_with_its_status() {
    let answered = failures_of_the_program();
    let known = ("413".into(), "too_large".into());
    assert!(answered.contains(&known), "{answered:?}");
    for (name, readme) in BOTH {
        let named = failures_of_the_table(readme);
        assert_same((name, &named), ("src/api/error.rs", &answered));
    }
}

/// Paths that clients get in a response and never build themselves.
const RETURNED_PATHS: [&str; 2] = ["/api/chat/uploadPending", "/f/{}/{}"];

#[test]
fn the_tables_name_every_route() {
    for (name, readme) in BOTH {
        let named: Vec<_> = rows(readme)
            .flat_map(|row| quoted(row[0]).collect::<Vec<_>>())
            .map(|route| match route.split_once(" /") {
                Some((_, path)) => format!("/{path}"),
                None => route,
            })
            .map(|path| path.replace('<', "{").replace('>', "}"))
            .collect();
        let is_named = |path: &String| {
            named.iter().any(|route| match route.strip_suffix('…') {
                Some(beginning) => path.starts_with(beginning),
                None => without_names(route) == *path,
            })
        };
        let routes = routes_of_the_program().into_keys();
        let missing: Vec<_> = routes
            .filter(|path| !RETURNED_PATHS.contains(&&**path) && !is_named(path))
            .collect();
        assert!(missing.is_empty(), "missing in {name}: {missing:?}");
        let routes = routes_of_the_program();
        // Any other path is the key of a file.
        let is_route =
            |path: &&String| path.starts_with('/') && !path.ends_with('…') && *path != "/{key}";
        let unknown = named.iter().filter(is_route);
        let unknown: Vec<_> = unknown
            .filter(|path| !routes.contains_key(&without_names(path)))
            .collect();
        assert!(
            unknown.is_empty(),
            "{name} names no routes of the program: {unknown:?}"
        );
    }
}

/// Extensions that are another spelling of a format in the table, or its audio-only variant.
const OTHER_SPELLINGS: [(&str, &str); 6] = [
    ("jpg", "jpeg"),
    ("hif", "heif"),
    ("oga", "ogg"),
    ("3ga", "3gp"),
    ("weba", "webm"),
    ("mka", "mkv"),
];

#[test]
fn the_tables_name_every_format_and_every_extension_that_is_kept() {
    for readme in [ENGLISH, CHINESE] {
        let formats = |kind: &str| -> BTreeSet<String> {
            let kind = format!("`{kind}`");
            let cell = rows(readme).find(|row| row[0] == kind).unwrap()[1];
            let words = cell.split(|c: char| !c.is_ascii_alphanumeric());
            words.map(str::to_ascii_lowercase).collect()
        };
        for kind in ["image", "video", "audio"] {
            let known = extensions(kind);
            let mut named = formats(kind);
            for name in ["", "vorbis", "speex"] {
                named.remove(name);
            }
            assert!(named.is_subset(&known), "{kind}: {named:?} of {known:?}");
            let films = formats("video");
            let is_named = |extension: &String| {
                let other = OTHER_SPELLINGS.iter().find(|(other, _)| other == extension);
                let name = other.map_or(&**extension, |(_, name)| name);
                named.contains(name) || other.is_some() && films.contains(name)
            };
            let are_named = known.iter().all(is_named);
            assert!(are_named, "{kind}: {known:?}, not {named:?}");
        }
        // Text has an extension and no name.
        let start = readme.find("`doc dot wps`").unwrap();
        let kept = readme[start..].split("\n\n").next().unwrap();
        let kept = quoted(kept).collect::<Vec<_>>().join(" ");
        let kept: BTreeSet<_> = kept.split(' ').map(str::to_owned).collect();
        let documents = extensions("document");
        assert!(kept.is_subset(&documents), "{kept:?} of {documents:?}");
        let mut named = formats("document");
        named.insert("txt".to_owned());
        let left_out = &documents - &(&kept | &named);
        assert!(left_out.is_empty(), "{left_out:?}");
    }
}

/// Returns the extensions of a kind, from rows like `("image/jpeg", &["jpg", "jpeg"])` of `TYPES`.
fn extensions(kind: &str) -> BTreeSet<String> {
    let (_, table) = FORMATS.split_once("const TYPES").unwrap();
    let (table, _) = table.split_once("];").unwrap();
    let is_of_kind = |mime: &str| match mime.split_once('/') {
        Some(("application" | "text", _)) => kind == "document",
        start => start.is_some_and(|(start, _)| start == kind),
    };
    let rows = table.split(']').filter_map(|row| {
        let mut texts = row.split('"').skip(1).step_by(2);
        is_of_kind(texts.next()?).then_some(texts)
    });
    let found: BTreeSet<_> = rows.flatten().map(str::to_owned).collect();
    assert!(found.len() > 5, "{found:?}");
    found
}

#[test]
fn both_languages_have_the_same_sections() {
    let levels = |readme| -> Vec<_> {
        outside_of_code(readme)
            .filter_map(|line| Some(line.split_once("# ")?.0.len()))
            .collect()
    };
    assert_eq!(levels(ENGLISH), levels(CHINESE));
}

#[test]
fn both_languages_have_the_same_code() {
    let english = code_blocks(ENGLISH);
    assert!(english.len() > 4, "{english:?}");
    assert_eq!(english, code_blocks(CHINESE));
}

#[test]
fn the_demo_uploads_with_the_code_of_the_readme() {
    let demo = include_str!("../../examples/uni-app/src/pages/plain/upload.js");
    assert!(ENGLISH.contains(&format!("```js\n{demo}```")), "{demo}");
}

#[test]
fn the_figures_are_those_of_performance_md() {
    let measured = figures(include_str!("../../docs/PERFORMANCE.md"), |_| true);
    for (name, readme) in BOTH {
        let readme = readme.replace("毫秒", "ms");
        // Other sizes are limits.
        let named = figures(&readme, |line| {
            line.contains("RSS") || !line.contains("MiB")
        });
        assert!(named.len() > 5, "{name}: {named:?}");
        let unknown: Vec<_> = named.difference(&measured).collect();
        assert!(unknown.is_empty(), "not in PERFORMANCE.md: {unknown:?}");
    }
}

/// Returns durations, rates and memory sizes with their units, in some lines of a text.
fn figures(text: &str, is_looked_at: fn(&str) -> bool) -> BTreeSet<String> {
    let is_no_digit = |c: char| !c.is_ascii_digit() && c != '.';
    let mut figures = BTreeSet::new();
    for line in text.lines().filter(|line| is_looked_at(line)) {
        for unit in [" ms", " µs", " s/GB", " MiB"] {
            for (at, _) in line.match_indices(unit) {
                let number = line[..at].rsplit(is_no_digit).next().unwrap_or_default();
                if !number.is_empty() {
                    figures.insert(format!("{number}{unit}"));
                }
            }
        }
    }
    figures
}

fn variables_that_are_read() -> BTreeSet<String> {
    let texts = CONFIG.into_iter().flat_map(literals);
    let read: BTreeSet<_> = texts.filter(|text| is_variable(text)).collect();
    assert!(read.contains("UPLOAD_STORE"), "{read:?}");
    read
}

/// Returns every string literal of a source file before its tests.
fn literals(source: &str) -> Vec<String> {
    let program = source.split("#[cfg(test)]").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: Vec<_> = program.lines().filter(is_code).collect();
    let code = code.join("\n");
    assert!(!code.contains("\\\""), "an escaped quote: count otherwise");
    odd_pieces(&code, "\"").collect()
}

fn is_variable(text: &str) -> bool {
    let shouted = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.contains('_') && text.chars().all(shouted)
}

/// Returns every second piece between these marks.
fn odd_pieces(text: &str, mark: &str) -> impl Iterator<Item = String> {
    text.split(mark).skip(1).step_by(2).map(str::to_owned)
}

/// Returns the texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    odd_pieces(text, "`")
}

fn outside_of_code(readme: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    readme.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the cells of every table row.
fn rows(readme: &str) -> impl Iterator<Item = Vec<&str>> {
    outside_of_code(readme)
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(str::trim).collect())
}

/// Returns variable → defaults quoted in its row.
fn defaults(readme: &str) -> BTreeMap<String, Vec<String>> {
    let variables = rows(readme).filter_map(|row| {
        let named: Vec<_> = quoted(row[0]).filter(|text| is_variable(text)).collect();
        let default: Vec<_> = quoted(row.get(1)?).collect();
        Some(named.into_iter().map(move |name| (name, default.clone())))
    });
    variables.flatten().collect()
}

/// Returns status and code, from `row(status, code, text)`.
pub(crate) fn failures_of_the_program() -> BTreeSet<(String, String)> {
    let program = ERRORS.split("#[cfg(test)]").next().unwrap();
    let calls = program.split("row(").skip(1).filter_map(|call| {
        let (status, rest) = call.split_once(',')?;
        let code = rest.split('"').nth(1)?;
        Some((status_of(status.trim())?, code.to_owned()))
    });
    calls.collect()
}

/// Returns status and codes in a README's rows.
fn failures_of_the_table(readme: &str) -> BTreeSet<(String, String)> {
    let failures = rows(readme).filter_map(|row| {
        let codes: Vec<_> = quoted(row.get(1)?).collect();
        Some(iter::repeat(status_of(row[0])?).zip(codes))
    });
    failures.flatten().collect()
}

/// Parses a text that is a status.
fn status_of(text: &str) -> Option<String> {
    let is_status = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_status.then(|| text.to_owned())
}

/// Returns language and text of every fenced block.
fn code_blocks(readme: &str) -> Vec<String> {
    odd_pieces(readme, "\n```").collect()
}
