//! Outputs as JSON: one text a score or embedding, one a step of a forecast.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use unspool_ingest::schema::TimeKind;

use super::{Given, Output};

/// Makes texts of outputs; equal outputs give equal bytes.
#[derive(Clone, Copy, Debug)]
pub struct Renderer {
    /// How times are written.
    pub time: TimeKind,
    /// Embeddings as their f32 in little-endian order, not as text.
    pub binary: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Time {
    Step(i64),
    Instant(String),
}

#[derive(Serialize)]
struct Row<'a, T> {
    series: &'a str,
    time: Time,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct Score {
    value: f64,
    p_value: Option<f64>,
    score: Option<f64>,
}

#[derive(Serialize)]
struct Embedding<'a> {
    embedding: &'a [f32],
}

impl Renderer {
    /// The payloads of an output, in order.
    #[must_use]
    pub fn payloads(&self, output: &Output) -> Vec<Vec<u8>> {
        match &output.content {
            Given::Score { value, p_value } => {
                let p_value = Some(*p_value).filter(|p| !p.is_nan());
                let score = p_value.map(score);
                vec![self.row(output, Score { value: *value, p_value, score })]
            }
            Given::Embedding(embedding) if self.binary => {
                vec![embedding.iter().flat_map(|value| value.to_le_bytes()).collect()]
            }
            Given::Embedding(embedding) => vec![self.row(output, Embedding { embedding })],
            Given::Forecast(forecast) => {
                let steps = forecast.values.chunks_exact(forecast.levels.len().max(1));
                let row = |(step, values): (u32, &[f64])| {
                    let mut content = serde_json::Map::new();
                    content.insert("step".into(), step.into());
                    for (level, value) in forecast.levels.iter().zip(values) {
                        content.insert(quantile(*level), (*value).into()); // NaN becomes null
                    }
                    self.row(output, content)
                };
                (1..).zip(steps).map(row).collect()
            }
        }
    }

    fn row<T: Serialize>(&self, output: &Output, content: T) -> Vec<u8> {
        let row = Row { series: &output.series, time: self.time(output.time), content };
        // Texts and numbers always have a JSON form.
        serde_json::to_vec(&row).unwrap_or_default()
    }

    fn time(&self, time: i64) -> Time {
        let instant = DateTime::from_timestamp_micros(time).filter(|_| self.time == TimeKind::Timestamp);
        instant.map_or(Time::Step(time), |at| Time::Instant(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
    }
}

/// The score of a p-value: how many powers of ten it is unlikely.
pub(crate) fn score(p_value: f64) -> f64 {
    0.0 - libm::log10(p_value)
}

/// A quantile's name: its level in percent.
pub(crate) fn quantile(level: f64) -> String {
    format!("q{}", (level * 1e4).round() / 1e2)
}

#[cfg(test)]
mod tests {
    use unspool_model::series::Forecast;

    use super::*;

    #[test]
    fn outputs_as_text() {
        let check = |time, at, content, expected: &[&str]| {
            let output = Output { partition: 0, offset: 0, series: "a".into(), time: at, content };
            let texts = Renderer { time, binary: false }.payloads(&output);
            assert_eq!(texts.iter().map(|text| std::str::from_utf8(text).unwrap()).collect::<Vec<_>>(), expected);
        };
        let score = |p_value| Given::Score { value: 0.1, p_value };
        check(TimeKind::Step, 7, score(0.01), &[r#"{"series":"a","time":7,"value":0.1,"p_value":0.01,"score":2.0}"#]);
        check(TimeKind::Step, 7, score(1.0), &[r#"{"series":"a","time":7,"value":0.1,"p_value":1.0,"score":0.0}"#]);
        check(
            TimeKind::Timestamp,
            1_500_000,
            score(f64::NAN),
            &[r#"{"series":"a","time":"1970-01-01T00:00:01.500Z","value":0.1,"p_value":null,"score":null}"#],
        );
        check(
            TimeKind::Step,
            0,
            Given::Embedding(vec![0.1, -2.0]),
            &[r#"{"series":"a","time":0,"embedding":[0.1,-2.0]}"#],
        );
        let forecast =
            Forecast { levels: vec![0.1, 0.5, 0.975], values: vec![1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0], reason: None };
        check(
            TimeKind::Step,
            0,
            Given::Forecast(forecast),
            &[
                r#"{"series":"a","time":0,"q10":1.0,"q50":2.0,"q97.5":3.0,"step":1}"#,
                r#"{"series":"a","time":0,"q10":null,"q50":5.0,"q97.5":6.0,"step":2}"#,
            ],
        );
        let output =
            Output { partition: 0, offset: 0, series: "a".into(), time: 0, content: Given::Embedding(vec![1.0]) };
        assert_eq!(Renderer { time: TimeKind::Step, binary: true }.payloads(&output), [1f32.to_le_bytes()]);
    }
}
