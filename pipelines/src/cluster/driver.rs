//! The driver's side: groups of series out, what came of them back, in order.

use std::{
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Schema,
};
use ballista_core::{
    config::{BALLISTA_CLIENT_GRPC_HTTP2_KEEPALIVE_INTERVAL_SECONDS, BALLISTA_CLIENT_GRPC_TIMEOUT_SECONDS},
    execution_plans::execute_physical_plan,
    extension::SessionConfigExt,
    serde::BallistaPhysicalExtensionCodec,
};
use datafusion::{
    common::config::ConfigOptions,
    error::DataFusionError,
    logical_expr::ScalarUDF,
    physical_expr::{ScalarFunctionExpr, expressions::lit},
    physical_plan::{
        ExecutionPlan,
        placeholder_row::PlaceholderRowExec,
        projection::{ProjectionExec, ProjectionExpr},
    },
    prelude::SessionConfig,
    scalar::ScalarValue,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::{Builder, Runtime};
use unspool_model::Model;

use super::{
    MESSAGE_BYTES,
    error::{Error, Result},
    function::{self, RunGroup},
    wire::{About, Ask, Reply, pack, unpack},
};
use crate::{
    Cancel,
    batch::{
        Result as BatchResult,
        encode::{Order, Ran, Work},
        reads::{
            ReadsOrder,
            records::{Embedded, Records},
        },
    },
};

/// A scheduler's port where a URL names none.
const PORT: u16 = 50050;
/// How long a scheduler may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// A group that got lost on the way is sent so many times.
const ATTEMPTS: usize = 4;
/// A group ends with the series in which it reaches so many packs, or so many bytes.
const GROUP: (usize, usize) = (8, 16 << 20);
/// Groups that are made at a time, for each that is under way: while some are run, others wait.
const AHEAD: usize = 2;
/// Values that are made into groups at a time, at most: they lie in memory.
const MOST_VALUES: usize = 64 << 20;

/// How the engine says that nobody is there to run what was running.
const ALL_LOST: &str = "all executors were lost";
/// What to do once what is missing is there again.
const AGAIN: &str = "then the job: it goes on after its last unit";

/// How a cluster is used.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Groups under way at a time: more than executors hold, so that none waits.
    pub groups: usize,
    /// Values of a group; `None`: as many as take an executor some seconds.
    pub group_values: Option<usize>,
    /// How long to wait for an executor at the start.
    pub patience: Duration,
    /// Stops waiting for answers.
    pub cancel: Cancel,
}

/// The executors behind a scheduler.
pub struct Cluster {
    url: String,
    address: (String, u16),
    /// Settings of queries, and the session that they go by.
    config: SessionConfig,
    session: String,
    function: Arc<ScalarUDF>,
    /// For what is done here: no series is run by it.
    model: Arc<Model>,
    about: About,
    options: ClusterOptions,
    runtime: Runtime,
}

/// What became of a question.
enum Failure {
    /// It may go better another time.
    Lost(String),
    /// It will not.
    Final(Error),
}

impl Cluster {
    /// Asks who is there.
    ///
    /// # Errors
    /// When the URL is not understood, no scheduler or no executor answers, or they run another model.
    pub fn connect(url: &str, model: Arc<Model>, options: ClusterOptions) -> Result<Self> {
        let (host, port) = address(url)?;
        let url = format!("http://{host}:{port}");
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Error::Engine(format!("no runtime: {error}")))?;
        let (about, function) = (About::of(&model, 0), Arc::new(RunGroup::function(None)));
        let (config, session) = (config(), session());
        let mut cluster =
            Self { url, address: (host, port), config, session, function, model, about, options, runtime };
        cluster.reach("start `unspool cluster scheduler`, or correct --cluster")?;
        let about = cluster.who()?;
        let (here, there) = (&cluster.about, &about);
        if here.digest != there.digest {
            let short = |digest: &str| digest[..12.min(digest.len())].to_owned();
            let (ours, theirs) = (short(&here.digest), short(&there.digest));
            let problem = format!(
                "its executors run {} ({theirs}), the job is for {} ({ours}): start them with --model",
                there.model, here.model
            );
            return Err(cluster.gone(problem));
        }
        cluster.about = about;
        Ok(cluster)
    }

    /// What the executors run.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The model, for what is done here.
    pub(crate) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        format!("{}, cluster {}", self.about.device, self.url)
    }

    /// So many bites of so many events each it takes at a time.
    pub(crate) fn bites(&self, bite_events: usize) -> usize {
        let events = (self.options.groups * AHEAD).saturating_mul(self.group_values());
        (events.min(MOST_VALUES) / bite_events.max(1)).max(1)
    }

    /// Runs series; the answers come in the works' order.
    ///
    /// # Errors
    /// When executors refuse, or nobody answers any more.
    pub(crate) fn run(&self, order: &Order, works: Vec<Work>) -> BatchResult<Vec<Ran>> {
        let all = self.replies(self.groups(order, works)?)?.into_iter().map(|reply| match reply {
            Reply::Series(ran) => Ok(ran),
            _ => Err(unasked()),
        });
        Ok(all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Runs groups of records; what came of each in the order of the groups.
    ///
    /// # Errors
    /// As [`Cluster::run`].
    pub(crate) fn embed(&self, order: &ReadsOrder, groups: Vec<Records>) -> BatchResult<Vec<Embedded>> {
        let ask = |records: Records| {
            if records.rows.len() >= MESSAGE_BYTES as usize / 2 {
                let bytes = records.rows.len();
                let problem = format!("a record has about {bytes} bases, too many to send: embed it without --cluster");
                return Err(Error::Settings(problem));
            }
            let (digest, route) = (self.about.digest.clone(), self.about.route.clone());
            pack(&Ask::Reads { digest, route, order: order.clone(), records }).map_err(Error::Engine)
        };
        let asks = groups.into_iter().map(ask).collect::<Result<Vec<_>>>()?;
        let all = self.replies(asks)?.into_iter().map(|reply| match reply {
            Reply::Reads(embedded) => Ok(embedded),
            _ => Err(unasked()),
        });
        Ok(all.collect::<Result<Vec<_>>>()?)
    }

    /// Bases that are read ahead, at least.
    pub(crate) fn ahead(&self) -> usize {
        (self.options.groups * AHEAD).saturating_mul(self.group_values()).min(MOST_VALUES)
    }

    /// Asks all of these, several at a time; the replies in their order.
    fn replies(&self, asks: Vec<Vec<u8>>) -> BatchResult<Vec<Reply>> {
        let all = stream::iter(asks).map(|ask| self.ask(ask)).buffered(self.options.groups.max(1));
        let cancel = &self.options.cancel;
        let all = self.runtime.block_on(async {
            tokio::select! {
                all = all.try_collect::<Vec<_>>() => all,
                () = cancel.cancelled() => Err(Error::Cancelled),
            }
        });
        match all {
            Err(Error::Cancelled) => Err(crate::Error::Cancelled.into()),
            all => Ok(all?),
        }
    }

    /// Values of a group, or bases.
    pub(crate) fn group_values(&self) -> usize {
        let patch = self.model.series_shape().map_or(1, |shape| shape.patch);
        let usual = || self.about.pack_tokens.saturating_mul(patch).saturating_mul(GROUP.0);
        self.options.group_values.unwrap_or_else(usual).max(1)
    }

    /// The messages of groups, in order.
    fn groups(&self, order: &Order, works: Vec<Work>) -> Result<Vec<Vec<u8>>> {
        let (most, state_bytes) = (self.group_values(), self.state_bytes(&works)?);
        let (mut groups, mut group, mut size) = (vec![], vec![], (0, 0));
        let mut works = works.into_iter().peekable();
        while let Some(work) = works.next() {
            let returned = if work.keep { state_bytes } else { 0 };
            let bytes = work.bytes() + returned;
            if bytes >= MESSAGE_BYTES as usize / 2 {
                let values = work.values.len();
                let problem =
                    format!("a series has {values} values in one unit, too many to send: lower run.unit_rows");
                return Err(Error::Settings(problem));
            }
            size = (size.0 + work.values.len() + work.held.len(), size.1 + bytes);
            group.push(work);
            if size.0 >= most || size.1 >= GROUP.1 || works.peek().is_none() {
                let works = std::mem::take(&mut group);
                let (digest, route) = (self.about.digest.clone(), self.about.route.clone());
                let ask = Ask::Series { digest, route, order: order.clone(), works };
                groups.push(pack(&ask).map_err(Error::Engine)?);
                size = (0, 0);
            }
        }
        Ok(groups)
    }

    /// Bytes of a state that comes back, if one does: about those of one that goes there, else of a fresh one.
    fn state_bytes(&self, works: &[Work]) -> Result<usize> {
        if !works.iter().any(|work| work.keep) {
            return Ok(0);
        }
        let options = unspool_model::Options { anomaly: true, pools: true, ..unspool_model::Options::default() };
        crate::state_bytes(&self.model, &options).map_err(|error| Error::Engine(error.to_string()))
    }

    /// Who answers first.
    fn who(&self) -> Result<About> {
        let ask = pack(&Ask::About).map_err(Error::Engine)?;
        let cancel = &self.options.cancel;
        let patience = self.options.patience;
        let reply = self.runtime.block_on(async {
            tokio::select! {
                reply = tokio::time::timeout(patience, self.ask(ask)) => reply.ok(),
                () = cancel.cancelled() => Some(Err(Error::Cancelled)),
            }
        });
        match reply {
            Some(Ok(Reply::About(about))) => Ok(about),
            Some(Ok(_)) => Err(unasked()),
            Some(Err(error)) => Err(error),
            None => {
                let seconds = patience.as_secs();
                let remedy = format!("start `unspool cluster executor --scheduler {}`", self.url);
                Err(self.gone(format!("no executor has answered within {seconds} s: {remedy}")))
            }
        }
    }

    /// Asks, again if it got lost on the way: whoever runs a group, and however often, what comes is the same.
    async fn ask(&self, ask: Vec<u8>) -> Result<Reply> {
        let mut attempt = 1;
        loop {
            let failure = match self.once(ask.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let problem = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Lost(problem) => problem,
            };
            self.reach(&format!("start it again, {AGAIN}"))?;
            if attempt == ATTEMPTS {
                return Err(self.gone(format!("a group of series failed {ATTEMPTS} times: {problem}")));
            }
            tracing::warn!(url = self.url, attempt, problem, "a group of series is sent again");
            attempt += 1;
        }
    }

    async fn once(&self, ask: Vec<u8>) -> Result<Reply, Failure> {
        let rows = self.query(ask).await.map_err(|error: DataFusionError| {
            let text = error.strip_backtrace();
            match function::said(&text) {
                Some((executor, problem)) => Failure::Final(Error::Refused { executor, problem }),
                // The scheduler has waited for others as long as for one that says nothing.
                None if text.contains(ALL_LOST) => {
                    Failure::Final(self.gone(format!("no executor is left: start some, {AGAIN}")))
                }
                None => Failure::Lost(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            }
        })?;
        let bytes = rows.iter().find(|rows| rows.num_rows() > 0).and_then(|rows| rows.column(0).as_binary_opt::<i32>());
        let bytes = bytes.ok_or_else(|| Failure::Lost("an answer is empty".into()))?;
        unpack(bytes.value(0)).map_err(|problem| Failure::Final(self.gone(problem)))
    }

    /// `select unspool_run(x'...')`, planned here: planners would copy and compare the argument again and again.
    async fn query(&self, ask: Vec<u8>) -> datafusion::error::Result<Vec<RecordBatch>> {
        let (none, argument) = (Schema::empty(), lit(ScalarValue::Binary(Some(ask))));
        let (function, options) = (Arc::clone(&self.function), Arc::new(ConfigOptions::default()));
        let call = ScalarFunctionExpr::try_new(function, vec![argument], &none, options)?;
        let row = Arc::new(PlaceholderRowExec::new(Arc::new(none)));
        let reply = ProjectionExpr { expr: Arc::new(call), alias: "reply".into() };
        let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new([reply], row)?);
        let (url, session, config) = (self.url.clone(), self.session.clone(), self.config.clone());
        let codec = BallistaPhysicalExtensionCodec::default();
        let settings = config.ballista_config();
        execute_physical_plan::<PhysicalPlanNode>(url, &settings, plan, &codec, session, config)
            .await?
            .try_collect()
            .await
    }

    /// Looks whether the scheduler accepts connections.
    fn reach(&self, remedy: &str) -> Result<()> {
        let (host, port) = &self.address;
        let reached = (host.trim_matches(['[', ']']), *port).to_socket_addrs().and_then(|mut addresses| {
            let address = addresses.next().ok_or_else(|| std::io::Error::other("no such host"))?;
            TcpStream::connect_timeout(&address, CONNECT)
        });
        reached.map(drop).map_err(|error| self.gone(format!("no scheduler answers ({error}): {remedy}")))
    }

    fn gone(&self, problem: String) -> Error {
        Error::Gone { url: self.url.clone(), problem }
    }
}

/// Only a fault of ours comes to this.
fn unasked() -> Error {
    Error::Engine("an executor answered what was not asked".into())
}

/// Settings of queries.
fn config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES as usize)
        .with_ballista_job_name("unspool")
        // A machine that is gone without a word is found out by these.
        .set_u64(BALLISTA_CLIENT_GRPC_HTTP2_KEEPALIVE_INTERVAL_SECONDS, 10)
        .set_u64(BALLISTA_CLIENT_GRPC_TIMEOUT_SECONDS, 60)
}

/// A name that no other driver's session has.
fn session() -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("unspool-{}-{nanos}", std::process::id())
}

/// A scheduler's host and port, of a URL or of `HOST:PORT`.
///
/// # Errors
/// When it is neither.
pub fn address(url: &str) -> Result<(String, u16)> {
    let wrong = || Error::Settings(format!("'{url}' names no scheduler: give http://HOST:PORT"));
    let rest = match url.split_once("://") {
        Some(("http" | "df", rest)) => rest,
        Some(_) => return Err(wrong()),
        None => url,
    };
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (rest, PORT),
    };
    let plain = !host.is_empty() && !host.contains(['/', '@', ' ', '?', '#']);
    let bracketed = host.contains(':') != (host.starts_with('[') && host.ends_with(']'));
    if plain && !bracketed { Ok((host.to_owned(), port)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_are_named_by_host_and_port() {
        let check = |url: &str, expected: Option<(&str, u16)>| {
            assert_eq!(address(url).ok(), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        };
        check("http://127.0.0.1:4000", Some(("127.0.0.1", 4000)));
        check("df://box/", Some(("box", 50050)));
        check("box:7", Some(("box", 7)));
        check("http://[::1]:9", Some(("[::1]", 9)));
        check("[::1]", Some(("[::1]", 50050)));
        for wrong in ["", "https://box:7", "box:x", "http://box/path", "::1", "http://user@box"] {
            check(wrong, None);
        }
    }
}
