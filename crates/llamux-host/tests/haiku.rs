// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Haiku that models write under the grammar of haiku: all of five, seven and five syllables, whatever the
//! model would say.

mod common;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;

use common::{gguf, kernels, tiny, Aligned, Collector};
use llamux_engine::generate::{Outcome, Request, Sampling, Sink, Stop};
use llamux_engine::gguf::Gguf;
use llamux_engine::grammar::{Constraint, Grammar};
use llamux_engine::haiku::{self, built_in, table, Kind};
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::pool::Pool;

/// How many answers are written at once.
const SEATS: usize = 8;
const OWNER: u64 = 1;

fn grammar() -> Vec<u8> {
    let mut bytes = vec![0; table::bytes()];
    table::write(&mut bytes).expect("it has the right size");
    bytes
}

/// Those who are being answered.
struct Crowd<'g> {
    constraint: Constraint<'g>,
    seats: HashMap<usize, Collector>,
    texts: Vec<String>,
}

impl Audience for Crowd<'_> {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        let seat = self.seats.get_mut(&id.index())?;
        Some(seat)
    }

    fn constrained(&mut self, id: SlotId) -> Option<(&mut dyn Sink, Option<Constraint<'_>>)> {
        let constraint = Some(self.constraint);
        Some((self.sink(id)?, constraint))
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        let seat = self.seats.remove(&id.index()).expect("it was taken in");
        assert_eq!(end.map(|outcome| outcome.stop), Ok(Stop::End));
        self.texts.push(seat.text);
    }
}

/// So many haiku, each of another seed.
fn write(model: &[u8], count: usize) -> Vec<String> {
    let pool = Pool::new(2).expect("threads start");
    let options = Options {
        context: 640,
        prompt_bytes: 4096,
        sequences: SEATS as u32,
        ..Options::default()
    };
    let file = Gguf::parse(model).expect("a model");
    let plan = Plan::of(&file, &options).expect("it fits");
    let mut arena = vec![0; plan.arena_bytes()];
    let mut engine = Engine::load(model, &mut arena, &options, kernels(), &pool).expect("it loads");
    let table = grammar();
    let constraint = Constraint {
        grammar: Grammar::new(&table).expect("it is valid"),
        forced: true,
    };
    let mut crowd = Crowd {
        constraint,
        seats: HashMap::new(),
        texts: vec![],
    };
    let mut seed = 0;
    while crowd.texts.len() < count {
        while crowd.seats.len() < SEATS && seed < count {
            seed += 1;
            let kind = Kind::ALL[seed % Kind::ALL.len()];
            let mut prompt = String::new();
            haiku::ask(kind, &mut built_in(kind).iter().copied(), &mut prompt)
                .expect("a string grows");
            let request = Request {
                prompt: &prompt,
                max_tokens: 128,
                sampling: Sampling {
                    seed: seed as u64,
                    ..haiku::SAMPLING
                },
                constraint: Some(constraint),
                ..Request::default()
            };
            let id = engine.submit(&request, OWNER).expect("there is room");
            crowd.seats.insert(id.index(), Collector::default());
        }
        engine.step(&pool, &mut crowd);
    }
    crowd.texts
}

/// Counts without the engine's table: the phonemes with a stress in the dictionary.
fn is_haiku(text: &str) -> bool {
    let dictionary = include_str!("../../llamux-engine/tests/fixtures/cmudict.txt");
    let lines = dictionary.lines().filter(|line| !line.starts_with(";;;"));
    let known: HashMap<_, _> = lines
        .map(|line| {
            let mut words = line.split('#').next().unwrap_or("").split_whitespace();
            let word = words.next().expect("a line has a word");
            let stressed = |phoneme: &&str| phoneme.ends_with(['0', '1', '2']);
            (word, words.filter(stressed).count())
        })
        .collect();
    let counts: Option<Vec<usize>> = text
        .split('\n')
        .map(|line| line.split(' ').map(|word| known.get(word)).sum())
        .collect();
    counts.is_some_and(|counts| counts == [5, 7, 5])
}

#[test]
fn even_made_up_weights_write_haiku() {
    let file = Aligned::new(&tiny().build());
    for text in write(file.bytes(), 24) {
        assert!(is_haiku(&text), "{text}");
        assert_eq!(haiku::check(&text), Ok(()));
    }
}

#[test]
fn two_hundred_haiku_of_a_real_model_are_haiku() {
    let Some(path) = gguf::find("LLAMUX_MODELS", ".cache/llamux/models", "smollm2-135m.gguf")
    else {
        return;
    };
    let bytes = fs::read(path).expect("it can be read");
    let file = Aligned::new(&bytes);
    let texts = write(file.bytes(), 200);
    let mut all = String::new();
    for text in &texts {
        assert!(is_haiku(text), "{text}");
        writeln!(all, "{text}\n").expect("a string grows");
    }
    println!("{all}");
    let different: BTreeSet<_> = texts.iter().collect();
    assert!(different.len() > 150, "{} differ", different.len());
}
