//! Jobs and their events.

use std::path::{Path, PathBuf};

use crate::{
    broker::{Broker, Got, Sent},
    files,
};

/// A job of the tests.
pub(crate) struct Job<'a> {
    pub broker: &'a Broker,
    pub input: &'a str,
    /// The group; outputs go to topic or folder `NAME-out`, dead letters to topic `NAME-dead`.
    pub name: &'a str,
    /// More lines of the file, section by section.
    pub more: &'a str,
}

impl Job<'_> {
    /// Makes the topics and writes the file.
    pub(crate) fn write(&self, folder: &Path, partitions: i32) -> PathBuf {
        if !self.in_files() {
            self.broker.create(&self.out(), partitions, &[]);
            self.broker.create(&self.dead(), 1, &[]);
        }
        let path = folder.join(format!("{}.toml", self.name));
        let (name, input, address) = (self.name, self.input, &self.broker.address);
        let (out, dead, more) = (self.out(), self.dead(), self.more);
        let sections = ["input", "event_time", "output", "group", "run"].map(|section| {
            let own = match section {
                "input" => {
                    format!("topic = '{input}'\nseries = 'key'\ntime = 'field:t'\ntime_unit = 'step'\nvalues = ['v']")
                }
                "output" if self.in_files() => format!("parquet = '{out}'"),
                "output" => format!("topic = '{out}'\nrejects = '{dead}'"),
                "group" if more.contains("session_timeout_ms") => format!("name = '{name}'"),
                "group" => format!("name = '{name}'\nsession_timeout_ms = 6000"),
                "run" if more.contains("snapshot_interval_ms") => format!("data_dir = 'data-{name}'"),
                "run" => format!("data_dir = 'data-{name}'\nsnapshot_interval_ms = 700\ntransaction_timeout_ms = 6000"),
                _ => String::new(),
            };
            let begins = format!("[{section}]\n");
            let extra = more.split_once(&begins).map_or("", |(_, rest)| rest.split("\n[").next().unwrap_or_default());
            format!("[{section}]\n{own}\n{extra}\n")
        });
        std::fs::write(&path, format!("[kafka]\nbootstrap = '{address}'\n{}", sections.concat())).unwrap();
        path
    }

    /// Whether outputs go to files: they are to be rolled by time then.
    fn in_files(&self) -> bool {
        self.more.contains("file_interval_ms")
    }

    /// What was given: outputs, each partition's or series' in order, and dead letters.
    pub(crate) fn given(&self, folder: &Path) -> (Vec<Got>, Vec<Got>) {
        if self.in_files() {
            return files::read(&folder.join(self.out()), self.input);
        }
        (self.broker.read(&self.out()), self.broker.read(&self.dead()))
    }

    pub(crate) fn out(&self) -> String {
        format!("{}-out", self.name)
    }

    pub(crate) fn dead(&self) -> String {
        format!("{}-dead", self.name)
    }
}

/// Numbers that look random and are the same everywhere (SplitMix64).
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// Events of many series: some out of order, some late, some broken, some tombstones.
pub(crate) fn events(numbers: &mut Numbers, partitions: i32, (from, to): (u64, u64)) -> Vec<Sent> {
    let event = |n: u64| {
        let series = numbers.next(40);
        let time = (n / 4).saturating_sub(numbers.next(12));
        let value = (n as f64 / 50.0 + series as f64).sin() + numbers.next(1000) as f64 / 5000.0;
        let payload = match numbers.next(200) {
            0 => Some("{\"t\":".to_owned()),
            1 => Some(format!("{{\"t\":{time},\"v\":\"much\"}}")),
            2 => Some(format!("{{\"t\":{time},\"v\":null}}")),
            3 => None,
            _ => Some(format!("{{\"t\":{time},\"v\":{value}}}")),
        };
        let partition = (series % u64::from(partitions.unsigned_abs())) as i32;
        Sent { partition, key: Some(format!("series-{series}")), payload, ..Sent::default() }
    };
    (from..to).map(event).collect()
}
