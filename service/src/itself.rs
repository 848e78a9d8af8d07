//! This program in processes of its own, as in real life.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command},
};

use crate::error::{Error, Result};

/// Variables that are meant for every process: they change no bit.
const KEPT: [&str; 2] = ["UNSPOOL_ISA", "UNSPOOL_THREADS"];

/// This program again, without settings of the caller's.
///
/// # Errors
/// When the system does not say where it lies.
pub(crate) fn command() -> Result<Command> {
    let program = env::current_exe().map_err(|source| Error::Io { path: "this program".into(), source })?;
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("UNSPOOL_") && !KEPT.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command.env("UNSPOOL_LOG", "error");
    Ok(command)
}

/// Waits until a server, whose standard output is piped, says where it listens; `None`: it has ended before that.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn address(server: &mut Child) -> Result<Option<SocketAddr>> {
    let mut line = String::new();
    if let Some(stdout) = server.stdout.take() {
        let failed = |source| Error::Io { path: "the server".into(), source };
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    Ok(line.strip_prefix("unspool is ready on ").and_then(|address| address.trim_end().parse().ok()))
}
