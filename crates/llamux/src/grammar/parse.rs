// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! From the text of a grammar to its rules.
//!
//! The notation: <https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md>.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use llamux_engine::grammar::table::MAX_SPELLING;

use super::{GrammarError, Position};

/// Most rules.
const MAX_RULES: usize = 4096;
/// How deep parentheses can be nested.
const MAX_NESTING: usize = 64;
/// Most times that something is repeated.
const MAX_REPEAT: u32 = 2000;
/// Most repetitions of one another, as `"a"+?` has two: each is a level more, as parentheses are.
const MAX_STACKED: usize = 4;

/// Characters, as ranges in ascending order that do not touch. Surrogates are not characters.
pub(super) type Set = Vec<RangeInclusive<u32>>;

/// What a rule says, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// One character of a set.
    Set(Set),
    /// One after the other; none of them for the empty text.
    Sequence(Vec<Expr>),
    /// One of them.
    Either(Vec<Expr>),
    /// At least, and at most, so many times.
    Repeat(Box<Expr>, u32, Option<u32>),
    /// Another rule, and where it is named.
    Rule(usize, Position),
    /// A token, or any other than that one.
    Token(TokenName, bool),
}

/// How a token is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TokenName {
    /// By its number.
    Id(u32),
    /// As it is spelled.
    Spelling(String),
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    /// Where it is first named.
    pub(super) at: Position,
    pub(super) expr: Expr,
}

/// A grammar in which every rule that is named is there.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    /// The rule named `root`.
    pub(super) root: usize,
}

impl Rules {
    /// Reads a grammar.
    pub(super) fn parse(text: &str) -> Result<Self, GrammarError> {
        let mut parser = Parser {
            rest: text,
            at: Position { line: 1, column: 1 },
            names: HashMap::new(),
            rules: vec![],
            nesting: 0,
        };
        parser.space(true);
        while !parser.rest.is_empty() {
            parser.rule()?;
        }
        let mut rules = vec![];
        for (name, at, expr) in parser.rules {
            let Some(expr) = expr else {
                let message = format!("there is no rule \"{name}\"");
                return Err(GrammarError::at(at, message));
            };
            rules.push(Rule { name, at, expr });
        }
        let Some(root) = rules.iter().position(|rule| rule.name == "root") else {
            return Err(GrammarError::whole("there is no rule \"root\""));
        };
        Ok(Self { rules, root })
    }
}

struct Parser<'t> {
    rest: &'t str,
    at: Position,
    names: HashMap<&'t str, usize>,
    rules: Vec<(String, Position, Option<Expr>)>,
    nesting: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.next();
        }
        there
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, GrammarError> {
        Err(GrammarError::at(self.at, message))
    }

    /// What is here, for an error.
    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the grammar".into(),
            Some('\n' | '\r') => "the end of the line".into(),
            Some(c) if c.is_control() => c.escape_debug().to_string(),
            Some(c) => format!("'{c}'"),
        }
    }

    /// Skips blanks and comments, and the ends of lines if they do not matter.
    fn space(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => (),
                '\n' | '\r' if lines => (),
                '#' => {
                    while !matches!(self.peek(), None | Some('\n')) {
                        self.next();
                    }
                    continue;
                }
                _ => break,
            }
            self.next();
        }
    }

    fn name(&mut self) -> &'t str {
        let text = self.rest;
        while self.peek().is_some_and(is_name) {
            self.next();
        }
        &text[..text.len() - self.rest.len()]
    }

    /// The index of a rule that is named here.
    fn index(&mut self, name: &'t str, at: Position) -> Result<usize, GrammarError> {
        if let Some(&index) = self.names.get(name) {
            return Ok(index);
        }
        let index = self.rules.len();
        if index == MAX_RULES {
            let message = format!("the grammar has more than {MAX_RULES} rules");
            return Err(GrammarError::at(at, message));
        }
        self.names.insert(name, index);
        self.rules.push((name.into(), at, None));
        Ok(index)
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let at = self.at;
        let name = self.name();
        if name.is_empty() {
            return self.error(format!(
                "expected the name of a rule, found {}",
                self.found()
            ));
        }
        self.space(false);
        if !self.rest.starts_with("::=") {
            return self.error(format!(
                "expected ::= behind the name, found {}",
                self.found()
            ));
        }
        for _ in 0..3 {
            self.next();
        }
        self.space(true);
        let index = self.index(name, at)?;
        if self.rules[index].2.is_some() {
            let message = format!("rule \"{name}\" is there twice");
            return Err(GrammarError::at(at, message));
        }
        let expr = self.either()?;
        self.rules[index].2 = Some(expr);
        match self.peek() {
            None | Some('\n' | '\r') => self.space(true),
            Some(')') => return self.error("')' without '('"),
            Some(_) => return self.error(format!("unexpected {}", self.found())),
        }
        Ok(())
    }

    fn either(&mut self) -> Result<Expr, GrammarError> {
        let mut branches = vec![self.sequence()?];
        while self.eat('|') {
            self.space(true);
            branches.push(self.sequence()?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            last => {
                branches.extend(last);
                Expr::Either(branches)
            }
        })
    }

    fn sequence(&mut self) -> Result<Expr, GrammarError> {
        let mut parts: Vec<Expr> = vec![];
        let mut stacked = 0;
        loop {
            let at = self.at;
            stacked = match self.peek() {
                Some('*' | '+' | '?' | '{') => stacked + 1,
                _ => 0,
            };
            if stacked > MAX_STACKED {
                let message = format!("more than {MAX_STACKED} of * + ? {{}} behind one another");
                return Err(GrammarError::at(at, message));
            }
            let part = match self.peek() {
                Some('"') => self.literal()?,
                Some('[') => Expr::Set(self.set()?),
                Some('.') => {
                    self.next();
                    Expr::Set(complement(&[]))
                }
                Some('(') => self.group()?,
                Some('<' | '!') => self.token()?,
                Some(c) if is_name(c) => {
                    let name = self.name();
                    Expr::Rule(self.index(name, at)?, at)
                }
                Some('*' | '+' | '?' | '{') => {
                    let (least, most) = self.times()?;
                    let Some(last) = parts.pop() else {
                        return Err(GrammarError::at(at, "there is nothing to repeat"));
                    };
                    Expr::Repeat(Box::new(last), least, most)
                }
                _ => break,
            };
            parts.push(part);
            self.space(self.nesting > 0);
        }
        Ok(match parts.pop() {
            Some(only) if parts.is_empty() => only,
            last => {
                parts.extend(last);
                Expr::Sequence(parts)
            }
        })
    }

    fn group(&mut self) -> Result<Expr, GrammarError> {
        let at = self.at;
        self.next();
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("parentheses are nested more than {MAX_NESTING} deep");
            return Err(GrammarError::at(at, message));
        }
        self.space(true);
        let expr = self.either()?;
        if !self.eat(')') {
            return self.error(format!("expected ')', found {}", self.found()));
        }
        self.nesting -= 1;
        Ok(expr)
    }

    fn literal(&mut self) -> Result<Expr, GrammarError> {
        let begin = self.at;
        self.next();
        let mut parts = vec![];
        loop {
            let at = self.at;
            match self.peek() {
                None => return Err(GrammarError::at(begin, "the text has no closing '\"'")),
                Some('"') => {
                    self.next();
                    return Ok(Expr::Sequence(parts));
                }
                Some(_) => {
                    let c = self.character()?;
                    if char::from_u32(c).is_none() {
                        let message = format!("U+{c:04X} is not a character");
                        return Err(GrammarError::at(at, message));
                    }
                    parts.push(Expr::Set(vec![c..=c]));
                }
            }
        }
    }

    fn set(&mut self) -> Result<Set, GrammarError> {
        let begin = self.at;
        self.next();
        let negative = self.eat('^');
        let mut ranges = vec![];
        while !self.eat(']') {
            let at = self.at;
            if self.rest.is_empty() {
                return Err(GrammarError::at(begin, "the range has no closing ']'"));
            }
            let first = self.character()?;
            let mut last = first;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                if self.rest.is_empty() {
                    return Err(GrammarError::at(begin, "the range has no closing ']'"));
                }
                last = self.character()?;
            }
            if first > last {
                return Err(GrammarError::at(at, "the range ends before it begins"));
            }
            ranges.push(first..=last);
        }
        let outside = complement(&ranges);
        let set = if negative {
            outside
        } else {
            complement(&outside)
        };
        if set.is_empty() {
            return Err(GrammarError::at(begin, "the range has no characters"));
        }
        Ok(set)
    }

    /// A character of a text or a range, which may be escaped.
    fn character(&mut self) -> Result<u32, GrammarError> {
        let at = self.at;
        let digits = match self.next() {
            Some('\\') => match self.next() {
                Some('x') => 2,
                Some('u') => 4,
                Some('U') => 8,
                Some('n') => return Ok('\n'.into()),
                Some('r') => return Ok('\r'.into()),
                Some('t') => return Ok('\t'.into()),
                Some(c @ ('\\' | '"' | '[' | ']')) => return Ok(c.into()),
                _ => return Err(GrammarError::at(at, "there is no such escape")),
            },
            Some(c) => return Ok(c.into()),
            None => return self.error("the grammar ends within a character"),
        };
        let mut value = 0u32;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                let message = format!(
                    "expected {digits} hexadecimal digits, found {}",
                    self.found()
                );
                return self.error(message);
            };
            // OVERFLOW: Eight digits of four bits.
            value = value << 4 | digit;
            self.next();
        }
        if value > char::MAX.into() {
            let message = format!("U+{value:04X} is not a character");
            return Err(GrammarError::at(at, message));
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Option<u32>, GrammarError> {
        let at = self.at;
        let text = self.rest;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.next();
        }
        let digits = &text[..text.len() - self.rest.len()];
        match (digits.is_empty(), digits.parse()) {
            (true, _) => Ok(None),
            (false, Ok(number)) => Ok(Some(number)),
            (false, Err(_)) => Err(GrammarError::at(at, "the number is too large")),
        }
    }

    fn times(&mut self) -> Result<(u32, Option<u32>), GrammarError> {
        let at = self.at;
        match self.next() {
            Some('*') => return Ok((0, None)),
            Some('+') => return Ok((1, None)),
            Some('?') => return Ok((0, Some(1))),
            _ => self.space(true),
        }
        let Some(least) = self.number()? else {
            return self.error(format!("expected a number, found {}", self.found()));
        };
        self.space(true);
        let mut most = Some(least);
        if self.eat(',') {
            self.space(true);
            most = self.number()?;
            self.space(true);
        }
        if !self.eat('}') {
            return self.error(format!("expected '}}', found {}", self.found()));
        }
        if most.is_some_and(|most| most < least) {
            return Err(GrammarError::at(at, "at most is less than at least"));
        }
        if most.unwrap_or(least) > MAX_REPEAT {
            let message = format!("something is repeated more than {MAX_REPEAT} times");
            return Err(GrammarError::at(at, message));
        }
        Ok((least, most))
    }

    fn token(&mut self) -> Result<Expr, GrammarError> {
        let negative = self.eat('!');
        let at = self.at;
        let text = self.rest;
        if !self.eat('<') {
            return self.error(format!("expected '<' behind '!', found {}", self.found()));
        }
        if self.eat('[') {
            let Some(id) = self.number()? else {
                return self.error(format!("expected a token's number, found {}", self.found()));
            };
            if !(self.eat(']') && self.eat('>')) {
                return self.error(format!(
                    "expected ]> behind the number, found {}",
                    self.found()
                ));
            }
            return Ok(Expr::Token(TokenName::Id(id), negative));
        }
        while !self.eat('>') {
            if matches!(self.next(), None | Some('\n')) {
                return Err(GrammarError::at(at, "the token has no closing '>'"));
            }
        }
        let spelling = &text[..text.len() - self.rest.len()];
        if spelling.len() > MAX_SPELLING {
            let message = format!("the token has more than {MAX_SPELLING} bytes");
            return Err(GrammarError::at(at, message));
        }
        Ok(Expr::Token(TokenName::Spelling(spelling.into()), negative))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// All characters that are in none of the ranges.
fn complement(ranges: &[RangeInclusive<u32>]) -> Set {
    const SURROGATES: RangeInclusive<u32> = 0xd800..=0xdfff;
    let mut ranges = ranges.to_vec();
    ranges.push(SURROGATES);
    ranges.sort_by_key(|range| *range.start());
    let mut set = vec![];
    let mut next = 0;
    for range in ranges {
        if next < *range.start() {
            set.push(next..=range.start() - 1);
        }
        next = next.max(range.end() + 1);
    }
    if next <= char::MAX.into() {
        set.push(next..=char::MAX.into());
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Rules::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (text, expected) in [
            ("", "there is no rule \"root\""),
            ("a ::= \"x\"", "there is no rule \"root\""),
            ("root ::= a", "line 1, column 10: there is no rule \"a\""),
            (
                "root ::= \"a\n\nb",
                "line 1, column 10: the text has no closing '\"'",
            ),
            (
                "root ::= [a",
                "line 1, column 10: the range has no closing ']'",
            ),
            (
                "root ::= [a-",
                "line 1, column 10: the range has no closing ']'",
            ),
            (
                "root ::= [z-a]",
                "line 1, column 11: the range ends before it begins",
            ),
            (
                "root ::= []",
                "line 1, column 10: the range has no characters",
            ),
            (
                "root ::= [\\uD800]",
                "line 1, column 10: the range has no characters",
            ),
            (
                "root ::= \"\\uD800\"",
                "line 1, column 11: U+D800 is not a character",
            ),
            (
                "root ::= \"\\U00110000\"",
                "line 1, column 11: U+110000 is not a character",
            ),
            (
                "root ::= \"\\q\"",
                "line 1, column 11: there is no such escape",
            ),
            (
                "root ::= \"\\x4\"",
                "line 1, column 14: expected 2 hexadecimal digits, found '\"'",
            ),
            (
                "root ::= (\"a\"",
                "line 1, column 14: expected ')', found the end of the grammar",
            ),
            ("root ::= \"a\")", "line 1, column 13: ')' without '('"),
            (
                "root ::= *",
                "line 1, column 10: there is nothing to repeat",
            ),
            (
                "root ::= \"a\"{",
                "line 1, column 14: expected a number, found the end of the grammar",
            ),
            (
                "root ::= \"a\"{1",
                "line 1, column 15: expected '}', found the end of the grammar",
            ),
            (
                "root ::= \"a\"{3,2}",
                "line 1, column 13: at most is less than at least",
            ),
            (
                "root ::= \"a\"{2001}",
                "line 1, column 13: something is repeated more than 2000 times",
            ),
            (
                "root ::= \"a\"{99999999999}",
                "line 1, column 14: the number is too large",
            ),
            (
                "root \"a\"",
                "line 1, column 6: expected ::= behind the name, found '\"'",
            ),
            (
                "root ::= \"a\"\n _",
                "line 2, column 2: expected the name of a rule, found '_'",
            ),
            (
                "root ::= \"a\"\nroot ::= \"b\"",
                "line 2, column 1: rule \"root\" is there twice",
            ),
            ("root ::= \"a\" @", "line 1, column 14: unexpected '@'"),
            (
                "root ::= <a",
                "line 1, column 10: the token has no closing '>'",
            ),
            (
                "root ::= <[a]>",
                "line 1, column 12: expected a token's number, found 'a'",
            ),
            (
                "root ::= <[1>",
                "line 1, column 13: expected ]> behind the number, found '>'",
            ),
            (
                "root ::= !a",
                "line 1, column 11: expected '<' behind '!', found 'a'",
            ),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
        let deep = format!("root ::= {}\"a\"{}", "(".repeat(65), ")".repeat(65));
        assert!(refusal(&deep).contains("nested more than 64 deep"));
        let stacked = format!("root ::= \"a\"{} \"b\"*?{{1}}+", "+".repeat(100_000));
        assert_eq!(
            refusal(&stacked),
            "line 1, column 17: more than 4 of * + ? {} behind one another"
        );
        let many: String = (0..=4096).map(|i| format!("r{i} ::= \"a\"\n")).collect();
        assert!(refusal(&many).contains("more than 4096 rules"));
        let long = format!("root ::= <{}>", "a".repeat(254));
        assert!(refusal(&long).contains("more than 255 bytes"));
    }

    #[test]
    fn lines_end_rules_but_in_parentheses_and_behind_a_bar() {
        let text = "# one\nroot ::= # two\n \"a\" ( # three\n b\n |\n \"c\" ) |\n\"d\" # four\r\n\nb ::= \"e\"";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(rules.rules.len(), 2);
        assert!(matches!(&rules.rules[0].expr, Expr::Either(branches) if branches.len() == 2));
        assert!(refusal("root ::= \"a\"\n\"b\"").starts_with("line 2, column 1: expected the name"));
    }

    #[test]
    fn characters_are_read_in_every_notation() {
        let expr = |text: &str| Rules::parse(text).unwrap().rules.remove(0).expr;
        let literal = |c: u32| Expr::Sequence(vec![Expr::Set(vec![c..=c])]);
        for (text, c) in [
            ("\\x41", 0x41),
            ("\\xe9", 0xe9),
            ("\\u6F22", 0x6f22),
            ("\\U0001F600", 0x1f600),
            ("漢", 0x6f22),
            ("\\n", 10),
            ("\\t", 9),
            ("\\r", 13),
            ("\\\\", 0x5c),
            ("\\\"", 0x22),
            ("\\[", 0x5b),
            ("\\]", 0x5d),
            ("\n", 10),
        ] {
            assert_eq!(expr(&format!("root ::= \"{text}\"")), literal(c), "{text}");
        }
        let set = |text: &str| match expr(text) {
            Expr::Set(set) => set,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            set("root ::= [b-da\\]-]"),
            [0x2d..=0x2d, 0x5d..=0x5d, 0x61..=0x64]
        );
        assert_eq!(set("root ::= ."), [0..=0xd7ff, 0xe000..=0x10ffff]);
        assert_eq!(
            set("root ::= [^\\n]"),
            [0..=9, 11..=0xd7ff, 0xe000..=0x10ffff]
        );
        assert_eq!(
            set("root ::= [\\uD7FF-\\uE000]"),
            [0xd7ff..=0xd7ff, 0xe000..=0xe000]
        );
    }
}
