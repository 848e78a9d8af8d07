//! Plays the rides into a topic: up to the middle, and after a word the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use unspool_ingest::kafka::client::{self, Connection, Writer};
use unspool_pipelines::Cancel;

use super::{
    error::{Error, Result},
    rides::Rides,
};

/// Events written between two looks at the clock.
const BURST: usize = 40;
/// Between two looks at the gate.
const LOOK: Duration = Duration::from_millis(10);

/// How far the player is; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    sent: Arc<AtomicUsize>,
    opened: Arc<AtomicBool>,
}

impl Played {
    /// Events that the broker has been handed.
    pub(super) fn events(&self) -> usize {
        self.sent.load(Ordering::Acquire)
    }

    /// Lets the second half pass.
    pub(super) fn open(&self) {
        self.opened.store(true, Ordering::Release);
    }
}

/// The player.
pub(super) struct Player {
    thread: JoinHandle<Result<(), client::Error>>,
    /// How far it is.
    pub(super) played: Played,
}

impl Player {
    /// Begins: the events spread over so much time, or as fast as the broker takes them.
    pub(super) fn start(
        (connection, topic, partitions): (&Connection, &str, i32),
        rides: &Arc<Rides>,
        over: Option<Duration>,
        stop: &Cancel,
    ) -> Self {
        let (connection, topic, rides) = (connection.clone(), topic.to_owned(), Arc::clone(rides));
        let (played, stop) = (Played::default(), stop.clone());
        let shared = played.clone();
        let thread = thread::spawn(move || {
            let writer = Writer::new(&connection)?;
            let every = over.map(|over| over.as_secs_f64() / rides.events() as f64);
            let middle = rides.events() / 2;
            let began = Instant::now();
            let events = (0..).map_while(|number| Some((number, rides.event(number)?)));
            for (number, (zone, (time, value))) in events {
                while number == middle && !shared.opened.load(Ordering::Acquire) && !stop.is_cancelled() {
                    writer.flush()?;
                    shared.sent.store(number, Ordering::Release);
                    thread::sleep(LOOK);
                }
                if stop.is_cancelled() {
                    return Ok(());
                }
                let payload = format!(r#"{{"time":{time},"passengers":{value}}}"#);
                let partition = i32::try_from(zone).unwrap_or(0) % partitions;
                writer.write(&topic, partition, (&rides.zones[zone].id, &payload))?;
                if (number + 1) % BURST == 0 {
                    shared.sent.store(number + 1, Ordering::Release);
                    let due = every.map_or(Duration::ZERO, |every| Duration::from_secs_f64(every * number as f64));
                    thread::sleep(due.saturating_sub(began.elapsed()));
                }
            }
            writer.flush()?;
            shared.sent.store(rides.events(), Ordering::Release);
            Ok(())
        });
        Self { thread, played }
    }

    /// Looks whether it has failed.
    ///
    /// # Errors
    /// When it has.
    pub(super) fn end(self) -> Result<()> {
        let ended = self.thread.join().map_err(|_| Error::Player("the player stopped unexpectedly".into()))?;
        ended.map_err(|error| Error::Player(error.to_string()))
    }

    /// It has ended, one way or the other.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}
