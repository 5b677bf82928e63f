// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The keys of the metadata that begin with the architecture's name, and the bounds of their values.

use crate::error::{Error, Name};
use crate::gguf::{Gguf, Optional, Value};
use crate::math::F32Bits;

/// The keys of one architecture.
pub(super) struct Keys<'g, 'a> {
    pub(super) gguf: &'g Gguf<'a>,
    pub(super) architecture: &'static str,
}

impl<'a> Keys<'_, 'a> {
    pub(super) fn name(&self, key: &str) -> Name {
        Name::format(format_args!("{}.{key}", self.architecture))
    }

    pub(super) fn invalid(&self, key: &str, value: u32, expected: &'static str) -> Error {
        Error::Invalid {
            what: "value",
            name: self.name(key),
            value: value.into(),
            expected,
        }
    }

    pub(super) fn within(&self, key: &str, value: u32, limit: u32) -> Result<u32, Error> {
        if value == 0 {
            return Err(self.invalid(key, value, "at least 1"));
        }
        self.at_most(key, value, limit)
    }

    fn at_most(&self, key: &str, value: u32, limit: u32) -> Result<u32, Error> {
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

    pub(super) fn count(&self, key: &str, limit: u32) -> Result<u32, Error> {
        self.within(key, self.gguf.u32(self.name(key).as_bytes())?, limit)
    }

    pub(super) fn optional_count(&self, key: &str, limit: u32) -> Result<Option<u32>, Error> {
        self.count(key, limit).optional()
    }

    pub(super) fn count_or(&self, key: &str, limit: u32, default: u32) -> Result<u32, Error> {
        Ok(self.optional_count(key, limit)?.unwrap_or(default))
    }

    /// A number that may be 0, as it is where there is no such key.
    pub(super) fn count_or_none(&self, key: &str, limit: u32) -> Result<u32, Error> {
        let value = self.gguf.u32(self.name(key).as_bytes()).optional()?;
        self.at_most(key, value.unwrap_or(0), limit)
    }

    pub(super) fn value(&self, key: &str) -> Option<Value<'a>> {
        self.gguf.get(self.name(key).as_bytes())
    }

    /// What to say of a value of another type.
    pub(super) fn wrong_type(&self, key: &str, found: &Value<'_>, wanted: &'static str) -> Error {
        Error::KeyType {
            key: self.name(key),
            found: found.value_type().name(),
            wanted,
        }
    }

    /// A number that is above zero and finite, told from its bits.
    pub(super) fn positive_float(&self, key: &str) -> Result<Option<F32Bits>, Error> {
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

    /// The same, but 0 is as good as no key.
    pub(super) fn positive_float_or_none(&self, key: &str) -> Result<Option<F32Bits>, Error> {
        match self.value(key) {
            Some(Value::F32(0)) => Ok(None),
            _ => self.positive_float(key),
        }
    }

    /// Refuses what would change the result in a way that is not computed.
    pub(super) fn expect(
        &self,
        key: &str,
        accepted: &[u32],
        expected: &'static str,
    ) -> Result<(), Error> {
        let name = self.name(key);
        let bits = self.gguf.f32_bits(name.as_bytes()).optional()?;
        match bits {
            Some(bits) if !accepted.contains(&bits) => Err(Error::Invalid {
                what: "value, as bits,",
                name,
                value: bits.into(),
                expected,
            }),
            _ => Ok(()),
        }
    }
}
