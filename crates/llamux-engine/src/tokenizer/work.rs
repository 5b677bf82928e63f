// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What the encoding of a text works with.

use crate::error::Error;

/// How many steps are taken between two pauses: a tenth of a millisecond's, or less.
const STEPS: u32 = 1024;

/// Scratch memory, and when to let others work.
pub struct Work<'w> {
    /// The memory, whose former content does not matter.
    pub scratch: &'w mut [u64],
    /// Called every tenth of a millisecond or so. With `true`, the work ends with
    /// [`Error::Interrupted`].
    pub pause: &'w mut dyn FnMut() -> bool,
}

/// Counts steps, each of which takes a bounded time.
pub(super) struct Pacer<'p> {
    pause: &'p mut dyn FnMut() -> bool,
    left: u32,
}

impl<'p> Pacer<'p> {
    pub(super) fn new(pause: &'p mut dyn FnMut() -> bool) -> Self {
        Self { pause, left: STEPS }
    }

    /// Takes a step.
    pub(super) fn step(&mut self) -> Result<(), Error> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return Ok(());
        }
        self.left = STEPS;
        if (self.pause)() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}
