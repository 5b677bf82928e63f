// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama_command(2)` as the kernel defines it: the structure, its constants and the system call.
//!
//! Everything but the call itself is made from `include/uapi/linux/llamux.h` by bindgen. The crate
//! `llamux` is the safe client on top.

#![no_std]

#[expect(
    missing_docs,
    non_camel_case_types,
    reason = "made from the C header, documented there"
)]
mod bindings;

pub use bindings::*;

use core::ffi::{c_int, c_long};

/// The number of the system call, on every architecture.
pub const SYS_LLAMA_COMMAND: c_long = 600;

/// Asks the kernel's language model; see `llama_command(2)`.
///
/// Returns the length of the whole answer, or the `errno` of the failure.
///
/// # Safety
///
/// `command.response` is the address of `command.response_len` bytes that the kernel may write, of
/// which nothing else holds a reference. (`command.prompt` is only read, and may be any address.)
pub unsafe fn llama_command(command: &mut llama_command) -> Result<u64, c_int> {
    let size = core::mem::size_of::<llama_command>();
    // SAFETY: The kernel reads and writes the structure within `size` bytes, and otherwise writes
    // the response alone, which the caller vouches for.
    let length = unsafe { libc::syscall(SYS_LLAMA_COMMAND, core::ptr::from_mut(command), size) };
    u64::try_from(length).map_err(|_| {
        // SAFETY: The C library's errno is this thread's own.
        unsafe { *libc::__errno_location() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_call_gives_errno() {
        let mut command = llama_command::default();
        // SAFETY: The response buffer is empty.
        let result = unsafe { llama_command(&mut command) };
        // EINVAL with Llamux, for the prompt is empty; ENOSYS without, EPERM in some containers.
        let errno = result.unwrap_err();
        assert!(
            [libc::EINVAL, libc::ENOSYS, libc::EPERM].contains(&errno),
            "errno {errno}"
        );
    }
}
