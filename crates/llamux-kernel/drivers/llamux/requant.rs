// SPDX-License-Identifier: GPL-2.0-only

//! Gives the weights of a model a smaller type when it is loaded: `llamux.requant=`.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use llamux_abi::TensorType;
use llamux_engine::gguf::{requantize, Gguf};
use llamux_engine::{quantization, Error, Run};

use crate::load::parts;
use crate::models::Progress;
use crate::pool::Pool;
use crate::status::Shown;
use crate::sys;

/// Memory to convert in: for rows of half a million weights.
const SCRATCH: usize = 4 << 20;

/// What was done to the weights.
pub(crate) struct Requant {
    /// The type that was asked for.
    pub(crate) to: TensorType,
    /// How many tensors were larger.
    pub(crate) tensors: u32,
    /// How many bytes fewer they have now.
    pub(crate) saved: usize,
}

/// The type that the parameter names, if it does.
pub(crate) fn wanted() -> Option<TensorType> {
    let name = sys::requant_parameter()?.to_str().unwrap_or("?");
    let wanted = quantization::named(name);
    if wanted.is_none() && !name.is_empty() {
        pr_err!(
            "llamux.requant={name}: not one of {}; leaving the weights as they are\n",
            Shown(&Names)
        );
    }
    wanted
}

/// Converts the files at `places`, and moves them together.
#[inline(never)]
pub(crate) fn convert(
    memory: &mut [u8],
    places: &mut [Range<usize>],
    to: TensorType,
    pool: &Pool,
    progress: &Progress,
) -> Result<Requant, Error> {
    let no_memory = Error::Operation("memory to convert in");
    let logits = {
        let parts = parts(memory, places).map_err(|_| no_memory)?;
        // All of it is checked before any of it is changed.
        quantization::logits(&Gguf::parse_split(&parts)?)
    };
    let mut scratch = VVec::<u8>::zeroed(SCRATCH, GFP_KERNEL).map_err(|_| no_memory)?;
    let mut requant = Requant {
        to,
        tensors: 0,
        saved: 0,
    };
    let mut begin = 0;
    for place in places {
        let mut run = Run {
            kernels: sys::kernels(),
            executor: pool,
            stop: &mut || {
                // Weights are also looked at, which is no job.
                sys::resched();
                progress.is_over()
            },
        };
        let file = memory.get_mut(place.clone()).unwrap_or_default();
        let done = requantize(file, to, logits, &mut scratch, &mut run)?;
        requant.tensors += done.tensors;
        requant.saved += place.len().saturating_sub(done.bytes);
        // Within the file, so within the memory.
        memory.copy_within(place.start..place.start + done.bytes, begin);
        *place = begin..begin + done.bytes;
        begin += done.bytes.next_multiple_of(PAGE_SIZE);
    }
    Ok(requant)
}

/// The names of all types.
pub(crate) struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, name) in quantization::names().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}
