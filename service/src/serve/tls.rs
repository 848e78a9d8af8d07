//! TLS and mutual TLS.

use std::{error::Error as _, fs, path::Path};

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::config::file::TlsFile;
use crate::error::{Error, Result};

/// Reads the certificates and the key.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn config(files: &TlsFile) -> Result<ServerTlsConfig> {
    let read = |path: &Path| fs::read(path).map_err(|source| Error::Io { path: path.into(), source });
    let identity = Identity::from_pem(read(&files.cert)?, read(&files.key)?);
    let config = ServerTlsConfig::new().identity(identity);
    match &files.client_ca {
        Some(ca) => Ok(config.client_ca_root(Certificate::from_pem(read(ca)?))),
        None => Ok(config),
    }
}

/// The certificates and the key do not go together, or are damaged.
pub(crate) fn refused(files: &TlsFile, error: &tonic::transport::Error) -> Error {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    Error::Usage(format!("tls: {} and {}: {why}", files.cert.display(), files.key.display()))
}
