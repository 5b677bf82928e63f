// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Models that are split into several files.
//!
//! `llama-gguf-split` writes them: `split.no` and `split.count` say which of how many parts a file is,
//! `split.tensors.count` how many tensors all have together.

use core::fmt;

use super::reader::Reader;
use super::{check_key, check_tensor, header, Gguf, Optional, StringArrays, Value, MAX_TENSORS};
use crate::error::{Error, Name};

/// Most parts.
pub const MAX_PARTS: usize = 256;

/// Most keys of a part other than the first, which has those that describe the model. They are walked
/// whenever the tensors are.
const MAX_PART_KEYS: u64 = 64;

/// The name of a part's file without its suffix, as in `NAME-00001-of-00003`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartName<'n> {
    /// What all parts have in common.
    pub name: &'n str,
    /// The number of this part, from 1.
    pub number: u16,
    /// How many there are.
    pub count: u16,
}

impl<'n> PartName<'n> {
    /// Takes a name apart; `None` if it is not one of a part.
    pub fn parse(stem: &'n str) -> Option<Self> {
        let (stem, count) = stem.rsplit_once("-of-")?;
        let (name, number) = stem.rsplit_once('-')?;
        let (number, count) = (number_of(number)?, number_of(count)?);
        let there = (1..=count).contains(&number);
        there.then_some(Self {
            name,
            number,
            count,
        })
    }

    /// The names of all parts, in order.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |number| Self { number, ..self })
    }
}

impl fmt::Display for PartName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            number,
            count,
        } = self;
        write!(f, "{name}-{number:05}-of-{count:05}")
    }
}

fn number_of(digits: &str) -> Option<u16> {
    let plain = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// The files of a model.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub(super) first: &'a [u8],
    pub(super) rest: &'a [&'a [u8]],
}

impl<'a> Parts<'a> {
    /// The bytes of a part, from 0.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        match index.checked_sub(1) {
            None => Some(self.first),
            Some(index) => self.rest.get(index).copied(),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        core::iter::once(self.first).chain(self.rest.iter().copied())
    }
}

impl<'a> Gguf<'a> {
    /// Reads the files of a model that is split, in their order, as one; or the only file of one that
    /// is not.
    pub fn parse_split(files: &'a [&'a [u8]]) -> Result<Self, Error> {
        let (&first, rest) = files.split_first().ok_or(Error::EmptyFile)?;
        if files.len() > MAX_PARTS {
            return Err(Error::Limit {
                what: "number of parts",
                name: Name::EMPTY,
                // CAST: `usize` is at most 64 bits wide.
                value: files.len() as u64,
                limit: MAX_PARTS as u64,
            });
        }
        let mut gguf = Self::parse_file(first)?;
        gguf.check_split(files.len())?;

        let mut tensors = gguf.tensors;
        for (index, file) in (1..).zip(rest) {
            let part = Self::parse_file(file)?;
            part.check_part(index, files.len())?;
            // OVERFLOW: Each has at most `MAX_TENSORS`, and there are `MAX_PARTS`.
            tensors += part.tensors;
            if tensors > MAX_TENSORS {
                return Err(Error::Limit {
                    what: "number of tensors",
                    name: Name::EMPTY,
                    value: tensors,
                    limit: MAX_TENSORS,
                });
            }
            // The parts before this one.
            gguf.rest = rest.get(..index - 1).unwrap_or(&[]);
            for other in gguf.tensors() {
                if part.tensors().any(|tensor| tensor.name() == other.name()) {
                    return Err(Error::Duplicate {
                        what: "tensor",
                        name: other.label(),
                    });
                }
            }
        }
        gguf.rest = rest;
        if !rest.is_empty() {
            let counted = gguf.i32(TENSORS)?;
            if u64::try_from(counted) != Ok(tensors) {
                return Err(Error::Invalid {
                    what: "number of tensors in all parts",
                    name: TENSORS.into(),
                    value: tensors,
                    expected: "the number that the key has",
                });
            }
        }
        Ok(gguf)
    }

    /// How much of each file is in front of the weights, at most: what is behind it has not been looked at
    /// by [`parse_split`](Self::parse_split).
    pub fn head_bytes(&self) -> Result<u64, Error> {
        let rest = self.rest.iter().copied();
        rest.map(Self::parse_file)
            .try_fold(self.data_offset, |most, part| {
                Ok(most.max(part?.data_offset))
            })
    }

    /// Checks that the file is the first of as many parts as there are, or the only one.
    pub(super) fn check_split(&self, parts: usize) -> Result<(), Error> {
        let count = self.u16(COUNT).optional()?.unwrap_or(1).max(1);
        let no = self.u16(NO).optional()?.unwrap_or(0);
        check(0, NO, no.into(), 0)?;
        check(0, COUNT, count.into(), parts)
    }

    /// Checks that the file is a certain part of as many as there are.
    fn check_part(&self, index: usize, parts: usize) -> Result<(), Error> {
        check(index, NO, self.u16(NO)?.into(), index)?;
        check(index, COUNT, self.u16(COUNT)?.into(), parts)?;
        if self.keys > MAX_PART_KEYS {
            return Err(Error::Limit {
                what: "number of keys of a part that is not the first",
                name: Name::EMPTY,
                value: self.keys,
                limit: MAX_PART_KEYS,
            });
        }
        match self
            .metadata()
            .find(|(_, value)| matches!(value, Value::Array(_)))
        {
            Some((key, _)) => Err(Error::Unsupported {
                what: "array in a part that is not the first",
                name: Name::new(key),
            }),
            None => Ok(()),
        }
    }

    /// Reads again what is needed of a part to read its tensors.
    pub(super) fn reopen(file: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(file, 0);
        let version = header(file, &mut reader).ok()?;
        let (tensors, keys) = (reader.u64().ok()?, reader.u64().ok()?);
        let mut gguf = Self {
            file,
            rest: &[],
            version,
            keys,
            tensors,
            keys_offset: reader.offset(),
            tensors_offset: 0,
            data_offset: 0,
            alignment: super::DEFAULT_ALIGNMENT,
            string_arrays: StringArrays::default(),
        };
        for _ in 0..keys {
            check_key(&mut reader, &mut gguf.string_arrays).ok()?;
        }
        if let Ok(alignment) = gguf.u32(super::ALIGNMENT_KEY) {
            gguf.alignment = alignment;
        }
        gguf.tensors_offset = reader.offset();
        for _ in 0..tensors {
            check_tensor(&mut reader, gguf.alignment).ok()?;
        }
        // CAST: `usize` is at most 64 bits wide.
        gguf.data_offset = (reader.offset() as u64).next_multiple_of(gguf.alignment.into());
        Some(gguf)
    }
}

fn check(index: usize, key: &'static str, value: u64, expected: usize) -> Result<(), Error> {
    // CAST: `usize` is at most 64 bits wide.
    let (part, expected) = (index as u64 + 1, expected as u64);
    if value == expected {
        Ok(())
    } else {
        Err(Error::Part {
            part,
            key,
            value,
            expected,
        })
    }
}
