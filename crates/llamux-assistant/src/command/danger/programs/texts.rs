// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What takes texts apart, and editors.

use std::iter::Peekable;
use std::str::Chars;

use crate::command::syntax::{apart, Word};

use super::super::{ChangesFiles, Effect, NeedsCare, Told, Unknown};
use super::{FILES, READS};

pub(super) fn texts(name: &str, told: Told<'_>) -> Option<Effect> {
    Some(match name {
        "sed" => sed(told),
        "awk" | "gawk" | "mawk" | "nawk" => awk(told),
        "sort" | "shuf" if told.has('o', "output") => FILES,
        "uniq"
            if told
                .operands()
                .filter(|word| !word.text.chars().all(|c| c.is_ascii_digit()))
                .count()
                > 1 =>
        {
            FILES
        }
        "tree" if told.says(&["-o"]) => FILES,
        "xxd" if told.operands().count() > 1 => FILES,
        "iconv" if told.has('o', "output") => FILES,
        "yq" if told.has('i', "inplace") => FILES,
        "pdftotext" if told.operands().any(|word| word.text == "-") => READS,
        "split" | "csplit" => (ChangesFiles, "writes pieces to files"),
        "vim" | "vi" | "nvim" | "ex" | "emacs" | "ed" | "view" => {
            let commands = |word: &Word| {
                word.text.starts_with("+!")
                    || word.text.starts_with(":!")
                    || word.text.contains("system(")
                    || word.text.starts_with("!")
            };
            if told.0.iter().any(commands) {
                (NeedsCare, "runs a command from an editor")
            } else if told.short('c') || told.short('S') || told.says(&["--eval", "--batch", "-es"])
            {
                (Unknown, "runs what an editor is told")
            } else {
                (ChangesFiles, "opens an editor")
            }
        }
        _ => return None,
    })
}

/// The programs that a program for texts is given: in options, or else as its first operand.
fn scripts(told: Told<'_>, options: &[&str], others: &[&str]) -> Vec<Word> {
    let (mut scripts, operands) = apart(told.0, options, others);
    if scripts.is_empty() {
        scripts.extend(operands.into_iter().next());
    }
    scripts
}

/// Whether a word is one variable or the output of one command, so that nothing of it is known before it runs.
fn only_computed(word: &Word) -> bool {
    let text = word.text.as_str();
    let name = text.strip_prefix('$').unwrap_or_default();
    let name = match name.strip_prefix('{') {
        Some(name) => name.strip_suffix('}').unwrap_or_default(),
        None => name,
    };
    let variable = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let command = text.starts_with("$(") && text.ends_with(')') || text.starts_with('`');
    !word.known && (variable || command)
}

fn sed(told: Told<'_>) -> Effect {
    let others = ["-f", "--file", "-l", "--line-length"];
    let from_file = told.flag('f', "file");
    let scripts = if from_file && !told.flag('e', "expression") {
        vec![]
    } else {
        scripts(told, &["-e", "--expression"], &others)
    };
    let (mut runs, mut writes, mut odd) = (false, false, from_file);
    for script in &scripts {
        // Not every sed lets the delimiter stand between brackets.
        let readings = [false, true].map(|brackets| Sed::read(&script.text, brackets));
        odd |= only_computed(script) || script.known && readings.iter().all(|sed| sed.odd);
        // With an error in its script it does nothing.
        for sed in readings.iter().filter(|sed| !sed.odd || !script.known) {
            runs |= sed.runs;
            writes |= sed.writes;
        }
    }
    if runs {
        (NeedsCare, "runs what it finds in a text")
    } else if odd {
        (Unknown, "runs a script")
    } else if told.flag('i', "in-place") {
        (ChangesFiles, "changes files in place")
    } else if writes {
        FILES
    } else {
        READS
    }
}

fn awk(told: Told<'_>) -> Effect {
    let others = [
        "-f",
        "--file",
        "-F",
        "--field-separator",
        "-v",
        "--assign",
        "-i",
        "--include",
        "-l",
        "--load",
        "-E",
        "--exec",
    ];
    let loads = told.letters().iter().any(|letter| "fElD".contains(*letter))
        || ["file", "exec", "load", "debug"]
            .iter()
            .any(|name| told.long(name));
    let programs = if loads && !told.letter('e') {
        vec![]
    } else {
        scripts(told, &["-e", "--source"], &others)
    };
    let writes = ["> \"", ">\"", "print > ", "print $0 > ", ">> "];
    if programs.iter().any(|program| awk_runs(&program.text)) {
        (NeedsCare, "runs commands that it puts together")
    } else if loads || programs.iter().any(only_computed) {
        (Unknown, "runs a script")
    } else if told.0.iter().any(|word| word.text.ends_with("inplace"))
        || programs
            .iter()
            .any(|program| writes.iter().any(|part| program.text.contains(part)))
    {
        FILES
    } else {
        READS
    }
}

/// Whether a program of `awk` has a pipe or calls `system`, outside its strings and patterns.
fn awk_runs(program: &str) -> bool {
    if program.contains("system(") || program.contains("system (") {
        return true;
    }
    let mut code = String::new();
    let mut rest = program.chars().peekable();
    while let Some(character) = rest.next() {
        let before = code.trim_end().chars().next_back();
        let divides = |before: char| before.is_ascii_alphanumeric() || "_)]$\"".contains(before);
        match character {
            '"' => skip(&mut rest, '"'),
            '/' if !before.is_some_and(divides) => skip_pattern(&mut rest, '/', true),
            '#' => {
                rest.by_ref().find(|character| *character == '\n');
            }
            '|' if rest.next_if_eq(&'|').is_some() => code.push_str("||"),
            '|' | '@' => return true,
            _ => {}
        }
        code.push(character);
    }
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| word == "system")
}

/// Skips what is in front of the next of these characters that has no backslash, and that one.
fn skip(rest: &mut Peekable<Chars<'_>>, end: char) {
    while let Some(character) = rest.next() {
        if character == '\\' {
            rest.next();
        } else if character == end {
            break;
        }
    }
}

/// Skips a pattern, in which the character that ends it may stand between brackets. A backslash there is one to `sed`
/// and quotes to `awk`.
fn skip_pattern(rest: &mut Peekable<Chars<'_>>, end: char, quotes: bool) {
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                rest.next();
            }
            _ if character == end => break,
            '[' => {
                rest.next_if_eq(&'^');
                rest.next_if_eq(&']');
                skip_brackets(rest, quotes);
            }
            _ => {}
        }
    }
}

fn skip_brackets(rest: &mut Peekable<Chars<'_>>, quotes: bool) {
    while let Some(character) = rest.next() {
        match character {
            ']' => break,
            '\\' if quotes => {
                rest.next();
            }
            // A class, as in `[[:space:]]`.
            '[' if rest.next_if_eq(&':').is_some() => {
                skip(rest, ':');
                rest.next_if_eq(&']');
            }
            _ => {}
        }
    }
}

/// What a script of `sed` does.
#[derive(Default)]
struct Sed {
    /// Whether the delimiter may stand between brackets.
    brackets: bool,
    runs: bool,
    writes: bool,
    /// Whether there is something in it that is none of its commands.
    odd: bool,
}

impl Sed {
    fn read(script: &str, brackets: bool) -> Self {
        let mut sed = Self {
            brackets,
            ..Self::default()
        };
        let mut rest = script.chars().peekable();
        while rest.peek().is_some() && !sed.odd {
            sed.address(&mut rest);
            if let Some(command) = rest.next() {
                sed.command(command, &mut rest);
            }
        }
        sed
    }

    fn command(&mut self, command: char, rest: &mut Peekable<Chars<'_>>) {
        let rest_is = match command {
            '{' | '}' => Rest::More,
            's' | 'y' => self.substitute(rest, command == 's'),
            'e' => {
                self.runs = true;
                Rest::Line
            }
            'w' | 'W' => {
                self.writes = true;
                Rest::Line
            }
            'a' | 'i' | 'c' | 'r' | 'R' | '#' | 'v' => Rest::Line,
            'b' | 't' | 'T' | ':' | 'q' | 'Q' | 'l' | 'L' => Rest::Word,
            '=' | 'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'n' | 'N' | 'p' | 'P' | 'x' | 'z' | 'F' => {
                Rest::More
            }
            _ => {
                self.odd = true;
                Rest::More
            }
        };
        match rest_is {
            Rest::Line => skip(rest, '\n'),
            Rest::Word => while rest.next_if(|next| !";}\n".contains(*next)).is_some() {},
            Rest::More => {}
        }
    }

    /// Reads what `s` and `y` are told.
    fn substitute(&mut self, rest: &mut Peekable<Chars<'_>>, flags: bool) -> Rest {
        let Some(delimiter) = rest.next() else {
            self.odd = true;
            return Rest::More;
        };
        self.pattern(rest, delimiter);
        skip(rest, delimiter);
        while let Some(flag) = rest.next_if(|next| flags && "egiImMpw0123456789".contains(*next)) {
            match flag {
                'e' => self.runs = true,
                'w' => {
                    self.writes = true;
                    return Rest::Line;
                }
                _ => {}
            }
        }
        let ends = |next: &char| next.is_whitespace() || ";}#".contains(*next);
        self.odd |= !rest.peek().is_none_or(ends);
        Rest::More
    }

    fn pattern(&self, rest: &mut Peekable<Chars<'_>>, end: char) {
        if self.brackets {
            skip_pattern(rest, end, false);
        } else {
            skip(rest, end);
        }
    }

    /// Skips the lines that a command is for, and what stands between commands.
    fn address(&self, rest: &mut Peekable<Chars<'_>>) {
        let between = |next: &char| {
            next.is_ascii_digit() || next.is_whitespace() || "$,;!+~IM/\\".contains(*next)
        };
        while let Some(character) = rest.next_if(between) {
            match character {
                '/' => self.pattern(rest, '/'),
                '\\' => {
                    if let Some(delimiter) = rest.next() {
                        self.pattern(rest, delimiter);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What of the rest of a script belongs to a command.
enum Rest {
    More,
    Word,
    Line,
}
