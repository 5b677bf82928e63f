// SPDX-License-Identifier: GPL-2.0-only

//! The file of a model, or the files of one that is split.

use core::ops::Range;

use kernel::alloc::AllocError;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::time::{Instant, Monotonic};
use llamux_engine::gguf::{PartName, MAX_PARTS};

use crate::inplace::Found;
use crate::load::{reason, Reason};
use crate::models::Progress;
use crate::status::Shown;
use crate::sys::{self, ModelFile};

/// How much is read at once: so much is read on after a loading was called off. The metadata of most
/// models are within the first one.
pub(crate) const PIECE: usize = 16 << 20;

/// What is told of each piece that was read, with the number of its file.
pub(crate) type Then<'t> = dyn FnMut(usize, &[u8]) -> Result<(), Reason> + 't;

/// The files of a model.
pub(crate) struct Files {
    /// Those that are open, in the order of the parts.
    open: KVec<File>,
    /// The one that is used where it lies, instead of these.
    in_place: Option<Found>,
    /// The signature of each. They are open as long as the files, which may be gone from their places when all is
    /// read.
    signatures: KVec<Result<ModelFile>>,
}

struct File {
    file: ModelFile,
    bytes: usize,
}

impl File {
    fn new(file: ModelFile) -> Result<Self, Refusal> {
        let (_, bytes) = file
            .read(&mut [0; 4], 0)
            .map_err(|error| Refusal::new(error, unreadable(&file, error)))?;
        Ok(Self { file, bytes })
    }

    /// Reads so much of it to the same place of `memory`, and hands each piece that was read to `then`.
    fn read(
        &self,
        memory: &mut [u8],
        range: Range<usize>,
        progress: &Progress,
        mut then: impl FnMut(&[u8]) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let mut begin = range.start;
        while begin < range.end {
            progress.check()?;
            let end = range.end.min(begin.saturating_add(PIECE));
            let piece = memory.get_mut(begin..end).unwrap_or_default();
            let start = Instant::<Monotonic>::now();
            let (read, now) = self
                .file
                .read(piece, begin)
                .map_err(|error| unreadable(&self.file, error))?;
            if read != piece.len() || now != self.bytes {
                let path = self.file.path();
                return Err(reason(fmt!("{path}: changed while it was read")));
            }
            progress.count(read, start.elapsed());
            then(piece)?;
            begin = end;
        }
        Ok(())
    }
}

/// Why files are not opened.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) reason: Reason,
}

impl Refusal {
    fn new(error: Error, reason: Reason) -> Self {
        Self { error, reason }
    }
}

impl From<AllocError> for Refusal {
    fn from(error: AllocError) -> Self {
        Self::new(error.into(), no_memory(error))
    }
}

impl From<Error> for Refusal {
    /// Of the only error that comes without a reason.
    fn from(error: Error) -> Self {
        Self::new(error, no_memory(error))
    }
}

impl Files {
    /// Opens the model of this name, with all parts if it is named like one. Without a name, the first in
    /// alphabetical order.
    ///
    /// A name may have directories below those where firmware is, or be a path, which then is looked up as the
    /// calling task sees it.
    pub(crate) fn open(name: Option<&CStr>) -> Result<Self, Refusal> {
        let given = name.map(|name| name.to_str().unwrap_or(""));
        if let Some(name) = given {
            if !is_name(name) {
                let reason = reason(fmt!(
                    "{}: is not a model's name, which is a file's in a directory for firmware, or a path, \
                     without .gguf",
                    Shown(&name.escape_debug())
                ));
                return Err(Refusal::new(EINVAL, reason));
            }
        }
        if let Some(found) = Found::new(name)? {
            return Self::in_place_of(found);
        }
        let first = ModelFile::open(name).map_err(|(error, path)| {
            let path = sys::path_str(&path);
            let reason = match error {
                ENOENT if name.is_some() => reason(fmt!(
                    "{path}: there is no such model, nor in another directory for firmware if it is not \
                     named by its path; llamux.model=NAME and /sys/kernel/llamux/load take a file's name \
                     without .gguf"
                )),
                ENOENT => reason(fmt!(
                    "{path}: there is no model; the initramfs has to bring NAME.gguf there, which \
                     llamux.model=NAME may name"
                )),
                _ => reason(fmt!("{path}: cannot be opened ({error:?})")),
            };
            Refusal::new(error, reason)
        })?;
        let by_path = given.is_some_and(|name| name.starts_with('/'));
        let mut files = Self {
            open: KVec::new(),
            in_place: None,
            signatures: KVec::new(),
        };
        let Some(name) = PartName::parse(first.name()) else {
            files.push(first, by_path)?;
            return Ok(files);
        };
        if usize::from(name.count) > MAX_PARTS {
            let reason = reason(fmt!(
                "{}: is one of {} parts, more than the limit of {MAX_PARTS}",
                first.path(),
                name.count
            ));
            return Err(Refusal::new(E2BIG, reason));
        }
        let given = given.and_then(|name| name.rsplit_once('/'));
        let (dir, slash) = given.map_or(("", ""), |(dir, _)| (dir, "/"));
        for part in name.all() {
            let part = CString::try_from_fmt(fmt!("{dir}{slash}{}", Shown(&part)))
                .map_err(|error| Refusal::new(error, no_memory(error)))?;
            let file = ModelFile::open(Some(&part)).map_err(|(error, path)| {
                let path = sys::path_str(&path);
                let reason = match error {
                    ENOENT => reason(fmt!(
                        "{path}: is missing; a model in {} parts needs all of them",
                        name.count
                    )),
                    _ => reason(fmt!("{path}: cannot be opened ({error:?})")),
                };
                Refusal::new(error, reason)
            })?;
            files.push(file, by_path)?;
        }
        Ok(files)
    }

    fn push(&mut self, file: ModelFile, by_path: bool) -> Result<(), Refusal> {
        let signature = ModelFile::open_signature(file.path(), by_path);
        self.signatures.push(signature, GFP_KERNEL)?;
        self.open.push(File::new(file)?, GFP_KERNEL)?;
        Ok(())
    }

    fn in_place_of(found: Found) -> Result<Self, Refusal> {
        if PartName::parse(sys::name_of(found.path())).is_some() {
            let reason = reason(fmt!(
                "{}: is a part of a model, and these are not used in place; put it behind the first \
                 archive of the initrd",
                found.path()
            ));
            return Err(Refusal::new(EINVAL, reason));
        }
        let mut signatures = KVec::new();
        signatures.push(ModelFile::open_signature(found.path(), false), GFP_KERNEL)?;
        Ok(Self {
            open: KVec::new(),
            in_place: Some(found),
            signatures,
        })
    }

    /// The file that is used where it lies, if one is.
    pub(crate) fn in_place(&self) -> Option<&Found> {
        self.in_place.as_ref()
    }

    /// The path of the first.
    pub(crate) fn path(&self) -> &str {
        self.paths().next().unwrap_or("")
    }

    /// The paths of all.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let open = self.open.iter().map(|file| file.file.path());
        Iterator::chain(self.in_place.iter().map(Found::path), open)
    }

    /// The signatures of all.
    pub(crate) fn signatures(&self) -> impl Iterator<Item = &Result<ModelFile>> {
        self.signatures.iter()
    }

    /// The model's name: that of the first, without directory and suffix.
    pub(crate) fn name(&self) -> &str {
        sys::name_of(self.path())
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        let open = self.open.iter().map(|file| file.bytes);
        Iterator::chain(self.in_place.iter().map(Found::bytes), open)
            // CAST: `usize` is at most 64 bits wide.
            .fold(0, |sum: u64, bytes| sum.saturating_add(bytes as u64))
    }

    /// Bytes of memory to read them into, where each begins on a page of its own.
    pub(crate) fn memory(&self) -> Option<usize> {
        self.open.iter().try_fold(0usize, |sum, file| {
            let bytes = file.bytes.checked_next_multiple_of(PAGE_SIZE)?;
            sum.checked_add(bytes)
        })
    }

    /// Where each of them is in that memory.
    pub(crate) fn places(&self) -> Result<KVec<Range<usize>>, Reason> {
        let mut places = KVec::new();
        if let Some(found) = &self.in_place {
            places
                .push(0..found.bytes(), GFP_KERNEL)
                .map_err(no_memory)?;
        }
        let mut begin = 0;
        for File { bytes, .. } in &self.open {
            // OVERFLOW: `memory()` has added them up.
            places
                .push(begin..begin + bytes, GFP_KERNEL)
                .map_err(no_memory)?;
            begin += bytes.next_multiple_of(PAGE_SIZE);
        }
        Ok(places)
    }

    /// Reads the beginning of each of them, [`PIECE`] bytes long. `then` is told of each piece that was
    /// read, and the number of its file.
    pub(crate) fn read_heads(
        &self,
        memory: &mut [u8],
        places: &[Range<usize>],
        progress: &Progress,
        then: &mut Then<'_>,
    ) -> Result<(), Reason> {
        for (index, (file, place)) in self.open.iter().zip(places).enumerate() {
            let memory = memory.get_mut(place.clone()).unwrap_or_default();
            let head = 0..PIECE.min(file.bytes);
            file.read(memory, head, progress, |piece| then(index, piece))?;
        }
        Ok(())
    }

    /// Reads what is behind these, likewise.
    pub(crate) fn read_rest(
        &self,
        memory: &mut [u8],
        places: &[Range<usize>],
        progress: &Progress,
        then: &mut Then<'_>,
    ) -> Result<(), Reason> {
        for (index, (file, place)) in self.open.iter().zip(places).enumerate() {
            let memory = memory.get_mut(place.clone()).unwrap_or_default();
            let rest = PIECE.min(file.bytes)..file.bytes;
            file.read(memory, rest, progress, |piece| then(index, piece))?;
        }
        Ok(())
    }

    /// Gives the memory back that they take in the initramfs, if they are there.
    pub(crate) fn remove_from_initramfs(&self) {
        for File { file, .. } in &self.open {
            let path = file.path();
            match file.remove_from_initramfs() {
                Ok(true) => pr_info!("{path}: removed from the initramfs, its memory is free\n"),
                Ok(false) => (),
                Err(error) => {
                    pr_warn!("{path}: cannot be removed from the initramfs ({error:?})\n");
                }
            }
        }
    }
}

/// Whether a file may be called so, without its suffix: by a path, or below a directory for firmware, out of
/// which the name does not lead and where it has nothing hidden.
pub(crate) fn is_name(name: &str) -> bool {
    let (path, below) = match name.strip_prefix('/') {
        Some(path) => (path, false),
        None => (name, true),
    };
    !name.chars().any(char::is_control)
        && path.split('/').all(|part| match part {
            "" | "." | ".." => false,
            part => !(below && part.starts_with('.')),
        })
}

fn unreadable(file: &ModelFile, error: Error) -> Reason {
    reason(fmt!("{}: cannot be read ({error:?})", file.path()))
}

fn no_memory<E>(_: E) -> Reason {
    reason(fmt!("out of memory"))
}

#[cfg(CONFIG_LLAMUX_KUNIT_TEST)]
#[kunit_tests(llamux_files)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_their_directory() {
        for name in [
            "a", "a-1.5b", "a b", "a/b", "a/b/c.d", "/a", "/a/.b/c", "/a.gguf",
        ] {
            assert!(is_name(name));
        }
        for name in [
            "", "/", "//a", "/a/", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "/a/../b",
            "/a/./b", ".a", "a/.b", "a\n", "a\x7fb", "/a\tb",
        ] {
            assert!(!is_name(name));
        }
    }
}
