//! In the middle of each series: a batch job runs the first third, a stream job goes on behind it, a session behind that.
//! Batch jobs hand over no reads: of those a stream job runs the first half.

use std::collections::BTreeMap;

use tokio::runtime::Runtime;
use unspool_proto::v1::{AppendRequest, session_service_client::SessionServiceClient};

use super::{
    batch::{self, what},
    given::{Given, Kind, bits},
    input::{Series, cuts},
    sessions::{events, read},
    stage::{Asked, Stage},
    stream::{PORTIONS, Streamed, reads_topic, series_topic},
};
use crate::{
    broker::Broker,
    job::Numbers,
    server::{Server, connect},
    worker::device,
};

/// Appends of a session.
const APPENDS: usize = 3;

fn third(series: &Series) -> usize {
    series.values.len() / 3
}

fn half(bases: usize) -> usize {
    bases / 2
}

/// Batch jobs over the first third of each series.
fn batches(stage: &Stage, scores: &mut BTreeMap<String, Vec<f64>>) {
    let rows = batch::rows(&stage.input.series, &|series| 0..third(series));
    batch::write(&stage.folder.join("first/1.parquet"), &rows);
    for (kind, _) in Kind::OF_SERIES {
        stage.run(&format!("run --quiet --input first --what {} --output {}", what(kind), output(kind)));
    }
    for series in &stage.input.series {
        let mut found = vec![f64::NAN; series.values.len()];
        batch::put_scores(&stage.folder.join(output(Kind::Scores)), (&series.id, &mut found));
        scores.insert(series.id.clone(), found);
    }
}

fn output(kind: Kind) -> String {
    format!("first-{kind:?}")
}

/// Stream jobs behind them; one worker each is killed on the way.
fn streams(stage: &Stage, broker: &Broker, scores: &mut BTreeMap<String, Vec<f64>>) -> Vec<(Asks, String)> {
    let folder = &stage.folder;
    let series = series_topic(broker, stage, (&|len| len / 3, 2));
    let reads = reads_topic(broker, stage, &half);
    let job = |kinds: (Kind, Kind)| Streamed::new(broker, (stage, &series, false), kinds, Some(&output(kinds.0)));
    let mut jobs: Vec<(Asks, Streamed<'_>)> =
        Kind::OF_SERIES.into_iter().map(|kinds| (Asks::Series(kinds), job(kinds))).collect();
    jobs.push((Asks::Reads, Streamed::new(broker, (stage, &reads, true), Kind::OF_READS, None)));
    jobs.iter_mut().for_each(|(_, job)| job.start(folder, 0));
    for portion in 0..PORTIONS {
        [&series, &reads].iter().for_each(|topic| broker.send(topic.name, &topic.portions[portion]));
        if portion == 1 {
            jobs.iter().for_each(|(_, job)| job.wait());
            jobs.iter_mut().for_each(|(_, job)| job.restart(folder, 0));
        }
    }
    jobs.iter().for_each(|(_, job)| job.wait());
    jobs.iter_mut().for_each(|(_, job)| job.stop());
    jobs.iter().filter(|(_, job)| job.kind == Kind::Scores).for_each(|(_, job)| job.put_scores(scores));
    jobs.into_iter().map(|(asks, job)| (asks, job.data_dir())).collect()
}

/// What a job was asked.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Series((Kind, Kind)),
    Reads,
}

impl Asks {
    fn of<'a>(&self, stage: &'a Stage) -> Vec<Asked<'a>> {
        match self {
            Self::Series((kind, state)) => {
                stage.input.series.iter().map(|series| Asked::Series(series, *kind, *state)).collect()
            }
            Self::Reads => stage.input.reads.iter().map(Asked::Read).collect(),
        }
    }
}

/// Sessions behind a stream job.
fn sessions(stage: &Stage, (asks, from): (Asks, &str), scores: &mut BTreeMap<String, Vec<f64>>) -> Given {
    let (mut given, dir) = (Given::default(), format!("sessions-of-{from}"));
    stage.run(&format!("sessions import --quiet --data-dir {dir} --from {from} --model dna-1 --device {}", device()));
    let arguments = format!("--model series-3 --model dna-1 --data-dir {dir} --device {}", device());
    let (server, address) = Server::start(&stage.folder, &arguments);
    let (asked, mut numbers) = (asks.of(stage), Numbers(5));
    Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        for asked in &asked {
            let begin = match asked {
                Asked::Series(series, ..) => third(series) + (series.values.len() * 2 / 3 - third(series)),
                Asked::Read(read) => half(read.bases.len()),
            };
            let mut from = begin;
            for (number, end) in (1..).zip(cuts(&mut numbers, (asked.len() - begin, APPENDS))) {
                let request = AppendRequest {
                    session_id: asked.id().to_owned(),
                    sequence_number: number,
                    events: Some(events(asked, (from, begin + end))),
                    ..AppendRequest::default()
                };
                let reply = client.append(request).await.unwrap().into_inner();
                if asked.kind() == Kind::Scores {
                    scores.get_mut(asked.id()).unwrap()[from..begin + end].copy_from_slice(&reply.scores);
                }
                from = begin + end;
            }
            if asked.kind() != Kind::Scores {
                let (kind, bytes) = read(&mut client, (asked, asked.id().to_owned())).await;
                given.put((kind, asked.id()), bytes);
            }
        }
    });
    server.stop();
    given.extend(stage.session_states(&dir, &asked, |asked| asked.id().to_owned()));
    given
}

pub(super) fn run(stage: &Stage, broker: &Broker) -> Given {
    let (mut given, mut scores) = (Given::default(), BTreeMap::new());
    batches(stage, &mut scores);
    for (asks, from) in streams(stage, broker, &mut scores) {
        given.extend(sessions(stage, (asks, &from), &mut scores));
    }
    scores.into_iter().for_each(|(id, scores)| given.put((Kind::Scores, &id), bits(&scores)));
    given
}
