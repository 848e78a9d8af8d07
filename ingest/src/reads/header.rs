//! The header of SAM files, checked line by line (SAM specification, section 1.3).
//!
//! What names the references must be right, or the records mean nothing: such a fault is an error. Any other fault (a
//! read group's platform, say) costs no record: the line becomes a reject, and reading goes on.

mod field;
mod group;
mod reference;
mod top;

use std::collections::{HashMap, HashSet};

use self::field::Fields;
pub(super) use self::reference::{MAX_LENGTH, check_name};

/// A reference sequence that records are aligned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: Vec<u8>,
    pub(super) length: u64,
}

/// The references, by number and by name.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    list: Vec<Reference>,
    numbers: HashMap<Vec<u8>, usize>,
}

impl References {
    /// Adds one.
    ///
    /// # Errors
    /// When there is one of that name.
    pub(super) fn add(&mut self, reference: Reference) -> Result<(), String> {
        let name = reference.name.clone();
        if self.numbers.insert(name, self.list.len()).is_some() {
            return Err(format!("there are two references '{}'", String::from_utf8_lossy(&reference.name)));
        }
        self.list.push(reference);
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[Reference] {
        &self.list
    }

    /// The name of a reference as its header writes it, if it has one of that name.
    pub(super) fn number(&self, name: &[u8]) -> Option<usize> {
        self.numbers.get(name).copied()
    }
}

/// What is wrong with a header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line number, 1-based.
    pub(super) line: u64,
    pub(super) reason: String,
    /// Records cannot be read with it.
    pub(super) fatal: bool,
    /// The line itself.
    pub(super) text: Vec<u8>,
}

/// Checks header lines one after the other.
#[derive(Debug, Default)]
pub(super) struct Header {
    references: References,
    /// Other names of references, with their line.
    alternatives: Vec<(u64, Vec<u8>)>,
    read_groups: HashSet<Vec<u8>>,
    programs: HashSet<Vec<u8>>,
    /// Programs named as the one before another, with their line.
    previous: Vec<(u64, Vec<u8>)>,
    lines: u64,
    faults: Vec<Fault>,
}

impl Header {
    /// Takes the next line, without its end.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.lines += 1;
        let references = text.starts_with(b"@SQ");
        if let Err(reason) = self.check(text) {
            self.faults.push(Fault { line: self.lines, reason, fatal: references, text: text.to_vec() });
        }
    }

    /// The references and all faults, once there are no more lines.
    pub(super) fn finish(mut self) -> (References, Vec<Fault>) {
        let mut late = vec![];
        let mut names = HashSet::new();
        for (line, name) in &self.alternatives {
            if self.references.number(name).is_some() || !names.insert(name) {
                late.push((*line, "the alternative name", name, "is another reference's name too"));
            }
        }
        for (line, name) in &self.previous {
            if !self.programs.contains(name) {
                late.push((*line, "the previous program", name, "has no @PG line"));
            }
        }
        for (line, what, name, how) in late {
            let reason = format!("{what} '{}' {how}", String::from_utf8_lossy(name));
            self.faults.push(Fault { line, reason, fatal: false, text: name.clone() });
        }
        self.faults.sort_by_key(|fault| fault.line);
        (self.references, self.faults)
    }

    /// Checks one line and notes what it defines.
    fn check(&mut self, text: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(text).map_err(|_| "the line is not UTF-8")?;
        if text == "@CO" || text.starts_with("@CO\t") {
            return Ok(());
        }
        let (kind, rest) = text.split_at_checked(3).ok_or("the line is too short")?;
        let fields = Fields::parse(rest)?;
        match kind {
            "@HD" => top::check(&fields, self.lines),
            "@SQ" => self.add_reference(&fields),
            "@RG" => {
                group::check_read_group(&fields)?;
                let id = fields.required("ID")?;
                unique(&mut self.read_groups, id, "read group")
            }
            "@PG" => {
                let id = fields.required("ID")?;
                self.previous.extend(fields.get("PP").map(|name| (self.lines, name.as_bytes().to_vec())));
                unique(&mut self.programs, id, "program")
            }
            _ => Err(format!("there are no '{}' lines", kind.escape_default())),
        }
    }

    fn add_reference(&mut self, fields: &Fields<'_>) -> Result<(), String> {
        self.references.add(reference::identity(fields)?)?;
        let faults = reference::check_rest(fields);
        match faults {
            Ok(alternatives) => {
                self.alternatives.extend(alternatives.into_iter().map(|name| (self.lines, name)));
            }
            // The reference can be used: only the line's other fields are wrong.
            Err(reason) => self.faults.push(Fault { line: self.lines, reason, fatal: false, text: vec![] }),
        }
        Ok(())
    }
}

/// Notes an ID that must be the only one of its kind.
fn unique(ids: &mut HashSet<Vec<u8>>, id: &str, what: &str) -> Result<(), String> {
    if ids.insert(id.as_bytes().to_vec()) { Ok(()) } else { Err(format!("there are two {what}s '{id}'")) }
}

#[cfg(test)]
mod tests;
