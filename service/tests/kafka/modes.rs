//! The same rows through a batch job, a stream job and a session: the same bits.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::Float64Type,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use unspool_proto::v1::{
    AppendRequest, Events, ForecastOptions, OpenRequest, SessionOptions, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

use crate::{
    broker::{Broker, Sent},
    command::binary,
    scenarios::{SCORES, Scene},
};

/// Values of the series.
const VALUES: usize = 300;
/// Values that are forecast after the last one.
const HORIZON: u32 = 3;

fn values() -> Vec<f64> {
    let value = |t: usize| (t as f64 / 7.0).sin() + (t * 787 % 31) as f64 / 100.0 + f64::from(u8::from(t == 211)) * 5.0;
    (0..VALUES).map(value).collect()
}

pub(crate) fn batch_stream_and_sessions_give_the_same_bits(broker: &Broker) {
    let (scene, values) = (Scene::new(broker, "modes", 1), values());
    let batch = batch(scene.folder(), &values);
    let (session, quantiles) = session(scene.folder(), &values);
    assert_eq!((bits(&batch.0), bits(&batch.1)), (bits(&session), bits(&quantiles)));
    assert!(batch.0.iter().filter(|p_value| !p_value.is_nan()).count() > VALUES / 2);
    let sent = |(t, value): (usize, &f64)| Sent {
        key: Some("a".into()),
        payload: Some(format!("{{\"t\":{t},\"v\":{value:?}}}")),
        ..Sent::default()
    };
    scene.broker.send(scene.input, &values.iter().enumerate().map(sent).collect::<Vec<_>>());
    let job = scene.job("scores", SCORES);
    scene.run(&job);
    let given = scene.broker.read(&job.0.out());
    let streamed: Vec<f64> = given
        .iter()
        .map(|got| {
            serde_json::from_str::<serde_json::Value>(&got.payload).unwrap()["p_value"].as_f64().unwrap_or(f64::NAN)
        })
        .collect();
    assert_eq!(bits(&streamed), bits(&session));
}

/// NaN is NaN, whatever its bits.
fn bits(values: &[f64]) -> Vec<Option<u64>> {
    values.iter().map(|value| Some(value.to_bits()).filter(|_| !value.is_nan())).collect()
}

/// P-values, and quantiles of what comes next.
fn batch(folder: &Path, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let row = |(t, value): (usize, &f64)| format!("a,{t},{value:?}\n");
    fs::write(
        folder.join("rows.csv"),
        format!("id,time,value\n{}", values.iter().enumerate().map(row).collect::<String>()),
    )
    .unwrap();
    let run = |what: &str| -> RecordBatch {
        let words = format!("run --quiet --input rows.csv --what {what} --output {}", what.split(' ').next().unwrap());
        let status = Command::new(binary()).args(words.split(' ')).current_dir(folder).status().unwrap();
        assert!(status.success(), "{what}: {status}");
        let name = what.split(' ').next().unwrap();
        let part = fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path());
        let part = part.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-")).min().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(part).unwrap()).unwrap();
        reader.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap()
    };
    let scores = run("scores");
    let p_values = scores["p_value"].as_primitive::<Float64Type>();
    let p_value = |row| if p_values.is_valid(row) { p_values.value(row) } else { f64::NAN };
    let forecasts = run(&format!("forecasts --horizon {HORIZON}"));
    let levels: Vec<_> = forecasts.columns()[3..].iter().map(|column| column.as_primitive::<Float64Type>()).collect();
    let quantiles = (0..forecasts.num_rows()).flat_map(|row| levels.iter().map(move |level| level.value(row)));
    ((0..scores.num_rows()).map(p_value).collect(), quantiles.collect())
}

/// The same from a server.
fn session(folder: &Path, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = command.spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.filter_map(|line| line.strip_prefix("unspool is ready on ").map(str::to_owned)).next().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let given = runtime.block_on(ask(&ready, values));
    server.kill().unwrap();
    server.wait().unwrap();
    given
}

async fn ask(address: &str, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut sessions = SessionServiceClient::connect(format!("http://{address}")).await.unwrap();
    let options = Some(SessionOptions { anomaly: true, ..SessionOptions::default() });
    let opened = sessions.open(OpenRequest { options, ..OpenRequest::default() }).await.unwrap().into_inner();
    let session_id = opened.session.unwrap().session_id;
    let (mut scores, mut quantiles, mut at) = (vec![], vec![], 0);
    for (number, cut) in (1..).zip([1, 7, 64, 128, VALUES]) {
        let end = (at + cut).min(VALUES);
        let request = AppendRequest {
            session_id: session_id.clone(),
            sequence_number: number,
            events: Some(Events { kind: Some(Kind::Values(Values { values: values[at..end].to_vec() })) }),
            forecast: (end == VALUES).then(|| ForecastOptions { horizon: HORIZON, levels: vec![] }),
            ..AppendRequest::default()
        };
        let reply = sessions.append(request).await.unwrap().into_inner();
        scores.extend(reply.scores);
        quantiles = reply.quantiles;
        at = end;
    }
    (scores, quantiles)
}
