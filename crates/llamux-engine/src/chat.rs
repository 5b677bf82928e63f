// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Puts a question into the form that a model was trained to answer.
//!
//! A file has that form as a program in a template language, `tokenizer.chat_template`. It is not
//! run: the one format that is known, ChatML, is recognised in it, together with the system prompt
//! that it begins with when the caller gives none. A template that is not known, or none at all, is
//! ChatML without a system prompt if the vocabulary has the tokens for it, and refused otherwise.
//!
//! ChatML: <https://github.com/openai/openai-python/blob/release-v0.28.0/chatml.md>. A conversation
//! is a row of turns, `<|im_start|>ROLE\nTEXT<|im_end|>\n`, the last of which the model writes.

use zerocopy::IntoBytes;

use crate::error::{Error, Name};
use crate::gguf::{Gguf, Optional};
use crate::tokenizer::{Options, Vocab};

/// Longest system prompt of a template, in bytes.
pub const MAX_SYSTEM: usize = 4096;

/// More than the longest role and its newline.
const ROLE: usize = 16;

const TEMPLATE_KEY: &str = "tokenizer.chat_template";
const START: &str = "<|im_start|>";
const END: &str = "<|im_end|>";

/// A model's chat format.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'a> {
    start: u32,
    end: u32,
    system: Option<Literal<'a>>,
}

/// Which turn of a conversation a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first one, which the system prompt comes before.
    First,
    /// One that follows an answer, the token that ended which is already in the context.
    Next,
}

impl<'a> Chat<'a> {
    /// Recognises the format of a file.
    pub fn recognise(gguf: &Gguf<'a>, vocab: &Vocab<'_>) -> Result<Self, Error> {
        let template = gguf.str(TEMPLATE_KEY).optional()?;
        let (Some(start), Some(end)) = (vocab.find(START), vocab.find(END)) else {
            return Err(Error::Unsupported {
                what: "chat template",
                name: template.map_or(Name::EMPTY, Name::from),
            });
        };
        let system = template
            .filter(|template| template.contains(START) && template.contains(END))
            .and_then(default_system);
        Ok(Self { start, end, system })
    }

    /// The system prompt that comes before the first question, as the template spells it.
    pub fn system(&self) -> Option<&'a str> {
        self.system.map(|system| system.text)
    }

    /// How many 64-bit words of scratch memory a question of `bytes` needs.
    pub const fn scratch(bytes: usize) -> usize {
        let longest = if bytes > MAX_SYSTEM {
            bytes
        } else {
            MAX_SYSTEM
        };
        let text = longest.saturating_add(ROLE);
        text.div_ceil(8).saturating_add(Vocab::scratch(text))
    }

    /// Writes the tokens of a question, and of the beginning of the turn that answers it, to `out`,
    /// and returns how many they are.
    ///
    /// Tokens for control that are spelled out in the question are read as mere text: whatever it
    /// says, it stays one turn.
    pub fn encode(
        &self,
        vocab: &Vocab<'_>,
        turn: Turn,
        question: &str,
        scratch: &mut [u64],
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let mut writer = Writer {
            vocab,
            scratch,
            out,
            len: 0,
        };
        match turn {
            Turn::First => {
                if let (true, Some(bos)) = (vocab.add_bos(), vocab.bos()) {
                    writer.token(bos);
                }
                if let Some(system) = self.system {
                    writer.token(self.start);
                    writer.text("system\n", system)?;
                    writer.token(self.end);
                    writer.text("\n", Literal::plain(""))?;
                }
            }
            Turn::Next => writer.text("\n", Literal::plain(""))?,
        }
        writer.token(self.start);
        writer.text("user\n", Literal::plain(question))?;
        writer.token(self.end);
        writer.text("\n", Literal::plain(""))?;
        writer.token(self.start);
        writer.text("assistant\n", Literal::plain(""))?;
        writer.finish()
    }
}

/// Puts tokens one behind the other, and counts them even when they do not fit.
struct Writer<'w, 'v> {
    vocab: &'w Vocab<'v>,
    scratch: &'w mut [u64],
    out: &'w mut [u32],
    len: usize,
}

impl Writer<'_, '_> {
    fn token(&mut self, id: u32) {
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = id;
        }
        self.len = self.len.saturating_add(1);
    }

    /// A role and what it says, which are split into words as one text.
    fn text(&mut self, role: &str, text: Literal<'_>) -> Result<(), Error> {
        let have = self.scratch.len();
        // CAST: `usize` is at most 64 bits wide.
        let too_long = || Error::PromptLength {
            need: text.text.len() as u64,
            have: question_capacity(have) as u64,
        };
        let bytes = role.len().saturating_add(text.text.len());
        let (copy, scratch) = self
            .scratch
            .split_at_mut_checked(bytes.div_ceil(8))
            .ok_or_else(too_long)?;
        let copy = copy.as_mut_bytes();
        let mut end = 0;
        for byte in role.bytes().chain(text.bytes()) {
            *copy.get_mut(end).ok_or_else(too_long)? = byte;
            end += 1;
        }
        // The bytes of two strings, in which only ASCII has been replaced by ASCII.
        let text = copy.get(..end).map(core::str::from_utf8);
        let text = text.and_then(Result::ok).unwrap_or("");
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        let tokens = match self.vocab.encode(text, Options::default(), scratch, room) {
            Ok(tokens) => tokens,
            // Counted on, so that the last error says how many they are in all.
            Err(Error::Context { need, .. }) => usize::try_from(need).unwrap_or(usize::MAX),
            Err(Error::PromptLength { .. }) => return Err(too_long()),
            Err(error) => return Err(error),
        };
        self.len = self.len.saturating_add(tokens);
        Ok(())
    }

    fn finish(self) -> Result<usize, Error> {
        if self.len > self.out.len() {
            // CAST: `usize` is at most 64 bits wide.
            return Err(Error::Context {
                need: self.len as u64,
                have: self.out.len() as u64,
            });
        }
        Ok(self.len)
    }
}

/// The longest question that `words` of scratch memory are enough for.
fn question_capacity(words: usize) -> usize {
    let (mut enough, mut too_many) = (0, words.saturating_add(1));
    while enough + 1 < too_many {
        let bytes = enough + (too_many - enough) / 2;
        if Chat::scratch(bytes) <= words {
            enough = bytes;
        } else {
            too_many = bytes;
        }
    }
    enough
}

/// A piece of text, perhaps as it is written in a string of the template language.
#[derive(Clone, Copy, Debug)]
struct Literal<'a> {
    text: &'a str,
    /// Whether `\n` and such stand for something else.
    escaped: bool,
}

impl<'a> Literal<'a> {
    fn plain(text: &'a str) -> Self {
        Self {
            text,
            escaped: false,
        }
    }

    fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut bytes = self.text.bytes();
        core::iter::from_fn(move || match bytes.next()? {
            b'\\' if self.escaped => Some(match bytes.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                other => other,
            }),
            byte => Some(byte),
        })
    }
}

/// The system prompt that a ChatML template adds where a conversation has none: a whole turn that is
/// spelled out in the template, be it within a string or outside of the template's language.
fn default_system(template: &str) -> Option<Literal<'_>> {
    template.match_indices(START).find_map(|(at, _)| {
        let (before, rest) = template.split_at_checked(at)?;
        let turn = rest.strip_prefix(START)?.strip_prefix("system")?;
        let (text, _) = turn.split_once(END)?;
        let quote = before
            .chars()
            .next_back()
            .filter(|c| matches!(c, '\'' | '"'));
        let newline = match quote {
            Some(_) => ["\n", "\\n"],
            None => ["\n"; 2],
        };
        let text = newline.iter().find_map(|n| text.strip_prefix(n))?;
        let whole = match quote {
            Some(quote) => !ends_string(text, quote),
            None => !text.contains(['{', '}']),
        };
        (whole && text.len() <= MAX_SYSTEM).then_some(Literal {
            text,
            escaped: quote.is_some(),
        })
    })
}

/// Whether a string of the template language ends in `text`.
fn ends_string(text: &str, quote: char) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == quote {
            return true;
        }
        if c == '\\' {
            chars.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn finds_the_system_prompt() {
        let cases = [
            ("{{ '<|im_start|>system\nA b.<|im_end|>\n' }}", Some("A b.")),
            (
                r#"{{ "<|im_start|>system\nA 'b'.\n<|im_end|>" }}"#,
                Some("A 'b'.\n"),
            ),
            (r"{{ '<|im_start|>system\nI\'m.<|im_end|>' }}", Some("I'm.")),
            (
                r"{{ '<|im_start|>system\n' + m.content + '<|im_end|>\n' }}{{ '<|im_start|>system\nB<|im_end|>\n' }}",
                Some("B"),
            ),
            (
                "{% if x %}<|im_start|>system\nC<|im_end|>\n{% endif %}",
                Some("C"),
            ),
            ("<|im_start|>system\n{{ m.content }}<|im_end|>", None),
            (
                "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}",
                None,
            ),
            ("{{ '<|im_start|>system\nnever ends' }}", None),
            ("{{ '<|im_start|>systematic<|im_end|>' }}", None),
        ];
        for (template, system) in cases {
            let found = default_system(template).map(|system| {
                let bytes: Vec<u8> = system.bytes().collect();
                String::from_utf8(bytes).unwrap()
            });
            assert_eq!(found.as_deref(), system, "{template}");
        }
        let long = std::format!(
            "<|im_start|>system\n{}<|im_end|>",
            "x".repeat(MAX_SYSTEM + 1)
        );
        assert!(default_system(&long).is_none());
    }
}
