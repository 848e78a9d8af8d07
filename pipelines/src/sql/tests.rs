use std::{fs, path::Path, sync::LazyLock};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{Float32Type, Float64Type, Int64Type},
};
use tempfile::TempDir;
use unspool_ingest::schema::TimeKind;
use unspool_model::{Events, Item, Model, Options};

use super::*;
use crate::{Embed, EmbedOptions, ForecastOptions, Forecaster, Pooling, stream::emit::score, testing};

static MODEL: LazyLock<std::sync::Arc<Model>> = LazyLock::new(testing::series_model);

type Row = (&'static str, i64, Option<f64>);

/// Three series of several lengths, `c` of one row; they lie among one another.
fn rows() -> Vec<Row> {
    let value = |time: i64| (time % 29 != 3).then(|| (time as f64 / 5.0).sin() * 10.0 + time as f64 / 100.0);
    let series = |id, len: i64| (0..len).filter(|time| time % 37 != 11).map(move |time| (id, time, value(time)));
    let mut all: Vec<Row> = series("a", 150).chain(series("b", 70)).chain(series("c", 1)).collect();
    all.sort_by_key(|row| (row.1 * 7919 % 101, row.1, row.0));
    all
}

/// A folder with `series.csv`: the rows, in no order.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = |(id, time, value): &Row| format!("{id},{time},{}\n", value.map_or(String::new(), |v| v.to_string()));
    let text: String = rows().iter().map(line).collect();
    fs::write(folder.path().join("series.csv"), format!("id,time,value\n{text}")).unwrap();
    folder
}

fn session(memory: usize) -> SqlSession {
    let limits = Limits { memory, spill: None, threads: 2 };
    let load = Box::new(|| Ok(std::sync::Arc::clone(&*MODEL)));
    SqlSession::new(&limits, load, Functions { pack_tokens: Some(64), ..Functions::default() }).unwrap()
}

async fn ask(session: &SqlSession, folder: &Path, sql: &str) -> Result<RecordBatch> {
    let sql = sql.replace("FILE", &format!("'{}'", folder.join("series.csv").display()));
    let mut answer = session.query(&sql).await?;
    let (schema, mut all) = (answer.schema(), vec![]);
    while let Some(rows) = answer.next().await? {
        all.push(rows);
    }
    Ok(concat_batches(&schema, &all).unwrap())
}

async fn answer(sql: &str) -> RecordBatch {
    let folder = folder();
    ask(&session(1 << 30), folder.path(), sql).await.unwrap()
}

/// The rows of each series by itself, in order.
fn ordered() -> RecordBatch {
    let mut rows = rows();
    rows.sort_by_key(|row| (row.0, row.1));
    testing::series(TimeKind::Step, &rows)
}

fn bits(column: &dyn Array) -> Vec<Option<u64>> {
    column.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forecasts_are_those_of_the_command() {
    let options = ForecastOptions {
        horizon: 5.try_into().unwrap(),
        levels: None,
        time: TimeKind::Step,
        pack_tokens: 64,
        max_series: 10,
    };
    let (expected, ..) =
        testing::run(Box::new(Forecaster::new(MODEL.clone(), options).unwrap()), ordered(), 1000).await;
    let lists = "select id, unnest(f) from (select id, forecast(array_agg(time order by time), \
                 array_agg(value order by time), 5) as f from FILE group by id) order by id";
    let last = "select id, unnest(f) from (select id, forecast(time, value, 5) over (partition by id order by time) as f, \
                row_number() over (partition by id order by time desc) as back from FILE) where back = 1 order by id";
    for sql in [lists, last] {
        let found = answer(&format!(
            "select id, s['time'] as time, s['step'] as step, s['q10'] as q10, s['q90'] as q90 from ({}) \
            order by id, step",
            sql.replace("unnest(f)", "unnest(f) as s")
        ))
        .await;
        assert_eq!(found.num_rows(), expected.num_rows(), "{sql}");
        assert_eq!(found["step"].as_ref(), expected["step"].as_ref());
        for level in ["q10", "q90"] {
            assert_eq!(bits(&found[level]), bits(&expected[level]), "{level} of {sql}");
        }
        // The command gives a series of one row the others' step; here nothing stands beside it.
        let (times, all) = (found["time"].as_primitive::<Int64Type>(), expected["time"].as_primitive::<Int64Type>());
        assert_eq!(times.slice(0, 10), all.slice(0, 10));
        assert_eq!(times.slice(10, 5).null_count(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_forecast_as_if_none_followed() {
    let found = answer(
        "select id, time, f[3]['q50'] as q50 from (select id, time, forecast(time, value, 3) over (partition by id order by \
         time) as f from FILE) order by id, time",
    )
    .await;
    let all = ordered();
    assert_eq!(found.num_rows(), all.num_rows());
    let q50 = bits(&found["q50"]);
    for len in [1, 4, 40, 63, 64, 66, 90, 145] {
        let options = ForecastOptions {
            horizon: 3.try_into().unwrap(),
            levels: None,
            time: TimeKind::Step,
            pack_tokens: 64,
            max_series: 10,
        };
        let job = Box::new(Forecaster::new(MODEL.clone(), options).unwrap());
        let (expected, ..) = testing::run(job, all.slice(0, len), 1000).await;
        assert_eq!(q50[len - 1], bits(&expected["q50"])[2], "{len}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_those_of_the_command() {
    let options = EmbedOptions { pooling: Pooling::Mean, layer: None, pack_tokens: 64, max_sequences: 10 };
    let (expected, ..) = testing::run(Box::new(Embed::new(MODEL.clone(), options).unwrap()), ordered(), 1000).await;
    let expected = expected["embedding"].as_fixed_size_list();
    let numbers = |row: &dyn Array| -> Vec<u32> {
        row.as_primitive::<Float32Type>().values().iter().map(|value| value.to_bits()).collect()
    };
    let lists = answer(
        "select id, embed(array_agg(time order by time), array_agg(value order by time), array_agg(-value order by time)) \
         as e from FILE group by id order by id",
    )
    .await;
    let last = answer(
        "select id, e from (select id, embed(time, value, -value) over (partition by id order by time) as e, row_number() \
         over (partition by id order by time desc) as back from FILE) where back = 1 order by id",
    )
    .await;
    let (lists, last) = (lists["e"].as_fixed_size_list(), last["e"].as_fixed_size_list());
    let width = usize::try_from(expected.value_length()).unwrap();
    assert_eq!(lists.value_length(), 2 * expected.value_length());
    for row in 0..expected.len() {
        let (found, wanted) = (numbers(&lists.value(row)), numbers(&expected.value(row)));
        assert_eq!(found[..width], wanted);
        assert_ne!(found[width..], wanted);
        assert_eq!(numbers(&last.value(row)), found);
    }
    // `c` is shorter than a patch.
    assert!(lists.is_null(2) && last.is_null(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_those_of_each_series_by_itself() {
    let mut rows = rows();
    rows.sort_by_key(|row| (row.0, row.1));
    let mut expected = vec![];
    for id in ["a", "b", "c"] {
        let series: Vec<&Row> = rows.iter().filter(|row| row.0 == id).collect();
        let values: Vec<f64> = series.iter().map(|row| row.2.unwrap_or(f64::NAN)).collect();
        let mut state = MODEL.open(&Options { anomaly: true, ..Options::default() }).unwrap();
        let mut items = [Item { state: &mut state, events: Events::Values(&values) }];
        let p_values = MODEL.append(&mut items).unwrap().remove(0).scores;
        let there = p_values.iter().zip(series).filter(|(_, row)| row.2.is_some());
        expected.extend(there.map(|(p_value, _)| Some(score(*p_value).to_bits()).filter(|_| !p_value.is_nan())));
    }
    let window = "select id, time, anomaly(time, value) over (partition by id order by time) as score, value from FILE";
    let lists = "select id, unnest(array_agg(time order by time)) as time, unnest(array_agg(value order by time)) as value, \
                 unnest(anomaly(array_agg(time order by time), array_agg(value order by time))) as score from FILE group by id";
    for sql in [window, lists] {
        let found = answer(&format!("select score from ({sql}) where value is not null order by id, time")).await;
        assert_eq!(bits(&found["score"]), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_show_where_the_model_runs() {
    let text = |rows: RecordBatch| -> String {
        let plans = rows.column(1).as_string::<i32>().iter().flatten().map(str::to_owned);
        plans.collect::<Vec<_>>().join("\n")
    };
    let place = format!("model {} ({}) on cpu", MODEL.info().name, &MODEL.info().digest.to_string()[..12]);
    let window =
        text(answer("explain select anomaly(time, value) over (partition by id order by time) from FILE").await);
    assert!(window.contains("SeriesExec: [anomaly(") && window.contains(&place), "{window}");
    let lists = text(
        answer(
            "explain select embed(array_agg(time order by time), array_agg(value order by time)) from FILE group by id",
        )
        .await,
    );
    assert!(lists.contains(&place), "{lists}");
    let plain = session(1 << 30);
    let folder = folder();
    let none = text(ask(&plain, folder.path(), "explain select count(*) from FILE").await.unwrap());
    assert!(!none.contains("model ") && plain.model().is_none(), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_count_give_nulls_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..100).map(|time| format!("a,{time},{}\n", time % 7)).collect();
    fs::write(folder.path().join("series.csv"), format!("id,time,value\n{lines}a,50,3\na,,4\n")).unwrap();
    let session = session(1 << 30);
    let sql = "select time, anomaly(time, value) over (partition by id order by time) as score from FILE order by time";
    let found = ask(&session, folder.path(), sql).await.unwrap();
    assert_eq!(found.num_rows(), 102);
    assert_eq!(session.unused().count, 2);
    let reason = session.unused().first.unwrap().reason;
    assert!(reason == "it has no time" || reason.starts_with("its time 50 is not after"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_said() {
    let folder = folder();
    let session = session(1 << 30);
    for (sql, expected) in [
        ("select forecast(time, value, 3) from FILE group by id", "forecast: "),
        (
            "select forecast(time, value, 3) from FILE",
            "forecast: it takes lists where it has no window: write forecast(time, \
          value, 24) over (partition by SERIES order by time), or for each group forecast(array_agg(time order by time), \
          array_agg(value order by time), 24); as an aggregate it would have to merge parts of a series, which a recurrent \
          model cannot",
        ),
        (
            "select anomaly(time, value) over (partition by id) from FILE",
            "anomaly: the window is to be ordered by its first argument, the time, ascending: write anomaly(",
        ),
        (
            "select anomaly(time, value) over (partition by id order by time desc) from FILE",
            "anomaly: the window is to be ordered",
        ),
        (
            "select anomaly(time, value) over (order by time rows between 3 preceding and current row) from FILE",
            "anomaly: what it gives of a row follows from the rows up to it",
        ),
        ("select anomaly(id, value) over (order by id) from FILE", "anomaly: argument 1 is Utf8"),
        (
            "select forecast(time, value, 0) over (order by time) from FILE",
            "forecast: the horizon is one number for all series, from 1 to 65536",
        ),
        ("select forecast(time, value) over (order by time) from FILE", "forecast: 2 arguments do not fit"),
        ("select embed('ACGT')", "embed: series-3 is no DNA model: name one with --model: "),
        ("select * from read_fasta('none.fa')", "read_fasta('none.fa'): there is no such file"),
        ("select * from 'none.parquet'", "table 'datafusion.public.none.parquet' not found"),
        ("select no from FILE", "Schema error: No field named no."),
        ("selec 1", "the query: Expected: an SQL statement, found: selec at Line: 1, Column: 1"),
    ] {
        let error = ask(&session, folder.path(), sql).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{sql}\n{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited() {
    let folder = folder();
    let sql = "select forecast(make_array(n, n + 1), make_array(n, n), 65536) from generate_series(1, 3000) as g(n)";
    let error = ask(&session(1 << 30), folder.path(), sql).await.unwrap_err().to_string();
    let problem = " answers of 720896 numbers at once are too many (at most 268435456 numbers): ask for a shorter horizon, or of fewer rows of a series";
    assert!(error.starts_with("forecast: ") && error.ends_with(problem), "{error}");
    let sql =
        "select a.value, b.value, c.value from FILE a, FILE b, FILE c order by a.value + b.value + c.value, 1, 2, 3";
    let error = ask(&session(1 << 20), folder.path(), sql).await.unwrap_err();
    assert!(matches!(error, Error::Memory(_)), "{error}");
}
