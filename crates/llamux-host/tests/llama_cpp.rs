// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Real models give what llama.cpp gives.
//!
//! `golden/*.json` holds what llama.cpp (build 11434, CPU, without flash attention) computed for the
//! same files: for some prompts their tokens, its greedy continuation with the distance between the
//! two best logits at each step, and some logits behind the prompt; for some texts the mean negative
//! log-likelihood. The models are looked up in `$LLAMUX_MODELS`, by default in
//! `~/.cache/llamux/models`.

#[path = "../../llamux-engine/tests/common/mod.rs"]
mod gguf;

use llamux_engine::Options;
use llamux_host::kernels::Choice;
use llamux_host::model::{Arena, ModelFile, Tokenizer, Words};
use llamux_host::pool::Pool;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<Prompt>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Prompt {
    text: String,
    tokens: Vec<u32>,
    /// Token, and how far the second best is below it.
    greedy: Vec<(u32, f32)>,
    /// Token and logit.
    logits: Vec<(usize, f32)>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    tokens: usize,
    mean_nll: f64,
}

/// Where llama.cpp's two best are closer than this, rounding may decide. Both sides round activations
/// to 8 bits in front of every matrix; measured against the same weights in 32 bits, that moves the
/// likeliest logits of SmolLM2 by 0.12 (standard deviation) in either program, so the distance of two
/// of them differs by 0.24 between the programs.
const DECIDED: f32 = 0.5;
/// How far a logit may be off.
const LOGIT: f32 = 1.0;
/// How far they may be off on average.
const MEAN_LOGIT: f32 = 0.3;
/// How far the mean negative log-likelihood of all texts may be off, relatively.
const NLL: f64 = 0.005;

fn compare(name: &str, golden: &str) {
    let Some(path) = gguf::find("LLAMUX_MODELS", ".cache/llamux/models", name) else {
        return;
    };
    let golden: Golden = serde_json::from_str(golden).unwrap();
    let file = ModelFile::open(&path).unwrap();
    let mut words = Words::default();
    let tokenizer = Tokenizer::load(&file, &mut words).unwrap();
    let pool = Pool::new(2).unwrap();
    let options = Options {
        context: 1024,
        prompt_bytes: 0,
    };
    let mut arena = Arena::new(&file, options).unwrap();
    let kernels = Choice::Best.kernels().unwrap();
    let mut engine = arena.load(&file, kernels, &pool).unwrap();

    for prompt in &golden.prompts {
        let text = &prompt.text;
        assert_eq!(tokenizer.encode(text).unwrap(), prompt.tokens, "{text:?}");
        engine.clear();
        let mut logits = engine.extend(&prompt.tokens, &pool).unwrap();
        let mut sum = 0.0;
        for &(id, expected) in &prompt.logits {
            let difference = (f32::from_bits(logits[id].0) - expected).abs();
            assert!(
                difference < LOGIT,
                "{text:?}: logit {id} is off by {difference}"
            );
            sum += difference;
        }
        let mean = sum / prompt.logits.len() as f32;
        assert!(
            mean < MEAN_LOGIT,
            "{text:?}: logits are off by {mean} on average"
        );
        // Along llama.cpp's own path, so that one near tie does not end the comparison.
        for (step, &(expected, distance)) in prompt.greedy.iter().enumerate() {
            let best = (0..logits.len())
                .max_by(|&a, &b| {
                    f32::from_bits(logits[a].0).total_cmp(&f32::from_bits(logits[b].0))
                })
                .unwrap();
            if distance > DECIDED {
                assert_eq!(
                    best, expected as usize,
                    "{text:?}: step {step}, {distance} apart"
                );
            }
            logits = engine.extend(&[expected], &pool).unwrap();
        }
    }
    let (mut ours, mut theirs) = (0.0, 0.0);
    for text in &golden.texts {
        let tokens = tokenizer.encode(&text.text).unwrap();
        let mut count = 0;
        engine
            .likelihoods(&tokens, &pool, |bits| {
                count += 1;
                ours += f64::from_bits(bits);
            })
            .unwrap();
        assert_eq!(count, text.tokens);
        theirs += count as f64 * text.mean_nll;
    }
    let off = ours / theirs - 1.0;
    println!(
        "{name}: mean negative log-likelihood off by {:.3} %",
        100.0 * off
    );
    assert!(off.abs() < NLL, "off by {off}");
}

#[test]
fn smollm2_135m() {
    compare(
        "smollm2-135m.gguf",
        include_str!("golden/smollm2-135m.json"),
    );
}

#[test]
fn qwen2_5_coder_1_5b() {
    compare(
        "qwen2.5-coder-1.5b.gguf",
        include_str!("golden/qwen2.5-coder-1.5b.json"),
    );
}
