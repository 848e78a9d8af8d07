//! `unspool bench serve`: load on a server, and what the service costs beside the encoder alone.
//!
//! ```text
//! Pace (fixed rate) ─► calls or streams ─► the server, a process of its own ─► Tally (latencies from when due)
//! ```

mod calls;
mod compare;
mod draw;
mod echo;
mod fleet;
mod load;
mod local;
mod overload;
mod pace;
mod process;
mod streams;
mod tally;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use tokio::runtime::Runtime;

pub(crate) use self::echo::run as echo;
use self::{
    fleet::Fleet,
    load::{Load, Shape},
    process::Server,
};
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    print,
};

/// Values that a forecast of the standard report is long.
const HORIZON: u32 = 24;
/// Appends of a message of the standard report.
const MESSAGE: u32 = 250;

/// `unspool bench serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchServeArgs {
    /// A server that runs already, in plain text and without tokens [default: one is started, and stopped afterwards]
    #[arg(long, value_name = "ADDR")]
    address: Option<SocketAddr>,
    /// The sessions' model: a built-in one's name or a directory; with --address, a name or digest there
    #[arg(long, value_name = "NAME|DIR", default_value = "series-3")]
    model: String,
    /// Where the started server keeps sessions [default: in memory only]
    #[arg(long, value_name = "DIR", conflicts_with = "address")]
    data_dir: Option<PathBuf>,
    /// Bytes of states that the started server has ready in memory [default: 4 GiB]
    #[arg(long, value_name = "BYTES", conflicts_with = "address")]
    session_memory_bytes: Option<u64>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_name = "N", conflicts_with = "address")]
    threads: Option<u16>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Sessions that events arrive for, in turn
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    sessions: u32,
    /// Events that arrive a second, whether the server keeps up or not [default: the standard report]
    #[arg(long, value_name = "EVENTS")]
    rate: Option<f64>,
    /// Events of an append
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..), requires = "rate")]
    events: u32,
    /// Appends of a message of a stream; 0: each append is a call of its own
    #[arg(long, value_name = "N", default_value = "0", requires = "rate")]
    message: u32,
    /// Forecast so many values after each append
    #[arg(long, value_name = "H", requires = "rate")]
    horizon: Option<u32>,
    /// Acknowledge appends when they are on disk
    #[arg(long)]
    durable: bool,
    /// Connections, each with its share of the sessions
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u16).range(1..))]
    connections: u16,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value = "5")]
    duration_s: f64,
}

/// Measures and prints.
///
/// # Errors
/// When a server or a model cannot be had, or a call fails that should not.
pub(crate) fn run(args: BenchServeArgs) -> Result<()> {
    let duration = Duration::try_from_secs_f64(args.duration_s).ok().filter(|duration| !duration.is_zero());
    let duration = duration.ok_or_else(|| Error::Usage("--duration-s: more than 0 is needed".into()))?;
    if args.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err(Error::Usage("--rate: more than 0 is needed".into()));
    }
    let runtime = Runtime::new().map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let done = runtime.block_on(measure(&args, duration));
    runtime.shutdown_background();
    done
}

async fn measure(args: &BenchServeArgs, duration: Duration) -> Result<()> {
    let server = match args.address {
        Some(_) => None,
        None => Some(Server::start(args, "")?),
    };
    let address = args.address.or(server.as_ref().map(Server::address));
    let address = address.ok_or_else(|| Error::Usage("no server".into()))?;
    // A server that was started has this model alone.
    let name = if server.is_some() { "" } else { args.model.as_str() };
    let fleet = Fleet::open((address, name), args.sessions, args.connections).await?;
    print(&fleet.describe())?;
    print(load::HEADER)?;
    if let Some(rate) = args.rate {
        let message = args.message.min(args.sessions);
        let shape = Shape { message, horizon: args.horizon, ..args.shape(args.events) };
        let load = Load { shape, duration, rate: Some(rate) };
        print(&load.run(&fleet).await?)?;
        return fleet.close().await;
    }
    for shape in standard(args, fleet.is_series()) {
        print(&Load { shape, duration, rate: None }.run(&fleet).await?)?;
    }
    fleet.close().await?;
    if server.is_none() {
        return Ok(());
    }
    // Other servers are started for these.
    drop(server);
    overload::run(args, duration).await?;
    compare::run(args, duration).await
}

/// The kinds of load of the standard report.
fn standard(args: &BenchServeArgs, series: bool) -> Vec<Shape> {
    let single = args.shape(1);
    let shapes = [single, args.shape(64), Shape { message: MESSAGE.min(args.sessions), ..single }];
    let horizons = [None, Some(HORIZON)].into_iter().take(if series { 2 } else { 1 });
    horizons.flat_map(|horizon| shapes.map(|shape| Shape { horizon, ..shape })).collect()
}

impl BenchServeArgs {
    /// Calls of so many events each, updates only.
    fn shape(&self, events: u32) -> Shape {
        Shape { events, message: 0, horizon: None, durable: self.durable }
    }
}
