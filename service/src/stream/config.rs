//! From the file and what was typed to a job; settings that do not go together are refused here.

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use unspool_ingest::{
    kafka::{
        Content, Fields, Format, RegistryAddress,
        client::{Connection, Group},
    },
    schema::TimeKind,
};
use unspool_model::Model;
use unspool_pipelines::stream::{
    Plan, Sample, Seed, StreamJob,
    core::CoreOptions,
    emit::{Emit, Every, Give},
    files::FilesOptions,
    job::{Begin, Guarantee, NewPartitions, Output, Pace, To},
    remote::StoreOptions,
    time::{Grid, Order, TimeOptions},
};

use super::{
    StreamArgs,
    file::{
        EventTimeFile, File, FormatFile, GiveFile, GuaranteeFile, NewPartitionsFile, OutputFile, ProtocolFile,
        StartFile,
    },
};
use crate::error::{Error, Result};

/// How long the group waits for a silent member, in ms, where the file does not say.
const SESSION_TIMEOUT_MS: u32 = 10_000;
/// Memory for states, in bytes, where the file does not say.
const STATES_BYTES: usize = 4 << 30;
/// Rows that wait for a partition's watermark, at most, where the file does not say.
const WAITING_ROWS: usize = 100_000;
/// How long one question to the object store may take, where the file does not say.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest gap of a grid that is filled, in cells: models forget over such a length.
const MOST_MISSING: u32 = 4096;

/// Where snapshots are kept.
pub(crate) fn data_dir(file: &File, args: &StreamArgs) -> PathBuf {
    let named = args.data_dir.clone().or_else(|| file.run.data_dir.as_ref().map(|dir| file.folder.join(dir)));
    named.unwrap_or_else(|| file.folder.join("unspool-data"))
}

/// The job.
///
/// # Errors
/// When settings are missing or do not go together: the line says which.
pub(crate) fn job(file: &File, args: &StreamArgs, (model, member): (&Arc<Model>, &str)) -> Result<StreamJob> {
    let job = told(file, args, member)?;
    let seed = |dir| Seed::open(&file.folder.join(dir), model, (&job.core.emit, job.fields.time_kind()));
    let seed = file.run.begin_with.as_ref().map(seed).transpose()?.map(Arc::new);
    Ok(StreamJob { seed, ..job })
}

/// What the file says of it.
fn told(file: &File, args: &StreamArgs, member: &str) -> Result<StreamJob> {
    let fields = fields(file)?;
    let kind = fields.time_kind();
    Ok(StreamJob {
        connection: connection(file, args)?,
        topic: file.input.topic.clone(),
        format: format(file)?,
        registry: file.input.registry.as_ref().map(|registry| RegistryAddress {
            url: registry.url.clone(),
            user: registry.user.clone().map(|user| (user, registry.password.clone().unwrap_or_default())),
        }),
        group: group(file, member),
        begin: match file.input.start {
            StartFile::Earliest => Begin::Earliest,
            StartFile::Latest => Begin::Latest,
        },
        new_partitions: match file.input.on_new_partitions {
            NewPartitionsFile::Stop => NewPartitions::Stop,
            NewPartitionsFile::FreshState => NewPartitions::FreshState,
        },
        core: CoreOptions {
            time: time(&file.event_time, kind)?,
            emit: emit(&file.output, kind)?,
            states_bytes: file.run.states_bytes.unwrap_or(STATES_BYTES),
        },
        output: Output { to: to(file)?, rejects: file.output.rejects.clone(), binary: file.output.binary },
        guarantee: match file.output.guarantee {
            GuaranteeFile::ExactlyOnce => Guarantee::ExactlyOnce,
            GuaranteeFile::AtLeastOnce => Guarantee::AtLeastOnce,
        },
        pace: pace(file)?,
        data_dir: data_dir(file, args),
        store: store(file)?,
        seed: None,
        allow_route_change: args.allow_route_change,
        fields,
    })
}

/// Where outputs go.
fn to(file: &File) -> Result<To> {
    let output = &file.output;
    let to = match (&output.topic, &output.parquet, output.stdout) {
        (Some(topic), None, false) => To::Topic(topic.clone()),
        (None, Some(dir), false) => {
            let usual = FilesOptions::new(file.folder.join(dir));
            return Ok(To::Files(FilesOptions {
                file_bytes: output.file_bytes.unwrap_or(usual.file_bytes),
                file_interval: output.file_interval_ms.map_or(usual.file_interval, Duration::from_millis),
                ..usual
            }));
        }
        (None, None, true) => To::Stdout,
        _ => return Err(Error::Usage("output: one of `topic`, `parquet` and `stdout = true` is wanted".into())),
    };
    if output.file_bytes.is_some() || output.file_interval_ms.is_some() {
        return Err(Error::Usage("output: `file_bytes` and `file_interval_ms` go with `parquet`".into()));
    }
    Ok(to)
}

/// The object store of snapshots.
fn store(file: &File) -> Result<Option<StoreOptions>> {
    let run = &file.run;
    let Some(url) = run.snapshot_store.clone() else {
        if run.snapshot_store_timeout_ms.is_some() || !run.snapshot_store_settings.is_empty() {
            return Err(Error::Usage("run.snapshot_store: settings of one are given, but not where it is".into()));
        }
        return Ok(None);
    };
    let timeout = run.snapshot_store_timeout_ms.map_or(STORE_TIMEOUT, Duration::from_millis);
    Ok(Some(StoreOptions { url, settings: run.snapshot_store_settings.clone(), timeout }))
}

fn connection(file: &File, args: &StreamArgs) -> Result<Connection> {
    let bootstrap = args.bootstrap.clone().or_else(|| file.kafka.bootstrap.clone());
    let bootstrap = bootstrap.ok_or_else(|| Error::Usage("kafka.bootstrap: HOST:PORT of a broker is wanted".into()))?;
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings = file.kafka.settings.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    Ok(Connection { bootstrap, settings })
}

fn format(file: &File) -> Result<Format> {
    Ok(match file.input.format {
        FormatFile::Json => Format::Json,
        FormatFile::Arrow => Format::Arrow,
        FormatFile::Avro => Format::Avro { schema: schema(file)? },
        FormatFile::Protobuf => protobuf(file)?,
        FormatFile::Csv if file.input.columns.is_empty() => {
            return Err(Error::Usage("input.columns: the names of the CSV's columns are wanted, in order".into()));
        }
        FormatFile::Csv => {
            let delimiter = file.input.delimiter.unwrap_or(',');
            Format::Csv { columns: file.input.columns.clone(), delimiter }
        }
    })
}

/// The text of the file with the payloads' schema; without one, a registry must be named.
fn schema(file: &File) -> Result<Option<String>> {
    match (&file.input.schema, &file.input.registry) {
        (Some(path), None) => {
            let path = file.folder.join(path);
            std::fs::read_to_string(&path).map(Some).map_err(|source| Error::Io { path, source })
        }
        (None, Some(_)) => Ok(None),
        _ => Err(Error::Usage("input: either `schema`, a file, or [input.registry] is wanted".into())),
    }
}

fn protobuf(file: &File) -> Result<Format> {
    let wanted = || Error::Usage("input.message: the message's full name is wanted beside `schema`".into());
    let named = |text| Ok::<_, Error>((text, file.input.message.clone().ok_or_else(wanted)?));
    Ok(Format::Protobuf { schema: schema(file)?.map(named).transpose()? })
}

fn fields(file: &File) -> Result<Fields> {
    let input = &file.input;
    let content = match (&input.values[..], &input.sequence) {
        ([], Some(field)) => Content::Sequence(field.clone()),
        ([_, ..], None) => Content::Values(input.values.clone()),
        _ => return Err(Error::Usage("input: either `values` or `sequence` is wanted".into())),
    };
    Ok(Fields { id: input.series.clone(), time: input.time.clone(), time_unit: input.time_unit, content })
}

fn group(file: &File, member: &str) -> Group {
    Group {
        name: file.group.name.clone(),
        member: member.to_owned(),
        session_timeout_ms: file.group.session_timeout_ms.unwrap_or(SESSION_TIMEOUT_MS),
        kip848: file.group.protocol == ProtocolFile::Consumer,
    }
}

/// A length of event time: ms are told in µs.
fn length(name: &str, length: u64, kind: TimeKind) -> Result<u64> {
    let scaled = if kind == TimeKind::Timestamp { length.checked_mul(1000) } else { Some(length) };
    let scaled = scaled.filter(|scaled| i64::try_from(*scaled).is_ok());
    scaled.ok_or_else(|| Error::Usage(format!("{name}: {length} is too long")))
}

fn time(file: &EventTimeFile, kind: TimeKind) -> Result<TimeOptions> {
    let order = match file.lateness {
        None if file.idle_flush_ms.is_some() && file.grid.is_none() => {
            return Err(Error::Usage("event_time.idle_flush_ms: without `lateness` or `grid` nothing waits".into()));
        }
        None => Order::Offset,
        Some(lateness) => {
            let lateness = length("event_time.lateness", lateness, kind)?;
            Order::Time { lateness, most_waiting: file.max_waiting_rows.unwrap_or(WAITING_ROWS) }
        }
    };
    let grid = |step: u64| {
        let step = length("event_time.grid", step, kind)?;
        if step == 0 {
            return Err(Error::Usage("event_time.grid: at least 1".into()));
        }
        Ok(Grid { step, aggregate: file.aggregate, most_missing: file.max_missing.unwrap_or(MOST_MISSING) })
    };
    Ok(TimeOptions { order, grid: file.grid.map(grid).transpose()? })
}

fn emit(file: &OutputFile, kind: TimeKind) -> Result<Emit> {
    let give = match (file.give, file.horizon) {
        (GiveFile::Scores, None) => Give::Scores,
        (GiveFile::Forecasts, Some(horizon)) => Give::Forecast { horizon },
        (GiveFile::Embeddings, None) => Give::Embedding { layer: file.layer, pool: file.pool, restart: file.restart },
        (GiveFile::Forecasts, None) => return Err(Error::Usage("output.horizon: how many values to forecast?".into())),
        (_, Some(_)) => return Err(Error::Usage("output.horizon: only forecasts have one".into())),
    };
    let every = match (file.every_events, file.every) {
        (None, None) => Every::Events(1),
        (Some(events @ 1..), None) => Every::Events(events),
        (None, Some(width @ 1..)) => Every::Interval(length("output.every", width, kind)?),
        _ => return Err(Error::Usage("output: either `every_events` or `every`, at least 1".into())),
    };
    Ok(Emit { give, every })
}

fn pace(file: &File) -> Result<Pace> {
    let (run, usual) = (&file.run, Pace::default());
    let ms = |given: Option<u64>, usual: Duration| given.map_or(usual, Duration::from_millis);
    if run.max_reject_share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(Error::Usage("run.max_reject_share: from 0 to 1".into()));
    }
    Ok(Pace {
        batch_records: run.batch_records.unwrap_or(usual.batch_records).max(1),
        commit_interval: ms(run.commit_interval_ms, usual.commit_interval),
        snapshot_interval: ms(run.snapshot_interval_ms, usual.snapshot_interval),
        transaction_timeout: ms(run.transaction_timeout_ms, usual.transaction_timeout),
        retry_timeout: ms(run.retry_timeout_ms, usual.retry_timeout),
        idle_flush: file.event_time.idle_flush_ms.map(Duration::from_millis),
        reject_share: run.max_reject_share,
    })
}

/// How payloads are written, schemas left out.
fn payloads(job: &StreamJob) -> String {
    let kind = match &job.format {
        Format::Json => "JSON".to_owned(),
        Format::Csv { columns, .. } => format!("CSV: {}", columns.join(", ")),
        Format::Arrow => "Arrow IPC".to_owned(),
        Format::Avro { .. } => "Avro".to_owned(),
        Format::Protobuf { .. } => "Protobuf".to_owned(),
    };
    job.registry.as_ref().map_or(kind.clone(), |registry| format!("{kind}, schemas of {}", registry.url))
}

/// Where states are saved.
fn snapshots(job: &StreamJob, plan: &Plan) -> String {
    let store = job.store.as_ref().map_or(String::new(), |store| format!(" and {}", store.url));
    format!("{}{store}, every {:?}", plan.snapshots.display(), job.pace.snapshot_interval)
}

/// Where outputs and dead letters go.
fn outputs(job: &StreamJob) -> String {
    match &job.output.to {
        To::Topic(topic) => format!("topic {topic}"),
        To::Files(FilesOptions { dir, file_bytes, file_interval }) => {
            format!("Parquet files in {}, each named after {file_bytes} bytes or {file_interval:?}", dir.display())
        }
        To::Stdout => "standard output".to_owned(),
    }
}

/// What the topic's newest messages came to.
fn newest(sample: &Sample) -> String {
    let Sample { messages, rows, missing, rejects, reason } = sample;
    match reason {
        _ if *messages == 0 => "no messages as yet".to_owned(),
        None => format!("{messages} messages: {rows} rows ({missing} without a value)"),
        Some(reason) => format!(
            "{messages} messages: {rows} rows ({missing} without a value), {rejects} rejects (the last: {reason})"
        ),
    }
}

fn written_for_a_try(topics: &[String]) -> String {
    match topics {
        [] => "nothing for a try".into(),
        topics => format!("a record each for a try, and taken back: {}", topics.join(", ")),
    }
}

/// What `--check` prints: no secrets.
pub(crate) fn describe(job: &StreamJob, model: &Model, (plan, sample, written): (&Plan, &Sample, &[String])) -> String {
    let info = model.info();
    let topic = |(name, facts): &(String, unspool_ingest::kafka::client::TopicFacts)| {
        let keeps = facts.retention_ms.map_or("an unknown time".into(), |ms| match ms {
            -1 => "for ever".into(),
            ms => format!("{} h", ms / 3_600_000),
        });
        format!("{name} ({} partitions, kept {keeps})", facts.partitions)
    };
    let member = if job.group.kip848 { "KIP-848" } else { "cooperative-sticky" };
    let lines = [
        ("kafka", job.connection.bootstrap.clone()),
        ("topics", plan.topics.iter().map(topic).collect::<Vec<_>>().join(", ")),
        ("payloads", payloads(job)),
        ("newest", newest(sample)),
        ("series", job.fields.id.to_string()),
        ("time", format!("{} ({:?})", job.fields.time, job.fields.time_kind())),
        ("event time", format!("{:?}", job.core.time)),
        ("gives", format!("{:?}", job.core.emit)),
        ("outputs", outputs(job)),
        ("written", written_for_a_try(written)),
        ("guarantee", format!("{:?}", job.guarantee)),
        ("model", format!("{} {} ({})", info.name, info.digest, info.route)),
        ("state", format!("{} bytes a series", plan.state_bytes)),
        ("group", format!("{} ({member}, session {} ms)", job.group.name, job.group.session_timeout_ms)),
        ("snapshots", snapshots(job, plan)),
    ];
    lines.iter().map(|(name, value)| format!("{name:12} {value}\n")).collect()
}
