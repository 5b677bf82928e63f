// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts that others wrote: names of processes, lines of logs, paths. They are data, and are shown so.

/// Most bytes that are kept of a text.
pub const MAX_BYTES: usize = 512;

/// Text of bytes that need not be UTF-8: what is none is written as `\xNN`. It is cut, with "…" at its end,
/// where it is longer than [`MAX_BYTES`].
pub fn decode(bytes: &[u8]) -> String {
    // What is cut off below cannot be seen, so it need not be decoded.
    let cut = bytes.len() > MAX_BYTES;
    let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
    let mut out = String::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        out.push_str(chunk.valid());
        let broken_by_cut = cut && chunks.peek().is_none();
        if !broken_by_cut {
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02X}"));
            }
        }
    }
    if cut || out.len() > MAX_BYTES {
        out.truncate(floor(&out, MAX_BYTES));
        out.push('…');
    }
    out
}

/// A text as it may be shown on one line of a terminal: whatever could drive the terminal, begin a line, or
/// turn the direction of writing, is written as an escape.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unsafe(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// At most so many characters of a text, with "…" in place of the rest.
pub fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(characters.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Whether a character does something else than to appear.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Directions of writing, and what nobody sees.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The largest place up to `place` where a character begins or the text ends.
fn floor(text: &str, place: usize) -> usize {
    let mut place = place.min(text.len());
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_survive_as_escapes() {
        for (bytes, text) in [
            (&b"bash"[..], "bash"),
            (b"a\xffb", "a\\xFFb"),
            (b"\xf0\x9f\xa6\x99", "🦙"),
            (b"\xf0\x9f\xa6", "\\xF0\\x9F\\xA6"),
            (b"", ""),
        ] {
            assert_eq!(decode(bytes), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for unit in ["a", "ü", "漢", "🦙", "a🦙"] {
            let text = decode(unit.repeat(1000).as_bytes());
            assert!(text.len() <= MAX_BYTES + '…'.len_utf8(), "{unit}");
            assert!(text.ends_with('…') && !text.contains('\\'), "{unit}");
        }
        assert!(decode(&[0xff; 10_000]).len() <= MAX_BYTES + '…'.len_utf8());
        assert_eq!(shortened("four", 4), "four");
        assert_eq!(shortened("fives", 4), "fiv…");
    }

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        let text = "\x1b]0;owned\x07\u{9b}31m\r\nx\t\u{202e}gnp\u{200b}\u{7f}";
        let shown = shown(text);
        assert!(!shown.chars().any(is_unsafe), "{shown}");
        assert!(shown.starts_with("\\u{1b}]0;owned\\u{7}"), "{shown}");
        assert_eq!(super::shown("é 漢 🦙"), "é 漢 🦙");
    }
}
