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

/// All files of an output.
fn bytes(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let of = |sub: &str| {
        let dir = dir.join(sub);
        let all = names(&dir, "").into_iter().filter(|name| dir.join(name).is_file());
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
        ("what = \"scores\"\nlayer = 3", "unspool: give: `layer` and `pool` are of embeddings"),
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
