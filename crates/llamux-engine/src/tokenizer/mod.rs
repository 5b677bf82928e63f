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
mod pretokenize;
mod utf8;

pub use utf8::Utf8Assembler;

use core::cmp::Reverse;

use crate::error::{Error, Name};
use crate::gguf::{Array, Gguf, Optional, ValueType};
use bpe::Bpe;

/// Most tokens of a vocabulary.
pub const MAX_TOKENS: usize = 1 << 21;
/// Most merges.
pub const MAX_MERGES: usize = 1 << 22;
/// How far the search for a free place in a table goes, before the file is refused: with tables that
/// are at most half full, only names made to collide come near it.
const MAX_PROBES: usize = 1024;

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
}

impl<'a> Vocab<'a> {
    /// How many 32-bit words [`load`](Self::load) needs.
    pub fn plan(gguf: &Gguf<'_>) -> Result<usize, Error> {
        Ok(Parts::find(gguf)?.words())
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
        let special_ids = SpecialIds::read(gguf, &tokens)?;
        special_ids.mark(&mut tokens);
        let specials = carver.take(parts.special_capacity)?;
        let specials = list_specials(&tokens, specials);
        let model = Model::Bpe(Bpe::load(&parts, &tokens, &mut carver)?);

        let add_bos = gguf.bool("tokenizer.ggml.add_bos_token").optional()?;
        let add_eos = gguf.bool("tokenizer.ggml.add_eos_token").optional()?;
        let vocab = Self {
            tokens,
            specials,
            bos: special_ids.bos,
            eos: special_ids.eos,
            add_bos: add_bos.unwrap_or(parts.pre.add_bos),
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
        // Two bitmaps, and what the model needs.
        Bpe::scratch(bytes).saturating_add(bitmap_words(bytes) * 2)
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
            }
        } else {
            Piece::raw(&[])
        }
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
        let (begins, scratch) = rest.split_at_mut_checked(words).ok_or_else(too_long)?;

        let mut out = Output { out, len: 0 };
        if let (true, true, Some(bos)) = (options.add_special, self.add_bos, self.bos) {
            out.push(bos);
        }
        let mut fragments = Fragments {
            text,
            covered: Bitmap(covered),
            begins: Bitmap(begins),
            position: 0,
        };
        fragments.mark(self, options.parse_special);
        while let Some(fragment) = fragments.next() {
            match fragment {
                Fragment::Special(spelling) => {
                    if let Some(id) = self.find(spelling) {
                        out.push(id);
                    }
                }
                Fragment::Text(text) => match &self.model {
                    Model::Bpe(bpe) => bpe.encode(&self.tokens, text, scratch, &mut out)?,
                },
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
pub struct Piece<'a> {
    raw: core::slice::Iter<'a, u8>,
    mapped: core::str::Chars<'a>,
}

impl<'a> Piece<'a> {
    fn raw(bytes: &'a [u8]) -> Self {
        Self {
            raw: bytes.iter(),
            mapped: "".chars(),
        }
    }

    fn mapped(bytes: &'a [u8]) -> Self {
        match core::str::from_utf8(bytes) {
            Ok(text) => Self {
                raw: [].iter(),
                mapped: text.chars(),
            },
            Err(_) => Self::raw(bytes),
        }
    }
}

impl Iterator for Piece<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some(&byte) = self.raw.next() {
            return Some(byte);
        }
        let rest = self.mapped.as_str();
        let c = self.mapped.next()?;
        bpe::byte_of(c).or_else(|| {
            // Not one of the characters that stand for bytes: it stands for itself.
            self.raw = rest.as_bytes().get(..c.len_utf8())?.iter();
            self.raw.next().copied()
        })
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
        // OVERFLOW: There are no more tokens than bytes of the text, and two.
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

/// The parts of a text: special tokens, and what is between them.
struct Fragments<'t, 's> {
    text: &'t str,
    /// The bytes that belong to special tokens.
    covered: Bitmap<'s>,
    /// The first bytes of special tokens.
    begins: Bitmap<'s>,
    position: usize,
}

enum Fragment<'t> {
    Special(&'t str),
    Text(&'t str),
}

impl<'t> Fragments<'t, '_> {
    /// Finds the special tokens: first all of the longest one, then, in what they leave over, all of
    /// the next. User-defined tokens are found whether or not control tokens are asked for.
    fn mark(&mut self, vocab: &Vocab<'_>, parse_special: bool) {
        self.covered.clear();
        self.begins.clear();
        let text = self.text.as_bytes();
        let mut has_byte = [false; 256];
        for &byte in text {
            if let Some(has) = has_byte.get_mut(usize::from(byte)) {
                *has = true;
            }
        }
        for &id in vocab.specials {
            let marks = vocab.tokens.marks(id);
            if !parse_special && marks & (mark::CONTROL | mark::UNKNOWN) != 0 {
                continue;
            }
            let spelling = vocab.tokens.text(id).unwrap_or(&[]);
            let all_there = spelling
                .iter()
                .all(|&byte| has_byte.get(usize::from(byte)) == Some(&true));
            if spelling.is_empty() || !all_there {
                continue;
            }
            self.mark_all(spelling);
        }
    }

    fn mark_all(&mut self, spelling: &[u8]) {
        let Some(&first) = spelling.first() else {
            return;
        };
        let text = self.text.as_bytes();
        let mut position = 0;
        while let Some(found) = text
            .get(position..)
            .and_then(|rest| rest.iter().position(|&byte| byte == first))
        {
            // OVERFLOW: Positions in the text.
            let begin = position + found;
            let end = begin + spelling.len();
            let matches = text.get(begin..end) == Some(spelling)
                && !(begin..end).any(|i| self.covered.get(i));
            if matches {
                (begin..end).for_each(|i| self.covered.set(i));
                self.begins.set(begin);
                position = end;
            } else {
                position = begin + 1;
            }
        }
    }

    fn next(&mut self) -> Option<Fragment<'t>> {
        let begin = self.position;
        if begin >= self.text.len() {
            return None;
        }
        let special = self.covered.get(begin);
        let mut end = begin + 1;
        while end < self.text.len() && self.covered.get(end) == special && !self.begins.get(end) {
            end += 1;
        }
        self.position = end;
        // The spellings are UTF-8, so that both ends are at a character's.
        let fragment = self.text.get(begin..end)?;
        Some(if special {
            Fragment::Special(fragment)
        } else {
            Fragment::Text(fragment)
        })
    }
}

/// One bit for each byte of a text.
struct Bitmap<'s>(&'s mut [u64]);

impl Bitmap<'_> {
    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn get(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }
}

const fn bitmap_words(bytes: usize) -> usize {
    bytes.div_ceil(64)
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
const MERGES_KEY: &str = "tokenizer.ggml.merges";
const BOS_KEY: &str = "tokenizer.ggml.bos_token_id";
const EOS_KEY: &str = "tokenizer.ggml.eos_token_id";

/// What the file has for the tokenizer.
struct Parts<'a> {
    pre: bpe::Pre,
    tokens: Array<'a>,
    types: Option<Array<'a>>,
    merges: Array<'a>,
    special_capacity: usize,
}

impl<'a> Parts<'a> {
    fn find(gguf: &Gguf<'a>) -> Result<Self, Error> {
        let model = gguf.str("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(Error::Unsupported {
                what: "tokenizer",
                name: model.into(),
            });
        }
        let pre = gguf.str("tokenizer.ggml.pre")?;
        let pre = bpe::Pre::from_name(pre).ok_or(Error::Unsupported {
            what: "pre-tokenizer",
            name: pre.into(),
        })?;
        let tokens = gguf.array(TOKENS_KEY, ValueType::String)?;
        check_len(TOKENS_KEY, tokens.len(), MAX_TOKENS)?;
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
        let merges = gguf.array(MERGES_KEY, ValueType::String)?;
        check_len(MERGES_KEY, merges.len(), MAX_MERGES)?;

        let special = types.map_or(0, |types| {
            (0..tokens.len())
                .filter(|&i| marks_of_type(types.word(i)) & mark::SPECIAL != 0)
                .count()
        });
        Ok(Self {
            pre,
            tokens,
            types,
            merges,
            // Some more become special for how they are spelled.
            special_capacity: special + FIM.len() + END_SPELLINGS.len(),
        })
    }

    fn words(&self) -> usize {
        // OVERFLOW: `MAX_TOKENS` and `MAX_MERGES` bound all of it.
        Tokens::words(self.tokens.len()) + self.special_capacity + Bpe::words(self.merges.len())
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
        // 5 is not used, 6 a byte of another kind of vocabulary.
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

/// The texts of the tokens, in place, and how to find them.
struct Tokens<'a> {
    texts: &'a [u8],
    /// `(tokens)`: where the token's length is in `texts`, from which the text follows.
    offsets: &'a [u32],
    /// `(tokens / 4)`: four tokens' marks in a word.
    marks: &'a mut [u32],
    /// A table of ids plus one, by [`hash`].
    slots: &'a [u32],
}

impl<'a> Tokens<'a> {
    fn words(tokens: usize) -> usize {
        tokens + tokens.div_ceil(4) + table_slots(tokens)
    }

    fn load(parts: &Parts<'a>, carver: &mut Carver<'a>) -> Result<Self, Error> {
        let len = parts.tokens.len();
        let offsets = carver.take(len)?;
        if let Some(mut strings) = parts.tokens.strings() {
            for offset in offsets.iter_mut() {
                // CAST: `Parts` checked that the bytes are fewer than 2^32.
                *offset = strings.offset() as u32;
                strings.next();
            }
        }
        let mut tokens = Self {
            texts: parts.tokens.bytes(),
            offsets,
            marks: carver.take(len.div_ceil(4))?,
            slots: &[],
        };
        let slots = carver.take(table_slots(len))?;
        for id in 0..tokens.id_end() {
            let marks = match parts.types {
                // CAST: An id is below `MAX_TOKENS`.
                Some(types) => marks_of_type(types.word(id as usize)),
                None => mark::NORMAL,
            };
            tokens.mark(id, marks);
            let text = tokens.text(id).unwrap_or(&[]);
            if text.is_empty() {
                continue;
            }
            let slot = free_slot(slots, hash(text.iter().copied()), |other| {
                tokens.text(other) == Some(text)
            })
            .map_err(|problem| problem.error("token", text))?;
            *slot = id + 1;
        }
        tokens.slots = slots;
        Ok(tokens)
    }

    fn len(&self) -> usize {
        self.offsets.len()
    }

    /// One more than the last id.
    fn id_end(&self) -> u32 {
        // CAST: At most `MAX_TOKENS`.
        self.len() as u32
    }

    fn text(&self, id: u32) -> Option<&'a [u8]> {
        let offset = *self.offsets.get(usize::try_from(id).ok()?)?;
        let (len, text) = self
            .texts
            .get(usize::try_from(offset).ok()?..)?
            .split_first_chunk()?;
        text.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
    }

    fn marks(&self, id: u32) -> u8 {
        let word = usize::try_from(id / 4).ok().and_then(|i| self.marks.get(i));
        // CAST: The shift leaves the byte of this token at the bottom.
        word.map_or(0, |word| (word >> (id % 4 * 8)) as u8)
    }

    /// Adds marks to a token.
    fn mark(&mut self, id: u32, marks: u8) {
        if let Some(word) = usize::try_from(id / 4)
            .ok()
            .and_then(|i| self.marks.get_mut(i))
        {
            *word |= u32::from(marks) << (id % 4 * 8);
        }
    }

    /// The token that is spelled as these bytes.
    fn find(&self, bytes: impl Iterator<Item = u8> + Clone) -> Option<u32> {
        probe(self.slots, hash(bytes.clone()))
            .map(|id| (id, self.text(id)))
            .find(|(_, text)| text.is_some_and(|text| text.iter().copied().eq(bytes.clone())))
            .map(|(id, _)| id)
    }
}

/// Number of slots of a table for `entries`, at most half of which will be taken.
const fn table_slots(entries: usize) -> usize {
    // OVERFLOW: `MAX_MERGES` bounds the entries.
    (entries * 2).next_power_of_two()
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, with the finalizer of MurmurHash3 as the
/// tables use the low bits.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    finish_hash(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

fn finish_hash(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

/// The indices of the slots where an entry of this hash may be, in order.
fn probe_slots(slots: usize, hash: u64) -> impl Iterator<Item = usize> {
    let mask = slots.wrapping_sub(1);
    // CAST: Only the low bits are used.
    let first = hash as usize;
    (0..MAX_PROBES).map(move |i| first.wrapping_add(i) & mask)
}

/// The entries that may be the one of this hash.
fn probe(slots: &[u32], hash: u64) -> impl Iterator<Item = u32> + '_ {
    probe_slots(slots.len(), hash).map_while(|i| slots.get(i)?.checked_sub(1))
}

/// Why there is no slot for an entry.
enum Occupied {
    Duplicate,
    Collisions,
}

impl Occupied {
    fn error(self, what: &'static str, name: &[u8]) -> Error {
        let name = Name::new(name);
        match self {
            Self::Duplicate => Error::Duplicate { what, name },
            Self::Collisions => Error::Limit {
                what: "number of colliding entries",
                name,
                value: as_u64(MAX_PROBES),
                limit: as_u64(MAX_PROBES) - 1,
            },
        }
    }
}

/// A free slot for an entry that `is_same` does not find among those with its hash.
fn free_slot(
    slots: &mut [u32],
    hash: u64,
    is_same: impl Fn(u32) -> bool,
) -> Result<&mut u32, Occupied> {
    let mut free = None;
    for i in probe_slots(slots.len(), hash) {
        match slots.get(i).map(|slot| slot.checked_sub(1)) {
            Some(None) => {
                free = Some(i);
                break;
            }
            Some(Some(entry)) if is_same(entry) => return Err(Occupied::Duplicate),
            _ => (),
        }
    }
    free.and_then(|i| slots.get_mut(i))
        .ok_or(Occupied::Collisions)
}

/// Special tokens that are named by keys.
struct SpecialIds {
    bos: Option<u32>,
    eos: Option<u32>,
    /// Tokens that end the answer because a key says so.
    ends: [Option<u32>; 3],
    /// For each of [`FIM`].
    fim: [Option<u32>; FIM.len()],
}

/// Tokens to fill text in the middle, that are found by a key or, without one, by spelling.
struct Fim {
    keys: &'static [&'static str],
    spellings: &'static [&'static str],
    /// Whether it ends the answer.
    ends: bool,
}

const FIM: [Fim; 6] = [
    Fim {
        keys: &[
            "tokenizer.ggml.fim_pre_token_id",
            "tokenizer.ggml.prefix_token_id",
        ],
        spellings: &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
        ends: false,
    },
    Fim {
        keys: &[
            "tokenizer.ggml.fim_suf_token_id",
            "tokenizer.ggml.suffix_token_id",
        ],
        spellings: &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
        ends: false,
    },
    Fim {
        keys: &[
            "tokenizer.ggml.fim_mid_token_id",
            "tokenizer.ggml.middle_token_id",
        ],
        spellings: &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
        ends: false,
    },
    Fim {
        keys: &["tokenizer.ggml.fim_pad_token_id"],
        spellings: &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
        ends: true,
    },
    Fim {
        keys: &["tokenizer.ggml.fim_rep_token_id"],
        spellings: &[
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
            "<reponame>",
        ],
        ends: true,
    },
    Fim {
        keys: &["tokenizer.ggml.fim_sep_token_id"],
        spellings: &["<|file_sep|>"],
        ends: true,
    },
];

/// Spellings of tokens that end the answer in one family of models or another.
const END_SPELLINGS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

impl SpecialIds {
    fn read(gguf: &Gguf<'_>, tokens: &Tokens<'_>) -> Result<Self, Error> {
        let id = |key: &'static str| match gguf.u32(key).optional()? {
            Some(id) if id >= tokens.id_end() => Err(Error::Limit {
                what: "value",
                name: key.into(),
                value: id.into(),
                limit: (tokens.id_end() - 1).into(),
            }),
            id => Ok(id),
        };
        let eos = id(EOS_KEY)?;
        let mut fim = [None; FIM.len()];
        for (found, known) in fim.iter_mut().zip(&FIM) {
            for &key in known.keys {
                *found = id(key)?.or(*found);
            }
        }
        Ok(Self {
            bos: id(BOS_KEY)?,
            eos,
            ends: [
                eos,
                id("tokenizer.ggml.eot_token_id")?,
                id("tokenizer.ggml.eom_token_id")?,
            ],
            fim,
        })
    }

    /// Marks the tokens that end the answer, and those that are for control though their type does
    /// not say so.
    fn mark(&self, tokens: &mut Tokens<'_>) {
        let find = |tokens: &Tokens<'_>, spelling: &str| tokens.find(spelling.bytes());
        for (by_key, known) in self.fim.iter().zip(&FIM) {
            let spelled = || {
                let ids = known.spellings.iter().filter_map(|s| find(tokens, s));
                ids.min()
            };
            let end = if known.ends { mark::END } else { 0 };
            if let Some(id) = by_key {
                tokens.mark(*id, end);
            } else if let Some(id) = spelled() {
                tokens.mark(id, end | mark::CONTROL);
            }
        }
        for id in self.ends.into_iter().flatten() {
            tokens.mark(id, mark::END);
        }
        for spelling in END_SPELLINGS {
            if let Some(id) = find(tokens, spelling) {
                tokens.mark(id, mark::END | mark::CONTROL);
            }
        }
    }
}

/// Lists the special tokens in `list`, longest first, and returns as much of it as there are.
fn list_specials<'a>(tokens: &Tokens<'_>, list: &'a mut [u32]) -> &'a [u32] {
    let mut len = 0;
    for id in 0..tokens.id_end() {
        let spelling = tokens.text(id).unwrap_or(&[]);
        // One that is not UTF-8 can not be in a text.
        if tokens.marks(id) & mark::SPECIAL != 0 && core::str::from_utf8(spelling).is_ok() {
            if let Some(slot) = list.get_mut(len) {
                *slot = id;
                len += 1;
            }
        }
    }
    let list = list.get_mut(..len).unwrap_or_default();
    list.sort_unstable_by_key(|&id| (Reverse(tokens.text(id).map_or(0, <[u8]>::len)), id));
    list
}

fn as_u64(n: usize) -> u64 {
    // CAST: `usize` is at most 64 bits wide.
    n as u64
}

fn bytes_of_words(words: usize) -> u64 {
    as_u64(words).saturating_mul(4)
}
