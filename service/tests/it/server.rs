//! A server of the binary, spoken to through a real socket.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use tonic::transport::{Channel, Endpoint};

use crate::command::command;

/// A server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one in `folder`; the arguments are separated by spaces. Returns before it is ready.
    pub(crate) fn spawn(folder: &Path, arguments: &str) -> Self {
        let mut command = command(folder);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments.split_whitespace());
        let mut child = command.env("UNSPOOL_LOG", "error").stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Waits for a line that begins so; gives its last word.
    pub(crate) fn says(&mut self, beginning: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(beginning) {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it ended before it said: {beginning}");
        }
        line.split_whitespace().next_back().unwrap().to_owned()
    }

    /// Waits until it is ready; gives its address.
    pub(crate) fn ready(&mut self) -> String {
        self.says("unspool is ready on ")
    }

    /// Starts one, and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &str) -> (Self, String) {
        let mut server = Self::spawn(folder, arguments);
        let address = server.ready();
        (server, address)
    }

    /// As a crash ends it: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator ends it: SIGTERM, which must succeed.
    pub(crate) fn stop(mut self) {
        let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(kill.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// Bytes of memory that it has now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// A connection.
pub(crate) async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await
}

/// A number that the caller may set, for the long form of a test.
pub(crate) fn setting(name: &str, short: u64) -> u64 {
    std::env::var(name).map_or(short, |text| text.parse().unwrap())
}

/// Random numbers (splitmix64): the same seed gives the same ones.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// Any number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
