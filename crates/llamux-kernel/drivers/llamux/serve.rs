// SPDX-License-Identifier: GPL-2.0-only

//! Answers requests, several at once.
//!
//! Who is next (see `users.rs`) is taken in as soon as the engine has room for the longest answer that was asked
//! for. All that were taken in get their next tokens in the same steps, until they come to their end.
//!
//! Between any two operations the thread looks for callers that have left, by a signal, by being killed, or
//! because their time is up. They are let go at once, and no token is computed for them from the next
//! step on. Only a session waits for the end of the step, since it keeps the tokens.
//!
//! Models that are asked take turns, a step each. The steps are short then, since the callers of one model
//! wait for those of the others.

use core::cell::{Cell, RefCell};

use kernel::prelude::*;
use kernel::sync::atomic::ordering::Relaxed;
use kernel::sync::Arc;
use kernel::time::{Delta, Instant, Monotonic};
use llamux_abi::MAX_BATCH;
use llamux_engine::chat::{Message, Role};
use llamux_engine::fair::Seats;
use llamux_engine::generate::{self, Full, Outcome, Sink, Stop};
use llamux_engine::grammar::Constraint;
use llamux_engine::math::F32Bits;
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::stops::Held;
use llamux_engine::turn::{self, millionths, Begun};
use llamux_engine::{Engine, Error as EngineError};

use crate::model::Model;
use crate::models::{ModelId, Progress};
use crate::pool::Pool;
use crate::request::{Finish, Request, Talk, Turn};
use crate::service::Service;
use crate::session::HELD_MAX;
use crate::settings::Spoken;
use crate::status::Shown;
use crate::sys::{self, trace};
use crate::users::Got;
use crate::voice;

/// Most tokens of a prompt that are computed at once while several models are asked.
const SHARED_BATCH: u32 = 32;

/// A model, and those who are being answered with it.
pub(crate) struct Served {
    id: ModelId,
    model: Model,
    progress: Arc<Progress>,
    /// Whether it is to go, and those are sent away that it has not begun with.
    going: bool,
    room: Room,
}

impl Served {
    /// So many are answered at once.
    pub(crate) fn new(
        id: ModelId,
        model: Model,
        progress: Arc<Progress>,
        seats: u32,
    ) -> Result<Self> {
        Ok(Self {
            id,
            model,
            progress,
            going: false,
            room: Room::new(seats)?,
        })
    }
}

/// Places for those who are being answered.
struct Room {
    /// One for each of the engine's sequences.
    seats: KVec<Option<Seat>>,
    /// Who was next and found no room, until somebody comes to the end.
    full: Option<Arc<Request>>,
    /// When somebody may be taken in again, beside those who are being answered.
    resumes_ns: u64,
    /// How many are counted as being answered.
    counted: Cell<u32>,
    /// What their conversations begin with.
    spoken: Spoken,
}

impl Room {
    /// Places for so many. What is done in the room allocates nothing.
    fn new(seats: u32) -> Result<Self> {
        let mut places = KVec::new();
        for _ in 0..seats {
            places.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            seats: places,
            full: None,
            resumes_ns: 0,
            counted: Cell::new(0),
            spoken: Spoken::default(),
        })
    }

    fn is_empty(&self) -> bool {
        self.seats.iter().all(Option::is_none)
    }

    fn seat(&self, id: SlotId) -> Option<&Seat> {
        self.seats.get(id.index())?.as_ref()
    }

    /// Lets other threads run, and callers go that do not wait any more.
    fn pause(&self) {
        sys::resched();
        for seat in self.seats.iter().flatten() {
            seat.is_over();
            seat.show();
        }
    }
}

/// A request that has left the queue.
struct Seat {
    request: Arc<Request>,
    /// When it was taken in.
    begun: Cell<Instant<Monotonic>>,
    /// Nanoseconds between its coming and being taken in.
    queue_ns: Cell<u64>,
    /// How long its prompt took, once it was computed.
    prefill: Cell<Option<Delta>>,
    prompt_tokens: Cell<u32>,
    /// Tokens of the answer so far, and those of them that are on its user's account.
    tokens: Cell<u32>,
    charged: Cell<u32>,
    /// Whether its prompt is on that account.
    read: Cell<bool>,
    /// Whether nobody waits for more.
    over: Cell<bool>,
    /// Whether its caller was let go.
    told: Cell<bool>,
    /// Whether the engine has done with it.
    done: Cell<bool>,
    /// What a session is told when its tokens are there.
    end: Cell<Option<Result<Finish>>>,
    /// Its turn, once it was taken in.
    begun_turn: Cell<Option<Begun>>,
    /// What may be the beginning of a text that ends the answer, and whether one came.
    held: RefCell<Held>,
    stopped: Cell<bool>,
    /// Whether there is text that its reader was not told of. Text comes by characters, and is
    /// shown by tokens.
    fresh: Cell<bool>,
    /// The answer's last token, and how likely the next one is.
    last: Cell<Option<u32>>,
    likelihood: Cell<Option<u64>>,
}

impl Seat {
    fn new(request: Arc<Request>) -> Self {
        Self {
            request,
            begun: Cell::new(Instant::now()),
            queue_ns: Cell::new(0),
            prefill: Cell::new(None),
            prompt_tokens: Cell::new(0),
            tokens: Cell::new(0),
            charged: Cell::new(0),
            read: Cell::new(false),
            over: Cell::new(false),
            told: Cell::new(false),
            done: Cell::new(false),
            end: Cell::new(None),
            begun_turn: Cell::new(None),
            held: RefCell::new(Held::default()),
            stopped: Cell::new(false),
            fresh: Cell::new(false),
            last: Cell::new(None),
            likelihood: Cell::new(None),
        }
    }

    fn turn(&self) -> Option<&Turn> {
        self.request.question.turn.as_ref()
    }

    /// Whether the driver asks itself.
    fn is_own(&self) -> bool {
        self.request.question.owner == voice::OWN
    }

    /// Lets the caller go.
    fn finish(&self, result: Result<Finish>) {
        self.over.set(true);
        if !self.told.replace(true) {
            self.request.finish(result);
        }
    }

    /// Whether the caller is gone. One that does not wait any more is let go with what there is.
    fn is_over(&self) -> bool {
        if !self.over.get() && self.request.is_over() {
            match self.turn() {
                // The engine ends it at once, and then its tokens are there.
                Some(_) => self.over.set(true),
                None => self.finish(Ok(Finish {
                    prompt_tokens: self.prompt_tokens.get(),
                    tokens: self.tokens.get(),
                    ..Finish::NOTHING
                })),
            }
        }
        self.over.get()
    }

    /// Hands a part of the answer on. `false` to end it.
    fn append(&self, text: &str) -> bool {
        if self.turn().is_none() {
            return self.request.append(text);
        }
        let mut fits = true;
        let out = |part: &str| {
            fits = fits && self.request.append(part);
            fits
        };
        self.fresh.set(true);
        let mut held = self.held.borrow_mut();
        if held.push(self.request.stops(), text, out) {
            self.stopped.set(true);
        }
        fits && !self.stopped.get()
    }

    /// Tells the reader of new text.
    fn show(&self) {
        if self.fresh.take() {
            self.request.wake_reader();
        }
    }

    /// Ends the request of a session, whose conversation is now `tokens` long, without the last one
    /// of the answer if there was no need to compute it.
    fn settle(&self, result: Result<Finish>, tokens: &[u32]) {
        if let (Ok(finish), Some(begun)) = (&result, self.begun_turn.get()) {
            if !self.stopped.get() {
                let mut held = self.held.borrow_mut();
                held.finish(|text| self.request.append(text));
            }
            let mut progress = self.request.progress.lock();
            let talk = &mut progress.talk;
            talk.tokens.clear();
            let last = match finish.stop {
                Stop::Length | Stop::Sink if !finish.stopped => self.last.get(),
                _ => None,
            };
            for &token in Iterator::chain(tokens.iter(), &last) {
                // Within the capacity, which is a context.
                let _ = talk.tokens.push_within_capacity(token);
            }
            (talk.state, talk.keep) = (begun.state, begun.keep);
        }
        self.finish(result);
    }
}

impl Service {
    /// Answers for ever, with `served` and what is loaded later.
    pub(super) fn serve(&self, pool: &Pool, mut served: KVec<Served>) -> ! {
        let (mut several, mut answering) = (false, false);
        loop {
            let rings = self.rings();
            while let Some(arrived) = self.next_arrived() {
                if let Err(error) = served.push(arrived, GFP_KERNEL) {
                    // There was room for all that the directory takes.
                    pr_err!("a model is lost: {error:?}\n");
                }
            }
            let (mut busy, mut more) = (0, false);
            for one in served.iter_mut() {
                let Served {
                    id,
                    model,
                    progress,
                    going,
                    room,
                } = one;
                *going = progress.is_over();
                more |= model.with(|engine| {
                    engine.set_batch(if several { SHARED_BATCH } else { MAX_BATCH });
                    let more = match *going {
                        true => self.turn_away(room, *id, |_| true, Err(ENODEV)),
                        false => self.take_in(engine, pool, (room, *id, answering)),
                    };
                    busy += u32::from(self.step(engine, pool, room));
                    more
                });
            }
            (several, answering) = (busy > 1, busy > 0);
            let gone = |one: &Served| one.going && one.room.is_empty();
            while let Some(index) = served.iter().position(gone) {
                let Ok(one) = served.remove(index) else { break };
                let (id, bytes) = (one.id, one.model.bytes());
                // Before anybody is told, so that who waits for it finds the memory.
                drop(one);
                self.gone(id, bytes);
            }
            if busy == 0 && !more {
                self.wait_for_ring(rings);
            }
        }
    }

    /// Looks who may be answered now. `answering` is whether anybody is being answered, by whatever model. Whether to
    /// look again before anything else happens.
    fn take_in(
        &self,
        engine: &mut Engine<'_>,
        pool: &Pool,
        (room, id, answering): (&mut Room, ModelId, bool),
    ) -> bool {
        room.spoken.prewarm(&self.system, engine, pool);
        // A session's: it waits for nothing, so that nobody else takes it out.
        self.turn_away(room, id, Request::is_over, Ok(Finish::NOTHING));
        if answering && sys::now() < room.resumes_ns {
            return true;
        }
        self.admit(engine, room, id)
    }

    /// One step of a model. Whether anybody is being answered.
    fn step(&self, engine: &mut Engine<'_>, pool: &Pool, room: &mut Room) -> bool {
        if engine.active() == 0 {
            return false;
        }
        let mut crowd = Crowd {
            service: self,
            room,
            clock: sys::now(),
            batch: (0, 0),
            voice: Voice {
                service: self,
                room,
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
        for place in room.seats.iter_mut() {
            if let Some(seat) = place {
                seat.show();
            }
            let Some(seat) = place.as_ref().filter(|seat| seat.done.get()) else {
                continue;
            };
            self.charge(seat, 0, 0);
            self.queue.lock().leave(&seat.request);
            if let Some(result) = seat.end.take() {
                let id = seat.begun_turn.get().map(|begun| begun.id);
                seat.settle(result, id.map_or(&[], |id| engine.sequence_of(id)));
            }
            *place = None;
            room.full = None;
        }
        self.set_active(room);
        true
    }

    /// Takes in who is next, if there is room. No more than one is, or is refused, so that a row of long prompts
    /// to be split does not hold up the answers; nor is the time of that more than theirs. Whether somebody was
    /// refused, and there may be others.
    fn admit(&self, engine: &mut Engine<'_>, room: &mut Room, id: ModelId) -> bool {
        loop {
            // CAST: At most the engine's number of sequences.
            let (all, active) = (room.seats.len() as u32, engine.active() as u32);
            let free = all.saturating_sub(active);
            if free == 0 {
                return false;
            }
            let seats = Seats { all, free };
            let next = self.queue.lock().next(id, seats, room.full.as_ref());
            let Some(seat) = next.map(Seat::new) else {
                return false;
            };
            let (own, request) = (seat.is_own(), seat.request.clone());
            let positions = self.queue.lock().allowance(&request);
            // As it was when the request came, or later.
            room.spoken.follow(&self.system, engine);
            let begun_ns = sys::now();
            let submitted = match seat.is_over() {
                true => Err(EngineError::Interrupted),
                false => submit(engine, room, &seat, positions),
            };
            let now = sys::now();
            let time_ns = now.saturating_sub(begun_ns);
            room.resumes_ns = now.saturating_add(time_ns);
            let spent = Got {
                time_ns,
                ..Got::default()
            };
            self.queue.lock().charge(&request, &spent);
            let taken_in = submitted.is_ok();
            match submitted {
                Ok(id) => {
                    seat.begun.set(Instant::now());
                    seat.queue_ns.set(request.age_ns());
                    if !own {
                        self.timings.begun(seat.queue_ns.get());
                    }
                    self.queue.lock().seat(&request, engine.positions(id));
                    if let Some(place) = room.seats.get_mut(id.index()) {
                        *place = Some(seat);
                    }
                }
                Err(error) => {
                    let mut queue = self.queue.lock();
                    let waits = match error {
                        EngineError::Busy { .. } => active > 0,
                        EngineError::Allowance { need, .. } => queue.needs(&request, need),
                        _ => false,
                    };
                    if waits && queue.put_back(&request) {
                        drop(queue);
                        if let EngineError::Busy { .. } = error {
                            room.full = Some(request);
                            return false;
                        }
                        continue;
                    }
                    queue.dismiss(&request);
                    drop(queue);
                    seat.finish(match error {
                        EngineError::Interrupted => Ok(Finish::NOTHING),
                        _ if waits => Ok(Finish::NOTHING),
                        error => {
                            if !own {
                                self.timings.ended(None, 0, 0);
                            }
                            Err(errno(error))
                        }
                    });
                }
            }
            self.set_active(room);
            // Last, so that who is not waiting any more is seen as being answered.
            if !own {
                self.waiting.fetch_sub(1, Relaxed);
            }
            return !taken_in;
        }
    }

    /// Sends those of a model's away that it has not begun with, and that are `unwanted`. There are no more then.
    fn turn_away(
        &self,
        room: &mut Room,
        id: ModelId,
        unwanted: impl Fn(&Request) -> bool,
        result: Result<Finish>,
    ) -> bool {
        room.full = room.full.take().filter(|full| !unwanted(full));
        loop {
            let mut queue = self.queue.lock();
            let Some(request) = queue.any_of(id, &unwanted) else {
                return false;
            };
            queue.dismiss(&request);
            drop(queue);
            let seat = Seat::new(request);
            seat.finish(result);
            if !seat.is_own() {
                self.waiting.fetch_sub(1, Relaxed);
            }
        }
    }

    fn set_active(&self, room: &Room) {
        let others = room.seats.iter().flatten().filter(|seat| !seat.is_own());
        // CAST: At most the engine's number of sequences.
        let now = others.count() as u32;
        let before = room.counted.replace(now);
        self.active.fetch_add(now.wrapping_sub(before), Relaxed);
    }
}

fn submit(
    engine: &mut Engine<'_>,
    room: &Room,
    seat: &Seat,
    positions: Option<u32>,
) -> Result<SlotId, EngineError> {
    let request = &seat.request;
    let question = &request.question;
    let asked = generate::Request {
        prompt: request.prompt(),
        raw: question.raw,
        max_tokens: question.max_tokens,
        sampling: question.sampling,
        constraint: request.constraint(),
        positions,
        embedding: question.embed != 0,
        ..generate::Request::default()
    };
    let pause = &mut || {
        room.pause();
        seat.is_over()
    };
    match &question.turn {
        None => engine.submit_with(&asked, question.owner, pause),
        Some(turn) => {
            // No lock is held while the turn is split into tokens, and nobody else looks at it.
            let talk = core::mem::take(&mut request.progress.lock().talk);
            let begun = submit_turn(engine, (turn, &talk), &asked, question.owner, pause);
            request.progress.lock().talk = talk;
            let begun = begun?;
            seat.begun_turn.set(Some(begun));
            Ok(begun.id)
        }
    }
}

fn submit_turn(
    engine: &mut Engine<'_>,
    (turn, talk): (&Turn, &Talk),
    asked: &generate::Request<'_>,
    owner: u64,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Begun, EngineError> {
    let nothing = Message {
        role: Role::User,
        text: "",
    };
    let mut messages = [nothing; HELD_MAX + 1];
    let mut rest = asked.prompt;
    for (message, said) in messages.iter_mut().zip(&turn.said) {
        let (text, others) = rest.split_at_checked(said.len).unwrap_or((rest, ""));
        rest = others;
        *message = Message {
            role: said.role,
            text,
        };
    }
    let turn_of_engine = turn::Turn {
        before: &talk.tokens,
        state: talk.state,
        keep: talk.keep,
        messages: messages.get(..turn.said.len()).unwrap_or(&[]),
        answer: turn.answer,
    };
    let asked = generate::Request {
        full: match turn.drop_oldest {
            true => Full::DropOldest,
            false => Full::Stop,
        },
        likelihoods: turn.rated,
        ..*asked
    };
    engine.submit_turn(&turn_of_engine, &asked, owner, pause)
}

/// Those who are being answered, for the time of one step.
struct Crowd<'r> {
    service: &'r Service,
    room: &'r Room,
    /// When the last batch came to its end.
    clock: u64,
    /// How long it took, and how many of its tokens were not told of yet.
    batch: (u64, u32),
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

    fn computed(&mut self, id: SlotId, part: u32, all: u32) {
        if self.batch.1 == 0 {
            let now = sys::now();
            let began = core::mem::replace(&mut self.clock, now);
            self.batch = (now.saturating_sub(began), all);
        }
        self.batch.1 = self.batch.1.saturating_sub(part);
        let Some(seat) = self.room.seat(id) else {
            return;
        };
        let all_ns = self.batch.0.saturating_mul(part.into());
        self.service
            .charge(seat, part, all_ns.checked_div(all.into()).unwrap_or(0));
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, EngineError>) {
        let Some(seat) = self.room.seat(id) else {
            return;
        };
        seat.done.set(true);
        if !seat.is_own() {
            self.service.count(&end, seat);
        }
        let result = match end {
            Ok(outcome) => Ok(Finish {
                prompt_tokens: outcome.prompt_tokens,
                cached_tokens: outcome.cached_tokens,
                tokens: outcome.tokens,
                stop: outcome.stop,
                stopped: seat.stopped.get(),
            }),
            Err(error) => Err(errno(error)),
        };
        trace::request(
            seat.request.question.owner,
            (seat.prompt_tokens.get(), seat.tokens.get()),
            result.map(|_| ()),
            seat.queue_ns.get(),
            seat.request.age_ns(),
        );
        match seat.turn() {
            Some(_) => seat.end.set(Some(result)),
            None => seat.finish(result),
        }
    }
}

/// Where the answers of all go, one at a time.
struct Voice<'r> {
    service: &'r Service,
    room: &'r Room,
    /// Whose answer it is now.
    seat: Option<&'r Seat>,
    /// Tokens of all answers in this step.
    tokens: u64,
}

impl Sink for Voice<'_> {
    fn text(&mut self, text: &str) -> bool {
        let seat = self.seat.filter(|seat| !seat.over.get());
        seat.is_some_and(|seat| seat.append(text))
    }

    fn stop(&mut self) -> bool {
        // Between operations, and while all tokens are tried against a grammar, which is no operation.
        self.room.pause();
        self.seat.is_none_or(|seat| seat.over.get())
    }

    fn token(&mut self, id: u32) {
        if let Some(seat) = self.seat {
            seat.tokens.set(seat.tokens.get().saturating_add(1));
            if !seat.is_own() {
                self.tokens += 1;
                if seat.tokens.get() == 1 {
                    self.service.timings.first_token(seat.request.age_ns());
                }
            }
            trace::token(seat.request.question.owner, seat.tokens.get());
            seat.last.set(Some(id));
            if seat.turn().is_some_and(|turn| turn.rated) {
                let likelihood = seat.likelihood.take().map(millionths);
                let held = seat.held.borrow().len();
                seat.request.rate(id, likelihood, held);
            }
        }
    }

    fn likelihood(&mut self, bits: u64) {
        if let Some(seat) = self.seat {
            seat.likelihood.set(Some(bits));
        }
    }

    fn embedding(&mut self, values: &[F32Bits]) {
        if let Some(seat) = self.seat {
            seat.request.embed(values);
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
    /// Puts what is new of an answer on the account of who asked, and so many tokens that were computed in so
    /// many nanoseconds.
    fn charge(&self, seat: &Seat, computed: u32, time_ns: u64) {
        let all = seat.tokens.get();
        let before = seat.charged.replace(all);
        let got = Got {
            requests: 0,
            prompt_tokens: match seat.read.get() {
                true => 0,
                false => computed.into(),
            },
            tokens: all.saturating_sub(before).into(),
            time_ns,
        };
        // The prompt's last tokens were among them.
        seat.read.set(seat.prefill.get().is_some());
        self.queue.lock().charge(&seat.request, &got);
    }

    fn count(&self, end: &Result<Outcome, EngineError>, seat: &Seat) {
        let all = nanoseconds(seat.begun.get().elapsed());
        let prefill = seat.prefill.get().map_or(all, nanoseconds);
        let later = seat.tokens.get().saturating_sub(1).into();
        let stop = end.as_ref().ok().map(|outcome| outcome.stop);
        self.timings.ended(stop, later, all.saturating_sub(prefill));
        let Ok(outcome) = end else { return };
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
        EngineError::Allowance { .. } => EDQUOT,
        _ => {
            if sys::may_log() {
                pr_err!("a request failed: {}\n", Shown(&error));
            }
            EIO
        }
    }
}
