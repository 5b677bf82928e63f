// SPDX-License-Identifier: GPL-2.0-only

//! The models that there are, and how they come and go: the files in `/sys/kernel/llamux`, described in
//! Documentation/ABI/testing/sysfs-kernel-llamux.
//!
//! A model is loaded by a thread of its own, one at a time, and handed over to the thread that answers,
//! which also lets go of it when it has been unloaded and its last answer is complete.

use core::fmt::Write as _;

use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::atomic::{
    ordering::{Acquire, Relaxed, Release},
    Atomic,
};
use kernel::sync::Arc;
use kernel::time::Delta;

use crate::backend::Backend;
use crate::files::{is_name, Files};
use crate::hash::Digest;
use crate::load::{self, reason, Means, Reason, Wanted};
use crate::prompt;
use crate::requant;
use crate::serve::Served;
use crate::service::Service;
use crate::status::{Facts, Shown};
use crate::sys::{self, Thread};
use crate::SERVICE;

/// Most models at a time, those that failed to be loaded included.
pub(crate) const MAX_MODELS: usize = 16;

// CAST: A small constant.
/// Bytes of the longest name.
pub(crate) const MAX_NAME: usize = kernel::uapi::LLAMA_MODEL_NAME_MAX as usize;

/// A model's number, which no other has had or will have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModelId(u32);

impl ModelId {
    /// As a number; never 0.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// How far a model has come, for those who look and for those who want it to stop.
pub(crate) struct Progress {
    /// Bytes of the files.
    file: u64,
    /// Whether they are used where they lie.
    in_place: bool,
    read: Atomic<u64>,
    /// How long that took, in nanoseconds.
    read_ns: Atomic<u64>,
    /// Bytes of memory.
    memory: Atomic<u64>,
    over: Atomic<bool>,
}

impl Progress {
    fn new(files: &Files) -> Self {
        Self {
            file: files.bytes(),
            in_place: files.in_place().is_some(),
            read: Atomic::new(0),
            read_ns: Atomic::new(0),
            memory: Atomic::new(0),
            over: Atomic::new(false),
        }
    }

    /// Of a model that has no files here.
    pub(crate) fn elsewhere() -> Self {
        Self {
            file: 0,
            in_place: false,
            read: Atomic::new(0),
            read_ns: Atomic::new(0),
            memory: Atomic::new(0),
            over: Atomic::new(false),
        }
    }

    /// Counts bytes that were read, and how long that took.
    pub(crate) fn count(&self, bytes: usize, took: Delta) {
        // CAST: `usize` is at most 64 bits wide.
        self.read.fetch_add(bytes as u64, Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(0);
        self.read_ns.fetch_add(took, Relaxed);
    }

    /// So much memory it has.
    pub(crate) fn takes(&self, bytes: usize) {
        // CAST: As above.
        self.memory.store(bytes as u64, Relaxed);
    }

    /// Whether the model is to go: its loading is to end, or nothing new is to be answered with it.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    /// The same as an error.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        if self.is_over() {
            return Err(reason(fmt!("loading was called off")));
        }
        Ok(())
    }

    fn end(&self) {
        self.over.store(true, Release);
    }
}

/// What is with a model, or with the default one.
pub(crate) enum State {
    /// Not yet there.
    Loading,
    /// There; what is known of it.
    Ready(Facts),
    /// Nothing new is asked of it, and it goes when all answers are complete.
    Unloading,
    /// Not there, and why.
    Unavailable(Reason),
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready(_) => "ready",
            Self::Unloading => "unloading",
            Self::Unavailable(_) => "failed",
        }
    }
}

/// How a program ceases to answer for a model.
#[derive(Clone, Copy)]
pub(crate) enum Gone {
    /// It has closed its file, or has ended.
    Closed,
    /// The model was unloaded.
    Unloaded,
}

struct Entry {
    id: ModelId,
    name: CString,
    state: State,
    progress: Arc<Progress>,
    /// Who answers, if it is not the kernel.
    backend: Option<Arc<Backend>>,
}

impl Entry {
    fn is_named(&self, name: &[u8]) -> bool {
        self.name.to_bytes() == name
    }
}

/// All models.
pub(crate) struct Directory {
    entries: KVec<Entry>,
    last: u32,
    /// Whose turn it is when no model is named.
    default: Option<ModelId>,
    /// What is said while there is no default.
    absent: State,
    /// Whether a model is being loaded, or about to be.
    loading: bool,
}

impl Directory {
    /// Before the first model is loaded.
    pub(crate) fn new() -> Self {
        Self {
            entries: KVec::new(),
            last: 0,
            default: None,
            absent: State::Loading,
            loading: true,
        }
    }

    fn entry(&mut self, id: ModelId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }

    /// The default model's state, or why there is none.
    pub(crate) fn state(&self) -> &State {
        let default = self.default;
        let entry = self.entries.iter().find(|entry| Some(entry.id) == default);
        entry.map_or(&self.absent, |entry| &entry.state)
    }

    /// The model to be asked: this one, or the default. `ENODEV` if it is not there any more.
    pub(crate) fn ready(&self, id: Option<ModelId>) -> Result<ModelId> {
        let id = id.or(self.default).ok_or(ENODEV)?;
        let mut ready = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.state, State::Ready(_)));
        ready.find(|entry| entry.id == id).ok_or(ENODEV)?;
        Ok(id)
    }

    /// The default model, if the kernel itself answers with it: what the driver asks itself stays here.
    pub(crate) fn own(&self) -> Result<ModelId> {
        let id = self.ready(None)?;
        match self.backend(id) {
            None => Ok(id),
            Some(_) => Err(ENODEV),
        }
    }

    /// Who answers with a model, if it is not the kernel.
    pub(crate) fn backend(&self, id: ModelId) -> Option<&Arc<Backend>> {
        self.backend_of(id.number())
    }

    /// The same by the model's number.
    pub(crate) fn backend_of(&self, number: u32) -> Option<&Arc<Backend>> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.id.number() == number)?;
        entry.backend.as_ref()
    }

    /// A model's state, or the default one's, or why there is no default; `None` if the model is gone.
    pub(crate) fn state_of(&self, id: Option<ModelId>) -> Option<&State> {
        let Some(id) = id else {
            return Some(self.state());
        };
        let entry = self.entries.iter().find(|entry| entry.id == id);
        entry.map(|entry| &entry.state)
    }

    /// What is known of a model, or of the default one, if it can be asked.
    fn facts(&self, id: Option<ModelId>) -> Option<&Facts> {
        match self.state_of(id) {
            Some(State::Ready(facts)) => Some(facts),
            _ => None,
        }
    }

    /// Tokens of a model's context, or of the default one's; 0 if it cannot be asked.
    pub(crate) fn context(&self, id: Option<ModelId>) -> u32 {
        self.facts(id).map_or(0, |facts| facts.context)
    }

    /// Numbers of an embedding by it, likewise.
    pub(crate) fn embedding(&self, id: Option<ModelId>) -> u32 {
        self.facts(id).map_or(0, |facts| facts.embedding)
    }

    /// The name of a model, or of the default one; empty if there is none.
    pub(crate) fn name(&self, id: Option<ModelId>) -> &[u8] {
        let id = id.or(self.default);
        let entry = self.entries.iter().find(|entry| Some(entry.id) == id);
        entry.map_or(&[], |entry| entry.name.to_bytes())
    }

    /// The model of this name, for those who may wait for it: `EAGAIN` while it is being loaded, or the first
    /// one is, whose name is not known yet; `ENOENT` if there is none.
    pub(crate) fn wanted(&self, name: &[u8]) -> Result<ModelId> {
        let entry = self.entries.iter().find(|entry| entry.is_named(name));
        match entry.map(|entry| (&entry.state, entry.id)) {
            Some((State::Ready(_), id)) => Ok(id),
            Some((State::Loading, _)) => Err(EAGAIN),
            None if self.loading && self.entries.is_empty() => Err(EAGAIN),
            _ => Err(ENOENT),
        }
    }

    /// The model of this name, which can be asked. `ENOENT` if there is none, `EBUSY` if it is only coming
    /// or going.
    pub(crate) fn named(&self, name: &[u8]) -> Result<ModelId> {
        let mut named = self.entries.iter().filter(|entry| entry.is_named(name));
        match named.next() {
            Some(entry) => match entry.state {
                State::Ready(_) => Ok(entry.id),
                State::Loading | State::Unloading => Err(EBUSY),
                State::Unavailable(_) => Err(ENOENT),
            },
            None => Err(ENOENT),
        }
    }

    /// Makes an entry for a model that is about to be loaded, in the place of one that failed.
    fn add(&mut self, name: &[u8], files: &Files) -> Result<(ModelId, Arc<Progress>)> {
        let name = CString::try_from_fmt(fmt!("{}", Shown(&Utf8(name))))?;
        let progress = Arc::new(Progress::new(files), GFP_KERNEL)?;
        self.make_room(name.to_bytes())?;
        let id = self.new_id();
        self.entries.push(
            Entry {
                id,
                name,
                state: State::Loading,
                progress: progress.clone(),
                backend: None,
            },
            GFP_KERNEL,
        )?;
        if self.default.is_none() {
            self.absent = State::Loading;
        }
        Ok((id, progress))
    }

    /// A number for a model that is about to be added.
    pub(crate) fn new_id(&mut self) -> ModelId {
        // OVERFLOW: So many models come in no life of a system.
        self.last += 1;
        ModelId(self.last)
    }

    /// Makes an entry for a model that a program answers for. It is the default if there is none, nor one on its
    /// way.
    pub(crate) fn add_backend(
        &mut self,
        name: &[u8],
        facts: Facts,
        (backend, progress): (Arc<Backend>, Arc<Progress>),
    ) -> Result {
        let name = CString::try_from_fmt(fmt!("{}", Shown(&Utf8(name))))?;
        self.make_room(name.to_bytes())?;
        let id = backend.id();
        self.entries.push(
            Entry {
                id,
                name,
                state: State::Ready(facts),
                progress,
                backend: Some(backend),
            },
            GFP_KERNEL,
        )?;
        if self.default.is_none() && !self.loading {
            self.default = Some(id);
        }
        Ok(())
    }

    /// Makes room for one more entry. `EEXIST` if there is one of this name, `ENOSPC` if there are too many.
    fn make_room(&mut self, name: &[u8]) -> Result {
        let failed = |entry: &Entry| matches!(entry.state, State::Unavailable(_));
        if self
            .entries
            .iter()
            .any(|entry| entry.is_named(name) && !failed(entry))
        {
            return Err(EEXIST);
        }
        self.entries.reserve(1, GFP_KERNEL)?;
        self.entries
            .retain(|entry| !(failed(entry) && entry.is_named(name)));
        if self.entries.len() >= MAX_MODELS {
            // Why something failed long ago is known by now.
            let oldest = self.entries.iter().position(failed).ok_or(ENOSPC)?;
            let _ = self.entries.remove(oldest);
        }
        Ok(())
    }

    /// No model is being loaded any more, and one that was is there or not.
    fn loaded(&mut self, id: Option<ModelId>, end: Result<Facts, Reason>) {
        self.loading = false;
        let default = self.default;
        let entry = id.and_then(|id| self.entry(id));
        let why = match (end, entry) {
            (Ok(facts), Some(entry)) if !entry.progress.is_over() => {
                entry.state = State::Ready(facts);
                if default.is_none() {
                    self.default = id;
                }
                return;
            }
            (Ok(_), entry) => {
                // Called off at the last moment: it goes the way of all models, or has gone already.
                if let Some(entry) = entry {
                    entry.state = State::Unloading;
                }
                reason(fmt!("loading was called off"))
            }
            (Err(reason), entry) => {
                if let Some(entry) = entry {
                    entry.progress.takes(0);
                    entry.state = State::Unavailable(reason.clone());
                }
                reason
            }
        };
        if default.is_none() {
            self.absent = State::Unavailable(why);
            self.default = self.first_backend();
        }
    }

    /// No model is being loaded any more, since it never came to that. Why is for those who wait for it only: what
    /// was said before of there being no default stays.
    fn not_begun(&mut self, why: Reason) {
        self.loading = false;
        if self.default.is_none() {
            if let State::Loading = self.absent {
                self.absent = State::Unavailable(why);
            }
            self.default = self.first_backend();
        }
    }

    /// A model that a program answers for, which stands in where the kernel finds none to begin with.
    fn first_backend(&self) -> Option<ModelId> {
        let answers =
            |entry: &&Entry| entry.backend.is_some() && matches!(entry.state, State::Ready(_));
        self.entries.iter().find(answers).map(|entry| entry.id)
    }

    /// The hashes of a model's files are known.
    fn hashed(&mut self, id: ModelId, digests: &[Digest]) {
        let entry = self.entry(id).map(|entry| &mut entry.state);
        if let Some(State::Ready(facts)) = entry {
            if facts.hashed(digests).is_err() {
                pr_err!("there is no memory for a hash\n");
            }
        }
    }

    /// Takes a model off the list. Returns its name.
    fn remove(&mut self, id: ModelId) -> Option<CString> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        self.entries.remove(index).ok().map(|entry| entry.name)
    }

    /// Takes a model off the list that a program has answered for. Returns its name, and whether it was the
    /// default.
    fn remove_backend(&mut self, id: ModelId, gone: Gone) -> Option<CString> {
        let name = self.remove(id)?;
        if self.default == Some(id) {
            let shown = name.to_str().unwrap_or("");
            let reason = match gone {
                Gone::Closed => reason(fmt!("the program that answered for {shown} is gone")),
                Gone::Unloaded => reason(fmt!("{shown} was unloaded")),
            };
            self.default = None;
            self.absent = if self.loading {
                State::Loading
            } else {
                State::Unavailable(reason)
            };
        }
        Some(name)
    }

    /// Lets a model go: at once, if it is not there. Returns who has answered, if it was not the kernel.
    fn unload(&mut self, name: &[u8]) -> Result<Option<Arc<Backend>>> {
        let entry = self.entries.iter_mut().find(|entry| entry.is_named(name));
        let entry = entry.ok_or(ENOENT)?;
        let (id, backend) = (entry.id, entry.backend.clone());
        match entry.state {
            State::Loading => entry.progress.end(),
            State::Unloading => return Err(EBUSY),
            State::Unavailable(_) => drop(self.remove(id)),
            State::Ready(_) => {
                entry.state = State::Unloading;
                entry.progress.end();
                if self.default == Some(id) {
                    let name = entry.name.to_str().unwrap_or("");
                    let reason = reason(fmt!("{name} was unloaded, and no other is the default"));
                    self.default = None;
                    self.absent = if self.loading {
                        State::Loading
                    } else {
                        State::Unavailable(reason)
                    };
                }
            }
        }
        Ok(backend)
    }

    /// Makes a model the default one.
    fn set_default(&mut self, name: &[u8]) -> Result {
        self.default = Some(self.named(name)?);
        Ok(())
    }

    /// A line for each model.
    fn show(&self, page: &mut Page<'_>) -> core::fmt::Result {
        for entry in &self.entries {
            let Progress {
                file,
                in_place,
                read,
                read_ns,
                memory,
                ..
            } = &*entry.progress;
            let default = if self.default == Some(entry.id) {
                "yes"
            } else {
                "no"
            };
            let weights = match (&entry.backend, in_place) {
                (Some(_), _) => "backend",
                (None, true) => "in-place",
                (None, false) => "read",
            };
            let name = entry.name.to_bytes();
            write!(
                page,
                "name={} state={} default={default} bytes={} read={} of={file} read_us={} weights={weights}",
                Escaped(name),
                entry.state.name(),
                memory.load(Relaxed),
                read.load(Relaxed),
                read_ns.load(Relaxed) / 1000,
            )?;
            if let State::Unavailable(reason) = &entry.state {
                write!(page, " reason={}", reason.as_str())?;
            }
            page.write_char('\n')?;
        }
        Ok(())
    }

    /// The default's name.
    fn show_default(&self, page: &mut Page<'_>) -> core::fmt::Result {
        let mut entries = self.entries.iter();
        if let Some(entry) = entries.find(|entry| Some(entry.id) == self.default) {
            writeln!(page, "{}", Escaped(entry.name.to_bytes()))?;
        }
        Ok(())
    }
}

/// A name on one line and in one word.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl core::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for &byte in self.0 {
            match byte {
                b'!'..=b'[' | b']'..=b'~' => f.write_char(byte.into())?,
                _ => write!(f, "\\{byte:03o}")?,
            }
        }
        Ok(())
    }
}

/// Bytes that are UTF-8, as checked before.
struct Utf8<'a>(&'a [u8]);

impl core::fmt::Display for Utf8<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(self.0).unwrap_or("?"))
    }
}

/// The page that a file of sysfs is shown in.
pub(crate) struct Page<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Page<'a> {
    /// An empty one.
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// How much was written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl core::fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(core::fmt::Error)?;
        let place = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The words that were written to the file `load`.
struct Line<'a> {
    name: &'a str,
    requant: Option<requant::Wanted>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a [u8]) -> Result<Self> {
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let name = checked_name(words.next().unwrap_or(&[]))?;
        let mut requant = None;
        for word in words {
            let word = core::str::from_utf8(word).map_err(|_| EINVAL)?;
            match word.strip_prefix("requant=").map(requant::Wanted::parse) {
                Some(Some(to)) if requant.is_none() => requant = Some(to),
                Some(None) => {
                    pr_err!("load: {word}: not one of {}\n", Shown(&requant::Names));
                    return Err(EINVAL);
                }
                _ => {
                    pr_err!("load: {}: not an option\n", Shown(&word.escape_debug()));
                    return Err(EINVAL);
                }
            }
        }
        Ok(Self { name, requant })
    }
}

/// The name of a model, or the path of its file, which then may be written with its suffix.
pub(crate) fn checked_name(name: &[u8]) -> Result<&str> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(if name.is_empty() {
            EINVAL
        } else {
            ENAMETOOLONG
        });
    }
    let name = core::str::from_utf8(name).map_err(|_| EINVAL)?;
    if !is_name(name) {
        pr_err!("{}: not a model's name\n", Shown(&name.escape_debug()));
        return Err(EINVAL);
    }
    Ok(match name.strip_suffix(".gguf") {
        Some(stem) if name.starts_with('/') => stem,
        _ => name,
    })
}

/// The thread that loads a model.
pub(crate) struct Loader {
    service: Arc<Service>,
    /// The one that the command line wants, if nothing.
    wanted: Option<(ModelId, Arc<Progress>, Wanted)>,
}

impl Thread for Loader {
    fn run(self: Arc<Self>) {
        let service = &self.service;
        let Some((id, progress, wanted)) = &self.wanted else {
            // What fails before it has a name fails for everybody.
            if let Err(reason) = service.load_first() {
                service.fail(None, reason);
            }
            return;
        };
        service.load_now(*id, progress, wanted);
    }
}

impl Service {
    /// Starts to load the model that the command line wants.
    pub(crate) fn start_loading(self: &Arc<Self>) -> Result {
        let service = self.clone();
        let loader = Arc::new(
            Loader {
                service,
                wanted: None,
            },
            GFP_KERNEL,
        )?;
        sys::start_thread(loader, c"llamux_load")
    }

    fn load_first(&self) -> Result<(), Reason> {
        let given = sys::model_parameter();
        let files = Files::open(given).map_err(|refusal| refusal.reason)?;
        // With the directories, if there are any.
        let name = given.map(|name| name.to_bytes());
        let name = name.filter(|name| name.contains(&b'/'));
        let name = name.unwrap_or(files.name().as_bytes());
        let added = self.models.lock().add(name, &files);
        let (id, progress) = added
            .map_err(|error| reason(fmt!("{}: cannot be listed ({error:?})", files.path())))?;
        let wanted = Wanted {
            files,
            requant: requant::wanted(),
            chat_format: load::chat_format(),
            remove: !self.settings().keep_firmware,
        };
        self.load_now(id, &progress, &wanted);
        Ok(())
    }

    /// Loads a model and hands it over to the thread that answers.
    fn load_now(&self, id: ModelId, progress: &Arc<Progress>, wanted: &Wanted) {
        match self.load(id, progress, wanted) {
            Ok(()) => (),
            Err(reason) => self.fail(Some(id), reason),
        }
    }

    fn load(&self, id: ModelId, progress: &Arc<Progress>, wanted: &Wanted) -> Result<(), Reason> {
        let pool = self
            .pool()
            .ok_or_else(|| reason(fmt!("there are no threads")))?;
        let means = Means {
            settings: self.settings(),
            region: self.region(),
            pool,
            system: &self.system,
        };
        let (model, facts, hashes) = load::load(wanted, &means, progress)?;
        progress.takes(model.bytes());
        let path = wanted.files.path();
        let served = Served::new(id, model, progress.clone(), self.settings().sessions)
            .map_err(|_| reason(fmt!("{path}: out of memory")))?;
        self.hand_over(served)
            .map_err(|_| reason(fmt!("{path}: out of memory")))?;
        self.models.lock().loaded(Some(id), Ok(facts));
        self.changed();
        // The model answers meanwhile; nothing but a line of `status` waits for them.
        let hashes = hashes.map(|hashes| hashes.wait(&|| progress.is_over()));
        if let Some(Ok(digests)) = hashes {
            self.models.lock().hashed(id, &digests);
        }
        Ok(())
    }

    pub(crate) fn fail(&self, id: Option<ModelId>, reason: Reason) {
        pr_err!("{}\n", Shown(&reason));
        self.models.lock().loaded(id, Err(reason));
        self.changed();
    }

    /// How much memory there is for models, and how much of it is free.
    fn show_memory(&self, page: &mut Page<'_>) -> core::fmt::Result {
        match self.region() {
            Some(region) => {
                let (all, free) = (region.bytes(), region.free());
                writeln!(page, "source: reserved\nreserved: {all}\nfree: {free}")?;
            }
            None => {
                let free = sys::available_memory();
                writeln!(page, "source: vmalloc\nreserved: 0\nfree: {free}")?;
            }
        }
        let (kept, given_back) = prompt::answers();
        writeln!(
            page,
            "answers_kept: {kept}\nanswers_given_back: {given_back}"
        )
    }

    /// A model has gone, and its memory is free.
    pub(crate) fn gone(&self, id: ModelId, bytes: usize) {
        let name = self.models.lock().remove(id);
        if let Some(name) = &name {
            let name = Escaped(name.to_bytes());
            pr_info!("{}: unloaded, {bytes} bytes are free\n", Shown(&name));
        }
        self.changed();
    }

    /// A program does not answer for a model any more.
    pub(crate) fn backend_gone(&self, id: ModelId, gone: Gone) {
        let name = self.models.lock().remove_backend(id, gone);
        if let Some(name) = &name {
            let name = Escaped(name.to_bytes());
            let how = match gone {
                Gone::Closed => "the program that answered for it is gone",
                Gone::Unloaded => "unloaded from the program that answered for it",
            };
            pr_info!("{}: {how}\n", Shown(&name));
        }
    }

    /// Starts to load a model. Returns as soon as its files are open.
    fn load_named(self: &Arc<Self>, text: &[u8]) -> Result {
        let line = Line::parse(text)?;
        {
            let mut models = self.models.lock();
            if models.loading {
                pr_err!("load: {}: another model is being loaded\n", line.name);
                return Err(EBUSY);
            }
            if matches!(models.named(line.name.as_bytes()), Ok(_) | Err(EBUSY)) {
                pr_err!("load: {}: there is one of this name\n", line.name);
                return Err(EEXIST);
            }
            models.loading = true;
        }
        let started = self.load_line(&line);
        if let Err(error) = started {
            let why = reason(fmt!("{}: cannot be loaded ({error:?})", line.name));
            self.models.lock().not_begun(why);
            self.changed();
        }
        started
    }

    fn load_line(self: &Arc<Self>, line: &Line<'_>) -> Result {
        let name = CString::try_from_fmt(fmt!("{}", line.name))?;
        let files = Files::open(Some(&name)).map_err(|refusal| {
            pr_err!("load: {}\n", Shown(&refusal.reason));
            refusal.error
        })?;
        let (id, progress) = self.models.lock().add(line.name.as_bytes(), &files)?;
        let wanted = Wanted {
            files,
            requant: line.requant,
            chat_format: None,
            remove: false,
        };
        let loader = Loader {
            service: self.clone(),
            wanted: Some((id, progress, wanted)),
        };
        let started = Arc::new(loader, GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|loader| sys::start_thread(loader, c"llamux_load"));
        if started.is_err() {
            self.fail(
                Some(id),
                reason(fmt!("{}: no thread to load it", line.name)),
            );
        }
        // Which may be EAGAIN as well, as for fork().
        started.map_err(|_| ENOMEM)
    }
}

/// Which of the files is written to or read; the numbers are those of shim_sysfs.c.
const LOAD: u32 = 0;
const UNLOAD: u32 = 1;
const DEFAULT: u32 = 2;
const MODELS: u32 = 3;
const MEMORY: u32 = 4;

fn store(file: u32, text: &[u8]) -> Result {
    let service = SERVICE.as_ref().ok_or(ENODEV)?;
    if file == LOAD {
        return service.load_named(text);
    }
    let name = checked_name(text.trim_ascii())?.as_bytes();
    let done = match file {
        UNLOAD => service.models.lock().unload(name),
        DEFAULT => service.models.lock().set_default(name).map(|()| None),
        _ => Err(EINVAL),
    };
    service.changed();
    if let Some(backend) = done? {
        backend.ring();
    }
    Ok(())
}

/// Called by sysfs when one of the files is written to.
///
/// # Safety
///
/// `text` has `len` bytes.
#[no_mangle]
unsafe extern "C" fn llamux_models_store(file: u32, text: *const u8, len: usize) -> i32 {
    // SAFETY: By the requirements of this function.
    let text = unsafe { core::slice::from_raw_parts(text, len) };
    match store(file, text) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Called by sysfs when one of the files is read. Returns how much was written to the page.
///
/// # Safety
///
/// `page` has `size` bytes for us to write.
#[no_mangle]
unsafe extern "C" fn llamux_models_show(file: u32, page: *mut u8, size: usize) -> usize {
    // SAFETY: By the requirements of this function.
    let bytes = unsafe { core::slice::from_raw_parts_mut(page, size) };
    let mut page = Page::new(bytes);
    if let Some(service) = SERVICE.as_ref() {
        // A page is all there is; a line that does not fit is cut.
        let _ = match file {
            MODELS => service.models.lock().show(&mut page),
            DEFAULT => service.models.lock().show_default(&mut page),
            MEMORY => service.show_memory(&mut page),
            _ => Ok(()),
        };
    }
    page.len()
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_models)]
mod tests {
    use super::*;

    /// What is said of there being no default.
    fn absence(models: &Directory) -> &str {
        match models.state() {
            State::Unavailable(why) => why.as_str(),
            state => state.name(),
        }
    }

    #[test]
    fn nobody_waits_for_a_model_that_is_not_loaded() {
        let mut models = Directory::new();
        assert_eq!(absence(&models), "loading");
        assert_eq!(models.wanted(b"a").err(), Some(EAGAIN));
        models.not_begun(reason(fmt!("no such file")));
        assert_eq!(absence(&models), "no such file");
        assert_eq!(models.wanted(b"a").err(), Some(ENOENT));
        // Another one that is not loaded either does not take the place of the first reason.
        models.loading = true;
        models.not_begun(reason(fmt!("no other")));
        assert_eq!(absence(&models), "no such file");
        models.loading = true;
        models.loaded(None, Err(reason(fmt!("not a model"))));
        assert_eq!(absence(&models), "not a model");
    }
}
