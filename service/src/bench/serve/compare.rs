//! What the service costs beside the encoder alone, in one run: the sides take turns, so that what else the machine does hits
//! all of them.

use std::time::{Duration, Instant};

use unspool_proto::v1::{self, InputKind, embedding_service_client::EmbeddingServiceClient};

use super::{
    BenchServeArgs, HORIZON, MESSAGE, draw, echo,
    fleet::{Fleet, connect},
    load::Shape,
    local::Local,
    process::Server,
    streams,
    tally::Latencies,
};
use crate::{
    error::{Error, Result},
    print,
};

/// Turns of each side of the batched comparison.
const TURNS: u32 = 5;
/// Sequences of the batch that is embedded, and events of each.
const BATCH: (u64, u32) = (64, 1024);

/// Prints the comparisons.
///
/// # Errors
/// When a server or the model cannot be had, or a call fails.
pub(super) async fn run(args: &BenchServeArgs, duration: Duration) -> Result<()> {
    let server = Server::start(args, "")?;
    singles(args, &server, duration).await?;
    rounds(args, &server, duration).await?;
    embed(args, &server, duration).await
}

/// Single events of one session, one after the other: the encoder alone, a bare echo, Append.
async fn singles(args: &BenchServeArgs, server: &Server, duration: Duration) -> Result<()> {
    let (echo_server, shape) = (Server::echo()?, args.shape(1));
    let echo_channel = connect(echo_server.address()).await?;
    let (mut local, fleet) = (Local::load(args, 1)?, Fleet::open((server.address(), ""), 1, 1).await?);
    let (mut client, session) = match fleet.members() {
        [member] => (member.client.clone(), member.sessions[0].clone()),
        _ => return Err(Error::Fault),
    };
    let (mut alone, mut echoed, mut appended) = (Latencies::new()?, Latencies::new()?, Latencies::new()?);
    let mut session = session.lock().await;
    let begin = Instant::now();
    // The sides take turns event by event: each finds the machine as an event does that comes by itself.
    while begin.elapsed() < 3 * duration {
        let counted = begin.elapsed() > duration / 2;
        let one = local.round(false)?;
        let (request, begun) = (session.append(shape), Instant::now());
        echo::call(&echo_channel, request).await.map_err(Error::call("Echo"))?;
        let (two, request, begun) = (begun.elapsed(), session.append(shape), Instant::now());
        client.append(request).await.map_err(Error::call("Append"))?;
        let three = begun.elapsed();
        session.moved(shape);
        if counted {
            alone.record(one);
            echoed.record(two);
            appended.record(three);
        }
    }
    print("\nSingle events of one session, one at a time, µs                      p50       p99")?;
    let line = |name: &str, at: &dyn Fn(f64) -> f64| print(&format!("{name:<60}{:>12.0}{:>10.0}", at(0.5), at(0.99)));
    line("encoder alone", &|share| alone.at(share))?;
    line("bare echo over gRPC", &|share| echoed.at(share))?;
    line("Append", &|share| appended.at(share))?;
    let [half, most] = [0.5, 0.99].map(|share| (appended.at(share) - alone.at(share)).max(0.0) / echoed.at(share));
    let name = "Append less the encoder, of the echo (wanted: at most 2 at p99)";
    print(&format!("{name:<64}{half:>8.2}{most:>10.2}"))
}

/// Rounds of one event for each session: the encoder alone in one batch, `Stream` with many sessions a message.
async fn rounds(args: &BenchServeArgs, server: &Server, duration: Duration) -> Result<()> {
    let mut local = Local::load(args, args.sessions)?;
    let ahead = [None, Some(HORIZON)].into_iter().take(if local.kind() == InputKind::Series { 2 } else { 1 });
    print(&format!("\nRounds of one event for each of {} sessions, events/s", args.sessions))?;
    for horizon in ahead {
        let fleet = Fleet::open((server.address(), ""), args.sessions, args.connections).await?;
        let shape = Shape { message: MESSAGE.min(args.sessions), horizon, ..args.shape(1) };
        let (mut events, mut took, mut streamed) = (0, Duration::ZERO, 0.0);
        local.round(horizon.is_some())?;
        for _ in 0..TURNS {
            let end = Instant::now() + duration / TURNS;
            while Instant::now() < end {
                took += local.round(horizon.is_some())?;
                events += args.sessions;
            }
            streamed += streams::flood(&fleet, shape, duration / TURNS).await? / f64::from(TURNS);
        }
        fleet.close().await?;
        let alone = f64::from(events) / took.as_secs_f64();
        let what = horizon.map_or("updates".into(), |horizon| format!("updates and forecasts of {horizon}"));
        print(&format!("{:<60}{alone:>12.0}", format!("encoder alone, one batch a round: {what}")))?;
        let (name, share) = (format!("Stream, {} a message: {what}", shape.message), 100.0 * streamed / alone);
        let wanted = if horizon.is_none() { " (wanted: 70 % or more)" } else { "" };
        print(&format!("{name:<60}{streamed:>12.0}  {share:.0} % of it{wanted}"))?;
    }
    Ok(())
}

/// A batch of whole sequences: a plain loop over the model, `Embed`.
async fn embed(args: &BenchServeArgs, server: &Server, duration: Duration) -> Result<()> {
    let local = Local::load(args, 0)?;
    let sequences: Vec<_> = (0..BATCH.0).map(|seed| draw::events(local.kind(), seed, (0, BATCH.1))).collect();
    let wire =
        sequences.iter().map(|events| v1::Sequence { id: String::new(), events: Some(events.clone().into_wire()) });
    let request = v1::EmbedRequest { sequences: wire.collect(), ..v1::EmbedRequest::default() };
    let mut client = EmbeddingServiceClient::new(connect(server.address()).await?);
    let (mut looped, mut called, mut times) = (Duration::ZERO, Duration::ZERO, 0);
    let end = Instant::now() + duration;
    // The first of each is not counted.
    while times < 2 || Instant::now() < end {
        let one = local.embed(&sequences)?;
        let (request, begun) = (request.clone(), Instant::now());
        let reply = client.embed(request).await.map_err(Error::call("Embed"))?.into_inner();
        if reply.embeddings.len() != sequences.len() {
            return Err(Error::Usage(format!("Embed rejected some: {:?}", reply.rejects.first())));
        }
        if times > 0 {
            (looped, called) = (looped + one, called + begun.elapsed());
        }
        times += 1;
    }
    let millis = |all: Duration| all.as_secs_f64() * 1000.0 / f64::from(times - 1);
    print(&format!("\nEmbedding {} sequences of {} events, ms a batch", BATCH.0, BATCH.1))?;
    print(&format!("{:<60}{:>12.1}", "plain loop over the model", millis(looped)))?;
    let ratio = called.as_secs_f64() / looped.as_secs_f64();
    print(&format!("{:<60}{:>12.1}  {ratio:.2} of it (wanted: at most 1.15)", "Embed", millis(called)))
}
