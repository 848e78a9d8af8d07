//! What a batch job came to goes on as the sessions of a server, to the bits of one session over all rows.

use std::{fs, path::Path};

use tokio::runtime::Runtime;
use tonic::transport::Channel;
use unspool_proto::v1::{
    AppendRequest, Events, ForecastOptions, OpenRequest, ReadRequest, SessionOptions, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

use crate::{
    command::{folder, succeed, unspool},
    server::{Server, connect},
};

/// Series, and how many of their rows the batch job reads: those of `short` are too few to show a grid.
const SERIES: [(&str, usize); 3] = [("meter.1", 150), ("meter.2", 97), ("short", 20)];
/// Rows that follow.
const MORE: usize = 60;

fn value(series: usize, row: usize) -> f64 {
    ((row * (series + 2)) as f64 / 7.0).sin() * 10.0 + row as f64 / 50.0
}

fn write_rows(folder: &Path) {
    let mut text = String::from("id,time,value\n");
    for (number, (id, rows)) in SERIES.iter().enumerate() {
        (0..*rows).for_each(|row| text.push_str(&format!("{id},{row},{}\n", value(number, row))));
    }
    text.push_str("no id,0,1\nno id,1,2\n");
    fs::write(folder.join("rows.csv"), text).unwrap();
}

type Client = SessionServiceClient<Channel>;

/// Appends rows of a series; their scores, as bits.
async fn append(client: &mut Client, session: &str, (number, rows): (usize, std::ops::Range<usize>)) -> Vec<u64> {
    let values = rows.map(|row| value(number, row)).collect();
    let events = Some(Events { kind: Some(Kind::Values(Values { values })) });
    let request = AppendRequest { session_id: session.into(), sequence_number: 1, events, ..AppendRequest::default() };
    let reply = client.append(request).await.unwrap().into_inner();
    reply.scores.iter().map(|score| score.to_bits()).collect()
}

/// A session's forecast, as bits, and its position.
async fn forecast(client: &mut Client, session: &str) -> (Vec<u64>, u64) {
    let forecast = Some(ForecastOptions { horizon: 9, ..ForecastOptions::default() });
    let request = ReadRequest { session_id: session.into(), forecast, ..ReadRequest::default() };
    let reply = client.read(request).await.unwrap().into_inner();
    (reply.quantiles.iter().map(|value| value.to_bits()).collect(), reply.session.unwrap().position)
}

#[test]
fn sessions_go_on_behind_a_batch_job() {
    let folder = folder();
    let here = folder.path();
    write_rows(here);
    for (what, anomaly) in [("scores", true), ("forecasts --horizon 3", false)] {
        let out = what.split(' ').next().unwrap();
        succeed(here, &format!("run --input rows.csv --what {what} --output {out} --quiet"));
        let import = format!("sessions import --data-dir {out}-sessions --from {out}");
        let done = unspool(here, &import);
        let refusal = "no id: it is no session's id: 1 to 128 of A-Z a-z 0-9 . _ : - are needed\n";
        let lines = "meter.1: taken over\nmeter.2: taken over\nshort: taken over\n";
        assert_eq!(done.stdout, format!("{lines}{refusal}"));
        assert_eq!((done.code, done.stderr.as_str()), (Some(2), "unspool: 1 of 4 series were not taken over\n"));
        let again = unspool(here, &format!("{import} --quiet"));
        assert_eq!((again.code, again.stdout.as_str()), (Some(2), refusal));
        let (server, address) = Server::start(here, &format!("--data-dir {out}-sessions"));
        Runtime::new().unwrap().block_on(async {
            let mut client = SessionServiceClient::new(connect(&address).await.unwrap());
            for (number, (id, rows)) in SERIES.into_iter().enumerate() {
                let whole = format!("whole-{id}");
                let options = Some(SessionOptions { anomaly, ..SessionOptions::default() });
                let open = OpenRequest { session_id: whole.clone(), options, ..OpenRequest::default() };
                client.open(open).await.unwrap();
                let all = append(&mut client, &whole, (number, 0..rows + MORE)).await;
                let rest = append(&mut client, id, (number, rows..rows + MORE)).await;
                assert_eq!(rest.len(), if anomaly { MORE } else { 0 }, "{what}, {id}");
                assert_eq!(rest, all[all.len() - rest.len()..], "{what}, {id}");
                let (whole, rest) = (forecast(&mut client, &whole).await, forecast(&mut client, id).await);
                assert!(!whole.0.is_empty(), "{what}, {id}");
                assert_eq!(rest, whole, "{what}, {id}");
            }
        });
        server.stop();
    }
}

#[test]
fn what_is_no_job_of_ours_is_refused() {
    let folder = folder();
    let here = folder.path();
    write_rows(here);
    let check = |arguments: &str, expected: &str| {
        let done = unspool(here, arguments);
        assert_eq!((done.code, done.stderr.trim_end()), (Some(2), expected), "{arguments}");
    };
    check(
        "sessions import --data-dir sessions --from nowhere",
        "unspool: nowhere holds no batch job's output (there is no _manifest.json), and no stream job's snapshots",
    );
    succeed(here, "run --input lambda_reads.fq.gz --what embeddings --model dna --output reads --quiet");
    let done = unspool(here, "sessions import --data-dir sessions --from reads");
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.starts_with("unspool: reads is the output of dna ("), "{}", done.stderr);
    assert!(done.stderr.ends_with("): name it with --model\n"), "{}", done.stderr);
}
