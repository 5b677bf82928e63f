// SPDX-License-Identifier: GPL-2.0-only

//! Answers requests, several at once.
//!
//! Who came first is taken in first, as soon as the engine has room for the longest answer that was asked
//! for. All that were taken in get their next tokens in the same steps, until they come to their end.
//!
//! Between any two operations the thread looks for callers that have left, by a signal, by being killed, or
//! because their time is up. They are let go at once, and no token is computed for them from the next
//! step on.

use core::cell::Cell;
use core::convert::Infallible;

use kernel::prelude::*;
use kernel::sync::atomic::ordering::Relaxed;
use kernel::sync::Arc;
use kernel::time::{Delta, Instant, Monotonic};
use llamux_engine::generate::{self, Outcome, Sink, Stop};
use llamux_engine::grammar::Constraint;
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error as EngineError};

use crate::pool::Pool;
use crate::request::{Finish, Request};
use crate::service::Service;
use crate::status::Shown;
use crate::sys;

/// Places for those who are being answered.
pub(crate) struct Room {
    /// One for each of the engine's sequences.
    seats: KVec<Option<Seat>>,
    /// Who is taken in next.
    head: Option<Seat>,
    /// Whether the head has to wait for others to come to their end.
    full: bool,
}

impl Room {
    /// Places for so many. What is done in the room allocates nothing.
    pub(crate) fn new(seats: u32) -> Result<Self> {
        let mut places = KVec::new();
        for _ in 0..seats {
            places.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            seats: places,
            head: None,
            full: false,
        })
    }

    fn seat(&self, id: SlotId) -> Option<&Seat> {
        self.seats.get(id.index())?.as_ref()
    }

    /// Lets other threads run, and callers go that do not wait any more.
    fn pause(&self) {
        sys::resched();
        for seat in self.seats.iter().flatten() {
            seat.is_over();
        }
        if let Some(head) = &self.head {
            head.is_over();
        }
    }
}

/// A request that has left the queue.
struct Seat {
    request: Arc<Request>,
    /// When it was taken in.
    begun: Cell<Instant<Monotonic>>,
    /// How long its prompt took, once it was computed.
    prefill: Cell<Option<Delta>>,
    prompt_tokens: Cell<u32>,
    /// Tokens of the answer so far.
    tokens: Cell<u32>,
    /// Whether its caller was let go.
    over: Cell<bool>,
    /// Whether the engine has done with it.
    done: Cell<bool>,
}

impl Seat {
    fn new(request: Arc<Request>) -> Self {
        Self {
            request,
            begun: Cell::new(Instant::now()),
            prefill: Cell::new(None),
            prompt_tokens: Cell::new(0),
            tokens: Cell::new(0),
            over: Cell::new(false),
            done: Cell::new(false),
        }
    }

    /// Lets the caller go.
    fn finish(&self, result: Result<Finish>) {
        if !self.over.replace(true) {
            self.request.finish(result);
        }
    }

    /// Whether the caller is gone. One that does not wait any more is let go with what there is.
    fn is_over(&self) -> bool {
        if !self.over.get() && self.request.is_over() {
            self.finish(Ok(Finish {
                prompt_tokens: self.prompt_tokens.get(),
                tokens: self.tokens.get(),
                stop: Stop::Requested,
            }));
        }
        self.over.get()
    }
}

impl Service {
    /// Answers for ever.
    pub(super) fn serve(&self, engine: &mut Engine<'_>, pool: &Pool, mut room: Room) -> Infallible {
        loop {
            self.admit(engine, &mut room);
            let mut crowd = Crowd {
                service: self,
                room: &room,
                voice: Voice {
                    room: &room,
                    seat: None,
                    tokens: 0,
                },
            };
            engine.step(pool, &mut crowd);
            let tokens = crowd.voice.tokens;
            if tokens > 0 {
                let mut stats = self.stats.lock();
                stats.steps += 1;
                stats.step_tokens += tokens;
            }
            for seat in room.seats.iter_mut() {
                if seat.as_ref().is_some_and(|seat| seat.done.get()) {
                    *seat = None;
                    room.full = false;
                }
            }
            self.set_active(engine);
        }
    }

    /// Takes in who is next, if there is room; waits for somebody if nobody is being answered. No more
    /// than one, so that a row of long prompts to be split does not hold up the answers.
    fn admit(&self, engine: &mut Engine<'_>, room: &mut Room) {
        loop {
            let busy = engine.active() > 0;
            if room.head.is_none() && engine.active() < room.seats.len() {
                room.head = self.next_request(!busy).map(Seat::new);
                room.full = false;
            }
            let Some(head) = &room.head else { return };
            if !head.is_over() {
                if busy && (room.full || engine.active() == room.seats.len()) {
                    return;
                }
                match submit(engine, room, head) {
                    Err(EngineError::Busy { .. }) if busy => {
                        room.full = true;
                        return;
                    }
                    Err(EngineError::Interrupted) => (),
                    Err(error) => head.finish(Err(errno(error))),
                    Ok(id) => {
                        head.begun.set(Instant::now());
                        let head = room.head.take();
                        if let Some(seat) = room.seats.get_mut(id.index()) {
                            *seat = head;
                        }
                    }
                }
            }
            room.head = None;
            self.set_active(engine);
            // Last, so that who is not waiting any more is seen as being answered.
            self.waiting.fetch_sub(1, Relaxed);
            if engine.active() > 0 {
                return;
            }
        }
    }

    fn set_active(&self, engine: &Engine<'_>) {
        // CAST: At most the engine's number of sequences.
        self.active.store(engine.active() as u32, Relaxed);
    }
}

fn submit(engine: &mut Engine<'_>, room: &Room, seat: &Seat) -> Result<SlotId, EngineError> {
    let request = &seat.request;
    let question = &request.question;
    engine.submit_with(
        &generate::Request {
            prompt: request.prompt(),
            raw: question.raw,
            max_tokens: question.max_tokens,
            sampling: question.sampling,
            constraint: request.constraint(),
            ..generate::Request::default()
        },
        question.owner,
        &mut || {
            room.pause();
            seat.over.get()
        },
    )
}

/// Those who are being answered, for the time of one step.
struct Crowd<'r> {
    service: &'r Service,
    room: &'r Room,
    voice: Voice<'r>,
}

impl Audience for Crowd<'_> {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        let seat = self.room.seat(id).filter(|seat| !seat.over.get())?;
        self.voice.seat = Some(seat);
        Some(&mut self.voice)
    }

    fn constrained(&mut self, id: SlotId) -> Option<(&mut dyn Sink, Option<Constraint<'_>>)> {
        let constraint = self.room.seat(id)?.request.constraint();
        Some((self.sink(id)?, constraint))
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, EngineError>) {
        let Some(seat) = self.room.seat(id) else {
            return;
        };
        seat.done.set(true);
        if let Ok(outcome) = &end {
            self.service.count(outcome, seat);
        }
        seat.finish(match end {
            Ok(outcome) => Ok(Finish {
                prompt_tokens: outcome.prompt_tokens,
                tokens: outcome.tokens,
                stop: outcome.stop,
            }),
            Err(error) => Err(errno(error)),
        });
    }
}

/// Where the answers of all go, one at a time.
struct Voice<'r> {
    room: &'r Room,
    /// Whose answer it is now.
    seat: Option<&'r Seat>,
    /// Tokens of all answers in this step.
    tokens: u64,
}

impl Sink for Voice<'_> {
    fn text(&mut self, text: &str) -> bool {
        let seat = self.seat.filter(|seat| !seat.over.get());
        seat.is_some_and(|seat| seat.request.append(text))
    }

    fn stop(&mut self) -> bool {
        // Between operations, and while all tokens are tried against a grammar, which is no operation.
        self.room.pause();
        self.seat.is_none_or(|seat| seat.over.get())
    }

    fn token(&mut self, _id: u32) {
        self.tokens += 1;
        if let Some(seat) = self.seat {
            seat.tokens.set(seat.tokens.get().saturating_add(1));
        }
    }

    fn prefilled(&mut self, prompt_tokens: u32) {
        if let Some(seat) = self.seat {
            seat.prefill.set(Some(seat.begun.get().elapsed()));
            seat.prompt_tokens.set(prompt_tokens);
        }
    }
}

impl Service {
    fn count(&self, outcome: &Outcome, seat: &Seat) {
        let all = nanoseconds(seat.begun.get().elapsed());
        let mut stats = self.stats.lock();
        stats.requests += 1;
        stats.prompt_tokens += u64::from(outcome.prompt_tokens);
        stats.cached_tokens += u64::from(outcome.cached_tokens);
        stats.response_tokens += u64::from(outcome.tokens);
        // What was begun and not ended says nothing about the speed.
        if let Some(prefill) = seat.prefill.get().map(nanoseconds) {
            let prefilled = outcome.prompt_tokens.saturating_sub(outcome.cached_tokens);
            stats.prefilled_tokens += u64::from(prefilled);
            stats.prefill_ns += prefill;
            stats.decoded_tokens += u64::from(outcome.tokens.saturating_sub(1));
            stats.decode_ns += all.saturating_sub(prefill);
        }
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
