//! The guides in `docs/guides` do what they say, as they are written. The one in Python runs in `tests/python`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use unspool_ingest::kafka::client::{Admin, Connection, Writer, read_all};

use crate::{
    command::{command, names, read, succeed},
    server::Server,
};

#[expect(dead_code, reason = "its main is for those who run it")]
#[path = "../../examples/forecast.rs"]
mod forecast;

/// How long a job may take.
const SOON: Duration = Duration::from_secs(120);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A guide's blocks of code, each with its language.
struct Guide(Vec<(String, String)>);

impl Guide {
    fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join("service/docs/guides").join(name)).unwrap();
        let blocks = text.split("\n```").skip(1).step_by(2);
        let block =
            |block: &str| block.split_once('\n').map(|(language, code)| (language.to_owned(), format!("{code}\n")));
        Self(blocks.map(|text| block(text).unwrap()).collect())
    }

    /// The blocks of a language, in order.
    fn of(&self, language: &str) -> Vec<&str> {
        self.0.iter().filter(|block| block.0 == language).map(|block| block.1.as_str()).collect()
    }
}

/// A folder that looks like a clone.
fn clone() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(root().join("service"), folder.path().join("service")).unwrap();
    folder
}

/// Runs lines of a shell.
fn shell(folder: &Path, script: &str) -> String {
    let script = format!("set -e\nunspool() {{ '{}' \"$@\"; }}\n{script}", env!("CARGO_BIN_EXE_unspool"));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(&script).current_dir(folder).env("UNSPOOL_DEVICE", "cpu").env_remove("UNSPOOL_LOG");
    let done = bash.output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A process that is killed, however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// Starts the one command of a block that goes on until it is stopped.
fn start(folder: &Path, block: &str) -> Running {
    let words: Vec<&str> = block.split_whitespace().collect();
    assert_eq!(words[0], "unspool");
    let mut command = command(folder);
    Running(command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Committed payloads of a topic with two partitions.
fn payloads(connection: &Connection, topic: &str) -> Vec<Value> {
    let all = (0..2).flat_map(|partition| read_all(connection, topic, partition).unwrap());
    all.map(|payload| serde_json::from_slice(&payload).unwrap_or(Value::Null)).collect()
}

#[test]
fn a_kafka_topic_is_scored() {
    let (guide, folder) = (Guide::read("kafka.md"), clone());
    let [job] = guide.of("toml")[..] else { panic!("one file") };
    let [message, sample] = guide.of("json")[..] else { panic!("a message, and what comes of it") };
    let [check, run] = guide.of("sh")[..] else { panic!("a check, and the job") };
    let address = noida::kafka::spawn("127.0.0.1:0").unwrap().to_string();
    fs::write(folder.path().join("job.toml"), job.replace("127.0.0.1:9092", &address)).unwrap();
    let connection = Connection { bootstrap: address, ..Connection::default() };
    let admin = Admin::new(&connection).unwrap();
    for topic in ["readings", "scores", "scores-rejects"] {
        admin.create(topic, 2, &[("retention.ms", "-1")]).unwrap();
    }
    let writer = Writer::new(&connection).unwrap();
    let first: Value = serde_json::from_str(message).unwrap();
    for step in 0..100 {
        let value = if step == 0 { first["value"].as_f64().unwrap() } else { 10_000.0 + f64::from(step % 12) };
        let time = first["time"].as_i64().unwrap() + i64::from(step) * 60_000;
        let payload = format!("{{\"time\": {time}, \"value\": {value}}}");
        writer.write("readings", step % 2, (if step % 2 == 0 { "meter-1" } else { "meter-2" }, &payload)).unwrap();
    }
    writer.write("readings", 0, ("meter-1", "no JSON")).unwrap();
    writer.flush().unwrap();
    let plan = shell(folder.path(), check);
    assert!(plan.contains("newest       101 messages: 100 rows (0 without a value), 1 rejects"), "{plan}");
    let _job = start(folder.path(), run);
    let end = Instant::now() + SOON;
    while payloads(&connection, "scores").len() < 100 || payloads(&connection, "scores-rejects").is_empty() {
        assert!(Instant::now() < end, "no scores");
    }
    let scores = payloads(&connection, "scores");
    assert_eq!((scores.len(), payloads(&connection, "scores-rejects").len()), (100, 1));
    // What the guide shows is what came of its message.
    assert_eq!(scores[0], serde_json::from_str::<Value>(sample).unwrap());
    let last = &scores[49];
    assert!(last["p_value"].as_f64().is_some_and(|p| p > 0.0 && p <= 1.0) && last["score"].is_f64(), "{last}");
}

#[test]
fn a_lake_is_forecast_every_night() {
    let (guide, folder) = (Guide::read("lake.md"), clone());
    let [job] = guide.of("toml")[..] else { panic!("one file") };
    let [lake, plan, first, next] = guide.of("sh")[..] else { panic!("the lake, a look, and two nights") };
    fs::write(folder.path().join("nightly.toml"), job).unwrap();
    shell(folder.path(), lake);
    let plan = shell(folder.path(), plan);
    assert!(plan.contains("to read  1 files") && plan.contains("lake/2014-07.parquet"), "{plan}");
    let parts = || names(&folder.path().join("forecasts"), "part-");
    let rows = |part: &str| read(&folder.path().join("forecasts").join(part)).0;
    let medians = |part: &str| Arc::clone(rows(part).column_by_name("q50").unwrap());
    shell(folder.path(), first);
    let one = parts();
    assert_eq!((one.len(), rows(&one[0]).num_rows()), (1, 48));
    let columns: Vec<String> = rows(&one[0]).schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!((columns.join(" ")).split(" q20").next(), Some("id time step q10"));
    shell(folder.path(), next);
    let two = parts();
    assert_eq!((two.len(), &two[0]), (2, &one[0]), "the first night's part stays");
    // As if all had been there at once: the column of medians.
    let at_once = folder.path().join("at-once");
    let whole = "run --input service/examples/data/nyc_taxi.csv --what forecasts --horizon 48 --output at-once";
    succeed(folder.path(), whole);
    let expected = read(&at_once.join(&names(&at_once, "part-")[0])).0;
    assert_eq!(&medians(&two[1]), expected.column_by_name("q50").unwrap());
    assert_ne!(&medians(&one[0]), &medians(&two[1]));
    assert!(fs::read_to_string(folder.path().join("forecasts/_report.html")).unwrap().contains("<svg"));
    // The line for cron, without its times.
    let [line] = guide.of("cron")[..] else { panic!("one line") };
    let (times, words) = line.trim_end().split_once("unspool ").unwrap();
    assert_eq!(times.split_whitespace().count(), 5);
    succeed(folder.path(), words);
    assert_eq!(parts(), two, "nothing was new");
}

#[test]
fn a_session_from_rust() {
    let guide = Guide::read("calls.md");
    let example = fs::read_to_string(root().join("service/examples/forecast.rs")).unwrap();
    assert_eq!(guide.of("rust"), [example]);
    // The versions that the guide names are this workspace's.
    let [manifest] = guide.of("toml")[..] else { panic!("one list of dependencies") };
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let tokio = |text: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix("tokio = { version = \"")?.split('"').next()?.to_owned()))
    };
    assert_eq!(tokio(manifest), tokio(&workspace));
    let [serve, ..] = guide.of("sh")[..] else { panic!("how to start the server") };
    let (folder, more) = (clone(), serve.trim_end().strip_prefix("unspool serve ").unwrap());
    let (server, address) = Server::start(folder.path(), more);
    let ahead = tokio::runtime::Runtime::new().unwrap();
    let ahead = ahead.block_on(forecast::live(format!("http://{address}").leak())).unwrap();
    assert_eq!(ahead.iter().map(Vec::len).collect::<Vec<_>>(), [3; 4]);
    for (step, quantiles) in (201_u32..).zip(&ahead) {
        let expected = (f64::from(step) / 7.0).sin();
        assert!(quantiles.is_sorted() && (quantiles[1] - expected).abs() < 0.3, "{step}: {quantiles:?}, {expected}");
    }
    server.stop();
    let languages: BTreeMap<&str, usize> = guide.0.iter().fold(BTreeMap::new(), |mut all, (language, _)| {
        *all.entry(language.as_str()).or_default() += 1;
        all
    });
    assert_eq!(languages, BTreeMap::from([("python", 1), ("rust", 1), ("sh", 3), ("toml", 1)]));
}
