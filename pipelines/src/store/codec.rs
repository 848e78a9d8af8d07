//! Little-endian numbers and byte strings with their lengths: the base of the log's records, the rows and the snapshots.

/// Bytes that are not what was written; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} expected")]
pub(super) struct Malformed(pub &'static str);

/// Writes.
#[derive(Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Its length, then it.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// How many, then they.
    pub(super) fn f64s(&mut self, values: &[f64]) -> &mut Self {
        self.u64(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    /// How many, then they.
    pub(super) fn f32s(&mut self, values: &[f32]) -> &mut Self {
        self.u64(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    /// How many, then they.
    pub(super) fn u32s(&mut self, values: &[u32]) -> &mut Self {
        self.u64(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }
}

/// Reads what a [`Writer`] wrote; every length is checked against what is there before anything is allocated.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed(what))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.take(1, what)?[0])
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let bytes = self.take(8, what)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| Malformed(what))
    }

    pub(super) fn len(&mut self, what: &'static str) -> Result<usize, Malformed> {
        usize::try_from(self.u64(what)?).map_err(|_| Malformed(what))
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.len(what)?;
        self.take(len, what)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| Malformed(what))
    }

    pub(super) fn f64s(&mut self, what: &'static str) -> Result<Vec<f64>, Malformed> {
        self.numbers(what, f64::from_le_bytes)
    }

    pub(super) fn f32s(&mut self, what: &'static str) -> Result<Vec<f32>, Malformed> {
        self.numbers(what, f32::from_le_bytes)
    }

    pub(super) fn u32s(&mut self, what: &'static str) -> Result<Vec<u32>, Malformed> {
        self.numbers(what, u32::from_le_bytes)
    }

    fn numbers<T, const N: usize>(&mut self, what: &'static str, of: fn([u8; N]) -> T) -> Result<Vec<T>, Malformed> {
        let len = self.len(what)?.checked_mul(N).ok_or(Malformed(what))?;
        let (numbers, _) = self.take(len, what)?.as_chunks::<N>();
        Ok(numbers.iter().map(|bytes| of(*bytes)).collect())
    }

    /// Nothing follows.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("the end")) }
    }
}
