// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From rules to automata over bytes that call each other.
//!
//! A rule becomes a non-deterministic automaton (Thompson, Regular Expression Search Algorithm,
//! <https://doi.org/10.1145/363347.363387>), into which small rules that it names are copied, and then
//! one whose states are sets of that one's states: what a byte leads to is one state, unless there
//! are too many such sets. Calls and tokens of a set are kept beside its bytes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use llamux_engine::grammar::table::{MAX_DEPTH, MAX_STATES};

use super::parse::{Expr, Rules, TokenName};
use super::utf8::byte_ranges;
use super::GrammarError;

/// Rules up to this many steps are copied into those that name them.
const INLINE_STEPS: usize = 256;
/// How deep rules are copied into rules that are copied.
const INLINE_DEPTH: usize = 16;
/// Most steps of building the automaton of a rule.
const MAX_STEPS: usize = 1 << 19;
/// Most members of all sets of a rule.
const MAX_MEMBERS: usize = 1 << 22;
/// States that an automaton may get more of when it becomes deterministic, beside twice its own.
const MORE_STATES: usize = 1024;

/// A state that is never an end.
const NEVER: u32 = u32::MAX;

/// All states of a grammar.
pub(super) struct Automaton {
    pub(super) states: Vec<State>,
    pub(super) start: usize,
}

/// What is done in a state.
#[derive(Clone, Default)]
pub(super) struct State {
    /// The first and the last of some bytes, and the state behind them; by the first.
    pub(super) edges: Vec<(u8, u8, usize)>,
    /// The state that a rule begins in, and the state behind it unless there is nothing.
    pub(super) calls: Vec<(usize, Option<usize>)>,
    /// A token, whether any other is meant, and the state behind it.
    pub(super) tokens: Vec<(TokenName, bool, usize)>,
    /// Whether the rule may end here.
    pub(super) end: bool,
    /// How deep calls must be nested for it to end.
    pub(super) need: u32,
}

impl State {
    fn is_last(&self) -> bool {
        self.end && self.edges.is_empty() && self.calls.is_empty() && self.tokens.is_empty()
    }
}

impl Automaton {
    /// Makes the automata of all rules that are needed.
    pub(super) fn new(rules: &Rules) -> Result<Self, GrammarError> {
        let references = References::new(rules)?;
        let mut states = vec![];
        // The states that rules begin in; a call names its rule until all are known.
        let mut starts = HashMap::new();
        let mut wanted = VecDeque::from([rules.root]);
        while let Some(rule) = wanted.pop_front() {
            if starts.contains_key(&rule) {
                continue;
            }
            starts.insert(rule, states.len());
            let nfa = Nfa::new(rules, &references, rule)?;
            let own = match nfa.subsets(true, 2 * nfa.states.len() + MORE_STATES) {
                Some(own) => Some(own),
                None => nfa.subsets(false, MAX_STATES),
            };
            let base = states.len();
            let Some(mut own) = own.filter(|own| base + own.len() <= MAX_STATES) else {
                return Err(too_large(rules, rule));
            };
            for state in &mut own {
                state.edges.iter_mut().for_each(|edge| edge.2 += base);
                state.tokens.iter_mut().for_each(|token| token.2 += base);
                for (rule, behind) in &mut state.calls {
                    wanted.push_back(*rule);
                    *behind = behind.map(|behind| behind + base);
                }
            }
            states.extend(own);
        }
        let last: Vec<bool> = states.iter().map(State::is_last).collect();
        for state in &mut states {
            for (rule, behind) in &mut state.calls {
                *rule = starts[rule];
                *behind = behind.filter(|&behind| !last[behind]);
            }
        }
        find_needs(&mut states);
        if states[0].need == NEVER {
            let root = &rules.rules[rules.root];
            let message =
                "rule \"root\" can not end: some rule that it needs always names itself, \
                           or is nested too deep";
            return Err(GrammarError::at(root.at, message));
        }
        Ok(Self {
            states: without_dead_ends(&states),
            start: 0,
        })
    }
}

fn too_large(rules: &Rules, rule: usize) -> GrammarError {
    let rule = &rules.rules[rule];
    let message = format!("rule \"{}\" is too large, with what it repeats", rule.name);
    GrammarError::at(rule.at, message)
}

/// What is known of the rules by which they name.
struct References {
    /// Whether a rule is copied into those that name it.
    inline: Vec<bool>,
}

impl References {
    fn new(rules: &Rules) -> Result<Self, GrammarError> {
        let count = rules.rules.len();
        let mut nullable = vec![false; count];
        loop {
            let before = nullable.clone();
            for (index, rule) in rules.rules.iter().enumerate().rev() {
                nullable[index] = is_nullable(&rule.expr, &nullable);
            }
            if before == nullable {
                break;
            }
        }

        let mut leftmost = vec![];
        let mut named = vec![];
        for rule in &rules.rules {
            let (mut left, mut all) = (HashMap::new(), HashMap::new());
            collect(&rule.expr, Some(&nullable), &mut left);
            collect(&rule.expr, None, &mut all);
            leftmost.push(left);
            named.push(all.into_keys().collect::<HashSet<usize>>());
        }
        let sets: Vec<HashSet<usize>> = leftmost
            .iter()
            .map(|left| left.keys().copied().collect())
            .collect();
        for rule in (0..count)
            .zip(on_cycles(&sets))
            .filter_map(|(rule, on)| on.then_some(rule))
        {
            let mut first: Vec<_> = leftmost[rule].iter().collect();
            first.sort_by_key(|(_, at)| (at.line, at.column));
            if let Some((_, at)) = first.iter().find(|(&next, _)| reaches(&sets, next, rule)) {
                let message = format!(
                    "rule \"{}\" begins with itself here",
                    rules.rules[rule].name
                );
                return Err(GrammarError::at(**at, message));
            }
        }

        let cyclic = on_cycles(&named);
        let mut decided = cyclic.clone();
        let mut inline = vec![false; count];
        let mut steps = vec![1; count];
        for _ in 0..INLINE_DEPTH {
            let ready: Vec<usize> = (0..count)
                .filter(|&rule| !decided[rule] && named[rule].iter().all(|&other| decided[other]))
                .collect();
            for rule in ready {
                let own = count_steps(&rules.rules[rule].expr, &steps);
                decided[rule] = true;
                inline[rule] = own <= INLINE_STEPS;
                if inline[rule] {
                    steps[rule] = own;
                }
            }
        }
        Ok(Self { inline })
    }
}

/// Whether an expression fits the empty text, as far as is known of the rules.
fn is_nullable(expr: &Expr, nullable: &[bool]) -> bool {
    match expr {
        Expr::Set(_) | Expr::Token(..) => false,
        Expr::Sequence(parts) => parts.iter().all(|part| is_nullable(part, nullable)),
        Expr::Either(branches) => branches.iter().any(|branch| is_nullable(branch, nullable)),
        Expr::Repeat(part, least, _) => *least == 0 || is_nullable(part, nullable),
        Expr::Rule(rule, _) => nullable[*rule],
    }
}

/// The rules that an expression names, or only those that it may begin with.
fn collect(expr: &Expr, leftmost: Option<&[bool]>, out: &mut HashMap<usize, super::Position>) {
    match expr {
        Expr::Set(_) | Expr::Token(..) => (),
        Expr::Sequence(parts) => {
            for part in parts {
                collect(part, leftmost, out);
                if leftmost.is_some_and(|nullable| !is_nullable(part, nullable)) {
                    break;
                }
            }
        }
        Expr::Either(branches) => branches
            .iter()
            .for_each(|branch| collect(branch, leftmost, out)),
        Expr::Repeat(_, _, Some(0)) => (),
        Expr::Repeat(part, ..) => collect(part, leftmost, out),
        Expr::Rule(rule, at) => {
            out.entry(*rule).or_insert(*at);
        }
    }
}

/// The rules that are on a cycle or between two: those that are left when rules that name no other
/// one, and rules that no other one names, are taken away again and again.
fn on_cycles(named: &[HashSet<usize>]) -> Vec<bool> {
    let mut back = vec![HashSet::new(); named.len()];
    for (rule, others) in named.iter().enumerate() {
        for &other in others {
            back[other].insert(rule);
        }
    }
    let mut left = vec![true; named.len()];
    for (to, from) in [(named, &back[..]), (&back[..], named)] {
        let count = |rule: usize, left: &[bool]| to[rule].iter().filter(|&&r| left[r]).count();
        let mut counts: Vec<usize> = (0..named.len()).map(|rule| count(rule, &left)).collect();
        let mut done: Vec<usize> = (0..named.len())
            .filter(|&rule| left[rule] && counts[rule] == 0)
            .collect();
        while let Some(rule) = done.pop() {
            left[rule] = false;
            for &other in from[rule].iter().filter(|&&other| left[other]) {
                counts[other] -= 1;
                if counts[other] == 0 {
                    done.push(other);
                }
            }
        }
    }
    left
}

fn reaches(named: &[HashSet<usize>], from: usize, to: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut todo = vec![from];
    while let Some(rule) = todo.pop() {
        if rule == to {
            return true;
        }
        todo.extend(named[rule].iter().filter(|&&next| seen.insert(next)));
    }
    false
}

/// About how many states an expression becomes.
fn count_steps(expr: &Expr, steps: &[usize]) -> usize {
    let sum = |parts: &[Expr]| {
        parts.iter().fold(1usize, |sum, part| {
            sum.saturating_add(count_steps(part, steps))
        })
    };
    match expr {
        Expr::Set(set) => 1 + set.len(),
        Expr::Token(..) => 1,
        Expr::Sequence(parts) | Expr::Either(parts) => sum(parts),
        Expr::Repeat(part, least, most) => {
            let times = most.map_or(*least + 1, |most| most.max(1));
            count_steps(part, steps).saturating_mul(times as usize)
        }
        Expr::Rule(rule, _) => steps[*rule],
    }
}

/// A state of a non-deterministic automaton.
#[derive(Default)]
struct Node {
    edges: Vec<(u8, u8, u32)>,
    free: Vec<u32>,
    calls: Vec<(usize, u32)>,
    tokens: Vec<(TokenName, bool, u32)>,
}

/// A non-deterministic automaton. State 0 is its end.
struct Nfa {
    states: Vec<Node>,
    start: u32,
}

struct Builder<'r> {
    rules: &'r Rules,
    references: &'r References,
    rule: usize,
    states: Vec<Node>,
    /// States with a single edge, which serve all who need the same.
    tails: HashMap<(u8, u8, u32), u32>,
    steps: usize,
}

impl Nfa {
    fn new(rules: &Rules, references: &References, rule: usize) -> Result<Self, GrammarError> {
        let mut builder = Builder {
            rules,
            references,
            rule,
            states: vec![Node::default()],
            tails: HashMap::new(),
            steps: 0,
        };
        let start = builder.build(&rules.rules[rule].expr, 0)?;
        Ok(Self {
            states: builder.states,
            start,
        })
    }
}

impl Builder<'_> {
    fn add(&mut self, node: Node) -> u32 {
        self.states.push(node);
        // CAST: Fewer than `MAX_STEPS` times a few.
        self.states.len() as u32 - 1
    }

    /// The state from which an expression leads to `next`.
    fn build(&mut self, expr: &Expr, next: u32) -> Result<u32, GrammarError> {
        self.steps += 1;
        if self.steps.max(self.states.len()) > MAX_STEPS {
            return Err(too_large(self.rules, self.rule));
        }
        Ok(match expr {
            Expr::Set(set) => {
                let mut edges = vec![];
                for range in set {
                    byte_ranges(*range.start(), *range.end(), &mut |row| {
                        let Some((&(first, last), rest)) = row.split_first() else {
                            return;
                        };
                        let target =
                            rest.iter().rev().fold(next, |next, &(first, last)| {
                                match self.tails.get(&(first, last, next)) {
                                    Some(&tail) => tail,
                                    None => {
                                        let tail = self.add(Node {
                                            edges: vec![(first, last, next)],
                                            ..Node::default()
                                        });
                                        self.tails.insert((first, last, next), tail);
                                        tail
                                    }
                                }
                            });
                        edges.push((first, last, target));
                    });
                }
                self.add(Node {
                    edges,
                    ..Node::default()
                })
            }
            Expr::Sequence(parts) => {
                let mut next = next;
                for part in parts.iter().rev() {
                    next = self.build(part, next)?;
                }
                next
            }
            Expr::Either(branches) => {
                let mut free = vec![];
                for branch in branches {
                    free.push(self.build(branch, next)?);
                }
                self.add(Node {
                    free,
                    ..Node::default()
                })
            }
            Expr::Repeat(part, least, most) => {
                let mut begin = next;
                match most {
                    None => {
                        begin = self.add(Node::default());
                        let body = self.build(part, begin)?;
                        self.states[begin as usize].free = vec![body, next];
                    }
                    Some(most) => {
                        for _ in *least..*most {
                            let body = self.build(part, begin)?;
                            begin = self.add(Node {
                                free: vec![body, next],
                                ..Node::default()
                            });
                        }
                    }
                }
                for _ in 0..*least {
                    begin = self.build(part, begin)?;
                }
                begin
            }
            Expr::Rule(rule, _) if self.references.inline[*rule] => {
                let rules = self.rules;
                self.build(&rules.rules[*rule].expr, next)?
            }
            Expr::Rule(rule, _) => self.add(Node {
                calls: vec![(*rule, next)],
                ..Node::default()
            }),
            Expr::Token(name, not) => self.add(Node {
                tokens: vec![(name.clone(), *not, next)],
                ..Node::default()
            }),
        })
    }
}

/// Sets of states that were met, and the number of each.
#[derive(Default)]
struct Sets {
    numbers: HashMap<Vec<u32>, usize>,
    todo: VecDeque<Vec<u32>>,
    members: usize,
}

impl Sets {
    fn number(&mut self, set: Vec<u32>) -> usize {
        let next = self.numbers.len();
        if let Some(&number) = self.numbers.get(&set) {
            return number;
        }
        self.members += set.len();
        self.numbers.insert(set.clone(), next);
        self.todo.push_back(set);
        next
    }
}

impl Nfa {
    /// The automaton whose states are sets of states, with rules in place of the states that calls
    /// lead to; `None` if it would have more than `most`. If it is not to be deterministic, each
    /// state gets a set of its own, with what is reached from it for free.
    fn subsets(&self, deterministic: bool, most: usize) -> Option<Vec<State>> {
        let mut sets = Sets::default();
        let mut states = vec![];
        sets.number(self.closure(&[self.start]));
        while let Some(set) = sets.todo.pop_front() {
            if sets.numbers.len() > most || sets.members > MAX_MEMBERS {
                return None;
            }
            let mut state = State {
                end: set.contains(&0),
                ..State::default()
            };
            let nodes = || set.iter().map(|&node| &self.states[node as usize]);
            let mut targets = |targets: &mut Vec<u32>| -> Vec<usize> {
                targets.sort_unstable();
                targets.dedup();
                if deterministic {
                    vec![sets.number(self.closure(targets))]
                } else {
                    let each = targets.iter();
                    each.map(|&target| sets.number(self.closure(&[target])))
                        .collect()
                }
            };

            let edges: Vec<(u8, u8, u32)> = nodes().flat_map(|node| node.edges.clone()).collect();
            let mut cuts: Vec<u16> = edges
                .iter()
                .flat_map(|edge| [edge.0.into(), u16::from(edge.1) + 1])
                .collect();
            cuts.sort_unstable();
            cuts.dedup();
            // The bytes that lead to each set, ascending.
            let mut ranges: Vec<(u8, u8, usize)> = vec![];
            let mut known: HashMap<Vec<u32>, Vec<usize>> = HashMap::new();
            for pair in cuts.windows(2) {
                // CAST: Both are bytes, as the last cut is one behind the last byte.
                let (first, last) = (pair[0] as u8, (pair[1] - 1) as u8);
                let mut to: Vec<u32> = edges
                    .iter()
                    .filter(|edge| edge.0 <= first && last <= edge.1)
                    .map(|edge| edge.2)
                    .collect();
                if to.is_empty() {
                    continue;
                }
                let numbers = match known.get(&to) {
                    Some(numbers) => numbers.clone(),
                    None => {
                        let key = to.clone();
                        let numbers = targets(&mut to);
                        known.insert(key, numbers.clone());
                        numbers
                    }
                };
                for number in numbers {
                    let before = ranges.iter_mut().rev().find(|range| range.2 == number);
                    match before {
                        Some(range) if range.1 + 1 == first => range.1 = last,
                        _ => ranges.push((first, last, number)),
                    }
                }
            }
            ranges.sort_unstable();
            state.edges = ranges;

            let mut calls: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
            for &(rule, behind) in nodes().flat_map(|node| &node.calls) {
                calls.entry(rule).or_default().push(behind);
            }
            for (rule, mut behind) in calls {
                let behind = targets(&mut behind).into_iter();
                state
                    .calls
                    .extend(behind.map(|behind| (rule, Some(behind))));
            }
            let mut tokens: Vec<((TokenName, bool), Vec<u32>)> = vec![];
            for (name, not, behind) in nodes().flat_map(|node| &node.tokens) {
                let key = (name.clone(), *not);
                match tokens.iter_mut().find(|(other, _)| *other == key) {
                    Some((_, all)) => all.push(*behind),
                    None => tokens.push((key, vec![*behind])),
                }
            }
            for ((name, not), mut behind) in tokens {
                for behind in targets(&mut behind) {
                    state.tokens.push((name.clone(), not, behind));
                }
            }
            states.push(state);
        }
        Some(states)
    }

    /// The states that are reached for free from some, but for those that only lead on for free.
    fn closure(&self, from: &[u32]) -> Vec<u32> {
        let mut seen = HashSet::new();
        let mut todo = from.to_vec();
        let mut set = vec![];
        while let Some(state) = todo.pop() {
            if seen.insert(state) {
                let node = &self.states[state as usize];
                todo.extend(&node.free);
                if state == 0 || node.free.is_empty() {
                    set.push(state);
                }
            }
        }
        set.sort_unstable();
        set
    }
}

/// Finds how deep calls must be nested for the rule to end from each state.
fn find_needs(states: &mut [State]) {
    states.iter_mut().for_each(|state| state.need = NEVER);
    let mut users: Vec<Vec<u32>> = vec![vec![]; states.len()];
    for (index, state) in states.iter().enumerate() {
        let edges = state.edges.iter().map(|edge| edge.2);
        let tokens = state.tokens.iter().map(|token| token.2);
        let calls = state.calls.iter().flat_map(|call| [Some(call.0), call.1]);
        for target in edges.chain(tokens).chain(calls.flatten()) {
            // CAST: At most `MAX_STATES`.
            users[target].push(index as u32);
        }
    }
    let mut todo: VecDeque<usize> = (0..states.len()).collect();
    let mut queued = vec![true; states.len()];
    while let Some(index) = todo.pop_front() {
        queued[index] = false;
        let need = need(&states[index], states);
        if need < states[index].need {
            states[index].need = need;
            for &user in &users[index] {
                if !std::mem::replace(&mut queued[user as usize], true) {
                    todo.push_back(user as usize);
                }
            }
        }
    }
}

fn need(state: &State, states: &[State]) -> u32 {
    if state.end {
        return 0;
    }
    let edges = state.edges.iter().map(|edge| states[edge.2].need);
    let tokens = state.tokens.iter().map(|token| states[token.2].need);
    let calls = state.calls.iter().map(|&(start, behind)| match behind {
        None => states[start].need,
        Some(behind) => states[start]
            .need
            .saturating_add(1)
            .max(states[behind].need),
    });
    let least = edges.chain(tokens).chain(calls).min().unwrap_or(NEVER);
    if least > MAX_DEPTH.into() {
        NEVER
    } else {
        least
    }
}

/// The states that can end and are reached from the first, without ways to those that can not.
fn without_dead_ends(states: &[State]) -> Vec<State> {
    let lives = |state: usize| states[state].need != NEVER;
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut order = vec![];
    let mut todo = vec![0];
    while let Some(index) = todo.pop() {
        if numbers.contains_key(&index) {
            continue;
        }
        numbers.insert(index, order.len());
        let mut state = states[index].clone();
        state.edges.retain(|edge| lives(edge.2));
        state.tokens.retain(|token| lives(token.2));
        state
            .calls
            .retain(|call| lives(call.0) && call.1.is_none_or(lives));
        todo.extend(state.edges.iter().map(|edge| edge.2));
        todo.extend(state.tokens.iter().map(|token| token.2));
        let calls = state.calls.iter().flat_map(|call| [Some(call.0), call.1]);
        todo.extend(calls.flatten());
        order.push(state);
    }
    for state in &mut order {
        state
            .edges
            .iter_mut()
            .for_each(|edge| edge.2 = numbers[&edge.2]);
        for token in &mut state.tokens {
            token.2 = numbers[&token.2];
        }
        for (start, behind) in &mut state.calls {
            *start = numbers[start];
            *behind = behind.map(|behind| numbers[&behind]);
        }
    }
    order
}
