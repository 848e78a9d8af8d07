//! What was typed after `unspool serve`; `config` makes it, with the file and the defaults, into what runs.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use unspool_model::{Device, Weights};

/// `unspool serve`. Every flag may also be an environment variable or stand in the file; the flag wins, then the variable.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// A TOML file of settings
    #[arg(long, value_name = "FILE", env = "UNSPOOL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen for gRPC; port 0: any free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", env = "UNSPOOL_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to answer /metrics, /livez and /readyz over HTTP [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "UNSPOOL_METRICS_LISTEN", hide_env_values = true)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Where sessions are kept [default: in memory only; they end with the server]
    #[arg(long, value_name = "DIR", env = "UNSPOOL_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A model's directory, or series-3, series-1 or dna-1 for a built-in one; may be repeated [default: series-3 and series-1]
    #[arg(long, value_name = "NAME|DIR", env = "UNSPOOL_MODEL", hide_env_values = true, value_delimiter = ',')]
    pub(crate) model: Vec<String>,
    /// The folder that ModelService.LoadModel may load from [default: none]
    #[arg(long, value_name = "DIR", env = "UNSPOOL_MODELS_DIR", hide_env_values = true)]
    pub(crate) models_dir: Option<PathBuf>,
    /// Where to compute: auto (the first NVIDIA card, else the CPU), cpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE", env = "UNSPOOL_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<Device>,
    /// Type of the weights: f32 or, on a GPU, bf16 [default: f32]
    #[arg(long, value_name = "TYPE", env = "UNSPOOL_WEIGHTS", hide_env_values = true)]
    pub(crate) weights: Option<Weights>,
    /// Threads that compute [default: all cores]
    #[arg(long, value_name = "N", env = "UNSPOOL_THREADS", hide_env_values = true)]
    pub(crate) threads: Option<u16>,
    /// The server's certificate chain, PEM
    #[arg(long, value_name = "FILE", env = "UNSPOOL_TLS_CERT", hide_env_values = true, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", env = "UNSPOOL_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Clients must show a certificate signed by one of these, PEM
    #[arg(long, value_name = "FILE", env = "UNSPOOL_TLS_CLIENT_CA", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Speak plain text, and without tokens, beyond this machine too
    #[arg(long, env = "UNSPOOL_ALLOW_INSECURE", hide_env_values = true)]
    pub(crate) allow_insecure: bool,
    /// Send traces to this OTLP endpoint over gRPC, such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "UNSPOOL_OTLP_ENDPOINT", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// How to write the log, to standard error [default: text]
    #[arg(long, value_enum, env = "UNSPOOL_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// Check the settings, print them, and end
    #[arg(long)]
    pub(crate) check: bool,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
