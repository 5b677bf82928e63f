// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Carves typed slices out of the one piece of memory that the caller provides.
//!
//! An [`Arena`] without memory only counts, so that planning and loading run the same code and can
//! not disagree.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Error;

/// What every slice is aligned to: a cache line, and the widest vector.
pub const ALIGNMENT: usize = 64;

/// Memory that is handed out from its beginning to its end, or that is only counted.
pub struct Arena<'a> {
    memory: Option<&'a mut [u8]>,
    used: usize,
    have: usize,
}

impl<'a> Arena<'a> {
    /// Counts; every slice is empty.
    pub fn counting() -> Self {
        Self {
            memory: None,
            used: 0,
            have: 0,
        }
    }

    /// Hands out `memory`, which may begin anywhere: what [`Self::needed`] says has room for that.
    pub fn new(memory: &'a mut [u8]) -> Self {
        let have = memory.len();
        let skip = memory.as_ptr().align_offset(ALIGNMENT).min(have);
        Self {
            memory: memory.get_mut(skip..),
            used: 0,
            have,
        }
    }

    /// Whether slices are empty, since nothing but their sizes is wanted.
    pub fn is_counting(&self) -> bool {
        self.memory.is_none()
    }

    /// Bytes handed out so far.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes that the memory must have, wherever it begins.
    pub fn needed(&self) -> usize {
        self.used.saturating_add(ALIGNMENT - 1)
    }

    /// The next `len` elements. They are not cleared.
    pub fn slice<T>(&mut self, len: usize) -> Result<&'a mut [T], Error>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        let too_large = Error::Memory {
            need: u64::MAX,
            // CAST: `usize` is at most 64 bits wide.
            have: self.have as u64,
        };
        let bytes = len
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT))
            .ok_or(too_large)?;
        self.used = self.used.checked_add(bytes).ok_or(too_large)?;
        let Some(memory) = self.memory.take() else {
            return Ok(&mut []);
        };
        let (slice, rest) = memory.split_at_mut_checked(bytes).ok_or(Error::Memory {
            // CAST: As above.
            need: self.needed() as u64,
            have: self.have as u64,
        })?;
        self.memory = Some(rest);
        let (slice, _) = <[T]>::mut_from_prefix_with_elems(slice, len).map_err(|_| too_large)?;
        Ok(slice)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    type Slices<'a> = (&'a mut [u8], &'a mut [u64], &'a mut [u16]);

    fn carve<'a>(arena: &mut Arena<'a>) -> Result<Slices<'a>, Error> {
        Ok((arena.slice(3)?, arena.slice(9)?, arena.slice(0)?))
    }

    #[test]
    fn counts_what_it_carves() {
        let mut counting = Arena::counting();
        let (bytes, _, _) = carve(&mut counting).unwrap();
        assert!(bytes.is_empty() && counting.is_counting());

        let mut memory = vec![0; counting.needed() + ALIGNMENT];
        for offset in 0..ALIGNMENT {
            let memory = &mut memory[offset..][..counting.needed()];
            let mut arena = Arena::new(memory);
            let (bytes, words, none) = carve(&mut arena).unwrap();
            assert_eq!((bytes.len(), words.len(), none.len()), (3, 9, 0));
            assert_eq!(words.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(arena.used(), counting.used());
        }
    }

    #[test]
    fn refuses_more_than_there_is() {
        let mut counting = Arena::counting();
        carve(&mut counting).unwrap();
        let mut memory = vec![0; counting.used() - 1];
        assert!(matches!(
            carve(&mut Arena::new(&mut memory)),
            Err(Error::Memory { have, .. }) if have == counting.used() as u64 - 1
        ));
        assert!(matches!(
            Arena::counting().slice::<u64>(usize::MAX / 4),
            Err(Error::Memory { .. })
        ));
    }
}
