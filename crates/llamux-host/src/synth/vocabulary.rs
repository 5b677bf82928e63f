// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The vocabulary of a made-up model: another file's, or one of bytes and short words.

use anyhow::{ensure, Context as _, Result};
use llamux_engine::gguf::{Gguf, Value, ValueType};

use crate::gguf_writer::Header;

/// Tokens for what text does not have: the beginning, the end, and an unknown word.
const SPECIAL: [(&str, i32); 3] = [("<s>", 3), ("</s>", 3), ("<unk>", 2)];
/// The type of all others in `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;

/// Copies all keys of a file's tokenizer. Returns the number of tokens.
pub(super) fn copy(header: &mut Header, gguf: &Gguf<'_>) -> Result<u32> {
    for (key, value) in gguf.metadata() {
        if key.starts_with(b"tokenizer.") {
            header.set(key, &value)?;
        }
    }
    let tokens = gguf
        .array("tokenizer.ggml.tokens", ValueType::String)?
        .len();
    u32::try_from(tokens)
        .ok()
        .filter(|&tokens| tokens > 0)
        .context("the vocabulary has no tokens")
}

/// Makes one up for byte pair encoding: all bytes, then words of two letters and more, each merged of
/// one that is shorter by a letter and that letter.
pub(super) fn make_up(header: &mut Header, count: u32) -> Result<u32> {
    let bytes: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    // CAST: Small constants.
    let least = (bytes.len() + SPECIAL.len()) as u32;
    ensure!(
        count >= least,
        "a made-up vocabulary has at least {least} tokens"
    );
    let words: Vec<String> = words().take((count - least) as usize).collect();
    let merges: Vec<String> = words
        .iter()
        .map(|word| {
            let (shorter, letter) = word.split_at(word.len() - 1);
            format!("{shorter} {letter}")
        })
        .collect();
    let normal = bytes.iter().chain(&words).map(|text| (&**text, NORMAL));
    let tokens: Vec<(&str, i32)> = normal.chain(SPECIAL).collect();

    let text = |text: &'static str| Value::String(text.as_bytes());
    header.set("tokenizer.ggml.model", &text("gpt2"))?;
    header.set("tokenizer.ggml.pre", &text("gpt-2"))?;
    header.set_array(
        "tokenizer.ggml.tokens",
        ValueType::String,
        tokens
            .iter()
            .map(|(text, _)| Value::String(text.as_bytes())),
    )?;
    header.set_array(
        "tokenizer.ggml.token_type",
        ValueType::I32,
        tokens.iter().map(|&(_, kind)| Value::I32(kind)),
    )?;
    header.set_array(
        "tokenizer.ggml.merges",
        ValueType::String,
        merges.iter().map(|merge| Value::String(merge.as_bytes())),
    )?;
    let first = count - SPECIAL.len() as u32;
    for (i, key) in ["bos", "eos", "unknown"].into_iter().enumerate() {
        let key = format!("tokenizer.ggml.{key}_token_id");
        header.set(key, &Value::U32(first + i as u32))?;
    }
    header.set("tokenizer.ggml.add_bos_token", &Value::Bool(false))?;
    Ok(count)
}

/// How the byte is written in a token: itself where it can be seen, one of the letters from U+0100 on
/// otherwise. Language Models are Unsupervised Multitask Learners (GPT-2), section 2.2, and its code.
fn letter(byte: u8) -> char {
    let seen = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if seen(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&byte| !seen(byte)).count();
    // CAST: At most 68 bytes cannot be seen.
    char::from_u32(0x100 + before as u32).unwrap_or('\u{fffd}')
}

/// All words of small letters, from two on, the shorter ones first.
fn words() -> impl Iterator<Item = String> {
    (2..).flat_map(|len| {
        (0..26_u64.saturating_pow(len)).map(move |number| {
            let digit = |place| (number / 26_u64.pow(len - 1 - place) % 26) as u8;
            (0..len)
                .map(|place| char::from(b'a' + digit(place)))
                .collect()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_gpt_2_does() {
        for (byte, expected) in [
            (b' ', 'Ġ'),
            (b'\n', 'Ċ'),
            (b'a', 'a'),
            (0xad, 'Ń'),
            (0x80, 'Ģ'),
        ] {
            assert_eq!(letter(byte), expected);
        }
        let mut all: Vec<char> = (0..=255).map(letter).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn words_are_made_of_shorter_ones() {
        let words: Vec<String> = words().take(1000).collect();
        assert_eq!(words[..3], ["aa", "ab", "ac"]);
        assert_eq!(words[676], "aaa");
        for (i, word) in words.iter().enumerate().skip(676) {
            let shorter = &word[..word.len() - 1];
            assert!(words[..i].iter().any(|word| word == shorter), "{word}");
        }
    }
}
