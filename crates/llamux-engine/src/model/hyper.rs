// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The hyper-parameters of a model, read from the metadata of its file.
//!
//! Their keys: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#llm>.

use llamux_abi as abi;

use crate::error::{Error, Name};
use crate::gguf::{Gguf, Optional, Value, ValueType};
use crate::math::F32Bits;

/// What distinguishes one architecture from another.
pub struct Architecture {
    /// Its name in `general.architecture`, and the beginning of its keys.
    pub name: &'static str,
    /// Which dimensions of a head rotate together.
    pub rope_style: abi::RopeStyle,
    /// Whether queries, keys and values must have a bias. Where they need not, they still may.
    pub qkv_bias: bool,
}

/// The architectures that are known.
const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "llama",
        rope_style: abi::RopeStyle::Interleaved,
        qkv_bias: false,
    },
    Architecture {
        name: "qwen2",
        rope_style: abi::RopeStyle::Halves,
        qkv_bias: true,
    },
];

/// The most that is accepted, far above what any model has, so that products of two of them stay
/// within 64 bits and the work of loading is bounded.
const MAX_LAYERS: u32 = 512;
const MAX_EMBEDDING: u32 = 1 << 16;
const MAX_FEED_FORWARD: u32 = 1 << 18;
const MAX_HEADS: u32 = 1024;
const MAX_CONTEXT: u32 = 1 << 24;
/// Bound of [`abi::Attention::head_dim`].
const MAX_HEAD_DIM: u32 = 256;

/// The base of the rotary frequencies where the file has none.
const DEFAULT_ROPE_BASE: F32Bits = F32Bits(0x461c_4000); // 10000

/// 1 as a float.
pub(super) const ONE: F32Bits = F32Bits(0x3f80_0000);

/// The hyper-parameters, every one within its bounds.
#[derive(Clone, Copy)]
pub struct Hyper {
    /// The architecture.
    pub architecture: &'static Architecture,
    /// Number of layers.
    pub layers: u32,
    /// Length of a token's state.
    pub embedding: u32,
    /// Length of the hidden state of the feed-forward part.
    pub feed_forward: u32,
    /// Number of query heads.
    pub heads: u32,
    /// Number of key and value heads.
    pub kv_heads: u32,
    /// Length of a head.
    pub head_dim: u32,
    /// Number of dimensions of a head that rotate, halved.
    pub rope_pairs: u32,
    /// Base of the rotary frequencies.
    pub rope_base: F32Bits,
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
        let architecture = ARCHITECTURES
            .iter()
            .find(|architecture| architecture.name == name)
            .ok_or(Error::Unsupported {
                what: "architecture",
                name: name.into(),
            })?;
        let keys = Keys {
            gguf,
            architecture: architecture.name,
        };

        let layers = keys.count("block_count", MAX_LAYERS)?;
        let embedding = keys.count("embedding_length", MAX_EMBEDDING)?;
        let feed_forward = keys.count("feed_forward_length", MAX_FEED_FORWARD)?;
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
        keys.check_rope_scaling()?;

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
            rope_base: keys
                .positive_float("rope.freq_base")?
                .unwrap_or(DEFAULT_ROPE_BASE),
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
}

/// The keys that begin with the architecture's name.
struct Keys<'g, 'a> {
    gguf: &'g Gguf<'a>,
    architecture: &'static str,
}

impl Keys<'_, '_> {
    fn name(&self, key: &str) -> Name {
        Name::format(format_args!("{}.{key}", self.architecture))
    }

    fn invalid(&self, key: &str, value: u32, expected: &'static str) -> Error {
        Error::Invalid {
            what: "value",
            name: self.name(key),
            value: value.into(),
            expected,
        }
    }

    fn within(&self, key: &str, value: u32, limit: u32) -> Result<u32, Error> {
        if value == 0 {
            return Err(self.invalid(key, value, "at least 1"));
        }
        if value > limit {
            return Err(Error::Limit {
                what: "value",
                name: self.name(key),
                value: value.into(),
                limit: limit.into(),
            });
        }
        Ok(value)
    }

    fn count(&self, key: &str, limit: u32) -> Result<u32, Error> {
        self.within(key, self.gguf.u32(self.name(key).as_bytes())?, limit)
    }

    fn optional_count(&self, key: &str, limit: u32) -> Result<Option<u32>, Error> {
        self.count(key, limit).optional()
    }

    fn count_or(&self, key: &str, limit: u32, default: u32) -> Result<u32, Error> {
        Ok(self.optional_count(key, limit)?.unwrap_or(default))
    }

    /// A number that is above zero and finite, told from its bits.
    fn positive_float(&self, key: &str) -> Result<Option<F32Bits>, Error> {
        let name = self.name(key);
        let Some(bits) = self.gguf.f32_bits(name.as_bytes()).optional()? else {
            return Ok(None);
        };
        // The bits of the subnormal numbers begin at 1, those of infinity are the end; a set sign
        // is above both.
        if !(1..0x7f80_0000).contains(&bits) {
            return Err(Error::Invalid {
                what: "value, as bits,",
                name,
                value: bits.into(),
                expected: "a finite number above zero",
            });
        }
        Ok(Some(F32Bits(bits)))
    }

    /// Refuses what would change the angles in a way that is not computed.
    fn check_rope_scaling(&self) -> Result<(), Error> {
        let key = self.name("rope.scaling.type");
        match self.gguf.get(key.as_bytes()) {
            None => (),
            Some(Value::String(b"none" | b"")) => (),
            Some(Value::String(b"linear")) => {
                self.expect_one("rope.scaling.factor")?;
            }
            Some(Value::String(other)) => {
                return Err(Error::Unsupported {
                    what: "rope scaling",
                    name: Name::new(other),
                })
            }
            Some(other) => {
                return Err(Error::KeyType {
                    key,
                    found: other.value_type().name(),
                    wanted: "string",
                })
            }
        }
        // The name that older files have for it.
        self.expect_one("rope.scale_linear")
    }

    fn expect_one(&self, key: &str) -> Result<(), Error> {
        match self.positive_float(key)? {
            None | Some(ONE) => Ok(()),
            Some(F32Bits(bits)) => Err(Error::Invalid {
                what: "value, as bits,",
                name: self.name(key),
                value: bits.into(),
                expected: "1.0: scaled rotation is not supported",
            }),
        }
    }
}
