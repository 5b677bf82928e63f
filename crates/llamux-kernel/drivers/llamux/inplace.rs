// SPDX-License-Identifier: GPL-2.0-only

//! Models at the head of the initrd, which are used where they lie.
//!
//! C source: [`drivers/llamux/inplace.c`](srctree/drivers/llamux/inplace.c)

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use kernel::ffi::c_int;
use kernel::prelude::*;

use crate::sys;

mod shim {
    use super::*;

    // The prototypes of shim.h.
    unsafe extern "C" {
        pub(super) fn llamux_in_place_find(
            name: *const u8,
            path: *mut u8,
            path_size: usize,
            size: *mut usize,
        ) -> c_int;
        pub(super) fn llamux_in_place_take(index: u32) -> *mut u8;
        pub(super) fn llamux_in_place_give(index: u32, used: bool);
    }
}

/// Longest path of a model's file, with its NUL.
const PATH_SIZE: usize = 400;

/// A model that is there, and that nobody used when it was found.
///
/// # Invariants
///
/// `index` and `bytes` are those of one.
pub(crate) struct Found {
    index: u32,
    bytes: usize,
    path: KVec<u8>,
}

impl Found {
    /// The one of this name, or the first one.
    pub(crate) fn new(name: Option<&CStr>) -> Result<Option<Self>> {
        let mut path = KVec::zeroed(PATH_SIZE, GFP_KERNEL)?;
        let name = name.map_or(core::ptr::null(), |name| name.as_char_ptr());
        let mut bytes = 0;
        // SAFETY: The name is null or a string, `path` has that many bytes, and `bytes` is valid for the
        // write.
        let index = unsafe {
            shim::llamux_in_place_find(name, path.as_mut_ptr(), PATH_SIZE, &raw mut bytes)
        };
        // INVARIANT: As C says, where it is no error.
        Ok(u32::try_from(index)
            .ok()
            .map(|index| Self { index, bytes, path }))
    }

    /// Where it would be if it had been unpacked.
    pub(crate) fn path(&self) -> &str {
        sys::path_str(&self.path)
    }

    /// How large it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes it, unless somebody else has.
    pub(crate) fn take(&self) -> Option<InPlace> {
        // SAFETY: By the invariants there is one of this number.
        let start = NonNull::new(unsafe { shim::llamux_in_place_take(self.index) })?;
        // INVARIANT: It was taken just now.
        Some(InPlace {
            index: self.index,
            start,
            bytes: self.bytes,
            used: false,
        })
    }
}

/// The bytes of a model that was taken.
///
/// # Invariants
///
/// `start` begins `bytes` bytes in the direct mapping that nobody else uses until they are given back.
pub(crate) struct InPlace {
    index: u32,
    start: NonNull<u8>,
    bytes: usize,
    /// Whether the pages go to the page allocator afterwards. Otherwise the model can be taken again.
    used: bool,
}

// SAFETY: The memory is reached through this value alone.
unsafe impl Send for InPlace {}
// SAFETY: As above.
unsafe impl Sync for InPlace {}

impl InPlace {
    /// Says that nobody wants it a second time.
    pub(crate) fn set_used(&mut self) {
        self.used = true;
    }
}

impl Deref for InPlace {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the invariants.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for InPlace {
    fn deref_mut(&mut self) -> &mut [u8] {
        // What was changed is not the file any more.
        self.used = true;
        // SAFETY: By the invariants, and `self` is borrowed for as long.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        // SAFETY: `take` took it, and nobody uses it any more.
        unsafe { shim::llamux_in_place_give(self.index, self.used) };
    }
}
