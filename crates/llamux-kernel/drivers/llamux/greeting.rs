// SPDX-License-Identifier: GPL-2.0-only

//! The line in the log with which the model greets: made by itself, of facts, and checked against them.
//!
//! Small models say much that is not so. A line is refused that is not one short line of printable text, or
//! that has any number that is none of the facts; then nothing is said.

use core::fmt::Write;

use kernel::prelude::*;

use crate::sys;

/// Longest greeting in bytes.
const LONGEST: usize = 120;
/// Shortest one that says anything.
const SHORTEST: usize = 8;
/// Most words of the command line that the model is told.
const WORDS: usize = 6;
/// Numbers that are not written in digits.
const NUMERALS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "dozen", "twenty", "thirty", "forty", "fifty", "sixty", "hundred", "thousand", "million",
    "billion",
];

/// Words that are true at some hours only: from the first to before the second.
const DAY: &[(&str, u64, u64)] = &[
    ("morning", 4, 12),
    ("noon", 11, 14),
    ("afternoon", 12, 18),
    ("evening", 17, 24),
    ("night", 20, 24),
    ("night", 0, 5),
    ("midnight", 23, 24),
    ("midnight", 0, 1),
];

/// How others have greeted.
const EXAMPLES: &str = "Each computer greets its user when it starts, in one short line.\n\n\
    Hour: 7. Memory: 2048 MiB. Processors: 4. Command line: quiet.\n\
    Greeting: Good morning! All 4 processors are awake, and I will be quiet.\n\n\
    Hour: 22. Memory: 96 MiB. Processors: 1. Command line: console, debug.\n\
    Greeting: Good evening, I have 96 MiB of memory and all of it is yours.\n\n\
    Hour: 13. Memory: 16384 MiB. Processors: 16. Command line: root, nosmt.\n\
    Greeting: Hello, it is past 13 and there is work to do.\n\n";

/// What the model is told.
pub(crate) struct Facts {
    /// The hour, in UTC.
    hour: u64,
    /// Memory in MiB.
    memory: u64,
    /// Processors that are online.
    cpus: u64,
    /// The kernel's command line.
    command_line: &'static [u8],
}

impl Facts {
    /// As they are now.
    pub(crate) fn collect() -> Self {
        let facts = sys::boot_facts();
        Self {
            hour: facts.seconds / 3600 % 24,
            memory: facts.memory >> 20,
            cpus: facts.cpus,
            command_line: facts.command_line,
        }
    }

    /// Names of what the command line sets.
    fn words(&self) -> impl Iterator<Item = &'static str> {
        let words = self.command_line.split(|b| b.is_ascii_whitespace());
        let names = words.filter_map(|word| word.split(|&b| b == b'=').next());
        let plain = |name: &&[u8]| {
            !name.is_empty()
                && name
                    .iter()
                    .all(|b| b.is_ascii_alphabetic() || b"._-".contains(b))
        };
        names
            .filter(plain)
            .filter_map(|name| core::str::from_utf8(name).ok())
            .take(WORDS)
    }

    /// Writes the beginning of a text that goes on with a greeting. Small models follow examples better than
    /// instructions.
    pub(crate) fn ask(&self, out: &mut dyn Write) -> core::fmt::Result {
        let Self {
            hour, memory, cpus, ..
        } = self;
        out.write_str(EXAMPLES)?;
        write!(
            out,
            "Hour: {hour}. Memory: {memory} MiB. Processors: {cpus}. Command line:"
        )?;
        for (index, word) in self.words().enumerate() {
            write!(out, "{} {word}", if index == 0 { "" } else { "," })?;
        }
        out.write_str(".\nGreeting:")
    }

    /// The greeting in an answer, if it is one.
    pub(crate) fn checked<'a>(&self, answer: &'a [u8]) -> Option<&'a str> {
        let text = core::str::from_utf8(answer).ok()?;
        let text = text.lines().next()?.trim();
        let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !printable || !(SHORTEST..=LONGEST).contains(&text.len()) {
            return None;
        }
        if !text.ends_with(['.', '!', '?']) {
            return None;
        }
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let mut words = words.filter(|word| !word.is_empty()).peekable();
        let mut facts = 0;
        while let Some(word) = words.next() {
            if word.bytes().any(|b| b.is_ascii_digit()) {
                let fact = match words.peek().copied().unwrap_or("") {
                    "MiB" => self.memory,
                    "processor" | "processors" => self.cpus,
                    _ => self.hour,
                };
                if word.parse() != Ok(fact) {
                    return None;
                }
                facts += 1;
            }
            let is = |other: &str| word.eq_ignore_ascii_case(other);
            let mut times = DAY.iter().filter(|(other, ..)| is(other)).peekable();
            let untimely = times.peek().is_some()
                && !times.any(|(_, from, end)| (*from..*end).contains(&self.hour));
            if untimely || NUMERALS.iter().any(|other| is(other)) {
                return None;
            }
        }
        (facts > 0).then_some(text)
    }
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_greeting)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        hour: 7,
        memory: 2048,
        cpus: 4,
        command_line: b"console=ttyS0 quiet llamux.threads=2 x86=1 secret\xff a.b",
    };

    #[test]
    fn only_what_is_true_is_said() {
        for line in [
            "Good morning, it is 7 and all is well.",
            "Hello! I have 2048 MiB of memory and 4 processors.",
            " Hello, it is 7.\nHour: 8.",
        ] {
            assert!(FACTS.checked(line.as_bytes()).is_some());
        }
        for line in [
            "",
            "Hello.",
            "Hello, how are you today?",
            "Hello, it is 8 and all is well.",
            "Hello, I have 2048MB of memory.",
            "Hello, I have 4 processors and two disks.",
            "Hello, I have 7 processors.",
            "Hello, I have 4 MiB of memory.",
            "Good evening, I have 4 processors.",
            "Hello, it is 7.5 and all is well.",
            "Hello, it is 7 and all is well",
            "\nHello, it is 7 and all is well.",
            "Hello, it is 7, \x1b[31mred.",
            "Hallo, es ist 7 und sch\u{f6}n.",
        ] {
            assert!(FACTS.checked(line.as_bytes()).is_none());
        }
        assert!(FACTS.checked(b"Hello, it is 7 \xff.").is_none());
        let long = [b'7'; LONGEST + 1];
        assert!(FACTS.checked(&long).is_none());
    }

    #[test]
    fn the_command_line_is_told_by_names() {
        assert!(FACTS
            .words()
            .eq(["console", "quiet", "llamux.threads", "a.b"]));
    }
}
