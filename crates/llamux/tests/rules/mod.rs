// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Made-up grammars, and a plain recogniser of their texts that shares nothing with what is tested.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::collections::{BTreeSet, HashMap};

/// Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What a rule says. The test's own notation, so that nothing is shared with what is tested.
#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Among(Vec<(char, char)>, bool),
    Row(Vec<Part>),
    Either(Vec<Part>),
    Times(Box<Part>, usize, Option<usize>),
    Rule(usize),
}

impl Part {
    /// As GBNF.
    fn show(&self) -> String {
        let escape = |c: char| match c {
            '"' | '\\' | '[' | ']' => format!("\\{c}"),
            '\n' => "\\n".into(),
            '^' | '-' => format!("\\x{:02x}", c as u32),
            'é' => "\\u00e9".into(),
            '😀' => "\\U0001F600".into(),
            c => c.to_string(),
        };
        match self {
            Part::Text(text) => format!("\"{}\"", text.chars().map(escape).collect::<String>()),
            Part::Among(ranges, not) => {
                let ranges: String = ranges
                    .iter()
                    .map(|&(a, b)| {
                        if a == b {
                            escape(a)
                        } else {
                            format!("{}-{}", escape(a), escape(b))
                        }
                    })
                    .collect();
                format!("[{}{ranges}]", if *not { "^" } else { "" })
            }
            Part::Row(parts) => {
                let parts: Vec<String> = parts.iter().map(Part::show).collect();
                format!("({})", parts.join(" "))
            }
            Part::Either(parts) => {
                let parts: Vec<String> = parts.iter().map(Part::show).collect();
                format!("({})", parts.join(" | "))
            }
            Part::Times(part, least, most) => {
                let times = match (least, most) {
                    (0, None) => "*".into(),
                    (1, None) => "+".into(),
                    (0, Some(1)) => "?".into(),
                    (least, None) => format!("{{{least},}}"),
                    (least, Some(most)) if least == most => format!("{{{least}}}"),
                    (least, Some(most)) => format!("{{{least}, {most}}}"),
                };
                format!("{}{times}", part.show())
            }
            Part::Rule(rule) => name(*rule),
        }
    }
}

fn name(rule: usize) -> String {
    match rule {
        0 => "root".into(),
        rule => format!("rule-{rule}"),
    }
}

/// The rules as GBNF.
pub fn show(rules: &[Part]) -> String {
    let rule = |(i, part): (usize, &Part)| format!("{} ::= {} # {i}\n", name(i), part.show());
    rules.iter().enumerate().map(rule).collect()
}

/// Where the matches of a part end that begin at a place.
struct Recogniser<'t> {
    rules: &'t [Part],
    text: &'t [char],
    known: HashMap<(usize, usize), BTreeSet<usize>>,
    /// Whether more of the text would have been looked at.
    goes_on: bool,
}

impl Recogniser<'_> {
    fn ends(&mut self, part: &Part, at: usize) -> BTreeSet<usize> {
        match part {
            Part::Text(text) => {
                let text: Vec<char> = text.chars().collect();
                let rest = &self.text[at..];
                self.goes_on |= rest.len() < text.len() && text.starts_with(rest);
                let fits = rest.starts_with(&text);
                fits.then_some(at + text.len()).into_iter().collect()
            }
            Part::Among(ranges, not) => {
                self.goes_on |= at == self.text.len();
                let fits = |c: &char| ranges.iter().any(|r| (r.0..=r.1).contains(c)) != *not;
                self.text
                    .get(at)
                    .is_some_and(fits)
                    .then_some(at + 1)
                    .into_iter()
                    .collect()
            }
            Part::Row(parts) => parts.iter().fold(BTreeSet::from([at]), |from, part| {
                from.into_iter()
                    .flat_map(|at| self.ends(part, at))
                    .collect()
            }),
            Part::Either(parts) => parts.iter().flat_map(|part| self.ends(part, at)).collect(),
            Part::Times(part, least, most) => {
                let mut from = BTreeSet::from([at]);
                for _ in 0..*least {
                    from = from
                        .into_iter()
                        .flat_map(|at| self.ends(part, at))
                        .collect();
                }
                let mut all = from.clone();
                for _ in *least..most.unwrap_or(usize::MAX) {
                    let next: BTreeSet<usize> =
                        from.iter().flat_map(|&at| self.ends(part, at)).collect();
                    from = next.difference(&all).copied().collect();
                    if from.is_empty() {
                        break;
                    }
                    all.extend(&from);
                }
                all
            }
            Part::Rule(rule) => {
                if let Some(ends) = self.known.get(&(*rule, at)) {
                    return ends.clone();
                }
                let rules = self.rules;
                let ends = self.ends(&rules[*rule], at);
                self.known.insert((*rule, at), ends.clone());
                ends
            }
        }
    }
}

/// Whether the rules have a text, and whether they have one that begins with it.
pub fn compare(rules: &[Part], text: &str) -> (bool, bool) {
    let text: Vec<char> = text.chars().collect();
    let mut recogniser = Recogniser {
        rules,
        text: &text,
        known: HashMap::new(),
        goes_on: false,
    };
    let is_whole = recogniser.ends(&Part::Rule(0), 0).contains(&text.len());
    // Every rule can be matched to its end.
    (is_whole, is_whole || recogniser.goes_on)
}

/// Whether the rules have a text.
pub fn recognises(rules: &[Part], text: &str) -> bool {
    compare(rules, text).0
}

/// A random part of rule `rule` of `count`. A rule names earlier ones only behind some text, so that
/// none begins with itself.
fn part(random: &mut Random, rule: usize, count: usize, depth: usize) -> Part {
    let choices = [
        "a", "b", "ab", "abc", "x", "\"", "[", "],", "é", "漢", "😀", "\n", "true",
    ];
    let text = |random: &mut Random| Part::Text(choices[random.below(choices.len())].into());
    match random.below(if depth == 0 { 4 } else { 10 }) {
        0 | 1 => text(random),
        2 => {
            let sets: [&[(char, char)]; 7] = [
                &[('a', 'c')],
                &[('a', 'a'), ('é', 'é')],
                &[('à', '漢')],
                &[('"', '"'), ('\\', '\\')],
                &[('x', 'z'), ('\u{800}', '\u{1ffff}')],
                &[('^', '^'), ('-', '-')],
                &[('\0', 'b')],
            ];
            Part::Among(sets[random.below(sets.len())].into(), random.one_in(4))
        }
        3 if rule + 1 < count => Part::Rule(rule + 1 + random.below(count - rule - 1)),
        3 => text(random),
        4 | 5 => {
            let parts = 1 + random.below(3);
            Part::Row(
                (0..parts)
                    .map(|_| part(random, rule, count, depth - 1))
                    .collect(),
            )
        }
        6 | 7 => {
            let parts = 2 + random.below(2);
            Part::Either(
                (0..parts)
                    .map(|_| part(random, rule, count, depth - 1))
                    .collect(),
            )
        }
        8 => {
            let least = random.below(3);
            let most = (!random.one_in(2)).then(|| least + random.below(3));
            Part::Times(
                Box::new(part(random, rule, count, depth - 1)),
                least,
                most.map(|m| m.max(1)),
            )
        }
        _ => {
            // Recursion, behind some text, with a way out.
            let behind = [
                text(random),
                Part::Rule(random.below(rule + 1)),
                text(random),
            ];
            let row = Part::Row(behind[..2 + random.below(2)].into());
            Part::Either(vec![row, part(random, rule, count, depth - 1)])
        }
    }
}

/// Some random rules.
pub fn random_rules(random: &mut Random) -> Vec<Part> {
    let count = 1 + random.below(4);
    (0..count)
        .map(|rule| part(random, rule, count, 3))
        .collect()
}
