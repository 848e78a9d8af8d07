use clap::Parser;

use super::*;
use crate::{
    args::{Cli, Command},
    pages,
};

#[test]
fn the_page_for_operators_has_the_defaults() {
    let words = ["unspool", "run", "job.toml", "--device", "cpu"];
    let Some(Command::Run(args)) = Cli::try_parse_from(words).unwrap().command else { panic!("run") };
    let crewed = crew::crew(&args, None, &unspool_pipelines::Cancel::default()).unwrap();
    let order = if cfg!(feature = "sql") { "sort" } else { "time" };
    let text = format!("input = {{ paths = ['a'], order = '{order}' }}\ngive.what = 'scores'\noutput.dir = 'out'");
    let told = |more: toml::Table| {
        let mut table: toml::Table = text.parse().unwrap();
        table.extend(more);
        job(table.try_into().unwrap(), PathBuf::from("/job"), &crewed).unwrap()
    };
    let mut page = pages::file("A batch job: its file", "run");
    let run = page["run"].as_table_mut().unwrap();
    // Said, it holds for units of many series too.
    assert_eq!(run.remove("unit_rows"), Some(i64::try_from(UNIT_ROWS).unwrap().into()));
    if !cfg!(feature = "sql") {
        run.retain(|name, _| !name.starts_with("sort_"));
    }
    assert_eq!(format!("{:#?}", told(page)), format!("{:#?}", told(toml::Table::new())));
}
