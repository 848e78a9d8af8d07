//! Models that read whole windows (Caduceus): what takes them, and what says that it cannot.

use std::fs;

use arrow::array::AsArray;

use crate::command::{caduceus, folder, read, succeed, unspool};

#[test]
fn whole_windows_are_embedded() {
    let folder = folder();
    let mut rows = vec![];
    for (case, width) in [("f-caduceus-ph", 12), ("f-caduceus-ps", 24)] {
        caduceus(folder.path(), case);
        for (arguments, count, pooling) in [
            ("lambda_reads.fq.gz", 500, "mean"),
            ("lambda_reads.fq.gz --both-strands --batch-tokens 97", 500, "mean, both strands"),
            ("lambda.fa.gz --pool window:512 --layer 1", 95, "window:512"),
        ] {
            let done = succeed(folder.path(), &format!("embed {arguments} --model {case} -o out.parquet --overwrite"));
            assert!(done.stderr.contains(&format!("{count} rows to out.parquet")), "{}", done.stderr);
            let (found, metadata) = read(&folder.path().join("out.parquet"));
            assert_eq!(found["embedding"].as_fixed_size_list().value_length(), width);
            assert_eq!(found["pooling"].as_string::<i32>().value(0), pooling);
            assert!(metadata.contains(&("unspool.model.name".into(), case.into())), "{metadata:?}");
            rows.push(found["embedding"].clone());
        }
    }
    assert!(rows.windows(2).all(|pair| *pair[0] != *pair[1]));
}

/// One line that names what is wrong, and what to do.
#[test]
fn what_needs_a_state_refuses_them() {
    let folder = folder();
    caduceus(folder.path(), "f-caduceus-ps");
    fs::write(folder.path().join("series.csv"), "time,value\n1,2\n2,3\n").unwrap();
    fs::write(folder.path().join("one.vcf"), "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        .unwrap();
    let job = "model = \"f-caduceus-ps\"\n[kafka]\nbootstrap = \"127.0.0.1:1\"\n[input]\ntopic = \"a\"\nformat = \"json\"\nseries = \"key\"\n\
        time = \"timestamp\"\nsequence = \"bases\"\n[output]\nstdout = true\nguarantee = \"at-least-once\"\ngive = \"embeddings\"\n\
        [group]\nname = \"a\"\n";
    fs::write(folder.path().join("job.toml"), job).unwrap();
    let batch = "model = \"f-caduceus-ps\"\n[input]\npaths = [\"lambda.fa.gz\"]\n[give]\nwhat = \"embeddings\"\n[output]\ndir = \"out\"\n";
    fs::write(folder.path().join("batch.toml"), batch).unwrap();
    fs::write(folder.path().join("class.csv"), "sequence,label\nACGT,0\nACGA,1\n").unwrap();
    let refusal = "f-caduceus-ps/config.json: a Caduceus model reads whole windows, both ways: it cannot carry a state, stream, score or forecast; `unspool embed --pool mean` or `--pool window:N` runs it\n";
    for arguments in [
        "serve --listen 127.0.0.1:0 --model f-caduceus-ps",
        "stream job.toml --check",
        "run batch.toml",
        "score one.vcf --reference lambda.fa.gz --model f-caduceus-ps -o out.parquet",
        "score lambda.fa.gz --track bits --model f-caduceus-ps -o out.parquet",
        "forecast series.csv --horizon 2 --model f-caduceus-ps",
        "fill series.csv --model f-caduceus-ps",
        "finetune class.csv --classify --model f-caduceus-ps --dev class.csv --steps 1 --output tuned",
    ] {
        let done = unspool(folder.path(), arguments);
        assert!(done.code != Some(0) && done.stderr.ends_with(refusal), "{arguments}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{arguments}: {}", done.stderr);
    }
    for (arguments, line) in [
        (
            "embed lambda.fa.gz --model f-caduceus-ps --pool last -o out.parquet",
            "unspool: f-caduceus-ps reads whole windows and gives means: --pool mean or window:N, not last",
        ),
        (
            "embed lambda.fa.gz --model f-caduceus-ps --device cuda -o out.parquet",
            "unspool: cuda:0: models that read whole windows run on the CPU alone: use --device cpu",
        ),
        (
            "embed series.csv --model f-caduceus-ps -o out.parquet",
            "unspool: --model: f-caduceus-ps takes DNA, and the input holds series; leave --model out",
        ),
    ] {
        let done = unspool(folder.path(), arguments);
        assert_eq!((done.code == Some(0), done.stderr.trim_end()), (false, line));
    }
}

#[test]
fn inspect_names_them() {
    let folder = folder();
    for (case, reads) in [
        ("f-caduceus-ph-odd", "both ways, multiplied, one strand (Caduceus-Ph)"),
        ("f-caduceus-ps", "both ways, added, both strands through the same weights (Caduceus-PS)"),
        ("f-caduceus-ps-forward", "forwards, both strands through the same weights (Caduceus-PS)"),
    ] {
        caduceus(folder.path(), case);
        let text = succeed(folder.path(), &format!("inspect {case}")).stdout;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in
            [&format!("reads {reads} "), "whole windows of at most 131,072 bases", "state none: it cannot stream"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
