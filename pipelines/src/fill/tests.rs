//! What is filled in, and what is left alone.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::Float64Type,
};
use unspool_ingest::schema::TimeKind;
use unspool_model::{Model, RunOptions};

use super::*;
use crate::Job;

fn model() -> Model {
    Model::series(RunOptions::cpu()).unwrap()
}

/// Days of hours.
fn wave(i: usize) -> f64 {
    40.0 + 10.0 * (i as f64 * std::f64::consts::TAU / 24.0).sin() + (i / 24 % 7) as f64
}

#[test]
fn a_season_is_filled_in_better_than_by_lines() {
    let truth: Vec<f64> = (0..700).map(wave).collect();
    let mut values = truth.clone();
    for gap in [100..101, 200..212, 300..340, 500..560] {
        values[gap].fill(f64::NAN);
    }
    let filled = fill(&model(), &[&values]).unwrap().remove(0);
    let (mut model_error, mut line_error) = (0.0, 0.0);
    for gap in gaps(&values) {
        let (a, b) = (truth[gap.start - 1], truth[gap.end]);
        for (place, i) in gap.clone().enumerate() {
            let estimate = filled[i].unwrap();
            assert!(estimate.low <= estimate.median && estimate.median <= estimate.high);
            model_error += (estimate.median - truth[i]).abs();
            line_error += (a + (b - a) * (place + 1) as f64 / (gap.len() + 1) as f64 - truth[i]).abs();
        }
    }
    assert!(model_error < 0.35 * line_error, "{model_error} against {line_error} by lines");
    assert!((0..700).all(|i| filled[i].is_some() == values[i].is_nan()));
}

#[test]
fn gaps_at_the_ends_have_one_side_and_nothing_comes_of_nothing() {
    let mut values: Vec<f64> = (0..200).map(wave).collect();
    values[..20].fill(f64::NAN);
    values[180..].fill(f64::NAN);
    let nothing = [f64::NAN; 30];
    let empty: [f64; 0] = [];
    let filled = fill(&model(), &[&values, &nothing, &empty, &[7.0, f64::NAN, 7.0]]).unwrap();
    assert!((0..200).all(|i| filled[0][i].is_some() == values[i].is_nan()));
    assert!(filled[1].iter().all(Option::is_none) && filled[2].is_empty());
    assert!((filled[3][1].unwrap().median - 7.0).abs() < 1.0, "{:?}", filled[3][1]);
}

#[test]
fn company_changes_nothing() {
    let mut values: Vec<f64> = (0..300).map(wave).collect();
    values[50..90].fill(f64::NAN);
    values[200..203].fill(f64::NAN);
    let mut other = values.clone();
    other[10..290].fill(f64::NAN);
    let model = model();
    let alone = fill(&model, &[&values]).unwrap();
    assert_eq!(fill(&model, &[&other, &values]).unwrap()[1], alone[0]);
}

#[test]
fn a_job_adds_the_rows_that_a_grid_lacks_and_rejects_late_ones() {
    const HOUR: i64 = 3_600_000_000;
    let options = FillOptions { time: TimeKind::Timestamp, pack_values: 100, max_series: 1 };
    let mut job = Filler::new(Arc::new(model()), options).unwrap();
    let hours: Vec<i64> = (0..60).filter(|i| !(30..33).contains(i)).chain([59, 60]).collect();
    let times: Vec<i64> = hours.iter().map(|hour| hour * HOUR).collect();
    let values: Vec<Option<f64>> = hours.iter().map(|hour| (*hour != 40).then_some(wave(*hour as usize))).collect();
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["a"; hours.len()])) as ArrayRef),
        ("time", Arc::new(TimestampMicrosecondArray::from(times))),
        ("value", Arc::new(Float64Array::from(values))),
    ])
    .unwrap();
    let rejects = job.push(&rows).unwrap();
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    job.end().unwrap();
    let step = job.step().unwrap().unwrap();
    assert_eq!((step.rows.num_rows(), job.closing()), (61, Some((1, 1))));
    let filled = step.rows["filled"].as_boolean();
    let which: Vec<usize> = (0..61).filter(|i| filled.value(*i)).collect();
    assert_eq!(which, [30, 31, 32, 40]);
    assert_eq!(step.rows["value"].null_count(), 0);
    assert!((step.rows["value"].as_primitive::<Float64Type>().value(31) - wave(31)).abs() < 4.0);
    assert!(job.step().unwrap().is_none());

    let mut job = Filler::new(Arc::new(model()), FillOptions { max_series: 0, ..options }).unwrap();
    let error = job.push(&rows).unwrap_err().to_string();
    assert_eq!(error, "more than 0 series: give fewer at once, or allow more");
}
