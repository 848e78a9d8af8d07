//! `unspool embed` end to end.

use std::{fs, process::Command};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, UInt64Type},
};

use unspool_ingest::Reference;

use crate::command::{folder, names, read, succeed, unspool};

#[test]
fn embeddings_of_real_reads() {
    let folder = folder();
    let done = succeed(folder.path(), "embed lambda_reads.fq.gz --model dna --output out.parquet");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "note: the model dna is untrained: its embeddings mean little");
    assert!(lines[1].starts_with("500 rows to out.parquet, from 500 rows and 75,000 events in "), "{}", lines[1]);
    let (rows, metadata) = read(&folder.path().join("out.parquet"));
    assert_eq!(rows.num_rows(), 500);
    assert_eq!(rows["id"].as_string::<i32>().value(499), "lambda_500");
    let (starts, ends) = (rows["start"].as_primitive::<UInt64Type>(), rows["end"].as_primitive::<UInt64Type>());
    assert!(starts.iter().all(|start| start == Some(0)) && ends.iter().all(|end| end == Some(150)));
    let embeddings = rows["embedding"].as_fixed_size_list();
    assert_eq!(embeddings.value_length(), 16);
    assert!(embeddings.values().as_primitive::<Float32Type>().iter().all(|value| value.is_some_and(f32::is_finite)));
    let digest = metadata.iter().find(|(key, _)| key == "unspool.model.digest").map(|(_, value)| value.as_str());
    assert_eq!(digest, Some(rows["model"].as_string::<i32>().value(0)));
    assert_eq!(names(folder.path(), "out"), ["out.parquet"]);
}

#[test]
fn batches_never_change_a_byte() {
    let folder = folder();
    for (input, pool) in [
        ("lambda_reads.fq.gz", "mean"),
        ("lambda_reads.fq.gz", "window:64"),
        ("lambda.fa.gz", "window:500"),
        ("nyc_taxi.csv", "token"),
    ] {
        let model = if input == "nyc_taxi.csv" { "" } else { "--model dna" };
        let mut files = vec![];
        for tokens in ["2048", "97"] {
            succeed(
                folder.path(),
                &format!("embed {input} {model} --pool {pool} -o out.parquet --overwrite --batch-tokens {tokens} -q"),
            );
            files.push(fs::read(folder.path().join("out.parquet")).unwrap());
        }
        assert!(files[0] == files[1], "{input}, {pool}");
    }
}

#[test]
fn rejects_are_counted_and_written() {
    let folder = folder();
    let text = ">good\nACGT\n>gap\nAC-T\n>amino\nMEEP\n>stop\nACGT*\n>two\nGG\n>empty\n>last\nACGTN\n";
    fs::write(folder.path().join("some.fa"), text).unwrap();
    let done = succeed(folder.path(), "embed some.fa --model dna -o out.parquet");
    let lines: Vec<&str> = done.stderr.lines().skip(2).collect();
    assert_eq!(lines[0], "4 rejected; all of them are in out.rejects.parquet");
    assert_eq!(lines.len(), 4, "the first three follow");
    assert!(lines[1].starts_with("  record 'gap', base 2 (0-based): '-' is no base"), "{}", lines[1]);
    let (rows, _) = read(&folder.path().join("out.parquet"));
    let ids: Vec<_> = rows["id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, ["good", "two", "last"]);
    let (rejects, _) = read(&folder.path().join("out.rejects.parquet"));
    assert_eq!(rejects.num_rows(), 4);
    let payloads: Vec<_> = rejects["payload"].as_binary::<i32>().iter().flatten().collect();
    assert!(payloads.contains(&&b"AC-T"[..]) && payloads.contains(&&b"MEEP"[..]), "{payloads:?}");
}

#[test]
fn windows_of_a_genome_agree_with_its_mean() {
    let folder = folder();
    succeed(folder.path(), "embed lambda.fa.gz --model dna --pool window:48502 -o window.parquet -q");
    succeed(folder.path(), "embed lambda.fa.gz --model dna --layer 2 -o mean.parquet -q");
    let (window, _) = read(&folder.path().join("window.parquet"));
    let (mean, _) = read(&folder.path().join("mean.parquet"));
    assert_eq!(window["embedding"].as_ref(), mean["embedding"].as_ref());
    assert_eq!(window["end"].as_primitive::<UInt64Type>().value(0), 48_502);
}

#[test]
fn series_are_embedded_by_the_built_in_model() {
    let folder = folder();
    succeed(folder.path(), "embed nyc_taxi.csv --pool window:3 -o out.parquet -q");
    let (rows, _) = read(&folder.path().join("out.parquet"));
    // 2,976 values are 186 patches of 16: 62 windows of three.
    assert_eq!(rows.num_rows(), 62);
    assert_eq!(rows["end"].as_primitive::<UInt64Type>().value(61), 2976);
}

/// A record and its other strand have one embedding where both strands are asked for.
#[test]
fn both_strands_of_a_record_are_one() {
    let folder = folder();
    fs::write(folder.path().join("two.fa"), ">a\nACGGTTTACA\n>b\nTGTAAACCGT\n").unwrap();
    let embeddings = |arguments: &str| {
        succeed(folder.path(), &format!("embed two.fa --model dna -o out.parquet --overwrite -q {arguments}"));
        let (rows, _) = read(&folder.path().join("out.parquet"));
        let list = rows["embedding"].as_fixed_size_list();
        (list.value(0).as_ref().to_data(), list.value(1).as_ref().to_data())
    };
    let (a, b) = embeddings("--both-strands");
    assert_eq!(a, b);
    let (a, b) = embeddings("");
    assert_ne!(a, b);
    let refused =
        unspool(folder.path(), "embed two.fa --model dna -o out.parquet --overwrite --both-strands --pool last");
    assert_eq!(
        (refused.code, refused.stderr.contains("mean or window:N, not last")),
        (Some(2), true),
        "{}",
        refused.stderr
    );
}

/// A feature is the window that it is; on the other strand it is a feature of the reverse complement.
#[test]
fn features_of_a_phage() {
    let folder = folder();
    let bed = "NC_001416.1\t0\t500\tfirst\t0\t+\nNC_001416.1\t500\t1000\t.\nNC_001416.1\t48402\t48502\tlast\t0\t-\nchrX\t0\t9\n";
    fs::write(folder.path().join("some.bed"), bed).unwrap();
    let done = succeed(folder.path(), "embed lambda.fa.gz --features some.bed --model dna -o out.parquet");
    assert!(done.stderr.contains("the input has no record 'chrX'"), "{}", done.stderr);
    succeed(folder.path(), "embed lambda.fa.gz --pool window:500 --model dna -o windows.parquet -q");
    let (rows, metadata) = read(&folder.path().join("out.parquet"));
    let (windows, _) = read(&folder.path().join("windows.parquet"));
    let embedding = |rows: &arrow::array::RecordBatch, row| {
        rows["embedding"].as_fixed_size_list().value(row).as_primitive::<Float32Type>().values().to_vec()
    };
    assert_eq!(rows.num_rows(), 3);
    assert_eq!((embedding(&rows, 0), embedding(&rows, 1)), (embedding(&windows, 0), embedding(&windows, 1)));
    let texts =
        |name: &str| rows[name].as_string::<i32>().iter().map(|text| text.unwrap_or("").to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (texts("name"), texts("strand")),
        (vec!["first".into(), "".into(), "last".into()], vec!["+".into(), "".into(), "-".into()])
    );
    assert!(metadata.contains(&("unspool.options.pool".into(), "features".into())), "{metadata:?}");

    let bases = Reference::open(&folder.path().join("lambda.fa.gz")).unwrap().contig("NC_001416.1").unwrap().unwrap();
    let other: String = bases
        .iter()
        .rev()
        .take(100)
        .map(|b| match b.to_ascii_uppercase() {
            b'A' => 'T',
            b'C' => 'G',
            b'G' => 'C',
            _ => 'A',
        })
        .collect();
    fs::write(folder.path().join("other.fa"), format!(">other\n{other}\n")).unwrap();
    succeed(folder.path(), "embed other.fa --model dna -o other.parquet -q");
    assert_eq!(embedding(&rows, 2), embedding(&read(&folder.path().join("other.parquet")).0, 0));

    for (arguments, expected) in [
        ("embed nyc_taxi.csv --features some.bed -o x.parquet", "--features: it is of reads and contigs"),
        ("embed lambda.fa.gz --features some.bed --pool last --model dna -o x.parquet", "--pool mean, not last"),
        ("embed lambda.fa.gz --feature-types CDS --model dna -o x.parquet", "--features"),
    ] {
        let refused = unspool(folder.path(), arguments);
        assert_eq!((refused.code, refused.stderr.contains(expected)), (Some(2), true), "{}", refused.stderr);
    }
}

/// Reads of an alignment, with a reference, two of which are mapped.
const ALIGNED: &str = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:r1\tLN:40\n\
    a\t0\tr1\t1\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\tNM:i:1\n\
    b\t16\tr1\t3\t20\t8M\t*\t0\t0\tGTACGTAC\tIIIIIIII\tNM:i:2\n\
    c\t256\tr1\t5\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\n\
    d\t4\t*\t0\t0\t*\t*\t0\t0\tACGTN\t!!!!!\n";

#[test]
fn only_the_reads_that_are_wanted() {
    let folder = folder();
    fs::write(folder.path().join("x.sam"), ALIGNED).unwrap();
    for (arguments, expected) in [
        ("", vec!["a", "b", "c", "d"]),
        ("--exclude-flags 260", vec!["a", "b"]),
        ("--require-flags 16", vec!["b"]),
        ("--min-mapping-quality 30", vec!["a", "c"]),
        ("--min-mapping-quality 30 --limit 1", vec!["a"]),
    ] {
        succeed(folder.path(), &format!("embed x.sam --model dna -o out.parquet --overwrite -q {arguments}"));
        let (rows, _) = read(&folder.path().join("out.parquet"));
        assert_eq!(rows["id"].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), expected, "{arguments}");
    }
    let refused = unspool(folder.path(), "embed lambda.fa.gz --model dna -o x.parquet --require-flags 16");
    assert_eq!((refused.code, refused.stderr.contains("of SAM, BAM and CRAM files only")), (Some(1), true));
    let refused = unspool(folder.path(), "embed nyc_taxi.csv -o x.parquet --limit 3");
    assert_eq!((refused.code, refused.stderr.contains("--limit: it is of reads")), (Some(2), true));
}

/// Columns and tags of the records, as they are in the file, beside each embedding: of one job and of the other.
#[test]
fn what_is_kept_of_the_reads() {
    let folder = folder();
    fs::write(folder.path().join("x.sam"), ALIGNED.replace("IIIIIIII\tNM:i:1", "IIIIIIII\tCB:Z:AAC-1\tNM:i:1"))
        .unwrap();
    let text = |rows: &RecordBatch, name: &str| {
        let column = arrow::compute::cast(&rows[name], &DataType::Utf8).unwrap();
        column.as_string::<i32>().iter().map(|text| text.unwrap_or("-").to_owned()).collect::<Vec<_>>().join(" ")
    };
    let of = |rows: &RecordBatch, repeated: usize| {
        let each = |values: [&str; 4]| values.map(|value| vec![value; repeated].join(" ")).join(" ");
        assert_eq!(text(rows, "tag_CB"), each(["AAC-1", "-", "-", "-"]));
        assert_eq!(text(rows, "tag_NM"), each(["1", "2", "-", "-"]));
        assert_eq!(text(rows, "position"), each(["0", "2", "4", "-"]));
        let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names[8..], ["tag_CB", "position", "tag_NM"]);
    };
    for (arguments, repeated) in [("", 1), ("--pool window:5 --exclude-flags 4", 2), ("--both-strands", 1)] {
        let keep = "--keep CB:Z,position,NM:i --model dna -o out.parquet --overwrite -q";
        succeed(folder.path(), &format!("embed x.sam {keep} {arguments}"));
        let (rows, _) = read(&folder.path().join("out.parquet"));
        match repeated {
            1 => of(&rows, 1),
            // The unmapped read is left out.
            _ => assert_eq!(text(&rows, "tag_NM"), "1 1 2 2 - -"),
        }
    }
    let keep = "--keep CB:Z --keep position --keep NM:i --partition-by reference --keep reference";
    let run = format!("run --input x.sam --what embeddings --model dna {keep} --output");
    succeed(folder.path(), &format!("{run} parts -q"));
    let part = names(&folder.path().join("parts/reference=r1"), "part-");
    let (rows, _) = read(&folder.path().join("parts/reference=r1").join(&part[0]));
    assert_eq!((text(&rows, "tag_CB"), text(&rows, "tag_NM")), ("AAC-1 - -".into(), "1 2 -".into()));
    let refused = unspool(folder.path(), "embed lambda.fa.gz --model dna -o x.parquet --keep CB:Z");
    assert_eq!((refused.code, refused.stderr.contains("of SAM, BAM and CRAM files only")), (Some(1), true));
}

/// A CRAM file's reads are those of the alignment that it was made from.
#[test]
fn cram_needs_its_reference() {
    let folder = folder();
    fs::write(folder.path().join("x.sam"), ALIGNED).unwrap();
    fs::write(folder.path().join("r.fa"), ">r1\nACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT\n").unwrap();
    let mut made = Command::new("samtools");
    made.current_dir(folder.path()).args(["view", "-C", "-T", "r.fa", "-o", "x.cram", "x.sam"]);
    let Ok(made) = made.output() else {
        eprintln!("skipped: samtools is not installed (apt-get install samtools)");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (input, reference) in [("x.sam", ""), ("x.cram", "--reference r.fa")] {
        succeed(folder.path(), &format!("embed {input} {reference} --model dna -o {input}.parquet -q"));
    }
    let [sam, cram] = ["x.sam", "x.cram"].map(|name| read(&folder.path().join(format!("{name}.parquet"))).0);
    assert_eq!(sam, cram);
    let run = "run --input x.cram --what embeddings --model dna --output";
    succeed(folder.path(), &format!("{run} out --reference r.fa"));
    let parts = fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts: Vec<_> = parts.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect();
    assert_eq!(read(&parts[0]).0["embedding"].as_ref(), cram["embedding"].as_ref());
    let refused = unspool(folder.path(), &format!("{run} refused"));
    assert!(refused.stderr.contains("name the FASTA file it was made with"), "{}", refused.stderr);
    let refused = unspool(folder.path(), "embed x.cram --model dna -o x.parquet");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("name the FASTA file it was made with"), "{}", refused.stderr);
    let text = succeed(folder.path(), "inspect x.cram --reference r.fa").stdout;
    assert!(text.contains("CRAM"), "{text}");
}
