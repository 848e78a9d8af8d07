use chrono::NaiveDateTime;

use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

fn us(text: &str) -> i64 {
    let text = if text.len() == 10 { format!("{text}T00:00:00") } else { text.into() };
    text.parse::<NaiveDateTime>().expect("a date").and_utc().timestamp_micros()
}

fn text(time: i64) -> String {
    Moment::of(time).time().and_then(chrono::DateTime::from_timestamp_micros).expect("a time").naive_utc().to_string()
}

/// Infers from dates, and tells the next three.
fn check(dates: &[&str], expected: Frequency, next: [&str; 3]) {
    let times: Vec<i64> = dates.iter().map(|date| us(date)).collect();
    let found = Frequency::infer(&times, TimeKind::Timestamp).expect("a frequency");
    assert_eq!(found, expected, "{dates:?}");
    let last = *times.last().expect("times");
    let after: Vec<String> = (1..=3).map(|steps| text(found.after(last, steps).expect("in reach"))).collect();
    assert_eq!(after, next.map(|date| text(us(date))), "{dates:?}");
}

#[test]
fn steps_of_the_clock() {
    let seconds = ["2024-02-28T23:59:57", "2024-02-28T23:59:58", "2024-02-28T23:59:59"];
    check(&seconds, Frequency::Fixed(SECOND), ["2024-02-29", "2024-02-29T00:00:01", "2024-02-29T00:00:02"]);
    let days = ["2024-02-26", "2024-02-27", "2024-02-28"];
    check(&days, Frequency::Fixed(24 * HOUR), ["2024-02-29", "2024-03-01", "2024-03-02"]);
    let weeks = ["2023-12-18", "2023-12-25"];
    check(&weeks, Frequency::Fixed(7 * 24 * HOUR), ["2024-01-01", "2024-01-08", "2024-01-15"]);
    // Two rows are missing; the rest agree.
    let gaps = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05", "2024-01-07", "2024-01-08"];
    check(&gaps, Frequency::Fixed(24 * HOUR), ["2024-01-09", "2024-01-10", "2024-01-11"]);
    // Four weeks are no month where the day moves.
    let four_weeks = ["2023-01-01", "2023-01-29", "2023-02-26"];
    check(&four_weeks, Frequency::Fixed(28 * 24 * HOUR), ["2023-03-26", "2023-04-23", "2023-05-21"]);
}

#[test]
fn months_and_years() {
    let months = |months, day| Frequency::Months { months, day };
    let starts = ["2023-11-01", "2023-12-01", "2024-01-01"];
    check(&starts, months(1, 1), ["2024-02-01", "2024-03-01", "2024-04-01"]);
    let ends = ["2023-11-30", "2023-12-31", "2024-01-31"];
    check(&ends, months(1, 31), ["2024-02-29", "2024-03-31", "2024-04-30"]);
    let short_ends = ["2023-04-30", "2023-06-30", "2023-09-30"];
    check(&short_ends, months(2, 31), ["2023-11-30", "2024-01-31", "2024-03-31"]);
    let thirtieth = ["2023-12-30", "2024-01-30", "2024-02-29"];
    check(&thirtieth, months(1, 30), ["2024-03-30", "2024-04-30", "2024-05-30"]);
    let quarters = ["2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31"];
    check(&quarters, months(3, 31), ["2024-03-31", "2024-06-30", "2024-09-30"]);
    let years = ["2019-01-01", "2020-01-01", "2021-01-01"];
    check(&years, months(12, 1), ["2022-01-01", "2023-01-01", "2024-01-01"]);
    // A month is missing.
    let gap = ["2023-01-15", "2023-02-15", "2023-04-15", "2023-05-15"];
    check(&gap, months(1, 15), ["2023-06-15", "2023-07-15", "2023-08-15"]);
    // Before 1970, with a time of day.
    let noon = ["1959-11-30T12:00:00", "1959-12-31T12:00:00"];
    check(&noon, months(1, 31), ["1960-01-31T12:00:00", "1960-02-29T12:00:00", "1960-03-31T12:00:00"]);
}

#[test]
fn business_days() {
    // Thursday, Friday, Monday, Tuesday.
    let days = ["2024-02-22", "2024-02-23", "2024-02-26", "2024-02-27"];
    check(&days, Frequency::BusinessDays, ["2024-02-28", "2024-02-29", "2024-03-01"]);
    let over = ["2024-02-21", "2024-02-22", "2024-02-26", "2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"];
    check(&over, Frequency::BusinessDays, ["2024-03-04", "2024-03-05", "2024-03-06"]);
    assert_eq!(Frequency::BusinessDays.missing_between(us("2024-02-22"), us("2024-02-26")), 1);
    assert_eq!(Frequency::BusinessDays.missing_between(us("2024-02-23"), us("2024-02-26")), 0);
    assert_eq!(Frequency::BusinessDays.missing_between(us("2024-02-23"), us("2024-03-08")), 9);
    assert_eq!(Frequency::BusinessDays.missing_between(us("1969-12-29"), us("1970-01-05")), 4);
}

#[test]
fn irregular_times_go_on_in_their_median_step() {
    let times = ["2024-01-01T00:00:00", "2024-01-01T00:00:07", "2024-01-01T00:00:20", "2024-01-01T00:00:31"];
    let next = ["2024-01-01T00:00:42", "2024-01-01T00:00:53", "2024-01-01T00:01:04"];
    check(&times, Frequency::Irregular(11 * SECOND), next);
}

#[test]
fn step_numbers() {
    let infer = |times: &[i64]| Frequency::infer(times, TimeKind::Step);
    assert_eq!(infer(&[]), None);
    assert_eq!(infer(&[7]), None);
    assert_eq!(infer(&[0, 1, 2, 5]), Some(Frequency::Fixed(1)));
    assert_eq!(infer(&[10, 20, 30]), Some(Frequency::Fixed(10)));
    assert_eq!(infer(&[i64::MIN, i64::MAX]), Some(Frequency::Fixed(i64::MAX)));
    assert_eq!(Frequency::Fixed(1).after(i64::MAX - 1, 1), Some(i64::MAX));
    assert_eq!(Frequency::Fixed(1).after(i64::MAX, 1), None);
    assert_eq!(Frequency::Months { months: 12, day: 1 }.after(i64::MAX, 1_000_000), None);
    assert_eq!(Frequency::BusinessDays.after(i64::MAX, i64::MAX), None);
}

#[test]
fn missing_values_are_counted_by_the_nearest_step() {
    let day = Frequency::Fixed(24 * HOUR);
    for (hours, missing) in [(1, 0), (23, 0), (24, 0), (25, 0), (36, 1), (47, 1), (48, 1), (49, 1), (240, 9)] {
        assert_eq!(day.missing_between(0, hours * HOUR), missing, "{hours} h");
    }
    let month = Frequency::Months { months: 1, day: 1 };
    assert_eq!(month.missing_between(us("2023-11-01"), us("2024-02-01")), 2);
    assert_eq!(Frequency::Irregular(5).missing_between(0, 5000), 0);
}
