// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `llama_command(2)` and `/dev/llama` as the kernel defines them: the structures, their constants, the
//! system call and the numbers of the ioctls.
//!
//! Everything but the calls themselves is made from `include/uapi/linux/llamux.h` by bindgen. The crate
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

/// The number of an ioctl, as `_IOC()` of `linux/ioctl.h` makes it.
const fn ioc(direction: u32, number: u32, size: usize) -> u32 {
    // CAST: The sizes are small.
    direction << 30 | (size as u32) << 16 | LLAMA_IOC_MAGIC << 8 | number
}

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// Says something; takes a [`llama_turn`].
pub const LLAMA_IOC_TURN: u32 = ioc(WRITE, 0, size_of::<llama_turn>());
/// Replaces the options; takes [`llama_options`].
pub const LLAMA_IOC_SET: u32 = ioc(WRITE, 1, size_of::<llama_options>());
/// Tells the state; fills a [`llama_session`].
pub const LLAMA_IOC_INFO: u32 = ioc(READ | WRITE, 2, size_of::<llama_session>());
/// Tells how likely the tokens were; takes [`llama_logprobs`].
pub const LLAMA_IOC_LOGPROBS: u32 = ioc(READ | WRITE, 3, size_of::<llama_logprobs>());
/// Copies the conversation; returns a descriptor.
pub const LLAMA_IOC_FORK: u32 = ioc(NONE, 4, 0);
/// Begins a new conversation.
pub const LLAMA_IOC_RESET: u32 = ioc(NONE, 5, 0);
/// Ends the answer.
pub const LLAMA_IOC_CANCEL: u32 = ioc(NONE, 6, 0);
/// Computes ahead.
pub const LLAMA_IOC_PREWARM: u32 = ioc(NONE, 7, 0);
/// Chooses the model; takes a [`llama_model_name`].
pub const LLAMA_IOC_MODEL: u32 = ioc(WRITE, 8, size_of::<llama_model_name>());
/// Makes a vector of a text; takes a [`llama_embedding`].
pub const LLAMA_IOC_EMBED: u32 = ioc(READ | WRITE, 9, size_of::<llama_embedding>());

/// Registers a model that this program answers for, with `/dev/llama-backend`; takes a [`llama_backend`].
pub const LLAMA_IOC_BACKEND: u32 = ioc(WRITE, 15, size_of::<llama_backend>());

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
