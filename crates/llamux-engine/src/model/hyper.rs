// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The hyper-parameters of a model, read from the metadata of its file.
//!
//! Their keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#llm>.

use super::architecture::{Architecture, Presence, Window};
use super::keys::Keys;
use crate::error::{Error, Name};
use crate::gguf::{Gguf, Value, ValueType};
use crate::math::{F32Bits, Look, Rotation};

/// The most that is accepted, far above what any model has, so that products of two of them stay
/// within 64 bits and the work of loading is bounded.
const MAX_LAYERS: u32 = 512;
const MAX_EMBEDDING: u32 = 1 << 16;
const MAX_FEED_FORWARD: u32 = 1 << 18;
const MAX_HEADS: u32 = 1024;
const MAX_CONTEXT: u32 = 1 << 24;
const MAX_EXPERTS: u32 = 512;
const MAX_EXPERTS_USED: u32 = 64;
/// Bound of [`abi::Attention::head_dim`].
const MAX_HEAD_DIM: u32 = 256;

/// The base of the rotary frequencies where the file has none.
const DEFAULT_ROPE_BASE: F32Bits = F32Bits(0x461c_4000); // 10000

/// 1 as a float.
const ONE: F32Bits = F32Bits(0x3f80_0000);

/// The hyper-parameters, every one within its bounds.
#[derive(Clone, Copy)]
pub struct Hyper {
    /// The architecture.
    pub architecture: &'static Architecture,
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
    /// Number of dimensions of a head that rotate, halved.
    pub rope_pairs: u32,
    /// How positions turn them.
    pub rotation: Rotation,
    /// The same in the layers of a window, where it is another.
    pub window_rotation: Option<Rotation>,
    /// How many positions the layers of a window attend to; 0 for no such layers.
    pub window: u32,
    /// Which layers these are.
    windowed: Layers,
    /// Number of experts; 0 where the feed-forward part is one.
    pub experts: u32,
    /// How many of them a token asks.
    pub experts_used: u32,
    /// Epsilon of the norms.
    pub epsilon: F32Bits,
    /// Length of the context that the model was trained for.
    pub context: u32,
    /// Number of tokens in the vocabulary.
    pub vocabulary: u32,
}

impl Hyper {
    /// Reads and checks them.
    pub fn read(gguf: &Gguf<'_>) -> Result<Self, Error> {
        let name = gguf.str("general.architecture")?;
        let architecture = Architecture::find(name).ok_or(Error::Unsupported {
            what: "architecture",
            name: name.into(),
        })?;
        let keys = Keys {
            gguf,
            architecture: architecture.name,
        };

        let layers = keys.count("block_count", MAX_LAYERS)?;
        let embedding = keys.count("embedding_length", MAX_EMBEDDING)?;
        let (experts, experts_used) = read_experts(&keys, architecture)?;
        let feed_forward = read_feed_forward(&keys, architecture)?;
        let context = keys.count("context_length", MAX_CONTEXT)?;
        let heads = keys.count("attention.head_count", MAX_HEADS)?;
        let kv_heads = keys.count_or("attention.head_count_kv", MAX_HEADS, heads)?;
        if heads % kv_heads != 0 {
            return Err(keys.invalid(
                "attention.head_count_kv",
                kv_heads,
                "a divisor of attention.head_count",
            ));
        }

        let head_dim = match keys.optional_count("attention.key_length", MAX_HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None if embedding % heads != 0 => {
                return Err(keys.invalid(
                    "attention.head_count",
                    heads,
                    "a divisor of embedding_length",
                ))
            }
            None => keys.within("head length", embedding / heads, MAX_HEAD_DIM)?,
        };
        if head_dim % 2 != 0 {
            return Err(keys.invalid("attention.key_length", head_dim, "an even number"));
        }
        let value_length = keys.count_or("attention.value_length", MAX_HEAD_DIM, head_dim)?;
        if value_length != head_dim {
            return Err(keys.invalid(
                "attention.value_length",
                value_length,
                "the same as attention.key_length",
            ));
        }
        let rotated = keys.count_or("rope.dimension_count", MAX_HEAD_DIM, head_dim)?;
        if rotated % 2 != 0 || rotated > head_dim {
            return Err(keys.invalid(
                "rope.dimension_count",
                rotated,
                "an even number, at most the head length",
            ));
        }
        let (window, windowed) = read_window(&keys, architecture, layers)?;
        let rotation = read_rotation(&keys, context)?;
        let separate = window != 0 && matches!(architecture.window, Window::AllButEvery(_));
        let window_rotation = if separate {
            let base = keys.positive_float("rope.freq_base_swa")?;
            Some(Rotation {
                base: base.unwrap_or(DEFAULT_ROPE_BASE),
                stretch: ONE,
                original_context: 0,
                magnitude: ONE,
            })
        } else {
            None
        };
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            keys.expect(key, &[0], "0: bounded logits are not supported")?;
        }

        let vocabulary = gguf
            .array("tokenizer.ggml.tokens", ValueType::String)?
            .len();
        Ok(Self {
            architecture,
            layers,
            embedding,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            rope_pairs: rotated / 2,
            rotation,
            window_rotation,
            window,
            windowed,
            experts,
            experts_used,
            epsilon: keys
                .positive_float("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| Error::Missing {
                    what: "key",
                    name: keys.name("attention.layer_norm_rms_epsilon"),
                })?,
            context,
            vocabulary: u32::try_from(vocabulary)
                .ok()
                .filter(|&vocabulary| vocabulary != 0)
                .ok_or(Error::Invalid {
                    what: "number of tokens",
                    name: "tokenizer.ggml.tokens".into(),
                    // CAST: `usize` is at most 64 bits wide.
                    value: vocabulary as u64,
                    expected: "at least 1, and less than 2^32",
                })?,
        })
    }

    /// Length of all of a token's query heads.
    pub fn query(&self) -> u32 {
        // OVERFLOW: Both are capped, as are those below.
        self.heads * self.head_dim
    }

    /// Length of all of a token's key heads, or value heads.
    pub fn key_value(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Whether a layer attends to the positions of a window only.
    pub fn windowed(&self, layer: u32) -> bool {
        self.window != 0 && self.windowed.contains(layer)
    }

    /// How a layer attends.
    pub fn look(&self, layer: u32) -> Look {
        Look {
            heads: self.heads,
            window: if self.windowed(layer) { self.window } else { 0 },
            scale_square: (self.architecture.scale_square)(self),
        }
    }
}

/// A set of layers.
#[derive(Clone, Copy)]
struct Layers([u64; MAX_LAYERS.div_ceil(64) as usize]);

impl Layers {
    /// Those below [`MAX_LAYERS`] for which `contains` says so.
    fn new(contains: impl Fn(u32) -> bool) -> Self {
        let mut set = Self([0; MAX_LAYERS.div_ceil(64) as usize]);
        for (word, first) in set.0.iter_mut().zip((0..).step_by(64)) {
            for bit in 0..64 {
                *word |= u64::from(contains(first + bit)) << bit;
            }
        }
        set
    }

    fn contains(&self, layer: u32) -> bool {
        let word = self.0.get(crate::size(layer / 64)).copied().unwrap_or(0);
        word >> (layer % 64) & 1 != 0
    }
}

/// How many experts there are, and how many a token asks.
fn read_experts(keys: &Keys<'_, '_>, architecture: &Architecture) -> Result<(u32, u32), Error> {
    let (experts, used) = match architecture.experts {
        Presence::Absent => return Ok((0, 0)),
        Presence::Optional => (
            keys.count_or_none("expert_count", MAX_EXPERTS)?,
            keys.count_or_none("expert_used_count", MAX_EXPERTS_USED)?,
        ),
        Presence::Required => (
            keys.count("expert_count", MAX_EXPERTS)?,
            keys.count("expert_used_count", MAX_EXPERTS_USED)?,
        ),
    };
    if used > experts {
        return Err(keys.invalid("expert_used_count", used, "at most expert_count"));
    }
    if experts != 0 && used == 0 {
        return Err(keys.invalid(
            "expert_used_count",
            used,
            "at least 1, as there are experts",
        ));
    }
    if keys.count_or_none("expert_group_count", MAX_EXPERTS)? > 1 {
        return Err(Error::Unsupported {
            what: "key",
            name: keys.name("expert_group_count"),
        });
    }
    keys.expect(
        "expert_weights_scale",
        &[0, ONE.0],
        "0.0 or 1.0: scaled experts are not supported",
    )?;
    Ok((experts, used))
}

/// The hidden state of the feed-forward part, or of an expert where that is another number.
fn read_feed_forward(keys: &Keys<'_, '_>, architecture: &Architecture) -> Result<u32, Error> {
    let whole = keys.count("feed_forward_length", MAX_FEED_FORWARD)?;
    match architecture.experts {
        Presence::Required => keys.count("expert_feed_forward_length", MAX_FEED_FORWARD),
        _ => Ok(whole),
    }
}

/// How many positions the layers of a window attend to, and which layers these are.
fn read_window(
    keys: &Keys<'_, '_>,
    architecture: &Architecture,
    layers: u32,
) -> Result<(u32, Layers), Error> {
    const PATTERN: &str = "attention.sliding_window_pattern";
    let none = Layers::new(|_| false);
    if architecture.window == Window::None {
        return Ok((0, none));
    }
    let window = keys.count_or_none("attention.sliding_window", u32::MAX)?;
    let set = match (architecture.window, keys.value(PATTERN)) {
        (Window::None, _) => none,
        (Window::All, _) => Layers::new(|_| true),
        (Window::AllButEvery(_), Some(Value::Array(array))) => {
            if array.element_type() != ValueType::Bool || array.len() != crate::size(layers) {
                return Err(Error::Invalid {
                    what: "number of layers",
                    name: keys.name(PATTERN),
                    // CAST: `usize` is at most 64 bits wide.
                    value: array.len() as u64,
                    expected: "as many truth values as block_count",
                });
            }
            let windowed = array.bytes();
            Layers::new(|layer| {
                windowed
                    .get(crate::size(layer))
                    .is_some_and(|&one| one != 0)
            })
        }
        (Window::AllButEvery(_), Some(Value::U32(period))) => all_but_every(period),
        (Window::AllButEvery(period), None) => all_but_every(period),
        (Window::AllButEvery(_), Some(other)) => {
            return Err(keys.wrong_type(PATTERN, &other, "u32 or array"))
        }
    };
    Ok((window, set))
}

/// All layers but the last of each row of `period`; all where that is 0.
fn all_but_every(period: u32) -> Layers {
    Layers::new(|layer| (layer + 1).checked_rem(period) != Some(0))
}

/// How positions rotate, from what the file says about a context that is longer than the one that the
/// model began with.
fn read_rotation(keys: &Keys<'_, '_>, context: u32) -> Result<Rotation, Error> {
    const TYPE: &str = "rope.scaling.type";
    let stretch = match keys.positive_float_or_none("rope.scaling.factor")? {
        // The name that older files have for it.
        None => keys.positive_float_or_none("rope.scale_linear")?,
        some => some,
    };
    let stretch = stretch.unwrap_or(ONE);
    let (stretch, original_context) = match keys.value(TYPE) {
        None | Some(Value::String(b"linear")) => (stretch, 0),
        Some(Value::String(b"none" | b"")) => (ONE, 0),
        Some(Value::String(b"yarn")) => (
            stretch,
            keys.count_or("rope.scaling.original_context_length", MAX_CONTEXT, context)?,
        ),
        Some(Value::String(other)) => {
            return Err(Error::Unsupported {
                what: "rope scaling",
                name: Name::new(other),
            })
        }
        Some(other) => return Err(keys.wrong_type(TYPE, &other, "string")),
    };
    Ok(Rotation {
        base: keys
            .positive_float("rope.freq_base")?
            .unwrap_or(DEFAULT_ROPE_BASE),
        stretch,
        original_context,
        magnitude: keys
            .positive_float("rope.scaling.attn_factor")?
            .unwrap_or(ONE),
    })
}
