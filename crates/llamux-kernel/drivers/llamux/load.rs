// SPDX-License-Identifier: GPL-2.0-only

//! Loads the model into memory that was reserved at boot, or into vmalloc's.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::time::{Instant, Monotonic};
use llamux_engine::chat::Format;
use llamux_engine::gguf::Gguf;
use llamux_engine::quantization;
use llamux_engine::{Engine, Error as EngineError, Options, Plan};

use crate::files::Files;
use crate::pool::Pool;
use crate::requant;
use crate::service::Settings;
use crate::status::{Facts, Shown};
use crate::sys;

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
    serve: impl FnOnce(&mut Engine<'_>, Facts) -> T,
) -> Result<T, Reason> {
    let start = Instant::<Monotonic>::now();
    let kernels = sys::kernels();

    let files = Files::open()?;
    let path = files.path();
    // SAFETY: This function is called once.
    let reserved = unsafe { sys::take_reserved() };
    let reserved_size = reserved.as_ref().map_or(0, |memory| memory.len());
    let mut memory = Memory::new(reserved, &files)?;
    let mut places = files.read(memory.bytes())?;
    let refused = |error: EngineError| reason(fmt!("{path}: {}", Shown(&error)));
    let requant = match requant::wanted() {
        None => None,
        Some(to) => {
            let done = requant::convert(memory.bytes(), &mut places, to, pool).map_err(refused)?;
            pr_info!(
                "{path}: {} tensors were given the type {}, which saves {} bytes\n",
                done.tensors,
                Shown(&quantization::name_of(done.to)),
                done.saved
            );
            Some(done)
        }
    };
    let end = places.last().map_or(0, |last| last.end);
    let (images, rest) = memory.split(end);
    let parts = parts(images, &places)?;

    let gguf = Gguf::parse_split(&parts).map_err(refused)?;
    let (options, plan) = plan(&gguf, settings).map_err(refused)?;
    let mut arena_fallback: VVec<u8>;
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
    // It stays where it is: an engine is large, and the stack has no room for two.
    let mut loaded = Engine::load_parsed(&gguf, arena, &options, kernels, pool);
    let engine = match &mut loaded {
        Ok(engine) => engine,
        Err(error) => return Err(refused(*error)),
    };
    engine.prewarm(pool).map_err(refused)?;

    if !settings.keep_firmware {
        files.remove_from_initramfs();
    }
    let facts = Facts::new(
        engine.info(),
        path,
        kernels,
        pool.threads(),
        reserved_size,
        end + arena_bytes,
        requant.as_ref(),
    )
    .map_err(|_| reason(fmt!("{path}: out of memory")))?;
    pr_info!(
        "{path}: {}, loaded in {} ms\n",
        facts.summary(),
        start.elapsed().as_millis()
    );
    if let Some(chat) = engine.info().chat {
        let (format, origin) = (chat.format().name(), chat.origin());
        let (format, origin) = (Shown(&format), Shown(&origin));
        pr_info!("{path}: questions are put into the chat format {format}, {origin}\n");
    }
    drop(files);
    Ok(serve(engine, facts))
}

/// A reason in words.
pub(crate) fn reason(text: kernel::fmt::Arguments<'_>) -> Reason {
    Reason(CString::try_from_fmt(text).ok())
}

/// The bytes of the files at `places`.
pub(crate) fn parts<'m>(
    memory: &'m [u8],
    places: &[Range<usize>],
) -> Result<KVec<&'m [u8]>, Reason> {
    let mut parts = KVec::new();
    for place in places {
        let part = memory.get(place.clone()).unwrap_or_default();
        parts
            .push(part, GFP_KERNEL)
            .map_err(|_| reason(fmt!("out of memory")))?;
    }
    Ok(parts)
}

/// The memory of a model.
enum Memory {
    Reserved(&'static mut [u8]),
    /// For the files alone.
    Vmalloc(VVec<u8>),
}

impl Memory {
    /// Memory for the files; with what else was reserved, if that was.
    fn new(reserved: Option<&'static mut [u8]>, files: &Files) -> Result<Self, Reason> {
        let path = files.path();
        let bytes = files.memory();
        if let Some(memory) = reserved {
            let have = memory.len();
            if bytes.is_some_and(|bytes| bytes < have) {
                return Ok(Self::Reserved(memory));
            }
            return Err(reason(fmt!(
                "{path}: has {} bytes, and llamux_mem= reserved {have}: it needs the file's size \
                 and what it computes in",
                bytes.unwrap_or(usize::MAX)
            )));
        }
        pr_info!("no memory was reserved (llamux_mem=): using vmalloc\n");
        let bytes = bytes.unwrap_or(usize::MAX);
        let memory = VVec::zeroed(bytes, GFP_KERNEL).map_err(|_| {
            reason(fmt!(
                "{path}: no memory for its {bytes} bytes; reserve it at boot with llamux_mem="
            ))
        })?;
        Ok(Self::Vmalloc(memory))
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Reserved(memory) => memory,
            Self::Vmalloc(memory) => memory,
        }
    }

    /// The files, which have `bytes`, and what was reserved behind them, from the beginning of a page.
    fn split(&mut self, bytes: usize) -> (&[u8], Option<&mut [u8]>) {
        match self {
            Self::Reserved(memory) => {
                let pages = bytes.next_multiple_of(PAGE_SIZE).min(memory.len());
                let (images, rest) = memory.split_at_mut(pages);
                (images, Some(rest))
            }
            Self::Vmalloc(memory) => (memory, None),
        }
    }
}

/// How much memory the engine gets.
#[inline(never)]
fn plan(gguf: &Gguf<'_>, settings: &Settings) -> Result<(Options, Plan), EngineError> {
    let mut options = Options {
        context: settings.context,
        prompt_bytes: PROMPT_BYTES,
        chat_format: chat_format(),
        ..Options::default()
    };
    let context = Plan::of(gguf, &options)?.context();
    options.sequences = settings.sessions;
    options.kv_positions = cache(settings.cache, context);
    Ok((options, Plan::of(gguf, &options)?))
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
