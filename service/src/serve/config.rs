//! The one validated form of all settings: flags, then environment, then file, then defaults.

pub(crate) mod file;
mod limits;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use unspool_model::{Device, RunOptions, Weights, cpu::CpuOptions};

use self::file::{File, TlsFile};
pub(crate) use self::limits::Limits;
use super::{
    args::{LogFormat, ServeArgs},
    tenant::Tenants,
};
use crate::error::{Error, Result};

/// What `unspool serve` runs on.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where gRPC is spoken.
    pub(crate) listen: SocketAddr,
    /// Where metrics and probes are answered.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Where sessions are kept; `None`: in memory.
    pub(crate) data_dir: Option<PathBuf>,
    /// Built-in models by name, and directories.
    pub(crate) models: Vec<String>,
    /// Where models may be loaded from later.
    pub(crate) models_dir: Option<PathBuf>,
    pub(crate) device: Device,
    pub(crate) weights: Weights,
    /// 0: all cores.
    pub(crate) threads: usize,
    pub(crate) tls: Option<TlsFile>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) limits: Limits,
    /// Who may call; none: everyone, as one tenant.
    pub(crate) tenants: Tenants,
}

impl Config {
    /// Makes one of what was typed, the environment, and the file.
    ///
    /// # Errors
    /// When the file is not understood, or settings do not go together: the line says which and what would be right.
    pub(crate) fn new(args: ServeArgs) -> Result<Self> {
        let file = args.config.as_deref().map_or_else(|| Ok(File::default()), File::read)?;
        let tls = match (args.tls_cert, args.tls_key) {
            (Some(cert), Some(key)) => Some(TlsFile { cert, key, client_ca: args.tls_client_ca }),
            _ => file.tls,
        };
        let listen = args.listen.or(file.listen).unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)));
        let models = if args.model.is_empty() { file.model } else { args.model };
        let config = Self {
            listen,
            metrics_listen: args.metrics_listen.or(file.metrics_listen),
            data_dir: args.data_dir.or(file.data_dir),
            models: if models.is_empty() { super::registry::BUILT_IN.map(str::to_owned).to_vec() } else { models },
            models_dir: args.models_dir.or(file.models_dir),
            device: args.device.or(file.device).unwrap_or_default(),
            weights: args.weights.or(file.weights).unwrap_or_default(),
            threads: usize::from(args.threads.or(file.threads).unwrap_or(0)),
            tls,
            otlp_endpoint: args.otlp_endpoint.or(file.otlp_endpoint),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            limits: Limits::new(&file.limits, file.tenants.len())?,
            tenants: Tenants::new(&file.tenants)?,
        };
        config.check_exposure(args.allow_insecure || file.allow_insecure.unwrap_or(false))?;
        Ok(config)
    }

    /// How models run.
    pub(crate) fn run_options(&self) -> RunOptions {
        let cpu = CpuOptions { threads: self.threads, ..CpuOptions::default() };
        RunOptions { device: self.device, weights: self.weights, cpu, pool_bytes: self.limits.gpu_state_bytes }
    }

    /// Beyond this machine: encrypted, and with tokens or client certificates, unless asked for otherwise.
    fn check_exposure(&self, allow_insecure: bool) -> Result<()> {
        if allow_insecure || self.listen.ip().is_loopback() {
            return Ok(());
        }
        let refuse = |what: &str, remedy: &str| {
            let listen = self.listen;
            Err(Error::Usage(format!(
                "listening on {listen} {what}: {remedy}, listen on 127.0.0.1, or say --allow-insecure"
            )))
        };
        match &self.tls {
            None => refuse("in plain text", "give --tls-cert and --tls-key"),
            Some(tls) if self.tenants.is_open() && tls.client_ca.is_none() => {
                refuse("for everyone", "give [[tenants]] with tokens, or --tls-client-ca")
            }
            Some(_) => Ok(()),
        }
    }

    /// What `--check` prints: no secrets.
    pub(crate) fn describe(&self) -> String {
        let path =
            |path: &Option<PathBuf>, none: &str| path.as_ref().map_or(none.to_owned(), |p| p.display().to_string());
        let tls = match &self.tls {
            None => "off: plain text".to_owned(),
            Some(tls) => {
                format!("{}, client certificates {}", tls.cert.display(), path(&tls.client_ca, "not asked for"))
            }
        };
        let metrics = self.metrics_listen.map_or("nowhere".to_owned(), |addr| addr.to_string());
        let lines = [
            ("listen", self.listen.to_string()),
            ("metrics", metrics),
            ("sessions", path(&self.data_dir, "in memory only")),
            ("models", self.models.join(", ")),
            ("models folder", path(&self.models_dir, "none")),
            ("device", self.device.to_string()),
            ("weights", self.weights.to_string()),
            ("tls", tls),
            ("tenants", self.tenants.describe()),
            ("traces", self.otlp_endpoint.clone().unwrap_or_else(|| "not sent".into())),
            ("limits", format!("{:?}", self.limits).replace("Limits ", "")),
        ];
        lines.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:14} {value}");
            text
        })
    }
}
