// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Grammars that answers keep to.
//!
//! A grammar is written in GBNF, the notation of llama.cpp, whose rules look like
//! `root ::= "yes" | "no"`:
//!
//! | | |
//! | --- | --- |
//! | `name ::= …` | a rule; `root` is what the whole answer must be |
//! | `"text"` | these characters |
//! | `[a-z_]`, `[^"\\]` | one of these characters, one that is not among these |
//! | `.` | any character |
//! | `name` | what that rule says |
//! | `a b`, <code>a &#124; b</code>, `(…)` | one after the other, one or the other, taken together |
//! | `*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}` | how often the thing before may come |
//! | `\n`, `\r`, `\t`, `\\`, `\"`, `\[`, `\]`, `\xXX`, `\uXXXX`, `\UXXXXXXXX` | a character, in a text or a range |
//! | `<text>`, `<[number]>`, `!<text>` | one token of the model's vocabulary, any token but that one |
//! | `# …` | a comment |
//!
//! A rule ends with its line, except within parentheses and behind `|`.
//!
//! The kernel takes compiled grammars: [`Grammar::new`] turns each rule into an automaton over bytes,
//! and refuses, saying where, what can not be one: rules that are not there, that begin with
//! themselves, or that never end, and grammars whose automata would be too large.

mod automaton;
mod parse;
mod utf8;
mod writer;

use std::fmt::{self, Write as _};

pub use llamux_engine::grammar::table::MAX_BYTES;

/// Longest grammar in bytes of text.
pub const MAX_TEXT: usize = 1 << 20;

/// A text as GBNF writes it, between quotation marks. Works for any text.
pub fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            // Writing to a string does not fail.
            _ => drop(write!(out, "\\U{:08X}", u32::from(character))),
        }
    }
    out.push('"');
    out
}

/// A compiled grammar.
///
/// ```
/// let grammar = llamux::Grammar::new(r#"root ::= "yes" | "no""#)?;
/// assert!(grammar.table().len() < 1000);
///
/// let error = llamux::Grammar::new("root ::= answer").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 10: there is no rule \"answer\"");
/// # Ok::<(), llamux::GrammarError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    table: Vec<u8>,
}

impl Grammar {
    /// Compiles a grammar.
    pub fn new(text: &str) -> Result<Self, GrammarError> {
        if text.len() > MAX_TEXT {
            return Err(GrammarError::whole(format!(
                "the grammar has {} bytes, and may have {MAX_TEXT}",
                text.len()
            )));
        }
        let rules = parse::Rules::parse(text)?;
        let automaton = automaton::Automaton::new(&rules)?;
        Ok(Self {
            table: writer::table(&automaton)?,
        })
    }

    /// Its bytes, as the kernel takes them.
    pub fn table(&self) -> &[u8] {
        &self.table
    }
}

/// Why a grammar was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarError {
    at: Option<Position>,
    message: String,
}

/// A place in the text of a grammar, both numbers counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl GrammarError {
    fn at(at: Position, message: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            message: message.into(),
        }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self {
            at: None,
            message: message.into(),
        }
    }

    /// The line that it is about, from 1, if it is not about the whole grammar.
    pub fn line(&self) -> Option<usize> {
        self.at.map(|at| at.line)
    }

    /// The character in that line, from 1.
    pub fn column(&self) -> Option<usize> {
        self.at.map(|at| at.column)
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "line {}, column {}: ", at.line, at.column)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for GrammarError {}
