//! Who calls: tenants and their tokens.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use unspool_pipelines::{Owner, store::Key};

use super::{
    config::file::TenantFile,
    rate::{Rate, TooFast},
};
use crate::error::{Error, Result};

/// The name of the one tenant of a server without tokens.
pub(crate) const ANYONE: &str = "anyone";

/// Someone who may call.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// In the log and the metrics; its sessions belong to the name.
    pub(crate) name: String,
    /// The name, as the store has it.
    stored: Arc<[u8]>,
    /// The scheduler's key.
    pub(crate) owner: Owner,
    /// May load and unload models.
    pub(crate) admin: bool,
    /// Sessions at once, at most.
    pub(crate) sessions: u64,
    /// Events of a request, at most.
    pub(crate) request_events: usize,
    requests: Option<Rate>,
    events: Option<Rate>,
}

/// A token's SHA-256.
type Hash = [u8; 32];

/// All tenants, by the hashes of their tokens: the tokens themselves are nowhere.
#[derive(Debug)]
pub(crate) struct Tenants {
    all: Vec<Arc<Tenant>>,
    /// Empty: everyone is the first tenant.
    by_token: HashMap<Hash, Arc<Tenant>>,
}

impl Tenants {
    /// What the file says; nothing: one tenant, which everyone is.
    ///
    /// # Errors
    /// When a name or token is given twice, a name is empty, a hash is none, or a tenant has no token.
    pub(crate) fn new(file: &[TenantFile]) -> Result<Self> {
        let refuse = |name: &str, problem: &str| Err(Error::Usage(format!("tenants: '{name}' {problem}")));
        let (mut all, mut by_token, mut names) = (vec![], HashMap::new(), HashSet::new());
        for (number, one) in file.iter().enumerate() {
            let fits = one.name.len() <= 128 && one.name.bytes().all(|b| b.is_ascii_graphic());
            if one.name.is_empty() || !fits {
                return refuse(&one.name, "is no name: 1 to 128 visible ASCII characters are needed");
            }
            if !names.insert(&one.name) {
                return refuse(&one.name, "is named twice");
            }
            if one.token_sha256.is_empty() {
                return refuse(&one.name, "has no token_sha256");
            }
            let tenant = Arc::new(Tenant::new(number as u64, one)?);
            for text in &one.token_sha256 {
                let Some(hash) = parse(text) else {
                    return refuse(&one.name, "has a token_sha256 that is not 64 hexadecimal digits");
                };
                if by_token.insert(hash, Arc::clone(&tenant)).is_some() {
                    return refuse(&one.name, "has a token that is given twice");
                }
            }
            all.push(tenant);
        }
        if all.is_empty() {
            all.push(Arc::new(Tenant::anyone()));
        }
        Ok(Self { all, by_token })
    }

    /// No token is asked for.
    pub(crate) fn is_open(&self) -> bool {
        self.by_token.is_empty()
    }

    /// The tenant of an `authorization` header; `None`: nobody may come in with it.
    ///
    /// Looked up by hash: how long that takes tells nothing of any token.
    pub(crate) fn find(&self, authorization: Option<&str>) -> Option<Arc<Tenant>> {
        if self.is_open() {
            return self.all.first().cloned();
        }
        let (scheme, token) = authorization?.split_once(' ')?;
        let hash: Hash = Sha256::digest(token.trim()).into();
        self.by_token.get(&hash).filter(|_| scheme.eq_ignore_ascii_case("bearer")).cloned()
    }

    /// Their names, for people.
    pub(crate) fn describe(&self) -> String {
        if self.is_open() {
            return "no tokens: everyone".into();
        }
        self.all.iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Tenant {
    fn new(number: u64, file: &TenantFile) -> Result<Self> {
        let rate = |name: &str, per_s: Option<f64>| match per_s {
            Some(per_s) if !(per_s > 0.0 && per_s.is_finite()) => {
                Err(Error::Usage(format!("tenants: '{}': {name} must be more than 0", file.name)))
            }
            per_s => Ok(per_s.map(Rate::new)),
        };
        Ok(Self {
            name: file.name.clone(),
            stored: file.name.as_bytes().into(),
            owner: Owner(number),
            admin: file.admin,
            sessions: file.sessions.unwrap_or(u64::MAX),
            request_events: file.request_events.unwrap_or(usize::MAX),
            requests: rate("requests_per_s", file.requests_per_s)?,
            events: rate("events_per_s", file.events_per_s)?,
        })
    }

    fn anyone() -> Self {
        Self {
            name: ANYONE.into(),
            stored: ANYONE.as_bytes().into(),
            owner: Owner(0),
            admin: true,
            sessions: u64::MAX,
            request_events: usize::MAX,
            requests: None,
            events: None,
        }
    }

    /// The name of one of its sessions: no other tenant's is the same.
    pub(crate) fn key(&self, id: &str) -> Key {
        Key { owner: Arc::clone(&self.stored), id: id.into() }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// When the tenant makes too many.
    pub(crate) fn request(&self) -> Result<(), TooFast> {
        self.requests.as_ref().map_or(Ok(()), |rate| rate.take(1.0))
    }

    /// Counts events.
    ///
    /// # Errors
    /// When the tenant sends too many.
    pub(crate) fn events(&self, events: usize) -> Result<(), TooFast> {
        self.events.as_ref().map_or(Ok(()), |rate| rate.take(events as f64))
    }
}

fn parse(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
