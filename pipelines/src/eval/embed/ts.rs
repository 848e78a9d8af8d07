//! The text format of the UCR/UEA archive: `@` lines, then a case a line, channels parted by colons, its label last.

/// A case with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Values of each channel; NaN where missing.
    pub channels: Vec<Vec<f64>>,
    /// Its class.
    pub label: String,
}

/// Reads a file's text.
///
/// # Errors
/// Says what is wrong, and in which line.
pub fn parse(text: &str) -> Result<Vec<Labelled>, String> {
    let mut cases: Vec<Labelled> = vec![];
    let mut data = false;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        let fail = |problem: String| format!("line {}: {problem}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('@') {
            let mut words = line.split_whitespace().map(str::to_ascii_lowercase);
            let (key, value) = (words.next().unwrap_or_default(), words.next());
            data |= key == "@data";
            if key == "@timestamps" && value.as_deref() == Some("true") {
                return Err(fail("series with time stamps are not read".into()));
            }
            continue;
        }
        if !data {
            return Err(fail("a case before @data".into()));
        }
        let (channels, label) = line.rsplit_once(':').ok_or_else(|| fail("no label after a colon".into()))?;
        let number = |cell: &str| match cell.trim() {
            "?" | "NaN" => Ok(f64::NAN),
            cell => cell.parse().map_err(|_| fail(format!("'{cell}' is no number"))),
        };
        let channel = |text: &str| text.split(',').map(number).collect::<Result<Vec<f64>, String>>();
        let channels = channels.split(':').map(channel).collect::<Result<Vec<_>, String>>()?;
        if cases.first().is_some_and(|first| first.channels.len() != channels.len()) {
            return Err(fail(format!("{} channels, not as many as the case before", channels.len())));
        }
        cases.push(Labelled { channels, label: label.trim().into() });
    }
    if cases.is_empty() { Err("it holds no case".into()) } else { Ok(cases) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_complaints() {
        let text =
            "# a comment\n@problemName X\n@timeStamps false\n@classLabel true a b\n@data\n1,2.5,?:3:a\n-1e3:4,5:b\n";
        let cases = parse(text).expect("reads");
        let found: Vec<String> = cases.iter().map(|case| format!("{:?} {}", case.channels, case.label)).collect();
        assert_eq!(found, ["[[1.0, 2.5, NaN], [3.0]] a", "[[-1000.0], [4.0, 5.0]] b"]);
        let check = |text: &str, expected: &str| assert_eq!(parse(text), Err(expected.into()), "{text}");
        check("@data\n", "it holds no case");
        check("1,2:a\n", "line 1: a case before @data");
        check("@data\n1,2\n", "line 2: no label after a colon");
        check("@data\n1,x:a\n", "line 2: 'x' is no number");
        check("@data\n1:2:a\n3:b\n", "line 3: 1 channels, not as many as the case before");
        check("@timeStamps true\n", "line 1: series with time stamps are not read");
    }
}
