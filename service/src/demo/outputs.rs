//! What the stream jobs write to their topics: looked at as it comes, and read whole when they have ended.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use unspool_ingest::kafka::client::{Assigned, Connection, Consumer, Group, read_all, record};
use unspool_pipelines::stream;

use super::{
    FORECASTS, HORIZON, PARTITIONS, SCORES,
    error::Error,
    given::{Ahead, Given, Scored},
    recent::{Point, Recent},
};
use crate::error::Result;

/// Messages of a look, at most.
const MOST: usize = 4096;

/// A line of a topic of scores.
#[derive(Deserialize)]
struct ScoreLine {
    series: String,
    time: String,
    value: f64,
    p_value: Option<f64>,
}

/// A line of a topic of forecasts.
#[derive(Deserialize)]
struct StepLine {
    series: String,
    time: String,
    step: usize,
    #[serde(flatten)]
    quantiles: BTreeMap<String, Value>,
}

/// Looks at both topics while they grow.
pub(super) struct Outputs {
    scores: Consumer,
    forecasts: Consumer,
    /// Scores so far.
    pub(super) scored: usize,
    /// Steps of forecasts so far.
    pub(super) steps: usize,
    /// When something came last.
    pub(super) last: Instant,
}

impl Outputs {
    /// Joins, from each topic's first record on.
    ///
    /// # Errors
    /// When the client refuses.
    pub(super) fn follow(connection: &Connection) -> Result<Self> {
        let join = |topic: &str| {
            let name = format!("unspool-demo-sees-{topic}");
            let group = Group { name, member: "one".into(), session_timeout_ms: 30_000, kip848: false };
            let start = Box::new(|assigned: &Assigned| Ok(assigned.low));
            Consumer::join(connection, &group, topic, start).map_err(stream::Error::from)
        };
        Ok(Self { scores: join(SCORES)?, forecasts: join(FORECASTS)?, scored: 0, steps: 0, last: Instant::now() })
    }

    /// Takes what has come within so long.
    ///
    /// # Errors
    /// When a topic cannot be read, or holds something else.
    pub(super) fn look(&mut self, wait: Duration, recent: &mut Recent) -> Result<()> {
        let before = (self.scored, self.steps);
        let due = Instant::now() + wait;
        for message in &self.scores.poll(MOST, wait, due).map_err(stream::Error::from)?.messages {
            let (series, scored) = score(record(message, false).payload.unwrap_or_default())?;
            let Scored { time, value, p_value } = scored;
            recent.scored(&series.into(), Point { time, value, p_value });
            self.scored += 1;
        }
        let polled = self.forecasts.poll(MOST, Duration::ZERO, Instant::now()).map_err(stream::Error::from)?;
        let mut medians = vec![];
        for message in &polled.messages {
            let (series, ahead) = step(record(message, false).payload.unwrap_or_default())?;
            if ahead.step == 1 {
                medians.clear();
            }
            medians.push(ahead.quantiles.get(ahead.quantiles.len() / 2).copied().unwrap_or(f64::NAN));
            if ahead.step == HORIZON as usize && medians.len() == ahead.step {
                recent.forecast(&Arc::from(series), std::mem::take(&mut medians));
            }
            self.steps += 1;
        }
        if (self.scored, self.steps) != before {
            self.last = Instant::now();
        }
        Ok(())
    }
}

/// All that the stream jobs have committed.
///
/// # Errors
/// When a topic cannot be read, or holds something else.
pub(super) fn whole(connection: &Connection) -> Result<Given> {
    let mut given = Given::default();
    for partition in 0..PARTITIONS {
        for payload in read_all(connection, SCORES, partition).map_err(stream::Error::from)? {
            let (series, scored) = score(&payload)?;
            given.scores.entry(series).or_default().push(scored);
        }
        for payload in read_all(connection, FORECASTS, partition).map_err(stream::Error::from)? {
            let (series, ahead) = step(&payload)?;
            given.forecasts.entry(series).or_default().push(ahead);
        }
    }
    Ok(given)
}

fn score(payload: &[u8]) -> Result<(String, Scored), Error> {
    let line: ScoreLine = parse(payload)?;
    let scored = Scored { time: time(&line.time)?, value: line.value, p_value: line.p_value.unwrap_or(f64::NAN) };
    Ok((line.series, scored))
}

fn step(payload: &[u8]) -> Result<(String, Ahead), Error> {
    let line: StepLine = parse(payload)?;
    let level = |name: &str| name.strip_prefix('q')?.parse::<f64>().ok();
    let mut quantiles = vec![];
    for (name, value) in &line.quantiles {
        let level = level(name).ok_or_else(|| not_understood(format!("'{name}' is no quantile")))?;
        quantiles.push((level, value.as_f64().unwrap_or(f64::NAN)));
    }
    quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let quantiles = quantiles.into_iter().map(|(_, value)| value).collect();
    Ok((line.series, Ahead { time: time(&line.time)?, step: line.step, quantiles }))
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|error| not_understood(error.to_string()))
}

fn time(text: &str) -> Result<i64, Error> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| not_understood(error.to_string()))?;
    Ok(time.timestamp_micros())
}

fn not_understood(problem: String) -> Error {
    Error::Output { from: "a stream job", problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_topics() {
        let text = br#"{"series":"a","time":"2014-07-01T00:30:00Z","value":0.1,"p_value":null,"score":null}"#;
        let (series, scored) = score(text).expect("is a score");
        assert_eq!((&series[..], scored.time, scored.value), ("a", 1_404_174_600_000_000, 0.1));
        assert!(scored.p_value.is_nan());
        let text = br#"{"series":"a","time":"1970-01-01T00:00:01Z","q10":1.5,"q2.5":null,"q90":3.0,"step":2}"#;
        let (_, ahead) = step(text).expect("is a step");
        assert_eq!((ahead.time, ahead.step, &ahead.quantiles[1..]), (1_000_000, 2, &[1.5, 3.0][..]));
        assert!(ahead.quantiles[0].is_nan());
        let wrong = step(br#"{"series":"a","time":"1970-01-01T00:00:01Z","x10":1.5,"step":2}"#);
        assert_eq!(
            wrong.expect_err("is none").to_string(),
            "the output of a stream job is not understood: 'x10' is no quantile"
        );
    }
}
