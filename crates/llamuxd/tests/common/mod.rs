// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The kernel's engine in this process, as an engine of the server: for tests, where there is no such kernel.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use llamux::{Error, ListedModel, StopReason};
use llamux_engine::chat::{self, Conversation, Message};
use llamux_engine::generate::{Full, Request, Sampling, Sink, Stop};
use llamux_engine::grammar::{self, Constraint};
use llamux_engine::math::F32Bits;
use llamux_engine::stops::{Held, Stops};
use llamux_engine::turn::Turn;
use llamux_engine::{Engine as Computes, Options};
use llamux_host::kernels::Choice;
use llamux_host::model::{Arena, ModelFile};
use llamux_host::pool::Pool;
use llamuxd::engine::{Engine, Later, Likelihood, Outcome, Part, Parts, Question, Role, Vectors};
use tokio::sync::{mpsc as channel, oneshot};

/// Longest prompt in bytes.
const PROMPT_BYTES: usize = 1 << 17;
/// Whose cache it is.
const OWNER: u64 = 1;

enum Job {
    Ask(Box<Question>, channel::Sender<Result<Part, Error>>),
    Embed(Vec<String>, oneshot::Sender<Result<Vectors, Error>>),
}

/// A model that is loaded until the process ends.
pub(crate) struct Host {
    name: String,
    jobs: mpsc::Sender<Job>,
}

impl Host {
    /// Loads a GGUF file, whose name without its end is the model's, to compute with so many threads.
    pub(crate) fn load(path: &Path, threads: usize) -> anyhow::Result<Self> {
        let file: &'static ModelFile = Box::leak(Box::new(ModelFile::open(path)?));
        let pool = Pool::new(threads)?;
        let options = Options {
            prompt_bytes: PROMPT_BYTES,
            kv_positions: 8192,
            ..Options::default()
        };
        let arena: &'static mut Arena = Box::leak(Box::new(Arena::new(file, options)?));
        let mut engine = arena.load(file, Choice::Best.kernels()?, &pool)?;
        let (jobs, queue) = mpsc::channel();
        thread::spawn(move || {
            for job in queue {
                match job {
                    Job::Ask(question, parts) => {
                        let answered = ask(&mut engine, &pool, &question, &parts);
                        let _ = parts.blocking_send(answered.map(Part::End));
                    }
                    Job::Embed(texts, reply) => {
                        let _ = reply.send(embed(&mut engine, &pool, &texts));
                    }
                }
            }
        });
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: name.into_owned(),
            jobs,
        })
    }
}

impl Engine for Host {
    fn models(&self) -> Result<Vec<ListedModel>, Error> {
        Ok(ListedModel::parse(&format!(
            "name={} state=ready default=yes bytes=1\nname=other state=loading default=no\n\
             name=broken state=failed default=no reason=it is not a GGUF file\n",
            self.name
        )))
    }

    fn ask(&self, _user: Option<u32>, question: Question) -> Parts {
        // One answer is computed after the other, and nobody reads the second before the first has begun.
        let (parts, receiver) = channel::channel(1 << 14);
        let _ = self.jobs.send(Job::Ask(Box::new(question), parts));
        receiver
    }

    fn embed(
        &self,
        _user: Option<u32>,
        _model: Option<String>,
        texts: Vec<String>,
    ) -> Later<Result<Vectors, Error>> {
        let (reply, vectors) = oneshot::channel();
        let _ = self.jobs.send(Job::Embed(texts, reply));
        Box::pin(async { vectors.await.unwrap_or(Err(Error::Busy)) })
    }

    fn statistics(&self) -> String {
        "state: ready\nrequests_served: 1\n".to_owned()
    }
}

fn failed(error: llamux_engine::Error) -> Error {
    match error {
        llamux_engine::Error::Context { .. } | llamux_engine::Error::PromptLength { .. } => {
            Error::PromptOverContext { context: None }
        }
        error => Error::Other(std::io::Error::other(format!("{error:?}"))),
    }
}

fn milli(value: Option<f64>, default: u32) -> u32 {
    value.map_or(default, |value| (value * 1000.0).round() as u32)
}

fn ask(
    engine: &mut Computes<'static>,
    pool: &Pool,
    question: &Question,
    parts: &channel::Sender<Result<Part, Error>>,
) -> Result<Outcome, Error> {
    let constraint = match &question.grammar {
        Some(grammar) => Some(Constraint {
            grammar: grammar::Grammar::new(grammar.table())
                .map_err(|error| failed(llamux_engine::Error::Grammar(error)))?,
            forced: true,
        }),
        None => None,
    };
    let stops: String = question
        .stops
        .iter()
        .map(|stop| format!("{stop}\0"))
        .collect();
    let stops = Stops::new(&stops).map_err(|_| Error::Refused)?;
    let defaults = Sampling::default();
    let request = Request {
        prompt: if question.raw {
            &question.turns[0].1
        } else {
            ""
        },
        raw: question.raw,
        max_tokens: question.max_tokens.unwrap_or(128),
        sampling: Sampling {
            temperature_milli: milli(question.temperature, defaults.temperature_milli),
            top_k: question.top_k.unwrap_or(defaults.top_k),
            top_p_milli: milli(question.top_p, defaults.top_p_milli),
            min_p_milli: milli(question.min_p, defaults.min_p_milli),
            repeat_penalty_milli: milli(question.repeat_penalty, defaults.repeat_penalty_milli),
            seed: question.seed,
        },
        full: Full::Stop,
        constraint,
        likelihoods: question.log_probabilities,
        ..Request::default()
    };
    let id = match question.raw {
        true => engine.submit(&request, OWNER).map_err(failed)?,
        false => {
            let messages: Vec<_> = question
                .turns
                .iter()
                .map(|(role, text)| Message {
                    role: match role {
                        Role::System => chat::Role::System,
                        Role::User => chat::Role::User,
                        Role::Assistant => chat::Role::Assistant,
                    },
                    text,
                })
                .collect();
            let turn = Turn {
                before: &[],
                state: Conversation::default(),
                keep: 0,
                messages: &messages,
                answer: true,
            };
            engine
                .submit_turn(&turn, &request, OWNER, &mut || false)
                .map_err(failed)?
                .id
        }
    };
    let mut listener = Listener {
        parts,
        stops,
        held: Held::default(),
        stopped: false,
        len: 0,
        log: None,
        likelihoods: vec![],
    };
    let ended = engine
        .finish_within(id, constraint, pool, &mut listener)
        .map_err(failed)?;
    if !listener.stopped {
        let mut held = std::mem::take(&mut listener.held);
        held.finish(|text| listener.send(text));
    }
    Ok(Outcome {
        prompt_tokens: ended.prompt_tokens,
        cached_tokens: ended.cached_tokens,
        tokens: ended.tokens,
        stop_reason: match ended.stop {
            _ if listener.stopped => StopReason::Stopped,
            Stop::End => StopReason::End,
            Stop::Length | Stop::Context => StopReason::Length,
            Stop::Requested => StopReason::Cancelled,
            Stop::Sink => StopReason::Buffer,
        },
        likelihoods: match question.log_probabilities {
            true => listener.likelihoods,
            false => vec![],
        },
    })
}

fn embed(engine: &mut Computes<'static>, pool: &Pool, texts: &[String]) -> Result<Vectors, Error> {
    let (mut vectors, mut tokens) = (vec![], 0);
    for text in texts {
        let mut vector = vec![F32Bits(0); engine.info().embedding as usize];
        tokens += u64::from(engine.embed(text, pool, &mut vector).map_err(failed)?);
        vectors.push(vector.iter().map(|bits| f32::from_bits(bits.0)).collect());
    }
    Ok((vectors, tokens))
}

/// Passes an answer on, up to a stop, or as long as somebody wants it.
struct Listener<'l> {
    parts: &'l channel::Sender<Result<Part, Error>>,
    stops: Stops<'l>,
    held: Held,
    stopped: bool,
    len: usize,
    log: Option<f64>,
    likelihoods: Vec<Likelihood>,
}

impl Listener<'_> {
    fn send(&mut self, text: &str) -> bool {
        self.parts
            .blocking_send(Ok(Part::Text(text.to_owned())))
            .is_ok()
    }
}

impl Sink for Listener<'_> {
    fn text(&mut self, text: &str) -> bool {
        self.len += text.len();
        let mut held = std::mem::take(&mut self.held);
        let mut go_on = true;
        self.stopped = held.push(self.stops, text, |text| {
            go_on = self.send(text);
            go_on
        });
        self.held = held;
        go_on && !self.stopped
    }

    fn stop(&mut self) -> bool {
        self.parts.is_closed()
    }

    fn token(&mut self, _id: u32) {
        let log = self.log.take();
        self.likelihoods.push(Likelihood {
            log,
            offset: self.len,
        });
    }

    fn likelihood(&mut self, bits: u64) {
        self.log = Some(-f64::from_bits(bits));
    }
}
