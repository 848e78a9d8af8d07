//! A stream job goes on from where a batch job left its series.

use unspool_ingest::kafka::{Content, Decoder, Fields, Format, Record, TimeFrom, TimeUnit};

use super::*;
use crate::stream::{
    Seed,
    core::{Core, CoreOptions, Processed},
    emit::{Emit, Every, Output},
    snapshot::Snapshots,
    time::TimeOptions,
};

const EMIT: Emit = Emit { give: Give::Scores, every: Every::Events(1) };

/// Rows as a topic's records, whose offsets are their places; no time: the series ends.
fn records(rows: &[(&str, Option<i64>, Option<f64>)], from: usize) -> RecordBatch {
    let content = Content::Values(vec!["v".into()]);
    let time = TimeFrom::Header("t".into());
    let fields = Fields { id: "key".parse().unwrap(), time, time_unit: TimeUnit::Step, content };
    let mut decoder = Decoder::new(&Format::Json, fields).unwrap();
    let decoded = rows.iter().enumerate().map(|(at, (id, time, value))| {
        let payload = time.map(|_| value.map_or(r#"{"v":null}"#.to_owned(), |value| format!(r#"{{"v":{value}}}"#)));
        let text = time.unwrap_or_default().to_string();
        decoder.decode(&[Record {
            offset: (from + at) as i64,
            key: Some(id.as_bytes()),
            payload: payload.as_deref().map(str::as_bytes),
            headers: vec![("t", text.as_bytes())],
            ..Record::default()
        }])
    });
    let all: Vec<RecordBatch> = decoded.map(|decoded| decoded.rows).collect();
    concat_batches(&unspool_ingest::schema::events(), &all).unwrap()
}

fn core(snapshots: &Snapshots, (seed, at): (Option<&Arc<Seed>>, i64)) -> Core {
    let options = CoreOptions { time: TimeOptions::default(), emit: EMIT, states_bytes: 1 << 20 };
    let mut core = Core::new(Arc::clone(&MODEL), &options).unwrap().begun_with(seed);
    let newest = snapshots.newest(0, at).unwrap();
    core.begin((0, 0, at), snapshots, newest).unwrap();
    core
}

#[test]
fn series_go_on_to_the_bits_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let before = [wave("a", 0..90), wave("b", 0..50)].concat();
    write(folder.path(), "lake/x.parquet", &before);
    let job = job(folder.path(), Give::Scores);
    run_whole(&job).unwrap();
    let seed = Arc::new(Seed::open(&job.output, &MODEL, (&EMIT, TimeKind::Step)).unwrap());
    let timed = |rows: Vec<Row>| rows.into_iter().map(|(id, time, value)| (id, Some(time), value)).collect::<Vec<_>>();
    // `b` ends, and begins anew; `n` is new; rows that the batch job had are late.
    let after = [
        timed(wave("a", 80..130)),
        timed(wave("b", 50..80)),
        vec![("b", None, None)],
        timed(wave("n", 0..40)),
        timed(wave("b", 0..30)),
        timed(wave("a", 130..150)),
    ]
    .concat();
    let late = wave("a", 80..90).len();
    let all = [timed(before.clone()), after[late..].to_vec()].concat();

    let dir = |name: &str| Snapshots::new(folder.path().join(name), "{}".into());
    let whole = core(&dir("whole"), (None, 0)).process(&records(&all, 0), &[(0, i64::MAX)]).unwrap();
    let snapshots = dir("begun");
    let mut begun = core(&snapshots, (Some(&seed), 0));
    let (mut outputs, mut rejects, mut from) = (vec![], 0, 0);
    for to in [30, 95, 110, after.len()] {
        let given = begun.process(&records(&after[from..to], from), &[(0, to as i64)]).unwrap();
        let Processed { outputs: more, rejects: refused, .. } = given;
        (outputs, rejects) = ([outputs, more].concat(), rejects + refused.len());
        from = to;
        begun.snapshot(0, &snapshots).unwrap();
        // As after a crash.
        begun = core(&snapshots, (Some(&seed), to as i64));
    }
    let content = |outputs: &[Output]| {
        outputs
            .iter()
            .map(|output| (output.series.to_string(), output.time, output.content.clone()))
            .collect::<Vec<_>>()
    };
    let given = whole.outputs.len() - outputs.len();
    assert_eq!(given, before.iter().filter(|row| row.2.is_some()).count());
    assert_eq!(content(&outputs), content(&whole.outputs[given..]));
    assert_eq!((rejects, whole.rejects.len()), (late, 0));
}

#[test]
fn another_request_is_refused() {
    let folder = lake();
    let job = job(folder.path(), FORECASTS);
    run_whole(&job).unwrap();
    let check = |give: Give, kind, expected: &str| {
        let emit = Emit { give, every: Every::Events(1) };
        let error = Seed::open(&job.output, &MODEL, (&emit, kind)).unwrap_err().to_string();
        assert_eq!(error, expected.replace("OUT", &job.output.display().to_string()));
    };
    let other = "run.begin_with: OUT was run for something else than output.give: scores go on from scores, embeddings of a \
                 layer from those";
    check(Give::Scores, TimeKind::Step, other);
    check(EMBEDDINGS, TimeKind::Step, other);
    let times = "run.begin_with: times are step numbers in OUT, and timestamps in the topic";
    check(Give::Forecast { horizon: 9 }, TimeKind::Timestamp, times);
    let emit = Emit { give: FORECASTS, every: Every::Events(1) };
    let nowhere = Seed::open(folder.path(), &MODEL, (&emit, TimeKind::Step)).unwrap_err().to_string();
    assert!(nowhere.ends_with("holds no batch job's output: there is no _manifest.json"), "{nowhere}");
}
