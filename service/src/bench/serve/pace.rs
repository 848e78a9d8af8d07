//! Arrivals at a fixed rate, whatever becomes of them.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Calls `arrive` `rate` times a second, from `start` until `end`, with the number and the time at which it was due. From a
/// thread of its own: a timer of the runtime's is as coarse as a millisecond.
///
/// If this thread is held up, arrivals come late but stay due when they were: the wait is the server's to answer for.
pub(super) async fn arrivals(
    rate: f64,
    (start, end): (Instant, Instant),
    arrive: impl FnMut(u64, Instant) + Send + 'static,
) {
    let mut arrive = arrive;
    let paced = tokio::task::spawn_blocking(move || {
        for number in 0.. {
            let due = start + Duration::from_secs_f64(number as f64 / rate);
            if due >= end {
                return;
            }
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            arrive(number, due);
        }
    });
    // A panic in it would be one of ours: what it has not sent will be missed in the counts.
    let _ = paced.await;
}
