//! One kind of load, measured.

use std::time::Duration;

use super::{calls, fleet::Fleet, streams};
use crate::error::{Error, Result};

/// Of the lines that [`Load::run`] gives.
pub(super) const HEADER: &str = "                                        events/s                       from when due to the reply, ms\n\
                                 load                                     at most   offered    served       p50       p99     p99.9";

/// What an append is like, and how it travels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Events of an append.
    pub(super) events: u32,
    /// Appends of a message; 0: each is a call.
    pub(super) message: u32,
    /// Values to forecast after it.
    pub(super) horizon: Option<u32>,
    /// Acknowledged when it is on disk.
    pub(super) durable: bool,
}

/// A measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) shape: Shape,
    pub(super) duration: Duration,
    /// Events a second; `None`: half of what the server can take.
    pub(super) rate: Option<f64>,
}

impl Load {
    /// Measures; gives one line.
    ///
    /// # Errors
    /// When a stream breaks.
    pub(super) async fn run(&self, fleet: &Fleet) -> Result<String> {
        let Self { shape, duration, .. } = *self;
        let most = match self.rate {
            Some(_) => None,
            None if shape.message == 0 => Some(calls::flood(fleet, shape, duration).await?),
            None => Some(streams::flood(fleet, shape, duration).await?),
        };
        let offered = self.rate.or(most.map(|most| most / 2.0)).filter(|offered| *offered > 0.0);
        let offered =
            offered.ok_or_else(|| Error::Usage("nothing was answered in time: give a longer --duration-s".into()))?;
        let tally = match shape.message {
            0 => calls::at_rate(fleet, (shape, offered), duration).await?,
            _ => streams::at_rate(fleet, (shape, offered), duration).await?,
        };
        let counts = tally.counts();
        let most = most.map_or("-".into(), |most| format!("{most:.0}"));
        let (name, served, latencies) = (shape.name(), tally.rate(), counts.latencies.text());
        let mut line = format!("{name:<40}{most:>10}{offered:>10.0}{served:>10.0}{latencies}");
        for (what, count) in [("refused", counts.refused), ("failed or not answered", counts.failed)] {
            if count > 0 {
                line += &format!("  {what}: {count}");
            }
        }
        Ok(line)
    }
}

impl Shape {
    /// For people.
    fn name(self) -> String {
        let Self { events, message, horizon, durable } = self;
        let way = if message == 0 { "calls".into() } else { format!("stream, {message} a message") };
        let events = if events == 1 { "1 event".into() } else { format!("{events} events") };
        let forecast = horizon.map_or(String::new(), |horizon| format!(" + {horizon} ahead"));
        format!("{way}, {events}{forecast}{}", if durable { ", durable" } else { "" })
    }
}
