// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Answers that keep to a grammar.
//!
//! A grammar comes as a compiled [`table`], which is checked here again, and is followed byte by byte:
//! a token may end within a character. A [`Matcher`] has the memory for that, one for all answers; a
//! [`Place`] is how far one answer has come; a [`Guide`] brings them together for one step of it.
//!
//! Which tokens may follow is asked of the likeliest ones first, one by one, which is enough nearly
//! always. Where it is not, all tokens are gone through, in the order of their bytes, so that each
//! beginning which does not fit is left with all tokens that share it. That is quick where few may
//! follow, and where many may it takes as long as computing a token of a small model: so it is given
//! up soon at first, and more of the likeliest are asked. Tokens that may not follow get a logit that
//! is not a number, which no choice takes: what is chosen among is the model's distribution over the
//! tokens that may follow, and nothing else.

mod matcher;
pub mod table;
mod trie;

pub use matcher::{Place, Places, MAX_NODES, MAX_PATHS};
pub use table::{Checked, Grammar, TableError};
pub use trie::{Trie, TrieMemory, MAX_TOKEN};

use crate::arena::Arena;
use crate::error::Error;
use crate::math::{Candidates, F32Bits};
use crate::tokenizer::Vocab;
use matcher::{FirstBytes, Levels, Path, Paths, Stacks};
use table::Token;

/// Most bytes that are found to be forced at once.
pub const MAX_FORCED: usize = 256;

/// Most tokens that end an answer.
const MAX_ENDS: usize = 64;
/// Most work for one token of an answer, in entries that are looked at: a good part of a second, and
/// ten times what grammars take that are not made to take it.
const MAX_WORK: u64 = 1 << 28;
/// How much of it is done before the caller is asked whether to stop.
const PAUSE: u64 = 1 << 18;
/// How much of it shows whether few tokens may follow: a tenth of a millisecond.
const GLANCE: u64 = 1 << 12;

/// What an answer must keep to.
#[derive(Clone, Copy, Debug)]
pub struct Constraint<'t> {
    /// The grammar.
    pub grammar: Grammar<'t>,
    /// Where only one text can follow, take its tokens as the tokenizer makes them, all at once,
    /// without asking the model; otherwise the model chooses how that text is cut into tokens, one
    /// by one.
    pub forced: bool,
}

/// The memory of a [`Matcher`], as carved out of the arena.
pub struct MatcherMemory<'a> {
    trie: TrieMemory<'a>,
    stacks: Stacks<'a>,
    levels: Levels<'a>,
    allowed: &'a mut [u32],
    ends: &'a mut [u32],
}

impl<'a> MatcherMemory<'a> {
    /// Carves the memory for a vocabulary of so many tokens, which have so many bytes together.
    pub fn lay_out(tokens: usize, bytes: usize, arena: &mut Arena<'a>) -> Result<Self, Error> {
        Ok(Self {
            trie: TrieMemory::lay_out(tokens, bytes, arena)?,
            stacks: Stacks::lay_out(arena)?,
            levels: Levels::lay_out(arena)?,
            allowed: arena.slice(tokens.div_ceil(32))?,
            ends: arena.slice(MAX_ENDS)?,
        })
    }
}

/// Finds out which tokens may follow.
pub struct Matcher<'a> {
    trie: Trie<'a>,
    stacks: Stacks<'a>,
    /// By how many bytes of a token were followed.
    levels: Levels<'a>,
    /// `(tokens / 32)`: a bit for each token.
    allowed: &'a mut [u32],
    /// The tokens that end an answer.
    ends: &'a [u32],
}

impl<'a> Matcher<'a> {
    /// Prepares for a vocabulary.
    pub fn load(vocab: &Vocab<'_>, memory: MatcherMemory<'a>) -> Result<Self, Error> {
        let mut count = 0;
        for id in (0..).take(vocab.len()).filter(|&id| vocab.is_end(id)) {
            if let Some(slot) = memory.ends.get_mut(count) {
                *slot = id;
                count += 1;
            }
        }
        let ends: &[u32] = memory.ends;
        Ok(Self {
            trie: Trie::load(vocab, memory.trie)?,
            stacks: memory.stacks,
            levels: memory.levels,
            allowed: memory.allowed,
            ends: ends.get(..count).unwrap_or(&[]),
        })
    }

    /// Puts `place` at the beginning of an answer.
    pub fn start(&mut self, grammar: &Grammar<'_>, place: &mut Place<'_>) -> Result<(), Error> {
        let paths = self.stacks.start(grammar);
        self.stacks.keep(paths, place)
    }
}

/// How long to go on looking for tokens that may follow.
struct Budget {
    /// So much work is given up at.
    most: u64,
    /// When the caller is asked next whether to stop.
    pause: u64,
}

impl Budget {
    /// Whether there is more to spend, after so much work. Fails if the caller wants to stop, or nobody may do
    /// so much.
    fn has_more(&mut self, work: u64, stop: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
        if work > self.most {
            return Ok(false);
        }
        if work > self.pause {
            self.pause = work.saturating_add(PAUSE);
            if stop() {
                return Err(Error::Interrupted);
            }
            if work > MAX_WORK {
                return Err(Error::GrammarStuck);
            }
        }
        Ok(true)
    }
}

/// Says, at one place of one answer, which tokens may follow.
pub struct Guide<'g, 'a> {
    grammar: &'g Grammar<'g>,
    vocab: &'g Vocab<'a>,
    matcher: &'g mut Matcher<'a>,
    place: Place<'g>,
    here: Paths,
    first: FirstBytes,
}

impl<'g, 'a> Guide<'g, 'a> {
    /// Goes on at a place. The matcher serves nobody else for as long as this lives.
    pub fn new(
        grammar: &'g Grammar<'g>,
        vocab: &'g Vocab<'a>,
        matcher: &'g mut Matcher<'a>,
        place: &'g mut Place<'_>,
    ) -> Self {
        let place = place.reborrow();
        let here = matcher.stacks.resume(&place);
        let first = matcher.stacks.first_bytes(grammar, here);
        Self {
            grammar,
            vocab,
            matcher,
            place,
            here,
            first,
        }
    }

    /// Whether the answer may end here.
    pub fn is_complete(&self) -> bool {
        self.matcher.stacks.is_complete(self.grammar, self.here)
    }

    /// Whether it must.
    pub fn is_over(&self) -> bool {
        is_over(self.grammar, &self.matcher.stacks, self.here)
    }

    /// Whether a token may follow.
    pub fn allows(&mut self, id: u32) -> bool {
        if self.vocab.is_end(id) {
            return self.is_complete();
        }
        if self.matcher.stacks.work() > MAX_WORK {
            return false;
        }
        let mark = self.matcher.stacks.mark();
        let fits = !self.advance(id).is_empty();
        self.matcher.stacks.rewind(mark);
        fits
    }

    /// Keeps those of the candidates that may follow, in their order, and no more than `most`; returns how many
    /// they are. `stop` is asked now and then.
    pub(crate) fn retain(
        &mut self,
        candidates: &mut Candidates,
        most: usize,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<usize, Error> {
        let mut pause = self.work();
        let mut stopped = false;
        let kept = candidates.retain(most, |id| {
            if self.work() > pause && !stopped {
                pause = self.work().saturating_add(PAUSE);
                stopped = stop();
            }
            !stopped && self.allows(id)
        });
        match stopped {
            true => Err(Error::Interrupted),
            false => Ok(kept),
        }
    }

    /// Goes past a token, which must be one that may follow.
    pub fn accept(&mut self, id: u32) -> Result<(), Error> {
        let paths = self.advance(id);
        if paths.is_empty() {
            return Err(Error::GrammarStuck);
        }
        self.matcher.stacks.keep(paths, &mut self.place)?;
        self.here = self.matcher.stacks.resume(&self.place);
        self.first = self.matcher.stacks.first_bytes(self.grammar, self.here);
        Ok(())
    }

    /// Makes the logits of all tokens that may not follow no numbers. Fails where that leaves none,
    /// or when `stop` says so, which is asked now and then.
    pub fn mask(
        &mut self,
        logits: &mut [F32Bits],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), Error> {
        self.find_allowed(u64::MAX, stop)?;
        self.apply(logits)
    }

    /// The same if it does not take long; `false`, and nothing was done, if it would.
    pub fn mask_at_a_glance(
        &mut self,
        logits: &mut [F32Bits],
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Error> {
        let found = self.find_allowed(GLANCE, stop)?;
        if found {
            self.apply(logits)?;
        }
        Ok(found)
    }

    /// Makes the logits of all tokens without a bit no numbers.
    fn apply(&mut self, logits: &mut [F32Bits]) -> Result<(), Error> {
        if self.matcher.allowed.iter().all(|&word| word == 0) {
            return Err(Error::GrammarStuck);
        }
        let words = self.matcher.allowed.iter().chain(core::iter::repeat(&0));
        for (logits, &word) in logits.chunks_mut(32).zip(words) {
            match word {
                u32::MAX => (),
                0 => logits.fill(F32Bits::NAN),
                _ => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = F32Bits::NAN;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the bytes that must follow, whatever the model says, to `out`. Returns how many, and
    /// whether the answer must end behind them.
    pub fn forced(&mut self, out: &mut [u8; MAX_FORCED]) -> (usize, bool) {
        let stacks = &mut self.matcher.stacks;
        let mark = stacks.mark();
        let mut paths = self.here;
        let mut count = 0;
        for slot in out.iter_mut() {
            let Some(byte) = only_byte(self.grammar, stacks, paths) else {
                break;
            };
            let next = stacks.step(self.grammar, paths, byte);
            if next.is_empty() {
                break;
            }
            paths = next;
            *slot = byte;
            count += 1;
        }
        let over = is_over(self.grammar, stacks, paths);
        stacks.rewind(mark);
        (count, over)
    }

    /// How many entries of tables and stacks were looked at, at this place.
    pub fn work(&self) -> u64 {
        self.matcher.stacks.work()
    }

    /// The paths behind a token; none if it may not follow.
    fn advance(&mut self, id: u32) -> Paths {
        let stacks = &mut self.matcher.stacks;
        let mut paths = Paths::default();
        for (count, byte) in self.vocab.piece(id, false).enumerate() {
            let from = if count == 0 { self.here } else { paths };
            if count == 0 && !self.first.has(byte) {
                break;
            }
            paths = stacks.step(self.grammar, from, byte);
            if count >= MAX_TOKEN || paths.is_empty() {
                paths = Paths::default();
                break;
            }
        }
        if self.grammar.has_tokens() {
            // All references together have as much to spend as a byte has.
            let fresh = stacks.begin();
            if paths.is_empty() {
                paths = fresh;
            }
            'references: for index in 0..stacks.get(self.here).len() {
                let Some(path) = stacks.get(self.here).get(index).copied() else {
                    break;
                };
                for token in self.grammar.tokens(path.state()) {
                    if !stacks.spend(1) {
                        break 'references;
                    }
                    if refers(self.grammar, self.vocab, token, id) {
                        paths = stacks.branch(self.grammar, paths, (path, token.target()));
                    }
                }
            }
        }
        paths
    }

    /// Sets the bits of all tokens that may follow, and no others; `false` if that takes more than
    /// so much work.
    fn find_allowed(&mut self, work: u64, stop: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
        let complete = self.is_complete();
        let Matcher {
            trie,
            stacks,
            levels,
            allowed,
            ends,
        } = &mut *self.matcher;
        allowed.fill(0);
        if complete {
            ends.iter().for_each(|&id| set(allowed, id));
        }
        let outset = (self.here, stacks.mark());
        let mut budget = Budget {
            most: stacks.work().saturating_add(work),
            pause: stacks.work(),
        };
        for index in 0..stacks.get(self.here).len() {
            let Some(path) = stacks.get(self.here).get(index).copied() else {
                break;
            };
            for token in self.grammar.tokens(path.state()) {
                stacks.spend(allow_references(self.grammar, self.vocab, token, allowed));
                if !budget.has_more(stacks.work(), stop)? {
                    return Ok(false);
                }
            }
        }

        levels.set(0, outset);
        let mut index = 0;
        while let Some((entry, bytes)) = trie.get(index) {
            let mut depth = entry.shared();
            if depth == 0 && !bytes.first().is_some_and(|&byte| self.first.has(byte)) {
                index = trie.past(index, 0);
                continue;
            }
            let (mut paths, mark) = levels.get(depth);
            stacks.rewind(mark);
            let mut fits = true;
            for &byte in bytes.get(depth..).unwrap_or(&[]) {
                paths = stacks.step(self.grammar, paths, byte);
                if paths.is_empty() {
                    fits = false;
                    break;
                }
                depth += 1;
                levels.set(depth, (paths, stacks.mark()));
            }
            if fits {
                set(allowed, entry.id());
                index += 1;
            } else {
                index = trie.past(index, depth);
            }
            if !budget.has_more(stacks.work(), stop)? {
                stacks.rewind(outset.1);
                return Ok(false);
            }
        }
        stacks.rewind(outset.1);
        Ok(true)
    }
}

/// Whether the grammar is complete and does not go on.
fn is_over(grammar: &Grammar<'_>, stacks: &Stacks<'_>, paths: Paths) -> bool {
    let goes_on = |path: &Path| {
        !grammar.edges(path.state()).is_empty() || !grammar.tokens(path.state()).is_empty()
    };
    stacks.is_complete(grammar, paths) && !stacks.get(paths).iter().any(goes_on)
}

/// The byte that must follow, if there is only one.
fn only_byte(grammar: &Grammar<'_>, stacks: &Stacks<'_>, paths: Paths) -> Option<u8> {
    if stacks.is_complete(grammar, paths) {
        return None;
    }
    let mut only = None;
    for path in stacks.get(paths) {
        if !grammar.tokens(path.state()).is_empty() {
            return None;
        }
        for edge in grammar.edges(path.state()) {
            if edge.first() != edge.last() || only.is_some_and(|byte| byte != edge.first()) {
                return None;
            }
            only = Some(edge.first());
        }
    }
    only
}

/// Whether a reference is to this token. It never is to one that ends the answer.
fn refers(grammar: &Grammar<'_>, vocab: &Vocab<'_>, token: &Token, id: u32) -> bool {
    let same = match grammar.spelling(token) {
        Some(spelling) => vocab.spelling(id) == Some(spelling),
        None => token.value() == id,
    };
    same != (token.flags() & table::NOT != 0) && !vocab.is_end(id)
}

/// Sets the bits of the tokens that a reference is to. Returns how many entries were looked at.
fn allow_references(
    grammar: &Grammar<'_>,
    vocab: &Vocab<'_>,
    token: &Token,
    allowed: &mut [u32],
) -> usize {
    let spelling = grammar.spelling(token);
    let named = match spelling {
        Some(spelling) => core::str::from_utf8(spelling)
            .ok()
            .and_then(|spelling| vocab.find(spelling)),
        None => Some(token.value()),
    };
    let all = token.flags() & table::NOT != 0;
    let others = if all { vocab.len() } else { 0 };
    for id in (0..).take(others).chain(named) {
        if refers(grammar, vocab, token, id) {
            set(allowed, id);
        }
    }
    // What is spelled is looked for by its bytes.
    others + spelling.map_or(1, <[u8]>::len)
}

fn set(allowed: &mut [u32], id: u32) {
    if let Some(word) = allowed.get_mut(crate::size(id / 32)) {
        *word |= 1 << (id % 32);
    }
}
