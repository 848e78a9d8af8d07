//! What a poll brought, and what goes out for it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};
use unspool_ingest::kafka::{Record, Rejected, client::record};
use unspool_model::Model;

use super::super::{
    emit::{Output, Renderer},
    job::{StreamJob, To},
    producer::Letter,
};

/// Records of a poll, each partition's in the order of offsets.
#[derive(Default)]
pub(super) struct Batch<'a>(pub Vec<Record<'a>>);

impl<'a> Batch<'a> {
    pub(super) fn of(messages: &'a [BorrowedMessage<'_>], headers: bool) -> Self {
        Self(messages.iter().map(|message| record(message, headers)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How far the records reach: the next offset of each partition.
    pub(super) fn nexts(&self) -> BTreeMap<i32, i64> {
        let mut nexts = BTreeMap::new();
        for record in &self.0 {
            let next = nexts.entry(record.partition).or_insert(0);
            *next = (record.offset + 1).max(*next);
        }
        nexts
    }

    /// The records before each partition's next mark, and the rest.
    pub(super) fn split(self, mark: impl Fn(i32) -> Option<i64>) -> (Self, Self) {
        let before = |record: &Record<'_>| mark(record.partition).is_none_or(|mark| record.offset < mark);
        let (now, later) = self.0.into_iter().partition(before);
        (Self(now), Self(later))
    }

    /// Gives rejects the payload of their message, where they have none of their own.
    pub(super) fn complete(&self, rejects: &mut [Rejected]) {
        if rejects.iter().all(|reject| reject.payload.is_some()) {
            return;
        }
        let at: HashMap<_, _> = self.0.iter().map(|record| ((record.partition, record.offset), record)).collect();
        for reject in rejects.iter_mut().filter(|reject| reject.payload.is_none()) {
            if let Some(record) = at.get(&(reject.partition, reject.offset)) {
                *reject = record.reject(reject.kind, std::mem::take(&mut reject.reason));
            }
        }
    }
}

/// A committed flush of an idle partition: before this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub offset: i64,
}

impl Mark {
    /// Marks of a topic's records, those from `start` to `end`, in order.
    pub(super) fn within(payloads: &[Vec<u8>], (start, end): (i64, i64)) -> VecDeque<i64> {
        let read = payloads.iter().filter_map(|payload| serde_json::from_slice::<Self>(payload).ok());
        let mut marks: Vec<i64> = read.map(|mark| mark.offset).filter(|at| (start..=end).contains(at)).collect();
        marks.sort_unstable();
        marks.dedup();
        marks.into()
    }
}

/// Makes records of outputs, dead letters and marks.
pub(super) struct Letters {
    renderer: Renderer,
    topic: Option<String>,
    rejects: Option<String>,
    marks: String,
    source: String,
    model: String,
    route: String,
}

impl Letters {
    pub(super) fn new(job: &StreamJob, model: &Model) -> Self {
        let info = model.info();
        Self {
            renderer: job.renderer(),
            topic: match &job.output.to {
                To::Topic(topic) => Some(topic.clone()),
                To::Files(_) | To::Stdout => None,
            },
            rejects: job.output.rejects.clone(),
            marks: job.flush_topic(),
            source: job.topic.clone(),
            model: info.digest.to_string(),
            route: info.route.to_string(),
        }
    }

    /// Outputs as lines, for those who give them to no topic.
    pub(super) fn lines(&self, outputs: &[Output]) -> Vec<u8> {
        let lines = outputs.iter().flat_map(|output| self.renderer.payloads(output));
        lines
            .flat_map(|mut line| {
                line.push(b'\n');
                line
            })
            .collect()
    }

    /// The records of an output: key, and payload by payload.
    pub(super) fn outputs(&self, outputs: &[Output]) -> Vec<Letter> {
        let Some(topic) = &self.topic else { return vec![] };
        let letters = |output: &Output| {
            let headers = vec![
                ("unspool-model", self.model.clone()),
                ("unspool-route", self.route.clone()),
                ("unspool-source", format!("{}/{}/{}", self.source, output.partition, output.offset)),
            ];
            let letter = move |payload| Letter {
                topic: topic.clone(),
                partition: None,
                key: Some(output.series.as_bytes().to_vec()),
                payload: Some(payload),
                headers: headers.clone(),
            };
            self.renderer.payloads(output).into_iter().map(letter).collect::<Vec<_>>()
        };
        outputs.iter().flat_map(letters).collect()
    }

    /// The record of a dead letter.
    pub(super) fn rejects(&self, rejects: &[Rejected]) -> Vec<Letter> {
        let Some(topic) = &self.rejects else { return vec![] };
        let letter = |reject: &Rejected| Letter {
            topic: topic.clone(),
            partition: None,
            key: reject.key.clone(),
            payload: reject.payload.clone(),
            headers: vec![
                ("unspool-source", format!("{}/{}/{}", self.source, reject.partition, reject.offset)),
                ("unspool-kind", reject.kind.name().to_owned()),
                ("unspool-reason", reject.reason.clone()),
            ],
        };
        rejects.iter().map(letter).collect()
    }

    /// The record of a mark: it stands in the partition of its own number.
    pub(super) fn mark(&self, partition: i32, offset: i64) -> Letter {
        let payload = serde_json::to_vec(&Mark { offset }).unwrap_or_default();
        Letter { topic: self.marks.clone(), partition: Some(partition), payload: Some(payload), ..Letter::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_within_a_gap() {
        let payloads: Vec<Vec<u8>> = [r#"{"offset":7}"#, r#"{"offset":3}"#, "x", r#"{"offset":7}"#, r#"{"offset":9}"#]
            .map(|s| s.into())
            .to_vec();
        assert_eq!(Mark::within(&payloads, (3, 8)), [3, 7]);
        assert_eq!(Mark::within(&payloads, (4, 6)), [0i64; 0]);
    }

    #[test]
    fn records_are_split_at_marks() {
        let record = |partition, offset| Record { partition, offset, ..Record::default() };
        let batch = Batch(vec![record(0, 1), record(1, 1), record(0, 5), record(1, 5)]);
        let (now, later) = batch.split(|partition| (partition == 0).then_some(5));
        let places = |batch: &Batch<'_>| batch.0.iter().map(|r| (r.partition, r.offset)).collect::<Vec<_>>();
        assert_eq!(places(&now), [(0, 1), (1, 1), (1, 5)]);
        assert_eq!(places(&later), [(0, 5)]);
        assert_eq!(now.nexts(), [(0, 2), (1, 6)].into());
    }
}
