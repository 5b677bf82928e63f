// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Keys of clients, of which the file has the sums alone.
//!
//! Each line is `NAME SHA256`, the sum in hexadecimal; `#` begins a comment. `llamuxd --new-key NAME` makes a key.

use std::path::Path;

use anyhow::{bail, Context as _, Result};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

/// Most keys of a file.
const MAX_KEYS: usize = 4096;

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<(String, [u8; 32])>,
}

impl Keys {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Self::parse(&text).with_context(|| shown.to_string())
    }

    /// Takes such a file apart.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys: Vec<(String, [u8; 32])> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (name, sum) = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some(name), Some(sum), None) => (name, sum),
                _ => bail!("line {number}: not NAME SHA256"),
            };
            let Some(sum) = from_hex(sum) else {
                bail!("line {number}: the sum of {name:?} is not 64 hexadecimal digits");
            };
            if keys.iter().any(|(other, _)| other == name) {
                bail!("line {number}: there is another key of the name {name:?}");
            }
            if keys.len() == MAX_KEYS {
                bail!("line {number}: there are more than {MAX_KEYS} keys");
            }
            keys.push((name.to_owned(), sum));
        }
        Ok(Self { keys })
    }

    /// Whose key it is. How long that takes tells nothing of the keys that there are.
    pub fn whose(&self, key: &str) -> Option<&str> {
        let sum: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        // CAST: There are few.
        let mut found = u32::MAX;
        for (index, (_, known)) in self.keys.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            found.conditional_assign(&index, known.ct_eq(&sum));
        }
        let index = usize::try_from(found).ok()?;
        self.keys.get(index).map(|(name, _)| name.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Makes a key. Returns it, and the line for the file.
pub fn make(name: &str) -> Result<(String, String)> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || !name.chars().all(fine) {
        bail!("the name {name:?} may have letters, digits and -_.@");
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("there are no random numbers")?;
    let key = format!("llx-{}", to_hex(&random));
    let line = format!("{name} {}", to_hex(&Sha256::digest(key.as_bytes())));
    Ok((key, line))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in sum.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_known_and_others_are_not() {
        let (anna, first) = make("anna").unwrap();
        let (ben, second) = make("ben").unwrap();
        let keys = Keys::parse(&format!("# ours\n{first}\n\n{second}  # soon\n")).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.whose(&anna), Some("anna"));
        assert_eq!(keys.whose(&ben), Some("ben"));
        for other in ["", "llx-", "anna", &anna[..anna.len() - 1], &first] {
            assert_eq!(keys.whose(other), None, "{other:?}");
        }
        assert!(!first.contains(&anna[4..]));
    }

    #[test]
    fn lines_that_are_no_keys_are_refused_by_their_number() {
        let good = "00".repeat(32);
        for (text, line) in [
            ("anna", 1),
            ("\nanna 12", 2),
            (&format!("anna {good} more"), 1),
            (&format!("anna {}", "+1".repeat(32)), 1),
            (&format!("anna {good}\nanna {good}"), 2),
        ] {
            let error = Keys::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
        }
    }
}
