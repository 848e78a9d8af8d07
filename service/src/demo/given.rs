//! What each way gave of each series, and whether it is the same.

use std::collections::BTreeMap;

use chrono::DateTime;
use indicatif::HumanCount;

use super::{
    HORIZON,
    error::{Error, Result},
    rides::{DAY, Rides, Zone},
};

/// A scored value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    /// µs since 1970.
    pub(super) time: i64,
    /// The value.
    pub(super) value: f64,
    /// NaN: nothing was forecast yet.
    pub(super) p_value: f64,
}

/// The forecast of a series after its value at `time`, a step at a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ahead {
    /// The last value's time, µs since 1970.
    pub(super) time: i64,
    /// From 1.
    pub(super) step: usize,
    /// By growing level.
    pub(super) quantiles: Vec<f64>,
}

/// What one way gave, in the order in which it gave it.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Scores of each series.
    pub(super) scores: BTreeMap<String, Vec<Scored>>,
    /// Forecasts of each series, the last ones after its last value.
    pub(super) forecasts: BTreeMap<String, Vec<Ahead>>,
}

/// Compares the three ways. What was compared, a line each.
///
/// # Errors
/// The first thing that was lost, came twice or late, or is another bit.
pub(super) fn verify(rides: &Rides, [stream, batch, sessions]: [&Given; 3]) -> Result<Vec<String>> {
    let ways = [("the stream job", stream), ("the batch job", batch), ("the session", sessions)];
    for zone in &rides.zones {
        for (way, given) in ways {
            whole(zone, (way, given.scores.get(&zone.id).map_or(&[], Vec::as_slice)))?;
        }
        daily(zone, stream)?;
        for (way, given) in &ways[1..] {
            same_scores(zone, (&stream.scores[&zone.id], &given.scores[&zone.id]), way)?;
            same_forecast(zone, (stream, given), way)?;
        }
    }
    let (events, series) = (HumanCount(rides.events() as u64), rides.zones.len());
    let forecasts = rides.events() / DAY;
    Ok(vec![
        format!("{events} events of {series} series were scored by the stream job, each exactly once and in order"),
        format!("{events} scores: stream job, batch job and sessions agree to the bit"),
        format!("{series} forecasts of the next {HORIZON} values: stream job, batch job and sessions agree to the bit"),
        format!("{forecasts} daily forecasts came from the stream job, each exactly once and in order"),
    ])
}

fn differs(zone: &Zone, time: i64, what: &str) -> Error {
    let at = DateTime::from_timestamp_micros(time).unwrap_or_default().format("%Y-%m-%d %H:%M");
    Error::Differs(format!("{} at {at}: {what}", zone.id))
}

/// Each value of a series was scored, once, in order.
fn whole(zone: &Zone, (way, scores): (&str, &[Scored])) -> Result<()> {
    for (number, (time, value)) in zone.rows.iter().enumerate() {
        let time = time * 1_000_000;
        let Some(scored) = scores.get(number) else {
            return Err(differs(zone, time, &format!("{way} has lost this value")));
        };
        if scored.time < time {
            return Err(differs(zone, scored.time, &format!("{way} gives this value twice")));
        }
        if scored.time > time {
            return Err(differs(zone, time, &format!("{way} has lost this value")));
        }
        if scored.value.to_bits() != value.to_bits() {
            return Err(differs(zone, time, &format!("{way} read {} for {value}", scored.value)));
        }
    }
    match scores.get(zone.rows.len()) {
        Some(more) => Err(differs(zone, more.time, &format!("{way} gives this value twice"))),
        None => Ok(()),
    }
}

/// The stream job gave a forecast after each day, all steps of it, once.
fn daily(zone: &Zone, stream: &Given) -> Result<()> {
    let given = stream.forecasts.get(&zone.id).map_or(&[][..], Vec::as_slice);
    let days = zone.rows.chunks_exact(DAY).filter_map(|day| day.last());
    let expected = days.flat_map(|(time, _)| (1..=HORIZON as usize).map(move |step| (time * 1_000_000, step)));
    let mut count = 0;
    for (time, step) in expected {
        let found = given.get(count).map(|ahead| (ahead.time, ahead.step));
        if found != Some((time, step)) {
            return Err(differs(zone, time, &format!("step {step} of the stream job's forecast is not there once")));
        }
        count += 1;
    }
    match given.get(count) {
        Some(more) => Err(differs(zone, more.time, "the stream job gives a forecast twice")),
        None => Ok(()),
    }
}

/// NaN is NaN, whatever its bits.
fn bits(value: f64) -> Option<u64> {
    Some(value.to_bits()).filter(|_| !value.is_nan())
}

fn same_scores(zone: &Zone, (stream, other): (&[Scored], &[Scored]), way: &str) -> Result<()> {
    for (a, b) in stream.iter().zip(other) {
        if bits(a.p_value) != bits(b.p_value) {
            let what = format!("the stream job gives p = {:e}, {way} {:e}", a.p_value, b.p_value);
            return Err(differs(zone, a.time, &what));
        }
    }
    Ok(())
}

/// The last forecasts are equal.
fn same_forecast(zone: &Zone, (stream, other): (&Given, &Given), way: &str) -> Result<()> {
    let last = |given: &Given| {
        let all = given.forecasts.get(&zone.id).map_or(&[][..], Vec::as_slice);
        let last = &all[all.len().saturating_sub(HORIZON as usize)..];
        last.iter().flat_map(|ahead| &ahead.quantiles).map(|value| bits(*value)).collect::<Vec<_>>()
    };
    let (a, b) = (last(stream), last(other));
    if a == b && !a.is_empty() {
        return Ok(());
    }
    let time = zone.rows.last().map_or(0, |row| row.0 * 1_000_000);
    let at = a.iter().zip(&b).position(|(a, b)| a != b);
    let where_ = at.map_or(format!("{} and {} numbers", a.len(), b.len()), |at| format!("number {at} differs"));
    Err(differs(zone, time, &format!("the forecasts of the stream job and {way} are not the same: {where_}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(rides: &Rides) -> Given {
        let mut given = Given::default();
        for zone in &rides.zones {
            let scored = |(time, value): &(i64, f64)| Scored { time: time * 1_000_000, value: *value, p_value: 0.5 };
            given.scores.insert(zone.id.clone(), zone.rows.iter().map(scored).collect());
            let day = |day: &[(i64, f64)]| {
                let time = day[DAY - 1].0 * 1_000_000;
                (1..=HORIZON as usize).map(move |step| Ahead { time, step, quantiles: vec![1.0, f64::NAN] })
            };
            given.forecasts.insert(zone.id.clone(), zone.rows.chunks(DAY).flat_map(day).collect());
        }
        given
    }

    #[test]
    fn every_way_to_be_wrong_is_found() {
        let rides = Rides::new(2).expect("fits");
        let check = |change: &dyn Fn(&mut [Given; 3]), expected: Result<usize, &str>| {
            let mut all = [given(&rides), given(&rides), given(&rides)];
            change(&mut all);
            let [stream, batch, sessions] = &all;
            let found = verify(&rides, [stream, batch, sessions]).map(|lines| lines.len()).map_err(|e| e.to_string());
            assert_eq!(
                found.as_ref().map_err(|e| e.split(": ").last().unwrap_or_default()),
                expected.as_ref().map_err(|e| *e),
                "{found:?}"
            );
        };
        let zone = || "zone-3".to_owned();
        check(&|_| (), Ok(4));
        check(&|[stream, ..]| drop(stream.scores.remove("zone-3")), Err("the stream job has lost this value"));
        check(
            &|[stream, ..]| stream.scores.entry(zone()).or_default().truncate(95),
            Err("the stream job has lost this value"),
        );
        check(
            &|[_, batch, _]| drop(batch.scores.entry(zone()).or_default().drain(5..6)),
            Err("the batch job has lost this value"),
        );
        let twice = |given: &mut Given, at: usize| {
            let all = given.scores.entry(zone()).or_default();
            all.insert(at, all[at - 1]);
        };
        check(&|[stream, ..]| twice(stream, 5), Err("the stream job gives this value twice"));
        check(&|[stream, ..]| twice(stream, 2 * DAY), Err("the stream job gives this value twice"));
        check(
            &|[_, _, sessions]| sessions.scores.entry(zone()).or_default()[3].value = 5.0,
            Err("the session read 5 for 5528"),
        );
        let next = f64::from_bits(0.5f64.to_bits() + 1);
        check(
            &|[_, batch, _]| batch.scores.entry(zone()).or_default()[3].p_value = next,
            Err("the stream job gives p = 5e-1, the batch job 5.000000000000001e-1"),
        );
        check(
            &|[_, _, sessions]| sessions.scores.entry(zone()).or_default()[3].p_value = f64::NAN,
            Err("the stream job gives p = 5e-1, the session NaN"),
        );
        check(
            &|[_, _, sessions]| {
                sessions.forecasts.entry(zone()).or_default().last_mut().expect("is there").quantiles[0] = 2.0;
            },
            Err("number 94 differs"),
        );
        check(&|[_, batch, _]| drop(batch.forecasts.remove("zone-3")), Err("96 and 0 numbers"));
        check(
            &|[stream, ..]| drop(stream.forecasts.entry(zone()).or_default().remove(1)),
            Err("step 2 of the stream job's forecast is not there once"),
        );
        check(
            &|[stream, ..]| {
                let all = stream.forecasts.entry(zone()).or_default();
                all.push(all[0].clone());
            },
            Err("the stream job gives a forecast twice"),
        );
    }
}
