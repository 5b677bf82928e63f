// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Whoever answers: the kernel, or the same engine in a program.

use std::time::Duration;

pub use llamux::Role;
use llamux::{Command, Error, Grammar, Session, StopReason};

/// Something that is asked of a model. It is always answered by the likeliest words.
///
/// What many requests begin with should come first in `before`, as it is computed once.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was said before, the system prompt first: at most 31 turns.
    pub before: Vec<(Role, String)>,
    /// What the user says now.
    pub question: String,
    /// What the answer must keep to.
    pub grammar: Option<Grammar>,
    /// Texts that end the answer and are no part of it: at most 16 of at most 64 bytes.
    pub stops: Vec<String>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Time that it may take, waiting included.
    pub timeout: Option<Duration>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Whether the model, a stop or the grammar ended it, and not one of the limits.
    pub complete: bool,
    /// Tokens of all that was said before it.
    pub prompt_tokens: u32,
    /// Its own.
    pub tokens: u32,
    /// How long it took until its first part was there.
    pub first: Option<Duration>,
    /// How long all of it took.
    pub elapsed: Duration,
}

/// A model that can be asked.
pub trait Model {
    /// Asks, and hands every part of the answer to `each` as it comes; `false` ends the answer.
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, Error>;
}

impl Request {
    /// A question behind a system prompt.
    pub fn new(system: impl Into<String>, question: impl Into<String>) -> Self {
        Self {
            before: vec![(Role::System, system.into())],
            question: question.into(),
            grammar: None,
            stops: vec![],
            max_tokens: 256,
            timeout: None,
        }
    }

    /// Shows how another question was answered, behind what was said so far.
    #[must_use]
    pub fn example(mut self, question: impl Into<String>, answer: impl Into<String>) -> Self {
        self.before.push((Role::User, question.into()));
        self.before.push((Role::Assistant, answer.into()));
        self
    }
}

/// The model that the kernel runs, by `/dev/llama`.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// The name of one of its models; `None` for the default one.
    pub model: Option<String>,
    /// Whether to fail, and not to wait, while the model is being loaded.
    pub no_wait: bool,
}

impl Model for Kernel {
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, Error> {
        let session = Session::open()?;
        if let Some(name) = &self.model {
            session.choose_model(name, !self.no_wait)?;
        }
        for (role, text) in &request.before {
            session.say(*role, text)?;
        }
        let mut command = Command::new(request.question.as_str())
            .temperature(0.0)
            .repeat_penalty(1.0)
            .max_tokens(request.max_tokens)
            .wait(!self.no_wait);
        for stop in &request.stops {
            command = command.stop(stop.as_str());
        }
        if let Some(grammar) = &request.grammar {
            command = command.grammar(grammar.clone());
        }
        if let Some(timeout) = request.timeout {
            command = command.timeout(timeout);
        }
        let answer = session.ask(&command, each)?;
        let complete = matches!(answer.stop_reason, StopReason::End | StopReason::Stopped);
        Ok(Reply {
            complete,
            text: answer.text,
            prompt_tokens: answer.prompt_tokens,
            tokens: answer.tokens,
            first: answer.first,
            elapsed: answer.elapsed,
        })
    }
}
