//! VCF: a record a line.

use super::{
    header::{self, COLUMNS, Header, MAX_HEADER_BYTES},
    info::{Value, Wanted},
    site::{Site, check_alternative, check_contig, check_reference, shown},
};
use crate::{Result, reads::input::Input};

/// Reads the header's lines.
///
/// # Errors
/// When one is wrong or the last is missing.
pub(super) fn header(input: &mut Input) -> Result<Header> {
    let mut left = MAX_HEADER_BYTES;
    header::read(input, |input, line| {
        let more = input.read_line(line, left)?;
        left -= line.len();
        Ok(more)
    })
}

/// Contig, first base (0-based) and bases covered, as far as the line says them.
pub(super) fn place(line: &[u8]) -> Option<(&[u8], (u64, u64))> {
    let mut columns = line.split(|b| *b == b'\t');
    let contig = columns.next()?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let position = number(columns.next()?)?;
    let reference = columns.nth(1)?.len() as u64;
    // A symbolic allele reaches to END.
    let symbolic = columns.next()?.contains(&b'<');
    let info = columns.nth(2)?;
    let mut fields = info.split(|b| *b == b';').filter_map(|field| field.strip_prefix(b"END="));
    let end = if symbolic { fields.next().and_then(number) } else { None };
    let covered = end.and_then(|end| end.saturating_add(1).checked_sub(position)).unwrap_or(reference);
    Some((contig, (position.saturating_sub(1), covered.max(reference))))
}

/// The first eight columns of a line.
pub(super) fn parse<'a>(line: &'a [u8], header: &Header, wanted: &[Wanted]) -> Result<Site<'a>, String> {
    let columns = memchr::memchr_iter(b'\t', line).count() + 1;
    if columns != header.columns {
        return Err(format!("{columns} columns where the header has {}", header.columns));
    }
    let mut texts = [""; COLUMNS.len()];
    for ((text, bytes), name) in texts.iter_mut().zip(line.split(|b| *b == b'\t')).zip(COLUMNS) {
        *text = std::str::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
        if text.is_empty() || text.contains(' ') && name != "INFO" {
            return Err(format!("{} is empty or has a space in it", name.trim_start_matches('#')));
        }
    }
    let [contig, position, id, reference, alternatives, quality, filters, info] = texts;
    let position: u64 = position.parse().map_err(|_| format!("POS '{}' is no number", shown(position)))?;
    check_contig(contig)?;
    check_reference(reference)?;
    let alternatives: Vec<&str> = if alternatives == "." { vec![] } else { alternatives.split(',').collect() };
    alternatives.iter().try_for_each(|allele| check_alternative(allele))?;
    let quality = match quality {
        "." => None,
        _ => Some(quality.parse().map_err(|_| format!("QUAL '{}' is no number", shown(quality)))?),
    };
    let filters: Option<Vec<&str>> = (filters != ".").then(|| filters.split(';').collect());
    if let Some(filters) = &filters
        && filters.iter().any(|filter| filter.is_empty() || *filter == "0")
    {
        return Err("FILTER has an empty name, or the reserved one '0'".into());
    }
    Ok(Site {
        contig,
        position: position.checked_sub(1),
        id: (id != ".").then_some(id),
        reference,
        alternatives,
        quality,
        filters,
        info: fields(info, wanted)?,
    })
}

/// The values of the fields asked for.
fn fields(info: &str, wanted: &[Wanted]) -> Result<Vec<Value>, String> {
    let mut values = vec![Value::Missing; wanted.len()];
    if info == "." {
        return Ok(values);
    }
    for item in info.split(';') {
        let (key, text) = item.split_once('=').map_or((item, None), |(key, text)| (key, Some(text)));
        if key.is_empty() {
            // Files that end INFO with a semicolon are common, and lose nothing.
            if text.is_none() {
                continue;
            }
            return Err(format!("INFO has a value without a name: '{}'", shown(item)));
        }
        let Some(at) = wanted.iter().position(|wanted| wanted.name == key) else { continue };
        if values[at] != Value::Missing {
            return Err(format!("INFO {key} stands twice"));
        }
        values[at] = wanted[at].parse(text)?;
    }
    Ok(values)
}
