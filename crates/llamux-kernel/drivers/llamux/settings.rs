// SPDX-License-Identifier: GPL-2.0-only

//! What is set while the system runs: files in `/sys/kernel/llamux`, described in
//! Documentation/ABI/testing/sysfs-kernel-llamux.
//!
//! The text that all conversations begin with is copied into each model by the thread that answers.
//!
//! Lock order: `System::text` is a leaf.

use core::fmt::Write as _;
use core::ops::RangeInclusive;

use kernel::ffi::c_int;
use kernel::prelude::*;
use kernel::sync::atomic::{
    ordering::{Acquire, Relaxed, Release},
    Atomic,
};
use kernel::sync::{new_mutex, Arc, Mutex};
use llamux_engine::generate::Sampling;
use llamux_engine::{Engine, MAX_INSTRUCTIONS};

use crate::command::DEFAULT_MAX_TOKENS;
use crate::models::Page;
use crate::pool::Pool;
use crate::service::Service;
use crate::status::Shown;
use crate::{sys, SERVICE};

mod shim {
    use super::*;

    // The prototypes of shim.h.
    unsafe extern "C" {
        pub(super) safe fn llamux_nice_now() -> c_int;
        pub(super) fn llamux_cpus_show(page: *mut u8, size: usize) -> usize;
    }
}

/// A number that may be set.
struct Number {
    /// [`UNSET`] until then.
    value: Atomic<u32>,
    range: RangeInclusive<u32>,
}

const UNSET: u32 = u32::MAX;

impl Number {
    const fn new(range: RangeInclusive<u32>) -> Self {
        Self {
            value: Atomic::new(UNSET),
            range,
        }
    }

    /// What was set, or else the default.
    fn or(&self, default: u32) -> u32 {
        match self.value.load(Relaxed) {
            UNSET => default,
            value => value,
        }
    }

    fn set(&self, text: &[u8]) -> Result {
        let value = number(text)?;
        if !self.range.contains(&value) {
            return Err(ERANGE);
        }
        self.value.store(value, Relaxed);
        Ok(())
    }
}

/// Decimal digits as a number.
fn number(digits: &[u8]) -> Result<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(EINVAL);
    }
    let digits = core::str::from_utf8(digits).map_err(|_| EINVAL)?;
    digits.parse().map_err(|_| ERANGE)
}

/// The same with a sign.
fn signed(text: &[u8]) -> Result<i32> {
    let (sign, digits) = match text.split_first() {
        Some((b'-', digits)) => (-1, digits),
        _ => (1, text),
    };
    let number = i32::try_from(number(digits)?).map_err(|_| ERANGE)?;
    Ok(sign * number)
}

static MAX_TOKENS: Number = Number::new(1..=1 << 16);
static TEMPERATURE: Number = Number::new(0..=10_000);
// CAST: A small constant.
static TOP_K: Number = Number::new(0..=llamux_abi::MAX_CANDIDATES as u32);
static TOP_P: Number = Number::new(1..=1000);
static MIN_P: Number = Number::new(0..=1000);
static REPEAT_PENALTY: Number = Number::new(0..=10_000);

/// What is used where a caller says 0: the most tokens of an answer, and how they are chosen.
pub(crate) fn sampling() -> (u32, Sampling) {
    let default = Sampling::default();
    let sampling = Sampling {
        temperature_milli: TEMPERATURE.or(default.temperature_milli),
        top_k: TOP_K.or(default.top_k),
        top_p_milli: TOP_P.or(default.top_p_milli),
        min_p_milli: MIN_P.or(default.min_p_milli),
        repeat_penalty_milli: REPEAT_PENALTY.or(default.repeat_penalty_milli),
        seed: default.seed,
    };
    (MAX_TOKENS.or(DEFAULT_MAX_TOKENS), sampling)
}

/// The text that conversations begin with, instead of what each model has for that.
#[pin_data]
pub(crate) struct System {
    /// UTF-8; empty if it was not set.
    #[pin]
    text: Mutex<Arc<KVec<u8>>>,
    /// How often it was set.
    version: Atomic<u32>,
}

impl System {
    /// None.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            text <- new_mutex!(Arc::new(KVec::new(), GFP_KERNEL)?, "llamux_system"),
            version: Atomic::new(0),
        }? Error)
    }

    pub(crate) fn text(&self) -> Arc<KVec<u8>> {
        self.text.lock().clone()
    }

    fn set(&self, text: &[u8]) -> Result {
        if text.len() > MAX_INSTRUCTIONS {
            return Err(ERANGE);
        }
        let checked = core::str::from_utf8(text).map_err(|_| EINVAL)?;
        let allowed = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
        if !checked.chars().all(allowed) {
            return Err(EINVAL);
        }
        let mut copy = KVec::new();
        copy.extend_from_slice(text, GFP_KERNEL)?;
        let copy = Arc::new(copy, GFP_KERNEL)?;
        let old = core::mem::replace(&mut *self.text.lock(), copy);
        drop(old);
        self.version.fetch_add(1, Release);
        Ok(())
    }
}

/// What a model has of it.
#[derive(Default)]
pub(crate) struct Spoken {
    version: u32,
    /// Whether it is to be computed when nobody is being answered.
    due: bool,
}

impl Spoken {
    /// Lets a model's conversations begin with the text as it is now. `false` if they do already.
    pub(crate) fn put(system: &System, engine: &mut Engine<'_>) -> bool {
        let text = system.text();
        let text = core::str::from_utf8(&text).unwrap_or("");
        match engine.set_instructions(text) {
            Ok(changed) => changed,
            Err(error) => {
                pr_err!("system_prompt: {}\n", Shown(&error));
                false
            }
        }
    }

    /// The same if the text was changed.
    pub(crate) fn follow(&mut self, system: &System, engine: &mut Engine<'_>) {
        let version = system.version.load(Acquire);
        if self.version != version {
            self.version = version;
            self.due |= Self::put(system, engine);
        }
    }

    /// And computes it for all, once nobody waits for an answer that has begun.
    pub(crate) fn prewarm(&mut self, system: &System, engine: &mut Engine<'_>, pool: &Pool) {
        self.follow(system, engine);
        if self.due && engine.active() == 0 {
            self.due = false;
            if let Err(error) = engine.prewarm(pool) {
                pr_err!("system_prompt: {}\n", Shown(&error));
            }
        }
    }
}

// The numbers are those of shim_settings.c.
const THREADS: u32 = 0;
const CPUS: u32 = 1;
const NICE: u32 = 2;
const SYSTEM_PROMPT: u32 = 3;

/// The number of this one, and what it is if it was not set.
fn number_of(setting: u32) -> Option<(&'static Number, u32)> {
    let (max_tokens, now) = sampling();
    Some(match setting {
        4 => (&MAX_TOKENS, max_tokens),
        5 => (&TEMPERATURE, now.temperature_milli),
        6 => (&TOP_K, now.top_k),
        7 => (&TOP_P, now.top_p_milli),
        8 => (&MIN_P, now.min_p_milli),
        9 => (&REPEAT_PENALTY, now.repeat_penalty_milli),
        _ => return None,
    })
}

fn store(setting: u32, text: &[u8]) -> Result {
    // As echo ends it.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if let Some((number, _)) = number_of(setting) {
        return number.set(text);
    }
    match setting {
        NICE => sys::set_nice(signed(text)?).map_err(|_| ERANGE),
        SYSTEM_PROMPT => {
            let service = SERVICE.as_ref().ok_or(ENODEV)?;
            service.system.set(text)?;
            service.changed();
            Ok(())
        }
        _ => Err(EINVAL),
    }
}

fn show(service: &Service, setting: u32, page: &mut Page<'_>) -> core::fmt::Result {
    if let Some((_, now)) = number_of(setting) {
        return writeln!(page, "{now}");
    }
    match setting {
        THREADS => {
            let threads = service.pool().map_or(0, |pool| pool.threads());
            writeln!(page, "{threads}")
        }
        NICE => writeln!(page, "{}", shim::llamux_nice_now()),
        SYSTEM_PROMPT => {
            let text = service.system.text();
            match core::str::from_utf8(&text) {
                Ok(text) if !text.is_empty() => writeln!(page, "{text}"),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Called by sysfs when one of the files is written to.
///
/// # Safety
///
/// `text` has `len` bytes.
#[no_mangle]
unsafe extern "C" fn llamux_setting_store(setting: u32, text: *const u8, len: usize) -> c_int {
    // SAFETY: By the requirements of this function.
    let text = unsafe { core::slice::from_raw_parts(text, len) };
    store(setting, text).map_or_else(Error::to_errno, |()| 0)
}

/// Called by sysfs when one of the files is read. Returns how much was written to the page.
///
/// # Safety
///
/// `page` has `size` bytes for us to write.
#[no_mangle]
unsafe extern "C" fn llamux_setting_show(setting: u32, page: *mut u8, size: usize) -> usize {
    if setting == CPUS {
        // SAFETY: By the requirements of this function.
        return unsafe { shim::llamux_cpus_show(page, size) };
    }
    // SAFETY: As above.
    let mut page = Page::new(unsafe { core::slice::from_raw_parts_mut(page, size) });
    if let Some(service) = SERVICE.as_ref() {
        // None is longer than a page.
        let _ = show(service, setting, &mut page);
    }
    page.len()
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_settings)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_their_range() {
        static NUMBER: Number = Number::new(1..=1000);
        assert_eq!(NUMBER.or(7), 7);
        for (text, error) in [
            ("", EINVAL),
            (" 1", EINVAL),
            ("1 ", EINVAL),
            ("+1", EINVAL),
            ("-1", EINVAL),
            ("1x", EINVAL),
            ("0x1", EINVAL),
            ("1\n", EINVAL),
            ("0", ERANGE),
            ("1001", ERANGE),
            ("4294967296", ERANGE),
        ] {
            assert_eq!(NUMBER.set(text.as_bytes()), Err(error));
            assert_eq!(NUMBER.or(7), 7);
        }
        for number in [1, 1000] {
            let mut text = [0; 8];
            let mut page = Page::new(&mut text);
            assert!(write!(page, "{number}").is_ok());
            let len = page.len();
            assert!(NUMBER.set(&text[..len]).is_ok());
            assert_eq!(NUMBER.or(7), number);
        }
    }

    #[test]
    fn numbers_may_have_a_sign() {
        assert_eq!(signed(b"-20"), Ok(-20));
        assert_eq!(signed(b"19"), Ok(19));
        assert_eq!(signed(b"-"), Err(EINVAL));
        assert_eq!(signed(b"--1"), Err(EINVAL));
        assert_eq!(signed(b"3000000000"), Err(ERANGE));
    }
}
