//! Files that are cut short, or whose bytes were changed: an error or a reject, never a panic, and in good time.

use proptest::prelude::*;
use unspool_ingest::variants::VariantOptions;

use super::{VCF, read, to_bcf, with_info};
use crate::samples::Sample;

#[test]
fn files_that_are_cut_short_say_so() {
    let bcf = to_bcf(VCF);
    let rows = read(&Sample::new("x.bcf", &bcf).path(), &VariantOptions::default()).rows.num_rows();
    for cut in 1..bcf.len() {
        let outcome = read(&Sample::new("x.bcf", &bcf[..cut]).path(), &with_info(&[]));
        let whole = outcome.rows.num_rows();
        assert!(outcome.error.is_some() || whole < rows, "{cut} of {} bytes", bcf.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_do_no_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), text: bool) {
        let mut bytes = if text { VCF.as_bytes().to_vec() } else { to_bcf(VCF) };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let outcome = read(&Sample::new("x", &bytes).path(), &VariantOptions::default());
        prop_assert!(outcome.rows.num_rows() + outcome.rejects.len() <= 1000);
    }
}
