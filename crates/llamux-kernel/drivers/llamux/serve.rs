// SPDX-License-Identifier: GPL-2.0-only

//! Answers one request after the other.

use kernel::prelude::*;
use kernel::time::{Delta, Instant, Monotonic};
use llamux_engine::generate::{self, Outcome, Sink};
use llamux_engine::{Engine, Error as EngineError};

use crate::pool::Pool;
use crate::request::{Finish, Request};
use crate::service::Service;
use crate::status::Shown;
use crate::sys;

impl Service {
    pub(super) fn answer(&self, engine: &mut Engine<'_>, pool: &Pool, request: &Request) {
        let mut sink = RequestSink {
            request,
            begun: Instant::now(),
            prefill: None,
        };
        let question = &request.question;
        let outcome = engine.generate(
            &generate::Request {
                prompt: request.prompt(),
                raw: question.raw,
                max_tokens: question.max_tokens,
                sampling: question.sampling,
                constraint: request.constraint(),
                ..generate::Request::default()
            },
            pool,
            &mut sink,
        );
        if let Ok(outcome) = &outcome {
            self.count(outcome, &sink);
        }
        request.finish(match outcome {
            Ok(outcome) => Ok(Finish {
                prompt_tokens: outcome.prompt_tokens,
                tokens: outcome.tokens,
                stop: outcome.stop,
            }),
            Err(error) => Err(errno(error)),
        });
    }

    fn count(&self, outcome: &Outcome, sink: &RequestSink<'_>) {
        let all = nanoseconds(sink.begun.elapsed());
        let prefill = sink.prefill.map_or(all, nanoseconds);
        let mut stats = self.stats.lock();
        stats.requests += 1;
        stats.prompt_tokens += u64::from(outcome.prompt_tokens);
        stats.prefilled_tokens += u64::from(outcome.prompt_tokens - outcome.cached_tokens);
        stats.response_tokens += u64::from(outcome.tokens);
        stats.decoded_tokens += u64::from(outcome.tokens.saturating_sub(1));
        stats.prefill_ns += prefill;
        stats.decode_ns += all.saturating_sub(prefill);
    }
}

/// Where a request's answer goes.
struct RequestSink<'a> {
    request: &'a Request,
    begun: Instant<Monotonic>,
    prefill: Option<Delta>,
}

impl Sink for RequestSink<'_> {
    fn text(&mut self, text: &str) -> bool {
        self.request.append(text)
    }

    fn stop(&mut self) -> bool {
        // Between operations, and while all tokens are tried against a grammar, which is no job.
        sys::resched();
        self.request.is_over()
    }

    fn prefilled(&mut self, _prompt_tokens: u32) {
        self.prefill = Some(self.begun.elapsed());
    }
}

fn nanoseconds(delta: Delta) -> u64 {
    u64::try_from(delta.as_nanos()).unwrap_or(0)
}

/// The one map from the engine's errors to errno.
fn errno(error: EngineError) -> Error {
    match error {
        EngineError::Context { .. } | EngineError::PromptLength { .. } => EOVERFLOW,
        EngineError::EmptyPrompt => EINVAL,
        EngineError::GrammarStuck => ENODATA,
        _ => {
            pr_err!("a request failed: {}\n", Shown(&error));
            EIO
        }
    }
}
