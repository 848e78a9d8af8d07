//! The drill: server, stream job, batch job and broker at once under steady load, while something is killed all the time, the disk
//! is full once and the clock steps once. Nothing is lost, nothing comes twice, all bits are those of an undisturbed model.
//!
//! ```sh
//! UNSPOOL_DRILL_MINUTES=60 UNSPOOL_TEST_KAFKA=DIR cargo test --release -p unspool --test kafka drill -- --ignored --nocapture
//! ```
//!
//! Of half an hour and more, something happens every minute; of less, a short while after all have caught up. The disk is a file
//! system of its own where this user may mount one; the clock needs Debian's `faketime`: without them these two are left out, and said to be.

mod figures;
mod flows;
mod keeper;
mod lake;
mod sessions;
mod stream;
mod truth;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use unspool_pipelines::{
    batch::{Manifest, saved_states},
    store::{Key, Store, StoreOptions, Time},
    stream::Saved,
};

use self::{
    figures::{Acted, Figures},
    flows::Shared,
    keeper::{Clock, Kept},
    truth::{Truth, assert_same},
};
use crate::{
    broker::Broker,
    environment::Small,
    job::{Job, Numbers},
    server::setting,
};

/// The disk's size, in MB.
const DISK_MB: u32 = 600;
/// How far the clock steps forward, and back again.
const CLOCK_S: i64 = 3600;
/// Who has not caught up after so long never does.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often memory is looked at: a batch job's run may last a second.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Kill(usize),
    KillBroker,
    FillDisk,
    StepClock,
}

/// The acts: each process in turn, and once each of the other two, as the numbers say.
fn act(number: u64, (disk, clock): (u64, u64)) -> Act {
    match number {
        _ if number == disk => Act::FillDisk,
        _ if number == clock => Act::StepClock,
        _ if number % 5 == 4 => Act::KillBroker,
        _ => Act::Kill((number % 5) as usize),
    }
}

/// All that is kept running, and what is known of it.
struct Drill<'a> {
    broker: &'a Broker,
    /// The two workers, the server, the batch job.
    processes: Vec<Kept>,
    shared: &'a Shared,
    figures: Figures,
    clock: Option<Clock>,
    disk: Option<Small>,
    dir: PathBuf,
    measured: Instant,
    minutes: u64,
    /// The stream job's input and output, and its group.
    topics: (&'a str, String),
    group: &'a str,
    /// Ends with an error that were told, of each process.
    told: Vec<usize>,
    /// While the disk was full.
    full: Option<(Instant, Instant)>,
}

impl Drill<'_> {
    /// Looks after everything, once.
    fn tend(&mut self) {
        self.processes.iter().for_each(Kept::tend);
        for (at, process) in self.processes.iter().enumerate() {
            let failures = process.failures();
            for (_, line) in &failures[self.told[at]..] {
                self.figures.ended(process.name, line);
            }
            self.told[at] = failures.len();
        }
        if self.measured.elapsed() > MEMORY_EVERY {
            self.measured = Instant::now();
            for process in &self.processes {
                let bytes = process.memory_bytes();
                bytes.into_iter().for_each(|bytes| self.figures.memory(process.name, bytes));
            }
            let broker = self.broker.id().and_then(keeper::resident_bytes);
            broker.into_iter().for_each(|bytes| self.figures.memory("broker", bytes));
        }
        if self.shared.began.elapsed().as_secs() / 60 > self.minutes {
            self.minutes += 1;
            self.figures.minute(self.shared);
        }
        thread::sleep(Duration::from_millis(20));
    }

    fn tend_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend();
        }
    }

    fn batch_has(&self, files: u64) -> bool {
        let manifest = Manifest::read(&self.dir.join("batch")).ok().flatten();
        manifest.is_some_and(|manifest| manifest.complete && manifest.files.len() as u64 >= files)
    }

    /// Waits until each way has given what is due next, and all before that; how long each took.
    fn caught_up(&mut self, act: &'static str) -> Acted {
        let (began, shared) = (Instant::now(), self.shared);
        // Of what is due now some may have been given before the act: it is what comes next that counts.
        let (steps, rounds) = (stream::due(shared) + 2, sessions::rounds(shared).0 + 2);
        let files = shared.lake.load(SeqCst);
        let mut took = [None; 3];
        while took.contains(&None) {
            self.tend();
            let done =
                [shared.steps.load(SeqCst) >= steps, sessions::rounds(shared).1 >= rounds, self.batch_has(files)];
            took.iter_mut().zip(done).filter(|(took, done)| took.is_none() && *done).for_each(|(took, _)| {
                *took = Some(began.elapsed());
            });
            if began.elapsed() > PATIENCE {
                let lines: Vec<String> = self.processes.iter().map(Kept::last_lines).collect();
                let seen = self.broker.situation(&[self.topics.0, &self.topics.1], self.group);
                panic!("{act}: {took:?} of stream, sessions and batch;\n{}\n{seen}", lines.join("\n"));
            }
        }
        let [stream, sessions, batch] = took.map(Option::unwrap_or_default);
        Acted { act, stream, sessions, batch }
    }

    /// Does it, and says what it was; `None`: it cannot be done here.
    fn perform(&mut self, act: Act, (numbers, hold): (&mut Numbers, Duration)) -> Option<&'static str> {
        match act {
            Act::Kill(at) => {
                // The batch job runs now and then: it is killed in the middle of a run.
                while !self.processes[at].is_running() {
                    self.tend();
                }
                self.tend_for(Duration::from_millis(numbers.next(900)));
                while !self.processes[at].kill() {
                    self.tend();
                }
                Some(["kill a worker", "kill a worker", "kill the server", "kill the batch job"][at])
            }
            Act::KillBroker => {
                self.broker.restart();
                Some("kill the broker")
            }
            Act::FillDisk => {
                self.disk.as_ref()?;
                let (began, filler) = (Instant::now(), self.dir.join("filler"));
                fill(&filler);
                self.tend_for(hold);
                fs::remove_file(&filler).unwrap();
                self.full = Some((began, Instant::now()));
                Some("fill the disk")
            }
            Act::StepClock => {
                self.clock.as_ref()?.step(CLOCK_S);
                self.tend_for(hold);
                self.clock.as_ref()?.step(0);
                Some("step the clock")
            }
        }
    }

    /// Nothing ended with an error but while the disk was full, or soon after that.
    fn assert_calm(&self) {
        for process in &self.processes {
            for (at, line) in process.failures() {
                let full = self.full.is_some_and(|(from, to)| at > from && at < to + Duration::from_secs(5));
                assert!(full, "{} ended by itself: {line}", process.name);
            }
        }
    }
}

/// Writes a file until there is no room left.
fn fill(path: &Path) {
    let (mut file, mut bytes) = (File::create(path).unwrap(), vec![0; 1 << 20]);
    while !bytes.is_empty() {
        if file.write_all(&bytes).is_err() {
            bytes.truncate(bytes.len() / 2);
        }
    }
}

/// An address that nobody has now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The processes; their states and outputs lie in `dir`, the lake and logs in `folder`.
fn processes((folder, dir): (&Path, &Path), job: &Path, address: &str) -> Vec<Kept> {
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let (job, lake, batch) = (path(job.to_owned()), path(folder.join("lake")), path(dir.join("batch")));
    let (kept, config) = (path(dir.join("sessions")), path(folder.join("drill.toml")));
    fs::write(&config, "[limits]\nsession_log_bytes = 8000000\n").unwrap();
    let soon = (folder, Duration::from_millis(500));
    let worker = |name, member| Kept::new(name, &["stream", &job, "--quiet", "--member", member], soon);
    let serve = ["serve", "--listen", address, "--data-dir", &kept, "--config", &config];
    let run = ["run", "--quiet", "--input", &lake, "--what", "scores", "--output", &batch];
    vec![
        worker("worker one", "one"),
        worker("worker two", "two"),
        Kept::new("server", &serve, soon),
        Kept::new("batch job", &run, (folder, Duration::from_secs(2))),
    ]
}

/// What came of the load: scores of each series, way by way.
struct Came {
    stream: Vec<Vec<u64>>,
    sessions: Vec<Vec<u64>>,
    batch: Vec<Vec<u64>>,
}

/// Ends the threads of a drill that fails.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, SeqCst);
        self.0.over.store(true, SeqCst);
    }
}

/// Load and acts, until all is over and everything has stopped.
fn run(drill: &mut Drill<'_>, truth: &Truth, (input, output, address): (&str, &str, &str), minutes: u64) -> Came {
    let (broker, shared, lake) = (drill.broker, drill.shared, drill.dir.parent().unwrap().join("lake"));
    let (long, whole) = (minutes >= 30, Duration::from_secs(60 * minutes));
    let (pause, hold) = if long { (60, 20) } else { (4, 6) };
    let (pause, hold) = (Duration::from_secs(pause), Duration::from_secs(hold));
    // Of a short drill both come early: how many acts there will be nobody knows.
    let once = if long { (minutes / 3, 2 * minutes / 3) } else { (3, 5) };
    thread::scope(|scope| {
        let _over = Over(shared);
        let both = (truth, shared);
        let (writes, files) =
            (scope.spawn(move || stream::write(broker, input, both)), scope.spawn(move || lake::write(&lake, both)));
        let reads = scope.spawn(move || stream::read(broker, output, shared));
        let clients: Vec<_> =
            (0..sessions::CLIENTS).map(|number| scope.spawn(move || sessions::work(address, number, both))).collect();
        let (mut numbers, mut number) = (Numbers(1), 0);
        let first = drill.caught_up("the first start");
        drill.figures.acted(first);
        while shared.began.elapsed() < whole {
            let began = Instant::now();
            match drill.perform(act(number, once), (&mut numbers, hold)) {
                Some(name) => {
                    let acted = drill.caught_up(name);
                    drill.figures.acted(acted);
                }
                None => println!("{:?} cannot be done here: left out", act(number, once)),
            }
            number += 1;
            let pause = if long { pause.saturating_sub(began.elapsed()) } else { pause };
            drill.tend_for(pause.min(whole.saturating_sub(shared.began.elapsed())));
        }
        shared.ends.store(true, SeqCst);
        let (steps, rows) = (writes.join().unwrap(), files.join().unwrap());
        let sessions: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let until = Instant::now() + PATIENCE;
        while shared.steps.load(SeqCst) < steps as u64 || !drill.batch_has(shared.lake.load(SeqCst)) {
            assert!(Instant::now() < until, "{} of {steps} steps came", shared.steps.load(SeqCst));
            drill.tend();
        }
        shared.over.store(true, SeqCst);
        let stream = reads.join().unwrap();
        drill.processes.last().unwrap().finish();
        drill.processes.iter().for_each(Kept::stop);
        let batch = lake::read(&drill.dir.join("batch"), rows);
        Came { stream, sessions, batch }
    })
}

/// Everything is there, once, to the bit; and so are the states.
fn check((dir, data): (&Path, &str), truth: &Truth, came: &Came) {
    let model = truth.model();
    let mut states = HashMap::<(&str, String), Vec<u8>>::new();
    let saved = Saved::find(&dir.join(data)).unwrap().unwrap();
    saved
        .states(model, &mut |series| {
            states.insert(("stream", series.id), model.save(&series.state).unwrap());
            Ok(())
        })
        .unwrap();
    saved_states(&dir.join("batch"), model, &mut |series| {
        states.insert(("batch", series.id), series.state);
        Ok(())
    })
    .unwrap();
    let models = Arc::new(HashMap::from([(model.info().digest, Arc::clone(model))]));
    let store = Store::open(Some(&dir.join("sessions")), StoreOptions::default(), models).unwrap();
    for session in 0..came.sessions.len() {
        let view = store.read(&Key::new(b"anyone", &sessions::name(session)), Time(0)).unwrap();
        states.insert(("sessions", session.to_string()), model.save(&view.state).unwrap());
    }
    for (way, all) in [("stream", &came.stream), ("sessions", &came.sessions), ("batch", &came.batch)] {
        for (series, found) in all.iter().enumerate() {
            let expected = truth.expected(series, found.len());
            assert_same(way, series, (found, &expected.scores));
            let state = states.get(&(way, series.to_string()));
            assert!(state == Some(&expected.state), "{way}, series {series}: its last state is another one");
        }
        let events: usize = all.iter().map(Vec::len).sum();
        println!("{way}: {events} events of {} series, each once, and their last states: the same bits", all.len());
    }
}

#[test]
#[ignore = "needs Apache Kafka, and minutes: .ci/kafka.sh"]
fn drill() {
    let (broker, minutes) = (Broker::of_the_tests(), setting("UNSPOOL_DRILL_MINUTES", 3));
    // The folder is kept where the drill fails: the logs are in it.
    let folder = tempfile::tempdir().unwrap().keep();
    let dir = folder.join("disk");
    let disk = Small::mount(dir.clone(), DISK_MB);
    fs::create_dir(folder.join("lake")).unwrap();
    println!("in {}", folder.display());
    let input = broker.unique("drill");
    broker.create(input, stream::PARTITIONS, &[]);
    // The only broker there is takes its seconds to start: neither a worker nor a transaction is given up before it is back. Kafka 4.3.1
    // was seen to forget what it had of a group beyond 16,384 records (see `not_behind` in start.rs): fewer commits keep a short drill below.
    let more = "[output]\ngive = 'scores'\n[group]\nsession_timeout_ms = 30000\n\
                [run]\nsnapshot_interval_ms = 2000\ntransaction_timeout_ms = 30000\ncommit_interval_ms = 200\n";
    let job = Job { broker: &broker, input, name: format!("{input}-job").leak(), more };
    let (file, address) = (job.write(&dir, stream::PARTITIONS), free_address());
    let (clock, truth) = (Clock::new(&folder), Truth::new());
    let processes = processes((&folder, &dir), &file, &address);
    let shared = Shared::new(sessions::CLIENTS);
    let mut drill = Drill {
        broker: &broker,
        told: vec![0; processes.len()],
        processes,
        shared: &shared,
        figures: Figures::new(shared.began),
        clock,
        disk,
        dir,
        measured: shared.began,
        minutes: 0,
        topics: (input, job.out()),
        group: job.name,
        full: None,
    };
    let came = run(&mut drill, &truth, (input, &job.out(), &address), minutes);
    let starts: BTreeMap<&str, u64> = drill.processes.iter().map(|one| (one.name, one.counts().0)).collect();
    drill.figures.end(&shared, &starts);
    check((&drill.dir, &format!("data-{}", job.name)), &truth, &came);
    assert_eq!(broker.read(&job.dead()).len(), 0, "dead letters");
    drill.assert_calm();
    drop(drill);
    fs::remove_dir_all(folder).unwrap();
}
