//! Clients that try again until they have their replies, and note them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
};

use prost::Message;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use unspool_proto::v1::{
    AppendRequest, AppendResponse, Durability, ForecastOptions, Pooling, ReadRequest, StreamRequest,
    session_service_client::SessionServiceClient, stream_result::Outcome,
};

use super::input::{self, SESSIONS};
use crate::server::connect;

/// Appends that each session gets at least.
const LEAST: u64 = 20;

/// What all clients share.
pub(super) struct World {
    /// Where the server is now, or was.
    pub(super) address: watch::Sender<String>,
    /// Replies, by session and number, without what may differ: timings, and when it became durable.
    pub(super) replies: Mutex<BTreeMap<(u64, u64), Vec<u8>>>,
    /// No more kills come.
    pub(super) done: AtomicBool,
    /// Replies that had been given before, by the server or for a number that had been lost.
    pub(super) replayed: AtomicU64,
    /// Times that a server had lost appends that it had not called durable.
    pub(super) back: AtomicU64,
    /// Told of each reply.
    said: mpsc::Sender<()>,
}

/// How far a session is.
struct Progress {
    session: u64,
    /// The next append.
    number: u64,
    /// The last that was acknowledged as durable.
    durable: u64,
    /// The last that was acknowledged at all.
    most: u64,
    /// An append was sent, and nothing is known of it yet.
    open: bool,
}

impl Progress {
    fn new(session: u64) -> Self {
        Self { session, number: 1, durable: 0, most: 0, open: false }
    }

    /// The next append, which is on its way from now on.
    fn next(&mut self) -> AppendRequest {
        self.open = true;
        input::append(self.session, self.number)
    }
}

impl World {
    pub(super) fn new(said: mpsc::Sender<()>) -> Self {
        Self {
            address: watch::channel(String::new()).0,
            replies: Mutex::default(),
            done: AtomicBool::new(false),
            replayed: AtomicU64::new(0),
            back: AtomicU64::new(0),
            said,
        }
    }

    /// A client of the server, once there is one.
    async fn client(&self) -> SessionServiceClient<Channel> {
        let mut address = self.address.subscribe();
        loop {
            let now = address.borrow_and_update().clone();
            if let Ok(channel) = connect(&now).await {
                return SessionServiceClient::new(channel).max_decoding_message_size(64 << 20);
            }
            // Nobody listens there any more: another server will.
            address.changed().await.unwrap();
        }
    }

    /// A reply has come: it is that of before, if there was one.
    fn note(&self, progress: &mut Progress, mut reply: AppendResponse) {
        let Progress { session, number, .. } = *progress;
        assert_eq!(reply.sequence_number, number);
        if reply.durable {
            progress.durable = number;
        }
        let replayed = std::mem::take(&mut reply.replayed);
        (reply.timings, reply.durable, reply.provenance) = (None, false, None);
        let bytes = reply.encode_to_vec();
        let before = self.replies.lock().unwrap().insert((session, number), bytes.clone());
        assert!(before.as_ref().is_none_or(|before| *before == bytes), "session {session}, append {number} again");
        self.replayed.fetch_add(u64::from(replayed || before.is_some()), SeqCst);
        (progress.most, progress.open) = (progress.most.max(number), false);
        progress.number += 1;
        // The killer may have finished.
        let _ = self.said.send(());
    }

    /// The server expects another number: only what was not called durable may be lost.
    fn expects(&self, progress: &mut Progress, expected: u64) {
        let Progress { session, number, durable, .. } = *progress;
        assert!(expected > durable, "session {session}: {expected} is expected, {durable} was durable");
        assert!(expected < number, "session {session}: {expected} is expected, {number} was sent");
        self.back.fetch_add(1, SeqCst);
        progress.number = expected;
    }

    /// There is more to append, or to find out.
    fn goes_on(&self, progress: &Progress) -> bool {
        progress.open || progress.number <= progress.most.max(LEAST) || !self.done.load(SeqCst)
    }

    /// All appends of a session up to `last`, on a server that nobody disturbs.
    pub(super) async fn replay(&self, session: u64, last: u64) {
        let (mut client, mut progress) = (self.client().await, Progress::new(session));
        while progress.number <= last {
            // This server has no disk.
            let mut request = input::append(session, progress.number);
            request.set_durability(Durability::Memory);
            let reply = client.append(request).await.unwrap().into_inner();
            assert!(!reply.replayed);
            self.note(&mut progress, reply);
        }
    }
}

/// The connection broke, or will: it is worth trying again.
fn broken(status: &Status) -> bool {
    assert!(!status.message().contains("a fault"), "{status}");
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

/// Opens a session.
pub(super) async fn open(world: &World, session: u64) {
    world.client().await.open(input::opening(session)).await.unwrap();
}

/// A client with one session: append after append. Gives the last number.
pub(super) async fn alone(world: Arc<World>, session: u64) -> Vec<u64> {
    let (mut client, mut progress) = (world.client().await, Progress::new(session));
    while world.goes_on(&progress) {
        match client.append(progress.next()).await {
            Ok(reply) => world.note(&mut progress, reply.into_inner()),
            Err(status) if broken(&status) => client = world.client().await,
            Err(status) => {
                let info = status.get_details_error_info();
                let expected = info.and_then(|info| info.metadata.get("expected")?.parse().ok());
                world.expects(&mut progress, expected.unwrap_or_else(|| panic!("session {session}: {status}")));
            }
        }
    }
    vec![progress.number - 1]
}

/// A client with a stream for many sessions: each message has an append for all of them. Gives the last numbers.
pub(super) async fn together(world: Arc<World>, sessions: Vec<u64>) -> Vec<u64> {
    let mut all: Vec<_> = sessions.into_iter().map(Progress::new).collect();
    while all.iter().any(|progress| world.goes_on(progress)) {
        // Broken streams begin again, from where each session is.
        let _ = stream_on(&world, &mut all).await;
    }
    all.iter().map(|progress| progress.number - 1).collect()
}

async fn stream_on(world: &World, all: &mut [Progress]) -> Result<(), Status> {
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let mut client = world.client().await;
    let mut replies = client.stream(ReceiverStream::new(messages)).await?.into_inner();
    while all.iter().any(|progress| world.goes_on(progress)) {
        let appends = all.iter_mut().map(Progress::next).collect();
        let gone = |_| Status::unavailable("the stream is broken");
        sender.send(StreamRequest { tag: 7, appends }).await.map_err(gone)?;
        let reply = replies.message().await?.ok_or_else(|| Status::unavailable("the stream ended"))?;
        assert_eq!((reply.tag, reply.results.len()), (7, all.len()));
        for (progress, result) in all.iter_mut().zip(reply.results) {
            match result.outcome.unwrap() {
                Outcome::Reply(reply) => world.note(progress, reply),
                Outcome::Failure(failure) if failure.expected_sequence_number > 0 => {
                    world.expects(progress, failure.expected_sequence_number);
                }
                Outcome::Failure(failure) => panic!("session {}: {}", progress.session, failure.message),
            }
        }
    }
    Ok(())
}

/// The sessions as they stand: numbers, positions, embeddings and forecasts, without what may differ.
pub(super) async fn finals(world: &World) -> HashMap<u64, Vec<u8>> {
    let mut finals = HashMap::new();
    for session in 0..SESSIONS {
        let forecast = (!input::is_dna(session)).then(|| ForecastOptions { horizon: 70, levels: vec![] });
        let pooling = Pooling::Mean.into();
        let request = ReadRequest { session_id: input::id(session), forecast, pooling };
        let mut reply = world.client().await.read(request).await.unwrap().into_inner();
        let kept = reply.session.take().unwrap();
        reply.timings = None;
        let mut bytes = reply.encode_to_vec();
        bytes.extend([kept.position, kept.next_sequence_number].into_iter().flat_map(u64::to_le_bytes));
        finals.insert(session, bytes);
    }
    finals
}
