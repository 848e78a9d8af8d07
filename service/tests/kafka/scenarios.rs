//! Small scenarios, each on topics of its own.

use std::{path::Path, time::Duration};

use crate::{
    broker::{Broker, Got, Sent},
    job::{Job, Numbers, events},
    worker::Worker,
};

const SCORES: &str = "[output]\ngive = 'scores'\n";
const SOON: Duration = Duration::from_secs(60);

/// Events of one series in order, one a step.
fn steps((from, to): (u64, u64)) -> Vec<Sent> {
    let step = |t: u64| Sent {
        key: Some("a".into()),
        payload: Some(format!("{{\"t\":{t},\"v\":{}}}", (t as f64 / 7.0).sin())),
        ..Sent::default()
    };
    (from..to).map(step).collect()
}

/// A job on a topic of its own, with its events written.
fn set_up(broker: &Broker, folder: &Path, job: &Job<'_>, (partitions, sent): (i32, &[Sent])) -> String {
    broker.create(job.input, partitions, &[]);
    broker.send(job.input, sent);
    job.write(folder, partitions).to_str().unwrap().to_owned()
}

fn payloads(all: &[Got]) -> Vec<&str> {
    all.iter().map(|got| &got.payload[..]).collect()
}

#[test]
#[ignore = "needs Apache Kafka: .ci/kafka.sh"]
fn a_stop_and_a_start_go_on_where_it_was() {
    let (broker, folder) = (Broker::of_the_tests(), tempfile::tempdir().unwrap());
    let job = Job { broker: &broker, input: "stop", name: "stop-job", more: SCORES };
    let file = set_up(&broker, folder.path(), &job, (1, &steps((0, 100))));
    let worker = Worker::start(folder.path(), "first", &[&file]);
    broker.wait_for(job.name, job.input, SOON);
    worker.stop();
    assert_eq!(broker.read(&job.out()).len(), 100);
    broker.send(job.input, &steps((100, 200)));
    let worker = Worker::start(folder.path(), "second", &[&file]);
    broker.wait_for(job.name, job.input, SOON);
    worker.stop();
    let halves = broker.read(&job.out());
    let whole = Job { name: "stop-whole", ..job };
    let file = whole.write(folder.path(), 1);
    let worker = Worker::start(folder.path(), "whole", &[file.to_str().unwrap()]);
    broker.wait_for(whole.name, whole.input, SOON);
    worker.stop();
    let expected = broker.read(&whole.out());
    assert_eq!(expected.len(), 200);
    assert_eq!(payloads(&halves), payloads(&expected));
}
