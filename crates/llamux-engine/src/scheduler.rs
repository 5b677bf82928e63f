// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Several sequences at once: who is computed next, and together with whom.
//!
//! A home submits requests and calls [`Engine::step`] again and again while there is work; nothing runs
//! between two calls, and nothing waits. A step first computes the next token of every answer as one batch,
//! since one pass over the weights serves them all, and then a piece of one prompt: a small one while
//! answers are being written, so that these go on, a whole batch otherwise. Both take turns.
//!
//! A prompt is computed from where the [cache](crate::blocks) has no more of it. A request is taken in only when
//! the blocks for its longest answer are there, so that nobody who was taken in has to wait for blocks.
//!
//! Of one or two sequences each token is computed as the only one, guesses included, and of a prompt as one
//! of several. So an answer does not depend on guesses, nor on how its prompt was cut, or whether the cache
//! had a prompt like it. More sequences may be computed by other functions, whose sums are added in another
//! order, and so was an earlier answer that is now part of a prompt: that may turn a choice between two
//! tokens that are all but equally likely. With AVX-512 that begins with the ninth sequence.
//!
//! Where an answer's [grammar](crate::grammar) leaves one text only, its tokens are handed out without asking
//! the model, and are then computed as a prompt's are, together with the token before them.

use core::ops::Range;

use llamux_abi as abi;

use crate::blocks::PUBLIC;
use crate::chat::Turn;
use crate::engine::{spoken, Engine, OWN};
use crate::error::Error;
use crate::generate::{Full, Outcome, Request, Sink, Stop};
use crate::grammar::{Constraint, Guide, MAX_FORCED};
use crate::lookup;
use crate::math::{Executor, F32Bits, Job};
use crate::model::Batch;
use crate::size;
use crate::slot::{Slot, DECODE, FREE, PREFILL};
use crate::Run;

/// A request that is being answered. The next one may have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(u32);

impl SlotId {
    /// Below the number of sequences that the engine was made for.
    pub fn index(self) -> usize {
        // The engine's own slot is before the others.
        size(self.0.saturating_sub(1))
    }

    /// Its slot, among which the engine's own is.
    pub(crate) fn slot(self) -> usize {
        size(self.0)
    }
}

/// Those who asked.
pub trait Audience {
    /// Where the answer goes; `None` to stop it.
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink>;

    /// The same, and what the answer must keep to: for each of its tokens what the request said. Asked
    /// only of requests that have a constraint.
    fn constrained(&mut self, id: SlotId) -> Option<(&mut dyn Sink, Option<Constraint<'_>>)> {
        Some((self.sink(id)?, None))
    }

    /// `part` of the `all` tokens of a batch were a request's. It is said of each request of a batch, one after
    /// the other, when what follows was chosen; any of them may have come to its end by that.
    fn computed(&mut self, id: SlotId, part: u32, all: u32) {
        let _ = (id, part, all);
    }

    /// A request has come to its end, and its slot is free.
    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>);
}

/// What a slot is about to have computed.
#[derive(Clone, Copy)]
struct Piece {
    slot: usize,
    /// Its known tokens, and guesses behind them.
    known: u32,
    guesses: u32,
}

/// What was chosen.
#[derive(Clone, Copy)]
struct Choice {
    token: u32,
    /// Whether the grammar has nothing behind it.
    over: bool,
    /// See [`Sink::likelihood`].
    likelihood: Option<u64>,
}

const NO_PIECE: Piece = Piece {
    slot: 0,
    known: 0,
    guesses: 0,
};

/// Most sequences whose tokens are computed as one batch.
const TOGETHER: usize = 16;

/// Up to so many sequences, each token is computed as the only one: that is as fast as together.
const SEPARATELY: usize = 2;

impl Engine<'_> {
    /// Takes a request in, for `owner`, a number below 2^63: what the cache has of it is used for requests
    /// of the same owner only.
    ///
    /// [`Error::Busy`] says that it can be taken in when others have come to their end.
    pub fn submit(&mut self, request: &Request<'_>, owner: u64) -> Result<SlotId, Error> {
        self.submit_with(request, owner, &mut || false)
    }

    /// The same, with pauses: a megabyte takes a good part of a second to be split into tokens. With `true`
    /// it ends with [`Error::Interrupted`].
    pub fn submit_with(
        &mut self,
        request: &Request<'_>,
        owner: u64,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<SlotId, Error> {
        let slot = self.free_slot()?;
        let (len, keep) = self.encode(request, pause)?;
        if len == 0 {
            // A vocabulary may have no token for any of its bytes.
            return Err(Error::EmptyPrompt);
        }
        self.admit(slot, request, owner, (len, keep))
    }

    /// The same for a prompt that is given as tokens; the request's own is not looked at.
    pub fn submit_tokens(
        &mut self,
        ids: &[u32],
        request: &Request<'_>,
        owner: u64,
    ) -> Result<SlotId, Error> {
        let slot = self.free_slot()?;
        if ids.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let vocabulary = self.info().vocabulary;
        if let Some(&id) = ids.iter().find(|&&id| id >= vocabulary) {
            return Err(Error::Token { id, vocabulary });
        }
        let have = self.context();
        let prompt = self.prompt.get_mut(..ids.len()).ok_or(Error::Context {
            // CAST: `usize` is at most 64 bits wide.
            need: ids.len() as u64,
            have: have.into(),
        })?;
        prompt.copy_from_slice(ids);
        // CAST: No more than two contexts.
        self.admit(slot, request, owner, (ids.len() as u32, self.system))
    }

    pub(crate) fn free_slot(&self) -> Result<usize, Error> {
        let free = (1..self.slots.count()).find(|&slot| self.slots.is(slot, FREE));
        free.ok_or(Error::Busy {
            what: "sequences",
            need: 1,
            have: 0,
        })
    }

    /// Takes a request in whose `len` tokens are in `prompt`; the first `keep` stay there whatever is
    /// dropped.
    pub(crate) fn admit(
        &mut self,
        slot: usize,
        request: &Request<'_>,
        owner: u64,
        (mut len, keep): (u32, u32),
    ) -> Result<SlotId, Error> {
        let context = self.context();
        let columns = size(self.info().embedding).max(1);
        if len > context {
            // Room for an answer of some length.
            let room = request.max_tokens.min(context / 4);
            let drop = len - context + room;
            let prompt = self.prompt.get_mut(..size(len)).unwrap_or_default();
            let vocab = &self.vocab;
            len = match request.full {
                Full::DropOldest => drop_oldest(prompt, keep, drop, |id| vocab.is_end(id)),
                Full::Stop => len,
            };
        }
        if len > context {
            return Err(Error::Context {
                need: len.into(),
                have: context.into(),
            });
        }
        let need = len.saturating_add(request.max_tokens).min(context);
        if let Some(have) = request.positions.filter(|&have| have < need) {
            return Err(Error::Allowance { need, have });
        }
        let prompt = self.prompt.get(..size(len));
        let prompt = prompt.ok_or(Error::Operation("prompt"))?;
        let tokens = self.slots.tokens(slot)?.get_mut(..size(len));
        tokens
            .ok_or(Error::Operation("prompt"))?
            .copy_from_slice(prompt);
        if let Some(constraint) = &request.constraint {
            let mut place = self.grammar_places.get(slot)?;
            self.matcher.start(&constraint.grammar, &mut place)?;
        }
        if request.embedding {
            let sum = self.sums.chunks_exact_mut(columns).nth(slot);
            sum.ok_or(Error::Operation("sum"))?.fill(F32Bits(0));
        }
        let entry = self.slots.get_mut(slot)?;
        *entry = Slot::new(request, owner, len, keep);
        // The space that a vocabulary puts in front of a text would be in front of an answer, too; but what
        // goes on with a text, or keeps to a grammar, is passed on as it is.
        let beginning = !request.raw && request.constraint.is_none();
        entry.text = self.vocab.decoder(beginning);
        if let Err(error) = self.attach(slot) {
            self.slots.get_mut(slot)?.phase = FREE;
            return Err(error);
        }
        let entry = self.slots.get_mut(slot)?;
        entry.cached_tokens = entry.computed;
        Ok(id(slot))
    }

    /// How many sequences are being computed.
    pub fn active(&self) -> usize {
        let slots = 1..self.slots.count();
        slots.filter(|&slot| !self.slots.is(slot, FREE)).count()
    }

    /// Positions of the cache that a request takes at most, with the tokens it has now.
    pub fn positions(&self, id: SlotId) -> u32 {
        self.slots
            .get(id.slot())
            .map_or(0, |slot| slot.positions(self.context()))
    }

    /// Computes the beginning that all questions share, the system prompt, so that nobody else has to.
    /// Returns how many tokens it has.
    pub fn prewarm(&mut self, executor: &dyn Executor) -> Result<u32, Error> {
        let tokens = self.beginning();
        let beginning = self.prompt.get(..size(tokens));
        let place = self.slots.tokens(OWN)?.get_mut(..size(tokens));
        let (Some(beginning), Some(place)) = (beginning, place) else {
            return Ok(0);
        };
        if tokens == 0 {
            return Ok(0);
        }
        place.copy_from_slice(beginning);
        self.clear();
        self.slots.get_mut(OWN)?.owner = PUBLIC;
        let mut stop = || false;
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        let computed = self.advance(&mut run, size(tokens), 0);
        self.clear();
        computed.map(|_| tokens)
    }

    /// Puts the tokens that all questions begin with into `prompt`. Returns their number.
    fn beginning(&mut self) -> u32 {
        let (Ok(chat), Ok(other)) = (self.chat, self.slots.tokens(OWN)) else {
            return 0;
        };
        let chat = spoken(chat, self.instructions, self.instructions_len);
        let mut encode = |question, out: &mut [u32]| {
            let count = chat.encode(&self.vocab, Turn::First, question, self.text, out);
            count.unwrap_or(0)
        };
        let (first, second) = (encode("A", &mut *other), encode("1", self.prompt));
        let first = other.get(..first).unwrap_or(&[]);
        let second = self.prompt.get(..second).unwrap_or(&[]);
        let same = first.iter().zip(second).take_while(|(a, b)| a == b);
        // CAST: At most a context.
        same.count() as u32
    }

    /// How many tokens at the beginning of prompts stay when the oldest are dropped: the system prompt of
    /// questions.
    pub(crate) fn system_tokens(&mut self) -> u32 {
        let beginning = self.beginning();
        let tokens = self.prompt.get(..size(beginning)).unwrap_or(&[]);
        let end = tokens.iter().rposition(|&id| self.vocab.is_end(id));
        // CAST: At most a context.
        end.map_or(0, |end| end as u32 + 1)
    }

    /// Computes the next tokens of everybody, after ending the answers that nobody wants any more. `false`
    /// when there was nothing to do.
    pub fn step(&mut self, executor: &dyn Executor, audience: &mut dyn Audience) -> bool {
        let ended = self.end_unwanted(audience);
        let decoded = self.decode(executor, audience);
        let prefilled = self.prefill(executor, audience, decoded);
        ended || decoded || prefilled
    }

    /// Ends the answers that nobody wants any more. Whether there were any.
    fn end_unwanted(&mut self, audience: &mut dyn Audience) -> bool {
        let mut any = false;
        for slot in 1..self.slots.count() {
            let mut gone = || audience.sink(id(slot)).is_none_or(|sink| sink.stop());
            if !self.slots.is(slot, FREE) && gone() {
                self.end(slot, Ok(Stop::Requested), audience);
                any = true;
            }
        }
        any
    }

    /// The next token of some answers. Whether there were any.
    fn decode(&mut self, executor: &dyn Executor, audience: &mut dyn Audience) -> bool {
        let mut pieces = [NO_PIECE; TOGETHER];
        let count = self.slots.count();
        let last = self.last_decoded.min(count);
        let turn = (last + 1..count).chain(1..last + 1);
        let slots = turn.filter(|&slot| self.slots.is(slot, DECODE));
        let mut count = 0;
        for (piece, slot) in pieces.iter_mut().zip(slots) {
            let entry = self.slots.get(slot);
            *piece = Piece {
                slot,
                known: entry.map_or(1, |entry| entry.len - entry.computed),
                guesses: 0,
            };
            self.last_decoded = slot;
            count += 1;
        }
        let pieces = pieces.get_mut(..count).unwrap_or_default();
        if let [piece] = pieces {
            // Nobody else waits.
            piece.guesses = self.guess(piece.slot).unwrap_or(0);
        }
        self.compute(pieces, executor, audience);
        count > 0
    }

    /// A piece of a prompt, a small one if answers are being written. Whether there was any.
    fn prefill(
        &mut self,
        executor: &dyn Executor,
        audience: &mut dyn Audience,
        decoding: bool,
    ) -> bool {
        let count = self.slots.count();
        let last = self.last_prefilled.min(count);
        let mut turn = (last + 1..count).chain(1..last + 1);
        let Some(slot) = turn.find(|&slot| self.slots.is(slot, PREFILL)) else {
            return false;
        };
        self.last_prefilled = slot;
        let entry = self.slots.get(slot);
        // Nothing was computed, and so nothing was chosen.
        if entry.is_ok_and(|slot| slot.answered == 0 && slot.computed == slot.cached_tokens) {
            if let Err(end) = self.force(slot, audience) {
                self.end(slot, end, audience);
                return true;
            }
        }
        let most = match decoding {
            true => self.batch.min(self.piece),
            false => self.batch,
        };
        let left = self.slots.get(slot).map(|slot| slot.len - slot.computed);
        let left = left.unwrap_or(0);
        // One token that is left would be computed by another function than several.
        let known = match left.checked_sub(most) {
            Some(1) if most > 2 => most - 1,
            _ => left.min(most),
        };
        let piece = Piece {
            slot,
            known,
            guesses: 0,
        };
        self.compute(&[piece], executor, audience);
        true
    }

    /// Guesses what comes, and puts as much of that as is worth it behind a slot's tokens.
    fn guess(&mut self, slot: usize) -> Result<u32, Error> {
        let context = self.context();
        let entry = *self.slots.get(slot)?;
        let left = entry.max_tokens.saturating_sub(entry.answered + 1);
        let room = left.min(context - entry.len).min(lookup::MOST);
        if !self.speculate || room == 0 {
            return Ok(0);
        }
        let tokens = self.slots.tokens(slot)?;
        let (text, rest) = tokens
            .split_at_mut_checked(size(entry.len))
            .ok_or(Error::Operation("guess"))?;
        let guess = lookup::guess(text, room);
        let guess_len = guess.len();
        // One at least: it is compared, though it may not be computed.
        for (to, from) in rest.iter_mut().zip(guess) {
            *to = *from;
        }
        let entry = self.slots.get_mut(slot)?;
        entry.guessed = (guess_len > 0).into();
        // CAST: At most `MOST`.
        Ok(entry.guesses.length().min(guess_len as u32))
    }

    /// Computes some pieces as one batch, and hands out what is chosen.
    fn compute(&mut self, pieces: &[Piece], executor: &dyn Executor, audience: &mut dyn Audience) {
        if pieces.is_empty() {
            return;
        }
        match self.forward(pieces, executor, audience) {
            Ok(()) => self.choose(pieces, executor, audience),
            Err(error) => {
                for piece in pieces {
                    self.end(piece.slot, ended_by(error), audience);
                }
            }
        }
        let tokens = |piece: &Piece| piece.known + piece.guesses;
        let all = pieces.iter().map(tokens).sum();
        for piece in pieces {
            audience.computed(id(piece.slot), tokens(piece), all);
        }
    }

    fn forward(
        &mut self,
        pieces: &[Piece],
        executor: &dyn Executor,
        audience: &mut dyn Audience,
    ) -> Result<(), Error> {
        let Self {
            slots,
            blocks,
            ids,
            places,
            model,
            kernels,
            ..
        } = self;
        let mut count = 0;
        let mut prompt = false;
        let mut known = 0;
        for piece in pieces {
            let begin = slots.get(piece.slot)?.computed;
            prompt |= slots.is(piece.slot, PREFILL);
            known += piece.known;
            // OVERFLOW: Within the context.
            let end = begin + piece.known + piece.guesses;
            slots.grow(piece.slot, end, blocks)?;
            let tokens = slots.tokens_of(piece.slot, begin, end)?;
            let to = ids.iter_mut().zip(places.iter_mut()).skip(count);
            for ((id, place), (token, position)) in to.zip(tokens.iter().zip(begin..)) {
                (*id, *place) = (*token, slots.place(piece.slot, position));
                count += 1;
            }
        }
        let (Some(ids), Some(places)) = (ids.get(..count), places.get(..count)) else {
            return Err(Error::Operation("batch"));
        };
        // It goes on if anybody wants it to.
        let mut stop = || {
            pieces
                .iter()
                .all(|piece| audience.sink(id(piece.slot)).is_none_or(|sink| sink.stop()))
        };
        let mut run = Run {
            kernels: *kernels,
            executor,
            stop: &mut stop,
        };
        let batch = Batch {
            ids,
            places,
            table: slots.table(),
            sums: match pieces.len() {
                _ if prompt => abi::Sums::Together,
                0..=SEPARATELY => abi::Sums::Alone,
                _ => abi::Sums::Either,
            },
        };
        // Of a prompt's piece only the last token is wanted, and only if it is the prompt's last; but all of one
        // that is pooled.
        let wanted = match pieces {
            [piece] if prompt => match slots.get(piece.slot)? {
                slot if slot.pooled != 0 => known,
                slot => u32::from(slot.computed + known == slot.len),
            },
            // CAST: At most a batch.
            _ => count as u32,
        };
        model.forward(&mut run, &batch, wanted)
    }

    /// Chooses the tokens behind those that were computed, and goes on with them.
    fn choose(&mut self, pieces: &[Piece], executor: &dyn Executor, audience: &mut dyn Audience) {
        // CAST: At most a batch.
        let rows: u32 = pieces.iter().map(|piece| piece.known + piece.guesses).sum();
        let mut ready = 0..0;
        let mut next = 0;
        for piece in pieces {
            let first = next + piece.known - 1;
            next = first + 1 + piece.guesses;
            for _ in 0..piece.known {
                // It cannot fail: the tokens and the table were there to compute it.
                let _ = self.slots.advance(piece.slot, &mut self.blocks);
            }
            let entry = self.slots.get(piece.slot);
            if entry.is_ok_and(|entry| entry.pooled != 0) {
                // A prompt, and so the only one of its batch.
                if let Some(end) = self.pool(piece, executor, audience).transpose() {
                    self.end(piece.slot, end.or_else(ended_by), audience);
                }
                continue;
            }
            if !entry.is_ok_and(|entry| entry.computed == entry.len) {
                continue;
            }
            for row in first..next {
                let computed = row - first < piece.guesses;
                let rows = (row, rows, &mut ready);
                let end = match self.choose_one(piece.slot, rows, executor, audience) {
                    Ok(choice) => self.deliver(piece.slot, choice, computed, audience),
                    Err(error) => Err(ended_by(error)),
                };
                match end {
                    Ok(true) if computed => (),
                    Ok(_) => break,
                    Err(end) => {
                        self.end(piece.slot, end, audience);
                        break;
                    }
                }
            }
        }
    }

    /// Adds up the tokens of a piece that was computed. With the prompt's last one, hands the embedding out.
    fn pool(
        &mut self,
        piece: &Piece,
        executor: &dyn Executor,
        audience: &mut dyn Audience,
    ) -> Result<Option<Stop>, Error> {
        let sink = audience.sink(id(piece.slot)).ok_or(Error::Interrupted)?;
        let columns = size(self.info().embedding).max(1);
        let sum = self.sums.chunks_exact_mut(columns).nth(piece.slot);
        let sum = sum.ok_or(Error::Operation("sum"))?;
        let mut stop = || sink.stop();
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        self.model.pool(&mut run, 0, piece.known, sum)?;
        let entry = self.slots.get(piece.slot)?;
        if entry.computed < entry.len {
            return Ok(None);
        }
        run.job(Job::normalize(run.kernels, sum))?;
        sink.prefilled(entry.prompt_tokens);
        sink.embedding(sum);
        Ok(Some(Stop::End))
    }

    /// Chooses by the logits of `row` of the batch, which has `rows`; of these `ready` are computed.
    fn choose_one(
        &mut self,
        slot: usize,
        (row, rows, ready): (u32, u32, &mut Range<u32>),
        executor: &dyn Executor,
        audience: &mut dyn Audience,
    ) -> Result<Choice, Error> {
        let constrained = self.slots.get(slot)?.constrained != 0;
        let (sink, constraint) = asker(slot, constrained, audience)?;
        let mut stop = || sink.stop();
        let mut run = Run {
            kernels: self.kernels,
            executor,
            stop: &mut stop,
        };
        if !ready.contains(&row) {
            let count = self.model.max_logits().min(rows - row);
            // Half of a group may be of one who stops; the others' are computed again.
            *ready = 0..0;
            self.model.logits(&mut run, row, count)?;
            *ready = row..row + count;
        }
        let entry = self.slots.get(slot)?;
        let mut sampler = entry.sampler();
        let changed = constrained || sampler.penalizes();
        let recent = self.slots.tokens_of(slot, 0, entry.len)?;
        let logits = self.model.row_of_logits(row - ready.start)?;
        let mut place = self.grammar_places.get(slot)?;
        let mut guide = constraint
            .as_ref()
            .map(|of| Guide::new(&of.grammar, &self.vocab, &mut self.matcher, &mut place));
        let token = sampler.choose(&mut run, logits, recent, self.candidates, guide.as_mut())?;
        let mut over = false;
        if let Some(guide) = guide.as_mut().filter(|_| !self.vocab.is_end(token)) {
            // It is handed out, or else the answer ends.
            guide.accept(token)?;
            over = guide.is_over();
        }
        self.slots.get_mut(slot)?.set_sampler(&sampler);
        let mut likelihood = None;
        if self.slots.get(slot)?.rated != 0 {
            if changed {
                // They are wanted as the model gave them.
                *ready = 0..0;
                self.model.logits(&mut run, row, 1)?;
                *ready = row..row + 1;
            }
            let logits = self.model.row_of_logits(row - ready.start)?;
            let mut state = abi::LogSumExpState::default();
            run.job(Job::log_sum_exp(run.kernels, logits, token, &mut state))?;
            likelihood = Some(state.nll_bits);
        }
        Ok(Choice {
            token,
            over,
            likelihood,
        })
    }

    /// Hands a token out, and puts it behind the others of its slot. Whether it was guessed; `computed`
    /// says that the guess is in the cache already. An error is the end of the answer.
    fn deliver(
        &mut self,
        slot: usize,
        choice: Choice,
        computed: bool,
        audience: &mut dyn Audience,
    ) -> Result<bool, Result<Stop, Error>> {
        let entry = self.slots.get_mut(slot).map_err(Err)?;
        let sink = audience.sink(id(slot)).ok_or(Ok(Stop::Requested))?;
        entry.phase = DECODE;
        if entry.told == 0 {
            entry.told = 1;
            sink.prefilled(entry.prompt_tokens);
        }
        if entry.answered >= entry.max_tokens {
            return Err(Ok(Stop::Length));
        }
        if self.vocab.is_end(choice.token) {
            return Err(Ok(Stop::End));
        }
        let guessed = self.hand_out(slot, choice, computed, audience)?;
        let forced = self.force(slot, audience)?;
        if computed && guessed && !forced {
            self.slots.advance(slot, &mut self.blocks).map_err(Err)?;
        }
        Ok(guessed && !forced)
    }

    /// Passes a token on, and puts it behind the others of its slot. Whether it was guessed.
    fn hand_out(
        &mut self,
        slot: usize,
        Choice {
            token,
            over,
            likelihood,
        }: Choice,
        computed: bool,
        audience: &mut dyn Audience,
    ) -> Result<bool, Result<Stop, Error>> {
        let context = self.context();
        let entry = self.slots.get_mut(slot).map_err(Err)?;
        let sink = audience.sink(id(slot)).ok_or(Ok(Stop::Requested))?;
        entry.answered += 1;
        if let Some(bits) = likelihood {
            sink.likelihood(bits);
        }
        sink.token(token);
        let mut fits = true;
        entry.text.push(&self.vocab, token, false, |text| {
            fits = fits && sink.text(text);
        });
        if !fits {
            return Err(Ok(Stop::Sink));
        }
        if over {
            // As before an end that the model chose, it is there if there is room.
            if entry.len < context {
                self.push(slot, token, computed).map_err(Err)?;
            }
            return Err(Ok(Stop::End));
        }
        if entry.answered >= entry.max_tokens {
            return Err(Ok(Stop::Length));
        }
        let full = entry.len >= context;
        if full {
            if !entry.drops_oldest() {
                return Err(Ok(Stop::Context));
            }
            self.drop_oldest(slot).map_err(Err)?;
        }
        let guessed = self.push(slot, token, computed).map_err(Err)?;
        if full {
            // The others are to be computed again: in blocks of its own, as those that it shared were not given
            // back. Where there are too few of them, the context is as good as full.
            match self.attach(slot) {
                Err(Error::Busy { .. }) => return Err(Ok(Stop::Context)),
                attached => attached.map_err(Err)?,
            }
        }
        Ok(guessed)
    }

    /// Puts a token behind the others of a slot. Whether it was guessed.
    fn push(&mut self, slot: usize, token: u32, computed: bool) -> Result<bool, Error> {
        let len = self.slots.get(slot)?.len;
        let place = self.slots.tokens(slot)?.get_mut(size(len));
        let place = place.ok_or(Error::Operation("tokens"))?;
        let right = *place == token;
        *place = token;
        let entry = self.slots.get_mut(slot)?;
        entry.len += 1;
        if entry.phase != DECODE {
            return Ok(false);
        }
        if computed || entry.guessed != 0 {
            entry.guesses.note(right, computed);
            entry.guessed = 0;
        }
        Ok(right)
    }

    /// Hands out the tokens that must follow, if there are any, and has them computed. Whether there
    /// were any.
    fn force(
        &mut self,
        slot: usize,
        audience: &mut dyn Audience,
    ) -> Result<bool, Result<Stop, Error>> {
        let entry = self.slots.get(slot).map_err(Err)?;
        if entry.constrained == 0 || entry.answered >= entry.max_tokens {
            return Ok(false);
        }
        let (forced, over) = self.forced(slot, audience).map_err(ended_by)?;
        for index in 0..forced {
            let token = self.prompt.get(index).copied();
            let choice = Choice {
                token: token.ok_or(Err(Error::Operation("forced")))?,
                over: over && index + 1 == forced,
                likelihood: None,
            };
            self.slots.get_mut(slot).map_err(Err)?.phase = PREFILL;
            self.hand_out(slot, choice, false, audience)?;
        }
        Ok(forced > 0)
    }

    /// Goes past the tokens that must follow, and puts them into `prompt`. Returns their number, and
    /// whether the answer ends with them.
    ///
    /// Unless it does, the last one of them is left to the model, which may prefer a token that goes
    /// on behind what is forced.
    fn forced(&mut self, slot: usize, audience: &mut dyn Audience) -> Result<(usize, bool), Error> {
        let (_, constraint) = asker(slot, true, audience)?;
        let Some(constraint) = constraint.filter(|constraint| constraint.forced) else {
            return Ok((0, false));
        };
        let mut place = self.grammar_places.get(slot)?;
        let grammar = &constraint.grammar;
        let mut guide = Guide::new(grammar, &self.vocab, &mut self.matcher, &mut place);
        let mut bytes = [0; MAX_FORCED];
        let (count, over) = guide.forced(&mut bytes);
        let bytes = bytes.get(..count).unwrap_or(&[]);
        let text = match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => bytes
                .get(..error.valid_up_to())
                .and_then(|bytes| core::str::from_utf8(bytes).ok())
                .unwrap_or(""),
        };
        if text.is_empty() {
            return Ok((0, false));
        }
        let encoded = self.vocab.encode_behind(text, self.text, self.prompt);
        // Where there is no room for it, the model writes it token by token.
        let count = encoded.unwrap_or(0);
        let last = usize::from(!over);
        let wanted = self.prompt.get(..count.saturating_sub(last));
        let mut forced = 0;
        for &token in wanted.unwrap_or(&[]) {
            if !guide.allows(token) {
                break;
            }
            guide.accept(token)?;
            forced += 1;
        }
        Ok((forced, over && guide.is_over()))
    }

    /// Finds what the cache has of a slot's tokens, and blocks for the others.
    fn attach(&mut self, slot: usize) -> Result<(), Error> {
        let positions = self.slots.get(slot)?.positions(self.context());
        let copy = self.slots.attach(slot, positions, &mut self.blocks)?;
        match copy {
            Some(copy) => self.model.copy_block(copy.from, copy.to),
            None => Ok(()),
        }
    }

    /// Drops half of a slot's tokens, the oldest ones but for those that it keeps.
    fn drop_oldest(&mut self, slot: usize) -> Result<(), Error> {
        self.slots.detach(slot, &mut self.blocks)?;
        let Slot { len, keep, .. } = *self.slots.get(slot)?;
        let tokens = self.slots.tokens(slot)?.get_mut(..size(len));
        let tokens = tokens.ok_or(Error::Operation("tokens"))?;
        let vocab = &self.vocab;
        let least = len.saturating_sub(keep).div_ceil(2);
        let len = drop_oldest(tokens, keep, least, |id| vocab.is_end(id));
        let entry = self.slots.get_mut(slot)?;
        entry.len = len;
        entry.phase = PREFILL;
        Ok(())
    }

    /// Ends an answer.
    fn end(&mut self, slot: usize, end: Result<Stop, Error>, audience: &mut dyn Audience) {
        let mut end = end;
        if let (Ok(entry), Some(sink)) = (self.slots.get_mut(slot), audience.sink(id(slot))) {
            // A character that was never completed is shown as such, unless there was no room already; a
            // grammar has no such character.
            let mut fits = true;
            if !matches!(end, Ok(Stop::Sink)) && entry.constrained == 0 {
                entry.text.finish(|text| fits &= sink.text(text));
            }
            if !fits {
                end = end.and(Ok(Stop::Sink));
            }
        }
        let outcome = end.and_then(|stop| Ok(self.slots.get(slot)?.outcome(stop)));
        let detached = self.slots.detach(slot, &mut self.blocks);
        if let Ok(entry) = self.slots.get_mut(slot) {
            entry.phase = FREE;
        }
        self.last_ended = slot;
        audience.done(id(slot), detached.and(outcome));
    }
}

fn id(slot: usize) -> SlotId {
    // CAST: There are few.
    SlotId(slot as u32)
}

/// Where an answer goes and what it must keep to.
fn asker(
    slot: usize,
    constrained: bool,
    audience: &mut dyn Audience,
) -> Result<(&mut dyn Sink, Option<Constraint<'_>>), Error> {
    if !constrained {
        let sink = audience.sink(id(slot)).ok_or(Error::Interrupted)?;
        return Ok((sink, None));
    }
    match audience.constrained(id(slot)).ok_or(Error::Interrupted)? {
        (_, None) => Err(Error::Operation("constraint")),
        asker => Ok(asker),
    }
}

fn ended_by(error: Error) -> Result<Stop, Error> {
    match error {
        Error::Interrupted => Ok(Stop::Requested),
        error => Err(error),
    }
}

/// Drops at least `least` tokens behind the first `keep`, and up to the end of a turn if there is one
/// before half of the others. Returns how many are left.
fn drop_oldest(tokens: &mut [u32], keep: u32, least: u32, ends: impl Fn(u32) -> bool) -> u32 {
    let keep = size(keep).min(tokens.len());
    let from = keep.saturating_add(size(least)).min(tokens.len());
    let until = from + (tokens.len() - from) / 2;
    // A turn may end right before.
    let before = from.saturating_sub(1).max(keep);
    let near = tokens.get(before..until).unwrap_or(&[]);
    let turn = near.iter().position(|&id| ends(id));
    let from = turn.map_or(from, |turn| before + turn + 1);
    tokens.copy_within(from.., keep);
    // CAST: No more than there were.
    (keep + tokens.len() - from) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_oldest_turns() {
        let check = |keep, least, expected: &[u32]| {
            // 0 ends a turn.
            let mut tokens = [9, 0, 1, 2, 0, 3, 4, 0, 5, 6, 7, 8];
            let len = drop_oldest(&mut tokens, keep, least, |id| id == 0);
            assert_eq!(&tokens[..len as usize], expected, "{keep} {least}");
        };
        check(2, 1, &[9, 0, 3, 4, 0, 5, 6, 7, 8]);
        check(2, 3, &[9, 0, 3, 4, 0, 5, 6, 7, 8]);
        check(2, 4, &[9, 0, 5, 6, 7, 8]);
        check(2, 7, &[9, 0, 6, 7, 8]);
        check(0, 2, &[1, 2, 0, 3, 4, 0, 5, 6, 7, 8]);
        check(2, 100, &[9, 0]);
        check(100, 1, &[9, 0, 1, 2, 0, 3, 4, 0, 5, 6, 7, 8]);
    }
}
