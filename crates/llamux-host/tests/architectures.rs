// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What architectures have that the llama family has not, in models with made-up weights; how they
//! compare with llama.cpp is in synth.rs.

mod common;

use common::gguf::{GgufBuilder, Meta};
use common::{synth, Aligned};
use llamux_engine::{Engine, Options, Plan};
use llamux_host::kernels::Choice;
use llamux_host::pool::Pool;
use llamux_host::synth::{Family, Scaling, Shape};

const FAMILIES: [Family; 5] = [
    Family::Mistral,
    Family::Mixtral,
    Family::Qwen3,
    Family::Qwen3moe,
    Family::Gemma3,
];

/// The logits behind some tokens, in batches of `batch`.
fn logits_with(
    file: &GgufBuilder,
    choice: Choice,
    threads: usize,
    batch: u32,
    ids: &[u32],
) -> Option<Vec<f32>> {
    let kernels = choice.kernels().ok()?;
    let file = Aligned::new(&file.build());
    let options = Options::default();
    let plan = Plan::new(file.bytes(), &options).unwrap();
    let mut arena = vec![0xa5; plan.arena_bytes()];
    let pool = Pool::new(threads).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options, kernels, &pool).unwrap();
    engine.set_batch(batch);
    let logits = engine.extend(ids, &pool).unwrap();
    Some(logits.iter().map(|l| f32::from_bits(l.0)).collect())
}

fn logits(file: &GgufBuilder, ids: &[u32]) -> Vec<f32> {
    logits_with(file, Choice::Best, 1, 64, ids).unwrap()
}

fn ids(count: u32) -> Vec<u32> {
    (0..count).map(|i| (i * 37 + 11) % 250).collect()
}

#[track_caller]
fn assert_close(what: &str, a: &[f32], b: &[f32]) {
    let spread = a.iter().fold(0f32, |most, l| most.max(l.abs()));
    assert!(spread > 1.0 && spread.is_finite(), "{what}: alive");
    let most = a
        .iter()
        .zip(b)
        .fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(most < 0.05 * spread, "{what}: off by {most} of {spread}");
}

#[test]
fn the_size_of_a_batch_changes_little() {
    // Longer than one chunk of attention, and than the windows.
    let ids = ids(300);
    for family in FAMILIES {
        let file = synth(&family.shape());
        let all = logits(&file, &ids);
        for batch in [1, 7] {
            let parts = logits_with(&file, Choice::Best, 1, batch, &ids).unwrap();
            assert_close(&format!("{family:?} by {batch}"), &all, &parts);
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for family in FAMILIES {
        let file = synth(&family.shape());
        let one = logits(&file, &ids(70));
        let three = logits_with(&file, Choice::Best, 3, 64, &ids(70)).unwrap();
        assert!(one == three, "{family:?}");
    }
}

#[test]
fn every_table_computes_the_same_model() {
    for family in FAMILIES {
        let file = synth(&family.shape());
        let scalar = logits_with(&file, Choice::Scalar, 2, 64, &ids(30)).unwrap();
        for choice in [Choice::Avx2, Choice::Avx512, Choice::Avx512Vnni] {
            let Some(other) = logits_with(&file, choice, 2, 64, &ids(30)) else {
                eprintln!("skipped: this processor does not have {choice:?}");
                continue;
            };
            assert_close(&format!("{family:?}, {choice:?}"), &scalar, &other);
        }
    }
}

/// With three layers whose window is 8, a token hears of the 21 before it.
#[test]
fn what_is_out_of_all_windows_changes_nothing() {
    let near = ids(60);
    let mut far = near.clone();
    far[60 - 22 - 1] += 1;
    let mut heard = near.clone();
    heard[60 - 21 - 1] += 1;
    let file = |window| {
        synth(&Shape {
            window,
            ..Family::Mistral.shape()
        })
    };
    let windowed = file(8);
    let expected = logits(&windowed, &near);
    assert!(expected == logits(&windowed, &far));
    assert!(expected != logits(&windowed, &heard));
    let all = file(0);
    assert!(logits(&all, &near) != logits(&all, &far));
    assert!(expected != logits(&all, &near));
    // A window that is not yet full is none.
    assert!(logits(&file(60), &near) == logits(&all, &near));
    assert!(logits(&file(59), &near) != logits(&all, &near));
}

#[test]
fn the_pattern_says_which_layers_have_a_window() {
    let gemma3 = synth(&Family::Gemma3.shape());
    let ids = ids(60);
    let with = |value| {
        let key = "gemma3.attention.sliding_window_pattern";
        logits(&gemma3.clone().key(key, value), &ids)
    };
    let default = logits(&gemma3, &ids);
    assert!(with(Meta::U32(6)) == default);
    assert!(with(Meta::Bools(vec![1, 1, 1, 1, 1, 0, 1])) == default);
    let all = with(Meta::U32(0));
    assert!(all == with(Meta::Bools(vec![1; 7])) && all != default);
    let none = with(Meta::U32(1));
    assert!(none == with(Meta::Bools(vec![0; 7])) && none != default && none != all);
    // Nor have any where there is no window at all; their own base goes with it.
    let key = "gemma3.attention.sliding_window";
    for value in [None, Some(Meta::U32(0))] {
        assert!(logits(&gemma3.clone().set(key, value), &ids) == none);
    }
    let key = "gemma3.rope.freq_base_swa";
    let base = |x| logits(&gemma3.clone().key(key, Meta::F32(x)), &ids);
    assert!(base(10_000.0) == default && base(20_000.0) != default);
}

#[test]
fn rotations_are_slowed_down_as_the_file_says() {
    let ids = ids(60);
    let plain = synth(&Family::Llama2.shape());
    let scaled = |scaling, stretch| {
        let shape = Shape {
            scaling,
            stretch,
            ..Family::Llama2.shape()
        };
        logits(&synth(&shape), &ids)
    };
    let expected = logits(&plain, &ids);
    assert!(scaled(Scaling::Linear, 1.0) == expected);
    let linear = scaled(Scaling::Linear, 4.0);
    let yarn = scaled(Scaling::Yarn, 4.0);
    assert!(linear != expected && yarn != expected && linear != yarn);
    // The older key, and a type that turns it off.
    let older = plain.clone().key("llama.rope.scale_linear", Meta::F32(4.0));
    assert!(logits(&older, &ids) == linear);
    let factor = plain.key("llama.rope.scaling.factor", Meta::F32(4.0));
    assert!(logits(&factor, &ids) == linear);
    let none = factor.key("llama.rope.scaling.type", "none");
    assert!(logits(&none, &ids) == expected);
}
