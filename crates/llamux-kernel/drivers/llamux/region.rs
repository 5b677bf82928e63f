// SPDX-License-Identifier: GPL-2.0-only

//! Hands out the memory that was reserved at boot, in whole pages, to the models that are loaded into it.
//!
//! A model takes two pieces, one for its files and one to compute in, and there are few models: the taken
//! pieces are a short list, and a new one goes into the first gap that is large enough.
//!
//! Lock order: `Region::taken` is a leaf.

use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

use crate::models::MAX_MODELS;

/// The reserved memory.
///
/// # Invariants
///
/// `base` begins `bytes` bytes that nobody uses but the pieces, each of which has a range of `taken` for
/// itself. `bytes` is a multiple of the page's size.
#[pin_data]
pub(crate) struct Region {
    base: NonNull<u8>,
    bytes: usize,
    #[pin]
    taken: Mutex<Taken>,
}

// SAFETY: The memory is reached through the pieces alone, which do not overlap.
unsafe impl Send for Region {}
// SAFETY: As above.
unsafe impl Sync for Region {}

impl Region {
    /// Hands out this memory. What is no whole page at its end is left out.
    pub(crate) fn new(memory: &'static mut [u8]) -> Result<Arc<Self>> {
        let bytes = memory.len() / PAGE_SIZE * PAGE_SIZE;
        let base = NonNull::from(memory).cast();
        // Two for each model, so that who finds no gap has not only found no memory for the list.
        let pieces = KVec::with_capacity(2 * MAX_MODELS, GFP_KERNEL)?;
        // INVARIANT: The memory is borrowed for ever, and nothing of it is taken.
        Arc::pin_init(
            pin_init!(Self {
                base,
                bytes,
                taken <- new_mutex!(Taken(pieces), "llamux_region"),
            }),
            GFP_KERNEL,
        )
    }

    /// How large it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much of it is free.
    pub(crate) fn free(&self) -> usize {
        self.bytes.saturating_sub(self.taken.lock().bytes())
    }

    /// A piece of at least so many bytes, if there is such a gap.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Piece> {
        let bytes = bytes.max(1).checked_next_multiple_of(PAGE_SIZE)?;
        let start = self.taken.lock().take(bytes, self.bytes)?;
        // INVARIANT: The range is in the list, and overlaps no other.
        Some(Piece {
            region: self.clone(),
            range: start..start + bytes,
        })
    }
}

/// A piece of the region, which is given back when it is dropped.
///
/// # Invariants
///
/// `range` is one of the region's `taken`, and no other piece has it.
pub(crate) struct Piece {
    region: Arc<Region>,
    range: Range<usize>,
}

impl Piece {
    /// Its bytes.
    pub(crate) fn size(&self) -> usize {
        self.range.len()
    }

    /// How large a piece there would be if this one had only `bytes` bytes.
    pub(crate) fn room_if(&self, bytes: usize) -> usize {
        let bytes = bytes.max(1).next_multiple_of(PAGE_SIZE);
        let end = self.range.start.saturating_add(bytes).min(self.range.end);
        let taken = self.region.taken.lock();
        taken.largest_gap(self.range.start, end, self.region.bytes)
    }

    /// Gives back what is behind the first `bytes` bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.max(1).next_multiple_of(PAGE_SIZE);
        let end = self.range.start.saturating_add(bytes).min(self.range.end);
        self.region.taken.lock().shrink(self.range.start, end);
        // INVARIANT: As in the list.
        self.range.end = end;
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the invariants, the range is within the region and this piece's alone. Whatever is
        // there was written before: the memory is older than the kernel's first write to it.
        unsafe {
            let start = self.region.base.as_ptr().add(self.range.start);
            core::slice::from_raw_parts(start, self.range.len())
        }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As in `deref`, and `self` is borrowed for as long.
        unsafe {
            let start = self.region.base.as_ptr().add(self.range.start);
            core::slice::from_raw_parts_mut(start, self.range.len())
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.region.taken.lock().give(self.range.start);
    }
}

/// The ranges that are taken, in ascending order; none is empty.
struct Taken(KVec<Range<usize>>);

impl Taken {
    fn bytes(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    /// Takes `bytes` bytes below `end`, at the first place where they fit. Returns where they begin.
    fn take(&mut self, bytes: usize, end: usize) -> Option<usize> {
        let mut gap = 0;
        let mut index = 0;
        for taken in &self.0 {
            if taken.start - gap >= bytes {
                break;
            }
            gap = taken.end;
            index += 1;
        }
        if gap.checked_add(bytes)? > end {
            return None;
        }
        self.0.reserve(1, GFP_KERNEL).ok()?;
        self.0
            .insert_within_capacity(index, gap..gap + bytes)
            .ok()?;
        Some(gap)
    }

    /// The largest gap below `end` if the range that begins at `start` ended at `cut`.
    fn largest_gap(&self, start: usize, cut: usize, end: usize) -> usize {
        let (mut gap, mut largest) = (0, 0);
        for taken in &self.0 {
            largest = largest.max(taken.start - gap);
            gap = if taken.start == start { cut } else { taken.end };
        }
        largest.max(end.saturating_sub(gap))
    }

    fn position(&self, start: usize) -> Option<usize> {
        self.0.iter().position(|taken| taken.start == start)
    }

    fn shrink(&mut self, start: usize, end: usize) {
        let index = self.position(start);
        if let Some(taken) = index.and_then(|index| self.0.get_mut(index)) {
            taken.end = end;
        }
    }

    fn give(&mut self, start: usize) {
        if let Some(index) = self.position(start) {
            // It is there, so this cannot fail.
            let _ = self.0.remove(index);
        }
    }
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_region)]
mod tests {
    use super::*;

    /// A region in memory that is never given back: there is one for each test, and tests run once.
    fn region(pages: usize) -> Result<Arc<Region>> {
        let (memory, len, _) = VVec::<u8>::zeroed(pages * PAGE_SIZE, GFP_KERNEL)?.into_raw_parts();
        // SAFETY: The vector's memory, which nobody else has and nobody frees.
        Region::new(unsafe { core::slice::from_raw_parts_mut(memory, len) })
    }

    #[test]
    fn pieces_are_whole_pages_and_go_into_the_first_gap() -> Result {
        let region = region(8)?;
        let a = region.take(1).ok_or(ENOMEM)?;
        let b = region.take(2 * PAGE_SIZE).ok_or(ENOMEM)?;
        let c = region.take(PAGE_SIZE + 1).ok_or(ENOMEM)?;
        assert_eq!((a.range.clone(), a.len()), (0..PAGE_SIZE, PAGE_SIZE));
        assert_eq!(b.range.clone(), PAGE_SIZE..3 * PAGE_SIZE);
        assert_eq!(c.range.clone(), 3 * PAGE_SIZE..5 * PAGE_SIZE);
        assert_eq!(region.free(), 3 * PAGE_SIZE);
        drop(b);
        // Three pages are only behind all others, one is in the gap.
        let d = region.take(3 * PAGE_SIZE).ok_or(ENOMEM)?;
        let e = region.take(PAGE_SIZE).ok_or(ENOMEM)?;
        assert_eq!(d.range.start, 5 * PAGE_SIZE);
        assert_eq!(e.range.start, PAGE_SIZE);
        assert_eq!(region.free(), PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused_and_takes_nothing() -> Result {
        let region = region(4)?;
        let a = region.take(PAGE_SIZE).ok_or(ENOMEM)?;
        let b = region.take(PAGE_SIZE).ok_or(ENOMEM)?;
        let c = region.take(PAGE_SIZE).ok_or(ENOMEM)?;
        drop(b);
        // Two pages are free, but not side by side.
        assert!(region.take(2 * PAGE_SIZE).is_none());
        assert!(region.take(usize::MAX).is_none());
        assert!(region.take(usize::MAX - PAGE_SIZE).is_none());
        assert_eq!(region.free(), 2 * PAGE_SIZE);
        drop((a, c));
        assert_eq!(region.free(), 4 * PAGE_SIZE);
        assert!(region.take(4 * PAGE_SIZE).is_some());
        Ok(())
    }

    #[test]
    fn a_piece_that_shrinks_gives_its_end_back() -> Result {
        let region = region(4)?;
        let mut a = region.take(4 * PAGE_SIZE).ok_or(ENOMEM)?;
        a.shrink(PAGE_SIZE + 1);
        assert_eq!((a.len(), region.free()), (2 * PAGE_SIZE, 2 * PAGE_SIZE));
        // It never grows.
        a.shrink(4 * PAGE_SIZE);
        assert_eq!(a.len(), 2 * PAGE_SIZE);
        let b = region.take(2 * PAGE_SIZE).ok_or(ENOMEM)?;
        assert_eq!(b.range.start, 2 * PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn it_is_known_what_a_smaller_piece_would_leave() -> Result {
        let region = region(8)?;
        let a = region.take(4 * PAGE_SIZE).ok_or(ENOMEM)?;
        assert_eq!(a.room_if(4 * PAGE_SIZE), 4 * PAGE_SIZE);
        assert_eq!(a.room_if(PAGE_SIZE + 1), 6 * PAGE_SIZE);
        // It never grows.
        assert_eq!(a.room_if(8 * PAGE_SIZE), 4 * PAGE_SIZE);
        let b = region.take(3 * PAGE_SIZE).ok_or(ENOMEM)?;
        assert_eq!(a.room_if(4 * PAGE_SIZE), PAGE_SIZE);
        assert_eq!(a.room_if(PAGE_SIZE), 3 * PAGE_SIZE);
        assert_eq!(b.room_if(PAGE_SIZE), 3 * PAGE_SIZE);
        Ok(())
    }

    #[test]
    fn pieces_do_not_share_bytes() -> Result {
        let region = region(6)?;
        let mut pieces = KVec::new();
        for number in 1..=3u8 {
            let mut piece = region.take(2 * PAGE_SIZE).ok_or(ENOMEM)?;
            piece.fill(number);
            pieces.push(piece, GFP_KERNEL)?;
        }
        assert!(region.take(1).is_none());
        for (number, piece) in (1..=3u8).zip(&pieces) {
            assert!(piece.iter().all(|&byte| byte == number));
        }
        Ok(())
    }

    /// As models come and go: nothing is lost however often they do, and in whatever order.
    #[test]
    fn memory_comes_back_after_many_turns() -> Result {
        let region = region(32)?;
        let mut held: [Option<Piece>; 4] = [const { None }; 4];
        for turn in 0..1000usize {
            let place = turn * 7 % held.len();
            held[place] = None;
            held[place] = region.take((1 + turn % 5) * PAGE_SIZE);
            let bytes: usize = held.iter().flatten().map(|piece| piece.len()).sum();
            assert_eq!(region.free(), 32 * PAGE_SIZE - bytes);
        }
        held = [const { None }; 4];
        assert!(held.iter().all(Option::is_none));
        assert_eq!(region.free(), 32 * PAGE_SIZE);
        Ok(())
    }
}
