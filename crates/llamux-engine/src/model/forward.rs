// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The forward pass over a batch of tokens.

use llamux_abi as abi;
use zerocopy::IntoBytes;

use super::memory::{Memory, Quantized, BATCH};
use super::weights::{FeedForward, Layer, Linear};
use super::{experts, Hyper, Model};
use crate::error::Error;
use crate::math::{activation_bytes, F32Bits, Heads, Job, Kernels, Place, Places};
use crate::{size, Run};

impl Model<'_> {
    /// Computes the tokens of `batch`, all the way for the last `wanted` of them, whose
    /// [`logits`](Self::logits) can then be had. Only the cache of their positions changes, so that
    /// after a failure the same can be done again.
    pub fn forward(
        &mut self,
        run: &mut Run<'_>,
        batch: &Batch<'_>,
        wanted: u32,
    ) -> Result<(), Error> {
        let Self {
            hyper,
            weights,
            memory,
        } = self;
        let ids = batch.ids;
        let tokens = u32::try_from(ids.len())
            .ok()
            .filter(|&tokens| tokens <= abi::MAX_BATCH && wanted <= tokens)
            .filter(|_| ids.len() == batch.places.len())
            .ok_or(Error::Operation("batch"))?;
        let places = Places::new(batch.table, batch.places, memory.shape.blocks)?;
        memory.quantized.sums = batch.sums;

        let stream = first(memory.stream, tokens, hyper.embedding)?;
        let scale_square = if hyper.architecture.scaled_embedding {
            hyper.embedding
        } else {
            1
        };
        let table = weights.embedding()?;
        run.job(Job::embed(run.kernels, table, ids, scale_square, stream))?;
        let positions = memory.positions.get_mut(..ids.len());
        let positions = positions.ok_or(Error::Operation("positions"))?;
        for (slot, place) in positions.iter_mut().zip(batch.places) {
            *slot = place.position;
        }
        let rotations = memory
            .frequencies
            .chunks_exact(size(hyper.rope_pairs) + 1)
            .zip(memory.angles.chunks_exact_mut(angles_of_batch(hyper)));
        for (frequencies, angles) in rotations {
            run.job(Job::rope_angles(
                run.kernels,
                frequencies,
                positions,
                first(angles, tokens, 2 * hyper.rope_pairs)?,
            ))?;
        }

        for index in 0..hyper.layers {
            let layer = weights.layer(index)?;
            store(run, hyper, &layer, index, memory, places)?;
            // What the last layer makes of a token goes into its logits, and nowhere else.
            let rest = if index + 1 < hyper.layers {
                tokens
            } else {
                wanted
            };
            let skip = tokens - rest;
            if rest > 0 {
                attend(
                    run,
                    hyper,
                    &layer,
                    index,
                    memory,
                    places.part(skip, rest)?,
                    skip,
                )?;
                feed_forward(run, hyper, &layer, memory, skip, rest)?;
            }
        }
        Ok(())
    }

    /// The logits of `count` tokens of the last batch, from its token `begin` on, which were among
    /// the `wanted`: `(count, vocabulary)`. At most [`max_logits`](Self::max_logits) at once.
    pub fn logits(
        &mut self,
        run: &mut Run<'_>,
        begin: u32,
        count: u32,
    ) -> Result<&mut [F32Bits], Error> {
        self.output_norm(run, begin, count)?;
        let Self {
            hyper,
            weights,
            memory,
        } = self;
        let narrow = first(memory.narrow, count, hyper.embedding)?;
        let output = weights.output()?;
        memory.quantized.fill(run, narrow, &[output])?;
        let logits = first(memory.wide, count, hyper.vocabulary)?;
        memory
            .quantized
            .multiply(run, output, narrow, logits, false)?;
        Ok(logits)
    }

    /// Adds to `sum`, which is `(embedding)`, what `count` tokens of the last batch are behind the last norm,
    /// from its token `begin` on, which were among the `wanted`.
    pub fn pool(
        &mut self,
        run: &mut Run<'_>,
        begin: u32,
        count: u32,
        sum: &mut [F32Bits],
    ) -> Result<(), Error> {
        self.output_norm(run, begin, count)?;
        let narrow = first(self.memory.narrow, count, self.hyper.embedding)?;
        run.job(Job::pool(run.kernels, narrow, sum))
    }

    /// Puts the last norm of some tokens into `narrow`.
    fn output_norm(&mut self, run: &mut Run<'_>, begin: u32, count: u32) -> Result<(), Error> {
        let Self {
            hyper,
            weights,
            memory,
        } = self;
        run.job(Job::rms_norm(
            run.kernels,
            rows(memory.stream, begin, count, hyper.embedding)?,
            weights.output_norm()?,
            hyper.epsilon,
            first(memory.narrow, count, hyper.embedding)?,
        ))
    }
}

/// Tokens to compute, at most [`abi::MAX_BATCH`], of any number of sequences.
#[derive(Clone, Copy)]
pub struct Batch<'b> {
    /// The tokens.
    pub ids: &'b [u32],
    /// Where each of them stands. The tokens of a sequence come in their order.
    pub places: &'b [Place],
    /// The blocks of the sequences.
    pub table: &'b [u32],
    /// How the sums of several tokens come about.
    pub sums: abi::Sums,
}

/// Queries, keys and values of all tokens; the last two go into the cache.
fn store(
    run: &mut Run<'_>,
    hyper: &Hyper,
    layer: &Layer<'_>,
    index: u32,
    memory: &mut Memory<'_>,
    places: Places<'_>,
) -> Result<(), Error> {
    let tokens = places.count();
    let narrow = first(memory.narrow, tokens, hyper.embedding)?;
    run.job(Job::rms_norm(
        run.kernels,
        first(memory.stream, tokens, hyper.embedding)?,
        layer.attention_norm,
        hyper.epsilon,
        narrow,
    ))?;
    let quantized = &mut memory.quantized;
    quantized.fill(run, narrow, &[layer.query, layer.key, layer.value])?;
    let query = first(memory.query, tokens, hyper.query())?;
    let key = first(memory.key, tokens, hyper.key_value())?;
    let value = first(memory.value, tokens, hyper.key_value())?;
    let kernels = run.kernels;
    run.jobs(&[
        quantized.product(kernels, layer.query, narrow, query, false)?,
        quantized.product(kernels, layer.key, narrow, key, false)?,
        quantized.product(kernels, layer.value, narrow, value, false)?,
    ])?;

    if let Some((query_norm, key_norm)) = layer.head_norms {
        let epsilon = hyper.epsilon;
        for (x, norm) in [(&mut *query, query_norm), (&mut *key, key_norm)] {
            run.job(Job::rms_norm_in_place(run.kernels, x, norm, epsilon))?;
        }
    }
    let other = hyper.window_rotation.is_some() && hyper.windowed(index);
    let angles = memory
        .angles
        .chunks_exact_mut(angles_of_batch(hyper))
        .nth(other.into())
        .ok_or(Error::Operation("angles"))?;
    let angles = &*first(angles, tokens, 2 * hyper.rope_pairs)?;
    let mut heads = Heads {
        heads: hyper.heads,
        head_dim: hyper.head_dim,
        pairs: hyper.rope_pairs,
        style: hyper.architecture.rope_style,
    };
    run.job(Job::rope(run.kernels, query, angles, heads))?;
    heads.heads = hyper.kv_heads;
    run.job(Job::rope(run.kernels, key, angles, heads))?;

    run.job(Job::store_kv(
        run.kernels,
        (key, value),
        memory.cache,
        (memory.shape, index),
        places,
    ))
}

/// Attention of all tokens but the first `skip`, which are those of `places`, added to the stream.
fn attend(
    run: &mut Run<'_>,
    hyper: &Hyper,
    layer: &Layer<'_>,
    index: u32,
    memory: &mut Memory<'_>,
    places: Places<'_>,
    skip: u32,
) -> Result<(), Error> {
    let look = hyper.look(index);
    let chunks = places.chunks();
    let token = size(hyper.heads) * size(chunks) * (size(hyper.head_dim) + 2);
    let fit = memory.partial.len().checked_div(token).unwrap_or(0);
    let fit = u32::try_from(fit).unwrap_or(u32::MAX).max(1);
    let mut begin = 0;
    while begin < places.count() {
        let tokens = fit.min(places.count() - begin);
        let part = places.part(begin, tokens)?;
        let chunks = part.chunks();
        // OVERFLOW: As much as was planned, or less.
        let partial = size(tokens) * size(hyper.heads) * size(chunks) * (size(hyper.head_dim) + 2);
        let partial = memory.partial.get_mut(..partial);
        let partial = partial.ok_or(Error::Operation("partial"))?;
        run.job(Job::attention(
            run.kernels,
            rows(memory.query, skip + begin, tokens, hyper.query())?,
            memory.cache,
            (memory.shape, index),
            part,
            look,
            partial,
        ))?;
        run.job(Job::merge_attention(
            run.kernels,
            partial,
            chunks,
            hyper.head_dim,
            rows_mut(memory.narrow, begin, tokens, hyper.query())?,
        ))?;
        begin += tokens;
    }

    let tokens = places.count();
    let narrow = first(memory.narrow, tokens, hyper.query())?;
    let stream = rows_mut(memory.stream, skip, tokens, hyper.embedding)?;
    let quantized = &mut memory.quantized;
    quantized.fill(run, narrow, &[layer.attention_output])?;
    let Some(norm) = layer.attention_post_norm else {
        return quantized.multiply(run, layer.attention_output, narrow, stream, true);
    };
    let product = first(memory.wide, tokens, hyper.embedding)?;
    quantized.multiply(run, layer.attention_output, narrow, product, false)?;
    run.job(Job::add_rms_norm(
        run.kernels,
        product,
        norm,
        hyper.epsilon,
        stream,
    ))
}

/// The feed-forward part of all tokens but the first `skip`, which are `tokens`, added to the stream.
fn feed_forward(
    run: &mut Run<'_>,
    hyper: &Hyper,
    layer: &Layer<'_>,
    memory: &mut Memory<'_>,
    skip: u32,
    tokens: u32,
) -> Result<(), Error> {
    let stream = rows_mut(memory.stream, skip, tokens, hyper.embedding)?;
    let narrow = first(memory.narrow, tokens, hyper.embedding)?;
    run.job(Job::rms_norm(
        run.kernels,
        stream,
        layer.feed_forward_norm,
        hyper.epsilon,
        narrow,
    ))?;
    let (gate_weights, up_weights, down) = match layer.feed_forward {
        FeedForward::Dense { gate, up, down } => (gate, up, down),
        FeedForward::Experts(experts) => {
            return experts::feed_forward(run, hyper, &experts, memory, skip, tokens)
        }
    };
    let quantized = &mut memory.quantized;
    quantized.fill(run, narrow, &[gate_weights, up_weights])?;
    let half = memory.wide.len() / 2;
    let (gate, up) = memory.wide.split_at_mut(half);
    let gate = first(gate, tokens, hyper.feed_forward)?;
    let up = first(up, tokens, hyper.feed_forward)?;
    let kernels = run.kernels;
    run.jobs(&[
        quantized.product(kernels, gate_weights, narrow, gate, false)?,
        quantized.product(kernels, up_weights, narrow, up, false)?,
    ])?;
    let function = hyper.architecture.gate;
    run.job(Job::glu(
        run.kernels,
        function,
        gate,
        up,
        hyper.feed_forward,
    ))?;
    quantized.fill(run, gate, &[down])?;
    let Some(norm) = layer.feed_forward_post_norm else {
        return quantized.multiply(run, down, gate, stream, true);
    };
    quantized.multiply(run, down, gate, narrow, false)?;
    run.job(Job::add_rms_norm(
        run.kernels,
        narrow,
        norm,
        hyper.epsilon,
        stream,
    ))
}

impl Quantized<'_> {
    /// Lays `x` out in every way that one of `linears` wants.
    pub(super) fn fill(
        &mut self,
        run: &mut Run<'_>,
        x: &[F32Bits],
        linears: &[Linear<'_>],
    ) -> Result<(), Error> {
        for activation in [abi::Activation::Q16x32, abi::Activation::Q8x256] {
            let wanted = linears
                .iter()
                .find(|linear| linear.weights.activation() == activation);
            if let Some(linear) = wanted {
                let columns = linear.weights.columns();
                let bytes = bytes_of(x, columns, activation)?;
                let out = match activation {
                    abi::Activation::Q8x256 => &mut *self.q8x256,
                    _ => &mut *self.q16x32,
                };
                let out = out.get_mut(..bytes).ok_or(Error::Operation("fill"))?;
                run.job(Job::quantize(run.kernels, x, columns, activation, out))?;
            }
        }
        Ok(())
    }

    /// Multiplies what was last filled in; `x` is the same again.
    pub(super) fn multiply(
        &self,
        run: &mut Run<'_>,
        linear: Linear<'_>,
        x: &[F32Bits],
        out: &mut [F32Bits],
        accumulate: bool,
    ) -> Result<(), Error> {
        run.job(self.product(run.kernels, linear, x, out, accumulate))
    }

    /// The same, as a job that is yet to be run.
    pub(super) fn product<'a>(
        &'a self,
        kernels: Kernels,
        linear: Linear<'a>,
        x: &'a [F32Bits],
        out: &'a mut [F32Bits],
        accumulate: bool,
    ) -> Result<Job<'a>, Error> {
        let activation = linear.weights.activation();
        let bytes = bytes_of(x, linear.weights.columns(), activation)?;
        let x = match activation {
            abi::Activation::F32 => x.as_bytes(),
            abi::Activation::Q16x32 => &*self.q16x32,
            abi::Activation::Q8x256 => &*self.q8x256,
        };
        Job::mat_mul_with(
            kernels,
            linear.weights,
            x.get(..bytes).ok_or(Error::Operation("multiply"))?,
            linear.bias,
            out,
            (accumulate, self.sums),
        )
    }
}

/// Bytes of `x` in another layout.
fn bytes_of(x: &[F32Bits], columns: u32, activation: abi::Activation) -> Result<usize, Error> {
    x.len()
        .checked_div(size(columns))
        .and_then(|rows| activation_bytes(activation, columns)?.checked_mul(rows))
        .ok_or(Error::Operation("activations"))
}

/// Elements of one rotation's angles.
fn angles_of_batch(hyper: &Hyper) -> usize {
    BATCH * size(hyper.rope_pairs) * 2
}

/// The first `count` rows.
pub(super) fn first(x: &mut [F32Bits], count: u32, columns: u32) -> Result<&mut [F32Bits], Error> {
    rows_mut(x, 0, count, columns)
}

pub(super) fn rows(
    x: &[F32Bits],
    begin: u32,
    count: u32,
    columns: u32,
) -> Result<&[F32Bits], Error> {
    x.get(range(begin, count, columns))
        .ok_or(Error::Operation("rows"))
}

pub(super) fn rows_mut(
    x: &mut [F32Bits],
    begin: u32,
    count: u32,
    columns: u32,
) -> Result<&mut [F32Bits], Error> {
    x.get_mut(range(begin, count, columns))
        .ok_or(Error::Operation("rows"))
}

fn range(begin: u32, count: u32, columns: u32) -> core::ops::Range<usize> {
    // OVERFLOW: At most a batch, of rows whose length is capped.
    let begin = size(begin) * size(columns);
    begin..begin + size(count) * size(columns)
}
