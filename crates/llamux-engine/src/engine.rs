// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A model that is ready to be asked: everything that is in the arena.

use llamux_abi as abi;

use crate::arena::Arena;
use crate::blocks::Blocks;
use crate::chat::{self, Chat, Conversation, Message, Role};
use crate::error::{Error, Name};
use crate::generate::{Outcome, Request};
use crate::gguf::{Gguf, Optional};
use crate::grammar::{self, Matcher, MatcherMemory};
use crate::math::{Candidates, Executor, F32Bits, Job, Kernels, Place};
use crate::model::{Batch, CacheSize, Hyper, Model};
use crate::slot::{Slots, MAX_SEQUENCES};
use crate::tokenizer::{self, Vocab, Work};
use crate::{quantization, size, KvType, Run};

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
    /// How many requests are answered at once; 0 for one.
    pub sequences: u32,
    /// Positions of the key and value cache, which all sequences share; at least the context, and 0 for
    /// a context for each sequence.
    pub kv_positions: u32,
    /// How the cache keeps its numbers.
    pub kv_type: KvType,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            context: 0,
            prompt_bytes: 1 << 20,
            chat_format: None,
            sequences: 0,
            kv_positions: 0,
            kv_type: KvType::F16,
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
    /// Numbers of a token's embedding, and of a text's.
    pub embedding: u32,
    /// The chat format, and where it comes from; `None` if there is none.
    pub chat: Option<Chat<'a>>,
    /// How many requests are answered at once.
    pub sequences: u32,
    /// Positions of the key and value cache.
    pub kv_positions: u32,
    /// How the cache keeps its numbers.
    pub kv_type: KvType,
    /// Bytes of the key and value cache.
    pub kv_bytes: usize,
    /// Bytes of the arena that are used.
    pub arena_bytes: usize,
    /// Bytes of the weights.
    pub tensor_bytes: u64,
}

/// The slot of what is computed without a request.
pub(crate) const OWN: usize = 0;

/// The owner of what is in it: nobody's request.
const NOBODY: u64 = u64::MAX - 1;

/// The first of the owners that have one request each.
pub(crate) const STRANGERS: u64 = 1 << 63;

/// Most positions of the cache.
const MAX_KV_POSITIONS: u32 = 1 << 24;

/// Longest system prompt of [`Engine::set_instructions`], in bytes.
pub const MAX_INSTRUCTIONS: usize = 1024;

/// Tokens of a prompt that are computed between two tokens of others' answers.
const PIECE: u32 = 32;

/// A model, its vocabulary, and the sequences that are computed with it.
pub struct Engine<'a> {
    pub(crate) kernels: Kernels,
    pub(crate) vocab: Vocab<'a>,
    pub(crate) model: Model<'a>,
    pub(crate) blocks: Blocks<'a>,
    pub(crate) slots: Slots<'a>,
    /// A batch.
    pub(crate) ids: &'a mut [u32],
    pub(crate) places: &'a mut [Place],
    /// The prompt of a request that is being taken in.
    pub(crate) prompt: &'a mut [u32],
    /// For the tokenizer.
    pub(crate) text: &'a mut [u64],
    pub(crate) candidates: &'a mut Candidates,
    pub(crate) matcher: Matcher<'a>,
    /// How far each slot's answer has come in its grammar.
    pub(crate) grammar_places: grammar::Places<'a>,
    /// `(slots, embedding)`: sums of those that are pooled.
    pub(crate) sums: &'a mut [F32Bits],
    /// Its chat format, or why there is none.
    pub(crate) chat: Result<Chat<'a>, Error>,
    /// The system prompt that takes the place of the chat format's own, and its length.
    pub(crate) instructions: &'a mut [u8],
    pub(crate) instructions_len: usize,
    /// Tokens of the system prompt.
    pub(crate) system: u32,
    pub(crate) batch: u32,
    pub(crate) piece: u32,
    /// Whether to guess tokens.
    pub(crate) speculate: bool,
    /// Whose turn it was.
    pub(crate) last_decoded: usize,
    pub(crate) last_prefilled: usize,
    pub(crate) last_ended: usize,
    /// How many owners of one request there were.
    pub(crate) strangers: u64,
    info: Info<'a>,
}

/// What is carved out of the arena.
struct Parts<'a> {
    vocabulary: &'a mut [u32],
    vocabulary_bytes: usize,
    blocks: Blocks<'a>,
    slots: Slots<'a>,
    ids: &'a mut [u32],
    places: &'a mut [Place],
    prompt: &'a mut [u32],
    text: &'a mut [u64],
    candidates: &'a mut [Candidates],
    matcher: MatcherMemory<'a>,
    grammar_places: grammar::Places<'a>,
    instructions: &'a mut [u8],
    sums: &'a mut [F32Bits],
    model: Model<'a>,
}

impl<'a> Parts<'a> {
    fn lay_out(
        gguf: &Gguf<'a>,
        hyper: &Hyper,
        options: &Options,
        arena: &mut Arena<'a>,
    ) -> Result<Self, Error> {
        let within = |what, value: u32, limit: u32| match value <= limit {
            true => Ok(value),
            false => Err(Error::Limit {
                what,
                name: Name::EMPTY,
                value: value.into(),
                limit: limit.into(),
            }),
        };
        let context = match options.context {
            0 => hyper.context.min(DEFAULT_CONTEXT),
            context => within("context", context, hyper.context)?,
        };
        let sequences = within(
            "number of sequences",
            options.sequences.max(1),
            MAX_SEQUENCES,
        )?;
        let positions = match options.kv_positions {
            // OVERFLOW: A context has a small cap. Each sequence has blocks of its own.
            0 => context
                .next_multiple_of(abi::KV_BLOCK)
                .saturating_mul(sequences),
            positions if positions < context => {
                return Err(Error::Invalid {
                    what: "number of positions of the cache",
                    name: Name::EMPTY,
                    value: positions.into(),
                    expected: "at least the context",
                })
            }
            positions => positions,
        };
        let limit = MAX_KV_POSITIONS.max(context);
        let positions = within("number of positions of the cache", positions, limit)?;
        let cache = CacheSize {
            context,
            blocks: positions.div_ceil(abi::KV_BLOCK),
            kv_type: options.kv_type,
        };
        let vocabulary = arena.slice(Vocab::plan(gguf)?)?;
        let (tokens, bytes) = Vocab::texts(gguf)?;
        let matcher = MatcherMemory::lay_out(tokens, bytes, arena)?;
        let vocabulary_bytes = arena.used();
        Ok(Self {
            vocabulary,
            vocabulary_bytes,
            blocks: Blocks::lay_out(cache.blocks, arena)?,
            slots: Slots::lay_out(sequences + 1, context, arena)?,
            ids: arena.slice(size(abi::MAX_BATCH))?,
            places: arena.slice(size(abi::MAX_BATCH))?,
            prompt: arena.slice(2 * size(context))?,
            text: arena.slice(Chat::scratch(options.prompt_bytes))?,
            candidates: arena.slice(1)?,
            matcher,
            grammar_places: grammar::Places::lay_out(size(sequences) + 1, arena)?,
            instructions: arena.slice(MAX_INSTRUCTIONS)?,
            // OVERFLOW: Both have small caps.
            sums: arena.slice((size(sequences) + 1) * size(hyper.embedding))?,
            model: Model::lay_out(gguf, hyper, cache, arena)?,
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
        Self::assemble(
            (gguf, &hyper),
            Parts::lay_out(gguf, &hyper, options, &mut arena),
            &arena,
            options,
            (kernels, executor),
        )
    }

    /// Makes an engine of its parts.
    ///
    /// Apart from [`load_parsed`](Self::load_parsed), and without copies of what is large: the stack of a
    /// kernel's thread has no room for these while the parts are laid out.
    #[inline(never)]
    fn assemble(
        (gguf, hyper): (&Gguf<'a>, &Hyper),
        parts: Result<Parts<'a>, Error>,
        arena: &Arena<'a>,
        options: &Options,
        (kernels, executor): (Kernels, &dyn Executor),
    ) -> Result<Self, Error> {
        let mut parts = parts?;
        let vocab = Vocab::load(gguf, parts.vocabulary)?;
        let matcher = Matcher::load(&vocab, parts.matcher)?;
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
            embedding: hyper.embedding,
            chat: chat.ok(),
            // CAST: At most `MAX_SEQUENCES`; one slot is the engine's own.
            sequences: parts.slots.count().saturating_sub(1) as u32,
            kv_positions: parts.blocks.count().saturating_mul(abi::KV_BLOCK),
            kv_type: options.kv_type,
            kv_bytes: parts.model.kv_bytes(),
            arena_bytes: arena.used(),
            tensor_bytes: totals.bytes,
        };
        let candidates = parts.candidates.first_mut();
        let mut engine = Self {
            kernels,
            vocab,
            model: parts.model,
            blocks: parts.blocks,
            slots: parts.slots,
            ids: parts.ids,
            places: parts.places,
            prompt: parts.prompt,
            text: parts.text,
            candidates: candidates.ok_or(Error::Operation("candidates"))?,
            matcher,
            grammar_places: parts.grammar_places,
            sums: parts.sums,
            chat,
            instructions: parts.instructions,
            instructions_len: 0,
            system: 0,
            batch: abi::MAX_BATCH,
            piece: PIECE,
            speculate: false,
            last_decoded: 0,
            last_prefilled: 0,
            last_ended: 0,
            strangers: 0,
            info,
        };
        engine.system = engine.system_tokens();
        engine.clear();
        Ok(engine)
    }

    /// What is known of the model.
    pub fn info(&self) -> &Info<'a> {
        &self.info
    }

    /// The vocabulary.
    pub fn vocab(&self) -> &Vocab<'a> {
        &self.vocab
    }

    /// Tokens of the context.
    pub(crate) fn context(&self) -> u32 {
        self.info.context
    }

    /// The chat format, or why there is none.
    pub fn chat(&self) -> Result<Chat<'a>, Error> {
        self.chat
    }

    /// Puts this text in front of the conversations that begin from now on, instead of the system prompt of
    /// the chat format; without text that comes again. Returns whether it is another one than before. What
    /// they begin with is not computed until [`prewarm`](Self::prewarm) is called, or it is needed. What was
    /// [`extend`](Self::extend)ed is cleared if it is.
    pub fn set_instructions(&mut self, text: &str) -> Result<bool, Error> {
        if self.instructions.get(..self.instructions_len) == Some(text.as_bytes()) {
            return Ok(false);
        }
        let place = self.instructions.get_mut(..text.len());
        // CAST: `usize` is at most 64 bits wide.
        place
            .ok_or(Error::PromptLength {
                need: text.len() as u64,
                have: MAX_INSTRUCTIONS as u64,
            })?
            .copy_from_slice(text.as_bytes());
        self.instructions_len = text.len();
        self.system = self.system_tokens();
        self.clear();
        Ok(true)
    }

    /// How many tokens have been [`extend`](Self::extend)ed by.
    pub fn position(&self) -> u32 {
        self.slots.get(OWN).map_or(0, |own| own.computed)
    }

    /// The tokens of the prompt that came to its end last and had this outcome, until the next request.
    pub fn prompt(&self, outcome: &Outcome) -> &[u32] {
        let tokens = self
            .slots
            .tokens_of(self.last_ended, 0, outcome.prompt_tokens);
        tokens.unwrap_or(&[])
    }

    /// The tokens of the sequence that came to its end last, prompt and answer, without the answer's last
    /// one where it was [`Stop::Length`](crate::generate::Stop), `Context` or `Sink` that ended it.
    pub fn sequence(&self) -> &[u32] {
        let len = self.slots.get(self.last_ended).map_or(0, |slot| slot.len);
        let tokens = self.slots.tokens_of(self.last_ended, 0, len);
        tokens.unwrap_or(&[])
    }

    /// Computes at most `tokens` at once, [`abi::MAX_BATCH`] if nothing else is said.
    pub fn set_batch(&mut self, tokens: u32) {
        self.batch = tokens.clamp(1, abi::MAX_BATCH);
    }

    /// Computes at most `tokens` of a prompt between two tokens of others' answers, 32 if nothing else is
    /// said: fewer let answers flow, more begin them sooner.
    pub fn set_piece(&mut self, tokens: u32) {
        self.piece = tokens.clamp(1, abi::MAX_BATCH);
    }

    /// Whether to guess tokens where the text repeats itself. That changes no choice. It is not done if
    /// nothing else is said, nor while several sequences are computed.
    pub fn set_speculation(&mut self, on: bool) {
        self.speculate = on;
    }

    /// Forgets what the cache has of sequences that have ended.
    pub fn forget(&mut self) {
        self.blocks.forget();
    }

    /// Takes the last tokens of the sequence of [`extend`](Self::extend) back, so that `position` are left.
    pub fn rewind(&mut self, position: u32) {
        if let Ok(own) = self.slots.get_mut(OWN) {
            own.computed = own.computed.min(position);
        }
        // Nobody looks for what is in its blocks, so that these may say that they are fuller.
    }

    /// Ends the sequence of [`extend`](Self::extend).
    pub fn clear(&mut self) {
        // It cannot fail: the slot is there.
        let _ = self.slots.detach(OWN, &mut self.blocks);
        if let Ok(own) = self.slots.get_mut(OWN) {
            (own.len, own.owner) = (0, NOBODY);
        }
    }

    /// The tokens of a text, special tokens in it included, written to `out`. Returns their number.
    pub fn tokenize(&mut self, text: &str, out: &mut [u32]) -> Result<usize, Error> {
        let options = tokenizer::Options {
            add_special: true,
            parse_special: true,
        };
        self.vocab.encode(text, options, self.text, out)
    }

    /// Appends tokens to a sequence that is no request's. Returns the logits behind the last of them,
    /// `(vocabulary)`.
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
        let last = self.advance(&mut run, ids.len(), 1)?;
        self.model.logits(&mut run, last, 1)
    }

    /// Passes on, for each token of `ids` after the first, its negative log-likelihood given all
    /// tokens before it, in nats, as the bits of an `f64`. The sequence of [`extend`](Self::extend) is
    /// `ids` afterwards.
    pub fn likelihoods(
        &mut self,
        ids: &[u32],
        executor: &dyn Executor,
        mut each: impl FnMut(u64),
    ) -> Result<(), Error> {
        self.clear();
        let mut stop = || false;
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        let vocabulary = size(self.info.vocabulary);
        let mut targets = ids.iter().skip(1);
        self.append(ids)?;
        for batch in ids.chunks(size(self.batch)) {
            let count = self.count(batch.len())?;
            self.advance(&mut run, batch.len(), count)?;
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

    /// Puts tokens behind those of the engine's own sequence, to be computed.
    fn append(&mut self, ids: &[u32]) -> Result<(), Error> {
        let vocabulary = self.info.vocabulary;
        if let Some(&id) = ids.iter().find(|&&id| id >= vocabulary) {
            return Err(Error::Token { id, vocabulary });
        }
        let begin = size(self.position());
        let have = self.context();
        let tokens = self.slots.tokens(OWN)?;
        let room = begin
            .checked_add(ids.len())
            .and_then(|end| tokens.get_mut(begin..end))
            .ok_or(Error::Context {
                // CAST: `usize` is at most 64 bits wide.
                need: (begin as u64).saturating_add(ids.len() as u64),
                have: have.into(),
            })?;
        room.copy_from_slice(ids);
        Ok(())
    }

    /// Computes the next `count` tokens of the engine's own sequence, the last `wanted` of them so that
    /// their logits can be had. Returns the index of the last one in its batch.
    pub(crate) fn advance(
        &mut self,
        run: &mut Run<'_>,
        count: usize,
        wanted: u32,
    ) -> Result<u32, Error> {
        let mut left = self.count(count)?;
        let mut last = 0;
        while left > 0 {
            let batch = left.min(self.batch);
            left -= batch;
            let begin = self.position();
            self.slots.grow(OWN, begin + batch, &mut self.blocks)?;
            for (place, position) in self.places.iter_mut().zip(begin..begin + batch) {
                *place = self.slots.place(OWN, position);
            }
            let places = self.places.get(..size(batch));
            let batch_of_tokens = Batch {
                ids: self.slots.tokens_of(OWN, begin, begin + batch)?,
                places: places.ok_or(Error::Operation("places"))?,
                table: self.slots.table(),
                sums: abi::Sums::Together,
            };
            let wanted = if left == 0 { wanted.min(batch) } else { 0 };
            self.model.forward(run, &batch_of_tokens, wanted)?;
            for _ in 0..batch {
                self.slots.advance(OWN, &mut self.blocks)?;
            }
            last = batch.saturating_sub(1);
        }
        Ok(last)
    }

    /// Writes the tokens of a prompt to `prompt`, and returns their number, and how many of them stay when
    /// the oldest are dropped.
    pub(crate) fn encode(
        &mut self,
        request: &Request<'_>,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<(u32, u32), Error> {
        if request.prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let vocab = &self.vocab;
        let work = &mut Work {
            scratch: self.text,
            pause,
        };
        let (encoded, keep) = if request.raw || request.embedding {
            let options = tokenizer::Options {
                add_special: true,
                parse_special: !request.embedding,
            };
            (
                vocab.encode_with(request.prompt, options, work, self.prompt),
                vocab.add_bos().into(),
            )
        } else {
            let question = Message {
                role: Role::User,
                text: request.prompt,
            };
            let conversation = &mut Conversation::default();
            (
                spoken(self.chat?, self.instructions, self.instructions_len).append(
                    vocab,
                    conversation,
                    &[question],
                    true,
                    work,
                    self.prompt,
                ),
                self.system,
            )
        };
        match encoded {
            // CAST: No more than two contexts.
            Ok(count) => Ok((count as u32, keep)),
            Err(Error::Context { need, .. }) => Err(Error::Context {
                need,
                have: self.info.context.into(),
            }),
            Err(error) => Err(error),
        }
    }

    fn count(&self, tokens: usize) -> Result<u32, Error> {
        u32::try_from(tokens)
            .ok()
            .filter(|&tokens| tokens != 0)
            .ok_or(Error::EmptyPrompt)
    }
}

/// A chat format with the instructions that were set. Apart, so that the rest of the engine can be used
/// meanwhile.
pub(crate) fn spoken<'s>(chat: Chat<'s>, instructions: &'s [u8], len: usize) -> Chat<'s> {
    let text = instructions.get(..len).unwrap_or(&[]);
    // It was copied from a string.
    chat.with_system(core::str::from_utf8(text).unwrap_or(""))
}
