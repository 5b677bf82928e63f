// SPDX-License-Identifier: GPL-2.0-only

//! A model that owns everything it needs: its files, the memory it computes in, and the engine that
//! borrows both.
//!
//! This is the one place where something refers to itself. What is borrowed lies on the heap or in the
//! reserved region and does not move with the [`Model`]; the engine is dropped first; and it is only
//! shown to functions that work for any lifetime, so that nothing borrowed gets out of it or into it.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::Arc;
use llamux_engine::gguf::Gguf;
use llamux_engine::math::{Executor, Kernels};
use llamux_engine::{Engine, Error as EngineError, Options};

use crate::hash::{Hashes, Hashing};
use crate::inplace::InPlace;
use crate::region::{Piece, Region};
use crate::sys;

/// Memory of a model, which stays where it is and is given back when it is dropped.
pub(crate) enum Memory {
    /// Of the region that was reserved at boot.
    Reserved(Piece),
    /// Of vmalloc, where nothing was reserved.
    Vmalloc(VVec<u8>),
    /// Where the boot loader left the file.
    InPlace(InPlace),
}

/// There is not so much memory.
pub(crate) struct Shortage {
    /// Bytes that are free.
    pub(crate) free: usize,
}

impl Memory {
    /// So many bytes: of the region if there is one.
    pub(crate) fn new(region: Option<&Arc<Region>>, bytes: usize) -> Result<Self, Shortage> {
        if let Some(region) = region {
            let piece = region.take(bytes);
            return piece.map(Self::Reserved).ok_or_else(|| Shortage {
                free: region.free(),
            });
        }
        let free = sys::available_memory();
        // Asked first: vmalloc would rather kill programs than say no.
        if bytes > free {
            return Err(Shortage { free });
        }
        let memory = VVec::zeroed(bytes, GFP_KERNEL).map_err(|_| Shortage { free })?;
        Ok(Self::Vmalloc(memory))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Reserved(piece) => piece,
            Self::Vmalloc(memory) => memory,
            Self::InPlace(file) => file,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Reserved(piece) => piece,
            Self::Vmalloc(memory) => memory,
            Self::InPlace(file) => file,
        }
    }

    /// How much it is, without a look at it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Reserved(piece) => piece.size(),
            Self::Vmalloc(memory) => memory.len(),
            Self::InPlace(file) => file.len(),
        }
    }

    /// How much can be had in one piece if this memory is shrunk to `bytes` bytes.
    pub(crate) fn room_if(&self, bytes: usize, region: Option<&Arc<Region>>) -> usize {
        match (self, region) {
            (Self::Reserved(piece), _) => piece.room_if(bytes),
            (_, Some(region)) => region.free(),
            (_, None) => sys::available_memory(),
        }
    }

    /// Gives back what is behind the first `bytes` bytes, if it can be used by others then.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Self::Reserved(piece) = self {
            piece.shrink(bytes);
        }
    }
}

/// The files of a model, which are not changed any more.
///
/// # Invariants
///
/// `parts` are slices of `memory`, which is neither changed nor moved while they are there.
pub(crate) struct Image {
    // Fields are dropped in the order of declaration: who reads the memory first.
    hashing: Option<Hashing>,
    parts: KVec<&'static [u8]>,
    memory: Memory,
}

impl Image {
    /// The files at these places of the memory, which may still be being hashed.
    pub(crate) fn new(
        memory: Memory,
        places: &[Range<usize>],
        hashing: Option<Hashing>,
    ) -> Result<Self> {
        let mut parts = KVec::with_capacity(places.len(), GFP_KERNEL)?;
        for place in places {
            let part = memory.bytes().get(place.clone()).ok_or(EINVAL)?;
            // SAFETY: Only `Model` uses the parts, while it has the memory, too; that this is moved as a
            // value moves no byte of it.
            let part = unsafe { core::slice::from_raw_parts(part.as_ptr(), part.len()) };
            parts.push(part, GFP_KERNEL)?;
        }
        // INVARIANT: Made of it just now, and no method gives access for writing.
        Ok(Self {
            hashing,
            parts,
            memory,
        })
    }
}

/// A loaded model.
///
/// # Invariants
///
/// `engine` borrows `image` and `arena`, and nothing else is done with these while it lives.
pub(crate) struct Model {
    // Fields are dropped in the order of declaration: the borrower first.
    engine: KBox<Engine<'static>>,
    image: Image,
    arena: Memory,
}

impl Model {
    /// Loads the engine of these files, to compute in that memory.
    #[inline(never)]
    pub(crate) fn load(
        image: Image,
        mut arena: Memory,
        options: &Options,
        kernels: Kernels,
        executor: &dyn Executor,
    ) -> Result<Self, EngineError> {
        let mut place = KBox::<Engine<'static>>::new_uninit(GFP_KERNEL)
            .map_err(|_| EngineError::Operation("memory for the engine"))?;
        // SAFETY: The slice of parts and the arena are not where `image` and `arena` are, which are moved
        // below, and live until after the engine: it is dropped first. Nobody sees them meanwhile.
        let (parts, memory) = unsafe {
            let parts: &'static [&'static [u8]] =
                core::slice::from_raw_parts(image.parts.as_ptr(), image.parts.len());
            let bytes = arena.bytes_mut();
            let (start, len) = (bytes.as_mut_ptr(), bytes.len());
            (parts, core::slice::from_raw_parts_mut(start, len))
        };
        let gguf = Gguf::parse_split(parts)?;
        // An engine is large, and the stack has no room for two.
        match Engine::load_parsed(&gguf, memory, options, kernels, executor) {
            Ok(engine) => (*place).write(engine),
            Err(error) => return Err(error),
        };
        // SAFETY: It was just written.
        let engine = unsafe { place.assume_init() };
        // INVARIANT: It borrows these, and they are not touched any more.
        Ok(Self {
            engine,
            image,
            arena,
        })
    }

    /// Does something with the engine.
    pub(crate) fn with<R>(&mut self, f: impl for<'a> FnOnce(&mut Engine<'a>) -> R) -> R {
        // `f` cannot know how long the engine's lifetime is, so it keeps nothing that has it.
        f(&mut self.engine)
    }

    /// The hashes of its files, if they are being computed.
    pub(crate) fn hashes(&self) -> Option<Hashes> {
        self.image.hashing.as_ref().map(Hashing::hashes)
    }

    /// Says that it is in use. A file that is used in place cannot be loaded again then.
    pub(crate) fn set_used(&mut self) {
        if let Memory::InPlace(file) = &mut self.image.memory {
            file.set_used();
        }
    }

    /// Bytes of memory that it has.
    pub(crate) fn bytes(&self) -> usize {
        let pages = |memory: &Memory| memory.len().next_multiple_of(PAGE_SIZE);
        pages(&self.image.memory) + pages(&self.arena)
    }
}
