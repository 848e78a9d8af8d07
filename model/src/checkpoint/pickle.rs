//! A pickled dictionary of tensors, read by candle's pickle machine, which builds values and executes nothing.
//!
//! The machine is run one operation at a time, so that a hostile file cannot make it panic, nest values deeper than a
//! stack allows, or copy values until memory is full.

use std::collections::HashMap;

use candle_core::pickle::{Object, Stack};

/// Values may nest this deep.
const MAX_DEPTH: usize = 500;
/// The machine may copy this many values (its memo copies; a published file needs about 10,000).
const MAX_COPIES: usize = 1 << 20;
/// Characters of the machine's own error that are passed on.
const MAX_ERROR: usize = 120;

/// Where PyTorch stored a tensor.
pub struct Stored {
    /// PyTorch's class of storage, as in `FloatStorage`.
    pub class: String,
    /// Its key in the archive.
    pub storage: String,
    /// The first element.
    pub offset: usize,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements from one to the next along each axis.
    pub strides: Vec<usize>,
}

/// The tensors of a pickled dictionary.
///
/// # Errors
/// When the bytes are no pickle, or hold anything but a dictionary of tensors.
pub fn state_dict(pickle: &[u8]) -> Result<Vec<(String, Stored)>, String> {
    let Object::Dict(items) = run(pickle)? else { return Err("expected a dictionary of tensors".into()) };
    let is_tensor = |(name, _): &(Object, Object)| *name != Object::Unicode("_metadata".into()); // of torch.nn.Module
    items.into_iter().filter(is_tensor).map(item).collect()
}

fn item((name, value): (Object, Object)) -> Result<(String, Stored), String> {
    let Object::Unicode(name) = name else { return Err("a name in the dictionary is not a text".into()) };
    match stored(value) {
        Some(stored) => Ok((name, stored)),
        None => Err(format!("'{name}' is not a tensor; expected a dictionary of tensors")),
    }
}

/// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...)`, or a parameter around it.
fn stored(value: Object) -> Option<Stored> {
    let (function, args) = value.reduce().ok()?;
    let Object::Class { module_name, class_name } = function else { return None };
    let mut args = args.tuple().ok()?.into_iter();
    match (module_name.as_str(), class_name.as_str()) {
        ("torch._utils", "_rebuild_parameter") => stored(args.next()?),
        ("torch._utils", "_rebuild_tensor_v2") => {
            // ("storage", class, key, location, elements)
            let mut storage = args.next()?.persistent_load().ok()?.tuple().ok()?.into_iter();
            let class = storage.nth(1)?.class().ok()?.1;
            let key = storage.next()?.unicode().ok()?;
            let offset = whole(args.next()?)?;
            let shape = sizes(args.next()?)?;
            Some(Stored { class, storage: key, offset, shape, strides: sizes(args.next()?)? })
        }
        _ => None,
    }
}

fn sizes(value: Object) -> Option<Vec<usize>> {
    value.tuple().ok()?.into_iter().map(whole).collect()
}

fn whole(value: Object) -> Option<usize> {
    usize::try_from(value.int_or_long().ok()?).ok()
}

/// Runs the whole pickle and returns its value.
fn run(mut pickle: &[u8]) -> Result<Object, String> {
    let mut stack = Stack::empty();
    let mut guard = Guard::default();
    loop {
        let operation = Operation::next(pickle)?;
        guard.before(&operation, &stack)?;
        let stop = stack.read(&mut pickle).map_err(|error| first_line(&error.to_string()))?;
        if stop {
            return stack.finalize().map_err(|error| first_line(&error.to_string()));
        }
        guard.after(&operation, &stack)?;
    }
}

fn first_line(error: &str) -> String {
    format!("pickle: {}", error.lines().next().unwrap_or_default().chars().take(MAX_ERROR).collect::<String>())
}

/// What an operation does to the memo, if anything.
enum Operation {
    Put(u32),
    Get(u32),
    Proto,
    Other,
}

impl Operation {
    /// The next operation, after checking that the lengths in it are not greater than what is left.
    fn next(pickle: &[u8]) -> Result<Self, String> {
        let truncated = || "pickle: truncated".to_owned();
        let (&code, rest) = pickle.split_first().ok_or_else(truncated)?;
        let byte = || rest.first().copied().ok_or_else(truncated);
        let long = || rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(truncated);
        Ok(match code {
            b'q' => Self::Put(byte()?.into()),
            b'r' => Self::Put(long()?),
            b'h' => Self::Get(byte()?.into()),
            b'j' => Self::Get(long()?),
            0x80 => Self::Proto,
            b'X' if long()? as usize > rest.len() - 4 => return Err(truncated()),
            0x8a if byte()? > 8 => return Err("pickle: a whole number of more than 8 bytes".into()),
            _ => Self::Other,
        })
    }
}

/// Follows the machine's stack and memo: how deep each value is, and how many values were copied.
#[derive(Default)]
struct Guard {
    /// An upper bound of each stacked value's depth.
    depths: Vec<usize>,
    /// Of each value in the memo: its depth, and the values within it.
    memo: HashMap<u32, (usize, usize)>,
    copies: usize,
}

impl Guard {
    fn before(&mut self, operation: &Operation, stack: &Stack) -> Result<(), String> {
        let copied = match operation {
            Operation::Put(id) => {
                let values = stack.stack().last().map_or(0, values_within);
                self.memo.insert(*id, (self.depths.last().copied().unwrap_or(1), values));
                values
            }
            Operation::Get(id) => self.memo.get(id).map_or(0, |(_, values)| *values),
            _ => 0,
        };
        self.copies += copied;
        if self.copies > MAX_COPIES {
            return Err(format!("pickle: refers to more than {MAX_COPIES} values; not a dictionary of tensors"));
        }
        Ok(())
    }

    fn after(&mut self, operation: &Operation, stack: &Stack) -> Result<(), String> {
        if matches!(operation, Operation::Put(_) | Operation::Proto) {
            return Ok(());
        }
        let len = stack.stack().len();
        // A pushed value, or one made of all that was taken off the stack.
        let depth = match operation {
            Operation::Get(id) => self.memo.get(id).map_or(1, |(depth, _)| *depth),
            _ => 1 + self.depths.iter().skip(len.saturating_sub(1)).max().unwrap_or(&0),
        };
        self.depths.truncate(len.saturating_sub(1));
        self.depths.push(depth);
        if depth > MAX_DEPTH {
            return Err(format!("pickle: values nested more than {MAX_DEPTH} deep; not a dictionary of tensors"));
        }
        Ok(())
    }
}

/// Values within a value, itself included.
fn values_within(value: &Object) -> usize {
    1 + match value {
        Object::Tuple(items) | Object::List(items) => items.iter().map(values_within).sum(),
        Object::Dict(items) => items.iter().map(|(key, value)| values_within(key) + values_within(value)).sum(),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            values_within(callable) + values_within(args)
        }
        Object::PersistentLoad(id) => values_within(id),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
