//! What `docs/operations.md` says, held against the program: a metric or a limit that is not there, or that is another one, fails a test.

use std::{collections::BTreeSet, fs, path::Path};

const OPERATIONS: &str = include_str!("../docs/operations.md");

/// The rows of the table under a heading, each cell without its quotes.
pub(crate) fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, behind) = OPERATIONS.split_once(&format!("# {heading}\n")).unwrap();
    let table = behind.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// A file that says every default under a heading: of keys with a dot the first part names the table.
pub(crate) fn file(heading: &str, table: &str) -> toml::Table {
    let mut file = toml::Table::new();
    for row in rows(heading).into_iter().filter(|row| !row[1].is_empty()) {
        let (table, key) = row[0].split_once('.').unwrap_or((table, &row[0]));
        let table = file.entry(table).or_insert_with(|| toml::Table::new().into());
        table.as_table_mut().unwrap().insert(key.into(), row[1].parse::<i64>().unwrap().into());
    }
    file
}

/// All of this crate's code but this file.
fn code(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, text);
        } else if !path.ends_with("pages.rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The texts behind a name of a macro: its first two literals.
fn calls<'a>(code: &'a str, called: &str) -> Vec<(&'a str, &'a str)> {
    let literals = |at: usize| {
        let mut parts = code[at..].split('"').skip(1).step_by(2);
        (parts.next().unwrap(), parts.next().unwrap())
    };
    code.match_indices(&format!("{called}!(")).map(|(at, _)| literals(at)).collect()
}

#[test]
fn every_metric_is_on_the_page_and_nothing_else() {
    let mut text = String::new();
    code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    let (mut described, mut used) = (BTreeSet::new(), BTreeSet::new());
    for kind in ["counter", "gauge", "histogram"] {
        let told = calls(&text, &format!("describe_{kind}"));
        described.extend(told.into_iter().map(|(name, meaning)| [name, kind, meaning].map(str::to_owned)));
        used.extend(calls(&text, kind).into_iter().map(|(name, _)| (name, kind)));
    }
    let page = rows("A server").into_iter().chain(rows("A stream worker"));
    let page: BTreeSet<_> = page.map(|row| [row[0].clone(), row[1].clone(), row[4].clone()]).collect();
    assert_eq!(page, described);
    assert_eq!(used, described.iter().map(|[name, kind, _]| (name.as_str(), kind.as_str())).collect());
}

#[test]
fn what_pages_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    for page in pages.chain([root.join("../README.md")]).filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let there = link.is_empty() || link.contains("://") || page.with_file_name(link).exists();
            assert!(there, "{}: {link}", page.display());
        }
    }
}
