// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The grammar of haiku, written as a compiled table straight from the list of words.
//!
//! Its states: five of the haiku itself, two for each number of syllables that a line can still want (in
//! front of a word and behind it), and a tree of letters for the words of each number of syllables.

use super::words::WORDS;
use super::LINES;
use crate::grammar::table::{self, Call, Edge, Header, State, END, MAGIC, NO_STATE, VERSION};

/// The syllables of the longest line.
const LONGEST: u16 = 7;
/// The states before those of the lines.
const OUTER: u16 = 5;
/// The states before the trees.
const FRAME: u16 = OUTER + 2 * LONGEST;

const _: () = assert!(LINES[0] == 5 && LINES[1] == 7 && LINES[2] == 5);

/// The state in front of a word, with so many syllables to come.
const fn before(syllables: u16) -> u16 {
    OUTER + 2 * (syllables - 1)
}

/// How deep calls must be nested for a line to end that wants so many syllables: not at all if one word
/// can be all of it.
fn need(syllables: u16) -> u16 {
    (usize::from(syllables) > WORDS.len()).into()
}

/// Letters at the beginning that two words have in common.
fn common(a: &str, b: &str) -> usize {
    let pairs = a.bytes().zip(b.bytes());
    pairs.take_while(|(a, b)| a == b).count()
}

/// The states of a list's tree: each beginning of any of its words is one.
fn nodes(list: &str) -> usize {
    let mut last = "";
    let mut count = 1;
    for word in list.split(' ') {
        // OVERFLOW: Bytes of a list.
        count += word.len() - common(last, word);
        last = word;
    }
    count
}

/// States, edges and calls of the table.
fn counts() -> (usize, usize, usize) {
    let trees: usize = WORDS.into_iter().map(nodes).sum();
    let edges = trees - WORDS.len() + 2 + usize::from(LONGEST);
    let calls = (1..=usize::from(LONGEST))
        .map(|syllables| syllables.min(WORDS.len()))
        .sum::<usize>();
    (usize::from(FRAME) + trees, edges, 3 + calls)
}

/// Bytes of the table.
pub fn bytes() -> usize {
    let (states, edges, calls) = counts();
    size_of::<Header>()
        + (states + 1) * size_of::<State>()
        + edges * size_of::<Edge>()
        + calls * size_of::<Call>()
}

/// Writes the table to `out`, which must have [`bytes`]. `None` if it has not.
pub fn write(out: &mut [u8]) -> Option<()> {
    let (states, edges, calls) = counts();
    let numbers = [
        u32::from_le_bytes(MAGIC),
        VERSION,
        u32::try_from(bytes()).ok()?,
        u32::try_from(states).ok()?,
        u32::try_from(edges).ok()?,
        u32::try_from(calls).ok()?,
        0,
        0,
        0,
        0,
    ];
    let (header, rest) = out.split_at_mut_checked(size_of::<Header>())?;
    header.copy_from_slice(table::bytes(&[Header(numbers.map(Into::into))]));
    let (states, rest) = rest.split_at_mut_checked((states + 1) * size_of::<State>())?;
    let (edges, calls) = rest.split_at_mut_checked(edges * size_of::<Edge>())?;
    let mut writer = Writer {
        states: List(states, 0),
        edges: List(edges, 0),
        calls: List(calls, 0),
    };
    writer.frame()?;
    for list in WORDS {
        writer.tree(list)?;
    }
    // The entry behind the last one.
    writer.state(0, 0)?;
    writer.is_full().then_some(())
}

/// A list of entries that is filled from its beginning.
struct List<'o>(&'o mut [u8], usize);

impl List<'_> {
    fn push(&mut self, entry: &[u8]) -> Option<()> {
        let begin = self.1 * entry.len();
        let place = self.0.get_mut(begin..begin + entry.len())?;
        place.copy_from_slice(entry);
        self.1 += 1;
        Some(())
    }
}

struct Writer<'o> {
    states: List<'o>,
    edges: List<'o>,
    calls: List<'o>,
}

impl Writer<'_> {
    fn is_full(&self) -> bool {
        self.states.1 * size_of::<State>() == self.states.0.len()
            && self.edges.1 * size_of::<Edge>() == self.edges.0.len()
            && self.calls.1 * size_of::<Call>() == self.calls.0.len()
    }

    /// Begins a state, whose edges and calls are the next ones.
    fn state(&mut self, need: u16, flags: u16) -> Option<()> {
        let edges = u32::try_from(self.edges.1).ok()?;
        let calls = u16::try_from(self.calls.1).ok()?;
        let state = State::new(edges, calls, 0, need, flags);
        self.states.push(table::bytes(&[state]))
    }

    fn edge(&mut self, byte: u8, target: u16) -> Option<()> {
        let edge = Edge::new(byte, byte, target);
        self.edges.push(table::bytes(&[edge]))
    }

    fn call(&mut self, start: u16, behind: u16) -> Option<()> {
        let call = Call::new(start, behind);
        self.calls.push(table::bytes(&[call]))
    }

    /// The states of the haiku and of its lines.
    fn frame(&mut self) -> Option<()> {
        // While the second line is under way, or still to come, a call is open.
        self.state(2, 0)?;
        self.call(before(5), 1)?;
        self.state(2, 0)?;
        self.edge(b'\n', 2)?;
        self.state(2, 0)?;
        self.call(before(7), 3)?;
        self.state(0, 0)?;
        self.edge(b'\n', 4)?;
        self.state(need(5), 0)?;
        self.call(before(5), NO_STATE)?;
        for syllables in 1..=LONGEST {
            self.state(need(syllables), 0)?;
            let mut root = FRAME;
            for (word, list) in (1..=syllables).zip(WORDS) {
                let left = syllables - word;
                let behind = match left {
                    0 => NO_STATE,
                    _ => before(left) + 1,
                };
                self.call(root, behind)?;
                root = root.checked_add(u16::try_from(nodes(list)).ok()?)?;
            }
            self.state(need(syllables), 0)?;
            self.edge(b' ', before(syllables))?;
        }
        Some(())
    }

    /// The tree of a list, whose words are in ascending order: each state is followed by all that are
    /// reached from it.
    fn tree(&mut self, list: &str) -> Option<()> {
        self.node(list, 0)?;
        let mut last = "";
        let mut rest = list;
        for word in list.split(' ') {
            for len in common(last, word)..word.len() {
                self.node(rest, len + 1)?;
            }
            last = word;
            rest = rest.get(word.len() + 1..).unwrap_or("");
        }
        Some(())
    }

    /// The state behind the first `len` letters of the first word of `words`.
    fn node(&mut self, words: &str, len: usize) -> Option<()> {
        let here = words.get(..len)?;
        let all = || words.split(' ').take_while(|word| word.starts_with(here));
        let ends = all().next()?.len() == len;
        let number = self.states.1;
        self.state(0, if ends { END } else { 0 })?;
        let mut next = u16::try_from(number + 1).ok()?;
        let mut last = here;
        for word in all() {
            let same = common(last, word);
            if let Some(&letter) = word.as_bytes().get(len).filter(|_| same == len) {
                self.edge(letter, next)?;
            }
            next = next.checked_add(u16::try_from(word.len() - same).ok()?)?;
            last = word;
        }
        Some(())
    }
}
