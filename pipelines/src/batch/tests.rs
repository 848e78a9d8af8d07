mod outputs;
mod reads;
mod remote;
#[cfg(feature = "sql")]
mod sort;
mod states;
mod stream;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    ops::ControlFlow,
    path::Path,
    sync::{Arc, LazyLock},
};

use arrow::{array::RecordBatch, compute::concat_batches};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::WriterProperties,
};
use tempfile::TempDir;
use unspool_ingest::{
    schema::TimeKind,
    tables::{SeriesOptions, decoder},
};
use unspool_model::{Model, Options};

use super::*;
use crate::{
    Chunk, Embed, EmbedOptions, End, Events, ForecastOptions, Forecaster, Owner, Sequence, Worker, sink,
    stream::emit::Pooling, testing,
};

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(testing::series_model);

const FORECASTS: Give = Give::Forecast { horizon: 5 };
const EMBEDDINGS: Give = Give::Embedding { layer: None, pool: Pooling::Mean, restart: false };

type Row = (&'static str, i64, Option<f64>);

fn wave(id: &'static str, times: std::ops::Range<i64>) -> Vec<Row> {
    let value = |time: i64| (time % 29 != 3).then(|| (time as f64 / 5.0).sin() * 10.0 + time as f64 / 100.0);
    times.filter(|time| time % 37 != 11).map(|time| (id, time, value(time))).collect()
}

fn write(folder: &Path, name: &str, rows: &[Row]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = testing::series(TimeKind::Step, rows);
    let mut writer = sink::Writer::new(File::create(path).unwrap(), &rows.schema(), &[]).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// A lake in three files: `a` and `b` go over several, `c` begins late and is short, `d` has no value; some rows are late
/// or doubled.
fn lake() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let parts = |ranges: [(&'static str, std::ops::Range<i64>); 2]| ranges.map(|(id, range)| wave(id, range)).concat();
    write(folder.path(), "lake/day=01/x.parquet", &parts([("a", 0..90), ("b", 0..20)]));
    write(
        folder.path(),
        "lake/day=02/x.parquet",
        &[parts([("b", 18..120), ("a", 90..200)]), vec![("d", 1, None)]].concat(),
    );
    write(folder.path(), "lake/day=03/x.parquet", &parts([("c", 0..40), ("a", 200..260)]));
    folder
}

fn job(folder: &Path, give: Give) -> BatchJob {
    BatchJob {
        inputs: vec!["lake".into()],
        stores: crate::StoreSettings::default(),
        spool: None,
        folder: folder.into(),
        columns: SeriesOptions { batch_rows: 30, ..SeriesOptions::default() },
        sort: None,
        reference: None,
        on_corrupt: OnCorrupt::Stop,
        give,
        window: None,
        output: folder.join("out"),
        output_url: None,
        partition_by: vec![],
        row_group_rows: None,
        metadata: vec![("model".into(), "m".into())],
        unit_rows: 80,
        stretch: false,
        max_series: 10,
        states_bytes: 2 << 20,
        state_values: Some(60),
        pack_tokens: 64,
    }
}

fn run_whole(job: &BatchJob) -> Result<crate::Summary> {
    run(job, &MODEL, &mut |_| ControlFlow::Continue(()))
}

/// All output rows, in the order of the parts.
fn output(job: &BatchJob) -> RecordBatch {
    let mut all = vec![];
    for part in Manifest::read(&job.output).unwrap().unwrap().parts {
        let file = File::open(job.output.join(&part.name)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        all.extend(reader.map(|rows| rows.unwrap()));
    }
    let schema = all[0].schema();
    let schema = Arc::new(schema.as_ref().clone().with_metadata(std::collections::HashMap::new()));
    concat_batches(
        &schema,
        &all.iter().map(|rows| rows.clone().with_schema(schema.clone()).unwrap()).collect::<Vec<_>>(),
    )
    .unwrap()
}

/// The bytes of all files of an output, but for the lock and the log.
fn bytes(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for folder in ["", "_rejects", "_states"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            if path.is_file() && !["_lock", "_runs.jsonl"].contains(&&*name) {
                all.insert(name, fs::read(path).unwrap());
            }
        }
    }
    all
}

/// The rows of the lake that are not late, in the order of the files.
fn rows_in_order() -> Vec<Row> {
    let b = wave("b", 20..120);
    [
        wave("a", 0..90),
        wave("b", 0..20),
        b,
        wave("a", 90..200),
        vec![("d", 1, None)],
        wave("c", 0..40),
        wave("a", 200..260),
    ]
    .concat()
}

#[tokio::test]
async fn forecasts_and_embeddings_are_those_of_one_table() {
    let rows = testing::series(TimeKind::Step, &rows_in_order());
    let horizon = 5.try_into().unwrap();
    let options = ForecastOptions { horizon, levels: None, time: TimeKind::Step, pack_tokens: 64, max_series: 10 };
    let forecaster = Box::new(Forecaster::new(Arc::clone(&MODEL), options).unwrap());
    let options = EmbedOptions { pooling: crate::Pooling::Mean, layer: None, pack_tokens: 64, max_sequences: 10 };
    let embed = Box::new(Embed::new(Arc::clone(&MODEL), options).unwrap());
    let (forecasts, ..) = testing::run(forecaster, rows.clone(), 1000).await;
    let (embeddings, ..) = testing::run(embed, rows, 1000).await;
    for (give, expected) in [(FORECASTS, forecasts), (EMBEDDINGS, embeddings)] {
        let folder = lake();
        let job = job(folder.path(), give);
        let summary = run_whole(&job).unwrap();
        assert_eq!(output(&job), expected);
        let rejects: Vec<String> =
            summary.first_rejects.iter().map(|reject| format!("{}: {}", reject.place, reject.reason)).collect();
        let late =
            |what| format!("lake/day=02/x.parquet: {what} (series 'b' is already at step 19, by an earlier file)");
        assert_eq!(rejects[..2], [late("late: step 18"), late("a second row at step 19")]);
        assert_eq!(summary.progress.rejects, Manifest::read(&job.output).unwrap().unwrap().rejected());
    }
}

#[test]
fn scores_are_those_of_the_series_read_at_once() {
    let folder = lake();
    let job = job(folder.path(), Give::Scores);
    run_whole(&job).unwrap();
    let rows = output(&job);
    let series: BTreeMap<&str, Vec<Row>> = rows_in_order().into_iter().fold(BTreeMap::new(), |mut all, row| {
        all.entry(row.0).or_insert_with(Vec::new).push(row);
        all
    });
    let mut expected: BTreeMap<(String, i64), Option<u64>> = BTreeMap::new();
    for (id, rows) in series {
        let mut state = MODEL.open(&Options { anomaly: true, ..Options::default() }).unwrap();
        let values: Vec<f64> = rows.iter().map(|row| row.2.unwrap_or(f64::NAN)).collect();
        let mut items = [unspool_model::Item { state: &mut state, events: unspool_model::Events::Values(&values) }];
        let scores = MODEL.append(&mut items).unwrap().remove(0).scores;
        for (row, score) in rows.iter().zip(scores).filter(|(row, _)| row.2.is_some()) {
            expected.insert((id.to_owned(), row.1), Some(score.to_bits()).filter(|_| !score.is_nan()));
        }
    }
    use arrow::array::{Array, AsArray};
    let (ids, times) =
        (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<arrow::datatypes::Int64Type>());
    let p_values = rows.column(3).as_primitive::<arrow::datatypes::Float64Type>();
    let found = (0..rows.num_rows()).map(|row| {
        let p_value = p_values.is_valid(row).then(|| p_values.value(row).to_bits());
        ((ids.value(row).to_owned(), times.value(row)), p_value)
    });
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(rows.num_rows(), expected.len());
}

#[test]
fn stopped_anywhere_it_ends_with_the_same_bytes() {
    // Each stops at other steps: a commit has five.
    for (first, give) in [(1, Give::Scores), (2, FORECASTS), (3, EMBEDDINGS)] {
        let folder = lake();
        let undisturbed = job(folder.path(), give.clone());
        let mut steps = 0;
        run(&undisturbed, &MODEL, &mut |_| {
            steps += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        let expected = bytes(&undisturbed.output);
        assert!(steps > 30, "{steps}");
        for stop in (first..=steps).step_by(3) {
            let job = BatchJob { output: folder.path().join(format!("out-{stop}")), ..undisturbed.clone() };
            let mut left = stop;
            let stopped = run(&job, &MODEL, &mut |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(matches!(stopped, Err(Error::Job(crate::Error::Cancelled))), "{stop}");
            run_whole(&job).unwrap();
            assert!(bytes(&job.output) == expected, "{give:?}, stopped at step {stop} of {steps}");
            fs::remove_dir_all(&job.output).unwrap();
        }
    }
}

#[test]
fn new_files_alone_are_read_and_go_on() {
    for give in [Give::Scores, FORECASTS, EMBEDDINGS] {
        let folder = lake();
        let whole = job(folder.path(), give.clone());
        run_whole(&whole).unwrap();
        let aside = folder.path().join("aside");
        fs::rename(folder.path().join("lake/day=03"), &aside).unwrap();
        let job = BatchJob { output: folder.path().join("out-2"), ..whole.clone() };
        run_whole(&job).unwrap();
        let parts = Manifest::read(&job.output).unwrap().unwrap().parts.len();
        assert_eq!(run_whole(&job).unwrap().progress.rows_read, 0, "nothing is new");
        fs::rename(&aside, folder.path().join("lake/day=03")).unwrap();
        let plan = plan(&job, &MODEL).unwrap();
        assert_eq!(plan.files.len(), 1, "{plan:?}");
        let summary = run_whole(&job).unwrap();
        assert_eq!(summary.progress.rows_read as usize, wave("c", 0..40).len() + wave("a", 200..260).len());
        let (found, all) = (output(&job), output(&whole));
        match give {
            Give::Scores => assert_eq!(found, all),
            // Only what had new rows is given anew: a and c.
            _ => {
                let manifest = Manifest::read(&job.output).unwrap().unwrap();
                let before: u64 = manifest.parts[..parts].iter().map(|part| part.rows).sum();
                let new = found.slice(before as usize, found.num_rows() - before as usize);
                let ids = |rows: &RecordBatch| {
                    use arrow::array::AsArray;
                    let ids = rows.column(0).as_string::<i32>().clone();
                    ids.iter().map(|id| id.unwrap_or_default().to_owned()).collect::<Vec<_>>()
                };
                let wanted: arrow::array::BooleanArray =
                    ids(&all).iter().map(|id| Some(id == "a" || id == "c")).collect();
                assert_eq!(new, arrow::compute::filter_record_batch(&all, &wanted).unwrap());
            }
        }
    }
}

#[test]
fn a_worker_goes_on_from_the_saved_states() {
    let (folder, more): (_, Vec<f64>) = (lake(), (0..50).map(|n| f64::from(n).cos()).collect());
    let job = job(folder.path(), FORECASTS);
    run_whole(&job).unwrap();
    let mut found = BTreeMap::new();
    saved_states(&job.output, &MODEL, &mut |saved| {
        let mut worker = Worker::new(Arc::clone(&MODEL), Options::default(), 1);
        let state = MODEL.restore(&saved.state)?;
        assert_eq!(state.position(), saved.position);
        worker.put(Sequence(0), state)?;
        let values = [saved.held_back, more.clone()].concat();
        let events = Events::Values(values.into());
        worker.encode(&[Chunk { sequence: Sequence(0), owner: Owner::default(), events, end: End::Open }])?;
        found.insert(saved.id, (saved.last_time, MODEL.save(worker.get(Sequence(0)).unwrap())?));
        Ok(())
    })
    .unwrap();
    let ids: Vec<(&str, i64)> = found.iter().map(|(id, (last, _))| (id.as_str(), last.unwrap())).collect();
    assert_eq!(ids, [("a", 259), ("b", 119), ("c", 39), ("d", 1)]);
    let mut featuriser = crate::featurise::SeriesFeaturiser::default();
    let (mut chunks, _) = featuriser.featurise(&testing::series(TimeKind::Step, &rows_in_order())).unwrap();
    chunks.extend(featuriser.end());
    for (number, series) in featuriser.series().iter().enumerate() {
        let mut state = MODEL.open(&Options::default()).unwrap();
        for chunk in chunks.iter().filter(|chunk| chunk.sequence == Sequence(number as u64)) {
            let mut items = [unspool_model::Item { state: &mut state, events: chunk.events.as_model() }];
            MODEL.append(&mut items).unwrap();
        }
        MODEL
            .append(&mut [unspool_model::Item { state: &mut state, events: unspool_model::Events::Values(&more) }])
            .unwrap();
        assert!(found[&series.id].1 == MODEL.save(&state).unwrap(), "{}", series.id);
    }
}

/// What the job says after something was done to its folder; a first run went well.
fn refused(change: impl FnOnce(&Path, &mut BatchJob)) -> String {
    let folder = lake();
    let mut job = job(folder.path(), FORECASTS);
    run_whole(&job).unwrap();
    change(folder.path(), &mut job);
    let before = bytes(&folder.path().join("out"));
    let error = run_whole(&job).unwrap_err().to_string();
    assert!(bytes(&folder.path().join("out")) == before, "a refusal changes nothing");
    assert!(!folder.path().join("lake/_lock").exists());
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |change: fn(&Path, &mut BatchJob), expected: &str| assert_eq!(refused(change), expected);
    check(
        |folder, _| {
            let path = folder.join("lake/day=01/x.parquet");
            let mut bytes = fs::read(&path).unwrap();
            bytes[100] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        "lake/day=01/x.parquet: its content is not what it was when it was read: bring it back as it was, or run the job into a \
         new folder",
    );
    let shorter = refused(|folder, _| fs::write(folder.join("lake/day=01/x.parquet"), "id,time,value\n").unwrap());
    assert!(shorter.contains(" bytes when it was read, and has 14 now: bring it back as it was, or"), "{shorter}");
    check(
        |folder, _| fs::remove_dir_all(folder.join("lake/day=02")).unwrap(),
        "lake/day=02/x.parquet: it was read before, and is no longer among the inputs: bring it back as it was, or run the job \
         into a new folder",
    );
    check(
        |_, job| job.give = Give::Forecast { horizon: 6 },
        "out holds the output of a job with give {\"forecast\":{\"horizon\":5}}, not {\"forecast\":{\"horizon\":6}}: name \
         another [output] dir",
    );
    check(
        |folder, _| fs::write(folder.join("lake/y.csv"), "id,time,value\na,2024-01-01,1\n").unwrap(),
        "lake/y.csv: its times are timestamps, those of the files read before step numbers: run them as two jobs",
    );
    check(
        |folder, _| fs::write(folder.join("lake/y.csv"), "id,moment,level,speed\na,1,1,2\n").unwrap(),
        "lake/y.csv: several columns could be the value: name one, several, or '*' for each as a series; the columns are: id, \
         moment, level, speed",
    );
    check(
        |folder, _| {
            write(folder, "lake/y.parquet", &wave("a", 300..301));
            fs::write(folder.join("lake/z.csv"), "id,time,value\na,400,1\n").unwrap();
        },
        "lake/z.csv: it is CSV, and lake/y.parquet is Parquet: run them as two jobs",
    );
    check(
        |folder, _| fs::write(folder.join("lake/y.parquet"), "").unwrap(),
        "lake/y.parquet: the file is empty: not even its columns are there",
    );
    check(
        |_, job| job.inputs.push("no/*".into()),
        "input.paths: 'no/*' names no file (of folders: .parquet, .csv, .csv.gz, .tsf)",
    );
    check(
        |_, job| (job.output, job.give) = (job.folder.join("lake"), Give::Scores),
        "output.dir: lake/day=01 is there, but no _manifest.json: name an empty folder",
    );
}

#[test]
fn a_damaged_file_is_left_out_if_that_is_asked_for() {
    let folder = lake();
    fs::write(folder.path().join("lake/day=02/broken.parquet"), b"PAR1 and no more").unwrap();
    let job = job(folder.path(), Give::Scores);
    let error = run_whole(&job).unwrap_err().to_string();
    assert!(error.contains("lake/day=02/broken.parquet: not a whole Parquet file"), "{error}");
    let job = BatchJob { on_corrupt: OnCorrupt::Skip, ..job };
    let summary = run_whole(&job).unwrap();
    let reject = &summary.first_rejects[0];
    assert_eq!(reject.place, "lake/day=02/broken.parquet");
    assert!(reject.reason.ends_with("the file is left out from its start on"), "{}", reject.reason);
    assert_eq!(summary.progress.rejects, 3);
    assert!(decoder(&[folder.path().join("lake/day=01/x.parquet")], &job.columns).is_ok());
}

#[test]
fn a_file_is_used_up_to_its_damage() {
    let folder = tempfile::tempdir().unwrap();
    let rows = wave("a", 0..130).into_iter().map(|(id, time, value)| (id, time, value.or(Some(0.0))));
    let rows: Vec<Row> = rows.take(120).collect();
    write(folder.path(), "lake/a.parquet", &rows[..1]);
    let path = folder.path().join("lake/b.parquet");
    let table = testing::series(TimeKind::Step, &rows[1..]);
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(30)).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), table.schema(), Some(groups)).unwrap();
    writer.write(&table).unwrap();
    let (start, len) = writer.close().unwrap().row_group(2).column(2).byte_range();
    let mut bytes = fs::read(&path).unwrap();
    bytes[start as usize..(start + len) as usize].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let job = BatchJob { on_corrupt: OnCorrupt::Skip, unit_rows: 40, ..job(folder.path(), Give::Scores) };
    let summary = run_whole(&job).unwrap();
    assert_eq!((output(&job).num_rows(), summary.progress.rejects), (61, 1));
    let reject = &summary.first_rejects[0];
    assert!(reject.reason.ends_with("the file is left out from row group 2, row 0 on"), "{}", reject.reason);
    let stopped = BatchJob { on_corrupt: OnCorrupt::Stop, output: folder.path().join("out-2"), ..job };
    let error = run_whole(&stopped).unwrap_err().to_string();
    assert!(error.contains("lake/b.parquet, row group 2, row 0: the rows from here on cannot be decoded"), "{error}");
}

#[test]
fn more_series_than_allowed_are_refused() {
    let folder = lake();
    let job = BatchJob { max_series: 2, on_corrupt: OnCorrupt::Skip, ..job(folder.path(), FORECASTS) };
    let error = run_whole(&job).unwrap_err().to_string();
    assert!(error.starts_with("more than 2 series: raise"), "{error}");
    let job = BatchJob { max_series: 4, ..job };
    run_whole(&job).unwrap();
    write(folder.path(), "lake/day=04/x.parquet", &wave("a", 260..270));
    let error = run_whole(&BatchJob { max_series: 3, ..job }).unwrap_err().to_string();
    assert!(error.starts_with("more than 3 series: raise"), "{error}");
}

#[test]
fn a_second_process_waits_outside() {
    let folder = lake();
    let job = job(folder.path(), FORECASTS);
    let mut inner = None;
    run(&job, &MODEL, &mut |_| {
        inner.get_or_insert_with(|| run_whole(&job).unwrap_err().to_string());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(inner.unwrap().contains("another process runs a job into"));
}

#[test]
fn damaged_states_are_refused() {
    let folder = lake();
    let job = job(folder.path(), FORECASTS);
    run_whole(&job).unwrap();
    let name = fs::read_dir(job.output.join("_states")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&name).unwrap();
    for damage in [whole[..whole.len() / 2].to_vec(), [&whole[..200], &[whole[200] ^ 1], &whole[201..]].concat()] {
        fs::write(&name, damage).unwrap();
        assert!(saved_states(&job.output, &MODEL, &mut |_| Ok(())).is_err());
    }
    fs::write(&name, whole).unwrap();
    saved_states(&job.output, &MODEL, &mut |_| Ok(())).unwrap();
}
