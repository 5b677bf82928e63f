// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/proc/llamux/status`; its keys are described in Documentation/ABI/testing/procfs-llamux.

use std::io;

use crate::Error;

/// Where the kernel shows its state.
pub const STATUS_PATH: &str = "/proc/llamux/status";

/// Longest status that is read; the kernel's has about a thousand bytes.
const STATUS_MAX: u64 = 1 << 16;

/// Whether the kernel can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The model is being loaded.
    Loading,
    /// It can.
    Ready,
    /// It cannot: [`Status::reason`] says why.
    Unavailable,
    /// A state that this library does not know.
    Unknown,
}

/// What `/proc/llamux/status` said: lines `key: value`, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    lines: Vec<(String, String)>,
}

impl Status {
    /// Reads the kernel's status.
    pub fn read() -> Result<Self, Error> {
        use std::io::Read as _;
        let file = std::fs::File::open(STATUS_PATH).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Error::no_kernel()
            } else {
                Error::Other(error)
            }
        })?;
        let mut text = String::new();
        file.take(STATUS_MAX)
            .read_to_string(&mut text)
            .map_err(Error::Other)?;
        Ok(Self::parse(&text))
    }

    /// Takes a status apart. Lines without a colon are left out, so that any text is a status.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Self { lines }
    }

    /// All keys and values, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The value of `key`, if the kernel has one.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|&(k, _)| k == key)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// The value of `key` as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// Whether the kernel can answer.
    pub fn state(&self) -> State {
        match self.get("state") {
            Some("loading") => State::Loading,
            Some("ready") => State::Ready,
            Some("unavailable") => State::Unavailable,
            _ => State::Unknown,
        }
    }

    /// Why the kernel cannot answer, or could not the last time.
    pub fn reason(&self) -> Option<&str> {
        self.get("reason")
    }

    /// The model's name.
    pub fn model(&self) -> Option<&str> {
        self.get("model")
    }

    /// Tokens that the context holds.
    pub fn context(&self) -> Option<u64> {
        self.number("context")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "\
version: 0.1.0
state: ready
reason:
model: SmolLM2 135M: Instruct
context: 2048
decode_millitokens_per_second: 51234
something_new: 7
";

    #[test]
    fn values_are_found_by_key() {
        let status = Status::parse(READY);
        assert_eq!(status.state(), State::Ready);
        assert_eq!(status.reason(), None);
        assert_eq!(status.model(), Some("SmolLM2 135M: Instruct"));
        assert_eq!(status.context(), Some(2048));
        assert_eq!(status.number("something_new"), Some(7));
        assert_eq!(status.number("model"), None);
        assert_eq!(status.get("absent"), None);
        assert_eq!(status.iter().count(), 7);
        assert_eq!(status.iter().next(), Some(("version", "0.1.0")));
    }

    #[test]
    fn states_are_told_apart() {
        for (text, state) in [
            ("state: loading", State::Loading),
            ("state: unavailable", State::Unavailable),
            ("state: dreaming", State::Unknown),
            ("", State::Unknown),
            ("garbage\n\0\n:::\n", State::Unknown),
        ] {
            assert_eq!(Status::parse(text).state(), state, "{text:?}");
        }
    }
}
