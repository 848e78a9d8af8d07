//! Clients that do not behave: readers that do not read, streams that break off, bytes that are no gRPC.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::runtime::Runtime;
use tonic::{Code, transport::Endpoint};
use unspool_proto::v1::{
    AppendRequest, Events, OpenRequest, ReadRequest, SessionOptions, StreamRequest, Values, events::Kind,
    session_service_client::SessionServiceClient, stream_result::Outcome,
};

use crate::{
    command::folder,
    server::{Draw, Server, connect},
};

/// Messages that the slow reader has to send.
const MESSAGES: u64 = 40;
/// Sessions of each message.
const SESSIONS: u64 = 4;

/// Values as many as they are scores in the reply.
fn append(session: &str, number: u64, values: usize) -> AppendRequest {
    let values = (0..values).map(|i| (i as f64 / 9.0).sin()).collect();
    let events = Some(Events { kind: Some(Kind::Values(Values { values })) });
    AppendRequest { session_id: session.into(), sequence_number: number, events, ..AppendRequest::default() }
}

fn opening(session: &str) -> OpenRequest {
    let options = Some(SessionOptions { anomaly: true, ..SessionOptions::default() });
    OpenRequest { session_id: session.into(), options, ..OpenRequest::default() }
}

#[test]
fn a_slow_reader_holds_up_nobody_else_and_gets_everything() {
    let folder = folder();
    fs::write(folder.path().join("flow.toml"), "[limits]\nstream_messages = 2\n").unwrap();
    let (server, address) = Server::start(folder.path(), "--config flow.toml");
    Runtime::new().unwrap().block_on(async {
        // Little is on its way between the two that is not acknowledged.
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let small = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        let mut slow = SessionServiceClient::new(small.connect().await.unwrap());
        let mut other = SessionServiceClient::new(connect(&address).await.unwrap());
        for session in 0..SESSIONS {
            slow.open(opening(&format!("slow-{session}"))).await.unwrap();
        }
        other.open(opening("other")).await.unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let messages = stream::iter(1..=MESSAGES).map(move |tag| {
            counted.fetch_add(1, SeqCst);
            let appends = (0..SESSIONS).map(|session| append(&format!("slow-{session}"), tag, 2000)).collect();
            StreamRequest { tag, appends }
        });
        let mut replies = slow.stream(messages).await.unwrap().into_inner();
        // It reads nothing. Others are served all the time, and at some point nothing more is taken from it.
        let (mut number, mut still, mut before) = (0, 0, 0);
        while still < 100 {
            number += 1;
            other.append(append("other", number, 16)).await.unwrap();
            let now = taken.load(SeqCst);
            assert!(now < MESSAGES as usize, "the server takes whatever comes");
            still = if now > 0 && now == before { still + 1 } else { 0 };
            before = now;
        }
        for tag in 1..=MESSAGES {
            let reply = replies.message().await.unwrap().unwrap();
            assert_eq!(reply.tag, tag);
            for result in reply.results {
                let Some(Outcome::Reply(reply)) = result.outcome else { panic!("{result:?}") };
                assert_eq!((reply.position, reply.scores.len()), (tag * 2000, 2000));
            }
        }
        assert!(replies.message().await.unwrap().is_none());
    });
    server.stop();
}

#[test]
fn broken_streams_leave_their_sessions_whole() {
    let folder = folder();
    let (server, address) = Server::start(folder.path(), "");
    Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        // Closed before the first message.
        let mut replies = client.stream(stream::empty()).await.unwrap().into_inner();
        assert!(replies.message().await.unwrap().is_none());
        // Dropped in the midst, again and again: what was taken in was taken in whole.
        client.open(opening("s")).await.unwrap();
        for _ in 0..20 {
            let read = client.read(ReadRequest { session_id: "s".into(), ..ReadRequest::default() }).await.unwrap();
            let session = read.into_inner().session.unwrap();
            let next = session.next_sequence_number;
            assert_eq!(session.position, (next - 1) * 100);
            let messages = (0..50).map(move |i| StreamRequest { tag: i, appends: vec![append("s", next + i, 100)] });
            let mut replies = client.stream(stream::iter(messages)).await.unwrap().into_inner();
            let reply = replies.message().await.unwrap().unwrap().results.remove(0);
            match reply.outcome.unwrap() {
                Outcome::Reply(reply) => assert_eq!(reply.position, next * 100),
                // The stream before was still at work when its client had gone.
                Outcome::Failure(failure) => assert!(failure.expected_sequence_number > next, "{failure:?}"),
            }
        }
        // A message beyond a limit ends the stream with that code.
        let many = StreamRequest { tag: 1, appends: vec![append("s", 1, 0); 5000] };
        let mut replies = client.stream(stream::iter([many])).await.unwrap().into_inner();
        assert_eq!(replies.message().await.unwrap_err().code(), Code::ResourceExhausted);
    });
    server.stop();
}

#[test]
fn bytes_that_are_no_grpc() {
    let folder = folder();
    let (server, address) = Server::start(folder.path(), "");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut draw = Draw(3);
    for round in 0..60 {
        let noise: Vec<u8> = (0..draw.below(4000)).map(|_| draw.below(256) as u8).collect();
        let bytes = match round % 4 {
            0 => noise,
            // HTTP/2, and then something else.
            1 => [&preface[..], &noise].concat(),
            // A whole empty settings frame before it.
            2 => [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &noise].concat(),
            _ => b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        };
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The server may have closed it already.
        let _ = socket.write_all(&bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = vec![];
        let ended = socket.read_to_end(&mut answer);
        assert!(ended.is_ok_and(|len| len < 1 << 20) || answer.len() < 1 << 20, "round {round}");
    }
    Runtime::new().unwrap().block_on(async {
        let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
        client.open(opening("s")).await.unwrap();
        assert_eq!(client.append(append("s", 1, 10)).await.unwrap().into_inner().position, 10);
    });
    server.stop();
}
