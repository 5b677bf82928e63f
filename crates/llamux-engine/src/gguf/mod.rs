// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! GGUF, versions 2 and 3, read in place.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! The file is not trusted. [`Gguf::parse`] walks all of it once, bounds each count and length by a
//! named limit and by the bytes that are left, and refuses what it does not understand; what it
//! returns can then be read without a further check. There is no index: a look-up walks the entries,
//! which is done at load only, and whose cost the limits bound.
//!
//! A model may be split into several files, `NAME-00001-of-00003.gguf` and so on. All have tensors; the
//! keys that describe the model are in the first.

mod reader;
mod requant;
mod split;
mod tensor;
mod value;

pub use requant::{requantize, requantized_bytes, Requantized};
pub use split::{PartName, Parts, MAX_PARTS};
pub use tensor::Tensor;
pub use value::{Array, Elements, Strings, Value, ValueType};

use crate::error::{Error, Name};
use reader::{Cut, Reader};
use tensor::GgmlType;

/// Most keys. Together with [`SHORT_STRINGS`] it bounds the search for duplicates, which is
/// quadratic, to some ten million steps.
pub const MAX_KEYS: u64 = 1024;
/// Most tensors, bounding the search for duplicates to 34 million comparisons.
pub const MAX_TENSORS: u64 = 8192;
/// Longest key in bytes.
pub const MAX_KEY: u64 = 256;
/// Longest tensor name in bytes; the format's own limit.
pub const MAX_TENSOR_NAME: u64 = 64;
/// Longest string in bytes. Chat templates have some 10,000.
pub const MAX_STRING: u64 = 16 << 20;
/// Most elements of an array. Vocabularies have some 300,000.
pub const MAX_ARRAY: u64 = 16 << 20;
/// Most arrays with more than [`SHORT_STRINGS`] strings.
pub const MAX_STRING_ARRAYS: usize = 16;
/// An array of strings that is longer is skipped by its noted end, not string by string.
pub const SHORT_STRINGS: u64 = 64;
/// Most dimensions of a tensor; ggml's own limit.
pub const MAX_DIMENSIONS: usize = 4;
/// Largest `general.alignment`.
pub const MAX_ALIGNMENT: u32 = 1 << 16;
/// Largest dimension of a tensor: as much as a signed 64-bit number holds.
pub const MAX_DIMENSION: u64 = i64::MAX as u64;

const DEFAULT_ALIGNMENT: u32 = 32;
const ALIGNMENT_KEY: &str = "general.alignment";

/// A parsed file.
///
/// # Invariants
///
/// All of the metadata and tensor entries have been walked by `parse` and are well-formed.
#[derive(Clone)]
pub struct Gguf<'a> {
    file: &'a [u8],
    /// The other parts of a model that is split.
    rest: &'a [&'a [u8]],
    version: u32,
    keys: u64,
    tensors: u64,
    /// Where the first key is.
    keys_offset: usize,
    /// Where the first tensor's entry is.
    tensors_offset: usize,
    /// Where the data begins, that the offsets of the tensors count from.
    data_offset: u64,
    alignment: u32,
    string_arrays: StringArrays,
}

impl<'a> Gguf<'a> {
    /// Reads and checks everything but the weights.
    pub fn parse(file: &'a [u8]) -> Result<Self, Error> {
        let gguf = Self::parse_file(file)?;
        gguf.check_split(1)?;
        Ok(gguf)
    }

    /// Reads one file, be it a part or not.
    fn parse_file(file: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(file, 0);
        let version = header(file, &mut reader)?;
        let tensors = count(&mut reader, "number of tensors", MAX_TENSORS)?;
        let keys = count(&mut reader, "number of keys", MAX_KEYS)?;

        let mut gguf = Self {
            file,
            rest: &[],
            version,
            keys,
            tensors,
            keys_offset: reader.offset(),
            tensors_offset: 0,
            data_offset: 0,
            alignment: DEFAULT_ALIGNMENT,
            string_arrays: StringArrays::default(),
        };

        for index in 0..keys {
            let key = check_key(&mut reader, &mut gguf.string_arrays)?;
            // The keys in front of this one have been checked.
            if gguf.metadata_until(index).any(|(other, _)| other == key) {
                return Err(Error::Duplicate {
                    what: "key",
                    name: Name::new(key),
                });
            }
        }
        if let Some(alignment) = gguf.u32(ALIGNMENT_KEY).optional()? {
            if !alignment.is_power_of_two() || !(8..=MAX_ALIGNMENT).contains(&alignment) {
                return Err(Error::Invalid {
                    what: "alignment",
                    name: ALIGNMENT_KEY.into(),
                    value: alignment.into(),
                    expected: "a power of two from 8 to 65536",
                });
            }
            gguf.alignment = alignment;
        }

        gguf.tensors_offset = reader.offset();
        gguf.check_tensors(reader)?;
        Ok(gguf)
    }

    /// The version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The files.
    pub fn parts(&self) -> Parts<'a> {
        Parts {
            first: self.file,
            rest: self.rest,
        }
    }

    /// What the offsets of the tensors are multiples of.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// The keys and their values, in the order of the file.
    pub fn metadata(&self) -> Metadata<'_, 'a> {
        self.metadata_until(self.keys)
    }

    /// The tensors, in the order of the files.
    pub fn tensors(&self) -> Tensors<'a> {
        self.tensors_until(self.tensors)
    }

    /// Those of the first `left` of this file, and all of the other parts.
    fn tensors_until(&self, left: u64) -> Tensors<'a> {
        Tensors {
            reader: Reader::new(self.file, self.tensors_offset),
            left,
            file: self.file,
            data_offset: self.data_offset,
            part: 0,
            rest: self.rest,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        let key = key.as_ref();
        self.metadata()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| value)
    }

    /// A tensor.
    pub fn tensor(&self, name: impl AsRef<[u8]>) -> Option<Tensor<'a>> {
        let name = name.as_ref();
        self.tensors().find(|tensor| tensor.name() == name)
    }

    /// The value of a key, by the function that takes it out of its type.
    fn typed<T>(
        &self,
        key: impl AsRef<[u8]>,
        wanted: &'static str,
        take: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<T, Error> {
        let key = key.as_ref();
        let value = self.get(key).ok_or_else(|| Error::Missing {
            what: "key",
            name: Name::new(key),
        })?;
        take(value).ok_or_else(|| Error::KeyType {
            key: Name::new(key),
            found: value.value_type().name(),
            wanted,
        })
    }

    /// The value of a key of type `u16`.
    pub fn u16(&self, key: impl AsRef<[u8]>) -> Result<u16, Error> {
        self.typed(key, "u16", |value| match value {
            Value::U16(value) => Some(value),
            _ => None,
        })
    }

    /// The value of a key of type `i32`.
    pub fn i32(&self, key: impl AsRef<[u8]>) -> Result<i32, Error> {
        self.typed(key, "i32", |value| match value {
            Value::I32(value) => Some(value),
            _ => None,
        })
    }

    /// The value of a key of type `u32`.
    pub fn u32(&self, key: impl AsRef<[u8]>) -> Result<u32, Error> {
        self.typed(key, "u32", |value| match value {
            Value::U32(value) => Some(value),
            _ => None,
        })
    }

    /// The value of a key of type `f32`, as its bits.
    pub fn f32_bits(&self, key: impl AsRef<[u8]>) -> Result<u32, Error> {
        self.typed(key, "f32", |value| match value {
            Value::F32(bits) => Some(bits),
            _ => None,
        })
    }

    /// The value of a key of type `bool`.
    pub fn bool(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.typed(key, "bool", |value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// The value of a key of type `string`, which must be UTF-8.
    pub fn str(&self, key: impl AsRef<[u8]>) -> Result<&'a str, Error> {
        let key = key.as_ref();
        let bytes = self.typed(key, "string", |value| match value {
            Value::String(bytes) => Some(bytes),
            _ => None,
        })?;
        core::str::from_utf8(bytes).map_err(|error| Error::Invalid {
            what: "first byte that is not UTF-8",
            name: Name::new(key),
            // CAST: An offset in a string.
            value: error.valid_up_to() as u64,
            expected: "none",
        })
    }

    /// The value of a key that is an array of `element_type`.
    pub fn array(
        &self,
        key: impl AsRef<[u8]>,
        element_type: ValueType,
    ) -> Result<Array<'a>, Error> {
        let key = key.as_ref();
        let array = self.typed(key, "array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })?;
        if array.element_type() == element_type {
            Ok(array)
        } else {
            Err(Error::KeyType {
                key: Name::new(key),
                found: array_name(array.element_type()),
                wanted: array_name(element_type),
            })
        }
    }

    fn metadata_until(&self, keys: u64) -> Metadata<'_, 'a> {
        Metadata {
            gguf: self,
            reader: Reader::new(self.file, self.keys_offset),
            left: keys,
        }
    }

    /// Checks the entries of the tensors from where `reader` stands, and their data.
    ///
    /// The data must lie in the order of the entries, as it does in every file that ggml writes and
    /// as ggml itself demands: so tensors that overlap are found by looking at the one before.
    fn check_tensors(&mut self, mut reader: Reader<'a>) -> Result<(), Error> {
        for index in 0..self.tensors {
            let tensor = check_tensor(&mut reader, self.alignment)?;
            if self
                .tensors_until(index)
                .entries()
                .any(|other| other.name == tensor.name)
            {
                return Err(Error::Duplicate {
                    what: "tensor",
                    name: tensor.label(),
                });
            }
        }

        // CAST: `usize` is at most 64 bits wide.
        let file = self.file.len() as u64;
        let past_end = |tensor: &Tensor<'a>, offset, bytes| Error::PastEnd {
            tensor: tensor.label(),
            offset,
            bytes,
            file,
        };
        // OVERFLOW: A slice is shorter than 2^63 bytes and the alignment small.
        self.data_offset = (reader.offset() as u64).next_multiple_of(self.alignment.into());
        let mut end = 0;
        for tensor in self.tensors().entries() {
            let offset = tensor.offset;
            if offset < end {
                return Err(Error::Overlap {
                    tensor: tensor.label(),
                    offset,
                    end,
                });
            }
            let bytes = byte_size(&tensor)?;
            let begin = self
                .data_offset
                .checked_add(offset)
                .ok_or_else(|| past_end(&tensor, offset, bytes))?;
            if begin.checked_add(bytes).is_none_or(|end| end > file) {
                return Err(past_end(&tensor, begin, bytes));
            }
            // OVERFLOW: Smaller than the sum above.
            end = offset + bytes;
        }
        Ok(())
    }
}

/// Makes a value that a file may leave out of the result of a getter.
pub trait Optional<T> {
    /// `None` where the key is missing; other errors stay.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Iterator over the keys and values of a file.
pub struct Metadata<'g, 'a> {
    gguf: &'g Gguf<'a>,
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Iterator for Metadata<'_, 'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // `parse` has read all of this before, so nothing is cut.
        let key = self.reader.string().ok()?;
        let value_type = ValueType::from_number(self.reader.u32().ok()?)?;
        let value = match value_type {
            ValueType::Array => {
                let element_type = ValueType::from_number(self.reader.u32().ok()?)?;
                let len = self.reader.u64().ok()?;
                let begin = self.reader.offset();
                match element_type.size() {
                    Some(size) => {
                        self.reader.take(len.checked_mul(size)?).ok()?;
                    }
                    None if len <= SHORT_STRINGS => {
                        for _ in 0..len {
                            self.reader.string().ok()?;
                        }
                    }
                    None => {
                        let end = self.gguf.string_arrays.end(begin)?;
                        self.reader = Reader::new(self.gguf.file, end);
                    }
                }
                Value::Array(Array {
                    element_type,
                    len: usize::try_from(len).ok()?,
                    bytes: self.gguf.file.get(begin..self.reader.offset())?,
                })
            }
            _ => Value::read(value_type, &mut self.reader).ok()?,
        };
        Some((key, value))
    }
}

/// Iterator over the tensors of a model.
pub struct Tensors<'a> {
    reader: Reader<'a>,
    left: u64,
    /// The part that it is in.
    file: &'a [u8],
    data_offset: u64,
    part: usize,
    /// The parts behind it.
    rest: &'a [&'a [u8]],
}

impl<'a> Tensors<'a> {
    /// The entries of this part alone, without data.
    fn entries(mut self) -> impl Iterator<Item = Tensor<'a>> + use<'a> {
        core::iter::from_fn(move || self.entry())
    }

    fn entry(&mut self) -> Option<Tensor<'a>> {
        self.left = self.left.checked_sub(1)?;
        let name = self.reader.string().ok()?;
        let rank = usize::try_from(self.reader.u32().ok()?).ok()?;
        let mut dimensions = [1; MAX_DIMENSIONS];
        for dimension in dimensions.get_mut(..rank)? {
            *dimension = self.reader.u64().ok()?;
        }
        Some(Tensor {
            name,
            dimensions,
            rank,
            type_number: self.reader.u32().ok()?,
            offset: self.reader.u64().ok()?,
            part: self.part,
            data: &[],
        })
    }

    /// Goes on with the next part.
    fn turn_to_next(&mut self) -> Option<()> {
        let (&file, rest) = self.rest.split_first()?;
        let next = Gguf::reopen(file)?;
        *self = Self {
            part: self.part.checked_add(1)?,
            rest,
            ..next.tensors()
        };
        Some(())
    }
}

impl<'a> Iterator for Tensors<'a> {
    type Item = Tensor<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            self.turn_to_next()?;
        }
        let mut tensor = self.entry()?;
        let begin = self.data_offset.checked_add(tensor.offset)?;
        let begin = usize::try_from(begin).ok()?;
        let bytes = usize::try_from(byte_size(&tensor).ok()?).ok()?;
        tensor.data = self.file.get(begin..begin.checked_add(bytes)?)?;
        Some(tensor)
    }
}

/// Where the long arrays of strings begin and end, so that a look-up need not walk their strings.
#[derive(Clone, Default)]
struct StringArrays {
    ranges: [(usize, usize); MAX_STRING_ARRAYS],
    len: usize,
}

impl StringArrays {
    fn push(&mut self, begin: usize, end: usize) -> Option<()> {
        *self.ranges.get_mut(self.len)? = (begin, end);
        self.len = self.len.checked_add(1)?;
        Some(())
    }

    fn end(&self, begin: usize) -> Option<usize> {
        let ranges = self.ranges.get(..self.len)?;
        ranges
            .iter()
            .find(|range| range.0 == begin)
            .map(|range| range.1)
    }
}

/// Checks magic and version.
fn header(file: &[u8], reader: &mut Reader<'_>) -> Result<u32, Error> {
    if file.is_empty() {
        return Err(Error::EmptyFile);
    }
    let magic = reader.take(4).map_err(|cut| cut.of("magic"))?;
    match magic {
        b"GGUF" => (),
        b"FUGG" => return Err(Error::WrongEndian),
        _ => {
            return Err(Error::NotGguf {
                magic: magic.try_into().unwrap_or_default(),
            })
        }
    }
    let version = reader.u32().map_err(|cut| cut.of("version"))?;
    match version {
        2 | 3 => Ok(version),
        // The magic is four bytes in either order, so only the version tells.
        _ if version != 0 && version.trailing_zeros() >= 16 => Err(Error::WrongEndian),
        _ => Err(Error::Version { version }),
    }
}

fn count(reader: &mut Reader<'_>, what: &'static str, limit: u64) -> Result<u64, Error> {
    let value = reader.u64().map_err(|cut| cut.of(what))?;
    at_most(what, Name::EMPTY, value, limit)
}

fn at_most(what: &'static str, name: Name, value: u64, limit: u64) -> Result<u64, Error> {
    if value > limit {
        return Err(Error::Limit {
            what,
            name,
            value,
            limit,
        });
    }
    Ok(value)
}

/// Reads a string of at most `limit` bytes. `of` is the field's name, if it is known by now.
fn string<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    of: &[u8],
    limit: u64,
) -> Result<&'a [u8], Error> {
    let name = if of.is_empty() { what.as_bytes() } else { of };
    let cut = |cut: Cut| cut.of(name);
    let len = reader.u64().map_err(cut)?;
    if len > limit {
        return at_most(what, Name::new(of), len, limit).map(|_| &[][..]);
    }
    reader.take(len).map_err(cut)
}

/// Checks the next key and its value, and returns the key.
fn check_key<'a>(
    reader: &mut Reader<'a>,
    string_arrays: &mut StringArrays,
) -> Result<&'a [u8], Error> {
    let key = string(reader, "length of a key", &[], MAX_KEY)?;
    let cut = |cut: Cut| cut.of(key);
    match value_type(reader, key)? {
        ValueType::Array => {
            let element_type = value_type(reader, key)?;
            let len = reader.u64().map_err(cut)?;
            at_most("length of the array", Name::new(key), len, MAX_ARRAY)?;
            let begin = reader.offset();
            match element_type {
                ValueType::Array => {
                    return Err(Error::Unsupported {
                        what: "array of arrays",
                        name: Name::new(key),
                    })
                }
                ValueType::String => {
                    for _ in 0..len {
                        string(reader, "length of a string", key, MAX_STRING)?;
                    }
                    if len > SHORT_STRINGS {
                        string_arrays
                            .push(begin, reader.offset())
                            .ok_or_else(|| too_many_string_arrays(key))?;
                    }
                }
                ValueType::Bool => {
                    for &byte in reader.take(len).map_err(cut)? {
                        check_bool(key, byte)?;
                    }
                }
                _ => {
                    // OVERFLOW: At most `MAX_ARRAY` times 8.
                    let bytes = len * element_type.size().unwrap_or(0);
                    reader.take(bytes).map_err(cut)?;
                }
            }
        }
        ValueType::String => {
            string(reader, "length of the string", key, MAX_STRING)?;
        }
        ValueType::Bool => check_bool(key, reader.u8().map_err(cut)?)?,
        number => {
            Value::read(number, reader).map_err(cut)?;
        }
    }
    Ok(key)
}

fn value_type(reader: &mut Reader<'_>, key: &[u8]) -> Result<ValueType, Error> {
    let number = reader.u32().map_err(|cut| cut.of(key))?;
    ValueType::from_number(number).ok_or_else(|| Error::Invalid {
        what: "type of the value",
        name: Name::new(key),
        value: number.into(),
        expected: "0 to 12",
    })
}

fn check_bool(key: &[u8], byte: u8) -> Result<(), Error> {
    if byte > 1 {
        return Err(Error::Invalid {
            what: "bool",
            name: Name::new(key),
            value: byte.into(),
            expected: "0 or 1",
        });
    }
    Ok(())
}

fn too_many_string_arrays(key: &[u8]) -> Error {
    // CAST: Small constants.
    Error::Limit {
        what: "number of long arrays of strings",
        name: Name::new(key),
        value: MAX_STRING_ARRAYS as u64 + 1,
        limit: MAX_STRING_ARRAYS as u64,
    }
}

/// Checks the next tensor's entry, all but where its data is.
fn check_tensor<'a>(reader: &mut Reader<'a>, alignment: u32) -> Result<Tensor<'a>, Error> {
    let name = string(reader, "length of a tensor's name", &[], MAX_TENSOR_NAME)?;
    let cut = |cut: Cut| cut.of(name);
    let invalid = |what, value, expected| Error::Invalid {
        what,
        name: Name::new(name),
        value,
        expected,
    };
    let rank = reader.u32().map_err(cut)?;
    let mut dimensions = [1; MAX_DIMENSIONS];
    let used = usize::try_from(rank)
        .ok()
        .filter(|&rank| rank > 0)
        .and_then(|rank| dimensions.get_mut(..rank))
        .ok_or_else(|| invalid("number of dimensions", rank.into(), "1 to 4"))?;
    for dimension in used {
        *dimension = reader.u64().map_err(cut)?;
        if *dimension == 0 {
            return Err(invalid("a dimension", 0, "at least 1"));
        }
        at_most("a dimension", Name::new(name), *dimension, MAX_DIMENSION)?;
    }
    let type_number = reader.u32().map_err(cut)?;
    let offset = reader.u64().map_err(cut)?;
    let tensor = Tensor {
        name,
        dimensions,
        // CAST: At most `MAX_DIMENSIONS`.
        rank: rank as usize,
        type_number,
        offset,
        part: 0,
        data: &[],
    };
    byte_size(&tensor)?;
    if offset % u64::from(alignment) != 0 {
        return Err(Error::Misaligned {
            tensor: tensor.label(),
            offset,
            alignment: alignment.into(),
        });
    }
    Ok(tensor)
}

/// Bytes of a tensor's data; 0 if its type is not known.
fn byte_size(tensor: &Tensor<'_>) -> Result<u64, Error> {
    let overflow = || Error::Overflow {
        tensor: tensor.label(),
    };
    let elements = tensor
        .dimensions()
        .iter()
        .try_fold(1u64, |product, &dimension| product.checked_mul(dimension))
        .ok_or_else(overflow)?;
    let Some(ggml_type) = GgmlType::from_number(tensor.type_number) else {
        return Ok(0);
    };
    let row = tensor.dimensions().first().copied().unwrap_or(1);
    if row % ggml_type.elements != 0 {
        return Err(Error::Invalid {
            what: "length of a row",
            name: tensor.label(),
            value: row,
            expected: "a multiple of the block of its type",
        });
    }
    (elements / ggml_type.elements)
        .checked_mul(ggml_type.bytes)
        .ok_or_else(overflow)
}

fn array_name(element_type: ValueType) -> &'static str {
    match element_type {
        ValueType::U8 => "array of u8",
        ValueType::I8 => "array of i8",
        ValueType::U16 => "array of u16",
        ValueType::I16 => "array of i16",
        ValueType::U32 => "array of u32",
        ValueType::I32 => "array of i32",
        ValueType::F32 => "array of f32",
        ValueType::Bool => "array of bool",
        ValueType::String => "array of string",
        ValueType::Array => "array of array",
        ValueType::U64 => "array of u64",
        ValueType::I64 => "array of i64",
        ValueType::F64 => "array of f64",
    }
}
