//! Values as text.

/// Why a text is no value.
pub(crate) fn parse(text: &str) -> Result<Option<f64>, String> {
    if is_missing(text) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if value.is_finite() => Ok(Some(value)),
        Ok(_) => Err(format!("'{}' is not finite", shown(text))),
        Err(_) => Err(format!("'{}' is not a number", shown(text))),
    }
}

/// Whether a text stands for a value that is not there.
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty()
        || text == "?"
        || ["na", "nan", "null", "none", "n/a", "#n/a", "<na>"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The first characters of a text, for errors.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_missing_values_and_the_rest() {
        for (text, expected) in [("1", 1.0), ("-2.5e3", -2500.0), (".5", 0.5), ("+7", 7.0)] {
            assert_eq!(parse(text), Ok(Some(expected)), "{text}");
        }
        for text in ["", "NA", "NaN", "-nan", "null", "?", "None", "N/A"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
        for text in ["inf", "-Infinity", "1e999", "1,5", "0x10", "1 2", "abc"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
