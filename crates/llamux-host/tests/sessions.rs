// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Several requests at once, what they share, and what happens when there is not enough for all.

mod common;

use std::env;
use std::path::PathBuf;

use common::{kernels, options, tiny, tiny_pieces, Aligned, Collector, CONTEXT};
use llamux_engine::generate::{Full, Outcome, Request, Sampling, Sink, Stop};
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error, KvType, Options, Plan};
use llamux_host::kernels::Choice;
use llamux_host::model::{Arena, ModelFile};
use llamux_host::pool::Pool;

fn with_engine<T>(options: Options, test: impl FnOnce(&mut Engine<'_>, &Pool) -> T) -> T {
    with_engine_of(&tiny().build(), options, test)
}

fn with_engine_of<T>(
    file: &[u8],
    options: Options,
    test: impl FnOnce(&mut Engine<'_>, &Pool) -> T,
) -> T {
    let file = Aligned::new(file);
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool).unwrap();
    test(&mut engine, &pool)
}

fn sequences(count: u32) -> Options {
    Options {
        sequences: count,
        ..options()
    }
}

/// Tokens that are not all the same.
fn tokens(seed: u32, count: u32) -> Vec<u32> {
    (0..count)
        .map(|i| (i * i + i * 7 + seed * 13) % 100)
        .collect()
}

fn greedy(max_tokens: u32) -> Request<'static> {
    Request {
        max_tokens,
        sampling: Sampling::GREEDY,
        ..Request::default()
    }
}

fn sampled(max_tokens: u32, seed: u64) -> Request<'static> {
    Request {
        sampling: Sampling {
            seed,
            ..Sampling::default()
        },
        ..greedy(max_tokens)
    }
}

/// Asks alone.
fn ask(
    engine: &mut Engine<'_>,
    pool: &Pool,
    (prompt, owner): (&[u32], u64),
    request: &Request<'_>,
) -> (Vec<u32>, Outcome) {
    let mut sink = Collector::default();
    let id = engine.submit_tokens(prompt, request, owner).unwrap();
    let outcome = engine.finish(id, pool, &mut sink).unwrap();
    assert_eq!(outcome.tokens as usize, sink.tokens.len());
    assert_eq!(engine.active(), 0);
    (sink.tokens, outcome)
}

/// All who asked.
#[derive(Default)]
struct Crowd {
    sinks: Vec<Collector>,
    ends: Vec<Option<Result<Outcome, Error>>>,
    /// Who got each token.
    order: Vec<usize>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        Self {
            sinks: (0..count).map(|_| Collector::default()).collect(),
            ends: vec![None; count],
            order: vec![],
        }
    }

    fn run(&mut self, engine: &mut Engine<'_>, pool: &Pool) {
        while self.step(engine, pool) {}
    }

    fn step(&mut self, engine: &mut Engine<'_>, pool: &Pool) -> bool {
        let before: Vec<_> = self.sinks.iter().map(|sink| sink.tokens.len()).collect();
        let stepped = engine.step(pool, self);
        for (i, before) in before.into_iter().enumerate() {
            let new = self.sinks[i].tokens.len() - before;
            self.order.extend(std::iter::repeat_n(i, new));
        }
        stepped
    }

    fn outcome(&self, index: usize) -> Outcome {
        self.ends[index].expect("it has ended").expect("well")
    }
}

impl Audience for Crowd {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        let sink = self.sinks.get_mut(id.index())?;
        Some(sink)
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        assert!(self.ends[id.index()].replace(end).is_none(), "once");
    }
}

/// Counts what is computed for each.
struct Bill {
    crowd: Crowd,
    got: Vec<u32>,
    /// Tokens of the batch that are not told yet.
    left: u32,
}

impl Audience for Bill {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        self.crowd.sink(id)
    }

    fn computed(&mut self, id: SlotId, part: u32, all: u32) {
        if self.left == 0 {
            self.left = all;
        }
        self.got[id.index()] += part;
        self.left -= part;
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        self.crowd.done(id, end);
    }
}

#[test]
fn it_is_told_for_whom_each_batch_was() {
    with_engine(sequences(3), |engine, pool| {
        let mut bill = Bill {
            crowd: Crowd::new(3),
            got: vec![0; 3],
            left: 0,
        };
        for (owner, count) in [(1, 100), (2, 70), (3, 5)] {
            let prompt = tokens(owner, count);
            let owner = owner.into();
            engine.submit_tokens(&prompt, &greedy(10), owner).unwrap();
        }
        while engine.step(pool, &mut bill) {
            assert_eq!(bill.left, 0, "a batch is told to its end");
        }
        for (index, got) in bill.got.into_iter().enumerate() {
            let outcome = bill.crowd.outcome(index);
            assert_eq!(outcome.cached_tokens, 0);
            // What follows the last token of an answer is not asked for.
            let expected = outcome.prompt_tokens + outcome.tokens - 1;
            assert_eq!(got, expected, "{index}");
        }
    });
}

#[test]
fn a_request_takes_no_more_positions_than_it_may() {
    with_engine(options(), |engine, pool| {
        let prompt = tokens(1, 100);
        let request = |positions, max_tokens| Request {
            positions: Some(positions),
            ..greedy(max_tokens)
        };
        let refused = engine.submit_tokens(&prompt, &request(119, 20), 1);
        let (need, have) = (120, 119);
        assert_eq!(refused, Err(Error::Allowance { need, have }));
        assert_eq!(engine.active(), 0);
        let id = engine.submit_tokens(&prompt, &request(120, 20), 1).unwrap();
        assert_eq!(engine.positions(id), 120);
        let outcome = engine.finish(id, pool, &mut Collector::default());
        assert_eq!(outcome.unwrap().tokens, 20);
        // There are no more than a context anyway.
        let id = engine
            .submit_tokens(&prompt, &request(CONTEXT, u32::MAX), 1)
            .unwrap();
        assert_eq!(engine.positions(id), CONTEXT);
    });
}

#[test]
fn a_prompt_pays_only_for_what_is_new() {
    with_engine(options(), |engine, pool| {
        let prompt = tokens(1, 200);
        for request in [greedy(20), sampled(20, 5)] {
            engine.forget();
            let (cold, outcome) = ask(engine, pool, (&prompt, 1), &request);
            assert_eq!(outcome.cached_tokens, 0);
            let (again, outcome) = ask(engine, pool, (&prompt, 1), &request);
            assert_eq!(outcome.cached_tokens, 198, "all but the last two");
            assert_eq!(again, cold);

            // As far as it is the same: in the middle of a block, at its end, not at all.
            for same in [130, 128, 64, 20] {
                let mut other = prompt.clone();
                other[same] += 1;
                engine.forget();
                let (expected, _) = ask(engine, pool, (&other, 1), &request);
                engine.forget();
                ask(engine, pool, (&prompt, 1), &request);
                let (tokens, outcome) = ask(engine, pool, (&other, 1), &request);
                assert_eq!(outcome.cached_tokens as usize, same);
                assert_eq!(tokens, expected, "{same}");
            }
        }
    });
}

#[test]
fn nobody_gains_from_what_another_asked() {
    with_engine(options(), |engine, pool| {
        let prompt = tokens(1, 200);
        let cached = |engine: &mut Engine<'_>, owner| {
            let outcome = ask(engine, pool, (&prompt, owner), &greedy(3)).1;
            outcome.cached_tokens
        };
        assert_eq!(cached(engine, 1), 0);
        assert_eq!(cached(engine, 2), 0);
        assert_eq!((cached(engine, 1), cached(engine, 2)), (198, 198));
    });
}

#[test]
fn an_answer_is_there_for_the_next_question() {
    with_engine(options(), |engine, pool| {
        let mut conversation = tokens(1, 100);
        let (answer, _) = ask(engine, pool, (&conversation, 1), &greedy(50));
        assert!(engine.sequence().starts_with(&conversation));
        conversation.extend(answer);
        conversation.extend(tokens(3, 30));
        let (_, outcome) = ask(engine, pool, (&conversation, 1), &greedy(5));
        // The answer's last token was never computed.
        assert_eq!(outcome.cached_tokens, 149);
    });
}

#[test]
fn what_all_questions_begin_with_is_computed_once() {
    with_engine(sequences(2), |engine, pool| {
        let count = engine.prewarm(pool).unwrap();
        assert!(count >= 2);
        for owner in [1, 2] {
            let request = Request {
                prompt: "hello abc",
                ..greedy(5)
            };
            let id = engine.submit(&request, owner).unwrap();
            let mut sink = Collector::default();
            let outcome = engine.finish(id, pool, &mut sink).unwrap();
            assert_eq!(outcome.cached_tokens, count, "{owner}");
            engine.forget();
            let id = engine.submit(&request, owner).unwrap();
            let mut cold = Collector::default();
            let outcome = engine.finish(id, pool, &mut cold).unwrap();
            assert_eq!(outcome.cached_tokens, 0);
            assert_eq!(sink.tokens, cold.tokens);
            engine.prewarm(pool).unwrap();
        }
    });
}

#[test]
fn sessions_get_tokens_in_turn() {
    with_engine(sequences(5), |engine, pool| {
        let alone: Vec<_> = (0..5)
            .map(|i| ask(engine, pool, (&tokens(i, 20 + i), 0), &greedy(30)).0)
            .collect();
        for count in [2, 5] {
            let mut crowd = Crowd::new(count);
            for i in 0..count as u32 {
                let id = engine.submit_tokens(&tokens(i, 20 + i), &greedy(30), 0);
                assert_eq!(id.unwrap().index(), i as usize);
            }
            assert_eq!(engine.active(), count);
            crowd.run(engine, pool);
            for (i, alone) in alone.iter().enumerate().take(count) {
                assert_eq!(crowd.outcome(i).stop, Stop::Length);
                let own = &crowd.sinks[i].tokens;
                assert_eq!(own.len(), 30);
                // Two are computed as each of them alone.
                assert!(count > 2 || own == alone, "{i}");
                assert_eq!(own[0], alone[0], "out of the prompt");
            }
            // Once all have begun, nobody gets two while another gets none.
            let begun = (0..count).map(|i| crowd.order.iter().position(|&o| o == i).unwrap());
            let begun = begun.max().unwrap();
            let mut last = vec![None; count];
            for (at, &who) in crowd.order.iter().enumerate().skip(begun) {
                if let Some(before) = last[who].replace(at) {
                    assert!(at - before <= count, "{:?}", crowd.order);
                }
            }
        }
    });
}

#[test]
fn a_long_prompt_does_not_hold_up_an_answer() {
    with_engine(sequences(2), |engine, pool| {
        engine.set_piece(16);
        let (alone, _) = ask(engine, pool, (&tokens(1, 30), 1), &greedy(60));
        engine.forget();
        let mut crowd = Crowd::new(2);
        engine
            .submit_tokens(&tokens(1, 30), &greedy(60), 1)
            .unwrap();
        while crowd.sinks[0].tokens.len() < 2 {
            crowd.step(engine, pool);
        }
        engine
            .submit_tokens(&tokens(2, 400), &greedy(10), 2)
            .unwrap();
        while crowd.sinks[1].tokens.is_empty() {
            let before = crowd.sinks[0].tokens.len();
            crowd.step(engine, pool);
            assert_eq!(crowd.sinks[0].tokens.len(), before + 1, "one each step");
        }
        assert_eq!(crowd.sinks[0].tokens.len(), 2 + 400 / 16);
        crowd.run(engine, pool);
        assert_eq!(crowd.sinks[0].tokens, alone);
        // And the prompt's pieces make the same of it as all of it at once.
        let own = crowd.sinks[1].tokens.clone();
        engine.forget();
        assert_eq!(ask(engine, pool, (&tokens(2, 400), 2), &greedy(10)).0, own);
    });
}

#[test]
fn one_who_stops_does_not_stop_the_others() {
    with_engine(sequences(3), |engine, pool| {
        let mut crowd = Crowd::new(3);
        for i in 0..3 {
            engine
                .submit_tokens(&tokens(i, 10), &greedy(30), 0)
                .unwrap();
        }
        crowd.sinks[1].patience = Some(200);
        crowd.sinks[2].room = Some(5);
        crowd.run(engine, pool);
        assert_eq!(crowd.outcome(0).stop, Stop::Length);
        assert_eq!(crowd.outcome(1).stop, Stop::Requested);
        assert_eq!(crowd.outcome(2).stop, Stop::Sink);
        assert_eq!(crowd.sinks[0].tokens.len(), 30);
        assert!(crowd.sinks[1].tokens.len() < 30);
    });
}

#[test]
fn nothing_is_computed_for_one_who_is_gone() {
    with_engine(sequences(2), |engine, pool| {
        let mut crowd = Crowd::new(2);
        for i in 0..2 {
            engine
                .submit_tokens(&tokens(i, 10), &greedy(30), 0)
                .unwrap();
        }
        while crowd.sinks.iter().any(|sink| sink.tokens.len() < 3) {
            crowd.step(engine, pool);
        }
        let had = crowd.sinks[1].tokens.len();
        crowd.sinks[1].patience = Some(crowd.sinks[1].asked);
        crowd.step(engine, pool);
        assert_eq!(crowd.outcome(1).stop, Stop::Requested);
        assert_eq!(
            (crowd.outcome(1).tokens as usize, engine.active()),
            (had, 1)
        );
        // One who waits for its prompt, too.
        crowd.sinks[1] = Collector {
            patience: Some(0),
            ..Collector::default()
        };
        crowd.ends[1] = None;
        let prompt = tokens(5, 500);
        engine.submit_tokens(&prompt, &greedy(30), 0).unwrap();
        crowd.step(engine, pool);
        assert_eq!((crowd.outcome(1).tokens, engine.active()), (0, 1));
        crowd.run(engine, pool);
        assert_eq!(crowd.outcome(0).stop, Stop::Length);
    });
}

#[test]
fn a_prompt_can_be_given_up_while_it_is_split() {
    with_engine(sequences(1), |engine, pool| {
        let text = "hello abc ".repeat(400);
        let request = Request {
            prompt: &text,
            ..greedy(5)
        };
        for raw in [false, true] {
            let mut pauses = 0;
            let mut pause = || {
                pauses += 1;
                pauses == 1
            };
            let request = Request { raw, ..request };
            let end = engine.submit_with(&request, 1, &mut pause);
            assert_eq!((end, pauses), (Err(Error::Interrupted), 1));
            assert_eq!(engine.active(), 0);
        }
        ask(engine, pool, (&tokens(1, 5), 1), &greedy(5));
    });
}

#[test]
fn an_answer_has_no_space_that_only_the_vocabulary_wants() {
    with_engine_of(&tiny_pieces().build(), options(), |engine, pool| {
        let mut spaces = 0;
        for seed in 0..60 {
            for raw in [false, true] {
                let request = Request {
                    prompt: "abc",
                    raw,
                    ..sampled(4, seed)
                };
                let mut sink = Collector::default();
                let id = engine.submit(&request, 1).unwrap();
                engine.finish(id, pool, &mut sink).unwrap();
                let mut decoder = engine.vocab().decoder(!raw);
                let mut expected = String::new();
                for &token in &sink.tokens {
                    decoder.push(engine.vocab(), token, false, |text| expected += text);
                }
                decoder.finish(|text| expected += text);
                assert_eq!(sink.text, expected, "{raw}");
                let first = sink
                    .tokens
                    .first()
                    .and_then(|&id| engine.vocab().spelling(id));
                let space = first.is_some_and(|first| first.starts_with("\u{2581}".as_bytes()));
                spaces += u32::from(space && !raw);
            }
        }
        assert!(spaces > 0, "none began with one");
    });
}

#[test]
fn nothing_is_lost_with_those_who_leave() {
    let one = Options {
        kv_positions: CONTEXT,
        ..sequences(3)
    };
    with_engine(one, |engine, pool| {
        for round in 0..60 {
            let mut sink = Collector {
                patience: Some(round * 7),
                ..Collector::default()
            };
            let prompt = tokens(round as u32, 150);
            let id = engine.submit_tokens(&prompt, &greedy(100), 1).unwrap();
            engine.finish(id, pool, &mut sink).unwrap();
        }
        // Everything there is, and not what was left in the middle of a block.
        let prompt = tokens(1, CONTEXT - 10);
        let (kept, _) = ask(engine, pool, (&prompt, 1), &greedy(u32::MAX));
        engine.forget();
        let (cold, _) = ask(engine, pool, (&prompt, 1), &greedy(u32::MAX));
        assert_eq!(kept, cold);
    });
}

#[test]
fn takes_in_only_what_there_are_blocks_for() {
    let one = Options {
        kv_positions: CONTEXT,
        ..sequences(2)
    };
    with_engine(one, |engine, pool| {
        // Eleven blocks: seven of them, and then four.
        let mut crowd = Crowd::new(2);
        engine
            .submit_tokens(&tokens(1, 300), &greedy(100), 1)
            .unwrap();
        let refused = engine.submit_tokens(&tokens(2, 200), &greedy(100), 2);
        assert_eq!(
            refused,
            Err(Error::Busy {
                what: "blocks of the cache",
                need: 5,
                have: 4
            })
        );
        engine
            .submit_tokens(&tokens(2, 156), &greedy(100), 2)
            .unwrap();
        let refused = engine.submit_tokens(&tokens(2, 10), &greedy(1), 2);
        assert!(matches!(
            refused,
            Err(Error::Busy {
                what: "sequences",
                ..
            })
        ));
        crowd.run(engine, pool);
        assert_eq!(crowd.outcome(0).tokens, 100);
        assert_eq!(crowd.outcome(1).tokens, 100);
        // Now there are.
        engine
            .submit_tokens(&tokens(2, 200), &greedy(100), 2)
            .unwrap();
        engine.step(pool, &mut Crowd::new(1));
        // And a shared beginning needs no blocks of its own.
        let mut crowd = Crowd::new(2);
        engine
            .submit_tokens(&tokens(2, 200), &greedy(100), 2)
            .unwrap();
        crowd.run(engine, pool);
    });
}

#[test]
fn there_is_a_context_for_everybody_unless_said_otherwise() {
    let short = Options {
        context: 10,
        ..sequences(4)
    };
    with_engine(short, |engine, pool| {
        let mut crowd = Crowd::new(4);
        for i in 0..4 {
            engine.submit_tokens(&tokens(i, 5), &greedy(5), 0).unwrap();
        }
        crowd.run(engine, pool);
        assert!((0..4).all(|i| crowd.outcome(i).tokens == 5));
    });
}

#[test]
fn refuses_what_is_no_prompt() {
    with_engine(options(), |engine, pool| {
        let vocabulary = engine.info().vocabulary;
        let mut submit = |ids: &[u32]| engine.submit_tokens(ids, &greedy(5), 0).map(|_| ());
        assert_eq!(submit(&[]), Err(Error::EmptyPrompt));
        let id = vocabulary;
        assert_eq!(submit(&[1, id]), Err(Error::Token { id, vocabulary }));
        for len in [CONTEXT + 1, 2 * CONTEXT, 2 * CONTEXT + 1, 5 * CONTEXT] {
            let refused = submit(&tokens(1, len));
            let (need, have) = (len.into(), CONTEXT.into());
            assert_eq!(refused, Err(Error::Context { need, have }));
        }
        let longest = tokens(1, CONTEXT);
        let (answer, outcome) = ask(engine, pool, (&longest, 0), &greedy(5));
        assert_eq!((answer.len(), outcome.stop), (1, Stop::Context));
    });
}

#[test]
fn drops_the_oldest_where_it_may() {
    with_engine(options(), |engine, pool| {
        let endless = Request {
            full: Full::DropOldest,
            ..greedy(2 * CONTEXT)
        };
        let (answer, outcome) = ask(engine, pool, (&tokens(1, 20), 0), &endless);
        assert_eq!(outcome.stop, Stop::Length);
        assert_eq!(answer.len() as u32, 2 * CONTEXT);
        // Until the context was full nothing was different.
        let stops = greedy(2 * CONTEXT);
        let (begin, outcome) = ask(engine, pool, (&tokens(1, 20), 0), &stops);
        assert_eq!(outcome.stop, Stop::Context);
        assert_eq!(answer[..begin.len()], begin);

        // The answer to a prompt that is too long is the answer to its end.
        let long = tokens(1, CONTEXT + 300);
        let short = Request {
            full: Full::DropOldest,
            ..greedy(10)
        };
        let (answer, outcome) = ask(engine, pool, (&long, 0), &short);
        assert!(outcome.prompt_tokens <= CONTEXT - 10);
        let rest = engine.prompt(&outcome).to_vec();
        assert!(long.ends_with(&rest) && rest.len() > 300);
        engine.forget();
        assert_eq!(ask(engine, pool, (&rest, 0), &greedy(10)).0, answer);
    });
}

#[test]
fn a_full_context_that_cannot_be_had_anew_ends_the_answer() {
    let few = Options {
        kv_positions: CONTEXT + 64,
        ..sequences(2)
    };
    with_engine(few, |engine, pool| {
        let endless = Request {
            full: Full::DropOldest,
            ..greedy(CONTEXT)
        };
        let prompt = tokens(1, CONTEXT - 40);
        let mut crowd = Crowd::new(2);
        engine.submit_tokens(&prompt, &endless, 1).unwrap();
        while crowd.sinks[0].tokens.is_empty() {
            crowd.step(engine, pool);
        }
        // It has the first one's blocks for as long as its answer takes.
        let beside = greedy(60);
        engine.submit_tokens(&prompt, &beside, 1).unwrap();
        crowd.run(engine, pool);
        assert_eq!(crowd.outcome(0).stop, Stop::Context);
        assert_eq!(crowd.outcome(1).stop, Stop::Context);
        // What they had is free again.
        let (answer, _) = ask(engine, pool, (&tokens(2, 20), 1), &endless);
        assert_eq!(answer.len() as u32, CONTEXT);
    });
}

#[test]
fn guesses_change_no_choice() {
    with_engine(options(), |engine, pool| {
        // A text that repeats itself, so that guesses are made; not all of them are right.
        let prompt: Vec<u32> = tokens(1, 40).repeat(3);
        let mut accepted = 0;
        for request in [greedy(300), sampled(300, 1), sampled(300, 2)] {
            let likelier = Request {
                sampling: Sampling {
                    temperature_milli: request.sampling.temperature_milli / 8,
                    ..request.sampling
                },
                ..request
            };
            for request in [request, likelier] {
                engine.set_speculation(false);
                let (without, outcome) = ask(engine, pool, (&prompt, 0), &request);
                assert_eq!((outcome.drafted_tokens, outcome.accepted_tokens), (0, 0));
                engine.set_speculation(true);
                let (with, outcome) = ask(engine, pool, (&prompt, 0), &request);
                assert_eq!(with, without);
                assert!(outcome.accepted_tokens <= outcome.drafted_tokens);
                accepted += outcome.accepted_tokens;
            }
        }
        assert!(accepted > 100, "{accepted}: they are made at all");
    });
}

#[test]
fn a_prompt_may_be_cut_anywhere() {
    with_engine(options(), |engine, pool| {
        let ids = tokens(1, 300);
        let mut logits = |batch| {
            engine.clear();
            engine.set_batch(batch);
            engine.extend(&ids, pool).unwrap().to_vec()
        };
        let whole = logits(64);
        // The last piece has several tokens with each of these.
        for batch in [2, 3, 7, 17, 63] {
            assert!(logits(batch) == whole, "the same bits, {batch}");
        }
    });
}

#[test]
fn bytes_remember_nearly_as_well_as_floats() {
    let ids = tokens(1, 300);
    let run = |kv_type, choice: Choice| {
        let file = Aligned::new(&tiny().build());
        let options = Options {
            kv_type,
            ..options()
        };
        let plan = Plan::new(file.bytes(), &options).unwrap();
        let mut arena = vec![0; plan.arena_bytes()];
        let pool = Pool::new(1).unwrap();
        let kernels = choice.kernels().unwrap();
        let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels, &pool).unwrap();
        let logits = engine.extend(&ids, &pool).unwrap();
        let logits: Vec<f32> = logits.iter().map(|l| f32::from_bits(l.0)).collect();
        (logits, engine.info().kv_bytes)
    };
    let (floats, whole) = run(KvType::F16, Choice::Best);
    let spread = floats.iter().fold(0f32, |most, l| most.max(l.abs()));
    for choice in [Choice::Best, Choice::Scalar] {
        let (bytes, less) = run(KvType::Q8_0, choice);
        assert_eq!(less * 32, whole * 17);
        assert!(bytes != floats);
        for (a, b) in floats.iter().zip(&bytes) {
            assert!((a - b).abs() < 0.02 * spread, "{choice:?}: {a} {b}");
        }
    }
}

#[test]
fn absurd_options_are_refused() {
    let refused = |options: Options, message: &str| {
        let file = Aligned::new(&tiny().build());
        let error = Plan::new(file.bytes(), &options).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    refused(
        sequences(65),
        "number of sequences is 65, more than the limit of 64",
    );
    refused(sequences(u32::MAX), "more than the limit of 64");
    let positions = |kv_positions| Options {
        kv_positions,
        ..options()
    };
    refused(positions(699), "is 699, expected at least the context");
    refused(
        positions(u32::MAX),
        "is 4294967295, more than the limit of 16777216",
    );
    // Heads of 16 dimensions, which share no scale.
    let count = |n| Some(common::gguf::Meta::U32(n));
    let narrow = tiny()
        .set("llama.attention.head_count", count(16))
        .set("llama.attention.head_count_kv", count(8));
    let file = Aligned::new(&narrow.build());
    assert!(Plan::new(file.bytes(), &options()).is_ok());
    let bytes = Options {
        kv_type: KvType::Q8_0,
        ..options()
    };
    let error = Plan::new(file.bytes(), &bytes).unwrap_err().to_string();
    assert!(error.contains("q8_0 for heads of 16"), "{error}");
}

/// A model with weights of its own, if it is there.
fn with_model(name: &str, options: Options, test: impl FnOnce(&mut Engine<'_>, &Pool)) {
    let models = env::var_os("LLAMUX_MODELS").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache/llamux/models"))
    });
    let path = models.unwrap_or_default().join(name);
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return;
    }
    let file = ModelFile::open(&path).unwrap();
    let pool = Pool::new(2).unwrap();
    let mut arena = Arena::new(&file, options).unwrap();
    let mut engine = arena.load(&file, kernels(), &pool).unwrap();
    test(&mut engine, &pool);
}

/// Asked to repeat a text, the model does, and guesses pay; what it says is the same.
#[test]
fn smollm2_edits_alike_with_and_without_guesses() {
    let options = Options {
        context: 1024,
        ..Options::default()
    };
    with_model("smollm2-135m.gguf", options, |engine, pool| {
        let request = Request {
            prompt:
                "Repeat this list: apple, banana, cherry, apple, banana, cherry, apple, banana, \
                     cherry, apple, banana, cherry, apple, banana, cherry.",
            ..greedy(80)
        };
        let mut answer = |speculate| {
            engine.set_speculation(speculate);
            let mut sink = Collector::default();
            let outcome = engine.generate(&request, pool, &mut sink).unwrap();
            (sink.text, outcome)
        };
        let (without, _) = answer(false);
        let (with, outcome) = answer(true);
        assert_eq!(with, without);
        assert!(outcome.accepted_tokens > 10, "{outcome:?}");
    });
}
