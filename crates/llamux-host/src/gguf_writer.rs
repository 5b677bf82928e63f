// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes GGUF files, version 3.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. A [`Header`] is put
//! together in memory; [`Header::write_to`] makes a [`Writer`] of it that takes the data of one tensor
//! after the other, so that a model need not fit in memory. What is written passes
//! [`Gguf::parse`](llamux_engine::gguf::Gguf::parse), whose limits are checked here.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{bail, ensure, Context as _, Result};
use llamux_engine::gguf::{
    Value, ValueType, MAX_ARRAY, MAX_DIMENSIONS, MAX_KEY, MAX_KEYS, MAX_STRING, MAX_TENSORS,
    MAX_TENSOR_NAME,
};

/// What the offsets of the tensors are multiples of: what a file has that does not say.
const ALIGNMENT: u64 = 32;
const VERSION: u32 = 3;

/// A tensor as the header tells of it.
struct Tensor {
    name: Vec<u8>,
    dimensions: Vec<u64>,
    type_number: u32,
    /// From the beginning of the file's data.
    offset: u64,
    bytes: u64,
}

/// Keys and tensors of a file to be written.
#[derive(Default)]
pub struct Header {
    /// Names, and values as they lie in a file, their type in front.
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

impl Header {
    /// A header without keys and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, in the place that it already has or as the last one. An array is copied.
    ///
    /// `general.alignment` is left away: the written file has the usual one.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: &Value<'_>) -> Result<()> {
        let mut bytes = number(value.value_type() as u32);
        put_value(&mut bytes, value)?;
        self.put(key.as_ref(), bytes)
    }

    /// Sets a key to an array of values, all of which are of type `element_type`.
    pub fn set_array<'v>(
        &mut self,
        key: impl AsRef<[u8]>,
        element_type: ValueType,
        values: impl IntoIterator<Item = Value<'v>>,
    ) -> Result<()> {
        let key = key.as_ref();
        ensure!(
            element_type != ValueType::Array,
            "{}: an array of arrays",
            key.escape_ascii()
        );
        let (mut elements, mut len) = (Vec::new(), 0_u64);
        for value in values {
            ensure!(
                value.value_type() == element_type,
                "{}: an element is of type {}, not {}",
                key.escape_ascii(),
                value.value_type().name(),
                element_type.name()
            );
            put_value(&mut elements, &value)?;
            len += 1;
        }
        ensure!(
            len <= MAX_ARRAY,
            "{}: more than {MAX_ARRAY} elements",
            key.escape_ascii()
        );
        let mut bytes = number(ValueType::Array as u32);
        bytes.extend(number(element_type as u32));
        bytes.extend(len.to_le_bytes());
        bytes.append(&mut elements);
        self.put(key, bytes)
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<()> {
        if key == b"general.alignment" {
            return Ok(());
        }
        // CAST: `usize` is at most 64 bits wide.
        let len = key.len() as u64;
        ensure!(
            (1..=MAX_KEY).contains(&len),
            "a key of {len} bytes, not 1 to {MAX_KEY}"
        );
        match self.keys.iter_mut().find(|known| known.0 == key) {
            Some(known) => known.1 = value,
            None => self.keys.push((key.to_vec(), value)),
        }
        ensure!(
            self.keys.len() as u64 <= MAX_KEYS,
            "more than {MAX_KEYS} keys"
        );
        Ok(())
    }

    /// Appends a tensor of so many bytes; the length of a row is the first dimension.
    ///
    /// `type_number` is of `enum ggml_type`, whose numbers `llamux_abi::TensorType` has.
    pub fn tensor(
        &mut self,
        name: impl AsRef<[u8]>,
        type_number: u32,
        dimensions: &[u64],
        bytes: u64,
    ) -> Result<()> {
        let name = name.as_ref();
        let label = name.escape_ascii();
        ensure!(
            (1..=MAX_TENSOR_NAME).contains(&(name.len() as u64)),
            "tensor {label}: a name of {} bytes, not 1 to {MAX_TENSOR_NAME}",
            name.len()
        );
        ensure!(
            (1..=MAX_DIMENSIONS).contains(&dimensions.len()) && !dimensions.contains(&0),
            "tensor {label}: dimensions {dimensions:?}, not 1 to {MAX_DIMENSIONS} that are not zero"
        );
        if self.tensors.iter().any(|tensor| tensor.name == name) {
            bail!("tensor {label}: another one has that name");
        }
        ensure!(
            (self.tensors.len() as u64) < MAX_TENSORS,
            "more than {MAX_TENSORS} tensors"
        );
        let end = |tensor: &Tensor| tensor.offset.checked_add(tensor.bytes);
        let offset = match self.tensors.last() {
            None => Some(0),
            Some(last) => end(last).and_then(|end| end.checked_next_multiple_of(ALIGNMENT)),
        };
        self.tensors.push(Tensor {
            name: name.to_vec(),
            dimensions: dimensions.to_vec(),
            type_number,
            offset: offset.with_context(|| format!("tensor {label}: too much data before it"))?,
            bytes,
        });
        Ok(())
    }

    /// The bytes in front of the first tensor's data.
    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(number(VERSION));
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            put_bytes(&mut out, key);
            out.extend(value);
        }
        for tensor in &self.tensors {
            put_bytes(&mut out, &tensor.name);
            // CAST: At most `MAX_DIMENSIONS`.
            out.extend(number(tensor.dimensions.len() as u32));
            for dimension in &tensor.dimensions {
                out.extend(dimension.to_le_bytes());
            }
            out.extend(number(tensor.type_number));
            out.extend(tensor.offset.to_le_bytes());
        }
        // CAST: In memory, so that it is within 64 bits.
        out.resize((out.len() as u64).next_multiple_of(ALIGNMENT) as usize, 0);
        out
    }

    /// Begins a file, which gets its name when it is complete: see [`Writer::finish`].
    pub fn write_to(self, path: &Path) -> Result<Writer> {
        let name = path
            .file_name()
            .with_context(|| format!("{}: not the name of a file", path.display()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", process::id()));
        let unfinished = path.with_file_name(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&unfinished)
            .with_context(|| format!("{}: cannot create", unfinished.display()))?;
        let mut writer = Writer {
            out: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            unfinished: Some(unfinished),
            left: self.tensors.iter().map(|t| t.bytes).rev().collect(),
            written: 0,
        };
        writer.put(&self.bytes())?;
        Ok(writer)
    }
}

/// Writes the data of the tensors. Dropped before [`finish`](Self::finish), it leaves no file.
pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    unfinished: Option<PathBuf>,
    /// How many bytes are left to write of each tensor, those of the next one last.
    left: Vec<u64>,
    /// How many bytes were written.
    written: u64,
}

impl Writer {
    /// Writes all data of the next tensor, in the order of the header.
    pub fn tensor(&mut self, data: &[u8]) -> Result<()> {
        let bytes = self.left.last().copied().unwrap_or(0);
        ensure!(
            data.len() as u64 == bytes,
            "{} bytes of data for a tensor of {bytes}",
            data.len()
        );
        self.piece(data)
    }

    /// Writes the next bytes of the data of a tensor, in the order of the header.
    pub fn piece(&mut self, data: &[u8]) -> Result<()> {
        let left = self.left.last_mut().context("more data than tensors")?;
        let after = left.checked_sub(data.len() as u64);
        *left = after.context("more data than the tensor has")?;
        let complete = *left == 0;
        self.put(data)?;
        if complete {
            self.left.pop();
            let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
            // CAST: Less than the alignment.
            self.put(&[0; ALIGNMENT as usize][..padding as usize])?;
        }
        Ok(())
    }

    /// Ends the file and gives it its name, in place of a file that may have had it.
    pub fn finish(mut self) -> Result<()> {
        ensure!(
            self.left.is_empty(),
            "{} tensors without data",
            self.left.len()
        );
        let error = || format!("{}: cannot write", self.path.display());
        self.out.flush().with_context(error)?;
        self.out.get_ref().sync_all().with_context(error)?;
        if let Some(unfinished) = self.unfinished.take() {
            let renamed = fs::rename(&unfinished, &self.path).with_context(error);
            if renamed.is_err() {
                self.unfinished = Some(unfinished);
            }
            renamed?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out
            .write_all(bytes)
            .with_context(|| format!("{}: cannot write", self.path.display()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.unfinished {
            // The failure that led here has been told.
            let _ = fs::remove_file(unfinished);
        }
    }
}

fn number(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

/// Appends a value without its type.
fn put_value(out: &mut Vec<u8>, value: &Value<'_>) -> Result<()> {
    match value {
        Value::U8(x) => out.push(*x),
        Value::Bool(x) => out.push((*x).into()),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) | Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::U64(x) | Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::String(bytes) => {
            ensure!(
                bytes.len() as u64 <= MAX_STRING,
                "a string of more than {MAX_STRING} bytes"
            );
            put_bytes(out, bytes);
        }
        Value::Array(array) => {
            out.extend(number(array.element_type() as u32));
            out.extend((array.len() as u64).to_le_bytes());
            out.extend(array.bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamux_engine::gguf::Gguf;
    use std::env;

    fn path(name: &str) -> PathBuf {
        env::temp_dir().join(format!("llamux-writer-{}-{name}.gguf", process::id()))
    }

    fn header() -> Header {
        let mut header = Header::new();
        header.set("first", &Value::U32(7)).unwrap();
        header.set("last", &Value::String(b"text")).unwrap();
        header.tensor("a", 0, &[3], 12).unwrap();
        header.tensor("b", 8, &[32, 2], 68).unwrap();
        header
    }

    #[test]
    fn what_is_written_can_be_read() {
        let all = [
            Value::U8(200),
            Value::I8(-3),
            Value::U16(60_000),
            Value::I16(-30_000),
            Value::U32(4_000_000_000),
            Value::I32(-5),
            Value::F32(0.5_f32.to_bits()),
            Value::Bool(true),
            Value::U64(1 << 60),
            Value::I64(-(1 << 60)),
            Value::F64(0.25_f64.to_bits()),
            Value::String("aé".as_bytes()),
        ];
        let mut header = header();
        for value in &all {
            header.set(value.value_type().name(), value).unwrap();
        }
        let words = (0..100).map(|i| Value::String(&b"0123456789"[..i % 11]));
        header
            .set_array("words", ValueType::String, words.clone())
            .unwrap();
        header
            .set_array("numbers", ValueType::I32, [-1, 2].map(Value::I32))
            .unwrap();
        header.set("first", &Value::Bool(false)).unwrap();
        header.set("general.alignment", &Value::U32(64)).unwrap();

        let path = path("all");
        let mut writer = header.write_to(&path).unwrap();
        writer.tensor(&[1; 12]).unwrap();
        writer.piece(&[2; 60]).unwrap();
        writer.piece(&[2; 8]).unwrap();
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();

        // Once more, by copying what was read.
        let gguf = Gguf::parse(&bytes).unwrap();
        let mut copy = Header::new();
        for (key, value) in gguf.metadata() {
            copy.set(key, &value).unwrap();
        }
        for tensor in gguf.tensors() {
            let (number, bytes) = (tensor.type_number(), tensor.data().len() as u64);
            copy.tensor(tensor.name(), number, tensor.dimensions(), bytes)
                .unwrap();
        }
        let mut writer = copy.write_to(&path).unwrap();
        for tensor in gguf.tensors() {
            writer.tensor(tensor.data()).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(bytes, fs::read(&path).unwrap());
        fs::remove_file(&path).unwrap();

        let first: Vec<_> = gguf.metadata().map(|(key, _)| key).take(2).collect();
        assert_eq!(first, [&b"first"[..], b"last"]);
        assert!(!gguf.bool("first").unwrap());
        assert_eq!(gguf.alignment(), 32);
        for value in all {
            let found = gguf.get(value.value_type().name()).unwrap();
            assert_eq!(format!("{found:?}"), format!("{value:?}"));
        }
        let found = gguf.array("words", ValueType::String).unwrap();
        let expected: Vec<_> = words.map(|word| format!("{word:?}")).collect();
        let found: Vec<_> = found.iter().map(|word| format!("{word:?}")).collect();
        assert_eq!(found, expected);
        assert_eq!(
            gguf.array("numbers", ValueType::I32).unwrap().word(1),
            Some(2)
        );
        assert_eq!(gguf.tensor("a").unwrap().data(), [1; 12]);
        let b = gguf.tensor("b").unwrap();
        assert_eq!((b.data(), b.dimensions()), (&[2; 68][..], &[32, 2][..]));
    }

    #[test]
    fn what_can_not_be_written_is_refused() {
        fn refused<T>(result: Result<T>, reason: &str) {
            let error = result.err().expect("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
        let mut header = header();
        refused(header.set("", &Value::U8(1)), "a key of 0 bytes");
        refused(header.set([b'k'; 257], &Value::U8(1)), "a key of 257 bytes");
        refused(
            header.set_array("x", ValueType::U8, [Value::I8(1)]),
            "an element is of type i8, not u8",
        );
        refused(
            header.set_array("x", ValueType::Array, []),
            "an array of arrays",
        );
        refused(header.tensor("a", 0, &[1], 4), "another one has that name");
        refused(header.tensor("", 0, &[1], 4), "a name of 0 bytes");
        refused(header.tensor("c", 0, &[], 4), "dimensions []");
        refused(header.tensor("c", 0, &[1, 0], 4), "dimensions [1, 0]");
        refused(
            header.tensor("c", 0, &[1; 5], 4),
            "dimensions [1, 1, 1, 1, 1]",
        );
    }

    #[test]
    fn an_unfinished_file_is_not_left_behind() {
        let path = path("unfinished");
        let mut writer = header().write_to(&path).unwrap();
        let unfinished = writer.unfinished.clone().unwrap();
        assert!(unfinished.exists());
        let error = writer.tensor(&[0; 11]).unwrap_err().to_string();
        assert_eq!(error, "11 bytes of data for a tensor of 12");
        let error = writer.piece(&[0; 13]).unwrap_err().to_string();
        assert_eq!(error, "more data than the tensor has");
        writer.piece(&[0; 12]).unwrap();
        let error = writer.finish().unwrap_err().to_string();
        assert_eq!(error, "1 tensors without data");
        assert!(!path.exists() && !unfinished.exists());
    }
}
