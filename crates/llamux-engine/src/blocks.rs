// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The blocks of the key and value cache: who has them, what is in them, which one is given up first.
//!
//! A block holds the keys and values of [`abi::KV_BLOCK`] positions, and stays as it is after the sequence
//! that computed it has ended, until the block is needed for something else. A sequence that begins with the same
//! tokens takes it over, if both have the same owner or the block belongs to [`PUBLIC`]. What comes before
//! a block is part of what it means: it names the block before it, by a number that is never given twice,
//! so that finding a row of blocks compares every token.

use llamux_abi as abi;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use crate::arena::Arena;
use crate::error::Error;
use crate::size;

/// The owner of what everybody may use: what does not come from any user.
pub const PUBLIC: u64 = u64::MAX;

/// Positions of a block.
pub(crate) const BLOCK: usize = abi::KV_BLOCK as usize;

/// What is known of a block.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Block {
    /// Its number, 0 if it holds nothing.
    id: u64,
    /// The number of the block before it, 0 for the first one.
    parent: u64,
    /// Whose tokens they are.
    owner: u64,
    /// When it was last given back: the smallest goes first.
    used: u64,
    /// How many sequences have it in their tables.
    references: u32,
    /// How many positions are computed.
    filled: u32,
}

const EMPTY: Block = Block {
    id: 0,
    parent: 0,
    owner: PUBLIC,
    used: 0,
    references: 0,
    filled: 0,
};

/// All blocks.
///
/// # Invariants
///
/// At least `promised` blocks have no references.
pub(crate) struct Blocks<'a> {
    blocks: &'a mut [Block],
    /// `(blocks, BLOCK)`: the tokens of the positions that are filled.
    tokens: &'a mut [u32],
    last_id: u64,
    clock: u64,
    promised: u32,
}

/// A block that begins like what was looked for.
pub(crate) struct Match {
    /// The block.
    pub(crate) block: u32,
    /// How many of its positions are the same.
    pub(crate) positions: u32,
}

impl<'a> Blocks<'a> {
    /// Takes what `count` blocks need from `arena`, but for the cache itself.
    pub(crate) fn lay_out(count: u32, arena: &mut Arena<'a>) -> Result<Self, Error> {
        let blocks = arena.slice(size(count))?;
        blocks.fill(EMPTY);
        let tokens = size(count).checked_mul(BLOCK);
        Ok(Self {
            blocks,
            tokens: arena.slice(tokens.ok_or(Error::Operation("blocks"))?)?,
            last_id: 0,
            clock: 0,
            promised: 0,
        })
    }

    /// The block among those of `owner` and of everybody that comes after block `parent` and has the
    /// most in common with `tokens`.
    pub(crate) fn find(&self, owner: u64, parent: Option<u32>, tokens: &[u32]) -> Option<Match> {
        let parent = self.id(parent);
        let mut best: Option<Match> = None;
        let held = self.tokens.chunks_exact(BLOCK);
        for (index, (block, held)) in (0..).zip(self.blocks.iter().zip(held)) {
            let mine = block.owner == owner || block.owner == PUBLIC;
            if block.id == 0 || block.parent != parent || !mine {
                continue;
            }
            let held = held.get(..size(block.filled)).unwrap_or(&[]);
            let pairs = held.iter().zip(tokens);
            // CAST: At most a block's positions.
            let positions = pairs.take_while(|(a, b)| a == b).count() as u32;
            if positions > best.as_ref().map_or(0, |best| best.positions) {
                best = Some(Match {
                    block: index,
                    positions,
                });
            }
        }
        best
    }

    /// Number of blocks that have no references and are not promised.
    pub(crate) fn available(&self) -> u32 {
        let free = self.blocks.iter().filter(|block| block.references == 0);
        // CAST: The number of blocks is of this type.
        (free.count() as u32).saturating_sub(self.promised)
    }

    /// Number of all blocks.
    pub(crate) fn count(&self) -> u32 {
        // CAST: It was made of a number of this type.
        self.blocks.len() as u32
    }

    /// Keeps `count` blocks for [`Self::take_promised`]. `false` if there are not so many.
    pub(crate) fn promise(&mut self, count: u32) -> bool {
        let there = count <= self.available();
        if there {
            // INVARIANT: So many were neither referenced nor promised.
            self.promised += count;
        }
        there
    }

    /// Takes a promise back.
    pub(crate) fn forgo(&mut self, count: u32) {
        self.promised = self.promised.saturating_sub(count);
    }

    /// Adds a reference to a block. `false`, and nothing is done, if a promise needs it.
    pub(crate) fn share(&mut self, block: u32) -> bool {
        let available = self.available();
        match self.blocks.get_mut(size(block)) {
            // INVARIANT: It had references, or was not promised.
            Some(block) if block.references > 0 || available > 0 => {
                block.references += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes a block that is empty or has been unused for the longest time.
    pub(crate) fn take(&mut self, owner: u64, parent: Option<u32>) -> Option<u32> {
        if self.available() == 0 {
            return None;
        }
        let parent = self.id(parent);
        let free = (0..).zip(self.blocks.iter());
        let (index, _) = free
            .filter(|(_, block)| block.references == 0)
            // What everybody may use is given up last.
            .min_by_key(|(_, block)| (block.id != 0, block.owner == PUBLIC, block.used))?;
        self.last_id += 1;
        // INVARIANT: One more was there than is promised.
        *self.blocks.get_mut(size(index))? = Block {
            id: self.last_id,
            parent,
            owner,
            references: 1,
            ..EMPTY
        };
        Some(index)
    }

    /// Takes one of the blocks that were promised.
    pub(crate) fn take_promised(&mut self, owner: u64, parent: Option<u32>) -> Option<u32> {
        // INVARIANT: The promise is kept with the block that `take` finds.
        self.promised = self.promised.checked_sub(1)?;
        self.take(owner, parent)
    }

    /// Takes back the references of a sequence to its blocks, which come in their order.
    pub(crate) fn release(&mut self, table: &[u32]) {
        // The first blocks of a sequence are given up last, as the others are found through them.
        for &index in table.iter().rev() {
            self.clock += 1;
            let clock = self.clock;
            if let Some(block) = self.blocks.get_mut(size(index)) {
                block.references = block.references.saturating_sub(1);
                block.used = clock;
                if block.filled == 0 && block.references == 0 {
                    *block = EMPTY;
                }
            }
        }
    }

    /// Says that the next position of a block is computed.
    pub(crate) fn push(&mut self, block: u32, token: u32) {
        let Some(entry) = self.blocks.get_mut(size(block)) else {
            return;
        };
        let held = self.tokens.chunks_exact_mut(BLOCK).nth(size(block));
        if let Some(slot) = held.and_then(|held| held.get_mut(size(entry.filled))) {
            *slot = token;
            entry.filled += 1;
        }
    }

    /// Says that a block has the first `positions` of another one.
    pub(crate) fn copied(&mut self, from: u32, to: u32, positions: u32) {
        let begin = size(from) * BLOCK;
        let positions = positions.min(abi::KV_BLOCK);
        let end = begin + size(positions);
        let target = size(to) * BLOCK;
        if end <= self.tokens.len() && target + BLOCK <= self.tokens.len() {
            self.tokens.copy_within(begin..end, target);
            if let Some(to) = self.blocks.get_mut(size(to)) {
                to.filled = positions;
            }
        }
    }

    /// Forgets what is in blocks that nobody has.
    pub(crate) fn forget(&mut self) {
        let free = self.blocks.iter_mut().filter(|block| block.references == 0);
        free.for_each(|block| *block = EMPTY);
    }

    /// The number of a block.
    fn id(&self, block: Option<u32>) -> u64 {
        let block = block.and_then(|block| self.blocks.get(size(block)));
        block.map_or(0, |block| block.id)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn with_blocks<T>(count: u32, test: impl FnOnce(&mut Blocks<'_>) -> T) -> T {
        let mut counting = Arena::counting();
        Blocks::lay_out(count, &mut counting).unwrap();
        let mut memory = vec![0x5a; counting.needed()];
        let mut arena = Arena::new(&mut memory);
        test(&mut Blocks::lay_out(count, &mut arena).unwrap())
    }

    /// A sequence of such tokens.
    fn fill(blocks: &mut Blocks<'_>, owner: u64, tokens: &[u32]) -> Vec<u32> {
        let mut table = vec![];
        for tokens in tokens.chunks(BLOCK) {
            let block = blocks.take(owner, table.last().copied()).unwrap();
            tokens.iter().for_each(|&token| blocks.push(block, token));
            table.push(block);
        }
        table
    }

    #[test]
    fn finds_what_begins_alike_of_the_same_owner() {
        with_blocks(8, |blocks| {
            let tokens: Vec<u32> = (0..100).collect();
            let table = fill(blocks, 7, &tokens);
            let found = blocks.find(7, None, &tokens).unwrap();
            assert_eq!((found.block, found.positions), (table[0], 64));
            let rest = blocks.find(7, Some(table[0]), &tokens[64..]).unwrap();
            assert_eq!((rest.block, rest.positions), (table[1], 36));
            assert!(blocks.find(8, None, &tokens).is_none(), "another owner");
            assert!(blocks.find(7, None, &tokens[64..]).is_none());
            assert!(
                blocks.find(7, Some(table[1]), &tokens[64..]).is_none(),
                "the same tokens after others"
            );
            let found = blocks.find(7, None, &[0, 1, 2, 9]).unwrap();
            assert_eq!(found.positions, 3);
            // Another one that has more in common is better.
            let longer = fill(blocks, PUBLIC, &[0, 1, 2, 9]);
            let found = blocks.find(7, None, &[0, 1, 2, 9]).unwrap();
            assert_eq!((found.block, found.positions), (longer[0], 4));
        });
    }

    #[test]
    fn gives_up_the_oldest_and_the_last_of_a_sequence_first() {
        with_blocks(5, |blocks| {
            let public = fill(blocks, PUBLIC, &[500; 3]);
            let old = fill(blocks, 1, &[1; 128]);
            let new = fill(blocks, 2, &[2; 128]);
            assert_eq!((blocks.available(), blocks.take(3, None)), (0, None));
            for table in [&public, &old, &new] {
                blocks.release(table);
            }
            assert_eq!(blocks.available(), 5);
            let order: Vec<_> = (0..5).map(|_| blocks.take(3, None).unwrap()).collect();
            assert_eq!(order, [old[1], old[0], new[1], new[0], public[0]]);
            assert!(blocks.find(1, None, &[1; 64]).is_none(), "it is gone");
        });
    }

    #[test]
    fn a_child_of_what_was_given_up_is_not_found() {
        with_blocks(2, |blocks| {
            let table = fill(blocks, 1, &[1; 128]);
            blocks.release(&table[..1]);
            let again = fill(blocks, 1, &[1; 64]);
            assert_eq!(again[0], table[0], "the only free one");
            assert!(blocks.find(1, Some(again[0]), &[1; 64]).is_none());
        });
    }

    #[test]
    fn promises_are_kept() {
        with_blocks(3, |blocks| {
            assert!(!blocks.promise(4));
            assert!(blocks.promise(2));
            assert_eq!(blocks.available(), 1);
            assert!(!blocks.promise(2));
            let free = blocks.take(1, None).unwrap();
            assert_eq!(blocks.take(1, None), None, "the others are promised");
            let promised = blocks.take_promised(1, None).unwrap();
            blocks.push(promised, 9);
            blocks.release(&[promised]);
            assert_eq!(blocks.available(), 1);
            assert!(blocks.share(promised));
            assert_eq!(blocks.available(), 0);
            assert!(blocks.share(promised), "twice is no more than once");
            blocks.release(&[promised]);
            assert_eq!(blocks.available(), 0);
            blocks.forgo(1);
            assert_eq!(blocks.available(), 1);
            blocks.release(&[free, promised]);
            assert_eq!(blocks.available(), 3);
            assert_eq!(blocks.take_promised(1, None), None, "none was promised");
        });
    }
}
