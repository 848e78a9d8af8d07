//! Partitions, columns that are kept, and outputs in object stores.

use arrow::array::AsArray;

use super::*;

/// A lake of regions: one as a folder, the kind of a meter as a column.
fn regions() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (region, ids) in [("north", ["a", "b"]), ("south/east", ["c", "d"])] {
        let mut text = String::from("id,time,value,kind\n");
        for time in 0..70 {
            for id in ids {
                let kind = if id < "c" { "old" } else { "" };
                text += &format!("{id},{time},{},{kind}\n", (time * 7) % 5);
            }
        }
        let dir = folder.path().join("lake").join(format!("region={}", region.replace('/', "%2F")));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("x.csv"), text).unwrap();
    }
    folder
}

fn files(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = Manifest::read(dir).unwrap().unwrap().parts.into_iter().map(|part| part.name).collect();
    all.sort();
    assert!(all.iter().all(|name| dir.join(name).is_file()), "{all:?}");
    all
}

#[test]
fn kept_columns_go_into_the_output_and_into_folders() {
    let folder = regions();
    let columns = SeriesOptions { keep: vec!["region".into(), "kind".into()], ..SeriesOptions::default() };
    for give in [Give::Scores, FORECASTS, EMBEDDINGS] {
        let plain = BatchJob { columns: columns.clone(), ..job(folder.path(), give.clone()) };
        run_whole(&plain).unwrap();
        let rows = output(&plain);
        for row in 0..rows.num_rows() {
            let text = |name: &str| {
                let column = rows[name].as_string::<i32>();
                arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_owned())
            };
            let expected =
                if text("id").unwrap().as_str() < "c" { ("north", Some("old")) } else { ("south/east", None) };
            assert_eq!((text("region").as_deref(), text("kind").as_deref()), (Some(expected.0), expected.1));
        }
        let partition_by = vec!["region".to_owned()];
        let parted = BatchJob { partition_by, output: folder.path().join("parted"), ..plain };
        run_whole(&parted).unwrap();
        let folders: std::collections::BTreeSet<String> =
            files(&parted.output).iter().map(|name| name.split('/').next().unwrap().to_owned()).collect();
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), ["region=north", "region=south%2Feast"]);
        let (all, found) = (rows.num_rows(), output(&parted));
        assert_eq!((found.num_rows(), found.num_columns()), (all, rows.num_columns() - 1), "{give:?}");
        // What lies there and is not named goes away; a job over its own output's folders finds nothing new.
        fs::write(parted.output.join("region=north/part-00000077.parquet"), "left over").unwrap();
        run_whole(&parted).unwrap();
        assert_eq!(run_whole(&parted).unwrap().progress.rows_read, 0);
        assert!(!parted.output.join("region=north/part-00000077.parquet").exists());
        fs::remove_dir_all(&parted.output).unwrap();
        fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}

#[test]
fn a_folder_can_name_the_series() {
    let folder = regions();
    let columns = SeriesOptions { id: Some("region".into()), ..SeriesOptions::default() };
    let job = BatchJob { columns, ..job(folder.path(), FORECASTS) };
    run_whole(&job).unwrap();
    let ids: std::collections::BTreeSet<String> =
        output(&job)["id"].as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["north", "south/east"]);
    // Two rows at each time: the second ones are rejects.
    assert_eq!(Manifest::read(&job.output).unwrap().unwrap().rejected(), 140);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let folder = regions();
    let job = |keep: &str, by: &str| BatchJob {
        columns: SeriesOptions { keep: vec![keep.into()], ..SeriesOptions::default() },
        partition_by: vec![by.into()],
        ..job(folder.path(), FORECASTS)
    };
    let check = |job: BatchJob, expected: &str| {
        let error = run_whole(&job).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(job("town", "town"), "there is no kept column 'town'; the columns are: id, time, value, kind");
    let lacking = folder.path().join("lake/region=north/y.csv");
    fs::write(&lacking, "id,time,value\na,1000,1\nz,1000,1\n").unwrap();
    check(job("kind", "kind"), "/y.csv: there is no kept column 'kind'; the columns are: id, time, value");
    let mut union = job("kind", "kind");
    union.columns.union = true;
    run_whole(&union).unwrap();
    // What a series had in its first row stays: `z` has none, `a` was `old`.
    let of = |name: &str| files(&union.output).iter().any(|file| file.starts_with(name));
    assert!(of("kind=old/") && of("kind=__HIVE_DEFAULT_PARTITION__/"));
    fs::remove_file(lacking).unwrap();
    fs::remove_dir_all(&union.output).unwrap();
    check(
        job("region", "kind"),
        "output.partition_by: there is no column 'kind' in the output; the columns are: id, time,",
    );
}

#[test]
fn row_groups_have_the_rows_that_were_asked_for() {
    let folder = lake();
    let job = BatchJob { row_group_rows: Some(7), unit_rows: 1 << 40, ..job(folder.path(), Give::Scores) };
    run_whole(&job).unwrap();
    let name = files(&job.output).remove(0);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(job.output.join(name)).unwrap()).unwrap();
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert!(groups.len() > 10 && groups[..groups.len() - 1].iter().all(|rows| *rows == 7), "{groups:?}");
}

#[test]
fn an_output_in_a_store_is_that_of_a_folder() {
    for give in [Give::Scores, FORECASTS] {
        let folder = lake();
        let local = job(folder.path(), give.clone());
        run_whole(&local).unwrap();
        let bucket = folder.path().join("bucket");
        fs::create_dir_all(&bucket).unwrap();
        let url = Some(format!("file://{}/runs/one", bucket.display()));
        let remote =
            |work: &str| BatchJob { output: folder.path().join(work), output_url: url.clone(), ..local.clone() };
        // Stopped at many steps, each time on a machine with an empty disk.
        let mut machine = 0;
        loop {
            machine += 1;
            let mut left = 5 * machine;
            let stopped = run(&remote(&format!("work-{machine}")), &MODEL, &mut |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match stopped {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, Error::Job(crate::Error::Cancelled)), "{error}"),
            }
        }
        assert!(machine > 2, "{machine}");
        let there = bucket.join("runs/one");
        let of = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
            let all = bytes(dir);
            all.into_iter().filter(|(name, _)| name != "_manifest.json").collect()
        };
        assert!(of(&there) == of(&local.output), "{give:?}");
        let manifest = |dir: &Path| Manifest::read(dir).unwrap().unwrap();
        assert_eq!(manifest(&there), manifest(&local.output));
        let work = folder.path().join(format!("work-{machine}"));
        assert!(!work.join("part-00000000.parquet").exists(), "parts are in the store alone");
        assert_eq!(run_whole(&remote("work-99")).unwrap().progress.rows_read, 0, "nothing is new");
    }
}

#[test]
fn a_foreign_place_is_refused() {
    let folder = lake();
    let bucket = folder.path().join("bucket");
    fs::create_dir_all(bucket.join("runs")).unwrap();
    fs::write(bucket.join("runs/mine.txt"), "x").unwrap();
    let url = Some(format!("file://{}/runs", bucket.display()));
    let job = BatchJob { output_url: url, ..job(folder.path(), FORECASTS) };
    let error = run_whole(&job).unwrap_err().to_string();
    assert!(error.contains("/runs/mine.txt is there, but no _manifest.json: name an empty folder"), "{error}");
    assert!(!job.output.exists());
}
