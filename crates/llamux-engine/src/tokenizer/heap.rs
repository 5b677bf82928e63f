// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The queue of the pairs that may merge.

/// Room for all pairs of a word, and a fourth of it more for those that are no longer there.
pub(super) const fn heap_entries(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 4 + 1)
}

/// A heap whose root is the smallest entry.
pub(super) struct Heap<'s> {
    entries: &'s mut [u64],
    len: usize,
}

impl<'s> Heap<'s> {
    /// An empty heap that `entries` has room for.
    pub(super) fn new(entries: &'s mut [u64]) -> Self {
        Self { entries, len: 0 }
    }

    /// Adds an entry. When there is no room, those that `keep` refuses go first, and all but one of
    /// those that are equal; as they are at least a fifth of all, that happens a bounded number of
    /// times per text. `None` if all stay.
    pub(super) fn push(&mut self, entry: u64, keep: impl Fn(u64) -> bool) -> Option<()> {
        if self.len == self.entries.len() {
            let mut kept = 0;
            for i in 0..self.len {
                let entry = self.get(i);
                if keep(entry) {
                    *self.entries.get_mut(kept)? = entry;
                    kept += 1;
                }
            }
            // What is sorted is a heap.
            let entries = self.entries.get_mut(..kept)?;
            entries.sort_unstable();
            let mut unique = 0;
            for i in 0..entries.len() {
                let entry = *entries.get(i)?;
                if unique == 0 || entries.get(unique - 1) != Some(&entry) {
                    *entries.get_mut(unique)? = entry;
                    unique += 1;
                }
            }
            self.len = unique;
        }
        *self.entries.get_mut(self.len)? = entry;
        self.len += 1;
        let mut child = self.len - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.get(parent) <= self.get(child) {
                break;
            }
            self.entries.swap(parent, child);
            child = parent;
        }
        Some(())
    }

    /// Takes the smallest entry out.
    pub(super) fn pop(&mut self) -> Option<u64> {
        self.len = self.len.checked_sub(1)?;
        self.entries.swap(0, self.len);
        self.sift_down(0);
        Some(self.get(self.len))
    }

    fn sift_down(&mut self, mut parent: usize) {
        loop {
            // OVERFLOW: Indices of a slice of 8-byte words.
            let mut child = 2 * parent + 1;
            if child >= self.len {
                return;
            }
            if child + 1 < self.len && self.get(child + 1) < self.get(child) {
                child += 1;
            }
            if self.get(parent) <= self.get(child) {
                return;
            }
            self.entries.swap(parent, child);
            parent = child;
        }
    }

    fn get(&self, index: usize) -> u64 {
        self.entries.get(index).copied().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_full_heap_drops_what_is_stale_and_stays_a_heap() {
        let mut entries = [0; 8];
        let mut heap = Heap::new(&mut entries);
        for entry in [9, 3, 7, 1, 8, 2, 6, 4] {
            heap.push(entry, |_| true).unwrap();
        }
        assert!(heap.push(5, |_| true).is_none());
        heap.push(5, |entry| entry % 2 == 1).unwrap();
        let popped: Vec<_> = core::iter::from_fn(|| heap.pop()).collect();
        assert_eq!(popped, [1, 3, 5, 7, 9]);
    }

    #[test]
    fn a_full_heap_keeps_one_of_equal_entries() {
        let mut entries = [0; 6];
        let mut heap = Heap::new(&mut entries);
        for entry in [5, 2, 5, 2, 2, 9, 4] {
            heap.push(entry, |_| true).unwrap();
        }
        let popped: Vec<_> = core::iter::from_fn(|| heap.pop()).collect();
        assert_eq!(popped, [2, 4, 5, 9]);
    }
}
