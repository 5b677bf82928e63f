// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Follows a text through a grammar, on all of the paths that fit it at once.
//!
//! A path is a state and the stack of states to go on in when the rules under way end. The stacks of
//! all paths share what they have in common: a stack is a [`Node`] with its top and the node below,
//! and equal stacks are the same node, so that two paths that have come to the same place become
//! one. Node 0 is the empty stack.
//!
//! Nothing is recursive and nothing grows: a path for which there is no room, or not enough work, is
//! given up, which can refuse a text that the grammar allows, and never allows one that it refuses.

use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

use super::table::{Grammar, MAX_DEPTH, NO_STATE};
use super::trie::MAX_TOKEN;
use crate::arena::Arena;
use crate::error::Error;

/// Most paths at any place of a text.
pub const MAX_PATHS: usize = 64;
/// Most nodes of the stacks of all paths, between two tokens.
pub const MAX_NODES: usize = 512;
/// Most nodes within a token.
const SCRATCH_NODES: usize = 4096;
/// Most work for one byte, in entries that are looked at.
const STEP_WORK: u64 = 1 << 18;
/// Most paths at all places of a token.
const SCRATCH_PATHS: usize = 8192;

/// One path: a state, and the node of its stack's top.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Path([u16; 2]);

impl Path {
    #[inline]
    pub(super) fn state(self) -> u16 {
        let [state, _] = self.0;
        state
    }

    #[inline]
    fn stack(self) -> u16 {
        let [_, stack] = self.0;
        stack
    }
}

/// A stack, by its top, as it is kept: the state to go on in; the stack below; the newest of the
/// stacks that this one is below of, or 0; an older one with the same stack below, or 0; how many
/// nodes are below.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(transparent)]
struct KeptNode([u16; 5]);

/// The same by names.
#[derive(Clone, Copy, Default)]
struct Node {
    state: u16,
    below: u16,
    above: u16,
    sibling: u16,
    depth: u16,
}

impl KeptNode {
    #[inline]
    fn get(self) -> Node {
        let [state, below, above, sibling, depth] = self.0;
        Node {
            state,
            below,
            above,
            sibling,
            depth,
        }
    }

    #[inline]
    fn new(node: Node) -> Self {
        Self([node.state, node.below, node.above, node.sibling, node.depth])
    }

    #[inline]
    fn set_above(&mut self, node: u16) {
        let [_, _, above, ..] = &mut self.0;
        *above = node;
    }
}

/// Where several texts have come to, each between two of its tokens.
pub struct Places<'a> {
    /// `(places)`
    counts: &'a mut [Counts],
    /// `(places, MAX_PATHS)`
    paths: &'a mut [Path],
    /// `(places, MAX_NODES)`
    nodes: &'a mut [KeptNode],
}

/// How many paths and nodes a place has.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Counts {
    paths: u32,
    nodes: u32,
}

impl<'a> Places<'a> {
    /// Carves the memory of so many places.
    pub fn lay_out(count: usize, arena: &mut Arena<'a>) -> Result<Self, Error> {
        let counts = arena.slice(count)?;
        counts.fill(Counts::default());
        Ok(Self {
            counts,
            paths: arena.slice(count.saturating_mul(MAX_PATHS))?,
            nodes: arena.slice(count.saturating_mul(MAX_NODES))?,
        })
    }

    /// One of the places.
    pub fn get(&mut self, index: usize) -> Result<Place<'_>, Error> {
        let counts = self.counts.get_mut(index);
        let paths = self.paths.chunks_exact_mut(MAX_PATHS).nth(index);
        let nodes = self.nodes.chunks_exact_mut(MAX_NODES).nth(index);
        match (counts, paths, nodes) {
            (Some(counts), Some(paths), Some(nodes)) => Ok(Place {
                counts,
                paths,
                nodes,
            }),
            _ => Err(Error::Operation("grammar")),
        }
    }
}

/// Where a text has come to, between two tokens.
pub struct Place<'p> {
    counts: &'p mut Counts,
    /// `(MAX_PATHS)`
    paths: &'p mut [Path],
    /// `(MAX_NODES)`
    nodes: &'p mut [KeptNode],
}

impl Place<'_> {
    /// The same place, for a while.
    pub(super) fn reborrow(&mut self) -> Place<'_> {
        Place {
            counts: self.counts,
            paths: self.paths,
            nodes: self.nodes,
        }
    }
}

/// The paths at one place of a text: a range of [`Stacks::paths`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paths {
    begin: u32,
    end: u32,
}

impl Paths {
    /// Whether there is no path.
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.begin >= self.end
    }
}

/// The bytes that may come next, a bit for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstBytes([u32; 8]);

impl FirstBytes {
    const NONE: Self = Self([0; 8]);
    const ANY: Self = Self([u32::MAX; 8]);

    /// Whether a byte is one of them.
    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        let word = self.0.get(usize::from(byte / 32));
        word.is_some_and(|word| word >> (byte % 32) & 1 != 0)
    }

    fn set(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte / 32)) {
            *word |= 1 << (byte % 32);
        }
    }
}

/// How much of a [`Stacks`] is used, to come back to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    paths: u32,
    nodes: u32,
}

/// The paths behind each byte of a token, and how much was used then.
pub(super) struct Levels<'a>(&'a mut [[u32; 4]]);

impl<'a> Levels<'a> {
    pub(super) fn lay_out(arena: &mut Arena<'a>) -> Result<Self, Error> {
        Ok(Self(arena.slice(MAX_TOKEN + 1)?))
    }

    #[inline]
    pub(super) fn get(&self, bytes: usize) -> (Paths, Mark) {
        let [begin, end, paths, nodes] = self.0.get(bytes).copied().unwrap_or_default();
        (Paths { begin, end }, Mark { paths, nodes })
    }

    #[inline]
    pub(super) fn set(&mut self, bytes: usize, (paths, mark): (Paths, Mark)) {
        if let Some(slot) = self.0.get_mut(bytes) {
            *slot = [paths.begin, paths.end, mark.paths, mark.nodes];
        }
    }
}

/// Memory to follow a text in.
pub(super) struct Stacks<'a> {
    /// `(SCRATCH_PATHS)`
    paths: &'a mut [Path],
    path_count: usize,
    /// `(SCRATCH_NODES)`
    nodes: &'a mut [KeptNode],
    node_count: usize,
    /// How many entries were looked at.
    work: u64,
    /// When to stop looking.
    limit: u64,
}

impl<'a> Stacks<'a> {
    pub(super) fn lay_out(arena: &mut Arena<'a>) -> Result<Self, Error> {
        Ok(Self {
            paths: arena.slice(SCRATCH_PATHS)?,
            path_count: 0,
            nodes: arena.slice(SCRATCH_NODES)?,
            node_count: 0,
            work: 0,
            limit: 0,
        })
    }

    /// How many entries of tables and stacks were looked at since a place was resumed.
    #[inline]
    pub(super) fn work(&self) -> u64 {
        self.work
    }

    /// The paths of a text that has not begun.
    pub(super) fn start(&mut self, grammar: &Grammar<'_>) -> Paths {
        self.clear();
        let paths = self.begin();
        self.add(grammar, paths, grammar.start(), 0);
        self.close(grammar, paths, paths.begin)
    }

    /// The paths of a place.
    pub(super) fn resume(&mut self, place: &Place<'_>) -> Paths {
        self.clear();
        self.work = 0;
        let nodes = place.nodes.get(..crate::size(place.counts.nodes));
        for node in nodes.unwrap_or(&[]).iter().skip(1) {
            // In this order each node gets the index that it has in the place.
            let node = node.get();
            self.push_node(node.state, node.below);
        }
        let paths = self.open();
        let kept = place.paths.get(..crate::size(place.counts.paths));
        for path in kept.unwrap_or(&[]) {
            self.push_path(*path);
        }
        self.since(paths)
    }

    /// Makes a place of paths, after which nothing is left here.
    pub(super) fn keep(&mut self, paths: Paths, place: &mut Place<'_>) -> Result<(), Error> {
        // What is on the stack of a path is marked in `above`, from the newest node to the oldest,
        // as the node below is always older.
        let nodes = self.nodes.get_mut(..self.node_count).unwrap_or_default();
        nodes.iter_mut().for_each(|node| node.set_above(0));
        let live = self
            .paths
            .get(crate::size(paths.begin)..crate::size(paths.end))
            .unwrap_or(&[]);
        for path in live {
            if let Some(node) = nodes.get_mut(usize::from(path.stack())) {
                node.set_above(1);
            }
        }
        for index in (1..nodes.len()).rev() {
            let node = nodes.get(index).map(|node| node.get()).unwrap_or_default();
            if node.above != 0 {
                if let Some(below) = nodes.get_mut(usize::from(node.below)) {
                    below.set_above(1);
                }
            }
        }
        // Then, from the oldest to the newest, `above` becomes the node's index in the place.
        let index_of = |nodes: &[KeptNode], node: u16| {
            nodes
                .get(usize::from(node))
                .map_or(0, |node| node.get().above)
        };
        let mut count = 0;
        for index in 0..nodes.len() {
            let node = nodes.get(index).map(|node| node.get()).unwrap_or_default();
            if index != 0 && node.above == 0 {
                continue;
            }
            let below = index_of(nodes, node.below);
            let kept = place.nodes.get_mut(count).ok_or(Error::GrammarStuck)?;
            *kept = KeptNode::new(Node { below, ..node });
            if let Some(node) = nodes.get_mut(index) {
                // CAST: Below `MAX_NODES`.
                node.set_above(count as u16);
            }
            count += 1;
        }
        // CAST: Both are bounded by the place's memory.
        place.counts.nodes = count as u32;
        for (kept, path) in place.paths.iter_mut().zip(live) {
            *kept = Path([path.state(), index_of(nodes, path.stack())]);
        }
        place.counts.paths = live.len().min(place.paths.len()) as u32;
        self.clear();
        Ok(())
    }

    /// The bytes behind which there may be a path, or more than these.
    pub(super) fn first_bytes(&mut self, grammar: &Grammar<'_>, paths: Paths) -> FirstBytes {
        self.begin();
        let mut first = FirstBytes::NONE;
        for path in self
            .paths
            .iter()
            .take(crate::size(paths.end))
            .skip(crate::size(paths.begin))
        {
            for edge in grammar.edges(path.state()) {
                self.work += 1;
                if self.work > self.limit {
                    return FirstBytes::ANY;
                }
                (edge.first()..=edge.last()).for_each(|byte| first.set(byte));
            }
        }
        first
    }

    /// The paths behind one more byte.
    #[inline]
    pub(super) fn step(&mut self, grammar: &Grammar<'_>, from: Paths, byte: u8) -> Paths {
        let paths = self.begin();
        self.work += 1;
        for index in from.begin..from.end {
            let Some(path) = self.paths.get(crate::size(index)).copied() else {
                break;
            };
            for edge in grammar.edges(path.state()) {
                self.work += 1;
                if edge.first() > byte || self.work > self.limit {
                    break;
                }
                if byte <= edge.last() {
                    self.add(grammar, paths, edge.target(), path.stack());
                }
            }
        }
        self.close(grammar, paths, paths.begin)
    }

    /// Adds to `paths`, the newest ones, what a state behind one of `from` leads to, as far as there is work
    /// left to spend.
    pub(super) fn branch(
        &mut self,
        grammar: &Grammar<'_>,
        paths: Paths,
        (path, state): (Path, u16),
    ) -> Paths {
        // Those before were gone on from already.
        let new = self.open().begin;
        self.add(grammar, paths, state, path.stack());
        self.close(grammar, paths, new)
    }

    /// Counts entries that were looked at. Whether there is work left to spend at this place.
    #[inline]
    pub(super) fn spend(&mut self, entries: usize) -> bool {
        // CAST: `usize` is at most 64 bits wide.
        self.work = self.work.saturating_add(entries as u64);
        self.work <= self.limit
    }

    /// Begins a new place, for which there is some work to spend.
    #[inline]
    pub(super) fn begin(&mut self) -> Paths {
        self.limit = self.work.saturating_add(STEP_WORK);
        self.open()
    }

    /// The place that begins now.
    #[inline]
    pub(super) fn open(&self) -> Paths {
        // CAST: At most `SCRATCH_PATHS`.
        let begin = self.path_count as u32;
        Paths { begin, end: begin }
    }

    /// The paths of a place.
    #[inline]
    pub(super) fn get(&self, paths: Paths) -> &[Path] {
        self.paths
            .get(crate::size(paths.begin)..crate::size(paths.end))
            .unwrap_or(&[])
    }

    /// Whether the grammar is complete on one of the paths.
    pub(super) fn is_complete(&self, grammar: &Grammar<'_>, paths: Paths) -> bool {
        self.get(paths)
            .iter()
            .any(|path| path.stack() == 0 && grammar.ends(path.state()))
    }

    /// How much is used.
    #[inline]
    pub(super) fn mark(&self) -> Mark {
        // CAST: The lengths of the scratch memory.
        Mark {
            paths: self.path_count as u32,
            nodes: self.node_count as u32,
        }
    }

    /// Forgets what is newer than a mark.
    #[inline]
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.path_count = self.path_count.min(crate::size(mark.paths));
        let keep = crate::size(mark.nodes);
        while self.node_count > keep {
            self.node_count -= 1;
            let node = self.node(self.node_count);
            // The newest node is the first of its siblings.
            if let Some(below) = self.nodes.get_mut(usize::from(node.below)) {
                below.set_above(node.sibling);
            }
        }
    }

    fn clear(&mut self) {
        self.path_count = 0;
        self.node_count = 1;
        if let Some(bottom) = self.nodes.first_mut() {
            *bottom = KeptNode::default();
        }
    }

    #[inline]
    fn since(&self, paths: Paths) -> Paths {
        Paths {
            end: self.path_count as u32,
            ..paths
        }
    }

    /// Adds a path unless it is there, or can not end within the depth.
    #[inline]
    fn add(&mut self, grammar: &Grammar<'_>, paths: Paths, state: u16, stack: u16) {
        let path = Path([state, stack]);
        let depth = self.depth(stack);
        // OVERFLOW: Here and elsewhere: it would take centuries.
        self.work += 1;
        if depth.saturating_add(grammar.need(state)) > MAX_DEPTH {
            return;
        }
        let begin = crate::size(paths.begin);
        self.work += (self.path_count - begin.min(self.path_count)) as u64;
        let there = self.paths.get(begin..self.path_count).unwrap_or(&[]);
        if there.len() < MAX_PATHS && !there.contains(&path) {
            self.push_path(path);
        }
    }

    /// Adds what follows without a byte on the paths from the one at `new` on: the rules that are called, and
    /// what is behind those that end.
    #[inline]
    fn close(&mut self, grammar: &Grammar<'_>, paths: Paths, new: u32) -> Paths {
        let mut index = crate::size(new);
        while let Some(path) = self
            .paths
            .get(index)
            .copied()
            .filter(|_| index < self.path_count && self.work <= self.limit)
        {
            self.work += 1;
            for call in grammar.calls(path.state()) {
                self.work += 1;
                if self.work > self.limit {
                    break;
                }
                let behind = call.behind();
                let stack = if behind == NO_STATE {
                    Some(path.stack())
                } else {
                    self.push(grammar, behind, path.stack())
                };
                if let Some(stack) = stack {
                    self.add(grammar, paths, call.start(), stack);
                }
            }
            if path.stack() != 0 && grammar.ends(path.state()) {
                let top = self.node(path.stack().into());
                self.add(grammar, paths, top.state, top.below);
            }
            index += 1;
        }
        self.since(paths)
    }

    /// The stack with `state` on top of another one, if what is then to be matched can end within
    /// the depth and there is room.
    fn push(&mut self, grammar: &Grammar<'_>, state: u16, below: u16) -> Option<u16> {
        if self.depth(below).saturating_add(grammar.need(state)) > MAX_DEPTH {
            return None;
        }
        let mut above = self.node(below.into()).above;
        while above != 0 {
            self.work += 1;
            if self.work > self.limit {
                return None;
            }
            let node = self.node(above.into());
            if node.state == state {
                return Some(above);
            }
            above = node.sibling;
        }
        if self.depth(below) >= MAX_DEPTH {
            return None;
        }
        self.push_node(state, below)
    }

    fn push_node(&mut self, state: u16, below: u16) -> Option<u16> {
        let index = self.node_count;
        let base = self.node(below.into());
        // CAST: Below `SCRATCH_NODES`.
        let new = index as u16;
        *self.nodes.get_mut(index)? = KeptNode::new(Node {
            state,
            below,
            above: 0,
            sibling: base.above,
            depth: base.depth.saturating_add(1),
        });
        self.nodes.get_mut(usize::from(below))?.set_above(new);
        self.node_count += 1;
        Some(new)
    }

    #[inline]
    fn node(&self, index: usize) -> Node {
        self.nodes
            .get(index)
            .map(|node| node.get())
            .unwrap_or_default()
    }

    fn push_path(&mut self, path: Path) {
        if let Some(slot) = self.paths.get_mut(self.path_count) {
            *slot = path;
            self.path_count += 1;
        }
    }

    #[inline]
    fn depth(&self, stack: u16) -> u16 {
        self.node(stack.into()).depth
    }
}
