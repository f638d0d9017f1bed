//! `SECURITY.md` names tests and numbers of the list of bad inputs; each of them must exist.

use std::{fs, path::Path};

use crate::bad_inputs;

const PAGE: &str = include_str!("../../SECURITY.md");

/// Returns all source files below a folder, joined.
pub(crate) fn source_below(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &source_below(&path);
        } else if path.extension().is_some_and(|it| it == "rs" || it == "py") {
            all += &fs::read_to_string(path).unwrap();
        }
    }
    all
}

#[test]
fn every_test_that_the_threat_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "tests", "scripts"].map(|folder| source_below(&root.join(folder)));
    let source = sources.concat();
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names: Vec<_> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains(' '))
        .collect();
    assert!(names.len() > 40, "{names:?}");
    let cases = bad_inputs::cases();
    for name in names {
        if name.len() == 3 {
            let is_there = cases.iter().any(|case| case.name.starts_with(name));
            assert!(is_there, "SECURITY.md names {name}, which is no bad input");
            continue;
        }
        let is_there = ["fn", "def"].map(|word| source.contains(&format!("{word} {name}(")));
        assert!(
            is_there.contains(&true),
            "SECURITY.md names {name}, which is no test"
        );
    }
}
