//! `unspool score` end to end, and the same scores over gRPC.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, Float64Type, UInt32Type, UInt64Type},
};
use tokio::runtime::Runtime;
use unspool_ingest::Reference;
use unspool_proto::v1::{self, variant_service_client::VariantServiceClient};

use crate::{
    command::{folder, names, read, succeed, unspool},
    server::{Server, connect},
};

/// The name of the phage's sequence.
const CONTIG: &str = "NC_001416.1";

/// A VCF of some variants of phage lambda, and one whose REF is wrong.
fn write_variants(folder: &Path) -> (String, Vec<v1::Variant>) {
    let bases = lambda(folder);
    let contig = format!("##contig=<ID={CONTIG},length=48502>\n");
    let mut text = format!("##fileformat=VCFv4.2\n{contig}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n");
    let mut variants = vec![];
    for (at, length) in [(100, 1), (101, 3), (8191, 1), (8192, 1), (20_000, 2), (48_400, 1)] {
        let reference = &bases[at..at + length];
        let other = if reference.starts_with('A') { "C" } else { "A" };
        let _ = writeln!(text, "{CONTIG}\t{}\tv{at}\t{reference}\t{other},{reference}TT\t7.5\tPASS\t.", at + 1);
        for alternative in [other.to_owned(), format!("{reference}TT")] {
            let (id, position, reference) = (format!("v{at}"), at as u64, reference.to_owned());
            variants.push(v1::Variant { id, position, reference, alternative });
        }
    }
    let wrong = if bases.starts_with('G') { "C" } else { "G" };
    let _ = writeln!(text, "{CONTIG}\t1\twrong\t{wrong}\tT\t.\t.\t.");
    fs::write(folder.join("some.vcf"), text).unwrap();
    (bases, variants)
}

fn lambda(folder: &Path) -> String {
    let bases = Reference::open(&folder.join("lambda.fa.gz")).unwrap().contig(CONTIG).unwrap().unwrap();
    String::from_utf8(bases.to_vec()).unwrap().to_ascii_uppercase()
}

#[test]
fn variants_of_a_phage() {
    let folder = folder();
    let (bases, variants) = write_variants(folder.path());
    let done = succeed(folder.path(), "score some.vcf --reference lambda.fa.gz --model dna --output out.parquet");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "note: the model dna is untrained: its scores mean little");
    assert!(lines[1].starts_with("12 rows to out.parquet, from 7 rows and "), "{}", lines[1]);
    let first = &bases[..1];
    let wrong = if first == "G" { "C" } else { "G" };
    let place =
        format!("  {CONTIG}:1 {wrong}>T: REF is {wrong}, but the reference has {first} there: is it another assembly?");
    assert_eq!(lines[3], place);
    let (rows, metadata) = read(&folder.path().join("out.parquet"));
    assert_eq!(rows.num_rows(), variants.len());
    let score = rows["score"].as_primitive::<Float64Type>();
    assert!(score.iter().all(|score| score.is_some_and(|score| score.is_finite() && score != 0.0)));
    let alternatives: Vec<_> = rows["alternative"].as_string::<i32>().iter().flatten().collect();
    let expected: Vec<_> = variants.iter().map(|variant| variant.alternative.as_str()).collect();
    assert_eq!(alternatives, expected);
    let count = |column: &str| rows[column].as_primitive::<UInt32Type>().values().to_vec();
    assert_eq!((count("window_forward")[0], count("context_forward")[0]), (256, 100));
    assert_eq!(count("context_forward")[6], 8192, "a window that begins at a boundary has the tile before it");
    assert!(metadata.contains(&("unspool.options.window".into(), "256".into())), "{metadata:?}");
    assert_eq!(names(folder.path(), "out"), ["out.parquet", "out.rejects.parquet"]);

    // The bits depend neither on batches nor on the output's format.
    succeed(folder.path(), "score some.vcf -r lambda.fa.gz --model dna -o again.parquet --batch-tokens 97 -q");
    assert_eq!(read(&folder.path().join("again.parquet")).0, rows);
    succeed(folder.path(), "score some.vcf -r lambda.fa.gz --model dna -o said.vcf -q");
    let text = fs::read_to_string(folder.path().join("said.vcf")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 12);
    let begins = format!(
        "{CONTIG}\t101\tv100\t{}\t{}\t7.5\tPASS\tUNSPOOL_LLR={:.6};",
        &bases[100..101],
        alternatives[0],
        score.value(0)
    );
    assert!(lines[0].starts_with(&begins), "{} {begins}", lines[0]);
}

/// A region of an indexed file has the scores that the whole file gives it.
#[test]
fn a_region_of_the_variants() {
    let folder = folder();
    write_variants(folder.path());
    let refused =
        unspool(folder.path(), &format!("score some.vcf -r lambda.fa.gz --region {CONTIG} --model dna -o x.parquet"));
    assert_eq!((refused.code, refused.stderr.contains("compressed by bgzip")), (Some(1), true), "{}", refused.stderr);
    for command in ["bcftools sort -Oz -o some.vcf.gz some.vcf", "bcftools index -t some.vcf.gz"] {
        let mut words = command.split(' ');
        let Ok(done) = Command::new(words.next().unwrap()).args(words).current_dir(folder.path()).output() else {
            eprintln!("skipped: bcftools is not installed (apt-get install bcftools)");
            return;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    succeed(folder.path(), "score some.vcf -r lambda.fa.gz --model dna -o whole.parquet -q");
    let region = format!("--region {CONTIG}:8192-20001");
    succeed(folder.path(), &format!("score some.vcf.gz -r lambda.fa.gz {region} --model dna -o part.parquet -q"));
    let [whole, part] = ["whole", "part"].map(|name| read(&folder.path().join(format!("{name}.parquet"))).0);
    assert_eq!(part, whole.slice(4, 6));
}

#[test]
fn tracks_of_a_phage() {
    let folder = folder();
    fs::write(folder.path().join("lambda.fa"), format!(">{CONTIG}\n{}\n", lambda(folder.path()))).unwrap();
    fs::write(folder.path().join("lambda.fa.fai"), format!("{CONTIG}\t48502\t13\t48502\t48503\n")).unwrap();
    succeed(folder.path(), "score lambda.fa.gz --track bits --model dna -o whole.parquet -q");
    let (whole, _) = read(&folder.path().join("whole.parquet"));
    assert_eq!(whole.num_rows(), 48_502);
    assert_eq!(whole["bits"].as_primitive::<Float32Type>().value(0), 2.0);
    succeed(
        folder.path(),
        &format!("score {CONTIG}:1-1000 --reference lambda.fa --track bits --model dna -o region.bedgraph -q"),
    );
    let text = fs::read_to_string(folder.path().join("region.bedgraph")).unwrap();
    let mut covered = 0;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [start, end] = [1, 2].map(|i: usize| fields[i].parse::<u64>().unwrap());
        assert_eq!((fields[0], start), (CONTIG, covered));
        let bits = whole["bits"].as_primitive::<Float32Type>().value(usize::try_from(start).unwrap());
        assert_eq!(fields[3], format!("{bits:.4}"), "a region at a contig's start has the contig's bits");
        covered = end;
    }
    assert_eq!((covered, whole["end"].as_primitive::<UInt64Type>().value(999)), (1000, 1000));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = folder();
    write_variants(folder.path());
    for (arguments, code, expected) in [
        ("score some.vcf --model dna -o out.parquet", 2, "--reference: name the FASTA file"),
        (
            "score some.vcf -r lambda.fa.gz --model dna -o out.csv",
            2,
            "--output: name a file that ends in .parquet or .vcf",
        ),
        ("score some.vcf -r some.vcf --model dna -o out.parquet", 1, "a reference is a FASTA file; this is VCF"),
        ("score lambda.fa.gz -r lambda.fa.gz --model dna -o out.parquet", 1, "neither VCF"),
        ("score nowhere --track bits --model dna -o out.bg", 2, "nowhere: there is no such file"),
        ("embed some.vcf --model dna -o out.parquet", 2, "variants have scores, not embeddings"),
    ] {
        let done = unspool(folder.path(), arguments);
        assert_eq!(done.code, Some(code), "{arguments}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{arguments}: {}", done.stderr);
    }
    let text = succeed(folder.path(), "inspect some.vcf").stdout;
    assert!(text.contains("7 on 1 contigs") && text.contains("13 (5 of one base for one)"), "{text}");
}

#[test]
fn the_wire_gives_the_same_bits() {
    Runtime::new().unwrap().block_on(over_the_wire());
}

async fn over_the_wire() {
    let folder = folder();
    let (bases, mut variants) = write_variants(folder.path());
    succeed(folder.path(), "score some.vcf -r lambda.fa.gz --model dna -o out.parquet -q");
    let (rows, _) = read(&folder.path().join("out.parquet"));
    let (_server, address) = Server::start(folder.path(), "--model dna");
    let mut client = VariantServiceClient::new(connect(&address).await.unwrap());
    let bits = |column: &str| {
        rows[column].as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    variants.push(v1::Variant { id: "bad".into(), position: 1, reference: "N".into(), alternative: "A".into() });
    let request = |bases: &str, start, variants: &[v1::Variant]| v1::ScoreRequest {
        bases: bases.into(),
        start,
        variants: variants.to_vec(),
        ..v1::ScoreRequest::default()
    };
    let reply = client.score(request(&bases, 0, &variants)).await.unwrap().into_inner();
    assert_eq!(reply.scores.iter().map(|score| score.score.to_bits()).collect::<Vec<_>>(), bits("score"));
    let [reject] = &reply.rejects[..] else { panic!("{:?}", reply.rejects) };
    assert_eq!((reject.index, reject.id.as_str()), (12, "bad"));
    assert!(reject.reason.contains("bases that are not known"), "{}", reject.reason);
    // A piece of the contig between tile boundaries, for variants within it.
    let piece = request(&bases[16_384..24_576], 16_384, &variants[8..10]);
    let reply = client.score(piece).await.unwrap().into_inner();
    assert_eq!(reply.scores.iter().map(|score| score.score.to_bits()).collect::<Vec<_>>(), bits("score")[8..10]);
    assert_eq!(reply.scores[0].forward.unwrap().context, 20_000 - 16_384);
    let refused = client.score(request(&bases, 5, &[])).await.unwrap_err();
    assert!(refused.message().contains("start: a multiple of 8192"), "{refused}");
}
