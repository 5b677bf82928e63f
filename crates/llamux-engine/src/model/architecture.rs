// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What distinguishes one architecture from another: one table, which the rest asks.
//!
//! Llama: <https://arxiv.org/abs/2302.13971>; Mistral: <https://arxiv.org/abs/2310.06825>; Mixtral:
//! <https://arxiv.org/abs/2401.04088>; Qwen2: <https://arxiv.org/abs/2407.10671>; Qwen3:
//! <https://arxiv.org/abs/2505.09388>; Gemma 3: <https://arxiv.org/abs/2503.19786>.

use llamux_abi as abi;

use super::hyper::Hyper;
use crate::math::Gate;

/// An architecture.
pub struct Architecture {
    /// Its name in `general.architecture`, and the beginning of its keys.
    pub name: &'static str,
    /// Which dimensions of a head rotate together.
    pub rope_style: abi::RopeStyle,
    /// Whether there is a tensor of what the rotary frequencies are divided by.
    pub rope_factors: Presence,
    /// The bias of queries, keys and values.
    pub qkv_bias: Presence,
    /// The biases of what attention and the feed-forward part give.
    pub inner_bias: Presence,
    /// The bias of the logits.
    pub output_bias: Presence,
    /// Whether each head of the queries and the keys is normed before it is rotated.
    pub head_norms: bool,
    /// Whether what attention and the feed-forward part give is normed before it is added.
    pub post_norms: bool,
    /// Whether embeddings are multiplied by the square root of their length.
    pub scaled_embedding: bool,
    /// What the gate of the feed-forward part goes through.
    pub gate: Gate,
    /// Whether the feed-forward part is made of experts.
    pub experts: Presence,
    /// Which layers attend to the last positions only.
    pub window: Window,
    /// The square of what the scores of attention are divided by.
    pub scale_square: fn(&Hyper) -> u32,
}

/// Whether a model has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may.
    Optional,
    /// It must not: nothing would use it.
    Absent,
}

/// Which layers attend to no more than the positions of `attention.sliding_window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// None, whatever the key says.
    None,
    /// All, where the key is there and not 0.
    All,
    /// Where the key is there and not 0, all but the last of each row of so many layers, unless
    /// `attention.sliding_window_pattern` tells otherwise. Their positions are rotated by a base of
    /// their own, without scaling.
    AllButEvery(u32),
}

/// The llama family; what others do not say, they have of it. Its Mistral and Mixtral models have the
/// same name.
const LLAMA: Architecture = Architecture {
    name: "llama",
    rope_style: abi::RopeStyle::Interleaved,
    rope_factors: Presence::Optional,
    qkv_bias: Presence::Optional,
    inner_bias: Presence::Optional,
    output_bias: Presence::Absent,
    head_norms: false,
    post_norms: false,
    scaled_embedding: false,
    gate: Gate::Silu,
    experts: Presence::Optional,
    window: Window::All,
    scale_square: head_dim,
};

const QWEN2: Architecture = Architecture {
    name: "qwen2",
    rope_style: abi::RopeStyle::Halves,
    rope_factors: Presence::Absent,
    qkv_bias: Presence::Required,
    inner_bias: Presence::Absent,
    output_bias: Presence::Optional,
    experts: Presence::Absent,
    window: Window::None,
    ..LLAMA
};

const QWEN3: Architecture = Architecture {
    name: "qwen3",
    qkv_bias: Presence::Optional,
    output_bias: Presence::Absent,
    head_norms: true,
    ..QWEN2
};

/// The architectures that are known.
static ARCHITECTURES: [Architecture; 5] = [
    LLAMA,
    QWEN2,
    QWEN3,
    Architecture {
        name: "qwen3moe",
        experts: Presence::Required,
        ..QWEN3
    },
    Architecture {
        name: "gemma3",
        qkv_bias: Presence::Absent,
        post_norms: true,
        scaled_embedding: true,
        gate: Gate::Gelu,
        window: Window::AllButEvery(6),
        scale_square: gemma3_scale_square,
        ..QWEN3
    },
];

impl Architecture {
    /// The one of that name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ARCHITECTURES
            .iter()
            .find(|architecture| architecture.name == name)
    }
}

fn head_dim(hyper: &Hyper) -> u32 {
    hyper.head_dim
}

/// The largest model, which its layers tell, does not go by the length of its heads.
fn gemma3_scale_square(hyper: &Hyper) -> u32 {
    const LAYERS_27B: u32 = 62;
    if hyper.layers == LAYERS_27B {
        (hyper.embedding / hyper.heads).max(1)
    } else {
        hyper.head_dim
    }
}
