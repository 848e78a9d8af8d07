//! Servers in processes of their own, as in real life: this one is the client.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::NamedTempFile;

use super::BenchServeArgs;
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    itself,
};

/// Bytes of states that a server has ready where nobody says: the report opens 2,048 sessions, of 0.94 MB each with the default model.
const SESSION_MEMORY_BYTES: u64 = 4 << 30;

/// A server that ends with this.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    /// Its settings.
    _config: Option<NamedTempFile>,
}

impl Server {
    /// Starts `unspool serve` on a free port, with `limits` in its file of settings.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) fn start(args: &BenchServeArgs, limits: &str) -> Result<Self> {
        let failed = |source| Error::Io { path: "settings of the server".into(), source };
        let mut config = NamedTempFile::new().map_err(failed)?;
        let memory = args.session_memory_bytes.unwrap_or(SESSION_MEMORY_BYTES);
        write!(config, "[limits]\n{limits}session_memory_bytes = {memory}\n").map_err(failed)?;
        let mut command = itself::command()?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--model", &args.model, "--config"]).arg(config.path());
        if let Some(dir) = &args.data_dir {
            command.arg("--data-dir").arg(dir);
        }
        let DeviceArgs { device, weights } = args.device;
        command.args(["--device", &device.to_string(), "--weights", &weights.to_string()]);
        if let Some(threads) = args.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        Self::ready(command, Some(config))
    }

    /// Starts a bare echo server.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) fn echo() -> Result<Self> {
        let mut command = itself::command()?;
        command.args(["bench", "echo"]);
        Self::ready(command, None)
    }

    /// Waits for the line that tells the address.
    fn ready(mut command: Command, config: Option<NamedTempFile>) -> Result<Self> {
        let failed = |source| Error::Io { path: "the server".into(), source };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        match itself::address(&mut child)? {
            Some(address) => Ok(Self { child, address, _config: config }),
            None => {
                // It may have ended already, and has said why on standard error.
                let _ = (child.kill(), child.wait());
                Err(Error::Usage("the server did not come up".into()))
            }
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// It has nothing to save for anyone.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}
