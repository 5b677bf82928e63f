// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Grammars, compiled and followed: what a grammar allows is compared with what a plain recogniser
//! of this file says.

#[path = "../../llamux-engine/tests/common/mod.rs"]
mod common;
mod rules;

use std::cell::Cell;
use std::time::{Duration, Instant};

use common::{small_vocabulary, Meta};
use llamux::Grammar;
use llamux_engine::arena::Arena;
use llamux_engine::gguf::Gguf;
use llamux_engine::grammar::table::{
    bytes, Call, Edge, State, Token, END, MAX_DEPTH, NOT, NO_STATE,
};
use llamux_engine::grammar::{
    self, Guide, Matcher, MatcherMemory, Place, Places, TableError, MAX_FORCED,
};
use llamux_engine::math::F32Bits;
use llamux_engine::tokenizer::Vocab;
use llamux_engine::Error;
use rules::{random_rules, recognises, show, Random};

/// How a byte is spelled in a vocabulary of the GPT-2 kind.
fn spell(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

/// A vocabulary of all bytes and some longer tokens.
struct Words {
    file: Box<dyn std::ops::Deref<Target = [u8]>>,
}

impl Words {
    fn new(more: &[&[u8]]) -> Self {
        let text = |bytes: &[u8]| -> Vec<u8> {
            let spelled: String = bytes.iter().map(|&b| spell(b)).collect();
            spelled.into_bytes()
        };
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|b| text(&[b])).collect();
        tokens.extend(more.iter().map(|bytes| text(bytes)));
        let mut types = vec![1; tokens.len()];
        for special in ["<s>", "<|im_end|>", "<think>", "</think>"] {
            tokens.push(special.into());
            types.push(3);
        }
        let file = small_vocabulary(tokens, types)
            .set("tokenizer.ggml.merges", Some(Meta::Strings(vec![])))
            .build();
        Self {
            file: Box::new(file),
        }
    }

    /// Hands out what it takes to follow a grammar.
    fn with<T>(
        &self,
        then: impl for<'a> FnOnce(&Vocab<'a>, &mut Matcher<'a>, &mut Place<'a>) -> T,
    ) -> T {
        let gguf = Gguf::parse(&self.file).unwrap();
        let mut memory = vec![0; Vocab::plan(&gguf).unwrap()];
        let vocab = Vocab::load(&gguf, &mut memory).unwrap();
        let (tokens, bytes) = Vocab::texts(&gguf).unwrap();
        let mut counting = Arena::counting();
        MatcherMemory::lay_out(tokens, bytes, &mut counting).unwrap();
        Places::lay_out(1, &mut counting).unwrap();
        let mut memory = vec![0; counting.needed()];
        let mut arena = Arena::new(&mut memory);
        let matcher = MatcherMemory::lay_out(tokens, bytes, &mut arena).unwrap();
        let mut places = Places::lay_out(1, &mut arena).unwrap();
        let mut matcher = Matcher::load(&vocab, matcher).unwrap();
        let mut place = places.get(0).unwrap();
        then(&vocab, &mut matcher, &mut place)
    }
}

const TOKENS: [&[u8]; 22] = [
    b"ab",
    b"abc",
    b"abcabc",
    b"ba",
    b"aa",
    b"aaaa",
    b"xy",
    b" a",
    b"\"a",
    b"a\"",
    b"\":",
    b"[[",
    b"]]",
    b"],",
    b"true",
    b"fal",
    "é".as_bytes(),
    "aé".as_bytes(),
    b"a\xc3",
    b"\xa9a",
    b"\xe6\xbc",
    "漢".as_bytes(),
];

/// The tokens that the mask leaves, compared with what is said of each.
fn allowed(guide: &mut Guide<'_, '_>, vocab: &Vocab<'_>) -> Result<Vec<u32>, Error> {
    let ids = 0..vocab.len() as u32;
    let each: Vec<u32> = ids.clone().filter(|&id| guide.allows(id)).collect();
    let mut logits = vec![F32Bits(0); vocab.len()];
    let mut quick = logits.clone();
    let glanced = guide.mask_at_a_glance(&mut quick, &mut || false);
    let masked = guide.mask(&mut logits, &mut || false);
    match glanced {
        Ok(true) => assert_eq!(quick, logits),
        Ok(false) => assert!(quick.iter().all(|&logit| logit == F32Bits(0))),
        Err(error) => assert_eq!(masked, Err(error)),
    }
    let left: Vec<u32> = ids
        .filter(|&id| logits[id as usize] != F32Bits::NAN)
        .collect();
    if each.is_empty() {
        assert_eq!(masked, Err(Error::GrammarStuck));
    } else {
        assert_eq!(left, each);
    }
    masked.map(|()| left)
}

#[test]
fn what_is_written_under_a_grammar_is_in_it_and_ends() {
    let words = Words::new(&TOKENS);
    let (mut ended, mut cut) = (0, 0);
    words.with(|vocab, matcher, place| {
        for seed in 0..400 {
            let mut random = Random(seed);
            let rules = random_rules(&mut random);
            let text = show(&rules);
            let grammar = Grammar::new(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let table = grammar.table();
            assert!(grammar::Checked::new(&table[..table.len() - 1]).is_err());
            let grammar = grammar::Checked::new(table).unwrap();
            let grammar = grammar.grammar().unwrap();
            for _ in 0..4 {
                let mut bytes: Vec<u8> = vec![];
                matcher.start(&grammar, place).unwrap();
                let mut end = false;
                for _ in 0..40 {
                    let mut guide = Guide::new(&grammar, vocab, matcher, place);
                    if guide.is_over() {
                        end = true;
                        break;
                    }
                    let allowed = allowed(&mut guide, vocab)
                        .unwrap_or_else(|error| panic!("{error}\n{text}{bytes:?}"));
                    let mut id = allowed[random.below(allowed.len())];
                    let last = *allowed.last().unwrap();
                    if random.one_in(6) {
                        id = allowed
                            .into_iter()
                            .find(|&id| vocab.is_end(id))
                            .unwrap_or(last);
                    }
                    if vocab.is_end(id) {
                        assert!(guide.is_complete());
                        end = true;
                        break;
                    }
                    guide.accept(id).unwrap();
                    bytes.extend(vocab.piece(id, false));
                }
                if end {
                    ended += 1;
                    let answer = String::from_utf8(bytes).unwrap();
                    assert!(recognises(&rules, &answer), "{answer:?}\n{text}");
                } else {
                    cut += 1;
                }
            }
        }
    });
    assert!(ended > 600, "{ended} ended, {cut} cut");
}

#[test]
fn real_vocabularies_write_json() {
    let models = ["smollm2-135m.gguf", "qwen2.5-coder-1.5b.gguf"]
        .map(|file| common::find("LLAMUX_MODELS", ".cache/llamux/models", file));
    let others = ["ggml-vocab-llama-spm.gguf"]
        .map(|file| common::find("LLAMUX_VOCABS", ".cache/llamux/llama.cpp/models", file));
    let grammar = Grammar::new(JSON).unwrap();
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    for path in models.into_iter().chain(others).flatten() {
        let words = Words {
            file: Box::new(common::map(&path)),
        };
        words.with(|vocab, matcher, place| {
            let mut random = Random(9);
            matcher.start(&grammar, place).unwrap();
            let mut bytes: Vec<u8> = vec![];
            loop {
                let mut guide = Guide::new(&grammar, vocab, matcher, place);
                if guide.is_over() {
                    break;
                }
                let mut logits = vec![F32Bits(0); vocab.len()];
                guide.mask(&mut logits, &mut || false).unwrap();
                let left: Vec<u32> = (0..vocab.len() as u32)
                    .filter(|&id| logits[id as usize] != F32Bits::NAN)
                    .collect();
                // What is said of one token is what is left of all.
                for _ in 0..100 {
                    let id = random.below(vocab.len()) as u32;
                    assert_eq!(
                        guide.allows(id),
                        left.binary_search(&id).is_ok(),
                        "token {id}"
                    );
                }
                // Closing brackets now and then, that it comes to an end.
                let closing = |id: &&u32| {
                    let piece: Vec<u8> = vocab.piece(**id, false).collect();
                    vocab.is_end(**id) || piece == b"\"" || piece == b"}" || piece == b"]"
                };
                let mut id = left[random.below(left.len())];
                if bytes.len() > 100 || random.one_in(4) {
                    id = left.iter().find(closing).copied().unwrap_or(id);
                }
                if vocab.is_end(id) {
                    break;
                }
                guide.accept(id).unwrap();
                bytes.extend(vocab.piece(id, false));
                assert!(
                    bytes.len() < 10_000,
                    "{:?}",
                    String::from_utf8_lossy(&bytes)
                );
            }
            let text = String::from_utf8(bytes).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value.is_object(), "{text}");
        });
    }
}

/// Follows a text byte by byte; whether it is all of an answer.
fn accepts<'a>(
    grammar: &grammar::Grammar<'_>,
    vocab: &Vocab<'a>,
    matcher: &mut Matcher<'a>,
    place: &mut Place<'a>,
    text: &[u8],
) -> bool {
    matcher.start(grammar, place).unwrap();
    let mut guide = Guide::new(grammar, vocab, matcher, place);
    for &byte in text {
        if !guide.allows(byte.into()) {
            assert_eq!(guide.accept(byte.into()), Err(Error::GrammarStuck));
            return false;
        }
        guide.accept(byte.into()).unwrap();
    }
    guide.is_complete()
}

#[test]
fn texts_are_accepted_as_a_plain_recogniser_says() {
    let words = Words::new(&[]);
    let letters = [
        "a", "b", "c", "x", "y", "\"", "[", "]", ",", "é", "漢", "😀", "\n", "true", "ab",
    ];
    let in_both = Cell::new(0);
    words.with(|vocab, matcher, place| {
        for seed in 1000..1600 {
            let mut random = Random(seed);
            let rules = random_rules(&mut random);
            let text = show(&rules);
            let grammar = Grammar::new(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let grammar = grammar::Grammar::new(grammar.table()).unwrap();
            for _ in 0..60 {
                let count = random.below(6);
                let answer: String = (0..count)
                    .map(|_| letters[random.below(letters.len())])
                    .collect();
                let expected = recognises(&rules, &answer);
                let found = accepts(&grammar, vocab, matcher, place, answer.as_bytes());
                assert_eq!(found, expected, "{answer:?}\n{text}");
                in_both.set(in_both.get() + usize::from(expected));
            }
        }
    });
    assert!(in_both.get() > 500, "{in_both:?}");
}

/// Each text of `yes` is in the grammar, none of `no` is.
fn check(gbnf: &str, yes: &[&str], no: &[&str]) {
    let grammar = Grammar::new(gbnf).unwrap_or_else(|error| panic!("{error}\n{gbnf}"));
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    Words::new(&[]).with(|vocab, matcher, place| {
        for (texts, expected) in [(yes, true), (no, false)] {
            for text in texts {
                let found = accepts(&grammar, vocab, matcher, place, text.as_bytes());
                assert_eq!(found, expected, "{text:?} in {gbnf}");
            }
        }
    });
}

const JSON: &str = include_str!("../examples/json.gbnf");

#[test]
fn json_is_json() {
    check(
        JSON,
        &[
            "{}",
            "{\"a\": [1, -2.5e+10, true, null, {\"b\": \"\\u00e9\\n漢\"}]}",
            "{ \"a\":\n[[[[]]]] }",
        ],
        &[
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\": \"\n\"}",
            "{\"a\": 01}",
            "{} x",
            "[1]",
        ],
    );
}

#[test]
fn arithmetic_and_choices() {
    check(
        include_str!("../examples/arithmetic.gbnf"),
        &["1 + 2 = 3\n", "(1 + x) * 23 = y\n4 = 4\n"],
        &["1 + = 3\n", "1 + 2\n", "((1) = 1\n"],
    );
    check(
        include_str!("../examples/choices.gbnf"),
        &["restart", "ask for more"],
        &["", "re", "restart the system"],
    );
}

#[test]
fn nesting_is_bounded_and_can_always_be_left() {
    let gbnf = "root ::= \"[\" root \"]\" | end\nend ::= \"x\" | \"(\" end \")\"";
    let nested = |depth: usize| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
    let (most, more) = (nested(254), nested(257));
    check(gbnf, &["x", "[(x)]", &nested(100), &most], &["[x", &more]);
    // At the bottom, only what can still be closed is allowed.
    let grammar = Grammar::new(gbnf).unwrap();
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    Words::new(&[]).with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        let mut depth = 0;
        while guide.allows(b'['.into()) {
            guide.accept(b'['.into()).unwrap();
            depth += 1;
        }
        assert!((250..=256).contains(&depth), "{depth}");
        guide.accept(b'x'.into()).unwrap();
        for _ in 0..depth {
            assert!(!guide.is_complete());
            guide.accept(b']'.into()).unwrap();
        }
        assert!(guide.is_complete() && guide.is_over());
    });
}

#[test]
fn ambiguity_does_not_grow() {
    // Without sharing of stacks, each letter would double the ways.
    let gbnf = "root ::= a*\na ::= \"x\" a? | \"x\" b\nb ::= a? | \"x\" root";
    let long = "x".repeat(2000);
    check(gbnf, &["", "x", &long], &["y", "xy"]);
}

#[test]
fn a_rule_whose_sets_would_be_too_many_is_followed_as_it_is() {
    // Deterministic, it would have 2^20 states.
    let gbnf = "root ::= [ab]* \"a\" [ab]{20}";
    let yes = format!("{}a{}", "b".repeat(30), "ab".repeat(10));
    let no = "b".repeat(60);
    check(gbnf, &[&yes], &[&no, "ab"]);
}

#[test]
fn right_recursion_takes_no_depth() {
    check(
        "root ::= \"a\" root | \"b\"",
        &[&format!("{}b", "a".repeat(3000))],
        &["a"],
    );
}

#[test]
fn what_is_forced_is_found() {
    for (gbnf, expected, over) in [
        ("root ::= \"yes\"", "yes", true),
        ("root ::= \"yes\" | \"yell\"", "ye", false),
        ("root ::= \"no\"?", "", false),
        ("root ::= \"a\" b\nb ::= \"é\" [0-9]", "aé", false),
        ("root ::= \"ab\"{2} \"c\"*", "abab", false),
        ("root ::= <think> \"a\"", "", false),
    ] {
        let grammar = Grammar::new(gbnf).unwrap();
        let grammar = grammar::Grammar::new(grammar.table()).unwrap();
        Words::new(&[]).with(|vocab, matcher, place| {
            matcher.start(&grammar, place).unwrap();
            let mut bytes = [0; MAX_FORCED];
            let mut guide = Guide::new(&grammar, vocab, matcher, place);
            let (count, end) = guide.forced(&mut bytes);
            assert_eq!(&bytes[..count], expected.as_bytes(), "{gbnf}");
            assert_eq!(end, over, "{gbnf}");
        });
    }
}

#[test]
fn tokens_are_matched_whole() {
    let words = Words::new(&[b"ab"]);
    words.with(|vocab, matcher, place| {
        let (think, done) = (
            vocab.find("<think>").unwrap(),
            vocab.find("</think>").unwrap(),
        );
        let end = vocab.find("<|im_end|>").unwrap();
        let gbnf = format!("root ::= <think> !<[{done}]>* </think> \"ab\"");
        let grammar = Grammar::new(&gbnf).unwrap();
        let grammar = grammar::Grammar::new(grammar.table()).unwrap();
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        assert_eq!(allowed(&mut guide, vocab).unwrap(), [think]);
        guide.accept(think).unwrap();
        for id in [0, 256, think] {
            let all = allowed(&mut guide, vocab).unwrap();
            // All but the one that ends an answer.
            assert_eq!(all.len(), vocab.len() - 1);
            assert!(!guide.allows(end));
            guide.accept(id).unwrap();
        }
        guide.accept(done).unwrap();
        // That token may have been the one that ends the row, and is not one of it.
        let all = allowed(&mut guide, vocab).unwrap();
        assert_eq!(all, [u32::from(b'a'), 256]);
        guide.accept(256).unwrap();
        assert!(guide.is_over());
        assert_eq!(allowed(&mut guide, vocab).unwrap(), [end]);
    });
}

#[test]
fn a_vocabulary_without_the_bytes_is_stuck_with_an_error() {
    let (tokens, types) = common::small_tokens();
    let words = Words {
        file: Box::new(small_vocabulary(tokens, types).build()),
    };
    let grammar = Grammar::new("root ::= \"$\"").unwrap();
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    words.with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        assert_eq!(allowed(&mut guide, vocab), Err(Error::GrammarStuck));
    });
}

#[test]
fn going_through_the_tokens_can_be_stopped() {
    let more: Vec<[u8; 2]> = (0..4000u16)
        .map(|i| [b'a' + (i % 26) as u8, (i / 26) as u8])
        .collect();
    let more: Vec<&[u8]> = more.iter().map(|bytes| &bytes[..]).collect();
    let grammar = Grammar::new("root ::= .*").unwrap();
    let grammar = grammar::Grammar::new(grammar.table()).unwrap();
    Words::new(&more).with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        let mut logits = vec![F32Bits(0); vocab.len()];
        let stopped = guide.mask(&mut logits, &mut || true);
        assert_eq!(stopped, Err(Error::Interrupted));
        // Nothing is left of it.
        assert!(allowed(&mut guide, vocab).unwrap().len() > 3000);
    });
}

#[test]
fn rules_within_rules_are_not_gone_down_too_far() {
    let (open, close) = ("(".repeat(64), "){1}{1}{1}{1}".repeat(64));
    let mut text = String::from("root ::= r20\nr0 ::= \"x\" | \"y\"\n");
    for rule in 1..=20 {
        text += &format!("r{rule} ::= {open}r{}{close}\n", rule - 1);
    }
    check(&text, &["x", "y"], &["", "z", "xx"]);
}

#[test]
fn what_can_not_be_compiled_is_refused_with_its_place() {
    for (gbnf, expected) in [
        (
            "root ::= root \"a\" | \"b\"",
            "line 1, column 10: rule \"root\" begins with itself here",
        ),
        (
            "root ::= \"x\" a\na ::= b? c \"x\"\nb ::= \"y\"\nc ::= a",
            "line 2, column 10: rule \"a\" begins with itself here",
        ),
        (
            "root ::= \"a\"* root",
            "line 1, column 15: rule \"root\" begins with itself here",
        ),
        (
            "root ::= \"a\" root",
            "line 1, column 1: rule \"root\" can not end",
        ),
        (
            "root ::= ((\"a\"{2000}){2000}){2000}",
            "line 1, column 1: rule \"root\" is too large",
        ),
        (
            "root ::= (((\"\"{2000}){2000}){2000}){2000}",
            "line 1, column 1: rule \"root\" is too large",
        ),
    ] {
        let error = Grammar::new(gbnf).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let long = " ".repeat(llamux::grammar::MAX_TEXT + 1);
    assert!(Grammar::new(&long)
        .unwrap_err()
        .to_string()
        .contains("bytes"));
    // Each of its rules is small enough, all of them together are not.
    let mut many: String = (0..40)
        .map(|i| {
            format!(
                "r{i} ::= \"{}\" [^\\x{:02x}] | \"x\" r{i}\n",
                "ab".repeat(1000),
                65 + i
            )
        })
        .collect();
    let all: Vec<String> = (0..40).map(|i| format!("r{i}")).collect();
    many += &format!("root ::= {}", all.join(" | "));
    let error = Grammar::new(&many).unwrap_err().to_string();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn every_changed_byte_of_a_table_is_refused_or_followed_safely() {
    let gbnf = "root ::= \"a\" b <think> | c\nb ::= \"(\" b \")\" | [à-漢]\nc ::= !<[3]> \"x\"*";
    let good = Grammar::new(gbnf).unwrap().table().to_vec();
    let mut random = Random(5);
    let words = Words::new(&TOKENS);
    let mut refused = 0;
    words.with(|vocab, matcher, place| {
        let mut follow = |table: &[u8], random: &mut Random| {
            let grammar = match grammar::Grammar::new(table) {
                Ok(grammar) => grammar,
                Err(_) => return false,
            };
            matcher.start(&grammar, place).unwrap();
            let mut guide = Guide::new(&grammar, vocab, matcher, place);
            for _ in 0..10 {
                let Ok(allowed) = allowed(&mut guide, vocab) else {
                    break;
                };
                let id = allowed[random.below(allowed.len())];
                if vocab.is_end(id) || guide.accept(id).is_err() {
                    break;
                }
            }
            true
        };
        assert!(follow(&good, &mut random));
        for at in 0..good.len() {
            for bits in [1, 0x80, 0xff, random.next() as u8 | 1] {
                let mut bad = good.clone();
                bad[at] ^= bits;
                refused += usize::from(!follow(&bad, &mut random));
            }
        }
        for len in 0..good.len() {
            assert!(!follow(&good[..len], &mut random), "{len} bytes");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(!follow(&long, &mut random));
    });
    assert!(refused > good.len(), "{refused}");
}

/// A table that no compiler writes: in its one state each byte may follow in thousands of ways, all
/// of which call it again.
#[test]
fn a_table_made_to_take_long_is_given_up() {
    let (edges, calls) = (60_000u32, 60_000u16);
    let mut table: Vec<u8> = b"LXGR".to_vec();
    let size = 40 + 3 * 12 + edges * 4 + u32::from(calls) * 4;
    for field in [1, size, 2, edges, calls.into(), 0, 0, 0, 0] {
        table.extend(u32::to_le_bytes(field));
    }
    // A state that may end, with all of the lists; another one that may; the end of the lists.
    let state = |edges: u32, calls: u16, flags: u16| {
        let halves = [edges as u16, (edges >> 16) as u16, calls, 0, 0, flags];
        halves.into_iter().flat_map(u16::to_le_bytes)
    };
    table.extend(state(0, 0, 1));
    table.extend(state(edges, calls, 1));
    table.extend(state(edges, calls, 0));
    for i in 0..edges {
        table.extend([0, 255, (i % 2) as u8, 0]);
    }
    for i in 0..calls {
        table.extend([0, 0, (i % 2) as u8, 0]);
    }
    let grammar = grammar::Grammar::new(&table).unwrap();
    let more: Vec<[u8; 3]> = (0..4000u16)
        .map(|i| [b'a', i as u8, (i >> 8) as u8])
        .collect();
    let more: Vec<&[u8]> = more.iter().map(|bytes| &bytes[..]).collect();
    Words::new(&more).with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        let mut logits = vec![F32Bits(0); vocab.len()];
        let mut asked = 0;
        let result = guide.mask(&mut logits, &mut || {
            asked += 1;
            false
        });
        assert_eq!(result, Err(Error::GrammarStuck));
        assert!(asked > 100, "{asked}");
        assert!(guide.work() < 1 << 29, "{}", guide.work());
        // There is nothing left to spend at this place.
        assert!(!guide.allows(b'a'.into()));
        guide.accept(b'a'.into()).unwrap();
        assert!(guide.allows(b'a'.into()));
    });
}

/// Another one: in its first state any token but one may follow in thousands of ways, behind each of which
/// thousands of rules are called.
#[test]
fn references_made_to_take_long_are_given_up() {
    let (calls, tokens) = (40_000u16, 60_000u16);
    let states = [
        State::new(0, 0, 0, 0, END),
        State::new(0, 0, tokens, 0, END),
        State::new(0, calls, tokens, 0, 0),
    ];
    let calls: Vec<_> = (0..calls).map(|_| Call::new(0, NO_STATE)).collect();
    let tokens: Vec<_> = (0..tokens).map(|_| Token::new(1, 0, 1, NOT)).collect();
    let lists = [bytes(&states), bytes(&calls), bytes(&tokens)].concat();
    let size = 40 + lists.len() as u32;
    let counts = [2, 0, calls.len() as u32, tokens.len() as u32];
    let mut table: Vec<u8> = b"LXGR".to_vec();
    let fields = [[1, size].as_slice(), &counts, &[0, 0, 0]].concat();
    table.extend(fields.into_iter().flat_map(u32::to_le_bytes));
    table.extend(lists);
    let grammar = grammar::Grammar::new(&table).unwrap();
    let more: Vec<[u8; 3]> = (0..8000u16)
        .map(|i| [b'a', i as u8, (i >> 8) as u8])
        .collect();
    let more: Vec<&[u8]> = more.iter().map(|bytes| &bytes[..]).collect();
    Words::new(&more).with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        // All of them together take no more than a byte may.
        assert!(guide.allows(b'a'.into()));
        assert!(guide.work() < 1 << 20, "{}", guide.work());
        let mut logits = vec![F32Bits(0); vocab.len()];
        let mut asked = 0;
        let result = guide.mask(&mut logits, &mut || {
            asked += 1;
            false
        });
        assert_eq!(result, Err(Error::GrammarStuck));
        assert!(asked > 100, "{asked}");
        assert!(guide.work() < 1 << 29, "{}", guide.work());
        // What may follow can be gone past.
        guide.accept(b'a'.into()).unwrap();
        assert!(guide.allows(b'a'.into()));
    });
}

/// A third one: each of thousands of references leads nowhere, but many paths are behind the token's byte.
#[test]
fn references_that_lead_nowhere_take_no_longer() {
    let (rules, references) = (63u16, 4300u16);
    let deep = 2 + rules;
    let mut states = vec![State::new(0, 0, 0, 0, END), State::new(0, rules, 0, 0, 0)];
    states.extend((0..rules).map(|_| State::new(1, rules, references, 0, END)));
    // This one cannot end within the depth.
    states.push(State::new(1, rules, references, MAX_DEPTH, END));
    states.push(State::new(1, rules, references, 0, 0));
    let edges = [Edge::new(0, 255, 1)];
    let calls: Vec<_> = (0..rules).map(|rule| Call::new(1, 2 + rule)).collect();
    let tokens: Vec<_> = (0..references)
        .map(|_| Token::new(0, 0, deep, NOT))
        .collect();
    let lists = [bytes(&states), bytes(&edges), bytes(&calls), bytes(&tokens)].concat();
    let fields = [
        1,
        40 + lists.len() as u32,
        states.len() as u32 - 1,
        1,
        rules.into(),
        references.into(),
        0,
        0,
        0,
    ];
    let mut table: Vec<u8> = b"LXGR".to_vec();
    table.extend(fields.into_iter().flat_map(u32::to_le_bytes));
    table.extend(lists);
    let grammar = grammar::Grammar::new(&table).unwrap();
    Words::new(&[]).with(|vocab, matcher, place| {
        matcher.start(&grammar, place).unwrap();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        let quickest = (0..5).map(|_| {
            let begun = Instant::now();
            assert!(guide.allows(b'a'.into()));
            begun.elapsed()
        });
        let quickest = quickest.min().unwrap();
        assert!(quickest < Duration::from_millis(20), "{quickest:?}");
    });
}

#[test]
fn each_fault_of_a_table_has_its_error() {
    let good =
        Grammar::new("root ::= \"a\" root | <think> b\nb ::= \"(\" b \")\" b | \"x\"").unwrap();
    let good = good.table();
    let refusal = |at: usize, value: u32| {
        let mut bad = good.to_vec();
        bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
        grammar::Grammar::new(&bad).unwrap_err()
    };
    assert_eq!(refusal(0, 7), TableError::NotATable);
    assert_eq!(refusal(4, 2), TableError::Version { version: 2 });
    assert!(matches!(refusal(8, 1000), TableError::Length { .. }));
    for (at, what) in [(12, "states"), (16, "edges"), (20, "calls"), (24, "tokens")] {
        assert_eq!(
            refusal(at, u32::MAX),
            TableError::Limit {
                what,
                value: u32::MAX
            }
        );
        assert!(matches!(refusal(at, 3000), TableError::Length { .. }));
    }
    assert_eq!(
        refusal(12, 0),
        TableError::Limit {
            what: "states",
            value: 0
        }
    );
    let header = TableError::Entry {
        what: "header",
        index: 0,
    };
    assert_eq!(refusal(32, 1000), header);
    assert_eq!(refusal(36, 1), header);
    assert!(matches!(
        refusal(40, 1),
        TableError::Entry { what: "state", .. }
    ));
    let long = vec![0; grammar::table::MAX_BYTES + 1];
    let bytes = long.len() as u64;
    assert_eq!(
        grammar::Grammar::new(&long).unwrap_err(),
        TableError::TooLong { bytes }
    );
}

#[test]
fn the_kernels_self_tests_have_this_compilers_tables() {
    const SOURCE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../llamux-kernel/tools/testing/selftests/llamux/grammars.h"
    );
    let source = std::fs::read_to_string(SOURCE).unwrap();
    for (name, text) in [
        ("yes_or_no", "root ::= \"yes\" | \"no\""),
        ("long_characters", "root ::= \"é漢🦙\""),
    ] {
        let (_, array) = source.split_once(&format!("{name}[] = {{")).unwrap();
        let (array, _) = array.split_once('}').unwrap();
        let bytes: Vec<u8> = array
            .split(',')
            .filter_map(|byte| u8::from_str_radix(byte.trim().strip_prefix("0x")?, 16).ok())
            .collect();
        // If it has changed: cargo run -p llamux --example compile_grammar
        assert_eq!(bytes, Grammar::new(text).unwrap().table(), "{name}");
    }
}
