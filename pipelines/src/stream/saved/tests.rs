//! What is handed over is what one run over all events comes to.

use std::collections::BTreeMap;

use unspool_ingest::kafka::{Content, Decoder, Fields, Format, Record, TimeFrom, TimeUnit};
use unspool_model::{Events, Item};

use super::*;
use crate::{stream::job::StreamJob, testing::series_model};

/// A row: partition, series, time; its value follows from these.
type Place = (i32, &'static str, i64);

fn value((_, series, time): Place) -> f64 {
    (time as f64 / 7.0).sin() + series.len() as f64
}

fn job(folder: &Path) -> StreamJob {
    let connection =
        unspool_ingest::kafka::client::Connection { bootstrap: "nowhere".into(), settings: BTreeMap::new() };
    let content = Content::Values(vec!["v".into()]);
    let time = TimeFrom::Header("t".into());
    let fields = Fields { id: "key".parse().unwrap(), time, time_unit: TimeUnit::Step, content };
    StreamJob::scores(&connection, ("group", folder), ("in", "out"), fields)
}

/// Runs rows as a worker does, and leaves snapshots of both partitions; `None` instead of a time ends the series.
fn stream(folder: &Path, (model, job): (&Arc<Model>, &StreamJob), rows: &[(Place, bool)]) {
    let snapshots = Snapshots::new(folder.join("snapshots/group/in"), job.identity(model));
    let mut core = Core::new(Arc::clone(model), &job.core).unwrap();
    let mut decoder = Decoder::new(&Format::Json, job.fields.clone()).unwrap();
    for partition in 0..2 {
        core.begin((partition, 0, 0), &snapshots, None).unwrap();
    }
    for (offset, (place, ends)) in (0..).zip(rows) {
        let (payload, time) = (format!("{{\"v\":{}}}", value(*place)), place.2.to_string());
        let record = Record {
            partition: place.0,
            offset,
            key: Some(place.1.as_bytes()),
            payload: (!ends).then_some(payload.as_bytes()),
            headers: vec![("t", time.as_bytes())],
            ..Record::default()
        };
        core.process(&decoder.decode(&[record]).rows, &[(place.0, offset + 1)]).unwrap();
    }
    for partition in 0..2 {
        core.snapshot(partition, &snapshots).unwrap();
    }
}

/// A series' name, the time of its last event and its state.
type Handed = (String, i64, Vec<u8>);

fn handed(saved: &Saved, model: &Arc<Model>) -> (Vec<Handed>, Vec<SavedPartition>) {
    let mut found = vec![];
    let take = &mut |series: SavedSeries| {
        found.push((series.id, series.last_time, model.save(&series.state).unwrap()));
        Ok(())
    };
    let ends = saved.states(model, take).unwrap();
    (found, ends)
}

#[test]
fn states_are_those_of_one_run() {
    let (folder, model) = (tempfile::tempdir().unwrap(), series_model());
    let mut job = job(folder.path());
    // The last rows of each partition wait for later ones.
    job.core.time.order = Order::Time { lateness: 3, most_waiting: 100 };
    let wave = |place: fn(i64) -> Place, len: i64| (0..len).map(move |time| (place(time), false));
    let mut rows: Vec<_> = wave(|time| (0, "a", time), 50).chain(wave(|time| (1, "bb", time), 70)).collect();
    rows.extend(wave(|time| (1, "ccc", time + 70), 5));
    rows.push(((1, "ccc", 75), true));
    stream(folder.path(), (&model, &job), &rows);
    let saved = Saved::find(folder.path()).unwrap().unwrap();
    assert_eq!(saved.model(), model.info().digest.to_string());
    let (found, ends) = handed(&saved, &model);
    let alone = |series: &'static str, len: i64| {
        let values: Vec<f64> = (0..len).map(|time| value((0, series, time))).collect();
        let mut state = model.open(&job.core.emit.options(&model).unwrap()).unwrap();
        model.append(&mut [Item { state: &mut state, events: Events::Values(&values) }]).unwrap();
        (series.to_owned(), len - 1, model.save(&state).unwrap())
    };
    assert_eq!(found, [alone("a", 50), alone("bb", 70)]);
    let end = |partition, next| SavedPartition { partition, next, series: 1 };
    assert_eq!(ends, [end(0, 50), end(1, 126)]);
    let by_topic = Saved::find(&folder.path().join("snapshots/group/in")).unwrap().unwrap();
    assert_eq!(handed(&by_topic, &model).0, found);
}

#[test]
fn what_is_not_one_job_is_refused() {
    let (folder, model) = (tempfile::tempdir().unwrap(), series_model());
    assert!(Saved::find(folder.path()).unwrap().is_none());
    assert!(Saved::find(&folder.path().join("nowhere")).unwrap().is_none());
    let job = job(folder.path());
    stream(folder.path(), (&model, &job), &[((0, "a", 0), false)]);
    let saved = Saved::find(folder.path()).unwrap().unwrap();
    let other = Arc::new(Model::series_1(unspool_model::RunOptions::cpu()).unwrap());
    let error = saved.states(&other, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("is of the model ") && error.contains("not of series-1"), "{error}");
    fs::create_dir_all(folder.path().join("snapshots/other/in")).unwrap();
    let error = Saved::find(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds several jobs' states: name one of ") && error.contains("group/in"), "{error}");
}
