// SPDX-License-Identifier: GPL-2.0-only

//! The file of a model, or the files of one that is split.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::str::CString;
use llamux_engine::gguf::{PartName, MAX_PARTS};

use crate::load::{reason, Reason};
use crate::status::Shown;
use crate::sys::{self, ModelFile};

/// Open files, in the order of the parts.
pub(crate) struct Files(KVec<File>);

struct File {
    file: ModelFile,
    bytes: usize,
}

impl File {
    fn new(file: ModelFile) -> Result<Self, Reason> {
        let (_, bytes) = file
            .read(&mut [0; 4])
            .map_err(|error| unreadable(&file, error))?;
        Ok(Self { file, bytes })
    }
}

impl Files {
    /// Opens the model that `llamux.model=` names, or the first in alphabetical order; with all parts if
    /// it is named like one.
    pub(crate) fn open() -> Result<Self, Reason> {
        let first = ModelFile::open(sys::model_parameter()).map_err(|(error, path)| {
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
        let mut files = Self(KVec::new());
        let Some(name) = PartName::parse(first.name()) else {
            files.push(first)?;
            return Ok(files);
        };
        if usize::from(name.count) > MAX_PARTS {
            return Err(reason(fmt!(
                "{}: is one of {} parts, more than the limit of {MAX_PARTS}",
                first.path(),
                name.count
            )));
        }
        for part in name.all() {
            let part = CString::try_from_fmt(fmt!("{}", Shown(&part))).map_err(no_memory)?;
            files.push(ModelFile::open(Some(&part)).map_err(|(error, path)| {
                let path = sys::path_str(&path);
                match error {
                    ENOENT => reason(fmt!(
                        "{path}: is missing; a model in {} parts needs all of them",
                        name.count
                    )),
                    _ => reason(fmt!("{path}: cannot be opened ({error:?})")),
                }
            })?)?;
        }
        Ok(files)
    }

    fn push(&mut self, file: ModelFile) -> Result<(), Reason> {
        let file = File::new(file)?;
        self.0.push(file, GFP_KERNEL).map_err(no_memory)
    }

    /// The path of the first.
    pub(crate) fn path(&self) -> &str {
        self.0.first().map_or("", |file| file.file.path())
    }

    /// Bytes of memory for all of them, each of which begins on a page of its own.
    pub(crate) fn memory(&self) -> Option<usize> {
        self.0.iter().try_fold(0usize, |sum, file| {
            let bytes = file.bytes.checked_next_multiple_of(PAGE_SIZE)?;
            sum.checked_add(bytes)
        })
    }

    /// Reads them, one behind the other. Returns where each is.
    pub(crate) fn read(&self, memory: &mut [u8]) -> Result<KVec<Range<usize>>, Reason> {
        let mut places = KVec::new();
        let mut begin = 0;
        for File { file, bytes } in &self.0 {
            // OVERFLOW: `memory()` has added them up.
            let place = begin..begin + bytes;
            begin += bytes.next_multiple_of(PAGE_SIZE);
            let part = memory.get_mut(place.clone()).unwrap_or_default();
            let (read, now) = file.read(part).map_err(|error| unreadable(file, error))?;
            if read != *bytes || now != *bytes {
                return Err(reason(fmt!("{}: changed while it was read", file.path())));
            }
            places.push(place, GFP_KERNEL).map_err(no_memory)?;
        }
        Ok(places)
    }

    /// Gives the memory back that they take in the initramfs, if they are there.
    pub(crate) fn remove_from_initramfs(&self) {
        for File { file, .. } in &self.0 {
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

fn unreadable(file: &ModelFile, error: Error) -> Reason {
    reason(fmt!("{}: cannot be read ({error:?})", file.path()))
}

fn no_memory<E>(_: E) -> Reason {
    reason(fmt!("out of memory"))
}
