//! Instants in the calendar: months, days, weekdays (proleptic Gregorian, no zones).

use chrono::{DateTime, Datelike, Months, NaiveDate};

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// An instant, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Days since 1970-01-01.
    pub(super) days: i64,
    /// Months since year 0.
    pub(super) month: i64,
    /// Day of the month, 1-based.
    pub(super) day: u32,
    /// Microseconds since midnight.
    pub(super) time_of_day_us: i64,
}

impl Moment {
    /// Of microseconds since 1970-01-01. An instant beyond the calendar's reach (262,000 years) counts as its end.
    pub(super) fn of(time: i64) -> Self {
        let end = if time < 0 { NaiveDate::MIN } else { NaiveDate::MAX };
        let date = DateTime::from_timestamp_micros(time).map_or(end, |instant| instant.date_naive());
        Self {
            days: time.div_euclid(DAY_US),
            month: i64::from(date.year()) * 12 + i64::from(date.month0()),
            day: date.day(),
            time_of_day_us: time.rem_euclid(DAY_US),
        }
    }

    /// Microseconds since 1970-01-01, if they can be said.
    pub(super) fn time(&self) -> Option<i64> {
        self.days.checked_mul(DAY_US)?.checked_add(self.time_of_day_us)
    }

    /// 0 (Monday) to 6 (Sunday).
    pub(super) fn weekday(&self) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.days + 3).rem_euclid(7)
    }

    pub(super) fn days_in_month(&self) -> u32 {
        days_in(self.month).unwrap_or(31)
    }

    /// The same time of day on the given day of a later month, or on that month's last day.
    pub(super) fn plus_months(&self, months: i64, day: u32) -> Option<Self> {
        let month = self.month.checked_add(months)?;
        let day = day.min(days_in(month)?);
        let date = first_of(month)?.with_day(day)?;
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        Some(Self { days, month, day, ..*self })
    }

    /// The same time of day so many business days later. From a weekend, the next Monday is the first.
    pub(super) fn plus_business_days(&self, count: i64) -> Option<Self> {
        let since_monday = self.weekday().min(4);
        let monday = self.days - self.weekday();
        let ahead = since_monday.checked_add(count)?;
        let days = monday.checked_add(ahead.div_euclid(5).checked_mul(7)?)?.checked_add(ahead.rem_euclid(5))?;
        Some(Self { days, ..*self })
    }

    /// Business days from here to a later moment.
    pub(super) fn business_days_until(&self, later: &Self) -> i64 {
        let number = |moment: &Self| (moment.days - moment.weekday() + 3) / 7 * 5 + moment.weekday().min(4);
        number(later) - number(self)
    }
}

fn first_of(month: i64) -> Option<NaiveDate> {
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    NaiveDate::from_ymd_opt(year, u32::try_from(month.rem_euclid(12)).ok()? + 1, 1)
}

fn days_in(month: i64) -> Option<u32> {
    let first = first_of(month)?;
    let next = first.checked_add_months(Months::new(1))?;
    u32::try_from(next.signed_duration_since(first).num_days()).ok()
}
