//! The attributes of GFF3 (`key=value;key=value`) and GTF (`key "value"; key "value";`).

use std::borrow::Cow;

use super::FeatureFormat;

/// Splits attributes into keys and values as written.
///
/// # Errors
/// With the first one that is none.
pub(super) fn parse(text: &str, format: FeatureFormat) -> Result<Vec<(&str, Cow<'_, str>)>, String> {
    if matches!(text, "." | "") {
        return Ok(vec![]);
    }
    let items: Vec<&str> = if format == FeatureFormat::Gtf { split_quoted(text) } else { text.split(';').collect() };
    let items = items.into_iter().map(str::trim).filter(|item| !item.is_empty());
    let pair = |item| {
        let pair = match format {
            FeatureFormat::Gtf => gtf(item),
            _ => str::split_once(item, '=').map(|(key, value)| (key, decoded(value))),
        };
        let shown = || item.chars().take(40).collect::<String>().escape_debug().to_string();
        pair.filter(|(key, _)| !key.is_empty()).ok_or_else(|| format!("attribute '{}' is no key with a value", shown()))
    };
    items.map(pair).collect()
}

/// The value of a key; of a key that stands several times (as GTF's `tag`) all of them, commas between.
pub(super) fn get<'a>(pairs: &[(&str, Cow<'a, str>)], wanted: &str) -> Option<Cow<'a, str>> {
    let mut values = pairs.iter().filter(|(key, _)| *key == wanted).map(|(_, value)| value.clone());
    let first = values.next()?;
    Some(values.fold(first, |all, value| Cow::Owned(format!("{all},{value}"))))
}

/// At the semicolons that stand outside of quotes.
fn split_quoted(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
    .collect()
}

fn gtf(item: &str) -> Option<(&str, Cow<'_, str>)> {
    let (key, value) = item.split_once(char::is_whitespace)?;
    let value = value.trim();
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some((key, Cow::Borrowed(inner.unwrap_or(value))))
}

/// GFF3's percent signs decoded.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(crate::percent::decoded(text))
}
