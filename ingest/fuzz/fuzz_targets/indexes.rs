//! Any bytes as the index beside a sound file: FAI, GZI, BAI, CSI, TBI and CRAI, by the first byte. Reading a region ends, in rows or
//! an error.
#![no_main]

use std::{env, fs, io::Write as _, path::PathBuf, process, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use noodles::{bam, bgzf, cram, fasta, sam, sam::alignment::io::Write as _};
use unspool_ingest::{
    Decode, Position, Result,
    reads::{self, ReadOptions},
    variants::{self, VariantOptions},
};

const FASTA: &str = ">r1\nACGTACGT\nACGTACGT\nAC\n>r2\nTTTT\n";
const SAM: &str = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:r1\tLN:4000\n\
    a\t0\tr1\t1\t60\t4M\t*\t0\t0\tACGT\tIIII\nb\t0\tr1\t3000\t60\t4M\t*\t0\t0\tACGT\tIIII\nc\t4\t*\t0\t0\t*\t*\t0\t0\tAC\tII\n";
const VCF: &str = "##fileformat=VCFv4.3\n##contig=<ID=r1,length=4000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n\
    r1\t5\t.\tA\tC\t.\t.\t.\nr1\t3000\t.\tA\tC\t.\t.\t.\n";

/// The sound files: their names, and the ending of the index.
const KINDS: [(&str, &str); 6] =
    [("x.fa", "fai"), ("x.fa.gz", "gzi"), ("x.bam", "bai"), ("x.bam", "csi"), ("x.vcf.gz", "tbi"), ("x.cram", "crai")];
/// The reference of the CRAM file, in its folder.
const REFERENCE: &str = "r.fasta";

/// The folder of this process, with a folder for each kind and the sound file in it.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = env::temp_dir().join(format!("unspool-fuzz-indexes-{}", process::id()));
    for (number, (name, _)) in KINDS.iter().enumerate() {
        let within = folder.join(number.to_string());
        fs::create_dir_all(&within).expect("a folder can be made");
        let bytes = match *name {
            "x.fa" => FASTA.into(),
            "x.fa.gz" => bgzip(FASTA.as_bytes()),
            "x.bam" => bam_of(SAM),
            "x.cram" => cram_of(SAM),
            _ => bgzip(VCF.as_bytes()),
        };
        fs::write(within.join(name), bytes).expect("a file can be written");
        fs::write(within.join(REFERENCE), format!(">r1\n{}\n", bases())).expect("a file can be written");
        fs::write(within.join("x.fa.gz.fai"), "r1\t18\t4\t8\t9\nr2\t4\t29\t4\t5\n").expect("a file can be written");
    }
    folder
});

fn bgzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = bgzf::io::Writer::new(vec![]);
    for bytes in bytes.chunks(20) {
        writer.write_all(bytes).and_then(|()| writer.flush()).expect("memory takes it");
    }
    writer.finish().expect("memory takes it")
}

fn bam_of(text: &str) -> Vec<u8> {
    let mut reader = sam::io::Reader::new(text.as_bytes());
    let header = reader.read_header().expect("a header");
    let mut writer = bam::io::Writer::new(vec![]);
    writer.write_header(&header).expect("memory takes it");
    for record in reader.record_bufs(&header) {
        writer.write_alignment_record(&header, &record.expect("a record")).expect("memory takes it");
    }
    writer.try_finish().expect("memory takes it");
    writer.into_inner().into_inner()
}

/// The bases of `r1`.
fn bases() -> String {
    "ACGT".repeat(1000)
}

fn cram_of(text: &str) -> Vec<u8> {
    let mut reader = sam::io::Reader::new(text.as_bytes());
    let header = reader.read_header().expect("a header");
    let definition = fasta::record::Definition::new("r1", None);
    let record = fasta::Record::new(definition, bases().into_bytes().into());
    let builder = cram::io::writer::Builder::default();
    let builder = builder.set_reference_sequence_repository(fasta::Repository::new(vec![record]));
    let mut writer = builder.build_from_writer(vec![]);
    writer.write_header(&header).expect("memory takes it");
    for record in reader.record_bufs(&header) {
        writer.write_alignment_record(&header, &record.expect("a record")).expect("memory takes it");
    }
    writer.try_finish(&header).expect("memory takes it");
    writer.into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let number = usize::from(*first) % KINDS.len();
    let (name, ending) = KINDS[number];
    let path = FOLDER.join(number.to_string()).join(name);
    // Three kinds are compressed: their content is what is of interest.
    let index = if matches!(ending, "csi" | "tbi" | "crai") { bgzip(bytes) } else { bytes.to_vec() };
    fs::write(FOLDER.join(number.to_string()).join(format!("{name}.{ending}")), index).expect("a file can be written");
    for region in ["r1:3-3500", "r2", "*"] {
        let region = Some(region.to_owned());
        let open = |start: Option<Position>| -> Result<Box<dyn Decode>> {
            if ending == "tbi" {
                let options =
                    VariantOptions { region: region.clone(), batch_rows: 1, start, ..VariantOptions::default() };
                return variants::decoder(&path, &options);
            }
            let reference = (ending == "crai").then(|| path.with_file_name(REFERENCE));
            let small = ReadOptions { batch_rows: 1, piece_bases: 5, reference, ..ReadOptions::default() };
            reads::decoder(&path, &ReadOptions { region: region.clone(), start, ..small })
        };
        // An index that lies may lead anywhere, also when reading goes on; but it leads to an end.
        for position in drained(open(None)) {
            drained(open(Some(position)));
        }
    }
});

/// Reads to the end or an error; the positions on the way.
fn drained(decoder: Result<Box<dyn Decode>>) -> Vec<Position> {
    let mut positions = vec![];
    if let Ok(mut decoder) = decoder {
        while let Ok(Some(batch)) = decoder.decode() {
            positions.push(batch.next);
        }
    }
    positions
}
