// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! `/etc/llamux.conf`: lines `KEY=value`, quoted as in a shell; see llamux.conf(5).
//!
//! The file may be read by shells, too, so that nothing is taken here that one would read differently.

use std::path::Path;

use anyhow::{anyhow, bail, Context as _, Result};

use crate::files;
use crate::memory::{parse_size, Place};

/// Where it is.
pub const PATH: &str = "etc/llamux.conf";

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// `MODEL=`: a name, or the path of a file.
    pub model: Option<String>,
    /// `MEMORY=`: MiB to reserve.
    pub memory_mb: Option<u64>,
    /// `IN_INITRAMFS=`
    pub place: Option<Place>,
    /// `CMDLINE=`: more words for the kernel.
    pub cmdline: Vec<String>,
    /// `LOAD=`: further models.
    pub load: Vec<String>,
    /// `NICE=`
    pub nice: Option<i8>,
    /// `SYSTEM_PROMPT=`
    pub system_prompt: Option<String>,
    /// `SAMPLING=`: names and values of files in `/sys/kernel/llamux/sampling`.
    pub sampling: Vec<(String, String)>,
    /// `LIMITS=`: lines for `/sys/kernel/llamux/limits`.
    pub limits: Vec<String>,
}

impl Conf {
    /// Reads the file below `root`; one that is not there says nothing.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        let text = files::read_if_there(&path)?;
        Self::parse(&text.unwrap_or_default()).with_context(|| path.display().to_string())
    }

    /// Takes its text apart.
    pub fn parse(text: &str) -> Result<Self> {
        let mut conf = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            conf.line(line)
                .with_context(|| format!("line {}", at + 1))?;
        }
        Ok(conf)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let (key, value) = line.split_once('=').context("not of the form KEY=value")?;
        let value = unquoted(value).with_context(|| key.to_owned())?;
        let one = || (!value.is_empty()).then(|| value.clone());
        let words = || value.split_whitespace().map(str::to_owned).collect();
        match key {
            "MODEL" => self.model = one(),
            "MEMORY" => {
                self.memory_mb = one()
                    .map(|size| parse_size(&size))
                    .transpose()
                    .map_err(|e| anyhow!(e))?;
            }
            "IN_INITRAMFS" => {
                let place = one().map(|place| place.parse()).transpose();
                self.place = place.map_err(|error: String| anyhow!("{key}: {error}"))?;
            }
            "CMDLINE" => self.cmdline = words(),
            "LOAD" => self.load = words(),
            "NICE" => {
                let nice: Option<i8> = one().map(|nice| nice.parse()).transpose().ok().flatten();
                self.nice = match (value.as_str(), nice) {
                    ("", _) => None,
                    (_, Some(nice @ -20..=19)) => Some(nice),
                    _ => bail!("NICE: {value:?} is not a number from -20 to 19"),
                };
            }
            "SYSTEM_PROMPT" => self.system_prompt = one(),
            "SAMPLING" => {
                let pair = |word: &str| {
                    let (name, value) = word.split_once('=')?;
                    let named = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                    let number = value.parse::<u32>().is_ok();
                    (named && !name.is_empty() && number)
                        .then(|| (name.to_owned(), value.to_owned()))
                };
                self.sampling = value
                    .split_whitespace()
                    .map(|word| {
                        pair(word).with_context(|| {
                            format!("SAMPLING: {word:?} is not of the form name=number")
                        })
                    })
                    .collect::<Result<_>>()?;
            }
            "LIMITS" => {
                let lines = value
                    .split(';')
                    .map(str::trim)
                    .filter(|line| !line.is_empty());
                self.limits = lines.map(str::to_owned).collect();
            }
            _ => bail!("there is no key {key:?}; llamux.conf(5) has those that there are"),
        }
        Ok(())
    }
}

/// A value as a shell would read it, where it is plain enough for that.
fn unquoted(text: &str) -> Result<String> {
    let (value, rest) = if let Some(text) = text.strip_prefix('\'') {
        let (value, rest) = text.split_once('\'').context("a ' is missing at the end")?;
        (value.to_owned(), rest.to_owned())
    } else if let Some(text) = text.strip_prefix('"') {
        double_quoted(text)?
    } else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let plain = |c: char| c.is_alphanumeric() || "-_=/.,:+@%".contains(c);
        if let Some(c) = word.chars().find(|&c| !plain(c)) {
            bail!("{c:?} needs quotes around the value");
        }
        (word.to_owned(), rest.to_owned())
    };
    let comment = rest.trim_start();
    let apart = rest.is_empty() || rest.starts_with(char::is_whitespace);
    if !apart || !(comment.is_empty() || comment.starts_with('#')) {
        bail!(
            "{:?} follows the value: put quotes around all of it",
            rest.trim()
        );
    }
    Ok(value)
}

/// What is between double quotes, and what follows.
fn double_quoted(text: &str) -> Result<(String, String)> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((value, chars.as_str().to_owned())),
            '$' | '`' => bail!("{c:?} has no meaning here: write \\{c}, or use single quotes"),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                _ => bail!("a backslash is followed by none of \" \\ $ `"),
            },
            c => value.push(c),
        }
    }
    bail!("a \" is missing at the end")
}

/// A value as a line of the file has it.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text + "\""
}

/// The text with these keys set: where the key is, or where it is commented out, or at the end.
pub fn with(text: &str, values: &[(&str, String)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in values {
        let new = format!("{key}={}", quoted(value));
        let is = |line: &String, before: &str| {
            line.trim_start()
                .strip_prefix(before)
                .and_then(|rest| rest.trim_start().strip_prefix(key))
                .is_some_and(|rest| rest.starts_with('='))
        };
        // The last one counts, as in a shell.
        let at = lines.iter().rposition(|line| is(line, ""));
        match at.or_else(|| lines.iter().position(|line| is(line, "#"))) {
            Some(at) => lines[at] = new,
            None => lines.push(new),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        let conf = Conf::parse(
            "# a comment\n\
             \n\
             MODEL=smollm2-135m   # another\n\
             MEMORY='2G'\n\
             IN_INITRAMFS=head\n\
             CMDLINE=\"llamux.threads=2  quiet\"\n\
             LOAD='a b'\n\
             NICE=-5\n\
             SYSTEM_PROMPT=\"You say \\\"no\\\" for \\$5.\"\n\
             SAMPLING=\"top_k=3 temperature_milli=0\"\n\
             LIMITS='default queued=4; user=1000 context=9'\n",
        )
        .unwrap();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Conf {
            model: Some("smollm2-135m".to_owned()),
            memory_mb: Some(2048),
            place: Some(Place::Head),
            cmdline: words("llamux.threads=2 quiet"),
            load: words("a b"),
            nice: Some(-5),
            system_prompt: Some("You say \"no\" for $5.".to_owned()),
            sampling: vec![pair("top_k", "3"), pair("temperature_milli", "0")],
            limits: vec![
                "default queued=4".to_owned(),
                "user=1000 context=9".to_owned(),
            ],
        };
        assert_eq!(conf, expected);
        assert_eq!(
            Conf::parse("MODEL=\nMEMORY=''\nNICE=\n").unwrap(),
            Conf::default()
        );
    }

    #[test]
    fn what_a_shell_might_read_differently_is_refused() {
        for (text, complaint) in [
            ("MODEL", "KEY=value"),
            ("MODEL=a b", "follows the value"),
            ("MODEL='a", "' is missing"),
            ("MODEL=\"a", "\" is missing"),
            ("MODEL='a'b", "follows the value"),
            ("MODEL=$HOME", "needs quotes"),
            ("MODEL=\"$HOME\"", "has no meaning"),
            ("MODEL=\"a\\n\"", "backslash"),
            ("MODEL=a;reboot", "needs quotes"),
            ("MODELS=a", "no key"),
            ("export MODEL=a", "no key"),
            ("MEMORY=lots", "not a size"),
            ("IN_INITRAMFS=yes", "none of head, archive and no"),
            ("NICE=20", "from -20 to 19"),
            ("NICE=low", "from -20 to 19"),
            ("SAMPLING=top_k", "name=number"),
            ("SAMPLING=../nice=3", "name=number"),
            ("SAMPLING=top_k=x", "name=number"),
        ] {
            let error = Conf::parse(&format!("\n{text}\n")).unwrap_err();
            let said = format!("{error:#}");
            assert!(
                said.contains(complaint) && said.contains("line 2"),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn keys_are_set_where_they_are() {
        let text = "# About MODEL=\n#MODEL=\nMEMORY=1\n# end\n";
        let values = [
            ("MODEL", "it's $5".to_owned()),
            ("MEMORY", "300M".to_owned()),
            ("CMDLINE", String::new()),
        ];
        let new = with(text, &values);
        assert_eq!(
            new,
            "# About MODEL=\nMODEL=\"it's \\$5\"\nMEMORY=300M\n# end\nCMDLINE=\n"
        );
        let conf = Conf::parse(&new).unwrap();
        assert_eq!(conf.model.as_deref(), Some("it's $5"));
        assert_eq!(with(&new, &values), new);
    }
}
