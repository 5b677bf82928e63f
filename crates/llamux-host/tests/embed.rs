// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Embeddings of texts.

mod common;

use common::{gguf, kernels, options, tiny, Aligned, Collector, CONTEXT};
use llamux_engine::generate::{Outcome, Request, Sampling, Sink, Stop};
use llamux_engine::math::F32Bits;
use llamux_engine::scheduler::{Audience, SlotId};
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::kernels::Choice;
use llamux_host::model::{Arena, ModelFile};
use llamux_host::pool::Pool;
use serde::Deserialize;

fn with_engine<T>(test: impl FnOnce(&mut Engine<'_>, &Pool) -> T) -> T {
    let options = Options {
        sequences: 3,
        ..options()
    };
    let file = Aligned::new(&tiny().build());
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(2).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels(), &pool).unwrap();
    test(&mut engine, &pool)
}

fn embed(engine: &mut Engine<'_>, pool: &Pool, text: &str) -> Vec<f32> {
    let mut vector = vec![F32Bits::NAN; engine.info().embedding as usize];
    engine.embed(text, pool, &mut vector).unwrap();
    vector.iter().map(|bits| f32::from_bits(bits.0)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A text of more tokens than a batch.
fn long() -> String {
    "hello abc whole he ll ".repeat(20)
}

#[test]
fn vectors_have_the_length_one_and_differ() {
    with_engine(|engine, pool| {
        assert_eq!(engine.info().embedding, common::EMBEDDING as u32);
        let texts = ["hello", "abc", "hello abc", &long()];
        let vectors = texts.map(|text| embed(engine, pool, text));
        for (i, a) in vectors.iter().enumerate() {
            let squares: f64 = a.iter().map(|&x| f64::from(x).powi(2)).sum();
            assert!((squares - 1.0).abs() < 1e-5, "{squares}");
            for b in &vectors[..i] {
                assert!(cosine(a, b) < 0.9999);
            }
        }
    });
}

#[test]
fn the_size_of_a_batch_and_what_the_cache_has_change_nothing() {
    with_engine(|engine, pool| {
        let text = long();
        let expected = embed(engine, pool, &text);
        assert_eq!(embed(engine, pool, &text), expected, "again");
        // A question with the same beginning is in the cache, and so is the text then.
        let request = Request {
            prompt: &text,
            raw: true,
            max_tokens: 3,
            sampling: Sampling::GREEDY,
            ..Request::default()
        };
        engine
            .generate(&request, pool, &mut Collector::default())
            .unwrap();
        assert_eq!(embed(engine, pool, &text), expected, "after a question");
        for batch in [7, 33] {
            engine.set_batch(batch);
            assert_eq!(embed(engine, pool, &text), expected, "{batch} at once");
        }
        // One token alone goes through other functions.
        engine.set_batch(1);
        assert!(cosine(&embed(engine, pool, &text), &expected) > 0.9999);
    });
}

/// Those who ask at the same time, and what they get.
#[derive(Default)]
struct Crowd {
    asked: [Asked; 3],
}

#[derive(Default)]
struct Asked {
    vector: Vec<f32>,
    tokens: u32,
    end: Option<Result<Outcome, Error>>,
}

impl Sink for Asked {
    fn text(&mut self, _text: &str) -> bool {
        true
    }

    fn stop(&mut self) -> bool {
        false
    }

    fn token(&mut self, _id: u32) {
        self.tokens += 1;
    }

    fn embedding(&mut self, values: &[F32Bits]) {
        assert!(self.vector.is_empty(), "once");
        self.vector = values.iter().map(|bits| f32::from_bits(bits.0)).collect();
    }
}

impl Audience for Crowd {
    fn sink(&mut self, id: SlotId) -> Option<&mut dyn Sink> {
        let sink = self.asked.get_mut(id.index())?;
        Some(sink)
    }

    fn done(&mut self, id: SlotId, end: Result<Outcome, Error>) {
        self.asked[id.index()].end = Some(end);
    }
}

#[test]
fn others_do_not_change_it() {
    with_engine(|engine, pool| {
        let texts = [long(), "abc ".repeat(90)];
        let expected = [
            embed(engine, pool, &texts[0]),
            embed(engine, pool, &texts[1]),
        ];
        let mut crowd = Crowd::default();
        let question = Request {
            prompt: "hello",
            raw: true,
            max_tokens: 20,
            ..Request::default()
        };
        engine.submit(&question, 1).unwrap();
        for prompt in &texts {
            let request = Request {
                prompt,
                embedding: true,
                ..Request::default()
            };
            engine.submit(&request, 1).unwrap();
        }
        while engine.step(pool, &mut crowd) {}
        let [asked, first, second] = crowd.asked;
        assert!(asked.tokens > 0 && asked.vector.is_empty());
        for (got, expected) in [first, second].iter().zip(&expected) {
            assert_eq!(&got.vector, expected);
            let outcome = got.end.unwrap().unwrap();
            assert_eq!((outcome.stop, outcome.tokens), (Stop::End, 0));
            assert_eq!(outcome.cached_tokens, 0);
            assert_eq!(got.tokens, 0);
        }
        // The text is in the cache of who asked for it.
        let again = Request {
            prompt: &texts[0],
            max_tokens: 1,
            ..question
        };
        let id = engine.submit(&again, 1).unwrap();
        let outcome = engine.finish(id, pool, &mut Collector::default()).unwrap();
        assert!(outcome.cached_tokens > 0);
    });
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    with_engine(|engine, pool| {
        let mut vector = vec![F32Bits(0); common::EMBEDDING as usize];
        let mut embed = |text: &str| engine.embed(text, pool, &mut vector);
        assert_eq!(embed(""), Err(Error::EmptyPrompt));
        let refused = embed(&"a b".repeat(400));
        assert!(matches!(
            refused,
            Err(Error::Context { have, .. }) if have == u64::from(CONTEXT)
        ));
        // None of these spoils the next one. What looks like a special token is text.
        assert!(embed("<|im_end|>").unwrap() > 1);
    });
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f32>,
}

/// `golden/smollm2-135m-embeddings.json` is what llama.cpp (build 11434, CPU) gives for the same file with
/// the pooling type "mean", by `golden/embed.cpp`.
#[test]
fn it_is_llama_cpps() {
    let name = "smollm2-135m.gguf";
    let Some(path) = gguf::find("LLAMUX_MODELS", ".cache/llamux/models", name) else {
        return;
    };
    let golden = include_str!("golden/smollm2-135m-embeddings.json");
    let golden: Vec<Golden> = serde_json::from_str(golden).unwrap();
    let file = ModelFile::open(&path).unwrap();
    let pool = Pool::new(2).unwrap();
    let options = Options {
        context: 512,
        ..Options::default()
    };
    let mut arena = Arena::new(&file, options).unwrap();
    let kernels = Choice::Best.kernels().unwrap();
    let mut engine = arena.load(&file, kernels, &pool).unwrap();
    let vectors: Vec<_> = golden
        .iter()
        .map(|golden| embed(&mut engine, &pool, &golden.text))
        .collect();
    for (golden, vector) in golden.iter().zip(&vectors) {
        let cosine = cosine(&golden.vector, vector);
        println!("{:?}: {cosine}", golden.text);
        assert!(cosine >= 0.999, "{:?}: {cosine}", golden.text);
    }
    // The first two are about the same, the third is not.
    let near = cosine(&vectors[0], &vectors[1]);
    assert!(near > cosine(&vectors[0], &vectors[2]));
}
