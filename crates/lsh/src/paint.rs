// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lines for a terminal: styled, wrapped to its width, and taken away again.

use unicode_width::UnicodeWidthChar as _;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the terminal has it.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// Emphasised.
    Bold,
    /// The name of a program.
    Program,
    /// An option.
    Option,
    /// A quoted text.
    Quoted,
    /// What joins commands, and variables.
    Operator,
    /// All is well.
    Good,
    /// To be looked at.
    Warning,
    /// Dangerous.
    Danger,
}

impl Style {
    /// The parameters of "select graphic rendition".
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Program => "1;32",
            Self::Option => "36",
            Self::Quoted => "33",
            Self::Operator => "35",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Danger => "1;31",
        }
    }
}

/// A text with styles.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Text(Vec<(char, Style)>);

impl Text {
    /// A text of one style.
    pub(crate) fn new(text: &str, style: Style) -> Self {
        Self::default().and(text, style)
    }

    /// Adds a piece. What would drive the terminal is replaced.
    #[must_use]
    pub(crate) fn and(mut self, text: &str, style: Style) -> Self {
        let safe = text.chars().map(|c| match c {
            '\n' => c,
            '\t' => ' ',
            c if c.is_control() || is_invisible(c) => '\u{fffd}',
            c => c,
        });
        self.0.extend(safe.map(|c| (c, style)));
        self
    }

    /// The lines of it: none wider than `width` columns, broken at blanks where that is possible.
    fn lines(&self, width: usize) -> Vec<&[(char, Style)]> {
        let mut lines = Vec::new();
        for line in self.0.split(|&(c, _)| c == '\n') {
            let mut rest = line;
            loop {
                let end = fits(rest, width);
                if end == rest.len() {
                    lines.push(rest);
                    break;
                }
                let blank = rest[..end + 1].iter().rposition(|&(c, _)| c == ' ');
                // A blank far to the left is left alone: then there is a word that is as long as a line.
                let at = blank.filter(|&at| at > end / 2).unwrap_or(end);
                lines.push(&rest[..at]);
                rest = &rest[at..];
                if let [(' ', _), more @ ..] = rest {
                    rest = more;
                }
            }
        }
        lines
    }
}

/// How many characters fit into so many columns: at least one.
fn fits(line: &[(char, Style)], width: usize) -> usize {
    let mut used = 0;
    let fit = line.iter().take_while(|(c, _)| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    fit.count().max(1).min(line.len())
}

/// Characters that change how others appear and are none themselves: they can make a command look like another.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Whether a text has characters that cannot be shown as they are.
pub(crate) fn hides_something(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && c != '\n' && c != '\t') || is_invisible(c))
}

/// What a terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Whether there are colours.
    pub(crate) colour: bool,
    /// Whether the cursor can be moved.
    pub(crate) moves: bool,
}

impl Look {
    /// What the environment says about a terminal of this size.
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let term = std::env::var_os("TERM").unwrap_or_default();
        let dumb = term.is_empty() || term == "dumb";
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            // A terminal that does not tell its size has none.
            width: if columns < 20 {
                80
            } else {
                usize::from(columns)
            },
            height: if rows < 6 { 24 } else { usize::from(rows) },
            colour: !dumb && !no_colour,
            moves: !dumb,
        }
    }
}

/// Some lines at the bottom of what was written so far, which can be replaced.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Widths of the lines that are there.
    widths: Vec<usize>,
}

/// How far the lines are from the left.
const INDENT: usize = 2;

impl Block {
    /// Replaces the lines by these. The cursor stays behind the last one.
    pub(crate) fn draw(&mut self, texts: &[Text], look: Look) -> String {
        let mut out = self.erase(look);
        let (bytes, widths) = paint(texts, look);
        self.widths = widths;
        out.push_str(&bytes);
        out
    }

    /// Takes the lines away. The cursor stays where they began.
    pub(crate) fn erase(&mut self, look: Look) -> String {
        let widths = std::mem::take(&mut self.widths);
        if widths.is_empty() {
            return String::new();
        }
        if !look.moves {
            return "\r\n".to_owned();
        }
        // A terminal that became narrower has broken the lines.
        let rows: usize = widths
            .iter()
            .map(|width| width.div_ceil(look.width).max(1))
            .sum();
        let up = rows - 1;
        match up {
            0 => "\r\x1b[J".to_owned(),
            up => format!("\r\x1b[{up}A\x1b[J"),
        }
    }

    /// Leaves the lines where they are, and begins below.
    pub(crate) fn keep(&mut self) -> &'static str {
        if std::mem::take(&mut self.widths).is_empty() {
            ""
        } else {
            "\r\n"
        }
    }
}

/// How many rows the texts take.
pub(crate) fn rows(texts: &[Text], look: Look) -> usize {
    texts.iter().map(|text| text.lines(inner(look)).len()).sum()
}

fn inner(look: Look) -> usize {
    // The last column stays free: there, terminals differ.
    look.width.saturating_sub(INDENT + 1).max(1)
}

/// The lines as a terminal in raw mode takes them, and how wide they are.
fn paint(texts: &[Text], look: Look) -> (String, Vec<usize>) {
    let mut out = String::new();
    let mut widths = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines(inner(look))) {
        if !widths.is_empty() {
            out.push_str("\r\n");
        }
        out.extend([' '; INDENT]);
        let mut style = Style::Plain;
        let mut width = INDENT;
        for &(c, wanted) in line {
            if look.colour && wanted != style {
                out.push_str("\x1b[0");
                if !wanted.code().is_empty() {
                    out.push(';');
                    out.push_str(wanted.code());
                }
                out.push('m');
                style = wanted;
            }
            out.push(c);
            width += c.width().unwrap_or(0);
        }
        if style != Style::Plain {
            out.push_str("\x1b[0m");
        }
        widths.push(width);
    }
    (out, widths)
}

/// A command in colours. It is looked at roughly, for the eye alone.
pub(crate) fn command(command: &str) -> Text {
    let mut text = Text::default();
    let mut rest = command;
    let mut begins = true;
    while let Some(c) = rest.chars().next() {
        let (len, style) = match c {
            '\'' => (quoted(rest, '\''), Style::Quoted),
            '"' => (quoted(rest, '"'), Style::Quoted),
            '|' | ';' | '&' | '\n' | '(' | ')' | '<' | '>' => {
                begins = !matches!(c, '<' | '>' | ')');
                (c.len_utf8(), Style::Operator)
            }
            '$' => (word(rest).min(rest.len()), Style::Operator),
            c if c.is_whitespace() => (c.len_utf8(), Style::Plain),
            '-' => (word(rest), Style::Option),
            _ => {
                let len = word(rest);
                let style = if begins { Style::Program } else { Style::Plain };
                // What follows one of these is a command again, and so is what follows an assignment.
                let again = [
                    "sudo", "doas", "xargs", "time", "nice", "env", "exec", "then", "do", "else",
                    "!",
                ];
                let word = &rest[..len];
                begins = begins && (again.contains(&word) || word.contains('='));
                (len, style)
            }
        };
        if matches!(style, Style::Quoted | Style::Option) {
            begins = begins && style == Style::Option;
        }
        let (piece, more) = rest.split_at(len);
        text = text.and(piece, style);
        rest = more;
    }
    text
}

/// Bytes of the word that a text begins with.
fn word(text: &str) -> usize {
    let end = |c: char| {
        c.is_whitespace() || matches!(c, '|' | ';' | '&' | '(' | ')' | '<' | '>' | '\'' | '"')
    };
    let first = text.chars().next().map_or(0, char::len_utf8);
    text[first..].find(end).map_or(text.len(), |at| at + first)
}

/// Bytes of the quoted text that a text begins with.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == mark && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped && mark == '"';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        width: 23,
        height: 24,
        colour: false,
        moves: true,
    };

    #[test]
    fn lines_are_broken_at_blanks_and_erased_by_their_number() {
        let mut block = Block::default();
        let texts = [
            Text::new("one two three four five six", Style::Dim),
            Text::new("abcdefghijklmnopqrstuvwxyz", Style::Plain),
        ];
        let drawn = block.draw(&texts, LOOK);
        assert_eq!(
            drawn,
            "  one two three four\r\n  five six\r\n  abcdefghijklmnopqrst\r\n  uvwxyz"
        );
        assert_eq!(rows(&texts, LOOK), 4);
        assert_eq!(block.erase(LOOK), "\r\x1b[3A\x1b[J");
        assert_eq!(block.erase(LOOK), "");
    }

    #[test]
    fn wide_characters_count_twice_and_nothing_panics_where_nothing_fits() {
        let text = Text::new("漢字漢字漢字漢字漢字漢字", Style::Plain);
        assert_eq!(rows(std::slice::from_ref(&text), LOOK), 2);
        let narrow = Look { width: 1, ..LOOK };
        assert_eq!(rows(&[text], narrow), 12);
    }

    #[test]
    fn what_would_drive_the_terminal_is_replaced() {
        let text = Text::new("a\x1b[2Jb\u{202e}c\u{9b}", Style::Plain);
        let (out, _) = paint(&[text], LOOK);
        assert_eq!(out, "  a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert!(hides_something("ls \u{200b}x") && hides_something("a\rb"));
        assert!(!hides_something("ls 'ä 漢'\n\tpwd"));
    }

    #[test]
    fn commands_are_coloured_and_keep_their_text() {
        for line in [
            "du -ah . | sort -rh | head -n 5",
            "find . -name '*.c' -exec grep -l \"a \\\" b\" {} +",
            "A=1 sudo apt install x && echo \"$HOME\" > 'a",
            "for i in *; do echo $i; done",
            "ü ' \"",
            "",
            "$",
            "-",
        ] {
            let text = command(line);
            let plain: String = text.0.iter().map(|&(c, _)| c).collect();
            assert_eq!(plain, line);
        }
        let styles = |line: &str| -> Vec<Style> {
            let text = command(line);
            text.0.iter().map(|&(_, style)| style).collect()
        };
        assert_eq!(styles("ls -l")[0], Style::Program);
        assert_eq!(styles("ls -l")[3], Style::Option);
        assert_eq!(styles("ls x|wc")[5..], [Style::Program, Style::Program]);
        assert_eq!(styles("sudo rm x")[5], Style::Program);
        assert_eq!(styles("sudo rm x")[8], Style::Plain);
    }
}
