//! Regions of indexed files behind HTTP: the same rows as from the disk, and only the blocks that are needed are sent.

mod server;

use std::{fmt::Write as _, fs, path::Path};

use noodles::{bam, sam, sam::alignment::io::Write as _, tabix, vcf};
use unspool_ingest::{
    Decode, Reference, format,
    reads::{self, ReadOptions},
    variants::{self, VariantOptions},
};

use self::server::Server;
use crate::samples::bgzip;

/// Bytes that may be sent for a small region: first block, index and a few pieces of 64 KiB.
const FEW: u64 = 400 << 10;

/// Numbers that look random.
fn noise(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    }
}

/// So many random bases.
fn bases(count: usize, noise: &mut impl FnMut(usize) -> usize) -> String {
    (0..count).map(|_| char::from(b"ACGT"[noise(4)])).collect()
}

/// A bgzip FASTA of one contig, with `.fai` and `.gzi`.
fn write_fasta(folder: &Path) {
    const BLOCK: usize = 50_000;
    let lines = bases(6_000_000, &mut noise(1));
    let lines: String =
        lines.as_bytes().chunks(60).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect();
    let text = format!(">chr1\n{lines}");
    let compressed = bgzip(text.as_bytes(), BLOCK);
    let mut blocks: Vec<(u64, u64)> = vec![];
    let mut at = 0;
    while at < compressed.len() {
        blocks.push((at as u64, (blocks.len() * BLOCK) as u64));
        at += usize::from(u16::from_le_bytes([compressed[at + 16], compressed[at + 17]])) + 1;
    }
    // Neither the first block nor the one that ends the file.
    let listed = &blocks[1..blocks.len() - 1];
    let mut index = (listed.len() as u64).to_le_bytes().to_vec();
    index.extend(listed.iter().flat_map(|(from, to)| [from.to_le_bytes(), to.to_le_bytes()]).flatten());
    fs::write(folder.join("x.fa.gz"), compressed).unwrap();
    fs::write(folder.join("x.fa.gz.gzi"), index).unwrap();
    fs::write(folder.join("x.fa.gz.fai"), "chr1\t6000000\t6\t60\t61\n").unwrap();
}

/// A BAM of many reads, with `.bai`.
fn write_bam(folder: &Path) {
    let mut noise = noise(2);
    let mut text = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:9000000\n".to_owned();
    for read in 0..40_000 {
        let (bases, scores) =
            (bases(100, &mut noise), (0..100).map(|_| char::from(b'!' + noise(90) as u8)).collect::<String>());
        let _ = writeln!(text, "r{read}\t0\tchr1\t{}\t60\t100M\t*\t0\t0\t{bases}\t{scores}", 200 * read + 1);
    }
    let mut reader = sam::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let path = folder.join("x.bam");
    let mut writer = bam::io::Writer::new(fs::File::create(&path).unwrap());
    writer.write_header(&header).unwrap();
    for record in reader.record_bufs(&header) {
        writer.write_alignment_record(&header, &record.unwrap()).unwrap();
    }
    writer.try_finish().unwrap();
    let bam::Index::Bai(index) = bam::fs::index(&path).unwrap() else { panic!("another kind of index") };
    bam::bai::fs::write(folder.join("x.bam.bai"), &index).unwrap();
}

/// A VCF of many variants, with `.tbi`.
fn write_vcf(folder: &Path) {
    let mut noise = noise(3);
    let mut text =
        "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=9000000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
            .to_owned();
    for at in 0..80_000 {
        let _ = writeln!(
            text,
            "chr1\t{}\tv{at}\t{}\t<{}>\t.\t.\t.",
            100 * at + 1,
            bases(1, &mut noise),
            bases(70, &mut noise)
        );
    }
    let path = folder.join("x.vcf.gz");
    fs::write(&path, bgzip(text.as_bytes(), 40_000)).unwrap();
    let vcf::Index::Tabix(index) = vcf::fs::index(&path).unwrap() else { panic!("another kind of index") };
    tabix::fs::write(folder.join("x.vcf.gz.tbi"), &index).unwrap();
}

/// All that a decoder gives, as text.
fn all(decoder: unspool_ingest::Result<Box<dyn Decode>>) -> Result<String, String> {
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    let mut text = String::new();
    while let Some(batch) = decoder.decode().map_err(|error| error.to_string())? {
        assert!(batch.rejects.is_empty(), "{:?}", batch.rejects);
        let _ = write!(text, "{:?}", batch.rows);
    }
    Ok(text)
}

fn rows(path: &Path, region: &str) -> Result<String, String> {
    let region = Some(region.to_owned());
    if path.to_string_lossy().contains(".vcf") {
        return all(variants::decoder(path, &VariantOptions { region, ..VariantOptions::default() }));
    }
    all(reads::decoder(path, &ReadOptions { region, ..ReadOptions::default() }))
}

#[test]
fn regions_over_http_send_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    write_fasta(folder.path());
    write_bam(folder.path());
    write_vcf(folder.path());
    let server = Server::start(folder.path());
    for (name, regions) in [
        ("x.fa.gz", ["chr1:1-10", "chr1:3000001-3000100", "chr1:5999990-"]),
        ("x.bam", ["chr1:1-10", "chr1:4000000-4000200", "chr1:7999801-7999801"]),
        ("x.vcf.gz", ["chr1:1-10", "chr1:3000000-3000400", "chr1:7999900-"]),
    ] {
        let path = folder.path().join(name);
        let size = fs::metadata(&path).unwrap().len();
        assert!(size > 3 * FEW, "{name} has {size} bytes");
        for region in regions {
            let before = server.sent();
            let found = rows(Path::new(&server.url(name)), region).unwrap();
            let sent = server.sent() - before;
            assert_eq!(found, rows(&path, region).unwrap(), "{name} {region}");
            assert!(sent < FEW, "{name} {region}: {sent} of {size} bytes");
        }
    }
    // Read on, it comes in growing pieces.
    let (before, asked) = (server.sent(), server.questions());
    let whole = |path: &Path| all(reads::decoder(path, &ReadOptions::default())).unwrap();
    assert!(whole(Path::new(&server.url("x.bam"))) == whole(&folder.path().join("x.bam")));
    let (sent, questions) = (server.sent() - before, server.questions() - asked);
    let size = fs::metadata(folder.path().join("x.bam")).unwrap().len();
    assert!(sent < size + size / 20 && questions < 20, "{sent} bytes in {questions} questions");
}

#[test]
fn references_may_be_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.fa"), ">a\nACGT\n>b\nGG\n").unwrap();
    let server = Server::start(folder.path());
    // Within a runtime, too, whose threads must not wait.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found =
        runtime.block_on(async { Reference::open(Path::new(&server.url("x.fa"))).unwrap().contig("b").unwrap() });
    assert_eq!(found.as_deref(), Some(&b"GG"[..]));
    let facts = format::describe(Path::new(&server.url("x.fa"))).unwrap();
    assert!(facts.contains(&("size".into(), "14 bytes".into())), "{facts:?}");
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.bam"), bgzip(b"BAM\x01", 9)).unwrap();
    fs::write(folder.path().join("x.fa"), ">a\nACGT\n").unwrap();
    let server = Server::start(folder.path());
    for (name, expected) in [
        ("none.bam", "there is no such object"),
        ("x.fa", "make it with `samtools faidx`"),
        ("forbidden.fa", "looking: "),
    ] {
        let url = server.url(name);
        let problem = rows(Path::new(&url), "a").unwrap_err();
        assert!(problem.starts_with(&url) && problem.contains(expected), "{problem}");
    }
    let problem = rows(Path::new("ftp://host/x.fa"), "a").unwrap_err();
    assert!(problem.contains("give file:///"), "{problem}");
}
