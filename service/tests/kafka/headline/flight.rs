//! Arrow Flight: sequences whole, a call for each kind of result.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::{Float32Type, Float64Type, UInt64Type},
};
use arrow_flight::{
    FlightDescriptor, decode::FlightRecordBatchStream, encode::FlightDataEncoderBuilder, error::FlightError,
    flight_service_client::FlightServiceClient,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use super::{
    batch,
    given::{Given, Kind, bits, bits_f32},
    stage::{HORIZON, Stage},
};
use crate::{
    server::{Server, connect},
    worker::device,
};

/// One question; the rows of all answers, and what was rejected.
async fn exchange(client: &mut FlightServiceClient<Channel>, command: String, rows: RecordBatch) -> Vec<RecordBatch> {
    let descriptor = FlightDescriptor::new_cmd(command);
    let data = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor));
    let data = data.build(stream::iter([Ok(rows)])).map(Result::unwrap);
    let answers = client.do_exchange(data).await.unwrap().into_inner();
    let answers = answers.inspect_ok(|answer| {
        let about = String::from_utf8_lossy(&answer.app_metadata);
        assert!(about.is_empty() || about.contains("\"rejects\":[]"), "{about}");
    });
    FlightRecordBatchStream::new_from_flight_data(answers.map_err(FlightError::from)).try_collect().await.unwrap()
}

/// The rows of a sequence, of all answers.
fn of<'a>(answers: &'a [RecordBatch], id: &'a str) -> impl Iterator<Item = (&'a RecordBatch, usize)> {
    let rows = answers.iter().flat_map(|rows| (0..rows.num_rows()).map(move |row| (rows, row)));
    rows.filter(move |(rows, row)| rows["id"].as_string::<i32>().value(*row) == id)
}

fn doubles(answers: &[RecordBatch], id: &str) -> Vec<f64> {
    let list = |rows: &RecordBatch, row| rows["quantiles"].as_fixed_size_list().value(row);
    of(answers, id).flat_map(|(rows, row)| list(rows, row).as_primitive::<Float64Type>().values().to_vec()).collect()
}

fn floats(answers: &[RecordBatch], id: &str) -> Vec<f32> {
    let list = |rows: &RecordBatch, row| rows["embedding"].as_fixed_size_list().value(row);
    of(answers, id).flat_map(|(rows, row)| list(rows, row).as_primitive::<Float32Type>().values().to_vec()).collect()
}

fn scores(answers: &[RecordBatch], (id, len): (&str, usize)) -> Vec<f64> {
    let mut scores = vec![f64::NAN; len];
    for (rows, row) in of(answers, id) {
        let p_values = rows["p_value"].as_primitive::<Float64Type>();
        let at = rows["event"].as_primitive::<UInt64Type>().value(row) as usize;
        scores[at] = if p_values.is_valid(row) { p_values.value(row) } else { f64::NAN };
    }
    scores
}

pub(super) fn run(stage: &Stage) -> Given {
    let mut given = Given::default();
    let arguments = format!("--model series-3 --model dna-1 --device {}", device());
    let (server, address) = Server::start(&stage.folder, &arguments);
    Runtime::new().unwrap().block_on(async {
        let mut client = FlightServiceClient::new(connect(&address).await.unwrap());
        let rows = batch::rows(&stage.input.series, &|series| 0..series.values.len());
        let ask = format!("{{\"call\": \"forecast\", \"horizon\": {HORIZON}}}");
        let forecasts = exchange(&mut client, ask, rows.clone()).await;
        let scored = exchange(&mut client, "{\"call\": \"score\"}".to_owned(), rows.clone()).await;
        let embedded = exchange(&mut client, "{\"call\": \"embed\"}".to_owned(), rows).await;
        for series in &stage.input.series {
            let id = &*series.id;
            given.put((Kind::Forecast, id), bits(&doubles(&forecasts, id)));
            given.put((Kind::Scores, id), bits(&scores(&scored, (id, series.values.len()))));
            given.put((Kind::Embedding, id), bits_f32(&floats(&embedded, id)));
        }
        let reads = &stage.input.reads;
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(reads.iter().map(|read| Some(&*read.id)).collect::<StringArray>())),
            ("sequence", Arc::new(reads.iter().map(|read| Some(&*read.bases)).collect::<StringArray>())),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let embedded = exchange(&mut client, "{\"call\": \"embed\", \"model\": \"dna-1\"}".to_owned(), rows).await;
        for read in reads {
            given.put((Kind::Embedding, &read.id), bits_f32(&floats(&embedded, &read.id)));
        }
    });
    server.stop();
    given
}
