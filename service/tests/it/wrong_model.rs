//! A model of the other kind than what it is asked about: refused at the start, in one line that says what to do.

use std::fs;

use tokio::runtime::Runtime;
use tonic::{Code, Status};
use unspool_proto::v1::{
    AppendRequest, EmbedRequest, Events, ForecastOptions, ForecastRequest, OpenRequest, ReadRequest, ScoreRequest,
    Sequence, Series, SeriesBatch, SessionOptions, Values, embedding_service_client::EmbeddingServiceClient,
    events::Kind, forecast_request::Context, forecast_service_client::ForecastServiceClient,
    session_service_client::SessionServiceClient, variant_service_client::VariantServiceClient,
};

use crate::{
    command::{folder, names, unspool},
    server::{Server, connect},
};

const JOB: &str = "model = \"MODEL\"\n[kafka]\nbootstrap = \"127.0.0.1:1\"\n[input]\ntopic = \"t\"\nformat = \"json\"\n\
                   series = \"key\"\ntime = \"offset\"\nINPUT\n[output]\ntopic = \"o\"\ngive = GIVE\n[group]\nname = \"g\"\n";

/// What is typed, the exit code, and the line.
const LINES: &[(&str, i32, &str)] = &[
    (
        "forecast nyc_taxi.csv --horizon 2 --model dna",
        2,
        "--model: dna is no series model; leave --model out for the built-in one",
    ),
    ("forecast some.vcf --horizon 2", 2, "variants cannot be forecast; `unspool score` takes them"),
    ("fill nyc_taxi.csv --model dna", 2, "--model: dna is no series model; leave --model out for the built-in one"),
    ("fill lambda.fa.gz", 2, "reads have no values to fill in; `unspool embed` takes them"),
    ("fill some.vcf", 2, "variants have no values to fill in; `unspool score` takes them"),
    (
        "score some.vcf -r lambda.fa.gz -o out.vcf --model series-3",
        2,
        "--model: series-3 is no DNA model; leave --model out for the built-in one",
    ),
    (
        "score lambda.fa.gz --track bits -o out.bg --model series-3",
        2,
        "--model: series-3 is no DNA model; leave --model out for the built-in one",
    ),
    (
        "embed nyc_taxi.csv -o out.parquet --model dna",
        2,
        "--model: dna takes DNA, and the input holds series; leave --model out",
    ),
    (
        "embed lambda.fa.gz -o out.parquet --model series-3",
        2,
        "--model: series-3 takes series, and the input holds DNA; name a DNA model",
    ),
    ("embed nyc_taxi.csv -o out.parquet --keep flag", 2, "--keep: it is of reads and contigs; leave it out for series"),
    ("eval forecast nowhere --model dna", 2, "--model: dna is no series model; leave --model out for the built-in one"),
    ("eval anomaly nowhere --model dna", 2, "--model: dna is no series model; leave --model out for the built-in one"),
    ("eval embed nowhere --model dna", 2, "--model: dna is no series model; leave --model out for the built-in one"),
    (
        "eval genomics nowhere --model series-3",
        2,
        "--model: series-3 is no DNA model; leave --model out for the built-in one",
    ),
    ("bench forecast --model dna", 2, "--model: dna is no series model; leave --model out for the built-in one"),
    (
        "finetune nyc_taxi.csv --model dna -o out",
        1,
        "dna/config.json: no series model: 'unspool.front_end' is not \"series\"",
    ),
    (
        "finetune nyc_taxi.csv --model dna-1 -o out",
        1,
        "dna-1/config.json: no series model: 'unspool.front_end' is not \"series\"",
    ),
    ("finetune some.vcf -o out", 2, "reads and variants are no series: a series model learns from CSV, TSF or Parquet"),
    (
        "run --input nyc_taxi.csv --what embeddings -o out --model dna",
        1,
        "nyc_taxi.csv: it holds series, and the model takes DNA: leave `model` out for the built-in one of series",
    ),
    (
        "run --input lambda_reads.fq.gz --what scores -o out",
        1,
        "lambda_reads.fq.gz: it holds reads, and the model takes series: name a model of DNA, such as dna-1",
    ),
    (
        "run --input reads --what scores -o out",
        2,
        "input.paths: 'reads' holds reads, and the model takes series: name a model of DNA, such as dna-1",
    ),
    (
        "run --input series --what embeddings -o out --model dna",
        2,
        "input.paths: 'series' holds series, and the model takes DNA: leave `model` out for the built-in one of series",
    ),
    (
        "run --input reads --what scores -o out --model dna",
        2,
        "give: dna is a model of reads, which gives embeddings alone; leave `model` out for series",
    ),
    (
        "run --input reads --what embeddings -o out --model dna --value y",
        2,
        "input.values: it is of series; leave it out for reads",
    ),
    (
        "run --input reads --what embeddings -o out --model dna --keep region",
        2,
        "input.keep: 'region' is no column of reads that can be kept: flag, reference, position, mapping_quality, cigar, mate_reference, mate_position, template_length, or a tag with its type, such as CB:Z",
    ),
    (
        "stream dna-scores.toml",
        2,
        "give: dna is no series model: it gives no anomaly scores; say give = \"embeddings\", or name a series model",
    ),
    (
        "stream dna-forecasts.toml",
        2,
        "give: dna is no series model: it gives no forecasts; say give = \"embeddings\", or name a series model",
    ),
    ("stream dna-values.toml", 2, "input.values: dna is a DNA model: give `sequence`, or leave `model` out for series"),
    (
        "stream series-bases.toml",
        2,
        "input.sequence: series-3 is a series model: give `values`, or name a DNA model, such as dna-1",
    ),
];

#[test]
fn commands_refuse_it_before_they_begin() {
    let folder = folder();
    let here = folder.path();
    let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
    write(
        "some.vcf",
        "##fileformat=VCFv4.3\n##contig=<ID=x>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nx\t1\t.\tA\tC\t.\t.\t.\n",
    );
    for (name, model, input, give) in [
        ("dna-scores", "dna", "sequence = \"b\"", "\"scores\""),
        ("dna-forecasts", "dna", "sequence = \"b\"", "\"forecasts\"\nhorizon = 3"),
        ("dna-values", "dna", "values = [\"v\"]", "\"embeddings\""),
        ("series-bases", "series-3", "sequence = \"b\"", "\"embeddings\""),
    ] {
        let text = JOB.replace("MODEL", model).replace("INPUT", input).replace("GIVE", give);
        write(&format!("{name}.toml"), &text);
    }
    for (dir, file) in [("reads", "lambda_reads.fq.gz"), ("series", "nyc_taxi.csv")] {
        fs::create_dir(here.join(dir)).unwrap();
        fs::copy(here.join(file), here.join(dir).join(file)).unwrap();
    }
    for (arguments, code, line) in LINES {
        let done = unspool(here, arguments);
        let expected = (Some(*code), format!("unspool: {line}\n"));
        assert_eq!((done.code, done.stderr), expected, "{arguments}");
        assert_eq!(done.stdout, "", "{arguments}");
    }
    assert_eq!(names(here, "out."), [""; 0]);
}

fn bases(text: &str) -> Option<Events> {
    Some(Events { kind: Some(Kind::Bases(text.into())) })
}

fn values() -> Values {
    Values { values: vec![1.0, 2.0, 3.0] }
}

fn check<T: std::fmt::Debug>(call: &str, reply: Result<T, Status>, expected: &str) {
    let refused = reply.expect_err(call);
    assert_eq!(refused.code(), Code::InvalidArgument, "{call}: {refused:?}");
    assert!(refused.message().contains(expected), "{call}: {refused:?}");
}

#[test]
fn calls_refuse_it_as_a_whole() {
    let folder = folder();
    let (server, address) = Server::start(folder.path(), "--model dna --model series-3");
    Runtime::new().unwrap().block_on(async {
        let channel = connect(&address).await.unwrap();
        whole(channel.clone()).await;
        sessions(channel).await;
    });
    server.stop();
}

/// Calls with sequences given whole.
async fn whole(channel: tonic::transport::Channel) {
    let (taken, given) =
        ("dna takes DNA, and this call is of series: name a model that takes series", "dna".to_owned());
    let mut embed = EmbeddingServiceClient::new(channel.clone());
    let sequences = |events| vec![Sequence { id: "s".into(), events }];
    let of_values = sequences(Some(Events { kind: Some(Kind::Values(values())) }));
    let request = |model: &str, sequences| EmbedRequest { model: model.into(), sequences, ..EmbedRequest::default() };
    check("embed", embed.embed(request("dna", of_values)).await, taken);
    let bits = "series-3 takes series, and this call is of DNA: name a model that takes DNA";
    check("embed", embed.embed(request("series-3", sequences(bases("ACGT")))).await, bits);
    let mut forecast = ForecastServiceClient::new(channel.clone());
    for anomaly in [false, true] {
        let series = vec![Series { id: "s".into(), values: Some(values()) }];
        let context = Some(Context::Series(SeriesBatch { series }));
        let options = Some(ForecastOptions { horizon: 3, ..ForecastOptions::default() });
        let request = ForecastRequest { model: given.clone(), options, anomaly, context, ..ForecastRequest::default() };
        check("forecast", forecast.forecast(request).await, taken);
    }
    let request = ScoreRequest { model: "series-3".into(), bases: "ACGT".into(), ..ScoreRequest::default() };
    check("score", VariantServiceClient::new(channel).score(request).await, bits);
}

/// Sessions, which are bound to a model when they are opened.
async fn sessions(channel: tonic::transport::Channel) {
    let mut client = SessionServiceClient::new(channel);
    let opening = |id: &str, model: &str, options: SessionOptions| OpenRequest {
        session_id: id.into(),
        model: model.into(),
        options: Some(options),
        ..OpenRequest::default()
    };
    let scores = SessionOptions { anomaly: true, ..SessionOptions::default() };
    check("open", client.open(opening("x", "dna", scores)).await, "dna is no series model: it gives no anomaly scores");
    let bits = SessionOptions { bits: true, ..SessionOptions::default() };
    check("open", client.open(opening("x", "series-3", bits)).await, "series-3 is no DNA model: it tells no bits");
    for (id, model) in [("d", "dna"), ("s", "series-3")] {
        client.open(opening(id, model, SessionOptions::default())).await.unwrap();
    }
    let append = |id: &str, events| AppendRequest {
        session_id: id.into(),
        sequence_number: 1,
        events,
        ..AppendRequest::default()
    };
    let of_values = Some(Events { kind: Some(Kind::Values(values())) });
    check("append", client.append(append("d", of_values)).await, "dna takes bases, not values");
    check("append", client.append(append("s", bases("ACGT"))).await, "series-3 takes values of a series, not bases");
    let ahead = || Some(ForecastOptions { horizon: 3, ..ForecastOptions::default() });
    let no_forecasts = "dna is no series model: it gives no forecasts; name a series model";
    let forecast = AppendRequest { forecast: ahead(), ..append("d", bases("ACGT")) };
    check("append", client.append(forecast).await, no_forecasts);
    let read = ReadRequest { session_id: "d".into(), forecast: ahead(), ..ReadRequest::default() };
    check("read", client.read(read).await, no_forecasts);
}
