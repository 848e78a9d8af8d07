//! TSF.

use unspool_ingest::tables::{Frequency, SeriesOptions, tsf_header};

use super::{conforms, count, data, read, write};

/// Checks what is read of series under a header.
fn check(header: &str, series: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("# a comment\n@relation test\n{header}@data\n{series}");
    for name in ["a.tsf", "a.tsf.gz"] {
        let path = write(&dir, name, text.as_bytes());
        for batch_rows in [1, 100] {
            let options = SeriesOptions { batch_rows, ..SeriesOptions::default() };
            let answer = read(std::slice::from_ref(&path), &options).unwrap_or_else(|error| format!("error: {error}"));
            let answer = answer.replace(&format!("{}/{name}", dir.path().display()), "a.tsf");
            assert_eq!(answer, expected, "{name} of\n{text}");
        }
    }
}

const NAMED: &str = "@attribute series_name string\n";
const DATED: &str = "@attribute series_name string\n@attribute start_timestamp date\n@frequency monthly\n";

#[test]
fn series_with_and_without_a_calendar() {
    check(NAMED, "a:1,?,3.5\r\n\n# c\nb:4", "a 0 1\na 1 -\na 2 3.5\nb 0 4");
    check("", "1,2\n3\n", "T1 0 1\nT1 1 2\nT2 0 3");
    check(
        DATED,
        "a:1979-01-31 00-00-00:1,2,3\nb:2000-02-01:7\n",
        "a 1979-01-31T00:00:00 1\na 1979-02-28T00:00:00 2\na 1979-03-31T00:00:00 3\nb 2000-02-01T00:00:00 7",
    );
    check("@attribute n numeric\n@attribute series_name string\n", "5:a:1\n", "a 0 1");
}

#[test]
fn rejects_say_where_and_why() {
    check(
        NAMED,
        "a:1,x,3,\nno values\n:1\na:7,8,9,10,11\n",
        "a 0 1\na 2 3\na 3 10\na 4 11\n\
         ! line 5: series 'a', value 2: 'x' is not a number\n\
         ! line 5: series 'a', value 4: an empty value (a missing one is '?')\n\
         ! line 6: 0 attributes where the header names 1\n\
         ! line 7: the series has no name\n\
         ! line 8: late: step 0 (series 'a' is already at step 2)\n\
         ! line 8: late: step 1 (series 'a' is already at step 2)\n\
         ! line 8: a second row at step 2 (series 'a' is already at step 2)",
    );
    check(
        DATED,
        "a:yesterday:1,2\nb:2020-01-01:1\n",
        "b 2020-01-01T00:00:00 1\n! line 7: the start 'yesterday' is not a time",
    );
    check(
        DATED,
        "a:9999-12-01:1\na:262142-12-01:1,2\n",
        "a 9999-12-01T00:00:00 1\n! line 8: the start '262142-12-01' is not a time",
    );
}

#[test]
fn damaged_headers() {
    for (header, expected) in [
        (
            "@attribute a\n",
            "error: a.tsf, line 3: an attribute has a name and a type ('@attribute series_name string')",
        ),
        ("@attribute a list\n", "error: a.tsf, line 3: the attribute type 'list' is neither string, numeric nor date"),
        ("@horizon ten\n", "error: a.tsf, line 3: the horizon 'ten' is no whole number"),
        ("@missing perhaps\n", "error: a.tsf, line 3: 'perhaps' is neither true nor false"),
        ("1,2,3\n", "error: a.tsf, line 3: a line that begins with neither '@' nor '#' before '@data'"),
        ("@horizon\n", "error: a.tsf, line 3: '@horizon' says nothing"),
    ] {
        check(header, "a:1\n", expected);
    }
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("@relation a\n@attribute series_name string\n", "line 3: the file ends before '@data'"),
        ("", "line 1: the file ends before '@data'"),
        ("@frequency often\n@data\n", "line 1: the frequency 'often' is not known"),
    ] {
        let error = read(&[write(&dir, "a.tsf", text.as_bytes())], &SeriesOptions::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn lines_of_ten_megabytes() {
    let dir = tempfile::tempdir().unwrap();
    let values = format!("@attribute series_name string\n@data\na:{}1\n", "7,".repeat(5 << 20));
    assert_eq!(count(&[write(&dir, "a.tsf", values.as_bytes())], &SeriesOptions::default()), ((5 << 20) + 1, 0));
    let junk =
        format!("@attribute series_name string\n@data\n{}\nb:{}\nc:1\n", "7".repeat(10 << 20), "7".repeat(10 << 20));
    assert_eq!(count(&[write(&dir, "b.tsf", junk.as_bytes())], &SeriesOptions::default()), (1, 2));
}

#[tokio::test]
async fn the_contract_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "@relation x\n{DATED}@data\na:2020-01-01:1,?,x,4\n\n# c\nbad\nb:nope:1\na:2020-03-01:1,2,3\nc:2020-01-01:1\n"
    );
    let more = format!("{DATED}@data\na:2020-05-01:1,2,3\nd:2020-01-01:5");
    let (a, b) = (write(&dir, "a.tsf", text.as_bytes()), write(&dir, "b.tsf.gz", more.as_bytes()));
    conforms(std::slice::from_ref(&a), &SeriesOptions::default(), &[1, 2, 3, 100]).await;
    conforms(&[b.clone(), a.clone()], &SeriesOptions::default(), &[1, 2, 3, 100]).await;
    conforms(&[a, b], &SeriesOptions::default(), &[1, 2, 3, 100]).await;
}

#[test]
fn real_files() {
    for (name, rows, horizon, frequency) in [
        ("benchmark/nn5_daily.tsf", Some(111 * 791), 56, "daily"),
        ("benchmark/hospital.tsf", Some(767 * 84), 12, "monthly"),
        ("benchmark/covid_deaths.tsf", Some(266 * 212), 30, "daily"),
        ("benchmark/us_births.tsf", Some(7_305), 30, "daily"),
        ("benchmark/m4_hourly.tsf.gz", None, 48, "hourly"),
        ("extra/nngc1_quarterly.tsf", None, 0, "quarterly"),
    ] {
        let Some(path) = data(name) else { continue };
        let header = tsf_header(&path).unwrap();
        assert_eq!((header.horizon, header.frequency), (Some(horizon), frequency.parse::<Frequency>().ok()), "{name}");
        let (there, rejects) = count(&[path], &SeriesOptions::default());
        assert_eq!((rows.unwrap_or(there), rejects), (there, 0), "{name}");
        assert!(there > 0, "{name}");
    }
}
