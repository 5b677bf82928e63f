// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What a program writes that answers for a model of the kernel: messages of `/dev/llama-backend`.
//!
//! A message is a header and what belongs to it, which is a text or the numbers of a vector. It comes from another
//! program and is checked as a whole before any of it is used: what does not belong to its kind is zero, and no
//! number says more than the program has said it can do.
//!
//! The header is that of `struct llama_backend_reply` in `include/uapi/linux/llamux.h`, in the machine's byte order.

use zerocopy::FromBytes as _;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The beginning of a message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// Which request it is about.
    pub id: u64,
    /// What it is, one of those in [`kind`].
    pub kind: u32,
    /// [`RATED`], or 0.
    pub flags: u32,
    /// How many tokens the text is; in the end, how many the whole answer is. 0 if it is not known.
    pub tokens: u32,
    /// Tokens of what was asked; 0 if it is not known.
    pub prompt_tokens: u32,
    /// Those of them that had not to be computed.
    pub cached_tokens: u32,
    /// Why the answer has ended, one of those in [`stop`].
    pub stop_reason: u32,
    /// Why there is none.
    pub error: u32,
    /// With [`RATED`], the number of the one token that the text is.
    pub token: u32,
    /// And the logarithm of its probability, times 1000000.
    pub logprob_micro: i32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Header>() == 48);

/// Kinds of messages.
pub mod kind {
    /// The next part of the answer.
    pub const TEXT: u32 = 1;
    /// The embedding.
    pub const VECTOR: u32 = 2;
    /// The answer is still being worked at.
    pub const ALIVE: u32 = 3;
    /// The answer is complete.
    pub const END: u32 = 4;
    /// There is no answer.
    pub const ERROR: u32 = 5;
}

/// A text has a token's number and probability.
pub const RATED: u32 = 1;

/// Reasons why an answer has ended.
pub mod stop {
    /// The model ended it.
    pub const END: u32 = 1;
    /// It is as long as was asked for, or as can be.
    pub const LENGTH: u32 = 2;
    /// One of the texts came that end it.
    pub const STRING: u32 = 6;
}

/// Longest text of a message, in bytes.
pub const MAX_TEXT: usize = 1 << 18;

/// What the program has said of its model.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Tokens of its context.
    pub context: u32,
    /// Numbers of an embedding; 0 if it makes none.
    pub embedding: u32,
}

/// Numbers of tokens, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the answer.
    pub tokens: u32,
    /// Of what was asked.
    pub prompt_tokens: u32,
    /// Those of them that had not to be computed.
    pub cached_tokens: u32,
}

/// How an answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Own,
    /// It is as long as it may be.
    Length,
    /// By a text that ends it.
    Stop,
}

/// A token's number, and its negative log-likelihood in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated {
    /// The number.
    pub token: u32,
    /// The likelihood.
    pub millionths: u32,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'m> {
    /// The next part of the answer: at least one character, so many tokens.
    Text {
        /// The part.
        text: &'m str,
        /// At least 1.
        tokens: u32,
        /// If it is one token, of which this is known.
        rated: Option<Rated>,
    },
    /// The embedding: the bytes of so many floats as were announced, none of which is infinite or not a number.
    Vector(&'m [u8]),
    /// The answer is being worked at.
    Alive(Usage),
    /// The answer is complete.
    End(End, Usage),
    /// There is no answer; the number of the error.
    Error(u32),
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is shorter than a header.
    Short,
    /// There is no such kind, flag, reason for an end or error.
    Unknown,
    /// Something is not zero that does not belong to this kind, or is missing.
    Foreign,
    /// A number is larger than it can be.
    Range,
    /// The text or the vector is too long.
    Long,
    /// The text is not UTF-8, or ends within a character.
    Text,
    /// The vector has not the announced length, or something in it is no number.
    Vector,
}

/// Checks a message of a program. Of the numbers of errors, those in `errors` are allowed.
pub fn parse<'m>(
    message: &'m [u8],
    bounds: Bounds,
    errors: &[u32],
) -> Result<(u64, Said<'m>), Refused> {
    let (header, rest) = Header::read_from_prefix(message).map_err(|_| Refused::Short)?;
    if rest.len() > MAX_TEXT {
        return Err(Refused::Long);
    }
    let Header {
        id,
        kind,
        flags,
        tokens,
        prompt_tokens,
        cached_tokens,
        stop_reason,
        error,
        token,
        logprob_micro,
        reserved,
    } = header;
    if flags & !RATED != 0 {
        return Err(Refused::Unknown);
    }
    if tokens > bounds.context || prompt_tokens > bounds.context || cached_tokens > prompt_tokens {
        return Err(Refused::Range);
    }
    let is_rated = flags & RATED != 0;
    let usage = Usage {
        tokens,
        prompt_tokens,
        cached_tokens,
    };
    // What only one kind has.
    let foreign = (kind != kind::TEXT && is_rated)
        || (!is_rated && (token != 0 || logprob_micro != 0))
        || (kind != kind::END && stop_reason != 0)
        || (kind != kind::ERROR && error != 0)
        || (!matches!(kind, kind::ALIVE | kind::END) && prompt_tokens != 0)
        || (!matches!(kind, kind::TEXT | kind::END) && tokens != 0)
        || (!matches!(kind, kind::TEXT | kind::VECTOR) && !rest.is_empty())
        || reserved != 0;
    if foreign {
        return Err(Refused::Foreign);
    }
    let said = match kind {
        kind::TEXT => {
            let text = core::str::from_utf8(rest).map_err(|_| Refused::Text)?;
            if text.is_empty() {
                return Err(Refused::Foreign);
            }
            Said::Text {
                text,
                tokens: tokens.max(1),
                rated: rated(is_rated, token, logprob_micro)?,
            }
        }
        kind::VECTOR => {
            vector(rest, bounds.embedding)?;
            Said::Vector(rest)
        }
        kind::ALIVE => Said::Alive(usage),
        kind::END => {
            let end = match stop_reason {
                stop::END => End::Own,
                stop::LENGTH => End::Length,
                stop::STRING => End::Stop,
                _ => return Err(Refused::Unknown),
            };
            Said::End(end, usage)
        }
        kind::ERROR if errors.contains(&error) => Said::Error(error),
        _ => return Err(Refused::Unknown),
    };
    Ok((id, said))
}

fn rated(is_rated: bool, token: u32, logprob_micro: i32) -> Result<Option<Rated>, Refused> {
    if logprob_micro > 0 {
        return Err(Refused::Range);
    }
    Ok(is_rated.then_some(Rated {
        token,
        millionths: logprob_micro.unsigned_abs(),
    }))
}

/// Checks that there are `count` floats, which are numbers.
fn vector(bytes: &[u8], count: u32) -> Result<(), Refused> {
    const EXPONENT: u32 = 0x7f80_0000;
    let (numbers, rest) = bytes.split_at(bytes.len() & !3);
    if count == 0 || crate::size(count) != numbers.len() / 4 || !rest.is_empty() {
        return Err(Refused::Vector);
    }
    let is_number = |bytes: &[u8]| {
        let bits = <[u8; 4]>::try_from(bytes).map_or(EXPONENT, u32::from_ne_bytes);
        bits & EXPONENT != EXPONENT
    };
    match numbers.chunks(4).all(is_number) {
        true => Ok(()),
        false => Err(Refused::Vector),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use zerocopy::IntoBytes as _;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        context: 1000,
        embedding: 2,
    };

    fn message(header: Header, rest: &[u8]) -> Vec<u8> {
        [header.as_bytes(), rest].concat()
    }

    fn text() -> Header {
        Header {
            id: 7,
            kind: kind::TEXT,
            ..Header::default()
        }
    }

    fn of(kind: u32) -> Header {
        Header { kind, ..text() }
    }

    fn end() -> Header {
        Header {
            stop_reason: stop::END,
            tokens: 3,
            prompt_tokens: 20,
            cached_tokens: 5,
            ..of(kind::END)
        }
    }

    #[track_caller]
    fn refused(header: Header, rest: &[u8], why: Refused) {
        assert_eq!(parse(&message(header, rest), BOUNDS, &[5]), Err(why));
    }

    #[track_caller]
    fn says(header: Header, rest: &[u8], said: Said<'_>) {
        assert_eq!(parse(&message(header, rest), BOUNDS, &[5]), Ok((7, said)));
    }

    #[test]
    fn each_kind_says_what_it_should() {
        let plain = |tokens| Said::Text {
            text: "häh",
            tokens,
            rated: None,
        };
        says(text(), "häh".as_bytes(), plain(1));
        let three = Header {
            tokens: 3,
            ..text()
        };
        says(three, "häh".as_bytes(), plain(3));
        let rated = Header {
            flags: RATED,
            token: 99,
            logprob_micro: -5,
            ..text()
        };
        let likelihood = Rated {
            token: 99,
            millionths: 5,
        };
        let one = Said::Text {
            text: "a",
            tokens: 1,
            rated: Some(likelihood),
        };
        says(rated, b"a", one);
        // 1 and -0.5.
        let numbers = [0x3f80_0000u32, 0xbf00_0000].map(u32::to_ne_bytes).concat();
        says(of(kind::VECTOR), &numbers, Said::Vector(&numbers));
        says(of(kind::ALIVE), b"", Said::Alive(Usage::default()));
        let usage = Usage {
            tokens: 3,
            prompt_tokens: 20,
            cached_tokens: 5,
        };
        says(end(), b"", Said::End(End::Own, usage));
        let error = Header {
            error: 5,
            ..of(kind::ERROR)
        };
        says(error, b"", Said::Error(5));
    }

    #[test]
    fn each_flaw_is_refused() {
        assert_eq!(parse(&[], BOUNDS, &[]), Err(Refused::Short));
        let short = &message(end(), b"")[..47];
        assert_eq!(parse(short, BOUNDS, &[]), Err(Refused::Short));
        refused(of(0), b"", Refused::Unknown);
        refused(of(6), b"", Refused::Unknown);
        refused(Header { flags: 2, ..text() }, b"a", Refused::Unknown);
        refused(text(), b"", Refused::Foreign);
        refused(text(), b"\xc3", Refused::Text);
        refused(text(), &[b'a'; MAX_TEXT + 1], Refused::Long);
        let reserved = Header {
            reserved: 1,
            ..text()
        };
        refused(reserved, b"a", Refused::Foreign);
        let many = Header {
            tokens: 1001,
            ..text()
        };
        refused(many, b"a", Refused::Range);
        let unrated = Header { token: 1, ..text() };
        refused(unrated, b"a", Refused::Foreign);
        let likely = Header {
            flags: RATED,
            logprob_micro: 1,
            ..text()
        };
        refused(likely, b"a", Refused::Range);
        let counted = Header {
            prompt_tokens: 1,
            ..text()
        };
        refused(counted, b"a", Refused::Foreign);
        refused(end(), b"a", Refused::Foreign);
        let stopped = Header {
            stop_reason: 3,
            ..end()
        };
        refused(stopped, b"", Refused::Unknown);
        let cached = Header {
            cached_tokens: 21,
            ..end()
        };
        refused(cached, b"", Refused::Range);
        let alive = Header {
            tokens: 1,
            ..of(kind::ALIVE)
        };
        refused(alive, b"", Refused::Foreign);
        let error = |error| Header {
            error,
            ..of(kind::ERROR)
        };
        refused(error(0), b"", Refused::Unknown);
        refused(error(6), b"", Refused::Unknown);
        refused(Header { error: 5, ..end() }, b"", Refused::Foreign);
        // No number, and the infinities.
        for bits in [0x7fc0_0000u32, 0x7f80_0000, 0xff80_0000] {
            let numbers = [bits, 0].map(u32::to_ne_bytes).concat();
            refused(of(kind::VECTOR), &numbers, Refused::Vector);
        }
        for len in [0, 4, 7, 9, 12] {
            refused(of(kind::VECTOR), &[0; 12][..len], Refused::Vector);
        }
        let none = Bounds {
            embedding: 0,
            ..BOUNDS
        };
        let empty = message(of(kind::VECTOR), b"");
        assert_eq!(parse(&empty, none, &[]), Err(Refused::Vector));
    }
}
