// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A sequence of tokens that is being computed, and its answer so far.

use llamux_abi as abi;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use crate::arena::Arena;
use crate::blocks::{Blocks, BLOCK};
use crate::error::Error;
use crate::generate::{Full, Outcome, Request, Stop};
use crate::lookup;
use crate::math::Place;
use crate::sampler::{Sampler, Sampling};
use crate::size;
use crate::tokenizer::Decoder;

/// Most sequences at once.
pub const MAX_SEQUENCES: u32 = 64;

/// The state of a sequence, in numbers that can be carved out of bytes.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct Slot {
    /// Whose it is.
    pub(crate) owner: u64,
    rng: u64,
    seed: u64,
    temperature_milli: u32,
    top_k: u32,
    top_p_milli: u32,
    min_p_milli: u32,
    repeat_penalty_milli: u32,
    /// One of the constants below.
    pub(crate) phase: u32,
    /// Tokens that are known.
    pub(crate) len: u32,
    /// Those of them whose keys and values are in the cache.
    pub(crate) computed: u32,
    /// Blocks in its table.
    blocks: u32,
    /// Blocks that are promised to it.
    promised: u32,
    /// Tokens of the prompt, and those of them that were found in the cache.
    pub(crate) prompt_tokens: u32,
    pub(crate) cached_tokens: u32,
    /// Tokens of the answer, and the most that it may have.
    pub(crate) answered: u32,
    pub(crate) max_tokens: u32,
    /// Tokens at the beginning that stay when the oldest are dropped.
    pub(crate) keep: u32,
    /// Whether the oldest are dropped when the context is full.
    drop_oldest: u32,
    /// Puts its text together.
    pub(crate) text: Decoder,
    pub(crate) guesses: lookup::Record,
    /// Whether a guess stands behind the known tokens.
    pub(crate) guessed: u32,
    /// Whether the asker knows that the prompt is computed.
    pub(crate) told: u32,
    /// Whether the answer must keep to a grammar.
    pub(crate) constrained: u16,
    /// Whether it is wanted how likely each token was.
    pub(crate) rated: u8,
    /// Whether no answer is wanted, but the sum of what its tokens are in the end.
    pub(crate) pooled: u8,
}

/// The slot is nobody's.
pub(crate) const FREE: u32 = 0;
/// Its tokens are being computed.
pub(crate) const PREFILL: u32 = 1;
/// Only its last token is not computed yet.
pub(crate) const DECODE: u32 = 2;

const NOBODYS: Slot = Slot {
    owner: 0,
    rng: 0,
    seed: 0,
    temperature_milli: 0,
    top_k: 0,
    top_p_milli: 0,
    min_p_milli: 0,
    repeat_penalty_milli: 0,
    phase: FREE,
    len: 0,
    computed: 0,
    blocks: 0,
    promised: 0,
    prompt_tokens: 0,
    cached_tokens: 0,
    answered: 0,
    max_tokens: 0,
    keep: 0,
    drop_oldest: 0,
    text: Decoder::NOTHING,
    guesses: lookup::Record::NONE,
    guessed: 0,
    told: 0,
    constrained: 0,
    rated: 0,
    pooled: 0,
};

impl Slot {
    /// A request that has these many tokens.
    pub(crate) fn new(request: &Request<'_>, owner: u64, tokens: u32, keep: u32) -> Self {
        let Sampling {
            temperature_milli,
            top_k,
            top_p_milli,
            min_p_milli,
            repeat_penalty_milli,
            seed,
        } = request.sampling;
        Self {
            owner,
            rng: seed,
            seed,
            temperature_milli,
            top_k,
            top_p_milli,
            min_p_milli,
            repeat_penalty_milli,
            phase: PREFILL,
            len: tokens,
            prompt_tokens: tokens,
            max_tokens: request.max_tokens,
            keep,
            drop_oldest: (request.full == Full::DropOldest).into(),
            constrained: request.constraint.is_some().into(),
            rated: request.likelihoods.into(),
            pooled: request.embedding.into(),
            ..NOBODYS
        }
    }

    /// How it chooses.
    pub(crate) fn sampler(&self) -> Sampler {
        Sampler {
            sampling: Sampling {
                temperature_milli: self.temperature_milli,
                top_k: self.top_k,
                top_p_milli: self.top_p_milli,
                min_p_milli: self.min_p_milli,
                repeat_penalty_milli: self.repeat_penalty_milli,
                seed: self.seed,
            },
            rng: self.rng,
        }
    }

    /// Keeps the state of the random numbers.
    pub(crate) fn set_sampler(&mut self, sampler: &Sampler) {
        self.rng = sampler.rng;
    }

    /// Whether the oldest tokens are dropped when the context is full.
    pub(crate) fn drops_oldest(&self) -> bool {
        self.drop_oldest != 0
    }

    /// Positions that it takes at most: a context, or all tokens when it has answered.
    pub(crate) fn positions(&self, context: u32) -> u32 {
        let left = self.max_tokens.saturating_sub(self.answered);
        self.len.saturating_add(left).min(context)
    }

    /// What became of the request.
    pub(crate) fn outcome(&self, stop: Stop) -> Outcome {
        Outcome {
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            tokens: self.answered,
            drafted_tokens: self.guesses.drafted,
            accepted_tokens: self.guesses.accepted,
            stop,
        }
    }
}

/// All slots, with their tokens and tables.
pub(crate) struct Slots<'a> {
    /// The first one is the engine's own.
    slots: &'a mut [Slot],
    /// `(slots, context)`.
    tokens: &'a mut [u32],
    /// `(slots, blocks of a context)`: which blocks hold their positions.
    table: &'a mut [u32],
    context: usize,
}

/// Blocks that so many positions need.
pub(crate) fn blocks_of(positions: u32) -> u32 {
    positions.div_ceil(abi::KV_BLOCK)
}

impl<'a> Slots<'a> {
    /// Takes what `count` slots need from `arena`.
    pub(crate) fn lay_out(count: u32, context: u32, arena: &mut Arena<'a>) -> Result<Self, Error> {
        let slots = arena.slice(size(count))?;
        slots.fill(NOBODYS);
        // OVERFLOW: Both have small caps.
        let tokens = arena.slice(size(count) * size(context))?;
        let table = arena.slice(size(count) * size(blocks_of(context)))?;
        table.fill(0);
        Ok(Self {
            slots,
            tokens,
            table,
            context: size(context),
        })
    }

    /// Number of slots.
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// A slot.
    pub(crate) fn get(&self, slot: usize) -> Result<&Slot, Error> {
        self.slots.get(slot).ok_or(Error::Operation("slot"))
    }

    /// A slot.
    pub(crate) fn get_mut(&mut self, slot: usize) -> Result<&mut Slot, Error> {
        self.slots.get_mut(slot).ok_or(Error::Operation("slot"))
    }

    /// Whether a slot is in a phase.
    pub(crate) fn is(&self, slot: usize, phase: u32) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.phase == phase)
    }

    /// `(context)`: a slot's tokens, and room for more.
    pub(crate) fn tokens(&mut self, slot: usize) -> Result<&mut [u32], Error> {
        let tokens = self.tokens.chunks_exact_mut(self.context.max(1)).nth(slot);
        tokens.ok_or(Error::Operation("slot"))
    }

    /// A slot's tokens `begin..end`.
    pub(crate) fn tokens_of(&self, slot: usize, begin: u32, end: u32) -> Result<&[u32], Error> {
        let tokens = self.tokens.chunks_exact(self.context.max(1)).nth(slot);
        let tokens = tokens.and_then(|tokens| tokens.get(size(begin)..size(end)));
        tokens.ok_or(Error::Operation("tokens"))
    }

    /// All tables.
    pub(crate) fn table(&self) -> &[u32] {
        self.table
    }

    /// Where a position of a slot is.
    pub(crate) fn place(&self, slot: usize, position: u32) -> Place {
        let table = slot * self.context.div_ceil(BLOCK);
        Place {
            // CAST: Slots and blocks are both few.
            table: table as u32,
            position,
        }
    }

    /// A slot's blocks, and room for more.
    fn blocks(&mut self, slot: usize) -> Result<&mut [u32], Error> {
        let blocks = self.context.div_ceil(BLOCK).max(1);
        let blocks = self.table.chunks_exact_mut(blocks).nth(slot);
        blocks.ok_or(Error::Operation("table"))
    }

    /// A slot's last block.
    fn last_block(&self, slot: usize) -> Result<Option<u32>, Error> {
        let blocks = self.context.div_ceil(BLOCK);
        let last = self.get(slot)?.blocks.checked_sub(1);
        Ok(last.and_then(|last| self.table.get(slot * blocks + size(last)).copied()))
    }

    /// Puts a block behind a slot's.
    fn push_block(&mut self, slot: usize, block: u32) -> Result<(), Error> {
        let blocks = self.get(slot)?.blocks;
        let entry = self.blocks(slot)?.get_mut(size(blocks));
        *entry.ok_or(Error::Operation("table"))? = block;
        self.get_mut(slot)?.blocks += 1;
        Ok(())
    }

    /// Gives a slot without blocks those that begin like its tokens, all but the last two of which may
    /// be found (so that several are left, which are computed as in a batch of any size; none of a slot
    /// that is pooled, as the cache does not have what is added up), and the promise of what else its
    /// `positions` need. Returns a block to be copied to its last one, if only
    /// a part of one is the same. Changes nothing if there are not enough blocks.
    pub(crate) fn attach(
        &mut self,
        slot: usize,
        positions: u32,
        blocks: &mut Blocks<'_>,
    ) -> Result<Option<Copy>, Error> {
        let Slot {
            owner, len, pooled, ..
        } = *self.get(slot)?;
        let mut left = match pooled {
            0 => len.saturating_sub(2),
            _ => 0,
        };
        let mut found = 0;
        let mut part = None;
        while left > 0 {
            let tokens = self.tokens_of(slot, found, found + left)?;
            let Some(like) = blocks.find(owner, self.last_block(slot)?, tokens) else {
                break;
            };
            if like.positions < abi::KV_BLOCK {
                part = Some(like);
                break;
            }
            if !blocks.share(like.block) {
                break;
            }
            self.push_block(slot, like.block)?;
            found += abi::KV_BLOCK;
            left -= abi::KV_BLOCK;
        }
        let need = blocks_of(positions).saturating_sub(found / abi::KV_BLOCK);
        if !blocks.promise(need) {
            let have = blocks.available();
            self.detach(slot, blocks)?;
            return Err(Error::Busy {
                what: "blocks of the cache",
                need: need.into(),
                have: have.into(),
            });
        }
        self.get_mut(slot)?.promised = need;
        let mut copy = None;
        // The one to copy from is not to be the one to copy to.
        if let Some(part) = part.filter(|part| blocks.share(part.block)) {
            self.grow(slot, found + 1, blocks)?;
            let to = self.last_block(slot)?;
            blocks.release(&[part.block]);
            if let Some(to) = to {
                blocks.copied(part.block, to, part.positions);
                found += part.positions;
                copy = Some(Copy {
                    from: part.block,
                    to,
                });
            }
        }
        let slot = self.get_mut(slot)?;
        slot.computed = found;
        Ok(copy)
    }

    /// Gives a slot blocks for so many positions: first of what it was promised.
    pub(crate) fn grow(
        &mut self,
        slot: usize,
        positions: u32,
        blocks: &mut Blocks<'_>,
    ) -> Result<(), Error> {
        while self.get(slot)?.blocks < blocks_of(positions) {
            let parent = self.last_block(slot)?;
            let entry = self.get_mut(slot)?;
            let block = match entry.promised.checked_sub(1) {
                Some(promised) => {
                    entry.promised = promised;
                    blocks.take_promised(entry.owner, parent)
                }
                None => blocks.take(entry.owner, parent),
            };
            let block = block.ok_or(Error::Busy {
                what: "blocks of the cache",
                need: 1,
                have: 0,
            })?;
            self.push_block(slot, block)?;
        }
        Ok(())
    }

    /// Says that the next token of a slot is computed.
    pub(crate) fn advance(&mut self, slot: usize, blocks: &mut Blocks<'_>) -> Result<(), Error> {
        let computed = self.get(slot)?.computed;
        let token = self.tokens_of(slot, computed, computed.saturating_add(1))?;
        let token = token.first().copied().unwrap_or(0);
        let index = computed / abi::KV_BLOCK;
        if let Some(&block) = self.blocks(slot)?.get(size(index)) {
            blocks.push(block, token);
        }
        self.get_mut(slot)?.computed = computed + 1;
        Ok(())
    }

    /// Takes a slot's blocks and promises away; what is in the blocks can be found again.
    pub(crate) fn detach(&mut self, slot: usize, blocks: &mut Blocks<'_>) -> Result<(), Error> {
        let count = self.get(slot)?.blocks;
        let table = self.blocks(slot)?.get(..size(count));
        blocks.release(table.unwrap_or(&[]));
        let slot = self.get_mut(slot)?;
        blocks.forgo(slot.promised);
        (slot.blocks, slot.promised, slot.computed) = (0, 0, 0);
        Ok(())
    }
}

/// A block that another one begins like.
pub(crate) struct Copy {
    pub(crate) from: u32,
    pub(crate) to: u32,
}
