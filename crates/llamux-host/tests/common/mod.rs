// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A small model with made-up weights, of every type that there is.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

#[path = "../../../llamux-engine/tests/common/mod.rs"]
pub mod gguf;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use gguf::{GgufBuilder, Meta};
use llamux_engine::generate::Sink;
use llamux_engine::gguf::{Gguf, Value};
use llamux_engine::math::Kernels;
use llamux_engine::Options;
use llamux_host::kernels::Choice;
use llamux_host::synth::{self, Shape, Type};

pub const LAYERS: u64 = 2;
pub const EMBEDDING: u64 = 256;
pub const FEED_FORWARD: u64 = 512;
pub const HEADS: u64 = 4;
pub const KV_HEADS: u64 = 2;
pub const CONTEXT: u32 = 700;

const KEY_VALUE: u64 = EMBEDDING / HEADS * KV_HEADS;

const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q4_1: u32 = 3;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const Q5_K: u32 = 13;
const Q6_K: u32 = 14;

/// The model as a file.
pub fn tiny() -> GgufBuilder {
    let (tokens, types) = gguf::small_tokens();
    let count = tokens.len();
    with_vocabulary(gguf::small_vocabulary(tokens, types), count)
}

/// The same with a SentencePiece vocabulary, which has a token for each byte.
pub fn tiny_pieces() -> GgufBuilder {
    let pieces = gguf::small_pieces();
    let count = pieces.len();
    with_vocabulary(gguf::piece_vocabulary(pieces), count)
}

/// The same with a vocabulary of so many tokens.
fn with_vocabulary(file: GgufBuilder, tokens: usize) -> GgufBuilder {
    let vocabulary = tokens as u64;
    let count = |n: u64| Meta::U32(n as u32);
    let mut file = file
        .key("general.architecture", "llama")
        .key("general.name", "Tiny\nmodel")
        .key("llama.block_count", count(LAYERS))
        .key("llama.embedding_length", count(EMBEDDING))
        .key("llama.feed_forward_length", count(FEED_FORWARD))
        .key("llama.context_length", Meta::U32(CONTEXT))
        .key("llama.attention.head_count", count(HEADS))
        .key("llama.attention.head_count_kv", count(KV_HEADS))
        .key("llama.rope.freq_base", Meta::F32(10000.0))
        .key("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5));
    let mut random = Random(7);
    let mut add = |name: &str, kind: u32, dimensions: &[u64]| {
        let elements: u64 = dimensions.iter().product();
        let data = random.weights(kind, elements as usize);
        file = file.clone().tensor(name, kind, dimensions, &data);
    };
    add("token_embd.weight", Q8_0, &[EMBEDDING, vocabulary]);
    for layer in 0..LAYERS {
        let mut add = |name: &str, kind, dimensions: &[u64]| {
            add(&format!("blk.{layer}.{name}"), kind, dimensions);
        };
        add("attn_norm.weight", F32, &[EMBEDDING]);
        add("attn_q.weight", Q5_K, &[EMBEDDING, EMBEDDING]);
        add("attn_k.weight", Q4_K, &[EMBEDDING, KEY_VALUE]);
        add("attn_v.weight", Q6_K, &[EMBEDDING, KEY_VALUE]);
        add("attn_v.bias", F32, &[KEY_VALUE]);
        add("attn_output.weight", Q4_0, &[EMBEDDING, EMBEDDING]);
        add("ffn_norm.weight", F32, &[EMBEDDING]);
        add("ffn_gate.weight", Q4_1, &[EMBEDDING, FEED_FORWARD]);
        add("ffn_up.weight", Q4_1, &[EMBEDDING, FEED_FORWARD]);
        add("ffn_down.weight", F16, &[FEED_FORWARD, EMBEDDING]);
    }
    add("output_norm.weight", F32, &[EMBEDDING]);
    file
}

/// Takes a tensor away; the others stay where they are, close together.
pub fn without(mut file: GgufBuilder, name: &str) -> GgufBuilder {
    let whole = file.clone();
    file.tensors.clear();
    file.data.clear();
    for (i, tensor) in whole.tensors.iter().enumerate() {
        let begin = tensor.offset as usize;
        let next = whole.tensors.get(i + 1);
        let end = next.map_or(whole.data.len(), |next| next.offset as usize);
        if tensor.name != name.as_bytes() {
            let name = String::from_utf8(tensor.name.clone()).expect("ASCII");
            let data = &whole.data[begin..end];
            file = file.tensor(&name, tensor.type_number, &tensor.dimensions, data);
        }
    }
    file
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Weights of about 0.1, norms of about 1.
    fn weights(&mut self, kind: u32, elements: usize) -> Vec<u8> {
        // Bytes of a block, its weights, and where its 16-bit scales are.
        let (bytes, weights, scales): (usize, usize, &[usize]) = match kind {
            F32 => {
                let of = |_| (1.0 + 0.3 * self.unit()).to_le_bytes();
                return (0..elements).flat_map(of).collect();
            }
            F16 => {
                // A sign, one of four exponents, and a fraction: up to 0.125 either way.
                let of = |_| ((self.next() as u16 & 0x8fff) | 0x2000).to_le_bytes();
                return (0..elements).flat_map(of).collect();
            }
            Q4_0 => (18, 32, &[0]),
            Q4_1 => (20, 32, &[0, 2]),
            Q8_0 => (34, 32, &[0]),
            Q4_K => (144, 256, &[0, 2]),
            Q5_K => (176, 256, &[0, 2]),
            Q6_K => (210, 256, &[208]),
            _ => unreachable!("a type of the list above"),
        };
        // 2^-6, 2^-10 or 2^-13.
        let scale: u16 = match kind {
            Q4_0 | Q4_1 => 0x2400,
            Q8_0 => 0x1400,
            _ => 0x0800,
        };
        let mut data = vec![];
        for _ in 0..elements / weights {
            let begin = data.len();
            data.extend((0..bytes).map(|_| self.next() as u8));
            for (i, offset) in scales.iter().enumerate() {
                // A minimum has the other sign of half of the range where the type adds it.
                let negative = kind == Q4_1 && i == 1;
                let bits = if negative { 0xb000 } else { scale };
                data[begin + offset..][..2].copy_from_slice(&bits.to_le_bytes());
            }
        }
        data
    }
}

pub fn options() -> Options {
    Options {
        context: 0,
        prompt_bytes: 4096,
        ..Options::default()
    }
}

pub fn kernels() -> Kernels {
    Choice::Best.kernels().expect("there is a table")
}

/// A model file in a temporary directory of the test program.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).expect("the temporary directory can be written to");
    path
}

/// The bytes of a file where they are aligned as a mapped file is.
pub struct Aligned(Vec<u64>, usize);

impl Aligned {
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut copy = [0; 8];
            copy[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(copy);
        }
        Self(words, bytes.len())
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: Any initialized memory can be read as bytes, and there are at least so many.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.1) }
    }
}

/// A small model of a family with made-up weights, as a file whose fields can be changed.
pub fn synth(shape: &Shape) -> GgufBuilder {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("synth-{}-{number}.gguf", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    synth::write(shape, Type::Q8_0, 1, None, &path).expect("the shape is right");
    let bytes = fs::read(&path).expect("it was written");
    fs::remove_file(&path).expect("it was written");
    let parsed = Gguf::parse(&bytes).expect("what is written can be read");
    let mut file = GgufBuilder::default();
    for (key, value) in parsed.metadata() {
        let key = std::str::from_utf8(key).expect("ASCII");
        let value = match value {
            Value::U32(x) => Meta::U32(x),
            Value::F32(bits) => Meta::F32(f32::from_bits(bits)),
            Value::Bool(x) => Meta::Bool(x.into()),
            Value::String(text) => Meta::String(text.to_vec()),
            Value::Array(array) => Meta::Array(
                array.element_type() as u32,
                array.len() as u64,
                array.bytes().to_vec(),
            ),
            other => unreachable!("{key}: {other:?}"),
        };
        file = file.key(key, value);
    }
    for tensor in parsed.tensors() {
        let name = std::str::from_utf8(tensor.name()).expect("ASCII");
        let (number, dimensions) = (tensor.type_number(), tensor.dimensions());
        file = file.tensor(name, number, dimensions, tensor.data());
    }
    file
}

/// Collects an answer, and stops when it is told to.
#[derive(Default)]
pub struct Collector {
    pub text: String,
    pub tokens: Vec<u32>,
    pub prefilled: u32,
    /// Bytes of text that there is room for.
    pub room: Option<usize>,
    /// How many operations to wait before stopping.
    pub patience: Option<usize>,
    pub asked: usize,
}

impl Sink for Collector {
    fn text(&mut self, text: &str) -> bool {
        if self
            .room
            .is_some_and(|room| self.text.len() + text.len() > room)
        {
            return false;
        }
        self.text.push_str(text);
        true
    }

    fn stop(&mut self) -> bool {
        self.asked += 1;
        self.patience.is_some_and(|patience| self.asked > patience)
    }

    fn token(&mut self, id: u32) {
        self.tokens.push(id);
    }

    fn prefilled(&mut self, prompt_tokens: u32) {
        self.prefilled = prompt_tokens;
    }
}
