//! What the pages say, held against the program: a metric or a limit that is not there, or that is another one, or a command that would
//! not be understood, fails a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, error::ErrorKind};

use crate::args::Cli;

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

/// README and all pages, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("docs"), root.join("docs/guides")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let pages = entries.chain([root.join("../README.md")]).filter(|path| path.extension().is_some_and(|e| e == "md"));
    pages.map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect()
}

#[test]
fn what_pages_name_is_there() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let there = link.is_empty() || link.contains("://") || page.with_file_name(link).exists();
            assert!(there, "{}: {link}", page.display());
        }
    }
}

/// The words behind `unspool` of each command in lines of a shell; one goes over several lines by `\\` or within quotes.
fn typed(lines: &str) -> Vec<Vec<String>> {
    let (mut found, mut open) = (vec![], String::new());
    for line in lines.lines() {
        open.push_str(line);
        if let Some(begun) = open.strip_suffix('\\') {
            open = begun.to_owned();
            continue;
        }
        let Some(words) = shlex::split(&open) else {
            open.push('\n');
            continue;
        };
        open.clear();
        let words = words.iter().flat_map(|word| match word.strip_suffix(';') {
            Some(word) => vec![word.to_owned(), ";".to_owned()],
            None => vec![word.clone()],
        });
        for command in words.collect::<Vec<_>>().split(|word| [";", "&", "&&", "|"].contains(&&word[..])) {
            let command = command.split(|word| [">", "2>"].contains(&&word[..])).next().unwrap_or_default();
            let settings = command.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
            let command = match &command[settings..] {
                [cargo, run, release, dashes, rest @ ..]
                    if [cargo, run, release, dashes] == ["cargo", "run", "--release", "--"] =>
                {
                    rest
                }
                [first, rest @ ..] if first == "unspool" || first.ends_with("/unspool") => rest,
                _ => continue,
            };
            found.push(command.to_vec());
        }
    }
    found
}

/// What is shown under `--help` of a command and of all below it.
fn helps(command: &clap::Command, all: &mut Vec<(String, String)>) {
    let help = command.get_after_help().into_iter().chain(command.get_after_long_help());
    all.extend(help.map(|help| (format!("{} --help", command.get_name()), help.to_string())));
    command.get_subcommands().for_each(|below| helps(below, all));
}

#[test]
fn commands_in_pages_and_helps_are_understood() {
    let mut texts = vec![];
    helps(&Cli::command(), &mut texts);
    for text in &mut texts {
        let lines =
            text.1.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("unspool "));
        text.1 = lines.collect::<Vec<_>>().join("\n");
    }
    for (page, text) in pages() {
        let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        texts.extend(blocks.map(|block| (page.display().to_string(), block.to_owned())));
    }
    let mut count = 0;
    for (place, text) in texts {
        for words in typed(&text) {
            count += 1;
            let asked = Cli::command().try_get_matches_from([String::from("unspool")].iter().chain(&words));
            let fine = |error: &clap::Error| matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            assert!(
                asked.as_ref().err().is_none_or(fine),
                "{place}: unspool {}: {}",
                words.join(" "),
                asked.unwrap_err()
            );
        }
    }
    assert!(count > 100, "{count} commands were found");
}
