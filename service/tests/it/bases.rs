//! Sessions that tell the information of each base as it arrives: the numbers of `unspool score --track bits`.

use std::fs;

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, UInt64Type},
};
use tokio::runtime::Runtime;
use tonic::Code;
use unspool_proto::v1::{
    AppendRequest, Events, OpenRequest, ReadRequest, RestoreRequest, SessionOptions, SnapshotRequest, events::Kind,
    session_service_client::SessionServiceClient,
};

use crate::{
    command::{folder, read, succeed},
    server::{Draw, Server, connect},
};

fn append(session: &str, number: u64, bases: &str) -> AppendRequest {
    let events = Some(Events { kind: Some(Kind::Bases(bases.into())) });
    AppendRequest { session_id: session.into(), sequence_number: number, events, ..AppendRequest::default() }
}

fn opening(session: &str, model: &str) -> OpenRequest {
    let options = Some(SessionOptions { bits: true, ..SessionOptions::default() });
    OpenRequest { session_id: session.into(), model: model.into(), options, ..OpenRequest::default() }
}

/// Any cuts, a snapshot and a restart of the server between them: the track's bits, base for base.
#[test]
fn bits_of_a_session_are_those_of_the_track() {
    let folder = folder();
    let mut draw = Draw(7);
    let bases: String =
        (0..3000).map(|i| if i % 701 == 5 { 'N' } else { char::from(b"ACGTacgt"[draw.below(8) as usize]) }).collect();
    fs::write(folder.path().join("one.fa"), format!(">one\n{bases}\n")).unwrap();
    succeed(folder.path(), "score one.fa --track bits --model dna -o track.parquet -q");
    let (track, _) = read(&folder.path().join("track.parquet"));
    let places = track["start"].as_primitive::<UInt64Type>().values();
    let mut expected = vec![f32::NAN; bases.len()];
    for (&place, &bits) in places.iter().zip(track["bits"].as_primitive::<Float32Type>().values()) {
        expected[place as usize] = bits;
    }
    let runtime = Runtime::new().unwrap();
    let mut found = vec![];
    let (mut rest, mut number) = (&bases[..], 0);
    for (from, to) in [("a", "a"), ("a", "b")] {
        let (server, address) = Server::start(folder.path(), "--model dna --data-dir kept");
        runtime.block_on(async {
            let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
            match number {
                0 => drop(client.open(opening(from, "dna")).await.unwrap()),
                _ => {
                    let saved =
                        client.snapshot(SnapshotRequest { session_id: from.into() }).await.unwrap().into_inner();
                    let restore = RestoreRequest { snapshot: saved.snapshot, session_id: to.into() };
                    client.restore(restore).await.unwrap();
                }
            }
            for _ in 0..if number == 0 { 9 } else { usize::MAX } {
                let (now, after) = rest.split_at((draw.below(150) as usize).min(rest.len()));
                (rest, number) = (after, number + 1);
                let reply = client.append(append(to, number, now)).await.unwrap().into_inner();
                assert_eq!(reply.scores.len(), now.len());
                found.extend(reply.scores);
                if rest.is_empty() {
                    break;
                }
            }
            let again = client.append(append(to, number, "")).await.unwrap().into_inner();
            assert!(again.replayed && again.position == found.len() as u64);
            let read = client.read(ReadRequest { session_id: to.into(), ..ReadRequest::default() }).await.unwrap();
            assert!(read.into_inner().session.unwrap().options.unwrap().bits);
        });
        server.stop();
    }
    assert_eq!((found.len(), found[0]), (bases.len(), 2.0));
    let bits = |values: &mut dyn Iterator<Item = f32>| values.map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(&mut found.iter().map(|bits| *bits as f32)), bits(&mut expected.into_iter()));
}

#[test]
fn the_built_in_dna_model_serves_and_others_refuse() {
    let folder = folder();
    let (server, address) = Server::start(folder.path(), "--model dna-1 --model series-3");
    Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        client.open(opening("a", "dna-1")).await.unwrap();
        let reply = client.append(append("a", 1, "ACGTACGTTTTTTTTTTTTTTTTTTTTTTTTN")).await.unwrap().into_inner();
        assert!(reply.scores[..31].iter().all(|bits| (0.0..20.0).contains(bits)) && reply.scores[31].is_nan());
        assert!(reply.scores[30] < 1.0, "a run goes on: {:?}", reply.scores);
        let refused = client.open(opening("b", "series-3")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("it tells no bits of bases"), "{refused:?}");
    });
    server.stop();
}
