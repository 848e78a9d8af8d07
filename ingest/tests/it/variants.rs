//! VCF and BCF.

mod corpus;
mod hostile;
mod regions;

use std::{io::Write, path::Path};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Float32Type, Int32Type, UInt64Type},
};
use noodles::{
    bcf,
    vcf::{self, variant::io::Write as _},
};
use unspool_ingest::{
    Decode, Error, Reject, conformance,
    variants::{self, VariantOptions},
};

use crate::samples::{Sample, bgzip, gzip};

/// A file with every kind of record that is read, and two that are not.
pub(crate) const VCF: &str = "##fileformat=VCFv4.3\n\
    ##contig=<ID=chr1,length=1000>\n##contig=<ID=chr2>\n\
    ##INFO=<ID=AF,Number=A,Type=Float,Description=\"x\">\n##INFO=<ID=DP,Number=1,Type=Integer,Description=\"x\">\n\
    ##INFO=<ID=DB,Number=0,Type=Flag,Description=\"x\">\n##INFO=<ID=AA,Number=1,Type=String,Description=\"x\">\n\
    ##FILTER=<ID=q10,Description=\"x\">\n##FILTER=<ID=s50,Description=\"x\">\n\
    ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n\
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\ttwo\n\
    chr1\t11\trs1\tA\tG\t29.5\tPASS\tDP=14;AF=0.5;DB\tGT\t0|0\t1|0\n\
    chr1\t12\t.\tACG\tA,ACGT\t.\tq10;s50\tAF=0.25,.;AA=a%2Cb\tGT\t0/1\t./.\n\
    chr1\t20\tbad\tA\tG\tx\tPASS\t.\tGT\t0/1\t./.\n\
    chr2\t1\t.\tN\t<DEL>\t3\t.\tDP=-1\tGT\t0/1\t./.\n\
    chr2\t2\t.\tN\tA\n\
    chr2\t7\t.\tT\t.\t0\tPASS\t.\tGT\t0/1\t./.\n";

/// All that reading a file gave.
pub(crate) struct Outcome {
    pub(crate) rows: RecordBatch,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) error: Option<Error>,
}

/// Reads a file to its end, or to its error.
pub(crate) fn read(path: &Path, options: &VariantOptions) -> Outcome {
    let (mut batches, mut rejects, mut error) = (vec![], vec![], None);
    let mut schema = unspool_ingest::schema::variants();
    match variants::decoder(path, options) {
        Ok(mut decoder) => {
            schema = decoder.schema();
            loop {
                match decoder.decode() {
                    Ok(Some(batch)) => {
                        assert!(batch.rows.num_rows() <= options.batch_rows);
                        batches.push(batch.rows);
                        rejects.extend(batch.rejects);
                    }
                    Ok(None) => break,
                    Err(e) => {
                        error = Some(e);
                        break;
                    }
                }
            }
        }
        Err(e) => error = Some(e),
    }
    Outcome { rows: concat_batches(&schema, &batches).unwrap(), rejects, error }
}

fn with_info(names: &[&str]) -> VariantOptions {
    VariantOptions { info: names.iter().map(|&name| name.to_owned()).collect(), ..VariantOptions::default() }
}

/// The same records in BCF, written by noodles; those that it cannot write are left out.
pub(crate) fn to_bcf(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| line.starts_with('#') || line.split('\t').count() == 11);
    let text: String = lines.filter(|line| !line.contains("bad")).map(|line| format!("{line}\n")).collect();
    let mut reader = vcf::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let mut writer = bcf::io::Writer::from(vec![]);
    writer.write_variant_header(&header).unwrap();
    for record in reader.record_bufs(&header) {
        writer.write_variant_record(&header, &record.unwrap()).unwrap();
    }
    writer.into_inner()
}

#[test]
fn records_become_rows() {
    let outcome = read(&Sample::new("x.vcf", VCF.as_bytes()).path(), &with_info(&["DP", "AF", "DB", "AA"]));
    assert!(outcome.error.is_none());
    let columns = outcome.rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let line = |row| columns.iter().map(|column| printed(&outcome.rows, column, row)).collect::<Vec<_>>().join(" ");
    let found: Vec<String> = (0..outcome.rows.num_rows()).map(line).collect();
    assert_eq!(columns[7..], ["info_DP", "info_AF", "info_DB", "info_AA"]);
    assert_eq!(
        found,
        [
            "chr1 11 rs1 A G 29.5 PASS 14 0.5 true .",
            "chr1 12 . ACG A,ACGT . q10;s50 . 0.25,. false a,b",
            "chr2 1 . N <DEL> 3 . -1 . false .",
            "chr2 7 . T . 0 PASS . . false .",
        ]
    );
    let reasons: Vec<_> = outcome.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(reasons, ["QUAL 'x' is no number", "5 columns where the header has 11"]);
    assert!(outcome.rejects[0].place.contains("record 2 (byte "), "{}", outcome.rejects[0].place);
    assert!(outcome.rejects[0].payload.starts_with(b"chr1\t20\tbad"));
}

#[test]
fn bcf_is_the_same_as_vcf() {
    let options = with_info(&["AA", "AF", "DB", "DP"]);
    // noodles decodes percent signs when it reads a VCF; BCF would hold them as they are.
    let text = VCF.replace("a%2Cb", "ab");
    let binary = read(&Sample::new("x.bcf", &to_bcf(&text)).path(), &options);
    let text = read(&Sample::new("x.vcf", text.as_bytes()).path(), &options);
    assert!(binary.error.is_none() && binary.rejects.is_empty(), "{:?} {:?}", binary.error, binary.rejects);
    assert_eq!((text.rows.num_rows(), text.rejects.len()), (4, 2));
    assert_eq!(binary.rows, text.rows);
}

#[test]
fn the_contract_of_sources() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bcf = to_bcf(VCF);
    for (name, bytes) in [("x.vcf", VCF.as_bytes()), ("x.bcf", &bcf)] {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let members = [gzip(first), gzip(second)].concat();
        let expected = read(&Sample::new(name, bytes).path(), &VariantOptions::default());
        for form in [bytes.to_vec(), gzip(bytes), members, bgzip(bytes, 7), bgzip(bytes, 1 << 16)] {
            let sample = Sample::new(name, &form);
            for (batch_rows, bgzf_workers) in [(1, 0), (2, 0), (3, 2), (100, 1)] {
                let options = VariantOptions { batch_rows, bgzf_workers, ..with_info(&["AF"]) };
                let found = read(&sample.path(), &VariantOptions { info: vec![], ..options.clone() });
                assert_eq!(found.rows, expected.rows);
                assert_eq!(found.rejects.len(), expected.rejects.len());
                runtime.block_on(conformance::check(|start| {
                    variants::open(&sample.path(), &VariantOptions { start, ..options.clone() })
                }));
            }
        }
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let sample = Sample::new("x.vcf", VCF.as_bytes());
    let problem = read(&sample.path(), &with_info(&["XX"])).error.unwrap().to_string();
    assert!(problem.ends_with("the header declares no INFO field 'XX'; there are 4 (AA, AF, DB, DP)"), "{problem}");
    let short = VariantOptions { max_record_bytes: 40, ..VariantOptions::default() };
    let problem = read(&sample.path(), &short).error.unwrap().to_string();
    assert!(problem.contains("a line of more than 40 bytes"), "{problem}");
    let fasta = Sample::new("x.vcf", b">a\nACGT\n");
    let problem = read(&fasta.path(), &VariantOptions::default()).error.unwrap().to_string();
    assert!(problem.contains("neither VCF"), "{problem}");
}

/// Adds what differs to a file, for those who run a test with another one.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A value as bcftools prints it: lists with commas, `.` where there is nothing.
fn printed(rows: &RecordBatch, column: &str, row: usize) -> String {
    let array = rows.column_by_name(column).unwrap();
    let Some(list) = array.as_list_opt::<i32>().filter(|list| list.is_valid(row)) else { return one(array, row) };
    let (values, between) = (list.value(row), if column == "filter" { ";" } else { "," });
    let texts: Vec<String> = (0..values.len()).map(|i| one(&values, i)).collect();
    if texts.is_empty() { ".".into() } else { texts.join(between) }
}

fn one(array: &ArrayRef, row: usize) -> String {
    match array.data_type() {
        DataType::UInt64 if array.is_null(row) => "0".into(),
        _ if array.is_null(row) => ".".into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        _ => (array.as_primitive::<UInt64Type>().value(row) + 1).to_string(),
    }
}
