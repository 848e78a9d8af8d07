//! Axes with ticks where people expect them: at 1, 2 or 5 times a power of ten, and at the beginnings of hours, days, months
//! and years.

use std::ops::Range;

use chrono::{DateTime, Datelike, Months, NaiveDate};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Ticks of an axis, at most.
const MOST_TICKS: usize = 8;

/// From one end to the other, with ticks.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    ends: (f64, f64),
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Numbers.
    pub(crate) fn numbers(low: f64, high: f64) -> Self {
        let step = nice((high - low) / (MOST_TICKS as f64 - 2.0));
        let first = (low / step).ceil();
        let ticks = (0..MOST_TICKS + 2).map(|i| (first + i as f64) * step).take_while(|tick| *tick <= high);
        Self { ends: (low, high), ticks: ticks.map(|tick| (tick, number(tick, step))).collect() }
    }

    /// Times in microseconds since 1970.
    pub(crate) fn times(low: f64, high: f64) -> Self {
        let ticks = moments(low, high);
        Self { ends: (low, high), ticks: ticks.unwrap_or_default() }
    }

    /// What stands at a tick.
    pub(super) fn label(&self, at: f64) -> String {
        self.ticks.iter().find(|(tick, _)| *tick == at).map_or(String::new(), |(_, label)| label.clone())
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.ends.0) / (self.ends.1 - self.ends.0);
        #[expect(clippy::cast_possible_truncation, reason = "pixels")]
        let pixel = (f64::from(from) + share * f64::from(to - from)).round() as i32;
        pixel
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The lines between those of the ticks are asked for separately: there are none.
        if hint.weight().allow_light_points() { vec![] } else { self.ticks.iter().map(|tick| tick.0).collect() }
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

/// The least of 1, 2, 5, 10, ... that is not less.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// A number as a tick shows it; ticks lie `step` apart.
pub(super) fn number(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 2.0 { 0.0 } else { value };
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let large = value.abs().max(step);
    if large >= 1e15 || step < 1e-6 {
        return format!("{value:.2e}");
    }
    let fits = |unit: f64| value.abs() >= 10.0 * unit && step >= unit / 1000.0;
    let (unit, letter) = units.into_iter().find(|(unit, _)| fits(*unit)).unwrap_or((1.0, ""));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most ten digits, not negative")]
    let digits = (-(step / unit).log10().floor()).clamp(0.0, 10.0) as usize;
    format!("{:.digits$}{letter}", value / unit)
}

const SECOND: f64 = 1e6;
const DAY: f64 = 86_400.0 * SECOND;

/// Ticks at the beginnings of seconds to years.
fn moments(low: f64, high: f64) -> Option<Vec<(f64, String)>> {
    let span = high - low;
    let fits = |step: &f64| span / step <= MOST_TICKS as f64;
    let short =
        [1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0];
    if let Some(step) = short.map(|seconds| seconds * SECOND).into_iter().find(fits) {
        let first = (low / step).ceil();
        let ticks = (0..=MOST_TICKS).map(|i| (first + i as f64) * step).take_while(|tick| *tick <= high);
        let form = match step {
            _ if step >= DAY => "%Y-%m-%d",
            _ if step >= 60.0 * SECOND => "%m-%d %H:%M",
            _ => "%H:%M:%S",
        };
        return ticks.map(|tick| Some((tick, time(tick)?.format(form).to_string()))).collect();
    }
    if span < 62.0 * DAY {
        // Mondays
        let weeks = if span <= 7.0 * DAY * MOST_TICKS as f64 { 1.0 } else { 2.0 };
        let step = 7.0 * DAY * weeks;
        let first = ((low - 4.0 * DAY) / step).ceil();
        let ticks = (0..=MOST_TICKS).map(|i| (first + i as f64) * step + 4.0 * DAY).take_while(|tick| *tick <= high);
        return ticks.map(|tick| Some((tick, time(tick)?.format("%Y-%m-%d").to_string()))).collect();
    }
    let all = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12_000];
    let months = all.into_iter().find(|months| fits(&(f64::from(*months) * 30.44 * DAY)))?;
    let start = time(low)?;
    let mut at = i64::from(start.year()) * 12 + i64::from(start.month0());
    at = at.div_euclid(i64::from(months)) * i64::from(months);
    let mut day =
        NaiveDate::from_ymd_opt(i32::try_from(at.div_euclid(12)).ok()?, u32::try_from(at.rem_euclid(12)).ok()? + 1, 1)?;
    let mut ticks = vec![];
    while ticks.len() <= MOST_TICKS {
        let moment = day.and_hms_opt(0, 0, 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
        let tick = moment.and_utc().timestamp_micros() as f64;
        if tick > high {
            break;
        }
        if tick >= low {
            ticks.push((tick, moment.format(if months >= 12 { "%Y" } else { "%Y-%m" }).to_string()));
        }
        day = day.checked_add_months(Months::new(months))?;
    }
    Some(ticks)
}

/// A moment by its microseconds since 1970.
pub(super) fn time(micros: f64) -> Option<chrono::NaiveDateTime> {
    #[expect(clippy::cast_possible_truncation, reason = "out of range is none")]
    DateTime::from_timestamp_micros(micros as i64).map(|time| time.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let check =
            |low, high, expected: &[&str]| assert_eq!(labels(&Axis::numbers(low, high)), expected, "{low} to {high}");
        check(0.0, 1.0, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        check(-3.0, 27.0, &["0", "5", "10", "15", "20", "25"]);
        check(9_000.0, 31_000.0, &["10k", "15k", "20k", "25k", "30k"]);
        check(1e300, 2e300, &["1.00e300", "1.20e300", "1.40e300", "1.60e300", "1.80e300", "2.00e300"]);
        check(1e9, 1e9 + 2.0, &["1000000000.0", "1000000000.5", "1000000001.0", "1000000001.5", "1000000002.0"]);
        check(-4e6, 6.5e7, &["0", "20M", "40M", "60M"]);
    }

    #[test]
    fn ticks_are_where_days_and_months_begin() {
        let at = |text: &str| {
            let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect(text);
            time.and_utc().timestamp_micros() as f64
        };
        let check = |low, high, expected: &[&str]| assert_eq!(labels(&Axis::times(at(low), at(high))), expected);
        check("2024-02-28 21:30", "2024-02-29 07:00", &["02-29 00:00", "02-29 03:00", "02-29 06:00"]);
        check(
            "2024-02-28 21:30",
            "2024-03-12 07:00",
            &["2024-02-29", "2024-03-02", "2024-03-04", "2024-03-06", "2024-03-08", "2024-03-10", "2024-03-12"],
        );
        check(
            "2024-02-28 00:00",
            "2024-04-01 07:00",
            &["2024-03-04", "2024-03-11", "2024-03-18", "2024-03-25", "2024-04-01"],
        );
        check(
            "2023-11-20 00:00",
            "2024-06-12 07:00",
            &["2023-12", "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06"],
        );
        check("1949-02-01 00:00", "1963-01-01 00:00", &["1950", "1952", "1954", "1956", "1958", "1960", "1962"]);
    }
}
