// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The symbols that a text is made of while they merge.

/// The symbols of a text. Each begins at the index of its first byte; there, the upper half of a word
/// is its tag, a number that the tokenizer keeps with it, and the lower half, its extent, the index of
/// its last byte. At its last byte, the extent is the index of its first.
pub(super) struct Symbols<'s>(&'s mut [u64]);

impl<'s> Symbols<'s> {
    /// Symbols for as many bytes as there are words, none of which is there yet.
    pub(super) fn new(words: &'s mut [u64]) -> Self {
        Self(words)
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u32 {
        // CAST: `Vocab::encode` refuses texts of 4 GiB.
        self.0.len() as u32
    }

    fn get(&self, index: u32) -> u64 {
        // CAST: `usize` has at least 32 bits.
        let word = self.0.get(index as usize);
        word.copied().unwrap_or(u64::MAX)
    }

    /// What is kept with the symbol that begins at `index`.
    pub(super) fn tag(&self, index: u32) -> u32 {
        // CAST: The upper half.
        (self.get(index) >> 32) as u32
    }

    /// The last byte of the symbol that begins at `index`, or the first of the one that ends there.
    pub(super) fn extent(&self, index: u32) -> u32 {
        // CAST: The lower half.
        self.get(index) as u32
    }

    fn put(&mut self, index: u32, tag: u32, extent: u32) {
        if let Some(word) = self.0.get_mut(index as usize) {
            *word = u64::from(tag) << 32 | u64::from(extent);
        }
    }

    /// Keeps something else with the symbol that begins at `index`.
    pub(super) fn set_tag(&mut self, index: u32, tag: u32) {
        self.put(index, tag, self.extent(index));
    }

    /// Makes the bytes from `first` to `last` one symbol.
    pub(super) fn set(&mut self, first: u32, last: u32, tag: u32) {
        self.put(first, tag, last);
        if last > first {
            self.put(last, self.tag(last), first);
        }
    }

    /// Where the symbol behind the one at `index` begins.
    pub(super) fn after(&self, index: u32) -> Option<u32> {
        let after = self.extent(index).checked_add(1)?;
        (after < self.len()).then_some(after)
    }

    /// Where the symbol in front of the one at `index` begins.
    pub(super) fn before(&self, index: u32) -> Option<u32> {
        Some(self.extent(index.checked_sub(1)?))
    }
}
