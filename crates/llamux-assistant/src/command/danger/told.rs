// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The words behind the name of a program.

use crate::command::syntax::Word;

/// What a program was told.
#[derive(Clone, Copy)]
pub(super) struct Told<'t>(pub(super) &'t [Word]);

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

    /// Whether a short option is among them, alone or with others.
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
