// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes to standard output.

use std::io::{self, IsTerminal as _, Write as _};

use crate::Failure;

/// Writes `text` and a newline, if it does not end in one.
///
/// On a terminal, control characters are replaced: what a model says must not drive the terminal.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let safe;
    let text = if stdout.is_terminal() {
        safe = text.replace(is_unsafe, "\u{fffd}");
        &safe
    } else {
        text
    };
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{newline}").and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|e| Failure::io("standard output", &e)),
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_unsafe_and_text_is_not() {
        assert!("\x1b\r\x07\u{9b}\x7f\0".chars().all(is_unsafe));
        assert!(!"a\tb\né 漢 🦙".contains(is_unsafe));
    }
}
