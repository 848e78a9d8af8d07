//! `TAG:value` fields.

/// The fields of a header line: two-character tags, each once.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// Parses what follows the line's type: fields with a tab before each.
    ///
    /// # Errors
    /// When a field is not `TAG:value`, or a tag stands twice.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let mut fields: Vec<(&str, &str)> = vec![];
        let mut parts = text.split('\t');
        if parts.next() != Some("") {
            return Err("a tab must follow the line's type".into());
        }
        for part in parts {
            let (tag, value) = part
                .split_once(':')
                .filter(|(tag, value)| is_tag(tag) && !value.is_empty())
                .ok_or_else(|| format!("'{}' is no field (`TAG:value`)", part.escape_default()))?;
            if value.chars().any(char::is_control) {
                return Err(format!("the value of {tag} has a control character"));
            }
            if fields.iter().any(|(other, _)| *other == tag) {
                return Err(format!("tag {tag} stands twice"));
            }
            fields.push((tag, value));
        }
        Ok(Self(fields))
    }

    /// The value of a tag.
    pub(super) fn get(&self, tag: &str) -> Option<&'a str> {
        self.0.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value)
    }

    /// The value of a tag that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn required(&self, tag: &str) -> Result<&'a str, String> {
        self.get(tag).ok_or_else(|| format!("there is no {tag}"))
    }

    /// Checks a value, if it is there.
    ///
    /// # Errors
    /// When the test says no.
    pub(super) fn check(&self, tag: &str, test: impl FnOnce(&str) -> bool) -> Result<(), String> {
        match self.get(tag) {
            Some(value) if !test(value) => Err(format!("'{}' is no value of {tag}", value.escape_default())),
            _ => Ok(()),
        }
    }
}

/// `[A-Za-z][A-Za-z0-9]`.
fn is_tag(tag: &str) -> bool {
    matches!(tag.as_bytes(), [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphanumeric())
}
