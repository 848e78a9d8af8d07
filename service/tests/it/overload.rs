//! More than the server can take: it refuses with advice, goes on at its full rate, and loses no session.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::{runtime::Runtime, time::sleep};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt;
use unspool_proto::v1::{
    AppendRequest, Events, OpenRequest, ReadRequest, events::Kind, session_service_client::SessionServiceClient,
};

use crate::{
    command::folder,
    server::{Server, connect},
};

/// Clients that come back at once, whatever they are advised.
const CLIENTS: u64 = 160;
/// Bases of an append; as many appends as this may wait.
const BASES: usize = 64;
const WAITING: usize = 8;
/// How long each part takes.
const LENGTH: Duration = Duration::from_secs(2);

/// What clients saw.
#[derive(Default)]
struct Seen {
    applied: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

fn append(id: u64, number: u64) -> AppendRequest {
    let events = Some(Events { kind: Some(Kind::Bases("ACGT".repeat(BASES / 4))) });
    AppendRequest { session_id: format!("s{id}"), sequence_number: number, events, ..AppendRequest::default() }
}

/// Appends until it is told to stop; gives the number of the last one that was applied.
async fn hammer(mut client: SessionServiceClient<Channel>, (id, begin): (u64, u64), seen: Arc<Seen>) -> u64 {
    let mut last = begin;
    while !seen.stop.load(SeqCst) {
        match client.append(append(id, last + 1)).await {
            Ok(_) => {
                last += 1;
                seen.applied.fetch_add(1, SeqCst);
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
                assert!(retry.is_some_and(|delay| delay > Duration::ZERO), "{status}");
                seen.refused.fetch_add(1, SeqCst);
                // As impatient as can be without taking the whole machine for itself.
                sleep(Duration::from_millis(4)).await;
            }
        }
    }
    last
}

/// Lets some clients append for a while: their last numbers, appends a second, and refusals.
async fn appended(client: &SessionServiceClient<Channel>, last: &[u64]) -> (Vec<u64>, f64, u64) {
    let (seen, begun) = (Arc::new(Seen::default()), Instant::now());
    let hammers = last.iter().enumerate().map(|(id, last)| {
        let (client, seen) = (client.clone(), Arc::clone(&seen));
        tokio::spawn(hammer(client, (id as u64, *last), seen))
    });
    let hammers: Vec<_> = hammers.collect();
    sleep(LENGTH).await;
    let rate = seen.applied.load(SeqCst) as f64 / begun.elapsed().as_secs_f64();
    seen.stop.store(true, SeqCst);
    let last = join_all(hammers).await.into_iter().map(Result::unwrap).collect();
    (last, rate, seen.refused.load(SeqCst))
}

#[test]
fn too_much_is_refused_with_advice_and_nothing_is_lost() {
    let folder = folder();
    fs::write(folder.path().join("u.toml"), format!("[limits]\nwaiting_tokens = {}\n", BASES * WAITING)).unwrap();
    let (server, address) = Server::start(folder.path(), "--model dna --config u.toml --threads 1 --data-dir kept");
    let (last, full, overloaded, refused) = Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        for id in 0..CLIENTS {
            client.open(OpenRequest { session_id: format!("s{id}"), ..OpenRequest::default() }).await.unwrap();
        }
        // As many as the queue takes: nobody is refused.
        let (few, full, none) = appended(&client, &[0; WAITING - 1]).await;
        assert_eq!(none, 0);
        let begin: Vec<u64> = (0..CLIENTS as usize).map(|id| few.get(id).copied().unwrap_or(0)).collect();
        let (last, overloaded, refused) = appended(&client, &begin).await;
        (last, full, overloaded, refused)
    });
    assert!(refused > 0);
    // What the machine does beside it is no matter here: `unspool bench serve` measures how much of the full rate is left.
    assert!(overloaded > full / 4.0, "{overloaded} appends/s under too much load, {full} without");
    // Nor does a crash right afterwards lose any that was acknowledged as durable, which all were.
    server.kill();
    let (server, address) = Server::start(folder.path(), "--model dna --data-dir kept");
    Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        for (id, last) in last.iter().enumerate() {
            let read = ReadRequest { session_id: format!("s{id}"), ..ReadRequest::default() };
            let session = client.read(read).await.unwrap().into_inner().session.unwrap();
            assert_eq!((session.next_sequence_number, session.position), (last + 1, last * BASES as u64));
        }
    });
    server.stop();
}
