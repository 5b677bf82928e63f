// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Haiku: three lines of five, seven and five syllables, for the end of a trace.
//!
//! A haiku here is made of the words of one list, whose syllables are known: in small letters, with one
//! space between words, and a line break between lines. [`check`] counts them. [`table`] writes the list
//! as a compiled grammar, in which there is nothing else than such haiku, so that a model that keeps to it
//! can say what it likes and be right.
//!
//! The list is generated: `tests/haiku.rs` says from what, and fails when it is not up to date.

mod pool;
pub mod table;
mod words;

use core::fmt;

pub use pool::built_in;

use crate::sampler::Sampling;

/// Syllables of the lines.
pub const LINES: [u32; 3] = [5, 7, 5];
/// Most bytes of a haiku that is kept.
pub const MAX_BYTES: usize = 160;

/// How to choose the words.
pub const SAMPLING: Sampling = Sampling {
    temperature_milli: 900,
    top_k: 40,
    top_p_milli: 950,
    min_p_milli: 30,
    repeat_penalty_milli: 1150,
    seed: 0,
};

/// What a haiku is about: what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access to a page at address 0.
    Null,
    /// No memory is left.
    Memory,
    /// A processor does not come out of a loop, or waits for ever.
    Lockup,
    /// A task waits for too long.
    Hung,
    /// Code has found that something is as it must not be.
    Bug,
    /// Anything else.
    Generic,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Null,
        Self::Memory,
        Self::Lockup,
        Self::Hung,
        Self::Bug,
        Self::Generic,
    ];

    /// Its number in [`Kind::ALL`].
    pub fn index(self) -> usize {
        // CAST: A small number.
        self as usize
    }

    /// What is to be written about.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Null => "a pointer to nothing",
            Self::Memory => "a memory that is full",
            Self::Lockup => "a machine that turns for ever and never answers",
            Self::Hung => "a task that waits and is not called",
            Self::Bug => "a mistake that nobody believed in",
            Self::Generic => "a machine that stops",
        }
    }

    /// The kind of a panic by its message, as the kernel's callers of panic() write it.
    pub fn of_panic(message: &[u8]) -> Self {
        // User Mode Linux has no oopses: it panics with the address.
        const FAULT: &[u8] = b"Kernel mode fault at addr 0x";
        if let Some(rest) = message.strip_prefix(FAULT) {
            let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit());
            // Three digits are an address within the first page.
            return match digits.count() {
                1..=3 => Self::Null,
                _ => Self::Generic,
            };
        }
        let has = |words: &[&[u8]]| {
            words
                .iter()
                .any(|word| message.windows(word.len()).any(|part| part == *word))
        };
        if has(&[b"hung_task", b"blocked tasks"]) {
            Self::Hung
        } else if has(&[b"LOCKUP", b"lockup", b"RCU Stall", b"watchdog", b"stall"]) {
            Self::Lockup
        } else if has(&[b"ut of memory", b"deadlocked on memory"]) {
            Self::Memory
        } else if has(&[b"BUG"]) {
            Self::Bug
        } else {
            Self::Generic
        }
    }
}

/// Why a text is no haiku.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has not three lines.
    Lines,
    /// A line has not the syllables that it must have; the line, counted from 0, and what it has.
    Syllables {
        /// The line.
        line: usize,
        /// Its syllables.
        syllables: u32,
    },
    /// A line has a word that is not in the list.
    Word {
        /// The line.
        line: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => f.write_str("it has not three lines"),
            Self::Syllables { line, syllables } => {
                write!(f, "line {} has {syllables} syllables", line + 1)
            }
            Self::Word { line } => write!(f, "line {} has a word that is not known", line + 1),
        }
    }
}

impl core::error::Error for Fault {}

/// The syllables of a word of the list.
pub fn syllables(word: &str) -> Option<u32> {
    let lists = (1..).zip(words::WORDS);
    lists
        .filter(|(_, list)| list.split(' ').any(|known| known == word))
        .map(|(count, _)| count)
        .next()
}

/// Counts the syllables of a text.
pub fn check(text: &str) -> Result<(), Fault> {
    let mut wanted = LINES.into_iter();
    for (line, words) in text.split('\n').enumerate() {
        let Some(wanted) = wanted.next() else {
            return Err(Fault::Lines);
        };
        let mut count = 0;
        for word in words.split(' ') {
            // OVERFLOW: A word of a text adds 4 at most.
            count += syllables(word).ok_or(Fault::Word { line })?;
        }
        if count != wanted {
            return Err(Fault::Syllables {
                line,
                syllables: count,
            });
        }
    }
    match wanted.next() {
        None => Ok(()),
        Some(_) => Err(Fault::Lines),
    }
}

/// Writes what asks a model for a haiku, with others as examples.
pub fn ask<'o>(
    kind: Kind,
    examples: &mut dyn Iterator<Item = &'o str>,
    out: &mut dyn fmt::Write,
) -> fmt::Result {
    let subject = kind.subject();
    writeln!(out, "These are haiku about {subject}:")?;
    for example in examples {
        write!(out, "\n{example}\n")?;
    }
    write!(
        out,
        "\nWrite a new haiku about {subject}, in other words, calm and clear."
    )
}

/// Words that no line ends with, as something must follow them.
const LOOSE: &[&str] = &[
    "a", "although", "an", "and", "as", "at", "because", "but", "by", "can", "could", "each",
    "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is",
    "it", "its", "may", "might", "must", "my", "no", "nor", "of", "on", "onto", "or", "shall",
    "she", "should", "so", "such", "than", "that", "the", "their", "they", "this", "though",
    "till", "to", "unless", "until", "upon", "very", "we", "what", "when", "where", "which",
    "while", "who", "whom", "whose", "will", "with", "without", "would", "your",
];

/// Whether a haiku is worth being kept: it fits, says nothing twice, each line comes to an end, and no line
/// of it is in any of `others`.
pub fn is_new<'o>(text: &str, others: &mut dyn Iterator<Item = &'o str>) -> bool {
    let mut words = text.split([' ', '\n']);
    let mut before = words.next();
    let stammers = words.any(|word| before.replace(word) == Some(word));
    let mut lines = text.lines();
    let repeats = lines.next() == lines.nth(1);
    let last = |line: &str| {
        line.rsplit(' ')
            .next()
            .is_some_and(|word| LOOSE.contains(&word))
    };
    let like = |other: &str| {
        other
            .lines()
            .any(|line| text.lines().any(|new| new == line))
    };
    for other in others {
        if like(other) {
            return false;
        }
    }
    !stammers && !repeats && !text.lines().any(last) && text.len() <= MAX_BYTES
}
