// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The engine with a small model: answers, states, and the reasons why an answer ends.

mod common;

use common::{kernels, options, tiny, Aligned, Collector};
use llamux_engine::generate::{Outcome, Request, Sampling, Stop};
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::kernels::Choice;
use llamux_host::pool::Pool;

fn with_engine<T>(threads: usize, test: impl FnOnce(&mut Engine<'_>, &Pool) -> T) -> T {
    let file = Aligned::new(&tiny().build());
    let plan = Plan::new(file.bytes(), &options()).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(threads).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options(), kernels(), &pool).unwrap();
    test(&mut engine, &pool)
}

fn request(prompt: &str) -> Request<'_> {
    Request {
        prompt,
        raw: true,
        max_tokens: 40,
        sampling: Sampling {
            seed: 1,
            ..Sampling::default()
        },
        ..Request::default()
    }
}

fn ask(engine: &mut Engine<'_>, pool: &Pool, request: &Request<'_>) -> (Vec<u32>, Outcome) {
    let mut sink = Collector::default();
    let outcome = engine.generate(request, pool, &mut sink).unwrap();
    assert_eq!(outcome.tokens as usize, sink.tokens.len());
    assert_eq!(outcome.prompt_tokens, sink.prefilled);
    (sink.tokens, outcome)
}

#[test]
fn tells_about_the_model() {
    with_engine(1, |engine, _| {
        let info = *engine.info();
        assert_eq!(info.name.to_string(), "Tiny\\nmodel");
        assert_eq!(info.architecture, "llama");
        assert_eq!(info.layers, 2);
        assert_eq!(info.context, common::CONTEXT);
        assert_eq!(info.quantization, "Q4_1", "the type of most weights");
        // Keys and values of 16 bits.
        let positions = (common::CONTEXT as usize).next_multiple_of(64);
        assert_eq!(info.kv_bytes, 2 * 2 * 2 * 2 * 64 * positions);
        assert!(info.tensor_bytes > 0 && info.parameters > 1_000_000);
    });
}

#[test]
fn answers_each_question_in_an_empty_context() {
    with_engine(1, |engine, pool| {
        let (first, _) = ask(engine, pool, &request("hello"));
        let (other, _) = ask(engine, pool, &request("abc abc abc"));
        let (again, _) = ask(engine, pool, &request("hello"));
        assert_eq!(first, again);
        assert_ne!(first, other);
        let mut different = request("hello");
        different.sampling.seed = 2;
        assert_ne!(ask(engine, pool, &different).0, first);
    });
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let ids: Vec<u32> = (0..200).map(|i| i * 7 % 100).collect();
    let run = |threads| {
        with_engine(threads, |engine, pool| {
            let answer = ask(engine, pool, &request("hello")).0;
            engine.clear();
            let logits = engine.extend(&ids, pool).unwrap().to_vec();
            (answer, logits)
        })
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn the_size_of_a_batch_changes_little() {
    // Longer than one chunk of attention.
    let ids: Vec<u32> = (0..300).map(|i| i * 7 % 100).collect();
    let run = |batch| {
        with_engine(1, |engine, pool| {
            engine.set_batch(batch);
            let logits = engine.extend(&ids, pool).unwrap();
            let logits: Vec<f32> = logits.iter().map(|l| f32::from_bits(l.0)).collect();
            let mut nll = vec![];
            engine
                .likelihoods(&ids, pool, |bits| nll.push(f64::from_bits(bits)))
                .unwrap();
            (logits, nll)
        })
    };
    let (logits, nll) = run(64);
    assert_eq!(nll.len(), ids.len() - 1);
    let spread = logits.iter().fold(0f32, |most, l| most.max(l.abs()));
    assert!(spread > 1.0 && spread.is_finite(), "made-up, but alive");
    for batch in [1, 7, 63] {
        let (other, other_nll) = run(batch);
        for (a, b) in logits.iter().zip(&other) {
            assert!((a - b).abs() < 0.02 * spread, "{batch}: {a} {b}");
        }
        for (a, b) in nll.iter().zip(&other_nll) {
            assert!((a - b).abs() < 0.04 * f64::from(spread), "{batch}: {a} {b}");
        }
    }
}

#[test]
fn every_table_computes_the_same_model() {
    let ids: Vec<u32> = (0..50).map(|i| i * 7 % 100).collect();
    let run = |choice: Choice| {
        let kernels = choice.kernels().ok()?;
        let file = Aligned::new(&tiny().build());
        let plan = Plan::new(file.bytes(), &options()).unwrap();
        let mut arena = vec![0; plan.arena_bytes()];
        let pool = Pool::new(1).unwrap();
        let mut engine =
            Engine::load(file.bytes(), &mut arena, &options(), kernels, &pool).unwrap();
        let logits = engine.extend(&ids, &pool).unwrap();
        Some(
            logits
                .iter()
                .map(|l| f32::from_bits(l.0))
                .collect::<Vec<_>>(),
        )
    };
    let scalar = run(Choice::Scalar).unwrap();
    let spread = scalar.iter().fold(0f32, |most, l| most.max(l.abs()));
    for choice in [Choice::Avx2, Choice::Avx512, Choice::Avx512Vnni] {
        let Some(logits) = run(choice) else {
            eprintln!("skipped: this processor does not have {choice:?}");
            continue;
        };
        for (a, b) in scalar.iter().zip(&logits) {
            assert!((a - b).abs() < 0.02 * spread, "{choice:?}: {a} {b}");
        }
    }
}

#[test]
fn likelihoods_are_those_of_the_logits() {
    with_engine(1, |engine, pool| {
        let ids = [5, 9, 70, 3];
        let mut nll = vec![];
        engine
            .likelihoods(&ids, pool, |bits| nll.push(f64::from_bits(bits)))
            .unwrap();
        for (i, nll) in nll.iter().enumerate() {
            engine.clear();
            let logits = engine.extend(&ids[..=i], pool).unwrap();
            let logits: Vec<f64> = logits.iter().map(|l| f32::from_bits(l.0).into()).collect();
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            let expected = sum.ln() - logits[ids[i + 1] as usize];
            assert!((nll - expected).abs() < 0.05, "{i}: {nll} {expected}");
        }
    });
}

#[test]
fn an_answer_ends_for_its_reason() {
    with_engine(2, |engine, pool| {
        let greedy = Request {
            sampling: Sampling::GREEDY,
            ..request("hello")
        };
        let (tokens, outcome) = ask(engine, pool, &greedy);
        assert_eq!((outcome.stop, outcome.tokens), (Stop::Length, 40));

        let none = Request {
            max_tokens: 0,
            ..greedy
        };
        assert_eq!(ask(engine, pool, &none).1.stop, Stop::Length);

        let endless = Request {
            max_tokens: u32::MAX,
            ..greedy
        };
        let outcome = ask(engine, pool, &endless).1;
        // The last token is chosen, and there is no position for it.
        let most = common::CONTEXT - outcome.prompt_tokens + 1;
        assert_eq!((outcome.stop, outcome.tokens), (Stop::Context, most));

        let mut sink = Collector {
            room: Some(3),
            ..Collector::default()
        };
        let outcome = engine.generate(&greedy, pool, &mut sink).unwrap();
        assert_eq!(outcome.stop, Stop::Sink);
        assert!(sink.text.len() <= 3);

        // Stopped after any number of operations, what there is so far is the same answer, and the
        // next question is not disturbed.
        let mut all = Collector::default();
        engine.generate(&greedy, pool, &mut all).unwrap();
        for patience in [0, 1, 20, all.asked / 3, all.asked / 2, all.asked - 1] {
            let mut sink = Collector {
                patience: Some(patience),
                ..Collector::default()
            };
            let outcome = engine.generate(&greedy, pool, &mut sink).unwrap();
            assert_eq!(outcome.stop, Stop::Requested, "{patience}");
            assert_eq!(outcome.tokens as usize, sink.tokens.len());
            assert!(tokens.starts_with(&sink.tokens), "{patience}");
            assert!(sink.tokens.len() < tokens.len());
            assert_eq!(ask(engine, pool, &greedy).0, tokens);
        }
    });
}

#[test]
fn the_repetition_penalty_shows() {
    with_engine(1, |engine, pool| {
        let greedy = Request {
            sampling: Sampling::GREEDY,
            ..request("hello")
        };
        let plain = ask(engine, pool, &greedy).0;
        let penalised = Request {
            sampling: Sampling {
                repeat_penalty_milli: 9000,
                ..Sampling::GREEDY
            },
            ..greedy
        };
        let penalised = ask(engine, pool, &penalised).0;
        assert_ne!(plain, penalised);
        let distinct = |tokens: &[u32]| {
            let mut sorted = tokens.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.len()
        };
        assert!(distinct(&penalised) > distinct(&plain));
    });
}

#[test]
fn refuses_questions_that_do_not_fit() {
    with_engine(1, |engine, pool| {
        let mut ask = |prompt: &str, raw| {
            let request = Request {
                raw,
                ..request(prompt)
            };
            engine.generate(&request, pool, &mut Collector::default())
        };
        assert_eq!(ask("", true), Err(Error::EmptyPrompt));
        assert_eq!(ask("", false), Err(Error::EmptyPrompt));
        let long = "a b".repeat(400);
        assert!(matches!(
            ask(&long, true),
            Err(Error::Context { need, have }) if need > have && have == u64::from(common::CONTEXT)
        ));
        let longer = "a".repeat(10_000);
        assert!(matches!(
            ask(&longer, false),
            Err(Error::PromptLength { .. })
        ));
        // None of these spoils the next one.
        assert!(ask("hello", true).is_ok());

        let vocabulary = engine.info().vocabulary;
        engine.clear();
        assert_eq!(
            engine.extend(&[1, vocabulary], pool).map(|_| ()),
            Err(Error::Token {
                id: vocabulary,
                vocabulary
            })
        );
        assert_eq!(engine.position(), 0);
        assert!(matches!(engine.extend(&[], pool), Err(Error::EmptyPrompt)));
        let full = vec![1; common::CONTEXT as usize];
        engine.extend(&full, pool).unwrap();
        assert!(matches!(
            engine.extend(&[1], pool),
            Err(Error::Context { .. })
        ));
    });
}

#[test]
fn the_plan_is_what_loading_takes() {
    let file = Aligned::new(&tiny().build());
    let pool = Pool::new(1).unwrap();
    for context in [0, 1, 256, 700] {
        let options = Options {
            context,
            prompt_bytes: 100,
            ..options()
        };
        let plan = Plan::new(file.bytes(), &options).unwrap();
        let parts = plan.kv_bytes() + plan.vocabulary_bytes() + plan.scratch_bytes();
        assert!(parts <= plan.arena_bytes() && plan.arena_bytes() < parts + 64);
        for offset in [0, 1, 17] {
            let mut arena = vec![0; plan.arena_bytes() + offset];
            let arena = &mut arena[offset..];
            let engine = Engine::load(file.bytes(), arena, &options, kernels(), &pool).unwrap();
            assert_eq!(engine.info().arena_bytes, parts);
        }
        let mut arena = vec![0; parts - 1];
        let have = arena.len() as u64;
        let refused = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool);
        assert!(matches!(refused, Err(Error::Memory { have: h, .. }) if h == have));
    }
}
