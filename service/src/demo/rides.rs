//! The example's series: taxi passengers in New York, as several stretches of the same two months.

use chrono::{DateTime, NaiveDateTime};

use super::error::{Error, Result};

/// Passengers every half hour; see `examples/data/README.md`.
const HISTORY: &str = include_str!("../../examples/data/nyc_taxi.csv");
/// Values of a day.
pub(crate) const DAY: usize = 48;
/// Stretches.
pub(super) const ZONES: usize = 8;
/// Each stretch begins so many days after the one before.
const APART_DAYS: usize = 4;

/// Times (s since 1970) and passengers, in order.
///
/// # Errors
/// When the file in the binary is not what it should be.
pub(crate) fn history() -> Result<Vec<(i64, f64)>> {
    let read = |line: &str| {
        let (time, value) = line.split_once(',')?;
        let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()?;
        Some((time.and_utc().timestamp(), value.trim().parse().ok()?))
    };
    let row = |line: &str| read(line).ok_or_else(|| Error::Example(line.to_owned()));
    HISTORY.lines().skip(1).map(row).collect()
}

/// A stretch, which counts as a series of its own.
#[derive(Debug)]
pub(super) struct Zone {
    /// The series' name.
    pub(super) id: String,
    /// Times (s since 1970) and values.
    pub(super) rows: Vec<(i64, f64)>,
    /// The day after them, which nobody is shown.
    pub(super) then: Vec<(i64, f64)>,
}

/// All stretches.
#[derive(Debug)]
pub(super) struct Rides {
    /// The stretches, equally long.
    pub(super) zones: Vec<Zone>,
}

impl Rides {
    /// Stretches of so many days.
    ///
    /// # Errors
    /// When the history is too short for that.
    pub(super) fn new(days: usize) -> Result<Self> {
        let history = history()?;
        let zone = |number: usize| {
            let begin = number * APART_DAYS * DAY;
            let end = begin + days * DAY;
            let piece = |from: usize, to: usize| history.get(from..to).map(<[_]>::to_vec);
            let (rows, then) = piece(begin, end).zip(piece(end, end + DAY))?;
            Some(Zone { id: format!("zone-{}", number + 1), rows, then })
        };
        let zones: Option<Vec<Zone>> = (0..ZONES).map(zone).collect();
        let zones = zones.ok_or_else(|| Error::Example(format!("{days} days are more than there are")))?;
        Ok(Self { zones })
    }

    /// Events of all series.
    pub(super) fn events(&self) -> usize {
        self.zones.iter().map(|zone| zone.rows.len()).sum()
    }

    /// An event in the order in which they come: its series' number, and its row.
    pub(super) fn event(&self, number: usize) -> Option<(usize, (i64, f64))> {
        let zone = number % ZONES;
        Some((zone, *self.zones.get(zone)?.rows.get(number / ZONES)?))
    }

    /// All of them as a table, in that order.
    pub(super) fn csv(&self) -> String {
        let events = (0..self.events()).filter_map(|number| self.event(number));
        let line = |(zone, (time, value)): (usize, (i64, f64))| {
            let time = DateTime::from_timestamp(time, 0).unwrap_or_default().format("%Y-%m-%d %H:%M:%S");
            format!("{},{time},{value}\n", self.zones[zone].id)
        };
        String::from("id,time,value\n") + &events.map(line).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_real_and_end_before_the_history_does() {
        let (history, rides) = (history().expect("the example's file"), Rides::new(32).expect("fits"));
        assert_eq!((history.len(), rides.events()), (2976, 8 * 32 * DAY));
        for (number, zone) in rides.zones.iter().enumerate() {
            let begin = number * 4 * DAY;
            assert_eq!(zone.rows[..], history[begin..begin + 32 * DAY]);
            assert_eq!(zone.then[..], history[begin + 32 * DAY..begin + 33 * DAY]);
        }
        assert!(Rides::new(34).is_err());
    }

    #[test]
    fn events_come_by_time_and_the_table_has_them_so() {
        let rides = Rides::new(1).expect("fits");
        assert_eq!(rides.event(9), Some((1, rides.zones[1].rows[1])));
        assert_eq!(rides.event(8 * DAY), None);
        let csv = rides.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[..3],
            ["id,time,value", "zone-1,2014-07-01 00:00:00,10844", "zone-2,2014-07-05 00:00:00,17576"]
        );
        assert_eq!(lines.len(), 1 + 8 * DAY);
    }
}
