//! A small deflate compressor with the fixed code, for tar headers.
//!
//! A header between two spliced files is a gzip member of its own. For half a kilobyte of mostly zeros the fixed code is
//! as short as any, and a compressor of zlib's kind spends more time on clearing its tables than on the bytes.
//!
//! # Spec
//! RFC 1951, 3.2.5 and 3.2.6.

const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
const HASH_BITS: u32 = 10;
const NONE: u16 = u16::MAX;

/// The shortest length of each length code from 257 on, with the number of extra bits.
const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// Compresses at most 32 KiB to a complete deflate stream. Part of the format of layers: another choice of matches gives
/// other digests.
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    debug_assert!(
        bytes.len() <= 32 << 10,
        "distances are not limited otherwise"
    );
    let mut bits = Bits::default();
    // The last block, with the fixed code.
    bits.put(0b011, 3);
    let mut last = [NONE; 1 << HASH_BITS];
    let mut at = 0;
    while at < bytes.len() {
        let earlier = remember(&mut last, bytes, at);
        let length = earlier.map_or(0, |earlier| common(bytes, earlier, at));
        match earlier {
            Some(earlier) if length >= MIN_MATCH => {
                put_match(&mut bits, length, at - earlier);
                // A run of zeros is full of places that nobody will look for.
                for inside in at + 1..at + length.min(32) {
                    remember(&mut last, bytes, inside);
                }
                at += length;
            }
            _ => {
                put_symbol(&mut bits, bytes[at].into());
                at += 1;
            }
        }
    }
    put_symbol(&mut bits, 256);
    bits.finish()
}

/// Notes what begins at `at`; the last place where the same three bytes (or others of the same hash) began.
fn remember(last: &mut [u16; 1 << HASH_BITS], bytes: &[u8], at: usize) -> Option<usize> {
    let three = bytes.get(at..at + MIN_MATCH)?;
    let key = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
    let slot = &mut last[(key.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize];
    let earlier = std::mem::replace(slot, at as u16);
    (earlier != NONE).then_some(earlier.into())
}

/// How many bytes from the two places on are the same, as far as a match can say.
fn common(bytes: &[u8], earlier: usize, at: usize) -> usize {
    let most = MAX_MATCH.min(bytes.len() - at);
    (0..most)
        .find(|index| bytes[earlier + index] != bytes[at + index])
        .unwrap_or(most)
}

fn put_match(bits: &mut Bits, length: usize, distance: usize) {
    let code = LENGTHS.partition_point(|(shortest, _)| usize::from(*shortest) <= length) - 1;
    let (shortest, extra) = LENGTHS[code];
    put_symbol(bits, 257 + code as u16);
    bits.put((length - usize::from(shortest)) as u32, extra.into());
    // From code 4 on, each power of two has two codes.
    let distance = (distance - 1) as u32;
    let (code, extra) = if distance < 4 {
        (distance, 0)
    } else {
        let extra = distance.ilog2() - 1;
        (2 * extra + (distance >> extra), extra)
    };
    bits.put_code(code, 5);
    bits.put(distance & ((1 << extra) - 1), extra);
}

/// Writes a literal or length symbol in the fixed code.
fn put_symbol(bits: &mut Bits, symbol: u16) {
    let symbol = u32::from(symbol);
    match symbol {
        0..=143 => bits.put_code(0x30 + symbol, 8),
        144..=255 => bits.put_code(0x190 + symbol - 144, 9),
        256..=279 => bits.put_code(symbol - 256, 7),
        _ => bits.put_code(0xc0 + symbol - 280, 8),
    }
}

/// Bits, packed from the lowest of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    /// Numbers go lowest bit first; at most 16 bits.
    fn put(&mut self, value: u32, count: u32) {
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Codes go highest bit first.
    fn put_code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.held as u8);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn back(deflated: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = flate2::bufread::DeflateDecoder::new(deflated);
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(reader.total_in(), deflated.len() as u64);
        bytes
    }

    /// Every length of a match and every power of two as a distance occurs.
    #[test]
    fn all_lengths_and_distances_come_back() {
        for length in 0..600 {
            let zeros = vec![0; length];
            assert_eq!(back(&deflate(&zeros)), zeros);
        }
        for distance in 1..2000_usize {
            let mut bytes = b"abcdef".to_vec();
            bytes.extend((6..distance).map(|index| ((index * index) >> 3) as u8 | 0x80));
            bytes.extend(b"abcdef\xff");
            assert_eq!(back(&deflate(&bytes)), bytes, "{distance}");
        }
    }

    #[test]
    fn bytes_without_order_come_back() {
        let mut state = 1_u32;
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..32 << 10 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push((state >> 24) as u8);
        }
        assert_eq!(back(&deflate(&bytes)), bytes);
    }
}
