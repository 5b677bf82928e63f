// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The way into the math crate: the only module of the engine with unsafe code.
//!
//! An operation becomes a [`Job`], whose constructor checks every length and borrows every buffer.
//! A home (host program, kernel) runs jobs by an [`Executor`], as a rule a [`Crew`] of its threads.

#![expect(unsafe_code, reason = "calls the math crate through pointers")]

mod crew;
mod operation;
mod work;

use core::marker::PhantomData;
use core::ptr;

use llamux_abi as abi;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

pub use crew::{Crew, Home, MAX_THREADS};
pub use operation::Operation;
pub use work::Work;

use crate::error::Error;

/// The bits of an `f32`, with which only the math crate computes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, PartialEq, Eq)]
#[repr(transparent)]
pub struct F32Bits(pub u32);

impl F32Bits {
    /// No number: a token with this logit is never a candidate.
    pub const NAN: Self = Self(0x7fc0_0000);
}

/// [`abi::Candidates`], as something that can be carved out of bytes: `len`, `limit`, and `entries`
/// of a token and a logit each.
#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(transparent)]
pub struct Candidates([u32; 2 + 2 * abi::MAX_CANDIDATES]);

impl Candidates {
    /// Keeps those of the tokens that `keep` wants, in their order, and no more than `most`. Returns
    /// how many they are.
    pub fn retain(&mut self, most: usize, mut keep: impl FnMut(u32) -> bool) -> usize {
        let [len, _, entries @ ..] = &mut self.0;
        let mut kept = 0;
        for index in 0..crate::size(*len) {
            if kept == most {
                break;
            }
            let Some(&[id, logit]) = entries.get(2 * index..2 * index + 2) else {
                break;
            };
            if keep(id) {
                if let Some(slot) = entries.get_mut(2 * kept..2 * kept + 2) {
                    slot.copy_from_slice(&[id, logit]);
                    kept += 1;
                }
            }
        }
        // CAST: At most `abi::MAX_CANDIDATES`.
        *len = kept as u32;
        kept
    }
}

const _: () = assert!(size_of::<Candidates>() == size_of::<abi::Candidates>());
const _: () = assert!(align_of::<Candidates>() == align_of::<abi::Candidates>());

/// The entry of [`abi::BLOCKS`] for a type.
pub fn block(tensor_type: abi::TensorType) -> &'static abi::Block {
    static BLOCKS: [abi::Block; abi::BLOCKS.len()] = abi::BLOCKS;
    let [first, ..] = &BLOCKS;
    // Every type has an entry; a match by name would say it twice.
    BLOCKS
        .iter()
        .find(|block| block.tensor_type == tensor_type)
        .unwrap_or(first)
}

/// Bytes of a row of activations, `None` if a row of this length has no such layout.
pub fn activation_bytes(activation: abi::Activation, columns: u32) -> Option<usize> {
    // A row's length is a multiple of `unit`; each begun `block` takes so many bytes.
    let (unit, block, bytes) = match activation {
        abi::Activation::F32 => (1, 1, size_of::<F32Bits>()),
        abi::Activation::Q16x32 => (32, 128, abi::ACT_Q16X32_BYTES),
        abi::Activation::Q8x256 => (256, 256, abi::ACT_Q8X256_BYTES),
    };
    let columns = usize::try_from(columns).ok()?;
    if columns % unit != 0 {
        return None;
    }
    columns.div_ceil(block).checked_mul(bytes)
}

/// A matrix of weights, in place.
///
/// # Invariants
///
/// A row is a whole number of blocks, and `data` is exactly `rows` rows. Neither number is zero.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [u8],
    tensor_type: abi::TensorType,
    rows: u32,
    columns: u32,
}

impl<'a> Matrix<'a> {
    /// Checks the lengths.
    pub fn new(
        data: &'a [u8],
        tensor_type: abi::TensorType,
        rows: u32,
        columns: u32,
    ) -> Option<Self> {
        let matrix = Self {
            data,
            tensor_type,
            rows,
            columns,
        };
        let block = block(tensor_type);
        let whole = rows != 0 && columns != 0 && columns % block.weights == 0;
        // INVARIANT: Both are checked here.
        (whole && matrix.row_bytes().checked_mul(rows.into())? == u64::try_from(data.len()).ok()?)
            .then_some(matrix)
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Length of a row.
    pub fn columns(&self) -> u32 {
        self.columns
    }

    /// The matrix number `index` of `count` that lie one behind the other, of which this one, tall, is
    /// made.
    pub fn part(&self, index: u32, count: u32) -> Option<Self> {
        let rows = self.rows.checked_div(count)?;
        let bytes = usize::try_from(self.row_bytes().checked_mul(rows.into())?).ok()?;
        let begin = bytes.checked_mul(usize::try_from(index).ok()?)?;
        let data = self.data.get(begin..begin.checked_add(bytes)?)?;
        Self::new(data, self.tensor_type, rows, self.columns)
    }

    /// How the activations are laid out that multiply it.
    pub fn activation(&self) -> abi::Activation {
        block(self.tensor_type).activation
    }

    fn row_bytes(&self) -> u64 {
        let block = block(self.tensor_type);
        // OVERFLOW: The product of two 32-bit numbers.
        u64::from(self.columns / block.weights) * u64::from(block.bytes)
    }
}

/// Where the pairs of a batch of queries or keys are, and how they rotate.
#[derive(Clone, Copy)]
pub struct Heads {
    /// Heads of a token.
    pub heads: u32,
    /// Length of a head.
    pub head_dim: u32,
    /// Number of rotated dimensions, halved.
    pub pairs: u32,
    /// Which dimensions rotate together.
    pub style: abi::RopeStyle,
}

/// How the angles of rotary positions are computed, see [`abi::RopeFrequencies`].
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Base of the frequencies.
    pub base: F32Bits,
    /// By how much the context is longer than the one that the base is for.
    pub stretch: F32Bits,
    /// Length of the context before that, for YaRN; 0 for linear scaling.
    pub original_context: u32,
    /// What cosine and sine are multiplied by.
    pub magnitude: F32Bits,
}

/// What the gate of a feed-forward part goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Times its sigmoid.
    Silu,
    /// The Gaussian error linear unit, by a hyperbolic tangent.
    Gelu,
}

/// The shape of a key and value cache: blocks of [`abi::KV_BLOCK`] positions, each with all layers.
#[derive(Clone, Copy)]
pub struct CacheShape {
    /// How it keeps its numbers.
    pub kv_type: abi::KvType,
    /// Number of blocks.
    pub blocks: u32,
    /// Number of layers.
    pub layers: u32,
    /// Number of key and value heads.
    pub kv_heads: u32,
    /// Length of a head.
    pub head_dim: u32,
}

impl CacheShape {
    /// Bytes of a block's layer; `None` if a dimension is not one that is computed.
    fn layer_bytes(&self) -> Option<usize> {
        check(self.kv_heads != 0 && (1..=256).contains(&self.head_dim))?;
        let elements = product(&[2, self.kv_heads, self.head_dim, abi::KV_BLOCK])?;
        match self.kv_type {
            abi::KvType::F16 => elements.checked_mul(2),
            abi::KvType::Q8_0 => {
                check(self.head_dim % abi::KV_GROUP == 0)?;
                // CAST: A small constant.
                elements.checked_add(2 * (elements / abi::KV_GROUP as usize))
            }
        }
    }

    /// Bytes of a block; `None` if that overflows, or a dimension is not one that is computed.
    pub fn block_bytes(&self) -> Option<usize> {
        check(self.layers != 0)?;
        self.layer_bytes()?
            .checked_mul(usize::try_from(self.layers).ok()?)
    }

    /// Bytes of all blocks.
    pub fn bytes(&self) -> Option<usize> {
        check(self.blocks != 0)?;
        self.block_bytes()?
            .checked_mul(usize::try_from(self.blocks).ok()?)
    }
}

/// [`abi::Place`], as something that can be carved out of bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, PartialEq, Eq)]
#[repr(C)]
pub struct Place {
    /// Where the blocks of its sequence begin in the table.
    pub table: u32,
    /// How many tokens are before it.
    pub position: u32,
}

const _: () = assert!(size_of::<Place>() == size_of::<abi::Place>());
const _: () = assert!(align_of::<Place>() == align_of::<abi::Place>());
const _: () = assert!(core::mem::offset_of!(Place, position) == 4);
const _: () = assert!(core::mem::offset_of!(abi::Place, position) == 4);

/// Where the tokens of a batch stand in a cache of so many blocks.
///
/// # Invariants
///
/// The block of each position from 0 to that of a token is in the table, and is below `blocks`; no two
/// tokens have the same position of the same block.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    table: &'a [u32],
    places: &'a [Place],
    blocks: u32,
}

impl<'a> Places<'a> {
    /// Checks that all of the blocks are there.
    pub fn new(table: &'a [u32], places: &'a [Place], blocks: u32) -> Result<Self, Error> {
        let this = Self {
            table,
            places,
            blocks,
        };
        // INVARIANT: All is checked here.
        for (i, &place) in places.iter().enumerate() {
            let own = this.slot(place).ok_or(Error::Operation("Places"))?;
            let mut before = places.iter().take(i);
            if before.any(|&other| this.slot(other) == Some(own)) {
                return Err(Error::Operation("Places"));
            }
        }
        Ok(this)
    }

    /// A token's block and its position in it; `None` unless all blocks up to it are there.
    fn slot(&self, place: Place) -> Option<(u32, u32)> {
        let begin = usize::try_from(place.table).ok()?;
        let last = usize::try_from(place.position / abi::KV_BLOCK).ok()?;
        let blocks = self.table.get(begin..=begin.checked_add(last)?)?;
        check(blocks.iter().all(|&block| block < self.blocks))?;
        Some((*blocks.last()?, place.position % abi::KV_BLOCK))
    }

    /// `count` tokens from `begin` on.
    pub fn part(&self, begin: u32, count: u32) -> Result<Self, Error> {
        let part = || {
            let begin = usize::try_from(begin).ok()?;
            let end = begin.checked_add(usize::try_from(count).ok()?)?;
            self.places.get(begin..end)
        };
        // INVARIANT: What holds for all tokens holds for some.
        Ok(Self {
            places: part().ok_or(Error::Operation("Places"))?,
            ..*self
        })
    }

    /// Number of tokens.
    pub fn count(&self) -> u32 {
        // CAST: At most a batch.
        self.places.len() as u32
    }

    /// Chunks of attention that the last of the positions needs.
    pub fn chunks(&self) -> u32 {
        let last = self.places.iter().map(|place| place.position).max();
        last.map_or(0, |last| last / abi::ATTENTION_CHUNK + 1)
    }

    /// The operations' view of a layer of `cache`.
    fn cache(
        &self,
        cache: *mut u8,
        len: usize,
        shape: CacheShape,
        layer: u32,
    ) -> Option<abi::KvCache> {
        check(shape.bytes()? == len && shape.blocks == self.blocks && layer < shape.layers)?;
        check(cache.cast::<u64>().is_aligned())?;
        let begin = shape
            .layer_bytes()?
            .checked_mul(usize::try_from(layer).ok()?)?;
        Some(abi::KvCache {
            layer: cache.wrapping_add(begin),
            block_bytes: u64::try_from(shape.block_bytes()?).ok()?,
            table: self.table.as_ptr(),
            places: self.places.as_ptr().cast(),
            kv_type: shape.kv_type,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
        })
    }
}

/// How [`Job::attention`] looks back.
#[derive(Clone, Copy)]
pub struct Look {
    /// Number of query heads.
    pub heads: u32,
    /// How many positions a token sees, itself among them; 0 for all.
    pub window: u32,
    /// Square of what the scores are divided by, usually the head's length.
    pub scale_square: u32,
}

/// How [`Job::pick`] chooses; all times 1000.
#[derive(Clone, Copy)]
pub struct Choice {
    /// Temperature; 0 for the first candidate.
    pub temperature_milli: u32,
    /// Top-p; 1000 or more for no bound.
    pub top_p_milli: u32,
    /// Min-p; 0 for no bound.
    pub min_p_milli: u32,
}

/// Largest number of units of a job, and of one slice.
const MAX_UNITS: u32 = 1 << 31;
const MAX_GRAIN: u32 = 1 << 16;

/// Picoseconds for a multiply-add of the vector tables, roughly: what matters is that a slice is of
/// the right order.
const MULTIPLY_QUANTIZED: u64 = 20;
const MULTIPLY_FLOAT: u64 = 200;
/// Picoseconds for reading a byte of weights.
const READ: u64 = 100;
/// How much slower the scalar table is.
const SCALAR: u64 = 100;

/// The cost of an element of a simple loop, and of one with an exponential.
const SIMPLE: u64 = 500;
const EXPONENTIAL: u64 = 4000;
/// The cost of converting a weight, which is that of searching for its scale.
const CONVERT: u64 = 100_000;

fn product(factors: &[u32]) -> Option<usize> {
    factors.iter().try_fold(1usize, |product, &factor| {
        product.checked_mul(usize::try_from(factor).ok()?)
    })
}

/// Number of rows of `columns` in `len` elements; `None` unless it is a whole number, not zero.
fn rows_of(len: usize, columns: u32) -> Option<u32> {
    let columns = usize::try_from(columns).ok()?;
    if columns == 0 || len == 0 || len % columns != 0 {
        return None;
    }
    u32::try_from(len / columns).ok()
}

fn count(len: usize) -> Option<u32> {
    u32::try_from(len).ok().filter(|&count| count != 0)
}

fn operation<'a>(
    name: &'static str,
    job: impl FnOnce() -> Option<Job<'a>>,
) -> Result<Job<'a>, Error> {
    job().ok_or(Error::Operation(name))
}

/// Whether the sizes that an operation depends on are what they must be.
fn check(condition: bool) -> Option<()> {
    condition.then_some(())
}

/// The float operations of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels(&'static abi::Kernels);

impl Kernels {
    /// Wraps the table that `llamux_math_select` returned.
    ///
    /// # Safety
    ///
    /// `table` is what the math crate, built from the same `llamux-abi`, returned for features that
    /// this processor has.
    pub unsafe fn from_ptr(table: *const abi::Kernels) -> Self {
        // SAFETY: The math crate's tables are statics.
        Self(unsafe { &*table })
    }

    /// How many times slower than a vector table it is.
    fn pace(self) -> u64 {
        if self.name() == "scalar" {
            SCALAR
        } else {
            1
        }
    }

    /// The table's name: `scalar`, `avx2`, ….
    pub fn name(self) -> &'static str {
        let len = self
            .0
            .name
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(self.0.name.len());
        core::str::from_utf8(self.0.name.get(..len).unwrap_or(&[])).unwrap_or("?")
    }
}

/// Proof that the FPU may be used by this thread.
///
/// In the kernel it lives from `kernel_fpu_begin()` to `kernel_fpu_end()`; see
/// Documentation/core-api/floating-point.rst.
pub struct FpuSection(PhantomData<*mut ()>);

impl FpuSection {
    /// Claims that the FPU may be used.
    ///
    /// # Safety
    ///
    /// It may be, by this thread, for as long as the value lives.
    pub const unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// Runs jobs.
///
/// # Safety
///
/// [`execute`](Executor::execute) returns only when each slice of the [`Work`] that the jobs make was
/// computed, and no call of [`Work::slice`] is under way.
pub unsafe trait Executor {
    /// Runs `jobs` to their end, in any order, or at the same time. None uses what another one writes:
    /// it could not have borrowed it.
    fn execute(&self, jobs: &[Job<'_>]);
}

/// One operation on borrowed buffers, handed out in slices.
pub struct Job<'a> {
    op: abi::Op,
    kernels: Kernels,
    units: u32,
    /// Picoseconds of a unit.
    cost: u64,
    /// Units that are best computed together.
    tile: u32,
    /// Whether units must be computed one after the other.
    serial: bool,
    _buffers: PhantomData<&'a mut [u8]>,
}

// SAFETY: The operation's buffers are borrowed for `'a`, inputs shared and outputs exclusively, and
// who calls `Work::slice` promises that each unit is computed once.
unsafe impl Sync for Job<'_> {}

/// How the units of a job are handed out.
enum Share {
    /// One thread, ascending.
    Serial,
    /// Any thread, any order.
    Parallel,
    /// The same, in multiples of so many units.
    Tiles(u32),
}

impl<'a> Job<'a> {
    /// A job of `units` that take `cost` picoseconds each with a vector table.
    ///
    /// # Safety
    ///
    /// The pointers in `op` are derived from borrows that last for `'a`, exclusive ones for what is
    /// written, and valid for the lengths that `abi` names for `units`.
    unsafe fn new(
        kernels: Kernels,
        op: abi::Op,
        units: u32,
        cost: u64,
        share: Share,
    ) -> Option<Self> {
        if units > MAX_UNITS {
            return None;
        }
        Some(Self {
            op,
            kernels,
            units,
            cost: cost.max(1).saturating_mul(kernels.pace()),
            tile: match share {
                Share::Tiles(tile) => tile.max(1),
                _ => 1,
            },
            serial: matches!(share, Share::Serial),
            _buffers: PhantomData,
        })
    }

    /// [`abi::Embed`]: `out` is `(tokens, table.columns())`.
    pub fn embed(
        kernels: Kernels,
        table: Matrix<'a>,
        ids: &'a [u32],
        scale_square: u32,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("Embed", || {
            let tokens = count(ids.len())?;
            check(rows_of(out.len(), table.columns)? == tokens)?;
            check(ids.iter().all(|&id| id < table.rows))?;
            let op = abi::Op::Embed(abi::Embed {
                table: table.data.as_ptr(),
                tensor_type: table.tensor_type,
                columns: table.columns,
                ids: ids.as_ptr(),
                out: out.as_mut_ptr().cast(),
                scale_square,
            });
            // SAFETY: `out` has a row for each id, and each id a row in the table.
            unsafe {
                Self::new(
                    kernels,
                    op,
                    tokens,
                    2 * SIMPLE * u64::from(table.columns),
                    Share::Parallel,
                )
            }
        })
    }

    /// [`abi::RmsNorm`]: rows as long as `weight`.
    pub fn rms_norm(
        kernels: Kernels,
        x: &'a [F32Bits],
        weight: &'a [F32Bits],
        epsilon: F32Bits,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        Self::norm(kernels, Some(x), weight, epsilon, out, false)
    }

    /// The same, added to `out`.
    pub fn add_rms_norm(
        kernels: Kernels,
        x: &'a [F32Bits],
        weight: &'a [F32Bits],
        epsilon: F32Bits,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        Self::norm(kernels, Some(x), weight, epsilon, out, true)
    }

    /// The same, in place of what was there.
    pub fn rms_norm_in_place(
        kernels: Kernels,
        x: &'a mut [F32Bits],
        weight: &'a [F32Bits],
        epsilon: F32Bits,
    ) -> Result<Self, Error> {
        Self::norm(kernels, None, weight, epsilon, x, false)
    }

    /// Without `x`, of `out` itself.
    fn norm(
        kernels: Kernels,
        x: Option<&'a [F32Bits]>,
        weight: &'a [F32Bits],
        epsilon: F32Bits,
        out: &'a mut [F32Bits],
        accumulate: bool,
    ) -> Result<Self, Error> {
        operation("RmsNorm", || {
            let columns = count(weight.len())?;
            let rows = rows_of(out.len(), columns)?;
            check(x.is_none_or(|x| x.len() == out.len()))?;
            let out: *mut F32Bits = out.as_mut_ptr();
            let op = abi::Op::RmsNorm(abi::RmsNorm {
                x: x.map_or(out.cast_const(), <[F32Bits]>::as_ptr).cast(),
                weight: weight.as_ptr().cast(),
                out: out.cast(),
                columns,
                epsilon_bits: epsilon.0,
                accumulate: accumulate.into(),
            });
            // SAFETY: `x` and `out` are `rows` rows of `columns`, `weight` is one.
            unsafe {
                Self::new(
                    kernels,
                    op,
                    rows,
                    SIMPLE * u64::from(columns),
                    Share::Parallel,
                )
            }
        })
    }

    /// [`abi::Quantize`]: as many rows of `columns` as `x` has.
    pub fn quantize(
        kernels: Kernels,
        x: &'a [F32Bits],
        columns: u32,
        activation: abi::Activation,
        out: &'a mut [u8],
    ) -> Result<Self, Error> {
        operation("Quantize", || {
            let rows = rows_of(x.len(), columns)?;
            check(activation != abi::Activation::F32)?;
            let bytes = activation_bytes(activation, columns)?;
            check(bytes.checked_mul(usize::try_from(rows).ok()?)? == out.len())?;
            check(out.as_ptr().cast::<u32>().is_aligned())?;
            let op = abi::Op::Quantize(abi::Quantize {
                x: x.as_ptr().cast(),
                out: out.as_mut_ptr(),
                columns,
                activation,
            });
            // SAFETY: `x` is `rows` rows of `columns`, `out` the same in the layout, and aligned.
            unsafe {
                Self::new(
                    kernels,
                    op,
                    rows,
                    SIMPLE * u64::from(columns),
                    Share::Parallel,
                )
            }
        })
    }

    /// [`abi::MatMul`]: `x` is `(tokens)` rows in `weights.activation()`, `out` is
    /// `(tokens, weights.rows())`.
    pub fn mat_mul(
        kernels: Kernels,
        weights: Matrix<'a>,
        x: &'a [u8],
        bias: Option<&'a [F32Bits]>,
        out: &'a mut [F32Bits],
        accumulate: bool,
    ) -> Result<Self, Error> {
        let sums = abi::Sums::Together;
        Self::mat_mul_with(kernels, weights, x, bias, out, (accumulate, sums))
    }

    /// The same, with a say in how the sums of several tokens come about.
    pub fn mat_mul_with(
        kernels: Kernels,
        weights: Matrix<'a>,
        x: &'a [u8],
        bias: Option<&'a [F32Bits]>,
        out: &'a mut [F32Bits],
        (accumulate, sums): (bool, abi::Sums),
    ) -> Result<Self, Error> {
        operation("MatMul", || {
            let tokens = rows_of(out.len(), weights.rows).filter(|&n| n <= abi::MAX_BATCH)?;
            let activation = weights.activation();
            let bytes = activation_bytes(activation, weights.columns)?;
            check(bytes.checked_mul(usize::try_from(tokens).ok()?)? == x.len())?;
            check(x.as_ptr().cast::<u32>().is_aligned())?;
            if let Some(bias) = bias {
                check(rows_of(bias.len(), weights.rows)? == 1)?;
            }
            let op = abi::Op::MatMul(abi::MatMul {
                weights: weights.data.as_ptr(),
                tensor_type: weights.tensor_type,
                columns: weights.columns,
                x: x.as_ptr(),
                bias: bias.map_or(ptr::null(), |bias| bias.as_ptr().cast()),
                out: out.as_mut_ptr().cast(),
                out_stride: weights.rows,
                tokens,
                accumulate: accumulate.into(),
                sums,
            });
            let multiply = match activation {
                abi::Activation::F32 => MULTIPLY_FLOAT,
                _ => MULTIPLY_QUANTIZED,
            };
            // The rows of a token that is computed as the only one come one by one.
            let tile = match sums {
                abi::Sums::Together | abi::Sums::Either if tokens > 1 => {
                    kernels.0.tile.clamp(1, MAX_GRAIN)
                }
                _ => 1,
            };
            let work = u64::from(weights.columns) * u64::from(tokens) * multiply;
            let cost = work.max(weights.row_bytes().saturating_mul(READ));
            // SAFETY: `Matrix` holds for the weights; `x` has `tokens` rows in their layout, is
            // aligned, and `out` has `tokens` rows with an element for each row of the weights, as
            // `bias` has.
            unsafe { Self::new(kernels, op, weights.rows, cost, Share::Tiles(tile)) }
        })
    }

    /// [`abi::Convert`]: `out` is as many weights as `weights`, of type `to`.
    pub fn convert(
        kernels: Kernels,
        weights: Matrix<'a>,
        to: abi::TensorType,
        out: &'a mut [u8],
    ) -> Result<Self, Error> {
        operation("Convert", || {
            let converted = Matrix::new(out, to, weights.rows, weights.columns)?;
            // OVERFLOW: The product of two 32-bit numbers.
            let elements = u64::from(converted.rows) * u64::from(converted.columns);
            let op = abi::Op::Convert(abi::Convert {
                weights: weights.data.as_ptr(),
                out: out.as_mut_ptr(),
                elements,
                from: weights.tensor_type,
                to,
            });
            let units = u32::try_from(elements.div_ceil(abi::CONVERT_WEIGHTS.into())).ok()?;
            let cost = CONVERT * u64::from(abi::CONVERT_WEIGHTS);
            // SAFETY: `Matrix` holds for both, so that each is `elements` weights in whole blocks.
            unsafe { Self::new(kernels, op, units, cost, Share::Parallel) }
        })
    }

    /// [`abi::RopeFrequencies`]: `out` is `(pairs + 1)`.
    pub fn rope_frequencies(
        kernels: Kernels,
        rotation: Rotation,
        factors: Option<&'a [F32Bits]>,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("RopeFrequencies", || {
            let pairs = count(out.len().checked_sub(1)?)?;
            let dimensions = pairs.checked_mul(2)?;
            check(factors.is_none_or(|factors| factors.len() + 1 == out.len()))?;
            let op = abi::Op::RopeFrequencies(abi::RopeFrequencies {
                base_bits: rotation.base.0,
                dimensions,
                factors: factors.map_or(ptr::null(), |factors| factors.as_ptr().cast()),
                out: out.as_mut_ptr().cast(),
                stretch_bits: rotation.stretch.0,
                original_context: rotation.original_context,
                magnitude_bits: rotation.magnitude.0,
            });
            // SAFETY: `factors` are `dimensions / 2` long, and `out` is longer by one.
            unsafe { Self::new(kernels, op, 1, 0, Share::Serial) }
        })
    }

    /// [`abi::RopeAngles`]: `frequencies` is `(pairs + 1)`, `out` is `(tokens, pairs, 2)`.
    pub fn rope_angles(
        kernels: Kernels,
        frequencies: &'a [F32Bits],
        positions: &'a [u32],
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("RopeAngles", || {
            let pairs = count(frequencies.len().checked_sub(1)?)?;
            let tokens = count(positions.len())?;
            check(product(&[tokens, pairs, 2])? == out.len())?;
            let op = abi::Op::RopeAngles(abi::RopeAngles {
                frequencies: frequencies.as_ptr().cast(),
                positions: positions.as_ptr(),
                pairs,
                out: out.as_mut_ptr().cast(),
            });
            // SAFETY: `out` has two elements for each token's each pair.
            unsafe {
                Self::new(
                    kernels,
                    op,
                    tokens,
                    5 * EXPONENTIAL * u64::from(pairs),
                    Share::Parallel,
                )
            }
        })
    }

    /// [`abi::Rope`]: `x` is `(tokens, heads, head_dim)`, `angles` is `(tokens, pairs, 2)`.
    pub fn rope(
        kernels: Kernels,
        x: &'a mut [F32Bits],
        angles: &'a [F32Bits],
        shape: Heads,
    ) -> Result<Self, Error> {
        operation("Rope", || {
            check(shape.pairs.checked_mul(2)? <= shape.head_dim)?;
            let tokens = rows_of(x.len(), shape.heads.checked_mul(shape.head_dim)?)?;
            check(product(&[tokens, shape.pairs, 2])? == angles.len())?;
            let op = abi::Op::Rope(abi::Rope {
                x: x.as_mut_ptr().cast(),
                angles: angles.as_ptr().cast(),
                heads: shape.heads,
                head_dim: shape.head_dim,
                pairs: shape.pairs,
                style: shape.style,
            });
            let cost = SIMPLE * u64::from(shape.heads) * u64::from(shape.pairs);
            // SAFETY: `x` and `angles` have the same number of tokens, and the pairs are in a head.
            unsafe { Self::new(kernels, op, tokens, cost, Share::Parallel) }
        })
    }

    /// [`abi::StoreKv`]: `k` and `v` are `(tokens, kv_heads, head_dim)` for the tokens of `places`.
    pub fn store_kv(
        kernels: Kernels,
        (k, v): (&'a [F32Bits], &'a [F32Bits]),
        cache: &'a mut [u8],
        (shape, layer): (CacheShape, u32),
        places: Places<'a>,
    ) -> Result<Self, Error> {
        operation("StoreKv", || {
            let tokens = count(places.places.len())?;
            let row = shape.kv_heads.checked_mul(shape.head_dim)?;
            check(rows_of(k.len(), row)? == tokens && v.len() == k.len())?;
            let op = abi::Op::StoreKv(abi::StoreKv {
                k: k.as_ptr().cast(),
                v: v.as_ptr().cast(),
                cache: places.cache(cache.as_mut_ptr(), cache.len(), shape, layer)?,
            });
            let cost = 4 * SIMPLE * u64::from(row);
            // SAFETY: `k` and `v` have a row for each token, whose places are all different ones of
            // the cache.
            unsafe { Self::new(kernels, op, tokens, cost, Share::Parallel) }
        })
    }

    /// [`abi::Attention`]: `q` is `(tokens, heads, head_dim)`, `partial` is
    /// `(tokens, heads, chunks, head_dim + 2)`, with the chunks of [`Places::chunks`].
    pub fn attention(
        kernels: Kernels,
        q: &'a [F32Bits],
        cache: &'a [u8],
        (shape, layer): (CacheShape, u32),
        places: Places<'a>,
        look: Look,
        partial: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("Attention", || {
            let tokens = count(places.places.len())?;
            let (heads, chunks) = (look.heads, places.chunks());
            // Only read, though the descriptor says it with a pointer to write by.
            let memory = cache.as_ptr().cast_mut();
            let cache = places.cache(memory, cache.len(), shape, layer)?;
            check(heads % shape.kv_heads == 0 && look.scale_square != 0)?;
            check(rows_of(q.len(), heads.checked_mul(shape.head_dim)?)? == tokens)?;
            check(product(&[tokens, heads, chunks, shape.head_dim + 2])? == partial.len())?;
            let op = abi::Op::Attention(abi::Attention {
                q: q.as_ptr().cast(),
                partial: partial.as_mut_ptr().cast(),
                cache,
                chunks,
                heads,
                window: look.window,
                scale_square: look.scale_square,
            });
            let units = u32::try_from(product(&[tokens, shape.kv_heads, chunks])?).ok()?;
            let last = places.places.iter().map(|place| place.position).max()?;
            let cost = u64::from(last.saturating_add(1).min(abi::ATTENTION_CHUNK))
                * u64::from(shape.head_dim)
                * u64::from(heads / shape.kv_heads)
                * (2 * MULTIPLY_FLOAT);
            // SAFETY: The cache holds every position that a token sees, the chunks cover them, and
            // `partial` has room for each token's each head's each chunk.
            unsafe { Self::new(kernels, op, units, cost, Share::Parallel) }
        })
    }

    /// [`abi::MergeAttention`]: `out` is `(heads of all tokens, head_dim)`.
    pub fn merge_attention(
        kernels: Kernels,
        partial: &'a [F32Bits],
        chunks: u32,
        head_dim: u32,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("MergeAttention", || {
            check(chunks != 0)?;
            let units = rows_of(out.len(), head_dim)?;
            check(product(&[units, chunks, head_dim.checked_add(2)?])? == partial.len())?;
            let op = abi::Op::MergeAttention(abi::MergeAttention {
                partial: partial.as_ptr().cast(),
                out: out.as_mut_ptr().cast(),
                chunks,
                head_dim,
            });
            let cost = 2 * u64::from(chunks) * (EXPONENTIAL + SIMPLE * u64::from(head_dim));
            // SAFETY: `partial` has `chunks` rows for each row of `out`.
            unsafe { Self::new(kernels, op, units, cost, Share::Parallel) }
        })
    }

    /// [`abi::SwiGlu`] or [`abi::Op::GeGlu`], into `gate`.
    pub fn glu(
        kernels: Kernels,
        function: Gate,
        gate: &'a mut [F32Bits],
        up: &'a [F32Bits],
        columns: u32,
    ) -> Result<Self, Error> {
        operation("SwiGlu", || {
            let rows = rows_of(gate.len(), columns)?;
            check(up.len() == gate.len())?;
            // Both from the exclusive borrow, since it is read and written.
            let out: *mut F32Bits = gate.as_mut_ptr();
            let op = abi::SwiGlu {
                gate: out.cast_const().cast(),
                up: up.as_ptr().cast(),
                out: out.cast(),
                columns,
            };
            let op = match function {
                Gate::Silu => abi::Op::SwiGlu(op),
                Gate::Gelu => abi::Op::GeGlu(op),
            };
            // SAFETY: `gate` and `up` are `rows` rows of `columns`.
            unsafe {
                Self::new(
                    kernels,
                    op,
                    rows,
                    EXPONENTIAL / 4 * u64::from(columns),
                    Share::Parallel,
                )
            }
        })
    }

    /// [`abi::Route`]: `logits` is `(tokens, experts)`, `chosen` and `weights` are `(tokens, used)`.
    pub fn route(
        kernels: Kernels,
        logits: &'a [F32Bits],
        experts: u32,
        chosen: &'a mut [u32],
        weights: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("Route", || {
            let tokens = rows_of(logits.len(), experts)?;
            let all = count(chosen.len()).filter(|all| all % tokens == 0)?;
            let used = all / tokens;
            check(used <= experts && weights.len() == chosen.len())?;
            let op = abi::Op::Route(abi::Route {
                logits: logits.as_ptr().cast(),
                chosen: chosen.as_mut_ptr(),
                weights: weights.as_mut_ptr().cast(),
                experts,
                used,
            });
            let cost = u64::from(used) * (EXPONENTIAL + SIMPLE * u64::from(experts + used));
            // SAFETY: Each token has its `experts` logits, and room for `used` of them.
            unsafe { Self::new(kernels, op, tokens, cost, Share::Parallel) }
        })
    }

    /// [`abi::Combine`]: `rows` and `weights` are `(tokens, used)`, `out` is `(tokens, columns)`.
    pub fn combine(
        kernels: Kernels,
        x: &'a [F32Bits],
        (rows, weights): (&'a [u32], &'a [F32Bits]),
        columns: u32,
        out: &'a mut [F32Bits],
    ) -> Result<Self, Error> {
        operation("Combine", || {
            let there = rows_of(x.len(), columns)?;
            let tokens = rows_of(out.len(), columns)?;
            let all = count(rows.len()).filter(|all| all % tokens == 0)?;
            check(weights.len() == rows.len() && rows.iter().all(|&row| row < there))?;
            let used = all / tokens;
            let op = abi::Op::Combine(abi::Combine {
                x: x.as_ptr().cast(),
                rows: rows.as_ptr(),
                weights: weights.as_ptr().cast(),
                out: out.as_mut_ptr().cast(),
                used,
                columns,
            });
            let cost = SIMPLE * u64::from(used) * u64::from(columns);
            // SAFETY: Each token has its output and its `used` rows, all of which are in `x`.
            unsafe { Self::new(kernels, op, tokens, cost, Share::Parallel) }
        })
    }

    /// [`abi::Penalize`].
    pub fn penalize(
        kernels: Kernels,
        logits: &'a mut [F32Bits],
        ids: &'a [u32],
        penalty_milli: u32,
    ) -> Result<Self, Error> {
        operation("Penalize", || {
            let units = count(ids.len()).filter(|&units| units <= 1024)?;
            check(penalty_milli != 0)?;
            let vocabulary = count(logits.len())?;
            check(ids.iter().all(|&id| id < vocabulary))?;
            let op = abi::Op::Penalize(abi::Penalize {
                logits: logits.as_mut_ptr().cast(),
                ids: ids.as_ptr(),
                penalty_milli,
            });
            // SAFETY: Each id has a logit.
            unsafe { Self::new(kernels, op, units, SIMPLE * u64::from(units), Share::Serial) }
        })
    }

    /// [`abi::TopK`]: keeps `limit` candidates.
    pub fn top_k(
        kernels: Kernels,
        logits: &'a [F32Bits],
        limit: u32,
        candidates: &'a mut Candidates,
    ) -> Result<Self, Error> {
        operation("TopK", || {
            let vocabulary = count(logits.len())?;
            // CAST: A small constant.
            check((1..=abi::MAX_CANDIDATES as u32).contains(&limit))?;
            let [len, kept, ..] = &mut candidates.0;
            (*len, *kept) = (0, limit);
            let op = abi::Op::TopK(abi::TopK {
                logits: logits.as_ptr().cast(),
                vocabulary,
                candidates: ptr::from_mut(candidates).cast(),
            });
            // SAFETY: The candidates are empty and their limit is within their array.
            unsafe { Self::new(kernels, op, vocabulary, 2 * SIMPLE, Share::Serial) }
        })
    }

    /// [`abi::Pick`].
    pub fn pick(
        kernels: Kernels,
        candidates: &'a mut Candidates,
        choice: Choice,
        rng: &'a mut u64,
        token: &'a mut u32,
    ) -> Result<Self, Error> {
        operation("Pick", || {
            let [len, limit, ..] = candidates.0;
            // CAST: A small constant.
            check(len.max(limit) <= abi::MAX_CANDIDATES as u32)?;
            let op = abi::Op::Pick(abi::Pick {
                candidates: ptr::from_mut(candidates).cast(),
                rng: ptr::from_mut(rng),
                token: ptr::from_mut(token),
                temperature_milli: choice.temperature_milli,
                top_p_milli: choice.top_p_milli,
                min_p_milli: choice.min_p_milli,
            });
            // SAFETY: As many candidates are set as `len` says: the array has no other state.
            unsafe { Self::new(kernels, op, 1, 0, Share::Serial) }
        })
    }

    /// [`abi::LogSumExp`].
    pub fn log_sum_exp(
        kernels: Kernels,
        logits: &'a [F32Bits],
        target: u32,
        state: &'a mut abi::LogSumExpState,
    ) -> Result<Self, Error> {
        operation("LogSumExp", || {
            let vocabulary = count(logits.len())?;
            check(target < vocabulary)?;
            *state = abi::LogSumExpState::default();
            let op = abi::Op::LogSumExp(abi::LogSumExp {
                logits: logits.as_ptr().cast(),
                vocabulary,
                target,
                state: ptr::from_mut(state),
            });
            // SAFETY: The state is fresh and the target one of the logits.
            unsafe { Self::new(kernels, op, vocabulary, EXPONENTIAL, Share::Serial) }
        })
    }

    /// [`abi::Pool`]: rows as long as `sum`.
    pub fn pool(kernels: Kernels, x: &'a [F32Bits], sum: &'a mut [F32Bits]) -> Result<Self, Error> {
        operation("Pool", || {
            let columns = count(sum.len())?;
            let rows = rows_of(x.len(), columns)?;
            let op = abi::Op::Pool(abi::Pool {
                x: x.as_ptr().cast(),
                sum: sum.as_mut_ptr().cast(),
                rows,
                columns,
            });
            let cost = SIMPLE * u64::from(rows);
            // SAFETY: `x` is `rows` rows of `columns`, `sum` is one.
            unsafe { Self::new(kernels, op, columns, cost, Share::Parallel) }
        })
    }

    /// [`abi::Normalize`].
    pub fn normalize(kernels: Kernels, x: &'a mut [F32Bits]) -> Result<Self, Error> {
        operation("Normalize", || {
            let columns = count(x.len())?;
            let op = abi::Op::Normalize(abi::Normalize {
                x: x.as_mut_ptr().cast(),
                columns,
            });
            let cost = 2 * SIMPLE * u64::from(columns);
            // SAFETY: `x` has so many columns.
            unsafe { Self::new(kernels, op, 1, cost, Share::Serial) }
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;
    use std::{slice, vec};

    use super::*;

    const ZERO: F32Bits = F32Bits(0);

    /// Counts how often each unit is computed, and that serial units come in their order.
    pub(super) unsafe extern "C" fn count(op: *const abi::Op, begin: u32, end: u32) {
        // SAFETY: As the caller's.
        match unsafe { &*op } {
            abi::Op::SwiGlu(op) => {
                for row in begin..end {
                    let counter = op.out.wrapping_add((row * op.columns) as usize);
                    // SAFETY: In the buffer by the constructor's checks; no other call has this row.
                    unsafe { *counter.cast::<u32>() += 1 };
                }
            }
            abi::Op::TopK(op) => {
                // SAFETY: As above.
                let len = unsafe { &mut (*op.candidates).len };
                assert_eq!(*len, begin, "ascending, without gaps");
                *len = end;
            }
            _ => unreachable!("not used by these tests"),
        }
    }

    /// A table of [`count`].
    pub(super) fn named(name: &str) -> Kernels {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let table = std::boxed::Box::leak(std::boxed::Box::new(abi::Kernels {
            name: padded,
            tile: 8,
            run: count,
        }));
        // SAFETY: It lives for ever, and computes nothing that needs a feature.
        unsafe { Kernels::from_ptr(table) }
    }

    /// Computes it all, on one thread.
    fn run(job: &Job<'_>) {
        let work = Work::new(slice::from_ref(job), 1).unwrap();
        // SAFETY: Host threads may use the FPU at any time.
        let fpu = unsafe { FpuSection::assume() };
        for index in 0..work.slices() {
            // SAFETY: Each slice once, in its order.
            unsafe { work.slice(&fpu, index) };
        }
    }

    #[test]
    fn serial_units_come_in_their_order() {
        let logits = vec![ZERO; 200_000];
        let mut candidates = Candidates([7; 2 + 2 * abi::MAX_CANDIDATES]);
        let job = Job::top_k(named("fake"), &logits, 40, &mut candidates).unwrap();
        let work = Work::new(slice::from_ref(&job), 8).unwrap();
        assert_eq!(work.threads(), 1);
        assert!(work.slices() > 1, "too long for one slice");
        run(&job);
        assert_eq!(candidates.0[0], 200_000);
    }

    #[test]
    fn candidates_are_retained_in_their_order() {
        let candidates = || {
            let mut all = [0; 2 + 2 * abi::MAX_CANDIDATES];
            all[0] = 5;
            for i in 0..5 {
                all[2 + 2 * i] = 10 + i as u32;
                all[3 + 2 * i] = 20 + i as u32;
            }
            Candidates(all)
        };
        let mut some = candidates();
        assert_eq!(some.retain(2, |id| id % 2 == 1), 2);
        assert_eq!(some.0[..6], [2, 0, 11, 21, 13, 23]);
        assert_eq!(candidates().retain(2, |_| true), 2);
        assert_eq!(candidates().retain(9, |_| true), 5);
        let mut none = candidates();
        assert_eq!(none.retain(9, |_| false), 0);
        assert_eq!(none.0[0], 0);
    }

    #[test]
    fn a_slower_table_gets_shorter_slices() {
        let slices = |name| {
            let data = vec![0; 4096 * 34];
            let weights = Matrix::new(&data, abi::TensorType::Q8_0, 4096, 32).unwrap();
            let x = [0u32; abi::ACT_Q16X32_BYTES / 4];
            let mut out = vec![ZERO; 4096];
            let x = zerocopy::IntoBytes::as_bytes(&x[..]);
            let job = Job::mat_mul(named(name), weights, x, None, &mut out, false).unwrap();
            let work = Work::new(slice::from_ref(&job), 2).unwrap();
            assert_eq!(work.threads(), 2);
            work.slices()
        };
        assert!(slices("scalar") > slices("fake"));
    }

    #[test]
    fn a_matrix_is_whole_rows_of_whole_blocks() {
        let data = [0; 68];
        let rows =
            |rows, columns| Matrix::new(&data, abi::TensorType::Q8_0, rows, columns).is_some();
        assert!(rows(2, 32) && rows(1, 64));
        for (r, c) in [
            (0, 32),
            (2, 0),
            (2, 31),
            (1, 32),
            (3, 32),
            (2, 64),
            (u32::MAX, 32),
        ] {
            assert!(!rows(r, c), "{r} {c}");
        }
    }

    #[test]
    fn a_part_of_a_matrix_is_where_it_lies() {
        let data: Vec<u8> = (0..6 * 34).map(|i| i as u8).collect();
        let all = Matrix::new(&data, abi::TensorType::Q8_0, 6, 32).unwrap();
        let part = all.part(2, 3).unwrap();
        assert_eq!((part.rows(), part.columns()), (2, 32));
        assert_eq!(part.data, &data[4 * 34..]);
        for (index, count) in [(3, 3), (0, 0), (u32::MAX, 3), (0, 7)] {
            assert!(all.part(index, count).is_none(), "{index} {count}");
        }
    }

    /// Every argument of every constructor, wrong.
    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let k = named("fake");
        let f = |len: usize| vec![ZERO; len];
        macro_rules! refused {
            ($job:expr) => {
                assert!(
                    matches!($job, Err(Error::Operation(_))),
                    "{}",
                    stringify!($job)
                );
            };
        }

        let data = vec![0; 3 * 34];
        let m = Matrix::new(&data, abi::TensorType::Q8_0, 3, 32).unwrap();
        assert!(Job::embed(k, m, &[0, 2], 1, &mut f(64)).is_ok());
        refused!(Job::embed(k, m, &[0, 3], 1, &mut f(64)));
        refused!(Job::embed(k, m, &[0, 2], 1, &mut f(63)));
        refused!(Job::embed(k, m, &[0, 2], 1, &mut f(96)));
        refused!(Job::embed(k, m, &[], 1, &mut f(0)));

        assert!(Job::rms_norm(k, &f(8), &f(4), ZERO, &mut f(8)).is_ok());
        refused!(Job::rms_norm(k, &f(8), &f(3), ZERO, &mut f(8)));
        refused!(Job::rms_norm(k, &f(8), &f(0), ZERO, &mut f(8)));
        refused!(Job::rms_norm(k, &f(8), &f(4), ZERO, &mut f(4)));
        assert!(Job::add_rms_norm(k, &f(8), &f(4), ZERO, &mut f(8)).is_ok());
        refused!(Job::add_rms_norm(k, &f(4), &f(4), ZERO, &mut f(8)));
        assert!(Job::rms_norm_in_place(k, &mut f(8), &f(4), ZERO).is_ok());
        refused!(Job::rms_norm_in_place(k, &mut f(6), &f(4), ZERO));

        let row = abi::ACT_Q16X32_BYTES;
        let mut bytes = [0u32; 2 * abi::ACT_Q16X32_BYTES / 4 + 1];
        let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut bytes[..]);
        let q16 = abi::Activation::Q16x32;
        assert!(Job::quantize(k, &f(64), 32, q16, &mut bytes[..2 * row]).is_ok());
        refused!(Job::quantize(
            k,
            &f(64),
            32,
            abi::Activation::F32,
            &mut bytes[..2 * row]
        ));
        refused!(Job::quantize(k, &f(64), 31, q16, &mut bytes[..2 * row]));
        refused!(Job::quantize(k, &f(64), 0, q16, &mut bytes[..2 * row]));
        refused!(Job::quantize(k, &f(64), 32, q16, &mut bytes[..2 * row - 1]));
        refused!(Job::quantize(
            k,
            &f(64),
            32,
            q16,
            &mut bytes[1..2 * row + 1]
        ));
        refused!(Job::quantize(
            k,
            &f(64),
            64,
            abi::Activation::Q8x256,
            &mut bytes[..2 * row]
        ));

        assert!(Job::mat_mul(k, m, &bytes[..2 * row], Some(&f(3)), &mut f(6), true).is_ok());
        refused!(Job::mat_mul(k, m, &bytes[..row], None, &mut f(6), true));
        refused!(Job::mat_mul(
            k,
            m,
            &bytes[1..2 * row + 1],
            None,
            &mut f(6),
            true
        ));
        refused!(Job::mat_mul(
            k,
            m,
            &bytes[..2 * row],
            Some(&f(2)),
            &mut f(6),
            true
        ));
        refused!(Job::mat_mul(k, m, &bytes[..2 * row], None, &mut f(5), true));
        let many = vec![0u32; abi::ACT_Q16X32_BYTES / 4 * 65];
        let many = zerocopy::IntoBytes::as_bytes(&many[..]);
        refused!(Job::mat_mul(k, m, many, None, &mut f(3 * 65), false));

        let rotation = Rotation {
            base: ZERO,
            stretch: ZERO,
            original_context: 0,
            magnitude: ZERO,
        };
        assert!(Job::rope_frequencies(k, rotation, Some(&f(2)), &mut f(3)).is_ok());
        refused!(Job::rope_frequencies(k, rotation, Some(&f(2)), &mut f(2)));
        refused!(Job::rope_frequencies(k, rotation, None, &mut f(1)));
        refused!(Job::rope_frequencies(k, rotation, None, &mut f(0)));

        assert!(Job::rope_angles(k, &f(3), &[0, 1, 2], &mut f(12)).is_ok());
        refused!(Job::rope_angles(k, &f(3), &[0, 1, 2], &mut f(11)));
        refused!(Job::rope_angles(k, &f(1), &[0], &mut f(0)));
        refused!(Job::rope_angles(k, &f(0), &[0], &mut f(0)));

        let heads = Heads {
            heads: 2,
            head_dim: 8,
            pairs: 3,
            style: abi::RopeStyle::Halves,
        };
        assert!(Job::rope(k, &mut f(32), &f(12), heads).is_ok());
        refused!(Job::rope(k, &mut f(31), &f(12), heads));
        refused!(Job::rope(k, &mut f(32), &f(13), heads));
        refused!(Job::rope(
            k,
            &mut f(32),
            &f(20),
            Heads { pairs: 5, ..heads }
        ));
        refused!(Job::rope(k, &mut f(32), &f(0), Heads { heads: 0, ..heads }));

        let shape = CacheShape {
            kv_type: abi::KvType::F16,
            blocks: 3,
            layers: 2,
            kv_heads: 2,
            head_dim: 8,
        };
        // Two sequences: blocks 2 and 0, and block 1.
        let table = [2, 0, 1, 3];
        let place = |table, position| Place { table, position };
        fn places<'a>(table: &'a [u32], places: &'a [Place]) -> Result<Places<'a>, Error> {
            Places::new(table, places, 3)
        }
        let right = [place(0, 70), place(0, 71), place(2, 6)];
        let right = places(&table, &right).unwrap();
        assert_eq!(right.chunks(), 1);
        refused!(places(&table, &[place(3, 0)]));
        refused!(places(&table, &[place(4, 0)]));
        refused!(places(&table, &[place(2, 64)]));
        refused!(places(&table, &[place(u32::MAX, u32::MAX)]));
        refused!(places(&table, &[place(0, 70), place(1, 6)]));
        refused!(right.part(1, 3));
        assert_eq!(right.part(1, 2).unwrap().places.len(), 2);

        let words = shape.bytes().unwrap() / 8;
        assert_eq!(words * 8, 3 * 2 * 2 * 2 * 8 * 64 * 2);
        let mut cache = vec![0u64; words + 1];
        let cache = zerocopy::IntoBytes::as_mut_bytes(&mut cache[..]);
        let kv = f(48);
        let k_table = k;
        let mut store = |k: &[F32Bits], v: &[F32Bits], range: core::ops::Range<usize>, at| {
            Job::store_kv(k_table, (k, v), &mut cache[range], at, right).map(|_| ())
        };
        let all = words * 8;
        assert!(store(&kv, &kv, 0..all, (shape, 1)).is_ok());
        refused!(store(&kv, &kv, 0..all, (shape, 2)));
        refused!(store(&kv, &kv, 0..all - 1, (shape, 1)));
        refused!(store(&kv, &kv, 1..all + 1, (shape, 1)));
        refused!(store(&f(32), &f(32), 0..all, (shape, 1)));
        refused!(store(&kv, &f(32), 0..all, (shape, 1)));
        let other = CacheShape { blocks: 2, ..shape };
        let less = other.bytes().unwrap();
        refused!(store(&kv, &kv, 0..less, (other, 1)));

        let look = Look {
            heads: 4,
            window: 0,
            scale_square: 8,
        };
        let attend = |q: usize, shape: CacheShape, layer, look, partial: usize| {
            let cache = vec![0u64; shape.bytes().unwrap_or(0) / 8];
            let cache = zerocopy::IntoBytes::as_bytes(&cache[..]);
            let mut partial = f(partial);
            Job::attention(k, &f(q), cache, (shape, layer), right, look, &mut partial).map(|_| ())
        };
        // Three tokens, four heads of 8.
        assert!(attend(96, shape, 1, look, 120).is_ok());
        refused!(attend(96, shape, 2, look, 120));
        refused!(attend(95, shape, 1, look, 120));
        refused!(attend(96, shape, 1, look, 119));
        refused!(attend(96, shape, 1, Look { heads: 3, ..look }, 120));
        refused!(attend(
            96,
            shape,
            1,
            Look {
                scale_square: 0,
                ..look
            },
            120
        ));
        refused!(attend(96, CacheShape { blocks: 4, ..shape }, 1, look, 120));
        for wrong in [
            CacheShape {
                head_dim: 257,
                ..shape
            },
            CacheShape {
                head_dim: 0,
                ..shape
            },
            CacheShape {
                kv_heads: 0,
                ..shape
            },
            CacheShape { layers: 0, ..shape },
            CacheShape { blocks: 0, ..shape },
            CacheShape {
                blocks: u32::MAX,
                layers: u32::MAX,
                kv_heads: u32::MAX,
                ..shape
            },
            CacheShape {
                kv_type: abi::KvType::Q8_0,
                ..shape
            },
        ] {
            assert_eq!(wrong.bytes(), None);
        }
        let bytes = CacheShape {
            kv_type: abi::KvType::Q8_0,
            head_dim: 32,
            ..shape
        }
        .bytes();
        assert_eq!(bytes, Some(3 * 2 * 2 * 2 * (32 + 2) * 64));

        assert!(Job::merge_attention(k, &f(60), 3, 8, &mut f(16)).is_ok());
        refused!(Job::merge_attention(k, &f(59), 3, 8, &mut f(16)));
        refused!(Job::merge_attention(k, &f(60), 0, 8, &mut f(16)));
        refused!(Job::merge_attention(k, &f(60), 3, 8, &mut f(15)));

        refused!(Job::glu(k, Gate::Silu, &mut f(8), &f(7), 4));
        refused!(Job::glu(k, Gate::Gelu, &mut f(8), &f(8), 3));

        // Two tokens, two of four experts.
        assert!(Job::route(k, &f(8), 4, &mut [0; 4], &mut f(4)).is_ok());
        refused!(Job::route(k, &f(7), 4, &mut [0; 4], &mut f(4)));
        refused!(Job::route(k, &f(8), 0, &mut [0; 4], &mut f(4)));
        refused!(Job::route(k, &f(8), 4, &mut [0; 4], &mut f(3)));
        refused!(Job::route(k, &f(8), 4, &mut [0; 3], &mut f(3)));
        refused!(Job::route(k, &f(8), 4, &mut [0; 10], &mut f(10)));
        refused!(Job::route(k, &f(8), 4, &mut [], &mut f(0)));

        // One token, two rows of three.
        let combine = |x, rows: &[u32], weights, columns, out| {
            Job::combine(k, &f(x), (rows, &f(weights)), columns, &mut f(out)).map(|_| ())
        };
        assert!(combine(6, &[1, 0], 2, 3, 3).is_ok());
        refused!(combine(6, &[1, 2], 2, 3, 3));
        refused!(combine(6, &[1, 0], 1, 3, 3));
        refused!(combine(6, &[1, 0], 2, 4, 4));
        refused!(combine(6, &[1, 0], 2, 3, 9));
        refused!(combine(6, &[], 0, 3, 3));

        assert!(Job::penalize(k, &mut f(5), &[4], 1100).is_ok());
        refused!(Job::penalize(k, &mut f(5), &[5], 1100));
        refused!(Job::penalize(k, &mut f(5), &[], 1100));
        refused!(Job::penalize(k, &mut f(5), &[4], 0));
        refused!(Job::penalize(k, &mut f(5), &[4; 1025], 1100));

        let mut candidates = Candidates([0; 2 + 2 * abi::MAX_CANDIDATES]);
        refused!(Job::top_k(k, &f(5), 0, &mut candidates));
        refused!(Job::top_k(k, &f(5), 1025, &mut candidates));
        refused!(Job::top_k(k, &[], 1, &mut candidates));

        let choice = Choice {
            temperature_milli: 0,
            top_p_milli: 1000,
            min_p_milli: 0,
        };
        let (mut rng, mut token) = (0, 0);
        assert!(Job::pick(k, &mut candidates, choice, &mut rng, &mut token).is_ok());
        candidates.0[0] = 1025;
        refused!(Job::pick(k, &mut candidates, choice, &mut rng, &mut token));

        let mut state = abi::LogSumExpState::default();
        assert!(Job::log_sum_exp(k, &f(5), 4, &mut state).is_ok());
        refused!(Job::log_sum_exp(k, &f(5), 5, &mut state));

        assert!(Job::pool(k, &f(8), &mut f(4)).is_ok());
        refused!(Job::pool(k, &f(8), &mut f(3)));
        refused!(Job::pool(k, &f(0), &mut f(4)));
        refused!(Job::pool(k, &f(4), &mut f(0)));
        assert!(Job::normalize(k, &mut f(4)).is_ok());
        refused!(Job::normalize(k, &mut f(0)));

        let (mut halves, data) = (vec![0; 128], vec![0; 68]);
        let weights = Matrix::new(&data, abi::TensorType::Q8_0, 2, 32).unwrap();
        assert!(Job::convert(k, weights, abi::TensorType::F16, &mut halves).is_ok());
        refused!(Job::convert(
            k,
            weights,
            abi::TensorType::F16,
            &mut halves[1..]
        ));
        refused!(Job::convert(k, weights, abi::TensorType::F32, &mut halves));
        refused!(Job::convert(
            k,
            weights,
            abi::TensorType::Q4_K,
            &mut [0; 144]
        ));
    }
}
