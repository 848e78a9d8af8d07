//! A copy of a stopped server's folder is a backup: a server on it goes on as of then, to the bit, and the original does not notice.

use std::{fs, path::Path};

use tokio::runtime::Runtime;
use tonic::transport::Channel;
use unspool_proto::v1::{
    AppendRequest, Durability, Events, ForecastOptions, OpenRequest, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

use crate::{
    command::folder,
    server::{Server, connect},
};

type Client = SessionServiceClient<Channel>;

const SESSIONS: [&str; 3] = ["meter", "pump", "fan"];

/// The forecast after the append of this number, which is the same for everybody, as bits; it is on disk then.
async fn append(client: &mut Client, session: &str, number: u64) -> Vec<u64> {
    let values = (0..37).map(|at| ((number * 37 + at) as f64 / session.len() as f64).sin()).collect();
    let events = Some(Events { kind: Some(Kind::Values(Values { values })) });
    let forecast = Some(ForecastOptions { horizon: 5, ..ForecastOptions::default() });
    let session_id = session.to_owned();
    let durability = Durability::Durable.into();
    let request =
        AppendRequest { session_id, sequence_number: number, events, forecast, durability, ..AppendRequest::default() };
    let reply = client.append(request).await.unwrap().into_inner();
    reply.quantiles.iter().map(|value| value.to_bits()).collect()
}

/// Appends to each session; the last one's forecasts.
async fn appends(client: &mut Client, numbers: std::ops::RangeInclusive<u64>) -> Vec<Vec<u64>> {
    let mut last = vec![];
    for session in SESSIONS {
        let mut forecast = vec![];
        for number in numbers.clone() {
            forecast = append(client, session, number).await;
        }
        last.push(forecast);
    }
    last
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Starts a server on a folder, and does something there. Stopped gracefully or, as by a crash, killed.
fn with<T>(here: &Path, dir: &str, kill: bool, work: impl AsyncFnOnce(&mut Client) -> T) -> T {
    let (server, address) = Server::start(here, &format!("--model dna --model series-3 --data-dir {dir}"));
    let done = Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        work(&mut client).await
    });
    if kill {
        server.kill()
    } else {
        server.stop()
    }
    done
}

#[test]
fn a_copy_goes_on_where_it_was_made() {
    let folder = folder();
    let here = folder.path();
    with(here, "kept", false, async |client| {
        for session in SESSIONS {
            let request =
                OpenRequest { session_id: session.into(), model: "series-3".into(), ..OpenRequest::default() };
            client.open(request).await.unwrap();
        }
        appends(client, 1..=3).await
    });
    copy(&here.join("kept"), &here.join("backup"));
    // The original goes on, and crashes; what a crash leaves is what a snapshot of the file system has.
    let original = with(here, "kept", true, async |client| appends(client, 4..=6).await);
    copy(&here.join("kept"), &here.join("snapshot"));
    assert!(original.iter().all(|forecast| !forecast.is_empty()));
    let restored = with(here, "backup", false, async |client| appends(client, 4..=6).await);
    assert_eq!(restored, original, "the same appends");
    let restored = with(here, "snapshot", false, async |client| appends(client, 6..=6).await);
    assert_eq!(restored, original, "a retry of the last one");
}
