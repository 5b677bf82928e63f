// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts from the command line and from files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Replaces `\n`, `\t`, `\r` and `\\`. What follows another backslash stays, and so does it.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// The texts of a file, one a line, with escapes.
pub fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read as UTF-8 text", path.display()))?;
    // Not `lines`, which would take a carriage return away too.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.split('\n').map(unescape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes() {
        for (text, expected) in [
            ("plain", "plain"),
            (r"a\nb\tc\rd\\e", "a\nb\tc\rd\\e"),
            (r"\\n", r"\n"),
            (r"\d\", r"\d\"),
            (r"日\n本", "日\n本"),
        ] {
            assert_eq!(unescape(text), expected);
        }
    }
}
