//! `unspool eval` end to end, on made-up data; what the figures of the real data are is told in the README.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::command::{folder, succeed, unspool};

/// Files like the ten sets', each of two short series.
fn write_benchmark(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let value =
        |i: usize| (100.0 + 0.1 * i as f64 + 10.0 * (i as f64 * 0.26).sin() * (1.0 + (i % 7) as f64)).to_string();
    let values = |from: usize, n: usize| (from..from + n).map(value).collect::<Vec<_>>();
    for name in ["ETTh1.csv", "ETTh2.csv"] {
        let rows: Vec<String> = (0..200)
            .map(|i| format!("2016-07-{:02} {:02}:00:00,{},{}", 1 + i / 24, i % 24, value(i), value(i + 50)))
            .collect();
        fs::write(dir.join(name), format!("date,HUFL,OT\n{}\n", rows.join("\n"))).unwrap();
    }
    let tsf = |horizon: usize, n: usize| {
        let (a, b) = (values(0, n).join(","), values(31, n).join(",").replacen(',', ",?,", 1));
        format!("@attribute series_name string\n@horizon {horizon}\n@data\nT1:{a}\nT2:{b}\n")
    };
    for (name, horizon) in
        [("nn5_daily", 56), ("hospital", 12), ("m3_monthly", 18), ("tourism_monthly", 24), ("covid_deaths", 30)]
    {
        fs::write(dir.join(format!("{name}.tsf")), tsf(horizon, 150)).unwrap();
    }
    fs::write(dir.join("us_births.tsf"), tsf(30, 700)).unwrap();
    let gzip = |name: &str, text: &str| {
        let mut file = GzEncoder::new(fs::File::create(dir.join(name)).unwrap(), Compression::fast());
        file.write_all(text.as_bytes()).unwrap();
        file.finish().unwrap();
    };
    gzip("m4_hourly.tsf.gz", &tsf(48, 200));
    gzip("m4_weekly.tsf.gz", &tsf(13, 200));
    let rows: Vec<String> = (0..100).map(|i| format!("{},{}", value(i), value(i + 9))).collect();
    gzip("exchange_rate.txt.gz", &rows.join("\n"));
}

#[test]
fn the_benchmark_is_scored() {
    let folder = folder();
    write_benchmark(&folder.path().join("sets"));
    let done = succeed(folder.path(), "eval forecast sets --output scores.json");
    for part in ["series-3 (", "ETTh  ", "us_births  ", "7 sets (the first seven)", "TiRex", "this model"] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert!(done.stderr.contains("us_births: 40 forecasts in "), "{}", done.stderr);
    let scores: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("scores.json")).unwrap()).unwrap();
    let sets = scores["benchmark"]["sets"].as_array().unwrap();
    let counts: Vec<u64> = sets.iter().map(|set| set["forecasts"].as_u64().unwrap()).collect();
    assert_eq!(counts, [4, 2, 2, 2, 2, 2, 2, 2, 2, 40]);
    for set in sets {
        let of = |which: &str, what: &str| set[which][what].as_f64().unwrap();
        for what in ["mase", "wql"] {
            let (ratio, expected) = (of("ratio", what), of("model", what) / of("naive", what));
            assert!(ratio > 0.0 && (ratio - expected).abs() < 1e-12, "{set}");
        }
    }
    // Asking a state that was fed less gives other figures, and the same weights by their name the same.
    let table = |arguments: &str| {
        let text = succeed(folder.path(), &format!("eval forecast sets -q {arguments}")).stdout;
        text.lines().find_map(|line| line.strip_prefix("  all ten")).unwrap().to_owned()
    };
    let all = table("");
    assert_eq!(all, table("--model series-3 --threads 1"));
    assert_ne!(all, table("--history 24"));
    assert_ne!(all, table("--model series-1"));
}

#[test]
fn what_is_missing_is_named() {
    let folder = folder();
    for (arguments, code, complaint) in [
        (
            "eval forecast nowhere",
            1,
            "unspool: nowhere/ETTh1.csv: not there: name the folder that holds the data's files as they were published\n",
        ),
        (
            "eval forecast --validation .",
            1,
            "unspool: ./nngc1_yearly.tsf: not there: name the folder that holds the data's files as they were published\n",
        ),
        ("eval forecast . --model dna", 1, "unspool: dna is no series model: there are no forecasts to score\n"),
    ] {
        write_benchmark(folder.path());
        let done = unspool(folder.path(), &format!("{arguments} -q"));
        assert_eq!((done.code, done.stderr.as_str()), (Some(code), complaint), "{arguments}");
    }
    let done = unspool(folder.path(), "eval forecast");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
}

#[test]
fn anomalies_are_scored_as_nab_does() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("NAB/labels")).unwrap();
    fs::create_dir_all(folder.path().join("NAB/real")).unwrap();
    let time = |i: usize| format!("2014-04-{:02} {:02}:{:02}:00", 1 + i / 288, i / 12 % 24, i % 12 * 5);
    let mut text = String::from("timestamp,value\n");
    for i in 0..2000 {
        let value = (i as f64 * 0.26).sin() + (i * 787 % 31) as f64 * 0.01;
        text += &format!("{},{}\n", time(i), if i == 1500 { 60.0 } else { value });
    }
    fs::write(folder.path().join("NAB/real/a.csv"), text).unwrap();
    let window = format!("{{\"real/a.csv\": [[\"{}.000000\", \"{}.000000\"]]}}", time(1490), time(1540));
    let labels = folder.path().join("NAB/labels/combined_windows.json");
    fs::write(&labels, window).unwrap();
    let done = succeed(folder.path(), "eval anomaly NAB --output nab.json");
    assert!(
        done.stdout.contains("\nNumenta HTM") && done.stderr.starts_with("1 files, 2000 values in "),
        "{}",
        done.stdout
    );
    let figures: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("nab.json")).unwrap()).unwrap();
    let standard = &figures["nab"][0];
    assert_eq!((standard["found"].as_u64(), standard["false_alarms"].as_u64()), (Some(1), Some(0)), "{figures}");
    assert!((90.0..100.0).contains(&standard["score"].as_f64().unwrap()), "{figures}");
    fs::write(&labels, "{\"real/a.csv\": [[\"2013-01-01 00:00:00\", \"2013-01-01 01:00:00\"]]}").unwrap();
    let done = unspool(folder.path(), "eval anomaly NAB");
    let complaint = "unspool: NAB/real/a.csv: it has no row at 2013-01-01 00:00:00, where a window begins or ends\n";
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), complaint));
}
