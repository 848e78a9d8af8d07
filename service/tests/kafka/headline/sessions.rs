//! gRPC sessions: three clients that try again, and a server that is killed while they go on.

use std::{collections::BTreeMap, sync::mpsc, time::Duration};

use futures::future::join_all;
use tokio::{runtime::Runtime, sync::watch};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use unspool_proto::v1::{
    AppendRequest, Durability, Events, ForecastOptions, OpenRequest, Pooling, ReadRequest, SessionOptions, Values,
    events, session_service_client::SessionServiceClient,
};

use super::{
    given::{Given, Kind, bits, bits_f32},
    input::cuts,
    stage::{Asked, HORIZON, Stage},
};
use crate::{
    job::Numbers,
    server::{Server, connect},
    worker::device,
};

const CLIENTS: usize = 3;
/// Appends of a session.
const APPENDS: usize = 6;
const KILLS: u64 = 5;
/// A reply that does not come for so long never comes.
const PATIENCE: Duration = Duration::from_secs(120);
const ARGUMENTS: &str = "--model series-3 --model dna-1 --data-dir sessions";

type Client = SessionServiceClient<Channel>;

/// A session, as its client sees it.
struct Session<'a> {
    asked: Asked<'a>,
    /// Where its appends end.
    ends: Vec<usize>,
    /// The next append.
    number: usize,
    /// The last that was called durable.
    durable: usize,
    scores: BTreeMap<usize, Vec<f64>>,
}

/// Where the server is, and who wants to know of replies.
struct World {
    address: watch::Receiver<String>,
    said: mpsc::Sender<()>,
}

impl World {
    async fn client(&mut self) -> Client {
        loop {
            let now = self.address.borrow_and_update().clone();
            if let Ok(channel) = connect(&now).await {
                return SessionServiceClient::new(channel);
            }
            self.address.changed().await.unwrap();
        }
    }
}

/// The connection broke, or will.
fn broken(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// What a session is opened for, and with which model.
pub(super) fn opening(stage: &Stage, asked: &Asked<'_>) -> (&'static str, SessionOptions) {
    let layers = |model: &unspool_model::Model| vec![model.info().config.layers as u32];
    match (asked, asked.kind()) {
        (Asked::Read(_), _) => {
            ("dna-1", SessionOptions { layers: layers(&stage.dna_model), ..SessionOptions::default() })
        }
        (_, Kind::Scores) => ("series-3", SessionOptions { anomaly: true, ..SessionOptions::default() }),
        (_, Kind::Embedding) => {
            ("series-3", SessionOptions { layers: layers(&stage.series_model), ..SessionOptions::default() })
        }
        _ => ("series-3", SessionOptions::default()),
    }
}

/// Events `from..to` of a sequence.
pub(super) fn events(asked: &Asked<'_>, (from, to): (usize, usize)) -> Events {
    Events {
        kind: Some(match asked {
            Asked::Series(series, ..) => events::Kind::Values(Values { values: series.values[from..to].to_vec() }),
            Asked::Read(read) => events::Kind::Bases(read.bases[from..to].to_owned()),
        }),
    }
}

impl Session<'_> {
    fn append(&self) -> AppendRequest {
        let from = if self.number == 1 { 0 } else { self.ends[self.number - 2] };
        let durability = if self.number.is_multiple_of(2) { Durability::Durable } else { Durability::Memory };
        AppendRequest {
            session_id: self.asked.name(),
            sequence_number: self.number as u64,
            events: Some(events(&self.asked, (from, self.ends[self.number - 1]))),
            durability: durability.into(),
            ..AppendRequest::default()
        }
    }

    async fn next(&mut self, client: &mut Client, world: &mut World) {
        match client.append(self.append()).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                self.durable = if reply.durable { self.number } else { self.durable };
                let before = self.scores.insert(self.number, reply.scores.clone());
                assert!(before.is_none_or(|before| bits(&before) == bits(&reply.scores)), "{}", self.asked.name());
                self.number += 1;
                // Who kills may have finished.
                let _ = world.said.send(());
            }
            Err(status) if broken(&status) => *client = world.client().await,
            Err(status) => {
                // A server that was killed may have lost what it had not called durable.
                let info = status.get_details_error_info();
                let expected = info.and_then(|info| info.metadata.get("expected")?.parse().ok());
                let expected: usize = expected.unwrap_or_else(|| panic!("{}: {status}", self.asked.name()));
                assert!(expected > self.durable && expected < self.number, "{}: {status}", self.asked.name());
                self.number = expected;
            }
        }
    }
}

/// All appends of a client's sessions, in turn.
async fn client(mut world: World, mut sessions: Vec<Session<'_>>) -> Vec<Session<'_>> {
    let mut client = world.client().await;
    while sessions.iter().any(|session| session.number <= session.ends.len()) {
        for session in sessions.iter_mut().filter(|session| session.number <= session.ends.len()) {
            session.next(&mut client, &mut world).await;
        }
    }
    sessions
}

/// What a session gives at its end, beside scores.
pub(super) async fn read(client: &mut Client, (asked, name): (&Asked<'_>, String)) -> (Kind, Vec<u8>) {
    let kind = asked.kind();
    let forecast = (kind == Kind::Forecast).then(|| ForecastOptions { horizon: HORIZON, levels: vec![] });
    let pooling = if kind == Kind::Embedding { Pooling::Mean } else { Pooling::Unspecified };
    let request = ReadRequest { session_id: name, forecast, pooling: pooling.into() };
    let reply = client.read(request).await.unwrap().into_inner();
    assert_eq!(reply.session.unwrap().position, asked.len() as u64, "{}", asked.name());
    let bytes = if kind == Kind::Forecast { bits(&reply.quantiles) } else { bits_f32(&reply.embeddings) };
    (kind, bytes)
}

pub(super) fn run(stage: &Stage) -> Given {
    let (runtime, mut numbers, mut given) = (Runtime::new().unwrap(), Numbers(7), Given::default());
    let arguments = format!("{ARGUMENTS} --device {}", device());
    let start = || Server::start(&stage.folder, &arguments);
    let asked = stage.asked();
    let (server, address) = start();
    let (says_address, address) = watch::channel(address);
    let (said, replies) = mpsc::channel();
    runtime.block_on(async {
        let mut client = SessionServiceClient::new(connect(&address.borrow().clone()).await.unwrap());
        for asked in &asked {
            let (model, options) = opening(stage, asked);
            let (session_id, model, options) = (asked.name(), model.to_owned(), Some(options));
            client.open(OpenRequest { session_id, model, options, ttl_s: 0 }).await.unwrap();
        }
    });
    let mut sessions: Vec<Vec<Session<'_>>> = (0..CLIENTS).map(|_| vec![]).collect();
    for (number, asked) in asked.iter().enumerate() {
        let (ends, scores) = (cuts(&mut numbers, (asked.len(), APPENDS)), BTreeMap::new());
        sessions[number % CLIENTS].push(Session { asked: *asked, ends, number: 1, durable: 0, scores });
    }
    let (done, server) = std::thread::scope(|scope| {
        let mut server = server;
        let world = || World { address: address.clone(), said: said.clone() };
        let all: Vec<_> = sessions.into_iter().map(|sessions| client(world(), sessions)).collect();
        let handle = runtime.handle().clone();
        let clients = scope.spawn(move || handle.block_on(join_all(all)));
        let between = (asked.len() * APPENDS) as u64 / (KILLS + 1);
        for _ in 0..KILLS {
            let replies_before = 1 + between / 2 + numbers.next(between / 2 + 1);
            (0..replies_before).for_each(|_| replies.recv_timeout(PATIENCE).unwrap());
            server.kill();
            let (next, address) = start();
            server = next;
            says_address.send_replace(address);
        }
        (clients.join().unwrap(), server)
    });
    for session in done.into_iter().flatten().filter(|session| session.asked.kind() == Kind::Scores) {
        given
            .put((Kind::Scores, session.asked.id()), bits(&session.scores.into_values().flatten().collect::<Vec<_>>()));
    }
    runtime.block_on(async {
        let mut client = SessionServiceClient::new(connect(&says_address.borrow().clone()).await.unwrap());
        for asked in asked.iter().filter(|asked| asked.kind() != Kind::Scores) {
            let (kind, bytes) = read(&mut client, (asked, asked.name())).await;
            given.put((kind, asked.id()), bytes);
        }
    });
    server.stop();
    given.extend(stage.session_states("sessions", &asked, |asked| asked.name()));
    given
}
