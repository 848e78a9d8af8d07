//! The records of a file of variants, one at a time, whatever its format.

use super::{
    VariantFormat, bcf,
    header::Header,
    info::Wanted,
    region::{Selection, Wants},
    rows::Columns,
    vcf,
};
use crate::{Result, one_by_one::OneByOne, reads::input::Input};

/// What is read of a file, and what its header says.
pub(super) struct Asked {
    pub(super) format: VariantFormat,
    pub(super) header: Header,
    pub(super) wanted: Vec<Wanted>,
    pub(super) region: Option<Selection>,
    /// The longest record, in bytes.
    pub(super) most: usize,
}

/// The records of one file.
pub(super) struct Sites {
    input: Input,
    asked: Asked,
    /// The record at hand: a line, or the part of a BCF record before its samples.
    bytes: Vec<u8>,
    mark: u64,
}

impl Sites {
    pub(super) fn new(input: Input, asked: Asked) -> Self {
        Self { input, asked, bytes: vec![], mark: 0 }
    }

    /// Reads the next record's bytes; `false` at the end of the file.
    fn read(&mut self) -> Result<bool> {
        self.bytes.clear();
        self.mark = self.input.mark();
        match self.asked.format {
            VariantFormat::Vcf => self.input.read_line(&mut self.bytes, self.asked.most),
            VariantFormat::Bcf => bcf::read(&mut self.input, &mut self.bytes, self.asked.most),
        }
    }

    /// Whether the record at hand is asked for. What has no place is, so that it is reported; an empty line is none.
    fn wants(&self) -> Wants {
        let Some(region) = &self.asked.region else {
            return if self.bytes.is_empty() { Wants::No } else { Wants::Yes };
        };
        let place = match self.asked.format {
            VariantFormat::Vcf if self.bytes.is_empty() => return Wants::No,
            VariantFormat::Vcf => vcf::place(&self.bytes),
            VariantFormat::Bcf => bcf::place(&self.bytes, &self.asked.header),
        };
        place.map_or(Wants::Yes, |(contig, place)| region.wants(contig, place))
    }
}

impl OneByOne for Sites {
    type Columns = Columns;

    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(region) = &mut self.asked.region
                && !region.chunks.go_on(&mut self.input)?
            {
                return Ok(false);
            }
            if !self.read()? {
                return Ok(false);
            }
            match self.wants() {
                Wants::Yes => return Ok(true),
                Wants::Past => return Ok(false),
                Wants::No => {}
            }
        }
    }

    fn push(&self, columns: &mut Columns) -> Result<usize, String> {
        let Asked { format, header, wanted, .. } = &self.asked;
        let site = match format {
            VariantFormat::Vcf => vcf::parse(&self.bytes, header, wanted)?,
            VariantFormat::Bcf => bcf::parse(&self.bytes, header, wanted)?,
        };
        Ok(columns.push(&site))
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn input(&self) -> &Input {
        &self.input
    }
}
