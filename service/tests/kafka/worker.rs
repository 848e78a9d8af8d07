//! Worker processes.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::command::binary;

/// Where processes compute: on the CPU, if the caller does not say otherwise.
pub(crate) fn device() -> String {
    std::env::var("UNSPOOL_DEVICE").unwrap_or_else(|_| "cpu".to_owned())
}

/// A worker.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
    /// Bytes of the log that earlier workers of that name wrote.
    before: usize,
}

impl Worker {
    /// Starts `unspool stream` with these arguments; its log goes to a file of the folder.
    pub(crate) fn start(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("stream");
        Self::spawn(folder, name, command, arguments)
    }

    /// As [`Worker::start`], but it may write no file longer than 1 MB.
    pub(crate) fn limited(folder: &Path, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        // a write beyond the limit is an error then, not the end of the process
        command.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" stream \"$@\""]).arg(binary());
        Self::spawn(folder, name, command, arguments)
    }

    fn spawn(folder: &Path, name: &str, mut command: Command, arguments: &[&str]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        command.args(arguments).current_dir(folder).env_remove("UNSPOOL_LOG").env("UNSPOOL_THREADS", "1");
        command.env("UNSPOOL_DEVICE", device());
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let before = std::fs::metadata(&log).unwrap().len() as usize;
        Self { child: command.spawn().unwrap(), log, before }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(kill.success(), "{}", self.log());
    }

    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn wake(&self) {
        self.signal("CONT");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it must end well, and soon.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(30));
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self, most: Duration) -> ExitStatus {
        let until = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it still runs after {most:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it has its partitions: from then on it takes signals.
    pub(crate) fn ready(&self, most: Duration) {
        let until = Instant::now() + most;
        while !self.log()[self.before..].contains("unspool streams ") {
            assert!(Instant::now() < until, "it has no partitions after {most:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// It must not have ended.
    pub(crate) fn assert_runs(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
