// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From ranges of characters to ranges of bytes.
//!
//! UTF-8: the Unicode Standard, section 3.9, table 3-6. A range of characters is cut where the
//! number of bytes changes, and then until each of its bytes is any of a range, whatever the others
//! are.

/// Hands out rows of ranges of bytes, each of which stands for a part of the range of characters.
pub(super) fn byte_ranges(first: u32, last: u32, out: &mut impl FnMut(&[(u8, u8)])) {
    // The last characters of one, two and three bytes.
    for end in [0x7f, 0x7ff, 0xffff] {
        if first <= end && end < last {
            byte_ranges(first, end, out);
            return byte_ranges(end + 1, last, out);
        }
    }
    // The characters that share all but their last one, two or three bytes.
    for bits in [6, 12, 18] {
        let mask = (1u32 << bits) - 1;
        if first > 0x7f && first & !mask != last & !mask {
            if first & mask != 0 {
                byte_ranges(first, first | mask, out);
                return byte_ranges((first | mask) + 1, last, out);
            }
            if last & mask != mask {
                byte_ranges(first, (last & !mask) - 1, out);
                return byte_ranges(last & !mask, last, out);
            }
        }
    }
    let (mut low, mut high) = ([0; 4], [0; 4]);
    let (Some(first), Some(last)) = (char::from_u32(first), char::from_u32(last)) else {
        return;
    };
    let low = first.encode_utf8(&mut low).as_bytes();
    let high = last.encode_utf8(&mut high).as_bytes();
    let mut ranges = [(0, 0); 4];
    for (range, bytes) in ranges.iter_mut().zip(low.iter().zip(high)) {
        *range = (*bytes.0, *bytes.1);
    }
    out(&ranges[..low.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the ranges have exactly the characters of the range, checked at its ends.
    fn check(first: u32, last: u32) {
        let mut rows: Vec<Vec<(u8, u8)>> = vec![];
        byte_ranges(first, last, &mut |row| rows.push(row.to_vec()));
        let fits = |c: char| {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            rows.iter()
                .filter(|row| {
                    row.len() == bytes.len()
                        && row.iter().zip(bytes).all(|(r, b)| (r.0..=r.1).contains(b))
                })
                .count()
        };
        let near = |c: u32| c.saturating_sub(70)..=c + 70;
        let ends = [0x7f, 0x7ff, 0xffff, 0x3ffff];
        let all = near(first)
            .chain(near(last))
            .chain(ends.into_iter().flat_map(near));
        for c in all.filter_map(char::from_u32) {
            let expected = (first..=last).contains(&u32::from(c));
            assert_eq!(fits(c), usize::from(expected), "{first:x} {last:x} {c:?}");
        }
    }

    #[test]
    fn each_character_of_a_range_is_there_once_and_no_other() {
        for (first, last) in [
            (0, 0),
            (0, 0x7f),
            (0x41, 0x5a),
            (0x7f, 0x80),
            (0x80, 0x7ff),
            (0, 0xd7ff),
            (0xe000, 0x10ffff),
            (0x3041, 0x309f),
            (0x3fe, 0x1001),
            (0xffff, 0x10000),
            (0x1f600, 0x1f64f),
            (0xfffe, 0x10ffff),
            (0x10ffff, 0x10ffff),
        ] {
            check(first, last);
        }
    }
}
