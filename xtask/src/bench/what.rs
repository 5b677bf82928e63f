// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! What is measured: the rows of the table.

/// Tokens that are decoded.
pub(super) const DECODED: u32 = 64;
/// Tokens that are decoded beside a compile, where some need a second for each.
pub(super) const BUSY_DECODED: u32 = 32;
/// Tokens that each of several sessions gets.
pub(super) const SESSION_DECODED: u32 = 128;
/// Tokens of the prefix that the cache has.
pub(super) const PREFIX: u32 = 800;
/// Tokens of the question behind it; `llamux-host bench` takes as many.
pub(super) const QUESTION: u32 = 16;
/// The short questions that are streamed: the first makes the other one's beginning known.
pub(super) const STREAMED: [&str; 2] = ["What is a kernel?", "Why is the sky blue?"];
/// Seconds that an idle kernel is watched.
pub(super) const IDLE: u32 = 5;

/// One thing to measure, for each model and number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Reading a prompt of so many tokens.
    Prefill(u32),
    /// Writing behind so many tokens.
    Decode(u32),
    /// Writing while a compile keeps every processor busy.
    Busy,
    /// The first token behind a prefix and a question.
    FirstCold,
    /// The same with the prefix in the cache.
    FirstCached,
    /// The first token of an answer that is streamed, from the question to the reader, with the system prompt
    /// in the cache.
    FirstStreamed,
    /// So many sessions together.
    Sessions(u32),
    /// From the start to where the first token can be computed.
    Load,
    /// The longest time for which the kernel kept others off a processor.
    LongestSection,
    /// How many of these times were long.
    LongSections,
    /// Processor time of the kernel's threads when there is nothing to do.
    Idle,
    /// How often one of them ran meanwhile.
    Wakeups,
}

/// What a number means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
}

/// Who can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contestant {
    LlamaCpp,
    Host,
    Kernel,
}

/// The rows in their order: those of a group are measured by one contestant before it is the next one's
/// turn.
pub(super) const GROUPS: &[&[What]] = &[
    &[What::Prefill(128), What::Prefill(512)],
    &[What::Decode(0)],
    &[What::Decode(512), What::Decode(2048)],
    &[What::FirstCold, What::FirstCached],
    &[What::FirstStreamed],
    &[
        What::Sessions(1),
        What::Sessions(2),
        What::Sessions(4),
        What::Sessions(8),
    ],
    &[What::Load],
    &[
        What::LongestSection,
        What::LongSections,
        What::Idle,
        What::Wakeups,
    ],
    &[What::Busy],
];

impl What {
    /// The name of the row.
    pub(super) fn name(self) -> String {
        match self {
            Self::Prefill(tokens) => format!("prefill of {tokens}"),
            Self::Decode(0) => "decode".to_owned(),
            Self::Decode(depth) => format!("decode at {depth}"),
            Self::Busy => "decode beside a compile".to_owned(),
            Self::FirstCold => "first token, cold".to_owned(),
            Self::FirstCached => format!("first token, {PREFIX} cached"),
            Self::FirstStreamed => "first token of a stream, system prompt cached".to_owned(),
            Self::Sessions(1) => "1 session".to_owned(),
            Self::Sessions(count) => format!("{count} sessions together"),
            Self::Load => "load".to_owned(),
            Self::LongestSection => "longest FPU section".to_owned(),
            Self::LongSections => "FPU sections of 64 µs or more".to_owned(),
            Self::Idle => format!("processor time in {IDLE} idle seconds"),
            Self::Wakeups => format!("wake-ups in {IDLE} idle seconds"),
        }
    }

    pub(super) fn unit(self) -> Unit {
        let (name, more_is_better) = match self {
            Self::Prefill(_) | Self::Decode(_) | Self::Busy | Self::Sessions(_) => {
                ("tokens/s", true)
            }
            Self::FirstCold | Self::FirstCached | Self::FirstStreamed | Self::Load | Self::Idle => {
                ("ms", false)
            }
            Self::LongestSection => ("µs", false),
            Self::LongSections => ("%", false),
            Self::Wakeups => ("times", false),
        };
        Unit {
            name,
            more_is_better,
        }
    }

    /// Whether the contestant has such a thing.
    pub(super) fn of(self, contestant: Contestant) -> bool {
        match self {
            Self::LongestSection | Self::LongSections | Self::Idle | Self::Wakeups => {
                contestant == Contestant::Kernel
            }
            Self::FirstStreamed => contestant != Contestant::Host,
            _ => true,
        }
    }

    /// Whether it is measured with each number of threads, or with the largest one alone.
    pub(super) fn with_each(self) -> bool {
        matches!(self, Self::Prefill(_) | Self::Decode(_))
    }

    /// Roughly how often the weights are read for it, a batch counting as a fifth of its tokens.
    pub(super) fn passes(self) -> u32 {
        match self {
            Self::Prefill(tokens) => tokens / 5 + 5,
            Self::Decode(depth) => depth / 5 + DECODED + 5,
            Self::Busy => 4 * BUSY_DECODED,
            Self::FirstCold => PREFIX / 5 + 5,
            Self::FirstCached => PREFIX / 5 + 5,
            Self::Sessions(count) => SESSION_DECODED * (count / 2 + 1) + 5,
            Self::Load | Self::FirstStreamed => 10,
            Self::LongestSection | Self::LongSections | Self::Idle | Self::Wakeups => 0,
        }
    }
}

impl Contestant {
    /// All, in the order of the table.
    pub(super) const ALL: [Self; 3] = [Self::LlamaCpp, Self::Host, Self::Kernel];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::Host => "host",
            Self::Kernel => "UML kernel",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let all: Vec<_> = GROUPS.iter().copied().flatten().collect();
        let names: BTreeSet<_> = all.iter().map(|what| what.name()).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn what_only_a_kernel_has_is_asked_of_no_program() {
        for what in [
            What::Idle,
            What::Wakeups,
            What::LongestSection,
            What::LongSections,
        ] {
            assert!(what.of(Contestant::Kernel));
            assert!(!what.of(Contestant::Host) && !what.of(Contestant::LlamaCpp));
        }
        assert!(!What::FirstStreamed.of(Contestant::Host));
    }
}
