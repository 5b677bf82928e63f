// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Models that are refused. Each case breaks one thing of a right file, and the error names it.

mod common;

use common::gguf::{GgufBuilder, Meta};
use common::{kernels, options, synth, tiny, without, Aligned};
use llamux_engine::{Engine, Error, Options, Plan};
use llamux_host::pool::Pool;
use llamux_host::synth::Family;

/// Plans and loads, as every home does.
fn load(file: &GgufBuilder, options: &Options) -> Result<(), Error> {
    let file = Aligned::new(&file.build());
    let plan = Plan::new(file.bytes(), options)?;
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    Engine::load(file.bytes(), &mut arena, options, kernels(), &pool).map(|_| ())
}

#[track_caller]
fn refused(file: &GgufBuilder, message: &str) {
    let error = load(file, &options()).expect_err("refused").to_string();
    assert!(
        error.contains(message),
        "{error:?} does not say {message:?}"
    );
}

fn set(key: &str, value: Meta) -> GgufBuilder {
    tiny().set(key, Some(value))
}

#[test]
fn the_model_itself_is_loaded() {
    assert_eq!(load(&tiny(), &options()), Ok(()));
}

#[test]
fn hyper_parameters_out_of_bounds() {
    let count = Meta::U32;
    let cases = [
        (
            "general.architecture",
            Meta::from("mamba"),
            "architecture \"mamba\" is not supported",
        ),
        (
            "general.architecture",
            Meta::from("qwen2"),
            "qwen2.block_count: is missing",
        ),
        (
            "general.architecture",
            count(1),
            "key general.architecture: is of type u32, expected string",
        ),
        (
            "llama.block_count",
            count(0),
            "llama.block_count: value is 0, expected at least 1",
        ),
        (
            "llama.block_count",
            count(3),
            "tensor blk.2.attn_norm.weight: is missing",
        ),
        (
            "llama.block_count",
            count(1),
            "tensor \"blk.1.attn_norm.weight\" is not supported",
        ),
        (
            "llama.block_count",
            count(u32::MAX),
            "llama.block_count: value is 4294967295, more than the limit of",
        ),
        (
            "llama.block_count",
            Meta::I32(-1),
            "is of type i32, expected u32",
        ),
        (
            "llama.embedding_length",
            count(0),
            "llama.embedding_length: value is 0",
        ),
        (
            "llama.embedding_length",
            count(512),
            "dimension 0 is 256, expected 512",
        ),
        (
            "llama.embedding_length",
            count(1 << 31),
            "llama.embedding_length: value is 2147483648, more",
        ),
        (
            "llama.embedding_length",
            count(258),
            "llama.attention.head_count: value is 4, expected a divisor",
        ),
        (
            "llama.feed_forward_length",
            count(0),
            "llama.feed_forward_length: value is 0",
        ),
        (
            "llama.feed_forward_length",
            count(480),
            "blk.0.ffn_gate.weight: dimension 1 is 512, expected 480",
        ),
        (
            "llama.feed_forward_length",
            count(u32::MAX),
            "llama.feed_forward_length: value is 4294967295, more",
        ),
        (
            "llama.context_length",
            count(0),
            "llama.context_length: value is 0",
        ),
        (
            "llama.context_length",
            count(u32::MAX),
            "llama.context_length: value is 4294967295, more",
        ),
        (
            "llama.attention.head_count",
            count(0),
            "llama.attention.head_count: value is 0",
        ),
        (
            "llama.attention.head_count",
            count(1 << 20),
            "llama.attention.head_count: value is 1048576, more",
        ),
        (
            "llama.attention.head_count_kv",
            count(0),
            "llama.attention.head_count_kv: value is 0",
        ),
        (
            "llama.attention.head_count_kv",
            count(3),
            "head_count_kv: value is 3, expected a divisor",
        ),
        (
            "llama.attention.head_count_kv",
            count(8),
            "head_count_kv: value is 8, expected a divisor",
        ),
        (
            "llama.attention.head_count_kv",
            count(4),
            "blk.0.attn_k.weight: dimension 1 is 128, expected 256",
        ),
        (
            "llama.rope.freq_base",
            Meta::F32(0.0),
            "llama.rope.freq_base: value, as bits, is 0",
        ),
        (
            "llama.rope.freq_base",
            Meta::F32(-1.0),
            "expected a finite number above zero",
        ),
        (
            "llama.rope.freq_base",
            Meta::F32(f32::NAN),
            "expected a finite number above zero",
        ),
        (
            "llama.rope.freq_base",
            Meta::F32(f32::INFINITY),
            "expected a finite number above zero",
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Meta::F32(f32::NAN),
            "layer_norm_rms_epsilon: value",
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Meta::F64(1e-5),
            "is of type f64, expected f32",
        ),
    ];
    for (key, value, message) in cases {
        refused(&set(key, value), message);
    }
}

#[test]
fn hyper_parameters_that_are_missing() {
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.context_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.tokens",
    ] {
        refused(&tiny().set(key, None), &format!("key {key}: is missing"));
    }
    // This one has a default.
    assert_eq!(
        load(&tiny().set("llama.rope.freq_base", None), &options()),
        Ok(())
    );
}

#[test]
fn hyper_parameters_that_are_optional() {
    let count = Meta::U32;
    let cases = [
        (
            "llama.attention.key_length",
            count(0),
            "key_length: value is 0",
        ),
        (
            "llama.attention.key_length",
            count(63),
            "key_length: value is 63, expected an even number",
        ),
        (
            "llama.attention.key_length",
            count(512),
            "key_length: value is 512, more than the limit of 256",
        ),
        (
            "llama.attention.key_length",
            count(32),
            "blk.0.attn_q.weight: dimension 1 is 256, expected 128",
        ),
        (
            "llama.attention.value_length",
            count(32),
            "value_length: value is 32, expected the same",
        ),
        (
            "llama.rope.dimension_count",
            count(0),
            "dimension_count: value is 0",
        ),
        (
            "llama.rope.dimension_count",
            count(33),
            "dimension_count: value is 33, expected an even",
        ),
        (
            "llama.rope.dimension_count",
            count(128),
            "dimension_count: value is 128, expected an even",
        ),
        (
            "llama.rope.scaling.type",
            Meta::from("longrope"),
            "rope scaling \"longrope\" is not supported",
        ),
        (
            "llama.rope.scaling.type",
            count(1),
            "rope.scaling.type: is of type u32",
        ),
        (
            "llama.rope.scale_linear",
            Meta::F32(-4.0),
            "rope.scale_linear: value, as bits, is",
        ),
        (
            "llama.rope.scaling.factor",
            Meta::F32(f32::INFINITY),
            "rope.scaling.factor: value, as bits, is",
        ),
        (
            "llama.rope.scaling.factor",
            count(2),
            "rope.scaling.factor: is of type u32, expected f32",
        ),
        (
            "llama.rope.scaling.attn_factor",
            Meta::F32(f32::NAN),
            "rope.scaling.attn_factor: value, as bits, is",
        ),
        (
            "llama.attention.sliding_window",
            Meta::F32(1.0),
            "attention.sliding_window: is of type f32, expected u32",
        ),
        (
            "llama.expert_count",
            count(8),
            "llama.expert_used_count: value is 0, expected at least 1",
        ),
        (
            "llama.expert_count",
            count(513),
            "llama.expert_count: value is 513, more than the limit of 512",
        ),
        (
            "llama.expert_used_count",
            count(2),
            "llama.expert_used_count: value is 2, expected at most expert_count",
        ),
        (
            "llama.expert_used_count",
            count(65),
            "llama.expert_used_count: value is 65, more than the limit of 64",
        ),
        (
            "llama.expert_group_count",
            count(2),
            "key \"llama.expert_group_count\" is not supported",
        ),
        (
            "llama.expert_weights_scale",
            Meta::F32(2.5),
            "expert_weights_scale: value, as bits, is",
        ),
        (
            "llama.final_logit_softcapping",
            Meta::F32(30.0),
            "final_logit_softcapping: value, as bits, is",
        ),
        (
            "llama.attn_logit_softcapping",
            Meta::F32(50.0),
            "attn_logit_softcapping: value, as bits, is",
        ),
    ];
    for (key, value, message) in cases {
        refused(&tiny().key(key, value), message);
    }
    let yarn = tiny().key("llama.rope.scaling.type", "yarn");
    for context in [0, u32::MAX] {
        let key = "llama.rope.scaling.original_context_length";
        refused(
            &yarn.clone().key(key, count(context)),
            &format!("{key}: value is {context}"),
        );
    }
    // What says that there is nothing.
    let nothing = tiny()
        .key("llama.rope.scaling.factor", Meta::F32(0.0))
        .key("llama.attention.sliding_window", count(0))
        .key("llama.expert_count", count(0))
        .key("llama.expert_used_count", count(0))
        .key("llama.expert_weights_scale", Meta::F32(0.0))
        .key("llama.final_logit_softcapping", Meta::F32(0.0));
    assert_eq!(load(&nothing, &options()), Ok(()));
}

#[test]
fn experts_that_contradict_each_other() {
    let mixtral = synth(&Family::Mixtral.shape());
    assert_eq!(load(&mixtral, &options()), Ok(()));
    let count = Meta::U32;
    let cases = [
        (
            "llama.expert_count",
            count(0),
            "llama.expert_used_count: value is 2, expected at most expert_count",
        ),
        (
            "llama.expert_count",
            count(1),
            "llama.expert_used_count: value is 2, expected at most expert_count",
        ),
        (
            "llama.expert_count",
            count(4),
            "blk.0.ffn_gate_inp.weight: dimension 1 is 8, expected 4",
        ),
        (
            "llama.expert_count",
            count(u32::MAX),
            "llama.expert_count: value is 4294967295, more than the limit",
        ),
        (
            "llama.expert_used_count",
            count(0),
            "llama.expert_used_count: value is 0, expected at least 1",
        ),
        (
            "llama.expert_used_count",
            count(9),
            "llama.expert_used_count: value is 9, expected at most",
        ),
        (
            "llama.feed_forward_length",
            count(512),
            "ffn_gate_exps.weight: dimension 1 is 256, expected 512",
        ),
    ];
    for (key, value, message) in cases {
        refused(&mixtral.clone().set(key, Some(value)), message);
    }
    for name in [
        "blk.0.ffn_gate_inp.weight",
        "blk.1.ffn_gate_exps.weight",
        "blk.0.ffn_up_exps.weight",
        "blk.1.ffn_down_exps.weight",
    ] {
        let file = without(mixtral.clone(), name);
        refused(&file, &format!("tensor {name}: is missing"));
    }
    // Another number of experts than the router's, too many dimensions, and too few.
    for (dimensions, message) in [
        (&[256, 256, 4][..], "dimension 2 is 4, expected 8"),
        (&[256, 256, 8, 2], "dimension 3 is 2, expected 1"),
        (&[256, 2048], "dimension 1 is 2048, expected 256"),
    ] {
        let name = "blk.0.ffn_up_exps.weight";
        let bytes = dimensions.iter().product::<u64>() / 32 * 34;
        let data = vec![0; bytes as usize];
        let file = without(mixtral.clone(), name).tensor(name, 8, dimensions, &data);
        refused(&file, &format!("{name}: {message}"));
    }
    // What only models without experts have, and what they had in files of another time.
    for name in [
        "blk.0.ffn_gate.weight",
        "blk.0.ffn_down.bias",
        "blk.0.ffn_gate.0.weight",
    ] {
        let file = mixtral.clone().tensor(name, 0, &[256], &[0; 1024]);
        refused(&file, &format!("tensor \"{name}\" is not supported"));
    }

    // An architecture that is nothing without experts.
    let qwen3moe = synth(&Family::Qwen3moe.shape());
    assert_eq!(load(&qwen3moe, &options()), Ok(()));
    for key in [
        "qwen3moe.expert_count",
        "qwen3moe.expert_used_count",
        "qwen3moe.expert_feed_forward_length",
    ] {
        let message = format!("key {key}: is missing");
        refused(&qwen3moe.clone().set(key, None), &message);
        let message = format!("{key}: value is 0, expected at least 1");
        refused(&qwen3moe.clone().set(key, Some(count(0))), &message);
    }
}

#[test]
fn norms_and_windows_that_contradict_the_architecture() {
    let qwen3 = synth(&Family::Qwen3.shape());
    assert_eq!(load(&qwen3, &options()), Ok(()));
    for name in ["blk.0.attn_q_norm.weight", "blk.2.attn_k_norm.weight"] {
        let file = without(qwen3.clone(), name);
        refused(&file, &format!("tensor {name}: is missing"));
        let file = file.tensor(name, 0, &[64], &[0; 256]);
        refused(&file, &format!("{name}: dimension 0 is 64, expected 128"));
    }

    let gemma3 = synth(&Family::Gemma3.shape());
    assert_eq!(load(&gemma3, &options()), Ok(()));
    for name in [
        "blk.0.post_attention_norm.weight",
        "blk.6.post_ffw_norm.weight",
    ] {
        let file = without(gemma3.clone(), name);
        refused(&file, &format!("tensor {name}: is missing"));
    }
    let file = gemma3
        .clone()
        .tensor("blk.0.attn_q.bias", 0, &[256], &[0; 1024]);
    refused(&file, "tensor \"blk.0.attn_q.bias\" is not supported");
    let file = gemma3
        .clone()
        .tensor("rope_freqs.weight", 0, &[32], &[0; 128]);
    refused(&file, "tensor \"rope_freqs.weight\" is not supported");

    let pattern = "gemma3.attention.sliding_window_pattern";
    let bools = |len| Meta::Bools(vec![1; len]);
    for (value, message) in [
        (bools(6), "number of layers is 6, expected as many"),
        (bools(0), "number of layers is 0, expected as many"),
        (
            Meta::I32s(vec![1; 7]),
            "number of layers is 7, expected as many truth values",
        ),
        (
            Meta::from("LLLLLG"),
            "is of type string, expected u32 or array",
        ),
    ] {
        let file = gemma3.clone().key(pattern, value);
        refused(&file, &format!("{pattern}: {message}"));
    }
    for right in [Meta::U32(0), Meta::U32(6), bools(7)] {
        assert_eq!(
            load(&gemma3.clone().key(pattern, right), &options()),
            Ok(())
        );
    }
    for base in [0.0, f32::NAN] {
        let key = "gemma3.rope.freq_base_swa";
        let file = gemma3.clone().key(key, Meta::F32(base));
        refused(&file, &format!("{key}: value, as bits, is"));
    }
}

#[test]
fn tensors_that_are_missing() {
    for name in [
        "token_embd.weight",
        "output_norm.weight",
        "blk.0.attn_q.weight",
        "blk.1.ffn_down.weight",
        "blk.1.attn_norm.weight",
    ] {
        refused(
            &without(tiny(), name),
            &format!("tensor {name}: is missing"),
        );
    }
    // Not everything has a bias.
    assert_eq!(
        load(&without(tiny(), "blk.0.attn_v.bias"), &options()),
        Ok(())
    );
}

#[test]
fn tensors_that_nothing_would_use() {
    for name in [
        "blk.0.attn_q_norm.weight",
        "blk.0.post_attention_norm.weight",
        "blk.0.ffn_gate_inp.weight",
        "blk.0.ffn_gate_exps.weight",
        "blk.0.ffn_gate.0.weight",
        "output.bias",
        "blk.2.attn_q.bias",
        "blk.00.attn_q.bias",
        "blk.+0.attn_q.bias",
        "blk.99999999999999999999.attn_q.bias",
        "blk.0",
        "blk.",
        "mystery",
    ] {
        let file = tiny().tensor(name, 0, &[256], &[0; 1024]);
        refused(&file, &format!("tensor \"{name}\" is not supported"));
    }
    let twice = tiny().tensor("output_norm.weight", 0, &[256], &[0; 1024]);
    refused(&twice, "tensor output_norm.weight: is there twice");
}

/// A file in which one tensor is another one.
fn with(name: &str, type_number: u32, dimensions: &[u64], bytes: usize) -> GgufBuilder {
    without(tiny(), name).tensor(name, type_number, dimensions, &vec![0; bytes])
}

#[test]
fn tensors_of_a_wrong_shape_or_type() {
    let cases = [
        // Number of dimensions, order of dimensions, each dimension.
        (
            with("output_norm.weight", 0, &[256, 2], 2048),
            "output_norm.weight: dimension 1 is 2, expected 1",
        ),
        (
            with("output_norm.weight", 0, &[128], 512),
            "output_norm.weight: dimension 0 is 128, expected 256",
        ),
        (
            with("blk.1.ffn_up.weight", 0, &[512, 256], 1 << 19),
            "blk.1.ffn_up.weight: dimension 0 is 512, expected 256",
        ),
        (
            with("blk.1.attn_k.weight", 0, &[256], 1024),
            "blk.1.attn_k.weight: dimension 1 is 1, expected 128",
        ),
        (
            with("token_embd.weight", 1, &[256, 5], 2560),
            "token_embd.weight: dimension 1 is 5, expected",
        ),
        // Norms and biases are floats of 32 bits.
        (
            with("blk.0.attn_v.bias", 1, &[128], 256),
            "tensor blk.0.attn_v.bias: type 1 (f16) is not supported",
        ),
        (
            with("blk.0.ffn_norm.weight", 8, &[256], 272),
            "blk.0.ffn_norm.weight: type 8 (q8_0) is not supported",
        ),
        // A type that exists and is not computed, and one that does not exist.
        (
            with("blk.0.attn_q.weight", 16, &[256, 256], 66 * 256),
            "blk.0.attn_q.weight: type 16 (iq2_xxs) is not supported",
        ),
        (
            with("blk.0.attn_q.weight", 999, &[256, 256], 0),
            "blk.0.attn_q.weight: type 999 is not supported",
        ),
        // A row that is no whole number of blocks.
        (
            with("blk.0.attn_q.weight", 8, &[250, 256], 68000),
            "blk.0.attn_q.weight",
        ),
    ];
    for (file, message) in cases {
        refused(&file, message);
    }
}

#[test]
fn a_file_in_memory_that_is_not_aligned() {
    let file = tiny().build();
    let mut shifted = vec![0];
    shifted.extend(&file);
    let shifted = Aligned::new(&shifted);
    let error = Plan::new(&shifted.bytes()[1..], &options()).unwrap_err();
    assert!(matches!(error, Error::Misaligned { .. }), "{error}");
}

#[test]
fn a_context_that_is_too_long() {
    for context in [common::CONTEXT + 1, u32::MAX] {
        let options = Options {
            context,
            ..options()
        };
        let error = load(&tiny(), &options).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("context is {context}, more than the limit of 700")
        );
    }
    // What is far too large for any machine is told by the plan, not found out.
    let long = set("llama.context_length", Meta::U32(1 << 24));
    let file = Aligned::new(&long.build());
    let options = Options {
        context: 1 << 24,
        prompt_bytes: usize::MAX,
        ..options()
    };
    assert!(matches!(
        Plan::new(file.bytes(), &options),
        Err(Error::Memory { .. })
    ));
}

#[test]
fn a_file_cut_anywhere() {
    let file = tiny().build();
    // Every byte of the beginning, and some of the rest.
    let cuts = (0..3000).chain((3000..file.len()).step_by(4099));
    for cut in cuts.chain([file.len() - 1]) {
        let cut_file = Aligned::new(&file[..cut]);
        assert!(Plan::new(cut_file.bytes(), &options()).is_err(), "{cut}");
    }
}

#[test]
fn weights_that_are_no_numbers() {
    // A norm of NaN makes every logit NaN where the output is not quantized; that must not choose a
    // token outside of the vocabulary.
    let norm: Vec<u8> = (0..256).flat_map(|_| f32::NAN.to_le_bytes()).collect();
    let tokens = common::gguf::small_tokens().0.len();
    let file = without(tiny(), "output_norm.weight")
        .tensor("output_norm.weight", 0, &[256], &norm)
        .tensor(
            "output.weight",
            1,
            &[256, tokens as u64],
            &vec![0; 512 * tokens],
        );
    let file = Aligned::new(&file.build());
    let plan = Plan::new(file.bytes(), &options()).unwrap();
    let mut arena = vec![0; plan.arena_bytes()];
    let pool = Pool::new(1).unwrap();
    let mut engine = Engine::load(file.bytes(), &mut arena, &options(), kernels(), &pool).unwrap();
    let request = llamux_engine::generate::Request {
        prompt: "hello",
        raw: true,
        max_tokens: 5,
        sampling: llamux_engine::generate::Sampling::default(),
        ..llamux_engine::generate::Request::default()
    };
    let outcome = engine.generate(&request, &pool, &mut common::Collector::default());
    assert_eq!(outcome, Err(Error::NoCandidate));
}
