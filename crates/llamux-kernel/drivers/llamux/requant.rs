// SPDX-License-Identifier: GPL-2.0-only

//! Gives the weights of a model a smaller type when it is loaded: `llamux.requant=`.

use core::ops::Range;

use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use llamux_abi::TensorType;
use llamux_engine::gguf::{requantize, requantized_bytes, Gguf};
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

/// What larger weights are given.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// This type.
    To(TensorType),
    /// The largest of [`CHEAPER`] with which the model fits, if it does not as it is.
    Fit,
}

impl Wanted {
    /// A type's name, or "fit".
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "fit" => Some(Self::Fit),
            name => quantization::named(name).map(Self::To),
        }
    }
}

/// Types that models are made to fit with, from the largest on.
const CHEAPER: [TensorType; 7] = [
    TensorType::F16,
    TensorType::Q8_0,
    TensorType::Q6_K,
    TensorType::Q5_K,
    TensorType::Q4_K,
    TensorType::Q3_K,
    TensorType::Q2_K,
];

/// The largest type with which there is room for an arena, among those that `room` is asked about: how much
/// there is if the files have so many bytes. Otherwise says how many bytes the files have at least.
#[inline(never)]
pub(crate) fn fitting(
    memory: &[u8],
    places: &[Range<usize>],
    arena: usize,
    room: impl Fn(usize) -> usize,
) -> Result<Result<TensorType, usize>, Error> {
    let parts = parts(memory, places).map_err(|_| Error::Operation("memory to convert in"))?;
    let logits = quantization::logits(&Gguf::parse_split(&parts)?);
    let mut least = usize::MAX;
    for to in CHEAPER {
        let mut bytes = 0usize;
        for part in &parts {
            let part = requantized_bytes(part, to, logits)?.next_multiple_of(PAGE_SIZE);
            bytes = bytes.saturating_add(part);
        }
        if room(bytes) >= arena {
            return Ok(Ok(to));
        }
        least = least.min(bytes);
    }
    Ok(Err(least))
}

/// What the parameter says, if it says anything.
pub(crate) fn wanted() -> Option<Wanted> {
    let name = sys::requant_parameter()?.to_str().unwrap_or("?");
    let wanted = Wanted::parse(name);
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

/// All that can be wanted.
pub(crate) struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, name) in quantization::names().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(name)?;
        }
        f.write_str(", fit")
    }
}
