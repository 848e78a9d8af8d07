//! The demonstration itself: starts what takes part, looks on until all is through, and has it end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::HumanCount;
use tokio::{runtime::Runtime, task::JoinHandle};
use unspool_pipelines::Cancel;

use super::{
    HORIZON, INPUT, PARTITIONS,
    cast::Cast,
    chart::Sample,
    error::Error,
    outputs::Outputs,
    player::Player,
    recent::Recent,
    rides::Rides,
    screen::{Counts, Screen},
    sessions::{Session, follow},
    stage::Stage,
};
use crate::{
    args::DeviceArgs,
    error::{Error as CommandError, Result},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Nothing new for so long ends the demonstration.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of it.
pub(super) struct Shown {
    /// What ran: the part, the command, what came of it.
    pub(super) parts: Vec<[String; 3]>,
    /// How far all was in time.
    pub(super) samples: Vec<Sample>,
    /// When the worker was killed, in s.
    pub(super) killed: Option<f64>,
    /// The sessions, in the order of the series.
    pub(super) sessions: Vec<Session>,
}

/// What looks on.
struct Look<'a> {
    stage: &'a Stage,
    events: usize,
    steps: usize,
    player: Player,
    caller: JoinHandle<Result<Vec<Session>>>,
    outputs: Outputs,
    recent: Recent,
    screen: Screen,
    began: Instant,
    samples: Vec<Sample>,
    killed: Option<f64>,
}

/// Runs it all, the events spread over so much time if any is named.
///
/// # Errors
/// When something cannot be started, ends early or comes to a halt, or the user interrupts.
pub(super) fn show(
    (stage, rides, device): (&Stage, &Arc<Rides>, DeviceArgs),
    over: Option<Duration>,
    (runtime, cancel): (&Runtime, &Cancel),
) -> Result<Shown> {
    let screen = Screen::new();
    screen.tell(&format!(
        "{} events: taxi passengers in New York, every half hour, {} series",
        HumanCount(rides.events() as u64),
        rides.zones.len()
    ));
    screen.tell(&format!("all files are in {}", stage.folder.display()));
    screen
        .tell(&format!("broker    {}, in this process  (topics rides, scores, forecasts)", stage.connection.bootstrap));
    let cast = Cast::start(&stage.folder, device)?;
    cast.lines().iter().for_each(|line| screen.tell(line));
    let stop = Cancel::default();
    let player = Player::start((&stage.connection, INPUT, PARTITIONS), rides, over, &stop);
    let caller = runtime.spawn(follow(cast.address, Arc::clone(rides), player.played.clone()));
    let mut look = Look {
        stage,
        events: rides.events(),
        steps: rides.events(),
        player,
        caller,
        outputs: Outputs::follow(&stage.connection)?,
        recent: Recent::default(),
        screen,
        began: Instant::now(),
        samples: vec![],
        killed: None,
    };
    let (cast, looked) = look.on(cast, cancel);
    stop.cancel();
    let parts = cast.as_ref().map(|cast| look.parts(cast)).unwrap_or_default();
    let ended = cast.map_or(Ok(()), Cast::stop);
    looked?;
    ended?;
    look.player.end()?;
    let sessions = runtime.block_on(look.caller).map_err(|_| CommandError::Fault)??;
    Ok(Shown { parts, samples: look.samples, killed: look.killed, sessions })
}

impl Look<'_> {
    /// Looks on until all is through; gives the processes back, however it ends.
    fn on(&mut self, cast: Cast, cancel: &Cancel) -> (Option<Cast>, Result<()>) {
        let mut cast = Some(cast);
        loop {
            match self.turn(&mut cast, cancel) {
                Ok(false) => (),
                Ok(true) => return (cast, Ok(())),
                Err(error) => return (cast, Err(error)),
            }
        }
    }

    /// One look; whether all is through.
    fn turn(&mut self, cast: &mut Option<Cast>, cancel: &Cancel) -> Result<bool> {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted(self.stage.folder.clone()).into());
        }
        self.outputs.look(LOOK, &mut self.recent)?;
        let Some(running) = cast.as_mut() else { return Err(CommandError::Fault) };
        let screen = &self.screen;
        let jobs = running.look(&mut |words, took| {
            screen.tell(&format!("{:9} unspool {words}: done in {:.1} s", "", took.as_secs_f64()));
        })?;
        let played = self.player.played.events();
        let (scored, steps) = (self.outputs.scored, self.outputs.steps);
        let forecasts = steps / HORIZON as usize;
        if self.samples.last().is_none_or(|last| last.scored < self.events) {
            self.samples.push(Sample { at: self.began.elapsed().as_secs_f64(), played, scored });
        }
        let through = scored >= self.events && steps >= self.steps;
        let waits = if through { running.unfinished() } else { None };
        self.screen.show(Counts { events: self.events, played, scored, forecasts }, (waits, &self.recent));
        if self.killed.is_none() && played == self.events / 2 && scored == played {
            self.kill(cast)?;
        }
        self.still(&format!("{played} of {} events played, {scored} scored, {steps} steps forecast", self.events))?;
        let called = self.caller.is_finished();
        if called && self.failed_early(scored) {
            // What it was is told when its result is taken.
            return Ok(true);
        }
        Ok(jobs && called && through)
    }

    /// The player or the caller has ended though not all is through.
    fn failed_early(&self, scored: usize) -> bool {
        self.player.has_ended() && scored < self.events && self.player.played.events() < self.events
    }

    /// Kills a worker halfway; the next one takes over while events go on coming. It is killed between two transactions: of one
    /// that is given up, the embedded broker's readers never see the end (Apache Kafka's do, and its tests kill at any moment).
    fn kill(&mut self, cast: &mut Option<Cast>) -> Result<()> {
        self.killed = Some(self.began.elapsed().as_secs_f64());
        self.screen.tell("          the stream job of scores is killed (SIGKILL), and started again");
        if let Some(running) = cast.take() {
            self.player.played.open();
            *cast = Some(running.kill_and_start()?);
        }
        Ok(())
    }

    /// Something must come now and then.
    fn still(&self, stands: &str) -> Result<()> {
        let quiet = self.outputs.last.elapsed();
        if quiet < PATIENCE || self.outputs.scored >= self.events && self.outputs.steps >= self.steps {
            return Ok(());
        }
        let (seconds, logs) = (quiet.as_secs(), self.stage.folder.join("logs"));
        Err(Error::Stalled { seconds, stands: stands.to_owned(), logs }.into())
    }

    /// What ran, and what came of it.
    fn parts(&self, cast: &Cast) -> Vec<[String; 3]> {
        let row = |part: &str, command: &str, came: String| [part.to_owned(), command.to_owned(), came];
        let (events, scored) = (HumanCount(self.events as u64), HumanCount(self.outputs.scored as u64));
        let forecasts = HumanCount(self.outputs.steps as u64 / u64::from(HORIZON));
        let killed = self.killed.map_or(String::new(), |at| format!(", killed after {at:.0} s and started again"));
        let address = &self.stage.connection.bootstrap;
        let mut parts = vec![
            row("broker", "inside unspool demo", format!("{events} events through {address}")),
            row("stream job", "unspool stream scores.toml", format!("{scored} scores, exactly once{killed}")),
            row("stream job", "unspool stream forecasts.toml", format!("{forecasts} daily forecasts, exactly once")),
            row("server", "unspool serve", format!("a session a series at {}", cast.address)),
        ];
        for (words, seconds) in cast.took() {
            let part = if words.starts_with("run") { "batch job" } else { "variants" };
            parts.push(row(part, &format!("unspool {words}"), format!("done in {seconds:.1} s")));
        }
        parts
    }
}
