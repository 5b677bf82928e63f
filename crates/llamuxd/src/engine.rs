// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whoever computes answers on this machine.

use std::future::Future;
use std::pin::Pin;

pub use llamux::Role;
use llamux::{Error, Grammar, ListedModel, StopReason};
use tokio::sync::mpsc;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The name of the model; the default one if there is none.
    pub model: Option<String>,
    /// What was said, of which the last is answered. No text is empty.
    pub turns: Vec<(Role, String)>,
    /// Whether the text is continued as it stands, without the model's chat format.
    pub raw: bool,
    /// What the answer must keep to.
    pub grammar: Option<Grammar>,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// See [`llamux::Command`], as for all that follow; 0 lets the engine draw one.
    pub seed: u64,
    /// `None` for the engine's own, as for all that follow.
    pub max_tokens: Option<u32>,
    /// How freely tokens are drawn.
    pub temperature: Option<f64>,
    /// Among how many.
    pub top_k: Option<u32>,
    /// Up to which probability together.
    pub top_p: Option<f64>,
    /// From which part of the likeliest one's probability.
    pub min_p: Option<f64>,
    /// How much recent ones are made less likely.
    pub repeat_penalty: Option<f64>,
    /// Whether to tell how likely the tokens were.
    pub log_probabilities: bool,
    /// Time that it may take.
    pub timeout: Option<std::time::Duration>,
}

/// A token of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// The natural logarithm of its probability; `None` if the grammar left no choice.
    pub log: Option<f64>,
    /// Where its text begins in the answer, in bytes.
    pub offset: usize,
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Tokens of all that was said.
    pub prompt_tokens: u32,
    /// Those of them that had not to be computed.
    pub cached_tokens: u32,
    /// Tokens of the answer.
    pub tokens: u32,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Of each token, if that was asked for.
    pub likelihoods: Vec<Likelihood>,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Some of its text.
    Text(String),
    /// Its end, which comes once.
    End(Outcome),
}

/// An answer as it comes. Who lets go of it ends it.
pub type Parts = mpsc::Receiver<Result<Part, Error>>;

/// A vector of each text, and how many tokens they had.
pub type Vectors = (Vec<Vec<f32>>, u64);

/// What takes a while.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An engine with models.
pub trait Engine: Send + Sync + 'static {
    /// Its models.
    fn models(&self) -> Result<Vec<ListedModel>, Error>;

    /// Asks, on the account of a user; of this program's own if there is none.
    fn ask(&self, user: Option<u32>, question: Question) -> Parts;

    /// Makes vectors of texts. Who lets go of it ends it between two texts.
    fn embed(
        &self,
        user: Option<u32>,
        model: Option<String>,
        texts: Vec<String>,
    ) -> Later<Result<Vectors, Error>>;

    /// What it says of itself, `key: value` a line.
    fn statistics(&self) -> String;
}
