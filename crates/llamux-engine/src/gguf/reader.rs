// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A cursor over the bytes of a file, little-endian.

use crate::error::{Error, Name};

/// Where in a file something is, and how far it has been read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    file: &'a [u8],
    offset: usize,
}

/// A read that passed the end of the file. It becomes an [`Error`] where the field's name is known.
pub(super) struct Cut {
    offset: usize,
    need: u64,
    file: usize,
}

impl Cut {
    pub(super) fn of(self, field: impl AsRef<[u8]>) -> Error {
        // CAST: `usize` is at most 64 bits wide.
        Error::Truncated {
            field: Name::new(field),
            offset: self.offset as u64,
            need: self.need,
            file: self.file as u64,
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads `file` from `offset` on.
    pub(super) fn new(file: &'a [u8], offset: usize) -> Self {
        Self { file, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The next `need` bytes.
    pub(super) fn take(&mut self, need: u64) -> Result<&'a [u8], Cut> {
        let cut = Cut {
            offset: self.offset,
            need,
            file: self.file.len(),
        };
        let Some(end) = usize::try_from(need)
            .ok()
            .and_then(|need| self.offset.checked_add(need))
        else {
            return Err(cut);
        };
        let bytes = self.file.get(self.offset..end).ok_or(cut)?;
        self.offset = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let mut array = [0; N];
        // CAST: Sizes of numbers.
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Cut> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Cut> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Cut> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Cut> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A string: its length, which the caller bounds, and its bytes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Cut> {
        let len = self.u64()?;
        self.take(len)
    }
}
