//! The step between a series' times: inferred from them, it tells what is missing and when the future comes.

mod calendar;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use unspool_ingest::schema::TimeKind;

use self::calendar::{DAY_US, Moment};

/// How the times of a series follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Frequency {
    /// A fixed step: microseconds of instants, or step numbers.
    Fixed(i64),
    /// Mondays to Fridays, once a day.
    BusinessDays,
    /// Calendar months.
    Months {
        /// Months a step: 3 for quarters, 12 for years.
        months: i64,
        /// Day of the month, 1-based; later than a month's last day means that day.
        day: u32,
    },
    /// No regular step: the future goes on in the median one, and no value is known to be missing.
    Irregular(i64),
}

impl Frequency {
    /// Infers the step from strictly growing times; `None` with fewer than two.
    ///
    /// The rules, in order:
    /// 1. *Months*: no two times are closer than 28 days, all have one time of day and one day of the month (or the month's
    ///    last day where it is shorter; all on last days: ends of months). The step is the most frequent one in months.
    /// 2. *Business days*: the most frequent step is a day, all steps are whole days, no time is on a weekend, and at
    ///    least one step spans a weekend.
    /// 3. *Fixed*: the most frequent difference (of equally frequent ones the smallest), if at least half of the
    ///    differences equal it, or three quarters are multiples of it and a quarter equal it.
    /// 4. *Irregular*: the median difference (of an even number the lower one).
    #[must_use]
    pub fn infer(times: &[i64], kind: TimeKind) -> Option<Self> {
        let mut differences: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        differences.sort_unstable();
        let (step, count) = mode(&differences)?;
        if kind == TimeKind::Timestamp {
            let moments: Vec<Moment> = times.iter().map(|time| Moment::of(*time)).collect();
            if let Some(calendar) = months(&moments, &differences).or_else(|| business_days(&moments, step)) {
                return Some(calendar);
            }
        }
        let multiples = differences.iter().filter(|difference| *difference % step == 0).count();
        let all = differences.len();
        if 2 * count >= all || (4 * multiples >= 3 * all && 4 * count >= all) {
            return Some(Self::Fixed(step));
        }
        Some(Self::Irregular(differences[(all - 1) / 2]))
    }

    /// The time `steps` steps after `time`; `None` beyond what an i64 of microseconds or steps can say.
    #[must_use]
    pub fn after(&self, time: i64, steps: i64) -> Option<i64> {
        match *self {
            Self::Fixed(step) | Self::Irregular(step) => time.checked_add(step.checked_mul(steps)?),
            Self::BusinessDays => Moment::of(time).plus_business_days(steps)?.time(),
            Self::Months { months, day } => Moment::of(time).plus_months(months.checked_mul(steps)?, day)?.time(),
        }
    }

    /// How many values are missing between two times that follow one another: the steps between, rounded to the nearest
    /// whole number (so a day of 23 or 25 hours is a day), less one.
    #[must_use]
    pub fn missing_between(&self, from: i64, to: i64) -> u64 {
        let steps = match *self {
            Self::Fixed(step) => rounded(to.saturating_sub(from), step),
            Self::Irregular(_) => 1,
            Self::BusinessDays => Moment::of(from).business_days_until(&Moment::of(to)),
            Self::Months { months, .. } => rounded(Moment::of(to).month - Moment::of(from).month, months),
        };
        u64::try_from(steps - 1).unwrap_or(0)
    }
}

/// `length / step`, rounded half up.
fn rounded(length: i64, step: i64) -> i64 {
    let (whole, rest) = (length.div_euclid(step), length.rem_euclid(step));
    if rest >= step - rest { whole + 1 } else { whole }
}

/// The most frequent of sorted numbers (the smallest of equally frequent ones) and its count.
fn mode(sorted: &[i64]) -> Option<(i64, usize)> {
    let mut best: Option<(i64, usize)> = None;
    for run in sorted.chunk_by(|a, b| a == b) {
        if best.is_none_or(|(_, count)| run.len() > count) {
            best = Some((run[0], run.len()));
        }
    }
    best
}

fn months(moments: &[Moment], differences: &[i64]) -> Option<Frequency> {
    let far_apart = differences.first().is_some_and(|difference| *difference >= 28 * DAY_US);
    let same_time = moments.iter().all(|moment| moment.time_of_day_us == moments[0].time_of_day_us);
    if !far_apart || !same_time {
        return None;
    }
    let ends = moments.iter().all(|moment| moment.day == moment.days_in_month());
    let day = if ends { 31 } else { moments.iter().map(|moment| moment.day).max()? };
    if moments.iter().any(|moment| moment.day != day.min(moment.days_in_month())) {
        return None;
    }
    let mut steps: Vec<i64> = moments.windows(2).map(|pair| pair[1].month - pair[0].month).collect();
    steps.sort_unstable();
    let (months, _) = mode(&steps)?;
    Some(Frequency::Months { months, day })
}

fn business_days(moments: &[Moment], step: i64) -> Option<Frequency> {
    let same_time = moments.iter().all(|moment| moment.time_of_day_us == moments[0].time_of_day_us);
    let weekdays = moments.iter().all(|moment| moment.weekday() < 5);
    let over_weekend = moments.windows(2).any(|pair| pair[1].weekday() < pair[0].weekday());
    (step == DAY_US && same_time && weekdays && over_weekend).then_some(Frequency::BusinessDays)
}
