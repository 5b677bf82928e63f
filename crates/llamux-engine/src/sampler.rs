// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Chooses the next token.

use llamux_abi as abi;

use crate::error::Error;
use crate::grammar::Guide;
use crate::math::{Candidates, Choice, F32Bits, Job};
use crate::Run;

/// How many of the last tokens the repetition penalty looks at.
pub const PENALTY_WINDOW: usize = 64;

/// So many tokens are left to choose among under a grammar, however unlikely, if they are wanted and
/// allowed.
pub const ENOUGH: u32 = 64;

/// How to choose among the likely tokens. What has `milli` in its name is times 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Temperature; 0 takes the likeliest token always, so that the other bounds do not matter.
    pub temperature_milli: u32,
    /// Choose among so many of the likeliest; 0, or more than [`abi::MAX_CANDIDATES`], for that many.
    ///
    /// Under a grammar these are the likeliest that it allows. Those behind the first [`ENOUGH`] may be
    /// left out if they are not among the [`abi::MAX_CANDIDATES`] likeliest of all.
    pub top_k: u32,
    /// Choose among the likeliest that have this probability together; 1000 or more for no bound.
    pub top_p_milli: u32,
    /// Choose among those that are at least so likely, relative to the likeliest; 0 for no bound.
    pub min_p_milli: u32,
    /// What the logits of the last [`PENALTY_WINDOW`] tokens are divided by; 0 or 1000 for none.
    pub repeat_penalty_milli: u32,
    /// Seed of the random numbers: the same seed gives the same tokens.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self {
        temperature_milli: 0,
        top_k: 1,
        top_p_milli: 1000,
        min_p_milli: 0,
        repeat_penalty_milli: 1000,
        seed: 0,
    };
}

impl Default for Sampling {
    /// What suits a conversation: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalty.
    fn default() -> Self {
        Self {
            temperature_milli: 800,
            top_k: 40,
            top_p_milli: 950,
            min_p_milli: 50,
            repeat_penalty_milli: 1000,
            seed: 0,
        }
    }
}

/// The choices of one answer.
pub(crate) struct Sampler {
    pub(crate) sampling: Sampling,
    /// The state of the random numbers.
    pub(crate) rng: u64,
}

impl Sampler {
    /// Whether recent tokens are made less likely.
    pub(crate) fn penalizes(&self) -> bool {
        !matches!(self.sampling.repeat_penalty_milli, 0 | 1000)
    }

    /// Chooses by `logits`, which are changed, for a text that ends in `recent`, among the tokens that
    /// `guide` allows.
    pub(crate) fn choose(
        &mut self,
        run: &mut Run<'_>,
        logits: &mut [F32Bits],
        recent: &[u32],
        candidates: &mut Candidates,
        guide: Option<&mut Guide<'_, '_>>,
    ) -> Result<u32, Error> {
        let Sampling {
            temperature_milli,
            top_k,
            top_p_milli,
            min_p_milli,
            repeat_penalty_milli: penalty,
            ..
        } = self.sampling;
        let recent = recent
            .get(recent.len().saturating_sub(PENALTY_WINDOW)..)
            .unwrap_or(&[]);
        if self.penalizes() && !recent.is_empty() {
            run.job(Job::penalize(run.kernels, logits, recent, penalty))?;
        }

        let limit = match (temperature_milli, top_k) {
            (0, _) => 1,
            (_, 0) => MOST,
            (_, top_k) => top_k.min(MOST),
        };
        match guide {
            None => run.job(Job::top_k(run.kernels, logits, limit, candidates))?,
            Some(guide) => find_allowed(run, logits, limit, candidates, guide)?,
        }
        let choice = Choice {
            temperature_milli,
            top_p_milli,
            min_p_milli,
        };
        let mut token = u32::MAX;
        // The random numbers advance only with a token that is used.
        let mut rng = self.rng;
        run.job(Job::pick(
            run.kernels,
            candidates,
            choice,
            &mut rng,
            &mut token,
        ))?;
        if token == u32::MAX {
            return Err(Error::NoCandidate);
        }
        self.rng = rng;
        Ok(token)
    }
}

// CAST: A small constant.
const MOST: u32 = abi::MAX_CANDIDATES as u32;

/// Finds the `limit` likeliest tokens that a grammar allows: among more and more of the likeliest of
/// all, or, if too few of these are allowed, by the grammar.
fn find_allowed(
    run: &mut Run<'_>,
    logits: &mut [F32Bits],
    limit: u32,
    candidates: &mut Candidates,
    guide: &mut Guide<'_, '_>,
) -> Result<(), Error> {
    let first = limit.saturating_mul(2).saturating_add(32).min(MOST);
    let mut among = first;
    loop {
        run.job(Job::top_k(run.kernels, logits, among, candidates))?;
        let kept = guide.retain(candidates, crate::size(limit), run.stop)?;
        let enough = if among == MOST {
            limit.min(ENOUGH)
        } else {
            limit
        };
        if kept >= crate::size(enough) {
            return Ok(());
        }
        if among == MOST {
            guide.mask(logits, run.stop)?;
        } else if among > first || !guide.mask_at_a_glance(logits, run.stop)? {
            among = among.saturating_mul(4).min(MOST);
            continue;
        }
        return run.job(Job::top_k(run.kernels, logits, limit, candidates));
    }
}
