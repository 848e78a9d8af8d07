//! BCF version 2: records of typed values (VCF specification, chapter 6).

mod typed;

use std::{borrow::Cow, collections::VecDeque};

use self::typed::Typed;
use super::{
    header::{self, Header, InfoKind, MAX_HEADER_BYTES},
    info::{Value, Wanted},
    site::{Site, check_alternative, check_reference},
};
use crate::{Place, Result, reads::input::Input};

/// Bytes of a record's fixed part, after its two lengths.
const HEAD_BYTES: usize = 24;
/// The bits of a QUAL that is missing.
const MISSING_FLOAT: u32 = 0x7f80_0001;

/// Reads magic bytes and header.
///
/// # Errors
/// When it is damaged.
pub(super) fn header(input: &mut Input) -> Result<Header> {
    let mut head = vec![];
    if input.read_into(&mut head, 9)? < 9 {
        return Err(input.invalid(Place::Whole, "the file ends within the header".into()));
    }
    let length = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(input.invalid(Place::Whole, format!("a header of {length} bytes cannot be: the file is damaged")));
    }
    let mut text = vec![];
    if input.read_into(&mut text, length)? < length {
        return Err(input.invalid(Place::Whole, format!("the file ends within its header of {length} bytes")));
    }
    let end = memchr::memchr(0, &text).unwrap_or(length);
    let mut lines: VecDeque<&[u8]> = text[..end].split(|b| *b == b'\n').collect();
    header::read(input, |_, line| {
        let next = lines.pop_front();
        line.extend_from_slice(next.unwrap_or_default().trim_ascii_end());
        Ok(next.is_some())
    })
}

/// Reads a record's bytes but for its lengths and samples; `false` at the end of the file.
pub(super) fn read(input: &mut Input, bytes: &mut Vec<u8>, most: usize) -> Result<bool> {
    let place = input.place();
    let Some((shared, samples)) = lengths(input, bytes, most)? else { return Ok(false) };
    bytes.clear();
    if input.read_into(bytes, shared)? == shared && skip(input, samples)? {
        return Ok(true);
    }
    Err(input.invalid(place, "the file ends within a record".into()))
}

/// The two lengths before a record, which `bytes` are used for; `None` at the end of the file.
fn lengths(input: &mut Input, bytes: &mut Vec<u8>, most: usize) -> Result<Option<(usize, usize)>> {
    let place = input.place();
    let read = input.read_into(bytes, 8)?;
    let Some((shared, samples)) = bytes.split_first_chunk::<4>().filter(|_| read == 8) else {
        let problem = format!("the file ends after {read} of the 8 bytes of a record's lengths");
        return if read == 0 { Ok(None) } else { Err(input.invalid(place, problem)) };
    };
    let samples = samples.first_chunk().map_or(0, |four| u32::from_le_bytes(*four) as usize);
    let shared = u32::from_le_bytes(*shared) as usize;
    if shared < HEAD_BYTES || shared.saturating_add(samples) > most {
        let problem = format!(
            "a record of {shared} and {samples} bytes cannot be (at least {HEAD_BYTES}, together at most {most}): the \
             file is damaged here"
        );
        return Err(input.invalid(place, problem));
    }
    Ok(Some((shared, samples)))
}

/// Passes over a record's samples.
fn skip(input: &mut Input, mut bytes: usize) -> Result<bool> {
    while bytes > 0 {
        let at_hand = input.fill()?.len();
        if at_hand == 0 {
            return Ok(false);
        }
        let taken = at_hand.min(bytes);
        input.consume(taken);
        bytes -= taken;
    }
    Ok(true)
}

/// Contig, first base (0-based) and bases covered, as far as the record says them.
pub(super) fn place<'a>(bytes: &[u8], header: &'a Header) -> Option<(&'a [u8], (u64, u64))> {
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let contig = header.contig(usize::try_from(number(head, 0)).ok()?)?;
    let [start, covered] = [number(head, 4), number(head, 8)].map(|n| u64::try_from(n).unwrap_or(0));
    Some((contig.as_bytes(), (start, covered)))
}

/// A number of a record's fixed part.
fn number(head: &[u8; HEAD_BYTES], at: usize) -> i32 {
    i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// A record's shared part.
pub(super) fn parse<'a>(bytes: &'a [u8], header: &'a Header, wanted: &[Wanted]) -> Result<Site<'a>, String> {
    let Some((head, mut rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(format!("{} bytes are no record", bytes.len()));
    };
    let number = |at: usize| number(head, at);
    let contig = usize::try_from(number(0)).ok().and_then(|contig| header.contig(contig));
    let contig = contig.ok_or_else(|| format!("contig number {} is not in the header", number(0)))?;
    let position = match number(4) {
        -1 => None,
        position => Some(u64::try_from(position).map_err(|_| format!("position {position} (0-based)"))?),
    };
    let quality = number(12).cast_unsigned();
    let quality = (quality != MISSING_FLOAT).then(|| f32::from_bits(quality));
    let [fields, alleles] = [u16::from_le_bytes([head[16], head[17]]), u16::from_le_bytes([head[18], head[19]])];
    let id = Typed::read(&mut rest)?.text("ID")?;
    let mut each = (0..alleles).map(|_| Typed::read(&mut rest)?.text("an allele"));
    let reference = each.next().transpose()?.ok_or("a record without a reference allele")?;
    let alternatives = each.collect::<Result<Vec<_>, _>>()?;
    check_reference(reference)?;
    alternatives.iter().try_for_each(|allele| check_alternative(allele))?;
    let filters = Typed::read(&mut rest)?.integers("FILTER")?;
    let name = |filter: &Option<i32>| {
        let name = filter.and_then(|filter| usize::try_from(filter).ok()).and_then(|filter| header.name(filter));
        name.ok_or_else(|| format!("filter number {filter:?} is not in the header"))
    };
    let filters = filters.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    let mut info = vec![Value::Missing; wanted.len()];
    for _ in 0..fields {
        let key = Typed::read(&mut rest)?.integers("the key of an INFO field")?;
        let [Some(key)] = key[..] else { return Err("an INFO field without a key".into()) };
        let name = usize::try_from(key).ok().and_then(|key| header.name(key));
        let name = name.ok_or_else(|| format!("INFO field number {key} is not in the header"))?;
        let value = Typed::read(&mut rest)?;
        if let Some(at) = wanted.iter().position(|wanted| wanted.name == name) {
            info[at] = field(&wanted[at], &value)?;
        }
    }
    let id = (!matches!(id, "" | ".")).then_some(id);
    let filters = (!filters.is_empty()).then_some(filters);
    Ok(Site { contig, position, id, reference, alternatives, quality, filters, info })
}

/// A field's values.
fn field(wanted: &Wanted, value: &Typed<'_>) -> Result<Value, String> {
    let name = &wanted.name;
    let value = match wanted.field.kind {
        InfoKind::Flag => Value::Flag,
        InfoKind::Integer => Value::Integers(value.integers(name)?),
        InfoKind::Float => Value::Floats(value.floats(name)?),
        InfoKind::Text => {
            // In VCF's form: values of text have commas between.
            let text: Cow<'_, str> = value.text(name)?.into();
            return wanted.parse(Some(if text.is_empty() { "." } else { &text }));
        }
    };
    match &value {
        Value::Integers(values) if values.is_empty() => Ok(Value::Missing),
        Value::Floats(values) if values.is_empty() => Ok(Value::Missing),
        _ => wanted.check(value),
    }
}
