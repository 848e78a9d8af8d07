//! Starts processes again that have ended, as an init system does, and kills them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{command::binary, worker::device};

/// Where Debian's `faketime` has the library that sets a process' clock.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// What is logged where the caller does not say.
const QUIET: &str = "error,librdkafka=off,rdkafka=off";

/// A command that is kept running.
pub(super) struct Kept {
    pub name: &'static str,
    words: Vec<String>,
    folder: PathBuf,
    /// How long after an end the next start is.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    ended: Option<Instant>,
    killed: bool,
    stopped: bool,
    /// Starts, and ends with success that nobody asked for.
    starts: u64,
    done: u64,
    /// Ends by themselves with an error: when, and the last line.
    failures: Vec<(Instant, String)>,
}

/// The clock of the processes: a file that says how far it is from the machine's.
pub(super) struct Clock(PathBuf);

impl Clock {
    /// `None`: there is no such library here.
    pub(super) fn new(folder: &Path) -> Option<Self> {
        let clock = Self(folder.join("clock"));
        clock.step(0);
        Path::new(FAKETIME).exists().then_some(clock)
    }

    pub(super) fn step(&self, seconds: i64) {
        // Named whole: a reader never finds half of it.
        let draft = self.0.with_extension("tmp");
        fs::write(&draft, format!("{seconds:+}\n")).unwrap();
        fs::rename(draft, &self.0).unwrap();
    }
}

impl Kept {
    pub(super) fn new(name: &'static str, words: &[&str], (folder, pause): (&Path, Duration)) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { name, words, folder: folder.to_owned(), pause, state: Mutex::default() }
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// The last line that it said.
    pub(super) fn last_line(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// The last lines that it said, and whether it runs.
    pub(super) fn last_lines(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        format!("{}, running: {}:\n  {}", self.name, self.is_running(), last.join("\n  "))
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new(binary());
        command.args(&self.words).current_dir(&self.folder).stdin(Stdio::null());
        command.env("UNSPOOL_LOG", std::env::var("UNSPOOL_LOG").unwrap_or_else(|_| QUIET.to_owned()));
        command.env("UNSPOOL_DEVICE", device());
        command.env("UNSPOOL_THREADS", "1").stdout(log.try_clone().unwrap()).stderr(log);
        if Path::new(FAKETIME).exists() {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", self.folder.join("clock"));
            command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            command.env("DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        }
        command.spawn().unwrap()
    }

    /// Looks after it: call this often.
    pub(super) fn tend(&self) {
        let mut state = self.state.lock().unwrap();
        if let Some(child) = &mut state.child
            && let Some(status) = child.try_wait().unwrap()
        {
            state.child = None;
            state.ended = Some(Instant::now());
            let killed = std::mem::take(&mut state.killed);
            match status.success() {
                true => state.done += 1,
                false if killed => (),
                false => state.failures.push((Instant::now(), self.last_line())),
            }
        }
        let due = state.ended.is_none_or(|ended| ended.elapsed() >= self.pause);
        if state.child.is_none() && due && !state.stopped {
            state.child = Some(self.spawn());
            state.starts += 1;
        }
    }

    /// SIGKILL; whether it ran.
    pub(super) fn kill(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some(child) = &mut state.child else { return false };
        child.kill().unwrap();
        state.killed = true;
        true
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.lock().unwrap().child.is_some()
    }

    /// Starts so far, and ends with success.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap();
        (state.starts, state.done)
    }

    /// When it ended by itself with an error, and what it said.
    pub(super) fn failures(&self) -> Vec<(Instant, String)> {
        self.state.lock().unwrap().failures.clone()
    }

    /// SIGTERM, and no start again; it must end well.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopped = true;
        let Some(mut child) = state.child.take() else { return };
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = child.wait().unwrap();
        assert!(status.success(), "{}: {status}: {}", self.name, self.last_line());
    }

    /// No start again; waits for the end.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopped = true;
        if let Some(mut child) = state.child.take() {
            let status = child.wait().unwrap();
            assert!(status.success(), "{}: {status}: {}", self.name, self.last_line());
            state.done += 1;
        }
    }

    /// Bytes of memory now, if it runs.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let id = self.state.lock().unwrap().child.as_ref()?.id();
        resident_bytes(id)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(child) = &mut self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).child {
            let _ = (child.kill(), child.wait());
        }
    }
}

/// Bytes of memory of a process.
pub(super) fn resident_bytes(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
