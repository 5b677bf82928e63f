// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes small GGUF files, right ones and wrong ones.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::path::{Path, PathBuf};

/// A value of the metadata.
#[derive(Clone, Debug)]
pub enum Meta {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(u8),
    String(Vec<u8>),
    Strings(Vec<Vec<u8>>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Bools(Vec<u8>),
    U64(u64),
    I64(i64),
    F64(f64),
    /// Type of the elements, number of them, and their bytes, none of which need be right.
    Array(u32, u64, Vec<u8>),
    /// Type and bytes, neither of which need be right.
    Raw(u32, Vec<u8>),
}

impl From<&str> for Meta {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

/// The entry of a tensor.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    pub name: Vec<u8>,
    pub rank: Option<u32>,
    pub dimensions: Vec<u64>,
    pub type_number: u32,
    pub offset: u64,
}

/// A file, field by field. What `Default` gives is right; tests break one thing.
#[derive(Clone, Debug)]
pub struct GgufBuilder {
    pub magic: [u8; 4],
    pub version: u32,
    pub key_count: Option<u64>,
    pub tensor_count: Option<u64>,
    pub keys: Vec<(Vec<u8>, Meta)>,
    pub tensors: Vec<TensorEntry>,
    pub alignment: usize,
    pub data: Vec<u8>,
}

impl Default for GgufBuilder {
    fn default() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            key_count: None,
            tensor_count: None,
            keys: vec![],
            tensors: vec![],
            alignment: 32,
            data: vec![],
        }
    }
}

impl GgufBuilder {
    /// Adds a key.
    pub fn key(mut self, key: &str, value: impl Into<Meta>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }

    /// Replaces the value of a key, or takes the key away.
    pub fn set(mut self, key: &str, value: Option<Meta>) -> Self {
        let index = self
            .keys
            .iter()
            .position(|(name, _)| name == key.as_bytes())
            .expect("the key is there");
        match value {
            Some(value) => self.keys[index].1 = value,
            None => {
                self.keys.remove(index);
            }
        }
        self
    }

    /// Adds a tensor behind the others.
    pub fn tensor(mut self, name: &str, type_number: u32, dimensions: &[u64], data: &[u8]) -> Self {
        self.data
            .resize(self.data.len().next_multiple_of(self.alignment), 0);
        self.tensors.push(TensorEntry {
            name: name.into(),
            rank: None,
            dimensions: dimensions.into(),
            type_number,
            offset: self.data.len() as u64,
        });
        self.data.extend_from_slice(data);
        self
    }

    /// The file's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![];
        out.extend(self.magic);
        out.extend(self.version.to_le_bytes());
        let tensor_count = self.tensor_count.unwrap_or(self.tensors.len() as u64);
        out.extend(tensor_count.to_le_bytes());
        let key_count = self.key_count.unwrap_or(self.keys.len() as u64);
        out.extend(key_count.to_le_bytes());
        for (key, value) in &self.keys {
            string(&mut out, key);
            meta(&mut out, value);
        }
        for tensor in &self.tensors {
            string(&mut out, &tensor.name);
            let rank = tensor.rank.unwrap_or(tensor.dimensions.len() as u32);
            out.extend(rank.to_le_bytes());
            for dimension in &tensor.dimensions {
                out.extend(dimension.to_le_bytes());
            }
            out.extend(tensor.type_number.to_le_bytes());
            out.extend(tensor.offset.to_le_bytes());
        }
        if !self.tensors.is_empty() {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend(&self.data);
        }
        out
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn meta(out: &mut Vec<u8>, value: &Meta) {
    let mut scalar = |number: u32, bytes: &[u8]| {
        out.extend(number.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Meta::U8(v) => scalar(0, &v.to_le_bytes()),
        Meta::I8(v) => scalar(1, &v.to_le_bytes()),
        Meta::U16(v) => scalar(2, &v.to_le_bytes()),
        Meta::I16(v) => scalar(3, &v.to_le_bytes()),
        Meta::U32(v) => scalar(4, &v.to_le_bytes()),
        Meta::I32(v) => scalar(5, &v.to_le_bytes()),
        Meta::F32(v) => scalar(6, &v.to_le_bytes()),
        Meta::Bool(v) => scalar(7, &[*v]),
        Meta::U64(v) => scalar(10, &v.to_le_bytes()),
        Meta::I64(v) => scalar(11, &v.to_le_bytes()),
        Meta::F64(v) => scalar(12, &v.to_le_bytes()),
        Meta::Raw(number, bytes) => scalar(*number, bytes),
        Meta::String(bytes) => {
            scalar(8, &[]);
            string(out, bytes);
        }
        Meta::Array(number, len, bytes) => {
            scalar(9, &[]);
            out.extend(number.to_le_bytes());
            out.extend(len.to_le_bytes());
            out.extend(bytes);
        }
        Meta::Strings(strings) => {
            let mut bytes = vec![];
            for s in strings {
                string(&mut bytes, s);
            }
            meta(out, &Meta::Array(8, strings.len() as u64, bytes));
        }
        Meta::I32s(values) => {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            meta(out, &Meta::Array(5, values.len() as u64, bytes));
        }
        Meta::F32s(values) => {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            meta(out, &Meta::Array(6, values.len() as u64, bytes));
        }
        Meta::Bools(values) => {
            meta(out, &Meta::Array(7, values.len() as u64, values.clone()));
        }
    }
}

/// A file under `$variable`, or under `default` in the home directory. Says so where it is missing.
pub fn find(variable: &str, default: &str, file: &str) -> Option<PathBuf> {
    let directory = match std::env::var_os(variable) {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(std::env::var_os("HOME")?).join(default),
    };
    let path = directory.join(file);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there (${variable})", path.display());
    None
}

/// The bytes of a file, read as they are touched.
pub fn map(path: &Path) -> memmap2::Mmap {
    let file = std::fs::File::open(path).expect("the file opens");
    // SAFETY: Nobody writes to models while tests run.
    unsafe { memmap2::Mmap::map(&file) }.expect("the file maps")
}

/// The tokens of a small vocabulary, and their types. All ASCII but `$` and `%` is there as a byte.
pub fn small_tokens() -> (Vec<Vec<u8>>, Vec<i32>) {
    const NORMAL: i32 = 1;
    let mut tokens: Vec<(String, i32)> = vec![];
    for byte in (0x21u8..0x7f).filter(|byte| !b"$%".contains(byte)) {
        tokens.push((char::from(byte).to_string(), NORMAL));
    }
    let more = [
        ("Ġ", NORMAL),
        ("Ċ", NORMAL),
        ("ĉ", NORMAL),
        ("č", NORMAL),
        ("Ġa", NORMAL),
        ("he", NORMAL),
        ("ll", NORMAL),
        ("hell", NORMAL),
        ("ab", NORMAL),
        ("bc", NORMAL),
        ("abc", NORMAL),
        ("whole", NORMAL),
        ("é漢", NORMAL),
        ("", NORMAL),
        ("<s>", 3),
        ("<|im_start|>", 3),
        ("<|im_end|>", 3),
        ("<--", 4),
        ("--->", 4),
        ("unused", 5),
        ("<unk>", 2),
    ];
    tokens.extend(more.map(|(text, kind)| (text.to_string(), kind)));
    tokens
        .into_iter()
        .map(|(text, kind)| (text.into_bytes(), kind))
        .unzip()
}

/// Its merges.
pub fn small_merges() -> Vec<Vec<u8>> {
    ["h e", "l l", "he ll", "a b", "b c", "ab c", "Ġ a"]
        .map(|merge| merge.as_bytes().to_vec())
        .to_vec()
}

/// A file with a vocabulary.
pub fn small_vocabulary(tokens: Vec<Vec<u8>>, types: Vec<i32>) -> GgufBuilder {
    let id = |text: &str| {
        let found = tokens.iter().position(|token| token == text.as_bytes());
        Meta::U32(found.map_or(0, |id| id as u32))
    };
    GgufBuilder::default()
        .key("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.pre", "gpt-2")
        .key("tokenizer.ggml.bos_token_id", id("<s>"))
        .key("tokenizer.ggml.eos_token_id", id("<|im_end|>"))
        .key("tokenizer.ggml.tokens", Meta::Strings(tokens))
        .key("tokenizer.ggml.token_type", Meta::I32s(types))
        .key("tokenizer.ggml.merges", Meta::Strings(small_merges()))
}

/// The tokens of a small SentencePiece vocabulary, with types and scores. It has every byte.
pub fn small_pieces() -> Vec<(Vec<u8>, i32, f32)> {
    const NORMAL: i32 = 1;
    let mut pieces: Vec<(String, i32, f32)> = vec![
        ("<unk>".into(), 2, 0.0),
        ("<s>".into(), 3, 0.0),
        ("</s>".into(), 3, 0.0),
    ];
    for byte in 0..=255u8 {
        pieces.push((format!("<0x{byte:02X}>"), 6, 0.0));
    }
    let more = [
        ("<turn>", 3, 0.0),
        ("<--", 4, 0.0),
        ("--->", 4, 0.0),
        ("unused", 5, -50.0),
        ("\u{2581}", NORMAL, -20.0),
        ("\u{2581}\u{2581}", NORMAL, -9.0),
        ("\u{2581}a", NORMAL, -3.0),
        ("ab", NORMAL, -4.0),
        ("bc", NORMAL, -2.0),
        ("abc", NORMAL, -1.5),
        ("ll", NORMAL, -5.0),
        ("lll", NORMAL, -6.0),
        ("é漢", NORMAL, -7.0),
        // Two that would merge to a control token.
        ("</s", NORMAL, -8.0),
        ("</", NORMAL, -8.0),
    ];
    pieces.extend(more.map(|(text, kind, score)| (text.to_string(), kind, score)));
    for c in "abcdefghijklmnopqrstuvwxyz<>/-.é漢".chars() {
        pieces.push((c.to_string(), NORMAL, -30.0));
    }
    pieces
        .into_iter()
        .map(|(text, kind, score)| (text.into_bytes(), kind, score))
        .collect()
}

/// A file with a SentencePiece vocabulary.
pub fn piece_vocabulary(pieces: Vec<(Vec<u8>, i32, f32)>) -> GgufBuilder {
    let types = pieces.iter().map(|piece| piece.1).collect();
    let scores = pieces.iter().map(|piece| piece.2).collect();
    let tokens = pieces.into_iter().map(|piece| piece.0).collect();
    GgufBuilder::default()
        .key("tokenizer.ggml.model", "llama")
        .key("tokenizer.ggml.tokens", Meta::Strings(tokens))
        .key("tokenizer.ggml.token_type", Meta::I32s(types))
        .key("tokenizer.ggml.scores", Meta::F32s(scores))
}
