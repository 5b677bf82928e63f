// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The words behind the name of a program.

use crate::command::syntax::{given, Given, Word};

/// What a program was told, and the letters of its short options that take a value.
#[derive(Clone, Copy)]
pub(super) struct Told<'t>(pub(super) &'t [Word], pub(super) &'static str);

impl<'t> Told<'t> {
    /// Its options: what begins with `-`, up to `--`.
    pub(super) fn options(self) -> impl Iterator<Item = &'t str> {
        self.0
            .iter()
            .map(|word| word.text.as_str())
            .take_while(|text| *text != "--")
            .filter(|text| text.starts_with('-') && *text != "-")
    }

    /// What is no option.
    pub(super) fn operands(self) -> impl Iterator<Item = &'t Word> + Clone {
        let end = self.0.iter().position(|word| word.text == "--");
        self.0.iter().enumerate().filter_map(move |(at, word)| {
            let behind = end.is_some_and(|end| at > end);
            let option = word.text.starts_with('-') && word.text != "-";
            (behind || !option).then_some(word)
        })
    }

    /// The letters of its short options. What is the value of one is none.
    pub(super) fn letters(self) -> Vec<char> {
        let mut letters = vec![];
        let mut words = self.0.iter().map(|word| word.text.as_str());
        while let Some(text) = words.next().filter(|text| *text != "--") {
            let Some(cluster) = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
                continue;
            };
            let mut rest = cluster.chars();
            while let Some(letter) = rest.next().filter(char::is_ascii_alphanumeric) {
                letters.push(letter);
                if self.1.contains(letter) {
                    if rest.as_str().is_empty() {
                        words.next();
                    }
                    break;
                }
            }
        }
        letters
    }

    /// Whether a short option is among them for certain. This is to be asked about one that makes a program harmless.
    pub(super) fn letter(self, letter: char) -> bool {
        self.letters().contains(&letter)
    }

    /// [`Told::letter`], or the long option.
    pub(super) fn flag(self, short: char, long: &str) -> bool {
        self.letter(short) || self.long(long)
    }

    /// Whether a short option may be among them, alone or with others.
    pub(super) fn short(self, letter: char) -> bool {
        self.options()
            .any(|option| !option.starts_with("--") && option.contains(letter))
    }

    /// Whether a long option is among them, perhaps shortened.
    pub(super) fn long(self, name: &str) -> bool {
        self.options().any(|option| {
            option.strip_prefix("--").is_some_and(|option| {
                let option = option.split('=').next().unwrap_or_default();
                !option.is_empty() && name.starts_with(option)
            })
        })
    }

    pub(super) fn has(self, short: char, long: &str) -> bool {
        self.short(short) || self.long(long)
    }

    /// Whether it is told nothing but to say what it can do. What stands in front of that would be done, but for the
    /// verb of a program that has such.
    pub(super) fn only_help(self, has_verbs: bool) -> bool {
        let asks = |at: usize| {
            let word = self.0.get(at).map_or("", |word| word.text.as_str());
            matches!(word, "--help" | "--version")
        };
        let verb = |word: &Word| word.text.starts_with(|c: char| c.is_ascii_alphabetic());
        asks(0) || (has_verbs && self.0.first().is_some_and(verb) && asks(1))
    }

    /// Whether a word is among them.
    pub(super) fn says(self, texts: &[&str]) -> bool {
        self.0
            .iter()
            .any(|word| texts.contains(&word.text.as_str()))
    }

    /// What follows its first options, some of which take the next word.
    pub(super) fn behind(self, values: &[&str]) -> Self {
        let mut at = 0;
        while let Some(word) = self.0.get(at).filter(|word| word.text.starts_with('-')) {
            at += match given(word, values, &[]) {
                Given::Next => 2,
                _ => 1,
            };
        }
        Self(self.0.get(at..).unwrap_or_default(), self.1)
    }

    /// The first operand, as programs with subcommands have it.
    pub(super) fn verb(self) -> &'t str {
        self.operands().next().map_or("", |word| word.text.as_str())
    }

    /// The operand after the first.
    pub(super) fn second(self) -> &'t str {
        self.operands().nth(1).map_or("", |word| word.text.as_str())
    }

    /// The last operand.
    pub(super) fn last(self) -> Option<&'t Word> {
        self.operands().last()
    }

    /// Whether any of it is only known when it runs.
    pub(super) fn computed(self) -> bool {
        self.0.iter().any(|word| !word.known)
    }
}
