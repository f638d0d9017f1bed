//! `docs/openapi.yaml` describes all routes, with their methods, and all failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    path::Path,
};

use crate::{readme::failures_of_the_program, security::source_below, support::assert_same};

const OPENAPI: &str = include_str!("../../docs/openapi.yaml");
/// The path of files in the store; the fallback of the route table.
const FILES: &str = "/{}";

#[test]
fn it_is_of_this_version() {
    let version = format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(OPENAPI.contains(&version), "{version}");
}

#[test]
fn it_names_the_routes_of_the_program_and_no_others() {
    let described = operations().into_keys();
    let described = described.map(|(path, method)| (without_names(&path), method));
    let mut described: BTreeSet<_> = described.collect();
    let count = described.len();
    described.retain(|(path, _)| path != FILES);
    assert!(described.len() < count, "{FILES} is missing");
    let routes = routes_of_the_program().into_iter();
    let routes = routes.flat_map(|(path, methods)| iter::repeat(path).zip(methods));
    let routes = routes.collect();
    assert_same(("docs/openapi.yaml", &described), ("src/api", &routes));
}

#[test]
fn it_names_the_failures_of_the_program_and_no_others() {
    let codes = codes();
    let mut described = BTreeSet::new();
    for ((path, method), answers) in operations() {
        for (status, response) in answers {
            let of_response = codes.get(&response).cloned().unwrap_or_default();
            let is_failure = status.as_str() >= "400";
            let has_codes = !of_response.is_empty();
            assert_eq!(is_failure, has_codes, "{method} {path} {status}");
            described.extend(of_response.into_iter().map(|code| (status.clone(), code)));
        }
    }
    assert_same(
        ("docs/openapi.yaml", &described),
        ("src/api/error.rs", &failures_of_the_program()),
    );
}

/// Returns path and method → status → name of the shared response, for those that have one.
fn operations() -> BTreeMap<(String, String), BTreeMap<String, String>> {
    let mut found: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let (mut path, mut method) = (String::new(), String::new());
    for line in section("paths:") {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        match (indent, line.strip_suffix(':')) {
            (2, Some(named)) => path = named.to_owned(),
            (4, Some(named)) if named != "parameters" => method = named.to_owned(),
            (8, None) => {
                if let Some((status, response)) =
                    line.split_once(": { $ref: '#/components/responses/")
                {
                    let response = response.split('\'').next().unwrap().to_owned();
                    let status = status.trim_matches('\'').to_owned();
                    let answers = found.entry((path.clone(), method.clone())).or_default();
                    answers.insert(status, response);
                }
            }
            _ => {}
        }
    }
    found
}

/// Returns the name of a shared response → its possible codes.
fn codes() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut response = String::new();
    for line in section("  responses:") {
        let named = line
            .strip_prefix("    ")
            .and_then(|line| line.strip_suffix(':'));
        if let Some(name) = named.filter(|name| !name.starts_with(' ')) {
            response = name.to_owned();
        } else if let Some(codes) = line.trim().strip_prefix("code: { enum: [") {
            let codes = codes.split(']').next().unwrap().split(", ");
            let of_response = found.entry(response.clone()).or_default();
            of_response.extend(codes.map(str::to_owned));
        }
    }
    found
}

/// Returns the lines after `head` with more indentation.
fn section(head: &str) -> impl Iterator<Item = &'static str> {
    let indent = head.len() - head.trim_start().len();
    let mut lines = OPENAPI.lines();
    assert!(lines.any(|line| line == head), "{head}");
    lines.take_while(move |line| {
        line.is_empty() || line.len() - line.trim_start().len() > indent || line.starts_with('#')
    })
}

/// `/s3/multipart/{uploadId}` → `/s3/multipart/{}`.
pub(crate) fn without_names(path: &str) -> String {
    let pieces = path.split('{').map(|piece| match piece.split_once('}') {
        Some((_, rest)) => format!("{{}}{rest}"),
        None => piece.to_owned(),
    });
    pieces.collect()
}

/// Returns path → methods, from the calls of `.route(path, methods)` in `src/api`.
pub(crate) fn routes_of_the_program() -> BTreeMap<String, BTreeSet<String>> {
    let sources = source_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in sources.split(".route(").skip(1) {
        let (path, rest) = call.split_once(',').unwrap();
        let path = match path.trim().strip_prefix('"') {
            Some(literal) => literal.trim_end_matches('"').to_owned(),
            None => constant(&sources, path.trim()),
        };
        // It has no folder, and only answers that.
        if path.ends_with('/') && path != "/" {
            continue;
        }
        let handlers = &rest[..closing_parenthesis(rest)];
        let methods = ["get", "post", "delete"].into_iter();
        let methods = methods.filter(|method| handlers.contains(&format!("{method}(")));
        let of_path = found.entry(without_names(&path)).or_default();
        of_path.extend(methods.map(str::to_owned));
    }
    found
}

/// Returns the text of `const NAME: &str`, with or without its module.
fn constant(sources: &str, name: &str) -> String {
    let name = name.rsplit(':').next().unwrap();
    let (_, rest) = sources
        .split_once(&format!("const {name}: &str = \""))
        .unwrap_or_else(|| panic!("no constant {name}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Returns the end of the call that contains `text`.
fn closing_parenthesis(text: &str) -> usize {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    end.expect("a call has an end")
}
