use clap::Parser;

use super::*;
use crate::{
    args::{Cli, Command},
    pages,
};

/// A job with every kind of limit; `more` are tables of its file.
fn job(more: &toml::Table) -> StreamJob {
    let words = ["unspool", "stream", "job.toml"];
    let Some(Command::Stream(args)) = Cli::try_parse_from(words).unwrap().command else { panic!("stream") };
    let text = "kafka.bootstrap = 'localhost:9'\ngroup.name = 'g'\nevent_time = { lateness = 1, grid = 1 }\n\
        input = { topic = 'a', series = 'key', values = ['v'] }\noutput = { parquet = 'out', give = 'scores' }\n\
        run.snapshot_store = 's3://bucket'";
    let mut table: toml::Table = text.parse().unwrap();
    for (name, limits) in more {
        let limits = limits.as_table().unwrap().clone();
        table.entry(name).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap().extend(limits);
    }
    told(&table.try_into().unwrap(), &args, "m").unwrap()
}

#[test]
fn the_page_for_operators_has_the_defaults() {
    let (usual, said) = (job(&toml::Table::new()), job(&pages::file("A stream job: its file", "run")));
    assert_eq!(format!("{said:#?}"), format!("{usual:#?}"));
}
