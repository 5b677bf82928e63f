// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From text to tokens and back.
//!
//! The vocabulary is in the file's `tokenizer.ggml.*` keys and stays there; tables to find things in
//! it are built once, at load, in memory that the caller provides. Encoding works in scratch memory
//! that bounds the length of the text, and takes O(n log n) steps for any text.
//!
//! The tokens are those of llama.cpp, whose rules about special tokens and the end of a text come
//! from the texts of tokens where the file says nothing.

mod bpe;
mod decoder;
mod fragments;
mod heap;
mod pretokenize;
mod special;
mod spm;
mod symbols;
mod table;
mod tokens;
mod utf8;
mod work;

pub use decoder::Decoder;
pub use utf8::Utf8Assembler;
pub use work::Work;

use crate::error::Error;
use crate::gguf::{Array, Gguf, Optional, ValueType};
use bpe::Bpe;
use fragments::{bitmap_words, Fragment, Fragments};
use special::{list_specials, SpecialIds, MOST_SPELLED};
use spm::Spm;
use tokens::Tokens;
use work::Pacer;

/// Most tokens of a vocabulary.
pub const MAX_TOKENS: usize = 1 << 21;
/// Most merges.
pub const MAX_MERGES: usize = 1 << 22;

/// What the tokens of a special token's list are marked as; see `enum llama_token_attr`.
mod mark {
    pub(super) const NORMAL: u8 = 1 << 0;
    pub(super) const CONTROL: u8 = 1 << 1;
    pub(super) const USER_DEFINED: u8 = 1 << 2;
    pub(super) const UNKNOWN: u8 = 1 << 3;
    /// Ends the generation.
    pub(super) const END: u8 = 1 << 4;
    /// Found in the text before it is split into words.
    pub(super) const SPECIAL: u8 = CONTROL | USER_DEFINED | UNKNOWN;
    /// Stands for one byte.
    pub(super) const BYTE: u8 = 1 << 5;
}

/// How a text is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Put the tokens for the beginning and the end of a text where the file asks for them.
    pub add_special: bool,
    /// Read control tokens that are spelled out in the text. Never for text that is not the
    /// system's own: `<|im_end|>` in it would end a turn.
    pub parse_special: bool,
}

/// A vocabulary with its tables.
pub struct Vocab<'a> {
    tokens: Tokens<'a>,
    model: Model<'a>,
    /// The special tokens, longest first.
    specials: &'a [u32],
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
}

/// The kinds of tokenizers.
enum Model<'a> {
    Bpe(Bpe<'a>),
    Spm(Spm<'a>),
}

impl<'a> Vocab<'a> {
    /// How many 32-bit words [`load`](Self::load) needs.
    pub fn plan(gguf: &Gguf<'_>) -> Result<usize, Error> {
        Ok(Parts::find(gguf)?.words())
    }

    /// How many tokens there are, and how many bytes all of them stand for at most.
    pub fn texts(gguf: &Gguf<'_>) -> Result<(usize, usize), Error> {
        let tokens = Parts::find(gguf)?.tokens;
        // What is in front of each text is its length.
        let lengths = tokens.len().saturating_mul(size_of::<u64>());
        Ok((tokens.len(), tokens.bytes().len().saturating_sub(lengths)))
    }

    /// Builds the tables in `memory`, which has as many words as [`plan`](Self::plan) says.
    pub fn load(gguf: &Gguf<'a>, memory: &'a mut [u32]) -> Result<Self, Error> {
        let parts = Parts::find(gguf)?;
        let have = memory.len();
        let need = parts.words();
        let mut carver = Carver {
            rest: memory,
            error: Error::Memory {
                need: bytes_of_words(need),
                have: bytes_of_words(have),
            },
        };

        let mut tokens = Tokens::load(&parts, &mut carver)?;
        let mut special_ids = SpecialIds::read(gguf, &tokens)?;
        let (model, adds_bos) = match &parts.model {
            ModelParts::Bpe(parts) => (
                Model::Bpe(Bpe::load(parts, &tokens, &mut carver)?),
                parts.pre.add_bos,
            ),
            ModelParts::Spm(parts) => {
                // What they are in all of these vocabularies, if no key says otherwise.
                special_ids.default_to(&tokens, 1, 2);
                (Model::Spm(Spm::load(parts, &tokens, &mut carver)?), true)
            }
        };
        special_ids.mark(&mut tokens);
        let specials = carver.take(parts.special_capacity)?;
        let specials = list_specials(&tokens, specials);

        let add_bos = gguf.bool("tokenizer.ggml.add_bos_token").optional()?;
        let add_eos = gguf.bool("tokenizer.ggml.add_eos_token").optional()?;
        let vocab = Self {
            tokens,
            specials,
            bos: special_ids.bos,
            eos: special_ids.eos,
            add_bos: add_bos.unwrap_or(adds_bos),
            add_eos: add_eos.unwrap_or(false),
            model,
        };
        for (add, id, name) in [
            (vocab.add_bos, vocab.bos, BOS_KEY),
            (vocab.add_eos, vocab.eos, EOS_KEY),
        ] {
            if add && id.is_none() {
                return Err(Error::Missing {
                    what: "key",
                    name: name.into(),
                });
            }
        }
        Ok(vocab)
    }

    /// How many 64-bit words of scratch memory a text of `bytes` needs.
    pub const fn scratch(bytes: usize) -> usize {
        let (bpe, spm) = (Bpe::scratch(bytes), Spm::scratch(bytes));
        let model = if bpe > spm { bpe } else { spm };
        // Two bitmaps more.
        model.saturating_add(bitmap_words(bytes) * 2)
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens; a vocabulary without any is not loaded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token at the beginning of a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token at the end of a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether the file asks for [`bos`](Self::bos) in front of a text.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether a token ends the model's answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.tokens.marks(id) & mark::END != 0
    }

    /// Whether a token is for control, and not for people to read.
    pub fn is_control(&self, id: u32) -> bool {
        self.tokens.marks(id) & (mark::CONTROL | mark::UNKNOWN) != 0
    }

    /// Whether a token is found in a text before it is split into words.
    pub fn is_special(&self, id: u32) -> bool {
        self.tokens.marks(id) & mark::SPECIAL != 0
    }

    /// The token that is spelled `text` in the vocabulary.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.tokens.find(text.bytes())
    }

    /// How a token is spelled in the vocabulary.
    pub fn spelling(&self, id: u32) -> Option<&'a [u8]> {
        self.tokens.text(id)
    }

    /// The bytes that a token stands for. Those of a control token are its spelling, and come only
    /// if `control` asks for them.
    pub fn piece(&self, id: u32, control: bool) -> Piece<'a> {
        let text = self.tokens.text(id).unwrap_or(&[]);
        let marks = self.tokens.marks(id);
        if marks & mark::SPECIAL != 0 {
            let shown = control || marks & (mark::CONTROL | mark::UNKNOWN) == 0;
            Piece::raw(if shown { text } else { &[] })
        } else if marks & mark::NORMAL != 0 {
            match &self.model {
                Model::Bpe(_) => Piece::mapped(text),
                Model::Spm(_) => Piece(Bytes::Spaced(text)),
            }
        } else if marks & mark::BYTE != 0 {
            Piece(Bytes::One(spm::byte_of(text)))
        } else {
            Piece::raw(&[])
        }
    }

    /// Turns tokens into text, from a text's beginning or from somewhere in it.
    pub fn decoder(&self, beginning: bool) -> Decoder {
        let prefix = match &self.model {
            Model::Bpe(_) => false,
            Model::Spm(spm) => spm.add_space_prefix,
        };
        Decoder::new(beginning && prefix)
    }

    /// Writes the tokens of `text` to `out` and returns how many they are.
    ///
    /// A `text` longer than `scratch` was made for ([`scratch`](Self::scratch)) is refused, and so
    /// is one whose tokens `out` does not hold; that error says how many they are.
    pub fn encode(
        &self,
        text: &str,
        options: Options,
        scratch: &mut [u64],
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let pause = &mut || false;
        self.encode_with(text, options, &mut Work { scratch, pause }, out)
    }

    /// The same, with pauses: a megabyte takes a good part of a second.
    pub fn encode_with(
        &self,
        text: &str,
        options: Options,
        work: &mut Work<'_>,
        out: &mut [u32],
    ) -> Result<usize, Error> {
        self.encode_at(text, options, true, work, out)
    }

    /// Writes the tokens of a `text` that goes on behind others: their [`piece`](Self::piece)s are its
    /// bytes, and no more. Otherwise as [`encode`](Self::encode).
    pub fn encode_behind(
        &self,
        text: &str,
        scratch: &mut [u64],
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let pause = &mut || false;
        let work = &mut Work { scratch, pause };
        self.encode_at(text, Options::default(), false, work, out)
    }

    /// The same, with pauses, and with special tokens as [`encode_with`](Self::encode_with) has them.
    pub fn encode_on(
        &self,
        text: &str,
        options: Options,
        work: &mut Work<'_>,
        out: &mut [u32],
    ) -> Result<usize, Error> {
        self.encode_at(text, options, false, work, out)
    }

    /// Where texts `begin`, a space is put in front of them if the vocabulary says so.
    fn encode_at(
        &self,
        text: &str,
        options: Options,
        begin: bool,
        work: &mut Work<'_>,
        out: &mut [u32],
    ) -> Result<usize, Error> {
        let Work { scratch, pause } = work;
        let pacer = &mut Pacer::new(pause);
        let have = scratch.len();
        let too_long = || Error::PromptLength {
            need: as_u64(text.len()),
            have: as_u64(text_capacity(have)),
        };
        if Self::scratch(text.len()) > have || text.len() > u32::MAX as usize {
            return Err(too_long());
        }
        let words = bitmap_words(text.len());
        let (covered, rest) = scratch.split_at_mut_checked(words).ok_or_else(too_long)?;
        let (starts, scratch) = rest.split_at_mut_checked(words).ok_or_else(too_long)?;

        let mut out = Output { out, len: 0 };
        if let (true, true, Some(bos)) = (options.add_special, self.add_bos, self.bos) {
            out.push(bos);
        }
        let mut fragments =
            Fragments::of(self, text, options.parse_special, [covered, starts], pacer)?;
        // What is behind a special token begins like a text of its own.
        let mut begins = begin;
        while let Some(fragment) = fragments.next() {
            match fragment {
                Fragment::Special(spelling) => {
                    if let Some(id) = self.find(spelling) {
                        out.push(id);
                    }
                    begins = begin;
                }
                Fragment::Text(text) => {
                    let tokens = &self.tokens;
                    match &self.model {
                        Model::Bpe(bpe) => bpe.encode(tokens, text, scratch, pacer, &mut out)?,
                        Model::Spm(spm) => {
                            let prefix = begins && spm.add_space_prefix;
                            let mut merger = spm.merger(tokens, text, prefix, scratch)?;
                            merger.merge(pacer)?;
                            merger.write(pacer, &mut out)?;
                        }
                    }
                    begins = false;
                }
            }
        }
        if let (true, true, Some(eos)) = (options.add_special, self.add_eos, self.eos) {
            out.push(eos);
        }
        out.finish()
    }
}

/// Iterator over the bytes of a token.
#[derive(Clone)]
pub struct Piece<'a>(Bytes<'a>);

/// The bytes that are left of a token, and how they are spelled.
#[derive(Clone)]
enum Bytes<'a> {
    /// As they are.
    Raw(core::slice::Iter<'a, u8>),
    /// By the characters that stand for bytes.
    Mapped(core::str::Chars<'a>),
    /// As they are but for spaces.
    Spaced(&'a [u8]),
    /// By their number.
    One(Option<u8>),
    /// The rest of a character that stands for itself among those that stand for bytes, and what is
    /// behind it.
    Itself(core::slice::Iter<'a, u8>, core::str::Chars<'a>),
}

impl<'a> Piece<'a> {
    fn raw(bytes: &'a [u8]) -> Self {
        Self(Bytes::Raw(bytes.iter()))
    }

    fn mapped(bytes: &'a [u8]) -> Self {
        match core::str::from_utf8(bytes) {
            Ok(text) => Self(Bytes::Mapped(text.chars())),
            Err(_) => Self::raw(bytes),
        }
    }
}

impl Iterator for Piece<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match &mut self.0 {
            Bytes::Raw(bytes) => bytes.next().copied(),
            Bytes::One(byte) => byte.take(),
            Bytes::Spaced(bytes) => {
                if let Some(rest) = bytes.strip_prefix(spm::SPACE) {
                    *bytes = rest;
                    return Some(b' ');
                }
                let (&byte, rest) = bytes.split_first()?;
                *bytes = rest;
                Some(byte)
            }
            Bytes::Mapped(chars) => {
                let rest = chars.as_str();
                let c = chars.next()?;
                if let Some(byte) = bpe::byte_of(c) {
                    return Some(byte);
                }
                let itself = rest.as_bytes().get(..c.len_utf8())?.iter();
                self.0 = Bytes::Itself(itself, chars.clone());
                self.next()
            }
            Bytes::Itself(bytes, chars) => match bytes.next() {
                Some(&byte) => Some(byte),
                None => {
                    self.0 = Bytes::Mapped(chars.clone());
                    self.next()
                }
            },
        }
    }
}

/// The tokens of a text, counted even when they do not fit.
struct Output<'o> {
    out: &'o mut [u32],
    len: usize,
}

impl Output<'_> {
    fn push(&mut self, id: u32) {
        if let Some(slot) = self.out.get_mut(self.len) {
            *slot = id;
        }
        // OVERFLOW: There are at most six tokens for a byte of the text: three if it is a space, and as
        // many for the space that is put in front of it.
        self.len += 1;
    }

    fn finish(self) -> Result<usize, Error> {
        if self.len > self.out.len() {
            return Err(Error::Context {
                need: as_u64(self.len),
                have: as_u64(self.out.len()),
            });
        }
        Ok(self.len)
    }
}

/// The longest text that `words` of scratch memory are enough for.
fn text_capacity(words: usize) -> usize {
    let (mut enough, mut too_many) = (0, words.saturating_add(1));
    while enough + 1 < too_many {
        let bytes = enough + (too_many - enough) / 2;
        if Vocab::scratch(bytes) <= words {
            enough = bytes;
        } else {
            too_many = bytes;
        }
    }
    enough
}

const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
const TYPES_KEY: &str = "tokenizer.ggml.token_type";
const SCORES_KEY: &str = "tokenizer.ggml.scores";
const MERGES_KEY: &str = "tokenizer.ggml.merges";
const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";
const EOS_KEY: &str = "tokenizer.ggml.eos_token_id";

/// What the file has for the tokenizer.
struct Parts<'a> {
    tokens: Array<'a>,
    types: Option<Array<'a>>,
    special_capacity: usize,
    model: ModelParts<'a>,
}

/// What it has for the tokenizer's kind.
enum ModelParts<'a> {
    Bpe(BpeParts<'a>),
    Spm(SpmParts<'a>),
}

struct BpeParts<'a> {
    pre: bpe::Pre,
    merges: Array<'a>,
}

struct SpmParts<'a> {
    scores: Array<'a>,
    add_space_prefix: bool,
}

impl<'a> Parts<'a> {
    fn find(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let model = gguf.str("tokenizer.ggml.model")?;
        let tokens = gguf.array(TOKENS_KEY, ValueType::String)?;
        check_len(TOKENS_KEY, tokens.len(), MAX_TOKENS)?;
        let model = match model {
            "gpt2" => ModelParts::Bpe(BpeParts::find(gguf)?),
            "llama" => ModelParts::Spm(SpmParts::find(gguf, tokens.len())?),
            _ => {
                return Err(Error::Unsupported {
                    what: "tokenizer",
                    name: model.into(),
                })
            }
        };
        if tokens.is_empty() {
            return Err(Error::Invalid {
                what: "number of tokens",
                name: TOKENS_KEY.into(),
                value: 0,
                expected: "at least 1",
            });
        }
        // The tables hold 32-bit offsets.
        if u32::try_from(tokens.bytes().len()).is_err() {
            return Err(Error::Limit {
                what: "number of bytes",
                name: TOKENS_KEY.into(),
                value: as_u64(tokens.bytes().len()),
                limit: u32::MAX.into(),
            });
        }
        let types = gguf.array(TYPES_KEY, ValueType::I32).optional()?;
        if let Some(types) = types.filter(|types| types.len() < tokens.len()) {
            return Err(Error::Invalid {
                what: "number of types",
                name: TYPES_KEY.into(),
                value: as_u64(types.len()),
                expected: "one for each token",
            });
        }

        let special = types.map_or(0, |types| {
            (0..tokens.len())
                .filter(|&i| marks_of_type(types.word(i)) & mark::SPECIAL != 0)
                .count()
        });
        Ok(Self {
            tokens,
            types,
            model,
            // Some more become special for how they are spelled.
            special_capacity: special + MOST_SPELLED,
        })
    }

    fn words(&self) -> usize {
        let model = match &self.model {
            ModelParts::Bpe(parts) => Bpe::words(parts.merges.len()),
            ModelParts::Spm(_) => Spm::WORDS,
        };
        // OVERFLOW: `MAX_TOKENS` and `MAX_MERGES` bound all of it.
        Tokens::words(self.tokens.len()) + self.special_capacity + model
    }
}

impl<'a> BpeParts<'a> {
    fn find(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let pre = gguf.str("tokenizer.ggml.pre")?;
        let pre = bpe::Pre::from_name(pre).ok_or(Error::Unsupported {
            what: "pre-tokenizer",
            name: pre.into(),
        })?;
        let merges = gguf.array(MERGES_KEY, ValueType::String)?;
        check_len(MERGES_KEY, merges.len(), MAX_MERGES)?;
        Ok(Self { pre, merges })
    }
}

impl<'a> SpmParts<'a> {
    fn find(gguf: &Gguf<'a>, tokens: usize) -> Result<Self, Error> {
        let scores = gguf.array(SCORES_KEY, ValueType::F32)?;
        if scores.len() < tokens {
            return Err(Error::Invalid {
                what: "number of scores",
                name: SCORES_KEY.into(),
                value: as_u64(scores.len()),
                expected: "one for each token",
            });
        }
        let add_space_prefix = gguf.bool("tokenizer.ggml.add_space_prefix").optional()?;
        Ok(Self {
            scores,
            add_space_prefix: add_space_prefix.unwrap_or(true),
        })
    }
}

fn check_len(key: &'static str, len: usize, limit: usize) -> Result<(), Error> {
    if len > limit {
        return Err(Error::Limit {
            what: "length of the array",
            name: key.into(),
            value: as_u64(len),
            limit: as_u64(limit),
        });
    }
    Ok(())
}

/// `enum llama_token_type`.
fn marks_of_type(number: Option<u32>) -> u8 {
    match number {
        Some(1) => mark::NORMAL,
        Some(2) => mark::UNKNOWN,
        Some(3) => mark::CONTROL,
        Some(4) => mark::USER_DEFINED,
        Some(6) => mark::BYTE,
        // 5 is not used.
        _ => 0,
    }
}

/// Cuts the memory up.
struct Carver<'a> {
    rest: &'a mut [u32],
    error: Error,
}

impl<'a> Carver<'a> {
    fn take(&mut self, words: usize) -> Result<&'a mut [u32], Error> {
        let rest = core::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut_checked(words).ok_or(self.error)?;
        self.rest = rest;
        taken.fill(0);
        Ok(taken)
    }
}

fn as_u64(n: usize) -> u64 {
    // CAST: `usize` is at most 64 bits wide.
    n as u64
}

fn bytes_of_words(words: usize) -> u64 {
    as_u64(words).saturating_mul(4)
}
