// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Models with made-up weights: the same file for the same arguments, of any architecture and type, so
//! that engines can be compared where the real weights cannot be had.
//!
//! The weights are scaled such that states stay of the order of 1 through the layers, attention prefers
//! some positions, and the best logits are apart.

use std::path::Path;

use anyhow::{ensure, Context as _, Result};
use clap::ValueEnum;
use llamux_engine::gguf::{Gguf, Value};

use crate::gguf_writer::Header;

mod blocks;
mod vocabulary;

pub use blocks::Type;

/// A family of models, with its features in a small shape; [`TinyLlama`](Self::TinyLlama) has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// Llama 2: as many key heads as query heads
    Llama2,
    /// Llama 3.1: rotary frequencies divided by factors
    Llama3,
    /// CodeLlama: a larger rotary base
    Codellama,
    /// TinyLlama 1.1B, in its own shape
    #[value(name = "tinyllama")]
    TinyLlama,
    /// SmolLM2: the embedding table serves for the output
    Smollm2,
    /// Mistral: a sliding window in all layers
    Mistral,
    /// Mixtral: eight experts, two a token
    Mixtral,
    /// Qwen2 and Qwen2.5: biases
    Qwen2,
    /// Qwen3: heads normed, and longer than their share
    Qwen3,
    /// Qwen3 with experts
    Qwen3moe,
    /// Gemma 3, without pictures
    Gemma3,
}

/// How rotations are slowed down for a longer context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scaling {
    /// Not at all
    None,
    /// All by the same factor
    Linear,
    /// By how often they turn
    Yarn,
}

/// The numbers that make a model.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its family.
    pub family: Family,
    /// Number of layers.
    pub layers: u32,
    /// Length of a token's state.
    pub embedding: u32,
    /// Length of the hidden state of the feed-forward part, or of an expert.
    pub feed_forward: u32,
    /// Number of query heads.
    pub heads: u32,
    /// Number of key and value heads.
    pub kv_heads: u32,
    /// Length of a head.
    pub head_dim: u32,
    /// Number of experts; 0 for none.
    pub experts: u32,
    /// How many of them a token asks.
    pub experts_used: u32,
    /// Length of the context.
    pub context: u32,
    /// Positions of the sliding window; 0 for none.
    pub window: u32,
    /// Number of tokens of a made-up vocabulary.
    pub vocabulary: u32,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// How they are slowed down.
    pub scaling: Scaling,
    /// By how much.
    pub stretch: f32,
    /// The length of the context before that; 0 leaves it away.
    pub original_context: u32,
}

impl Family {
    /// Its shape.
    pub fn shape(self) -> Shape {
        let small = Shape {
            family: self,
            layers: 3,
            embedding: 256,
            feed_forward: 512,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            experts: 0,
            experts_used: 0,
            context: 2048,
            window: 0,
            vocabulary: 320,
            rope_base: 10_000.0,
            scaling: Scaling::None,
            stretch: 1.0,
            original_context: 0,
        };
        match self {
            Self::Llama2 => Shape {
                kv_heads: 4,
                ..small
            },
            Self::Llama3 => Shape {
                rope_base: 500_000.0,
                ..small
            },
            Self::Codellama => Shape {
                kv_heads: 4,
                rope_base: 1_000_000.0,
                ..small
            },
            Self::TinyLlama => Shape {
                layers: 22,
                embedding: 2048,
                feed_forward: 5632,
                heads: 32,
                kv_heads: 4,
                vocabulary: 32_000,
                ..small
            },
            Self::Smollm2 => Shape {
                embedding: 192,
                heads: 3,
                kv_heads: 1,
                rope_base: 100_000.0,
                ..small
            },
            Self::Mistral => Shape {
                window: 512,
                ..small
            },
            Self::Mixtral => Shape {
                layers: 2,
                feed_forward: 256,
                experts: 8,
                experts_used: 2,
                rope_base: 1_000_000.0,
                ..small
            },
            Self::Qwen2 => Shape {
                rope_base: 1_000_000.0,
                ..small
            },
            Self::Qwen3 => Shape {
                head_dim: 128,
                rope_base: 1_000_000.0,
                ..small
            },
            Self::Qwen3moe => Shape {
                layers: 2,
                feed_forward: 256,
                head_dim: 128,
                experts: 8,
                experts_used: 4,
                rope_base: 1_000_000.0,
                ..small
            },
            // One layer in six has no window.
            Self::Gemma3 => Shape {
                layers: 7,
                kv_heads: 1,
                window: 24,
                rope_base: 1_000_000.0,
                scaling: Scaling::Linear,
                stretch: 8.0,
                ..small
            },
        }
    }

    fn features(self) -> Features {
        let llama = Features {
            architecture: "llama",
            epsilon: 1e-5,
            ..Features::default()
        };
        match self {
            Self::Llama2 | Self::Codellama | Self::TinyLlama | Self::Mistral | Self::Mixtral => {
                llama
            }
            Self::Llama3 => Features {
                rope_factors: true,
                ..llama
            },
            Self::Smollm2 => Features {
                tied: true,
                ..llama
            },
            Self::Qwen2 => Features {
                architecture: "qwen2",
                epsilon: 1e-6,
                qkv_bias: true,
                ..Features::default()
            },
            Self::Qwen3 | Self::Qwen3moe => Features {
                architecture: match self {
                    Self::Qwen3 => "qwen3",
                    _ => "qwen3moe",
                },
                epsilon: 1e-6,
                head_norms: true,
                tied: self == Self::Qwen3,
                ..Features::default()
            },
            Self::Gemma3 => Features {
                architecture: "gemma3",
                epsilon: 1e-6,
                head_norms: true,
                post_norms: true,
                scaled_embedding: true,
                tied: true,
                ..Features::default()
            },
        }
    }
}

/// What a family has besides its shape.
#[derive(Default)]
struct Features {
    architecture: &'static str,
    epsilon: f32,
    rope_factors: bool,
    qkv_bias: bool,
    head_norms: bool,
    post_norms: bool,
    scaled_embedding: bool,
    tied: bool,
}

/// How far logits are from 0, roughly.
const LOGITS: f32 = 4.0;
/// How far scores of attention are.
const SCORES: f32 = 1.5;
/// What the attention of all layers adds, or what their feed-forward parts do, compared with what was
/// there at first.
const PARTS: f32 = 1.0;

/// What a tensor's weights are like.
#[derive(Clone, Copy)]
enum Fill {
    /// A matrix of the chosen type, whose weights have this standard deviation.
    Weights(f32),
    /// The same in 32 bits.
    Floats(f32),
    /// A vector around this mean.
    Norm(f32),
    /// A vector around 1 and -1.
    Signs,
    /// [`llama3_factors`].
    RopeFactors,
}

struct Tensor {
    name: String,
    dimensions: Vec<u64>,
    fill: Fill,
}

/// Writes a model.
pub fn write(
    shape: &Shape,
    tensor_type: Type,
    seed: u64,
    vocabulary: Option<&Gguf<'_>>,
    path: &Path,
) -> Result<()> {
    check(shape)?;
    let mut header = Header::new();
    set_keys(&mut header, shape)?;
    let tokens = match vocabulary {
        Some(gguf) => vocabulary::copy(&mut header, gguf)?,
        None => vocabulary::make_up(&mut header, shape.vocabulary)?,
    };
    let tensors = tensors(shape, tokens.into());
    let type_of = |fill: Fill| match fill {
        Fill::Weights(_) => tensor_type,
        _ => Type::F32,
    };
    for tensor in &tensors {
        let elements = tensor.dimensions.iter().product();
        let kind = type_of(tensor.fill);
        let bytes = kind
            .bytes(tensor.dimensions[0], elements)
            .with_context(|| {
                format!(
                    "tensor {}: rows of {} are no whole number of {} blocks",
                    tensor.name,
                    tensor.dimensions[0],
                    kind.name()
                )
            })?;
        header.tensor(&tensor.name, kind.number(), &tensor.dimensions, bytes)?;
    }
    let mut writer = header.write_to(path)?;
    for tensor in &tensors {
        let mut random = Random::new(seed, &tensor.name);
        // CAST: A model that does not fit in memory cannot be used either.
        let elements = tensor.dimensions.iter().product::<u64>() as usize;
        let data = match tensor.fill {
            Fill::Weights(deviation) => tensor_type.weights(elements, deviation, &mut random),
            Fill::Floats(deviation) => Type::F32.weights(elements, deviation, &mut random),
            Fill::Norm(mean) => (0..elements)
                .flat_map(|_| (mean * (1.0 + 0.2 * random.signed())).to_le_bytes())
                .collect(),
            Fill::Signs => (0..elements)
                .flat_map(|_| {
                    (1.0 + 0.2 * random.signed())
                        .copysign(random.signed())
                        .to_le_bytes()
                })
                .collect(),
            Fill::RopeFactors => llama3_factors(shape)
                .into_iter()
                .flat_map(f32::to_le_bytes)
                .collect(),
        };
        writer.tensor(&data)?;
    }
    writer.finish()
}

fn check(shape: &Shape) -> Result<()> {
    ensure!(
        shape.layers > 0 && shape.feed_forward > 0 && shape.context > 0,
        "a number that must not be 0 is 0"
    );
    ensure!(
        shape.kv_heads > 0 && shape.heads > 0 && shape.heads % shape.kv_heads == 0,
        "{} heads are no multiple of {} key heads",
        shape.heads,
        shape.kv_heads
    );
    ensure!(
        shape.head_dim > 0 && shape.head_dim % 2 == 0,
        "heads of {} cannot rotate in pairs",
        shape.head_dim
    );
    ensure!(
        shape.experts_used <= shape.experts && (shape.experts == 0) == (shape.experts_used == 0),
        "{} experts for a token, of {}",
        shape.experts_used,
        shape.experts
    );
    Ok(())
}

fn set_keys(header: &mut Header, shape: &Shape) -> Result<()> {
    let features = shape.family.features();
    let architecture = features.architecture;
    header.set(
        "general.architecture",
        &Value::String(architecture.as_bytes()),
    )?;
    let name = shape.family.to_possible_value();
    let name = name.as_ref().map_or("", |name| name.get_name());
    let name = format!("Made-up {name}");
    header.set("general.name", &Value::String(name.as_bytes()))?;
    header.set("general.quantization_version", &Value::U32(2))?;
    let mut set = |key: &str, value: Value<'_>| header.set(format!("{architecture}.{key}"), &value);
    set("block_count", Value::U32(shape.layers))?;
    set("context_length", Value::U32(shape.context))?;
    set("embedding_length", Value::U32(shape.embedding))?;
    set("feed_forward_length", Value::U32(shape.feed_forward))?;
    set("attention.head_count", Value::U32(shape.heads))?;
    set("attention.head_count_kv", Value::U32(shape.kv_heads))?;
    set("attention.key_length", Value::U32(shape.head_dim))?;
    set("attention.value_length", Value::U32(shape.head_dim))?;
    set(
        "attention.layer_norm_rms_epsilon",
        Value::F32(features.epsilon.to_bits()),
    )?;
    set("rope.dimension_count", Value::U32(shape.head_dim))?;
    set("rope.freq_base", Value::F32(shape.rope_base.to_bits()))?;
    if shape.window > 0 {
        set("attention.sliding_window", Value::U32(shape.window))?;
    }
    if shape.experts > 0 {
        set("expert_count", Value::U32(shape.experts))?;
        set("expert_used_count", Value::U32(shape.experts_used))?;
        set("expert_feed_forward_length", Value::U32(shape.feed_forward))?;
    }
    let scaling: &[u8] = match shape.scaling {
        Scaling::None => return Ok(()),
        Scaling::Linear => b"linear",
        Scaling::Yarn => b"yarn",
    };
    set("rope.scaling.type", Value::String(scaling))?;
    set("rope.scaling.factor", Value::F32(shape.stretch.to_bits()))?;
    if shape.original_context > 0 {
        set(
            "rope.scaling.original_context_length",
            Value::U32(shape.original_context),
        )?;
    }
    Ok(())
}

/// All tensors, in the order of the file.
fn tensors(shape: &Shape, tokens: u64) -> Vec<Tensor> {
    let features = shape.family.features();
    let (embedding, hidden) = (u64::from(shape.embedding), u64::from(shape.feed_forward));
    let head_dim = u64::from(shape.head_dim);
    let query = u64::from(shape.heads) * head_dim;
    let key_value = u64::from(shape.kv_heads) * head_dim;
    let experts = u64::from(shape.experts);

    // Of a sum of so many products of weights with something of the order of 1.
    let keeping = |columns: u64| 1.0 / (columns as f32).sqrt();
    // The output multiplies a normed state.
    let output = LOGITS * keeping(embedding);
    let scale = if features.scaled_embedding {
        (embedding as f32).sqrt()
    } else {
        1.0
    };
    // What a part of a layer adds to embeddings of this size; they are independent of each other.
    let part = PARTS * output * scale / (shape.layers as f32).sqrt();
    // A product with a state, and one with what a part made of it. That is normed where there are
    // norms behind it.
    let inner = |columns| keeping(columns);
    let outer = |columns| match features.post_norms {
        true => keeping(columns),
        false => part * keeping(columns),
    };
    // Scores are a product of two, each of which comes from a matrix or a norm of the head.
    let sharp = SCORES.sqrt();
    let selective = match features.head_norms {
        true => keeping(embedding),
        false => sharp * keeping(embedding),
    };

    let mut tensors = Vec::new();
    let mut add = |name: String, dimensions: &[u64], fill: Fill| {
        tensors.push(Tensor {
            name,
            dimensions: dimensions.to_vec(),
            fill,
        });
    };
    add(
        "token_embd.weight".into(),
        &[embedding, tokens],
        Fill::Weights(output),
    );
    if features.rope_factors {
        add(
            "rope_freqs.weight".into(),
            &[head_dim / 2],
            Fill::RopeFactors,
        );
    }
    for layer in 0..shape.layers {
        let mut add = |name: &str, dimensions: &[u64], fill| {
            add(format!("blk.{layer}.{name}"), dimensions, fill);
        };
        let weights = Fill::Weights;
        add("attn_norm.weight", &[embedding], Fill::Norm(1.0));
        add("attn_q.weight", &[embedding, query], weights(selective));
        add("attn_k.weight", &[embedding, key_value], weights(selective));
        let value = inner(embedding);
        add("attn_v.weight", &[embedding, key_value], weights(value));
        if features.qkv_bias {
            add("attn_q.bias", &[query], Fill::Floats(0.5));
            add("attn_k.bias", &[key_value], Fill::Floats(0.5));
            add("attn_v.bias", &[key_value], Fill::Floats(0.5));
        }
        if features.head_norms {
            add("attn_q_norm.weight", &[head_dim], Fill::Norm(sharp));
            add("attn_k_norm.weight", &[head_dim], Fill::Norm(sharp));
        }
        let attention = outer(query);
        add(
            "attn_output.weight",
            &[query, embedding],
            weights(attention),
        );
        if features.post_norms {
            add("post_attention_norm.weight", &[embedding], Fill::Norm(part));
        }
        add("ffn_norm.weight", &[embedding], Fill::Norm(1.0));
        // The product of a gate and its factor is smaller than either.
        let (gate, down) = (inner(embedding), 2.0 * outer(hidden));
        if experts == 0 {
            add("ffn_gate.weight", &[embedding, hidden], weights(gate));
            add("ffn_up.weight", &[embedding, hidden], weights(gate));
            add("ffn_down.weight", &[hidden, embedding], weights(down));
        } else {
            // Clearly of different opinion about the experts.
            let router = Fill::Floats(2.0 * gate);
            add("ffn_gate_inp.weight", &[embedding, experts], router);
            let wide = [embedding, hidden, experts];
            add("ffn_gate_exps.weight", &wide, weights(gate));
            add("ffn_up_exps.weight", &wide, weights(gate));
            let narrow = [hidden, embedding, experts];
            add("ffn_down_exps.weight", &narrow, weights(down));
        }
        if features.post_norms {
            add("post_ffw_norm.weight", &[embedding], Fill::Norm(part));
        }
    }
    // The state still has much of the embedding, to whose own row it must not lead back.
    let last = if features.tied {
        Fill::Signs
    } else {
        Fill::Norm(1.0)
    };
    add("output_norm.weight".into(), &[embedding], last);
    if !features.tied {
        add(
            "output.weight".into(),
            &[embedding, tokens],
            Fill::Weights(output),
        );
    }
    tensors
}

/// What Llama 3.1 divides its rotary frequencies by: those that turn less than once in a context of 8192
/// by 8, those that turn more than four times by 1, and between these the inverse goes from one to the
/// other. The Llama 3 Herd of Models, <https://arxiv.org/abs/2407.21783>, section 3.2, and its code.
fn llama3_factors(shape: &Shape) -> Vec<f32> {
    const STRETCH: f64 = 8.0;
    const CONTEXT: f64 = 8192.0;
    const SLOW: f64 = 1.0;
    const FAST: f64 = 4.0;
    (0..shape.head_dim / 2)
        .map(|pair| {
            let exponent = -2.0 * f64::from(pair) / f64::from(shape.head_dim);
            let frequency = f64::from(shape.rope_base).powf(exponent);
            let turns = CONTEXT * frequency / (2.0 * std::f64::consts::PI);
            let share = ((turns - SLOW) / (FAST - SLOW)).clamp(0.0, 1.0);
            // CAST: The nearest `f32`.
            (1.0 / (share + (1.0 - share) / STRETCH)) as f32
        })
        .collect()
}

/// Random numbers of one tensor.
///
/// Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators,
/// <https://doi.org/10.1145/2714064.2660195>.
struct Random(u64);

impl Random {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, so that no tensor depends on which ones there are besides it.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(hash.wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f32 {
        // CAST: 24 bits.
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_depend_on_seed_and_name() {
        let first = |seed, name| Random::new(seed, name).next();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        let mut random = Random::new(1, "a");
        assert_ne!(random.next(), random.next());
    }

    #[test]
    fn factors_are_those_of_llama_3() {
        let shape = Shape {
            head_dim: 128,
            ..Family::Llama3.shape()
        };
        let factors = llama3_factors(&shape);
        assert_eq!(factors[..29], [1.0; 29], "wavelengths below 2048");
        assert_eq!(factors[35..], [8.0; 29], "wavelengths above 8192");
        assert!(factors.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn shapes_that_contradict_themselves_are_refused() {
        let shape = Family::Mixtral.shape();
        assert!(check(&shape).is_ok());
        for wrong in [
            Shape {
                layers: 0,
                ..shape.clone()
            },
            Shape {
                kv_heads: 3,
                ..shape.clone()
            },
            Shape {
                kv_heads: 0,
                ..shape.clone()
            },
            Shape {
                head_dim: 63,
                ..shape.clone()
            },
            Shape {
                experts_used: 9,
                ..shape.clone()
            },
            Shape {
                experts_used: 0,
                ..shape.clone()
            },
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
