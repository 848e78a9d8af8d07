//! Percent-encoded text, as GFF3 and VCF 4.3 have it.

/// Decodes `%XX`; what is no such code stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (vec![], text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_become_bytes() {
        for (text, expected) in
            [("a%2Cb", "a,b"), ("%zz%", "%zz%"), ("%C3%A9", "é"), ("%+1", "%+1"), ("%2", "%2"), ("", "")]
        {
            assert_eq!(super::decoded(text), expected);
        }
    }
}
