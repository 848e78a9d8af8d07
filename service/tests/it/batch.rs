//! `unspool run` from outside: killed at many points, it ends with the bytes of an undisturbed run.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use arrow::compute::concat_batches;
use tempfile::TempDir;

use crate::command::{command, folder, names, read, succeed, unspool};

const JOB: &str = "[input]\npaths = [\"lake\"]\n[give]\nWHAT\n[output]\ndir = \"OUT\"\n[run]\nunit_rows = 500\n";

/// Taxis, cut into the files of four months' folders; `all.csv` has the same rows.
fn lake() -> TempDir {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("nyc_taxi.csv")).unwrap();
    let rows: Vec<String> = text.lines().skip(1).map(|line| format!("taxi,{line}\n")).collect();
    let table = |rows: &[String]| format!("id,time,value\n{}", rows.concat());
    for (number, rows) in rows.chunks(rows.len().div_ceil(4)).enumerate() {
        let dir = folder.path().join(format!("lake/part={number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("rows.csv"), table(rows)).unwrap();
    }
    fs::write(folder.path().join("all.csv"), table(&rows)).unwrap();
    folder
}

fn write_job(folder: &Path, what: &str, out: &str) -> String {
    let name = format!("{out}.toml");
    fs::write(folder.join(&name), JOB.replace("WHAT", what).replace("OUT", out)).unwrap();
    name
}

/// All files of an output, but for the log of how long runs took.
pub(crate) fn bytes(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let of = |sub: &str| {
        let dir = dir.join(sub);
        let decides = |name: &String| name != "_runs.jsonl" && dir.join(name).is_file();
        let all = names(&dir, "").into_iter().filter(decides);
        all.map(|name| (format!("{sub}/{name}"), fs::read(dir.join(&name)).unwrap())).collect::<Vec<_>>()
    };
    ["", "_rejects", "_states"].into_iter().flat_map(of).collect()
}

/// Runs a job and kills it after so many steps; whether it had ended before.
fn kill_after(steps: usize, folder: &Path, job: &str) -> bool {
    let mut command = command(folder);
    command.args(["run", job]).env("UNSPOOL_LOG", "unspool=debug,unspool_pipelines=debug").stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let reached = lines.filter(|line| line.contains("step")).nth(steps).is_some();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || reached, "{status}");
    !reached
}

#[test]
fn killed_at_many_points_it_ends_with_the_same_bytes() {
    let folder = lake();
    for what in ["what = \"scores\"", "what = \"forecasts\"\nhorizon = 5"] {
        let calm = write_job(folder.path(), what, "calm");
        let done = succeed(folder.path(), &format!("run {calm} --quiet"));
        assert_eq!(done.stderr, "");
        let killed = write_job(folder.path(), what, "killed");
        let mut kills = 0;
        while !kill_after(kills * 3 + 1, folder.path(), &killed) {
            kills += 1;
        }
        assert!(kills > 2, "{kills}");
        assert!(bytes(&folder.path().join("killed")) == bytes(&folder.path().join("calm")), "{what}");
        for out in ["calm", "killed"] {
            fs::remove_dir_all(folder.path().join(out)).unwrap();
        }
    }
}

#[test]
fn forecasts_and_embeddings_are_those_of_the_commands() {
    let folder = lake();
    for (what, arguments) in [
        ("what = \"forecasts\"\nhorizon = 5", "forecast all.csv --horizon 5"),
        ("what = \"embeddings\"\npool = \"last\"", "embed all.csv --pool last"),
    ] {
        let job = write_job(folder.path(), what, "out");
        succeed(folder.path(), &format!("run {job}"));
        succeed(folder.path(), &format!("{arguments} --output one.parquet --overwrite"));
        let (one, _) = read(&folder.path().join("one.parquet"));
        let parts = names(&folder.path().join("out"), "part-");
        let parts: Vec<_> = parts.iter().map(|name| read(&folder.path().join("out").join(name))).collect();
        assert!(parts[0].1.iter().any(|(key, _)| key == "unspool.model.digest"));
        let schema = parts[0].0.schema();
        let rows = concat_batches(&schema, parts.iter().map(|(rows, _)| rows)).unwrap();
        assert_eq!(rows.columns(), one.columns(), "{what}");
        fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}

#[test]
fn flags_say_what_a_file_says() {
    let folder = lake();
    let job = write_job(folder.path(), "what = \"forecasts\"\nhorizon = 5", "out");
    succeed(folder.path(), &format!("run {job} --quiet"));
    let flags = "--input lake --series id --time time --value value --what forecast --horizon 5 --unit-rows 500";
    succeed(folder.path(), &format!("run {flags} --workers 2 --output flags --quiet"));
    let names = names(&folder.path().join("out"), "part-");
    assert!(!names.is_empty());
    for name in names {
        let of = |out: &str| read(&folder.path().join(out).join(&name)).0;
        assert_eq!(of("flags").columns(), of("out").columns());
    }
    for (arguments, expected) in [
        ("run --input lake --output x", "the following required arguments were not provided: --what <WHAT>"),
        ("run out.toml --input lake", "cannot be used with"),
        ("run", "the following required arguments were not provided: <JOB|--input <PATH>>"),
    ] {
        let done = unspool(folder.path(), arguments);
        assert_eq!(done.code, Some(2));
        assert!(done.stderr.contains(expected) || arguments == "run", "{}", done.stderr);
    }
}

#[test]
fn embeddings_of_reads_are_those_of_the_command() {
    let folder = lake();
    succeed(folder.path(), "embed lambda_reads.fq.gz --model dna --output one.parquet");
    let flags = "--what embeddings --model dna --unit-rows 20000 --quiet";
    succeed(folder.path(), &format!("run --input lambda_reads.fq.gz {flags} --output reads"));
    let (one, _) = read(&folder.path().join("one.parquet"));
    let parts = names(&folder.path().join("reads"), "part-");
    assert!(parts.len() > 1, "{parts:?}");
    let parts: Vec<_> = parts.iter().map(|name| read(&folder.path().join("reads").join(name)).0).collect();
    assert_eq!(concat_batches(&parts[0].schema(), &parts).unwrap().columns(), one.columns());
    succeed(folder.path(), "report reads --color length");
}

/// A file that may grow no further is what a full disk is to a process.
#[test]
fn a_disk_that_takes_no_more_stops_a_job_which_goes_on_later() {
    let folder = lake();
    let calm = write_job(folder.path(), "what = \"scores\"", "calm");
    succeed(folder.path(), &format!("run {calm} --quiet"));
    let full = write_job(folder.path(), "what = \"scores\"", "full");
    let script = "ulimit -f 8; trap '' XFSZ; exec \"$0\" run \"$1\" --quiet";
    let binary = command(folder.path()).get_program().to_owned();
    let mut shell = std::process::Command::new("bash");
    shell.current_dir(folder.path()).env("UNSPOOL_DEVICE", "cpu").args(["-c", script]).arg(binary).arg(&full);
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("unspool: cannot write full/"), "{said}");
    let shown = names(&folder.path().join("full"), "part-");
    assert!(shown.is_empty(), "no half file is there under its name: {shown:?}");
    succeed(folder.path(), &format!("run {full} --quiet"));
    assert!(bytes(&folder.path().join("full")) == bytes(&folder.path().join("calm")));
}

#[test]
fn a_report_shows_what_a_job_came_to() {
    let folder = lake();
    let extra = "id,time,value\ntaxi,2014-07-01 00:00:00,1\nbus,2015-02-01 00:00:00,x\nbus,2015-02-01 01:00:00,5\n";
    fs::write(folder.path().join("lake/part=3/z.csv"), extra).unwrap();
    for (what, expected) in [
        (
            "what = \"forecasts\"\nhorizon = 5",
            &["<h1>Forecasts of 5 values</h1>", "<figcaption>taxi</figcaption>", "<svg"][..],
        ),
        (
            "what = \"embeddings\"",
            &["<h1>Embeddings</h1>", "Map of the embeddings", "<title>taxi (", "coloured by length"],
        ),
        ("what = \"scores\"", &["<h1>Anomaly scores</h1>", "The most unusual ones", "<td>taxi</td>"]),
    ] {
        let job = write_job(folder.path(), what, "out");
        succeed(folder.path(), &format!("run {job} --quiet"));
        let said = succeed(folder.path(), "report out").stdout;
        assert_eq!(said.trim_end(), "out/_report.html");
        let page = fs::read_to_string(folder.path().join("out/_report.html")).unwrap();
        let all = ["finished", "late: #", "column '…': '…' is not a number", "values/s", "cpu"];
        for text in expected.iter().chain(&all) {
            assert!(page.contains(text), "{what}: {text}: {page}");
        }
        let page = page.replace("http://www.w3.org/2000/svg", "a name, nothing that is fetched");
        assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing from elsewhere");
        succeed(folder.path(), &format!("run {job} --quiet"));
        fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
    let done = unspool(folder.path(), "report lake");
    assert_eq!(
        (done.code, done.stderr.trim_end()),
        (Some(2), "unspool: lake holds no batch job's output: there is no _manifest.json")
    );
}

/// What the page says of batch jobs does what it says, as typed in a clone.
#[test]
fn the_example_runs_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    let examples = folder.path().join("service/examples");
    fs::create_dir_all(examples.join("data")).unwrap();
    for name in ["batch.toml", "data/nyc_taxi.csv"] {
        fs::copy(root.join("service/examples").join(name), examples.join(name)).unwrap();
    }
    let page = fs::read_to_string(root.join("service/docs/batch.md")).unwrap();
    let block = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("unspool ")).collect();
    assert!(lines.len() >= 4 && lines.iter().any(|line| line.starts_with("report ")), "{lines:?}");
    for line in lines {
        succeed(folder.path(), line.split('#').next().unwrap().trim_end());
    }
    let page = fs::read_to_string(folder.path().join("target/batch/_report.html")).unwrap();
    assert!(page.contains("<figcaption>nyc_taxi</figcaption>"), "{page}");
}

#[test]
fn the_plan_is_printed_and_nothing_done() {
    let folder = lake();
    let job = write_job(folder.path(), "what = \"scores\"", "out");
    let plan = succeed(folder.path(), &format!("run {job} --dry-run")).stdout;
    for line in [
        "give     \"scores\"",
        "columns  id: by convention; time: by convention (timestamps); values: by convention",
        "output   out, a unit each 500 rows",
        "done     nothing yet",
        "  lake/part=3/rows.csv  ",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(!folder.path().join("out").exists());
    succeed(folder.path(), &format!("run {job}"));
    let plan = succeed(folder.path(), &format!("run {job} --dry-run")).stdout;
    assert!(plan.contains("done     4 of 4 files in 5 units, 1 series, 5 parts, 0 rejects"), "{plan}");
    assert!(plan.contains("to read  0 files, 0 B"), "{plan}");
}

#[test]
fn wrong_use_is_one_line() {
    let folder = lake();
    for (what, expected) in [
        ("what = \"forecasts\"", "unspool: give: `horizon`: how many values to forecast?"),
        ("what = \"scores\"\nhorizon = 3", "unspool: give: only forecasts have a `horizon`"),
        ("what = \"scores\"\nlayer = 3", "unspool: give: `layer`, `pool` and `window` are of embeddings"),
        (
            "what = \"sums\"",
            "unspool: out.toml, line 4: unknown variant `sums`, expected one of `scores`, `forecasts`, `embeddings`",
        ),
    ] {
        let job = write_job(folder.path(), what, "out");
        let done = unspool(folder.path(), &format!("run {job}"));
        assert_eq!((done.code, done.stderr.trim_end()), (Some(2), expected));
    }
}
