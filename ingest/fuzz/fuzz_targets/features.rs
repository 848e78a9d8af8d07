//! BED, GFF3 and GTF, by the first byte.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::features::{self, FeatureFormat, FeatureOptions};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let format = [FeatureFormat::Bed, FeatureFormat::Gff3, FeatureFormat::Gtf][usize::from(first % 3)];
    file::check(bytes, |path, start| {
        let attributes =
            if format == FeatureFormat::Bed { vec![] } else { vec!["ID".to_owned(), "gene_id".to_owned()] };
        let options =
            FeatureOptions { format: Some(format), attributes, batch_rows: 3, start, ..FeatureOptions::default() };
        features::decoder(path, &options)
    });
});
