// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A model that is ready to be asked: everything that is in the arena.

use llamux_abi as abi;

use crate::arena::Arena;
use crate::chat::{self, Chat};
use crate::error::{Error, Name};
use crate::generate::Outcome;
use crate::gguf::{Gguf, Optional};
use crate::math::{Candidates, Executor, F32Bits, Job, Kernels};
use crate::model::{Hyper, Model};
use crate::tokenizer::{self, Vocab};
use crate::{quantization, size, Run};

/// The context that is used where none is asked for, if the model's is not shorter.
const DEFAULT_CONTEXT: u32 = 4096;

/// How much memory the engine may need, as far as the caller decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tokens of the context; 0 for the model's own, but at most 4096.
    pub context: u32,
    /// Bytes of the longest prompt that is accepted.
    pub prompt_bytes: usize,
    /// The chat format; the file's own if none is named.
    pub chat_format: Option<chat::Format>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context: 0,
            prompt_bytes: 1 << 20,
            chat_format: None,
        }
    }
}

/// How much memory a model needs besides its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    context: u32,
    arena: usize,
    kv: usize,
    vocabulary: usize,
    scratch: usize,
}

impl Plan {
    /// Plans for a file and refuses it if it can not be loaded, as far as that can be told without
    /// memory.
    pub fn new(image: &[u8], options: &Options) -> Result<Self, Error> {
        Self::of(&Gguf::parse(image)?, options)
    }

    /// The same for a file, or the files of a split model, that have been parsed.
    pub fn of(gguf: &Gguf<'_>, options: &Options) -> Result<Self, Error> {
        let hyper = Hyper::read(gguf)?;
        let mut arena = Arena::counting();
        let parts = Parts::lay_out(gguf, &hyper, options, &mut arena)?;
        let kv = parts.model.kv_bytes();
        let vocabulary = parts.vocabulary_bytes;
        Ok(Self {
            context: parts.model.context(),
            arena: arena.needed(),
            kv,
            vocabulary,
            scratch: arena.used().saturating_sub(kv).saturating_sub(vocabulary),
        })
    }

    /// Bytes that the arena must have.
    pub fn arena_bytes(&self) -> usize {
        self.arena
    }

    /// Bytes of the key and value cache, a part of them.
    pub fn kv_bytes(&self) -> usize {
        self.kv
    }

    /// Bytes of the vocabulary's tables, another part.
    pub fn vocabulary_bytes(&self) -> usize {
        self.vocabulary
    }

    /// Bytes of the rest: scratch memory, and the table of tensors.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch
    }

    /// Tokens of the context.
    pub fn context(&self) -> u32 {
        self.context
    }
}

/// What is known of a loaded model.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    /// `general.name`; the architecture where the file has none.
    pub name: Name,
    /// `general.architecture`.
    pub architecture: &'a str,
    /// Number of weights.
    pub parameters: u64,
    /// The type of most weights, or of the file as a whole.
    pub quantization: &'static str,
    /// Number of layers.
    pub layers: u32,
    /// Tokens of the context.
    pub context: u32,
    /// Tokens of the vocabulary.
    pub vocabulary: u32,
    /// The chat format, and where it comes from; `None` if there is none.
    pub chat: Option<Chat<'a>>,
    /// Bytes of the key and value cache.
    pub kv_bytes: usize,
    /// Bytes of the arena that are used.
    pub arena_bytes: usize,
    /// Bytes of the weights.
    pub tensor_bytes: u64,
}

/// A model, its vocabulary, and the state of one conversation.
///
/// # Invariants
///
/// The cache holds what the model computed for the first `position` of `tokens`.
pub struct Engine<'a> {
    pub(crate) kernels: Kernels,
    pub(crate) vocab: Vocab<'a>,
    pub(crate) model: Model<'a>,
    /// `(context)`: the prompt and the answer.
    pub(crate) tokens: &'a mut [u32],
    /// For the tokenizer.
    pub(crate) text: &'a mut [u64],
    pub(crate) candidates: &'a mut Candidates,
    pub(crate) position: u32,
    /// Its chat format, or why there is none.
    pub(crate) chat: Result<Chat<'a>, Error>,
    batch: u32,
    info: Info<'a>,
}

/// What is carved out of the arena.
struct Parts<'a> {
    vocabulary: &'a mut [u32],
    vocabulary_bytes: usize,
    tokens: &'a mut [u32],
    text: &'a mut [u64],
    candidates: &'a mut [Candidates],
    model: Model<'a>,
}

impl<'a> Parts<'a> {
    fn lay_out(
        gguf: &Gguf<'a>,
        hyper: &Hyper,
        options: &Options,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let context = match options.context {
            0 => hyper.context.min(DEFAULT_CONTEXT),
            context if context <= hyper.context => context,
            context => {
                return Err(Error::Limit {
                    what: "context",
                    name: Name::EMPTY,
                    value: context.into(),
                    limit: hyper.context.into(),
                })
            }
        };
        let vocabulary = arena.slice(Vocab::plan(gguf)?)?;
        let vocabulary_bytes = arena.used();
        Ok(Self {
            vocabulary,
            vocabulary_bytes,
            tokens: arena.slice(size(context))?,
            text: arena.slice(Chat::scratch(options.prompt_bytes))?,
            candidates: arena.slice(1)?,
            model: Model::lay_out(gguf, hyper, context, arena)?,
        })
    }
}

impl<'a> Engine<'a> {
    /// Loads the model of a file, whose bytes stay where they are.
    pub fn load(
        image: &'a [u8],
        arena: &'a mut [u8],
        options: &Options,
        kernels: Kernels,
        executor: &dyn Executor,
    ) -> Result<Self, Error> {
        let gguf = Gguf::parse(image)?;
        Self::load_parsed(&gguf, arena, options, kernels, executor)
    }

    /// The same for a file, or the files of a split model, that have been parsed.
    pub fn load_parsed(
        gguf: &Gguf<'a>,
        arena: &'a mut [u8],
        options: &Options,
        kernels: Kernels,
        executor: &dyn Executor,
    ) -> Result<Self, Error> {
        let hyper = Hyper::read(gguf)?;
        let mut arena = Arena::new(arena);
        let mut parts = Parts::lay_out(gguf, &hyper, options, &mut arena)?;
        let vocab = Vocab::load(gguf, parts.vocabulary)?;
        let chat = Chat::new(gguf, &vocab, options.chat_format);
        parts.model.prepare(&mut Run {
            kernels,
            executor,
            stop: &mut || false,
        })?;

        let totals = parts.model.totals();
        let name = gguf.str("general.name").optional();
        let info = Info {
            name: Name::new(name.ok().flatten().unwrap_or(hyper.architecture.name)),
            architecture: hyper.architecture.name,
            parameters: totals.parameters,
            quantization: quantization::name(gguf),
            layers: hyper.layers,
            context: parts.model.context(),
            vocabulary: hyper.vocabulary,
            chat: chat.ok(),
            kv_bytes: parts.model.kv_bytes(),
            arena_bytes: arena.used(),
            tensor_bytes: totals.bytes,
        };
        let candidates = parts.candidates.first_mut();
        Ok(Self {
            kernels,
            vocab,
            model: parts.model,
            tokens: parts.tokens,
            text: parts.text,
            candidates: candidates.ok_or(Error::Operation("candidates"))?,
            position: 0,
            chat,
            batch: abi::MAX_BATCH,
            info,
        })
    }

    /// What is known of the model.
    pub fn info(&self) -> &Info<'a> {
        &self.info
    }

    /// The vocabulary.
    pub fn vocab(&self) -> &Vocab<'a> {
        &self.vocab
    }

    /// How many tokens are in the context.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// The tokens of the prompt that had this outcome, until the next one.
    pub fn prompt(&self, outcome: &Outcome) -> &[u32] {
        self.tokens
            .get(..size(outcome.prompt_tokens))
            .unwrap_or(&[])
    }

    /// Computes at most `tokens` at once, [`abi::MAX_BATCH`] if nothing else is said.
    pub fn set_batch(&mut self, tokens: u32) {
        self.batch = tokens.clamp(1, abi::MAX_BATCH);
    }

    /// Empties the context.
    pub fn clear(&mut self) {
        // INVARIANT: Nothing is held of no tokens.
        self.position = 0;
    }

    /// The tokens of a text, special tokens in it included, written to `out`. Returns their number.
    pub fn tokenize(&mut self, text: &str, out: &mut [u32]) -> Result<usize, Error> {
        let options = tokenizer::Options {
            add_special: true,
            parse_special: true,
        };
        self.vocab.encode(text, options, self.text, out)
    }

    /// Appends tokens to the context. Returns the logits behind the last of them, `(vocabulary)`.
    pub fn extend(
        &mut self,
        ids: &[u32],
        executor: &dyn Executor,
    ) -> Result<&mut [F32Bits], Error> {
        self.append(ids)?;
        let mut stop = || false;
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        let last = self.advance(&mut run, ids.len())?;
        self.model.logits(&mut run, last, 1)
    }

    /// Passes on, for each token of `ids` after the first, its negative log-likelihood given all
    /// tokens before it, in nats, as the bits of an `f64`. The context is `ids` afterwards.
    pub fn likelihoods(
        &mut self,
        ids: &[u32],
        executor: &dyn Executor,
        mut each: impl FnMut(u64),
    ) -> Result<(), Error> {
        self.clear();
        self.append(ids)?;
        let mut stop = || false;
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        let vocabulary = size(self.info.vocabulary);
        let mut targets = ids.iter().skip(1);
        for batch in ids.chunks(size(self.batch)) {
            let (position, count) = (self.position, self.count(batch.len())?);
            self.model.forward(&mut run, batch, position, count)?;
            // INVARIANT: `append` wrote these very tokens.
            self.position = position + count;
            let most = self.model.max_logits();
            let mut begin = 0;
            while begin < count {
                let part = most.min(count - begin);
                let logits = self.model.logits(&mut run, begin, part)?;
                for (logits, &target) in logits.chunks_exact(vocabulary).zip(&mut targets) {
                    let mut state = abi::LogSumExpState::default();
                    run.job(Job::log_sum_exp(run.kernels, logits, target, &mut state))?;
                    each(state.nll_bits);
                }
                begin += part;
            }
        }
        Ok(())
    }

    /// Puts tokens behind those in the context, to be computed.
    pub(crate) fn append(&mut self, ids: &[u32]) -> Result<(), Error> {
        let vocabulary = self.info.vocabulary;
        if let Some(&id) = ids.iter().find(|&&id| id >= vocabulary) {
            return Err(Error::Token { id, vocabulary });
        }
        let begin = size(self.position);
        let room = begin
            .checked_add(ids.len())
            .and_then(|end| self.tokens.get_mut(begin..end))
            .ok_or(Error::Context {
                // CAST: `usize` is at most 64 bits wide.
                need: (begin as u64).saturating_add(ids.len() as u64),
                have: self.info.context.into(),
            })?;
        room.copy_from_slice(ids);
        Ok(())
    }

    /// Computes the next `count` of `tokens`. Returns the index of the last of them in its batch, whose
    /// logits can then be had.
    pub(crate) fn advance(&mut self, run: &mut Run<'_>, count: usize) -> Result<u32, Error> {
        let mut left = self.count(count)?;
        let mut last = 0;
        while left > 0 {
            let batch = left.min(self.batch);
            left -= batch;
            let begin = size(self.position);
            let ids = self.tokens.get(begin..begin.saturating_add(size(batch)));
            let ids = ids.ok_or(Error::Operation("tokens"))?;
            let wanted = u32::from(left == 0);
            self.model.forward(run, ids, self.position, wanted)?;
            // INVARIANT: The batch has been computed.
            self.position += batch;
            last = batch.saturating_sub(1);
        }
        Ok(last)
    }

    fn count(&self, tokens: usize) -> Result<u32, Error> {
        u32::try_from(tokens)
            .ok()
            .filter(|&tokens| tokens != 0)
            .ok_or(Error::EmptyPrompt)
    }
}
