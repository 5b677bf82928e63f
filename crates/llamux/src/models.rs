// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/sys/kernel/llamux/models`; its fields are described in Documentation/ABI/testing/sysfs-kernel-llamux.

use std::io;

use crate::Error;

/// Where the kernel lists its models.
pub const MODELS_PATH: &str = "/sys/kernel/llamux/models";

/// A model that the kernel has, or had to refuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelLine {
    /// What it is chosen by.
    pub name: String,
    /// `loading`, `ready`, `unloading` or `failed`.
    pub state: String,
    /// Whether it answers those who choose none.
    pub default: bool,
    /// Bytes of memory that it takes.
    pub bytes: u64,
    /// Why it failed.
    pub reason: Option<String>,
}

/// All models, in the order in which they were asked for.
pub fn models() -> Result<Vec<ModelLine>, Error> {
    match std::fs::read(MODELS_PATH) {
        Ok(text) => Ok(parse_models(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::no_kernel()),
        Err(error) => Err(Error::Other(error)),
    }
}

/// Takes that file apart. Lines without a name are left out, so that any text is a list.
pub fn parse_models(text: &str) -> Vec<ModelLine> {
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<ModelLine> {
    let mut model = ModelLine::default();
    // The reason is the last, and has blanks.
    let (line, reason) = match line.split_once(" reason=") {
        Some((line, reason)) => (line, Some(reason.to_owned())),
        None => (line, None),
    };
    model.reason = reason;
    for field in line.split(' ') {
        match field.split_once('=') {
            Some(("name", name)) => model.name = unescaped(name),
            Some(("state", state)) => state.clone_into(&mut model.state),
            Some(("default", default)) => model.default = default == "yes",
            Some(("bytes", bytes)) => model.bytes = bytes.parse().unwrap_or(0),
            _ => (),
        }
    }
    (!model.name.is_empty()).then_some(model)
}

/// A name without its `\\OOO`, three octal digits of a byte.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, escaped) {
            (b'\\', Some(escaped)) => {
                bytes.push(escaped);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_names_states_and_reasons() {
        let text = "name=smollm2-135m state=ready default=yes bytes=226947072 read=1 of=1 weights=read\n\
                    name=a\\040b\\134 state=failed default=no bytes=0 reason=a b.gguf: bad magic=x\n\
                    garbage\n\n";
        let models = parse_models(text);
        assert_eq!(models.len(), 2);
        assert_eq!(
            (models[0].name.as_str(), models[0].default),
            ("smollm2-135m", true)
        );
        assert_eq!(
            (models[0].state.as_str(), models[0].bytes),
            ("ready", 226_947_072)
        );
        assert_eq!(models[0].reason, None);
        assert_eq!(models[1].name, "a b\\");
        assert_eq!(models[1].reason.as_deref(), Some("a b.gguf: bad magic=x"));
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (name, plain) in [
            ("a\\", "a\\"),
            ("\\9", "\\9"),
            ("\\777x", "\\777x"),
            ("\\04", "\\04"),
        ] {
            assert_eq!(unescaped(name), plain, "{name}");
        }
    }
}
