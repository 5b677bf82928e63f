// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Hash tables of 32-bit numbers, in memory that is given.

use super::as_u64;
use crate::error::{Error, Name};

/// How far the search for a free place in a table goes, before the file is refused: with tables that
/// are at most half full, only names made to collide come near it.
const MAX_PROBES: usize = 1024;

/// Number of slots of a table for `entries`, at most half of which will be taken.
pub(super) const fn table_slots(entries: usize) -> usize {
    // OVERFLOW: `MAX_MERGES` bounds the entries.
    (entries * 2).next_power_of_two()
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, with the finalizer of MurmurHash3 as the
/// tables use the low bits.
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    finish_hash(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// Spreads a hash, or a number, over all of its bits.
pub(super) fn finish_hash(mut hash: u64) -> u64 {
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
pub(super) fn probe(slots: &[u32], hash: u64) -> impl Iterator<Item = u32> + '_ {
    probe_slots(slots.len(), hash).map_while(|i| slots.get(i)?.checked_sub(1))
}

/// Why there is no slot for an entry.
pub(super) enum Occupied {
    Duplicate,
    Collisions,
}

impl Occupied {
    pub(super) fn error(self, what: &'static str, name: &[u8]) -> Error {
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
pub(super) fn free_slot(
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
