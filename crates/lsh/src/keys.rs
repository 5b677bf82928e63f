// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Keys, from what a terminal sends.

use vte::{Params, Parser, Perform};

/// A key, as far as a dialogue wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// The key that deletes the character before the cursor.
    Backspace,
    /// Escape, alone.
    Escape,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    EndOfFile,
    /// Any other.
    Other,
}

/// The keys of what one read of the terminal gave.
///
/// Nobody presses several keys at once: more than one of them are a paste.
pub(crate) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut collect = Collect(Vec::new());
    // An escape that nothing follows is the key of this name: terminals send what begins with it at once.
    if bytes == b"\x1b" {
        return vec![Key::Escape];
    }
    Parser::new().advance(&mut collect, bytes);
    collect.0
}

/// Takes what the parser finds.
struct Collect(Vec<Key>);

impl Perform for Collect {
    fn print(&mut self, c: char) {
        self.0.push(match c {
            '\x7f' => Key::Backspace,
            c => Key::Char(c),
        });
    }

    fn execute(&mut self, byte: u8) {
        self.0.push(match byte {
            b'\r' | b'\n' => Key::Enter,
            b'\x08' | b'\x7f' => Key::Backspace,
            b'\x03' => Key::Interrupt,
            b'\x04' => Key::EndOfFile,
            _ => Key::Other,
        });
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        // How some shells have terminals tell modified keys: "CSI code ; modifiers u", "CSI 27 ; modifiers ; code ~".
        let numbers: Vec<u16> = params.iter().map(|param| param[0]).collect();
        let (code, modifiers) = match (action, &numbers[..]) {
            ('u', [code]) => (*code, 1),
            ('u', [code, modifiers]) | ('~', [27, modifiers, code]) => (*code, *modifiers),
            _ => (0, 0),
        };
        self.0.push(match (code, modifiers) {
            (27, 1) => Key::Escape,
            (13, 1) => Key::Enter,
            (127, 1) => Key::Backspace,
            (99, 5) => Key::Interrupt,
            (100, 5) => Key::EndOfFile,
            _ => Key::Other,
        });
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, _: u8) {
        self.0.push(Key::Other);
    }
}

/// The text of what a program wrote to a terminal, without what moves and colours.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut plain = Plain::default();
    Parser::new().advance(&mut plain, bytes);
    plain.done
}

/// Takes text, and lines that were written over.
#[derive(Default)]
struct Plain {
    done: String,
    /// Where the current line begins.
    line: usize,
    /// Whether the cursor is at its beginning, and what comes replaces it.
    back: bool,
}

impl Perform for Plain {
    fn print(&mut self, c: char) {
        if std::mem::take(&mut self.back) {
            self.done.truncate(self.line);
        }
        self.done.push(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.done.push('\n');
                self.line = self.done.len();
                self.back = false;
            }
            b'\r' => self.back = true,
            b'\t' => self.print('\t'),
            b'\x08' if self.done.len() > self.line => drop(self.done.pop()),
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        for (bytes, expected) in [
            (&b"r"[..], vec![Key::Char('r')]),
            (b"\x1b", vec![Key::Escape]),
            (b"\x1b[A", vec![Key::Other]),
            (b"\x1bOA", vec![Key::Other, Key::Char('A')]),
            (b"\x1bl", vec![Key::Other]),
            (b"\x1b[27u", vec![Key::Escape]),
            (b"\x1b[99;5u", vec![Key::Interrupt]),
            (b"\x1b[27;5;99~", vec![Key::Interrupt]),
            (b"\x1b[114;3u", vec![Key::Other]),
            (b"\x1b[3~", vec![Key::Other]),
            (b"\x1b[;;;u", vec![Key::Other]),
            (b"\r", vec![Key::Enter]),
            (b"\x03", vec![Key::Interrupt]),
            (b"\x7f", vec![Key::Backspace]),
            ("ü".as_bytes(), vec![Key::Char('ü')]),
            (b"ab", vec![Key::Char('a'), Key::Char('b')]),
            (b"", vec![]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn output_becomes_text() {
        for (bytes, expected) in [
            (&b"ls: cannot access 'x'\r\n"[..], "ls: cannot access 'x'\n"),
            (
                b"\x1b[31merror\x1b[0m: no\x1b]0;title\x07!\r\n",
                "error: no!\n",
            ),
            (b"10 %\r50 %\r100 %\r\n", "100 %\n"),
            (b"ab\x08c", "ac"),
            (b"\xff\xfe broken", "\u{fffd}\u{fffd} broken"),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }
}
