// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Texts are compiled as grammars, and bytes taken as compiled grammars. Whatever is accepted is
//! followed: what is allowed one token at a time is what is allowed of all of them.

#![no_main]

#[path = "../../crates/llamux-engine/tests/common/mod.rs"]
mod common;

use std::cell::RefCell;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use llamux_engine::arena::Arena;
use llamux_engine::gguf::Gguf;
use llamux_engine::grammar::{Grammar, Guide, Matcher, MatcherMemory, Places, MAX_FORCED};
use llamux_engine::math::F32Bits;
use llamux_engine::tokenizer::Vocab;

fn vocab() -> &'static Vocab<'static> {
    static VOCAB: OnceLock<Vocab<'static>> = OnceLock::new();
    VOCAB.get_or_init(|| {
        let (tokens, types) = common::small_tokens();
        let file = common::small_vocabulary(tokens, types).build().leak();
        let gguf = Gguf::parse(file).unwrap();
        let memory = vec![0; Vocab::plan(&gguf).unwrap()].leak();
        Vocab::load(&gguf, memory).unwrap()
    })
}

fn matcher() -> (Matcher<'static>, Places<'static>) {
    // More than enough for the small vocabulary.
    let (tokens, bytes) = (1000, 10_000);
    let mut counting = Arena::counting();
    MatcherMemory::lay_out(tokens, bytes, &mut counting).unwrap();
    Places::lay_out(1, &mut counting).unwrap();
    let mut arena = Arena::new(vec![0; counting.needed()].leak());
    let memory = MatcherMemory::lay_out(tokens, bytes, &mut arena).unwrap();
    let places = Places::lay_out(1, &mut arena).unwrap();
    (Matcher::load(vocab(), memory).unwrap(), places)
}

thread_local! {
    static MATCHER: RefCell<(Matcher<'static>, Places<'static>)> = RefCell::new(matcher());
}

/// Goes on with tokens that the bytes choose.
fn follow(table: &[u8], choices: &[u8]) {
    let Ok(grammar) = Grammar::new(table) else {
        return;
    };
    MATCHER.with_borrow_mut(|(matcher, places)| {
        let place = &mut places.get(0).unwrap();
        matcher.start(&grammar, place).unwrap();
        let vocab = vocab();
        let mut guide = Guide::new(&grammar, vocab, matcher, place);
        for &choice in choices {
            let (count, _) = guide.forced(&mut [0; MAX_FORCED]);
            let mut logits = vec![F32Bits(0); vocab.len()];
            let mut quick = logits.clone();
            let glanced = guide.mask_at_a_glance(&mut quick, &mut || false);
            let masked = guide.mask(&mut logits, &mut || false);
            match glanced {
                Ok(true) => assert_eq!(quick, logits),
                Ok(false) => assert!(quick.iter().all(|&logit| logit == F32Bits(0))),
                Err(_) => assert!(masked.is_err()),
            }
            let left: Vec<u32> = (0..vocab.len() as u32)
                .filter(|&id| logits[id as usize] != F32Bits::NAN)
                .collect();
            let allowed = |id: &u32| guide.allows(*id);
            let each: Vec<u32> = (0..vocab.len() as u32).filter(allowed).collect();
            assert!(masked.is_err() == each.is_empty());
            if masked.is_err() {
                return;
            }
            assert_eq!(left, each);
            assert!(count == 0 || !guide.is_complete());
            let id = left[usize::from(choice) % left.len()];
            if vocab.is_end(id) || guide.accept(id).is_err() {
                return;
            }
        }
    });
}

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else {
        return;
    };
    let (choices, data) = data.split_at(data.len().min(16));
    if mode & 1 == 0 {
        let text = String::from_utf8_lossy(data);
        if let Ok(grammar) = llamux::Grammar::new(&text) {
            follow(grammar.table(), choices);
        }
        return;
    }
    // A table that is right but for the bytes that the data has at some place of it.
    let gbnf = "root ::= \"ab\" b <s> | c\nb ::= \"(\" b \")\" | [!-~]{2,}\nc ::= !<[3]> \"x\"*";
    let mut table = llamux::Grammar::new(gbnf).unwrap().table().to_vec();
    if mode & 2 == 0 {
        table = data.to_vec();
    } else {
        let begin = usize::from(mode) * 7 % table.len();
        for (byte, &new) in table[begin..].iter_mut().zip(data) {
            *byte ^= new;
        }
    }
    follow(&table, choices);
});
