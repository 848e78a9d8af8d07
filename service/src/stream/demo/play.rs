//! Plays the history into a topic.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use unspool_ingest::kafka::client::{Connection, Writer};
use unspool_pipelines::Cancel;

use super::{PARTITIONS, SERIES};
use crate::demo::rides::history;

/// Events written between two looks at the clock.
const BURST: u64 = 40;

/// Writes events: all of `events` as fast as the broker takes them, else `rate` a second until the stop. The history begins
/// again, later, where it ends.
pub(super) fn play(
    (connection, topic): (&Connection, &str),
    (events, rate): (Option<u64>, u64),
    stop: &Cancel,
    sent: &AtomicU64,
) -> Result<(), String> {
    let history = history().map_err(|e| e.to_string())?;
    let [(first, _), (second, _), ..] = history[..] else { return Err("the history is too short".into()) };
    let length = history.len() as i64 * (second - first);
    let writer = Writer::new(connection).map_err(|e| e.to_string())?;
    let began = Instant::now();
    for n in 0..events.unwrap_or(u64::MAX) {
        if stop.is_cancelled() {
            break;
        }
        let (series, step) = (n as usize % SERIES, n as usize / SERIES);
        let at = step + series * history.len() / SERIES;
        let (time, value) = history[at % history.len()];
        let time = time + (at / history.len()) as i64 * length;
        let payload = format!(r#"{{"time":{time},"passengers":{value}}}"#);
        let partition = series as i32 % PARTITIONS;
        writer.write(topic, partition, (&format!("zone-{}", series + 1), &payload)).map_err(|e| e.to_string())?;
        if n % BURST == BURST - 1 {
            sent.store(n + 1, Ordering::Relaxed);
            let due = Duration::from_secs_f64(n as f64 / rate as f64);
            if events.is_none() {
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
    }
    writer.flush().map_err(|e| e.to_string())
}
