// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes to standard output.

use std::io::{self, IsTerminal as _, Write as _};

use crate::Failure;

/// Writes `text` and a newline, if it does not end in one.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stream = Stream {
        newline: true,
        failure: None,
    };
    stream.part(text);
    stream.finish()
}

/// Writes a text in parts, as they come.
///
/// On a terminal, control characters are replaced: what a model says must not drive the terminal.
#[derive(Default)]
pub(crate) struct Stream {
    /// Whether what was written is not the end of a line.
    newline: bool,
    failure: Option<io::Error>,
}

impl Stream {
    /// Writes a part. Whether it could be written.
    pub(crate) fn part(&mut self, text: &str) -> bool {
        let mut stdout = io::stdout().lock();
        let safe;
        let text = if stdout.is_terminal() {
            safe = text.replace(is_unsafe, "\u{fffd}");
            &safe
        } else {
            text
        };
        if !text.is_empty() {
            self.newline = !text.ends_with('\n');
        }
        let result = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        self.failure = self.failure.take().or(result.err());
        self.failure.is_none()
    }

    /// Ends the last line.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if self.newline {
            self.part("\n");
        }
        match self.failure {
            // The reader has seen enough.
            Some(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(e) => Err(Failure::io("standard output", &e)),
            None => Ok(()),
        }
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
