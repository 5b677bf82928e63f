// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Sentences, and the parts of one that say one thing each.

use std::collections::HashSet;

use super::figures::{figures, Number};
use super::words::{among, bare, claim, neutral, stem, Claim, BREAKS, DENIALS, NUMBER_WORDS};

/// A part of a sentence that says one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Clause {
    pub(super) words: Vec<String>,
    pub(super) numbers: Vec<Number>,
    pub(super) claims: HashSet<Claim>,
    pub(super) names: HashSet<String>,
    /// Whether its number only says which process it is.
    pub(super) identity: bool,
}

impl Clause {
    pub(super) fn take(&mut self, other: Self) {
        self.words.extend(other.words);
        self.numbers.extend(other.numbers);
        self.claims.extend(other.claims);
        self.names.extend(other.names);
    }

    /// Whether it says what its figures are of.
    fn says_something(&self) -> bool {
        !self.claims.is_empty()
            || !self.names.is_empty()
            || self
                .words
                .iter()
                .any(|word| !neutral().contains(&stem(word)) && !among(word, DENIALS))
    }
}

/// The sentences of a text. A full stop inside of a number or a name ends none.
pub fn sentences(text: &str) -> Vec<String> {
    let mut out = vec![];
    let mut rest = text;
    while let Some((sentence, behind)) = first_sentence(rest, true) {
        out.push(sentence.to_owned());
        rest = behind;
    }
    out
}

/// The first sentence of a text and what is behind it. While the text is `whole` no more, what could go on is no
/// sentence yet.
pub fn first_sentence(text: &str, whole: bool) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let ends = match character {
            '\n' => true,
            '.' | '!' | '?' => match next {
                Some(next) => next.is_whitespace() && !is_abbreviation(&text[..=at]),
                None => whole,
            },
            _ => false,
        };
        if ends {
            let (sentence, behind) = text.split_at(at + character.len_utf8());
            return Some((sentence.trim_end(), behind));
        }
    }
    (whole && !text.is_empty()).then_some((text.trim_end(), ""))
}

fn is_abbreviation(text: &str) -> bool {
    ["e.g.", "i.e.", "etc.", "approx.", "vs."]
        .iter()
        .any(|short| text.ends_with(short))
}

/// The parts of a sentence that say one thing each. A part that only has figures belongs to the one before it.
pub(super) fn clauses(sentence: &str, names: &HashSet<String>) -> Vec<Clause> {
    let mut out: Vec<Clause> = vec![];
    let mut clause = Clause::default();
    let end = |clause: &mut Clause, out: &mut Vec<Clause>| {
        let clause = std::mem::take(clause);
        match out.last_mut() {
            Some(last) if !clause.says_something() => last.take(clause),
            Some(last) if !last.says_something() => last.take(clause),
            _ if clause.words.is_empty() && clause.numbers.is_empty() => (),
            _ => out.push(clause),
        }
    };
    let spaced = sentence
        .replace(['\u{2013}', '\u{2014}'], " \u{2013} ")
        .replace("\u{a0}", " ")
        .replace("\u{202f}", " ");
    let raw: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    while let Some(token) = raw.get(at) {
        at += 1;
        let word = bare(token);
        let opens = token.starts_with(['(', '[']);
        let closes = token.ends_with([',', ';', ':', ')', ']']) || *token == "\u{2013}";
        if opens && !clause.words.is_empty() {
            // What is in parentheses says more of the same.
            end(&mut clause, &mut out);
        }
        let next = |offset: usize| raw.get(at + offset).map(|word| bare(word));
        if let Some((mut found, taken, rate)) = figures(word, token, &next) {
            at += taken;
            let closes = raw
                .get(at - 1)
                .is_some_and(|token| token.ends_with([',', ';', ':', ')', ']']));
            let counted = raw
                .get(at)
                .filter(|_| !closes)
                .map(|word| bare(word).to_lowercase());
            for number in &mut found {
                if rate {
                    number.unit.push_str("/s");
                }
                number.counted.clone_from(&counted);
                number.before = clause.words.last().cloned();
            }
            clause.numbers.extend(found);
            if closes {
                end(&mut clause, &mut out);
            }
            continue;
        }
        let lower = word.to_lowercase();
        if among(&lower, BREAKS) {
            end(&mut clause, &mut out);
        }
        if lower.chars().any(char::is_alphanumeric) || lower.starts_with('/') {
            clause.claims.extend(claim(&lower));
            if names.contains(&lower) {
                clause.names.insert(lower.clone());
            }
            if let Some(value) = NUMBER_WORDS
                .split_ascii_whitespace()
                .position(|number| number == lower)
            {
                if lower != "one" {
                    let counted = next(0).map(str::to_lowercase);
                    // CAST: at most 20.
                    clause.numbers.push(Number {
                        value: value as f64,
                        unit: String::new(),
                        written: lower.clone(),
                        counted,
                        before: None,
                    });
                    clause.words.push("number".to_owned());
                    continue;
                }
            }
            clause.words.push(lower);
        }
        if closes {
            end(&mut clause, &mut out);
        }
    }
    end(&mut clause, &mut out);
    out
}
