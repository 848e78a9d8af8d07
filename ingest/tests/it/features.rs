//! BED, GFF3 and GTF.

use std::path::Path;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::UInt64Type,
};
use unspool_ingest::{
    Decode, Error, Reject, conformance,
    features::{self, FeatureFormat, FeatureOptions},
};

use crate::samples::{Sample, bgzip, data, gzip};

/// All that reading a file gave.
fn read(path: &Path, options: &FeatureOptions) -> Result<(RecordBatch, Vec<Reject>), Error> {
    let mut decoder = features::decoder(path, options)?;
    let (mut batches, mut rejects) = (vec![], vec![]);
    while let Some(batch) = decoder.decode()? {
        batches.push(batch.rows);
        rejects.extend(batch.rejects);
    }
    Ok((concat_batches(&decoder.schema(), &batches).unwrap(), rejects))
}

#[test]
fn the_contract_of_sources() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bed = "track name=x\n#c\nchr1\t1\t5\nchr1\t7\t9\tx\t1\t+\nbad\tx\tx\nchr2 3 4\n";
    let gff = "##gff-version 3\nc\tx\tCDS\t1\t9\t.\t+\t0\tID=a\n\nc\tx\tCDS\t9\t1\t.\t+\t0\tID=a\n\
               c\tx\tgene\t1\t9\t.\t-\t.\t.\n###\nc\tx\tgene\t2\t9\t.\t-\t.\t.\n##FASTA\n>c\nACGT\n";
    for (name, text, rows, rejects) in [("x.bed", bed, 3, 1), ("x.gff", gff, 3, 1)] {
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes()), bgzip(text.as_bytes(), 9)] {
            let sample = Sample::new(name, &bytes);
            let (found, rejected) = read(&sample.path(), &FeatureOptions::default()).unwrap();
            assert_eq!((found.num_rows(), rejected.len()), (rows, rejects), "{name} {rejected:?}");
            for batch_rows in [1, 2, 100] {
                runtime.block_on(conformance::check(|start| {
                    features::open(&sample.path(), &FeatureOptions { batch_rows, start, ..FeatureOptions::default() })
                }));
            }
        }
    }
}

#[test]
fn formats_are_told_not_guessed() {
    let line = "chr1\t1\t5\n";
    let refused = read(&Sample::new("x.txt", line.as_bytes()).path(), &FeatureOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("says which format it is"), "{refused}");
    let bed = FeatureOptions { format: Some(FeatureFormat::Bed), ..FeatureOptions::default() };
    assert_eq!(read(&Sample::new("x.txt", line.as_bytes()).path(), &bed).unwrap().0.num_rows(), 1);
    let asked = FeatureOptions { attributes: vec!["ID".into()], ..bed };
    let refused = read(&Sample::new("x.txt", line.as_bytes()).path(), &asked).unwrap_err();
    assert!(refused.to_string().contains("a BED file has no attributes"), "{refused}");
}

#[test]
fn real_bed_files() {
    // Rows and rejects; mosdepth calls the first one bad for its two lines that are no intervals.
    for (name, rows, rejects) in
        [("bad.bed", 0, 2), ("empty-tids.bed", 199, 0), ("track.bed", 1, 0), ("unordered.bed", 2, 0)]
    {
        let Some(path) = data(&format!("genomics/bam/mosdepth/{name}")) else { return };
        let (found, rejected) = read(&path, &FeatureOptions::default()).unwrap();
        assert_eq!((found.num_rows(), rejected.len()), (rows, rejects), "{name} {rejected:?}");
    }
}

#[test]
fn the_genes_of_a_genome() {
    let Some(path) = data("genomics/genomes/ecoli_K12_MG1655_GCF_000005845.2.gff.gz") else { return };
    let options = FeatureOptions { attributes: vec!["gene".into()], ..FeatureOptions::default() };
    let (rows, rejects) = read(&path, &options).unwrap();
    assert!(rejects.is_empty(), "{rejects:?}");
    let kind = rows["kind"].as_string::<i32>();
    let genes: Vec<usize> = (0..rows.num_rows()).filter(|&i| kind.value(i) == "gene").collect();
    assert_eq!(genes.len(), 4494, "as `zcat FILE | cut -f 3 | grep -cx gene` counts them");
    let first = genes[0];
    let number = |column: &str| rows[column].as_primitive::<UInt64Type>().value(first);
    assert_eq!((number("start"), number("end")), (189, 255));
    assert_eq!(rows["name"].as_string::<i32>().value(first), "gene-b0001");
    assert_eq!(rows["attribute_gene"].as_string::<i32>().value(first), "thrL");
    let Some(path) = data("genomics/genomes/C.elegans_1pct.gff.gz") else { return };
    let (rows, rejects) = read(&path, &FeatureOptions::default()).unwrap();
    assert!(rejects.is_empty() && rows["score"].len() == rows.num_rows() && rows.num_rows() > 1000, "{rejects:?}");
}
