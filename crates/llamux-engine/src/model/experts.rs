// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A feed-forward part of experts: each token asks those that the router finds best for it.
//!
//! Mixtral of Experts, <https://arxiv.org/abs/2401.04088>.

use super::forward::{first, rows_mut};
use super::hyper::Hyper;
use super::memory::{Memory, BATCH};
use super::weights::{Experts, Linear};
use crate::arena::Arena;
use crate::error::Error;
use crate::math::{F32Bits, Job, Matrix};
use crate::{size, Run};

/// What the tokens of a batch ask and are answered. Without experts, nothing.
pub(super) struct Scratch<'a> {
    /// `(BATCH, experts)`.
    logits: &'a mut [F32Bits],
    /// `(BATCH, used)`: whom a token asks.
    chosen: &'a mut [u32],
    /// `(BATCH, used)`: how much each of them counts.
    weights: &'a mut [F32Bits],
    /// `(BATCH, used)`: the row of `answers` that is theirs.
    rows: &'a mut [u32],
    /// `(BATCH, embedding)`: what one expert is asked.
    questions: &'a mut [F32Bits],
    /// `(BATCH * used, embedding)`.
    answers: &'a mut [F32Bits],
}

impl<'a> Scratch<'a> {
    pub(super) fn lay_out(hyper: &Hyper, arena: &mut Arena<'a>) -> Result<Self, Error> {
        // OVERFLOW: Here and below, the caps of the hyper-parameters keep the products far within
        // 64 bits.
        let batch = if hyper.experts == 0 { 0 } else { BATCH };
        let asked = batch * size(hyper.experts_used);
        let embedding = size(hyper.embedding);
        Ok(Self {
            logits: arena.slice(batch * size(hyper.experts))?,
            chosen: arena.slice(asked)?,
            weights: arena.slice(asked)?,
            rows: arena.slice(asked)?,
            questions: arena.slice(batch * embedding)?,
            answers: arena.slice(asked * embedding)?,
        })
    }
}

/// The feed-forward part of all tokens but the first `skip`, which are `tokens` and whose normed states
/// are in `narrow`, added to the stream.
pub(super) fn feed_forward(
    run: &mut Run<'_>,
    hyper: &Hyper,
    experts: &Experts<'_>,
    memory: &mut Memory<'_>,
    skip: u32,
    tokens: u32,
) -> Result<(), Error> {
    let embedding = size(hyper.embedding);
    let used = size(hyper.experts_used);
    let asked = size(tokens) * used;
    let scratch = &mut memory.experts;
    let narrow = &*first(memory.narrow, tokens, hyper.embedding)?;

    let missing = Error::Operation("experts");
    let logits = first(scratch.logits, tokens, hyper.experts)?;
    memory.quantized.fill(run, narrow, &[experts.router])?;
    memory
        .quantized
        .multiply(run, experts.router, narrow, logits, false)?;
    let chosen = scratch.chosen.get_mut(..asked).ok_or(missing)?;
    let weights = scratch.weights.get_mut(..asked).ok_or(missing)?;
    let rows = scratch.rows.get_mut(..asked).ok_or(missing)?;
    run.job(Job::route(
        run.kernels,
        logits,
        hyper.experts,
        chosen,
        weights,
    ))?;

    let half = memory.wide.len() / 2;
    let (gate, up) = memory.wide.split_at_mut(half);
    let mut answered = 0;
    for expert in 0..hyper.experts {
        let mut count = 0;
        let slots = chosen.iter().zip(rows.iter_mut()).enumerate();
        for (slot, (_, row)) in slots.filter(|(_, (&asked, _))| asked == expert) {
            let token = slot.checked_div(used).unwrap_or(0);
            let question = narrow.chunks_exact(embedding).nth(token);
            // A token asks an expert once, so that there is room for all.
            rows_mut(scratch.questions, count, 1, hyper.embedding)?
                .copy_from_slice(question.ok_or(missing)?);
            *row = answered + count;
            count += 1;
        }
        if count == 0 {
            continue;
        }
        let of = (expert, hyper.experts);
        let gate_weights = part(experts.gate, of)?;
        let up_weights = part(experts.up, of)?;
        let down = part(experts.down, of)?;

        let quantized = &mut memory.quantized;
        let questions = first(scratch.questions, count, hyper.embedding)?;
        quantized.fill(run, questions, &[gate_weights, up_weights])?;
        let gate = first(gate, count, hyper.feed_forward)?;
        let up = first(up, count, hyper.feed_forward)?;
        let kernels = run.kernels;
        run.jobs(&[
            quantized.product(kernels, gate_weights, questions, gate, false)?,
            quantized.product(kernels, up_weights, questions, up, false)?,
        ])?;
        run.job(Job::glu(
            run.kernels,
            hyper.architecture.gate,
            gate,
            up,
            hyper.feed_forward,
        ))?;
        let answers = rows_mut(scratch.answers, answered, count, hyper.embedding)?;
        quantized.fill(run, gate, &[down])?;
        quantized.multiply(run, down, gate, answers, false)?;
        answered += count;
    }
    run.job(Job::combine(
        run.kernels,
        first(scratch.answers, answered, hyper.embedding)?,
        (rows, weights),
        hyper.embedding,
        rows_mut(memory.stream, skip, tokens, hyper.embedding)?,
    ))
}

/// The matrix of one of so many experts.
fn part<'a>(all: Matrix<'a>, (expert, experts): (u32, u32)) -> Result<Linear<'a>, Error> {
    let weights = all.part(expert, experts);
    Ok(Linear {
        weights: weights.ok_or(Error::Operation("expert"))?,
        bias: None,
    })
}
