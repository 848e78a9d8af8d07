//! What stands ready before the first event: a folder with the example's files and the jobs' files, a broker, its topics.

use std::{
    fs,
    path::{Path, PathBuf},
};

use unspool_ingest::kafka::client::{Admin, Connection};
use unspool_pipelines::stream;

use super::{FORECASTS, HORIZON, INPUT, PARTITIONS, SCORES, error::Error, rides::Rides};
use crate::error::{Error as CommandError, Result};

const GENOME: &[u8] = include_bytes!("../../examples/data/lambda.fa.gz");
const VARIANTS: &str = include_str!("../../examples/data/lambda_variants.vcf");
/// Event time lies years back: nothing may be deleted for that.
const FOR_EVER: [(&str, &str); 1] = [("retention.ms", "-1")];

/// Where all of it happens.
pub(super) struct Stage {
    /// The folder.
    pub(super) folder: PathBuf,
    /// The broker.
    pub(super) connection: Connection,
}

impl Stage {
    /// Writes the files, with so many of the variants, starts the broker on a free port of this machine alone, and makes the topics.
    ///
    /// # Errors
    /// When the folder is not empty or refuses, or no broker can be started.
    pub(super) fn build(folder: &Path, rides: &Rides, variants: usize) -> Result<Self> {
        let failed = |source| CommandError::Io { path: "the embedded broker".into(), source };
        let bootstrap = noida::kafka::spawn("127.0.0.1:0").map_err(failed)?.to_string();
        write(folder, (rides, variants), &bootstrap)?;
        let connection = Connection { bootstrap, ..Connection::default() };
        let admin = Admin::new(&connection).map_err(stream::Error::from)?;
        for topic in [INPUT, SCORES, FORECASTS] {
            admin.create(topic, PARTITIONS, &FOR_EVER).map_err(stream::Error::from)?;
        }
        Ok(Self { folder: folder.to_owned(), connection })
    }
}

/// The folder that was named, which must be new or empty; or a new one.
///
/// # Errors
/// When it holds something, or cannot be made.
pub(super) fn folder(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        let made = tempfile::Builder::new().prefix("unspool-demo-").tempdir();
        let made = made.map_err(|source| CommandError::Io { path: "a temporary folder".into(), source })?;
        return Ok(made.keep());
    };
    let failed = |source| CommandError::Io { path: named.into(), source };
    fs::create_dir_all(named).map_err(failed)?;
    match fs::read_dir(named).map_err(failed)?.next() {
        Some(_) => Err(Error::NotEmpty(named.into()).into()),
        None => Ok(named.into()),
    }
}

fn write(folder: &Path, (rides, variants): (&Rides, usize), bootstrap: &str) -> Result<()> {
    let io = |path: &Path, done: std::io::Result<()>| {
        done.map_err(|source| CommandError::Io { path: path.to_owned(), source })
    };
    let logs = folder.join("logs");
    io(&logs, fs::create_dir_all(&logs))?;
    let rides = rides.csv();
    let scores = job(bootstrap, SCORES, "give = \"scores\"");
    let daily = format!("give = \"forecasts\"\nhorizon = {HORIZON}\nevery_events = {HORIZON}");
    let forecasts = job(bootstrap, FORECASTS, &daily);
    for (name, bytes) in [
        ("rides.csv", rides.as_bytes()),
        ("scores.toml", scores.as_bytes()),
        ("forecasts.toml", forecasts.as_bytes()),
        ("lambda.fa.gz", GENOME),
        ("lambda_variants.vcf", first(variants).as_bytes()),
    ] {
        let path = folder.join(name);
        io(&path, fs::write(&path, bytes))?;
    }
    Ok(())
}

/// The example's file with so many of its variants.
fn first(most: usize) -> String {
    let (header, variants): (Vec<&str>, Vec<&str>) = VARIANTS.lines().partition(|line| line.starts_with('#'));
    header.iter().chain(variants.iter().take(most)).map(|line| format!("{line}\n")).collect()
}

/// A stream job's file.
fn job(bootstrap: &str, topic: &str, give: &str) -> String {
    format!(
        r#"[kafka]
bootstrap = "{bootstrap}"

[input]
topic = "{INPUT}"
series = "key"
time = "field:time"
time_unit = "s"
values = ["passengers"]

[output]
topic = "{topic}"
{give}

[group]
name = "{topic}"

[run]
data_dir = "states/{topic}"
snapshot_interval_ms = 2000
"#
    )
}
