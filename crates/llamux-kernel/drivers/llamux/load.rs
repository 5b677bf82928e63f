// SPDX-License-Identifier: GPL-2.0-only

//! Loads a model into memory that was reserved at boot, or into vmalloc's.
//!
//! That happens in a thread of its own, while the models that are there go on answering. The file's size is
//! known before anything is read, and the rest of what the model needs after its first pieces: what does not
//! fit is refused then.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use kernel::time::{Instant, Monotonic};
use llamux_abi::TensorType;
use llamux_engine::chat::Format;
use llamux_engine::gguf::Gguf;
use llamux_engine::quantization;
use llamux_engine::{Error as EngineError, Options, Plan};

use crate::files::{Files, PIECE};
use crate::hash::Hashes;
use crate::model::{Image, Memory, Model, Shortage};
use crate::models::Progress;
use crate::pool::Pool;
use crate::region::Region;
use crate::requant;
use crate::service::Settings;
use crate::settings::{Spoken, System};
use crate::sig::{self, Identity};
use crate::status::{Facts, Shown};
use crate::sys;

/// Longest prompt in bytes that the engine is prepared for.
const PROMPT_BYTES: usize = kernel::uapi::LLAMA_PROMPT_MAX as usize;

/// Positions of the cache for what all questions begin with.
const BEGINNING: u32 = 256;

/// Why there is no model, for the log and for `status`.
#[derive(Clone)]
pub(crate) struct Reason(Option<Arc<CString>>);

impl Reason {
    pub(crate) fn as_str(&self) -> &str {
        let text = self.0.as_ref().and_then(|text| text.to_str().ok());
        text.unwrap_or("out of memory")
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A model that is to be loaded, and how.
pub(crate) struct Wanted {
    pub(crate) files: Files,
    /// What larger weights are given.
    pub(crate) requant: Option<requant::Wanted>,
    /// The chat format, if it is not the file's own.
    pub(crate) chat_format: Option<Format>,
    /// Whether the file is removed from the initramfs afterwards.
    pub(crate) remove: bool,
}

/// What there is to load with.
pub(crate) struct Means<'m> {
    pub(crate) settings: &'m Settings,
    pub(crate) region: Option<&'m Arc<Region>>,
    pub(crate) pool: &'m Pool,
    /// What conversations begin with.
    pub(crate) system: &'m System,
}

/// Loads a model, or says why not. If its files are still being hashed, also returns what comes of that.
#[inline(never)]
pub(crate) fn load(
    wanted: &Wanted,
    means: &Means<'_>,
    progress: &Progress,
) -> Result<(Model, Facts, Option<Hashes>), Reason> {
    let start = Instant::<Monotonic>::now();
    let kernels = sys::kernels();
    let Wanted { files, .. } = wanted;
    let path = files.path();
    let refused = |error: EngineError| reason(fmt!("{path}: {}", Shown(&error)));

    let over = || progress.is_over();
    let unhashed = |error: Error| match progress.check() {
        Ok(()) => no_memory(error),
        Err(cancelled) => cancelled,
    };

    let file_bytes = files.memory().unwrap_or(usize::MAX);
    let short = |arena: Option<usize>, shortage: &Shortage| {
        too_large(path, (file_bytes, arena), shortage, means.region)
    };
    let mut memory = match files.in_place() {
        None => Memory::new(means.region, file_bytes).map_err(|shortage| short(None, &shortage))?,
        Some(found) => {
            let taken = found.take().map(Memory::InPlace);
            taken.ok_or_else(|| reason(fmt!("{path}: is in use already")))?
        }
    };
    progress.takes(memory.len());
    let mut places = files.places()?;
    let mode = means.settings.sig;
    // Behind the memory that it reads, so that it is dropped first.
    let mut hashing = sig::hashing(mode, files)?;
    let hash = |file: usize, piece: &[u8]| match &hashing {
        None => Ok(()),
        // SAFETY: Nobody changes what was read before the hashes are waited for, and the memory is dropped
        // after `hashing`: here as it was declared before, in the image as its field comes later.
        Some(hashing) => unsafe { hashing.add(file, piece) }.map_err(no_memory),
    };
    // While the file is read, unless the two would share a processor.
    let meanwhile = files.in_place().is_none() && sys::cpus() > 1;
    let mut read = |file: usize, piece: &[u8]| match meanwhile {
        true => hash(file, piece),
        false => Ok(()),
    };
    if files.in_place().is_none() {
        files.read_heads(memory.bytes_mut(), &places, progress, &mut read)?;
    }
    let mut arena = None;
    if wanted.requant.is_none() {
        // What the beginnings do not say is known when all of the file is there.
        if let Some(plan) = early_plan(memory.bytes(), &places, wanted, means.settings) {
            arena = Some(take(&plan, means.region, &short)?);
        }
    }
    if files.in_place().is_none() {
        files.read_rest(memory.bytes_mut(), &places, progress, &mut read)?;
    }
    if !meanwhile {
        for (file, part) in parts(memory.bytes(), &places)?.into_iter().enumerate() {
            hash(file, part)?;
        }
    }
    let signer = sig::check(mode, files, memory.bytes(), &places)?;
    let mut digests = None;

    let to = match wanted.requant {
        None => None,
        Some(requant::Wanted::To(to)) => Some(to),
        Some(requant::Wanted::Fit) => to_fit(&memory, &places, wanted, means)?,
    };
    let requant = match to {
        None => None,
        Some(to) => {
            // Of what was read, not of what becomes of it.
            let hashes = hashing.take().map(|hashing| hashing.finish(&over));
            digests = hashes.transpose().map_err(unhashed)?;
            let done = requant::convert(memory.bytes_mut(), &mut places, to, means.pool, progress);
            let done = done.map_err(|error| match progress.check() {
                Ok(()) => refused(error),
                Err(cancelled) => cancelled,
            })?;
            pr_info!(
                "{path}: {} tensors were given the type {}, which saves {} bytes\n",
                done.tensors,
                Shown(&quantization::name_of(done.to)),
                done.saved
            );
            memory.shrink(places.last().map_or(0, |last| last.end));
            Some(done)
        }
    };
    let (options, plan) = last_plan(memory.bytes(), &places, wanted, means.settings)?;
    let (cache, least) = (means.settings.cache, least_cache(plan.context()));
    if cache != 0 && cache < least {
        pr_err!("llamux.cache={cache}: less than {least}, which a context wants; using {least}\n");
    }
    let arena = match arena {
        Some(arena) if arena.len() >= plan.arena_bytes() => arena,
        // It was planned for what the file said before it was changed.
        Some(_) => return Err(reason(fmt!("{path}: changed while it was read"))),
        None => take(&plan, means.region, &short)?,
    };
    progress.takes(memory.len() + arena.len());
    let image = Image::new(memory, &places, hashing).map_err(no_memory)?;
    let mut model = Model::load(image, arena, &options, kernels, means.pool).map_err(refused)?;
    model
        .with(|engine| {
            engine.set_speculation(means.settings.speculate);
            Spoken::put(means.system, engine);
            engine.prewarm(means.pool)
        })
        .map_err(refused)?;
    let mut identity = (mode != sig::Mode::Off).then(|| Identity::new(signer));
    if let (Some(identity), Some(digests)) = (&mut identity, digests) {
        identity.set(&digests)?;
    }
    progress.check()?;

    model.set_used();
    if wanted.remove {
        files.remove_from_initramfs();
    }
    let bytes = model.bytes();
    let reserved = means.region.map_or(0, |region| region.bytes());
    let threads = means.pool.threads();
    let facts = model.with(|engine| {
        let info = engine.info();
        if let Some(chat) = info.chat {
            let (format, origin) = (chat.format().name(), chat.origin());
            let (format, origin) = (Shown(&format), Shown(&origin));
            pr_info!("{path}: questions are put into the chat format {format}, {origin}\n");
        }
        Facts::new(
            info,
            path,
            kernels,
            threads,
            reserved,
            bytes,
            requant.as_ref(),
            identity,
            files.in_place().is_some(),
        )
    });
    let facts = facts.map_err(no_memory)?;
    pr_info!(
        "{path}: {}, loaded in {} ms\n",
        facts.summary(),
        start.elapsed().as_millis()
    );
    let hashes = model.hashes();
    Ok((model, facts, hashes))
}

/// The memory to compute in.
fn take(
    plan: &Plan,
    region: Option<&Arc<Region>>,
    short: &dyn Fn(Option<usize>, &Shortage) -> Reason,
) -> Result<Memory, Reason> {
    let bytes = plan.arena_bytes();
    Memory::new(region, bytes).map_err(|shortage| short(Some(bytes), &shortage))
}

/// The type that weights must be given so that there is room to compute in, if there is none as they are.
#[inline(never)]
fn to_fit(
    memory: &Memory,
    places: &[Range<usize>],
    wanted: &Wanted,
    means: &Means<'_>,
) -> Result<Option<TensorType>, Reason> {
    let path = wanted.files.path();
    let (_, plan) = last_plan(memory.bytes(), places, wanted, means.settings)?;
    let arena = plan.arena_bytes().next_multiple_of(PAGE_SIZE);
    let room = |bytes| memory.room_if(bytes, means.region);
    if room(memory.len()) >= arena {
        return Ok(None);
    }
    let fitting = requant::fitting(memory.bytes(), places, arena, room);
    match fitting.map_err(|error| reason(fmt!("{path}: {}", Shown(&error))))? {
        Ok(to) => {
            let name = quantization::name_of(to);
            pr_info!(
                "{path}: does not fit as it is, but with weights of the type {}\n",
                Shown(&name)
            );
            Ok(Some(to))
        }
        Err(least) => Err(reason(fmt!(
            "{path}: needs {} bytes even with its weights made as small as can be, {least} for these and \
             {arena} to compute in, and {} are available in one piece besides the file's",
            least.saturating_add(arena),
            room(memory.len())
        ))),
    }
}

/// Says how much is needed, for the file and to compute in, and how much there is.
fn too_large(
    path: &str,
    (file, arena): (usize, Option<usize>),
    shortage: &Shortage,
    region: Option<&Arc<Region>>,
) -> Reason {
    // The file has its memory already when the rest is asked for.
    let free = shortage.free.saturating_add(arena.map_or(0, |_| file));
    let need = Need { file, arena };
    match region {
        None => reason(fmt!(
            "{path}: needs {need}, and {free} bytes of memory are available"
        )),
        Some(region) => {
            let reserved = region.bytes();
            let would_do = (reserved.saturating_sub(free))
                .saturating_add(file)
                .saturating_add(arena.unwrap_or(0))
                .div_ceil(1 << 20);
            let more = if arena.is_none() { " and more" } else { "" };
            reason(fmt!(
                "{path}: needs {need}, and of the {reserved} that llamux_mem= reserved {free} are \
                 free; llamux_mem={would_do}M{more} would do"
            ))
        }
    }
}

/// What a model needs, in words.
struct Need {
    file: usize,
    arena: Option<usize>,
}

impl kernel::fmt::Display for Need {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        let file = self.file;
        match self.arena {
            None => f.write_fmt(fmt!(
                "{file} bytes for the file, besides what it computes in"
            )),
            Some(arena) => {
                let sum = file.saturating_add(arena);
                f.write_fmt(fmt!(
                    "{sum} bytes, {file} for the file and {arena} to compute in"
                ))
            }
        }
    }
}

/// The plan that the beginnings of the files allow, if they have all that is in front of the weights.
#[inline(never)]
fn early_plan(
    memory: &[u8],
    places: &[Range<usize>],
    wanted: &Wanted,
    settings: &Settings,
) -> Option<Plan> {
    let parts = parts(memory, places).ok()?;
    let gguf = Gguf::parse_split(&parts).ok()?;
    // CAST: `usize` is at most 64 bits wide.
    if gguf.head_bytes().ok()? > PIECE as u64 {
        return None;
    }
    plan(&gguf, wanted, settings).ok().map(|(_, plan)| plan)
}

/// The plan that all of the files allow.
///
/// Apart, as [`early_plan`] is: what they need of the stack is not needed while the engine is loaded.
#[inline(never)]
fn last_plan(
    memory: &[u8],
    places: &[Range<usize>],
    wanted: &Wanted,
    settings: &Settings,
) -> Result<(Options, Plan), Reason> {
    let refused = |error: EngineError| {
        let path = wanted.files.path();
        reason(fmt!("{path}: {}", Shown(&error)))
    };
    let parts = parts(memory, places)?;
    let gguf = Gguf::parse_split(&parts).map_err(refused)?;
    plan(&gguf, wanted, settings).map_err(refused)
}

fn no_memory<E>(_: E) -> Reason {
    reason(fmt!("out of memory"))
}

/// A reason in words.
pub(crate) fn reason(text: kernel::fmt::Arguments<'_>) -> Reason {
    let text = CString::try_from_fmt(text).ok();
    Reason(text.and_then(|text| Arc::new(text, GFP_KERNEL).ok()))
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

/// How much memory the engine gets.
#[inline(never)]
fn plan(
    gguf: &Gguf<'_>,
    wanted: &Wanted,
    settings: &Settings,
) -> Result<(Options, Plan), EngineError> {
    let mut options = Options {
        context: settings.context,
        prompt_bytes: PROMPT_BYTES,
        chat_format: wanted.chat_format,
        ..Options::default()
    };
    let context = Plan::of(gguf, &options)?.context();
    options.sequences = settings.sessions;
    options.kv_positions = settings.cache.max(least_cache(context));
    Ok((options, Plan::of(gguf, &options)?))
}

/// How many positions the cache has at least: one question may fill a whole context, and what all questions
/// begin with stays in the cache meanwhile.
fn least_cache(context: u32) -> u32 {
    context.saturating_add(BEGINNING)
}

/// The chat format that a parameter names, if it does.
pub(crate) fn chat_format() -> Option<Format> {
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
