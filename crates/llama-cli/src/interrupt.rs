// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lets Ctrl-C end the answer instead of the program; see `sigaction(2)`.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a signal has come that may have found no system call to interrupt.
static HAPPENED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    HAPPENED.store(true, Ordering::Relaxed);
}

/// Whether there was a SIGINT since [`end_answer_on_sigint`].
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::Relaxed)
}

/// From now on, the first SIGINT only interrupts the system call that is running, and is noted, so that
/// what has been generated can still be shown; the second one ends the program.
pub(crate) fn end_answer_on_sigint() {
    HAPPENED.store(false, Ordering::Relaxed);
    // SAFETY: All zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = note;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESETHAND;
    // SAFETY: The handler only stores a number, so it may run at any moment. It can only fail for an
    // unknown signal; then SIGINT ends the program as it does without this.
    unsafe { libc::sigaction(libc::SIGINT, &action, core::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn first_sigint_does_not_end_the_program() {
        super::end_answer_on_sigint();
        assert!(!super::happened());
        // SAFETY: Raises a signal whose handler is the one above.
        assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0);
        assert!(super::happened());
    }
}
