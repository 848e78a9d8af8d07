//! Reads a configuration's keys, and says which one is wrong.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// Parses JSON as Python writes it: `Infinity`, `-Infinity` and `NaN` may stand where a value is expected. They become
/// `{"__float__": "Infinity"}`, which is how newer versions of transformers write them.
///
/// # Errors
/// When the text is not a JSON object.
pub fn parse(text: &str, file: &Path) -> Result<Map<String, Value>> {
    match serde_json::from_str(&tag_floats(text)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(problem(file, format!("expected a JSON object, found {}", kind(&other)))),
        Err(error) => Err(problem(file, format!("not valid JSON: {error}"))),
    }
}

/// An error about a configuration file.
pub fn problem(file: &Path, problem: String) -> Error {
    Error::Config { path: file.to_owned(), problem }
}

/// Replaces Python's bare floats outside of strings.
fn tag_floats(text: &str) -> String {
    let mut tagged = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'I', 'N', '-']) {
        tagged.push_str(&rest[..at]);
        rest = &rest[at..];
        let bare = ["Infinity", "-Infinity", "NaN"].into_iter().find(|name| rest.starts_with(name));
        let len = match bare {
            Some(name) => name.len(),
            None if rest.starts_with('"') => string_len(rest),
            None => 1,
        };
        match bare {
            Some(name) => tagged.push_str(&format!(r#"{{"__float__": "{name}"}}"#)),
            None => tagged.push_str(&rest[..len]),
        }
        rest = &rest[len..];
    }
    tagged + rest
}

/// Length of the JSON string that the text begins with, both quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The keys of one object in a configuration file. A key with the value `null` counts as missing.
pub struct Keys<'a> {
    file: &'a Path,
    within: &'static str,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Keys<'a> {
    /// The keys of the whole file.
    pub fn new(file: &'a Path, object: &'a Map<String, Value>) -> Self {
        Self { file, within: "", object: Some(object) }
    }

    /// The keys of an inner object; none where it is missing.
    pub fn inner(&self, key: &'static str) -> Result<Self> {
        let object = match self.get(key) {
            None => None,
            Some(Value::Object(object)) => Some(object),
            Some(other) => return Err(self.wrong(key, "an object", other)),
        };
        Ok(Self { file: self.file, within: key, object })
    }

    /// A key's value.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// The first key that is not among those known.
    pub fn unknown(&self, known: &[&str]) -> Option<&'a String> {
        self.object?.keys().find(|key| !known.contains(&key.as_str()))
    }

    /// A whole number from 1 to `limit`, or the default where there is one.
    pub fn size(&self, key: &str, limit: usize, default: Option<usize>) -> Result<usize> {
        self.whole(key, (1, limit), default)
    }

    /// A whole number in a closed interval, or the default where there is one.
    pub fn whole(&self, key: &str, (low, high): (usize, usize), default: Option<usize>) -> Result<usize> {
        let expected = || format!("a whole number from {low} to {high}");
        let Some(value) = self.get(key) else { return default.ok_or_else(|| self.missing(key, &expected())) };
        let whole = value.as_u64().and_then(|number| usize::try_from(number).ok());
        whole.filter(|number| (low..=high).contains(number)).ok_or_else(|| self.wrong(key, &expected(), value))
    }

    /// true or false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(key, "true or false", other)),
        }
    }

    /// A number greater than 0.
    pub fn positive(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => {
                let number = float(value).filter(|number| *number > 0.0 && number.is_finite());
                number.ok_or_else(|| self.wrong(key, "a number greater than 0", value))
            }
        }
    }

    /// The epsilon of a norm.
    pub fn epsilon(&self, key: &str, default: f64) -> Result<f32> {
        Ok(self.positive(key, default)? as f32)
    }

    /// `[low, high]`, 0 <= low <= high; by default from 0 to infinity.
    pub fn limits(&self, key: &str) -> Result<(f32, f32)> {
        let Some(value) = self.get(key) else { return Ok((0.0, f32::INFINITY)) };
        let ends = value.as_array().map(|ends| ends.iter().map(float).collect::<Option<Vec<f64>>>());
        match ends.flatten().as_deref() {
            Some(&[low, high]) if low >= 0.0 && low.is_finite() && low <= high => Ok((low as f32, high as f32)),
            _ => Err(self.wrong(key, "two numbers, 0 <= low <= high", value)),
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a text", other)),
        }
    }

    /// A rank of dt: a whole number, or "auto" (also where missing) for `ceil(d / 16)`.
    pub fn rank(&self, key: &str, d: usize, limit: usize) -> Result<usize> {
        match self.get(key) {
            Some(Value::String(auto)) if auto == "auto" => Ok(d.div_ceil(16)),
            Some(other) if !other.is_u64() => Err(self.wrong(key, "a whole number or \"auto\"", other)),
            _ => self.size(key, limit, Some(d.div_ceil(16))),
        }
    }

    /// `expand * d` in whole channels; expand may be a fraction.
    pub fn expanded(&self, key: &str, d: usize, limit: usize) -> Result<usize> {
        let d_in = self.positive(key, 2.0)? * d as f64;
        if (1.0..=limit as f64).contains(&d_in) {
            return Ok(d_in as usize);
        }
        let name = self.name(key);
        Err(self.problem(format!("{name}: the inner width {d_in} = expand * {d} is not from 1 to {limit}")))
    }

    /// An error about the file.
    pub fn problem(&self, text: String) -> Error {
        problem(self.file, text)
    }

    /// A key has a wrong value.
    pub fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        self.problem(format!("{}: expected {expected}, found {}", self.name(key), short(found)))
    }

    fn missing(&self, key: &str, expected: &str) -> Error {
        self.problem(format!("{} is missing: expected {expected}", self.name(key)))
    }

    fn name(&self, key: &str) -> String {
        if self.within.is_empty() { format!("'{key}'") } else { format!("'{}.{key}'", self.within) }
    }
}

/// A number, infinity included.
fn float(value: &Value) -> Option<f64> {
    match value.get("__float__").and_then(Value::as_str) {
        Some("Infinity") => Some(f64::INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value for an error's text, cut at 40 characters.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
