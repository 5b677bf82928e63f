// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The values of a GGUF file's metadata.

use super::reader::{Cut, Reader};

/// The type of a value, with the numbers of `enum gguf_metadata_value_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueType {
    /// 8 bits, unsigned.
    U8 = 0,
    /// 8 bits, signed.
    I8 = 1,
    /// 16 bits, unsigned.
    U16 = 2,
    /// 16 bits, signed.
    I16 = 3,
    /// 32 bits, unsigned.
    U32 = 4,
    /// 32 bits, signed.
    I32 = 5,
    /// 32-bit float.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// Length and bytes.
    String = 8,
    /// Element type, length and elements.
    Array = 9,
    /// 64 bits, unsigned.
    U64 = 10,
    /// 64 bits, signed.
    I64 = 11,
    /// 64-bit float.
    F64 = 12,
}

impl ValueType {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The type's name in the format's description.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a value; `None` where they are told by the value itself.
    pub(super) fn size(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }
}

/// A value. Floats are their bits: what may compute with them is in the math crate.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// 8 bits, unsigned.
    U8(u8),
    /// 8 bits, signed.
    I8(i8),
    /// 16 bits, unsigned.
    U16(u16),
    /// 16 bits, signed.
    I16(i16),
    /// 32 bits, unsigned.
    U32(u32),
    /// 32 bits, signed.
    I32(i32),
    /// The bits of a 32-bit float.
    F32(u32),
    /// True or false.
    Bool(bool),
    /// Bytes that should be UTF-8.
    String(&'a [u8]),
    /// Values of one type.
    Array(Array<'a>),
    /// 64 bits, unsigned.
    U64(u64),
    /// 64 bits, signed.
    I64(i64),
    /// The bits of a 64-bit float.
    F64(u64),
}

impl<'a> Value<'a> {
    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// Reads a value that is not an array.
    pub(super) fn read(value_type: ValueType, reader: &mut Reader<'a>) -> Result<Self, Cut> {
        // CAST: The signed types have the same bits as the unsigned ones.
        Ok(match value_type {
            ValueType::U8 => Self::U8(reader.u8()?),
            ValueType::I8 => Self::I8(reader.u8()? as i8),
            ValueType::U16 => Self::U16(reader.u16()?),
            ValueType::I16 => Self::I16(reader.u16()? as i16),
            ValueType::U32 => Self::U32(reader.u32()?),
            ValueType::I32 => Self::I32(reader.u32()? as i32),
            ValueType::F32 => Self::F32(reader.u32()?),
            ValueType::Bool => Self::Bool(reader.u8()? != 0),
            ValueType::String => Self::String(reader.string()?),
            ValueType::U64 => Self::U64(reader.u64()?),
            ValueType::I64 => Self::I64(reader.u64()? as i64),
            ValueType::F64 => Self::F64(reader.u64()?),
            // The parser refuses arrays of arrays, and reads arrays itself.
            ValueType::Array => Self::Array(Array::EMPTY),
        })
    }
}

/// Values of one type, in place.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    pub(super) element_type: ValueType,
    pub(super) len: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    const EMPTY: Self = Self {
        element_type: ValueType::U8,
        len: 0,
        bytes: &[],
    };

    /// The type of the elements.
    pub fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of the elements' bytes, as they are in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements.
    pub fn iter(&self) -> Elements<'a> {
        Elements {
            element_type: self.element_type,
            left: self.len,
            reader: Reader::new(self.bytes, 0),
        }
    }

    /// The elements of an array of strings; `None` for another type.
    pub fn strings(&self) -> Option<Strings<'a>> {
        (self.element_type == ValueType::String).then(|| Strings(self.iter()))
    }

    /// An element of an array of `u32`, `i32` or `f32`, as its bits; `None` for another type.
    pub fn word(&self, index: usize) -> Option<u32> {
        if self.element_type.size() != Some(4) {
            return None;
        }
        let begin = index.checked_mul(4)?;
        let bytes = self.bytes.get(begin..begin.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// Iterator over the elements of an [`Array`].
#[derive(Clone)]
pub struct Elements<'a> {
    element_type: ValueType,
    left: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Value::read(self.element_type, &mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Iterator over the elements of an [`Array`] of strings.
#[derive(Clone)]
pub struct Strings<'a>(Elements<'a>);

impl<'a> Strings<'a> {
    /// Where the next string's length is, from the beginning of [`Array::bytes`].
    pub(crate) fn offset(&self) -> usize {
        self.0.reader.offset()
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.next()? {
            Value::String(string) => Some(string),
            _ => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
