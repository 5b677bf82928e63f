// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The descriptors that cross the FPU boundary.
//!
//! The engine is compiled for the kernel's soft-float target, the math crate (the float island) for
//! its hard-float twin, so neither can import the other: both compile this crate, and meet at one
//! exported symbol, [`MATH_SYMBOL`]. Types and constants only, no functions. Floats cross behind
//! pointers, or as their bits in a field whose name ends in `_bits`.
//!
//! Every operation is split into *units* that may be computed in any order and on any thread; the
//! engine hands out ranges of units, each short enough for one FPU section. Operations whose
//! documentation says *serial* keep a state: their ranges must run one after the other, ascending.

#![cfg_attr(not(CONFIG_RUST), no_std)]

/// Version of Llamux, the same as the workspace's.
pub const VERSION: &str = "0.1.0";

/// Name of the function that the island exports, of type [`Select`].
pub const MATH_SYMBOL: &str = "llamux_math_select";

/// `extern "C" fn llamux_math_select(features: u32) -> *const Kernels`: the fastest table that needs
/// no more than `features` (a set of `FEATURE_*`). Never null; valid for ever. Computes no float.
pub type Select = extern "C" fn(features: u32) -> *const Kernels;

/// The caller found AVX2, FMA and F16C, and the system saves the YMM registers.
pub const FEATURE_AVX2: u32 = 1 << 0;
/// The caller found AVX-512 F, BW, DQ and VL, and the system saves the ZMM and mask registers.
pub const FEATURE_AVX512: u32 = 1 << 1;
/// Besides [`FEATURE_AVX512`], the caller found AVX512_VNNI.
pub const FEATURE_AVX512_VNNI: u32 = 1 << 2;

/// One instruction set's implementation of all operations.
#[repr(C)]
pub struct Kernels {
    /// Name for logs and `status`, ASCII, padded with zeros: `scalar`, `avx2`.
    pub name: [u8; 16],
    /// Computes units `begin..end` of `op`.
    ///
    /// # Safety
    ///
    /// The FPU may be used by the caller; every pointer in `op` is valid for what its field's
    /// documentation says; `begin <= end <=` the operation's number of units; no other call
    /// computes one of these units or, for a serial operation, any unit, at the same time.
    pub run: unsafe extern "C" fn(op: *const Op, begin: u32, end: u32),
    /// Rows that a [`MatMul`] of several tokens computes together: a range of fewer takes as long, so
    /// ranges should be multiples of it.
    pub tile: u32,
}

/// Element type of a weight matrix, with the numbers of `enum ggml_type`.
///
/// See <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
#[expect(non_camel_case_types, reason = "the field's own names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TensorType {
    /// 32-bit float.
    F32 = 0,
    /// 16-bit float.
    F16 = 1,
    /// 32 weights of 4 bits, one scale.
    Q4_0 = 2,
    /// 32 weights of 4 bits, one scale and one minimum.
    Q4_1 = 3,
    /// 32 weights of 5 bits, one scale.
    Q5_0 = 6,
    /// 32 weights of 5 bits, one scale and one minimum.
    Q5_1 = 7,
    /// 32 weights of 8 bits, one scale.
    Q8_0 = 8,
    /// 256 weights of 2 bits in 16 groups, with 4-bit scales and minimums.
    Q2_K = 10,
    /// 256 weights of 3 bits in 16 groups, with 6-bit scales.
    Q3_K = 11,
    /// 256 weights of 4 bits in 8 groups, with 6-bit scales and minimums.
    Q4_K = 12,
    /// 256 weights of 5 bits in 8 groups, with 6-bit scales and minimums.
    Q5_K = 13,
    /// 256 weights of 6 bits in 16 groups, with 8-bit scales.
    Q6_K = 14,
    /// 32 weights that are one of 16 values each, one scale.
    IQ4_NL = 20,
    /// 256 weights that are one of 16 values each in 8 groups, with 6-bit scales.
    IQ4_XS = 23,
    /// The upper half of a 32-bit float.
    BF16 = 30,
}

/// Size of one block of a [`TensorType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The type.
    pub tensor_type: TensorType,
    /// Weights in a block: a row's length is a multiple of it.
    pub weights: u32,
    /// Bytes of a block.
    pub bytes: u32,
    /// How the activations are laid out that multiply rows of this type.
    pub activation: Activation,
}

/// The block sizes of all types, one entry each.
pub const BLOCKS: [Block; 15] = [
    block(TensorType::F32, 1, 4, Activation::F32),
    block(TensorType::F16, 1, 2, Activation::F32),
    block(TensorType::Q4_0, 32, 18, Activation::Q16x32),
    block(TensorType::Q4_1, 32, 20, Activation::Q16x32),
    block(TensorType::Q5_0, 32, 22, Activation::Q16x32),
    block(TensorType::Q5_1, 32, 24, Activation::Q16x32),
    block(TensorType::Q8_0, 32, 34, Activation::Q16x32),
    block(TensorType::Q2_K, 256, 84, Activation::Q8x256),
    block(TensorType::Q3_K, 256, 110, Activation::Q8x256),
    block(TensorType::Q4_K, 256, 144, Activation::Q8x256),
    block(TensorType::Q5_K, 256, 176, Activation::Q8x256),
    block(TensorType::Q6_K, 256, 210, Activation::Q8x256),
    block(TensorType::IQ4_NL, 32, 18, Activation::Q16x32),
    block(TensorType::IQ4_XS, 256, 136, Activation::Q8x256),
    block(TensorType::BF16, 1, 2, Activation::F32),
];

const fn block(tensor_type: TensorType, weights: u32, bytes: u32, activation: Activation) -> Block {
    Block {
        tensor_type,
        weights,
        bytes,
        activation,
    }
}

/// Layout of a row of activations as the input of [`MatMul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Activation {
    /// Plain `f32`.
    F32 = 0,
    /// 16 bits in two planes of signed bytes, with scale and sum of each block of 32
    /// ([`ACT_Q16X32_BYTES`] for each four blocks, begun ones included); the row's length is a multiple
    /// of 32.
    Q16x32 = 1,
    /// Blocks of 256 signed bytes with one scale and the sums of its groups of 16 and of 32
    /// ([`ACT_Q8X256_BYTES`] each); the row's length is a multiple of 256.
    Q8x256 = 2,
}

/// Bytes of four [`Activation::Q16x32`] blocks; whole lines of the cache, so that those of all rows begin
/// at one.
pub const ACT_Q16X32_BYTES: usize = 320;
/// Bytes of one [`Activation::Q8x256`] block.
pub const ACT_Q8X256_BYTES: usize = 352;

/// Most tokens in one [`MatMul`], so that its accumulators fit on a kernel stack.
pub const MAX_BATCH: u32 = 64;

/// Weights that one unit of [`Convert`] covers: a multiple of every type's block.
pub const CONVERT_WEIGHTS: u32 = 256;

/// Positions of the context that one unit of [`Attention`] covers.
pub const ATTENTION_CHUNK: u32 = 256;

/// Most candidates that sampling looks at, and the bound of its `top_k`.
pub const MAX_CANDIDATES: usize = 1024;

/// One operation. Shapes are written `(rows, columns)`, row-major, without gaps unless said.
#[derive(Clone, Copy, Debug)]
#[repr(C, u32)]
pub enum Op {
    /// See [`Embed`].
    Embed(Embed),
    /// See [`RmsNorm`].
    RmsNorm(RmsNorm),
    /// See [`Quantize`].
    Quantize(Quantize),
    /// See [`MatMul`].
    MatMul(MatMul),
    /// See [`RopeFrequencies`].
    RopeFrequencies(RopeFrequencies),
    /// See [`RopeAngles`].
    RopeAngles(RopeAngles),
    /// See [`Rope`].
    Rope(Rope),
    /// See [`StoreKv`].
    StoreKv(StoreKv),
    /// See [`Attention`].
    Attention(Attention),
    /// See [`MergeAttention`].
    MergeAttention(MergeAttention),
    /// See [`SwiGlu`].
    SwiGlu(SwiGlu),
    /// As [`SwiGlu`], with the Gaussian error linear unit of `gate` in place of `gate * sigmoid(gate)`:
    /// `0.5 * gate * (1 + tanh(sqrt(2/π) * (gate + 0.044715 * gate³)))`, <https://arxiv.org/abs/1606.08415>.
    GeGlu(SwiGlu),
    /// See [`Route`].
    Route(Route),
    /// See [`Combine`].
    Combine(Combine),
    /// See [`Penalize`].
    Penalize(Penalize),
    /// See [`TopK`].
    TopK(TopK),
    /// See [`Pick`].
    Pick(Pick),
    /// See [`LogSumExp`].
    LogSumExp(LogSumExp),
    /// See [`Convert`].
    Convert(Convert),
    /// See [`Pool`].
    Pool(Pool),
    /// See [`Normalize`].
    Normalize(Normalize),
}

/// Looks up rows of the embedding table, and multiplies them by the square root of `scale_square`. A unit
/// is a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Embed {
    /// `(vocabulary, columns)` of `tensor_type`.
    pub table: *const u8,
    /// Element type of the table.
    pub tensor_type: TensorType,
    /// Length of a row.
    pub columns: u32,
    /// `(tokens)`, each a row of the table.
    pub ids: *const u32,
    /// `(tokens, columns)`.
    pub out: *mut f32,
    /// 1 for the rows as they are.
    pub scale_square: u32,
}

/// `out = x / sqrt(mean(x²) + epsilon) * weight`, added to `out` where `accumulate` is set. A unit is a row.
///
/// Root Mean Square Layer Normalization, <https://arxiv.org/abs/1910.07467>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RmsNorm {
    /// `(rows, columns)`.
    pub x: *const f32,
    /// `(columns)`.
    pub weight: *const f32,
    /// `(rows, columns)`; may be `x`.
    pub out: *mut f32,
    /// Length of a row.
    pub columns: u32,
    /// Epsilon, as the bits of an `f32`.
    pub epsilon_bits: u32,
    /// 1 to add to what `out` holds, 0 to replace it.
    pub accumulate: u32,
}

/// Lays activations out for [`MatMul`]. A unit is a row.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Quantize {
    /// `(rows, columns)`.
    pub x: *const f32,
    /// `(rows)` of blocks of `activation`, which is not [`Activation::F32`].
    pub out: *mut u8,
    /// Length of a row.
    pub columns: u32,
    /// Layout of the output.
    pub activation: Activation,
}

/// How the sums of several tokens come about: the order of the additions shows in the last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Sums {
    /// Each token gets the same bits whichever the others are, if there are any.
    Together = 0,
    /// Each token gets the very bits that it gets as the only one: slower than [`Together`](Self::Together),
    /// but for a few tokens.
    Alone = 1,
    /// Either, whatever is faster.
    Either = 2,
}

/// `out[t][r] = weights[r] · x[t] + bias[r]`, added to `out[t][r]` where `accumulate` is set.
/// A unit is a row of the weights.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MatMul {
    /// `(rows, columns)` of `tensor_type`.
    pub weights: *const u8,
    /// Element type of the weights.
    pub tensor_type: TensorType,
    /// Length of a row.
    pub columns: u32,
    /// `(tokens, columns)` in the layout that [`BLOCKS`] names for `tensor_type`; 4-byte aligned.
    pub x: *const u8,
    /// `(rows)`, or null.
    pub bias: *const f32,
    /// `(tokens, out_stride)`, of which the first `rows` of each token are written.
    pub out: *mut f32,
    /// Floats from one token's output to the next's, at least the number of rows.
    pub out_stride: u32,
    /// Number of tokens, 1 to [`MAX_BATCH`].
    pub tokens: u32,
    /// 1 to add to what `out` holds, 0 to replace it.
    pub accumulate: u32,
    /// How the sums of several tokens come about.
    pub sums: Sums,
}

/// The angle by which a position turns each pair, `base^(-2i/dimensions) / factors[i]`, slowed down for a
/// longer context; and behind these, what cosine and sine are multiplied by. One unit. Runs once, at
/// load.
///
/// Where `original_context` is 0, all angles are divided by `stretch`. Otherwise those are that turn less
/// than once in the original context, those are not that turn more than 32 times, and between these the
/// share falls linearly; the magnitude is then larger by a tenth of the logarithm of `stretch`.
///
/// RoFormer: Enhanced Transformer with Rotary Position Embedding, <https://arxiv.org/abs/2104.09864>;
/// YaRN: Efficient Context Window Extension of Large Language Models, <https://arxiv.org/abs/2309.00071>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RopeFrequencies {
    /// The base, as the bits of an `f32`.
    pub base_bits: u32,
    /// Number of rotated dimensions, even.
    pub dimensions: u32,
    /// `(dimensions / 2)`, or null for all ones.
    pub factors: *const f32,
    /// `(dimensions / 2 + 1)`: frequencies, magnitude.
    pub out: *mut f32,
    /// By how much the context is longer, as the bits of an `f32` above zero.
    pub stretch_bits: u32,
    /// Length of the context before that, for YaRN; 0 for linear scaling.
    pub original_context: u32,
    /// What the magnitude is multiplied by, as the bits of an `f32`.
    pub magnitude_bits: u32,
}

/// Cosine and sine of `position * frequency`, times the magnitude. A unit is a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RopeAngles {
    /// `(pairs + 1)`, from [`RopeFrequencies`].
    pub frequencies: *const f32,
    /// `(tokens)`.
    pub positions: *const u32,
    /// Number of rotated dimensions, halved.
    pub pairs: u32,
    /// `(tokens, pairs, 2)`: cosine, sine.
    pub out: *mut f32,
}

/// Which two dimensions of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RopeStyle {
    /// `2i` and `2i + 1`: the llama family, whose files are permuted for it.
    Interleaved = 0,
    /// `i` and `i + pairs`: GPT-NeoX, the Qwen and Gemma families.
    Halves = 1,
}

/// Rotates queries or keys in place. A unit is a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Rope {
    /// `(tokens, heads, head_dim)`.
    pub x: *mut f32,
    /// `(tokens, pairs, 2)`, from [`RopeAngles`].
    pub angles: *const f32,
    /// Heads of a token.
    pub heads: u32,
    /// Length of a head, at least `2 * pairs`; the rest is left alone.
    pub head_dim: u32,
    /// Number of rotated dimensions, halved.
    pub pairs: u32,
    /// Which dimensions rotate together.
    pub style: RopeStyle,
}

/// Positions of a block of the cache.
pub const KV_BLOCK: u32 = 64;

/// How the cache keeps its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum KvType {
    /// 16-bit floats.
    F16 = 0,
    /// Signed bytes, with a 16-bit float as the scale of each [`KV_GROUP`] dimensions of a head, whose
    /// length is a multiple of that.
    Q8_0 = 1,
}

/// Dimensions that share a scale in [`KvType::Q8_0`].
pub const KV_GROUP: u32 = 32;

/// Where a token stands: which sequence it belongs to, and after how many of its tokens.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Place {
    /// Where the blocks of its sequence begin in [`KvCache::table`].
    pub table: u32,
    /// How many tokens are before it. The block of position `p` is `table + p / KV_BLOCK`.
    pub position: u32,
}

/// One layer of a cache in blocks of [`KV_BLOCK`] positions, and where the tokens of a batch stand.
///
/// In each block a layer has `(kv_heads)` keys, and behind these `(kv_heads)` values. Of one head the keys
/// are `(head_dim, KV_BLOCK)` and the values `(KV_BLOCK, head_dim)`, so that both products of
/// attention run along the lanes of a vector; in [`KvType::Q8_0`] their scales follow, of the keys
/// `(head_dim / KV_GROUP, KV_BLOCK)`, of the values `(KV_BLOCK, head_dim / KV_GROUP)`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct KvCache {
    /// The layer's part of block 0, aligned to 64 bytes.
    pub layer: *mut u8,
    /// Bytes from a block to the next, a multiple of 64.
    pub block_bytes: u64,
    /// The blocks of all sequences: numbers of blocks.
    pub table: *const u32,
    /// `(tokens)`.
    pub places: *const Place,
    /// How it keeps its numbers.
    pub kv_type: KvType,
    /// Number of key and value heads.
    pub kv_heads: u32,
    /// Length of a head, at most 256.
    pub head_dim: u32,
}

/// Puts keys and values into the cache. A unit is a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StoreKv {
    /// `(tokens, kv_heads, head_dim)`.
    pub k: *const f32,
    /// `(tokens, kv_heads, head_dim)`.
    pub v: *const f32,
    /// Where they go. No two tokens have the same place.
    pub cache: KvCache,
}

/// Causal attention of a batch over one layer's cache, in chunks of [`ATTENTION_CHUNK`] positions.
///
/// A token sees the positions of its own sequence up to its own, or the last `window` of these. A unit is
/// one token, one kv head and one chunk, scores divided by `sqrt(scale_square)`:
/// `unit = (t * kv_heads + h) * chunks + c`; it computes the `heads / kv_heads` query heads of that kv head
/// and writes, for each, the unnormalised sum of the values, the maximum score and the sum of the
/// exponentials (a chunk that the token does not see: zeros and minus infinity).
/// [`MergeAttention`] puts the chunks together.
///
/// Online softmax: <https://arxiv.org/abs/1805.02867>; split over the context as in Flash-Decoding;
/// blocks as in PagedAttention, <https://arxiv.org/abs/2309.06180>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Attention {
    /// `(tokens, heads, head_dim)`.
    pub q: *const f32,
    /// `(tokens, heads, chunks, head_dim + 2)`: values, maximum, sum.
    pub partial: *mut f32,
    /// What it reads; not written.
    pub cache: KvCache,
    /// Number of chunks, enough for every token's position.
    pub chunks: u32,
    /// Number of query heads, a multiple of the kv heads.
    pub heads: u32,
    /// How many positions a token sees, itself among them; 0 for all.
    pub window: u32,
    /// Square of what the scores are divided by, usually the head's length; not 0.
    pub scale_square: u32,
}

/// Puts the chunks of [`Attention`] together. A unit is one token's head: `t * heads + h`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MergeAttention {
    /// `(tokens, heads, chunks, head_dim + 2)`.
    pub partial: *const f32,
    /// `(tokens, heads, head_dim)`.
    pub out: *mut f32,
    /// Number of chunks.
    pub chunks: u32,
    /// Length of a head.
    pub head_dim: u32,
}

/// `out = gate * sigmoid(gate) * up`, element by element. A unit is a row.
///
/// GLU Variants Improve Transformer, <https://arxiv.org/abs/2002.05202>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SwiGlu {
    /// `(rows, columns)`.
    pub gate: *const f32,
    /// `(rows, columns)`.
    pub up: *const f32,
    /// `(rows, columns)`; may be `gate`.
    pub out: *mut f32,
    /// Length of a row.
    pub columns: u32,
}

/// Chooses experts: the `used` largest logits of a token, and the softmax over these. A unit is a token.
///
/// Of equal logits the first is chosen; what is no number is chosen last.
///
/// Mixtral of Experts, <https://arxiv.org/abs/2401.04088>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Route {
    /// `(tokens, experts)`.
    pub logits: *const f32,
    /// `(tokens, used)`: distinct numbers below `experts`, the one with the largest logit first.
    pub chosen: *mut u32,
    /// `(tokens, used)`: their weights, which make 1.
    pub weights: *mut f32,
    /// Number of experts.
    pub experts: u32,
    /// How many are chosen, at least 1 and at most `experts`.
    pub used: u32,
}

/// Adds what a token's experts computed, weighted: `out[t] += Σ weights[t][i] * x[rows[t][i]]`. A unit
/// is a token.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Combine {
    /// Rows of `columns`, as many as `rows` needs.
    pub x: *const f32,
    /// `(tokens, used)`.
    pub rows: *const u32,
    /// `(tokens, used)`.
    pub weights: *const f32,
    /// `(tokens, columns)`.
    pub out: *mut f32,
    /// How many rows a token adds.
    pub used: u32,
    /// Length of a row.
    pub columns: u32,
}

/// Repetition penalty: a positive logit is divided by it, a negative one multiplied, once for each
/// distinct id. A unit is an entry of `ids`. Serial.
///
/// CTRL, <https://arxiv.org/abs/1909.05858>.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Penalize {
    /// `(vocabulary)`.
    pub logits: *mut f32,
    /// Recent tokens, each below the vocabulary's size; at most 1024 of them.
    pub ids: *const u32,
    /// The penalty, times 1000.
    pub penalty_milli: u32,
}

/// A token and its logit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit, as the bits of an `f32`.
    pub logit_bits: u32,
}

/// The candidates that [`TopK`] keeps: a heap whose root is the smallest while it runs, in
/// descending order, lower ids first among equals, once its last unit is done. NaN is never kept.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Candidates {
    /// How many of `entries` are set.
    pub len: u32,
    /// How many to keep, 1 to [`MAX_CANDIDATES`].
    pub limit: u32,
    /// The candidates.
    pub entries: [Candidate; MAX_CANDIDATES],
}

/// Keeps the largest logits. A unit is an entry of the vocabulary. Serial. `candidates.len` is 0
/// before the first range; the range that ends at `vocabulary` sorts.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TopK {
    /// `(vocabulary)`.
    pub logits: *const f32,
    /// Number of logits.
    pub vocabulary: u32,
    /// Where the candidates are kept.
    pub candidates: *mut Candidates,
}

/// Draws one of the candidates. One unit.
///
/// In this order: `top_p` (nucleus sampling, <https://arxiv.org/abs/1904.09751>), `min_p`
/// (<https://arxiv.org/abs/2407.01082>), temperature. Temperature 0 takes the first candidate.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pick {
    /// Sorted, from [`TopK`]; reordered and cut by this operation.
    pub candidates: *mut Candidates,
    /// State of the random number generator, one `u64`; advanced by each draw.
    pub rng: *mut u64,
    /// Where the token goes; `u32::MAX` when there was no candidate.
    pub token: *mut u32,
    /// Temperature, times 1000.
    pub temperature_milli: u32,
    /// Top-p, times 1000; 1000 or more for no bound.
    pub top_p_milli: u32,
    /// Min-p, times 1000; 0 for no bound.
    pub min_p_milli: u32,
}

/// Running state of [`LogSumExp`]; all zeros before the first range.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct LogSumExpState {
    /// Largest logit so far, as the bits of an `f32`.
    pub max_bits: u32,
    /// 1 once `max_bits` is set.
    pub started: u32,
    /// Sum of `exp(logit - max)` so far, as the bits of an `f64`.
    pub sum_bits: u64,
    /// After the last unit: `-ln p(target)`, in nats, as the bits of an `f64`.
    pub nll_bits: u64,
}

/// Negative log-likelihood of one token. A unit is an entry of the vocabulary. Serial.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LogSumExp {
    /// `(vocabulary)`.
    pub logits: *const f32,
    /// Number of logits.
    pub vocabulary: u32,
    /// The token whose likelihood is wanted, below `vocabulary`.
    pub target: u32,
    /// The running state and the result.
    pub state: *mut LogSumExpState,
}

/// Converts weights of any type to any type, as near as the new one can come. A unit is
/// [`CONVERT_WEIGHTS`] weights, or what is left of them.
///
/// The rows of a matrix lie close together, so that they need not be told apart.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Convert {
    /// Blocks of `from`.
    pub weights: *const u8,
    /// Blocks of `to`, as many weights.
    pub out: *mut u8,
    /// Number of weights, whole blocks of both types.
    pub elements: u64,
    /// Element type of `weights`.
    pub from: TensorType,
    /// Element type of `out`.
    pub to: TensorType,
}

/// Adds rows up: `sum[c] += Σ x[row][c]`. A unit is a column.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pool {
    /// `(rows, columns)`.
    pub x: *const f32,
    /// `(columns)`.
    pub sum: *mut f32,
    /// Number of rows.
    pub rows: u32,
    /// Length of a row.
    pub columns: u32,
}

/// Gives a vector the Euclidean length 1, in place; zeros stay as they are. One unit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Normalize {
    /// `(columns)`.
    pub x: *mut f32,
    /// Its length.
    pub columns: u32,
}

#[cfg(test)]
mod tests {
    #[test]
    fn version_is_the_workspaces() {
        assert_eq!(super::VERSION, env!("CARGO_PKG_VERSION"));
    }
}
