//! A schema registry of Confluent's kind: numbers to schemas.

use std::time::Duration;

use serde::Deserialize;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub kind: String,
    /// Its text.
    pub text: String,
}

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAddress {
    /// `http://HOST:PORT`, or `https://`.
    pub url: String,
    /// User and password, if it asks for them.
    pub user: Option<(String, String)>,
}

/// Why there is no schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is none of that number: what names it is a bad record.
    #[error("the registry has no schema {0}")]
    Unknown(u32),
    /// It refuses this client.
    #[error("the schema registry at {url} refuses: {problem}; check its user and password")]
    Refused {
        /// Where it was asked.
        url: String,
        /// What it said.
        problem: String,
    },
    /// It does not answer, or not as a registry does: it may again.
    #[error("the schema registry at {url} does not answer: {problem}")]
    Away {
        /// Where it was asked.
        url: String,
        /// What went wrong.
        problem: String,
    },
}

/// Asks a registry. Answers are not kept here: each number is asked for once by whoever decodes.
pub struct Registry {
    address: RegistryAddress,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<serde_json::Value>,
}

impl Registry {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(address: RegistryAddress) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        Self { address, agent: config.build().into() }
    }

    /// The schema of a number.
    ///
    /// # Errors
    /// [`RegistryError`]: that of a number unknown is the record's fault, the others are not.
    pub fn schema(&self, id: u32) -> Result<Schema, RegistryError> {
        let url = format!("{}/schemas/ids/{id}", self.address.url.trim_end_matches('/'));
        let away = |problem: String| RegistryError::Away { url: self.address.url.clone(), problem };
        let mut ask = self.agent.get(&url);
        if let Some((user, password)) = &self.address.user {
            ask = ask.header("Authorization", basic(user, password));
        }
        let mut answer = ask.call().map_err(|e| away(e.to_string()))?;
        match answer.status().as_u16() {
            200 => (),
            404 => return Err(RegistryError::Unknown(id)),
            code @ (401 | 403) => {
                let (url, problem) = (self.address.url.clone(), format!("status {code}"));
                return Err(RegistryError::Refused { url, problem });
            }
            code => return Err(away(format!("status {code}"))),
        }
        let body = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string();
        let body = body.map_err(|e| away(e.to_string()))?;
        let answer: Answer =
            serde_json::from_str(&body).map_err(|e| away(format!("an answer of another kind: {e}")))?;
        if !answer.references.is_empty() {
            let problem = format!("schema {id} refers to other schemas: give it whole");
            return Err(RegistryError::Refused { url: self.address.url.clone(), problem });
        }
        Ok(Schema { kind: answer.schema_type.unwrap_or_else(|| "AVRO".into()), text: answer.schema })
    }
}

/// The header of RFC 7617.
fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{user}:{password}").into_bytes();
    let mut text = String::from("Basic ");
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// A registry that answers one question, and gives back what it was asked.
    fn answer(status: &str, body: &str) -> (RegistryAddress, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                asked.push_str(&(line + "\n"));
            }
            stream.write_all(reply.as_bytes()).unwrap();
            asked
        });
        (RegistryAddress { url, user: Some(("me".into(), "secret?".into())) }, thread)
    }

    #[test]
    fn answers_of_a_registry() {
        let check = |status: &str, body: &str, expected: Result<(&str, &str), &str>| {
            let (address, thread) = answer(status, body);
            let found = Registry::new(address).schema(7);
            let asked = thread.join().unwrap();
            assert!(asked.starts_with("GET /schemas/ids/7 HTTP/1.1"), "{asked}");
            assert!(asked.to_lowercase().contains("authorization: basic"), "{asked}");
            assert!(asked.contains("bWU6c2VjcmV0Pw=="), "{asked}");
            match (found, expected) {
                (Ok(schema), Ok((kind, text))) => assert_eq!((&schema.kind[..], &schema.text[..]), (kind, text)),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        };
        check("200 OK", r#"{"schema":"\"long\""}"#, Ok(("AVRO", "\"long\"")));
        check("200 OK", r#"{"schema":"x","schemaType":"PROTOBUF"}"#, Ok(("PROTOBUF", "x")));
        check("200 OK", r#"{"schema":"x","references":[{}]}"#, Err("refers to other schemas"));
        check("200 OK", "<html>", Err("an answer of another kind"));
        check("404 Not Found", "{}", Err("the registry has no schema 7"));
        check("401 Unauthorized", "{}", Err("check its user and password"));
        check("500 Oh", "{}", Err("does not answer: status 500"));
        let closed = RegistryAddress { url: "http://127.0.0.1:1".into(), user: None };
        assert!(matches!(Registry::new(closed).schema(7), Err(RegistryError::Away { .. })));
    }
}
