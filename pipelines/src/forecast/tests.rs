use arrow::{
    array::AsArray,
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type},
};

use super::*;
use crate::testing::{dna_model, run, series, series_model};

const DAY: i64 = 86_400_000_000;

fn options(horizon: usize, time: TimeKind, pack_tokens: usize) -> ForecastOptions {
    ForecastOptions {
        horizon: NonZeroUsize::new(horizon).expect("not 0"),
        levels: None,
        time,
        pack_tokens,
        max_series: 100,
    }
}

async fn forecast(
    options: ForecastOptions,
    input: &[(&str, i64, Option<f64>)],
    batch_rows: usize,
) -> (RecordBatch, Vec<String>) {
    let time = options.time;
    let job = Forecaster::new(series_model(), options).expect("a job");
    let (rows, committed, _) = run(Box::new(job), series(time, input), batch_rows).await;
    (rows, committed.rejects.into_iter().map(|reject| format!("{}: {}", reject.place, reject.reason)).collect())
}

/// Rows as `id step time`.
fn places(rows: &RecordBatch) -> Vec<String> {
    let ids = rows["id"].as_string::<i32>();
    let steps = rows["step"].as_primitive::<UInt32Type>();
    let times = rows["time"].as_ref();
    let time = |row| match times.data_type() {
        _ if times.is_null(row) => "?".into(),
        DataType::Int64 => times.as_primitive::<Int64Type>().value(row).to_string(),
        _ => format!("day {}", times.as_primitive::<TimestampMicrosecondType>().value(row) / DAY),
    };
    (0..rows.num_rows()).map(|row| format!("{} {} {}", ids.value(row), steps.value(row), time(row))).collect()
}

#[tokio::test]
async fn every_series_is_forecast_with_its_times() {
    let mut input = vec![("one", 3 * DAY, Some(5.0))];
    input.extend((0..40).map(|day| ("b", day * 7 * DAY, Some(day as f64))));
    input.extend((0..20).map(|day| ("missing", day * DAY, None)));
    input.extend((0..30).map(|day| ("a", day * DAY, Some(1.0))));
    input.extend((0..30).map(|day| ("c", day * DAY, Some(1e300))));
    let (rows, rejects) = forecast(options(2, TimeKind::Timestamp, 2048), &input, 1000).await;
    let expected = [
        "one 1 day 4",
        "one 2 day 5",
        "b 1 day 280",
        "b 2 day 287",
        "a 1 day 30",
        "a 2 day 31",
        "c 1 day 30",
        "c 2 day 31",
    ];
    assert_eq!(places(&rows), expected);
    assert_eq!(rejects, ["series 'missing': it has no value, only missing ones"]);
    for row in 0..rows.num_rows() {
        let level = |percent: usize| rows[format!("q{percent}").as_str()].as_primitive::<Float64Type>().value(row);
        let quantiles: Vec<f64> = (1..10).map(|decile| level(10 * decile)).collect();
        assert!(quantiles.iter().all(|value| value.is_finite()), "{quantiles:?}");
        assert!(quantiles.is_sorted(), "{quantiles:?}");
    }
}

#[tokio::test]
async fn neither_packs_nor_batches_change_a_bit() {
    let mut input = vec![];
    for step in 0..90 {
        let value = |scale: f64| Some(scale * f64::from(step % 7));
        input.push(("a", i64::from(step), value(3.0)));
        input.push(("b", 2 * i64::from(step), value(-1.0)));
        if step % 5 > 0 {
            input.push(("c", i64::from(step), value(100.0)));
        }
    }
    let (expected, _) = forecast(options(70, TimeKind::Step, 2048), &input, 1000).await;
    assert_eq!((expected.num_rows(), places(&expected)[70].as_str()), (210, "b 1 180"));
    for (pack_tokens, batch_rows) in [(1, 1), (13, 50), (100, 7)] {
        let (rows, _) = forecast(options(70, TimeKind::Step, pack_tokens), &input, batch_rows).await;
        assert_eq!(rows, expected, "packs of {pack_tokens}, batches of {batch_rows}");
    }
}

#[tokio::test]
async fn a_single_row_has_no_future_times() {
    let (rows, rejects) = forecast(options(1, TimeKind::Step, 2048), &[("one", 7, Some(1.0))], 10).await;
    assert_eq!((places(&rows), rejects), (vec!["one 1 ?".to_owned()], vec![]));
    let (rows, _) = forecast(options(1, TimeKind::Step, 2048), &[], 10).await;
    assert_eq!(rows.num_rows(), 0);
}

#[test]
fn other_models_are_refused() {
    let error = Forecaster::new(dna_model(), options(1, TimeKind::Step, 1)).err().expect("no series model").to_string();
    assert!(error.ends_with("is no series model: leave --model out for the built-in one"), "{error}");
}
