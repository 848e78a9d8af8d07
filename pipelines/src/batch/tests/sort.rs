//! Jobs whose files are in no order.

use super::*;
use crate::sql::FileSort;

/// A number of a row, in no order.
fn shuffle(row: &Row) -> u64 {
    let hash = blake3::hash(format!("{} {}", row.0, row.1).as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
}

/// The rows of [`lake`] that count, in three files in no order; two rows stand twice.
fn shuffled_lake() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = rows_in_order();
    rows.sort_by_key(shuffle);
    let second = |time| ("a", time, Some(-1.0));
    for (number, part) in rows.chunks(rows.len().div_ceil(3)).enumerate() {
        let doubled: &[Row] = if number == 2 { &[second(30), second(30)] } else { &[] };
        write(folder.path(), &format!("lake/{number}.parquet"), &[part, doubled].concat());
    }
    folder
}

fn sorting(folder: &Path, give: Give) -> BatchJob {
    into(&job(folder, give), "out", (16 << 20, 1 << 30))
}

/// The job with an output of that name, and so much memory and disk to sort in.
fn into(job: &BatchJob, name: &str, (memory, disk): (usize, u64)) -> BatchJob {
    let output = job.folder.join(name);
    let sort = FileSort { memory, disk, folder: output.join("_sorted"), on_corrupt: job.on_corrupt };
    BatchJob { sort: Some(Arc::new(sort)), output, ..job.clone() }
}

/// Its rows by series.
fn by_id(rows: &RecordBatch) -> Vec<RecordBatch> {
    use arrow::array::AsArray;
    let ids = rows.column(0).as_string::<i32>();
    let mut all: Vec<(&str, usize)> = (0..rows.num_rows()).map(|row| (ids.value(row), row)).collect();
    all.sort();
    all.iter().map(|(_, row)| rows.slice(*row, 1)).collect()
}

#[test]
fn what_is_given_is_that_of_rows_in_order() {
    for give in [Give::Scores, FORECASTS, EMBEDDINGS] {
        let (ordered, shuffled) = (lake(), shuffled_lake());
        let (expected, job) = (job(ordered.path(), give.clone()), sorting(shuffled.path(), give));
        run_whole(&expected).unwrap();
        let summary = run_whole(&job).unwrap();
        let here = format!("{}/", shuffled.path().display());
        let said = summary.first_rejects.iter().map(|reject| format!("{}: {}", reject.place, reject.reason));
        let rejects: Vec<String> = said.map(|text| text.replace(&here, "")).collect();
        let second =
            |first| format!("lake/2.parquet: a second row at step 30 (series 'a' has one in lake/{first}.parquet)");
        assert!((0..3).any(|first| rejects[0] == second(first)), "{rejects:?}");
        assert_eq!(rejects[1], second(2));
        assert_eq!(by_id(&output(&job)), by_id(&output(&expected)), "{:?}", job.give);
    }
}

#[test]
fn stopped_anywhere_a_sorting_job_ends_with_the_same_bytes() {
    for (first, give) in [(1, Give::Scores), (2, FORECASTS)] {
        let folder = shuffled_lake();
        let undisturbed = sorting(folder.path(), give);
        run_whole(&undisturbed).unwrap();
        let expected = bytes(&undisturbed.output);
        let (mut stop, mut stops) = (first, 0);
        loop {
            let job = into(&undisturbed, &format!("out-{stop}"), (16 << 20, 1 << 30));
            let mut left = stop;
            // How many steps there are depends on the clock, while rows are sorted.
            let stopped = run(&job, &MODEL, &mut |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let done = stopped.is_ok();
            run_whole(&job).unwrap();
            assert!(bytes(&job.output) == expected, "{:?}, stopped at step {stop}", job.give);
            fs::remove_dir_all(&job.output).unwrap();
            if done {
                break;
            }
            (stop, stops) = (stop + 3, stops + 1);
        }
        assert!(stops > 5, "{stops}");
    }
}

#[test]
fn new_files_are_sorted_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let reversed = |rows: Vec<Row>| rows.into_iter().rev().collect::<Vec<_>>();
    write(folder.path(), "lake/1.parquet", &reversed(wave("a", 0..90)));
    let job = sorting(folder.path(), Give::Scores);
    run_whole(&job).unwrap();
    write(folder.path(), "lake/2.parquet", &reversed(wave("a", 88..150)));
    let summary = run_whole(&job).unwrap();
    let rejects: Vec<&str> = summary.first_rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(
        rejects,
        [
            "late: step 88 (series 'a' is already at step 89, by an earlier file)",
            "a second row at step 89 (series 'a' is already at step 89, by an earlier file)"
        ]
    );
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), "lake/1.parquet", &wave("a", 0..150));
    let at_once = super::job(whole.path(), Give::Scores);
    run_whole(&at_once).unwrap();
    assert_eq!(output(&job), output(&at_once));
}

#[test]
fn what_does_not_fit_is_spilled_and_what_cannot_be_sorted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Row> = (0..60_000).map(|row: i64| ("a", row * 7919 % 60_000, Some(1.0))).collect();
    for (number, part) in rows.chunks(20_000).enumerate() {
        write(folder.path(), &format!("lake/{number}.parquet"), part);
    }
    let columns = SeriesOptions { batch_rows: 4096, ..SeriesOptions::default() };
    let base = BatchJob { columns, unit_rows: 50_000, ..super::job(folder.path(), FORECASTS) };
    let job = |memory, disk| into(&base, &format!("out-{memory}"), (memory, disk));
    let (ample, little) = (job(256 << 20, 1 << 30), job(4 << 20, 1 << 30));
    run_whole(&ample).unwrap();
    run_whole(&little).unwrap();
    assert_eq!(output(&ample), output(&little));
    fs::remove_dir_all(&little.output).unwrap();
    // It does spill: with no disk to spill to it says so.
    let error = run_whole(&job(4 << 20, 1000)).unwrap_err().to_string();
    assert!(
        error.contains("/_sorted: run.sort_memory = 4194304 or run.sort_disk = 1000 is too little to sort in: "),
        "{error}"
    );
    let error = run_whole(&job(1 << 20, 1 << 30)).unwrap_err().to_string();
    assert_eq!(error, "run.sort_memory: at least 4194304 bytes");
}

#[test]
fn damaged_and_bad_rows_are_rejects_of_a_sorting_job_too() {
    let folder = shuffled_lake();
    let file = folder.path().join("lake/1.parquet");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let stop = sorting(folder.path(), Give::Scores);
    assert!(run_whole(&stop).unwrap_err().to_string().contains("lake/1.parquet"));
    let skip = into(&BatchJob { on_corrupt: OnCorrupt::Skip, ..stop }, "out", (16 << 20, 1 << 30));
    let summary = run_whole(&skip).unwrap();
    assert!(summary.first_rejects[0].reason.ends_with("; the file is left out from row 0 on"), "{summary:?}");
}
