//! CSV.

use unspool_ingest::tables::SeriesOptions;

use super::{conforms, count, data, read, write};

/// Checks what is read of a text with options.
fn check(text: &str, options: &SeriesOptions, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["stem.csv", "stem.csv.gz"] {
        let path = write(&dir, name, text.as_bytes());
        let answer = read(&[path], options).unwrap_or_else(|error| format!("error: {error}"));
        let answer = answer.replace(&format!("{}/", dir.path().display()), "").replace("csv.gz", "csv");
        assert_eq!(answer, expected, "{name} of\n{text}");
    }
}

fn named(values: &[&str]) -> SeriesOptions {
    SeriesOptions { values: values.iter().map(|v| (*v).to_owned()).collect(), ..SeriesOptions::default() }
}

#[test]
fn rows_by_convention() {
    for (text, expected) in [
        ("id,time,value\na,1,2\nb,1,3.5\na,2,\n", "a 1 2\nb 1 3.5\na 2 -"),
        (
            "\u{feff}timestamp;value\r\n2020-01-01 00:00:00;1\r\n2020-01-01 00:05:00;NA\r\n",
            "stem 2020-01-01T00:00:00 1\nstem 2020-01-01T00:05:00 -",
        ),
        ("value\n3\n4\n", "stem 0 3\nstem 1 4"),
        ("1.5\n2.5", "stem 0 1.5\nstem 1 2.5"),
        ("unique_id\tds\ty\n\"a\tb\"\t2020/01/02\t-1e3\n", "a\tb 2020-01-02T00:00:00 -1000"),
        ("Date,rownames,Open\n2020-01,1,7\n", "stem 2020-01-01T00:00:00 7"),
        ("id,time,value\n", ""),
        ("id,value\nid,1\n", "id 0 1"),
        ("id,time,value\n\n\"multi\nline\",1,2\n", "multi\nline 1 2"),
    ] {
        check(text, &SeriesOptions::default(), expected);
    }
}

#[test]
fn rejects_say_where_and_why() {
    check(
        "id,time,value\na,1,x\na,2,1\na,2,2\na,1,3\n,3,1\na,,1\na,z,1\na,3\na,4,inf\n\"q\n\",1,y\nb,1,1",
        &SeriesOptions::default(),
        "a 2 1\nb 1 1\n\
         ! line 2: column 'value': 'x' is not a number\n\
         ! line 4: a second row at step 2 (series 'a' is already at step 2)\n\
         ! line 5: late: step 1 (series 'a' is already at step 2)\n\
         ! line 6: the id is empty\n\
         ! line 7: the time is missing\n\
         ! line 8: 'z' is not a time (known: a whole number, as the times before)\n\
         ! line 9: 2 fields where there are 3 columns\n\
         ! line 10: column 'value': 'inf' is not finite\n\
         ! lines 11 to 12 (in quotes): column 'value': 'y' is not a number",
    );
    check(
        "value\n1\n2,2\n3\n",
        &SeriesOptions::default(),
        "stem 0 1\nstem 2 3\n! line 3: 2 fields where there are 1 columns",
    );
    check(
        "u,v\n1,2\n3\n5,6\n",
        &named(&["*"]),
        "u 0 1\nv 0 2\nu 2 5\nv 2 6\n! line 3: 1 fields where there are 2 columns",
    );
    check(
        &format!("id,value\n{},1\nb,2\n", "a".repeat(5000)),
        &SeriesOptions::default(),
        "b 0 2\n! line 2: the id is longer than 4096 bytes",
    );
    check(
        "value\n1\n2\nx\n4\n5\n6\n7\n8\n9\n10\n11\n",
        &SeriesOptions { batch_rows: 3, ..SeriesOptions::default() },
        "stem 0 1\nstem 1 2\nstem 3 4\nstem 4 5\nstem 5 6\nstem 6 7\nstem 7 8\nstem 8 9\nstem 9 10\nstem 10 11\n\
         ! line 4: column 'value': 'x' is not a number",
    );
}

#[test]
fn wide_tables() {
    let text = "date,a,b\n2020-01-01,1,2\n2020-01-02,x,4\n";
    check(text, &named(&["b"]), "stem 2020-01-01T00:00:00 2\nstem 2020-01-02T00:00:00 4");
    check(
        text,
        &named(&["a", "b"]),
        "a 2020-01-01T00:00:00 1\nb 2020-01-01T00:00:00 2\nb 2020-01-02T00:00:00 4\n\
        ! line 3: column 'a': 'x' is not a number",
    );
    check("id,a,b\ns,1,2\ns,3,4\n", &named(&["*"]), "s/a 0 1\ns/b 0 2\ns/a 1 3\ns/b 1 4");
    check("0.5,0.25\n1,2\n", &named(&["*"]), "column_1 0 0.5\ncolumn_2 0 0.25\ncolumn_1 1 1\ncolumn_2 1 2");
}

#[test]
fn errors_list_the_columns() {
    for (text, options, expected) in [
        (
            "date,a,b\n2020-01-01,1,2\n",
            SeriesOptions::default(),
            "error: stem.csv: several columns could be the value: name one, several, or '*' for each as a series; the columns are: date, a, b",
        ),
        ("a,b\n1,2\n", named(&["c"]), "error: stem.csv: there is no value column 'c'; the columns are: a, b"),
        (
            "time,value\n1949,2\n1949.25,3\n1949.5,3\n",
            SeriesOptions::default(),
            "error: stem.csv: the time column 'time' holds '1949.25', which is no time (known: RFC 3339, \
             YYYY-MM-DD[ HH:MM[:SS[.f]]], YYYY/MM/DD[ HH:MM[:SS[.f]]], YYYY-MM, YYYY, or a whole number (a step)); \
             name another; the columns are: time, value",
        ),
        ("a,a\n1,2\n", named(&["a"]), "error: stem.csv: there are two columns 'a'; rename one"),
        ("a,a\n1,2\n", named(&["*"]), "error: stem.csv: there are two columns 'a'; rename one"),
        ("a,b\n1,2\n", named(&["a", "a"]), "error: stem.csv: value column 'a' is named twice"),
        // The row is no header: it is not lost without a word.
        (
            "a,5\na,6\n",
            SeriesOptions { id: Some("name".into()), ..SeriesOptions::default() },
            "error: stem.csv: there is no id column 'name'; the columns are: column_1, column_2",
        ),
        (
            "a,b\nx,y\n",
            SeriesOptions::default(),
            "error: stem.csv: no column of numbers is left for the value; the columns are: a, b",
        ),
        ("", SeriesOptions::default(), "error: stem.csv: the file is empty: there is not even a header"),
        (
            "id,value\na,1\nb,1\nc,1\n",
            SeriesOptions { max_series: 2, ..SeriesOptions::default() },
            "error: stem.csv, line 4: more than 2 series: raise the limit or split the input",
        ),
        (
            "time,value\n1.5,2\n",
            SeriesOptions::default(),
            "error: stem.csv: the time column 'time' holds '1.5', which is no time (known: RFC 3339, \
          YYYY-MM-DD[ HH:MM[:SS[.f]]], YYYY/MM/DD[ HH:MM[:SS[.f]]], YYYY-MM, YYYY, or a whole number (a step)); \
          name another; the columns are: time, value",
        ),
    ] {
        check(text, &options, expected);
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let text = "id,time,value\r\na,1,x\r\na,2,1\r\nb,1,3\r\na,2,2\r\na,3,\r\nb,0,1\r\n\r\nb,9,9\r\na,4,1";
    let headless = "0.5\n2\n3\n4\n";
    for (name, text) in [("a.csv", text), ("b.csv.gz", text), ("c.csv", headless)] {
        conforms(&[write(&dir, name, text.as_bytes())], &SeriesOptions::default(), &[1, 2, 3, 100]).await;
    }
    let more = "time,id,value\n5,a,1\n10,b,1\n3,a,1\n";
    let both = [write(&dir, "a.csv", text.as_bytes()), write(&dir, "d.csv.gz", more.as_bytes())];
    conforms(&both, &SeriesOptions::default(), &[1, 2, 3, 100]).await;
}

#[test]
fn several_files_are_one_stream() {
    let dir = tempfile::tempdir().unwrap();
    let first = write(&dir, "a.csv", b"time,value\n1,1\n2,2\n");
    let second = write(&dir, "b.csv", b"value,time\n3,1\n");
    let third = write(&dir, "c.csv", b"time,value\n2020-01-01,1\n");
    assert_eq!(read(&[first.clone(), second], &SeriesOptions::default()).unwrap(), "a 1 1\na 2 2\nb 1 3");
    let error = read(&[first, third], &SeriesOptions::default()).unwrap_err().to_string();
    assert!(
        error.contains("c.csv: its times are of kind Timestamp, those of") && error.contains("a.csv Step"),
        "{error}"
    );
}

#[test]
fn damaged_and_hostile_files() {
    let dir = tempfile::tempdir().unwrap();
    let long = vec![b'7'; 10 << 20];
    let mut quote = b"time,value\n1,\"".to_vec();
    quote.resize(10 << 20, b'\n');
    let cases: &[(&[u8], &str)] = &[
        (b"\x00\x01\x02junk", "no format that is read"),
        (b"\xff\xfea\0,\0b\0", "UTF-16"),
        (b"\n\n\n", "empty"),
        (&long, "line 1: a row of more than"),
        (&quote, "line 2: a row of more than"),
    ];
    for (bytes, expected) in cases {
        let error = read(&[write(&dir, "a.csv", bytes)], &SeriesOptions::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let whole = std::fs::read(write(&dir, "b.csv.gz", "time,value\n1,2\n".repeat(9).as_bytes())).unwrap();
    let cut = write(&dir, "cut.csv", &whole[..whole.len() - 9]);
    let error = read(&[cut], &SeriesOptions::default()).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
}

#[test]
fn real_files() {
    for (name, options, rows) in [
        ("benchmark/ETTh1.csv", named(&["*"]), 7 * 17_420),
        ("benchmark/exchange_rate.txt.gz", named(&["*"]), 8 * 7_588),
        ("anomaly/NAB/realKnownCause/machine_temperature_system_failure.csv", SeriesOptions::default(), 22_683),
        ("anomaly/NAB/realTraffic/speed_7578.csv", SeriesOptions::default(), 1_127),
    ] {
        let Some(path) = data(name) else { continue };
        let (there, rejects) = count(&[path], &options);
        assert_eq!(there, rows, "{name}, {rejects} rejects");
    }
}
#[test]
fn each_line_of_nab_is_a_row_or_a_reject() {
    let Some(root) = data("anomaly/NAB") else { return };
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "csv")).collect();
    assert_eq!(files.len(), 58);
    for path in files {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let (rows, rejects) = count(std::slice::from_ref(&path), &SeriesOptions::default());
        assert_eq!(rows + rejects, lines - 1, "{}", path.display());
        assert!(
            rejects <= 12,
            "{}: {rejects} rejects, though only rows around changes of the clock repeat",
            path.display()
        );
    }
}
