// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The system prompt in a program of the template language.

use super::MAX_SYSTEM;

const START: &str = "<|im_start|>";
const END: &str = "<|im_end|>";

/// A piece of text, perhaps as it is written in a string of the template language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Literal<'a> {
    pub(super) text: &'a str,
    /// Whether `\n` and such stand for something else.
    escaped: bool,
}

impl<'a> Literal<'a> {
    /// A text that is as it is.
    pub(super) fn plain(text: &'a str) -> Self {
        Self {
            text,
            escaped: false,
        }
    }

    /// Without the spaces at its ends, if that is asked for.
    pub(super) fn trimmed(self, trim: bool) -> Self {
        // C's `isspace`.
        let space = |c| matches!(c, '\t'..='\r' | ' ');
        Self {
            text: if trim {
                self.text.trim_matches(space)
            } else {
                self.text
            },
            ..self
        }
    }

    /// What it stands for.
    pub(super) fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
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

/// Longest spelling of a newline.
const NEWLINE_MAX: usize = 2;

/// The system prompt that a ChatML template adds where a conversation has none: a whole turn that is
/// spelled out in the template, be it within a string or outside of the template's language.
pub(super) fn default_system(template: &str) -> Option<Literal<'_>> {
    template.match_indices(START).find_map(|(at, _)| {
        let (before, rest) = template.split_at_checked(at)?;
        let turn = rest.strip_prefix(START)?.strip_prefix("system")?;
        // A longer one is none, and is not gone through for each beginning of one.
        let most = MAX_SYSTEM + NEWLINE_MAX + END.len();
        let near = (most..most + 4).find_map(|end| turn.get(..end));
        let (text, _) = near.unwrap_or(turn).split_once(END)?;
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
