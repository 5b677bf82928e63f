// SPDX-License-Identifier: GPL-2.0-only

//! Three lines at the end of a panic or an oops.
//!
//! Nothing can be computed then. So there is a pool of haiku in static memory, of each kind: those that
//! were written by hand, and places for those that the model writes when it has nothing else to do
//! (`voice.rs`). A place is filled once and never changed, so whoever reads it, in whatever context,
//! finds all of a haiku or none.
//!
//! C header: [`include/linux/llamux.h`](srctree/include/linux/llamux.h)

use kernel::ffi::c_char;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::atomic::{ordering::Full, ordering::Relaxed, Atomic};
use kernel::sync::SetOnce;
use llamux_engine::haiku::{self, Kind, MAX_BYTES};

use crate::{module_parameters, oops, sys};

/// Places of each kind.
const PLACES: usize = 4;

/// The haiku of the model.
static POOL: [[SetOnce<Haiku>; PLACES]; Kind::ALL.len()] =
    [const { [const { SetOnce::new() }; PLACES] }; Kind::ALL.len()];

/// What is known of the oops under way, in [`Kind::ALL`]'s numbers and one more.
static OOPS_KIND: Atomic<u32> = Atomic::new(0);
/// Whether the end of an oops is being said.
static IN_OOPS: Atomic<u32> = Atomic::new(0);
/// The task of the last oops whose haiku was said.
static OOPS_TASK: Atomic<u64> = Atomic::new(0);
/// Whether there was a panic.
static PANICKED: Atomic<u32> = Atomic::new(0);

/// A text in its place.
struct Haiku {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Haiku {
    fn text(&self) -> &str {
        let text = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(text).unwrap_or("")
    }
}

/// All haiku of a kind that are in the pool.
fn kept(kind: Kind) -> impl Iterator<Item = &'static str> {
    let places = POOL.get(kind.index()).map_or(&[][..], |places| places);
    places.iter().filter_map(SetOnce::as_ref).map(Haiku::text)
}

/// How many haiku the model has written, of all kinds.
pub(crate) fn written() -> usize {
    Kind::ALL.into_iter().map(|kind| kept(kind).count()).sum()
}

/// All haiku of a kind.
pub(crate) fn all(kind: Kind) -> impl Iterator<Item = &'static str> {
    Iterator::chain(haiku::built_in(kind).iter().copied(), kept(kind))
}

/// A kind that has fewest of the model's haiku, if any has places left.
pub(crate) fn wanted() -> Option<Kind> {
    Kind::ALL
        .into_iter()
        .map(|kind| (kept(kind).count(), kind))
        .filter(|(count, _)| *count < PLACES)
        .min_by_key(|(count, _)| *count)
        .map(|(_, kind)| kind)
}

/// Keeps a haiku of the model's. `false` if it is none, is like another one, or has no place.
pub(crate) fn keep(kind: Kind, text: &str) -> bool {
    let is_new = |kind| haiku::is_new(text, &mut all(kind));
    if haiku::check(text).is_err() || !Kind::ALL.into_iter().all(is_new) {
        return false;
    }
    let mut new = Haiku {
        bytes: [0; MAX_BYTES],
        len: text.len(),
    };
    let Some(bytes) = new.bytes.get_mut(..text.len()) else {
        return false;
    };
    bytes.copy_from_slice(text.as_bytes());
    let free = POOL
        .get(kind.index())
        .and_then(|places| places.iter().find(|place| place.as_ref().is_none()));
    free.is_some_and(|place| place.populate(new))
}

/// One of a kind: of the model's as soon as it has written any.
fn pick(kind: Kind) -> &'static str {
    let own = kept(kind).count();
    let from = if own == 0 {
        haiku::built_in(kind).len()
    } else {
        own
    };
    // What differs from one panic to the next: the time, but for its lowest bits, which may not change.
    let time = usize::try_from(sys::rough_clock() >> 10).unwrap_or(0);
    let index = time.checked_rem(from).unwrap_or(0);
    let skipped = if own == 0 {
        0
    } else {
        haiku::built_in(kind).len()
    };
    all(kind).nth(skipped + index).unwrap_or("")
}

/// The three lines of a kind, to be one record of the log, which no other processor's comes between.
struct Lines(&'static str);

impl kernel::fmt::Display for Lines {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        for (index, line) in self.0.lines().enumerate() {
            f.write_str(if index == 0 { "" } else { "\nllamux: " })?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

/// Called by vpanic(), once or twice.
///
/// # Safety
///
/// `message` is a string.
#[no_mangle]
unsafe extern "C" fn llamux_panic(message: *const c_char) {
    if PANICKED.xchg(1, Full) != 0 || !module_parameters::haiku.value() {
        return;
    }
    // An oops that became this panic has had its own.
    if OOPS_TASK.load(Relaxed) == sys::current_id() {
        return;
    }
    // SAFETY: By the requirements of this function.
    let message = unsafe { CStr::from_char_ptr(message) };
    pr_emerg!("{}\n", Lines(pick(Kind::of_panic(message.to_bytes()))));
}

/// Called by page_fault_oops(), with the lock of all oopses held.
#[no_mangle]
extern "C" fn llamux_oops_address(address: usize) {
    oops::fault(address);
    if address < PAGE_SIZE {
        set_oops_kind(Kind::Null);
    } else {
        set_oops_kind(Kind::Generic);
    }
}

fn set_oops_kind(kind: Kind) {
    // CAST: A small number.
    OOPS_KIND.store(kind.index() as u32 + 1, Relaxed);
}

/// Called by oops_end(), with the lock of all oopses held.
#[no_mangle]
extern "C" fn llamux_oops(bug: bool) {
    let known = OOPS_KIND.xchg(0, Relaxed);
    if !module_parameters::haiku.value() || IN_OOPS.xchg(1, Full) != 0 {
        // Where saying it was what went wrong, it is left at that.
        return;
    }
    let known = usize::try_from(known).unwrap_or(0).checked_sub(1);
    let kind = known.and_then(|index| Kind::ALL.get(index).copied());
    let kind = kind.unwrap_or(if bug { Kind::Bug } else { Kind::Generic });
    pr_alert!("{}\n", Lines(pick(kind)));
    OOPS_TASK.store(sys::current_id(), Relaxed);
    IN_OOPS.store(0, Relaxed);
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_haiku)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_at_the_end_is_a_haiku() {
        for kind in Kind::ALL {
            assert!(all(kind).count() >= 4);
            for text in all(kind) {
                assert!(haiku::check(text).is_ok());
            }
            assert!(haiku::check(pick(kind)).is_ok());
        }
    }

    #[test]
    fn what_is_no_haiku_is_not_kept() {
        let known = haiku::built_in(Kind::Bug)[0];
        assert!(!keep(Kind::Bug, known));
        assert!(!keep(Kind::Bug, ""));
        assert!(!keep(Kind::Bug, "too short\nto be one of them\nat all"));
    }
}
