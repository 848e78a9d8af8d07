//! How far each way is: what was due, what was given, how long that took.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// What all threads of a drill share.
pub(super) struct Shared {
    pub began: Instant,
    /// No more is written.
    pub ends: AtomicBool,
    /// All is over.
    pub over: AtomicBool,
    pub stream: Flow,
    /// Steps that all of the stream's series have come to.
    pub steps: AtomicU64,
    pub sessions: Flow,
    /// Rounds of appends that each client has had answered.
    pub rounds: Vec<AtomicU64>,
    /// Files of the lake.
    pub lake: AtomicU64,
}

/// One way.
pub(super) struct Flow {
    /// Events whose results have come.
    pub events: AtomicU64,
    /// Microseconds from when an event was due: of this minute, and of all.
    latency: Mutex<(Histogram<u64>, Histogram<u64>)>,
}

impl Default for Flow {
    fn default() -> Self {
        let new = || Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        Self { events: AtomicU64::new(0), latency: Mutex::new((new(), new())) }
    }
}

impl Flow {
    pub(super) fn took(&self, latency: Duration) {
        let mut both = self.latency.lock().unwrap();
        let us = u64::try_from(latency.as_micros()).unwrap().max(1);
        both.0.saturating_record(us);
        both.1.saturating_record(us);
    }

    /// p50 and p99 in ms since the last call of this.
    pub(super) fn this_minute(&self) -> (f64, f64) {
        let mut both = self.latency.lock().unwrap();
        let quantiles = quantiles(&both.0);
        both.0.reset();
        quantiles
    }

    /// p50 and p99 in ms of all.
    pub(super) fn of_all(&self) -> (f64, f64) {
        quantiles(&self.latency.lock().unwrap().1)
    }
}

fn quantiles(of: &Histogram<u64>) -> (f64, f64) {
    (of.value_at_quantile(0.5) as f64 / 1e3, of.value_at_quantile(0.99) as f64 / 1e3)
}

impl Shared {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            began: Instant::now(),
            ends: AtomicBool::new(false),
            over: AtomicBool::new(false),
            stream: Flow::default(),
            sessions: Flow::default(),
            rounds: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            steps: AtomicU64::new(0),
            lake: AtomicU64::new(0),
        }
    }

    /// Waits until something is due, so long after the begin; not any more when no more is to be written.
    pub(super) fn waits(&self, due: Duration) -> bool {
        while !self.ends.load(SeqCst) {
            let left = due.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(200)));
        }
        false
    }
}
