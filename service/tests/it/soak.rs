//! Soak: thousands of sessions open, idle, come back and expire, and neither memory nor disk grows with their number.
//!
//! ```sh
//! UNSPOOL_SOAK_WAVES=500 cargo test --release -p unspool --test it soak -- --nocapture
//! ```

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::{runtime::Runtime, time::sleep};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use unspool_proto::v1::{
    AppendRequest, Durability, Events, ListRequest, OpenRequest, Pooling, ReadRequest, SessionOptions, StreamRequest,
    events::Kind, session_service_client::SessionServiceClient, stream_result::Outcome,
};

use crate::{
    command::folder,
    server::{Server, connect, setting},
};

/// Sessions of a wave, and of those that live through all of them.
const WAVE: u64 = 2000;
const LASTING: u64 = 100;
/// A twentieth of a wave's states fit into memory; the log is small, so that states are saved all the time; and at some number of
/// sessions others have to expire before more are opened.
const SETTINGS: &str = "[limits]\nsession_memory_bytes = 500000\nsession_log_bytes = 8000000\nsessions = 12000\n";
/// Bytes of memory that may come on top of the first waves', however many follow: a wave's states alone are 12 MB.
const SLACK_BYTES: u64 = 32 << 20;
/// Bytes on disk that 12,000 sessions may take at most, however many there were before.
const DISK_BYTES: u64 = 512 << 20;
/// How long a session of a wave lives without being used, in seconds.
const SHORT_TTL_S: u64 = 2;

type Client = SessionServiceClient<Channel>;

async fn open(client: &Client, id: String, ttl_s: u64) -> Result<(), Status> {
    let options = Some(SessionOptions { layers: vec![2], ..SessionOptions::default() });
    let request = OpenRequest { session_id: id, ttl_s, options, ..OpenRequest::default() };
    loop {
        match client.clone().open(request.clone()).await {
            Err(status) if status.code() == Code::ResourceExhausted => {
                let advice = status.get_details_retry_info().and_then(|info| info.retry_delay);
                sleep(advice.unwrap_or_else(|| panic!("no advice: {status}"))).await;
            }
            opened => return opened.map(|_| ()),
        }
    }
}

fn append(session_id: String, number: u64) -> AppendRequest {
    let events = Some(Events { kind: Some(Kind::Bases("GATTACA".repeat(1 + number as usize % 3))) });
    let (durability, pooling) = (Durability::Memory.into(), Pooling::Mean.into());
    AppendRequest { session_id, sequence_number: number, events, durability, pooling, ..AppendRequest::default() }
}

/// An append to each of the sessions over one stream; their embeddings.
async fn appended(client: &Client, ids: &[String], number: u64) -> Vec<Vec<f32>> {
    let messages: Vec<_> = ids
        .chunks(200)
        .map(|ids| StreamRequest { tag: 0, appends: ids.iter().map(|id| append(id.clone(), number)).collect() })
        .collect();
    let replies = client.clone().stream(stream::iter(messages)).await.unwrap().into_inner();
    let replies: Vec<_> = replies.try_collect().await.unwrap();
    let results = replies.into_iter().flat_map(|reply| reply.results);
    let reply = |outcome| match outcome {
        Some(Outcome::Reply(reply)) => reply.embeddings,
        // On a slow machine it has expired already.
        Some(Outcome::Failure(failure)) if failure.code == Code::NotFound as u32 => vec![],
        other => panic!("{other:?}"),
    };
    results.map(|result| reply(result.outcome)).collect()
}

/// How many sessions there are.
async fn count(client: &Client) -> u64 {
    let (mut sessions, mut page_token) = (0, String::new());
    loop {
        let request = ListRequest { page_size: 1000, page_token, ..ListRequest::default() };
        let page = client.clone().list(request).await.unwrap().into_inner();
        sessions += page.sessions.len() as u64;
        if page.next_page_token.is_empty() {
            return sessions;
        }
        page_token = page.next_page_token;
    }
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            // It was removed just now.
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn sessions_come_and_go_in_bounded_memory() {
    let (waves, folder) = (setting("UNSPOOL_SOAK_WAVES", 7), folder());
    fs::write(folder.path().join("soak.toml"), SETTINGS).unwrap();
    let (server, address) = Server::start(folder.path(), "--model dna --config soak.toml --data-dir kept");
    let used = || (server.memory_bytes(), disk_bytes(&folder.path().join("kept")));
    Runtime::new().unwrap().block_on(async {
        let client = SessionServiceClient::new(connect(&address).await.unwrap());
        let ids = |wave: &str, count| (0..count).map(|i| format!("{wave}-{i}")).collect::<Vec<_>>();
        let lasting = ids("lasting", LASTING);
        let opened = |ids: &[String], ttl_s| {
            let opens: Vec<_> = ids.iter().map(|id| open(&client, id.clone(), ttl_s)).collect();
            stream::iter(opens).buffer_unordered(32).try_collect::<Vec<()>>()
        };
        opened(&lasting, 3600).await.unwrap();
        let mut first = None;
        for wave in 1..=waves {
            let passing = ids(&format!("wave{wave}"), WAVE);
            opened(&passing, SHORT_TTL_S).await.unwrap();
            appended(&client, &passing, 1).await;
            // Meanwhile on disk, these come back; all have taken in the same, so all are the same.
            let embeddings = appended(&client, &lasting, wave).await;
            assert!(embeddings.iter().all(|embedding| !embedding.is_empty() && *embedding == embeddings[0]));
            if wave == waves.div_ceil(2).min(20) {
                first = Some(server.memory_bytes());
            }
            if wave % 50 == 0 {
                println!("wave {wave}: {:?} bytes of memory and disk, {} sessions", used(), count(&client).await);
            }
        }
        // All but the lasting ones expire.
        let begun = Instant::now();
        while count(&client).await > LASTING {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} sessions are left", count(&client).await);
            sleep(Duration::from_millis(100)).await;
        }
        let ((memory, disk), first) = (used(), first.unwrap());
        assert!(memory < first + SLACK_BYTES, "{memory} bytes of memory, {first} after the first waves");
        assert!(disk < DISK_BYTES, "{disk} bytes on disk");
        let read = ReadRequest { session_id: lasting[0].clone(), ..ReadRequest::default() };
        let session = client.clone().read(read).await.unwrap().into_inner().session.unwrap();
        assert_eq!(session.next_sequence_number, waves + 1);
        println!("{waves} waves of {WAVE} sessions: {memory} bytes of memory, {disk} on disk");
    });
    server.stop();
}
