//! What is kept of a drill: a line of JSON for each act and each minute, and a table at its end.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;

use super::flows::Shared;

/// Memory that a process may take in the second half on top of a quarter more than in the first.
const SLACK_BYTES: u64 = 64 << 20;

/// An act, and how long each way took to catch up.
pub(super) struct Acted {
    pub act: &'static str,
    pub stream: Duration,
    pub sessions: Duration,
    pub batch: Duration,
}

/// All figures.
pub(super) struct Figures {
    log: File,
    pub path: PathBuf,
    began: Instant,
    acted: Vec<Acted>,
    /// Of each process: when, and bytes.
    memory: BTreeMap<&'static str, Vec<(Duration, u64)>>,
}

impl Figures {
    pub(super) fn new(began: Instant) -> Self {
        let path = std::env::var_os("UNSPOOL_DRILL_LOG")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("drill.jsonl"), PathBuf::from);
        Self { log: File::create(&path).unwrap(), path, began, acted: vec![], memory: BTreeMap::new() }
    }

    fn write(&mut self, mut line: serde_json::Value) {
        line["at_s"] = json!(self.began.elapsed().as_secs_f64().round());
        writeln!(self.log, "{line}").unwrap();
    }

    pub(super) fn acted(&mut self, acted: Acted) {
        let [stream, sessions, batch] =
            [acted.stream, acted.sessions, acted.batch].map(|took| (took.as_secs_f64() * 10.0).round() / 10.0);
        println!("{}: stream {stream} s, sessions {sessions} s, batch {batch} s", acted.act);
        self.write(json!({"act": acted.act, "recovery_s": {"stream": stream, "sessions": sessions, "batch": batch}}));
        self.acted.push(acted);
    }

    pub(super) fn ended(&mut self, process: &str, line: &str) {
        println!("{process} ended: {line}");
        self.write(json!({"ended": process, "line": line}));
    }

    pub(super) fn memory(&mut self, process: &'static str, bytes: u64) {
        self.memory.entry(process).or_default().push((self.began.elapsed(), bytes));
    }

    pub(super) fn minute(&mut self, shared: &Shared) {
        let now = self.began.elapsed();
        let most = self.most((now.saturating_sub(Duration::from_secs(60)), now));
        let mb: BTreeMap<_, _> = most.into_iter().map(|(name, bytes)| (name, bytes >> 20)).collect();
        let latency = |(p50, p99): (f64, f64)| json!({"p50_ms": p50, "p99_ms": p99});
        let line = json!({
            "stream": latency(shared.stream.this_minute()),
            "append": latency(shared.sessions.this_minute()),
            "memory_mb": mb,
        });
        self.write(line);
    }

    /// The most memory of each process from one time to another.
    fn most(&self, (from, to): (Duration, Duration)) -> BTreeMap<&'static str, u64> {
        let most = |all: &Vec<(Duration, u64)>| {
            all.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, bytes)| *bytes).max().unwrap_or(0)
        };
        self.memory.iter().map(|(name, all)| (*name, most(all))).collect()
    }

    /// The table; memory must be flat.
    pub(super) fn end(&mut self, shared: &Shared, ends: &BTreeMap<&'static str, u64>) {
        let mut table =
            String::from("act                 times  recovery, s: median / greatest of the way that took longest\n");
        let mut by = BTreeMap::<&str, Vec<f64>>::new();
        for acted in &self.acted {
            let longest = acted.stream.max(acted.sessions).max(acted.batch);
            by.entry(acted.act).or_default().push(longest.as_secs_f64());
        }
        for (act, mut took) in by {
            took.sort_by(f64::total_cmp);
            let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
            table += &format!("{act:20} {:4}  {median:.1} / {most:.1}\n", took.len());
        }
        for (name, flow) in [("stream", &shared.stream), ("append", &shared.sessions)] {
            let (p50, p99) = flow.of_all();
            let events = flow.events.load(std::sync::atomic::Ordering::SeqCst);
            table += &format!("{name}: {events} events, from when due p50 {p50:.0} ms, p99 {p99:.0} ms\n");
        }
        let (whole, minute) = (self.began.elapsed(), Duration::from_secs(60));
        // About minute 5 and in the last two minutes, for people; one half beside the other, for the assertion.
        let shown = [self.most((minute * 4, minute * 6)), self.most((whole.saturating_sub(minute * 2), whole))];
        let halves = [self.most((Duration::ZERO, whole / 2)), self.most((whole / 2, whole))];
        for name in self.memory.keys() {
            let count = ends.get(name).copied().unwrap_or(0);
            let [at_five, at_end] = [0, 1].map(|at: usize| shown[at][name] >> 20);
            let [first, second] = [0, 1].map(|at: usize| halves[at][name] >> 20);
            table += &format!(
                "{name}: {count} starts; memory {at_five} MB at minute 5, {at_end} MB at the end; {first} MB at most in the \
                 first half, {second} MB in the second\n"
            );
        }
        println!("{:.1} minutes\n{table}log: {}", self.began.elapsed().as_secs_f64() / 60.0, self.path.display());
        self.write(json!({"end": table}));
        for (name, first) in halves[0].iter().filter(|(name, _)| **name != "broker") {
            let second = halves[1][name];
            assert!(
                second <= first + first / 4 + SLACK_BYTES,
                "{name}: {second} bytes of memory in the second half, {first} in the first"
            );
        }
    }
}
