//! The stream's load: events into a topic at a steady rate, and who reads the scores.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use super::{
    flows::Shared,
    truth::{Truth, bits},
};
use crate::broker::{Broker, Sent};

pub(super) const PARTITIONS: i32 = 4;
pub(super) const SERIES: usize = 24;
/// Between two events of a series.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// Writes an event of each series at each step, until no more is wanted; how many steps.
pub(super) fn write(broker: &Broker, topic: &str, (truth, shared): (&Truth, &Shared)) -> usize {
    let (writer, mut time) = (broker.writer(), 0);
    while shared.waits(STEP * u32::try_from(time).unwrap()) {
        let sent = |series: usize| Sent {
            partition: series as i32 % PARTITIONS,
            key: Some(series.to_string()),
            payload: Some(format!("{{\"t\":{time},\"v\":{:?}}}", truth.value(series, time))),
            ..Sent::default()
        };
        writer.put(topic, &(0..SERIES).map(sent).collect::<Vec<_>>());
        time += 1;
    }
    writer.flush();
    time
}

/// Steps that were due by now.
pub(super) fn due(shared: &Shared) -> u64 {
    (shared.began.elapsed().as_millis() / STEP.as_millis()) as u64
}

/// Reads scores as they are committed; each comes once. Returns those of each series.
pub(super) fn read(broker: &Broker, topic: &str, shared: &Shared) -> Vec<Vec<u64>> {
    let mut scores: Vec<Vec<u64>> = vec![vec![]; SERIES];
    broker.follow(topic, &|| shared.over.load(SeqCst), &mut |key, payload| {
        let row: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let (series, time): (usize, usize) = (key.parse().unwrap(), row["time"].as_u64().unwrap() as usize);
        // A partition's order is the order of events: one that is lost or comes twice shows at once.
        assert_eq!(scores[series].len(), time, "series {series}: the next score is not the next event's: {row}");
        scores[series].push(bits(row["p_value"].as_f64().unwrap_or(f64::NAN)));
        let due = shared.began + STEP * u32::try_from(time).unwrap();
        shared.stream.took(Instant::now().saturating_duration_since(due));
        shared.stream.events.fetch_add(1, SeqCst);
        shared.steps.store(scores.iter().map(Vec::len).min().unwrap_or(0) as u64, SeqCst);
    });
    scores
}
