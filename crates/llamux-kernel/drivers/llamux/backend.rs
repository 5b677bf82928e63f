// SPDX-License-Identifier: GPL-2.0-only

//! Models that a program answers for, which has registered them by `/dev/llama-backend` (`channel.rs`).
//!
//! Requests for such a model wait in the queue as all others do. The program takes them out by reading, and what
//! it writes goes into the request, whose caller sleeps there; no thread of the driver computes anything. A
//! thread for each backend only looks whether somebody waits for too long: for the time that a caller gave, or for
//! that which the program may take without a sign. Nobody waits for the program otherwise.
//!
//! Lock order: `Backend::desk` is taken before `Service::queue`, `Service::stats` and `Request::progress`, one of these
//! at a time, and `Session::inner` before it. No user memory is touched and nothing is allocated with it held.

use kernel::prelude::*;
use kernel::static_lock_class;
use kernel::sync::atomic::ordering::Relaxed;
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::poll::PollCondVarBox;
use kernel::sync::{new_condvar, new_mutex, Arc, CondVar, Mutex};
use kernel::time::msecs_to_jiffies;
use kernel::uapi;
use llamux_engine::channel::{Bounds, End, Said as Reply, Usage};
use llamux_engine::chat::Role;
use llamux_engine::fair::Seats;
use llamux_engine::generate::Stop;
use llamux_engine::stops::Held;

use crate::models::{Gone, ModelId, Progress};
use crate::request::{Finish, Question, Request, Said};
use crate::service::Service;
use crate::sys::{self, trace, Thread};
use crate::users::Got;

/// Longest time between two looks of the thread while there is something to look at.
const LOOK_MS: u64 = 250;

/// What the program has said of its model.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    /// `LLAMA_BACKEND_*`.
    pub(crate) flags: u64,
    pub(crate) bounds: Bounds,
    /// How many requests it takes at a time.
    pub(crate) active: u32,
    /// How long it may take without a sign.
    pub(crate) timeout_ms: u32,
}

impl Abilities {
    fn can(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// Whether it can answer that; `EPROTONOSUPPORT` otherwise.
    pub(crate) fn accept(&self, question: &Question) -> Result {
        let turn = question.turn.as_ref();
        let way = match question.raw {
            true => uapi::LLAMA_BACKEND_RAW,
            false => uapi::LLAMA_BACKEND_CHAT,
        };
        let refused = match question.embed {
            0 => !self.can(way),
            columns => columns != self.bounds.embedding,
        };
        if refused
            || (question.grammar.is_some() && !self.can(uapi::LLAMA_BACKEND_GRAMMAR))
            || (turn.is_some_and(|turn| turn.rated) && !self.can(uapi::LLAMA_BACKEND_LOGPROBS))
        {
            return Err(EPROTONOSUPPORT);
        }
        Ok(())
    }
}

/// A request that the program has, or is about to read.
struct Seat {
    id: u64,
    request: Arc<Request>,
    /// Whether it was read.
    sent: bool,
    /// Whether its caller has the answer. The program is still to be told.
    ended: bool,
    /// How long it had waited when it was taken.
    queue_ns: u64,
    /// When something was heard of it last, when the first text came, and until when its user has paid.
    heard_ns: u64,
    spoke_ns: u64,
    charged_ns: u64,
    usage: Usage,
    /// Whether the prompt is on the account.
    read: bool,
    /// Whether the embedding is there.
    has_vector: bool,
    /// What may be the beginning of a text that ends the answer.
    held: Held,
}

/// What is behind the lock.
struct Desk {
    /// The capacity is fixed: so many requests at a time.
    seats: KVec<Seat>,
    /// The number of the last request that was taken.
    last: u64,
    /// When the program read or wrote last.
    sign_ns: u64,
    /// Whether nothing will come any more.
    gone: bool,
}

type DeskGuard<'a> = Guard<'a, Desk, MutexBackend>;

/// A model that a program answers for.
#[pin_data]
pub(crate) struct Backend {
    id: ModelId,
    service: Arc<Service>,
    abilities: Abilities,
    progress: Arc<Progress>,
    /// Where the program waits and polls.
    reader: PollCondVarBox,
    #[pin]
    desk: Mutex<Desk>,
    /// Where the thread waits.
    #[pin]
    watch: CondVar,
}

/// What the program reads next.
pub(crate) enum Message {
    /// Somebody asks.
    Ask(u64, Arc<Request>),
    /// Nobody waits for this one any more.
    Cancel(u64),
}

/// Why a request is not answered.
enum Loss {
    /// The model is to go.
    Going,
    /// Its caller does not wait any more.
    Over,
    /// The program gives no sign.
    Late,
}

impl Backend {
    /// Prepares to answer with the model of this number.
    pub(crate) fn new(
        id: ModelId,
        service: Arc<Service>,
        abilities: Abilities,
        progress: Arc<Progress>,
    ) -> Result<Arc<Self>> {
        let seats = KVec::with_capacity(usize::try_from(abilities.active)?, GFP_KERNEL_ACCOUNT)?;
        let desk = Desk {
            seats,
            last: 0,
            sign_ns: sys::now(),
            gone: false,
        };
        let reader = PollCondVarBox::new(c"llamux_backend", static_lock_class!())?;
        let backend = Arc::pin_init(
            pin_init!(Self {
                id,
                service,
                abilities,
                progress,
                reader,
                desk <- new_mutex!(desk, "llamux_backend"),
                watch <- new_condvar!("llamux_backend"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        sys::start_thread(backend.clone(), c"llamux_backend").map_err(|_| ENOMEM)?;
        Ok(backend)
    }

    /// The number of its model.
    pub(crate) fn id(&self) -> ModelId {
        self.id
    }

    /// What it can do.
    pub(crate) fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// Where the program polls.
    pub(crate) fn reader(&self) -> &PollCondVarBox {
        &self.reader
    }

    /// Tells the program and the thread that there is something new. With no lock held but a session's.
    pub(crate) fn ring(&self) {
        // Who is about to wait has looked before this, or looks after it.
        drop(self.desk.lock());
        self.reader.notify_all();
        self.watch.notify_all();
    }

    /// Requests that the program has or that wait for it.
    pub(crate) fn active(&self) -> usize {
        self.desk.lock().seats.len()
    }

    /// Whether there is something to read, and whether there is nothing any more.
    pub(crate) fn ready(&self) -> (bool, bool) {
        let desk = self.desk.lock();
        let waits = |seat: &Seat| seat.ended || !seat.sent;
        let admits = || {
            let seats = self.seats(&desk);
            seats.is_some_and(|seats| self.service.queue.lock().has_next(self.id, seats))
        };
        (desk.seats.iter().any(waits) || admits(), desk.gone)
    }

    /// Places for requests, if one can be taken in.
    fn seats(&self, desk: &Desk) -> Option<Seats> {
        let all = self.abilities.active;
        // CAST: At most that many.
        let free = all.saturating_sub(desk.seats.len() as u32);
        let closed = free == 0 || desk.gone || self.progress.is_over();
        (!closed).then_some(Seats { all, free })
    }

    /// The next message, if `fits` says that there is room for it; the program has it from now on, or else gives it
    /// [`back`](Self::put_back). `EMSGSIZE` if there is no room, `ENODEV` if there will be none any more.
    pub(crate) fn next(&self, block: bool, fits: impl Fn(&Message) -> bool) -> Result<Message> {
        let mut desk = self.desk.lock();
        loop {
            desk.sign_ns = sys::now();
            if let Some(at) = desk.seats.iter().position(|seat| seat.ended) {
                let id = desk.seats.get(at).map_or(0, |seat| seat.id);
                if !fits(&Message::Cancel(id)) {
                    return Err(EMSGSIZE);
                }
                let told = desk.seats.remove(at);
                drop(desk);
                drop(told);
                // There may be room for the next one.
                self.reader.notify_all();
                return Ok(Message::Cancel(id));
            }
            self.admit(&mut desk);
            if let Some(seat) = desk.seats.iter_mut().find(|seat| !seat.sent) {
                let message = Message::Ask(seat.id, seat.request.clone());
                if !fits(&message) {
                    return Err(EMSGSIZE);
                }
                seat.sent = true;
                return Ok(message);
            }
            if desk.gone {
                return Err(ENODEV);
            }
            if !block {
                return Err(EAGAIN);
            }
            if self.reader.wait_interruptible(&mut desk) {
                return Err(ERESTARTSYS);
            }
        }
    }

    /// A request could not be copied to the program.
    pub(crate) fn put_back(&self, id: u64) {
        let mut desk = self.desk.lock();
        if let Some(seat) = desk.seats.iter_mut().find(|seat| seat.id == id) {
            seat.sent = false;
        }
        forget(&mut desk);
    }

    /// Takes the request out of the queue that is next, if there is room.
    fn admit(&self, desk: &mut Desk) {
        let service = &self.service;
        while let Some(seats) = self.seats(desk) {
            if desk.seats.iter().any(|seat| !seat.sent) {
                return;
            }
            let mut queue = service.queue.lock();
            let Some(request) = queue.next(self.id, seats, None) else {
                return;
            };
            queue.seat(&request, 0);
            drop(queue);
            service.active.fetch_add(1, Relaxed);
            service.waiting.fetch_sub(1, Relaxed);
            let queue_ns = request.age_ns();
            service.timings.begun(queue_ns);
            desk.last += 1;
            let now = sys::now();
            let seat = Seat {
                id: desk.last,
                request,
                sent: false,
                ended: false,
                queue_ns,
                heard_ns: now,
                spoke_ns: now,
                charged_ns: now,
                usage: Usage::default(),
                read: false,
                has_vector: false,
                held: Held::default(),
            };
            // Within the capacity, as there was a free one.
            let _ = desk.seats.push_within_capacity(seat);
            // Whose caller has left since is found here; who leaves later finds the seat.
            self.end_those(desk, |seat| {
                (!seat.sent && seat.request.is_over()).then_some(Ok(Finish::NOTHING))
            });
        }
    }

    /// Ends the requests that `result` has one for.
    fn end_those(&self, desk: &mut Desk, result: impl Fn(&Seat) -> Option<Result<Finish>>) {
        let mut any = false;
        for seat in desk.seats.iter_mut().filter(|seat| !seat.ended) {
            if let Some(result) = result(seat) {
                self.end(seat, result);
                any = true;
            }
        }
        if any {
            forget(desk);
            self.reader.notify_all();
        }
    }

    /// Takes what the program says of a request. `EINVAL` if there was none of this number, or it wants something
    /// else, `ECANCELED` if nobody waits for more.
    pub(crate) fn take(&self, id: u64, reply: &Reply<'_>) -> Result {
        let mut desk = self.desk.lock();
        if desk.gone {
            return Err(ENODEV);
        }
        if id == 0 || id > desk.last {
            return Err(EINVAL);
        }
        let now = sys::now();
        desk.sign_ns = now;
        let mut seats = desk.seats.iter_mut();
        let seat = seats.find(|seat| seat.id == id && seat.sent && !seat.ended);
        let seat = seat.ok_or(ECANCELED)?;
        if seat.request.is_over() {
            let result = Ok(gone(seat));
            self.end(seat, result);
            return Err(ECANCELED);
        }
        let embeds = seat.request.question.embed != 0;
        match *reply {
            Reply::Text { .. } if embeds => return Err(EINVAL),
            Reply::Vector(_) if !embeds || seat.has_vector => return Err(EINVAL),
            Reply::End(end, _) if embeds && (!seat.has_vector || end != End::Own) => {
                return Err(EINVAL);
            }
            _ => (),
        }
        seat.heard_ns = now;
        let end = match *reply {
            Reply::Text {
                text,
                tokens,
                rated,
            } => {
                if seat.usage.tokens == 0 {
                    seat.spoke_ns = now;
                    self.service.timings.first_token(seat.request.age_ns());
                }
                if let Some(rated) = rated {
                    let held = seat.held.len();
                    seat.request.rate(rated.token, Some(rated.millionths), held);
                }
                seat.usage.tokens = seat.usage.tokens.saturating_add(tokens);
                trace::token(seat.request.question.owner, seat.usage.tokens);
                self.charge(seat, tokens);
                seat.append(text).map(|stopped| {
                    Ok(Finish {
                        stop: Stop::Sink,
                        stopped,
                        ..gone(seat)
                    })
                })
            }
            Reply::Vector(bytes) => {
                seat.request.embed_bytes(bytes);
                seat.has_vector = true;
                None
            }
            Reply::Alive(usage) => {
                seat.learn(usage);
                self.charge(seat, 0);
                None
            }
            Reply::End(end, usage) => {
                seat.learn(usage);
                let more = usage.tokens.saturating_sub(seat.usage.tokens);
                seat.usage.tokens += more;
                self.charge(seat, more);
                let (stop, stopped) = match end {
                    End::Own => (Stop::End, false),
                    End::Length => (Stop::Length, false),
                    End::Stop => (Stop::Sink, true),
                };
                Some(Ok(Finish {
                    stop,
                    stopped,
                    ..gone(seat)
                }))
            }
            Reply::Error(error) => {
                let number = i32::try_from(error).map_err(|_| EINVAL)?;
                Some(Err(Error::from_errno(-number)))
            }
        };
        let Some(result) = end else {
            seat.request.wake_reader();
            return Ok(());
        };
        self.end(seat, result);
        // What it has ended itself it is not told of.
        let own = matches!(reply, Reply::End(..) | Reply::Error(_));
        desk.seats.retain(|seat| !(own && seat.id == id));
        drop(desk);
        self.reader.notify_all();
        Ok(())
    }

    /// Lets a caller go that does not wait any more, with what there is.
    pub(crate) fn call_off(&self, request: &Arc<Request>) {
        self.end_those(&mut self.desk.lock(), |seat| {
            Arc::ptr_eq(&seat.request, request).then(|| Ok(gone(seat)))
        });
    }

    /// Puts on an account what was not there yet.
    fn charge(&self, seat: &mut Seat, tokens: u32) {
        let now = sys::now();
        let prompt_tokens = match seat.read {
            true => 0,
            // What the cache had was not computed.
            false => seat
                .usage
                .prompt_tokens
                .saturating_sub(seat.usage.cached_tokens),
        };
        seat.read |= prompt_tokens != 0;
        let before = core::mem::replace(&mut seat.charged_ns, now);
        let got = Got {
            requests: 0,
            prompt_tokens: prompt_tokens.into(),
            tokens: tokens.into(),
            time_ns: now.saturating_sub(before),
        };
        self.service.queue.lock().charge(&seat.request, &got);
    }

    /// Gives a caller the result. The program is told by the next message, unless the seat is taken away.
    fn end(&self, seat: &mut Seat, result: Result<Finish>) {
        let service = &self.service;
        self.charge(seat, 0);
        seat.ended = true;
        service.queue.lock().leave(&seat.request);
        let usage = seat.usage;
        let stop = result.as_ref().ok().map(|finish| finish.stop);
        let took = sys::now().saturating_sub(seat.spoke_ns);
        let later = usage.tokens.saturating_sub(1).into();
        service.timings.ended(stop, later, took);
        if result.is_ok() {
            let mut stats = service.stats.lock();
            stats.requests += 1;
            stats.prompt_tokens += u64::from(usage.prompt_tokens);
            stats.cached_tokens += u64::from(usage.cached_tokens);
            stats.response_tokens += u64::from(usage.tokens);
        }
        trace::request(
            seat.request.question.owner,
            (usage.prompt_tokens, usage.tokens),
            result.map(|_| ()),
            seat.queue_ns,
            seat.request.age_ns(),
        );
        service.active.fetch_sub(1, Relaxed);
        seat.settle(&result);
        seat.request.finish(result);
    }

    /// Ends everything: the file is closed.
    pub(crate) fn close(&self) {
        self.service.backend_gone(self.id, Gone::Closed);
        let mut desk = self.desk.lock();
        desk.gone = true;
        self.end_those(&mut desk, |_| Some(Err(EPIPE)));
        self.turn_away(|_| Some(Loss::Going));
        drop(desk);
        self.service.changed();
        self.ring();
    }

    /// Sends requests away that wait in the queue, and for which there is a reason.
    fn turn_away(&self, loss: impl Fn(&Request) -> Option<Loss>) {
        let service = &self.service;
        loop {
            let mut queue = service.queue.lock();
            let Some(request) = queue.any_of(self.id, |request| loss(request).is_some()) else {
                return;
            };
            queue.dismiss(&request);
            drop(queue);
            service.waiting.fetch_sub(1, Relaxed);
            let result = match loss(&request) {
                Some(Loss::Going) => Err(ENODEV),
                Some(Loss::Late) => Err(ETIMEDOUT),
                // Once over, for ever over.
                Some(Loss::Over) | None => Ok(Finish::NOTHING),
            };
            if result.is_err() {
                service.timings.ended(None, 0, 0);
            }
            request.finish(result);
        }
    }

    /// Lets those go who have waited for too long, or all who wait if the model is `going`. Whether nobody is there.
    fn look(&self, desk: &mut DeskGuard<'_>, going: bool) -> bool {
        let now = sys::now();
        let timeout_ns = u64::from(self.abilities.timeout_ms).saturating_mul(1_000_000);
        self.end_those(desk, |seat| {
            if seat.request.is_over() {
                Some(Ok(gone(seat)))
            } else if now.saturating_sub(seat.heard_ns) >= timeout_ns {
                Some(Err(ETIMEDOUT))
            } else {
                None
            }
        });
        let sign_ns = desk.sign_ns;
        self.turn_away(|request| {
            let since = request.arrived_ns.max(sign_ns);
            if going {
                Some(Loss::Going)
            } else if request.is_over() {
                Some(Loss::Over)
            } else if now.saturating_sub(since) >= timeout_ns {
                Some(Loss::Late)
            } else {
                None
            }
        });
        desk.seats.iter().all(|seat| seat.ended) && !self.service.queue.lock().has(self.id)
    }

    /// When to look again, in milliseconds.
    fn pause_ms(&self, desk: &Desk) -> u32 {
        let most = (u64::from(self.abilities.timeout_ms) / 4).clamp(4, LOOK_MS);
        let open = desk.seats.iter().filter(|seat| !seat.ended);
        let left = open.filter_map(|seat| seat.request.question.deadline.left());
        let next = left.min().map_or(most, |left| u64::from(left).min(most));
        // CAST: At most LOOK_MS.
        next.max(1) as u32
    }
}

impl Thread for Backend {
    fn run(self: Arc<Self>) {
        let mut desk = self.desk.lock();
        while !desk.gone {
            // Asked first: once it is so nobody is queued any more, and the look finds all who are.
            let going = self.progress.is_over();
            let idle = self.look(&mut desk, going);
            if idle && going {
                desk.gone = true;
                drop(desk);
                self.service.backend_gone(self.id, Gone::Unloaded);
                self.service.changed();
                self.ring();
                return;
            }
            // Kernel threads have no signals; it is interruptible so as not to count as load.
            if idle {
                let _ = self.watch.wait_interruptible(&mut desk);
            } else {
                let jiffies = msecs_to_jiffies(self.pause_ms(&desk)).saturating_add(1);
                let _ = self.watch.wait_interruptible_timeout(&mut desk, jiffies);
                // Who may be taken in next can depend on what is answered elsewhere.
                self.reader.notify_all();
            }
        }
    }
}

impl Seat {
    /// Takes numbers that are known now.
    fn learn(&mut self, usage: Usage) {
        if usage.prompt_tokens != 0 {
            (self.usage.prompt_tokens, self.usage.cached_tokens) =
                (usage.prompt_tokens, usage.cached_tokens);
        }
    }

    /// Hands a part of the answer on. If that was the last: whether because of a text that ends it, or else for lack
    /// of room.
    fn append(&mut self, text: &str) -> Option<bool> {
        let request = &self.request;
        if request.question.turn.is_none() {
            return (!request.append(text)).then_some(false);
        }
        let mut fits = true;
        let stopped = self.held.push(request.stops(), text, |part| {
            fits = fits && request.append(part);
            fits
        });
        match (stopped, fits) {
            (true, _) => Some(true),
            (_, false) => Some(false),
            _ => None,
        }
    }

    /// Gives a conversation its turn and the answer.
    fn settle(&mut self, result: &Result<Finish>) {
        let Some(turn) = &self.request.question.turn else {
            return;
        };
        let Ok(finish) = result else { return };
        if !finish.stopped {
            self.held.finish(|text| self.request.append(text));
        }
        if finish.stop == Stop::Requested && finish.tokens == 0 {
            // It was not asked.
            return;
        }
        let mut progress = self.request.progress.lock();
        let progress = &mut *progress;
        let talk = &mut progress.talk;
        let (question, answer) = (&self.request.question.prompt, &progress.response);
        talk.text.clear();
        talk.said.clear();
        let said = Said {
            role: Role::Assistant,
            len: answer.len(),
        };
        // All within the capacity, which was made for it.
        let _ = talk.text.extend_from_slice(question, GFP_KERNEL);
        let _ = talk.text.extend_from_slice(answer, GFP_KERNEL);
        let _ = talk.said.extend_from_slice(&turn.said, GFP_KERNEL);
        if said.len != 0 {
            let _ = talk.said.push_within_capacity(said);
        }
        talk.counted = finish.prompt_tokens.saturating_add(finish.tokens);
    }
}

/// How a request ends whose caller does not wait any more.
fn gone(seat: &Seat) -> Finish {
    Finish {
        prompt_tokens: seat.usage.prompt_tokens,
        cached_tokens: seat.usage.cached_tokens,
        tokens: seat.usage.tokens,
        ..Finish::NOTHING
    }
}

/// Takes seats away of which the program never knew.
fn forget(desk: &mut Desk) {
    desk.seats.retain(|seat| seat.sent || !seat.ended);
}
