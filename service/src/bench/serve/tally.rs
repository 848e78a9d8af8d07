//! What came back: events, refusals and latencies.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::error::{Error, Result};

/// The longest latency that is told apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 600_000_000;

/// Counts from many tasks what was answered between two points in time.
pub(super) struct Tally {
    from: Instant,
    to: Instant,
    counts: Mutex<Counts>,
}

/// What was counted.
#[derive(Clone)]
pub(super) struct Counts {
    /// Events of appends that were answered.
    pub(super) events: u64,
    /// Appends refused with RESOURCE_EXHAUSTED and advice when to come again.
    pub(super) refused: u64,
    /// What failed in any other way, or was not answered in the end; none should.
    pub(super) failed: u64,
    /// Of what was answered, in microseconds.
    pub(super) latencies: Latencies,
}

/// How a call or message ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) events: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Counts what is answered within `length` after `from`.
    ///
    /// # Errors
    /// Never, in practice.
    pub(super) fn new(from: Instant, length: Duration) -> Result<Self> {
        let counts = Counts { events: 0, refused: 0, failed: 0, latencies: Latencies::new()? };
        Ok(Self { from, to: from + length, counts: Mutex::new(counts) })
    }

    /// Something that was due at `due` has been answered now. Events count if they are answered within the time, latencies
    /// if they were due within it, however late the answer is.
    pub(super) fn answered(&self, due: Instant, outcome: Outcome) {
        let now = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.failed += outcome.failed;
        if (self.from..self.to).contains(&now) {
            counts.events += outcome.events;
            counts.refused += outcome.refused;
        }
        if outcome.events > 0 && (self.from..self.to).contains(&due) {
            counts.latencies.record(now.saturating_duration_since(due));
        }
    }

    /// Nobody waits any longer for what was due then: so long it took at least.
    pub(super) fn given_up(&self, due: Instant) {
        let now = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.failed += 1;
        if (self.from..self.to).contains(&due) {
            counts.latencies.record(now.saturating_duration_since(due));
        }
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When counting ends.
    pub(super) fn end(&self) -> Instant {
        self.to
    }

    /// Events answered a second.
    pub(super) fn rate(&self) -> f64 {
        self.counts().events as f64 / self.to.duration_since(self.from).as_secs_f64()
    }
}

/// Latencies, to three digits.
#[derive(Clone)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Never: the bounds are within what the histogram takes.
    pub(super) fn new() -> Result<Self> {
        Histogram::new_with_bounds(1, LONGEST_US, 3).map(Self).map_err(|_| Error::Fault)
    }

    /// One more.
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
        self.0.saturating_record(micros.max(1));
    }

    /// The latency that a share of all do not exceed, in microseconds.
    pub(super) fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64
    }

    /// Half, 99 % and 99.9 % take no longer than this, in milliseconds.
    pub(super) fn text(&self) -> String {
        if self.0.is_empty() {
            return format!("{:>10}{:>10}{:>10}", "-", "-", "-");
        }
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|share| self.at(share) / 1000.0);
        format!("{half:>10.2}{most:>10.2}{nearly_all:>10.2}")
    }
}
