//! Header lines and what is said of them.

use super::*;

fn check(lines: &[&str], expected: &[(u64, bool, &str)]) {
    let mut header = Header::default();
    for line in lines {
        header.add(line.as_bytes());
    }
    let (_, faults) = header.finish();
    assert_eq!(faults.len(), expected.len(), "{lines:?}: {faults:?}");
    for (fault, (line, fatal, reason)) in faults.iter().zip(expected) {
        assert!(fault.line == *line && fault.fatal == *fatal && fault.reason.contains(reason), "{lines:?}: {fault:?}");
    }
}

#[test]
fn faults_of_header_lines() {
    check(&["@HD\tVN:1.6\tSO:coordinate", "@SQ\tSN:a\tLN:10", "@CO\tanything\u{2603}", "@CO"], &[]);
    check(&["@SQ\tSN:a\tLN:10", "@HD\tVN:1.6"], &[(2, false, "first line")]);
    check(&["@SQ\tSN:a\tLN:0"], &[(1, true, "length '0'")]);
    check(&["@SQ\tSN:a\tLN:4294967296"], &[(1, true, "length")]);
    check(&["@SQ\tSN:a"], &[(1, true, "no LN")]);
    check(&["@SQ\tSN:a\tLN:1", "@SQ\tSN:a\tLN:2"], &[(2, true, "two references 'a'")]);
    check(&["@SQ\tSN:a\tLN:1\tM5:x"], &[(1, false, "M5")]);
    check(&["@SQ\tSN:a\tLN:1\tAN:b", "@SQ\tSN:b\tLN:1"], &[(1, false, "alternative name 'b'")]);
    check(&["@RG\tID:1\tPL:illumina"], &[(1, false, "'illumina' is no value of PL")]);
    check(&["@RG\tID:1\tDT:2020-06-23T12:13:47+0100", "@RG\tID:2\tDT:2020-23-06"], &[(2, false, "DT")]);
    check(&["@PG\tID:a\tPP:b", "@PG\tID:b"], &[]);
    check(&["@PG\tID:a\tPP:c"], &[(1, false, "'c' has no @PG")]);
    check(&["@XY\tID:a"], &[(1, false, "no '@XY' lines")]);
    check(&["@RG ID:a"], &[(1, false, "a tab")]);
    check(&["@"], &[(1, false, "too short")]);
}
