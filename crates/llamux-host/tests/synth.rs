// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Made-up models of every architecture and type give what llama.cpp gives for them.
//!
//! `golden/synth-*.json` holds what llama.cpp (build 11434, CPU, without flash attention) computed for
//! the files that `llamux-host synth` makes with the arguments in them: logits behind a prompt of 70
//! tokens and behind 12 more, and these, its greedy choice, with the distance between the two best
//! logits at each step. Where what `synth` makes changes, or an architecture is added, they are made
//! again; in a directory where llama.cpp is built, with this one's path in `$golden`:
//!
//! ```sh
//! c++ -std=c++17 -I include -I ggml/include -o synth $golden/synth.cpp -L build/bin -lllama -lggml-base \
//!     -Wl,-rpath,build/bin
//! of() { llamux-host synth --output m.gguf "$@" && ./synth m.gguf "$@"; rm m.gguf; }
//! (echo '['; of --arch qwen2 --type f32; echo ','; of --arch qwen2 --type q8_0; echo; echo ']') \
//!     > $golden/synth-qwen2.json
//! ```

mod common;

use std::process::Command;

use common::kernels;
use llamux_engine::math::F32Bits;
use llamux_engine::Options;
use llamux_host::model::{Arena, ModelFile};
use llamux_host::pool::Pool;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    /// Of `llamux-host synth`.
    arguments: Vec<String>,
    /// Logits of every 13th token behind the prompt.
    first: Vec<f32>,
    /// The same behind all of `greedy` but the last one.
    last: Vec<f32>,
    /// Token, and how far the second best is below it.
    greedy: Vec<(u32, f32)>,
}

const PROMPT: u32 = 70;
const STRIDE: usize = 13;
/// Where llama.cpp's two best are closer than this, rounding may decide.
const DECIDED: f32 = 0.3;
/// How far the angle between both programs' logits may be from 0, as a cosine: for weights of 8 bits and
/// less, where both round activations, and for floats.
const COSINE: f64 = 0.9995;
const COSINE_FLOAT: f64 = 0.999_99;

fn check_all(name: &str, golden: &str) {
    let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
    for (i, case) in cases.iter().enumerate() {
        let path = common::file(&format!("synth-{name}-{i}.gguf"), &[]);
        let made = Command::new(env!("CARGO_BIN_EXE_llamux-host"))
            .arg("synth")
            .args(&case.arguments)
            .arg("--output")
            .arg(&path)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{:?}: {errors}", case.arguments);
        check(case, &ModelFile::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}

fn check(case: &Case, file: &ModelFile) {
    let what = case.arguments.join(" ");
    let pool = Pool::new(1).unwrap();
    let options = Options {
        context: 256,
        ..Options::default()
    };
    let mut arena = Arena::new(file, options).unwrap();
    let mut engine = arena.load(file, kernels(), &pool).unwrap();
    let floats = case.arguments.iter().any(|a| a == "f32" || a == "f16");
    let bound = if floats { COSINE_FLOAT } else { COSINE };

    let prompt: Vec<u32> = (0..PROMPT).map(|i| (i * 37 + 11) % 250).collect();
    let mut logits = engine.extend(&prompt, &pool).unwrap();
    let cosine = cosine_of(logits, &case.first);
    assert!(cosine >= bound, "{what}: behind the prompt, {cosine}");
    for (step, &(expected, distance)) in case.greedy.iter().enumerate() {
        if distance > DECIDED {
            assert_eq!(best(logits), expected, "{what}: step {step}, {distance}");
        }
        if step + 1 < case.greedy.len() {
            logits = engine.extend(&[expected], &pool).unwrap();
        }
    }
    let cosine = cosine_of(logits, &case.last);
    assert!(cosine >= bound, "{what}: behind the last token, {cosine}");
}

fn best(logits: &[F32Bits]) -> u32 {
    let value = |id: &u32| f32::from_bits(logits[*id as usize].0);
    let ids = 0..logits.len() as u32;
    ids.max_by(|a, b| value(a).total_cmp(&value(b))).unwrap()
}

fn cosine_of(logits: &[F32Bits], expected: &[f32]) -> f64 {
    let ours: Vec<f64> = logits
        .iter()
        .step_by(STRIDE)
        .map(|bits| f32::from_bits(bits.0).into())
        .collect();
    assert_eq!(ours.len(), expected.len());
    let theirs: Vec<f64> = expected.iter().map(|&x| x.into()).collect();
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&ours, &theirs) / (product(&ours, &ours) * product(&theirs, &theirs)).sqrt()
}

macro_rules! golden {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check_all($name, include_str!(concat!("golden/synth-", $name, ".json")));
            }
        )*
    };
}

golden! {
    llama2: "llama2",
    llama3: "llama3",
    codellama: "codellama",
    tinyllama: "tinyllama",
    smollm2: "smollm2",
    mistral: "mistral",
    mixtral: "mixtral",
    qwen2: "qwen2",
    qwen3: "qwen3",
    qwen3moe: "qwen3moe",
    gemma3: "gemma3",
    scaled_rotations: "rope",
    all_types: "types",
}
