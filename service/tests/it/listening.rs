//! What listens where nobody asked for more: this machine alone is spoken to, and only on the ports that were said.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::{Child, Stdio},
};

use crate::command::{command, folder, succeed, unspool};

/// A process that runs until it is dropped.
struct Running(Child);

impl Running {
    /// Starts it, and waits for the line that begins so; its addresses, in the order of the lines.
    fn start(folder: &Path, arguments: &str, ready: &str) -> (Self, Vec<SocketAddr>) {
        let mut command = command(folder);
        command.args(arguments.split_whitespace()).env("UNSPOOL_LOG", "off");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let running = Self(child);
        let mut said = vec![];
        for line in stdout.lines().map(Result::unwrap) {
            said.extend(line.split(' ').filter_map(|word| word.trim_end_matches(':').parse::<SocketAddr>().ok()));
            if line.starts_with(ready) {
                return (running, said);
            }
        }
        panic!("{arguments}: it ended before it said: {ready}");
    }

    /// What it listens on, by TCP, or takes packets on, by UDP.
    fn listens(&self) -> BTreeSet<SocketAddr> {
        let folder = format!("/proc/{}", self.0.id());
        let files =
            fs::read_dir(format!("{folder}/fd")).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let sockets: BTreeSet<String> = files.map(|to| to.display().to_string()).collect();
        let mut found = BTreeSet::new();
        for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            // Where there is no IPv6 there is no table of it.
            let text = fs::read_to_string(format!("{folder}/net/{table}")).unwrap_or_default();
            for fields in text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
                if fields[3] == state && sockets.contains(&format!("socket:[{}]", fields[9])) {
                    found.insert(address(fields[1]));
                }
            }
        }
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// As the system writes it: words of four bytes, each with its lowest one first, then the port.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let word = |at: usize| u32::from_str_radix(&ip[at..at + 8], 16).unwrap().swap_bytes();
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from_bits(word(0))),
        _ => {
            let words = [word(0), word(8), word(16), word(24)];
            IpAddr::V6(Ipv6Addr::from_bits(words.into_iter().fold(0, |all, word| all << 32 | u128::from(word))))
        }
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

/// It listens where it says, and nowhere else; only on this machine.
fn check((running, said): &(Running, Vec<SocketAddr>), ports: usize) {
    let found = running.listens();
    assert_eq!(found, said.iter().copied().collect(), "it says where");
    assert_eq!(found.len(), ports);
    assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
}

#[test]
fn only_this_machine_is_spoken_to() {
    let folder = folder();
    let here = folder.path();
    // Ports are the test's, so that it disturbs nobody; the addresses are the defaults.
    let usual = succeed(here, "serve --check").stdout;
    assert!(usual.contains("listen         127.0.0.1:50051\nmetrics        nowhere\n"), "{usual}");
    check(&Running::start(here, "serve --listen 127.0.0.1:0 --model dna", "unspool is ready on "), 1);
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_speaks_to_this_machine_alone() {
    let folder = folder();
    let here = folder.path();
    let help = succeed(here, "cluster scheduler --help").stdout;
    assert!(help.contains("[default: 127.0.0.1:50050]"), "{help}");
    let scheduler = Running::start(here, "cluster scheduler --listen 127.0.0.1:0", "unspool scheduler is ready on ");
    check(&scheduler, 1);
    let arguments = format!("cluster executor --scheduler http://{} --model dna", scheduler.1[0]);
    check(&Running::start(here, &arguments, "unspool executor is ready on "), 1);
}

#[test]
fn beyond_this_machine_only_if_asked_for() {
    let folder = folder();
    for (arguments, remedy) in [
        ("serve --listen 0.0.0.0:0", "--allow-insecure"),
        #[cfg(feature = "cluster")]
        ("cluster scheduler --listen 0.0.0.0:0", "--allow-insecure"),
        #[cfg(feature = "cluster")]
        ("cluster executor --scheduler http://127.0.0.1:9 --listen [::]:0", "--allow-insecure"),
    ] {
        let done = unspool(folder.path(), arguments);
        assert_eq!(done.code, Some(2), "{arguments}");
        assert!(done.stderr.contains(remedy), "{arguments}: {}", done.stderr);
    }
}
