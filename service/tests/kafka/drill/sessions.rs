//! The server's load: clients that append to their sessions at a steady rate, and try again.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use tokio::runtime::Builder;
use tonic::{Code, Status, transport::Channel};
use unspool_proto::v1::{
    AppendRequest, AppendResponse, Durability, Events, OpenRequest, SessionOptions, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

use super::{
    flows::Shared,
    truth::{Truth, bits},
};
use crate::server::connect;

pub(super) const CLIENTS: usize = 3;
/// Sessions of a client.
pub(super) const SESSIONS: usize = 6;
/// Values of an append.
pub(super) const VALUES: usize = 8;
/// Between two appends to a session.
const STEP: Duration = Duration::from_millis(500);
/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that does not answer for so long is as good as none.
const DEADLINE: Duration = Duration::from_secs(10);

type Client = SessionServiceClient<Channel>;

/// A session's name.
pub(super) fn name(session: usize) -> String {
    format!("session-{session}")
}

/// The call may succeed later: the server is away, its disk is full, or it has too much to do.
fn passes(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
    )
}

async fn client(address: &str) -> Client {
    loop {
        if let Ok(channel) = connect(address).await {
            return SessionServiceClient::new(channel);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Opens a client's sessions: again and again, until all are open.
async fn open(address: &str, sessions: std::ops::Range<usize>) -> Client {
    let mut client = client(address).await;
    for session in sessions {
        loop {
            let options = Some(SessionOptions { anomaly: true, ..SessionOptions::default() });
            let request = OpenRequest { session_id: name(session), options, ..OpenRequest::default() };
            match client.open(request).await {
                Ok(_) => break,
                Err(status) if status.code() == Code::AlreadyExists => break,
                Err(status) => assert!(passes(&status), "{status}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    client
}

/// An append, again and again until it is answered. What was acknowledged is on the disk: no other number may be expected.
async fn append(client: &mut Client, (address, shared): (&str, &Shared), request: AppendRequest) -> AppendResponse {
    loop {
        assert!(!shared.over.load(SeqCst), "{} has no answer, and the drill is over", request.session_id);
        let mut call = tonic::Request::new(request.clone());
        call.set_timeout(DEADLINE);
        match client.append(call).await {
            Ok(reply) => return reply.into_inner(),
            Err(status) if passes(&status) => {
                tokio::time::sleep(PAUSE).await;
                *client = self::client(address).await;
            }
            Err(status) => panic!("{}, append {}: {status}", request.session_id, request.sequence_number),
        }
    }
}

/// A client at work until no more is wanted; the scores of its sessions.
pub(super) fn work(address: &str, number: usize, (truth, shared): (&Truth, &Shared)) -> Vec<Vec<u64>> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let sessions = number * SESSIONS..(number + 1) * SESSIONS;
    let mut client = runtime.block_on(open(address, sessions.clone()));
    let (mut scores, mut step) = (vec![vec![]; SESSIONS], 0u32);
    while shared.waits(STEP * step) {
        let due = shared.began + STEP * step;
        for (session, scores) in sessions.clone().zip(&mut scores) {
            let from = step as usize * VALUES;
            let values = (from..from + VALUES).map(|time| truth.value(session, time)).collect();
            let request = AppendRequest {
                session_id: name(session),
                sequence_number: u64::from(step) + 1,
                events: Some(Events { kind: Some(Kind::Values(Values { values })) }),
                durability: Durability::Durable.into(),
                ..AppendRequest::default()
            };
            let reply = runtime.block_on(append(&mut client, (address, shared), request));
            assert_eq!((reply.position, reply.scores.len()), ((from + VALUES) as u64, VALUES), "session {session}");
            scores.extend(reply.scores.into_iter().map(bits));
            shared.sessions.took(Instant::now().saturating_duration_since(due));
            shared.sessions.events.fetch_add(VALUES as u64, SeqCst);
        }
        step += 1;
        shared.rounds[number].store(u64::from(step), SeqCst);
    }
    scores
}

/// Rounds of appends that were due by now, and that all clients have had answered.
pub(super) fn rounds(shared: &Shared) -> (u64, u64) {
    let due = (shared.began.elapsed().as_millis() / STEP.as_millis()) as u64;
    (due, shared.rounds.iter().map(|rounds| rounds.load(SeqCst)).min().unwrap_or(0))
}
