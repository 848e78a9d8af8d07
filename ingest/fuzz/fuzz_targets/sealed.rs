//! Checksums of CRAM files (CRAM 3, "Container header structure" and "Block structure"), made right.

/// Bytes of the file's definition: magic, version, id.
const DEFINITION: usize = 26;

/// Writes the checksum of every container's header and of every block, as far as lengths can be followed: whatever else was
/// changed the decoder is reached.
pub fn seal(bytes: &mut [u8]) {
    let mut at = DEFINITION;
    while let Some(blocks) = header(bytes, at) {
        let end = blocks.end.min(bytes.len());
        let mut next = blocks.start;
        while next < end {
            let Some(after) = block(&mut bytes[..end], next) else { break };
            next = after;
        }
        at = blocks.end;
    }
}

/// Seals the header of the container at a place, and tells where its blocks lie.
fn header(bytes: &mut [u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    let mut end = at + 4;
    for _ in 0..4 {
        itf8(bytes, &mut end)?; // reference, start, span, records
    }
    for _ in 0..2 {
        // The records before, bases: LTF-8 tells its length by the ones that its first byte begins with.
        end += 1 + bytes.get(end)?.leading_ones() as usize;
    }
    itf8(bytes, &mut end)?; // blocks
    for _ in 0..itf8(bytes, &mut end)?.clamp(0, 1 << 16) {
        itf8(bytes, &mut end)?; // landmarks
    }
    sum(bytes, at..end)?;
    let start = end + 4;
    Some(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// Seals the block at a place, and tells where it ends.
fn block(bytes: &mut [u8], at: usize) -> Option<usize> {
    let mut end = at + 2;
    itf8(bytes, &mut end)?; // content
    let size = itf8(bytes, &mut end)?;
    itf8(bytes, &mut end)?; // size before compression
    end = end.checked_add(usize::try_from(size).ok()?)?;
    sum(bytes, at..end)?;
    Some(end + 4)
}

/// Writes the CRC-32 of some bytes behind them.
fn sum(bytes: &mut [u8], of: std::ops::Range<usize>) -> Option<()> {
    let sum = crc32fast::hash(bytes.get(of.clone())?);
    bytes.get_mut(of.end..of.end + 4)?.copy_from_slice(&sum.to_le_bytes());
    Some(())
}

/// Reads a number of one to five bytes, as many as its first byte says.
fn itf8(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = *bytes.get(*at)?;
    let more = first.leading_ones().min(4) as usize;
    let rest = bytes.get(*at + 1..*at + 1 + more)?;
    let low = |bits: u32| u32::from(first) & ((1 << bits) - 1);
    let value = match more {
        4 => rest[..3].iter().fold(low(4), |value, byte| value << 8 | u32::from(*byte)) << 4 | u32::from(rest[3] & 15),
        _ => rest.iter().fold(low(7 - more as u32), |value, byte| value << 8 | u32::from(*byte)),
    };
    *at += 1 + more;
    Some(value.cast_signed())
}
