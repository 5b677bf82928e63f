// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine of the kernel in this process, as a [`Model`].

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use llamux_assistant::model::Role;
use llamux_assistant::{Model, Reply, Request};
use llamux_engine::chat::{self, Conversation, Message};
use llamux_engine::generate::{Full, Sampling, Sink, Stop};
use llamux_engine::grammar::{self, Constraint};
use llamux_engine::stops::{Held, Stops};
use llamux_engine::turn::Turn;
use llamux_engine::{generate, Engine, Options};
use llamux_host::kernels::Choice;
use llamux_host::model::{Arena, ModelFile};
use llamux_host::pool::Pool;

/// Longest prompt in bytes.
const PROMPT_BYTES: usize = 1 << 17;
/// Positions of the cache: some conversations, so that what requests begin with is found again.
const POSITIONS: u32 = 16384;
/// Whose cache it is.
const OWNER: u64 = 1;

/// A model that is loaded until the process ends.
pub struct Host {
    file: &'static ModelFile,
    engine: Engine<'static>,
    pool: Pool,
    prompt: Vec<u32>,
}

impl Host {
    /// Loads a GGUF file, to compute with so many threads or one for each processor.
    pub fn load(path: &Path, threads: Option<usize>) -> Result<Self> {
        let all = || thread::available_parallelism().map_or(1, Into::into);
        let pool = Pool::new(threads.unwrap_or_else(all))?;
        let file: &'static ModelFile = Box::leak(Box::new(ModelFile::open(path)?));
        let options = Options {
            prompt_bytes: PROMPT_BYTES,
            kv_positions: POSITIONS,
            ..Options::default()
        };
        let arena: &'static mut Arena = Box::leak(Box::new(Arena::new(file, options)?));
        let engine = arena.load(file, Choice::Best.kernels()?, &pool)?;
        Ok(Self {
            file,
            engine,
            pool,
            prompt: vec![],
        })
    }

    /// The tokens that were asked last, in the model's chat format.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    fn error(&self, error: llamux_engine::Error) -> llamux::Error {
        llamux::Error::Other(io::Error::other(self.file.error(error).to_string()))
    }
}

impl Model for Host {
    fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, llamux::Error> {
        let messages: Vec<_> = request
            .before
            .iter()
            .map(|(role, text)| (*role, text.as_str()))
            .chain([(Role::User, request.question.as_str())])
            .map(|(role, text)| Message {
                role: match role {
                    Role::System => chat::Role::System,
                    Role::User => chat::Role::User,
                    Role::Assistant => chat::Role::Assistant,
                },
                text,
            })
            .collect();
        let constraint = match &request.grammar {
            Some(grammar) => Some(Constraint {
                grammar: grammar::Grammar::new(grammar.table())
                    .map_err(|error| self.error(llamux_engine::Error::Grammar(error)))?,
                forced: true,
            }),
            None => None,
        };
        let stops: String = request
            .stops
            .iter()
            .map(|stop| format!("{stop}\0"))
            .collect();
        let stops = Stops::new(&stops).map_err(|_| llamux::Error::Parameter {
            name: "stop",
            value: format!("{:?}", request.stops),
            allowed: "at most 16 texts of 64 bytes",
        })?;
        let begin = Instant::now();
        let turn = Turn {
            before: &[],
            state: Conversation::default(),
            keep: 0,
            messages: &messages,
            answer: true,
        };
        let asked = generate::Request {
            max_tokens: request.max_tokens,
            sampling: Sampling {
                temperature_milli: 0,
                repeat_penalty_milli: 1000,
                ..Sampling::default()
            },
            full: Full::Stop,
            constraint,
            ..generate::Request::default()
        };
        let begun = self
            .engine
            .submit_turn(&turn, &asked, OWNER, &mut || false)
            .map_err(|error| self.error(error))?;
        let mut listener = Listener {
            begin,
            deadline: request.timeout.map(|timeout| begin + timeout),
            first: None,
            text: String::new(),
            stops,
            held: Held::default(),
            stopped: false,
            each,
        };
        let outcome = self
            .engine
            .finish_within(begun.id, constraint, &self.pool, &mut listener);
        let outcome = outcome.map_err(|error| self.error(error))?;
        self.prompt = self.engine.prompt(&outcome).to_vec();
        if !listener.stopped {
            let mut held = std::mem::take(&mut listener.held);
            held.finish(|text| listener.hear(text));
        }
        Ok(Reply {
            complete: listener.stopped || outcome.stop == Stop::End,
            text: listener.text,
            prompt_tokens: outcome.prompt_tokens,
            tokens: outcome.tokens,
            first: listener.first,
            elapsed: begin.elapsed(),
        })
    }
}

/// Takes an answer, up to a stop.
struct Listener<'l> {
    begin: Instant,
    deadline: Option<Instant>,
    first: Option<Duration>,
    text: String,
    stops: Stops<'l>,
    held: Held,
    stopped: bool,
    each: &'l mut dyn FnMut(&str) -> bool,
}

impl Listener<'_> {
    fn hear(&mut self, text: &str) -> bool {
        self.first = self.first.or_else(|| Some(self.begin.elapsed()));
        self.text.push_str(text);
        (self.each)(text)
    }
}

impl Sink for Listener<'_> {
    fn text(&mut self, text: &str) -> bool {
        let mut held = std::mem::take(&mut self.held);
        let mut go_on = true;
        self.stopped = held.push(self.stops, text, |text| {
            go_on = self.hear(text);
            go_on
        });
        self.held = held;
        go_on && !self.stopped
    }

    fn stop(&mut self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}
