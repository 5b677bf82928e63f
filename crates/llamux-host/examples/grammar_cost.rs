// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Measures what a grammar costs with the vocabulary of a model:
//! `cargo run --release -p llamux-host --example grammar_cost -- MODEL.gguf`.
//!
//! For each grammar and a text that is already written: the time to go through all tokens, how many
//! of them may follow, and the time to ask of a hundred tokens one by one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use llamux::Grammar;
use llamux_engine::arena::Arena;
use llamux_engine::grammar::{self, Guide, Matcher, MatcherMemory, Places};
use llamux_engine::math::F32Bits;
use llamux_engine::tokenizer::Vocab;
use llamux_host::model::ModelFile;

const CASES: [(&str, &str, &str); 7] = [
    (
        "json, at its beginning",
        include_str!("../../llamux/examples/json.gbnf"),
        "",
    ),
    (
        "json, within a string",
        include_str!("../../llamux/examples/json.gbnf"),
        "{\"name\": \"A",
    ),
    (
        "json, before a value",
        include_str!("../../llamux/examples/json.gbnf"),
        "{\"name\":",
    ),
    (
        "arithmetic",
        include_str!("../../llamux/examples/arithmetic.gbnf"),
        "1 + ",
    ),
    (
        "choices",
        include_str!("../../llamux/examples/choices.gbnf"),
        "re",
    ),
    ("anything", "root ::= .*", "text"),
    (
        "words in many ways",
        "root ::= (a | b | c)*\na ::= [a-z ]+ b?\nb ::= [a-y ]* c\nc ::= \"x\" | [^x] a?",
        "ab",
    ),
];

fn main() -> Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .context("usage: grammar_cost MODEL")?;
    let file = ModelFile::open(Path::new(&path))?;
    let gguf = file.gguf()?;
    let mut words = vec![0; Vocab::plan(&gguf)?];
    let vocab = Vocab::load(&gguf, &mut words)?;
    let (tokens, bytes) = Vocab::texts(&gguf)?;
    let mut counting = Arena::counting();
    MatcherMemory::lay_out(tokens, bytes, &mut counting)?;
    Places::lay_out(1, &mut counting)?;
    let mut memory = vec![0; counting.needed()];
    let mut arena = Arena::new(&mut memory);
    let matcher = MatcherMemory::lay_out(tokens, bytes, &mut arena)?;
    let mut places = Places::lay_out(1, &mut arena)?;
    let start = Instant::now();
    let mut matcher = Matcher::load(&vocab, matcher)?;
    let mut place = places.get(0)?;
    println!(
        "{tokens} tokens, {} KiB, sorted in {:?}",
        counting.needed() >> 10,
        start.elapsed()
    );
    for (name, gbnf, text) in CASES {
        let start = Instant::now();
        let grammar = Grammar::new(gbnf)?;
        let compiled = start.elapsed();
        let table = grammar.table().len();
        let grammar = grammar::Grammar::new(grammar.table())?;
        matcher.start(&grammar, &mut place)?;
        let mut guide = Guide::new(&grammar, &vocab, &mut matcher, &mut place);
        let mut scratch = vec![0; Vocab::scratch(text.len())];
        let mut ids = vec![0; text.len() + 2];
        let count = vocab.encode(text, Default::default(), &mut scratch, &mut ids)?;
        for &id in &ids[..count] {
            guide.accept(id)?;
        }
        let mut best = Duration::MAX;
        let mut logits = vec![];
        for _ in 0..20 {
            logits = vec![F32Bits(0); vocab.len()];
            // What one place may take is bounded.
            let mut guide = Guide::new(&grammar, &vocab, &mut matcher, &mut place);
            let start = Instant::now();
            guide.mask(&mut logits, &mut || false)?;
            best = best.min(start.elapsed());
        }
        let left = logits
            .iter()
            .filter(|&&logit| logit != F32Bits::NAN)
            .count();
        let step = (vocab.len() / 100).max(1) as u32;
        let mut guide = Guide::new(&grammar, &vocab, &mut matcher, &mut place);
        let start = Instant::now();
        let some = (0..100).filter(|i| guide.allows(i * step)).count();
        println!(
            "{name}: {table} bytes, compiled in {compiled:?}; all tokens {best:?}, {left} allowed; \
             100 tokens {:?}, {some} allowed",
            start.elapsed()
        );
    }
    Ok(())
}
