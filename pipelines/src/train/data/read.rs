//! The folder of real series: what is in it, and what of it may be trained on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::Float64Type,
};
use unspool_ingest::{
    Decode, Error,
    tables::{self, SeriesOptions},
};

use super::DataError;
use crate::train::split::held_out;

/// The column that numbers the rows of R's data sets.
const ROW_NUMBERS: &str = "rownames";

/// The series that are not held out, by files; missing values are NaN.
///
/// `*.tsf` and `*.tsf.gz` of the folder, a file each; and the `*.csv` of the folder and of each folder in it, which
/// count as one file in the order of their names.
///
/// # Errors
/// When the folder or a file cannot be read, or a value of one.
pub(super) fn training_series(folder: &Path) -> Result<Vec<Vec<Vec<f64>>>, DataError> {
    let (files, folders): (Vec<_>, Vec<_>) = entries(folder)?.into_iter().partition(|path| !path.is_dir());
    let mut kept = vec![];
    for path in files.iter().filter(|path| has_end(path, &[".tsf", ".tsf.gz"])) {
        let series = series(path)?.into_iter().enumerate();
        kept.push(series.filter(|(i, _)| !held_out(name(path), *i)).map(|(_, series)| series).collect());
    }
    let mut lists = vec![files];
    for inner in &folders {
        lists.push(entries(inner)?);
    }
    for list in lists {
        let (mut index, mut of_list) = (0, vec![]);
        for path in list.iter().filter(|path| has_end(path, &[".csv"])) {
            for series in series(path)? {
                if !held_out(name(path), index) {
                    of_list.push(series);
                }
                index += 1;
            }
        }
        kept.push(of_list);
    }
    Ok(kept)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let refused = |source| DataError::Folder { path: folder.to_owned(), source };
    let listed: Result<Vec<PathBuf>, _> =
        fs::read_dir(folder).map_err(refused)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = listed.map_err(refused)?;
    paths.sort();
    Ok(paths)
}

/// The file's name, without its folder.
fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn has_end(path: &Path, ends: &[&str]) -> bool {
    ends.iter().any(|end| name(path).ends_with(end))
}

/// Opens a file by its rows' numbers where it has them, else by its times: in R's data sets these may be fractions of
/// years, which are no times here.
fn open(path: &Path) -> Result<Box<dyn Decode>, unspool_ingest::Error> {
    let numbered = SeriesOptions { time: Some(ROW_NUMBERS.into()), ..SeriesOptions::default() };
    match tables::decoder(&[path.to_owned()], &numbered) {
        Err(Error::Request { .. }) => tables::decoder(&[path.to_owned()], &SeriesOptions::default()),
        opened => opened,
    }
}

/// The series of a file, in its order.
fn series(path: &Path) -> Result<Vec<Vec<f64>>, DataError> {
    let mut decoder = open(path)?;
    let mut all: Vec<Vec<f64>> = vec![];
    let mut id = None;
    while let Some(batch) = decoder.decode()? {
        // A series less would shift the numbers of those after it, by which they are held out.
        if let Some(reject) = batch.rejects.into_iter().next() {
            return Err(DataError::Rejected { place: reject.place, reason: reject.reason });
        }
        let ids = batch.rows.column(0).as_string::<i32>();
        let values = batch.rows.column(2).as_primitive::<Float64Type>();
        for row in 0..batch.rows.num_rows() {
            if id.as_deref() != Some(ids.value(row)) {
                id = Some(ids.value(row).to_owned());
                all.push(vec![]);
            }
            if let Some(series) = all.last_mut() {
                series.push(if values.is_null(row) { f64::NAN } else { values.value(row) });
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of two TSF files (one of a competition), a CSV file, and more of them in an inner folder; their values tell them apart.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let tsf = |name: &str, base: usize| {
            let lines: Vec<String> =
                (0..7).map(|i| format!("s{i}:{},?,{}", base + 10 * i, base + 10 * i + 1)).collect();
            let text = format!("@attribute series_name string\n@frequency monthly\n@data\n{}\n", lines.join("\n"));
            fs::write(dir.path().join(name), text).unwrap();
        };
        tsf("a.tsf", 1000);
        tsf("nngc1_daily.tsf", 2000);
        fs::create_dir(dir.path().join("classic")).unwrap();
        for i in 0..6 {
            let text = format!("rownames,time,value\n1,1949,{0}\n2,1949.08333333333,{0}\n", 3000 + i);
            fs::write(dir.path().join(format!("classic/{i}.csv")), text).unwrap();
        }
        fs::write(dir.path().join("z.csv"), "week,y\n3,4000\n5,?\n").unwrap();
        fs::write(dir.path().join("README.md"), "no series").unwrap();
        dir
    }

    #[test]
    fn held_out_series_are_left_out() {
        let dir = folder();
        let kept = training_series(dir.path()).unwrap();
        let firsts: Vec<Vec<f64>> = kept.iter().map(|file| file.iter().map(|series| series[0]).collect()).collect();
        let expected = [
            vec![1000., 1010., 1020., 1030., 1050., 1060.],
            vec![],
            vec![4000.],
            vec![3000., 3001., 3002., 3003., 3005.],
        ];
        assert_eq!(firsts, expected);
        assert!(kept[0][2][1].is_nan() && kept[0][2][2] == 1021.0);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let dir = folder();
        let check = |expected: &[&str]| {
            let error = training_series(dir.path()).unwrap_err().to_string();
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        };
        fs::write(dir.path().join("b.tsf"), "@frequency often\n@data\n1,2\n").unwrap();
        check(&["b.tsf", "line 1"]);
        fs::write(dir.path().join("b.tsf"), "@frequency daily\n@data\n1,2\n1,x\n").unwrap();
        check(&["b.tsf, line 4", "'x'"]);
        fs::remove_dir_all(dir.path()).unwrap();
        check(&["No such file", "real"]);
    }
}
