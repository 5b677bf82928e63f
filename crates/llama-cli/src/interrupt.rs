// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Lets Ctrl-C end the answer instead of the program; see `sigaction(2)`.

extern "C" fn ignore(_: libc::c_int) {}

/// From now on, the first SIGINT only interrupts the system call that is running, so that what has
/// been generated can still be shown; the second one ends the program.
pub(crate) fn end_answer_on_sigint() {
    // SAFETY: All zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = ignore;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESETHAND;
    // SAFETY: The handler does nothing, so it may run at any moment. It can only fail for an
    // unknown signal; then SIGINT ends the program as it does without this.
    unsafe { libc::sigaction(libc::SIGINT, &action, core::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn first_sigint_does_not_end_the_program() {
        super::end_answer_on_sigint();
        // SAFETY: Raises a signal whose handler is the one above.
        assert_eq!(unsafe { libc::raise(libc::SIGINT) }, 0);
    }
}
