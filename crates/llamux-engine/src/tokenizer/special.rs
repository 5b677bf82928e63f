// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The tokens that are for control, or end an answer, by the keys of a file or by how they are spelled.

use core::cmp::Reverse;

use super::tokens::Tokens;
use super::{mark, BOS_KEY, EOS_KEY};
use crate::error::Error;
use crate::gguf::{Gguf, Optional};

/// How many tokens become special for how they are spelled, at most.
pub(super) const MOST_SPELLED: usize = FIM.len() + END_SPELLINGS.len();

/// Special tokens that are named by keys.
pub(super) struct SpecialIds {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    /// Tokens that end the answer because a key says so.
    ends: [Option<u32>; 2],
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

/// Spellings of tokens that begin or end a turn of a conversation. Where they are special at all, they
/// are for control: a text that anybody may find in it could begin a turn of its own.
const TURN_SPELLINGS: [&str; 11] = [
    "<|im_start|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
];

impl SpecialIds {
    /// Reads the keys.
    pub(super) fn read(gguf: &Gguf<'_>, tokens: &Tokens<'_>) -> Result<Self, Error> {
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
                id("tokenizer.ggml.eot_token_id")?,
                id("tokenizer.ggml.eom_token_id")?,
            ],
            fim,
        })
    }

    /// Says which tokens begin and end a text where no key does.
    pub(super) fn default_to(&mut self, tokens: &Tokens<'_>, bos: u32, eos: u32) {
        let existing = |id| Some(id).filter(|&id| id < tokens.id_end());
        self.bos = self.bos.or_else(|| existing(bos));
        self.eos = self.eos.or_else(|| existing(eos));
    }

    /// Marks the tokens that end the answer, and those that are for control though their type does
    /// not say so.
    pub(super) fn mark(&self, tokens: &mut Tokens<'_>) {
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
        for id in self.ends.into_iter().chain([self.eos]).flatten() {
            tokens.mark(id, mark::END);
        }
        for spelling in TURN_SPELLINGS {
            if let Some(id) = find(tokens, spelling) {
                if tokens.marks(id) & mark::SPECIAL != 0 {
                    tokens.mark(id, mark::CONTROL);
                }
            }
        }
        for spelling in END_SPELLINGS {
            if let Some(id) = find(tokens, spelling) {
                tokens.mark(id, mark::END | mark::CONTROL);
            }
        }
    }
}

/// Lists the special tokens in `list`, longest first, and returns as much of it as there are.
pub(super) fn list_specials<'a>(tokens: &Tokens<'_>, list: &'a mut [u32]) -> &'a [u32] {
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
