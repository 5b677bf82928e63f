// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The compiled form of a grammar: its one definition, for who writes it and for who reads it.
//!
//! A grammar is a set of automata over bytes, one for each rule, that call each other. All of their
//! states are in one row; a rule is known by the state that it begins in. A state has edges (a range
//! of bytes and the state behind it), calls (the state that a rule begins in, and the state to go on
//! in when that rule ends), references to single tokens of a vocabulary, and may end its rule.
//!
//! The table is one piece of little-endian bytes without pointers or padding:
//!
//! | | |
//! | --- | --- |
//! | [`Header`] | |
//! | [`State`] | one more than there are states: an entry's lists end where the next one's begin |
//! | [`Edge`] | those of a state in ascending order of their first bytes |
//! | [`Call`] | |
//! | [`Token`] | |
//! | bytes | the spellings that [`Token`] refers to |
//!
//! The bytes come from whoever asks a question and are not trusted. [`Grammar::new`] walks all of
//! them once; what it returns is read without going astray, though it may describe a grammar that
//! no compiler would write.

use core::fmt;
use core::ops::Deref;

use zerocopy::little_endian::{U16, U32};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a table begins with.
pub const MAGIC: [u8; 4] = *b"LXGR";
/// The version of the format.
pub const VERSION: u32 = 1;
/// Most bytes of a table.
pub const MAX_BYTES: usize = 1 << 20;
/// Most states.
pub const MAX_STATES: usize = 0xfffe;
/// Most edges.
pub const MAX_EDGES: usize = 1 << 17;
/// Most calls, and most references to tokens: they are counted in 16 bits.
pub const MAX_REFERENCES: usize = 0xffff;
/// Longest spelling of a token in bytes.
pub const MAX_SPELLING: usize = 255;
/// How deep calls can be nested while a text is matched.
pub const MAX_DEPTH: u16 = 255;
/// In place of a state to go on in: the rule that calls ends as soon as the called one does.
pub const NO_STATE: u16 = 0xffff;

/// The flag of a [`State`]: the rule may end here.
pub const END: u16 = 1;
/// The flag of a [`Token`]: any token but this one.
pub const NOT: u16 = 1;

/// The beginning of a table, field by field as in [`header`].
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Header(pub [U32; header::FIELDS]);

const _: () = assert!(size_of::<Header>() == 40);

/// The fields of a [`Header`].
pub mod header {
    /// [`MAGIC`](super::MAGIC).
    pub const MAGIC: usize = 0;
    /// [`VERSION`](super::VERSION).
    pub const VERSION: usize = 1;
    /// Bytes of the table, the header included.
    pub const BYTES: usize = 2;
    /// Number of states, without the entry behind the last one.
    pub const STATES: usize = 3;
    /// Number of edges.
    pub const EDGES: usize = 4;
    /// Number of calls.
    pub const CALLS: usize = 5;
    /// Number of references to tokens.
    pub const TOKENS: usize = 6;
    /// Bytes of all spellings.
    pub const SPELLINGS: usize = 7;
    /// The state that the grammar begins in.
    pub const START: usize = 8;
    /// Zero.
    pub const RESERVED: usize = 9;
    /// How many there are.
    pub const FIELDS: usize = 10;
}

/// A state: where its lists begin. Two halves of the first edge's index, the lower one first; the
/// first call; the first reference to a token; how deep calls must be nested, beyond those under
/// way, for the rule to end from here; flags.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct State([U16; 6]);

const _: () = assert!(size_of::<State>() == 12);

impl State {
    /// Puts an entry together.
    pub fn new(edges: u32, calls: u16, tokens: u16, need: u16, flags: u16) -> Self {
        // CAST: The two halves.
        let (low, high) = (edges as u16, (edges >> 16) as u16);
        Self([low, high, calls, tokens, need, flags].map(U16::new))
    }

    #[inline]
    fn edges(&self) -> usize {
        let [low, high, ..] = self.0;
        usize::from(low.get()) | usize::from(high.get()) << 16
    }

    #[inline]
    fn calls(&self) -> usize {
        let [_, _, calls, ..] = self.0;
        calls.get().into()
    }

    #[inline]
    fn tokens(&self) -> usize {
        let [_, _, _, tokens, ..] = self.0;
        tokens.get().into()
    }

    #[inline]
    fn need(&self) -> u16 {
        let [.., need, _] = self.0;
        need.get()
    }

    #[inline]
    fn flags(&self) -> u16 {
        let [.., flags] = self.0;
        flags.get()
    }
}

/// What a state does with some bytes: the first and the last of them, and the state behind them.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Edge([u8; 4]);

impl Edge {
    /// Puts an entry together.
    pub fn new(first: u8, last: u8, target: u16) -> Self {
        let [low, high] = target.to_le_bytes();
        Self([first, last, low, high])
    }

    #[inline]
    pub(super) fn first(&self) -> u8 {
        let [first, ..] = self.0;
        first
    }

    #[inline]
    pub(super) fn last(&self) -> u8 {
        let [_, last, ..] = self.0;
        last
    }

    #[inline]
    pub(super) fn target(&self) -> u16 {
        let [.., low, high] = self.0;
        u16::from_le_bytes([low, high])
    }
}

/// A rule that may follow in a state: the state that it begins in, and the one behind it or
/// [`NO_STATE`].
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Call([U16; 2]);

impl Call {
    /// Puts an entry together.
    pub fn new(start: u16, behind: u16) -> Self {
        Self([start, behind].map(U16::new))
    }

    #[inline]
    pub(super) fn start(&self) -> u16 {
        let [start, _] = self.0;
        start.get()
    }

    #[inline]
    pub(super) fn behind(&self) -> u16 {
        let [_, behind] = self.0;
        behind.get()
    }
}

/// A token of the vocabulary that may follow in a state, whatever its bytes are. Two halves of its
/// number, or of where its spelling begins if it has one; bytes of the spelling, 0 for a token that
/// is given by its number; the state behind it; flags; zero.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Token([U16; 6]);

impl Token {
    /// Puts an entry together.
    pub fn new(value: u32, spelling: u16, target: u16, flags: u16) -> Self {
        // CAST: The two halves.
        let (low, high) = (value as u16, (value >> 16) as u16);
        Self([low, high, spelling, target, flags, 0].map(U16::new))
    }

    pub(super) fn value(&self) -> u32 {
        let [low, high, ..] = self.0;
        u32::from(low.get()) | u32::from(high.get()) << 16
    }

    fn spelling(&self) -> usize {
        let [_, _, spelling, ..] = self.0;
        spelling.get().into()
    }

    pub(super) fn target(&self) -> u16 {
        let [_, _, _, target, ..] = self.0;
        target.get()
    }

    pub(super) fn flags(&self) -> u16 {
        let [.., flags, _] = self.0;
        flags.get()
    }

    fn reserved(&self) -> u16 {
        let [.., reserved] = self.0;
        reserved.get()
    }
}

/// Why a table was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// It has more than [`MAX_BYTES`].
    TooLong {
        /// Its bytes.
        bytes: u64,
    },
    /// It does not begin as a table does.
    NotATable,
    /// A version of the format that is not read.
    Version {
        /// The version.
        version: u32,
    },
    /// A number in the header is larger than what is accepted.
    Limit {
        /// What is counted.
        what: &'static str,
        /// The number.
        value: u32,
    },
    /// It has fewer or more bytes than its header says.
    Length {
        /// Bytes that the header asks for.
        need: u64,
        /// Bytes that there are.
        have: u64,
    },
    /// An entry refers to something that is not there, or is not in its order.
    Entry {
        /// The entry's kind.
        what: &'static str,
        /// Its index.
        index: u32,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(
                f,
                "the table has {bytes} bytes, more than the limit of {MAX_BYTES}"
            ),
            Self::NotATable => f.write_str("the bytes are not a compiled grammar"),
            Self::Version { version } => {
                write!(f, "the table's version is {version}, expected {VERSION}")
            }
            Self::Limit { what, value } => write!(f, "the number of {what} is {value}"),
            Self::Length { need, have } => {
                write!(f, "the table has {have} bytes, its header says {need}")
            }
            Self::Entry { what, index } => write!(f, "{what} {index} is not valid"),
        }
    }
}

impl core::error::Error for TableError {}

/// A table that was checked.
///
/// # Invariants
///
/// The lists of each state are within theirs and in order; each state that is referred to exists.
#[derive(Clone, Copy, Debug)]
pub struct Grammar<'t> {
    states: &'t [State],
    edges: &'t [Edge],
    calls: &'t [Call],
    tokens: &'t [Token],
    spellings: &'t [u8],
    start: u16,
}

/// A table that was checked, with its bytes: whoever keeps it has its [`Grammar`] at no cost.
///
/// # Invariants
///
/// The bytes, which nobody changes, were checked.
#[derive(Debug)]
pub struct Checked<B>(B);

impl<B: Deref<Target = [u8]>> Checked<B> {
    /// Checks a table.
    pub fn new(table: B) -> Result<Self, TableError> {
        Grammar::new(&table)?;
        // INVARIANT: It was.
        Ok(Self(table))
    }

    /// The table.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The grammar; `None` if the bytes are not those any more that were checked.
    pub fn grammar(&self) -> Option<Grammar<'_>> {
        Grammar::split(&self.0).ok()
    }
}

impl<'t> Grammar<'t> {
    /// Checks a table. Takes one pass over it.
    pub fn new(table: &'t [u8]) -> Result<Self, TableError> {
        let grammar = Self::split(table)?;
        // INVARIANT: All of it is checked here.
        grammar.check()?;
        Ok(grammar)
    }

    /// Finds the lists of a table by its header.
    fn split(table: &'t [u8]) -> Result<Self, TableError> {
        if table.len() > MAX_BYTES {
            return Err(TableError::TooLong {
                // CAST: `usize` is at most 64 bits wide.
                bytes: table.len() as u64,
            });
        }
        let have = table.len() as u64;
        if table.get(..MAGIC.len()) != Some(&MAGIC[..]) {
            return Err(TableError::NotATable);
        }
        let header = <Header as zerocopy::FromBytes>::ref_from_prefix(table);
        let (header, rest) = header.map_err(|_| TableError::Length {
            need: size_of::<Header>() as u64,
            have,
        })?;
        let field = |index: usize| header.0.get(index).map_or(0, |field| field.get());
        let version = field(header::VERSION);
        if version != VERSION {
            return Err(TableError::Version { version });
        }
        for (what, value, limit) in [
            ("states", field(header::STATES), MAX_STATES),
            ("edges", field(header::EDGES), MAX_EDGES),
            ("calls", field(header::CALLS), MAX_REFERENCES),
            ("tokens", field(header::TOKENS), MAX_REFERENCES),
            ("bytes of spellings", field(header::SPELLINGS), MAX_BYTES),
        ] {
            if crate::size(value) > limit || (what == "states" && value == 0) {
                return Err(TableError::Limit { what, value });
            }
        }
        // OVERFLOW: Of the limits above.
        let need = size_of::<Header>()
            + (crate::size(field(header::STATES)) + 1) * size_of::<State>()
            + crate::size(field(header::EDGES)) * size_of::<Edge>()
            + crate::size(field(header::CALLS)) * size_of::<Call>()
            + crate::size(field(header::TOKENS)) * size_of::<Token>()
            + crate::size(field(header::SPELLINGS));
        let length = TableError::Length {
            need: need as u64,
            have,
        };
        if need != table.len() || crate::size(field(header::BYTES)) != need {
            return Err(length);
        }
        let (states, rest) = prefix(rest, field(header::STATES) + 1).ok_or(length)?;
        let (edges, rest) = prefix(rest, field(header::EDGES)).ok_or(length)?;
        let (calls, rest) = prefix(rest, field(header::CALLS)).ok_or(length)?;
        let (tokens, spellings) = prefix(rest, field(header::TOKENS)).ok_or(length)?;
        let entry = |what, index| TableError::Entry { what, index };
        let start = u16::try_from(field(header::START))
            .ok()
            .filter(|&start| u32::from(start) < field(header::STATES))
            .filter(|_| field(header::RESERVED) == 0)
            .ok_or(entry("header", 0))?;
        Ok(Self {
            states,
            edges,
            calls,
            tokens,
            spellings,
            start,
        })
    }

    fn check(&self) -> Result<(), TableError> {
        let entry = |what, index| TableError::Entry {
            what,
            // CAST: Below the limits.
            index: index as u32,
        };
        let exists = |state: u16| usize::from(state) + 1 < self.states.len();
        let lists = |state: &State| (state.edges(), state.calls(), state.tokens());
        let ends = (self.edges.len(), self.calls.len(), self.tokens.len());
        if self.states.first().map(lists) != Some((0, 0, 0))
            || self.states.last().map(lists) != Some(ends)
        {
            return Err(entry("state", 0));
        }
        for (index, pair) in self.states.windows(2).enumerate() {
            let [state, next] = pair else { continue };
            let ascending = state.edges() <= next.edges()
                && state.calls() <= next.calls()
                && state.tokens() <= next.tokens();
            let edges = self.edges.get(state.edges()..next.edges());
            if !ascending
                || state.flags() & !END != 0
                || state.need() > MAX_DEPTH
                || !edges.is_some_and(|edges| edges.is_sorted_by_key(Edge::first))
            {
                return Err(entry("state", index));
            }
        }
        for (index, edge) in self.edges.iter().enumerate() {
            if edge.first() > edge.last() || !exists(edge.target()) {
                return Err(entry("edge", index));
            }
        }
        for (index, call) in self.calls.iter().enumerate() {
            if !exists(call.start()) || !(call.behind() == NO_STATE || exists(call.behind())) {
                return Err(entry("call", index));
            }
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let spelled = token.spelling() == 0 || self.spelling(token).is_some();
            if !spelled
                || token.spelling() > MAX_SPELLING
                || !exists(token.target())
                || token.flags() & !NOT != 0
                || token.reserved() != 0
            {
                return Err(entry("token", index));
            }
        }
        Ok(())
    }

    /// The state that the grammar begins in.
    pub(super) fn start(&self) -> u16 {
        self.start
    }

    /// How deep calls must be nested, beyond those under way, for the rule to end from a state.
    #[inline]
    pub(super) fn need(&self, state: u16) -> u16 {
        self.states
            .get(usize::from(state))
            .map_or(u16::MAX, State::need)
    }

    /// Whether a rule may end in a state.
    #[inline]
    pub(super) fn ends(&self, state: u16) -> bool {
        self.states
            .get(usize::from(state))
            .is_some_and(|state| state.flags() & END != 0)
    }

    /// The edges of a state.
    #[inline]
    pub(super) fn edges(&self, state: u16) -> &'t [Edge] {
        let (begin, end) = self.bounds(state, State::edges);
        self.edges.get(begin..end).unwrap_or(&[])
    }

    /// The calls of a state.
    #[inline]
    pub(super) fn calls(&self, state: u16) -> &'t [Call] {
        let (begin, end) = self.bounds(state, State::calls);
        self.calls.get(begin..end).unwrap_or(&[])
    }

    /// The references to tokens of a state.
    #[inline]
    pub(super) fn tokens(&self, state: u16) -> &'t [Token] {
        let (begin, end) = self.bounds(state, State::tokens);
        self.tokens.get(begin..end).unwrap_or(&[])
    }

    /// Whether any state refers to tokens.
    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// How a token is spelled that is not given by its number.
    pub(super) fn spelling(&self, token: &Token) -> Option<&'t [u8]> {
        let begin = crate::size(token.value());
        let len = token.spelling();
        if len == 0 {
            return None;
        }
        self.spellings.get(begin..begin.checked_add(len)?)
    }

    #[inline]
    fn bounds(&self, state: u16, list: impl Fn(&State) -> usize) -> (usize, usize) {
        let index = usize::from(state);
        match self.states.get(index..).unwrap_or(&[]) {
            [state, next, ..] => (list(state), list(next)),
            _ => (0, 0),
        }
    }
}

/// The bytes of entries, as they are in a table.
pub fn bytes<T: zerocopy::IntoBytes + zerocopy::Immutable>(entries: &[T]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(entries)
}

/// The first `count` elements of `bytes`, and the rest.
fn prefix<T>(bytes: &[u8], count: u32) -> Option<(&[T], &[u8])>
where
    T: zerocopy::FromBytes + zerocopy::Immutable + zerocopy::Unaligned,
{
    <[T] as zerocopy::FromBytes>::ref_from_prefix_with_elems(bytes, crate::size(count)).ok()
}
