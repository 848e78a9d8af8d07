//! Which columns of a table hold the series: as named, else by convention.

use std::{collections::HashMap, path::Path};

use super::{SeriesOptions, paths};

/// Names that a series' id goes by.
const IDS: [&str; 4] = ["id", "series_id", "unique_id", "item_id"];
/// Names that time goes by.
const TIMES: [&str; 5] = ["time", "timestamp", "ds", "date", "datetime"];
/// Names that the value goes by.
const VALUES: [&str; 3] = ["value", "y", "target"];
/// Names of columns that only number the rows.
const ROW_NUMBERS: [&str; 3] = ["", "rownames", "unnamed: 0"];

/// Places of the columns, 0-based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The series' id; `None`: one series a file.
    pub(super) id: Option<usize>,
    /// Time; `None`: rows are numbered.
    pub(super) time: Option<usize>,
    /// The values.
    pub(super) values: Vec<usize>,
    /// Whether each value column is a series of its own, named after it.
    pub(super) wide: bool,
    /// The id of all rows, where a `key=value` folder names it.
    pub(super) constant_id: Option<String>,
    /// Those that are read beside.
    pub(super) keep: Vec<Keep>,
}

/// Where a column that is read beside comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// A column of the file.
    Column(usize),
    /// The same text for all rows: that of a `key=value` folder, or none where the file has no such column.
    Same(Option<String>),
}

/// Chooses the columns of a table; `numeric` says of each whether it may be a value. A column that is not there may be
/// named by a `key=value` folder that the file at `path` lies in.
///
/// # Errors
/// What is wrong, with the columns that there are.
pub(super) fn choose(
    (names, numeric): (&[String], &[bool]),
    options: &SeriesOptions,
    path: &Path,
) -> Result<Columns, String> {
    let folder = |name: &str| if names.iter().any(|there| there == name) { None } else { paths::partition(path, name) };
    let constant_id = options.id.as_deref().and_then(folder);
    let id = match constant_id {
        Some(_) => None,
        None => named_or(names, options.id.as_deref(), &IDS, "id")?,
    };
    let keep = options.keep.iter().map(|name| match folder(name) {
        Some(text) => Ok(Keep::Same(Some(text))),
        None if options.union && !names.contains(name) => Ok(Keep::Same(None)),
        None => find(names, name, "kept").map(Keep::Column),
    });
    let keep = keep.collect::<Result<Vec<_>, String>>()?;
    let time = named_or(names, options.time.as_deref(), &TIMES, "time")?;
    if id.is_some() && id == time {
        return Err(format!("column '{}' cannot be both id and time", names[id.unwrap_or_default()]));
    }
    let kept = |i| keep.contains(&Keep::Column(i));
    let others =
        || (0..names.len()).filter(|&i| Some(i) != id && Some(i) != time && !kept(i) && !is_row_number(&names[i]));
    let wide = options.values.len() > 1 || options.values.iter().any(|name| name == "*");
    let values = match &options.values[..] {
        [] => vec![by_convention(names, numeric, others().collect())?],
        [all] if all == "*" => others().filter(|&i| numeric[i]).collect(),
        named => named.iter().map(|name| find(names, name, "value")).collect::<Result<_, _>>()?,
    };
    if values.is_empty() {
        return Err(format!("no column of numbers is left for the values; {}", there_are(names)));
    }
    if let Some(&both) = values.iter().find(|&&value| Some(value) == id || Some(value) == time) {
        return Err(format!("column '{}' cannot be a value and also id or time", names[both]));
    }
    let mut seen = HashMap::new();
    for &value in &values {
        match seen.insert(&names[value], value) {
            Some(before) if before == value => return Err(format!("value column '{}' is named twice", names[value])),
            Some(_) => return Err(format!("there are two columns '{}'; rename one", names[value])),
            None => {}
        }
    }
    Ok(Columns { id, time, values, wide, constant_id, keep })
}

/// The column of a name.
pub(super) fn find(names: &[String], name: &str, role: &str) -> Result<usize, String> {
    let mut found = names.iter().enumerate().filter(|(_, there)| *there == name).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column),
        (Some(_), Some(_)) => Err(format!("there are two columns '{name}'; rename one")),
        (None, _) => Err(format!("there is no {role} column '{name}'; {}", there_are(names))),
    }
}

/// The column named, else the first of the conventional names that there is.
pub(super) fn named_or(
    names: &[String],
    named: Option<&str>,
    conventional: &[&str],
    role: &str,
) -> Result<Option<usize>, String> {
    match named {
        Some(name) => find(names, name, role).map(Some),
        None => Ok(conventional.iter().find_map(|c| names.iter().position(|name| name.eq_ignore_ascii_case(c)))),
    }
}

/// The columns that there are, for errors.
pub(super) fn there_are(names: &[String]) -> String {
    let mut shown = names.iter().take(50).map(|name| super::value::shown(name)).collect::<Vec<_>>().join(", ");
    if names.len() > 50 {
        shown.push_str(&format!(", … ({} in all)", names.len()));
    }
    format!("the columns are: {shown}")
}

/// The value column where none is named: by its name, or the only column of numbers.
fn by_convention(names: &[String], numeric: &[bool], others: Vec<usize>) -> Result<usize, String> {
    let named = VALUES.iter().find_map(|c| others.iter().find(|&&i| names[i].eq_ignore_ascii_case(c)));
    if let Some(&value) = named {
        return Ok(value);
    }
    let numbers: Vec<usize> = others.into_iter().filter(|&i| numeric[i]).collect();
    match numbers[..] {
        [value] => Ok(value),
        [] => Err(format!("no column of numbers is left for the value; {}", there_are(names))),
        _ => Err(format!(
            "several columns could be the value: name one, several, or '*' for each as a series; {}",
            there_are(names)
        )),
    }
}

/// Whether a column only numbers the rows, by its name.
fn is_row_number(name: &str) -> bool {
    ROW_NUMBERS.iter().any(|r| name.eq_ignore_ascii_case(r))
}
