// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What can go wrong, in one type that says it in one line.
//!
//! An [`Error`] borrows nothing, so that it can be kept as the reason of a state. Names that come
//! from a file are data: they are cut at [`Name::MAX`] bytes and escaped when they are shown.

use core::fmt;

use crate::grammar::TableError;

/// The result of the crate's functions.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why the engine refused a file, a prompt or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The file has no bytes.
    EmptyFile,
    /// The file does not begin with `GGUF`.
    NotGguf {
        /// What it begins with.
        magic: [u8; 4],
    },
    /// The file was written for a machine of the other byte order.
    WrongEndian,
    /// A version of the format that is not read.
    Version {
        /// The version of the file.
        version: u32,
    },
    /// Something passes the end of the file.
    Truncated {
        /// What is cut: a field of the header, a key, a tensor's entry.
        field: Name,
        /// Where it begins.
        offset: u64,
        /// How many bytes it has.
        need: u64,
        /// How many bytes the file has.
        file: u64,
    },
    /// A number is larger than what is accepted.
    Limit {
        /// What is counted: `length of a string`, `number of tensors`, ….
        what: &'static str,
        /// The key or tensor that it belongs to; may be empty.
        name: Name,
        /// The number.
        value: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// A number, or the bytes of a name, are not what the format or the model allows.
    Invalid {
        /// What is wrong: `value`, `alignment`, `number of dimensions`, ….
        what: &'static str,
        /// The key or tensor that it belongs to; may be empty.
        name: Name,
        /// The number.
        value: u64,
        /// What is accepted, completing "expected …".
        expected: &'static str,
    },
    /// Two keys or two tensors have the same name.
    Duplicate {
        /// `key` or `tensor`.
        what: &'static str,
        /// The name.
        name: Name,
    },
    /// A key or a tensor that the model needs is not there.
    Missing {
        /// `key` or `tensor`.
        what: &'static str,
        /// The name.
        name: Name,
    },
    /// A key has a value of the wrong type.
    KeyType {
        /// The key.
        key: Name,
        /// The type that it has.
        found: &'static str,
        /// The type that was wanted.
        wanted: &'static str,
    },
    /// A kind of thing that this engine does not know: an architecture, a tensor type, a tokenizer,
    /// a pre-tokenizer, a chat template.
    Unsupported {
        /// The kind.
        what: &'static str,
        /// Its name in the file.
        name: Name,
    },
    /// A tensor of a type that can be listed but not computed with.
    TensorType {
        /// The tensor.
        tensor: Name,
        /// Its type's number in `enum ggml_type`.
        number: u32,
        /// Its type's name; empty where there is none.
        type_name: &'static str,
    },
    /// A tensor's dimension contradicts the model's hyper-parameters.
    Shape {
        /// The tensor.
        tensor: Name,
        /// Which dimension, from 0.
        dimension: u32,
        /// Its size in the file.
        value: u64,
        /// What it must be.
        expected: u64,
    },
    /// A tensor's number of elements or bytes does not fit in 64 bits.
    Overflow {
        /// The tensor.
        tensor: Name,
    },
    /// A tensor's offset is not a multiple of the file's alignment.
    Misaligned {
        /// The tensor.
        tensor: Name,
        /// Its offset from the beginning of the data.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// A tensor passes the end of the file.
    PastEnd {
        /// The tensor.
        tensor: Name,
        /// Its offset from the beginning of the file.
        offset: u64,
        /// Its bytes.
        bytes: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// A tensor begins inside another one.
    Overlap {
        /// The tensor.
        tensor: Name,
        /// Its offset from the beginning of the data.
        offset: u64,
        /// Where the one before it ends.
        end: u64,
    },
    /// A file is not the part of a split model that it should be.
    Part {
        /// Which one it should be, from 1.
        part: u64,
        /// The key that says otherwise.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What it should be.
        expected: u64,
    },
    /// The memory does not hold the model.
    Memory {
        /// Bytes that are needed.
        need: u64,
        /// Bytes that there are.
        have: u64,
    },
    /// The prompt and its answer do not fit in the context.
    Context {
        /// Tokens that are needed.
        need: u64,
        /// Tokens that there is room for.
        have: u64,
    },
    /// Others have what is needed now; it will be free when they are done.
    Busy {
        /// `sequences` or `blocks of the cache`.
        what: &'static str,
        /// How many are needed.
        need: u64,
        /// How many are free.
        have: u64,
    },
    /// Prompt and longest answer have more tokens than the request may have.
    Allowance {
        /// Tokens of both.
        need: u32,
        /// Its [`Request::positions`](crate::generate::Request).
        have: u32,
    },
    /// The prompt has more bytes than the scratch memory was made for.
    PromptLength {
        /// Bytes of the prompt.
        need: u64,
        /// Bytes that there is room for.
        have: u64,
    },
    /// The prompt is empty.
    EmptyPrompt,
    /// The prompt is not UTF-8.
    Utf8 {
        /// Where the first wrong byte is.
        offset: u64,
    },
    /// A token that the vocabulary does not have.
    Token {
        /// The token.
        id: u32,
        /// Number of tokens in the vocabulary.
        vocabulary: u32,
    },
    /// The caller asked to stop.
    Interrupted,
    /// The bytes of a grammar are not a table that can be followed.
    Grammar(TableError),
    /// No token of the vocabulary continues the answer as its grammar asks, or there are more ways to
    /// continue it than can be followed.
    GrammarStuck,
    /// The model computed no logit that is a number: its weights are damaged.
    NoCandidate,
    /// An operation was given buffers whose lengths contradict each other: a fault of this crate.
    Operation(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::EmptyFile => f.write_str("the file is empty"),
            Error::NotGguf { magic } => {
                write!(
                    f,
                    "not a GGUF file: begins with \"{}\"",
                    magic.escape_ascii()
                )
            }
            Error::WrongEndian => {
                f.write_str("GGUF of the other byte order: this file was made for another machine")
            }
            Error::Version { version } => {
                write!(f, "GGUF version {version}: only versions 2 and 3 are read")
            }
            Error::Truncated {
                field,
                offset,
                need,
                file,
            } => write!(
                f,
                "{field}: offset {offset:#x} + {need} bytes passes the end of the file ({file} bytes)"
            ),
            Error::Limit {
                what,
                name,
                value,
                limit,
            } => {
                prefix(f, name)?;
                write!(f, "{what} is {value}, more than the limit of {limit}")
            }
            Error::Invalid {
                what,
                name,
                value,
                expected,
            } => {
                prefix(f, name)?;
                write!(f, "{what} is {value}, expected {expected}")
            }
            Error::Duplicate { what, name } => write!(f, "{what} {name}: is there twice"),
            Error::Missing { what, name } => write!(f, "{what} {name}: is missing"),
            Error::KeyType { key, found, wanted } => {
                write!(f, "key {key}: is of type {found}, expected {wanted}")
            }
            Error::Unsupported { what, name } => write!(f, "{what} \"{name}\" is not supported"),
            Error::TensorType {
                tensor,
                number,
                type_name,
            } => {
                write!(f, "tensor {tensor}: type {number}")?;
                if !type_name.is_empty() {
                    write!(f, " ({type_name})")?;
                }
                f.write_str(" is not supported")
            }
            Error::Shape {
                tensor,
                dimension,
                value,
                expected,
            } => write!(
                f,
                "tensor {tensor}: dimension {dimension} is {value}, expected {expected}"
            ),
            Error::Overflow { tensor } => {
                write!(f, "tensor {tensor}: its size does not fit in 64 bits")
            }
            Error::Misaligned {
                tensor,
                offset,
                alignment,
            } => write!(
                f,
                "tensor {tensor}: offset {offset:#x} is not a multiple of the alignment {alignment}"
            ),
            Error::PastEnd {
                tensor,
                offset,
                bytes,
                file,
            } => write!(
                f,
                "tensor {tensor}: offset {offset:#x} + {bytes} bytes passes the end of the file ({file} bytes)"
            ),
            Error::Overlap {
                tensor,
                offset,
                end,
            } => write!(
                f,
                "tensor {tensor}: offset {offset:#x} is inside of another tensor, which ends at {end:#x}"
            ),
            Error::Part {
                part,
                key,
                value,
                expected,
            } => {
                write!(f, "file {part} of the model: {key} is {value}, expected {expected}")
            }
            Error::Memory { need, have } => {
                write!(f, "the model needs {need} bytes of memory, there are {have}")
            }
            Error::Context { need, have } => {
                write!(f, "{need} tokens do not fit in a context of {have}")
            }
            Error::Busy { what, need, have } => {
                write!(f, "{need} {what} are needed, {have} are free")
            }
            Error::Allowance { need, have } => {
                write!(f, "{need} tokens are more than the {have} that are allowed")
            }
            Error::PromptLength { need, have } => {
                write!(f, "the prompt has {need} bytes, more than the limit of {have}")
            }
            Error::EmptyPrompt => f.write_str("the prompt is empty"),
            Error::Utf8 { offset } => write!(f, "the prompt is not UTF-8 at byte {offset}"),
            Error::Token { id, vocabulary } => {
                write!(f, "token {id} is not in the vocabulary of {vocabulary}")
            }
            Error::Interrupted => f.write_str("interrupted"),
            Error::Grammar(error) => write!(f, "grammar: {error}"),
            Error::GrammarStuck => {
                f.write_str("no token of the vocabulary continues the answer as its grammar asks")
            }
            Error::NoCandidate => f.write_str("the model computed no logit that is a number"),
            Error::Operation(name) => {
                write!(f, "operation {name}: lengths contradict each other")
            }
        }
    }
}

impl core::error::Error for Error {}

fn prefix(f: &mut fmt::Formatter<'_>, name: &Name) -> fmt::Result {
    if name.is_empty() {
        Ok(())
    } else {
        write!(f, "{name}: ")
    }
}

/// A bounded copy of a name from a file. Shown with everything but printable ASCII escaped, and with
/// `...` where it was cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; Name::MAX],
    len: u8,
    cut: bool,
}

impl Name {
    /// How many bytes of a name are kept.
    pub const MAX: usize = 64;

    /// No name.
    pub const EMPTY: Self = Self {
        bytes: [0; Self::MAX],
        len: 0,
        cut: false,
    };

    /// Copies the beginning of `name`.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        let mut copy = Self::EMPTY;
        copy.push(name.as_ref());
        copy
    }

    /// Formats a name: `Name::format(format_args!("blk.{i}.attn_q.weight"))`.
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut name = Self::EMPTY;
        // A `Name` takes whatever is written to it, so this can not fail.
        let _ = fmt::Write::write_fmt(&mut name, arguments);
        name
    }

    /// What was kept of the name.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self
            .bytes
            .get_mut(usize::from(self.len)..)
            .unwrap_or_default();
        let taken = bytes.len().min(room.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        // CAST: At most `Name::MAX` is taken in all.
        self.len += taken as u8;
        self.cut |= taken < bytes.len();
    }
}

impl fmt::Write for Name {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())?;
        if self.cut {
            f.write_str("...")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn says_the_field_and_the_numbers() {
        let error = Error::PastEnd {
            tensor: "blk.3.attn_q.weight".into(),
            offset: 0x1000,
            bytes: 12345,
            file: 98_362_432,
        };
        assert_eq!(
            error.to_string(),
            "tensor blk.3.attn_q.weight: offset 0x1000 + 12345 bytes passes the end of the file (98362432 bytes)"
        );
    }

    #[test]
    fn escapes_and_cuts_names() {
        assert_eq!(
            Name::new(b"a\n\x1b[2J\xff").to_string(),
            "a\\n\\x1b[2J\\xff"
        );
        let long = Name::new([b'x'; 100]);
        assert_eq!(long.as_bytes().len(), Name::MAX);
        assert!(long.to_string().ends_with("..."));
        let exact = Name::new([b'x'; Name::MAX]);
        assert!(!exact.to_string().ends_with("..."));
        assert_eq!(Name::format(format_args!("blk.{}.x", 7)), "blk.7.x".into());
    }

    #[test]
    fn is_small() {
        // Every `Result` of the engine carries it, on stacks of 16 KiB.
        assert!(size_of::<Error>() <= 128);
    }
}
