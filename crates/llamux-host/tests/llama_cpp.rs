// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Real models give what llama.cpp gives.
//!
//! `golden/*.json` holds what llama.cpp (build 11434, CPU, without flash attention) computed for the
//! same files: for some prompts their tokens, its greedy continuation with the distance between the
//! two best logits at each step, and some logits behind the prompt; for some texts the mean negative
//! log-likelihood. `*-f32.json` is the same from a file whose weights were written out as 32-bit
//! floats. The models are looked up in `$LLAMUX_MODELS`, by default in `~/.cache/llamux/models`.

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

/// How far the engine may be from llama.cpp.
struct Bounds {
    /// Where llama.cpp's two best are closer than this, rounding may decide.
    decided: f32,
    /// How far a logit may be off.
    logit: f32,
    /// How far they may be off on average.
    mean_logit: f32,
    /// How far the mean negative log-likelihood of all texts may be off, relatively.
    nll: f64,
}

/// Against llama.cpp on the same file. It rounds activations to 8 bits in front of every matrix, which
/// moves the likeliest logits of SmolLM2 by 0.12 (standard deviation), as a comparison of llama.cpp with
/// itself shows, on the same weights in 32 bits.
const QUANTIZED: Bounds = Bounds {
    decided: 0.35,
    logit: 1.0,
    mean_logit: 0.3,
    nll: 0.005,
};

/// Against llama.cpp on a file with the same weights in 32 bits, which does not round.
const EXACT: Bounds = Bounds {
    decided: 0.02,
    logit: 0.02,
    mean_logit: 0.005,
    nll: 1e-4,
};

fn compare(name: &str, golden: &str, bounds: &Bounds) {
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
        ..Options::default()
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
                difference < bounds.logit,
                "{text:?}: logit {id} is off by {difference}"
            );
            sum += difference;
        }
        let mean = sum / prompt.logits.len() as f32;
        assert!(
            mean < bounds.mean_logit,
            "{text:?}: logits are off by {mean} on average"
        );
        // Along llama.cpp's own path, so that one near tie does not end the comparison.
        for (step, &(expected, distance)) in prompt.greedy.iter().enumerate() {
            let best = (0..logits.len())
                .max_by(|&a, &b| {
                    f32::from_bits(logits[a].0).total_cmp(&f32::from_bits(logits[b].0))
                })
                .unwrap();
            if distance > bounds.decided {
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
        "{name}: mean negative log-likelihood off by {:.4} %",
        100.0 * off
    );
    assert!(off.abs() < bounds.nll, "off by {off}");
}

#[test]
fn smollm2_135m() {
    compare(
        "smollm2-135m.gguf",
        include_str!("golden/smollm2-135m.json"),
        &QUANTIZED,
    );
}

#[test]
fn smollm2_135m_without_rounding() {
    compare(
        "smollm2-135m.gguf",
        include_str!("golden/smollm2-135m-f32.json"),
        &EXACT,
    );
}

#[test]
fn qwen2_5_coder_1_5b() {
    compare(
        "qwen2.5-coder-1.5b.gguf",
        include_str!("golden/qwen2.5-coder-1.5b.json"),
        &QUANTIZED,
    );
}
