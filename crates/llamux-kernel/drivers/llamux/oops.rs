// SPDX-License-Identifier: GPL-2.0-only

//! What is known of an oops that the system survived, and the explanation of it in the log: a guess of the
//! model's, and marked as one.
//!
//! The facts are noted while the oops is under way (`shim_voice.c`), and told to the model later
//! (`voice.rs`). Small models say much that is not so, and names are made up most easily: a text is refused that
//! has a name of a function that is none of the facts.
//!
//! C source: [`drivers/llamux/shim_voice.c`](srctree/drivers/llamux/shim_voice.c)

use core::fmt::Write;

use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::prelude::*;

/// Bytes of the description, of a command's name, and of a place in the code.
const KIND: usize = 64;
const COMM: usize = 16;
const ENTRY: usize = 128;
/// Places of the trace that are noted.
const ENTRIES: usize = 6;
/// Bytes of the longest name that the model is told, and of the longest explanation.
const LONGEST_NAME: usize = 64;
const LONGEST: usize = 300;
/// Bytes of the shortest explanation that says anything besides the name that it begins with.
const SHORTEST: usize = 12;

mod shim {
    use super::*;

    // The prototypes of shim.h.
    unsafe extern "C" {
        pub(super) safe fn llamux_voice_call();
        pub(super) safe fn llamux_voice_wait(ms: u32) -> bool;
        pub(super) safe fn llamux_oops_watch() -> c_int;
        pub(super) safe fn llamux_oops_fault(address: usize);
        pub(super) safe fn llamux_oops_get(number: u32) -> *const Oops;
    }
}

/// Wakes who sleeps in [`sleep`], now or the next time.
pub(crate) fn call() {
    shim::llamux_voice_call();
}

/// Sleeps for so many milliseconds, 0 for ever, or until somebody calls or there was an oops. Whether it was
/// that.
pub(crate) fn sleep(ms: u32) -> bool {
    shim::llamux_voice_wait(ms)
}

/// Has oopses noted from now on.
pub(crate) fn watch() -> Result {
    to_result(shim::llamux_oops_watch())
}

/// Says where the page fault was that the oops under way is about. In any context.
pub(crate) fn fault(address: usize) {
    shim::llamux_oops_fault(address);
}

/// `struct llamux_oops` of shim.h.
#[repr(C)]
pub(crate) struct Oops {
    kind: [u8; KIND],
    comm: [u8; COMM],
    trace: [[u8; ENTRY]; ENTRIES],
    pid: u32,
    entries: u32,
    _filled: u32,
}

/// An oops of this boot, counted from 0. There are a few at most that are noted.
pub(crate) fn get(number: u32) -> Option<&'static Oops> {
    // SAFETY: It is null or a place in static memory, which was filled, and is not changed after that.
    unsafe { shim::llamux_oops_get(number).as_ref() }
}

/// Ends a text at its NUL.
fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&b| b == 0);
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(&[])
}

/// Shows what is printable and ends no quotation.
struct Quoted<'a>(&'a [u8]);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let quotable = |byte: &&u8| (b' '..=b'~').contains(*byte) && **byte != b'"';
        for &byte in self.0.iter().filter(quotable) {
            f.write_char(byte.into())?;
        }
        Ok(())
    }
}

/// Whether a byte may be in the name of a function.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.$".contains(&byte)
}

/// How others were explained. Small models follow examples better than instructions.
const EXAMPLES: &str = "When the kernel fails, an expert says in one short sentence why that probably \
    was.\n\n\
    The program \"nginx\" made the kernel fail in tcp_close, called by inet_release and sock_close. \
    It was reading through a NULL pointer.\n\
    Why: tcp_close failed because inet_release gave it a socket that had been closed before, and the \
    pointer in it was NULL.\n\n\
    The program \"cc1\" made the kernel fail in free_pages_check, called by free_pages and \
    release_task. It was at BUG(), an assertion that does not hold.\n\
    Why: free_pages_check failed because the page was in use by somebody else, so that free_pages must \
    not free it.\n\n\
    The program \"mv\" made the kernel fail in memcpy, called by copy_name and rename_entry. It was \
    writing at an address that is not mapped.\n\
    Why: memcpy failed because copy_name did not check how long the name was, and wrote behind the end \
    of the buffer.\n\n";

/// What every explanation says behind the function.
const BEGINNING: &str = " failed because";
/// Most of the callers that the model is told.
const CALLERS: usize = 3;

impl Oops {
    /// The names of the functions, from the innermost on.
    fn functions(&self) -> impl Iterator<Item = &str> {
        let entries = usize::try_from(self.entries).unwrap_or(0);
        self.trace.iter().take(entries).filter_map(|entry| {
            // `name+0x10/0x20 [module]`, or a number where there is no name.
            let entry = text(entry);
            let end = entry.iter().position(|&byte| !is_of_name(byte));
            let name = entry.get(..end.unwrap_or(entry.len()).min(LONGEST_NAME))?;
            let first = name.first()?;
            (!first.is_ascii_digit())
                .then(|| core::str::from_utf8(name).ok())
                .flatten()
        })
    }

    /// The function where it happened.
    fn function(&self) -> &str {
        self.functions().next().unwrap_or("an unknown function")
    }

    /// Writes the beginning of a text that goes on with an explanation.
    pub(crate) fn ask(&self, out: &mut dyn Write) -> core::fmt::Result {
        let (kind, comm) = (Quoted(text(&self.kind)), Quoted(text(&self.comm)));
        let function = self.function();
        out.write_str(EXAMPLES)?;
        write!(
            out,
            "The program \"{comm}\" made the kernel fail in {function}"
        )?;
        for (index, caller) in self.functions().skip(1).take(CALLERS).enumerate() {
            let between = if index == 0 { ", called by" } else { " and" };
            write!(out, "{between} {caller}")?;
        }
        write!(out, ". It was {kind}.\nWhy: {function}{BEGINNING}")
    }

    /// Whose it was: the command, to be shown between quotation marks, and the number of the task.
    pub(crate) fn task(&self) -> (impl core::fmt::Display + '_, u32) {
        (Quoted(text(&self.comm)), self.pid)
    }

    /// Writes the explanation to `out` that an answer goes on with. `false` if it is none.
    pub(crate) fn explain(&self, answer: &[u8], out: &mut dyn Write) -> Result<bool> {
        let mut line = answer.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
        if let Some(cut) = line.get(..LONGEST) {
            line = cut;
        }
        // To the end of the last sentence, if one came to its end.
        let ends = |&at: &usize| {
            let next = line.get(at + 1).copied().unwrap_or(b' ');
            line.get(at) == Some(&b'.') && next == b' '
        };
        if let Some(end) = (0..line.len()).rev().find(ends) {
            line = line.get(..end + 1).unwrap_or(line);
        }
        // Without what the compiler put behind a dot.
        let is_named = |word: &[u8]| {
            let mut names = self.functions().filter_map(|name| name.split('.').next());
            names.any(|name| name.as_bytes() == word)
        };
        let mut words = line.split(|&byte| !is_of_name(byte) || byte == b'.');
        let begins = line.first().is_some_and(|&byte| !is_of_name(byte));
        if !begins
            || line.trim_ascii().len() < SHORTEST
            || words.any(|word| word.contains(&b'_') && !is_named(word))
        {
            return Ok(false);
        }
        let (function, line) = (self.function(), Printable(line));
        write!(out, "{function}{BEGINNING}{line}").map_err(|_| ENOMEM)?;
        Ok(true)
    }
}

/// Shows a model's text without what is not printable.
struct Printable<'a>(&'a [u8]);

impl core::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let printable = |byte: &&u8| (b' '..=b'~').contains(*byte);
        for &byte in self.0.iter().filter(printable) {
            f.write_char(byte.into())?;
        }
        Ok(())
    }
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_oops)]
mod tests {
    use super::*;

    /// What was written. The stack has no room for it.
    struct Line(KVec<u8>);

    impl Line {
        fn new() -> Self {
            Self(KVec::new())
        }

        fn text(&self) -> &[u8] {
            &self.0
        }
    }

    impl Write for Line {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.0
                .extend_from_slice(text.as_bytes(), GFP_KERNEL)
                .map_err(|_| core::fmt::Error)
        }
    }

    fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
        let mut padded = [0; N];
        for (to, from) in padded.iter_mut().zip(text) {
            *to = *from;
        }
        padded
    }

    fn oops() -> Oops {
        Oops {
            kind: padded(b"writing through a NULL pointer"),
            comm: padded(b"a \"b\"\n\x1b[1m"),
            trace: [
                padded(b"0x0"),
                padded(b"lkdtm_EXCEPTION+0x5/0x10 [lkdtm]"),
                padded(b"_direct_entry.isra.0+0x1/0x2"),
                padded(b"vfs_write+0x5/0x7"),
                padded(b"not_there+0x5/0x7"),
                padded(b""),
            ],
            pid: 7,
            entries: 4,
            _filled: 1,
        }
    }

    #[test]
    fn the_facts_are_told_and_quoted() -> Result {
        let mut line = Line::new();
        oops().ask(&mut line).map_err(|_| EINVAL)?;
        assert!(line.text().ends_with(
            b"The program \"a b[1m\" made the kernel fail in lkdtm_EXCEPTION, called by \
              _direct_entry.isra.0 and vfs_write. It was writing through a NULL pointer.\n\
              Why: lkdtm_EXCEPTION failed because"
        ));
        let mut line = Line::new();
        let nameless = Oops {
            entries: 1,
            ..oops()
        };
        nameless.ask(&mut line).map_err(|_| EINVAL)?;
        assert!(line.text().ends_with(
            b" made the kernel fail in an unknown function. It was writing through a NULL pointer.\n\
              Why: an unknown function failed because"
        ));
        Ok(())
    }

    #[test]
    fn an_explanation_is_one_line_of_printable_text() -> Result {
        let explained = |answer: &[u8], expected: &[u8]| -> Result {
            let mut line = Line::new();
            assert!(oops().explain(answer, &mut line)?);
            assert!(line.text() == expected);
            Ok(())
        };
        explained(
            b" it wrote through a NULL pointer. And then it\nWhy: x",
            b"lkdtm_EXCEPTION failed because it wrote through a NULL pointer.",
        )?;
        explained(
            b" it has \x1b[31m9.5 \xf0\x9f\xa6\x99red pointers",
            b"lkdtm_EXCEPTION failed because it has [31m9.5 red pointers",
        )?;
        explained(
            b" it was called by _direct_entry.",
            b"lkdtm_EXCEPTION failed because it was called by _direct_entry.",
        )
    }

    #[test]
    fn names_that_are_made_up_are_refused() -> Result {
        for answer in [
            &b""[..],
            b" it did.",
            b"\n wrote through a NULL pointer.",
            b" was called by not_there, and failed.",
            b" was called by inet_release, and failed.",
            b"_other wrote through a NULL pointer.",
        ] {
            assert!(!oops().explain(answer, &mut Line::new())?);
        }
        Ok(())
    }
}
