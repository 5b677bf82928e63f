// SPDX-License-Identifier: GPL-2.0-only

//! Loads the model into memory that was reserved at boot, or into vmalloc's.

use kernel::prelude::*;
use kernel::str::CString;
use kernel::time::{Instant, Monotonic};
use llamux_engine::chat::Format;
use llamux_engine::{Engine, Error as EngineError, Options, Plan};

use crate::pool::Pool;
use crate::service::Settings;
use crate::status::{Facts, Shown};
use crate::sys::{self, ModelFile};

/// Longest prompt in bytes that the engine is prepared for.
const PROMPT_BYTES: usize = kernel::uapi::LLAMA_PROMPT_MAX as usize;

/// Positions of the cache for what all questions begin with.
const BEGINNING: u32 = 256;

/// Why there is no model, for the log and for `status`.
pub(crate) struct Reason(Option<CString>);

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = self.0.as_ref().and_then(|text| text.to_str().ok());
        f.write_str(text.unwrap_or("out of memory"))
    }
}

/// Loads the model and passes it on, with what is known of it; or says why there is none.
///
/// # Safety
///
/// To be called once at most.
pub(crate) unsafe fn with_engine<T>(
    settings: &Settings,
    pool: &Pool,
    serve: impl FnOnce(Engine<'_>, Facts) -> T,
) -> Result<T, Reason> {
    let start = Instant::<Monotonic>::now();
    let kernels = sys::kernels();

    let file = ModelFile::open(sys::model_parameter()).map_err(|(error, path)| {
        let path = sys::path_str(&path);
        match error {
            ENOENT => reason(fmt!(
                "{path}: there is no model; the initramfs has to bring NAME.gguf there, which \
                 llamux.model=NAME may name"
            )),
            EINVAL => reason(fmt!(
                "llamux.model={path}: is not a name; it is a file's in /lib/firmware/llamux, \
                 without directory and .gguf"
            )),
            _ => reason(fmt!("{path}: cannot be opened ({error:?})")),
        }
    })?;
    let path = file.path();
    let failed = |error: Error| reason(fmt!("{path}: cannot be read ({error:?})"));
    let (_, size) = file.read(&mut [0; 4]).map_err(failed)?;

    // SAFETY: This function is called once.
    let reserved = unsafe { sys::take_reserved() };
    let reserved_size = reserved.as_ref().map_or(0, |memory| memory.len());
    let mut image_fallback: VVec<u8>;
    let mut arena_fallback: VVec<u8>;
    let (image, rest) = match reserved {
        Some(memory) => {
            // The arena begins on a page of its own.
            let end = size
                .checked_next_multiple_of(kernel::page::PAGE_SIZE)
                .filter(|&end| end < memory.len())
                .ok_or_else(|| {
                    reason(fmt!(
                        "{path}: has {size} bytes, and llamux_mem= reserved {reserved_size}: \
                         it needs the file's size and what it computes in"
                    ))
                })?;
            let (image, rest) = memory.split_at_mut(end);
            (image.get_mut(..size).unwrap_or_default(), Some(rest))
        }
        None => {
            pr_info!("no memory was reserved (llamux_mem=): using vmalloc\n");
            image_fallback = VVec::zeroed(size, GFP_KERNEL).map_err(|_| {
                reason(fmt!(
                    "{path}: no memory for its {size} bytes; reserve it at boot with llamux_mem="
                ))
            })?;
            (&mut image_fallback[..], None)
        }
    };
    let (read, size_now) = file.read(image).map_err(failed)?;
    if read != size || size_now != size {
        return Err(reason(fmt!("{path}: changed while it was read")));
    }

    let mut options = Options {
        context: settings.context,
        prompt_bytes: PROMPT_BYTES,
        chat_format: chat_format(),
        ..Options::default()
    };
    let image = &*image;
    let refused = |error: EngineError| reason(fmt!("{path}: {}", Shown(&error)));
    let context = Plan::new(image, &options).map_err(refused)?.context();
    options.sequences = settings.sessions;
    options.kv_positions = cache(settings.cache, context);
    let plan = Plan::new(image, &options).map_err(refused)?;
    let arena = match rest {
        Some(rest) => {
            let have = rest.len();
            rest.get_mut(..plan.arena_bytes()).ok_or_else(|| {
                reason(fmt!(
                    "{path}: needs {} bytes besides the file, and llamux_mem= leaves {have}; \
                     llamux_mem={}M would do",
                    plan.arena_bytes(),
                    (reserved_size - have + plan.arena_bytes()).div_ceil(1 << 20)
                ))
            })?
        }
        None => {
            arena_fallback = VVec::zeroed(plan.arena_bytes(), GFP_KERNEL).map_err(|_| {
                reason(fmt!(
                    "{path}: no memory for the {} bytes that it computes in",
                    plan.arena_bytes()
                ))
            })?;
            &mut arena_fallback[..]
        }
    };
    let arena_bytes = arena.len();
    let mut engine = Engine::load(image, arena, &options, kernels, pool).map_err(refused)?;
    engine.prewarm(pool).map_err(refused)?;

    if !settings.keep_firmware {
        match file.remove_from_initramfs() {
            Ok(true) => pr_info!("{path}: removed from the initramfs, its memory is free\n"),
            Ok(false) => (),
            Err(error) => {
                pr_warn!("{path}: cannot be removed from the initramfs ({error:?})\n")
            }
        }
    }
    let facts = Facts::new(
        engine.info(),
        path,
        kernels,
        pool.threads(),
        reserved_size,
        size + arena_bytes,
    )
    .map_err(|_| reason(fmt!("{path}: out of memory")))?;
    pr_info!(
        "{path}: {}, loaded in {} ms\n",
        facts.summary(),
        start.elapsed().as_millis()
    );
    if let Some(chat) = engine.info().chat {
        let (format, origin) = (Shown(&chat.format().name()), Shown(&chat.origin()));
        pr_info!("{path}: questions are put into the chat format {format}, {origin}\n");
    }
    drop(file);
    Ok(serve(engine, facts))
}

/// A reason in words.
pub(crate) fn reason(text: kernel::fmt::Arguments<'_>) -> Reason {
    Reason(CString::try_from_fmt(text).ok())
}

/// How many positions the cache gets: one question may fill a whole context, and what all questions begin
/// with stays in the cache meanwhile.
fn cache(wanted: u32, context: u32) -> u32 {
    let least = context.saturating_add(BEGINNING);
    if wanted != 0 && wanted < least {
        pr_err!("llamux.cache={wanted}: less than {least}, which a context wants; using {least}\n");
    }
    wanted.max(least)
}

/// The chat format that a parameter names, if it does.
fn chat_format() -> Option<Format> {
    let name = sys::chat_format_parameter()?.to_str().unwrap_or("?");
    let format = Format::from_name(name);
    if format.is_none() && !name.is_empty() {
        pr_err!(
            "llamux.chat_format={name}: not one of {}; using what the file says\n",
            Shown(&Names)
        );
    }
    format
}

/// The names of all chat formats.
struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(format.name())?;
        }
        Ok(())
    }
}
