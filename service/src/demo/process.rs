//! Processes of this program that the demonstration starts, each with a log in its folder.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::error::Error;
use crate::{
    args::DeviceArgs,
    error::{Error as CommandError, Result},
    itself,
};

/// A process that is asked to end is killed after so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all processes have in common.
pub(super) struct Setting<'a> {
    /// Where they run, and where `logs/` is.
    pub(super) folder: &'a Path,
    /// Where they compute.
    pub(super) device: DeviceArgs,
}

/// A process; it is killed when this is dropped.
pub(super) struct Process {
    what: &'static str,
    child: Child,
    log: PathBuf,
    began: Instant,
    /// How it ended, and after how long.
    ended: Option<(ExitStatus, Duration)>,
}

impl Process {
    /// Starts `unspool WORDS`; the log goes on where an earlier process of that name has written to it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn start(setting: &Setting<'_>, what: &'static str, words: &[&str]) -> Result<Self> {
        Self::spawn(setting, what, (words, false))
    }

    /// Starts a server, and waits until it says where it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) fn serve(setting: &Setting<'_>, what: &'static str, words: &[&str]) -> Result<(Self, SocketAddr)> {
        let mut server = Self::spawn(setting, what, (words, true))?;
        let address = itself::address(&mut server.child)?;
        let address = address.ok_or_else(|| Error::NoServer(server.log.clone()))?;
        Ok((server, address))
    }

    fn spawn(setting: &Setting<'_>, what: &'static str, (words, piped): (&[&str], bool)) -> Result<Self> {
        let log =
            setting.folder.join("logs").join(format!("{}.log", what.trim_start_matches("the ").replace(' ', "-")));
        let failed = |source| CommandError::Io { path: log.clone(), source };
        let out = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let mut command = itself::command()?;
        let DeviceArgs { device, weights } = setting.device;
        command.args(words).args(["--device", &device.to_string(), "--weights", &weights.to_string()]);
        command.current_dir(setting.folder).stdin(Stdio::null()).stderr(out.try_clone().map_err(failed)?);
        command.stdout(if piped { Stdio::piped() } else { out.into() });
        let child = command.spawn().map_err(failed)?;
        Ok(Self { what, child, log, began: Instant::now(), ended: None })
    }

    /// What it is called.
    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long it took, if it has ended well.
    ///
    /// # Errors
    /// When it has ended otherwise.
    pub(super) fn done(&mut self) -> Result<Option<Duration>> {
        if self.ended.is_none() {
            let failed = |source| CommandError::Io { path: self.what.into(), source };
            self.ended = self.child.try_wait().map_err(failed)?.map(|status| (status, self.began.elapsed()));
        }
        match self.ended {
            Some((status, _)) if !status.success() => Err(self.early(status)),
            ended => Ok(ended.map(|(_, took)| took)),
        }
    }

    /// It must still run.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn runs(&mut self) -> Result<()> {
        let done = self.done()?;
        match self.ended {
            Some((status, _)) if done.is_some() => Err(self.early(status)),
            _ => Ok(()),
        }
    }

    fn early(&self, status: ExitStatus) -> CommandError {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let said = said.lines().last().unwrap_or("it has said nothing").to_owned();
        Error::Ended { what: self.what, status, said, log: self.log.clone() }.into()
    }

    /// Ends it as a crash would: SIGKILL.
    pub(super) fn kill(mut self) {
        // Whatever it was, it has ended then.
        let _ = (self.child.kill(), self.child.wait());
    }

    /// Asks it to end, as an operator does: SIGTERM. Returns at once.
    pub(super) fn ask(&self) {
        // The standard library sends nothing but SIGKILL. Who has ended hears nothing, and needs not.
        let words = ["-c", "kill -TERM \"$0\" 2>/dev/null", &self.id().to_string()];
        let _ = Command::new("sh").args(words).stdin(Stdio::null()).status();
    }

    /// Waits until it has ended, as it was asked to.
    ///
    /// # Errors
    /// When it has not ended well.
    pub(super) fn wait(mut self) -> Result<()> {
        let asked = Instant::now();
        while self.done()?.is_none() && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = (self.child.kill(), self.child.wait());
        }
    }
}
