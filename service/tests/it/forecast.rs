//! `unspool forecast` end to end.

use std::fs;

use arrow::{
    array::AsArray,
    datatypes::{Float64Type, TimestampMicrosecondType},
};

use crate::command::{folder, names, read, succeed, unspool};

#[test]
fn a_forecast_of_a_real_series() {
    let folder = folder();
    let done = succeed(folder.path(), "forecast nyc_taxi.csv --horizon 96 --output out.parquet");
    assert!(done.stderr.starts_with("96 rows to out.parquet, from 2,976 rows and 2,976 events in "), "{}", done.stderr);
    assert_eq!((done.stdout.as_str(), done.stderr.lines().count()), ("", 1));
    let (rows, metadata) = read(&folder.path().join("out.parquet"));
    let columns: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let expected = ["id", "time", "step", "q10", "q20", "q30", "q40", "q50", "q60", "q70", "q80", "q90"];
    assert_eq!((rows.num_rows(), columns), (96, expected.map(String::from).to_vec()));
    let times = rows["time"].as_primitive::<TimestampMicrosecondType>();
    // 2014-09-01T00:00, half an hour after the last row; and so on.
    assert_eq!((times.value(0), times.value(95) - times.value(94)), (1_409_529_600_000_000, 1_800_000_000));
    // Half of the next day is far below the other half; a forecast that knows the day's course says so.
    let median = rows["q50"].as_primitive::<Float64Type>();
    let hour = |hour: usize| median.value(2 * hour);
    assert!(hour(4) < 0.6 * hour(12), "4 o'clock: {}, noon: {}", hour(4), hour(12));
    assert!(median.iter().all(|value| value.is_some_and(|value| (0.0..50_000.0).contains(&value))));
    let value = |key: &str| metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(value("unspool.options.horizon"), Some("96"));
    assert_eq!(value("unspool.model.digest").map(str::len), Some(64));
}

#[test]
fn batches_never_change_a_byte() {
    let folder = folder();
    let mut files = vec![];
    for tokens in ["2048", "100", "1"] {
        let out = format!("out{tokens}.parquet");
        succeed(folder.path(), &format!("forecast nyc_taxi.csv --horizon 70 -o {out} --batch-tokens {tokens} -q"));
        files.push(fs::read(folder.path().join(out)).unwrap());
    }
    assert!(files[0] == files[1] && files[0] == files[2]);
}

#[test]
fn odd_series() {
    let folder = folder();
    let mut text = String::from("id,time,value\n");
    for day in 1..=28 {
        text += &format!("constant,2024-02-{day:02},5\nmissing,2024-02-{day:02},\nhuge,2024-02-{day:02},{day}e300\n");
    }
    text += "single,2024-02-01,7\nlate,2024-02-02,1\nlate,2024-02-01,1\n";
    fs::write(folder.path().join("odd.csv"), text).unwrap();
    let done = succeed(folder.path(), "forecast odd.csv --horizon 2 --output out.csv");
    let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let places: Vec<String> = lines[1..].iter().map(|line| line[..3].join(" ")).collect();
    let mut expected = vec![];
    for id in ["constant", "huge"] {
        expected.extend([format!("{id} 2024-02-29T00:00:00 1"), format!("{id} 2024-03-01T00:00:00 2")]);
    }
    // A single row takes the step of the other series.
    expected.extend(["single 2024-02-02T00:00:00 1".into(), "single 2024-02-03T00:00:00 2".into()]);
    expected.extend(["late 2024-02-03T00:00:00 1".into(), "late 2024-02-04T00:00:00 2".into()]);
    assert_eq!(places, expected);
    let numbers = lines[1..].iter().flat_map(|line| &line[3..]).map(|value| value.parse::<f64>().unwrap());
    assert!(numbers.into_iter().all(f64::is_finite), "{text}");
    assert_eq!(names(folder.path(), "out"), ["out.csv", "out.rejects.parquet"]);
    assert!(done.stderr.contains("2 rejected; all of them are in out.rejects.parquet\n"), "{}", done.stderr);
    assert!(done.stderr.contains("  series 'missing': it has no value, only missing ones\n"), "{}", done.stderr);
}

#[test]
fn without_an_output_rows_and_rejects_are_printed() {
    let folder = folder();
    fs::write(folder.path().join("two.csv"), "id,time,value\na,1,1\na,2,2\nb,1,\n").unwrap();
    let done = succeed(folder.path(), "forecast two.csv --horizon 1 --quiet");
    let places: Vec<_> =
        done.stdout.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(places, ["id,time,step", "a,3,1"]);
    assert_eq!(done.stderr, "rejected: series 'b': it has no value, only missing ones\n");
}

#[test]
fn the_horizon_of_a_tsf_file_is_the_default() {
    let folder = folder();
    let text = "@relation tiny\n@attribute series_name string\n@attribute start_timestamp date\n@frequency monthly\n@horizon 3\n\
                @data\nT1:2020-01-01 00-00-00:1,2,3,4,5,6,7,8,9,10,11,12,13,14\n";
    fs::write(folder.path().join("tiny.tsf"), text).unwrap();
    let text = succeed(folder.path(), "forecast tiny.tsf --quiet").stdout;
    let places: Vec<_> =
        text.lines().skip(1).map(|line| line.split(',').take(3).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(places, ["T1 2021-03-01T00:00:00 1", "T1 2021-04-01T00:00:00 2", "T1 2021-05-01T00:00:00 3"]);
}

#[test]
fn levels_are_chosen_from_those_of_the_model() {
    let folder = folder();
    fs::write(folder.path().join("one.csv"), "time,value\n1,1\n2,2\n3,4\n").unwrap();
    let all = succeed(folder.path(), "forecast one.csv --horizon 2 --quiet").stdout;
    let some = succeed(folder.path(), "forecast one.csv --horizon 2 --quiet --quantiles 0.9,0.1,0.5").stdout;
    let cut = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [0, 1, 2, 3, 7, 11].map(|at| cells[at]).join(",")
    };
    assert_eq!(some.lines().collect::<Vec<_>>(), all.lines().map(cut).collect::<Vec<_>>());
    let done = unspool(folder.path(), "forecast one.csv --horizon 2 --quantiles 0.25");
    let complaint =
        "unspool: the model forecasts no quantile 0.25: it has [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), complaint));
}

#[test]
fn a_page_of_plots() {
    let folder = folder();
    let mut text = String::from("id,time,value\n");
    for id in 0..14 {
        (1..40).for_each(|day| text += &format!("s{id},2024-02-{:02} {:02}:00,{}\n", 1 + day / 24, day % 24, day % 5));
    }
    fs::write(folder.path().join("many.csv"), text).unwrap();
    let titles = |arguments: &str| {
        let done = succeed(
            folder.path(),
            &format!("forecast many.csv --horizon 3 -q -o out.csv --overwrite --plot p.html {arguments}"),
        );
        let page = fs::read_to_string(folder.path().join("p.html")).unwrap();
        let titles = page.split("<figcaption>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
        assert_eq!(page.matches("<svg ").count(), page.matches("<figure>").count());
        assert!(page.contains("3 steps ahead by series-3 (") && page.contains("02-02 00:00"), "{page}");
        (titles.collect::<Vec<_>>(), done.stderr)
    };
    let (first, said) = titles("");
    assert_eq!((first, said.as_str()), ((0..12).map(|id| format!("s{id}")).collect(), ""));
    let (chosen, said) = titles("--plot-series s13,zzz,s2 --quantiles 0.5");
    assert_eq!(
        (chosen, said.as_str()),
        (vec!["s2".into(), "s13".into()], "--plot-series: the input has no series zzz\n")
    );
    assert_eq!(names(folder.path(), "p.html"), ["p.html"]);
    let done = unspool(folder.path(), "forecast many.csv --horizon 3 -q --plot p.html");
    let complaint = "unspool: p.html exists: name another file, or add --overwrite\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(2), complaint));
}
